/**
 * Asks many servers at once from one process: reads a list of ProbeRequests as JSON from its standard input and prints a list
 * of ProbeReports in the same order. Servers are those of echo-server.ts.
 *
 * Modes: `tcp` a new connection per request, `udp` a new connected socket per request, `sendto` an unconnected one.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { connect, isIPv6, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';

export interface ProbeRequest {
	mode: 'tcp' | 'udp' | 'sendto';
	host: string;
	port: number;
	/** Requests, one after the other; none after one that failed. */
	count: number;
	timeoutMs: number;
	/** Source port of the first request, the next ones count up; default any. */
	localPort?: number;
	/** All requests from localPort, each as soon as the one before has ended; TCP connections end by a reset then. */
	samePort?: boolean;
	/** Bytes of the text that is echoed; default few. */
	size?: number;
}

export interface ProbeReport {
	/** How requests ended: `SERVER from SOURCE ADDRESS` as the server saw it, or an error code. Sorted, each once. */
	outcomes: string[];
	/** Address and port that the client's socket says it talks to. */
	peers: string[];
}

/** Sockets open at a time: a datagram for each client of a table must fit into the buffer of one server. */
const PARALLEL = 24;

class ProbeFailure extends Error {
	readonly code: string;
	constructor(code: string) {
		super(code);
		this.code = code;
	}
}

function codeOf(error: unknown): string {
	return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : String(error);
}

/** `NAME ADDRESS PORT TEXT` of the server → `NAME from ADDRESS`. */
function outcomeOf(answer: string, sent: string): string {
	const [server = '', address = '', , echoed] = answer.trimEnd().split(' ');
	if (echoed !== sent) throw new ProbeFailure('WRONG_ANSWER');
	return `${server} from ${address}`;
}

function withTimeout<T>(
	timeoutMs: number,
	work: (resolve: (value: T) => void, reject: (error: Error) => void) => void,
): Promise<T> {
	const { promise, resolve, reject } = Promise.withResolvers<T>();
	const timer = setTimeout(() => reject(new ProbeFailure('TIMEOUT')), timeoutMs);
	work(resolve, reject);
	return promise.finally(() => clearTimeout(timer));
}

async function askTcp(probe: ProbeRequest, sent: string, peers: Set<string>): Promise<string> {
	const { host, port, localPort } = probe;
	const socket = connect({ host, port, noDelay: true, ...(localPort ? { localPort } : {}) });
	try {
		return await withTimeout<string>(probe.timeoutMs, (resolve, reject) => {
			let answer = '';
			socket.setEncoding('utf8');
			socket.on('error', reject).on('close', () => reject(new ProbeFailure('CLOSED')));
			socket.on('connect', () => {
				peers.add(`${socket.remoteAddress} ${socket.remotePort}`);
				socket.write(`${sent}\n`);
			});
			socket.on('data', (data: string) => {
				answer += data;
				if (answer.endsWith('\n')) resolve(answer);
			});
		});
	} finally {
		if (probe.samePort) await reset(socket);
		else socket.destroy();
	}
}

/** Ends a connection without the wait that keeps its port from being used again. */
async function reset(socket: Socket): Promise<void> {
	if (socket.destroyed) return;
	const closed = new Promise((resolve) => socket.once('close', resolve));
	socket.resetAndDestroy();
	await closed;
}

function sendUdp(socket: UdpSocket, probe: ProbeRequest, sent: string, peers: Set<string>): void {
	const { host, port } = probe;
	if (probe.mode === 'sendto') {
		socket.send(sent, port, host);
		return;
	}
	socket.connect(port, host, (error?: Error) => {
		if (error) {
			socket.emit('error', error);
			return;
		}
		const peer = socket.remoteAddress();
		peers.add(`${peer.address} ${peer.port}`);
		socket.send(sent);
	});
}

async function askUdp(probe: ProbeRequest, sent: string, peers: Set<string>): Promise<string> {
	const socket = createSocket(isIPv6(probe.host) ? 'udp6' : 'udp4');
	try {
		return await withTimeout<string>(probe.timeoutMs, (resolve, reject) => {
			socket.on('error', reject);
			socket.on('message', (data, from) => {
				if (probe.mode === 'sendto') peers.add(`${from.address} ${from.port}`);
				resolve(data.toString());
			});
			if (probe.localPort) socket.bind(probe.localPort, () => sendUdp(socket, probe, sent, peers));
			else sendUdp(socket, probe, sent, peers);
		});
	} finally {
		await new Promise<void>((resolve) => socket.close(() => resolve()));
	}
}

async function run(probe: ProbeRequest, index: number): Promise<ProbeReport> {
	const outcomes = new Set<string>();
	const peers = new Set<string>();
	for (let i = 0; i < probe.count; i++) {
		const sent = `p${index}-${i}-${process.pid}`.padEnd(probe.size ?? 0, 'x');
		const one = probe.localPort === undefined || probe.samePort ? probe : { ...probe, localPort: probe.localPort + i };
		try {
			const answer = await (probe.mode === 'tcp' ? askTcp : askUdp)(one, sent, peers);
			outcomes.add(outcomeOf(answer, sent));
		} catch (error) {
			outcomes.add(codeOf(error));
			break;
		}
	}
	return { outcomes: [...outcomes].sort(), peers: [...peers].sort() };
}

const probes = JSON.parse(await text(process.stdin)) as ProbeRequest[];
const reports: ProbeReport[] = [];
let next = 0;
await Promise.all(
	Array.from({ length: PARALLEL }, async () => {
		for (let i = next++; i < probes.length; i = next++) {
			const probe = probes[i];
			if (probe) reports[i] = await run(probe, i);
		}
	}),
);
process.stdout.write(`${JSON.stringify(reports)}\n`, () => process.exit(0));
