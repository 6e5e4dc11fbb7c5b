/**
 * Runs in a namespace and a cgroup of its own with the socket programs attached: real sockets, backends on the loopback
 * device. Answers socket.test.ts.
 */
import { execFileSync } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SockRevKey } from '../../native/abi/generated.ts';
import { BpfLink, type CgroupAttachType, RingBuffer } from '../../native/index.ts';
import { cgroupMount } from '../lib/cluster/scope.ts';
import { makeDevices } from '../lib/dataplane/devices.ts';
import { Objects } from '../lib/dataplane/objects.ts';
import { flat, worldConfig, worldRows } from '../lib/dataplane/rows.ts';
import type { Row, WorldFixture } from '../lib/dataplane/types.ts';
import { serve } from '../lib/netns-process.ts';
import { addressText } from '../lib/packet.ts';

/** What a client saw: who it believes it talks to, what it was told; or why it failed. */
export interface Seen {
	readonly peer?: string;
	readonly text?: string;
	readonly error?: string;
}

/** tcp and udp connect, sendto does not. */
export interface Attempt {
	readonly mode: 'tcp' | 'udp' | 'sendto';
}

/** Neither = the destination was left as it is. */
export interface Attempted {
	readonly backend?: string;
	readonly error?: string;
}

/** A refusal by the programs comes with the call itself. */
const ATTEMPT_MS = 10;
const HOOKS = ['connect', 'sendmsg', 'recvmsg', 'getpeername'] as const;
const TIMEOUT_MS = 2000;

function peerText(address: string | undefined, port: number | undefined): string {
	return `${address} ${port}`;
}

class Worker {
	readonly #objects: Objects;
	readonly #links: BpfLink[] = [];
	readonly #ring: RingBuffer;
	#records: Uint8Array[] = [];
	readonly #sockets: Socket[] = [];
	readonly #cgroup: string;
	readonly #mount = cgroupMount();

	private constructor(objects: Objects) {
		this.#objects = objects;
		this.#ring = new RingBuffer(objects.map('events'), (records) => this.#records.push(...records), { pollMs: 5 });
		this.#cgroup = join(this.#mount, `fldp-sock-${process.pid}`);
		mkdirSync(this.#cgroup);
		writeFileSync(join(this.#cgroup, 'cgroup.procs'), String(process.pid));
		for (const family of [4, 6] as const) {
			for (const hook of HOOKS) {
				this.#attach(`sock_${hook}${family}`, `${hook}${family}`);
			}
		}
		this.#attach('sock_release', 'sock_release');
	}

	#attach(program: string, type: CgroupAttachType): void {
		this.#links.push(BpfLink.attachCgroup(this.#objects.program(program), this.#cgroup, type));
	}

	static async start(world: WorldFixture, addresses: readonly string[]): Promise<Worker> {
		const devices = makeDevices(world);
		const lines = addresses.map((a) => `addr add ${a}/${a.includes(':') ? '128 nodad' : '32'} dev lo\n`);
		// Nobody is there to say where other nodes are, and a connection to one must not end by that.
		for (const address of world.nodes.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6])) {
			lines.push(`neigh add ${address} lladdr 02:00:00:00:60:01 dev uplink nud permanent\n`);
		}
		execFileSync('ip', ['-batch', '-'], { input: lines.join(''), timeout: 5000 });
		const objects = await Objects.load({ objects: ['sock_lb'], config: worldConfig(world, devices) });
		for (const [map, rows] of Object.entries(worldRows(world, devices))) {
			const { keys, values } = flat(rows);
			if (rows.length > 0 && objects.maps.has(map)) {
				await objects.map(map).updateBatch(keys, values);
			}
		}
		return new Worker(objects);
	}

	/** A TCP and a UDP server that answer with their own address and port. */
	listen(address: string, port: number): Promise<void> {
		const server = createServer((socket) => {
			socket.on('error', () => undefined); // the client may be gone already
			socket.end(peerText(socket.localAddress, socket.localPort));
		});
		const udp = createSocket(address.includes(':') ? 'udp6' : 'udp4');
		udp.on('message', (_, from) => udp.send(peerText(address, port), from.port, from.address));
		return new Promise((done) => {
			server.listen(port, address, () => udp.bind(port, address, done));
		});
	}

	tcp(address: string, port: number): Promise<Seen> {
		return new Promise((done) => {
			const socket = connect({ host: address, port, timeout: TIMEOUT_MS });
			let text = '';
			let peer = '';
			socket.on('connect', () => {
				peer = peerText(socket.remoteAddress, socket.remotePort);
			});
			socket.on('data', (data) => {
				text += data.toString();
			});
			socket.on('end', () => done({ peer, text }));
			socket.on('timeout', () => socket.destroy(new Error('timeout')));
			socket.on('error', (error: NodeJS.ErrnoException) => done({ error: error.code ?? error.message }));
		});
	}

	/** Opens an unconnected UDP socket for ask(). */
	open(family: 4 | 6): number {
		this.#sockets.push(createSocket(family === 4 ? 'udp4' : 'udp6'));
		return this.#sockets.length - 1;
	}

