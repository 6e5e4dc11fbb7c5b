/**
 * Keeps the store equal to one kind of objects of the API server: a complete list, then a watch from the version of the list,
 * again and again from the last version that was seen. What is in the store stays there until the server says that it is gone.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Kind, ObjectsByKind } from '../../model/cluster-view.ts';
import { errorMessage, FairleadError } from '../../model/errors.ts';
import type { FieldIssue } from '../../model/fields.ts';
import { readObjectAs } from '../objects.ts';
import { failureOf, type Query, type WatchHandlers } from './api-client.ts';
import { Backoff } from './backoff.ts';
import type { WatchedResource } from './resources.ts';

/** The part of ApiClient that is used here. */
export interface Api {
	/** @returns the list without its items, which `onItem` gets */
	list(path: string, query: Query, onItem: (item: unknown) => void, signal: AbortSignal): Promise<unknown>;
	watch(path: string, query: Query, on: WatchHandlers, signal: AbortSignal): Promise<void>;
}

/** What the API server is at: changes when it has lost its memory. */
export interface ServerState {
	/** Changes when another cluster answers. */
	readonly identity: string;
	/** Of the last write to anything. */
	readonly version: string;
}

/** Takes objects as they come and go; the store, or what stands before it. */
export interface ObjectSink {
	/** @returns false when it changes nothing */
	set<K extends Kind>(kind: K, key: string, value: ObjectsByKind[K]): boolean;
	delete(kind: Kind, key: string): boolean;
}

export interface ReflectorOptions {
	readonly resource: WatchedResource;
	readonly api: Api;
	readonly store: ObjectSink;
	/** Asked after a connection was lost, before a watch is resumed. */
	readonly serverState: (signal: AbortSignal) => Promise<ServerState>;
	/** After each complete list. */
	readonly onListed: () => void;
	/** @param error  undefined = lists and watches work */
	readonly onState: (error: string | undefined) => void;
	/** @param issues  empty = the object is all right or gone */
	readonly onObject: (key: string, issues: readonly FieldIssue[], keptLastGood: boolean) => void;
	readonly random?: () => number;
	readonly now?: () => number;
	readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

const CHUNK = 500;
/** A watch is ended by the server after between one and two times this. */
const WATCH_S = 300;
const FIRST_BACKOFF_MS = 500;
const LONGEST_BACKOFF_MS = 30_000;
const OTHER_SERVER_MS = 50;
/** A kind that the cluster does not have is asked for again after this. */
const ABSENT_MS = 60_000;
/** A watch that ends sooner counts as failed: a server that ends each at once is not asked in a loop. */
const SHORT_WATCH_MS = 1000;

interface ListBody {
	readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
}

interface WatchEvent {
	readonly type?: string;
	readonly object?: {
		readonly metadata?: { readonly resourceVersion?: string };
		readonly code?: number;
		readonly message?: string;
	};
}

export class Reflector {
	readonly #options: Required<ReflectorOptions>;
	readonly #backoff: Backoff;
	/** Versions by key of everything that was delivered. */
	readonly #versions = new Map<string, string>();
	/** Keys of objects of which no version could be read so far. */
	readonly #neverGood = new Set<string>();
	readonly #closing = new AbortController();
	/** Version to watch from; '' = list first. */
	#version = '';
	/** Server that the versions belong to. */
	#identity = '';
	/** The connection was lost: the server may not be what it was. */
	#doubt = false;
	/** Lists that expired on the way, in a row. */
	#expired = 0;

	constructor(options: ReflectorOptions) {
		const random = options.random ?? Math.random;
		this.#options = {
			random,
			now: () => performance.now(),
			sleep: (ms, signal) => sleep(ms, undefined, { signal }),
			...options,
		};
		this.#backoff = new Backoff({ firstMs: FIRST_BACKOFF_MS, longestMs: LONGEST_BACKOFF_MS, random });
	}

	get kind(): Kind {
		return this.#options.resource.kind;
	}

	/** Lists and watches until close(). Never throws. */
	async run(): Promise<void> {
		const { signal } = this.#closing;
		while (!signal.aborted) {
			try {
				await this.#step(signal);
			} catch (thrown) {
				if (!signal.aborted) await this.#recover(thrown, signal).catch(() => undefined);
			}
		}
	}

	/** Ends run(); what was delivered stays in the store, and nothing more is. */
	close(): void {
		this.#closing.abort();
	}

	async #step(signal: AbortSignal): Promise<void> {
		if (this.#doubt) await this.#checkServer(signal);
		if (this.#version === '') {
			await this.#list(signal);
			this.#options.onListed();
		}
		const { now } = this.#options;
		const started = now();
		await this.#watch(signal);
		if (now() - started < SHORT_WATCH_MS) await this.#options.sleep(this.#backoff.next(), signal);
		else this.#backoff.reset();
	}

