/**
 * Another version of Fairlead, made from this one: conntrack and masquerade tables have other names and their entries another
 * order of fields and one field more. Built as any version is: codecs generated, programs compiled.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..', '..');
const COPIED = [
	'agent',
	'bpf',
	'cni',
	'native/abi',
	'native/facade',
	'native/index.ts',
	'proto',
	'scripts',
	'package.json',
];
const LINKED = ['node_modules', 'native/build', 'dist/cni'];
const BUILD_LIMIT_MS = 120_000;

/** Lines of bpf/abi/ct.h that change places. */
const SWAPPED = [
	['\t__u32 last_seen;\n\t__u32 backend;', '\t__u32 backend;\n\t__u32 last_seen;'],
	['\t__u32 created;\n\t__u32 egress_gen;', '\t__u32 egress_gen;\n\t__u32 created;'],
	['\t__u32 pad2[9];', '\t__u32 only_here;\n\t__u32 pad2[8];'],
] as const;

export interface OtherVersion {
	/** Its checkout; agent/main.ts is the agent. */
	readonly root: string;
	remove(): void;
}

export function makeOtherVersion(): OtherVersion {
	const root = mkdtempSync(join(tmpdir(), 'fairlead-other-'));
	try {
		for (const path of COPIED) cpSync(join(ROOT, path), join(root, path), { recursive: true });
		mkdirSync(join(root, 'dist'));
		for (const path of LINKED) symlinkSync(join(ROOT, path), join(root, path));
		changeLayout(join(root, 'bpf'));
		for (const script of ['scripts/gen.ts', 'scripts/build-bpf.ts']) {
			execFileSync(join(ROOT, 'node_modules/.bin/node'), [script], {
				cwd: root,
				timeout: BUILD_LIMIT_MS,
				stdio: 'pipe',
			});
		}
	} catch (error) {
		rmSync(root, { recursive: true, force: true });
		throw error;
	}
	return { root, remove: () => rmSync(root, { recursive: true, force: true }) };
}

function changeLayout(bpf: string): void {
	for (const path of readdirSync(bpf, { recursive: true, encoding: 'utf8' })) {
		if (!/\.[ch]$/.test(path)) continue;
		const text = readFileSync(join(bpf, path), 'utf8');
		writeFileSync(join(bpf, path), text.replaceAll(/\bfl_(ct4|ct6|nat)_1\b/g, 'fl_$1_2'));
	}
	const header = join(bpf, 'abi/ct.h');
	let text = readFileSync(header, 'utf8').replaceAll(/(__u\w+ \w+(?:\[\d+\])?;)[ \t]*\/\*[^\n]*\*\/\n/g, '$1\n');
	for (const [before, after] of SWAPPED) {
		if (!text.includes(before)) throw new Error(`${header} has changed: it has no '${before}'`);
		text = text.replace(before, after);
	}
	writeFileSync(header, text);
}
