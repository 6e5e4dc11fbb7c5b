/**
 * Objects with one revision counter for all kinds, as etcd keeps them: every write takes the next revision, lists can be
 * continued in the state of their first chunk, and the last events are kept for watches. Objects are never changed in place.
 */
import { randomUUID } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { apiVersionOf, findKind, type KindInfo, pathOf } from './kinds.ts';
import type { Predicate } from './selectors.ts';
import { ApiError, expired } from './status.ts';

export interface Metadata {
	name: string;
	namespace?: string;
	generateName?: string;
	uid?: string | undefined;
	resourceVersion?: string | undefined;
	generation?: number;
	creationTimestamp?: string | null | undefined;
	labels?: Record<string, string>;
	annotations?: Record<string, string>;
	managedFields?: unknown;
	[key: string]: unknown;
}

export interface ApiObject {
	kind?: string;
	apiVersion?: string;
	metadata: Metadata;
	spec?: unknown;
	status?: unknown;
	[key: string]: unknown;
}

/** One state of an object. */
export interface Version {
	/** Without kind and apiVersion. */
	readonly object: ApiObject;
	readonly revision: number;
	/** The object as JSON, made once. */
	readonly json: string;
}

export interface StoredEvent {
	readonly info: KindInfo;
	readonly revision: number;
	readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
	/** State after the event; of a deletion the last one, with the revision of the deletion. */
	readonly version: Version;
	/** undefined for ADDED. */
	readonly previous: Version | undefined;
}

export interface StorageOptions {
	/** Events that watches can resume over. */
	readonly window?: number;
	/** File that every write is appended to, and that is read at the start. */
	readonly journal?: string;
	readonly now?: () => Date;
}

interface ListPage {
	readonly versions: readonly Version[];
	/** Of the state that the list shows. */
	readonly revision: number;
	/** '' = this was the last chunk. */
	readonly continue: string;
	/** Objects after this chunk, whether or not the selectors let them through. */
	readonly remaining: number;
}

interface Snapshot {
	/** Sorted. */
	readonly keys: readonly string[];
	readonly versions: readonly Version[];
	readonly revision: number;
}

const KEPT_SNAPSHOTS = 200;
/** Revision in a token that continues in whatever state there is. */
const INCONSISTENT = -1;

export function keyOf(info: KindInfo, namespace: string, name: string): string {
	return info.namespaced ? `${namespace}/${name}` : name;
}

export class Storage {
	readonly #objects = new Map<string, Map<string, Version>>();
	readonly #events: StoredEvent[] = [];
	readonly #window: number;
	readonly #listeners = new Set<(event: StoredEvent) => void>();
	readonly #snapshots = new Map<string, Snapshot>();
	readonly #journal: string | undefined;
	readonly #now: () => Date;
	#revision = 1;
	/** Watches from an older revision than this one have missed something. */
	#oldest = 1;

