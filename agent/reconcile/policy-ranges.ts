/**
 * How the ranges of a row lie in the map `ranges` (`struct policy_extent`): few in one cache line, many in whole lines with levels
 * behind them that lead to the right one. Pure.
 */
import { PolicyExtentBits, PolicyLimit, PolicyRangeFirst } from '../../native/abi/generated.ts';
import type { Extent } from './policy-kernel.ts';

const { LINE } = PolicyLimit;
/** Elements that a packet never finds. */
const FILLER = PolicyRangeFirst.NEVER;

/** Whole lines that hold so many elements, in elements. */
function filled(count: number): number {
	return Math.ceil(count / LINE) * LINE;
}

/** Elements of the ranges and of each level above them. */
function sizes(ranges: number): number[] {
	if (ranges <= LINE) return [ranges];
	const all = [filled(ranges)];
	for (let size = filled(ranges); size > LINE; size = all.at(-1) ?? 0) all.push(filled(size / LINE));
	return all;
}

/** Elements that a row of so many ranges takes. */
export function storedSize(ranges: number): number {
	return sizes(ranges).reduce((sum, size) => sum + size, 0);
}

/** What its first element's number must be a multiple of, so that it touches as few lines as it can. */
export function storedAlignment(ranges: number): number {
	return ranges > LINE / 2 ? LINE : 2 ** Math.ceil(Math.log2(ranges));
}

/** A place for so many ranges, as programs read it. */
export function extentAt(base: number, ranges: number): Extent {
	return { base, count: (((sizes(ranges).length - 1) << PolicyExtentBits.LEVELS_SHIFT) | ranges) >>> 0 };
}

/** Ranges of an extent, without its levels. */
export function rangesIn({ count }: Extent): number {
	return count & PolicyExtentBits.RANGES_MASK;
}

/**
 * All elements of a row, two words each.
 * @param ranges  first and verdict of each, in order, the first beginning at 0
 */
export function storedWords(ranges: Uint32Array): Uint32Array {
	const levels = sizes(ranges.length / 2);
	if (levels.length === 1) return ranges;
	const words = new Uint32Array(levels.reduce((sum, size) => sum + size, 0) * 2);
	words.set(ranges);
	let [from, below] = [0, ranges.length / 2];
	for (const [n, size] of levels.entries()) {
		for (let i = below; i < size; i++) words[(from + i) * 2] = FILLER;
		const above = levels[n + 1];
		if (above === undefined) break;
		below = size / LINE;
		for (let i = 0; i < below; i++) words[(from + size + i) * 2] = words[(from + i * LINE) * 2] ?? FILLER;
		from += size;
	}
	return words;
}
