import { describe, expect, it } from 'vitest';
import { BackendFlagsName, PeerKind } from '../../native/abi/generated.ts';
import { CONTEXT, clusterOf, endpoint, FACTS, service, slice } from '../../test/lib/cluster-builder.ts';
import { FakeKernel } from '../../test/lib/fake-kernel.ts';
import { readBackend, readServices, readSources } from '../../test/lib/service-maps.ts';
import { addressOfBytes } from '../model/address.ts';
import type { Service } from '../model/service.ts';
import { planPeers } from '../plan/peers.ts';
import type { PeerNode } from '../plan/routing.ts';
import { planServices } from '../plan/services.ts';
import { ServicesReconciler } from './services.ts';
import { inOrder } from './services-ops.ts';
import { PeerIndex } from './services-peers.ts';
import type { GoneBackend } from './services-port.ts';

const NODE_B: PeerNode = {
	name: 'node-b',
	tunnel: '192.168.0.2',
	addresses: ['192.168.0.2', 'fd00:192::2'],
	podCidrs: ['10.244.2.0/24', 'fd00:244:2::/64'],
	unreachableCidrs: ['10.244.2.128/25'],
	path: { node: 'node-b', via: 'tunnel', reason: 'test' },
	nexthop4: null,
	nexthop6: null,
	mtu: 1450,
};
const CIDRS = { clusterCidrs: ['10.244.0.0/16'], serviceCidrs: ['10.96.0.0/16'], nonMasqueradeCidrs: ['10.0.0.0/8'] };

/** Nodes with their rows from 7 on; `gen` of all of them. */
function setNodes(index: PeerIndex, nodes: readonly PeerNode[], gen = 1) {
	const assignments = new Map(nodes.map(({ name }, i) => [name, { index: 7 + i, gen }]));
	return index.setNodes(planPeers(nodes, FACTS, CIDRS), assignments);
}

/** 'address: kind index gen' of every row in use. */
function owners(kernel: FakeKernel): string[] {
	const rows: string[] = [];
	for (let index = 1; index < kernel.mapCapacity('backends'); index++) {
		const { flags, addr, peer } = readBackend(kernel, index);
		if (flags !== 0) rows.push(`${addressOfBytes(addr)}: ${peer.kind} ${peer.index} ${peer.gen}`);
	}
	return rows.sort();
}

describe('owners of backend rows', () => {
	const endpoints = ['10.244.1.5', '10.244.2.5', '10.244.2.200', '192.168.0.1', '192.168.0.2', '10.9.9.9', '8.8.8.8'];
	const plans = planServices(
		clusterOf(
			[service('web', { clusterIps: ['10.96.0.10', 'fd00:96::10'] })],
			[slice('web', endpoints), slice('web', ['fd00:244:2::5', 'fd00:192::2'], { name: 'web-6', addressType: 'IPv6' })],
		),
		[],
		CONTEXT,
	);

	it('are pods of this node, other nodes and their pods; everything else is looked up', async () => {
		const kernel = new FakeKernel();
		const index = new PeerIndex();
		setNodes(index, [NODE_B]);
		index.setPods([{ addresses: ['10.244.1.5'], index: 3, gen: 9 }]);
		await new ServicesReconciler({ kernel, peerOf: (a) => index.of(a) }).replaceAll(plans);
		expect(owners(kernel)).toEqual(
			[
				`10.244.1.5: ${PeerKind.LOCAL_POD} 3 9`,
				`10.244.2.5: ${PeerKind.REMOTE_POD} 7 1`,
				'10.244.2.200: 0 0 0',
				`192.168.0.1: ${PeerKind.HOST} 0 0`,
				`192.168.0.2: ${PeerKind.REMOTE_NODE} 7 1`,
				'10.9.9.9: 0 0 0',
				'8.8.8.8: 0 0 0',
				`fd00:244:2::5: ${PeerKind.REMOTE_POD} 7 1`,
				`fd00:192::2: ${PeerKind.REMOTE_NODE} 7 1`,
			].sort(),
		);
	});

	it('change with nodes and pods, without a system call and only where something changed', async () => {
		const kernel = new FakeKernel();
		const index = new PeerIndex();
		const reconciler = new ServicesReconciler({ kernel, peerOf: (a) => index.of(a) });
		await reconciler.replaceAll(plans);
		kernel.log.length = 0;
		expect(reconciler.updatePeers(setNodes(index, [NODE_B]))).toBe(5);
		expect(reconciler.updatePeers(setNodes(index, [NODE_B]))).toBe(0);
		expect(reconciler.updatePeers(index.setPods([{ addresses: ['10.244.1.5'], index: 3, gen: 9 }]))).toBe(1);
		expect(reconciler.updatePeers(setNodes(index, [NODE_B], 2))).toBe(4);
		expect(owners(kernel)).toContain(`10.244.2.5: ${PeerKind.REMOTE_POD} 7 2`);
		expect(reconciler.updatePeers(index.setPods([]))).toBe(1);
		expect(reconciler.updatePeers(setNodes(index, []))).toBe(4);
		expect(owners(kernel).filter((row) => !row.endsWith(': 0 0 0'))).toEqual([`192.168.0.1: ${PeerKind.HOST} 0 0`]);
		expect(kernel.log).toEqual([]);
	});

	it('are put right by a restarted agent, with everything else of the row as it was', async () => {
		const kernel = new FakeKernel();
		const index = new PeerIndex();
		await new ServicesReconciler({ kernel }).replaceAll(plans);
		setNodes(index, [NODE_B]);
		const ops: string[] = [];
		const onOps = (set: Parameters<typeof inOrder>[0]): void => void ops.push(...inOrder(set).map((op) => op.kind));
		await new ServicesReconciler({ kernel, onOps, peerOf: (a) => index.of(a) }).replaceAll(plans);
		expect(ops).toEqual(new Array(5).fill('backend-peer'));
		expect(owners(kernel)).toContain(`10.244.2.5: ${PeerKind.REMOTE_POD} 7 1`);
	});
});

