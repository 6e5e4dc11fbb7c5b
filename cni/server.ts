/**
 * The socket that the CNI executable talks to. Mode 0600, peers must be root, one request per connection. It appears
 * under its name only when it accepts, replacing that of an agent before.
 */
import { chmodSync, mkdirSync, renameSync, statSync, unlinkSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { errorMessage, FairleadError } from '../agent/model/errors.ts';
import { CniCode, CniError } from './cni-error.ts';
import { type DispatchContext, type Endpoints, type Outcome, type Readiness, serveRequest } from './dispatch.ts';
import { encodeReply, RequestReader } from './protocol.ts';
import type { CniRequest, Verb } from './request.ts';
import { formatError } from './result.ts';

export interface CniServerOptions {
	readonly socketPath: string;
	readonly endpoints: Endpoints;
	readonly readiness: () => Readiness;
	/** SO_PEERCRED of a socket's descriptor. */
	readonly peerUid: (fd: number) => number;
	/** Milliseconds until a verb is given up; defaults 30,000 for ADD and GC, 10,000 for the others. */
	readonly addTimeoutMs?: number;
	readonly delTimeoutMs?: number;
	/** Called after each request, with how long it took. */
	readonly onServed?: (outcome: Outcome, tookMs: number) => void;
}

export interface CniServer {
	/** Stops accepting, lets requests that are under way finish. */
	close(): Promise<void>;
}

/** A client sends its request at once; one that does not is cut off. */
const RECEIVE_MS = 10_000;

/** @throws FairleadError LISTEN_FAILED */
export async function createCniServer(options: CniServerOptions): Promise<CniServer> {
	const active = new Set<Promise<void>>();
	const sockets = new Set<Socket>();
	const server = createServer({ allowHalfOpen: true }, (socket) => {
		sockets.add(socket);
		socket.once('close', () => sockets.delete(socket));
		const done = serveConnection(socket, options).finally(() => active.delete(done));
		active.add(done);
	});
	const inode = await listenAs(server, options.socketPath);
	return {
		close: async () => {
			removeSocket(options.socketPath, inode);
			const closed = new Promise((resolve) => server.close(resolve));
			await Promise.all(active);
			for (const socket of sockets) socket.destroySoon();
			await closed;
		},
	};
}

/** Listens under a name of its own and renames: there is no moment with wrong permissions or without a socket. */
async function listenAs(server: Server, path: string): Promise<number> {
	const temporary = `${path}.${process.pid}`;
	try {
		mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
		removeSocket(temporary);
		await new Promise<void>((resolve, reject) => {
			server.once('error', reject);
			server.listen(temporary, () => resolve());
		});
		chmodSync(temporary, 0o600);
		renameSync(temporary, path);
		return statSync(path).ino;
	} catch (cause) {
		server.close();
		throw new FairleadError('LISTEN_FAILED', `cannot listen on CNI socket ${path}: ${errorMessage(cause)}`, { cause });
	}
}

/** @param inode  only if it is still this one: a new agent may have put its own there */
function removeSocket(path: string, inode?: number): void {
	try {
		if (inode === undefined || statSync(path).ino === inode) unlinkSync(path);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
	}
}

/** Never rejects. */
async function serveConnection(socket: Socket, options: CniServerOptions): Promise<void> {
	const startedMs = performance.now();
	const gone = new AbortController();
	for (const event of ['end', 'close', 'error']) {
		socket.on(event, () => gone.abort(new Error('the caller went away')));
	}
	try {
		requireRoot(socket, options);
		const body = await receive(socket);
		const outcome = await serveRequest(body, (request) => contextFor(request, socket, options, gone.signal));
		reply(socket, outcome.exitStatus, outcome.stdout);
		options.onServed?.(outcome, performance.now() - startedMs);
	} catch (error) {
		if (error instanceof CniError) reply(socket, 1, formatError('1.1.0', error));
		else socket.destroy();
	}
}

/** What was not read is thrown away: unread bytes would keep the connection open. */
function reply(socket: Socket, exitStatus: number, stdout: string): void {
	socket.removeAllListeners('data');
	socket.resume();
	socket.end(encodeReply(exitStatus, stdout));
}

function requireRoot(socket: Socket, options: CniServerOptions): void {
	const uid = options.peerUid(descriptorOf(socket));
	if (uid !== 0) throw new CniError(CniCode.IO, `the CNI socket is for root, not for user ${uid}`);
}

/** Node.js has no public way to the descriptor of a socket. */
function descriptorOf(socket: Socket): number {
	const handle = (socket as Socket & { readonly _handle?: { readonly fd?: number } | null })._handle;
	return handle?.fd ?? -1;
}

function receive(socket: Socket): Promise<Buffer> {
	const reader = new RequestReader();
	return new Promise((resolve, reject) => {
		const timer = setTimeout(
			() => reject(new CniError(CniCode.IO, `no whole request within ${RECEIVE_MS} ms`)),
			RECEIVE_MS,
		);
		const settle = (finish: () => void) => {
			clearTimeout(timer);
			finish();
		};
		socket.on('data', (chunk: Buffer) => {
			try {
				const body = reader.push(chunk);
				if (body) settle(() => resolve(body));
			} catch (error) {
				settle(() => reject(error));
			}
		});
		for (const event of ['end', 'close', 'error']) {
			socket.once(event, () => settle(() => reject(new CniError(CniCode.IO, 'the request ended early'))));
		}
	});
}

function contextFor(
	request: CniRequest,
	socket: Socket,
	options: CniServerOptions,
	gone: AbortSignal,
): DispatchContext {
	const ms = deadlineMs(request.verb, options);
	const deadline = new AbortController();
	const timer = setTimeout(() => deadline.abort(new Error(`no result within ${ms} ms`)), ms);
	socket.once('close', () => clearTimeout(timer));
	return {
		endpoints: options.endpoints,
		readiness: options.readiness,
		signal: AbortSignal.any([deadline.signal, gone]),
	};
}

function deadlineMs(verb: Verb, options: CniServerOptions): number {
	if (verb === 'ADD' || verb === 'GC') return options.addTimeoutMs ?? 30_000;
	return options.delTimeoutMs ?? 10_000;
}
