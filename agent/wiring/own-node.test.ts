import { describe, expect, it } from 'vitest';
import { parseNode } from '../model/node.ts';
import { ClusterStore } from '../sources/store.ts';
import { awaitOwnNode, type OwnNodeOptions } from './own-node.ts';

function node(podCIDRs: readonly string[]) {
	const parsed = parseNode({ metadata: { name: 'n1' }, spec: { podCIDRs } });
	if (!parsed.ok) throw new Error('the node is not valid');
	return parsed.value;
}

function setUp(over: Partial<OwnNodeOptions> = {}) {
	const store = new ClusterStore();
	const waiting: string[] = [];
	const synced = Promise.withResolvers<void>();
	const found = awaitOwnNode({
		store,
		config: { nodeName: 'n1', podCidrs: [], standalone: false },
		synced: synced.promise,
		closed: () => false,
		onWaiting: (what) => waiting.push(what),
		...over,
	});
	return { store, waiting, synced, found };
}

describe('awaitOwnNode', () => {
	it('does not wait for the rest of what the source delivers', async () => {
		const { store, found, waiting } = setUp();
		store.set('Node', 'n1', node(['10.1.0.0/24']));
		expect((await found)?.podCidrs).toEqual(['10.1.0.0/24']);
		expect(store.synced).toBe(false);
		expect(waiting).toEqual([]);
	});

	it('says what is missing once everything was delivered', async () => {
		const { store, found, waiting, synced } = setUp();
		store.markSynced();
		synced.resolve();
		setTimeout(() => store.set('Node', 'n1', node([])), 50);
		setTimeout(() => store.set('Node', 'n1', node(['10.1.0.0/24'])), 300);
		expect(await found).toBeDefined();
		expect(waiting).toEqual(['Node n1', 'spec.podCIDRs of Node n1']);
	});

	it('needs no CIDRs from the object when they are configured', async () => {
		const { store, found } = setUp({ config: { nodeName: 'n1', podCidrs: ['10.9.0.0/24'], standalone: false } });
		store.set('Node', 'n1', node([]));
		expect(await found).toBeDefined();
	});

	it('needs no CIDRs where there are no pods', async () => {
		const { store, found } = setUp({ config: { nodeName: 'n1', podCidrs: [], standalone: true } });
		store.set('Node', 'n1', node([]));
		expect(await found).toBeDefined();
	});

	it('fails with the source, and ends when the agent is closed', async () => {
		const { found, synced } = setUp();
		synced.reject(new Error('no kubeconfig'));
		await expect(found).rejects.toThrow('no kubeconfig');
		expect(await setUp({ closed: () => true }).found).toBeUndefined();
	});
});
