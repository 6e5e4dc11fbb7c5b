/**
 * The addresses an API server may be found at, and the one in use. Those that were configured come first, then those that the
 * cluster itself has told of: they are what is left when a virtual address of the configuration leads nowhere yet.
 */
export interface ServerChoice {
	/** 'https://192.0.2.1:6443' */
	readonly url: string;
	/** Told by the cluster: its certificate may name the Service instead of this address. */
	readonly told: boolean;
}

export class ServerList {
	readonly #configured: readonly string[];
	#told: readonly string[];
	#current: ServerChoice | undefined;
	/** Failed since the last success of any. */
	readonly #failed = new Set<string>();

	constructor(configured: readonly string[], told: readonly string[]) {
		this.#configured = [...new Set(configured)];
		this.#told = told;
	}

	get all(): readonly ServerChoice[] {
		const told = this.#told.filter((url) => !this.#configured.includes(url));
		return [...this.#configured.map((url) => ({ url, told: false })), ...told.map((url) => ({ url, told: true }))];
	}

	/** The one to ask now; undefined = none is known. It stays the same until it fails. */
	get current(): ServerChoice | undefined {
		this.#current ??= this.all[0];
		return this.#current;
	}

	/** Addresses as the cluster tells them now. */
	tell(urls: readonly string[]): void {
		this.#told = urls;
	}

	succeeded(url: string): void {
		if (this.current?.url === url) this.#failed.clear();
	}

	/**
	 * Goes on to the next one, unless another request has done so already.
	 * @returns true when there is one that has not failed since the last success: worth asking at once
	 */
	failed(url: string): boolean {
		this.#failed.add(url);
		const { all, current } = this;
		if (current?.url === url) {
			const at = all.findIndex((each) => each.url === url);
			this.#current = all[(at + 1) % all.length];
		}
		const fresh = this.#current !== undefined && !this.#failed.has(this.#current.url);
		if (!fresh && all.every((each) => this.#failed.has(each.url))) this.#failed.clear();
		return fresh;
	}
}
