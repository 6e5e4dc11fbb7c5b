/**
 * Events as objects of the API: core/v1, as the kubelet writes them. kube-proxy writes events.k8s.io/v1, which is the same object
 * by another name; only this form has the fields that every `kubectl` prints, and one count that is patched.
 */

import { errorMessage } from '../../model/errors.ts';
import type { ObjectRef } from '../../model/event.ts';
import { failureOf, type Query, type WriteRequest } from './api-client.ts';

/** The part of ApiClient that writers use. */
export interface WriteApi {
	get(path: string, query: Query, signal: AbortSignal): Promise<unknown>;
	write(request: WriteRequest, signal: AbortSignal): Promise<unknown>;
}

/** The same thing about the same object, seen `count` times. */
export interface EventContent {
	readonly about: ObjectRef;
	readonly type: string;
	readonly reason: string;
	readonly message: string;
	readonly count: number;
	readonly firstMs: number;
	readonly lastMs: number;
}

export interface WrittenEvent {
	/** 'namespace/name' of the Event. */
	readonly handle: string;
	/** Why the API server will not have it. */
	readonly refused?: string;
}

/** What the Events of all nodes have in common: `kubectl get events --field-selector source=fairlead-agent`. */
export const COMPONENT = 'fairlead-agent';
/** Where Events about objects without a namespace live. */
const DEFAULT_NAMESPACE = 'default';
/** A node of another name could make Events of the same; 253 bytes is the limit of a name. */
const MAX_NAME = 200;

/** Where objects are found whose uid has to be looked up, by kind. */
const PLURALS: Readonly<Record<string, string>> = {
	Service: 'services',
	Pod: 'pods',
	Namespace: 'namespaces',
	NetworkPolicy: 'networkpolicies',
	ClusterNetworkPolicy: 'clusternetworkpolicies',
	EndpointSlice: 'endpointslices',
};

export class EventWriter {
	readonly #api: WriteApi;
	readonly #nodeName: string;
	#last = 0n;

	constructor(api: WriteApi, nodeName: string) {
		this.#api = api;
		this.#nodeName = nodeName;
	}

	/**
	 * Creates the object of a series, or brings its count up to date.
	 * @param handle  what the last call for this series returned
	 * @throws FairleadError API_UNREACHABLE, or API_REFUSED when another attempt may succeed
	 */
	async deliver(event: EventContent, handle: string | undefined, signal: AbortSignal): Promise<WrittenEvent> {
		try {
			if (handle !== undefined && (await this.#patch(event, handle, signal))) return { handle };
			return { handle: await this.#create(event, signal) };
		} catch (error) {
			const { status } = failureOf(error);
			// too many requests, and what is wrong with the server rather than with the event
			if (status < 400 || status >= 500 || status === 401 || status === 429) throw error;
			return { handle: '', refused: errorMessage(error) };
		}
	}

	/** @returns false when the API server has forgotten it */
	async #patch(event: EventContent, handle: string, signal: AbortSignal): Promise<boolean> {
		const [namespace = '', name = ''] = handle.split('/');
		if (name === '') return false;
		const { count, message, lastMs } = event;
		try {
			await this.#api.write(
				{
					method: 'PATCH',
					path: `${eventsOf(namespace)}/${name}`,
					contentType: 'application/merge-patch+json',
					body: { count, message, lastTimestamp: formatTime(lastMs) },
				},
				signal,
			);
			return true;
		} catch (error) {
			if (failureOf(error).status === 404) return false;
			throw error;
		}
	}

	async #create(event: EventContent, signal: AbortSignal): Promise<string> {
		const { about, type, reason, message, count, firstMs, lastMs } = event;
		const namespace = about.namespace || DEFAULT_NAMESPACE;
		const name = this.#newName(about.name);
		const uid = about.uid || (await this.#uidOf(about, signal));
		await this.#api.write(
			{
				method: 'POST',
				path: eventsOf(namespace),
				contentType: 'application/json',
				body: {
					apiVersion: 'v1',
					kind: 'Event',
					metadata: { name, namespace },
					involvedObject: {
						apiVersion: about.apiVersion,
						kind: about.kind,
						name: about.name,
						...(about.namespace !== '' && { namespace: about.namespace }),
						...(uid !== '' && { uid }),
					},
					...{ type, reason, message, count },
					firstTimestamp: formatTime(firstMs),
					lastTimestamp: formatTime(lastMs),
					source: { component: COMPONENT, host: this.#nodeName },
					reportingComponent: COMPONENT,
					reportingInstance: this.#nodeName,
				},
			},
			signal,
		);
		return `${namespace}/${name}`;
	}

	/** `kubectl describe` finds Events by uid. Without it they are still listed. */
	async #uidOf({ apiVersion, kind, namespace, name }: ObjectRef, signal: AbortSignal): Promise<string> {
		const plural = PLURALS[kind];
		if (plural === undefined) return '';
		const group = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
		const path = `${group}${namespace === '' ? '' : `/namespaces/${namespace}`}/${plural}/${name}`;
		const object = (await this.#api.get(path, {}, signal).catch((error: unknown) => {
			if (failureOf(error).status === 0) throw error; // no answer: the event would fare no better
			return undefined;
		})) as { metadata?: { uid?: string } } | undefined;
		return object?.metadata?.uid ?? '';
	}

	/** As client-go makes them: the object's name and a time in hexadecimal, never the same twice. */
	#newName(object: string): string {
		const now = BigInt(Date.now()) * 1_000_000n + (process.hrtime.bigint() % 1_000_000n);
		this.#last = now > this.#last ? now : this.#last + 1n;
		return `${object.slice(0, MAX_NAME)}.${this.#last.toString(16)}`;
	}
}

function eventsOf(namespace: string): string {
	return `/api/v1/namespaces/${namespace}/events`;
}

/** metav1.Time: whole seconds. */
export function formatTime(ms: number): string {
	return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}
