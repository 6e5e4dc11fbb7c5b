/**
 * Requests to the API server: credentials, failover between addresses, time limits, errors in one form. No retries: whoever
 * asks knows what a failure means.
 *
 * The client library (access.ts) tells how to connect; the requests are made here, since its own watch swallows lines that it
 * cannot parse and its clients keep whole lists as objects.
 */
import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http';
import type { Agent } from 'node:https';
import { checkServerIdentity } from 'node:tls';
import { errorCode, errorMessage, FairleadError } from '../../model/errors.ts';
import type { AccessLoader, AccessOptions, ClusterAccess, Credentials } from './access.ts';
import { ListItems } from './list-items.ts';
import type { ServerChoice, ServerList } from './servers.ts';
import { LineSplitter } from './watch-lines.ts';

// as in agent/health: an import would read all exports, one of which loads an HTTP client
const https = process.getBuiltinModule('node:https');

export interface TimeLimits {
	/** Until the connection is there, with TLS. */
	readonly connectMs: number;
	/** Until the answer begins, and between pieces of an answer that is no watch. */
	readonly answerMs: number;
	/** Between pieces of a watch: bookmarks come about every minute. */
	readonly watchIdleMs: number;
}

export const TIME_LIMITS: TimeLimits = { connectMs: 5000, answerMs: 30_000, watchIdleMs: 150_000 };

export interface ApiClientOptions {
	readonly access: AccessOptions;
	readonly load: AccessLoader;
	/** Made with the address that the configuration names. */
	readonly servers: (configured: string) => ServerList;
	readonly limits?: TimeLimits;
}

export interface WatchHandlers {
	open(): void;
	line(value: unknown): void;
}

/** A request that changes something. */
export interface WriteRequest {
	readonly method: 'POST' | 'PATCH';
	readonly path: string;
	readonly query?: Query;
	/** Of a POST 'application/json', of a PATCH that of the kind of patch. */
	readonly contentType: string;
	readonly body: unknown;
}

interface SendOptions {
	readonly credentials: Credentials;
	readonly idleMs: number;
	readonly body: WriteRequest | undefined;
}

export type Query = Readonly<Record<string, string | number | boolean>>;

/** Every API server certificate names the `kubernetes` Service; not every one names each address it is reached at. */
const SERVICE_NAME = 'kubernetes.default.svc';
/** A peer that has gone without a word is noticed after this and ten probes, one a second. */
const KEEP_ALIVE_MS = 15_000;
const LONGEST_RETRY_AFTER_S = 120;

/** What another attempt needs to know about a failure. */
export interface Failure {
	/** HTTP status or code of an ERROR event; 0 = no answer. */
	readonly status: number;
	/** As the server asks for; 0 = it does not. */
	readonly retryAfterMs: number;
	/** There is another address that may do better at once. */
	readonly otherServer: boolean;
}

export function failureOf(thrown: unknown): Failure {
	const fields = thrown instanceof FairleadError ? thrown.fields : {};
	const { status, retryAfterMs, otherServer } = fields as Partial<Failure>;
	return { status: status ?? 0, retryAfterMs: retryAfterMs ?? 0, otherServer: otherServer ?? false };
}

export class ApiClient {
	readonly #options: ApiClientOptions;
	readonly #limits: TimeLimits;
	#access: Promise<{ access: ClusterAccess; servers: ServerList }> | undefined;
	#servers: ServerList | undefined;
	#agent: { readonly key: string; readonly agent: Agent } | undefined;

	constructor(options: ApiClientOptions) {
		this.#options = options;
		this.#limits = options.limits ?? TIME_LIMITS;
	}

	/** Reads the configuration. @throws FairleadError API_CONFIG */
	async open(): Promise<ServerList> {
		const { servers } = await this.#opened();
		if (servers.current !== undefined) return servers;
		throw new FairleadError(
			'API_CONFIG',
			'cannot find an API server: none is configured and the pod has no KUBERNETES_SERVICE_HOST; set k8sApiServer or kubeconfig',
		);
	}

	/** Reads credentials anew before the next request: a token may have expired, a certificate may have been renewed. */
	renew(): void {
		this.#access = undefined;
	}

	close(): void {
		this.#agent?.agent.destroy();
		this.#agent = undefined;
	}

	/** GET of one JSON document. @throws FairleadError API_UNREACHABLE, API_REFUSED */
	async get(path: string, query: Query, signal: AbortSignal): Promise<unknown> {
		const response = await this.#request(path, query, this.#limits.answerMs, signal);
		return this.#json(response);
	}

