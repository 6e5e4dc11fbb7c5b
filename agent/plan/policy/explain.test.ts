import { describe, expect, it } from 'vitest';
import { CompiledWorld } from '../../../test/lib/policy-compiled.ts';
import { applyOp, emptyWorld, judged, Maker, seededRandom } from '../../../test/lib/policy-fuzz.ts';
import { simulateFlow } from '../../../test/lib/policy-simulator.ts';
import { type MutableWorld, setClusterPolicy, setNetworkPolicy, usualWorld } from '../../../test/lib/policy-world.ts';
import { tracePolicy } from './explain.ts';
import { getPolicy, listPolicies } from './report.ts';

function compiledOf(change: (world: MutableWorld) => void): CompiledWorld {
	const world = usualWorld();
	change(world);
	const compiled = new CompiledWorld();
	compiled.follow(world);
	return compiled;
}

const tiers = (world: MutableWorld): void => {
	setClusterPolicy(world, 'admin', {
		tier: 'Admin',
		priority: 1,
		subject: { namespaces: { matchLabels: { ns: 'x' } } },
		ingress: [
			{ action: 'Deny', from: [{ namespaces: { matchLabels: { ns: 'z' } } }] },
			{ action: 'Pass', from: [{ namespaces: {} }] },
		],
	});
	setClusterPolicy(world, 'base', {
		tier: 'Baseline',
		priority: 1,
		subject: { namespaces: {} },
		ingress: [{ action: 'Deny', from: [{ namespaces: {} }] }],
	});
	const from = [{ namespaceSelector: { matchLabels: { ns: 'y' } } }];
	setNetworkPolicy(world, 'x/web', { podSelector: {}, ingress: [{ from, ports: [{ port: 80 }] }] });
};

describe('tracePolicy', () => {
	it('names the rules in the order in which they were asked, and who decided', () => {
		const trace = tracePolicy(compiledOf(tiers).compiler, {
			...{ from: '10.244.2.1', to: '10.244.1.1', proto: 6, port: 80, viaService: false },
		});
		const [egress, ingress] = trace.directions;
		expect(trace.allowed).toBe(true);
		expect(egress).toMatchObject({
			...{ direction: 'egress', pod: 'y/a', peer: { text: '10.244.1.1 (pod x/a)' } },
			...{ set: 2, allowed: true, by: 'no policy', steps: [] },
		});
		expect(ingress).toMatchObject({
			...{ direction: 'ingress', pod: 'x/a', peer: { text: '10.244.2.1 (pod y/a)' } },
			...{ set: 1, allowed: true, by: 'NetworkPolicy x/web ingress rule 0' },
		});
		expect(ingress?.steps.map(({ rule, outcome }) => `${rule}: ${outcome}`)).toEqual([
			'ClusterNetworkPolicy admin ingress rule 0: not about this peer',
			'ClusterNetworkPolicy admin ingress rule 1: passes',
			'NetworkPolicy x/web ingress rule 0: accepts',
			'ClusterNetworkPolicy base ingress rule 0: not reached',
		]);
	});

	it.each([
		['another port', '10.244.2.1', '10.244.1.1', 81, false, 'not allowed'],
		['a denied namespace', '10.244.3.1', '10.244.1.1', 80, false, 'ClusterNetworkPolicy admin ingress rule 0'],
		['a pod of the Baseline tier', '10.244.1.1', '10.244.2.1', 80, false, 'ClusterNetworkPolicy base ingress rule 0'],
		['the own node', '192.168.0.1', '10.244.1.1', 80, true, 'own node'],
		['a pod that is not known', '10.244.9.9', '10.244.1.1', 80, false, 'ClusterNetworkPolicy admin ingress rule 0'],
		['outside', '198.51.100.1', '10.244.1.1', 80, false, 'not allowed'],
		['itself', '10.244.1.1', '10.244.1.1', 80, true, 'self'],
	])('names who decided about %s', (_what, from, to, port, allowed, by) => {
		const trace = tracePolicy(compiledOf(tiers).compiler, { from, to, proto: 6, port, viaService: false });
		const ingress = trace.directions.find(({ direction }) => direction === 'ingress');
		expect(ingress).toMatchObject({ allowed, by });
	});

	it('tells what a policy in audit mode would do, beside what is done', () => {
		const compiled = compiledOf((world) => {
			setNetworkPolicy(world, 'x/web', { podSelector: {}, ingress: [{ ports: [{ port: 80 }] }] }, 'audit');
		});
		const request = { from: '10.244.2.1', to: '10.244.1.1', proto: 6, viaService: false };
		const denied = tracePolicy(compiled.compiler, { ...request, port: 81 });
		expect(denied.directions[1]).toMatchObject({
			...{ allowed: true, audited: true, by: 'not allowed', isolatedBy: ['NetworkPolicy x/web'] },
			steps: [{ rule: 'NetworkPolicy x/web ingress rule 0', audit: true, outcome: 'not about this port' }],
		});
		const allowed = tracePolicy(compiled.compiler, { ...request, port: 80 });
		expect(allowed.directions[1]).toMatchObject({ audited: false, by: 'NetworkPolicy x/web ingress rule 0' });
	});

	it('has nothing to say when neither end is a pod of this node', () => {
		const trace = tracePolicy(compiledOf(tiers).compiler, {
			...{ from: '198.51.100.1', to: '192.168.0.1', proto: 6, port: 80, viaService: false },
		});
		expect(trace.directions).toEqual([]);
	});

	it('agrees with the simulator in random worlds, and its last rule asked is the one that decided', () => {
		for (let seed = 1; seed <= 25; seed++) {
			const maker = new Maker(seededRandom(seed));
			const world = emptyWorld();
			for (let n = 0; n < 30; n++) applyOp(world, maker.op());
			const compiled = new CompiledWorld();
			compiled.follow(world);
			for (let n = 0; n < 20; n++) {
				const flow = maker.flow(world);
				const expected = simulateFlow(world, flow);
				const { directions } = tracePolicy(compiled.compiler, { ...flow, viaService: flow.viaService ?? false });
				for (const each of directions.filter(({ direction }) => judged(world, flow).includes(direction))) {
					const { allowed, by, steps, direction } = each;
					expect([seed, direction, flow, allowed]).toEqual([seed, direction, flow, expected[direction].allowed]);
					const decided = steps.filter(({ outcome }) => outcome === 'accepts' || outcome === 'denies');
					const names = decided.map(({ rule }) => rule);
					const enforced = decided.filter(({ audit }) => !audit);
					expect([seed, flow, each.audited]).toEqual([seed, flow, expected[direction].audited ?? false]);
					if (by.includes(' rule ')) expect([seed, flow, names]).toEqual([seed, flow, expect.arrayContaining([by])]);
					else if (!each.audited) expect([seed, flow, enforced]).toEqual([seed, flow, []]);
					expect(enforced.length).toBeLessThan(2);
				}
			}
		}
	});
});

