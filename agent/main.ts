#!/usr/bin/env node
/**
 * `fairlead-agent`: starts run.ts in a process whose heap is set up for a daemon that is mostly idle. Flags of V8 and malloc
 * count from the first moment of a process only, so this one replaces itself, same pid, before it has loaded anything.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A young generation of one megabyte is collected more often, which costs little, instead of growing to 16; one helper
 * thread of V8 instead of four; gc() for when a start has left its garbage.
 */
const FLAGS = ['--max-semi-space-size=1', '--v8-pool-size=1', '--expose-gc'];

/** One malloc arena instead of one per thread, each of which keeps what it has freed. */
const ENVIRONMENT = { MALLOC_ARENA_MAX: '1' };

const { execPath, execArgv, argv, env } = process;
const entry = join(import.meta.dirname, import.meta.filename.endsWith('.ts') ? 'run.ts' : 'run.js');

// Node.js ends the process when execve fails, so what is known to make it fail is looked at first. Its warning that the
// function is experimental would be written later than this process lasts. Flags given by the caller come last and win.
if (typeof process.execve === 'function' && existsSync(execPath)) {
	process.execve(execPath, [execPath, ...FLAGS, ...execArgv, entry, ...argv.slice(2)], { ...ENVIRONMENT, ...env });
}
await import(entry);
