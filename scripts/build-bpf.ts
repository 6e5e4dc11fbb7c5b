/**
 * Compiles the BPF programs: bpf/progs/*.bpf.c → dist/bpf/*.o, and test programs on request.
 * Writes below dist/bpf only. Compiles again only what is older than its source or any header of bpf/.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '..');
const CLANG = process.env.FAIRLEAD_CLANG ?? 'clang-19';
const STRIP = process.env.FAIRLEAD_LLVM_STRIP ?? 'llvm-strip-19';
/** Debug information names sources from the root of the checkout: the same bytes wherever it lies. */
const PATHS = `-ffile-prefix-map=${ROOT}/=`;
const CFLAGS = ['-g', '-O2', '-mcpu=v3', '-target', 'bpf', '-Wall', '-Wextra', '-Werror', PATHS];

/** Where the objects of the programs are put. */
export const BPF_OUTPUT = join(ROOT, 'dist', 'bpf');

export interface CompileOptions {
	/** A `.bpf.c` file. */
	readonly source: string;
	/** The object to write; its directory is made. */
	readonly output: string;
	/** Further include directories; bpf/ itself is always one. */
	readonly includes?: readonly string[];
}

let asmHeaders: Promise<string> | undefined;

/**
 * The directory that holds `asm/types.h`: clang for the bpf target does not look into the host's multiarch directory.
 * @throws Error when there is none (linux-libc-dev missing)
 */
function asmIncludeDirectory(): Promise<string> {
	asmHeaders ??= (async () => {
		for (const [command, flag] of [
			['gcc', '-print-multiarch'],
			['dpkg-architecture', '-qDEB_HOST_MULTIARCH'],
		] as const) {
			const triple = await run(command, [flag]).then(
				(result) => result.stdout.trim(),
				() => '',
			);
			const directory = `/usr/include/${triple}`;
			if (triple !== '' && existsSync(join(directory, 'asm/types.h'))) return directory;
		}
		throw new Error('cannot compile BPF programs: asm/types.h not found; install linux-libc-dev and gcc');
	})();
	return asmHeaders;
}

/**
 * Compiles one object and strips its debug sections; BTF stays.
 * The object appears atomically, so that two builds at once do not see half of it.
 * @throws Error with the compiler's messages
 */
export async function compileBpf(options: CompileOptions): Promise<void> {
	const includes = [join(ROOT, 'bpf'), ...(options.includes ?? []), await asmIncludeDirectory()];
	mkdirSync(dirname(options.output), { recursive: true });
	const partial = `${options.output}.${process.pid}.tmp`;
	const flags = includes.map((directory) => `-I${directory}`);
	await tool(CLANG, [...CFLAGS, ...flags, '-c', options.source, '-o', partial], options.source);
	await tool(STRIP, ['-g', partial], options.source);
	await rename(partial, options.output);
}

async function tool(command: string, args: readonly string[], source: string): Promise<void> {
	try {
		await run(command, args, { maxBuffer: 16 * 1024 * 1024 });
	} catch (cause) {
		const { code, stderr } = cause as { code?: string | number; stderr?: string };
		const why = code === 'ENOENT' ? `${command} not found; install clang-19 and llvm-19` : (stderr ?? String(cause));
		throw new Error(`cannot compile ${source}: ${why}`, { cause });
	}
}

/** Files below a directory of the checkout whose names end so, sorted. */
function sources(directory: string, ending: string): string[] {
	return readdirSync(join(ROOT, directory), { recursive: true, encoding: 'utf8' })
		.filter((path) => path.endsWith(ending))
		.sort()
		.map((path) => join(ROOT, directory, path));
}

/** True when `output` is missing or older than its source, any header of bpf/, or this script. */
export function isStale(source: string, output: string): boolean {
	if (!existsSync(output)) return true;
	const built = statSync(output).mtimeMs;
	const headers = sources('bpf', '.h');
	return [source, fileURLToPath(import.meta.url), ...headers].some((path) => statSync(path).mtimeMs > built);
}

/**
 * Compiles all stale programs.
 * @returns the objects that were written
 */
export async function buildPrograms(): Promise<string[]> {
	const jobs = sources('bpf/progs', '.bpf.c')
		.map((source) => ({ source, output: join(BPF_OUTPUT, basename(source).replace(/\.c$/, '.o')) }))
		.filter(({ source, output }) => isStale(source, output));
	const queue = [...jobs];
	const worker = async (): Promise<void> => {
		for (let job = queue.shift(); job !== undefined; job = queue.shift()) await compileBpf(job);
	};
	await Promise.all(Array.from({ length: Math.min(availableParallelism(), jobs.length) }, worker));
	return jobs.map(({ output }) => output);
}

if (import.meta.main) {
	try {
		for (const output of await buildPrograms()) console.log(output);
	} catch (error) {
		console.error(error instanceof Error ? error.message : error);
		process.exitCode = 1;
	}
}
