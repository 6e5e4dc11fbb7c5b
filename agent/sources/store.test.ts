import { describe, expect, it } from 'vitest';
import { endpoint, service, slice } from '../../test/lib/cluster-builder.ts';
import type { ClusterChange } from '../model/cluster-view.ts';
import { ClusterStore } from './store.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function watched(): { store: ClusterStore; changes: ClusterChange[] } {
	const store = new ClusterStore();
	const changes: ClusterChange[] = [];
	store.onChange((change) => changes.push(change));
	return { store, changes };
}

describe('ClusterStore', () => {
	it('tells nobody anything before the source has delivered everything once', async () => {
		const { store, changes } = watched();
		store.set('Service', 'default/a', service('a'));
		await turn();
		expect(changes).toEqual([]);
		store.markSynced();
		await turn();
		expect(changes.map(({ services }) => [...services])).toEqual([['default/a']]);
	});

	it('tells of the first delivery even when there was no object', async () => {
		const { store, changes } = watched();
		store.markSynced();
		await turn();
		expect(changes).toHaveLength(1);
	});

	it('names the service whose slices changed, also the one a slice has left', async () => {
		const { store, changes } = watched();
		store.markSynced();
		await turn();
		store.set('EndpointSlice', 'default/s', slice('a', ['10.0.0.1'], { name: 's' }));
		await turn();
		store.set('EndpointSlice', 'default/s', slice('b', ['10.0.0.1'], { name: 's' }));
		await turn();
		store.delete('EndpointSlice', 'default/s');
		await turn();
		expect(changes.slice(1).map(({ services }) => [...services].sort())).toEqual([
			['default/a'],
			['default/a', 'default/b'],
			['default/b'],
		]);
		expect(store.slicesOf('default/a')).toEqual([]);
		expect(store.slicesOf('default/b')).toEqual([]);
	});

	it('gives the slices of a service in name order', () => {
		const { store } = watched();
		for (const name of ['c', 'a', 'b'])
			store.set('EndpointSlice', `default/${name}`, slice('x', [endpoint('10.0.0.1')], { name }));
		expect(store.slicesOf('default/x').map(({ name }) => name)).toEqual(['a', 'b', 'c']);
	});

	it('says nothing about an object that arrives again unchanged', async () => {
		const { store, changes } = watched();
		store.set('Service', 'default/a', service('a'));
		store.markSynced();
		await turn();
		expect(store.set('Service', 'default/a', service('a'))).toBe(false);
		expect(store.delete('Service', 'default/none')).toBe(false);
		await turn();
		expect(changes).toHaveLength(1);
	});

	it('stops telling a listener that has left', async () => {
		const store = new ClusterStore();
		let calls = 0;
		const leave = store.onChange(() => calls++);
		store.markSynced();
		await turn();
		leave();
		store.set('Service', 'default/a', service('a'));
		await turn();
		expect(calls).toBe(1);
	});
});
