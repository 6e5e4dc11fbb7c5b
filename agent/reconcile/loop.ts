/**
 * Runs a reconciler when something changed: one run at a time, changes that arrive meanwhile gathered for the next,
 * failures retried with back-off and jitter. A failure never ends the loop.
 */
import { errorMessage } from '../model/errors.ts';

export interface LoopClock {
	/** Runs `task` after `delayMs`. @returns a function that cancels it */
	schedule(task: () => void, delayMs: number): () => void;
	/** 0 ≤ x < 1 */
	random(): number;
}

export const systemClock: LoopClock = {
	schedule: (task, delayMs) => {
		const timer = setTimeout(task, delayMs);
		return () => clearTimeout(timer);
	},
	random: () => Math.random(),
};

export interface LoopOptions {
	/** One run. `retry`: the last one failed, so everything is to be compared. @returns problems; empty = done */
	readonly run: (retry: boolean) => Promise<readonly string[]>;
	/** Called after each run that failed, and once when a run succeeds again (with an empty list). */
	readonly onProblems?: (problems: readonly string[], retryInMs: number) => void;
	/** Pause after a run before the next one begins, as a multiple of what it took. */
	readonly restFactor?: number;
	readonly minBackoffMs?: number;
	readonly maxBackoffMs?: number;
	readonly clock?: LoopClock;
}

export class ReconcileLoop {
	readonly #options: Required<Omit<LoopOptions, 'onProblems'>> & Pick<LoopOptions, 'onProblems'>;
	#wanted = false;
	#failures = 0;
	#running: Promise<void> | undefined;
	#cancelRetry: (() => void) | undefined;
	#endRest: (() => void) | undefined;
	#closed = false;

	constructor(options: LoopOptions) {
		this.#options = { restFactor: 0, minBackoffMs: 200, maxBackoffMs: 30_000, clock: systemClock, ...options };
	}

	/** Runs in a row that failed. */
	get failures(): number {
		return this.#failures;
	}

	/** Something changed: run soon. Calls while a run is under way lead to one more run. */
	request(): void {
		this.#wanted = true;
		if (this.#running === undefined && !this.#closed) this.#running = this.#drain();
	}

	/** Resolves when no run is under way and none is due at once (a retry may still wait for its time). */
	async idle(): Promise<void> {
		while (this.#running !== undefined) await this.#running;
	}

	/** Ends the loop; a run under way is finished. */
	async close(): Promise<void> {
		this.#closed = true;
		this.#cancelRetry?.();
		this.#endRest?.();
		await this.idle();
	}

	async #drain(): Promise<void> {
		await Promise.resolve();
		while (this.#wanted && !this.#closed) {
			this.#wanted = false;
			this.#cancelRetry?.();
			const start = performance.now();
			this.#settle(await this.#runOnce());
			await this.#rest((performance.now() - start) * this.#options.restFactor);
		}
		this.#running = undefined;
	}

	async #rest(ms: number): Promise<void> {
		if (this.#options.restFactor === 0 || this.#closed) return;
		const { promise, resolve } = Promise.withResolvers<void>();
		const cancel = this.#options.clock.schedule(resolve, Math.ceil(ms));
		this.#endRest = () => {
			cancel();
			resolve();
		};
		await promise;
		this.#endRest = undefined;
	}

	async #runOnce(): Promise<readonly string[]> {
		try {
			return await this.#options.run(this.#failures > 0);
		} catch (thrown) {
			return [errorMessage(thrown)];
		}
	}

	#settle(problems: readonly string[]): void {
		if (problems.length === 0) {
			if (this.#failures > 0) this.#options.onProblems?.([], 0);
			this.#failures = 0;
			return;
		}
		const { minBackoffMs, maxBackoffMs, clock } = this.#options;
		const backoffMs = Math.min(maxBackoffMs, minBackoffMs * 2 ** Math.min(this.#failures, 20));
		const delayMs = Math.round(backoffMs * (0.5 + clock.random() / 2));
		this.#failures++;
		this.#options.onProblems?.(problems, delayMs);
		this.#cancelRetry = clock.schedule(() => this.request(), delayMs);
	}
}
