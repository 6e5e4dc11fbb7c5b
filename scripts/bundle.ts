/**
 * Bundles the entry points with all they import into dist/: one file each is read, compiled and kept in memory by parts,
 * instead of some 400 files as wholes. Outside stay the addon, .proto files, BPF objects and the CNI front, found by path.
 * Writes dist/agent and dist/cli only.
 */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BuildOptions, build } from 'esbuild';

const ROOT = join(import.meta.dirname, '..');

/** Dependencies in CommonJS call require(), which a module does not have. */
const REQUIRE = `import { createRequire as bundleRequire } from 'node:module';\nconst require = bundleRequire(import.meta.url);`;

const COMMON = {
	absWorkingDir: ROOT,
	platform: 'node',
	target: 'node20',
	format: 'esm',
	// not minified: people read stack traces, and what is never called costs its text only
	legalComments: 'eof',
	logLevel: 'warning',
} as const satisfies BuildOptions;

/** Writes beside the place and moves there, so that what is started meanwhile finds the old file or the new one. */
async function bundle(source: string, output: string, options: BuildOptions): Promise<void> {
	const { outputFiles } = await build({ ...COMMON, ...options, entryPoints: [source], write: false });
	// In strings they are escapes already; one such character in a comment makes V8 keep two bytes for each of the file.
	const text = (outputFiles[0]?.text ?? '').replaceAll(/\P{ASCII}/gu, '?');
	const path = join(ROOT, output);
	writeFileSync(`${path}.${process.pid}`, text, { mode: 0o755 });
	renameSync(`${path}.${process.pid}`, path);
}

for (const folder of ['agent', 'cli']) mkdirSync(join(ROOT, 'dist', folder), { recursive: true });
const whole = { bundle: true, banner: { js: REQUIRE } };
await bundle('agent/run.ts', 'dist/agent/run.js', whole);
await bundle('cli/main.ts', 'dist/cli/main.js', whole);
// the agent's first step imports run.js by a path it computes
await bundle('agent/main.ts', 'dist/agent/main.js', {});
