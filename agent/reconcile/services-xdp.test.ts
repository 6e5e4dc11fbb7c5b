import { describe, expect, it } from 'vitest';
import { PeerKind, SvcFlags, XdpBackendBits, XdpService, XdpServiceKind } from '../../native/abi/generated.ts';
import { CONTEXT, clusterOf, endpoint, service, slice } from '../../test/lib/cluster-builder.ts';
import { FakeKernel } from '../../test/lib/fake-kernel.ts';
import { seededRandom } from '../../test/lib/policy-fuzz.ts';
import { readServices } from '../../test/lib/service-maps.ts';
import { rankableTags, rankedTable } from '../plan/rank.ts';
import { planServices } from '../plan/services.ts';
import { xdpServiceHome, xdpServiceKey } from '../plan/xdp-services.ts';
import { ServicesReconciler } from './services.ts';
import { applyServiceOp, serviceMemory } from './services-apply.ts';
import type { ServiceOp } from './services-ops.ts';
import { inOrder } from './services-ops.ts';
import { packPeer } from './services-peers.ts';

const WINDOW_MS = 1000;
const CAPACITY = 4096;
/** Addresses whose rows lie at the beginning: a small map is enough. */
const VIPS = ['203.0', 'fd00:']
	.flatMap((net) =>
		Array.from({ length: 3000 }, (_, n) =>
			net === '203.0' ? `${net}.${n >> 8}.${n & 255}` : `${net}:${n.toString(16)}`,
		),
	)
	.filter((address) => xdpServiceHome(xdpServiceKey(address, 80, 6)) < CAPACITY - 4);
const VIP = VIPS[0] ?? '';
const VIP6 = VIPS.find((address) => address.includes(':')) ?? '';
const TAG_MASK = (1 << XdpBackendBits.TAG_BITS) - 1;
const NODE_SHIFT = XdpBackendBits.TAG_BITS + XdpBackendBits.GEN_BITS;
const KEY = xdpServiceKey(VIP, 80, 6);
const hosts = (count: number): string[] => Array.from({ length: count }, (_, i) => `10.244.${i + 1}.7`);

interface Cluster {
	readonly backends: number;
	/** Of the first of them. */
	readonly dead?: number;
	/** Of those behind. */
	readonly draining?: number;
	readonly affinity?: boolean;
	readonly vips?: readonly string[];
	readonly dsr?: boolean;
}

function planOf({ backends, dead = 0, draining = 0, affinity, vips, dsr }: Cluster) {
	const spec = { type: 'LoadBalancer', loadBalancerIps: vips ?? [VIP], ...(affinity && { affinityTimeoutS: 60 }) };
	const drain = { ready: false, terminating: true };
	const endpoints = hosts(backends)
		.slice(dead)
		.map((host, i) => endpoint(host, i < draining ? drain : {}));
	const view = clusterOf([service('web', spec as Parameters<typeof service>[1])], [slice('web', endpoints)]);
	return planServices(view, [], { ...CONTEXT, dsr: dsr ?? true });
}

function setUp(capacity = CAPACITY) {
	const kernel = new FakeKernel({ capacity: { xdp_svc: capacity, slots: 16384 } });
	const clock = { nowMs: 0 };
	const nodes = new Map<string, number>();
	const seen: string[] = [];
	const reconcilerOf = () =>
		new ServicesReconciler({
			kernel,
			transitionMs: WINDOW_MS,
			now: () => clock.nowMs,
			onOps: (ops) => seen.push(...inOrder(ops).map(({ kind }) => kind)),
			peerOf: (address) => packPeer({ kind: PeerKind.REMOTE_POD, index: nodes.get(address) ?? 3, gen: 9 }),
		});
	const rows = (): (XdpService & { at: number })[] => {
		const { buffer, byteLength } = kernel.shared('xdp_svc');
		const found = [];
		for (let at = 0; at < byteLength / 64; at++) {
			const row = XdpService.decode(new Uint8Array(buffer, at * 64, 64));
			if (row.key !== 0n) found.push({ at, ...row });
		}
		return found;
	};
	return { kernel, clock, nodes, seen, reconcilerOf, rows };
}

const tagsOf = (addresses: readonly string[]): readonly number[] =>
	rankableTags(addresses.map((host) => `${host}|8080|6`)) ?? [];

/** [tag, whether the row says where its packets go] of each backend. */
function members(row: XdpService | undefined): [number, boolean][] {
	const words = [...new Set(row?.backend ?? [])];
	return words.map((word) => [word & TAG_MASK, word >>> NODE_SHIFT !== 0]);
}

