import { describe, expect, it } from 'vitest';
import { CompiledWorld, peerCidrs } from '../../test/lib/policy-compiled.ts';
import { applyOp, emptyWorld, judged, Maker, seededRandom } from '../../test/lib/policy-fuzz.ts';
import { FakePolicyKernel } from '../../test/lib/policy-kernel.ts';
import { rowFlow } from '../../test/lib/policy-rows.ts';
import { type PolicyFlow, type PolicyWorld, simulateFlow } from '../../test/lib/policy-simulator.ts';
import { type MutableWorld, setNetworkPolicy, usualWorld } from '../../test/lib/policy-world.ts';
import type { PolicyInput } from '../plan/policy/compiler.ts';
import { PolicyCompiler } from '../plan/policy/compiler.ts';
import { PolicyReconciler, readPolicyHints } from './policy.ts';
import { applyPolicyOp, policyMemory } from './policy-apply.ts';
import type { PolicyOp } from './policy-kernel.ts';

const OWN = new Set(['192.168.0.1', 'fd00:192::1']);

/** Everything a world has, as the first call wants it. */
function everything(world: PolicyWorld): PolicyInput {
	const { namespaces, pods, nodes, networkPolicies, clusterNetworkPolicies } = world;
	return { namespaces, pods, nodes, networkPolicies, clusterNetworkPolicies, peerCidrs: peerCidrs(world.clusterCidrs) };
}

interface Setup {
	readonly kernel: FakePolicyKernel;
	readonly compiler: PolicyCompiler;
	readonly reconciler: PolicyReconciler;
}

function setup(kernel = new FakePolicyKernel(), onOps?: (ops: readonly PolicyOp[]) => void): Setup {
	const compiler = new PolicyCompiler({
		nodeName: 'node-1',
		hints: readPolicyHints(kernel, (index) => kernel.podAt(index)),
	});
	const options = { kernel, compiler, refs: kernel };
	return { kernel, compiler, reconciler: new PolicyReconciler(onOps === undefined ? options : { ...options, onOps }) };
}

/** Hands a change over, and lets the others do their part. */
function follow({ kernel, compiler, reconciler }: Setup, world: PolicyWorld, input: PolicyInput) {
	const report = reconciler.update(input);
	kernel.followPods(world, compiler);
	kernel.followNodes(world, compiler);
	return report;
}

function inputOf(world: MutableWorld, key: string, kind: string): PolicyInput {
	const field = kind === 'networkPolicy' || kind === 'clusterNetworkPolicy' ? `${kind.slice(0, -1)}ies` : `${kind}s`;
	const map = world[field as 'pods'];
	return { [field]: new Map([[key, map.get(key) ?? null]]) };
}

/** Directions in which the maps judge otherwise than the simulator. */
function differences(kernel: FakePolicyKernel, world: MutableWorld, flow: PolicyFlow): string[] {
	const got = rowFlow(kernel, flow, OWN);
	const expected = simulateFlow(world, flow);
	return judged(world, flow)
		.filter((direction) => got[direction].allowed !== expected[direction].allowed)
		.map((direction) => `${direction} of ${JSON.stringify(flow)}: ${got[direction].allowed}`);
}

