import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PrivateSocket, PrivateSocketOptions } from './socket.ts';
import { listenPrivate } from './socket.ts';

let directory: string;
let path: string;
const open: PrivateSocket[] = [];

beforeEach(() => {
	directory = mkdtempSync(join(tmpdir(), 'fairlead-socket-'));
	path = join(directory, 'run', 'agent.sock');
});

afterEach(async () => {
	for (const socket of open.splice(0)) await socket.close();
	rmSync(directory, { recursive: true });
});

interface Seen {
	readonly accepted: Socket[];
	readonly refused: string[];
}

async function listen(changes: Partial<PrivateSocketOptions> = {}): Promise<Seen & { socket: PrivateSocket }> {
	const accepted: Socket[] = [];
	const refused: string[] = [];
	const socket = await listenPrivate({
		path,
		peerCredentials: () => ({ pid: 42, uid: 0, gid: 0 }),
		onConnection: (connection) => {
			accepted.push(connection);
			connection.end('hello');
		},
		onRefused: (reason) => refused.push(reason),
		...changes,
	});
	open.push(socket);
	return { socket, accepted, refused };
}

/** What a client reads until the other side closes. */
function read(): Promise<string> {
	return new Promise((resolve, reject) => {
		let text = '';
		const client = connect(path);
		client.on('data', (data) => {
			text += data.toString();
		});
		client.on('close', () => resolve(text));
		client.on('error', reject);
	});
}

describe('listenPrivate', () => {
	it('makes the socket with mode 0600 in a directory with mode 0700', async () => {
		await listen();
		expect(statSync(path).mode & 0o777).toBe(0o600);
		expect(statSync(join(directory, 'run')).mode & 0o777).toBe(0o700);
		expect(await read()).toBe('hello');
	});

	it('gives the descriptor of the connection to the credentials check', async () => {
		const fds: number[] = [];
		const peerCredentials = (fd: number) => {
			fds.push(fd);
			return { pid: 1, uid: 0, gid: 0 };
		};
		await listen({ peerCredentials });
		await read();
		expect(fds).toHaveLength(1);
		expect(fds[0]).toBeGreaterThan(2);
	});

	it('closes connections of other users and says who it was', async () => {
		const { accepted, refused } = await listen({ peerCredentials: () => ({ pid: 42, uid: 1000, gid: 1 }) });
		expect(await read()).toBe('');
		expect(accepted).toEqual([]);
		expect(refused).toEqual(['uid 1000 (pid 42) is not allowed']);
	});

	it('refuses when the credentials cannot be read', async () => {
		const peerCredentials = () => {
			throw new Error('EBADF');
		};
		const { accepted, refused } = await listen({ peerCredentials });
		expect(await read()).toBe('');
		expect(accepted).toEqual([]);
		expect(refused).toEqual(['cannot read peer credentials: EBADF']);
	});

	it('takes other users when it is told to', async () => {
		await listen({ peerCredentials: () => ({ pid: 1, uid: 7, gid: 1 }), allowedUids: [0, 7] });
		expect(await read()).toBe('hello');
	});

	it('replaces a socket that a dead process left behind', async () => {
		await listen({ path: `${path}.old` });
		rmSync(path, { force: true });
		writeFileSync(path, ''); // connect() says ECONNREFUSED, as for a dead socket
		await listen();
		expect(await read()).toBe('hello');
	});

	it('does not take over a socket that is served', async () => {
		await listen();
		await expect(listen()).rejects.toMatchObject({
			code: 'SOCKET_BUSY',
			message: expect.stringContaining(path) as string,
		});
		expect(await read()).toBe('hello');
	});

	it('says what is wrong when it cannot listen', async () => {
		const long = join(directory, 'x'.repeat(120));
		await expect(listen({ path: long })).rejects.toMatchObject({ code: 'LISTEN_FAILED' });
	});

	it('removes its file at close, but not that of a successor', async () => {
		const { socket } = await listen();
		await socket.close();
		expect(existsSync(path)).toBe(false);
		const { socket: first } = await listen();
		rmSync(path);
		await listen();
		await first.close();
		expect(await read()).toBe('hello');
	});
});
