/** What a benchmark says about itself, and the arithmetic that all of them share. */

/** One measured number. `id` never changes its meaning: results are compared over time. */
export interface Figure {
	readonly id: string;
	/** Median of the runs. */
	readonly value: number;
	readonly unit: string;
	/** What the value is above or relative to. */
	readonly baseline: string;
	readonly runs: number;
	/** Conditions that a reader needs: occupancy, spread, sizes. */
	readonly note: string;
}

/** What issue 2 asks of a figure; printed beside it, never a pass or fail. */
export interface Target {
	readonly atMost?: number;
	readonly atLeast?: number;
}

export interface FigureInfo {
	readonly id: string;
	readonly what: string;
	readonly target?: Target;
}

/** Figures that share a set-up. */
export interface Suite {
	readonly name: string;
	readonly figures: readonly FigureInfo[];
	/**
	 * Measures the figures with these ids; sets itself up and tears itself down.
	 * @param progress  says what is being done, for people
	 */
	run(ids: ReadonlySet<string>, progress: (text: string) => void): Promise<readonly Figure[]>;
}

/** Median; the mean of the two middle values for an even count. Throws on an empty list. */
export function median(values: readonly number[]): number {
	const sorted = [...values].sort((a, b) => a - b);
	const low = sorted[Math.floor((sorted.length - 1) / 2)];
	const high = sorted[Math.floor(sorted.length / 2)];
	if (low === undefined || high === undefined) {
		throw new RangeError('median of nothing');
	}
	return (low + high) / 2;
}

/** Smallest and largest value, for a note. */
export function spread(values: readonly number[], digits = 0): string {
	return `${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)}`;
}

/** Rounds to four significant digits: more is noise. */
export function rounded(value: number): number {
	return Number(value.toPrecision(4));
}

/** "yes", "no" or "" (no target). */
export function reached(value: number, target: Target | undefined): string {
	if (!target) {
		return '';
	}
	const ok = value <= (target.atMost ?? Infinity) && value >= (target.atLeast ?? -Infinity);
	return ok ? 'yes' : 'no';
}

export function targetText(target: Target | undefined): string {
	if (!target) {
		return '';
	}
	return target.atMost === undefined ? `≥ ${target.atLeast}` : `≤ ${target.atMost}`;
}
