import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bigCluster, CONTEXT, clusterOf, endpoint, service, slice } from '../../test/lib/cluster-builder.ts';
import { FakeKernel } from '../../test/lib/fake-kernel.ts';
import { filterHas, readBackend, readServices, readSources } from '../../test/lib/service-maps.ts';
import type { EndpointSlice } from '../model/endpoint-slice.ts';
import type { Service } from '../model/service.ts';
import { planServices, replanServices } from '../plan/services.ts';
import { ServicesReconciler } from './services.ts';
import { applyServiceOp, serviceMemory } from './services-apply.ts';
import { inOrder } from './services-ops.ts';
import { frontendKeyOf } from './services-state.ts';

const CLUSTER_KEY = '10.96.0.10|80|6|0';

function planOf(services: readonly Service[], slices: readonly EndpointSlice[]) {
	return planServices(clusterOf(services, slices), [], CONTEXT);
}

function addresses(count: number, from = 1): string[] {
	return Array.from({ length: count }, (_, i) => `10.244.${(from + i) >> 8}.${(from + i) & 255}`);
}

describe('ServicesReconciler', () => {
	it('programs a service with its backends, filter bit and address entry', async () => {
		const kernel = new FakeKernel();
		const reconciler = new ServicesReconciler({ kernel });
		const report = await reconciler.replaceAll(planOf([service('web')], [slice('web', ['10.244.0.1', '10.244.0.2'])]));
		expect(report.problems).toEqual([]);
		const { services, faults } = readServices(kernel);
		expect(faults).toEqual([]);
		expect(services.map(({ key, all }) => ({ key, all }))).toEqual([
			{ key: '10.96.0.10|0|0|0', all: [] },
			{ key: CLUSTER_KEY, all: ['10.244.0.1|8080|6', '10.244.0.2|8080|6'] },
		]);
	});

	it('writes nothing when a new agent finds what it wants', async () => {
		const kernel = new FakeKernel();
		const plans = planServices(bigCluster(50, 20), [], CONTEXT);
		await new ServicesReconciler({ kernel }).replaceAll(plans);
		kernel.log.length = 0;
		const report = await new ServicesReconciler({ kernel }).replaceAll(plans);
		expect(report).toMatchObject({ ops: 0, problems: [] });
		expect(kernel.log).toEqual([]);
	});

	it('keeps the id of a service over a restart of the agent and a change made meanwhile', async () => {
		const kernel = new FakeKernel();
		const web = [service('web'), service('db', { clusterIps: ['10.96.0.11'] })];
		await new ServicesReconciler({ kernel }).replaceAll(planOf(web, [slice('web', ['10.244.0.1'])]));
		const before = readServices(kernel).services.find(({ key }) => key === CLUSTER_KEY)!.entry;
		await new ServicesReconciler({ kernel }).replaceAll(planOf(web, [slice('web', ['10.244.0.1', '10.244.0.9'])]));
		const after = readServices(kernel).services.find(({ key }) => key === CLUSTER_KEY)!.entry;
		expect(after.id).toBe(before.id);
		expect(after.allCount).toBe(2);
		expect(after.generation).not.toBe(before.generation);
	});

	it('removes what a dead agent left that nobody wants any more', async () => {
		const kernel = new FakeKernel();
		await new ServicesReconciler({ kernel }).replaceAll(planOf([service('web')], [slice('web', addresses(20))]));
		const index = kernel.shared('slots').getUint32(0, true);
		const reconciler = new ServicesReconciler({ kernel });
		await reconciler.replaceAll(new Map());
		expect(readServices(kernel).services).toEqual([]);
		expect(filterHas(kernel, '10.96.0.10')).toBe(false);
		expect(readBackend(kernel, index).flags).toBe(0);
		reconciler.reclaim();
		expect(reconciler.usage()).toMatchObject({ services: { used: 0 }, backends: { used: 0 }, slots: { used: 0 } });
	});

	it('changes one endpoint of a 1,000-endpoint service with one system call', async () => {
		const kernel = new FakeKernel();
		const reconciler = new ServicesReconciler({ kernel });
		await reconciler.replaceAll(planOf([service('big')], [slice('big', addresses(1000))]));
		kernel.log.length = 0;
		const store = clusterOf([service('big')], [slice('big', addresses(1001))]);
		const report = await reconciler.update(replanServices(store, ['default/big'], CONTEXT));
		expect(kernel.log).toEqual([{ call: 'set', map: 'services', entries: 1 }]);
		// One backend row, one list, one entry: the same number whatever the size.
		expect(report.ops).toBe(3);
	});

	it('does not touch other services when one changes', async () => {
		const kernel = new FakeKernel();
		const reconciler = new ServicesReconciler({ kernel });
		const store = bigCluster(100, 3);
		await reconciler.replaceAll(planServices(store, [], CONTEXT));
		const before = readServices(kernel).services;
		store.set('EndpointSlice', 'default/svc-7-1', slice('svc-7', ['10.9.9.9']));
		await reconciler.update(replanServices(store, ['default/svc-7'], CONTEXT));
		const changed = readServices(kernel).services.filter(
			(each, i) => JSON.stringify(each) !== JSON.stringify(before[i]),
		);
		expect(changed.map(({ key }) => key)).toEqual(['10.96.0.7|80|6|0']);
	});

	it('changes a live row only in its second word: a terminating backend keeps index and generation', async () => {
		const kernel = new FakeKernel();
		const reconciler = new ServicesReconciler({ kernel });
		await reconciler.replaceAll(planOf([service('web')], [slice('web', ['10.244.0.1', '10.244.0.2'])]));
		const index = kernel.shared('slots').getUint32(0, true);
		const before = readBackend(kernel, index);
		const draining = endpoint('10.244.0.1', { ready: false, terminating: true });
		await reconciler.update(planOf([service('web')], [slice('web', [draining, '10.244.0.2'])]));
		const after = readBackend(kernel, index);
		expect(after).toEqual({ ...before, flags: 2 | 8 });
		expect(readServices(kernel).services[1]!.all).toEqual(['10.244.0.2|8080|6']);
	});

	it('gives each service its own row of an address that both have: one may drop it while the other keeps it', async () => {
		const kernel = new FakeKernel();
		const reconciler = new ServicesReconciler({ kernel });
		const both = [service('a'), service('b', { clusterIps: ['10.96.0.11'] })];
		await reconciler.replaceAll(planOf(both, [slice('a', ['10.244.0.1']), slice('b', ['10.244.0.1'])]));
		expect(reconciler.usage()!.backends.used).toBe(2);
		const rowOf = (key: string) => {
			const { entry } = readServices(kernel).services.find((each) => each.key === key)!;
			const index = kernel.shared('slots').getUint32(entry.allBase * 4, true);
			return { index, row: readBackend(kernel, index), id: entry.id };
		};
		const [a, b] = [rowOf('10.96.0.10|80|6|0'), rowOf('10.96.0.11|80|6|0')];
		expect([a.row.svcId, b.row.svcId]).toEqual([a.id, b.id]);
		await reconciler.update(planOf([both[0]!], []));
		expect(readBackend(kernel, a.index).flags).toBe(0);
		expect(readBackend(kernel, b.index)).toEqual(b.row);
		expect(readServices(kernel).faults).toEqual([]);
	});

	it('refuses a change that has no room beside the old version, and keeps that', async () => {
		const kernel = new FakeKernel({ capacity: { backends: 3, slots: 2 } });
		const reconciler = new ServicesReconciler({ kernel });
		await reconciler.replaceAll(planOf([service('web')], [slice('web', ['10.244.0.1', '10.244.0.2'])]));
		kernel.log.length = 0;
		const report = await reconciler.update(planOf([service('web')], [slice('web', ['10.244.0.3'])]));
		// Both rows are in use until the new entry stands: the change is refused for want of room, nothing is torn.
		expect(report.problems.join()).toContain('map backends: no room');
		expect([report.failures, reconciler.refusals()]).toEqual([[], report.problems]);
		// … and is told of until it has found room, whatever else changes meanwhile.
		expect((await reconciler.update(new Map())).problems).toEqual(report.problems);
		expect(readServices(kernel).services[1]!.all).toEqual(['10.244.0.1|8080|6', '10.244.0.2|8080|6']);
	});

	it('keeps a version that it has no room to change when it reads everything back, and removes it with its service', async () => {
		const kernel = new FakeKernel({ capacity: { backends: 5 } });
		const reconciler = new ServicesReconciler({ kernel });
		const web = (over: Partial<Service> = {}) =>
			service('web', {
				type: 'LoadBalancer',
				loadBalancerIps: ['203.0.113.1'],
				loadBalancerSourceRanges: ['198.51.100.0/24'],
				affinityTimeoutS: 60,
				...over,
			});
		await reconciler.replaceAll(planOf([web()], [slice('web', ['10.244.0.1', '10.244.0.2'])]));
		const before = readServices(kernel).services;
		const many = Array.from({ length: 9 }, (_, i) => `10.244.0.${i + 1}`);
		const wanted = planOf([web({ affinityTimeoutS: null, loadBalancerSourceRanges: [] })], [slice('web', many)]);
		expect((await reconciler.update(wanted)).refused).toEqual(['default/web']);
		const others = [reconciler, new ServicesReconciler({ kernel })];
		for (const each of others) {
			const report = each === reconciler ? await each.resync() : await each.replaceAll(wanted);
			expect(report.problems.join()).toContain('map backends: no room');
			expect(readServices(kernel).services).toEqual(before);
			expect(readSources(kernel).size).toBe(1);
		}
		await others[1]?.update(new Map([['default/web', { ports: [], problems: [] }]]));
		expect(readServices(kernel).services).toEqual([]);
		expect(others[1]?.usage()?.backends.used).toBe(0);
	});

	it('waits for the grace period when only freed rows have room', async () => {
		const kernel = new FakeKernel({ capacity: { backends: 2 } });
		const reconciler = new ServicesReconciler({ kernel });
		await reconciler.replaceAll(planOf([service('web')], [slice('web', ['10.244.0.1'])]));
		await reconciler.update(planOf([service('web')], [slice('web', [])]));
		kernel.log.length = 0;
		const report = await reconciler.update(planOf([service('web')], [slice('web', ['10.244.0.2'])]));
		expect(report.problems).toEqual([]);
		expect(kernel.count('barrier')).toBe(1);
		expect(readServices(kernel).services[1]!.all).toEqual(['10.244.0.2|8080|6']);
	});

	it('gives a reused row another generation', async () => {
		const kernel = new FakeKernel({ capacity: { backends: 2 } });
		const reconciler = new ServicesReconciler({ kernel });
		await reconciler.replaceAll(planOf([service('web')], [slice('web', ['10.244.0.1'])]));
		const first = readBackend(kernel, 1);
		await reconciler.update(planOf([service('web')], []));
		const dead = readBackend(kernel, 1);
		await reconciler.update(planOf([service('web')], [slice('web', ['10.244.0.2'])]));
		const second = readBackend(kernel, 1);
		expect([first.flags, dead.flags, second.flags]).toEqual([9, 0, 9]);
		expect(new Set([first.generation, dead.generation, second.generation]).size).toBe(3);
	});

	it('says which map is full and serves everything that fits', async () => {
		const kernel = new FakeKernel({ capacity: { services: 5 } });
		const reconciler = new ServicesReconciler({ kernel });
		const report = await reconciler.replaceAll(planServices(bigCluster(4, 2), [], CONTEXT));
		expect(report.problems.join()).toContain('map services: no room for another entry, 5 of 5 used');
		expect(readServices(kernel).services).toHaveLength(5);
		expect(readServices(kernel).faults).toEqual([]);
	});

	it('uses the room of a removed service for one that was refused', async () => {
		const kernel = new FakeKernel({ capacity: { services: 4 } });
		const reconciler = new ServicesReconciler({ kernel });
		const store = bigCluster(3, 1);
		await reconciler.replaceAll(planServices(store, [], CONTEXT));
		store.delete('Service', 'default/svc-0');
		const report = await reconciler.replaceAll(planServices(store, [], CONTEXT));
		expect(report.problems).toEqual([]);
		expect(readServices(kernel).services.map(({ key }) => key)).toEqual([
			'10.96.0.1|0|0|0',
			'10.96.0.1|80|6|0',
			'10.96.0.2|0|0|0',
			'10.96.0.2|80|6|0',
		]);
	});

	it('lets the older service keep an address that two want, and gives it to the other when the first goes', async () => {
		const kernel = new FakeKernel();
		const reconciler = new ServicesReconciler({ kernel });
		const shared = { externalIps: ['203.0.113.1'] };
		const services = [
			service('late', { ...shared, clusterIps: ['10.96.0.1'], created: '2026-02-01T00:00:00Z' }),
			service('early', { ...shared, clusterIps: ['10.96.0.2'], created: '2026-01-01T00:00:00Z' }),
		];
		const slices = [slice('late', ['10.244.0.1']), slice('early', ['10.244.0.2'])];
		const plans = planOf(services, slices);
		await reconciler.replaceAll(plans);
		const external = () => readServices(kernel).services.find(({ key }) => key.startsWith('203.0.113.1|80'))?.all;
		expect(external()).toEqual(['10.244.0.2|8080|6']);
		expect(reconciler.problems()).toEqual([
			{ owner: 'default/late', message: '203.0.113.1 80 6 1 is already served by default/early' },
		]);
		await reconciler.update(new Map([['default/early', { ports: [], problems: [] }]]));
		expect(external()).toEqual(['10.244.0.1|8080|6']);
		expect(reconciler.problems()).toEqual([]);
	});

	it('tells the programs when node addresses have services', async () => {
		const kernel = new FakeKernel();
		const reconciler = new ServicesReconciler({ kernel });
		const nodePort = service('np', {
			type: 'NodePort',
			ports: [{ name: '', protocol: 'TCP', port: 80, nodePort: 30080 }],
		});
		await reconciler.replaceAll(planOf([nodePort], [slice('np', ['10.244.0.1'])]));
		const count = () => new DataView(kernel.mapGet('runtime', new Uint8Array(4))!.buffer).getUint32(4, true);
		expect(count()).toBe(1);
		await reconciler.replaceAll(new Map());
		expect(count()).toBe(0);
	});

	it('repairs maps that somebody else has changed', async () => {
		const kernel = new FakeKernel();
		const reconciler = new ServicesReconciler({ kernel });
		await reconciler.replaceAll(planOf([service('web')], [slice('web', addresses(3))]));
		const [key] = [...kernel.mapEntries('services')].find(([bytes]) => frontendKeyOf(bytes) === CLUSTER_KEY)!;
		kernel.mapDelete('services', key);
		kernel.shared('slots').setUint32(0, 12345, true);
		const report = await reconciler.resync();
		expect(report.problems).toEqual([]);
		expect(readServices(kernel).faults).toEqual([]);
		expect(readServices(kernel).services.find((each) => each.key === CLUSTER_KEY)!.all).toHaveLength(3);
	});
});

