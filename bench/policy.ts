/** What policies cost the agent: a full compilation, one changed pod down to the maps, and random cases without a difference. */
import { PolicyCompiler, type PolicyInput } from '../agent/plan/policy/compiler.ts';
import { PolicyReconciler } from '../agent/reconcile/policy.ts';
import { peerCidrs } from '../test/lib/policy-compiled.ts';
import { fuzzWorld } from '../test/lib/policy-fuzz.ts';
import { FakePolicyKernel } from '../test/lib/policy-kernel.ts';
import { scalePod, scaleWorld } from '../test/lib/policy-scale.ts';
import type { Figure, FigureInfo, Suite } from './figures.ts';
import { median, rounded, spread } from './figures.ts';
import { measureTc, type TcFigure } from './tc.ts';

const SCALE = { namespaces: 100, podsPerNamespace: 50, policiesPerNamespace: 10, localOneIn: 20 };
const COMPILE_RUNS = 5;
const CHANGES = 2000;
const FUZZ_CASES = 100_000;
const CASES_PER_WORLD = 20;

const firstPacket = { kind: 'policy-first', family: 4, services: 1, flows: 1024 } as const;

/** One enforced direction: the client's egress. */
const PROGRAM_FIGURES: readonly TcFigure[] = [
	{
		id: 'policy.first.ns',
		what: 'first packet of a flow with 10,000 rules above the same without policy',
		target: { atMost: 100 },
		scenario: { ...firstPacket, rules: 10_000 },
	},
	{
		id: 'policy.first.10.ns',
		what: 'the same with 10 rules',
		target: { atMost: 100 },
		scenario: { ...firstPacket, rules: 10 },
	},
	{
		id: 'policy.established.ns',
		what: 'established packet with 10,000 rules above the same without policy',
		target: { atMost: 3 },
		scenario: { kind: 'policy-established', family: 4, services: 1, flows: 1, rules: 10_000 },
	},
];

const FIGURES: readonly FigureInfo[] = [
	...PROGRAM_FIGURES,
	{ id: 'policy.compile.s', what: '1,000 policies × 5,000 pods compiled from nothing', target: { atMost: 1.5 } },
	{
		id: 'policy.change.p99_ms',
		what: 'one pod relabelled or added at that size, until the maps are done',
		target: { atMost: 3 },
	},
	{ id: 'policy.fuzz.cases', what: 'random cases in which rows and simulator agree', target: { atLeast: FUZZ_CASES } },
];

function everything(): PolicyInput {
	const world = scaleWorld(SCALE);
	const { namespaces, pods, nodes, networkPolicies, clusterNetworkPolicies } = world;
	return { namespaces, pods, nodes, networkPolicies, clusterNetworkPolicies, peerCidrs: peerCidrs(world.clusterCidrs) };
}

function measureCompile(): Figure {
	const input = everything();
	const took: number[] = [];
	let rows = 0;
	for (let i = 0; i < COMPILE_RUNS; i++) {
		const compiler = new PolicyCompiler({ nodeName: 'node-1' });
		const start = performance.now();
		const steps = compiler.apply(input);
		took.push((performance.now() - start) / 1000);
		rows = steps.reduce((sum, step) => sum + step.rows.length, 0);
	}
	const note = `${rows} rows; spread ${spread(took, 3)}`;
	return { id: 'policy.compile.s', value: rounded(median(took)), unit: 's', baseline: '', runs: COMPILE_RUNS, note };
}

/** Maps are the fake ones: their system calls, about 1 µs each, are counted in the note. */
function measureChange(): Figure {
	const kernel = new FakePolicyKernel({ rows: 262_144, ranges: 131_072 });
	const compiler = new PolicyCompiler({ nodeName: 'node-1' });
	let ops = 0;
	const reconciler = new PolicyReconciler({ kernel, compiler, refs: kernel, onOps: (list) => (ops = list.length) });
	reconciler.update(everything());
	const took: number[] = [];
	let most = 0;
	for (let n = 0; n < CHANGES; n++) {
		const namespace = n % SCALE.namespaces;
		const added = n % 2 === 0;
		const name = added ? SCALE.podsPerNamespace + n : (n * 7) % SCALE.podsPerNamespace;
		const old = scalePod(SCALE, namespace, name % SCALE.podsPerNamespace, { role: `r${n % 3}` });
		const pod = added ? { ...old, name: `p-${name}`, addresses: [`10.100.${n >> 8}.${n & 255}`] } : old;
		const start = performance.now();
		reconciler.update({ pods: new Map([[`ns-${namespace}/p-${name}`, pod]]) });
		took.push(performance.now() - start);
		most = Math.max(most, ops);
		// As the agent does when nothing else is due.
		if (n % 100 === 99) reconciler.reclaim();
	}
	took.sort((a, b) => a - b);
	const p99 = took[Math.floor(took.length * 0.99)] ?? 0;
	const note = `median ${rounded(median(took))}; at most ${most} operations`;
	return { id: 'policy.change.p99_ms', value: rounded(p99), unit: 'ms', baseline: '', runs: CHANGES, note };
}

function measureFuzz(progress: (text: string) => void): Figure {
	let cases = 0;
	for (let seed = 1; cases < FUZZ_CASES; seed++) {
		if (fuzzWorld({ seed, cases: CASES_PER_WORLD, flowsPerCase: 30 }) !== undefined) {
			progress(`seed ${seed} differs: npm run fuzz -- --cases ${CASES_PER_WORLD} --seed ${seed}`);
			break;
		}
		cases += CASES_PER_WORLD;
		if (cases % 20_000 === 0) progress(`${cases} random cases`);
	}
	return { id: 'policy.fuzz.cases', value: cases, unit: 'cases', baseline: '', runs: 1, note: '30 flows each' };
}

export const policySuite: Suite = {
	name: 'policy',
	figures: FIGURES,
	async run(ids, progress) {
		const figures: Figure[] = [
			...(await measureTc(
				PROGRAM_FIGURES.filter(({ id }) => ids.has(id)),
				progress,
			)),
		];
		if (ids.has('policy.compile.s')) figures.push(measureCompile());
		if (ids.has('policy.change.p99_ms')) figures.push(measureChange());
		if (ids.has('policy.fuzz.cases')) figures.push(measureFuzz(progress));
		return figures;
	},
};
