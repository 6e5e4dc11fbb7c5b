/**
 * Runs the real `fairlead` as a child process.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { entryOf } from './cluster/built.ts';

export const CLI = entryOf(join(import.meta.dirname, '../..'), 'cli');
/** The Node.js that runs TypeScript sources, whatever runs the tests. */
export const NODE = join(import.meta.dirname, '../../node_modules/.bin/node');

export interface CliResult {
	readonly code: number | null;
	readonly out: string;
	readonly err: string;
}

export interface CliOptions {
	/** FAIRLEAD_SOCKET; undefined = not set. */
	readonly socketPath?: string;
	readonly timeoutMs?: number;
}

export interface CliProcess {
	readonly child: ChildProcess;
	/** Resolves when standard output holds the text. */
	printed(text: string): Promise<void>;
	readonly ended: Promise<CliResult>;
}

/** Times are printed in local time: the zone is fixed to UTC. */
export function startCli(args: readonly string[], options: CliOptions = {}): CliProcess {
	const { FAIRLEAD_SOCKET: _, ...inherited } = process.env;
	const socket = options.socketPath === undefined ? {} : { FAIRLEAD_SOCKET: options.socketPath };
	const child = spawn(NODE, [CLI, ...args], {
		env: { ...inherited, ...socket, TZ: 'UTC', NO_COLOR: '1' },
		stdio: ['ignore', 'pipe', 'pipe'],
		timeout: options.timeoutMs ?? 60_000,
		killSignal: 'SIGKILL',
	});
	let out = '';
	let err = '';
	child.stdout.on('data', (data: Buffer) => {
		out += data.toString();
	});
	child.stderr.on('data', (data: Buffer) => {
		err += data.toString();
	});
	const ended = once(child, 'close').then(([code]): CliResult => ({ code: code as number | null, out, err }));
	const printed = async (text: string): Promise<void> => {
		while (!out.includes(text)) {
			if (child.exitCode !== null) throw new Error(`ended without printing ${JSON.stringify(text)}: ${out}${err}`);
			await Promise.race([once(child.stdout, 'data'), ended]);
		}
	};
	return { child, printed, ended };
}

export function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
	return startCli(args, options).ended;
}