	async #json(response: Answer): Promise<unknown> {
		const chunks: Buffer[] = [];
		await this.#read(response, (chunk) => chunks.push(chunk));
		return asJson(response, () => JSON.parse(Buffer.concat(chunks).toString()));
	}

	/**
	 * GET of a list, whose items are handed over as they arrive, also those of an answer that breaks off later.
	 * @param onItem  what it throws ends the request
	 * @returns the list without its items
	 * @throws FairleadError API_UNREACHABLE, API_REFUSED, and what onItem throws
	 */
	async list(path: string, query: Query, onItem: (item: unknown) => void, signal: AbortSignal): Promise<unknown> {
		const response = await this.#request(path, query, this.#limits.answerMs, signal);
		const items = new ListItems(onItem);
		await this.#read(response, (chunk) => items.push(chunk));
		return asJson(response, () => items.end());
	}

	/** Any other request with one JSON document; not tried again. @throws FairleadError API_UNREACHABLE, API_REFUSED */
	async write(request: WriteRequest, signal: AbortSignal): Promise<unknown> {
		const { path, query = {} } = request;
		const response = await this.#request(path, query, this.#limits.answerMs, signal, request);
		return this.#json(response);
	}

	/**
	 * GET of one JSON document per line, until the server ends it.
	 * @param on  `open`: the server has accepted it; `line`: what it throws ends the watch
	 * @throws FairleadError API_UNREACHABLE, API_REFUSED, and what onLine throws
	 */
	async watch(path: string, query: Query, on: WatchHandlers, signal: AbortSignal): Promise<void> {
		const response = await this.#request(path, query, this.#limits.watchIdleMs, signal);
		const splitter = new LineSplitter();
		on.open();
		await this.#read(response, (chunk) => {
			for (const line of splitter.push(chunk)) on.line(JSON.parse(line));
		});
	}

	#opened(): Promise<{ access: ClusterAccess; servers: ServerList }> {
		this.#access ??= this.#open().catch((error: unknown) => {
			this.#access = undefined;
			throw error;
		});
		return this.#access;
	}

	async #open(): Promise<{ access: ClusterAccess; servers: ServerList }> {
		const access = await this.#options.load(this.#options.access);
		this.#servers ??= this.#options.servers(access.server);
		return { access, servers: this.#servers };
	}

	/** Answered with status 200 or 201. */
	async #request(
		path: string,
		query: Query,
		idleMs: number,
		signal: AbortSignal,
		body?: WriteRequest,
	): Promise<Answer> {
		const { access, servers } = await this.#opened();
		const server = servers.current;
		const what = `${body === undefined ? 'read' : 'write'} ${path}`;
		if (server === undefined) throw unreachable(what, 'any API server', 'none is known', undefined, false);
		const search = new URLSearchParams(
			Object.entries(query).map(([key, value]) => [key, String(value)] as [string, string]),
		);
		const credentials = await access.credentials();
		const url = new URL(`${server.url}${path}?${search}`);
		try {
			const message = await this.#send(url, server, { credentials, idleMs, body }, signal);
			servers.succeeded(server.url);
			if (message.statusCode === 200 || message.statusCode === 201) return { message, what, server, servers, signal };
			throw await refusal(what, server.url, message);
		} catch (thrown) {
			if (thrown instanceof FairleadError) {
				if (failureOf(thrown).status === 401) this.renew();
				throw thrown;
			}
			if (signal.aborted) throw thrown;
			// the CA or a client certificate may have been renewed meanwhile
			this.renew();
			throw unreachable(what, server.url, whyOf(thrown), thrown, servers.failed(server.url));
		}
	}

	#send(
		url: URL,
		server: ServerChoice,
		{ credentials, idleMs, body }: SendOptions,
		signal: AbortSignal,
	): Promise<IncomingMessage> {
		const content = body === undefined ? undefined : Buffer.from(JSON.stringify(body.body));
		const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
		const request = https.request({
			host: url.hostname.replace(/^\[|\]$/g, ''),
			port: url.port || 443,
			path: `${url.pathname}${url.search}`,
			...(body !== undefined && { method: body.method }),
			headers: {
				accept: 'application/json',
				'user-agent': 'fairlead-agent',
				...credentials.headers,
				...(body !== undefined && { 'content-type': body.contentType, 'content-length': content?.length ?? 0 }),
			},
			agent: this.#agentFor(server, credentials),
			signal,
		} satisfies RequestOptions);
		limitConnect(request, this.#limits.connectMs);
		let limitMs = this.#limits.answerMs;
		request.setTimeout(limitMs);
		request.on('timeout', () => request.destroy(new Error(`nothing came for ${limitMs} ms`)));
		request.on('error', reject);
		request.on('response', (message) => {
			limitMs = idleMs;
			request.setTimeout(limitMs);
			resolve(message);
		});
		request.end(content);
		return promise;
	}

	#agentFor(server: ServerChoice, { tls, agent }: Credentials): Agent {
		if (agent !== undefined) return agent as Agent;
		const key = JSON.stringify([server, tls]);
		if (this.#agent?.key !== key) {
			// connections of the old one that are in use go on
			const old = this.#agent?.agent;
			const made = new https.Agent({
				...tls,
				keepAlive: true,
				...(server.told && { checkServerIdentity: checkToldServer }),
			});
			this.#agent = { key, agent: made };
			for (const socket of Object.values(old?.freeSockets ?? {}).flatMap((sockets) => sockets ?? [])) socket.destroy();
		}
		return this.#agent.agent;
	}

	async #read(answer: Answer, onChunk: (chunk: Buffer) => void): Promise<void> {
		const { message, what, server, servers, signal } = answer;
		let own: { readonly thrown: unknown } | undefined;
		try {
			// events, not an iterator: a watch has a chunk for every change in the cluster
			await eachChunk(message, (chunk) => {
				try {
					onChunk(chunk);
				} catch (thrown) {
					own = { thrown };
					throw thrown;
				}
			});
		} catch (thrown) {
			message.destroy();
			if (signal.aborted || own?.thrown instanceof FairleadError) throw thrown;
			if (own !== undefined) throw unreachable(what, server.url, errorMessage(thrown), thrown, false);
			throw unreachable(what, server.url, whyOf(message.errored ?? thrown), thrown, servers.failed(server.url));
		}
	}
}

