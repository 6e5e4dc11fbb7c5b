/**
 * One pod of a policy table: answers on its ports over TCP and UDP, IPv4 and IPv6, and asks others when told so through a unix
 * socket, which works from any network namespace. One process for all, because a table is asked again after every change.
 * Usage: node policy-probe.ts CONTROL_SOCKET PORT...; a line in is a JSON list of PolicyQuestion, a line out the list of
 * booleans "was answered".
 */
import { createSocket } from 'node:dgram';
import { connect, createServer, isIPv6 } from 'node:net';
import { createInterface } from 'node:readline';

export interface PolicyQuestion {
	readonly host: string;
	readonly port: number;
	readonly protocol: 'TCP' | 'UDP';
	readonly timeoutMs: number;
}

const [control = '', ...ports] = process.argv.slice(2);
/** A datagram that is lost to a full buffer must not look like a verdict. */
const UDP_TRIES = 3;

function serve(port: number): Promise<void> {
	const tcp = createServer((socket) => socket.on('error', () => socket.destroy()).end('yes'));
	const udp = createSocket({ type: 'udp6', ipv6Only: false, recvBufferSize: 1 << 20 });
	udp.on('message', (_, { port: from, address }) => udp.send('yes', from, address));
	return new Promise((resolve) => tcp.listen(port, '::', () => udp.bind(port, '::', () => resolve())));
}

function askTcp({ host, port, timeoutMs }: PolicyQuestion): Promise<boolean> {
	return new Promise((resolve) => {
		const socket = connect({ host, port });
		const end = (answered: boolean) => {
			clearTimeout(timer);
			socket.destroy();
			resolve(answered);
		};
		const timer = setTimeout(() => end(false), timeoutMs);
		socket.on('data', () => end(true)).on('error', () => end(false));
	});
}

function askUdp({ host, port, timeoutMs }: PolicyQuestion): Promise<boolean> {
	return new Promise((resolve) => {
		const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
		let tries = 0;
		const send = () => {
			if (tries++ === UDP_TRIES) return end(false);
			socket.send('?', port, host);
		};
		const timer = setInterval(send, timeoutMs / UDP_TRIES);
		const end = (answered: boolean) => {
			clearInterval(timer);
			socket.close(() => resolve(answered));
		};
		socket.on('message', () => end(true)).on('error', () => end(false));
		send();
	});
}

await Promise.all(ports.map((port) => serve(Number(port))));
createServer((socket) => {
	createInterface({ input: socket }).on('line', async (line) => {
		const questions = JSON.parse(line) as PolicyQuestion[];
		const answers = await Promise.all(questions.map((each) => (each.protocol === 'TCP' ? askTcp(each) : askUdp(each))));
		socket.write(`${JSON.stringify(answers)}\n`);
	});
	socket.on('error', () => socket.destroy());
}).listen(control, () => console.log(`listening on ${control}`));
