/** What the image takes on a node's disk. */
import { execFile } from 'node:child_process';
import { lstatSync, readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { type FigureInfo, rounded, type Suite } from './figures.ts';

const ROOT = join(import.meta.dirname, '..');
const DIRECTORY = join(ROOT, 'build/image');

const FIGURES: readonly FigureInfo[] = [
	{ id: 'image.mb', what: 'image, unpacked: all its files', target: { atMost: 220 } },
];

/** Builds the image. @returns path of the archive */
async function build(): Promise<string> {
	const env = { ...process.env, IMAGE_DOWNLOADS: join(DIRECTORY, 'downloads') };
	const { stdout } = await promisify(execFile)(join(ROOT, 'scripts/build-image.sh'), [DIRECTORY], { env });
	return resolve(stdout.trim());
}

/** Bytes of all regular files below a directory. */
function bytesBelow(directory: string): number {
	const paths = readdirSync(directory, { recursive: true, encoding: 'utf8' }).map((name) => join(directory, name));
	const files = paths.map((path) => lstatSync(path)).filter((stat) => stat.isFile());
	return files.reduce((sum, { size }) => sum + size, 0);
}

export const imageSuite: Suite = {
	name: 'image',
	figures: FIGURES,
	async run(ids, progress) {
		if (!ids.has('image.mb')) return [];
		progress('building the image');
		const archive = await build();
		const packedMb = rounded(statSync(archive).size / 1e6);
		const value = rounded(bytesBelow(join(DIRECTORY, 'rootfs')) / 1e6);
		return [{ id: 'image.mb', value, unit: 'MB', baseline: '', runs: 1, note: `packed ${packedMb} MB` }];
	},
};
