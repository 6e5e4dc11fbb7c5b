import { expect, it } from 'vitest';
import { formatFailure, fuzzWorld } from './policy-fuzz.ts';

const CASES_PER_WORLD = 20;
/** A failing seed is printed; set it here, with the number of worlds 1, to replay. */
const FIRST_SEED = 1;

it('compiled rows say what the simulator says, in 2,000 random cases', { timeout: 60_000 }, () => {
	for (let seed = FIRST_SEED; seed < FIRST_SEED + 2000 / CASES_PER_WORLD; seed++) {
		const failure = fuzzWorld({ seed, cases: CASES_PER_WORLD, flowsPerCase: 15 });
		expect(failure && formatFailure(failure).slice(0, 8000)).toBeUndefined();
	}
});
