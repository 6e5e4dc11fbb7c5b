/**
 * Running watches: from a revision on, every event of a kind that the selector lets through, one JSON object per line.
 */
import type { ServerResponse } from 'node:http';
import type { Faults } from './faults.ts';
import { apiVersionOf, type KindInfo } from './kinds.ts';
import type { Predicate } from './selectors.ts';
import { ApiError } from './status.ts';
import type { Storage, StoredEvent, Version } from './storage.ts';

export interface WatchRequest {
	readonly info: KindInfo;
	/** '' = all. */
	readonly namespace: string;
	readonly test: Predicate;
	/** '' and '0' = begin with what exists. */
	readonly resourceVersion: string;
	readonly bookmarks: boolean;
	readonly sendInitialEvents: boolean;
	readonly timeoutMs: number;
}

export interface WatchSettings {
	readonly storage: Storage;
	readonly faults: Faults;
	readonly bookmarkMs: number;
}

/** The JSON of an object as events and single answers carry it. */
export function withKind(info: KindInfo, version: Version): string {
	return `{"kind":"${info.kind}","apiVersion":"${apiVersionOf(info)}",${version.json.slice(1)}`;
}

export class WatchStream {
	readonly #response: ServerResponse;
	readonly #request: WatchRequest;
	readonly #settings: WatchSettings;
	readonly #unsubscribe: () => void;
	readonly #timers: NodeJS.Timeout[] = [];
	/** Revision up to which everything has been written. */
	#sent = 0;
	#delayed = 0;
	#ended = false;
	/** For good: what was withheld is lost to this watch. */
	#mute = false;

	/** Writes what is there already and follows. Errors that come after the header are events. */
	constructor(response: ServerResponse, request: WatchRequest, settings: WatchSettings) {
		this.#response = response;
		this.#request = request;
		this.#settings = settings;
		response.writeHead(200, { 'content-type': 'application/json', 'transfer-encoding': 'chunked' });
		response.flushHeaders();
		this.#unsubscribe = settings.storage.onEvent((event) => this.#onEvent(event));
		response.on('close', () => this.#stop());
		try {
			this.#begin();
		} catch (thrown) {
			if (!(thrown instanceof ApiError)) throw thrown;
			this.#line(`{"type":"ERROR","object":${JSON.stringify(thrown.toStatus())}}`);
			this.end();
			return;
		}
		this.#timers.push(setTimeout(() => this.end(), request.timeoutMs));
		if (request.bookmarks) this.#timers.push(setInterval(() => this.#bookmark(), settings.bookmarkMs));
	}

	get resource(): string {
		return this.#request.info.resource;
	}

	/** Regular end, as after timeoutSeconds. */
	end(): void {
		this.#stop();
		this.#response.end();
	}

	/** Closes the connection. @param midLine  after the first half of an event */
	cut(midLine: boolean): void {
		const socket = this.#response.socket;
		if (!midLine) socket?.destroy();
		else this.#response.write('{"type":"MODIFIED","object":{"kind":"', () => socket?.destroy());
	}

	#stop(): void {
		if (this.#ended) return;
		this.#ended = true;
		this.#unsubscribe();
		for (const timer of this.#timers) clearTimeout(timer);
	}

	#begin(): void {
		const { storage } = this.#settings;
		const { info, resourceVersion, namespace, test, sendInitialEvents } = this.#request;
		if (sendInitialEvents || resourceVersion === '' || resourceVersion === '0') {
			const page = storage.list(info, namespace, test, 0, '');
			for (const version of page.versions) this.#event('ADDED', version);
			this.#sent = page.revision;
			if (sendInitialEvents) this.#bookmark({ 'k8s.io/initial-events-end': 'true' });
			return;
		}
		this.#sent = Number(resourceVersion);
		for (const event of storage.eventsAfter(info, this.#sent)) this.#onEvent(event);
	}

	#onEvent(event: StoredEvent): void {
		if (event.info !== this.#request.info || this.#ended) return;
		const { delayMs = {} } = this.#settings.faults.watches;
		const delay = delayMs[event.info.resource] ?? 0;
		if (delay === 0) {
			this.#deliver(event);
			return;
		}
		this.#delayed++;
		this.#timers.push(
			setTimeout(() => {
				this.#delayed--;
				this.#deliver(event);
			}, delay),
		);
	}

	#deliver(event: StoredEvent): void {
		if (event.revision <= this.#sent || this.#ended) return;
		this.#sent = event.revision;
		const { namespace, test } = this.#request;
		const selects = (version: Version | undefined): boolean =>
			version !== undefined &&
			(namespace === '' || version.object.metadata.namespace === namespace) &&
			test(version.object);
		const before = selects(event.previous);
		const after = event.type !== 'DELETED' && selects(event.version);
		if (!before && !after) return;
		// an object that a selector no longer matches is deleted for this watch: its old state with the new revision
		if (!after) this.#event('DELETED', event.type === 'DELETED' ? event.version : retiredOf(event));
		else this.#event(before ? 'MODIFIED' : 'ADDED', event.version);
	}

	#event(type: string, version: Version): void {
		const line = `{"type":"${type}","object":${withKind(this.#request.info, version)}}`;
		this.#line(line);
		if (this.#settings.faults.watches.duplicate) this.#line(line);
	}

	#bookmark(annotations?: Record<string, string>): void {
		if (this.#delayed > 0) return;
		const { info } = this.#request;
		const resourceVersion = String(Math.max(this.#sent, this.#settings.storage.revision));
		const metadata = { resourceVersion, creationTimestamp: null, ...(annotations && { annotations }) };
		const object = { kind: info.kind, apiVersion: apiVersionOf(info), metadata };
		this.#line(JSON.stringify({ type: 'BOOKMARK', object }));
	}

	#line(text: string): void {
		if (this.#settings.faults.watches.silent) this.#mute = true;
		if (this.#mute) return;
		this.#response.write(`${text}\n`);
	}
}

function retiredOf(event: StoredEvent): Version {
	const { object } = event.previous ?? event.version;
	const retired = { ...object, metadata: { ...object.metadata, resourceVersion: String(event.revision) } };
	return { object: retired, revision: event.revision, json: JSON.stringify(retired) };
}