	constructor(options: StorageOptions = {}) {
		this.#window = options.window ?? 1000;
		this.#journal = options.journal;
		this.#now = options.now ?? (() => new Date());
		if (this.#journal !== undefined && existsSync(this.#journal)) this.#replay(this.#journal);
	}

	get revision(): number {
		return this.#revision;
	}

	get(info: KindInfo, key: string): Version | undefined {
		return this.#of(info).get(key);
	}

	count(info: KindInfo): number {
		return this.#of(info).size;
	}

	/** @throws ApiError 409 when it exists */
	create(info: KindInfo, object: ApiObject): Version {
		const { name, namespace = '' } = object.metadata;
		const key = keyOf(info, namespace, name);
		if (this.#of(info).has(key)) {
			throw new ApiError(409, `${info.resource} "${name}" already exists`, {
				reason: 'AlreadyExists',
				name,
				kind: info.resource,
			});
		}
		const metadata: Metadata = {
			...object.metadata,
			uid: object.metadata.uid ?? randomUUID(),
			creationTimestamp: object.metadata.creationTimestamp ?? timestamp(this.#now()),
		};
		if (object.spec !== undefined) metadata.generation = 1;
		return this.#write(info, key, { ...object, metadata });
	}

	/**
	 * @param object  with the resourceVersion that it is based on, or without to overwrite whatever is there
	 * @throws ApiError 409 when it has changed since
	 */
	update(info: KindInfo, object: ApiObject): Version {
		const { name, namespace = '', resourceVersion } = object.metadata;
		const key = keyOf(info, namespace, name);
		const old = this.#of(info).get(key);
		if (old === undefined) throw new ApiError(404, `${info.resource} "${name}" not found`, { name });
		if (resourceVersion !== undefined && resourceVersion !== '' && resourceVersion !== String(old.revision)) {
			throw new ApiError(
				409,
				`Operation cannot be fulfilled on ${info.resource} "${name}": the object has been modified; please apply your changes to the latest version and try again`,
				{ name, kind: info.resource },
			);
		}
		const { uid, creationTimestamp, generation } = old.object.metadata;
		const metadata: Metadata = { ...object.metadata, uid, creationTimestamp };
		delete metadata.resourceVersion;
		delete metadata.generation;
		if (generation !== undefined) {
			const same = JSON.stringify(object.spec) === JSON.stringify(old.object.spec);
			metadata.generation = same ? generation : generation + 1;
		}
		const next = { ...object, metadata };
		// a write that changes nothing takes no revision
		const before = { ...old.object, metadata: { ...old.object.metadata, resourceVersion: undefined } };
		if (canonical(before) === canonical(next)) return old;
		return this.#write(info, key, next);
	}

	delete(info: KindInfo, key: string): Version | undefined {
		const old = this.#of(info).get(key);
		if (old === undefined) return undefined;
		this.#of(info).delete(key);
		const revision = ++this.#revision;
		const last = versionOf(old.object, revision);
		this.#append({ info, revision, type: 'DELETED', version: last, previous: old });
		return last;
	}

	/**
	 * One chunk of a list, sorted by key.
	 * @param token  `continue` of the chunk before; '' = begin
	 * @throws ApiError 410 when the state that the token belongs to is no longer kept
	 */
	list(info: KindInfo, namespace: string, test: Predicate, limit: number, token: string): ListPage {
		const { snapshot, start } =
			token === '' ? { snapshot: this.#snapshot(info), start: '' } : this.#resume(info, token);
		const { keys, revision } = snapshot;
		const prefix = namespace === '' ? '' : `${namespace}/`;
		const end = namespace === '' ? keys.length : firstAfter(keys, `${prefix}\uffff`);
		const versions: Version[] = [];
		for (let at = Math.max(firstAfter(keys, start), firstAfter(keys, prefix)); at < end; at++) {
			const each = snapshot.versions[at];
			if (each === undefined || !test(each.object)) continue;
			if (limit > 0 && versions.length >= limit) {
				this.#keep(info, snapshot);
				return { versions, revision, continue: encodeToken(revision, keys[at - 1] ?? ''), remaining: end - at };
			}
			versions.push(each);
		}
		return { versions, revision, continue: '', remaining: 0 };
	}

	/** Forgets the states of continued lists and all events: every token and every old watch version is too old from now on. */
	compact(): void {
		this.#snapshots.clear();
		this.#events.length = 0;
		this.#oldest = this.#revision;
	}

	/**
	 * Events of a kind after a revision, oldest first.
	 * @throws ApiError 410 when some are no longer known
	 */
	eventsAfter(info: KindInfo, revision: number): StoredEvent[] {
		if (revision < this.#oldest) {
			throw expired(`too old resource version: ${revision} (${this.#oldest})`);
		}
		return this.#events.filter((event) => event.info === info && event.revision > revision);
	}

	onEvent(listener: (event: StoredEvent) => void): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}

	#of(info: KindInfo): Map<string, Version> {
		const path = pathOf(info);
		let objects = this.#objects.get(path);
		if (objects === undefined) {
			objects = new Map();
			this.#objects.set(path, objects);
		}
		return objects;
	}

	#write(info: KindInfo, key: string, object: ApiObject): Version {
		const objects = this.#of(info);
		const previous = objects.get(key);
		const revision = ++this.#revision;
		const version = versionOf(object, revision);
		objects.set(key, version);
		this.#append({ info, revision, type: previous === undefined ? 'ADDED' : 'MODIFIED', version, previous });
		return version;
	}