/** Resolves at the end of the body; rejects with what `onChunk` throws, after which it is not called again, and when the body breaks off. */
function eachChunk(message: IncomingMessage, onChunk: (chunk: Buffer) => void): Promise<void> {
	const { promise, resolve, reject } = Promise.withResolvers<void>();
	const take = (chunk: Buffer): void => {
		try {
			onChunk(chunk);
		} catch (thrown) {
			message.off('data', take);
			reject(thrown);
		}
	};
	message.on('data', take);
	message.on('end', resolve);
	message.on('error', reject);
	message.on('close', () => reject(new Error('the connection was closed')));
	if (message.destroyed) reject(new Error('the connection was closed'));
	return promise;
}

interface Answer {
	readonly message: IncomingMessage;
	/** 'read /api/v1/nodes' */
	readonly what: string;
	readonly server: ServerChoice;
	readonly servers: ServerList;
	readonly signal: AbortSignal;
}

/** What `parse` makes of the answer. @throws FairleadError API_UNREACHABLE when it is no JSON */
function asJson({ what, server }: Answer, parse: () => unknown): unknown {
	try {
		return parse();
	} catch (thrown) {
		throw unreachable(what, server.url, `the answer is no JSON: ${errorMessage(thrown)}`, thrown, false);
	}
}

function limitConnect(request: ClientRequest, connectMs: number): void {
	request.on('socket', (socket) => {
		socket.setKeepAlive(true, KEEP_ALIVE_MS);
		if (!socket.connecting) return;
		const timer = setTimeout(() => request.destroy(new Error(`no connection after ${connectMs} ms`)), connectMs);
		socket.once('secureConnect', () => clearTimeout(timer));
		socket.once('close', () => clearTimeout(timer));
	});
}

/** Names of the address or of the Service will do: both are vouched for by the cluster's CA. */
function checkToldServer(...[host, certificate]: Parameters<typeof checkServerIdentity>): Error | undefined {
	const mismatch = checkServerIdentity(host, certificate);
	return mismatch && checkServerIdentity(SERVICE_NAME, certificate) && mismatch;
}

function whyOf(thrown: unknown): string {
	const code = errorCode(thrown);
	const message = errorMessage(thrown);
	return code === undefined || message.includes(code) ? message : `${code}: ${message}`;
}

function unreachable(what: string, server: string, why: string, cause: unknown, otherServer: boolean): FairleadError {
	return new FairleadError('API_UNREACHABLE', `cannot ${what} at ${server}: ${why}`, { cause, otherServer });
}

async function refusal(what: string, server: string, message: IncomingMessage): Promise<FairleadError> {
	const chunks: Buffer[] = [];
	for await (const chunk of message) chunks.push(chunk as Buffer);
	const text = Buffer.concat(chunks).toString();
	const { statusCode: status = 0, headers } = message;
	let why = text.slice(0, 200).trim();
	try {
		why = (JSON.parse(text) as { message?: string }).message ?? why;
	} catch {
		// a proxy in between answers with something else
	}
	const seconds = Math.min(Number(headers['retry-after'] ?? 0) || 0, LONGEST_RETRY_AFTER_S);
	const fields = { status, retryAfterMs: seconds * 1000 };
	return new FairleadError('API_REFUSED', `cannot ${what} at ${server}: ${status}: ${why}`, fields);
}
