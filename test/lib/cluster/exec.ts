/**
 * Runs commands for the test cluster: every one has a time limit, and a failure says which command, where and why.
 */
import { spawn } from 'node:child_process';
import { createWriteStream, openSync } from 'node:fs';

/** What all time limits are multiplied by: emulated machines are slow, shared ones stand still at times. */
export const PATIENCE = Number(process.env.TEST_PATIENCE ?? 1);

/** Without what is said to tests, such as a seed: agents refuse variables that they do not know. */
function environment(more: Record<string, string | undefined> = {}): Record<string, string | undefined> {
	const own = Object.entries(process.env).filter(([name]) => !name.startsWith('FAIRLEAD_TEST_'));
	return { ...Object.fromEntries(own), ...more };
}

export interface RunResult {
	code: number;
	stdout: string;
	stderr: string;
}

export interface RunOptions {
	input?: string;
	env?: Record<string, string>;
	/** Default 20 s; then the command is killed and the result is an error. */
	timeoutMs?: number;
	/** Return the result of a command that ends with another code than 0 instead of throwing. */
	allowFailure?: boolean;
}

/** A command that did not end with 0, or not in time. */
export class CommandError extends Error {
	readonly result: RunResult;
	constructor(command: readonly string[], result: RunResult, why: string) {
		super(`${command.join(' ')}: ${why}\n${result.stderr.trim()}\n${result.stdout.slice(-2000).trim()}`.trim());
		this.name = 'CommandError';
		this.result = result;
	}
}

/** Runs a command to its end. Throws CommandError when it fails (unless allowFailure) or takes too long (always). */
export async function run(command: readonly string[], o: RunOptions = {}): Promise<RunResult> {
	const [file = '', ...args] = command;
	const timeoutMs = (o.timeoutMs ?? 20_000) * PATIENCE;
	const { promise, resolve, reject } = Promise.withResolvers<RunResult>();
	const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'], env: environment(o.env) });
	const out: Buffer[] = [];
	const err: Buffer[] = [];
	child.stdout.on('data', (data: Buffer) => out.push(data));
	child.stderr.on('data', (data: Buffer) => err.push(data));
	child.stdin.on('error', () => undefined); // the command may end without reading its input
	child.stdin.end(o.input ?? '');
	let late = false;
	const timer = setTimeout(() => {
		late = true;
		child.kill('SIGKILL');
	}, timeoutMs);
	child.on('error', (error) => {
		clearTimeout(timer);
		reject(error);
	});
	child.on('close', (code, signal) => {
		clearTimeout(timer);
		const result = {
			code: code ?? 128,
			stdout: Buffer.concat(out).toString(),
			stderr: Buffer.concat(err).toString(),
		};
		if (late) reject(new CommandError(command, result, `not finished after ${timeoutMs} ms`));
		else if (result.code !== 0 && !o.allowFailure) {
			reject(new CommandError(command, result, signal ? `ended by ${signal}` : `exit code ${result.code}`));
		} else resolve(result);
	});
	return promise;
}

/** A program that goes on running. Its output is in `logFile`; it survives this process (for `npm run demo -- --keep`). */
export interface BackgroundProcess {
	readonly pid: number;
	readonly command: readonly string[];
	readonly logFile: string;
	/** Resolves with the exit code (128 when a signal ended it). */
	readonly exited: Promise<number>;
	running(): boolean;
	/** Sends the signal and waits for the end; SIGKILL after `graceMs` (default 5 s). */
	stop(signal?: NodeJS.Signals, graceMs?: number): Promise<number>;
}

/** Starts a program whose output goes to `logFile` (appended). */
export function start(
	command: readonly string[],
	logFile: string,
	env: Record<string, string | undefined> = {},
): BackgroundProcess {
	const [file = '', ...args] = command;
	const log = openSync(logFile, 'a');
	const child = spawn(file, args, { stdio: ['ignore', log, log], detached: true, env: environment(env) });
	child.unref();
	let ended = false;
	const exited = new Promise<number>((resolve) => {
		child.on('error', (error) => {
			ended = true;
			createWriteStream(logFile, { flags: 'a' }).end(`cannot start ${command.join(' ')}: ${error.message}\n`);
			resolve(127);
		});
		child.on('exit', (code) => {
			ended = true;
			resolve(code ?? 128);
		});
	});
	const pid = child.pid ?? -1;
	return {
		pid,
		command,
		logFile,
		exited,
		running: () => !ended,
		async stop(signal = 'SIGTERM', graceMs = 5000) {
			if (!ended) child.kill(signal);
			const timer = setTimeout(() => !ended && child.kill('SIGKILL'), graceMs * PATIENCE);
			const code = await exited;
			clearTimeout(timer);
			return code;
		},
	};
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Thrown by an attempt of `eventually` that waiting cannot help. */
export class FinalError extends Error {}

/** Pauses are at least this part of what has been waited, so that asking does not keep a slow machine from coming to it. */
const PAUSES = 20;

/**
 * Repeats `attempt` until it does not throw; after `timeoutMs` (default 15 s) throws its last error with what was waited for.
 * `intervalMs` (default 100) is the shortest pause.
 */
export async function eventually<T>(
	what: string,
	attempt: () => Promise<T> | T,
	o: { timeoutMs?: number; intervalMs?: number } = {},
): Promise<T> {
	const timeoutMs = (o.timeoutMs ?? 15_000) * PATIENCE;
	const started = Date.now();
	for (;;) {
		try {
			return await attempt();
		} catch (error) {
			if (error instanceof FinalError) throw error;
			const waitedMs = Date.now() - started;
			if (waitedMs >= timeoutMs) throw new Error(`${what}: not so after ${timeoutMs} ms`, { cause: error });
			await sleep(Math.max(o.intervalMs ?? 100, waitedMs / PAUSES));
		}
	}
}
