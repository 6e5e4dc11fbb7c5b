import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { simulate } from '../lib/service-oracle.ts';
import { ServiceMaps } from '../lib/service-oracle-maps.ts';
import { answered, formatOutcome, formatProbe, type Outcome } from '../lib/service-oracle-probe.ts';
import { expectedOutcome, type RulesWorld } from '../lib/service-rules.ts';
import { inventMemories, rememberedBy, writeMemories } from './memory.ts';
import { describeWorld, WorldPlanner } from './plan-world.ts';
import { probesOf } from './probes.ts';
import { forDirectReturn, randomWorld } from './random-world.ts';
import { randomRuns } from './seed.ts';

/** Asks everything in one world; the first difference is thrown. @returns outcomes seen, by kind */
function compare(planner: WorldPlanner, world: RulesWorld, seen: Map<string, number>): void {
	const maps = new ServiceMaps(planner.kernel);
	const memories = inventMemories(world);
	writeMemories(planner.kernel, maps, memories, 0);
	for (const probe of probesOf(world)) {
		const remembered = rememberedBy(world, memories, probe);
		const expected = expectedOutcome(world, probe, { rules: 'fairlead', ...(remembered && { remembered }) });
		const got = simulate(maps, world.node, probe);
		const kind = `${expected.kind}${'why' in expected ? `, ${expected.why}` : ''}`;
		seen.set(kind, (seen.get(kind) ?? 0) + 1);
		if (formatOutcome(got) !== formatOutcome(expected)) {
			throw new Error(
				`${formatProbe(probe)}\n  rules: ${formatOutcome(expected)}\n  maps:  ${formatOutcome(got)}\n${describeWorld(world)}`,
			);
		}
	}
}

/** The outcomes that stand for each answer alone. */
function singly(outcome: Outcome): string[] {
	if (outcome.kind !== 'answered') return [formatOutcome(outcome)];
	return outcome.answers.map(({ envelopeTo: _, ...answer }) => formatOutcome(answered([answer])));
}

/** The same for clients outside, of whose flows direct server return serves some: by their hash, so with one of the answers. */
function compareDirectly(planner: WorldPlanner, world: RulesWorld, seen: Map<string, number>): void {
	const maps = new ServiceMaps(planner.kernel);
	for (const [n, probe] of probesOf(world).entries()) {
		if (probe.client.kind !== 'outside') continue;
		const expected = expectedOutcome(world, probe, { rules: 'fairlead', directReturn: true });
		const got = simulate(maps, world.node, probe, { directReturnFrom: 20_000 + n });
		const inEnvelope = got.kind === 'answered' && got.answers.some(({ envelopeTo }) => envelopeTo !== undefined);
		const kind = inEnvelope ? 'in an envelope' : got.kind;
		seen.set(kind, (seen.get(kind) ?? 0) + 1);
		const allowed = singly(expected);
		if (singly(got).some((each) => !allowed.includes(each))) {
			throw new Error(
				`${formatProbe(probe)}\n  rules: ${formatOutcome(expected)}\n  maps:  ${formatOutcome(got)}\n${describeWorld(world)}`,
			);
		}
	}
}

describe('planned service maps', () => {
	it('say of random services what the rules of Kubernetes say', async () => {
		const seen = new Map<string, number>();
		const property = fc.asyncProperty(fc.noBias(randomWorld), async (world) => {
			const planner = new WorldPlanner(world);
			await planner.plan(world);
			compare(planner, world, seen);
		});
		await fc.assert(property, randomRuns('rules against maps', 100));
		console.info([...seen].map(([kind, n]) => `${n} × ${kind}`).join('\n'));
		if (process.env.FAIRLEAD_TEST_PATH === undefined) expect(seen.size).toBeGreaterThan(6);
	}, 120_000);

	it('say of clients outside what the rules say, with direct server return', async () => {
		const seen = new Map<string, number>();
		const property = fc.asyncProperty(fc.noBias(randomWorld), async (random) => {
			const world = { ...random, dsr: true, services: random.services.map(forDirectReturn) };
			const planner = new WorldPlanner(world);
			await planner.plan(world);
			compareDirectly(planner, world, seen);
		});
		await fc.assert(property, randomRuns('rules against maps with direct server return', 100));
		console.info([...seen].map(([kind, n]) => `${n} × ${kind}`).join('\n'));
		if (process.env.FAIRLEAD_TEST_PATH === undefined) expect(seen.get('in an envelope') ?? 0).toBeGreaterThan(0);
	}, 120_000);
});