describe('PolicyReconciler', () => {
	it('makes maps that say what the simulator says, whatever the history', () => {
		for (let seed = 1; seed <= 10; seed++) {
			const maker = new Maker(seededRandom(seed));
			const world = emptyWorld();
			const all = setup();
			follow(all, world, everything(world));
			for (let n = 0; n < 40; n++) {
				const op = maker.op();
				applyOp(world, op);
				const { problems } = follow(all, world, inputOf(world, op.key, op.kind));
				expect(problems).toEqual([]);
				if (n % 7 === 0 && all.reconciler.hasGarbage) all.reconciler.reclaim();
				const wrong = Array.from({ length: 15 }, () => differences(all.kernel, world, maker.flow(world))).flat();
				expect([seed, n, ...wrong]).toEqual([seed, n]);
			}
			expect(all.kernel.brokenRows()).toEqual([]);
		}
	});

	it('judges every flow as before or as after, after any prefix of the operations (the agent can die there)', () => {
		for (let seed = 100; seed < 106; seed++) {
			const maker = new Maker(seededRandom(seed));
			const world = emptyWorld();
			let look: (() => void) | undefined;
			const kernel = new FakePolicyKernel();
			const memory = policyMemory(kernel);
			const all = setup(kernel, (ops) => {
				for (const each of ops) {
					applyPolicyOp(each, kernel, memory, kernel);
					look?.();
				}
			});
			follow(all, world, everything(world));
			for (let n = 0; n < 30; n++) {
				const op = maker.op();
				const flows = Array.from({ length: 8 }, () => maker.flow(world)).filter(({ from, to }) => from !== to);
				const state = () => flows.map((flow) => ({ judged: judged(world, flow), verdict: simulateFlow(world, flow) }));
				const before = state();
				applyOp(world, op);
				const after = state();
				const wrong: string[] = [];
				look = () => {
					for (const [i, flow] of flows.entries()) {
						const got = rowFlow(kernel, flow, OWN);
						for (const direction of after[i]!.judged) {
							if (!before[i]!.judged.includes(direction)) continue;
							const { allowed } = got[direction];
							if (allowed === after[i]!.verdict[direction].allowed || allowed === before[i]!.verdict[direction].allowed)
								continue;
							wrong.push(`${direction} ${JSON.stringify(flow)} ${allowed}`);
						}
					}
				};
				follow(all, world, inputOf(world, op.key, op.kind));
				if (n % 5 === 0) all.reconciler.reclaim();
				look = undefined;
				expect([seed, n, ...wrong.slice(0, 3)]).toEqual([seed, n]);
			}
		}
	});

	it('goes on after a restart without a write when nothing has changed', () => {
		for (let seed = 200; seed < 205; seed++) {
			const maker = new Maker(seededRandom(seed));
			const world = emptyWorld();
			for (let n = 0; n < 30; n++) applyOp(world, maker.op());
			const first = setup();
			follow(first, world, everything(world));
			const again = setup(first.kernel.clone());
			follow(again, world, everything(world));
			expect([seed, again.kernel.log]).toEqual([seed, []]);
		}
	});

	it('ends at the right verdicts when the agent died at any operation', () => {
		for (let seed = 300; seed < 310; seed++) {
			const maker = new Maker(seededRandom(seed));
			const world = emptyWorld();
			for (let n = 0; n < 25; n++) applyOp(world, maker.op());
			const died = new FakePolicyKernel();
			const memory = policyMemory(died);
			let left = Number.POSITIVE_INFINITY;
			const source = new FakePolicyKernel();
			const dying = setup(source, (ops) => {
				for (const op of ops) if (left-- > 0) applyPolicyOp(op, died, memory, source);
			});
			follow(dying, world, everything(world));
			died.followPods(world, dying.compiler);
			died.followNodes(world, dying.compiler);
			for (let n = 0; n < 4; n++) applyOp(world, maker.op());
			left = maker.int(40);
			dying.reconciler.update(everything(world));
			const next = setup(died);
			follow(next, world, everything(world));
			next.reconciler.reclaim();
			const wrong = Array.from({ length: 60 }, () => differences(died, world, maker.flow(world))).flat();
			expect([seed, ...wrong]).toEqual([seed]);
		}
	});

	it('heals after failing system calls', () => {
		for (let seed = 400; seed < 406; seed++) {
			const maker = new Maker(seededRandom(seed));
			const world = emptyWorld();
			const random = seededRandom(seed + 7);
			const kernel = new FakePolicyKernel({
				fault: ({ call }) => (call !== 'barrier' && random() < 0.1 ? 'ENOMEM' : undefined),
			});
			const all = setup(kernel);
			follow(all, world, everything(world));
			for (let n = 0; n < 25; n++) {
				const op = maker.op();
				applyOp(world, op);
				follow(all, world, inputOf(world, op.key, op.kind));
			}
			kernel.fault = undefined;
			expect(all.reconciler.resync().problems).toEqual([]);
			all.reconciler.reclaim();
			const wrong = Array.from({ length: 60 }, () => differences(kernel, world, maker.flow(world))).flat();
			expect([seed, ...wrong]).toEqual([seed]);
		}
	});

	it('denies what it has no room for, never allows what is forbidden, and opens when there is room', () => {
		let closed = 0;
		for (let seed = 500; seed < 508; seed++) {
			const maker = new Maker(seededRandom(seed));
			const world = emptyWorld();
			const all = setup(new FakePolicyKernel({ rows: 12, ranges: 60 }));
			follow(all, world, everything(world));
			for (let n = 0; n < 30; n++) {
				const op = maker.op();
				applyOp(world, op);
				follow(all, world, inputOf(world, op.key, op.kind));
				if (all.reconciler.hasGarbage) all.reconciler.reclaim();
				closed += all.reconciler.closed().length;
				const judgedOpen = Array.from({ length: 15 }, () => maker.flow(world)).flatMap((flow) => {
					const got = rowFlow(all.kernel, flow, OWN);
					const expected = simulateFlow(world, flow);
					return judged(world, flow).filter((d) => got[d].allowed && !expected[d].allowed);
				});
				expect([seed, n, ...judgedOpen]).toEqual([seed, n]);
			}
			for (const key of world.networkPolicies.keys()) applyOp(world, { kind: 'networkPolicy', key, raw: null });
			for (const key of world.clusterNetworkPolicies.keys())
				applyOp(world, { kind: 'clusterNetworkPolicy', key, raw: null });
			const gone = (map: ReadonlyMap<string, unknown>, names: readonly string[]) =>
				new Map(names.filter((name) => !map.has(name)).map((name) => [name, null]));
			const names = ['x', 'y', 'z'].flatMap((ns) => [0, 1, 2].map((n) => `${ns}/n${n}`));
			follow(all, world, {
				networkPolicies: gone(world.networkPolicies, names),
				clusterNetworkPolicies: gone(world.clusterNetworkPolicies, ['c0', 'c1', 'c2']),
			});
			while (all.reconciler.hasGarbage) all.reconciler.reclaim();
			expect(all.reconciler.closed()).toEqual([]);
			expect(all.kernel.rowCount).toBe(0);
			expect(all.reconciler.usage()!.ranges.used).toBe(0);
		}
		expect(closed).toBeGreaterThan(10);
	});

	it('says which policies and pods a closed set has, and why', () => {
		const world = usualWorld();
		const all = setup(new FakePolicyKernel({ rows: 1 }));
		const from = [{ podSelector: {} }];
		setNetworkPolicy(world, 'x/p', { podSelector: { matchLabels: { pod: 'a' } }, ingress: [{ from }] });
		const report = follow(all, world, everything(world));
		const reason = 'map policy: no room for another row, 1 of 1 used';
		expect(report.problems).toEqual([`policies NetworkPolicy x/p deny everything to 1 pods: ${reason}`]);
		expect(all.reconciler.closed()).toEqual([{ policies: ['NetworkPolicy x/p'], pods: ['x/a'], reason }]);
	});

	it('denies the pods of a set that has no place in the table, until they get another set', () => {
		const world = usualWorld();
		const all = setup(new FakePolicyKernel({ sets: 3 }));
		for (const ns of ['x', 'y', 'z']) setNetworkPolicy(world, `${ns}/p`, { podSelector: {}, ingress: [{}] });
		const { problems } = follow(all, world, everything(world));
		expect(problems).toEqual([
			'policies NetworkPolicy z/p deny everything to 3 pods: map policyset: no room for another set, all 2 used',
		]);
		const verdict = (to: string) =>
			rowFlow(all.kernel, { from: '10.244.2.2', to, proto: 6, port: 80 }, OWN).ingress.allowed;
		expect([verdict('10.244.1.1'), verdict('10.244.3.1')]).toEqual([true, false]);
		world.networkPolicies.delete('x/p');
		follow(all, world, { networkPolicies: new Map([['x/p', null]]) });
		all.reconciler.reclaim();
		// The pods get a set with a number that is free when something about them changes.
		setNetworkPolicy(world, 'z/q', { podSelector: {}, ingress: [{}] });
		const again = follow(all, world, { networkPolicies: new Map([['z/q', world.networkPolicies.get('z/q')!]]) });
		expect([again.problems, verdict('10.244.3.1')]).toEqual([[], true]);
	});

	it('changes one row per policy set that knows the pod when a pod elsewhere is relabelled', () => {
		const world = usualWorld();
		const ops: PolicyOp[] = [];
		const all = setup(new FakePolicyKernel(), (list) => ops.push(...list));
		for (const ns of ['x', 'y']) {
			const from = [{ namespaceSelector: {}, podSelector: { matchLabels: { role: 'web' } } }];
			setNetworkPolicy(world, `${ns}/p`, { podSelector: {}, ingress: [{ from }] });
		}
		const old = world.pods.get('z/c')!;
		world.pods.set('z/c', { ...old, node: 'node-2' });
		follow(all, world, everything(world));
		ops.length = 0;
		world.pods.set('z/c', { ...old, node: 'node-2', labels: { role: 'web' } });
		follow(all, world, { pods: new Map([['z/c', world.pods.get('z/c')!]]) });
		const kinds = ops.map(({ kind }) => kind);
		expect(kinds.filter((kind) => kind === 'row-set')).toHaveLength(2);
		expect(kinds.filter((kind) => kind === 'address-set')).toHaveLength(2);
		expect(kinds.filter((kind) => kind === 'generation-bump')).toHaveLength(6);
		expect(kinds.filter((kind) => kind === 'ranges-set')).toHaveLength(2);
		expect(kinds).toHaveLength(12);
	});

	it('bumps the generation of exactly the pods whose flows may be judged otherwise, after the rows', () => {
		const world = usualWorld();
		const all = setup();
		setNetworkPolicy(world, 'x/p', { podSelector: { matchLabels: { pod: 'a' } }, policyTypes: ['Ingress'] });
		follow(all, world, everything(world));
		const before = new Map([...world.pods.keys()].map((key) => [key, all.kernel.generation(key)]));
		setNetworkPolicy(world, 'x/p', { podSelector: { matchLabels: { pod: 'a' } }, ingress: [{}] });
		follow(all, world, { networkPolicies: new Map([['x/p', world.networkPolicies.get('x/p')!]]) });
		const bumped = [...world.pods.keys()].filter((key) => all.kernel.generation(key) !== before.get(key));
		expect(bumped).toEqual(['x/a']);
	});

	it('bumps once more after a grace period: a program may have asked who an address is before it changed', () => {
		const world = usualWorld();
		const all = setup();
		follow(all, world, everything(world));
		while (all.reconciler.hasGarbage) all.reconciler.reclaim();
		const before = all.kernel.generation('x/a');
		setNetworkPolicy(world, 'x/p', { podSelector: { matchLabels: { pod: 'a' } }, ingress: [] });
		follow(all, world, { networkPolicies: world.networkPolicies });
		const changed = all.kernel.generation('x/a');
		expect(changed).toBeGreaterThan(before);
		expect(all.reconciler.hasGarbage).toBe(true);
		all.reconciler.reclaim();
		expect(all.kernel.generation('x/a')).toBe(changed + 1);
		expect(all.reconciler.hasGarbage).toBe(false);
	});

	it('keeps a pod isolated whose own row is not there yet: its first row carries set and identity', () => {
		const world = usualWorld();
		const compiled = new CompiledWorld();
		setNetworkPolicy(world, 'x/p', { podSelector: {}, policyTypes: ['Ingress'] });
		const steps = compiled.plan(world);
		const first = steps.findIndex(({ pods }) => pods.some(({ pod }) => pod === 'x/a'));
		// No earlier step speaks of the pod: it is never said to be free.
		expect(steps[first]!.pods.find(({ pod }) => pod === 'x/a')!.set).toBeGreaterThan(0);
		const { set, identities } = compiled.compiler.endpointOf('x/a')!;
		expect(set).toBe(compiled.compiler.setOf('x/a')!.number);
		expect([...identities.keys()]).toEqual(world.pods.get('x/a')!.addresses);
		expect(compiled.compiler.endpointOf('x/nobody')).toBeUndefined();
	});
});