describe('listPolicies and getPolicy', () => {
	it('show whom a policy selects here, and what it could not understand', () => {
		const { compiler } = compiledOf((world) => {
			tiers(world);
			setNetworkPolicy(world, 'y/odd', { podSelector: { matchLabels: { pod: 'a' } }, mode: 'x' });
		});
		const closed = [{ policies: ['NetworkPolicy x/web'], reason: 'map policy: full' }];
		const summary = listPolicies(compiler, closed).map(({ name, tier, state, subject, pods, problems }) => [
			name,
			tier,
			state,
			subject,
			pods.length,
			...problems,
		]);
		expect(summary).toEqual([
			['ClusterNetworkPolicy admin', 'Admin 1', 'enforced', 'all pods in ns=x', 3],
			['ClusterNetworkPolicy base', 'Baseline 1', 'enforced', 'all pods in all namespaces', 9],
			['NetworkPolicy x/web', '', 'closed', 'all pods in x', 3, 'denies everything: map policy: full'],
			['NetworkPolicy y/odd', '', 'enforced', 'pods pod=a in y', 1, 'spec.mode: this version does not know the field'],
		]);
	});

	it('show rules with their numbers, peers and ports', () => {
		const { compiler } = compiledOf(tiers);
		const details = getPolicy(compiler, 'NetworkPolicy x/web')!;
		expect(details.rules).toHaveLength(1);
		const [rule] = details.rules;
		expect(rule).toMatchObject({ action: 'accept', peers: ['all pods in ns=y'], ports: ['80/TCP'], identities: 3 });
		expect(compiler.cookies.name(rule!.cookie!)).toBe('NetworkPolicy x/web ingress rule 0');
		expect(getPolicy(compiler, 'NetworkPolicy x/none')).toBeUndefined();
	});
});
