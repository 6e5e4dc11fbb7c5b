import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SvcFlagsName } from '../../native/abi/generated.ts';
import { bigCluster, CONTEXT, clusterOf, endpoint, service, slice } from '../../test/lib/cluster-builder.ts';
import { FakeKernel } from '../../test/lib/fake-kernel.ts';
import { readServices, readSources } from '../../test/lib/service-maps.ts';
import type { Endpoint } from '../model/endpoint-slice.ts';
import { planServices, type ServicesContext } from '../plan/services.ts';
import { ServicesReconciler } from './services.ts';
import { applyServiceOp, serviceMemory } from './services-apply.ts';
import { inOrder } from './services-ops.ts';

const DSR: ServicesContext = { ...CONTEXT, dsr: true };
const WINDOW_MS = 1000;
const VIP = '203.0.113.1|80|6|1';
const CLUSTER = '10.96.0.10|80|6|0';
const LB = service('web', { type: 'LoadBalancer', loadBalancerIps: ['203.0.113.1'] });

const hosts = (...numbers: readonly number[]): string[] => numbers.map((n) => `10.244.${n >> 8}.${n & 255}`);
const many = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

function setUp() {
	const kernel = new FakeKernel({ capacity: { slots: 16384, backends: 4096 } });
	const clock = { nowMs: 0 };
	const reconcilerOf = () => new ServicesReconciler({ kernel, transitionMs: WINDOW_MS, now: () => clock.nowMs });
	const plan = (endpoints: readonly (Endpoint | string)[], context = DSR) =>
		planServices(clusterOf([LB], [slice('web', endpoints)]), [], context);
	const entry = (key: string) => readServices(kernel).services.find((each) => each.key === key)!;
	const names = (list: readonly string[]): string =>
		[...new Set(list)]
			.map((key) => key.split('|')[0]!.split('.')[3])
			.sort()
			.join(' ');
	const read = () => {
		expect(readServices(kernel).faults).toEqual([]);
		const { all, previous, entry: value } = entry(VIP);
		return `${names(all)} / ${names(previous)} ${value.prevCount > 0 ? 'moving' : 'settled'}`;
	};
	return { kernel, clock, reconcilerOf, plan, entry, read };
}

