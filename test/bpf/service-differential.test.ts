/**
 * Random Services, planned by the agent, in the maps of the real programs: the first packet of every kind of connection is
 * held against the simulator of test/lib/service-oracle.ts.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kernelHz } from '../../agent/kernel/kernel-hz.ts';
import { AffinityEntry } from '../../native/abi/generated.ts';
import { VERDICT } from '../lib/dataplane.ts';
import type { FakeKernel } from '../lib/fake-kernel.ts';
import { simulate } from '../lib/service-oracle.ts';
import { ServiceMaps } from '../lib/service-oracle-maps.ts';
import { type Answer, formatOutcome, formatProbe, type Outcome, type Probe } from '../lib/service-oracle-probe.ts';
import { findService, type RulesWorld } from '../lib/service-rules.ts';
import type { RawEndpoint, RawService, RawSlice } from '../lib/service-rules-objects.ts';
import { EMPTY_WORLD, PLACES } from '../service-cases/geography.ts';
import type { KernelSync } from '../service-cases/kernel-sync.ts';
import { describeMemories, inventMemories, replaceMemories, writeMemories } from '../service-cases/memory.ts';
import { describeWorld, type WorldPlanner } from '../service-cases/plan-world.ts';
import { probesOf } from '../service-cases/probes.ts';
import { randomWorld } from '../service-cases/random-world.ts';
import { randomRuns } from '../service-cases/seed.ts';
import { judge, planFor, SNAT_PORTS, send } from './service-differential.ts';
import { ipOf, TestNode, WORLD } from './world.ts';

const stickyService: RawService = {
	apiVersion: 'v1',
	kind: 'Service',
	metadata: { name: 'sticky', namespace: 'default' },
	spec: { clusterIPs: ['10.96.0.10'], ports: [{ port: 80 }], sessionAffinity: 'ClientIP' },
};

function sliceOf(service: string, endpoints: RawEndpoint[]): RawSlice {
	return {
		apiVersion: 'discovery.k8s.io/v1',
		kind: 'EndpointSlice',
		metadata: { name: service, namespace: 'default', labels: { 'kubernetes.io/service-name': service } },
		addressType: 'IPv4',
		ports: [{ port: 8080 }],
		endpoints,
	};
}

let node: TestNode;
let kernel: FakeKernel;
let planner: WorldPlanner;
let sync: KernelSync;
let clock: { readonly jiffies: number; readonly atMs: number; readonly hz: number };
/** Every probe has a port of its own, so that no flow of an earlier one is met. */
let sport = 20_000;

beforeAll(async () => {
	const config = { ...WORLD.config, snat_port_min: SNAT_PORTS.min, snat_port_max: SNAT_PORTS.max };
	node = await TestNode.start({
		...WORLD,
		services: [],
		config,
		mapSizes: { ...WORLD.mapSizes, ct4: 16384, ct6: 16384 },
	});
	({ kernel, planner, sync } = await planFor(node, {}, ['ports']));
	clock = await readClock();
}, 120_000);
afterAll(() => node?.close());

/** Jiffies per second by which the programs count; the kernel's may be others. */
const HZ = Number(WORLD.config?.hz ?? 250);

/** The programs' clock, read off an affinity row that they have just made. */
async function readClock(): Promise<typeof clock> {
	const world: RulesWorld = {
		...EMPTY_WORLD,
		services: [stickyService],
		slices: [sliceOf('sticky', [{ addresses: [PLACES.podB[0]], nodeName: EMPTY_WORLD.node.name }])],
	};
	await planner.plan(world);
	await sync.sync();
	const client = { kind: 'pod', address: PLACES.podA[0] } as const;
	await send(node, { client, path: 'packet', address: '10.96.0.10', port: 80, protocol: 'TCP' }, sport++);
	const [row] = await node.dataplane.entries('affinity');
	if (row === undefined) throw new Error('the programs have remembered nobody');
	return { jiffies: AffinityEntry.decode(row.value).lastUsed, atMs: performance.now(), hz: kernelHz() };
}

function now(): number {
	return (clock.jiffies + ((performance.now() - clock.atMs) / 1000) * clock.hz) >>> 0;
}

