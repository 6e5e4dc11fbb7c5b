/** Sockets in a network namespace of their own: servers on the loopback addresses and clients whose end is remembered. */
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { connect, createServer, type Socket } from 'node:net';
import { serve } from '../../../test/lib/netns-process.ts';

const PORT = 7001;
/** Source port → code of the error that ended the socket; '' = it lives. */
const ends = new Map<number, string>();
/** Source ports of the clients that have seen their server finish. */
const ended = new Set<number>();

execFileSync('ip', ['link', 'set', 'lo', 'up']);
/** The servers' ends, by the port of the client. */
const accepted = new Map<number, Socket>();
const tcp = createServer((socket) => {
	accepted.set(socket.remotePort ?? 0, socket);
	socket.on('error', () => undefined);
});
const udp = createSocket('udp6');
const listening = Promise.all([
	new Promise<void>((resolve) => tcp.listen(PORT, '::', resolve)),
	new Promise<void>((resolve) => udp.bind(PORT, '::', resolve)),
]);

async function openTcp(host: string): Promise<number> {
	await listening;
	const socket = connect({ host, port: PORT, allowHalfOpen: true });
	await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
	const port = socket.localPort ?? 0;
	ends.set(port, '');
	socket.removeAllListeners('error');
	socket.on('error', (error: NodeJS.ErrnoException) => ends.set(port, error.code ?? error.message));
	socket.on('end', () => ended.add(port)).resume();
	return port;
}

/** The server says its last word to a client; true when the client has taken it. */
function finish(port: number): boolean {
	accepted.get(port)?.end('all');
	return ended.has(port);
}

async function openUdp(host: string): Promise<number> {
	await listening;
	const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
	await new Promise<void>((resolve) => socket.connect(PORT, host, resolve));
	const { port } = socket.address();
	ends.set(port, '');
	socket.on('error', (error: NodeJS.ErrnoException) => ends.set(port, error.code ?? error.message));
	// an error that nobody reads stays in the socket: sending asks for it
	const timer = setInterval(() => {
		if (ends.get(port) !== '') return clearInterval(timer);
		socket.send('x', (error) => {
			const code = error === null ? undefined : (error as NodeJS.ErrnoException).code;
			if (code !== undefined) ends.set(port, code);
		});
	}, 20);
	return port;
}

serve(
	(method, args) => {
		const [value] = args as [string & number];
		if (method === 'tcp') return openTcp(value);
		if (method === 'udp') return openUdp(value);
		if (method === 'finish') return Promise.resolve(finish(value));
		return Promise.resolve(ends.get(value));
	},
	() => undefined,
);
