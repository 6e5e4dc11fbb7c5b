/**
 * A Kubernetes API server for tests: the kinds of kinds.ts with faithful list and watch, over TLS with bearer tokens on several
 * addresses, over a unix socket without either, and with faults on request. No validation, defaulting, admission or controllers.
 */
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { parse as parseYaml } from 'yaml';
import { discover } from './discovery.ts';
import { type FaultAction, Faults } from './faults.ts';
import { findResource, type KindInfo } from './kinds.ts';
import { listObjects, removeObject, writeObject } from './operations.ts';
import { parseSelectors } from './selectors.ts';
import { ApiError, notFound } from './status.ts';
import { keyOf, Storage, type StorageOptions } from './storage.ts';
import type { TlsFiles } from './tls.ts';
import { WatchStream, withKind } from './watches.ts';

export interface ServerOptions extends StorageOptions {
	readonly bookmarkMs?: number;
	/** How a watch from a version that is too old is answered: as kube-apiserver's cache does, or with HTTP 410. */
	readonly goneAs?: 'event' | 'status';
	/** Tokens must be known; else everybody is let in. */
	readonly authenticate?: boolean;
}

/** A request that was answered, for assertions. */
export interface SeenRequest {
	readonly verb: string;
	/** '' = the core group. */
	readonly group: string;
	readonly resource: string;
	/** '' = the object itself. */
	readonly subresource: string;
	readonly query: Readonly<Record<string, string>>;
	readonly token: string;
	readonly code: number;
}

/** What a path asks for. */
export interface Target {
	readonly info: KindInfo;
	/** '' = all namespaces, or a cluster-scoped kind. */
	readonly namespace: string;
	/** '' = the collection. */
	readonly name: string;
	readonly subresource: string;
}

const SEEN = 5000;
const DEFAULT_WATCH_MS = 1_800_000;

export class TestApiServer {
	readonly storage: Storage;
	readonly faults = new Faults();
	readonly seen: SeenRequest[] = [];
	readonly #options: ServerOptions;
	readonly #tokens = new Map<string, number>();
	readonly #watches = new Set<WatchStream>();
	readonly #servers: http.Server[] = [];
	/** Those without a request included, which a server does not count as connections to close. */
	readonly #sockets = new Set<Socket>();

	constructor(options: ServerOptions = {}) {
		this.#options = options;
		this.storage = new Storage(options);
		for (const name of ['default', 'kube-system']) this.#ensureNamespace(name);
	}

