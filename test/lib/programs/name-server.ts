/**
 * A name server for tests, on UDP and TCP port 53 of every address. Any name exists: its first label nN gives addresses 198.18.0.0/16 + N
 * and 2001:db8:18:: + N; the second label says what is special about the answer:
 *   tc       truncated over UDP
 *   big      150 addresses (from N on), which do not fit into one packet
 *   alias    two aliases before the address
 *   short    a TTL of one second, else 600
 *   none     no such name
 *   lie      the answer is about n9.exact.test instead
 *   stuffed  with an address for n9.exact.test in it
 *   wrong    first an answer with another id, about the same name with addresses of N + 1000
 *   garbage  bytes that are no message, after the id
 *   split    over TCP in pieces
 */
import { createSocket } from 'node:dgram';
import { createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, decode, encode, type Packet, type Question, TRUNCATED_RESPONSE } from 'dns-packet';

const PORT = 53;
const LIED_ABOUT = 'n9.exact.test';

function addresses(type: string, number: number): Pick<Answer, never> & { type: 'A' | 'AAAA'; data: string } {
	if (type === 'AAAA') return { type, data: `2001:db8:18::${number.toString(16)}` };
	return { type: 'A', data: `198.18.${number >> 8}.${number & 255}` };
}

function record(name: string, type: string, number: number, ttl: number): Answer {
	return { name, ttl, class: 'IN', ...addresses(type, number) } as Answer;
}

function answersTo({ name, type }: Question): Answer[] {
	const [first = '', special = ''] = name.toLowerCase().split('.');
	const number = Number(/^n(\d+)$/.exec(first)?.[1] ?? 0);
	const ttl = special === 'short' ? 1 : 600;
	if (type !== 'A' && type !== 'AAAA') return [];
	const own = record(name, type, number, ttl);
	if (special === 'big') return Array.from({ length: 150 }, (_, i) => record(name, type, number + i, ttl));
	if (special === 'stuffed') return [own, record(LIED_ABOUT, type, 999, ttl)];
	if (special !== 'alias') return [own];
	const [one, two] = [`one.${number}.elsewhere.test`, `Two.${number}.elsewhere.test`];
	return [
		record(two, type, number, ttl), // in any order
		{ name, type: 'CNAME', ttl, class: 'IN', data: one },
		{ name: one, type: 'CNAME', ttl, class: 'IN', data: two },
	];
}

/** Messages to send, in order. */
function replies(query: Buffer, overUdp: boolean): Buffer[] {
	const { id = 0, questions: [question] = [] } = decode(query);
	if (question === undefined) return [];
	const special = question.name.toLowerCase().split('.')[1];
	const packet: Packet = { type: 'response', id, flags: 0x180, questions: [question], answers: answersTo(question) };
	if (special === 'garbage') return [Buffer.concat([query.subarray(0, 2), Buffer.from('8180000100010000ff00', 'hex')])];
	if (special === 'none') return [encode({ ...packet, flags: 0x183, answers: [] })];
	if (special === 'tc' && overUdp) return [encode({ ...packet, flags: 0x180 | TRUNCATED_RESPONSE, answers: [] })];
	if (special === 'lie') {
		const lie = { ...question, name: LIED_ABOUT };
		return [encode({ ...packet, questions: [lie], answers: [record(LIED_ABOUT, question.type, 998, 60)] })];
	}
	if (special !== 'wrong') return [encode(packet)];
	const number = Number(question.name.slice(1).split('.')[0]) + 1000;
	return [
		encode({ ...packet, id: id ^ 1, answers: [record(question.name, question.type, number, 60)] }),
		encode(packet),
	];
}

for (const type of ['udp4', 'udp6'] as const) {
	const udp = createSocket({ type, ipv6Only: type === 'udp6' });
	udp.on('message', (query, from) => {
		for (const reply of replies(query, true)) udp.send(reply, from.port, from.address);
	});
	udp.bind(PORT);
}

async function answerStream(socket: Socket, messages: readonly Buffer[]): Promise<void> {
	const framed = messages.map((message) => {
		const length = Buffer.alloc(2);
		length.writeUInt16BE(message.length);
		return Buffer.concat([length, message]);
	});
	const bytes = Buffer.concat(framed);
	if (!bytes.includes('split')) {
		socket.write(bytes);
		return;
	}
	for (const piece of [bytes.subarray(0, 1), bytes.subarray(1, 30), bytes.subarray(30)]) {
		socket.write(piece);
		await sleep(20);
	}
}

const tcp = createServer({ noDelay: true }, (socket) => {
	let rest = Buffer.alloc(0);
	socket.on('data', (data: Buffer) => {
		rest = Buffer.concat([rest, data]);
		const messages: Buffer[] = [];
		while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
			const end = 2 + rest.readUInt16BE(0);
			messages.push(...replies(rest.subarray(2, end), false));
			rest = rest.subarray(end);
		}
		void answerStream(socket, messages);
	});
	socket.on('error', () => socket.destroy());
});
tcp.listen(PORT, '::', () => console.log('listening'));
