/**
 * Random Services with direct server return, first as they are and then while their sets change: what XDP sends in envelopes, and
 * what from_uplink does with the rest and with the same packets, is held against the simulator. It reads the tables; XDP reads rows as well.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rankedTable } from '../../agent/plan/rank.ts';
import { xdpServiceKey } from '../../agent/plan/xdp-services.ts';
import { XdpRows, xdpRowMemory } from '../../agent/reconcile/xdp-rows.ts';
import { SvcScope, XdpBackendBits, XdpService, XdpServiceLimits } from '../../native/abi/generated.ts';
import { type RunResult, VERDICT } from '../lib/dataplane.ts';
import type { FakeKernel } from '../lib/fake-kernel.ts';
import { flowSlot } from '../lib/flow-hash.ts';
import { simulate } from '../lib/service-oracle.ts';
import { ServiceMaps } from '../lib/service-oracle-maps.ts';
import { formatOutcome, formatProbe, type Outcome, PROTOCOLS, type Probe } from '../lib/service-oracle-probe.ts';
import { findService, type RulesWorld } from '../lib/service-rules.ts';
import { EMPTY_WORLD, PLACES } from '../service-cases/geography.ts';
import type { KernelSync } from '../service-cases/kernel-sync.ts';
import { describeWorld, type WorldPlanner } from '../service-cases/plan-world.ts';
import { probesOf } from '../service-cases/probes.ts';
import { forDirectReturn, randomWorld } from '../service-cases/random-world.ts';
import { randomRuns } from '../service-cases/seed.ts';
import { judge, outsideFrame, planFor, SNAT_PORTS } from './service-differential.ts';
import { TestNode, WORLD } from './world.ts';
import { MODE, XDP } from './xdp-world.ts';

const SIZES = { slots: 131_072, xdp_svc: XdpServiceLimits.HOMES } as const;
let node: TestNode;
let kernel: FakeKernel;
let planner: WorldPlanner;
let sync: KernelSync;
let sport = 20_000;

beforeAll(async () => {
	const config = {
		...WORLD.config,
		snat_port_min: SNAT_PORTS.min,
		snat_port_max: SNAT_PORTS.max,
		north_south: MODE.ipip,
	};
	// The reconciler numbers nodes from 1.
	const nodes = WORLD.nodes.map((each, i) => ({ ...each, index: i + 1 }));
	const mapSizes = { ...WORLD.mapSizes, ...SIZES, dsr_flows: 4096 };
	node = await TestNode.start({ ...WORLD, nodes, services: [], config, mapSizes }, ['pod', 'node', 'xdp_lb', 'clock']);
	({ kernel, planner, sync } = await planFor(node, SIZES));
}, 120_000);
afterAll(() => node?.close());

const asTc = (got: RunResult): RunResult => ({
	...got,
	verdict: got.verdict === XDP.DROP ? VERDICT.DROP : VERDICT.REDIRECT,
});

/** By XDP, which may leave the packet to from_uplink, and by from_uplink alone, as on a device without XDP. */
async function ask(probe: Probe, outcome: Outcome): Promise<{ byXdp: boolean; fault: string | undefined }> {
	const sent = outsideFrame(probe, sport);
	const got = await node.dataplane.run('xdp_lb', sent);
	const byXdp = got.verdict !== XDP.PASS;
	if (!byXdp && !Buffer.from(sent).equals(got.packet)) return { byXdp, fault: 'is passed on by XDP in another form' };
	const fault = byXdp ? judge(probe, sport, outcome, sent, asTc(got)) : undefined;
	if (fault !== undefined) return { byXdp, fault: `by XDP ${fault}` };
	return { byXdp, fault: judge(probe, sport, outcome, sent, await node.fromUplink(sent)) };
}

/** Whether a row of a service whose set changes says where a packet goes; undefined = the set does not change, or there is no row. */
function rowDecides(rows: XdpRows, maps: ServiceMaps, { client, address, port, protocol }: Probe): boolean | undefined {
	const proto = PROTOCOLS[protocol];
	const at = rows.positionOf(xdpServiceKey(address, port, proto));
	const entry = maps.service(address, port, proto, SvcScope.EXTERNAL);
	if (at === undefined || entry === undefined || entry.prevCount === 0) return undefined;
	const { buffer, byteOffset } = kernel.shared('xdp_svc');
	const { slots, backend } = XdpService.decode(
		new Uint8Array(buffer, byteOffset + at * XdpService.size, XdpService.size),
	);
	const tags = backend.map((word) => word & ((1 << XdpBackendBits.TAG_BITS) - 1));
	const slot = flowSlot({ src: client.address, dst: address, sport, dport: port, proto }, slots);
	const winner = backend[rankedTable(tags, slots)[slot] ?? 0] ?? 0;
	return winner >>> (XdpBackendBits.TAG_BITS + XdpBackendBits.GEN_BITS) !== 0;
}

