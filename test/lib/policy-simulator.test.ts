import { describe, expect, it } from 'vitest';
import { auditCases } from '../policy-cases/audit-mode.ts';
import { clusterPolicyCases } from '../policy-cases/cluster-network-policy.ts';
import { furtherCases, networkPolicyCases } from '../policy-cases/network-policy.ts';
import { simulateFlow } from './policy-simulator.ts';
import { type PolicyCase, truthTable, usualWorld } from './policy-world.ts';

function check({ steps }: PolicyCase): void {
	const world = usualWorld();
	for (const [n, { change, truth, flows = [] }] of steps.entries()) {
		change?.(world);
		const probes = [
			...truthTable(world, truth),
			...flows.map(({ flow, allowed }) => ({ label: JSON.stringify(flow), flow, allowed })),
		];
		const wrong = probes
			.map((probe) => ({ ...probe, got: simulateFlow(world, probe.flow) }))
			.filter(({ allowed, got }) => allowed !== (got.egress.allowed && got.ingress.allowed))
			.map(({ label, got }) => `step ${n}: ${label} ${JSON.stringify(got)}`);
		expect(wrong.slice(0, 5)).toEqual([]);
	}
}

describe('the simulator agrees with the restated suite of NetworkPolicy', () => {
	it('which has as many cases as the suite', () => expect(networkPolicyCases.length).toBeGreaterThanOrEqual(48));
	it.each(networkPolicyCases.map((each) => [each.title, each] as const))('%s', (_title, each) => check(each));
});

describe('the simulator agrees with further cases', () => {
	it.each(furtherCases.map((each) => [each.title, each] as const))('%s', (_title, each) => check(each));
});

describe('the simulator agrees with the restated suite of ClusterNetworkPolicy', () => {
	it.each(clusterPolicyCases.map((each) => [each.title, each] as const))('%s', (_title, each) => check(each));
});

describe('the simulator agrees with the cases of audit mode', () => {
	it.each(auditCases.map((each) => [each.title, each] as const))('%s', (_title, each) => check(each));

	it('says by what a flow would be denied', () => {
		const world = usualWorld();
		auditCases[0]?.steps[0]?.change?.(world);
		const flow = { from: '10.244.2.1', to: '10.244.1.1', proto: 6, port: 80 };
		expect(simulateFlow(world, flow).ingress).toEqual({ allowed: true, audited: true, by: ['not allowed'] });
	});
});
