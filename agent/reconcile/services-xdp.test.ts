import { describe, expect, it } from 'vitest';
import { PeerKind, XdpService, XdpServiceKind } from '../../native/abi/generated.ts';
import { CONTEXT, clusterOf, service, slice } from '../../test/lib/cluster-builder.ts';
import { FakeKernel } from '../../test/lib/fake-kernel.ts';
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
const KEY = xdpServiceKey(VIP, 80, 6);
const hosts = (count: number): string[] => Array.from({ length: count }, (_, i) => `10.244.${i + 1}.7`);

interface Cluster {
	readonly backends: number;
	readonly affinity?: boolean;
	readonly vips?: readonly string[];
	readonly dsr?: boolean;
}

function planOf({ backends, affinity, vips, dsr }: Cluster) {
	const spec = { type: 'LoadBalancer', loadBalancerIps: vips ?? [VIP], ...(affinity && { affinityTimeoutS: 60 }) };
	const view = clusterOf([service('web', spec as Parameters<typeof service>[1])], [slice('web', hosts(backends))]);
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
			peerOf: (address) => packPeer({ kind: PeerKind.REMOTE_POD, index: nodes.get(address) ?? 0, gen: 9 }),
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

	it('are away while a set changes: taken out first, put back last', async () => {
		const { clock, seen, reconcilerOf, rows } = setUp();
		const reconciler = reconcilerOf();
		await reconciler.replaceAll(planOf({ backends: 3 }));
		seen.length = 0;
		await reconciler.update(planOf({ backends: 4 }));
		expect([seen[0], seen.filter((kind) => kind.startsWith('xdp')).length]).toEqual(['xdp-clear', 1]);
		expect(rows()).toEqual([]);
		seen.length = 0;
		clock.nowMs = 4_000_000;
		await reconciler.update(new Map());
		expect([seen.at(-1), seen.filter((kind) => kind.startsWith('xdp')).length]).toEqual(['xdp-set', 1]);
		expect(rows()).toHaveLength(1);
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
				const [row] = now.rows();
				if (row === undefined) continue;
				const { entry, all } = readServices(now.kernel).services.find(({ key }) => key === `${VIP}|80|6|1`)!;
				expect(entry.prevCount).toBe(0);
				if (row.kind === XdpServiceKind.TABLE) expect(row.backend.slice(0, 2)).toEqual([entry.allBase, entry.allCount]);
				else {
					const tags = row.backend.map((word) => word & 0x7fff);
					const table = rankedTable(tags, row.slots);
					expect(Array.from(table, (position) => tags[position])).toEqual(all.map((key) => rankableTags([key])?.[0]));
				}
			}
			expect(now.rows().length).toBe(to === 2 ? 1 : 0);
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