/** @param flows  of each client to each frontend of a service */
async function compare(world: RulesWorld, seen: Map<string, number>, flows = 1): Promise<void> {
	await planner.plan(world);
	await sync.sync();
	await node.reset();
	await node.dataplane.clear('dsr_flows');
	const maps = new ServiceMaps(kernel);
	const rows = new XdpRows(xdpRowMemory(kernel), kernel.mapCapacity('xdp_svc'));
	const fromOutside = probesOf(world).filter(({ client }) => client.kind === 'outside');
	const repeated = fromOutside.flatMap((each) => new Array<Probe>(findService(world, each) ? flows : 1).fill(each));
	for (const probe of repeated) {
		if (findService(world, probe)?.service.spec.sessionAffinity === 'ClientIP') continue;
		sport = sport >= 60_000 ? 20_000 : sport + 1;
		const outcome = simulate(maps, world.node, probe, { directReturnFrom: sport });
		const { byXdp, fault } = await ask(probe, outcome);
		const direct = outcome.kind === 'answered' && outcome.answers.some(({ envelopeTo }) => envelopeTo !== undefined);
		const what = `${direct ? 'in an envelope' : outcome.kind} by ${byXdp ? 'XDP' : 'from_uplink'}`;
		const how = { true: ' and a row of two sets', false: ' beside a row of two sets', undefined: '' };
		const decided = byXdp && direct ? rowDecides(rows, maps, probe) : undefined;
		seen.set(what + how[`${decided}`], (seen.get(what + how[`${decided}`]) ?? 0) + 1);
		if (fault === undefined) continue;
		throw new Error(
			`${formatProbe(probe)} from port ${sport}\n  maps: ${formatOutcome(outcome)}\n  but it ${fault}\n${describeWorld(world)}`,
		);
	}
}

/** The same world after a change of all sets: each has lost an endpoint. */
const changed = (world: RulesWorld): RulesWorld => ({
	...world,
	slices: world.slices.map((slice) => ({ ...slice, endpoints: slice.endpoints.slice(1) })),
});

/** What is met in every run: a service of three protocols whose endpoints are on this node, on both others and in the network of one. */
const plainWorld: RulesWorld = {
	...EMPTY_WORLD,
	services: [
		{
			apiVersion: 'v1',
			kind: 'Service',
			metadata: { name: 'web', namespace: 'default' },
			spec: {
				type: 'LoadBalancer',
				clusterIPs: ['10.96.0.10'],
				ports: [
					{ name: 'tcp', port: 80, nodePort: 30000 },
					{ name: 'udp', port: 80, nodePort: 30000, protocol: 'UDP' },
					{ name: 'sctp', port: 80, nodePort: 30000, protocol: 'SCTP' },
				],
			},
			status: { loadBalancer: { ingress: [{ ip: '198.51.100.20' }, { ip: '198.51.100.21' }] } },
		},
	],
	slices: [
		{
			apiVersion: 'discovery.k8s.io/v1',
			kind: 'EndpointSlice',
			metadata: { name: 'web', namespace: 'default', labels: { 'kubernetes.io/service-name': 'web' } },
			addressType: 'IPv4',
			ports: [
				{ name: 'tcp', port: 8080 },
				{ name: 'udp', port: 8080, protocol: 'UDP' },
				{ name: 'sctp', port: 8080, protocol: 'SCTP' },
			],
			endpoints: (['podB', 'pod2', 'pod2b', 'pod3', 'node2'] as const).map((place) => ({
				addresses: [PLACES[place][0]],
			})),
		},
	],
};

const textOf = (seen: ReadonlyMap<string, number>): string => [...seen].map(([what, n]) => `${n} × ${what}`).join('\n');

/** The world of plainWorld with some of its endpoints. @param draining  those that take no new connections */
function plainWith(
	places: readonly (keyof typeof PLACES)[],
	draining: readonly (keyof typeof PLACES)[] = [],
): RulesWorld {
	const endpoints = [...places, ...draining].map((place, i) => ({
		addresses: [PLACES[place][0]],
		...(i >= places.length && { conditions: { ready: false, serving: true, terminating: true } }),
	}));
	return { ...plainWorld, dsr: true, slices: plainWorld.slices.map((slice) => ({ ...slice, endpoints })) };
}

describe('direct server return', () => {
	it('does with the first packets of random services what tables and hash say', async () => {
		const seen = new Map<string, number>();
		const property = fc.asyncProperty(fc.noBias(randomWorld), async (random) => {
			const world = { ...random, dsr: true, services: random.services.map(forDirectReturn) };
			await compare(world, seen);
			await compare(changed(world), seen);
		});
		await fc.assert(property, { ...randomRuns('maps against direct server return', 12), examples: [[plainWorld]] });
		console.info(textOf(seen));
		if (process.env.FAIRLEAD_TEST_PATH !== undefined) return;
		for (const by of ['XDP', 'from_uplink']) {
			expect([...seen.keys()].filter((what) => what.startsWith(`in an envelope by ${by}`))).not.toEqual([]);
		}
	}, 300_000);

	it('does with the first packets to a service whose set changes what tables and hash say', async () => {
		const seen = new Map<string, number>();
		const worlds = [
			EMPTY_WORLD,
			plainWith(['podB', 'pod2', 'pod3']),
			plainWith(['podB', 'pod2', 'pod3', 'pod2b']),
			plainWith(['podB', 'pod3', 'pod2b'], ['pod2']),
			plainWith(['podB', 'pod3', 'pod2b']),
			plainWith(['pod3', 'pod2b'], ['podB']),
			plainWith(['pod3', 'pod2b', 'pod2']),
		];
		for (const [n, world] of worlds.entries()) {
			const inThis = new Map<string, number>();
			await compare(world, inThis, 10);
			for (const [what, count] of inThis) seen.set(what, (seen.get(what) ?? 0) + count);
			const rows = inThis.get('in an envelope by XDP and a row of two sets') ?? 0;
			expect(rows > 0, `${n}: ${textOf(inThis)}`).toBe(n > 1);
		}
		console.info(textOf(seen));
		expect(seen.get('in an envelope by XDP beside a row of two sets') ?? 0).toBeGreaterThan(0);
	}, 120_000);
});