/** A small random world: services that share backends, addresses and ports, with all kinds of endpoints. */
const world = fc.array(
	fc.record({
		id: fc.integer({ min: 0, max: 4 }),
		external: fc.boolean(),
		nodePort: fc.boolean(),
		localInternal: fc.boolean(),
		localExternal: fc.boolean(),
		endpoints: fc.array(
			fc.record({
				host: fc.integer({ min: 1, max: 25 }),
				ready: fc.boolean(),
				terminating: fc.boolean(),
				local: fc.boolean(),
			}),
			{ maxLength: 20 },
		),
	}),
	{ maxLength: 5 },
);

type World = typeof world extends fc.Arbitrary<infer T> ? T : never;

function planWorld(value: World) {
	const services: Service[] = [];
	const slices: EndpointSlice[] = [];
	for (const each of value) {
		const name = `svc-${each.id}`;
		services.push(
			service(name, {
				type: each.nodePort ? 'NodePort' : 'ClusterIP',
				clusterIps: [`10.96.0.${each.id + 1}`],
				externalIps: each.external ? ['203.0.113.1'] : [],
				internalPolicy: each.localInternal ? 'Local' : 'Cluster',
				externalPolicy: each.localExternal ? 'Local' : 'Cluster',
				ports: [{ name: '', protocol: 'TCP', port: 80, nodePort: 30000 + each.id }],
			}),
		);
		const endpoints = each.endpoints.map(({ host, ready, terminating, local }) =>
			endpoint(`10.244.0.${host}`, { ready, terminating, node: local ? 'node-a' : 'node-b' }),
		);
		slices.push(slice(name, endpoints));
	}
	return planOf(services, slices);
}

