import { describe, expect, it } from 'vitest';
import { median, reached, rounded, spread, targetText } from './figures.ts';
import { suites } from './suites.ts';

describe('figures', () => {
	it('takes the middle value, or the mean of the two middle ones', () => {
		expect(median([3, 1, 2])).toBe(2);
		expect(median([4, 1, 2, 3])).toBe(2.5);
		expect(() => median([])).toThrow(RangeError);
	});

	it('says whether a target is reached', () => {
		expect([reached(100, { atMost: 100 }), reached(101, { atMost: 100 })]).toEqual(['yes', 'no']);
		expect([reached(1.05, { atLeast: 1.05 }), reached(1, { atLeast: 1.05 }), reached(1, undefined)]).toEqual([
			'yes',
			'no',
			'',
		]);
		expect([targetText({ atMost: 1 }), targetText({ atLeast: 2 })]).toEqual(['≤ 1', '≥ 2']);
	});

	it('prints spread and rounds to what is known', () => {
		expect(spread([1.25, 3], 1)).toBe('1.3–3.0');
		expect(rounded(123.456)).toBe(123.5);
	});

	it('gives every figure one id', () => {
		const ids = suites.flatMap((suite) => suite.figures.map((figure) => figure.id));
		expect(new Set(ids).size).toBe(ids.length);
	});
});
