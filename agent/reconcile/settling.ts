/**
 * Runs a task once changes have settled: a change seldom comes alone, and what something is between two of them is worth nothing. Many
 * changes, however many, cost a bounded number of runs.
 */
import { type LoopClock, systemClock } from './loop.ts';

export interface SettlingOptions {
	readonly task: () => void;
	/** Without a change, before the task runs. */
	readonly quietMs: number;
	/** Longest that the first change waits for the last. */
	readonly longestMs: number;
	/** Runs in a row; then there is one more for each `refillMs`. */
	readonly burst: number;
	readonly refillMs: number;
	readonly clock?: Pick<LoopClock, 'schedule'> & { now(): number };
}

export class Settling {
	readonly #options: Required<SettlingOptions>;
	/** Of the first change that no run has followed yet. */
	#firstMs: number | undefined;
	#cancel: () => void = () => undefined;
	#runsLeft: number;
	/** When #runsLeft was counted. */
	#countedMs: number;

	constructor(options: SettlingOptions) {
		this.#options = { clock: { ...systemClock, now: () => performance.now() }, ...options };
		this.#runsLeft = options.burst;
		this.#countedMs = this.#options.clock.now();
	}

	/** Something has changed. */
	note(): void {
		const { clock, quietMs, longestMs, refillMs } = this.#options;
		const now = clock.now();
		this.#refill(now);
		this.#firstMs ??= now;
		const settledMs = Math.min(quietMs, this.#firstMs + longestMs - now);
		const missing = Math.max(0, 1 - this.#runsLeft);
		this.#cancel();
		this.#cancel = clock.schedule(() => this.#run(), Math.max(0, settledMs, missing * refillMs));
	}

	/** No run comes after this. */
	close(): void {
		this.#cancel();
	}

	#run(): void {
		this.#refill(this.#options.clock.now());
		this.#runsLeft = Math.max(0, this.#runsLeft - 1);
		this.#firstMs = undefined;
		this.#options.task();
	}

	#refill(now: number): void {
		const { burst, refillMs } = this.#options;
		this.#runsLeft = Math.min(burst, this.#runsLeft + (now - this.#countedMs) / refillMs);
		this.#countedMs = now;
	}
}
