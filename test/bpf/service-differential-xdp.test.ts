/**
 * Random Services at the uplink's XDP program: what it forwards or drops itself, and what it passes on to from_uplink, is held
 * against the simulator.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunResult, VERDICT } from '../lib/dataplane.ts';
import type { FakeKernel } from '../lib/fake-kernel.ts';
import { simulate } from '../lib/service-oracle.ts';
import { ServiceMaps } from '../lib/service-oracle-maps.ts';
import { type Answer, formatOutcome, formatProbe, type Outcome, type Probe } from '../lib/service-oracle-probe.ts';
import { findService, type RulesWorld } from '../lib/service-rules.ts';
import type { RawService } from '../lib/service-rules-objects.ts';
import type { KernelSync } from '../service-cases/kernel-sync.ts';
import { replaceMemories } from '../service-cases/memory.ts';
import { describeWorld, type WorldPlanner } from '../service-cases/plan-world.ts';
import { probesOf } from '../service-cases/probes.ts';
import { randomWorld } from '../service-cases/random-world.ts';
import { randomRuns } from '../service-cases/seed.ts';
import { judge, outsideFrame, planFor, SNAT_PORTS, send } from './service-differential.ts';
import { TestNode, WORLD } from './world.ts';
import { XDP } from './xdp-world.ts';

let node: TestNode;
let kernel: FakeKernel;
let planner: WorldPlanner;
let sync: KernelSync;
let sport = 20_000;

beforeAll(async () => {
	const config = { ...WORLD.config, snat_port_min: SNAT_PORTS.min, snat_port_max: SNAT_PORTS.max };
	// The reconciler numbers nodes from 1; XDP takes what goes to nodes on its own link.
	const nodes = WORLD.nodes.map((each, i) => ({ ...each, index: i + 1, routing: 'direct' as const }));
	const world = { ...WORLD, nodes, services: [], config, mapSizes: { ...WORLD.mapSizes, ct4: 16384, ct6: 16384 } };
	node = await TestNode.start(world, ['pod', 'node', 'xdp_lb', 'clock']);
	({ kernel, planner, sync } = await planFor(node));
}, 120_000);
afterAll(() => node?.close());

interface Seen {
	readonly by: 'XDP' | 'from_uplink';
	readonly fault: string | undefined;
}

async function ask(probe: Probe, outcome: Outcome): Promise<Seen> {
	sport = sport >= 60_000 ? 20_000 : sport + 1;
	const sent = outsideFrame(probe, sport);
	const got = await node.dataplane.run('xdp_lb', sent);
	if (got.verdict === XDP.PASS) {
		if (!Buffer.from(sent).equals(got.packet)) return { by: 'XDP', fault: 'is passed on in another form' };
		const passed = await send(node, probe, sport);
		return { by: 'from_uplink', fault: judge(probe, sport, outcome, passed.sent, passed.got) };
	}
	const verdict = got.verdict === XDP.DROP ? VERDICT.DROP : VERDICT.REDIRECT;
	const result: RunResult = { ...got, verdict };
	return { by: 'XDP', fault: judge(probe, sport, ofXdp(outcome), sent, result) };
}

/** XDP itself forwards to other nodes only. */
function ofXdp(outcome: Outcome): Outcome {
	if (outcome.kind !== 'answered') return outcome;
	const answers: readonly Answer[] = outcome.answers.filter(({ place }) => place === 'other node');
	return { kind: 'answered', answers };
}

async function compare(world: RulesWorld, seen: Map<string, number>): Promise<void> {
	await planner.plan(world);
	await sync.sync();
	await node.reset();
	await node.dataplane.clear('affinity');
	const maps = new ServiceMaps(kernel);
	for (const probe of probesOf(world).filter(({ client }) => client.kind === 'outside')) {
		const sticky = findService(world, probe)?.service.spec.sessionAffinity === 'ClientIP';
		if (sticky) replaceMemories(kernel, await node.dataplane.entries('affinity'));
		const outcome = simulate(maps, world.node, probe);
		const { by, fault } = await ask(probe, outcome);
		seen.set(`${outcome.kind} by ${by}`, (seen.get(`${outcome.kind} by ${by}`) ?? 0) + 1);
		if (fault === undefined) continue;
		throw new Error(
			`${by}: ${formatProbe(probe)}\n  maps: ${formatOutcome(outcome)}\n  but it ${fault}\n${describeWorld(world)}`,
		);
	}
}

/** XDP opens flows of plain services only; every second one is such a service, the others it must leave alone. */
function forXdp(service: RawService, n: number): RawService {
	if (n % 2 === 1) return service;
	const { externalTrafficPolicy, sessionAffinity, loadBalancerSourceRanges, ...spec } = service.spec;
	return { ...service, metadata: { ...service.metadata, annotations: {} }, spec };
}

describe('the XDP program', () => {
	it('does with the first packets from outside what the maps say, or leaves it to the next one', async () => {
		const seen = new Map<string, number>();
		const property = fc.asyncProperty(fc.noBias(randomWorld), (world) =>
			compare({ ...world, services: world.services.map(forXdp) }, seen),
		);
		await fc.assert(property, randomRuns('maps against XDP', 60));
		console.info([...seen].map(([what, n]) => `${n} × ${what}`).join('\n'));
		if (process.env.FAIRLEAD_TEST_PATH === undefined) expect(seen.get('answered by XDP') ?? 0).toBeGreaterThan(0);
	}, 300_000);
});
