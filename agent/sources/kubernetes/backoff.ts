/**
 * Growing pauses between attempts, different on every node: thousands of agents lose the same API server at the same moment.
 */
export interface BackoffOptions {
	/** The first pause is between half of this and one and a half times this. */
	readonly firstMs: number;
	readonly longestMs: number;
	/** In [0, 1). */
	readonly random: () => number;
}

export class Backoff {
	readonly #options: BackoffOptions;
	#nextMs: number;

	constructor(options: BackoffOptions) {
		this.#options = options;
		this.#nextMs = options.firstMs;
	}

	/** Milliseconds until the next attempt. */
	next(): number {
		const { longestMs, random } = this.#options;
		const base = this.#nextMs;
		this.#nextMs = Math.min(base * 2, longestMs);
		return base * (0.5 + random());
	}

	/** After a success. */
	reset(): void {
		this.#nextMs = this.#options.firstMs;
	}
}
