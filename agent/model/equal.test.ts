import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { reuseParts } from './equal.ts';

const value = fc.jsonValue({ maxDepth: 4 });

describe('reuseParts', () => {
	it('says whether two values are equal and changes neither', () => {
		fc.assert(
			fc.property(fc.oneof(fc.tuple(value, value), fc.tuple(value, fc.constant(null))), ([old, fresh]) => {
				const next = fresh === null ? structuredClone(old) : fresh;
				const [oldText, nextText] = [JSON.stringify(old), JSON.stringify(next)];
				expect(reuseParts(old, next)).toBe(sorted(old) === sorted(next));
				expect([JSON.stringify(old), JSON.stringify(next)]).toEqual([oldText, nextText]);
			}),
		);
	});

	it('keeps the parts that have not changed', () => {
		const old = { labels: { a: 'b' }, list: [{ x: 1 }, { x: 2 }, { x: 3 }] };
		const next = { labels: { a: 'b' }, list: [{ x: 1 }, { x: 9 }, { x: 3 }, { x: 4 }] };
		expect(reuseParts(old, next)).toBe(false);
		expect(next.labels).toBe(old.labels);
		expect(next.list.map((each, i) => each === old.list[i])).toEqual([true, false, true, false]);
	});

	it('counts a key whose value is undefined as absent, and only own keys', () => {
		expect(reuseParts({ a: undefined, b: 1 }, { b: 1 })).toBe(true);
		expect(reuseParts({ b: 1 }, { a: undefined, b: 1 })).toBe(true);
		expect(reuseParts({ a: 1 }, { b: 1 })).toBe(false);
		expect(reuseParts([], {})).toBe(false);
		expect(reuseParts({}, { toString: 'x' })).toBe(false);
	});
});

/** Text in which the order of keys does not count; -0 is told from 0. */
function sorted(each: unknown): string {
	if (Object.is(each, -0)) return '-0';
	if (Array.isArray(each)) return `[${each.map(sorted).join()}]`;
	if (typeof each !== 'object' || each === null) return JSON.stringify(each);
	const entries = Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1));
	return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}:${sorted(inner)}`).join()}}`;
}
