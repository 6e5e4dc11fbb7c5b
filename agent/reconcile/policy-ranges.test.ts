import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PolicyLimit, PolicyRangeFirst } from '../../native/abi/generated.ts';
import { extentAt, rangesIn, storedAlignment, storedSize, storedWords } from './policy-ranges.ts';

/** Verdict of the row in force for `wanted`, found as bpf/lib/policy.h does: a line of each level. @returns it, and the lines that were read */
function search(words: Uint32Array, count: number, levels: number, wanted: number): { verdict: number; lines: number } {
	const { LINE } = PolicyLimit;
	const starts = [0];
	let size = Math.ceil(count / LINE) * LINE;
	for (let n = 0; n < levels; n++) {
		starts.push((starts.at(-1) ?? 0) + size);
		size = Math.ceil(size / LINE / LINE) * LINE;
	}
	let line = 0;
	for (const start of starts.reverse()) {
		const at = start + line * LINE;
		const end = levels === 0 ? count : at + LINE;
		let last = at;
		for (let i = at; i < end; i++) if ((words[i * 2] ?? 0) <= wanted) last = i;
		line = last - start;
	}
	return { verdict: words[line * 2 + 1] ?? 0, lines: levels + 1 };
}

function rowOf(count: number): Uint32Array {
	return Uint32Array.from({ length: count * 2 }, (_, i) => (i % 2 === 0 ? (i / 2) * 3 : i / 2 + 100));
}

describe('ranges in the map', () => {
	it.each([
		[1, 1, 0],
		[8, 8, 0],
		[9, 16 + 8, 1],
		[64, 64 + 8, 1],
		[65, 72 + 16 + 8, 2],
		[512, 512 + 64 + 8, 2],
		[4096, 4096 + 512 + 64 + 8, 3],
		[8192, 8192 + 1024 + 128 + 16 + 8, 4],
	])('of %i take %i elements and %i levels', (count, size, levels) => {
		expect(storedSize(count)).toBe(size);
		expect(storedWords(rowOf(count))).toHaveLength(size * 2);
		expect(extentAt(16, count)).toEqual({ base: 16, count: levels * 2 ** 24 + count });
		expect(rangesIn(extentAt(16, count))).toBe(count);
	});

	it('lead to the range of every protocol and port by one cache line of each level', () => {
		const counts = fc.oneof(fc.integer({ min: 1, max: 130 }), fc.integer({ min: 1, max: PolicyLimit.RANGES }));
		fc.assert(
			fc.property(counts, fc.array(fc.nat(0xffffff), { minLength: 20, maxLength: 20 }), (count, asked) => {
				const words = storedWords(rowOf(count));
				const levels = extentAt(0, count).count >>> 24;
				for (const wanted of [
					0,
					1,
					2,
					3,
					count * 3 - 1,
					count * 3,
					...asked.map((each) => each % (count * 4)),
					0xffffff,
				]) {
					const { verdict, lines } = search(words, count, levels, wanted);
					expect([wanted, verdict]).toEqual([wanted, Math.min(count - 1, Math.floor(wanted / 3)) + 100]);
					expect(lines).toBeLessThanOrEqual(PolicyLimit.LEVELS + 1);
				}
			}),
			{ numRuns: 60 },
		);
	});

	it('begin where they touch as few lines as they can, and fill lines up with what no packet finds', () => {
		expect([1, 2, 3, 4, 5, 8, 9, 8192].map(storedAlignment)).toEqual([1, 2, 4, 4, 8, 8, 8, 8]);
		const words = storedWords(rowOf(9));
		expect([...words].filter((_, i) => i % 2 === 0)).toEqual([
			...[0, 3, 6, 9, 12, 15, 18, 21, 24, ...new Array<number>(7).fill(PolicyRangeFirst.NEVER)],
			...[0, 24, ...new Array<number>(6).fill(PolicyRangeFirst.NEVER)],
		]);
		expect(PolicyRangeFirst.NEVER).toBeGreaterThan(0xffffff);
	});
});
