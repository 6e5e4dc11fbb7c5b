/**
 * Random policies against the simulator, many of them: `npm run fuzz -- [--cases N] [--seed N]`. Exit code 1 at the first
 * difference, with the seed and the shortest history found; `--cases 20 --seed N` replays a world.
 */
import { parseArgs } from 'node:util';
import { formatFailure, fuzzWorld } from './policy-fuzz.ts';

const CASES_PER_WORLD = 20;
const PROGRESS_EVERY = 10_000;

const { values } = parseArgs({
	options: { cases: { type: 'string', default: '100000' }, seed: { type: 'string', default: '100000' } },
});
const wanted = Number(values.cases);
const first = Number(values.seed);
const start = performance.now();
let done = 0;
for (let seed = first; done < wanted; seed++) {
	const failure = fuzzWorld({ seed, cases: CASES_PER_WORLD, flowsPerCase: 30 });
	if (failure !== undefined) {
		process.stdout.write(`${formatFailure(failure)}\n`);
		process.exit(1);
	}
	done += CASES_PER_WORLD;
	if (done % PROGRESS_EVERY === 0) {
		process.stdout.write(
			`${done} cases, seeds ${first} to ${seed}, ${Math.round((performance.now() - start) / 1000)} s\n`,
		);
	}
}
process.stdout.write(`${done} random cases without a difference\n`);