describe('rows over a restart', () => {
	it('keep index and generation, draining ones that no list names included', async () => {
		const kernel = new FakeKernel();
		const drains = endpoint('10.244.0.9', { ready: false, terminating: true });
		const both = [service('a'), service('b', { clusterIps: ['10.96.0.11'] })];
		const plans = planServices(
			clusterOf(both, [slice('a', ['10.244.0.1', drains]), slice('b', ['10.244.0.1', '10.244.0.2', drains])]),
			[],
			CONTEXT,
		);
		await new ServicesReconciler({ kernel }).replaceAll(plans);
		const dump = (): string[] =>
			Array.from({ length: 10 }, (_, index) => readBackend(kernel, index)).map(
				({ addr, flags, generation, svcId }) =>
					`${addressOfBytes(addr)} ${BackendFlagsName(flags)} ${generation} ${svcId}`,
			);
		const before = dump();
		expect(before.filter((row) => row.includes('TERMINATING'))).toHaveLength(2);
		kernel.log.length = 0;
		const report = await new ServicesReconciler({ kernel }).replaceAll(plans);
		expect([report.ops, kernel.log, dump()]).toEqual([0, [], before]);
	});
});

describe('backends that are gone', () => {
	const plansOf = (endpoints: Parameters<typeof slice>[1], services = [service('web')]) =>
		planServices(clusterOf(services, [slice('web', endpoints)]), [], CONTEXT);

	it('are told after the maps say so, with the frontends they were reached by', async () => {
		const kernel = new FakeKernel();
		const told: { gone: readonly GoneBackend[]; flags: number }[] = [];
		const onBackendsGone = (gone: readonly GoneBackend[]): void =>
			void told.push({ gone, flags: readBackend(kernel, 1).flags });
		const reconciler = new ServicesReconciler({ kernel, onBackendsGone });
		await reconciler.replaceAll(plansOf(['10.244.0.1', '10.244.0.2']));
		await reconciler.update(plansOf([endpoint('10.244.0.1', { ready: false, terminating: true }), '10.244.0.2']));
		expect(told).toEqual([]);
		await reconciler.update(plansOf(['10.244.0.2']));
		expect(told).toMatchObject([
			{
				flags: 0,
				gone: [
					{ address: '10.244.0.1', port: 8080, proto: 6, svcId: 1, frontends: [{ address: '10.96.0.10', port: 80 }] },
				],
			},
		]);
	});

	it('are known to be back from when they are written again, at the frontends of their service only', async () => {
		const reconciler = new ServicesReconciler({ kernel: new FakeKernel() });
		const backend = { address: '10.244.0.1', port: 8080, proto: 6 };
		const leads = (over = {}, frontend = { address: '10.96.0.10', port: 80 }) =>
			reconciler.leadsTo(frontend, { ...backend, ...over });
		await reconciler.replaceAll(plansOf(['10.244.0.1', '10.244.0.2']));
		expect(leads()).toBe(true);
		await reconciler.update(plansOf(['10.244.0.2']));
		expect(leads()).toBe(false);
		const back = reconciler.update(plansOf(['10.244.0.1']));
		expect(leads()).toBe(true);
		await back;
		expect([leads({ address: '10.244.0.2' }), leads({ port: 80 }), leads({ proto: 17 })]).toEqual([
			false,
			false,
			false,
		]);
		expect(leads({}, { address: '10.96.0.11', port: 80 })).toBe(false);
	});

	it('are not told while an entry that names them could not be replaced, but later', async () => {
		const kernel = new FakeKernel();
		const told: string[] = [];
		const reconciler = new ServicesReconciler({
			kernel,
			onBackendsGone: (gone) => told.push(...gone.map(({ address }) => address)),
		});
		await reconciler.replaceAll(plansOf(['10.244.0.1', '10.244.0.2']));
		kernel.fault = ({ call }) => (call === 'set' ? 'EPERM' : undefined);
		await reconciler.update(plansOf(['10.244.0.2']));
		expect(told).toEqual([]);
		kernel.fault = undefined;
		await reconciler.resync();
		expect(told).toEqual(['10.244.0.1']);
	});

	it('are told of a service that went while no agent ran', async () => {
		const kernel = new FakeKernel();
		await new ServicesReconciler({ kernel }).replaceAll(plansOf(['10.244.0.1']));
		const told: GoneBackend[] = [];
		const reconciler = new ServicesReconciler({ kernel, onBackendsGone: (gone) => told.push(...gone) });
		await reconciler.replaceAll(new Map());
		expect(told).toMatchObject([{ address: '10.244.0.1', svcId: 1, frontends: [{ address: '10.96.0.10', port: 80 }] }]);
	});
});

