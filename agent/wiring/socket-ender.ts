/**
 * Ends sockets whose backend is gone, shortly after the maps say so: what connects again then gets a backend that is there.
 */
import { statSync } from 'node:fs';
import type { Logger } from 'pino';
import type { NetnsIdentity } from '../endpoints/netns.ts';
import type { NetlinkRequest } from '../kernel/netlink.ts';
import { destroySockets, type GoneBackend, type LeadsTo, probeSockDestroy } from '../kernel/sock-destroy.ts';
import { backendKey } from '../plan/endpoints.ts';
import type { Kernel } from '../reconcile/kernel.ts';

export interface SocketEnderOptions {
	readonly request: NetlinkRequest;
	readonly kernel: Pick<Kernel, 'mapGet' | 'mapDelete'>;
	/** Network namespaces of the pods. */
	readonly namespaces: () => Iterable<NetnsIdentity & { readonly path: string }>;
	/** A backend that is back when it is looked for keeps its sockets. */
	readonly leadsTo: LeadsTo;
	readonly onEnded: (sockets: number) => void;
	readonly log: Logger;
	/** How long the first backend waits for others: all share one look at the namespaces. */
	readonly delayMs?: number;
}

const DELAY_MS = 50;
/** Looking may take a tenth of one CPU at most: it costs a visit to every namespace, and large clusters change all the time. */
const PAUSE_PER_LOOK = 9;

/** What is known of the last look. */
export interface LastLook {
	readonly endedMs: number;
	readonly tookMs: number;
}

/** How long backends that go now wait for others. */
export function delayOf(nowMs: number, last: LastLook, leastMs = DELAY_MS): number {
	return Math.max(leastMs, last.endedMs + PAUSE_PER_LOOK * last.tookMs - nowMs);
}

export class SocketEnder {
	readonly #options: SocketEnderOptions;
	/** Why the kernel cannot do it; '' = it can. */
	readonly #unable: string;
	#waiting = new Map<string, GoneBackend>();
	#timer: NodeJS.Timeout | undefined;
	#running: Promise<void> = Promise.resolve();
	#last: LastLook = { endedMs: 0, tookMs: 0 };
	#closed = false;

	private constructor(options: SocketEnderOptions, unable: string) {
		this.#options = options;
		this.#unable = unable;
	}

	static async open(options: SocketEnderOptions): Promise<SocketEnder> {
		const unable = await probeSockDestroy(options.request);
		if (unable !== '') options.log.warn({ reason: unable }, 'sockets of removed backends are left to their time-outs');
		return new SocketEnder(options, unable);
	}

	/** For people. */
	get summary(): string {
		return this.#unable === '' ? 'ended with their backend' : `left to their time-outs: ${this.#unable}`;
	}

	/** Backends that services no longer have. */
	add(gone: readonly GoneBackend[]): void {
		if (this.#unable !== '' || this.#closed) return;
		for (const each of gone) {
			const key = backendKey(each.address, each.port, each.proto);
			const known = this.#waiting.get(key)?.frontends ?? [];
			this.#waiting.set(key, { ...each, frontends: [...known, ...each.frontends] });
		}
		if (this.#waiting.size === 0) return;
		this.#timer ??= setTimeout(
			() => {
				this.#timer = undefined;
				const batch = [...this.#waiting.values()];
				this.#waiting = new Map();
				this.#running = this.#running.then(() => this.#end(batch));
			},
			delayOf(performance.now(), this.#last, this.#options.delayMs),
		);
	}

	async close(): Promise<void> {
		this.#closed = true;
		clearTimeout(this.#timer);
		await this.#running;
	}

	async #end(batch: readonly GoneBackend[]): Promise<void> {
		const { request, kernel, namespaces, leadsTo, onEnded, log } = this.#options;
		const beganMs = performance.now();
		const { destroyed, problems } = await destroySockets(batch, {
			request,
			lookUp: (key) => kernel.mapGet('sock_rev', key),
			remove: (key) => void kernel.mapDelete('sock_rev', key),
			leadsTo,
			namespaces: () => [...namespaces()].filter(isSame).map(({ path }) => path),
		});
		const endedMs = performance.now();
		this.#last = { endedMs, tookMs: endedMs - beganMs };
		onEnded(destroyed);
		if (destroyed > 0) log.info({ sockets: destroyed, backends: batch.length }, 'sockets of removed backends ended');
		if (problems.length > 0) log.warn({ problems: problems.slice(0, 10) }, 'sockets of removed backends not ended');
	}
}

/** A path that is gone, or names another namespace by now, is nobody's business. */
function isSame({ path, dev, ino }: NetnsIdentity & { readonly path: string }): boolean {
	try {
		const found = statSync(path);
		return found.dev === dev && found.ino === ino;
	} catch {
		return false;
	}
}
