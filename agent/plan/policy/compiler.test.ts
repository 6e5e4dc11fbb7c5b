import { describe, expect, it } from 'vitest';
import { CompiledWorld } from '../../../test/lib/policy-compiled.ts';
import { simulateFlow } from '../../../test/lib/policy-simulator.ts';
import { type PolicyCase, truthTable, usualWorld } from '../../../test/lib/policy-world.ts';
import { clusterPolicyCases } from '../../../test/policy-cases/cluster-network-policy.ts';
import { furtherCases, networkPolicyCases } from '../../../test/policy-cases/network-policy.ts';

/** The rows must say what the table says, and name a reason that the simulator names too. */
function check({ steps }: PolicyCase): void {
	const world = usualWorld();
	const compiled = new CompiledWorld();
	for (const [n, { change, truth, flows = [] }] of steps.entries()) {
		change?.(world);
		compiled.follow(world);
		const probes = [
			...truthTable(world, truth),
			...flows.map(({ flow, allowed }) => ({ label: JSON.stringify(flow), flow, allowed })),
		];
		const wrong: string[] = [];
		for (const [i, { label, flow, allowed }] of probes.entries()) {
			const got = compiled.verdict(world, flow);
			// The simulator has checked the tables itself; it is asked for reasons here, and not for every port.
			const expected = i % 5 === 0 ? simulateFlow(world, flow) : undefined;
			const reasons = (['egress', 'ingress'] as const).map(
				(d) => [compiled.reason(got[d].cookie), expected?.[d].by] as const,
			);
			const named = flow.from === flow.to || reasons.every(([reason, by]) => by === undefined || by.includes(reason));
			if ((got.egress.allowed && got.ingress.allowed) !== allowed || !named) {
				wrong.push(`step ${n}: ${label}: ${JSON.stringify(got)} ${JSON.stringify(reasons)}`);
			}
		}
		expect(wrong.slice(0, 5)).toEqual([]);
	}
}

const titled = (cases: readonly PolicyCase[]) => cases.map((each) => [each.title, each] as const);

describe('compiled rows agree with the restated suite of NetworkPolicy', () => {
	it.each(titled(networkPolicyCases))('%s', (_title, each) => check(each));
});

describe('compiled rows agree with further cases', () => {
	it.each(titled(furtherCases))('%s', (_title, each) => check(each));
});

describe('compiled rows agree with the restated suite of ClusterNetworkPolicy', () => {
	it.each(titled(clusterPolicyCases))('%s', (_title, each) => check(each));
});