describe('addresses and ports that a service port has newly', () => {
	const vip = '203.0.113.1';
	const plansOf = (...services: Service[]) =>
		planServices(
			clusterOf(services, [slice('a', [endpoint('10.244.0.1')]), slice('b', [endpoint('10.244.0.2')])]),
			[],
			CONTEXT,
		);
	const balancer = (name: string, n: number, ips: readonly string[]) =>
		service(name, { type: 'LoadBalancer', clusterIps: [`10.96.0.${n}`], loadBalancerIps: [...ips] });

	it('are told when they are new or come from another one, and at no other change', async () => {
		const kernel = new FakeKernel();
		const told: string[][] = [];
		const follow = () =>
			new ServicesReconciler({
				kernel,
				onFrontendsTaken: (taken) =>
					told.push(taken.map(({ address, port, proto }) => `${address} ${port} ${proto}`).sort()),
			});
		const reconciler = follow();
		await reconciler.replaceAll(plansOf(balancer('a', 1, [vip]), balancer('b', 2, [])));
		expect(told).toEqual([['10.96.0.1 80 6', '10.96.0.2 80 6', `${vip} 80 6`]]);
		await reconciler.update(plansOf(balancer('a', 1, []), balancer('b', 2, [vip])));
		expect(told.slice(1)).toEqual([[`${vip} 80 6`]]);
		await reconciler.update(planServices(clusterOf([balancer('b', 2, [vip])], [slice('b', [])]), [], CONTEXT));
		await reconciler.resync();
		await follow().replaceAll(planServices(clusterOf([balancer('b', 2, [vip])], [slice('b', [])]), [], CONTEXT));
		expect(told).toHaveLength(2);
	});

	it('end sockets that came by them to datagram servers of the former one', async () => {
		const udp = { ports: [{ name: '', protocol: 'UDP' as const, port: 53, nodePort: 0 }] };
		const slices = ['a', 'b'].map((name, i) =>
			slice(name, [endpoint(`10.244.0.${i + 1}`)], { ports: [{ name: '', protocol: 'UDP', port: 5353 }] }),
		);
		const plansWith = (a: readonly string[], b: readonly string[]) => {
			const services = [balancer('a', 1, a), balancer('b', 2, b)].map((each) => ({ ...each, ...udp }));
			return planServices(clusterOf(services, slices), [], CONTEXT);
		};
		const gone: GoneBackend[] = [];
		const reconciler = new ServicesReconciler({
			kernel: new FakeKernel(),
			onBackendsGone: (each) => gone.push(...each),
		});
		await reconciler.replaceAll(plansWith([vip], []));
		await reconciler.update(plansWith([], [vip]));
		expect(gone).toMatchObject([
			{ address: '10.244.0.1', port: 5353, proto: 17, frontends: [{ address: vip, port: 53 }] },
		]);
	});
});

