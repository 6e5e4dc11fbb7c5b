/**
 * Looks names up and talks to the addresses at once. Usage: node name-client.ts REQUEST, a JSON NameRequest; prints a NameReport.
 */
import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import { decode, encode, type OptAnswer, type RecordType, streamEncode } from 'dns-packet';

export interface NameRequest {
	/** Name server; '' = `names` are addresses, which are not looked up. */
	readonly server: string;
	readonly names: readonly string[];
	readonly type?: 'A' | 'AAAA';
	/** One query by datagram each, or all by one connection in one piece. */
	readonly by?: 'udp' | 'tcp';
	/** TCP port to connect to; 0 = do not connect. */
	readonly port: number;
	readonly atOnce?: number;
	/** For each connection, and each answer. */
	readonly timeoutMs?: number;
	/** Leave the connections open until standard input ends. */
	readonly stay?: boolean;
}

export interface NameResult {
	readonly name: string;
	/** Of the last answer, in hexadecimal digits. */
	readonly answer: string;
	readonly addresses: readonly string[];
	/** The last of the addresses was reached. */
	readonly connected: boolean;
	readonly error: string;
}

const request = JSON.parse(process.argv[2] ?? '{}') as NameRequest;
const { server, names, type = 'A', by = 'udp', port, atOnce = 8, timeoutMs = 5000, stay = false } = request;
/** EDNS: answers of up to 4096 bytes by UDP. */
const EDNS: OptAnswer = {
	type: 'OPT',
	name: '.',
	udpPayloadSize: 4096,
	extendedRcode: 0,
	ednsVersion: 0,
	flags: 0,
	flag_do: false,
	options: [],
};

function query(name: string, id: number): Parameters<typeof encode>[0] {
	const question = { type: type as RecordType, name, class: 'IN' as const };
	return { type: 'query', id, flags: 0x100, questions: [question], additionals: [EDNS] };
}

function lookUp(name: string, id: number): Promise<Buffer> {
	return new Promise((resolve, reject) => {
		const socket = createSocket(isIPv6(server) ? 'udp6' : 'udp4');
		const timer = setTimeout(() => finish(() => reject(new Error('no answer'))), timeoutMs);
		const finish = (how: () => void) => {
			clearTimeout(timer);
			socket.close();
			how();
		};
		socket.on('error', (error) => finish(() => reject(error)));
		socket.on('message', (message) => {
			if (message.readUInt16BE(0) === id) finish(() => resolve(message));
		});
		socket.connect(53, server, () => socket.send(encode(query(name, id))));
	});
}

/** All queries in one segment; answers in the order of arrival. */
function lookUpAll(onAnswer: (name: string, message: Buffer) => void): Promise<void> {
	return new Promise((resolve, reject) => {
		const socket = connect({ host: server, port: 53 });
		const timer = setTimeout(() => socket.destroy(new Error('no answer')), timeoutMs);
		let rest = Buffer.alloc(0);
		let seen = 0;
		socket.on('connect', () => socket.write(Buffer.concat(names.map((name, i) => streamEncode(query(name, i + 1))))));
		socket.on('error', reject);
		socket.on('data', (data: Buffer) => {
			rest = Buffer.concat([rest, data]);
			while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
				const end = 2 + rest.readUInt16BE(0);
				const message = rest.subarray(2, end);
				onAnswer(names[message.readUInt16BE(0) - 1] ?? '', message);
				rest = rest.subarray(end);
				if (++seen < names.length) continue;
				clearTimeout(timer);
				socket.destroy();
				resolve();
			}
		});
	});
}

function reach(address: string): Promise<string> {
	return new Promise((resolve) => {
		const socket = connect({ host: address, port });
		const end = (error: string) => {
			clearTimeout(timer);
			if (!stay || error !== '') socket.destroy();
			resolve(error);
		};
		const timer = setTimeout(() => end('timeout'), timeoutMs);
		socket.on('connect', () => socket.write('hello\n'));
		socket.on('data', () => end(''));
		socket.on('error', (error) => end(error.message));
	});
}

async function use(name: string, answer: Buffer): Promise<NameResult> {
	const hex = answer.toString('hex');
	let addresses: string[] = [];
	try {
		const found = decode(answer).answers ?? [];
		addresses = found.flatMap((each) => (each.type === 'A' || each.type === 'AAAA' ? [each.data] : []));
	} catch (error) {
		return { name, answer: hex, addresses, connected: false, error: String(error) };
	}
	const last = addresses.at(-1);
	if (port === 0 || last === undefined) return { name, answer: hex, addresses, connected: false, error: '' };
	const error = await reach(last);
	return { name, answer: hex, addresses, connected: error === '', error };
}

async function one(name: string, id: number): Promise<NameResult> {
	try {
		if (server !== '') return await use(name, await lookUp(name, id));
		const error = await reach(name);
		return { name, answer: '', addresses: [name], connected: error === '', error };
	} catch (error) {
		return { name, answer: '', addresses: [], connected: false, error: String(error) };
	}
}

const results: NameResult[] = [];
if (by === 'tcp') {
	const pending: Promise<NameResult>[] = [];
	await lookUpAll((name, message) => pending.push(use(name, Buffer.from(message)))).catch((error: unknown) => {
		results.push({ name: '', answer: '', addresses: [], connected: false, error: String(error) });
	});
	results.push(...(await Promise.all(pending)));
} else {
	let next = 0;
	const worker = async () => {
		for (let i = next++; i < names.length; i = next++) results.push(await one(names[i] ?? '', (i * 7 + 1) & 0xffff));
	};
	await Promise.all(Array.from({ length: atOnce }, worker));
}
process.stdout.write(`${JSON.stringify(results)}\n`);
if (stay) process.stdin.resume();
else process.exit(0);