	/** Sends one datagram by such a socket and waits for the answer. */
	ask(socketNumber: number, address: string, port: number): Promise<Seen> {
		const socket = this.#sockets[socketNumber];
		if (socket === undefined) throw new Error(`there is no socket ${socketNumber}`);
		return new Promise((done) => {
			const timer = setTimeout(() => done({ error: 'timeout' }), TIMEOUT_MS);
			const finish = (value: Seen): void => {
				clearTimeout(timer);
				socket.removeAllListeners();
				done(value);
			};
			socket.once('message', (data, from) =>
				finish({ peer: peerText(from.address, from.port), text: data.toString() }),
			);
			socket.send('?', port, address, (error) => error && finish({ error: error.message }));
		});
	}

	/** Closes the sockets of open(). */
	closeAll(): void {
		for (const socket of this.#sockets.splice(0)) socket.close();
	}

	/** Sends one datagram and waits for the answer. */
	udp(address: string, port: number, connected: boolean): Promise<Seen> {
		const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
		const seen = new Promise<Seen>((done) => {
			const timer = setTimeout(() => done({ error: 'timeout' }), TIMEOUT_MS);
			const finish = (value: Seen) => {
				clearTimeout(timer);
				done(value);
			};
			const failed = (error: NodeJS.ErrnoException | null) => error && finish({ error: error.code ?? error.message });
			socket.on('error', failed);
			socket.on('message', (data, from) => {
				const peer: Pick<AddressInfo, 'address' | 'port'> = connected ? socket.remoteAddress() : from;
				finish({ peer: peerText(peer.address, peer.port), text: data.toString() });
			});
			if (!connected) {
				socket.send('?', port, address, failed);
				return;
			}
			socket.connect(port, address, ((error?: Error) => {
				if (error) {
					failed(error);
				} else {
					socket.send('?', failed);
				}
			}) as () => void);
		});
		return seen.finally(() => socket.close());
	}

	/** Makes one attempt and says what the programs did with it before any packet arrived anywhere. */
	async attempt(mode: Attempt['mode'], address: string, port: number): Promise<Attempted> {
		const before = new Set(this.#rememberedKeys());
		const { socket, error } = await this.#open(mode, address, port);
		const made = this.#rememberedKeys().find((key) => !before.has(key));
		socket();
		if (error !== undefined) return { error };
		if (made === undefined) return {};
		const { addr, port: backendPort } = SockRevKey.decode(new Uint8Array(Buffer.from(made, 'latin1')));
		return { backend: peerText(addressText(addr), backendPort) };
	}

	#rememberedKeys(): string[] {
		return this.entries('sock_rev').map(({ key }) => Buffer.from(key).toString('latin1'));
	}

	/** Returns when the call that the programs see has been made. */
	#open(mode: Attempt['mode'], host: string, port: number): Promise<{ socket: () => void; error?: string }> {
		return new Promise((done) => {
			if (mode === 'tcp') {
				const socket = connect({ host, port });
				const close = (): void => void socket.destroy();
				socket.on('error', (error: NodeJS.ErrnoException) => done({ socket: close, error: error.code ?? '' }));
				socket.on('connect', () => done({ socket: close }));
				setTimeout(() => done({ socket: close }), ATTEMPT_MS);
				return;
			}
			const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
			const close = (): void => void socket.close();
			const finish = (error?: NodeJS.ErrnoException | null): void =>
				done({ socket: close, ...(error && { error: error.code ?? error.message }) });
			socket.on('error', finish);
			if (mode === 'udp') socket.connect(port, host, finish as () => void);
			else socket.send('?', port, host, finish);
		});
	}

	delete(map: string, key: Uint8Array): boolean {
		return this.#objects.map(map).delete(key);
	}

	entries(map: string): Row[] {
		return this.#objects
			.map(map)
			.entries()
			.map(([key, value]) => ({ key, value }));
	}

	/** Records of the ring buffer since the last call. */
	async events(): Promise<Uint8Array[]> {
		await sleep(50 * Number(process.env.TEST_PATIENCE ?? 1));
		return this.#records.splice(0);
	}

	set(map: string, key: Uint8Array, value: Uint8Array): void {
		this.#objects.map(map).set(key, value);
	}

	close(): void {
		this.#ring.close();
		for (const link of this.#links) {
			link.close();
		}
		this.#objects.close();
		writeFileSync(join(this.#mount, 'cgroup.procs'), String(process.pid));
		rmdirSync(this.#cgroup);
	}
}

let worker: Worker | undefined;

async function handle(method: string, args: readonly unknown[]): Promise<unknown> {
	if (method === 'start') {
		worker = await Worker.start(args[0] as WorldFixture, args[1] as string[]);
		return undefined;
	}
	if (!worker) {
		throw new Error('the worker has not been started');
	}
	const called = worker[method as keyof Worker] as (...rest: readonly unknown[]) => unknown;
	return await called.apply(worker, [...args]);
}

serve(handle, () => worker?.close());
