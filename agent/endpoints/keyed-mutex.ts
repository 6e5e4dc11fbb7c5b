/**
 * One task at a time per key; tasks of different keys run side by side.
 */
export class KeyedMutex {
	readonly #tails = new Map<string, Promise<void>>();

	/** Runs `task` after all earlier ones of the same key have ended, well or not. */
	async run<T>(key: string, task: () => Promise<T>): Promise<T> {
		const before = this.#tails.get(key);
		const { promise, resolve } = Promise.withResolvers<void>();
		this.#tails.set(key, promise);
		try {
			await before;
			return await task();
		} finally {
			if (this.#tails.get(key) === promise) this.#tails.delete(key);
			resolve();
		}
	}

	/** Keys with a task that runs or waits. */
	get size(): number {
		return this.#tails.size;
	}
}