	#ensureNamespace(name: string): void {
		const info = findResource('', 'v1', 'namespaces');
		if (info === undefined || this.storage.get(info, name) !== undefined) return;
		const labels = { 'kubernetes.io/metadata.name': name };
		this.storage.create(info, { metadata: { name, labels }, status: { phase: 'Active' } });
	}

	/** Lets a token in. @param lifetimeMs  absent = for good */
	allowToken(token: string, lifetimeMs = Number.POSITIVE_INFINITY): void {
		this.#tokens.set(token, Date.now() + lifetimeMs);
	}

	revokeToken(token: string): void {
		this.#tokens.delete(token);
	}

	/** Closes the connections of running watches. */
	cutWatches(o: { midLine?: boolean; resource?: string } = {}): number {
		const hit = [...this.#watches].filter((watch) => (o.resource ?? watch.resource) === watch.resource);
		for (const watch of hit) watch.cut(o.midLine ?? false);
		return hit.length;
	}

	/** Running watches by resource. */
	watchCounts(): Record<string, number> {
		const counts: Record<string, number> = {};
		for (const { resource } of this.#watches) counts[resource] = (counts[resource] ?? 0) + 1;
		return counts;
	}

	/** Serves at an address. @param port  0 = any @returns the port */
	async listen(host: string, port = 0, tls?: TlsFiles): Promise<number> {
		const handler = (request: IncomingMessage, response: ServerResponse) => void this.#serve(request, response, false);
		const server = tls ? https.createServer({ cert: tls.cert, key: tls.key }, handler) : http.createServer(handler);
		await this.#open(server, { host, port });
		return (server.address() as AddressInfo).port;
	}

	/** Serves at a unix socket, without authentication. @param more  answers paths that the API does not have */
	async listenUnix(
		path: string,
		more?: (request: IncomingMessage, response: ServerResponse) => boolean,
	): Promise<void> {
		const server = http.createServer((request, response) => {
			if (!more?.(request, response)) void this.#serve(request, response, true);
		});
		await this.#open(server, { path });
	}

	#open(server: http.Server, where: { host?: string; port?: number; path?: string }): Promise<void> {
		this.#servers.push(server);
		server.keepAliveTimeout = 60_000;
		server.on('connection', (socket) => {
			this.#sockets.add(socket);
			socket.on('close', () => this.#sockets.delete(socket));
		});
		const { promise, resolve, reject } = Promise.withResolvers<void>();
		server.once('error', reject);
		server.listen(where, resolve);
		return promise;
	}

	/** Ends everything at once, as when the process dies. */
	async close(): Promise<void> {
		await Promise.all(
			this.#servers.splice(0).map((server) => {
				for (const socket of this.#sockets) socket.destroy();
				return new Promise<void>((resolve) => server.close(() => resolve()));
			}),
		);
	}

	async #serve(request: IncomingMessage, response: ServerResponse, trusted: boolean): Promise<void> {
		const url = new URL(request.url ?? '/', 'http://server');
		const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1]?.trim() ?? '';
		const target = parsePath(url.pathname);
		const verb = verbOf(request.method ?? '', url, target);
		const resource = target?.info.resource ?? '';
		const note = (code: number): void => {
			const query = Object.fromEntries(url.searchParams);
			const [group, subresource] = [target?.info.group ?? '', target?.subresource ?? ''];
			this.seen.push({ verb, group, resource, subresource, query, token, code });
			if (this.seen.length > SEEN) this.seen.shift();
		};
		try {
			const body = await readBody(request);
			if (!trusted) this.#authenticate(token);
			const action = trusted
				? undefined
				: this.faults.take({ verb, resource, continued: url.searchParams.has('continue') });
			const answer = await this.#misbehave(action, response);
			note(answer ? 200 : 0);
			if (answer) this.#answer({ request, response, url, target, verb, body });
		} catch (thrown) {
			const error = thrown instanceof ApiError ? thrown : new ApiError(500, String(thrown));
			note(error.code);
			sendError(response, error);
		}
	}

	#authenticate(token: string): void {
		if (!this.#options.authenticate) return;
		const expires = this.#tokens.get(token);
		if (expires === undefined || expires < Date.now()) throw new ApiError(401, 'Unauthorized');
	}

	/** @returns false when there is to be no answer */
	async #misbehave(action: FaultAction | undefined, response: ServerResponse): Promise<boolean> {
		switch (action?.type) {
			case undefined:
				return true;
			case 'status': {
				const { code, retryAfterSeconds } = action;
				throw new ApiError(code, 'fault on request', retryAfterSeconds === undefined ? {} : { retryAfterSeconds });
			}
			case 'drop':
				response.socket?.destroy();
				return false;
			case 'hang':
				return false;
			case 'delay':
				await new Promise((resolve) => setTimeout(resolve, action.ms));
				return true;
			case 'cut':
			case 'trickle':
				spoilBody(response, action);
				return true;
		}
	}

	#answer(o: {
		request: IncomingMessage;
		response: ServerResponse;
		url: URL;
		target: Target | undefined;
		verb: string;
		body: string;
	}): void {
		const { response, url, target, verb } = o;
		if (target === undefined) this.#answerOther(url.pathname, response);
		else if (verb === 'watch') this.#watch(target, url.searchParams, response);
		else {
			const { code, json } = this.#answerObject(o.request, url.searchParams, target, verb, o.body);
			send(response, code, json);
		}
	}

	#answerObject(
		request: IncomingMessage,
		query: URLSearchParams,
		target: Target,
		verb: string,
		body: string,
	): { code: number; json: string } {
		const { info, namespace, name } = target;
		switch (verb) {
			case 'list':
				return { code: 200, json: listObjects(this.storage, target, query) };
			case 'get': {
				const version = this.storage.get(info, keyOf(info, namespace, name));
				if (version === undefined) throw notFound(info.resource, name);
				return { code: 200, json: withKind(info, version) };
			}
			case 'create':
			case 'update':
			case 'patch': {
				const contentType = contentTypeOf(request);
				const parsed = body === '' ? undefined : parseBody(body, contentType);
				const { version, created } = writeObject(this.storage, target, { verb, contentType, body: parsed, query });
				return { code: created ? 201 : 200, json: withKind(info, version) };
			}
			case 'delete': {
				const last = removeObject(
					this.storage,
					target,
					body === '' ? undefined : parseBody(body, contentTypeOf(request)),
				);
				const details = { name, kind: info.resource, uid: last.object.metadata.uid };
				return { code: 200, json: JSON.stringify({ kind: 'Status', apiVersion: 'v1', status: 'Success', details }) };
			}
			default:
				throw new ApiError(405, 'the server does not allow this method on the requested resource');
		}
	}

	#answerOther(path: string, response: ServerResponse): void {
		if (['/healthz', '/livez', '/readyz'].includes(path)) {
			response.writeHead(200, { 'content-type': 'text/plain' }).end('ok');
			return;
		}
		const found = discover(path);
		if (found === undefined) throw new ApiError(404, 'the server could not find the requested resource');
		send(response, 200, JSON.stringify(found));
	}

	#watch({ info, namespace, name }: Target, query: URLSearchParams, response: ServerResponse): void {
		const fields = [query.get('fieldSelector') ?? '', name === '' ? '' : `metadata.name=${name}`]
			.filter(Boolean)
			.join(',');
		const sendInitialEvents = query.get('sendInitialEvents') === 'true';
		const match = query.get('resourceVersionMatch');
		if (sendInitialEvents !== (match === 'NotOlderThan') || (match !== null && !sendInitialEvents)) {
			throw new ApiError(
				422,
				'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided, and then must be NotOlderThan',
			);
		}
		const resourceVersion = query.get('resourceVersion') ?? '';
		if (!/^\d*$/.test(resourceVersion))
			throw new ApiError(400, `invalid resource version ${JSON.stringify(resourceVersion)}`);
		if (this.#options.goneAs === 'status' && Number(resourceVersion) > 0) {
			this.storage.eventsAfter(info, Number(resourceVersion));
		}
		const seconds = Number(query.get('timeoutSeconds') ?? 0);
		const stream = new WatchStream(
			response,
			{
				info,
				namespace,
				test: parseSelectors(info, query.get('labelSelector'), fields),
				resourceVersion,
				bookmarks: query.get('allowWatchBookmarks') === 'true',
				sendInitialEvents,
				timeoutMs: seconds > 0 ? seconds * 1000 : DEFAULT_WATCH_MS,
			},
			{ storage: this.storage, faults: this.faults, bookmarkMs: this.#options.bookmarkMs ?? 60_000 },
		);
		this.#watches.add(stream);
		response.on('close', () => this.#watches.delete(stream));
	}
}