describe('service operations', () => {
	it('leave no service without its backends after any prefix (the agent can die there)', async () => {
		await fc.assert(
			fc.asyncProperty(fc.array(world, { minLength: 2, maxLength: 4 }), async (history) => {
				const kernel = new FakeKernel();
				const memory = serviceMemory(kernel);
				const faults: string[] = [];
				// The operations are applied one by one here, before the reconciler does the same again.
				const onOps = (ops: Parameters<typeof inOrder>[0]): void => {
					for (const op of inOrder(ops)) {
						applyServiceOp(op, kernel, memory);
						for (const fault of readServices(kernel).faults) faults.push(`after ${op.kind}: ${fault}`);
					}
				};
				const reconciler = new ServicesReconciler({ kernel, onOps });
				for (const value of history) await reconciler.replaceAll(planWorld(value));
				expect(faults).toEqual([]);
			}),
			{ numRuns: 150 },
		);
	});

	it('end at the same maps whatever the history, also when the agent died at any operation', async () => {
		await fc.assert(
			fc.asyncProperty(world, world, fc.nat(60), async (first, second, diesAfter) => {
				const kernel = new FakeKernel();
				const memory = serviceMemory(kernel);
				await new ServicesReconciler({ kernel }).replaceAll(planWorld(first));
				const died = new FakeKernel();
				let left = diesAfter;
				copyMaps(kernel, died);
				const dying = new ServicesReconciler({
					kernel,
					onOps: (ops) => {
						for (const op of inOrder(ops)) if (left-- > 0) applyServiceOp(op, died, serviceMemory(died));
					},
				});
				await dying.replaceAll(planWorld(second));
				expect(memory.slots.length).toBeGreaterThan(0);
				await new ServicesReconciler({ kernel: died }).replaceAll(planWorld(second));
				const fresh = new FakeKernel();
				await new ServicesReconciler({ kernel: fresh }).replaceAll(planWorld(second));
				expect(readServices(died).faults).toEqual([]);
				expect(observable(died)).toEqual(observable(fresh));
			}),
			{ numRuns: 150 },
		);
	});

	it('heal after failing system calls and never leave a service without its backends', async () => {
		await fc.assert(
			fc.asyncProperty(fc.array(world, { minLength: 2, maxLength: 4 }), fc.nat(), async (history, seed) => {
				const random = seeded(seed);
				const kernel = new FakeKernel({
					fault: ({ call }) => (call !== 'barrier' && random() < 0.1 ? 'ENOMEM' : undefined),
				});
				const reconciler = new ServicesReconciler({ kernel });
				for (const value of history) {
					await reconciler.update(planWorld(value));
					expect(readServices(kernel).faults).toEqual([]);
				}
				const last = planWorld(history.at(-1)!);
				kernel.fault = undefined;
				await reconciler.replaceAll(last);
				const fresh = new FakeKernel();
				await new ServicesReconciler({ kernel: fresh }).replaceAll(last);
				expect(observable(kernel)).toEqual(observable(fresh));
			}),
			{ numRuns: 150 },
		);
	});

	it('keep a full set of small maps consistent', async () => {
		await fc.assert(
			fc.asyncProperty(fc.array(world, { minLength: 2, maxLength: 5 }), async (history) => {
				const kernel = new FakeKernel({ capacity: { services: 7, slots: 4, backends: 16 } });
				const reconciler = new ServicesReconciler({ kernel });
				for (const value of history) {
					await reconciler.update(planWorld(value));
					expect(readServices(kernel).faults).toEqual([]);
				}
				await reconciler.resync();
				expect(readServices(kernel).faults).toEqual([]);
			}),
			{ numRuns: 150 },
		);
	});
});

