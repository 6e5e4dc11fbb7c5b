import { describe, expect, it } from 'vitest';
import { peerCidrs } from '../../test/lib/policy-compiled.ts';
import { FakePolicyKernel } from '../../test/lib/policy-kernel.ts';
import { rowFlow } from '../../test/lib/policy-rows.ts';
import { setClusterPolicy, setNetworkPolicy, usualWorld } from '../../test/lib/policy-world.ts';
import type { ClusterNetworkPolicy } from '../model/cluster-network-policy.ts';
import type { NetworkPolicy } from '../model/network-policy.ts';
import { PolicyCompiler } from '../plan/policy/compiler.ts';
import { listPolicies } from '../plan/policy/report.ts';
import { PolicyReconciler } from './policy.ts';

const OWN = new Set(['192.168.0.1', 'fd00:192::1']);

/** The policy with a peer that no code knows, as a fault of the readers would leave it. */
function withOddPeer<T extends NetworkPolicy | ClusterNetworkPolicy>(policy: T): T {
	return { ...policy, ingress: policy.ingress?.map((rule) => ({ ...rule, peers: [{ kind: 'odd' }] })) } as unknown as T;
}

function setup() {
	const world = usualWorld();
	const podB = { podSelector: { matchLabels: { pod: 'b' } } };
	const fromY = [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'y' } } }];
	setNetworkPolicy(world, 'x/good', { podSelector: { matchLabels: { pod: 'a' } }, ingress: [{ from: fromY }] });
	setNetworkPolicy(world, 'x/odd', { ...podB, ingress: [{ from: fromY }] });
	const rules = [{ action: 'Accept', from: [{ namespaces: {} }] }];
	const subject = { namespaces: { matchLabels: { 'kubernetes.io/metadata.name': 'z' } } };
	setClusterPolicy(world, 'odd', { tier: 'Admin', priority: 3, subject, ingress: rules });
	const kernel = new FakePolicyKernel();
	const compiler = new PolicyCompiler({ nodeName: 'node-1' });
	const reconciler = new PolicyReconciler({ kernel, compiler, refs: kernel });
	const follow = () => {
		const { namespaces, pods, nodes, networkPolicies, clusterNetworkPolicies } = world;
		const input = { namespaces, pods, nodes, networkPolicies, clusterNetworkPolicies };
		const report = reconciler.update({ ...input, peerCidrs: peerCidrs(world.clusterCidrs) });
		kernel.followPods(world, compiler);
		kernel.followNodes(world, compiler);
		return report;
	};
	const address = (pod: string) => world.pods.get(pod)?.addresses[0] ?? '';
	/** Who of these gets into whom. */
	const admitted = (): string[] =>
		['x/a', 'x/b', 'y/a', 'z/a'].flatMap((to) =>
			['x/c', 'y/c', 'node'].flatMap((name) => {
				const from = name === 'node' ? '192.168.0.1' : address(name);
				const { ingress } = rowFlow(kernel, { from, to: address(to), proto: 6, port: 80 }, OWN);
				return ingress.allowed ? [`${name} ${to}`] : [];
			}),
		);
	return { world, compiler, reconciler, follow, admitted };
}

const WITHOUT_FAULT = [
	...['y/c x/a', 'node x/a', 'y/c x/b', 'node x/b'],
	...['x/c y/a', 'y/c y/a', 'node y/a', 'x/c z/a', 'y/c z/a', 'node z/a'],
];

describe('a policy that throws while it is compiled', () => {
	it('closes its own pods but for the node, says so, and leaves all others as they are', () => {
		const { world, compiler, reconciler, follow, admitted } = setup();
		follow();
		expect(admitted()).toEqual(WITHOUT_FAULT);
		const networkPolicy = world.networkPolicies.get('x/odd') as NetworkPolicy;
		const clusterPolicy = world.clusterNetworkPolicies.get('odd') as ClusterNetworkPolicy;
		world.networkPolicies.set('x/odd', withOddPeer(networkPolicy));
		world.clusterNetworkPolicies.set('odd', withOddPeer(clusterPolicy));
		const { problems, closed } = follow();
		expect(admitted()).toEqual(['y/c x/a', 'node x/a', 'node x/b', 'x/c y/a', 'y/c y/a', 'node y/a', 'node z/a']);
		expect(closed.map((text) => text.replace(/: .*/, ''))).toEqual([
			'policy NetworkPolicy x/odd denies everything',
			'policy ClusterNetworkPolicy odd denies everything',
		]);
		expect(problems).toEqual(closed);
		expect(reconciler.closed().map(({ policies, pods }) => [policies, pods])).toEqual([
			[['NetworkPolicy x/odd'], ['x/b']],
			[['ClusterNetworkPolicy odd'], ['z/a', 'z/b', 'z/c']],
		]);
		const states = listPolicies(compiler, reconciler.closed()).map(({ ref, state }) => [ref.name, state]);
		expect(Object.fromEntries(states)).toEqual({ good: 'enforced', odd: 'closed' });
		world.networkPolicies.set('x/odd', networkPolicy);
		world.clusterNetworkPolicies.set('odd', clusterPolicy);
		expect(follow().closed).toEqual([]);
		expect([admitted(), reconciler.closed()]).toEqual([WITHOUT_FAULT, []]);
	});
});
