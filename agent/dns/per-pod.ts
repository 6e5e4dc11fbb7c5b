/** As many as a node can have: only pods that are gone are ever forgotten as a whole. */
const MAX_PODS = 4096;

/** Something by pod and key, at most so many of one pod: what one pod does cannot push out what is known of another. */
export class PerPod<T> {
	readonly #limit: number;
	readonly #pods = new Map<string, Map<string, T>>();

	/** @param limit  entries of one pod; the oldest goes for a new one */
	constructor(limit: number) {
		this.#limit = limit;
	}

	get(pod: string, key: string): T | undefined {
		return this.#pods.get(pod)?.get(key);
	}

	/** Makes it the youngest of its pod. */
	set(pod: string, key: string, value: T): void {
		let own = this.#pods.get(pod);
		if (own === undefined) {
			own = new Map();
			const [first] = this.#pods.keys();
			if (this.#pods.size >= MAX_PODS && first !== undefined) this.#pods.delete(first);
			this.#pods.set(pod, own);
		}
		own.delete(key);
		const [oldest] = own.keys();
		if (own.size >= this.#limit && oldest !== undefined) own.delete(oldest);
		own.set(key, value);
	}

	delete(pod: string, key: string): void {
		const own = this.#pods.get(pod);
		if (own?.delete(key) && own.size === 0) this.#pods.delete(pod);
	}
}
