/**
 * Runs of random tests: the seed is printed, and a run is repeated with it.
 *   FAIRLEAD_TEST_SEED=123 [FAIRLEAD_TEST_PATH=4:1:0] [FAIRLEAD_TEST_RUNS=1000] vitest run FILE
 * A failure says seed and path of the shrunk case.
 */
import type fc from 'fast-check';

export function randomRuns<T>(what: string, numRuns: number): fc.Parameters<T> {
	const { FAIRLEAD_TEST_SEED, FAIRLEAD_TEST_PATH, FAIRLEAD_TEST_RUNS } = process.env;
	const seed = FAIRLEAD_TEST_SEED === undefined ? Date.now() & 0x7fffffff : Number(FAIRLEAD_TEST_SEED);
	console.info(`${what}: FAIRLEAD_TEST_SEED=${seed}`);
	return {
		seed,
		numRuns: Number(FAIRLEAD_TEST_RUNS ?? numRuns),
		...(FAIRLEAD_TEST_PATH !== undefined && { path: FAIRLEAD_TEST_PATH }),
		endOnFailure: false,
	};
}
