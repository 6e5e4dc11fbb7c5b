/** Waits for a DaemonSet, always with a limit, and says what is missing. */
import type { V1DaemonSet, V1Pod } from '@kubernetes/client-node';
import { CliError, EXIT } from '../exit.ts';
import type { ClusterApi, ObjectRef } from './cluster-api.ts';

export interface Waiting {
	readonly api: ClusterApi;
	readonly timeoutMs: number;
	readonly say: (line: string) => void;
	readonly now: () => number;
	readonly sleep: (ms: number) => Promise<void>;
}

const POLL_MS = 1000;

/** The state of a roll-out as text; `done` when every node that is wanted has the new version, available. */
export function rolloutOf({ metadata, status, spec }: V1DaemonSet): { readonly done: boolean; readonly text: string } {
	const wanted = status?.desiredNumberScheduled ?? 0;
	const updated = status?.updatedNumberScheduled ?? 0;
	const available = status?.numberAvailable ?? 0;
	const seen = (status?.observedGeneration ?? 0) >= (metadata?.generation ?? 1);
	const onDelete = spec?.updateStrategy?.type === 'OnDelete';
	const text = `${updated} of ${wanted} nodes have this version, ${available} are ready`;
	return {
		done: seen && available >= wanted && (updated >= wanted || onDelete),
		text: seen ? text : 'not looked at yet',
	};
}

/** @throws CliError naming nodes that are not ready, when it takes longer than the limit */
export async function awaitRollout(ref: ObjectRef, w: Waiting): Promise<void> {
	const { api, say } = w;
	const deadline = w.now() + w.timeoutMs;
	let said = '';
	for (;;) {
		const found = await api.read<V1DaemonSet>(ref);
		const { done, text } = found === undefined ? { done: false, text: 'it is not there' } : rolloutOf(found);
		if (text !== said) say(`${ref.metadata.name}: ${text}`);
		said = text;
		if (done) return;
		if (w.now() >= deadline) {
			const missing = found === undefined ? [] : await unready(api, found);
			throw new CliError(
				EXIT.NOT_READY,
				[`${ref.kind} ${ref.metadata.name}: not rolled out after ${w.timeoutMs / 1000} s: ${text}`, ...missing].join(
					'\n  ',
				),
			);
		}
		await w.sleep(POLL_MS);
	}
}

/** Waits until the pods of a DaemonSet are gone. @throws CliError naming those that are left */
export async function awaitNoPods(
	namespace: string,
	labels: Readonly<Record<string, string>>,
	w: Waiting,
): Promise<void> {
	const deadline = w.now() + w.timeoutMs;
	for (;;) {
		const pods = await w.api.list<V1Pod>('v1', 'Pod', { namespace, labelSelector: selectorOf(labels) });
		if (pods.length === 0) return;
		if (w.now() >= deadline) {
			const left = pods.map(({ metadata, spec }) => `${metadata?.name} on node ${spec?.nodeName ?? '?'}`);
			throw new CliError(EXIT.NOT_READY, [`pods are left after ${w.timeoutMs / 1000} s`, ...left].join('\n  '));
		}
		await w.sleep(POLL_MS);
	}
}

export function selectorOf(labels: Readonly<Record<string, string>>): string {
	return Object.entries(labels)
		.map(([key, value]) => `${key}=${value}`)
		.join(',');
}

/** One line for each pod that is not ready. */
async function unready(api: ClusterApi, { metadata, spec }: V1DaemonSet): Promise<string[]> {
	const labelSelector = selectorOf(spec?.selector.matchLabels ?? {});
	const pods = await api.list<V1Pod>('v1', 'Pod', { namespace: metadata?.namespace ?? '', labelSelector });
	return pods.filter((pod) => !isReady(pod)).map((pod) => `node ${pod.spec?.nodeName ?? '?'}: ${whyNot(pod)}`);
}

function isReady({ status }: V1Pod): boolean {
	return status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') ?? false;
}

function whyNot({ status }: V1Pod): string {
	for (const { name, state, lastState } of [
		...(status?.initContainerStatuses ?? []),
		...(status?.containerStatuses ?? []),
	]) {
		const waiting = state?.waiting;
		const ended = state?.terminated ?? lastState?.terminated;
		if (ended !== undefined && ended.exitCode !== 0) {
			return `${name} ended with code ${ended.exitCode}: ${(ended.message ?? ended.reason ?? '').trim()}`;
		}
		if (waiting?.reason !== undefined) return `${name}: ${waiting.reason} ${waiting.message ?? ''}`.trim();
	}
	return status?.message ?? status?.phase ?? 'no status';
}
