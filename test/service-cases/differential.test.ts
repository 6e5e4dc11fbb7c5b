import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { simulate } from '../lib/service-oracle.ts';
import { ServiceMaps } from '../lib/service-oracle-maps.ts';
import { formatOutcome, formatProbe } from '../lib/service-oracle-probe.ts';
import { expectedOutcome, type RulesWorld } from '../lib/service-rules.ts';
import { inventMemories, rememberedBy, writeMemories } from './memory.ts';
import { describeWorld, WorldPlanner } from './plan-world.ts';
import { probesOf } from './probes.ts';
import { randomWorld } from './random-world.ts';
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
});