function parsePath(path: string): Target | undefined {
	const match = /^\/(?:api|apis\/([^/]+))\/(v[^/]+)\/(.+?)\/?$/.exec(path);
	if (match === null) return undefined;
	const [, group = '', version = '', rest = ''] = match;
	const parts = rest.split('/').map(decodeURIComponent);
	const [first = '', second = '', third, ...others] = parts;
	if (first === 'namespaces' && third !== undefined) {
		const info = findResource(group, version, third);
		if (info?.namespaced) return { info, namespace: second, name: others[0] ?? '', subresource: others[1] ?? '' };
	}
	const info = findResource(group, version, first);
	if (info === undefined) return undefined;
	return { info, namespace: '', name: second, subresource: third ?? '' };
}

function verbOf(method: string, url: URL, target: Target | undefined): string {
	if (method === 'GET') {
		const watch = ['true', '1'].includes(url.searchParams.get('watch') ?? '');
		return watch ? 'watch' : target === undefined || target.name !== '' ? 'get' : 'list';
	}
	return { POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' }[method] ?? method.toLowerCase();
}

async function readBody(request: IncomingMessage): Promise<string> {
	const chunks: Buffer[] = [];
	for await (const chunk of request) chunks.push(chunk as Buffer);
	return Buffer.concat(chunks).toString();
}

function contentTypeOf(request: IncomingMessage): string {
	return (request.headers['content-type'] ?? 'application/json').split(';')[0] ?? '';
}

function parseBody(text: string, contentType: string): unknown {
	if (!/json|yaml/.test(contentType)) {
		throw new ApiError(
			415,
			`the body of the request was in an unknown format: ${contentType}; only JSON and YAML are read`,
		);
	}
	try {
		return /yaml/.test(contentType) ? parseYaml(text) : JSON.parse(text);
	} catch (thrown) {
		throw new ApiError(
			400,
			`the object provided is unrecognized: ${thrown instanceof Error ? thrown.message : thrown}`,
		);
	}
}

function send(response: ServerResponse, code: number, json: string): void {
	const body = Buffer.from(`${json}\n`);
	response.writeHead(code, { 'content-type': 'application/json', 'content-length': body.length }).end(body);
}

function sendError(response: ServerResponse, error: ApiError): void {
	if (response.headersSent) {
		response.destroy();
		return;
	}
	const { retryAfterSeconds } = error.details;
	if (retryAfterSeconds !== undefined) response.setHeader('retry-after', String(retryAfterSeconds));
	send(response, error.code, JSON.stringify(error.toStatus()));
}

/** Replaces how a response writes its body. */
function spoilBody(response: ServerResponse, action: Extract<FaultAction, { type: 'cut' | 'trickle' }>): void {
	const { socket } = response;
	if (socket === null) return;
	const write = response.write.bind(response) as (chunk: Buffer, done?: () => void) => boolean;
	const end = response.end.bind(response) as () => void;
	let left = action.type === 'cut' ? action.afterBytes : 0;
	let queue: Promise<void> = Promise.resolve();
	const put = (chunk: unknown): boolean => {
		const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk));
		if (action.type === 'cut') {
			if (left <= 0) return true;
			const piece = bytes.subarray(0, left);
			left -= piece.length;
			write(piece, () => left <= 0 && socket.destroy());
			return true;
		}
		queue = queue.then(async () => {
			for (let at = 0; at < bytes.length && !socket.destroyed; at += action.bytes) {
				write(bytes.subarray(at, at + action.bytes));
				await new Promise((resolve) => setTimeout(resolve, action.everyMs));
			}
		});
		return true;
	};
	response.write = put as typeof response.write;
	response.end = ((chunk?: unknown) => {
		if (chunk !== undefined) put(chunk);
		if (action.type === 'cut' && left > 0) end();
		else if (action.type === 'trickle') void queue.then(end);
		return response;
	}) as typeof response.end;
}
