import { describe, expect, it } from 'vitest';
import { SteppedClock } from '../../test/lib/stepped-clock.ts';
import { Settling } from './settling.ts';

const LIMITS = { quietMs: 500, longestMs: 2000, burst: 5, refillMs: 5000 };

function make() {
	const clock = new SteppedClock();
	const runs: number[] = [];
	const settling = new Settling({ ...LIMITS, clock, task: () => runs.push(clock.now()) });
	/** Changes of one millisecond each, for so long. */
	const storm = (ms: number): void => {
		for (let i = 0; i < ms; i++) {
			settling.note();
			clock.advance(1);
		}
	};
	return { clock, runs, settling, storm };
}

describe('changes that settle', () => {
	it('cost one run, a moment after the last of them', () => {
		const { clock, runs, settling } = make();
		for (let i = 0; i < 3; i++) {
			settling.note();
			clock.advance(400);
		}
		expect(runs).toEqual([]);
		clock.advance(60_000);
		expect(runs).toEqual([1300]);
	});

	it('have their first one wait no longer than it may', () => {
		const { runs, storm } = make();
		storm(2001);
		expect(runs).toEqual([2000]);
	});

	it('cost a bounded number of runs, however many they are, and one after the last of them', () => {
		const { clock, runs, storm } = make();
		storm(60_000);
		expect(runs.length).toBeLessThanOrEqual(LIMITS.burst + 60_000 / LIMITS.refillMs);
		expect(Math.max(...runs.map((at, i) => at - (runs[i - 1] ?? 0)))).toBeLessThanOrEqual(LIMITS.refillMs + 1);
		const during = runs.length;
		clock.advance(60_000);
		expect(runs.length).toBe(during + 1);
	});

	it('cost no more when each of them has time to settle', () => {
		const { clock, runs, settling } = make();
		for (let i = 0; i < 60; i++) {
			settling.note();
			clock.advance(1000);
		}
		expect(runs.length).toBeLessThanOrEqual(LIMITS.burst + 60_000 / LIMITS.refillMs);
	});

	it('are seen as soon as ever once they have become rare', () => {
		const { clock, runs, settling, storm } = make();
		storm(60_000);
		clock.advance(60_000);
		runs.length = 0;
		settling.note();
		clock.advance(500);
		expect(runs).toEqual([120_500]);
	});

	it('cost nothing after the end', () => {
		const { clock, runs, settling } = make();
		settling.note();
		settling.close();
		clock.advance(60_000);
		expect(runs).toEqual([]);
	});
});
