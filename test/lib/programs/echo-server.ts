/**
 * Echo server for tests and the demo: answers every line (TCP) and every datagram (UDP) with
 * `NAME PEER_ADDRESS PEER_PORT TEXT`, so a client sees who answered and which source address arrived.
 * Usage: node echo-server.ts NAME PORT [ADDRESS]; without one, datagrams are answered from the address that leads to their sender.
 */
import { createSocket } from 'node:dgram';
import { createServer, isIPv6 } from 'node:net';

const [name = 'echo', portText = '7000', address = '::'] = process.argv.slice(2);
const port = Number(portText);
const plain = (address: string | undefined): string => (address ?? '?').replace(/^::ffff:/, '');

const tcp = createServer({ noDelay: true }, (socket) => {
	let rest = '';
	socket.setEncoding('utf8');
	socket.on('data', (data: string) => {
		const lines = (rest + data).split('\n');
		rest = lines.pop() ?? '';
		for (const line of lines) socket.write(`${name} ${plain(socket.remoteAddress)} ${socket.remotePort} ${line}\n`);
	});
	socket.on('error', () => socket.destroy());
});

const udp = createSocket({ type: isIPv6(address) ? 'udp6' : 'udp4', ipv6Only: false });
udp.on('message', (message, from) => {
	udp.send(`${name} ${plain(from.address)} ${from.port} ${message.toString().trimEnd()}\n`, from.port, from.address);
});

tcp.listen(port, address, () => udp.bind(port, address, () => console.log(`listening on ${port}`)));
