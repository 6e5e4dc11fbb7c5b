/** Questions to the echo servers of test/kernels/echo.c, which run in the emulated machine. */
import { readFileSync } from 'node:fs';
import { eventually, type Place } from '../lib/cluster.ts';
import { tell } from './report.ts';

export type Protocol = 'tcp' | 'udp' | 'sctp';

/** Port of the servers. */
export const PORT = 7000;
/** Enough that two backends are both met. */
const COUNT = 24;
const LIMIT_MS = 10_000;

export interface Question {
	readonly from: Place;
	readonly protocol: Protocol;
	readonly host: string;
	readonly port?: number;
	/** How often, each time from another socket. */
	readonly count?: number;
	/** How long each waits for its answer. */
	readonly limitMs?: number;
	/** Default: the place's own, which the socket hooks see. */
	readonly cgroup?: string | undefined;
}

/** How often which answer came: `near 10.244.1.2`, or `error ECONNREFUSED`. */
export type Answers = ReadonlyMap<string, number>;

/** Starts a server, which answers with the place's name; returns when it listens. */
export async function startServer(place: Place): Promise<void> {
	const server = place.start('fl-echo', ['fl-echo', 'serve', place.name, String(PORT)]);
	await eventually(`the echo server of ${place.name} is ready`, () => {
		if (!readFileSync(server.logFile, 'utf8').includes('ready')) throw new Error('not yet');
	});
}

export async function ask(question: Question): Promise<Answers> {
	const { from, protocol, host, port = PORT, count = COUNT, limitMs = LIMIT_MS, cgroup } = question;
	const command = ['fl-echo', 'ask', protocol, host, port, count, limitMs].map(String);
	const { stdout } = await from.run(command, { timeoutMs: 2 * LIMIT_MS, ...(cgroup && { cgroup }) });
	const answers = new Map<string, number>();
	for (const line of stdout.split('\n').filter(Boolean)) answers.set(line, (answers.get(line) ?? 0) + 1);
	return answers;
}

/**
 * Asks, and tells whether exactly these answers came.
 * @param wanted  sorted: servers, or whole answers
 */
export async function expectAnswers(title: string, question: Question, wanted: readonly string[]): Promise<void> {
	const answers = await ask(question);
	const whole = wanted.some((each) => each.includes(' '));
	const found = whole ? [...answers.keys()].sort().join(', ') : serversOf(answers);
	if (found === wanted.join(', ')) tell('pass', title);
	else tell('fail', `${title}: expected ${wanted.join(', ')}, got ${formatAnswers(answers)}`);
}

/** Names of those who answered, sorted; an error stands beside them. */
export const serversOf = (answers: Answers): string =>
	[...new Set([...answers.keys()].map((each) => (each.startsWith('error') ? each : (each.split(' ')[0] ?? ''))))]
		.sort()
		.join(', ');

export const formatAnswers = (answers: Answers): string =>
	[...answers].map(([answer, times]) => `${times} × ${answer}`).join(', ') || 'nothing';
