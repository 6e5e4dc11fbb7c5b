import { describe, expect, it } from 'vitest';
import { peerCidrs } from '../../test/lib/policy-compiled.ts';
import { applyOp, emptyWorld, judged, Maker, seededRandom } from '../../test/lib/policy-fuzz.ts';
import { FakePolicyKernel } from '../../test/lib/policy-kernel.ts';
import { rowFlow } from '../../test/lib/policy-rows.ts';
import { type PolicyWorld, simulateFlow } from '../../test/lib/policy-simulator.ts';
import { setNetworkPolicy, usualWorld } from '../../test/lib/policy-world.ts';
import { PolicyCompiler, type PolicyInput } from '../plan/policy/compiler.ts';
import { PolicyReconciler } from './policy.ts';

const OWN = new Set(['192.168.0.1', 'fd00:192::1']);

function everything(world: PolicyWorld): PolicyInput {
	const { namespaces, pods, nodes, networkPolicies, clusterNetworkPolicies } = world;
	return { namespaces, pods, nodes, networkPolicies, clusterNetworkPolicies, peerCidrs: peerCidrs(world.clusterCidrs) };
}

function setup(kernel: FakePolicyKernel, world: PolicyWorld) {
	const compiler = new PolicyCompiler({ nodeName: 'node-1' });
	const reconciler = new PolicyReconciler({ kernel, compiler, refs: kernel });
	const follow = (input: PolicyInput) => {
		const report = reconciler.update(input);
		kernel.followPods(world, compiler);
		kernel.followNodes(world, compiler);
		return report;
	};
	return { reconciler, follow, first: follow(everything(world)) };
}

describe('a table of rows that is full', () => {
	it('cuts nobody off who only has policies in audit mode, and everybody as soon as one is enforced', () => {
		const world = usualWorld();
		const ports = [1, 2, 3, 4].map((n) => ({ port: n * 2 }));
		const spec = { podSelector: {}, ingress: [{ ports }] };
		setNetworkPolicy(world, 'x/p', spec, 'audit');
		const kernel = new FakePolicyKernel({ ranges: 2 });
		const { follow, first } = setup(kernel, world);
		expect(first.closed).toEqual([expect.stringMatching(/^policies NetworkPolicy x\/p report nothing about 3 pods: /)]);
		const [from, to] = [world.pods.get('y/a')!.addresses[0]!, world.pods.get('x/a')!.addresses[0]!];
		const allowed = () => rowFlow(kernel, { from, to, proto: 6, port: 80 }, OWN).ingress.allowed;
		expect(allowed()).toBe(true);
		setNetworkPolicy(world, 'x/p', spec);
		const { closed } = follow(everything(world));
		expect(closed).toEqual([expect.stringMatching(/deny everything to 3 pods/)]);
		expect(allowed()).toBe(false);
		setNetworkPolicy(world, 'x/p', spec, 'audit');
		follow(everything(world));
		expect(allowed()).toBe(true);
	});
});

