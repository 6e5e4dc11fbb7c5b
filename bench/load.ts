/** What the verifier costs a first start: all programs of an agent with XDP, as it loads them, attached nowhere. */
import { buildPrograms } from '../scripts/build-bpf.ts';
import { loadPrograms, type VerifiedPrograms } from '../test/lib/verified-programs.ts';
import { type Figure, type FigureInfo, median, rounded, type Suite, spread } from './figures.ts';

const ROUNDS = 5;
const CONDITIONS = 'all programs of an agent, default options, with XDP';

const FIGURES: readonly FigureInfo[] = [
	{ id: 'load.instructions', what: 'instructions that the verifier looks at; the same in every run on a kernel' },
	{ id: 'load.cpu.ms', what: 'CPU time from the first map to the last accepted program' },
	{ id: 'load.ms', what: 'the same, time on the clock' },
];

/** Sum, and in the note the programs that make most of it. */
function instructionsFigure({ instructions }: VerifiedPrograms): Omit<Figure, 'id'> {
	const largest = [...instructions].sort(([, a], [, b]) => b - a).slice(0, 4);
	const value = [...instructions.values()].reduce((sum, count) => sum + count, 0);
	const note = largest.map(([name, count]) => `${name} ${count}`).join(', ');
	return { value, unit: '', baseline: CONDITIONS, runs: 1, note };
}

function timeFigure(samples: readonly number[]): Omit<Figure, 'id'> {
	const value = rounded(median(samples));
	return { value, unit: 'ms', baseline: CONDITIONS, runs: samples.length, note: `spread ${spread(samples)}` };
}

export const loadSuite: Suite = {
	name: 'loading',
	figures: FIGURES,
	async run(ids, progress) {
		await buildPrograms();
		const rounds: VerifiedPrograms[] = [];
		for (let i = 0; i < ROUNDS; i++) {
			progress(`round ${i + 1} of ${ROUNDS}`);
			rounds.push(await loadPrograms());
		}
		const [first] = rounds;
		if (first === undefined) return [];
		const figures: readonly Figure[] = [
			{ id: 'load.instructions', ...instructionsFigure(first) },
			{ id: 'load.cpu.ms', ...timeFigure(rounds.map(({ cpuMs }) => cpuMs)) },
			{ id: 'load.ms', ...timeFigure(rounds.map(({ ms }) => ms)) },
		];
		return figures.filter(({ id }) => ids.has(id));
	},
};
