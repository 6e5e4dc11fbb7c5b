/**
 * A unix socket that only permitted users can use: mode 0600, and every connection is checked against the credentials
 * the kernel noted when it was made (SO_PEERCRED). The mode keeps others out; the check also covers a socket whose mode
 * or directory somebody relaxed. A process that was root when it connected stays accepted if it drops privileges.
 */
import { chmodSync, lstatSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { createServer, connect as netConnect, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { errorCode, errorMessage, FairleadError } from '../model/errors.ts';

export interface PeerCredentials {
	readonly pid: number;
	readonly uid: number;
	readonly gid: number;
}

export interface PrivateSocketOptions {
	readonly path: string;
	/** peerCredentials of native/index.ts. */
	readonly peerCredentials: (fd: number) => PeerCredentials;
	/** Users that may connect; uid 0 unless said otherwise. */
	readonly allowedUids?: readonly number[];
	/** Gets the connection paused: call `resume` when its data is wanted. */
	readonly onConnection: (socket: Socket) => void;
	/** Called for connections that were refused, with the reason. */
	readonly onRefused: (reason: string) => void;
}

export interface PrivateSocket {
	/** Stops accepting and removes the file if it is still ours. Open connections stay. */
	close(): Promise<void>;
}

/**
 * Listens. A socket file left over from a process that died is replaced; one that is served is not.
 * @throws SOCKET_BUSY when another process serves the path, LISTEN_FAILED
 */
export async function listenPrivate(options: PrivateSocketOptions): Promise<PrivateSocket> {
	const { path } = options;
	mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
	if (await isServed(path)) {
		throw new FairleadError('SOCKET_BUSY', `cannot listen on ${path}: another agent serves it; stop that one first`, {
			path,
		});
	}
	// nothing may be read before the owner of the connection is there
	const server = createServer({ pauseOnConnect: true }, (socket) => accept(options, socket));
	// made under another name and renamed: the final name never has another mode and never points to nothing
	const draft = `${path}.${process.pid}`;
	try {
		rmSync(draft, { force: true });
		await listening(server, draft);
		chmodSync(draft, 0o600);
		renameSync(draft, path);
	} catch (cause) {
		server.close();
		throw new FairleadError('LISTEN_FAILED', `cannot listen on ${path}: ${errorMessage(cause)}`, { cause, path });
	}
	const { ino } = lstatSync(path);
	return { close: () => closeServer(server, path, ino) };
}

function accept(options: PrivateSocketOptions, socket: Socket): void {
	// the other side may leave at any time, also before it is looked at
	socket.on('error', () => {});
	const refusal = refusalOf(options, socket);
	if (refusal === undefined) {
		options.onConnection(socket);
		return;
	}
	socket.destroy();
	options.onRefused(refusal);
}

/** Why a connection must be refused; undefined = it may stay. */
function refusalOf(options: PrivateSocketOptions, socket: Socket): string | undefined {
	const fd = fdOf(socket);
	if (fd === undefined) return 'the socket has no descriptor to read credentials from';
	try {
		const { uid, pid } = options.peerCredentials(fd);
		return (options.allowedUids ?? [0]).includes(uid) ? undefined : `uid ${uid} (pid ${pid}) is not allowed`;
	} catch (error) {
		return `cannot read peer credentials: ${errorMessage(error)}`;
	}
}

/** Node.js has no public way to the descriptor of a socket; without one the connection is refused. */
function fdOf(socket: Socket): number | undefined {
	const handle: unknown = Reflect.get(socket, '_handle');
	if (typeof handle !== 'object' || handle === null) return undefined;
	const fd: unknown = Reflect.get(handle, 'fd');
	return typeof fd === 'number' && fd >= 0 ? fd : undefined;
}

function isServed(path: string): Promise<boolean> {
	return new Promise((resolve, reject) => {
		const probe = netConnect(path);
		probe.once('connect', () => {
			probe.destroy();
			resolve(true);
		});
		probe.once('error', (cause) => {
			const code = errorCode(cause);
			if (code === 'ENOENT' || code === 'ECONNREFUSED') resolve(false);
			else
				reject(new FairleadError('LISTEN_FAILED', `cannot listen on ${path}: ${errorMessage(cause)}`, { cause, path }));
		});
	});
}

function listening(server: Server, path: string): Promise<void> {
	return new Promise((resolve, reject) => {
		server.once('error', reject);
		server.listen(path, () => {
			server.off('error', reject);
			resolve();
		});
	});
}

function closeServer(server: Server, path: string, ino: number): Promise<void> {
	const found = lstatSync(path, { throwIfNoEntry: false });
	// a newer agent may have replaced it already
	if (found?.ino === ino) rmSync(path, { force: true });
	return new Promise((resolve) => {
		server.close(() => resolve());
		if (!server.listening) resolve();
	});
}
