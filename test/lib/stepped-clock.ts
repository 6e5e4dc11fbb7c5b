/** Time that passes only when told to, for what schedules tasks. */
export class SteppedClock {
	#nowMs = 0;
	readonly #tasks = new Set<{ readonly atMs: number; readonly task: () => void }>();

	now(): number {
		return this.#nowMs;
	}

	schedule(task: () => void, delayMs: number): () => void {
		const entry = { atMs: this.#nowMs + delayMs, task };
		this.#tasks.add(entry);
		return () => void this.#tasks.delete(entry);
	}

	/** Lets time pass; what becomes due is run at its time. */
	advance(ms: number): void {
		const endMs = this.#nowMs + ms;
		for (;;) {
			const [next] = [...this.#tasks].filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs);
			if (next === undefined) break;
			this.#tasks.delete(next);
			this.#nowMs = Math.max(this.#nowMs, next.atMs);
			next.task();
		}
		this.#nowMs = endMs;
	}
}