describe('Maglev tables in the service maps', () => {
	it('are made for external addresses under DSR, beside a plain list for the ClusterIP', async () => {
		const { reconcilerOf, plan, entry } = setUp();
		await reconcilerOf().replaceAll(plan(hosts(1, 2, 3)));
		expect([SvcFlagsName(entry(VIP).entry.flags), entry(VIP).all.length]).toEqual(['MAGLEV|ANY_ENDPOINTS', 2039]);
		expect([SvcFlagsName(entry(CLUSTER).entry.flags), entry(CLUSTER).all.length]).toEqual(['ANY_ENDPOINTS', 3]);
	});

	it('cost one table and as many entries as frontends when an endpoint of 1,000 changes', async () => {
		const { kernel, reconcilerOf, plan } = setUp();
		const reconciler = reconcilerOf();
		await reconciler.replaceAll(plan(hosts(...many(999))));
		const seen: string[] = [];
		const watched = new ServicesReconciler({
			kernel,
			now: () => 0,
			onOps: (ops) => seen.push(...inOrder(ops).map((op) => op.kind)),
		});
		await watched.replaceAll(plan(hosts(...many(999))));
		expect(seen).toEqual([]);
		kernel.log.length = 0;
		await watched.update(plan(hosts(...many(1000))));
		// The list of the ClusterIP and the table of the VIP; one row; two entries.
		expect(seen).toEqual(['backend-set', 'slots-set', 'slots-set', 'service-set', 'service-set']);
		expect(kernel.log.map(({ call }) => call)).toEqual(['set', 'set']);
	});

	it('change one transition at a time, and additions come in when it is their time', async () => {
		const { clock, reconcilerOf, plan, read } = setUp();
		const reconciler = reconcilerOf();
		await reconciler.replaceAll(plan(hosts(1, 2, 3)));
		expect(read()).toBe('1 2 3 /  settled');
		expect(reconciler.nextTransitionMs).toBeUndefined();
		await reconciler.update(plan(hosts(1, 2, 3, 4)));
		expect(read()).toBe('1 2 3 4 / 1 2 3 moving');
		clock.nowMs = 10;
		await reconciler.update(plan(hosts(1, 2, 3, 4, 5)));
		expect(read()).toBe('1 2 3 4 / 1 2 3 moving');
		expect(reconciler.nextTransitionMs).toBe(WINDOW_MS - 10);
		clock.nowMs = WINDOW_MS;
		await reconciler.update(new Map());
		// a ranked table gives what is added slots of its own only: all that was the fourth one's is remembered
		expect(read()).toBe('1 2 3 4 5 / 1 2 3 moving');
		clock.nowMs += 4_000_000;
		await reconciler.update(new Map());
		expect(read()).toBe('1 2 3 4 5 /  settled');
		expect(reconciler.nextTransitionMs).toBeUndefined();
	});

	it('lose a dead backend at once and a draining one only where new flows go', async () => {
		const { reconcilerOf, plan, read } = setUp();
		const reconciler = reconcilerOf();
		await reconciler.replaceAll(plan(hosts(1, 2, 3, 4)));
		await reconciler.update(plan(hosts(1, 2, 3, 4, 5)));
		const drains = endpoint('10.244.0.2', { ready: false, terminating: true });
		await reconciler.update(plan([...hosts(1, 3, 4, 5), drains]));
		expect(read()).toBe('1 3 4 5 / 1 2 3 4 moving');
		await reconciler.update(plan(hosts(3, 4, 5)));
		expect(read()).toBe('3 4 5 / 3 4 5 moving');
	});

	it('are taken over by a restarted agent, a transition under way included', async () => {
		const { kernel, reconcilerOf, plan, read } = setUp();
		const first = reconcilerOf();
		await first.replaceAll(plan(hosts(1, 2, 3)));
		await first.update(plan(hosts(1, 2, 3, 4)));
		kernel.log.length = 0;
		const second = reconcilerOf();
		const report = await second.replaceAll(plan(hosts(1, 2, 3, 4)));
		expect([report.ops, kernel.log]).toEqual([0, []]);
		expect(second.nextTransitionMs).toBeGreaterThan(0);
		await second.update(plan(hosts(1, 2, 3, 4, 5)));
		expect(read()).toBe('1 2 3 4 / 1 2 3 moving');
	});

	it('change no longer than an hour, and wait no longer, though the maps are read anew meanwhile', async () => {
		const { clock, reconcilerOf, plan, read } = setUp();
		const reconciler = reconcilerOf();
		await reconciler.replaceAll(plan(hosts(1, 2, 3)));
		await reconciler.update(plan(hosts(1, 2, 3, 4)));
		await reconciler.update(plan(hosts(1, 2, 3, 4, 5)));
		clock.nowMs = WINDOW_MS - 1;
		await reconciler.resync();
		expect([read(), reconciler.nextTransitionMs]).toEqual(['1 2 3 4 / 1 2 3 moving', 1]);
		clock.nowMs = WINDOW_MS;
		await reconciler.update(new Map());
		expect(read()).toBe('1 2 3 4 5 / 1 2 3 moving');
		for (let minutes = 10; minutes < 60; minutes += 10) {
			clock.nowMs = WINDOW_MS + minutes * 60_000;
			await reconciler.resync();
			expect(read()).toBe('1 2 3 4 5 / 1 2 3 moving');
		}
		expect(reconciler.nextTransitionMs).toBe(600_000);
		clock.nowMs = WINDOW_MS + 3_600_000;
		await reconciler.resync();
		expect(read()).toBe('1 2 3 4 5 /  settled');
	});

	it('count what is remembered for all flows after two changes of their size, in the next agent too', async () => {
		const { clock, reconcilerOf, plan, entry } = setUp();
		const flags = () => [VIP, CLUSTER].map((key) => SvcFlagsName(entry(key).entry.flags));
		const first = reconcilerOf();
		const drains = endpoint('10.244.0.2', { ready: false, terminating: true });
		await first.replaceAll(plan(hosts(1, 2)));
		await first.update(plan([...hosts(1), drains]));
		expect(flags()).toEqual(['MAGLEV|ANY_ENDPOINTS', 'ANY_ENDPOINTS']);
		await first.update(plan(hosts(1, 2, 3)));
		expect(flags()).toEqual(['MAGLEV|ANY_ENDPOINTS|REMEMBERED', 'ANY_ENDPOINTS']);
		const second = reconcilerOf();
		expect((await second.replaceAll(plan(hosts(1, 2, 3)))).ops).toBe(0);
		await second.update(plan([...hosts(1, 3), drains]));
		expect(flags()).toEqual(['MAGLEV|ANY_ENDPOINTS|REMEMBERED', 'ANY_ENDPOINTS']);
		clock.nowMs += 4_000_000;
		await second.update(new Map());
		expect(flags()).toEqual(['MAGLEV|ANY_ENDPOINTS', 'ANY_ENDPOINTS']);
	});

	it('have a number for the changes that follow each other without a rest, in the next agent too', async () => {
		const { clock, reconcilerOf, plan, entry } = setUp();
		const number = () => entry(VIP).entry.transition;
		const first = reconcilerOf();
		await first.replaceAll(plan(hosts(1, 2)));
		expect(number()).toBe(0);
		await first.update(plan(hosts(1, 2, 3)));
		const one = number();
		expect(one).toBeGreaterThan(0);
		clock.nowMs += WINDOW_MS;
		await first.update(plan(hosts(1, 2, 3, 4)));
		const second = reconcilerOf();
		await second.replaceAll(plan(hosts(1, 2, 3, 4)));
		clock.nowMs += WINDOW_MS;
		await second.update(plan(hosts(1, 2, 3, 4, 5)));
		expect(number()).toBe(one);
		clock.nowMs += 4_000_000;
		await second.update(new Map());
		expect(number()).toBe(0);
		await second.update(plan(hosts(1, 2, 3, 4, 5, 6)));
		expect(number()).toBeGreaterThan(one);
	});

	it('change without a transition where flows are tracked', async () => {
		const { kernel, reconcilerOf, entry } = setUp();
		const reconciler = reconcilerOf();
		const maglev = { ...LB, lbAlgorithm: 'maglev' };
		const plan = (...numbers: number[]) =>
			planServices(clusterOf([maglev], [slice('web', hosts(...numbers))]), [], CONTEXT);
		await reconciler.replaceAll(plan(1, 2));
		// Nothing tells internal and external addresses apart: they share the table.
		expect(entry(VIP).entry.allBase).toBe(entry(CLUSTER).entry.allBase);
		await reconciler.update(plan(1, 2, 3));
		expect(entry(VIP).entry.prevCount).toBe(0);
		expect(new Set(entry(CLUSTER).all).size).toBe(3);
		expect(readServices(kernel).faults).toEqual([]);
	});

	it('leave no entry without its table after any prefix of the operations', async () => {
		const { kernel, clock, plan } = setUp();
		const memory = serviceMemory(kernel);
		const faults: string[] = [];
		const reconciler = new ServicesReconciler({
			kernel,
			transitionMs: WINDOW_MS,
			now: () => clock.nowMs,
			onOps: (ops) => {
				for (const op of inOrder(ops)) {
					applyServiceOp(op, kernel, memory);
					if (op.kind !== 'backend-set') faults.push(...readServices(kernel).faults);
				}
			},
		});
		const drains = endpoint('10.244.0.2', { ready: false, terminating: true });
		for (const list of [
			hosts(1, 2),
			hosts(1, 2, 3),
			[...hosts(1, 3, 4), drains],
			hosts(3, 4),
			hosts(5),
			[],
			hosts(6),
		]) {
			clock.nowMs += 600;
			await reconciler.update(plan(list));
		}
		expect(faults).toEqual([]);
	});

	it('say what is too small when a table finds no room, and keep what is there', async () => {
		const kernel = new FakeKernel({ capacity: { slots: 140 } });
		const reconciler = new ServicesReconciler({ kernel });
		const plan = (...numbers: number[]) => planServices(clusterOf([LB], [slice('web', hosts(...numbers))]), [], DSR);
		await reconciler.replaceAll(plan(1, 2));
		const report = await reconciler.update(plan(1, 2, 3));
		expect(report.problems.join()).toContain('map slots: no room for 128 chunks in a row');
		expect(new Set(readServices(kernel).services.find(({ key }) => key === VIP)!.all).size).toBe(2);
		expect(readServices(kernel).faults).toEqual([]);
	});
});

