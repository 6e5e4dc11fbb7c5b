/**
 * Small HTTP servers for probes and scrapes: GET and HEAD on exact paths, or one answer to whatever is asked.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { errorCode, errorMessage, FairleadError } from '../model/errors.ts';

// An import of node:http reads all its exports, among them WebSocket, which loads an HTTP client of several megabytes.
const { createServer } = process.getBuiltinModule('node:http');

export interface HttpAnswer {
	readonly status: number;
	readonly contentType?: string;
	/** More of them, in lower case. */
	readonly headers?: Readonly<Record<string, string>>;
	readonly body: string;
}

export type HttpRoute = () => HttpAnswer | Promise<HttpAnswer>;

export interface HttpServer {
	/** Port that was taken; differs from the one asked for when that was 0. */
	readonly port: number;
	close(): Promise<void>;
}

/** @throws CONFIG_INVALID when the text is not HOST:PORT or [V6]:PORT */
export function parseListenAddress(text: string): { host: string; port: number } {
	const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
	const port = Number(match?.[3]);
	const host = match?.[1] ?? match?.[2];
	if (host === undefined || port > 65535) {
		throw new FairleadError('CONFIG_INVALID', `cannot listen on ${JSON.stringify(text)}: expected HOST:PORT`);
	}
	return { host, port };
}

/**
 * Serves until closed.
 * @param address  HOST:PORT; port 0 takes a free one. [::] takes the addresses of both families, also where the kernel has no
 *                 IPv6.
 * @param routes   by path; a route that throws answers 500
 * @throws SOCKET_BUSY, LISTEN_FAILED, CONFIG_INVALID
 */
export async function startHttpServer(
	address: string,
	routes: Readonly<Record<string, HttpRoute>>,
): Promise<HttpServer> {
	const { host, port } = parseListenAddress(address);
	return serve(host, port, (request) => route(routes, request));
}

/** One answer on every path and for every method. @throws SOCKET_BUSY, LISTEN_FAILED */
export function startAnswerServer(host: string, port: number, answer: HttpRoute): Promise<HttpServer> {
	return serve(host, port, () => guarded(answer));
}

async function serve(
	host: string,
	port: number,
	answer: (request: IncomingMessage) => Promise<HttpAnswer>,
): Promise<HttpServer> {
	const server = createServer(
		(request, response) => void answer(request).then((each) => send(each, request, response)),
	);
	// probes are short: what is not done by then is stuck
	server.requestTimeout = 10_000;
	server.keepAliveTimeout = 5_000;
	await listenDual(server, host, port);
	const bound = server.address();
	return {
		port: typeof bound === 'object' && bound !== null ? bound.port : port,
		close: () =>
			new Promise((resolve) => {
				server.close(() => resolve());
				server.closeAllConnections();
			}),
	};
}

async function listenDual(server: Server, host: string, port: number): Promise<void> {
	try {
		await listen(server, host, port);
	} catch (error) {
		const cause = error instanceof FairleadError ? errorCode(error.cause) : undefined;
		if (host !== '::' || (cause !== 'EAFNOSUPPORT' && cause !== 'EADDRNOTAVAIL')) throw error;
		await listen(server, '0.0.0.0', port);
	}
}

function listen(server: Server, host: string, port: number): Promise<void> {
	return new Promise((resolve, reject) => {
		const onError = (cause: NodeJS.ErrnoException): void => {
			const code = cause.code === 'EADDRINUSE' ? 'SOCKET_BUSY' : 'LISTEN_FAILED';
			const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
			reject(
				new FairleadError(code, `cannot listen on ${address}: ${cause.code ?? cause.message}`, { cause, address }),
			);
		};
		server.once('error', onError);
		server.listen(port, host, () => {
			server.off('error', onError);
			resolve();
		});
	});
}

function send(
	{ status, body, headers, contentType = 'text/plain; charset=utf-8' }: HttpAnswer,
	request: IncomingMessage,
	response: ServerResponse,
): void {
	response.writeHead(status, { ...headers, 'content-type': contentType, 'content-length': Buffer.byteLength(body) });
	response.end(request.method === 'HEAD' ? undefined : body);
}

async function route(routes: Readonly<Record<string, HttpRoute>>, request: IncomingMessage): Promise<HttpAnswer> {
	if (request.method !== 'GET' && request.method !== 'HEAD') return { status: 405, body: 'only GET and HEAD\n' };
	const path = (request.url ?? '/').split('?')[0] ?? '/';
	const handler = Object.hasOwn(routes, path) ? routes[path] : undefined;
	if (handler === undefined) return { status: 404, body: `try one of: ${Object.keys(routes).join(' ')}\n` };
	return guarded(handler);
}

async function guarded(handler: HttpRoute): Promise<HttpAnswer> {
	try {
		return await handler();
	} catch (error) {
		return { status: 500, body: `${errorMessage(error)}\n` };
	}
}
