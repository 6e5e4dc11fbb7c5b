/**
 * Ends sockets whose backend is gone: what connects again then gets a backend that is there. Those of UDP shortly after the maps say so, since nothing
 * else would tell them. A connection goes on for as long as its pod answers, which may have left the service without being deleted, as in a
 * change from blue to green; it is ended when the pod has let several attempts go unanswered.
 */
import { statSync } from 'node:fs';
import type { Logger } from 'pino';
import type { NetnsIdentity } from '../endpoints/netns.ts';
import type { NetlinkRequest } from '../kernel/netlink.ts';
import { destroySockets, type LeadsTo, probeSockDestroy, type GoneBackend as Sought } from '../kernel/sock-destroy.ts';
import { PROTOCOL_NUMBER } from '../model/fields.ts';
import { backendKey } from '../plan/endpoints.ts';
import type { Kernel } from '../reconcile/kernel.ts';
import type { GoneBackend } from '../reconcile/services-port.ts';

export interface SocketEnderOptions {
	readonly request: NetlinkRequest;
	readonly kernel: Pick<Kernel, 'mapGet' | 'mapDelete'>;
	/** Network namespaces of the pods. */
	readonly namespaces: () => Iterable<NetnsIdentity & { readonly path: string }>;
	/** A backend that is back when it is looked for keeps its sockets. */
	readonly leadsTo: LeadsTo;
	/** Backends to which connections go on even if they are not answered. */
	readonly isKept: (backend: GoneBackend) => boolean;
	readonly onEnded: (sockets: number) => void;
	readonly log: Logger;
	/** How long the first backend waits for others: all share one look at the namespaces. */
	readonly delayMs?: number;
}

const DELAY_MS = 50;
/** When connections that go on are looked at again: first, and at most. */
const AGAIN_MS = { first: 2000, most: 30_000 } as const;
/** Attempts without an answer after which a connection is given up: 1.4 s of retransmissions at least, RFC 6298. */
const UNANSWERED = 3;
/** The same for one that has not begun, and has nothing to lose. */
const UNANSWERED_SYNS = 1;
/** Looking may take a tenth of one CPU at most: it costs a visit to every namespace, and large clusters change all the time. */
const PAUSE_PER_LOOK = 9;

/** Where sockets of a backend were left, which is where they still may be: nothing connects to it any more. */
type Watched = GoneBackend & Pick<Sought, 'where'>;

/** A backend that has gone twice, and may have been connected to from anywhere in between. */
function togetherOf({ frontends }: Watched, { where: _, ...later }: Watched): Watched {
	const ends = [...frontends, ...later.frontends];
	return { ...later, frontends: [...new Map(ends.map((end) => [`${end.address} ${end.port}`, end])).values()] };
}

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
	#waiting = new Map<string, Watched>();
	#timer: NodeJS.Timeout | undefined;
	#dueMs = 0;
	#againMs: number = AGAIN_MS.first;
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
		if (this.#unable !== '' || this.#closed || gone.length === 0) return;
		this.#remember(gone);
		this.#againMs = AGAIN_MS.first;
		this.#schedule(delayOf(performance.now(), this.#last, this.#options.delayMs));
	}

	#remember(gone: readonly Watched[]): void {
		for (const each of gone) {
			const key = `${backendKey(each.address, each.port, each.proto)} ${each.owner ?? ''}`;
			const known = this.#waiting.get(key);
			this.#waiting.set(key, known === undefined ? each : togetherOf(known, each));
		}
	}

	#schedule(delayMs: number): void {
		const dueMs = performance.now() + delayMs;
		if (this.#timer !== undefined && this.#dueMs <= dueMs) return;
		clearTimeout(this.#timer);
		this.#dueMs = dueMs;
		this.#timer = setTimeout(() => {
			this.#timer = undefined;
			const batch = [...this.#waiting.values()];
			this.#waiting = new Map();
			this.#running = this.#running.then(() => this.#end(batch));
		}, delayMs);
	}

	async close(): Promise<void> {
		this.#closed = true;
		clearTimeout(this.#timer);
		await this.#running;
	}

	async #end(batch: readonly Watched[]): Promise<void> {
		const { request, kernel, namespaces, leadsTo, isKept, onEnded, log } = this.#options;
		const beganMs = performance.now();
		const { destroyed, problems, left } = await destroySockets(batch, {
			request,
			lookUp: (key) => kernel.mapGet('sock_rev', key),
			remove: (key) => void kernel.mapDelete('sock_rev', key),
			leadsTo,
			spares: (backend, { unanswered, connecting }) =>
				backend.proto === PROTOCOL_NUMBER.TCP &&
				(unanswered < (connecting ? UNANSWERED_SYNS : UNANSWERED) || isKept(backend)),
			namespaces: () => [...namespaces()].filter(isSame).map(({ path }) => path),
		});
		const endedMs = performance.now();
		this.#last = { endedMs, tookMs: endedMs - beganMs };
		if (left.length > 0 && !this.#closed) {
			this.#remember(left);
			this.#schedule(delayOf(endedMs, this.#last, this.#againMs));
			this.#againMs = Math.min(2 * this.#againMs, AGAIN_MS.most);
		}
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
