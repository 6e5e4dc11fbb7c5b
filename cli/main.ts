#!/usr/bin/env node
/**
 * Entry of `fairlead`: wires the process to the command tree and turns errors into messages and exit codes.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { CommanderError } from 'commander';
import { connectAgent } from './client.ts';
import type { Context } from './context.ts';
import { CliError, EXIT } from './exit.ts';
import { createProgram, DEFAULT_SOCKET } from './program.ts';

/** package.json lies above the sources and above dist/. */
function readVersion(): string {
	for (const relative of ['../package.json', '../../package.json']) {
		try {
			const parsed: unknown = JSON.parse(readFileSync(new URL(relative, import.meta.url), 'utf8'));
			if (typeof parsed === 'object' && parsed !== null && 'version' in parsed) return String(parsed.version);
		} catch {
			// not here
		}
	}
	return 'unknown';
}

function createContext(socket: { path: string }): Context {
	const interrupt = new AbortController();
	process.once('SIGINT', () => interrupt.abort());
	return {
		out: async (text) => {
			if (!process.stdout.write(text)) await once(process.stdout, 'drain');
		},
		warn: (text) => void process.stderr.write(`${text}\n`),
		withAgent: async (run, options) => {
			const agent = await connectAgent({ socketPath: socket.path, ...options });
			try {
				return await run(agent);
			} finally {
				agent.close();
			}
		},
		now: () => new Date(),
		setExitCode: (code) => {
			process.exitCode = code;
		},
		interrupted: interrupt.signal,
	};
}

function exitCodeOf(error: unknown): number {
	// commander has printed its message already
	if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.OK : EXIT.USAGE;
	const expected = error instanceof CliError;
	process.stderr.write(
		`fairlead: ${expected ? error.message : error instanceof Error ? error.stack : String(error)}\n`,
	);
	return expected ? error.exitCode : EXIT.FAILURE;
}

// a reader such as `head` that has seen enough is no error
process.stdout.on('error', (error: NodeJS.ErrnoException) =>
	process.exit(error.code === 'EPIPE' ? EXIT.OK : EXIT.FAILURE),
);

const socket = { path: DEFAULT_SOCKET };
const program = createProgram(createContext(socket), readVersion(), (path) => {
	socket.path = path;
});
for (const command of [program, ...program.commands, ...program.commands.flatMap((group) => group.commands)]) {
	command.exitOverride();
}
try {
	await program.parseAsync();
} catch (error) {
	process.exitCode = exitCodeOf(error);
}
