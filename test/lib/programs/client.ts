/**
 * Traffic source for tests and the demo. Reads a ClientRequest as JSON from its first argument, sends requests to an echo
 * server and prints a ClientReport as JSON. With `untilSignal` it goes on until SIGTERM, and says when it sends its first request and has its
 * first answer.
 *
 * Modes: `tcp` a new connection per request, `stream` one long-lived TCP connection, `udp` a new socket per request,
 * `udp-stream` one socket, `sendto` a new
 * unconnected UDP socket per request, `http` a new connection per GET.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { request } from 'node:http';
import { connect, isIPv6, type Socket } from 'node:net';

export interface ClientRequest {
	mode: 'tcp' | 'stream' | 'udp' | 'udp-stream' | 'sendto' | 'http';
	host: string;
	port: number;
	/** Requests to send; ignored with untilSignal. */
	count: number;
	/** One after the other when 1 (default); else so many at a time, each with a socket of its own. */
	parallel?: number;
	/** For each request, in milliseconds; default 3 s times TEST_PATIENCE. */
	timeoutMs?: number;
	/** Pause between two requests of one worker. */
	intervalMs?: number;
	untilSignal?: boolean;
	/** Give up after so many failures (default 5); traffic until a signal never gives up. */
	maxFailures?: number;
	/** Length of the text that is echoed, in bytes. */
	size?: number;
}

export interface ClientReport {
	ok: number;
	failed: number;
	/** By error code, e.g. ECONNREFUSED or TIMEOUT. */
	errors: Record<string, number>;
	/** Answers by name of the server. */
	servers: Record<string, number>;
	/** Source addresses that the servers saw. */
	seenAs: string[];
	/** Milliseconds of a request: median, 99th percentile and longest. */
	p50Ms: number;
	p99Ms: number;
	maxMs: number;
	/** Addresses the socket reported for its peer. */
	peers: string[];
}

const options = JSON.parse(process.argv[2] ?? '{}') as ClientRequest;
const timeoutMs = options.timeoutMs ?? 3000 * Number(process.env.TEST_PATIENCE ?? 1);
const errors: Record<string, number> = {};
const servers: Record<string, number> = {};
const seenAs = new Set<string>();
const peers = new Set<string>();
const times: number[] = [];
let sent = 0;
let stopped = false;

class ClientFailure extends Error {
	readonly code: string;
	constructor(code: string) {
		super(code);
		this.code = code;
	}
}

/** Fails when the answer is not the one to this text: a mixed-up or repeated answer is an error too. */
function judge(answer: string, text: string): void {
	const [server = '', address = '', , echoed] = answer.trimEnd().split(' ');
	if (echoed !== text) throw new ClientFailure('WRONG_ANSWER');
	servers[server] = (servers[server] ?? 0) + 1;
	seenAs.add(address);
}

function deadline<T>(work: (resolve: (value: T) => void, reject: (error: Error) => void) => void): Promise<T> {
	return new Promise<T>((resolve, reject) => {
		const timer = setTimeout(() => reject(new ClientFailure('TIMEOUT')), timeoutMs);
		const end =
			<V>(f: (value: V) => void) =>
			(value: V): void => {
				clearTimeout(timer);
				f(value);
			};
		work(end(resolve), end(reject));
	});
}

function askSocket(socket: Socket, text: string): Promise<string> {
	if (socket.destroyed) return Promise.reject(new ClientFailure('CLOSED'));
	return deadline<string>((resolve, reject) => {
		let answer = '';
		const onData = (data: Buffer): void => {
			answer += data.toString();
			if (answer.endsWith('\n')) done(() => resolve(answer));
		};
		const onError = (error: Error): void => done(() => reject(error));
		const onClose = (): void => done(() => reject(new ClientFailure('CLOSED')));
		const done = (f: () => void): void => {
			socket.off('data', onData).off('error', onError).off('close', onClose);
			f();
		};
		socket.on('data', onData).on('error', onError).on('close', onClose);
		socket.write(`${text}\n`);
	});
}

async function openTcp(): Promise<Socket> {
	const socket = connect({ host: options.host, port: options.port, noDelay: true });
	try {
		await deadline<void>((resolve, reject) => socket.once('connect', () => resolve()).once('error', reject));
	} catch (error) {
		socket.destroy();
		throw error;
	}
	socket.on('error', () => undefined);
	peers.add(`${socket.remoteAddress} ${socket.remotePort}`);
	return socket;
}

