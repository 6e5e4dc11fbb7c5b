import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';

const BOOTSTRAP = join(import.meta.dirname, 'bootstrap.sh');
const folders: string[] = [];
afterEach(() => {
	for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** Runs the bootstrap on a machine whose commands answer otherwise; each stand-in is the body of a shell script. */
function bootstrapWith(standIns: Record<string, string>): { code: number | null; lines: string[] } {
	const folder = mkdtempSync(join(tmpdir(), 'fairlead-bootstrap-'));
	folders.push(folder);
	for (const [name, body] of Object.entries(standIns)) {
		writeFileSync(join(folder, name), `#!/bin/sh\n${body}\n`);
		chmodSync(join(folder, name), 0o755);
	}
	const result = spawnSync('bash', [BOOTSTRAP, '--build'], {
		env: { ...process.env, PATH: `${folder}:${process.env.PATH}` },
		encoding: 'utf8',
		timeout: 50_000,
	});
	return { code: result.status, lines: `${result.stdout}${result.stderr}`.trim().split('\n') };
}

const linux = (release: string): string => `[ "$1" = -r ] && echo ${release} || echo Linux`;

it.each([
	['not root', { id: 'echo 1000' }, /^fairlead: needs root .*sudo$/],
	['not Linux', { uname: 'echo Darwin' }, /^fairlead: needs Linux, this is Darwin$/],
	[
		'an old kernel',
		{ uname: linux('5.4.0-150-generic') },
		/^fairlead: needs Linux 5\.10 or newer, this kernel is 5\.4\.0/,
	],
	['a kernel 4', { uname: linux('4.19.300') }, /^fairlead: needs Linux 5\.10 or newer/],
	[
		'an old Node.js',
		{ node: 'case $1 in -p) echo 18;; *) echo v18.20.4;; esac' },
		/^fairlead: needs Node\.js 20 .* v18\.20\.4$/,
	],
])('says in one line that the machine has %s', (_what, standIns: Record<string, string>, line) => {
	const { code, lines } = bootstrapWith({ id: 'echo 0', ...standIns });
	expect(lines).toEqual([expect.stringMatching(line)]);
	expect(code).toBe(1);
});
