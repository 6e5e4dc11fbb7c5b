/**
 * Which agent and CLI a test starts: what `npm run build` has bundled, as that is what is installed and starts faster,
 * unless a source has changed since.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** What the bundles are made of. */
const SOURCES = [
	'agent',
	'cli',
	'cni',
	'manifests/source',
	'native/abi',
	'native/facade',
	'proto',
	'scripts/bundle.ts',
];

/** The file to run. @param root  checkout of the version to start */
export function entryOf(root: string, program: 'agent' | 'cli'): string {
	const built = join(root, 'dist', program, 'main.js');
	// the last one that scripts/bundle.ts writes
	const finished = join(root, 'dist/agent/main.js');
	const current = existsSync(built) && existsSync(finished) && statSync(finished).mtimeMs > newestSource(root);
	return current ? built : join(root, program, 'main.ts');
}

/** Time of the last change of a source, milliseconds since 1970. */
function newestSource(root: string): number {
	const files = SOURCES.flatMap((source) => {
		const path = join(root, source);
		if (!existsSync(path)) return [];
		if (statSync(path).isFile()) return [path];
		return readdirSync(path, { recursive: true, encoding: 'utf8' }).map((name) => join(path, name));
	});
	const sources = files.filter((path) => /\.(ts|proto)$/.test(path) && !path.endsWith('.test.ts'));
	return Math.max(0, ...sources.map((path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0));
}