/** What packets can see: entries without numbers that only the history explains. */
function observable(kernel: FakeKernel) {
	const live: string[] = [];
	for (let index = 0; index < kernel.mapCapacity('backends'); index++) {
		const row = readBackend(kernel, index);
		if (row.flags !== 0) live.push(`${row.addr.join('.')}|${row.port}|${row.flags}`);
	}
	const filter = new Uint8Array(kernel.shared('vip_filter').buffer);
	const services = readServices(kernel).services.map(({ key, entry, all, local }) => ({
		key,
		flags: entry.flags,
		affinityTimeoutS: entry.affinityTimeoutS,
		all,
		local,
	}));
	return { services, live: live.sort(), bits: filter.filter((byte) => byte !== 0).length };
}

function copyMaps(from: FakeKernel, to: FakeKernel): void {
	for (const map of ['vip_filter', 'slots', 'backends'] as const) {
		new Uint8Array(to.shared(map).buffer).set(new Uint8Array(from.shared(map).buffer));
	}
	for (const [key, value] of from.mapEntries('services')) to.mapSet('services', key, value);
	for (const [key, value] of from.mapEntries('runtime')) to.mapSet('runtime', key, value);
}

/** mulberry32 */
function seeded(seed: number): () => number {
	let state = seed >>> 0;
	return () => {
		state = (state + 0x6d2b79f5) >>> 0;
		let t = Math.imul(state ^ (state >>> 15), 1 | state);
		t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
		return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
	};
}
