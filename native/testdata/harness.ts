/** What the addon's tests share: compiled fixtures, network namespaces, child processes, counts of what is open. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type * as Native from '../index.ts';

const here = import.meta.dirname;
const indexUrl = pathToFileURL(join(here, '..', 'index.ts')).href;
/** The Node.js of package.json, whatever runs the tests: it strips types. */
const node = join(here, '..', '..', 'node_modules', '.bin', 'node');

let scratchDir: string | undefined;

/** A directory of this test file; remove it with removeScratch. */
export function scratch(): string {
	scratchDir ??= mkdtempSync(join(tmpdir(), 'fl-native-'));
	return scratchDir;
}

export function removeScratch(): void {
	if (scratchDir !== undefined) rmSync(scratchDir, { recursive: true, force: true });
	scratchDir = undefined;
}

/** Compiles native/testdata/<name>.bpf.c. @returns the object's path. */
export function compileFixture(name: string): string {
	const object = join(scratch(), `${name}.bpf.o`);
	const flags = ['-g', '-O2', '-mcpu=v3', '-target', 'bpf', '-I/usr/include/x86_64-linux-gnu'];
	execFileSync('clang-19', [...flags, '-c', join(here, `${name}.bpf.c`), '-o', object], { stdio: 'pipe' });
	return object;
}

let counter = 0;
/** A name for links, namespaces and pins that no other run uses; at most 15 bytes. */
export function uniqueName(prefix: string): string {
	counter += 1;
	return `${prefix}${process.pid.toString(36)}x${counter}`;
}

export function ip(...args: string[]): string {
	return execFileSync('ip', args, { encoding: 'utf8', stdio: 'pipe' });
}

export interface ChildResult {
	status: number | null;
	signal: NodeJS.Signals | null;
	stdout: string;
	stderr: string;
}

/** Runs `body` in a Node.js process of its own; it sees only its parameters. `netns`: inside that namespace. */
export function runChild<A>(
	body: (native: typeof Native, args: A) => unknown,
	args: A,
	o: { netns?: string; nodeFlags?: string[] } = {},
): ChildResult {
	const code = `import * as native from ${JSON.stringify(indexUrl)};
const result = await (${body.toString()})(native, ${JSON.stringify(args)});
if (result !== undefined) process.stdout.write(JSON.stringify(result, (_, v) => typeof v === 'bigint' ? Number(v) : v));`;
	const run = [node, '--input-type=module', ...(o.nodeFlags ?? []), '-e', code];
	const [file = '', ...rest] = o.netns === undefined ? run : ['nsenter', `--net=/run/netns/${o.netns}`, ...run];
	const { status, signal, stdout, stderr } = spawnSync(file, rest, { encoding: 'utf8', timeout: 150_000 });
	return { status, signal, stdout, stderr };
}

/** As runChild; @returns what `body` returned. A failure of the child fails the test. */
export function inNetns<A, R>(
	netns: string | undefined,
	body: (native: typeof Native, args: A) => R | Promise<R>,
	args: A,
): R {
	const result = runChild(body, args, netns === undefined ? {} : { netns });
	if (result.status !== 0) throw new Error(`child failed (${result.status ?? result.signal}): ${result.stderr}`);
	return (result.stdout === '' ? undefined : JSON.parse(result.stdout)) as R;
}

/** File descriptors of this process that are BPF objects, epoll instances, events or sockets of ours. */
export function openFds(): number {
	return readdirSync('/proc/self/fd').length;
}

/** BPF file descriptors alone: nothing but the addon opens these. */
export function openBpfFds(): number {
	let count = 0;
	for (const fd of readdirSync('/proc/self/fd')) {
		try {
			if (/bpf/.test(readlinkSync(`/proc/self/fd/${fd}`))) count += 1;
		} catch {
			// the descriptor of readdir itself has gone
		}
	}
	return count;
}

/** Memory mappings of BPF maps in this process. */
export function bpfMappings(): number {
	return readFileSync('/proc/self/maps', 'utf8')
		.split('\n')
		.filter((line) => line.includes('bpf-map')).length;
}

export const u32 = (n: number): Uint8Array => new Uint8Array(Uint32Array.of(n).buffer);
export const u64 = (n: bigint): Uint8Array => new Uint8Array(BigUint64Array.of(n).buffer);
export const readU32 = (bytes: Uint8Array, offset = 0): number =>
	new DataView(bytes.buffer, bytes.byteOffset).getUint32(offset, true);
export const readU64 = (bytes: Uint8Array, offset = 0): bigint =>
	new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(offset, true);

/** An Ethernet frame that the kernel accepts as test input. */
export const frame = (size = 64): Uint8Array => new Uint8Array(size);

/** A struct __sk_buff with its 32-bit words set by index: 2 = mark, 8 = priority. */
export function skb(words: Record<number, number>): Uint8Array {
	const ctx = new Uint32Array(48);
	for (const [index, value] of Object.entries(words)) ctx[Number(index)] = value;
	return new Uint8Array(ctx.buffer);
}

export async function until(what: string, ready: () => boolean, limitMs = 5000): Promise<void> {
	const end = Date.now() + limitMs;
	while (!ready()) {
		if (Date.now() > end) throw new Error(`waited ${limitMs} ms in vain: ${what}`);
		await new Promise((resolve) => setTimeout(resolve, 5));
	}
}
