/**
 * A server that comes up as soon as it can: a port that another program holds (kube-proxy, on a node that changes over)
 * must not keep the dataplane from starting.
 */
import { errorMessage } from '../model/errors.ts';
import type { HttpRoute, HttpServer } from './http-server.ts';
import { parseListenAddress, startHttpServer } from './http-server.ts';

export interface SteadyServerOptions {
	/** HOST:PORT or 'off'. */
	readonly address: string;
	readonly routes: Readonly<Record<string, HttpRoute>>;
	/** Called when it cannot listen, once per reason, and with '' when it can at last. */
	readonly onProblem: (problem: string) => void;
	readonly retryMs?: number;
}

const RETRY_MS = 5_000;

export class SteadyServer {
	readonly #options: SteadyServerOptions;
	#server: HttpServer | undefined;
	#timer: NodeJS.Timeout | undefined;
	#attempt: Promise<void> = Promise.resolve();
	#problem = '';
	#closed = false;

	/** @throws CONFIG_INVALID */
	constructor(options: SteadyServerOptions) {
		this.#options = options;
		if (options.address !== 'off') parseListenAddress(options.address);
	}

	/** Why it does not listen; '' = it does, or is not to. */
	get problem(): string {
		return this.#problem;
	}

	/** Port that was taken; undefined while it does not listen. */
	get port(): number | undefined {
		return this.#server?.port;
	}

	/** Resolves after the first attempt; never throws. */
	start(): Promise<void> {
		if (this.#options.address === 'off') return Promise.resolve();
		this.#attempt = this.#try();
		return this.#attempt;
	}

	async close(): Promise<void> {
		this.#closed = true;
		clearTimeout(this.#timer);
		await this.#attempt;
		await this.#server?.close();
	}

	async #try(): Promise<void> {
		const { address, routes, retryMs = RETRY_MS } = this.#options;
		try {
			this.#server = await startHttpServer(address, routes);
			this.#say('');
		} catch (error) {
			this.#say(errorMessage(error));
			if (!this.#closed) this.#timer = setTimeout(() => void this.start(), retryMs);
		}
	}

	#say(problem: string): void {
		if (problem === this.#problem) return;
		this.#problem = problem;
		this.#options.onProblem(problem);
	}
}
