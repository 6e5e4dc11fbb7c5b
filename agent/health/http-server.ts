/**
 * A small HTTP server for probes and scrapes: GET and HEAD on exact paths, nothing else.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { errorMessage, FairleadError } from '../model/errors.ts';

// An import of node:http reads all its exports, among them WebSocket, which loads an HTTP client of several megabytes.
const { createServer } = process.getBuiltinModule('node:http');

export interface HttpAnswer {
	readonly status: number;
	readonly contentType?: string;
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
 * @param address  HOST:PORT; port 0 takes a free one
 * @param routes   by path; a route that throws answers 500
 * @throws SOCKET_BUSY, LISTEN_FAILED, CONFIG_INVALID
 */
export async function startHttpServer(
	address: string,
	routes: Readonly<Record<string, HttpRoute>>,
): Promise<HttpServer> {
	const { host, port } = parseListenAddress(address);
	const server = createServer((request, response) => void answer(routes, request, response));
	// probes are short: what is not done by then is stuck
	server.requestTimeout = 10_000;
	server.keepAliveTimeout = 5_000;
	await listen(server, host, port, address);
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

function listen(server: Server, host: string, port: number, address: string): Promise<void> {
	return new Promise((resolve, reject) => {
		server.once('error', (cause: NodeJS.ErrnoException) => {
			const code = cause.code === 'EADDRINUSE' ? 'SOCKET_BUSY' : 'LISTEN_FAILED';
			reject(
				new FairleadError(code, `cannot listen on ${address}: ${cause.code ?? cause.message}`, { cause, address }),
			);
		});
		server.listen(port, host, () => resolve());
	});
}

async function answer(
	routes: Readonly<Record<string, HttpRoute>>,
	request: IncomingMessage,
	response: ServerResponse,
): Promise<void> {
	const { status, body, contentType = 'text/plain; charset=utf-8' } = await route(routes, request);
	response.writeHead(status, { 'content-type': contentType, 'content-length': Buffer.byteLength(body) });
	response.end(request.method === 'HEAD' ? undefined : body);
}

async function route(routes: Readonly<Record<string, HttpRoute>>, request: IncomingMessage): Promise<HttpAnswer> {
	if (request.method !== 'GET' && request.method !== 'HEAD') return { status: 405, body: 'only GET and HEAD\n' };
	const path = (request.url ?? '/').split('?')[0] ?? '/';
	const handler = Object.hasOwn(routes, path) ? routes[path] : undefined;
	if (handler === undefined) return { status: 404, body: `try one of: ${Object.keys(routes).join(' ')}\n` };
	try {
		return await handler();
	} catch (error) {
		return { status: 500, body: `${errorMessage(error)}\n` };
	}
}
