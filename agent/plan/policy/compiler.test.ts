import { describe, expect, it } from 'vitest';
import { CompiledWorld } from '../../../test/lib/policy-compiled.ts';
import { simulateFlow } from '../../../test/lib/policy-simulator.ts';
import { type PolicyCase, setNetworkPolicy, truthTable, usualWorld } from '../../../test/lib/policy-world.ts';
import { auditCases } from '../../../test/policy-cases/audit-mode.ts';
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

describe('compiled rows agree with the cases of audit mode', () => {
	it.each(titled(auditCases))('%s', (_title, each) => check(each));

	it('a node in audit mode enforces nothing and reports what every policy would deny', () => {
		const world = usualWorld();
		setNetworkPolicy(world, 'x/web', { podSelector: {}, ingress: [{ ports: [{ port: 80 }] }] });
		const compiled = new CompiledWorld('node-1', undefined, true);
		compiled.follow(world);
		const at = (port: number) =>
			compiled.verdict(world, { from: '10.244.2.1', to: '10.244.1.1', proto: 6, port }).ingress;
		expect(at(81)).toMatchObject({ allowed: true, audited: true });
		expect(compiled.reason(at(80).cookie)).toBe('NetworkPolicy x/web ingress rule 0');
		expect(at(80)).toMatchObject({ allowed: true, audited: false });
	});
});
