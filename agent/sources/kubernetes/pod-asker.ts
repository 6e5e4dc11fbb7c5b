/**
 * One question about one pod, when the runtime is faster than the watch.
 */
import { parsePod } from '../../model/pod.ts';
import { failureOf, type Query } from './api-client.ts';
import type { ObjectSink } from './reflector.ts';

export interface PodAskerParts {
	readonly api: { get(path: string, query: Query, signal: AbortSignal): Promise<unknown> };
	/** Where the watch puts pods of this node. */
	readonly own: ObjectSink;
	readonly nodeName: string;
}

/**
 * Asks for a pod. If it is of this node and has the uid, it is in the store when this returns; the watch will bring it anyway.
 * @returns undefined = there is none of the name
 * @throws FairleadError API_UNREACHABLE, API_REFUSED
 */
export async function askPod(
	{ api, own, nodeName }: PodAskerParts,
	wanted: { readonly namespace: string; readonly name: string; readonly uid: string },
	signal: AbortSignal,
): Promise<{ readonly uid: string } | undefined> {
	const { namespace, name, uid } = wanted;
	let object: unknown;
	try {
		object = await api.get(`/api/v1/namespaces/${namespace}/pods/${name}`, {}, signal);
	} catch (error) {
		if (failureOf(error).status === 404) return undefined;
		throw error;
	}
	const parsed = parsePod(object);
	if (!parsed.ok) return { uid: '' };
	if (parsed.value.node === nodeName && (uid === '' || parsed.value.uid === uid)) {
		own.set('Pod', `${namespace}/${name}`, parsed.value);
	}
	return { uid: parsed.value.uid };
}
