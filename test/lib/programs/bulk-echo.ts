/**
 * Much data over one TCP connection, back and forth at once.
 *   bulk-echo.ts serve PORT              sends back what it gets
 *   bulk-echo.ts ask HOST PORT MEGABYTES prints `same`, or how what came back differs
 */
import { createHash } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';
import { Readable } from 'node:stream';

const CHUNK = 1 << 20;
const IDLE_MS = 20_000;

function* chunks(count: number): Generator<Buffer> {
	for (let n = 0; n < count; n++) {
		const chunk = Buffer.alloc(CHUNK);
		for (let i = 0; i < CHUNK; i += 4) chunk.writeUInt32LE((n * CHUNK + i) >>> 0, i);
		yield chunk;
	}
}

async function hashOf(socket: Socket): Promise<string> {
	const hash = createHash('sha256');
	let bytes = 0;
	for await (const data of socket as AsyncIterable<Buffer>) {
		hash.update(data);
		bytes += data.length;
	}
	return `${bytes} bytes ${hash.digest('hex')}`;
}

async function ask(host: string, port: number, megabytes: number): Promise<string> {
	const socket = connect({ host, port, allowHalfOpen: true });
	socket.setTimeout(IDLE_MS, () => socket.destroy(new Error(`nothing for ${IDLE_MS} ms`)));
	const wanted = createHash('sha256');
	Readable.from(chunks(megabytes))
		.on('data', (chunk: Buffer) => wanted.update(chunk))
		.pipe(socket);
	const got = await hashOf(socket);
	const expected = `${megabytes * CHUNK} bytes ${wanted.digest('hex')}`;
	return got === expected ? 'same' : `got ${got} instead of ${expected}`;
}

const [mode, ...args] = process.argv.slice(2);
if (mode === 'serve') {
	createServer({ allowHalfOpen: true }, (socket) => {
		socket.on('error', () => socket.destroy());
		socket.pipe(socket);
	}).listen({ host: '::', port: Number(args[0]) });
} else {
	console.log(await ask(args[0] ?? '', Number(args[1]), Number(args[2])));
}
