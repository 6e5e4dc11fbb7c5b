import { describe, expect, it } from 'vitest';
import { clusterOf, service, slice } from '../../test/lib/cluster-builder.ts';
import type { ClusterChange } from '../model/cluster-view.ts';
import { NameKeeper } from './name-keeper.ts';

const change = (over: Partial<Record<keyof ClusterChange, Set<string>>>): ClusterChange => ({
	services: new Set(),
	pods: new Set(),
	nodes: new Set(),
	namespaces: new Set(),
	networkPolicies: new Set(),
	clusterNetworkPolicies: new Set(),
	serviceCidrs: new Set(),
	...over,
});

function setUp() {
	const store = clusterOf([service('a')], [slice('a', ['10.1.0.1'])]);
	const log = { updates: 0, clock: 0, pods: [] as string[], waiting: [] as { task: () => void; ms: number }[] };
	const keeper = new NameKeeper({
		names: {
			updatePods: (_view, keys) => {
				log.pods.push(...keys);
			},
			setSenders: () => undefined,
			updateServicesAndNodes: () => {
				log.updates++;
				log.clock += 10;
			},
		},
		view: store,
		identity: () => ({ nodeName: 'n', localAddresses: [], clusterCidrs: [] }),
		now: () => log.clock,
		later: (task, ms) => {
			log.waiting.push({ task, ms });
			return setTimeout(() => undefined, 0);
		},
	});
	log.clock = 10_000;
	return { store, log, keeper };
}

describe('NameKeeper', () => {
	it('names anew at once what nobody has changed for a while', () => {
		const { store, log, keeper } = setUp();
		store.set('Service', 'default/a', service('a', { clusterIps: ['10.96.0.99'] }));
		keeper.onChange(change({ services: new Set(['default/a']) }));
		keeper.onChange(change({}));
		expect(log).toMatchObject({ updates: 2, waiting: [] });
	});

	it('does nothing when only endpoints of a service changed', () => {
		const { store, log, keeper } = setUp();
		store.set('EndpointSlice', 'default/a-1', slice('a', ['10.1.0.2']));
		keeper.onChange(change({ services: new Set(['default/a']) }));
		expect(log.updates).toBe(1);
	});

	it('names pods that changed at once and leaves the rest as it is', () => {
		const { log, keeper } = setUp();
		keeper.onChange(change({ pods: new Set(['p1']) }));
		keeper.onChange(change({ pods: new Set(['p2']) }));
		expect(log).toMatchObject({ updates: 1, pods: ['p1', 'p2'] });
	});

	it('sees services come and go', () => {
		const { store, log, keeper } = setUp();
		store.set('Service', 'default/b', service('b'));
		keeper.onChange(change({ services: new Set(['default/b']) }));
		log.clock += 1000;
		store.delete('Service', 'default/b');
		keeper.onChange(change({ services: new Set(['default/b']) }));
		expect(log.updates).toBe(3);
	});

	it('gathers changes that follow each other, for twenty times what an update takes', () => {
		const { log, keeper } = setUp();
		for (let i = 0; i < 5; i++) keeper.onChange(change({ nodes: new Set([`n${i}`]) }));
		expect(log.updates).toBe(2);
		expect(log.waiting.map(({ ms }) => ms)).toEqual([200]);
		log.waiting[0]?.task();
		expect(log.updates).toBe(3);
	});
});
