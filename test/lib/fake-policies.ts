/** Policies of an invented node, compiled as the agent does it: one NetworkPolicy in force, one in audit mode, one cluster policy. */
import type { PolicySources } from '../../agent/api/policy-sources.ts';
import type { ClusterView } from '../../agent/model/cluster-view.ts';
import { CompiledWorld } from './policy-compiled.ts';
import { setClusterPolicy, setNetworkPolicy, usualWorld } from './policy-world.ts';

const COUNTED = new Date('2026-01-31T12:30:00Z');

export function fakePolicies(): PolicySources {
	const world = usualWorld();
	const from = [{ namespaceSelector: { matchLabels: { ns: 'y' } } }];
	setNetworkPolicy(world, 'x/web', { podSelector: {}, ingress: [{ from, ports: [{ port: 80 }] }] });
	setNetworkPolicy(world, 'y/trial', { podSelector: { matchLabels: { pod: 'a' } }, policyTypes: ['Ingress'] }, 'audit');
	setClusterPolicy(world, 'guard', {
		tier: 'Admin',
		priority: 10,
		subject: { namespaces: { matchLabels: { ns: 'x' } } },
		ingress: [{ name: 'no z', action: 'Deny', from: [{ namespaces: { matchLabels: { ns: 'z' } } }] }],
	});
	const { compiler, ...compiled } = follow(world);
	const web = compiled.cookieOf('NetworkPolicy x/web ingress rule 0');
	const isolation = compiled.isolationOf('NetworkPolicy x/web');
	return {
		view: { ...world, services: new Map() } as unknown as ClusterView,
		compiler,
		closed: [{ policies: ['ClusterNetworkPolicy guard'], reason: 'map policy: no room for another row' }],
		counters: {
			counted: COUNTED,
			of: (cookie) => ({
				flows: cookie === web ? 2 : 0,
				allowedPackets: cookie === web ? 12n : 0n,
				allowedBytes: cookie === web ? 3000n : 0n,
				deniedPackets: cookie === isolation ? 7n : 0n,
				deniedBytes: cookie === isolation ? 420n : 0n,
			}),
		},
	};
}

function follow(world: ReturnType<typeof usualWorld>) {
	const compiled = new CompiledWorld();
	compiled.follow(world);
	const { compiler } = compiled;
	const cookieOf = (name: string): number => {
		for (const { programs } of compiler.sets()) {
			for (const { rules } of [programs.ingress, programs.egress]) {
				for (const rule of rules) if (rule.name === name) return rule.cookie;
			}
		}
		throw new Error(`no rule ${name}`);
	};
	const isolationOf = (name: string): number | undefined =>
		[...compiler.sets()]
			.map(({ programs }) => programs.ingress.isolation.all)
			.find(({ policies }) => policies.includes(name))?.cookie;
	return { compiler, cookieOf, isolationOf };
}
