/**
 * Bundles the entry points with all they import into dist/: one file each is read, compiled and kept in memory by parts,
 * instead of some 400 files as wholes. Outside stay the addon, .proto files, BPF objects and the CNI front, found by path.
 * Writes dist/agent and dist/cli only.
 */
import { mkdirSync, renameSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type BuildOptions, build, type Plugin } from 'esbuild';

const ROOT = join(import.meta.dirname, '..');

/** Dependencies in CommonJS call require(), which a module does not have. */
const REQUIRE = `import { createRequire as bundleRequire } from 'node:module';\nconst require = bundleRequire(import.meta.url);`;

const COMMON = {
	absWorkingDir: ROOT,
	platform: 'node',
	target: 'node20',
	format: 'esm',
	// Names stay and lines are short, because people read stack traces. The agent keeps the text in memory, a sixth of which would be indentation.
	minifyWhitespace: true,
	lineLimit: 120,
	legalComments: 'eof',
	logLevel: 'warning',
} as const satisfies BuildOptions;

/**
 * What the client library's configuration imports for requests that are not made by it (decision 0016): HTTP clients and the generated
 * API. Half of the bundle otherwise, read at every start.
 */
const withoutClients: Plugin = {
	name: 'without-clients',
	setup({ onResolve, onLoad }) {
		onResolve({ filter: /^undici$|^\.\/gen\/index\.js$/ }, () => ({ path: 'clients', namespace: 'left-out' }));
		const names = ['Agent', 'ProxyAgent', 'ServerConfiguration', 'createConfiguration'];
		const contents = names
			.map((name) => `export function ${name}() { throw new Error('${name} is not part of this bundle'); }`)
			.join('\n');
		onLoad({ filter: /^clients$/, namespace: 'left-out' }, () => ({ contents }));
	},
};

/** Writes beside the place and moves there, so that what is started meanwhile finds the old file or the new one. */
async function bundle(source: string, output: string, options: BuildOptions): Promise<void> {
	const { outputFiles } = await build({ ...COMMON, ...options, entryPoints: [source], write: false });
	// In strings they are escapes already; one such character in a comment makes V8 keep two bytes for each of the file.
	const text = (outputFiles[0]?.text ?? '').replaceAll(/\P{ASCII}/gu, '?');
	mkdirSync(dirname(output), { recursive: true });
	writeFileSync(`${output}.${process.pid}`, text, { mode: 0o755 });
	renameSync(`${output}.${process.pid}`, output);
}

/** @param directory  `dist`, or another one that is to become it */
export async function bundleAll(directory: string): Promise<void> {
	const started = new Date();
	const whole = { bundle: true, banner: { js: REQUIRE } };
	await bundle('agent/run.ts', join(directory, 'agent/run.js'), whole);
	// loaded by a path that access.ts computes, and only with source kubernetes
	const access = 'agent/sources/kubernetes/cluster-access.ts';
	await bundle(access, join(directory, 'agent/cluster-access.js'), { ...whole, plugins: [withoutClients] });
	await bundle('agent/cleanup.ts', join(directory, 'agent/cleanup.js'), whole);
	await bundle('cli/main.ts', join(directory, 'cli/main.js'), whole);
	// as cluster-access.js: commands/install.ts computes its path
	await bundle('cli/install/main.ts', join(directory, 'cli/install.js'), whole);
	// It imports run.js by a path it computes. Written last, with the time from which on a changed source is not in it.
	const entry = join(directory, 'agent/main.js');
	await bundle('agent/main.ts', entry, {});
	utimesSync(entry, started, started);
}

if (import.meta.main) await bundleAll(join(ROOT, 'dist'));
