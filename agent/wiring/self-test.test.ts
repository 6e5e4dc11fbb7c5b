import { describe, expect, it } from 'vitest';
import { awaitSelfTest } from './self-test.ts';

function start(outcomes: readonly (readonly string[] | Error)[], closeAfter = Number.POSITIVE_INFINITY) {
	const told: (readonly string[])[] = [];
	const pauses: number[] = [];
	let runs = 0;
	const result = awaitSelfTest({
		test: async () => {
			const outcome = outcomes[runs++] ?? [];
			if (outcome instanceof Error) throw outcome;
			return { failures: outcome, skipped: '' };
		},
		closed: () => runs >= closeAfter,
		onFailed: (failures) => told.push(failures),
		sleep: async (ms) => pauses.push(ms),
	});
	return { result, told, pauses };
}

describe('awaitSelfTest', () => {
	it('goes on until the test passes, with longer pauses, whatever is thrown', async () => {
		const { result, told, pauses } = start([['a'], new Error('b'), ['c'], ['d'], ['e'], ['f'], ['g'], []]);
		expect(await result).toEqual({ failures: [], skipped: '' });
		expect(told).toEqual([['a'], ['b'], ['c'], ['d'], ['e'], ['f'], ['g']]);
		expect(pauses).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
	});

	it('ends with the agent', async () => {
		const { result, told } = start([['a'], ['b'], ['c']], 2);
		expect([await result, told.length]).toEqual([undefined, 2]);
	});
});