/** Slots that a row decides about in another way than the tables of the service. */
function wrongSlots(kernel: FakeKernel, row: XdpService | undefined): number {
	const found = readServices(kernel).services.find(({ key }) => key === `${VIP}|80|6|1`);
	if (row === undefined || found === undefined) throw new Error('no row or no service');
	const { entry, all, previous } = found;
	if (row.kind === XdpServiceKind.TABLE) {
		const [base, count] = row.backend;
		return entry.prevCount === 0 && base === entry.allBase && count === entry.allCount ? 0 : all.length;
	}
	if (row.slots !== all.length || (entry.flags & SvcFlags.REMEMBERED) !== 0) return all.length;
	const tagOf = new Map([...new Set([...all, ...previous])].map((key) => [key, rankableTags([key])?.[0]]));
	const tags = row.backend.map((word) => word & TAG_MASK);
	const winners = rankedTable(tags, row.slots);
	return all.filter((key, slot) => {
		const winner = winners[slot] ?? 0;
		if ((row.backend[winner] ?? 0) >>> NODE_SHIFT === 0) return false;
		return [key, previous[slot] ?? key].some((each) => tagOf.get(each) !== tags[winner]);
	}).length;
}

describe('rows of services for XDP', () => {
	it('name tag and node of each backend of a small set', async () => {
		const { nodes, reconcilerOf, rows } = setUp();
		for (const [i, host] of hosts(3).entries()) nodes.set(host, i + 5);
		await reconcilerOf().replaceAll(planOf({ backends: 3 }));
		const [row, ...others] = rows();
		expect(others).toEqual([]);
		const tags = rankableTags(hosts(3).map((host) => `${host}|8080|6`)) ?? [];
		const words = tags.map((tag, i) => (((i + 5) << 18) | (1 << 15) | tag) >>> 0);
		expect(row).toMatchObject({
			at: xdpServiceHome(KEY),
			key: (BigInt(KEY.high) << 32n) | BigInt(KEY.low),
			check: 0,
			kind: XdpServiceKind.RANKED,
			slots: 2039,
			backend: [...words, ...words, ...words, ...words],
		});
	});

	it('say of every slot what the table of tc says', async () => {
		const { kernel, reconcilerOf, rows } = setUp();
		await reconcilerOf().replaceAll(planOf({ backends: 10 }));
		const tags = rows()[0]?.backend.map((word) => word & 0x7fff) ?? [];
		const { all } = readServices(kernel).services.find(({ key }) => key === `${VIP}|80|6|1`)!;
		const byRow = [...rankedTable(tags, 2039)].map((position) => tags[position]);
		const byTable = all.map((key) => rankableTags([key])?.[0]);
		expect(byRow).toEqual(byTable);
	});

	it('name the table of a large set', async () => {
		const { reconcilerOf, rows } = setUp();
		await reconcilerOf().replaceAll(planOf({ backends: 40 }));
		expect(rows()[0]).toMatchObject({ kind: XdpServiceKind.TABLE, slots: 0 });
		expect(rows()[0]?.backend[1]).toBe(16_381);
	});

	it.each([
		['without direct server return', { backends: 3, dsr: false }],
		['with affinity', { backends: 3, affinity: true }],
		['without a backend', { backends: 0 }],
	])('are not made %s', async (_, cluster) => {
		const { reconcilerOf, rows } = setUp();
		await reconcilerOf().replaceAll(planOf(cluster));
		expect(rows()).toEqual([]);
	});

	it('name both sets while one changes: taken out first, put back last', async () => {
		const { clock, seen, reconcilerOf, rows } = setUp();
		const reconciler = reconcilerOf();
		await reconciler.replaceAll(planOf({ backends: 3 }));
		seen.length = 0;
		await reconciler.update(planOf({ backends: 4 }));
		const order = () => [seen[0], seen.at(-1), seen.filter((kind) => kind.startsWith('xdp')).length];
		expect(order()).toEqual(['xdp-clear', 'xdp-set', 2]);
		const [, , , added] = tagsOf(hosts(4));
		expect(rows()).toMatchObject([{ kind: XdpServiceKind.RANKED, slots: 2039 }]);
		expect(members(rows()[0])).toEqual(tagsOf(hosts(4)).map((tag) => [tag, tag !== added]));
		seen.length = 0;
		clock.nowMs = 4_000_000;
		await reconciler.update(new Map());
		expect(order()).toEqual(['xdp-clear', 'xdp-set', 2]);
		expect(members(rows()[0])).toEqual(tagsOf(hosts(4)).map((tag) => [tag, true]));
	});

	it('trust a backend that drains with nothing, and keep its tag when it has gone', async () => {
		const { clock, reconcilerOf, rows, kernel } = setUp();
		const reconciler = reconcilerOf();
		const [first, ...others] = tagsOf(hosts(4));
		await reconciler.replaceAll(planOf({ backends: 4 }));
		await reconciler.update(planOf({ backends: 4, draining: 1 }));
		const expected = [[first, false], ...others.map((tag) => [tag, true])];
		expect(members(rows()[0])).toEqual(expected);
		for (const wait of [10, WINDOW_MS]) {
			clock.nowMs += wait;
			await reconciler.update(planOf({ backends: 4, dead: 1 }));
			expect(members(rows()[0])).toEqual([...expected.slice(1), expected[0]]);
			expect(wrongSlots(kernel, rows()[0])).toBe(0);
		}
	});

	it.each([
		['of two sizes', [1, 2]],
		['of more than twelve backends', [40, 41]],
		['beside which everything is remembered', [2, 1, 3]],
	])('are not made for tables %s while a set changes', async (_, [first, ...others]) => {
		const { reconcilerOf, rows, kernel } = setUp();
		const reconciler = reconcilerOf();
		await reconciler.replaceAll(planOf({ backends: first ?? 0 }));
		for (const backends of others) await reconciler.update(planOf({ backends }));
		expect(readServices(kernel).services.find(({ key }) => key === `${VIP}|80|6|1`)?.entry.prevCount).toBeGreaterThan(
			0,
		);
		expect(rows()).toEqual([]);
	});

	it('are the same in the next agent while a set changes, one that has gone included', async () => {
		const { seen, reconcilerOf, rows } = setUp();
		const reconciler = reconcilerOf();
		await reconciler.replaceAll(planOf({ backends: 4 }));
		for (const cluster of [
			{ backends: 4, draining: 1 },
			{ backends: 4, dead: 1 },
		]) {
			await reconciler.update(planOf(cluster));
			const before = rows();
			seen.length = 0;
			const next = reconcilerOf();
			await next.replaceAll(planOf(cluster));
			await next.resync();
			expect([seen, rows()]).toEqual([[], before]);
		}
		expect(members(rows()[0])).toHaveLength(4);
	});

	it('say nothing of a slot on which the tables disagree, over any row of changes', async () => {
		const random = seededRandom(5);
		let trusted = 0;
		for (let round = 0; round < 3; round++) {
			const { clock, reconcilerOf, rows, kernel } = setUp();
			let reconciler = reconcilerOf();
			for (let step = 0; step < 7; step++) {
				const [dead, draining] = [Math.floor(random() * 3), Math.floor(random() * 3)];
				const plan = planOf({ backends: dead + draining + 2 + Math.floor(random() * 4), dead, draining });
				if (step === 0 || random() < 0.2) {
					reconciler = reconcilerOf();
					await reconciler.replaceAll(plan);
				} else await reconciler.update(plan);
				expect(readServices(kernel).faults).toEqual([]);
				for (const row of rows()) {
					expect(wrongSlots(kernel, row)).toBe(0);
					trusted += members(row).filter(([, isTrusted]) => isTrusted).length;
				}
				if (random() < 0.5) reconciler.reclaim();
				clock.nowMs += random() < 0.3 ? WINDOW_MS : 10;
			}
		}
		expect(trusted).toBeGreaterThan(20);
	});

	it('that found no place have one after the grace period, with the next change of anything', async () => {
		const { clock, reconcilerOf, rows } = setUp();
		const reconciler = reconcilerOf();
		await reconciler.replaceAll(planOf({ backends: 8 }));
		for (const backends of [7, 6, 5]) {
			await reconciler.update(planOf({ backends }));
			expect(rows()).toHaveLength(1);
		}
		await reconciler.update(planOf({ backends: 4 }));
		expect(rows()).toEqual([]);
		await reconciler.update(new Map());
		expect(rows()).toEqual([]);
		reconciler.reclaim();
		clock.nowMs += 1;
		await reconciler.update(new Map());
		expect(members(rows()[0])).toEqual(tagsOf(hosts(4)).map((tag) => [tag, true]));
	});

	it('are at once those of the rest when a backend dies, in another place', async () => {
		const { seen, reconcilerOf, rows } = setUp();
		const reconciler = reconcilerOf();
		await reconciler.replaceAll(planOf({ backends: 3 }));
		const before = rows()[0];
		seen.length = 0;
		await reconciler.update(planOf({ backends: 2 }));
		expect(seen.filter((kind) => kind.startsWith('xdp'))).toEqual(['xdp-clear', 'xdp-set']);
		const after = rows()[0];
		expect(new Set(after?.backend).size).toBe(2);
		// programs may still be reading the old one
		expect(after?.at).not.toBe(before?.at);
		expect(reconciler.hasGarbage).toBe(true);
		reconciler.reclaim();
		expect(reconciler.hasGarbage).toBe(false);
	});

	it.each([4, 2, 30, 0])(
		'never stand beside an entry that says something else on the way to %i backends',
		async (to) => {
			const [now, next] = [setUp(), setUp()];
			await now.reconcilerOf().replaceAll(planOf({ backends: 3 }));
			const changes: ServiceOp[] = [];
			const reconciler = new ServicesReconciler({ kernel: next.kernel, onOps: (ops) => changes.push(...inOrder(ops)) });
			await reconciler.replaceAll(planOf({ backends: 3 }));
			changes.length = 0;
			await reconciler.update(planOf({ backends: to }));
			expect(changes[0]?.kind).toBe('xdp-clear');
			for (const op of changes) {
				applyServiceOp(op, now.kernel, serviceMemory(now.kernel));
				for (const row of now.rows()) expect(wrongSlots(now.kernel, row)).toBe(0);
			}
			expect(now.rows().length).toBe(to === 2 || to === 4 ? 1 : 0);
		},
	);

	it('are taken over by the next agent, and what is nobody’s goes', async () => {
		const { kernel, seen, reconcilerOf, rows } = setUp();
		await reconcilerOf().replaceAll(planOf({ backends: 3, vips: [VIP, VIPS[1] ?? '', VIP6] }));
		const before = rows();
		seen.length = 0;
		await reconcilerOf().replaceAll(planOf({ backends: 3, vips: [VIP, VIPS[1] ?? '', VIP6] }));
		expect(seen).toEqual([]);
		expect(rows()).toEqual(before);
		const key = xdpServiceKey('198.51.100.1', 80, 6);
		applyServiceOp(
			{ kind: 'xdp-set', at: 77, row: { key, kind: 1, slots: 251, backend: new Array(12).fill(1) } },
			kernel,
			serviceMemory(kernel),
		);
		await reconcilerOf().replaceAll(planOf({ backends: 3, vips: [VIP, VIPS[1] ?? '', VIP6] }));
		expect(rows()).toEqual(before);
	});

	it('follow backends that both tables name, and no others', async () => {
		const { nodes, seen, reconcilerOf, rows } = setUp();
		const reconciler = reconcilerOf();
		await reconciler.replaceAll(planOf({ backends: 4 }));
		await reconciler.update(planOf({ backends: 5, draining: 1 }));
		const trusted = tagsOf(hosts(5)).map((tag, i) => [tag, i > 0 && i < 4]);
		expect(members(rows()[0])).toEqual(trusted);
		for (const host of hosts(5)) nodes.set(host, 77);
		seen.length = 0;
		reconciler.updatePeers({ addresses: hosts(5), cidrs: [] });
		expect([members(rows()[0]), seen]).toEqual([trusted, []]);
		expect(new Set(rows()[0]?.backend.map((word) => word >>> NODE_SHIFT))).toEqual(new Set([0, 77]));
	});

	it('follow backends to other nodes by one store each', async () => {
		const { nodes, seen, reconcilerOf, rows } = setUp();
		const reconciler = reconcilerOf();
		await reconciler.replaceAll(planOf({ backends: 12 }));
		const before = rows()[0];
		nodes.set('10.244.3.7', 77);
		seen.length = 0;
		reconciler.updatePeers({ addresses: ['10.244.3.7'], cidrs: [] });
		const after = rows()[0];
		expect(after?.backend.filter((word) => word >>> 18 === 77)).toHaveLength(1);
		expect(after?.backend.map((word) => word & 0x7fff)).toEqual(before?.backend.map((word) => word & 0x7fff));
		expect([after?.at, seen]).toEqual([before?.at, []]);
	});

	it('are left out where there is no room', async () => {
		const { reconcilerOf, rows } = setUp(1);
		const report = await reconcilerOf().replaceAll(planOf({ backends: 3 }));
		expect([report.problems, rows()]).toEqual([[], []]);
	});
});
