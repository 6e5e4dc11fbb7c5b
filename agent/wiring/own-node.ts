/**
 * The own Node object, without which nothing about this node can be planned.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config/schema.ts';
import type { Node } from '../model/node.ts';
import type { ClusterStore } from '../sources/store.ts';

export interface OwnNodeOptions {
	readonly store: Pick<ClusterStore, 'nodes' | 'synced'>;
	readonly config: Pick<Config, 'nodeName' | 'podCidrs' | 'standalone'>;
	/** Resolves when the source has delivered everything. */
	readonly synced: Promise<void>;
	readonly closed: () => boolean;
	/** Once for each thing that is waited for after the source has delivered everything. */
	readonly onWaiting: (what: string) => void;
}

const POLL_MS = 200;
/** While the source still delivers: programs may be loaded meanwhile. */
const FIRST_POLL_MS = 10;

/**
 * Waits until the object has what is needed, which may be before the source has delivered everything.
 * @returns undefined when the agent is closed before
 * @throws what the source throws
 */
export async function awaitOwnNode(options: OwnNodeOptions): Promise<Node | undefined> {
	const { store, synced, closed, onWaiting } = options;
	const { nodeName, podCidrs, standalone } = options.config;
	let said = '';
	while (!closed()) {
		const complete = store.synced;
		const node = store.nodes.get(nodeName);
		if (node !== undefined && (standalone || node.podCidrs.length > 0 || podCidrs.length > 0)) return node;
		if (!complete) {
			await Promise.race([synced, sleep(FIRST_POLL_MS)]);
			continue;
		}
		const waitingFor = node === undefined ? `Node ${nodeName}` : `spec.podCIDRs of Node ${nodeName}`;
		if (said !== waitingFor) onWaiting(waitingFor);
		said = waitingFor;
		await sleep(POLL_MS);
	}
	return undefined;
}