async function oneTcp(text: string): Promise<void> {
	const socket = await openTcp();
	try {
		judge(await askSocket(socket, text), text);
	} finally {
		socket.destroy();
	}
}

function openUdp(): Promise<UdpSocket> {
	const socket = createSocket(isIPv6(options.host) ? 'udp6' : 'udp4');
	return deadline<UdpSocket>((resolve, reject) => {
		socket.once('error', reject);
		socket.connect(options.port, options.host, (error?: Error) => {
			if (error) return reject(error);
			const peer = socket.remoteAddress();
			peers.add(`${peer.address} ${peer.port}`);
			resolve(socket);
		});
	});
}

async function askUdp(socket: UdpSocket, text: string): Promise<void> {
	const answer = await deadline<string>((resolve, reject) => {
		const sent = (error: Error | null): void => {
			if (error) reject(error);
		};
		socket.removeAllListeners('message').removeAllListeners('error');
		socket.on('message', (data, from) => {
			if (options.mode === 'sendto') peers.add(`${from.address} ${from.port}`);
			if (data.toString().trimEnd().endsWith(text)) resolve(data.toString());
		});
		socket.on('error', reject);
		if (options.mode === 'sendto') socket.send(text, options.port, options.host, sent);
		else socket.send(text, sent);
	});
	judge(answer, text);
}

async function oneUdp(text: string): Promise<void> {
	const socket = options.mode === 'sendto' ? createSocket(isIPv6(options.host) ? 'udp6' : 'udp4') : await openUdp();
	try {
		await askUdp(socket, text);
	} finally {
		socket.close();
	}
}

async function oneHttp(): Promise<void> {
	const host = isIPv6(options.host) ? `[${options.host}]` : options.host;
	const body = await deadline<string>((resolve, reject) => {
		const query = request(`http://${host}:${options.port}/`, { agent: false }, (response) => {
			let text = '';
			response.on('data', (data: Buffer) => {
				text += data.toString();
			});
			response.on('error', reject);
			response.on('end', () => (response.statusCode === 200 ? resolve(text) : reject(new ClientFailure('STATUS'))));
		});
		query.on('error', reject);
		query.end();
	});
	const server = body.trim().split(' ')[0] ?? '';
	servers[server] = (servers[server] ?? 0) + 1;
}

/** Returns the function that makes one request; the stream modes keep their socket, and fail for ever once it is lost. */
async function requester(): Promise<(text: string) => Promise<void>> {
	switch (options.mode) {
		case 'tcp':
			return oneTcp;
		case 'udp':
		case 'sendto':
			return oneUdp;
		case 'http':
			return oneHttp;
		case 'stream': {
			const socket = await openTcp();
			return async (text) => judge(await askSocket(socket, text), text);
		}
		case 'udp-stream': {
			const socket = await openUdp();
			return (text) => askUdp(socket, text);
		}
	}
}

function codeOf(error: unknown): string {
	return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : String(error);
}

let failures = 0;
const wanted = (): boolean =>
	!stopped && (options.untilSignal === true || (sent < options.count && failures < (options.maxFailures ?? 5)));

async function work(): Promise<void> {
	const fill = 'x'.repeat(Math.max(0, (options.size ?? 0) - 12));
	const fail = (error: unknown): void => {
		failures++;
		errors[codeOf(error)] = (errors[codeOf(error)] ?? 0) + 1;
	};
	let ask: (text: string) => Promise<void>;
	try {
		ask = await requester();
	} catch (error) {
		return fail(error);
	}
	while (wanted()) {
		const text = `r${sent++}-${process.pid}${fill}`;
		const started = performance.now();
		try {
			await ask(text);
			times.push(performance.now() - started);
			if (options.untilSignal && times.length === 1) process.stdout.write('first answer\n');
		} catch (error) {
			fail(error);
		}
		if (options.intervalMs) await new Promise((resolve) => setTimeout(resolve, options.intervalMs));
	}
}

process.on('SIGTERM', () => {
	stopped = true;
});
if (options.untilSignal) process.stdout.write('first request\n');
await Promise.all(Array.from({ length: options.parallel ?? 1 }, work));
times.sort((a, b) => a - b);
const at = (share: number): number =>
	Number((times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0).toFixed(3));
const report: ClientReport = {
	ok: times.length,
	failed: Object.values(errors).reduce((sum, n) => sum + n, 0),
	errors,
	servers,
	seenAs: [...seenAs],
	p50Ms: at(0.5),
	p99Ms: at(0.99),
	maxMs: at(1),
	peers: [...peers],
};
process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0));
