import { describe, expect, it } from 'vitest';
import { parsePod } from '../model/pod.ts';
import { ClusterStore } from '../sources/store.ts';
import { type Attached, ForeignPods } from './foreign-pods.ts';

function start() {
	const store = new ClusterStore();
	const state = { now: 0, attached: [] as Attached[], found: [] as string[] };
	const foreign = new ForeignPods({
		nodeName: 'n1',
		pods: store.pods,
		attached: () => state.attached,
		former: ['uid-before'],
		onFound: ({ name }) => state.found.push(name),
		now: () => state.now,
	});
	const put = (name: string, podIP: string, spec: object = {}, phase = 'Running') => {
		const parsed = parsePod({
			metadata: { namespace: 'shop', name, uid: `uid-${name}` },
			spec: { nodeName: 'n1', ...spec },
			status: { phase, podIP },
		});
		if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
		store.set('Pod', `shop/${name}`, parsed.value);
	};
	const names = (now = state.now + 15_000) => {
		foreign.look();
		state.now = now;
		return foreign.look().map(({ name }) => name);
	};
	return { store, state, foreign, put, names };
}

describe('ForeignPods', () => {
	it('finds pods of this node with an address that nobody has got from us, and tells of each once', () => {
		const { state, foreign, put, names } = start();
		put('old-b', '10.9.0.8');
		put('old-a', '10.9.0.7');
		put('ours', '10.1.0.2');
		state.attached = [{ pod: { uid: 'uid-ours' }, addresses: ['10.1.0.2'] }];
		expect(names()).toEqual(['old-a', 'old-b']);
		foreign.look();
		expect(state.found).toEqual(['old-a', 'old-b']);
	});

	it('leaves out host network, finished pods, pods without address and those of other nodes', () => {
		const { put, names } = start();
		put('host', '192.0.2.1', { hostNetwork: true });
		put('done', '10.9.0.7', {}, 'Succeeded');
		put('new', '');
		put('far', '10.9.0.8', { nodeName: 'n2' });
		expect(names()).toEqual([]);
	});

	it('waits before it believes it', () => {
		const { put, names } = start();
		put('old', '10.9.0.7');
		expect(names(14_999)).toEqual([]);
		expect(names(15_000)).toEqual(['old']);
	});

	it('does not take a pod for foreign whose address is still told after its DEL', () => {
		const { state, put, names } = start();
		put('ours', '10.1.0.2');
		state.attached = [{ pod: { uid: 'uid-ours' }, addresses: ['10.1.0.2'] }];
		expect(names()).toEqual([]);
		state.attached = [];
		expect(names()).toEqual([]);
	});

	it('does not take a pod for foreign that was ours before a reboot and does not run again yet', () => {
		const { put, names } = start();
		put('before', '10.1.0.2');
		expect(names()).toEqual([]);
	});

	it('forgets a pod that was made anew', () => {
		const { store, state, put, names } = start();
		put('old', '10.9.0.7');
		expect(names()).toEqual(['old']);
		store.delete('Pod', 'shop/old');
		expect(names()).toEqual([]);
		put('old', '10.1.0.2');
		state.attached = [{ pod: { uid: 'uid-old' }, addresses: ['10.1.0.2'] }];
		expect(names()).toEqual([]);
	});
});