	#append(event: StoredEvent): void {
		this.#events.push(event);
		while (this.#events.length > this.#window) {
			const dropped = this.#events.shift();
			if (dropped !== undefined) this.#oldest = dropped.revision;
		}
		if (this.#journal !== undefined) {
			const { info, type, version } = event;
			const line = { kind: info.kind, apiVersion: apiVersionOf(info), type, object: version.object };
			appendFileSync(this.#journal, `${JSON.stringify(line)}\n`);
		}
		for (const listener of this.#listeners) listener(event);
	}

	/** Objects and revision as they were; the events of before are not kept, as in a server that starts anew. */
	#replay(path: string): void {
		for (const line of readFileSync(path, 'utf8').split('\n')) {
			if (line === '') continue;
			const { kind, apiVersion, type, object } = JSON.parse(line) as {
				kind: string;
				apiVersion: string;
				type: string;
				object: ApiObject;
			};
			const info = findKind(apiVersion, kind);
			if (info === undefined) throw new Error(`journal ${path}: unknown kind ${apiVersion} ${kind}`);
			const key = keyOf(info, object.metadata.namespace ?? '', object.metadata.name);
			this.#revision = Number(object.metadata.resourceVersion);
			if (type === 'DELETED') this.#of(info).delete(key);
			else this.#of(info).set(key, versionOf(object, this.#revision));
		}
		this.#oldest = this.#revision;
	}

	#snapshot(info: KindInfo): Snapshot {
		const objects = this.#of(info);
		const keys = [...objects.keys()].sort();
		return { keys, versions: keys.flatMap((key) => objects.get(key) ?? []), revision: this.#revision };
	}

	#keep(info: KindInfo, snapshot: Snapshot): void {
		const id = `${pathOf(info)} ${snapshot.revision}`;
		this.#snapshots.delete(id);
		this.#snapshots.set(id, snapshot);
		for (const oldest of this.#snapshots.keys()) {
			if (this.#snapshots.size <= KEPT_SNAPSHOTS) break;
			this.#snapshots.delete(oldest);
		}
	}

	#resume(info: KindInfo, token: string): { snapshot: Snapshot; start: string } {
		const { revision, start } = decodeToken(token);
		if (revision === INCONSISTENT) return { snapshot: this.#snapshot(info), start };
		const snapshot = this.#snapshots.get(`${pathOf(info)} ${revision}`);
		if (snapshot !== undefined) return { snapshot, start };
		throw expired(
			'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results.',
			{ continue: encodeToken(INCONSISTENT, start) },
		);
	}
}

/** @returns position of the first key behind `start`, by halving: lists of 100,000 objects are read in hundreds of chunks */
function firstAfter(keys: readonly string[], start: string): number {
	let [low, high] = [0, keys.length];
	while (low < high) {
		const middle = (low + high) >>> 1;
		if ((keys[middle] ?? '') <= start) low = middle + 1;
		else high = middle;
	}
	return low;
}

function versionOf(object: ApiObject, revision: number): Version {
	const { kind: _kind, apiVersion: _apiVersion, metadata, ...rest } = object;
	const stored: ApiObject = { metadata: { ...metadata, resourceVersion: String(revision) }, ...rest };
	return { object: stored, revision, json: JSON.stringify(stored) };
}

function encodeToken(revision: number, start: string): string {
	return Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv: revision, start })).toString('base64url');
}

function decodeToken(token: string): { revision: number; start: string } {
	try {
		const { rv, start } = JSON.parse(Buffer.from(token, 'base64url').toString()) as { rv: number; start: string };
		if (typeof rv === 'number' && typeof start === 'string') return { revision: rv, start };
	} catch {
		// answered below
	}
	throw new ApiError(400, 'continue key is not valid');
}

/** JSON with sorted keys and without what is undefined, kind and apiVersion. */
function canonical(object: ApiObject): string {
	const { kind: _kind, apiVersion: _apiVersion, ...rest } = object;
	return JSON.stringify(rest, (_key, value: unknown) => {
		if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
		return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
	});
}

function timestamp(date: Date): string {
	return date.toISOString().replace(/\.\d+Z$/, 'Z');
}