/** A small random world under DSR: backends that come, drain and go, ranges and annotations that change. */
const step = fc.record({
	wanted: fc.uniqueArray(fc.integer({ min: 1, max: 14 }), { maxLength: 14 }),
	draining: fc.uniqueArray(fc.integer({ min: 1, max: 14 }), { maxLength: 4 }),
	algorithm: fc.constantFrom('', '', '', 'maglev', 'random'),
	ranges: fc.subarray(['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16']),
	waitMs: fc.constantFrom(1, WINDOW_MS),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function planStep({ wanted, draining, algorithm, ranges }: Step) {
	const drains = draining.filter((n) => !wanted.includes(n));
	const endpoints = [
		...hosts(...wanted),
		...hosts(...drains).map((address) => endpoint(address, { ready: false, terminating: true })),
	];
	const lb = { ...LB, lbAlgorithm: algorithm, loadBalancerSourceRanges: ranges };
	return planServices(clusterOf([lb], [slice('web', endpoints)]), [], DSR);
}

describe('random histories under DSR', () => {
	it('end at the same maps as a fresh start, also when the agent died at any operation', async () => {
		await fc.assert(
			fc.asyncProperty(
				fc.array(step, { minLength: 1, maxLength: 4 }),
				step,
				fc.nat(20),
				async (history, last, diesAfter) => {
					const kernel = new FakeKernel();
					const clock = { nowMs: 0 };
					let left = Number.POSITIVE_INFINITY;
					const dying = new FakeKernel();
					const memory = serviceMemory(dying);
					const options = { transitionMs: WINDOW_MS, now: () => clock.nowMs };
					// What is done to `kernel` is done to `dying` as well, until the agent dies.
					const onOps = (ops: Parameters<typeof inOrder>[0]): void => {
						for (const op of inOrder(ops)) if (left-- > 0) applyServiceOp(op, dying, memory);
					};
					const first = new ServicesReconciler({ kernel, onOps, ...options });
					for (const each of history) {
						await first.update(planStep(each));
						expect(readServices(kernel).faults).toEqual([]);
						clock.nowMs += each.waitMs;
					}
					left = diesAfter;
					await first.update(planStep(last));
					expect(readServices(dying).faults).toEqual([]);
					const second = new ServicesReconciler({ kernel: dying, ...options });
					await second.replaceAll(planStep(last));
					expect(readServices(dying).faults).toEqual([]);
					// Additions have waited, and the table before has had its time.
					for (let i = 0; i < 3 && second.nextTransitionMs !== undefined; i++) {
						clock.nowMs += second.nextTransitionMs;
						await second.update(new Map());
					}
					const fresh = new FakeKernel();
					await new ServicesReconciler({ kernel: fresh, ...options }).replaceAll(planStep(last));
					const seen = (each: FakeKernel) =>
						readServices(each).services.map(({ key, entry, all, local, previous }) => {
							const { flags, affinityTimeoutS, sourceSet } = entry;
							return { key, flags, affinityTimeoutS, all, local, previous, from: readSources(each).get(sourceSet) };
						});
					expect(seen(dying)).toEqual(seen(fresh));
					expect([...readSources(dying).values()]).toEqual([...readSources(fresh).values()]);
				},
			),
			{ numRuns: 25 },
		);
	});
});

describe('the cost of a change among 10,000 services', () => {
	it('does not depend on their number', async () => {
		const kernel = new FakeKernel({ capacity: { services: 65536, slots: 65536, backends: 262144 } });
		const seen: string[][] = [];
		const onOps = (ops: Parameters<typeof inOrder>[0]): void => void seen.push(inOrder(ops).map((op) => op.kind));
		const reconciler = new ServicesReconciler({ kernel, onOps });
		await reconciler.replaceAll(planServices(bigCluster(10_000, 1), [], CONTEXT));
		kernel.log.length = 0;
		seen.length = 0;
		const added = service('new', { clusterIps: ['10.200.0.1'] });
		await reconciler.update(planServices(clusterOf([added], [slice('new', hosts(1, 2))]), [], CONTEXT));
		await reconciler.update(new Map([['default/new', { ports: [], problems: [] }]]));
		expect(seen).toEqual([
			['filter-set', 'backend-set', 'backend-set', 'slots-set', 'service-set', 'service-set'],
			['service-delete', 'service-delete', 'backend-free', 'backend-free', 'filter-clear'],
		]);
		expect(kernel.log.map(({ call }) => call)).toEqual(['set', 'set', 'delete', 'delete']);
	});
});
