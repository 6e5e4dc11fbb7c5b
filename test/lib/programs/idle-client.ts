/**
 * Many connections that are idle. Reads an IdleRequest as JSON from its first argument, opens all connections to echo servers and says `all open`; every second one
 * has sent a line and had its answer by then, the others nothing since their handshake. At SIGTERM each of them sends a line, and an IdleReport as
 * JSON says what came of it.
 */
import { connect, type Socket } from 'node:net';

export interface IdleRequest {
	readonly targets: readonly { readonly host: string; readonly port: number }[];
	/** Connections to each target. */
	readonly count: number;
	/** For each connection and each answer. */
	readonly timeoutMs: number;
}

export interface IdleReport {
	/** Connections whose last line was answered, by the server that had answered before. */
	readonly answered: number;
	/** The others, by what became of them: an error code, CLOSED, TIMEOUT or WRONG_ANSWER. */
	readonly lost: Readonly<Record<string, number>>;
	/** Answers by name of the server. */
	readonly servers: Readonly<Record<string, number>>;
}

interface Held {
	readonly socket: Socket;
	/** Who answered; undefined = nobody was asked yet. */
	server?: string;
	/** Why it is gone. */
	end?: string;
}

/** Connections that are opened or asked at a time. */
const PARALLEL = 64;

const { targets, count, timeoutMs } = JSON.parse(process.argv[2] ?? '{}') as IdleRequest;

/** Resolves when `event` comes; rejects with a word for what came instead. */
function awaitEvent(socket: Socket, event: 'connect' | 'data'): Promise<string> {
	const { promise, resolve, reject } = Promise.withResolvers<string>();
	const timer = setTimeout(() => reject(new Error('TIMEOUT')), timeoutMs);
	const failed = (error: Error & { code?: string }): void => reject(new Error(error.code ?? error.message));
	const closed = (): void => reject(new Error('CLOSED'));
	const came = (data?: Buffer): void => resolve(data?.toString() ?? '');
	socket.once(event, came).once('error', failed).once('close', closed);
	return promise.finally(() => {
		clearTimeout(timer);
		socket.off(event, came).off('error', failed).off('close', closed);
	});
}

async function ask(held: Held, text: string): Promise<void> {
	if (held.end !== undefined) throw new Error(held.end);
	const answer = awaitEvent(held.socket, 'data');
	held.socket.write(`${text}\n`);
	const [server = '', , , echoed] = (await answer).trimEnd().split(' ');
	if (echoed !== text || server !== (held.server ?? server)) throw new Error('WRONG_ANSWER');
	held.server = server;
}

async function open(index: number): Promise<Held> {
	const target = targets[index % targets.length];
	if (target === undefined) throw new Error('no targets');
	const socket = connect({ ...target, noDelay: true });
	const opened = awaitEvent(socket, 'connect');
	socket.on('error', () => undefined);
	await opened;
	const held: Held = { socket };
	if (index % (2 * targets.length) < targets.length) await ask(held, `first-${index}`);
	socket.once('error', (error: Error & { code?: string }) => {
		held.end ??= error.code ?? error.message;
	});
	socket.once('close', () => {
		held.end ??= 'CLOSED';
	});
	return held;
}

/** Does the work for each index, some at a time. */
async function each(length: number, work: (index: number) => Promise<void>): Promise<void> {
	let next = 0;
	const worker = async (): Promise<void> => {
		for (let i = next++; i < length; i = next++) await work(i);
	};
	await Promise.all(Array.from({ length: PARALLEL }, worker));
}

const told = new Promise<void>((resolve) => process.once('SIGTERM', () => resolve()));
const all: Held[] = [];
await each(count * targets.length, async (index) => {
	all[index] = await open(index);
});
process.stdout.write('all open\n');
await told;

const lost: Record<string, number> = {};
const servers: Record<string, number> = {};
let answered = 0;
await each(all.length, async (index) => {
	const held = all[index] as Held;
	try {
		await ask(held, `last-${index}`);
		answered++;
		servers[held.server ?? ''] = (servers[held.server ?? ''] ?? 0) + 1;
	} catch (error) {
		const word = error instanceof Error ? error.message : String(error);
		lost[word] = (lost[word] ?? 0) + 1;
	}
});
const report: IdleReport = { answered, lost, servers };
process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0));
