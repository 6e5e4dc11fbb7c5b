/**
 * Removes what the kernel still knows of released addresses. That means walking whole tables, so addresses are collected
 * for a while and share one walk; a walk that failed is repeated. What still waits when the agent ends is found again by
 * the next one, because the ledger remembers it.
 */
import type { Address } from '../model/address.ts';

export interface AddressForgetterOptions {
	/** One walk over the tables for all these addresses. */
	readonly forget: (addresses: readonly Address[]) => Promise<void>;
	/** Nothing refers to these any more. */
	readonly onForgotten: (addresses: readonly Address[]) => void;
	readonly onError: (error: unknown) => void;
	/** How long the first address waits for others. */
	readonly delayMs: number;
	/** How long after a failure the next walk comes. */
	readonly retryMs: number;
}

export class AddressForgetter {
	readonly #options: AddressForgetterOptions;
	readonly #waiting = new Set<Address>();
	#timer: NodeJS.Timeout | undefined;
	#running: Promise<void> | undefined;
	#closed = false;

	constructor(options: AddressForgetterOptions) {
		this.#options = options;
	}

	add(addresses: readonly Address[]): void {
		for (const address of addresses) this.#waiting.add(address);
		this.#schedule(this.#options.delayMs);
	}

	#schedule(delayMs: number): void {
		if (this.#closed || this.#timer !== undefined || this.#running !== undefined || this.#waiting.size === 0) return;
		this.#timer = setTimeout(() => {
			this.#timer = undefined;
			this.#running = this.#run();
		}, delayMs);
		this.#timer.unref();
	}

	async #run(): Promise<void> {
		const { forget, onForgotten, onError, delayMs, retryMs } = this.#options;
		const batch = [...this.#waiting];
		this.#waiting.clear();
		let nextMs = delayMs;
		try {
			await forget(batch);
			onForgotten(batch);
		} catch (error) {
			onError(error);
			for (const address of batch) this.#waiting.add(address);
			nextMs = retryMs;
		}
		this.#running = undefined;
		this.#schedule(nextMs);
	}

	/** Waits for the walk under way. */
	async close(): Promise<void> {
		this.#closed = true;
		clearTimeout(this.#timer);
		await this.#running;
	}
}