describe('a table of addresses that is full', () => {
	it('leaves pods elsewhere unknown, does everything else, and never allows what is forbidden', () => {
		let full = 0;
		for (let seed = 600; seed < 604; seed++) {
			const maker = new Maker(seededRandom(seed));
			const world = emptyWorld();
			const kernel = new FakePolicyKernel({ ipcache: 4 });
			const { follow, reconciler } = setup(kernel, world);
			for (let n = 0; n < 40; n++) {
				const op = maker.op();
				applyOp(world, op);
				const report = follow(everything(world));
				full += report.closed.length;
				expect(report.problems).toEqual(report.closed);
				if (n % 7 === 0) reconciler.reclaim();
				const wrong = Array.from({ length: 15 }, () => maker.flow(world)).flatMap((flow) => {
					const [got, expected] = [rowFlow(kernel, flow, OWN), simulateFlow(world, flow)];
					return judged(world, flow).filter((way) => got[way].allowed && !expected[way].allowed);
				});
				expect([seed, n, ...wrong]).toEqual([seed, n]);
			}
			kernel.limits.ipcache = 65536;
			reconciler.reclaim();
			const { problems } = follow({});
			expect(problems).toEqual([]);
			const different = Array.from({ length: 60 }, () => maker.flow(world)).flatMap((flow) => {
				const [got, expected] = [rowFlow(kernel, flow, OWN), simulateFlow(world, flow)];
				return judged(world, flow).filter((way) => got[way].allowed !== expected[way].allowed);
			});
			expect([seed, ...different]).toEqual([seed]);
		}
		expect(full).toBeGreaterThan(10);
	});

	it('says how many, judges their flows anew when there is room, and keeps others as they are', () => {
		const world = usualWorld();
		for (const name of ['a', 'b', 'c']) {
			const old = world.pods.get(`z/${name}`)!;
			world.pods.set(`z/${name}`, { ...old, node: 'node-2' });
		}
		const from = [{ namespaceSelector: { matchLabels: { ns: 'z' } } }];
		setNetworkPolicy(world, 'x/p', { podSelector: {}, ingress: [{ from }] });
		const kernel = new FakePolicyKernel({ ipcache: 2 });
		const { follow, reconciler, first } = setup(kernel, world);
		expect(first.closed).toEqual([
			'map ipcache: 4 pods of other nodes are judged as pods that are not known: all 2 entries used; raise maps.ipcache',
		]);
		const verdict = (source: string) => {
			const [from, to] = [world.pods.get(source)!.addresses[0]!, world.pods.get('x/a')!.addresses[0]!];
			return rowFlow(kernel, { from, to, proto: 6, port: 80 }, OWN).ingress.allowed;
		};
		expect([verdict('z/a'), verdict('z/c')]).toEqual([true, false]);
		const before = kernel.generation('x/a');
		kernel.limits.ipcache = 65536;
		expect(reconciler.reclaim().problems).toEqual([]);
		expect([verdict('z/a'), verdict('z/c')]).toEqual([true, true]);
		expect(kernel.generation('x/a')).toBeGreaterThan(before);
		expect(follow({}).ops).toBe(0);
	});

	it('closes the sets whose rules tell apart a prefix without an entry, until it has one', () => {
		const world = usualWorld();
		const block = (cidr: string, except: string[] = []) => [{ from: [{ ipBlock: { cidr, except } }] }];
		setNetworkPolicy(world, 'x/p', { podSelector: {}, ingress: block('203.0.113.0/24') });
		const kernel = new FakePolicyKernel();
		const { follow, reconciler } = setup(kernel, world);
		kernel.limits.cidrs = 0;
		setNetworkPolicy(world, 'y/p', { podSelector: {}, ingress: block('198.51.100.0/24', ['198.51.100.7/32']) });
		const report = follow({ networkPolicies: new Map([['y/p', world.networkPolicies.get('y/p')!]]) });
		expect(report.problems).toEqual(report.closed);
		expect(reconciler.closed()).toEqual([
			{
				policies: ['NetworkPolicy y/p'],
				pods: ['y/a', 'y/b', 'y/c'],
				reason: expect.stringMatching(/^map cidrs: no room for 198\.51\.100\./),
			},
		]);
		const verdict = (from: string, pod: string) =>
			rowFlow(kernel, { from, to: world.pods.get(pod)!.addresses[0]!, proto: 6, port: 80 }, OWN).ingress.allowed;
		expect([verdict('203.0.113.1', 'x/a'), verdict('198.51.100.7', 'y/a')]).toEqual([true, false]);
		expect(reconciler.reclaim().closed).toHaveLength(1);
		kernel.limits.cidrs = 65536;
		expect(reconciler.reclaim().closed.length + follow({}).closed.length).toBeLessThan(2);
		expect(follow({}).problems).toEqual([]);
		expect([verdict('198.51.100.1', 'y/a'), verdict('198.51.100.7', 'y/a')]).toEqual([true, false]);
	});
});

describe('a set that has no room', () => {
	it('is left alone between attempts to open it', () => {
		const world = usualWorld();
		const kernel = new FakePolicyKernel({ ranges: 12 });
		const ports = Array.from({ length: 20 }, (_, n) => ({ protocol: 'TCP', port: 2 * n + 1 }));
		setNetworkPolicy(world, 'x/p', { podSelector: {}, ingress: [{ from: [{ podSelector: {} }], ports }] });
		const { reconciler, first } = setup(kernel, world);
		expect(first.closed).toEqual([expect.stringMatching(/^policies NetworkPolicy x\/p .* 3 pods: map ranges/)]);
		for (let n = 0; n < 3 && reconciler.hasGarbage; n++) reconciler.reclaim(false);
		expect(reconciler.hasGarbage).toBe(false);
		const generation = kernel.generation('x/a');
		reconciler.reclaim();
		expect(reconciler.closed()).toHaveLength(1);
		expect(kernel.generation('x/a')).toBe(generation);
	});
});
