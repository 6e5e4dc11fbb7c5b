/**
 * Who is told that pods were attached or detached.
 */
export class ChangeListeners {
	readonly #listeners = new Set<() => void>();
	readonly #onError: (error: unknown) => void;
	#closed = false;

	/** @param onError  told what a listener has thrown at notifySoon() */
	constructor(onError: (error: unknown) => void) {
		this.#onError = onError;
	}

	/** @returns how to stop that */
	add(listener: () => void): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}

	/** @throws what a listener throws */
	notify(): void {
		for (const listener of this.#listeners) listener();
	}

	/** Once the runtime has its answer: it waits, listeners need not be done before. */
	notifySoon(): void {
		setImmediate(() => {
			try {
				if (!this.#closed) this.notify();
			} catch (error) {
				this.#onError(error);
			}
		});
	}

	/** What has not been told yet is not told any more. */
	close(): void {
		this.#closed = true;
	}
}
