/**
 * Other versions of Fairlead, made from this one and built as any version is: codecs generated, programs compiled.
 *
 * `programs`: what pods send runs through other instructions; maps are the same.
 * `layout`: conntrack tables have other names, and a conntrack entry has a field in its middle that this version
 * does not know, a wider field, and fields in another order.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

export type VersionKind = 'programs' | 'layout';

export interface OtherVersion {
	/** Its checkout: agent/main.ts is the agent, cli/main.ts is `fairlead`. */
	readonly root: string;
	remove(): void;
}

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '..', '..');
const NODE = join(ROOT, 'node_modules/.bin/node');
const COPIED = [
	'agent',
	'bpf',
	'cli',
	'cni',
	'dist/bpf',
	'manifests/source',
	'native/abi',
	'native/facade',
	'native/index.ts',
	'proto',
	'scripts',
	'package.json',
];
const LINKED = ['node_modules', 'native/build', 'dist/cni'];
const BUILD_LIMIT_MS = 300_000;

/** Replacements by file; each must apply. */
type Edits = Readonly<Record<string, readonly (readonly [before: string, after: string])[]>>;

const EDITS: Record<VersionKind, Edits> = {
	programs: {
		'bpf/progs/pod.bpf.c': [
			[
				'*found = bpf_map_lookup_elem(&fl_ifaces_1, &ifindex);',
				'*found = bpf_get_smp_processor_id() < 65536 ? bpf_map_lookup_elem(&fl_ifaces_1, &ifindex) : 0;',
			],
		],
	},
	layout: {
		'bpf/abi/ct.h': [
			['__u16 flags; \\\n\t__u16 source; \\\n', '__u16 source; \\\n\t__u16 pad; \\\n\t__u32 flags; \\\n'],
			['__u32 last_seen; \\\n\t__u32 backend; \\\n', '__u32 backend; \\\n\t__u32 last_seen; \\\n'],
			['__u64 bytes[2]; \\\n', '__u32 only_here; \\\n\t__u64 bytes[2]; \\\n'],
			['__u32 created; \\\n\t__u16 policy_gen[2]; \\\n', '__u16 policy_gen[2]; \\\n\t__u32 created; \\\n'],
			['sizeof(struct ct4_entry) == 64', 'sizeof(struct ct4_entry) == 72'],
			['sizeof(struct ct_entry) == 104', 'sizeof(struct ct_entry) == 112'],
		],
	},
};

/** The checkout of another version. @throws Error with the compiler's messages */
export async function makeOtherVersion(kind: VersionKind): Promise<OtherVersion> {
	const root = mkdtempSync(join(tmpdir(), `fairlead-${kind}-`));
	const remove = (): void => rmSync(root, { recursive: true, force: true });
	try {
		// With their times: only what is changed below is compiled again.
		const options = { recursive: true, preserveTimestamps: true };
		await Promise.all(COPIED.map((path) => cp(join(ROOT, path), join(root, path), options)));
		for (const path of LINKED) {
			mkdirSync(dirname(join(root, path)), { recursive: true });
			symlinkSync(join(ROOT, path), join(root, path));
		}
		if (kind === 'layout') renameMaps(join(root, 'bpf'));
		for (const [path, edits] of Object.entries(EDITS[kind])) edit(join(root, path), edits);
		for (const script of [...(kind === 'layout' ? ['scripts/gen.ts'] : []), 'scripts/build-bpf.ts']) {
			await run(NODE, [script], { cwd: root, timeout: BUILD_LIMIT_MS });
		}
	} catch (error) {
		remove();
		throw error;
	}
	return { root, remove };
}

function renameMaps(bpf: string): void {
	for (const path of readdirSync(bpf, { recursive: true, encoding: 'utf8' })) {
		if (!/\.[ch]$/.test(path)) continue;
		const text = readFileSync(join(bpf, path), 'utf8');
		const renamed = text.replaceAll(/\bfl_(ct4|ct6|ctfull4|ctfull6)_1\b/g, 'fl_$1_2');
		if (renamed !== text) writeFileSync(join(bpf, path), renamed);
	}
}

/** Comments at the ends of fields and the columns of line continuations do not count. */
function edit(path: string, edits: readonly (readonly [string, string])[]): void {
	let text = readFileSync(path, 'utf8')
		.replaceAll(/(__u\w+ \w+(?:\[\d+\])?;)[ \t]*\/\*[^\n]*\*\/\n/g, '$1\n')
		.replaceAll(/[ \t]+\\\n/g, ' \\\n');
	for (const [before, after] of edits) {
		if (text.split(before).length !== 2) throw new Error(`${path} has changed: '${before}' is not in it exactly once`);
		text = text.replace(before, after);
	}
	writeFileSync(path, text);
}