describe('source ranges in the maps', () => {
	const lb = (name: string, n: number, ranges: readonly string[], over: Partial<Service> = {}) =>
		service(name, {
			type: 'LoadBalancer',
			clusterIps: [`10.96.0.${n}`],
			loadBalancerIps: [`203.0.113.${n}`],
			loadBalancerSourceRanges: [...ranges],
			...over,
		});
	const plansOf = (...services: Service[]) => planServices(clusterOf(services, []), [], CONTEXT);
	const setOf = (kernel: FakeKernel, key: string): readonly string[] => {
		const { entry } = readServices(kernel).services.find((each) => each.key === key)!;
		return entry.sourceSet === 0 ? [] : (readSources(kernel).get(entry.sourceSet) ?? ['missing']);
	};

	it('are one set for services with equal lists, in any order', async () => {
		const kernel = new FakeKernel();
		const ranges = ['198.51.100.0/24', '172.16.0.0/12'];
		const reconciler = new ServicesReconciler({ kernel });
		await reconciler.replaceAll(
			plansOf(lb('a', 1, ranges), lb('b', 2, [...ranges].reverse()), lb('c', 3, ['172.16.0.0/12'])),
		);
		expect(readSources(kernel).size).toBe(2);
		expect(setOf(kernel, '203.0.113.1|80|6|1')).toEqual(['172.16.0.0/12', '198.51.100.0/24']);
		expect(setOf(kernel, '203.0.113.2|80|6|1')).toEqual(['172.16.0.0/12', '198.51.100.0/24']);
		expect(setOf(kernel, '10.96.0.1|80|6|0')).toEqual([]);
		expect(reconciler.usage()!.sources).toEqual({ used: 3, capacity: 256 });
	});

	it('stand before the entry that names them and go after it', async () => {
		const kernel = new FakeKernel();
		const ops: string[] = [];
		const onOps = (set: Parameters<typeof inOrder>[0]): void => void ops.push(...inOrder(set).map((op) => op.kind));
		const reconciler = new ServicesReconciler({ kernel, onOps });
		await reconciler.replaceAll(plansOf(lb('a', 1, ['10.0.0.0/8'])));
		ops.length = 0;
		await reconciler.update(plansOf(lb('a', 1, ['172.16.0.0/12'])));
		expect(ops).toEqual(['source-set', 'service-set', 'source-delete']);
		ops.length = 0;
		await reconciler.update(plansOf(lb('a', 1, [])));
		expect(ops).toEqual(['service-set', 'source-delete']);
		expect(readSources(kernel).size).toBe(0);
	});

	it('keep their numbers over a restart, and what a dead agent left is removed', async () => {
		const kernel = new FakeKernel();
		const plans = plansOf(lb('a', 1, ['10.0.0.0/8', '172.16.0.0/12']), lb('b', 2, ['fd00::/8', '198.51.100.0/24']));
		await new ServicesReconciler({ kernel }).replaceAll(plans);
		const before = [...readSources(kernel)];
		kernel.log.length = 0;
		await new ServicesReconciler({ kernel }).replaceAll(plans);
		expect([kernel.log, [...readSources(kernel)]]).toEqual([[], before]);
		await new ServicesReconciler({ kernel }).replaceAll(plansOf(lb('b', 2, ['198.51.100.0/24'])));
		expect([...readSources(kernel)]).toEqual(before.filter(([, set]) => set.includes('198.51.100.0/24')));
	});

	it('refuse a service for which there is no room, and say so', async () => {
		const kernel = new FakeKernel({ capacity: { sources: 2 } });
		const reconciler = new ServicesReconciler({ kernel });
		await reconciler.replaceAll(plansOf(lb('a', 1, ['10.0.0.0/8'])));
		const report = await reconciler.update(plansOf(lb('b', 2, ['10.1.0.0/16', '10.2.0.0/16'])));
		expect(report.problems.join()).toContain('map sources: no room for 2 more prefixes, 1 of 2 used');
		expect(readServices(kernel).services.map(({ key }) => key)).not.toContain('203.0.113.2|80|6|1');
		expect(readServices(kernel).faults).toEqual([]);
	});
});