/** What the packet programs are asked: what the node's processes send elsewhere never meets them. */
function packetProbes(world: RulesWorld, maps: ServiceMaps): Probe[] {
	return probesOf(world).filter(
		(probe) =>
			probe.path === 'packet' &&
			!(probe.client.kind === 'node' && simulate(maps, world.node, probe).kind === 'not a service'),
	);
}

async function compare(world: RulesWorld, seen: Map<string, number>): Promise<void> {
	await planner.plan(world);
	await sync.sync();
	await node.reset();
	const maps = new ServiceMaps(kernel);
	await pretendPast(world, maps);
	const choices: [Probe, readonly Answer[]][] = [];
	for (const probe of packetProbes(world, maps)) {
		const sticky = isSticky(world, probe);
		if (sticky) replaceMemories(kernel, await node.dataplane.entries('affinity'));
		const outcome = simulate(maps, world.node, probe, { now: now(), hz: HZ });
		const fault = (await ask(probe, outcome)).fault;
		if (fault !== undefined) throw new Error(describeFault(world, probe, outcome, fault));
		const kind = `${outcome.kind}${'why' in outcome ? `, ${outcome.why}` : ''}`;
		seen.set(kind, (seen.get(kind) ?? 0) + 1);
		if (outcome.kind === 'answered' && outcome.answers.length > 1 && !sticky) choices.push([probe, outcome.answers]);
	}
	const longest = choices.sort(([, a], [, b]) => b.length - a.length)[0];
	if (longest !== undefined) await expectAll(world, ...longest);
}

function describeFault(world: RulesWorld, probe: Probe, outcome: Outcome, fault: string): string {
	return `${formatProbe(probe)}\n  maps: ${formatOutcome(outcome)}\n  but it ${fault}\n${describeMemories(kernel)}\n${describeWorld(world)}`;
}

async function ask(probe: Probe, outcome: Outcome): Promise<{ fault: string | undefined; to: string }> {
	sport = sport >= 60_000 ? 20_000 : sport + 1;
	const { sent, got } = await send(node, probe, sport);
	return {
		fault: judge(probe, sport, outcome, sent, got),
		to: got.verdict === VERDICT.DROP ? '' : ipOf(got.packet).dst,
	};
}

/** Half of the clients had connections before, some of them too long ago. */
async function pretendPast(world: RulesWorld, maps: ServiceMaps): Promise<void> {
	const memories = inventMemories(world);
	const old = memories.filter((_, i) => i % 4 === 3);
	replaceMemories(kernel, []);
	// Not just now: the clock here may be a little ahead of the programs'.
	writeMemories(kernel, maps, memories, (now() - 10 * HZ) >>> 0);
	writeMemories(kernel, maps, old, (now() - 100_000 * HZ) >>> 0);
	await node.dataplane.clear('affinity');
	for (const [key, value] of kernel.mapEntries('affinity')) await node.dataplane.set('affinity', key, value);
}

function isSticky(world: RulesWorld, probe: Probe): boolean {
	return findService(world, probe)?.service.spec.sessionAffinity === 'ClientIP';
}

/** New connections reach every backend in the end: so often that one in a hundred million runs misses one. */
async function expectAll(world: RulesWorld, probe: Probe, answers: readonly Answer[]): Promise<void> {
	const missing = new Set(answers.filter(({ place }) => place !== 'nowhere').map(({ address }) => address));
	for (let i = 0; i < 25 * answers.length && missing.size > 0; i++) {
		const { fault, to } = await ask(probe, { kind: 'answered', answers });
		if (fault !== undefined) throw new Error(describeFault(world, probe, { kind: 'answered', answers }, fault));
		missing.delete(to);
	}
	if (missing.size > 0) {
		const fault = `never goes to ${[...missing].join(', ')}`;
		throw new Error(describeFault(world, probe, { kind: 'answered', answers }, fault));
	}
}

describe('the packet programs', () => {
	it('do with the first packets of random services what the maps say', async () => {
		const seen = new Map<string, number>();
		const property = fc.asyncProperty(fc.noBias(randomWorld), (world) => compare(world, seen));
		await fc.assert(property, randomRuns('maps against programs', 30));
		console.info([...seen].map(([kind, n]) => `${n} × ${kind}`).join('\n'));
		if (process.env.FAIRLEAD_TEST_PATH === undefined) expect(seen.size).toBeGreaterThan(5);
	}, 300_000);
});