	/** A server that was restored or replaced knows other versions: resuming there would miss changes without a word. */
	async #checkServer(signal: AbortSignal): Promise<void> {
		const { identity, version } = await this.#options.serverState(signal);
		const another = this.#identity !== '' && identity !== this.#identity;
		if (another || isNewer(this.#version, version)) {
			this.#version = '';
			// the same version may be another object now
			for (const key of this.#versions.keys()) this.#versions.set(key, '');
		}
		this.#identity = identity;
		this.#doubt = false;
	}

	async #list(signal: AbortSignal): Promise<void> {
		if (this.#identity === '') await this.#checkServer(signal);
		const { api, resource } = this.#options;
		const seen = new Set<string>();
		const take = (item: unknown): void => {
			signal.throwIfAborted();
			const key = this.#deliver(item);
			if (key !== '') seen.add(key);
		};
		let page: ListBody;
		let token = '';
		do {
			const query = {
				...this.#selectors(),
				// after two lists that expired on the way, all in one piece
				...(this.#expired < 2 && { limit: CHUNK }),
				...(token !== '' && { continue: token }),
			};
			page = (await api.list(resource.path, query, take, signal)) as ListBody;
			signal.throwIfAborted();
			token = page.metadata?.continue ?? '';
		} while (token !== '');
		// complete: only now is what was not in it known to be gone
		for (const key of [...this.#versions.keys()]) if (!seen.has(key)) this.#remove(key);
		this.#expired = 0;
		this.#version = page.metadata?.resourceVersion ?? '';
	}

	async #watch(signal: AbortSignal): Promise<void> {
		const { api, resource, random, onState } = this.#options;
		const query = {
			...this.#selectors(),
			watch: true,
			allowWatchBookmarks: true,
			resourceVersion: this.#version,
			timeoutSeconds: Math.round(WATCH_S * (1 + random())),
		};
		const line = (event: unknown): void => {
			signal.throwIfAborted();
			this.#onEvent(event as WatchEvent);
		};
		const on = { open: () => onState(undefined), line };
		await api.watch(resource.path, query, on, signal);
	}

	#onEvent({ type, object }: WatchEvent): void {
		if (type === 'ERROR') {
			const { code: status = 0, message = 'no reason given' } = object ?? {};
			const text = `watch of ${this.#options.resource.path} ended by the server: ${status}: ${message}`;
			throw new FairleadError('API_REFUSED', text, { status });
		}
		if (type === 'DELETED') {
			const key = this.#keyOf(object);
			if (key !== '') this.#remove(key);
		} else if (type === 'ADDED' || type === 'MODIFIED') this.#deliver(object);
		else if (type !== 'BOOKMARK') throw new Error(`a watch event of type ${JSON.stringify(type)}`);
		this.#version = object?.metadata?.resourceVersion || this.#version;
		this.#backoff.reset();
	}

	#selectors(): Query {
		const { labelSelector, fieldSelector } = this.#options.resource;
		return { ...(labelSelector !== '' && { labelSelector }), ...(fieldSelector !== '' && { fieldSelector }) };
	}

	/** Trims the object and hands it over. @returns its key; '' = it has none */
	#deliver(raw: unknown): string {
		const { resource, store, onObject } = this.#options;
		const key = this.#keyOf(raw);
		const version = (raw as NonNullable<WatchEvent['object']>).metadata?.resourceVersion ?? '';
		if (key === '' || (version !== '' && this.#versions.get(key) === version)) return key;
		const parsed = readObjectAs(resource.kind, raw);
		if (parsed.ok) {
			store.set(resource.kind, key, parsed.value);
			this.#neverGood.delete(key);
		} else if (!this.#versions.has(key)) this.#neverGood.add(key);
		onObject(key, parsed.ok ? [] : parsed.issues, !this.#neverGood.has(key));
		this.#versions.set(key, version);
		return key;
	}

	#remove(key: string): void {
		const { resource, store, onObject } = this.#options;
		this.#versions.delete(key);
		this.#neverGood.delete(key);
		store.delete(resource.kind, key);
		onObject(key, [], false);
	}

	#keyOf(raw: unknown): string {
		const { name, namespace } = (raw as { metadata?: { name?: unknown; namespace?: unknown } } | null)?.metadata ?? {};
		if (typeof name !== 'string' || name === '') return '';
		return typeof namespace === 'string' && namespace !== '' ? `${namespace}/${name}` : name;
	}

	/** Draws the consequences of a failure and waits. */
	async #recover(thrown: unknown, signal: AbortSignal): Promise<void> {
		const { status, retryAfterMs, otherServer } = failureOf(thrown);
		const { resource, onState, onListed } = this.#options;
		if (status === 404 && resource.optional) {
			for (const key of [...this.#versions.keys()]) this.#remove(key);
			this.#version = '';
			onState(undefined);
			onListed();
			await this.#options.sleep(ABSENT_MS * (0.5 + this.#options.random()), signal);
			return;
		}
		if (status === 410) {
			// of a watch: too much was missed; of a list: the rest of it is no longer to be had
			if (this.#version === '') this.#expired++;
			this.#version = '';
		} else onState(errorMessage(thrown));
		if (status === 0) this.#doubt = true;
		const pause = otherServer ? OTHER_SERVER_MS * (1 + this.#options.random()) : this.#backoff.next();
		await this.#options.sleep(Math.max(pause, retryAfterMs), signal);
	}
}

/** Whether version a is newer than b; versions that are no numbers cannot be compared. */
export function isNewer(a: string, b: string): boolean {
	if (!/^\d+$/.test(a) || !/^\d+$/.test(b)) return false;
	return a.length === b.length ? a > b : a.length > b.length;
}
