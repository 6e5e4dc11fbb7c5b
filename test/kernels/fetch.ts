/** Kernels to test on: Debian's packages, fetched by apt with lists of its own, unpacked below build/kernels. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A suite and the series of kernels that is wanted from it. */
export interface Source {
	readonly suite: string;
	/** Beginning of the version; empty = the newest. */
	readonly series: string;
	/** A supported suite: that it has no such kernel is a failure. */
	readonly served: boolean;
	/** Part of `npm test`. */
	readonly short: boolean;
}

export interface KernelTree {
	/** As `uname -r`. */
	readonly release: string;
	/** Unpacked package: boot/, lib/modules/. */
	readonly root: string;
}

export const SOURCES: readonly Source[] = [
	{ suite: 'bullseye', series: '5.10.', served: false, short: false },
	{ suite: 'bookworm', series: '6.1.', served: true, short: true },
	{ suite: 'trixie', series: '6.12.', served: true, short: false },
	{ suite: 'trixie-backports', series: '', served: true, short: true },
];

const MIRROR = 'http://deb.debian.org/debian';
const KEYS = '/usr/share/keyrings/debian-archive-keyring.gpg';
const LIMIT_MS = 240_000;
const FRESH_MS = 24 * 3_600_000;
const NAME = /^linux-image-(\d\S*-cloud-amd64)\s/;

/** Runs apt on the package lists of one suite, in directories that the system's apt does not know. */
class Apt {
	readonly #options: readonly string[];
	readonly #directory: string;

	constructor(directory: string, suite: string) {
		this.#directory = directory;
		for (const part of ['lists/partial', 'cache/archives/partial'])
			mkdirSync(join(directory, part), { recursive: true });
		const list = join(directory, 'sources.list');
		writeFileSync(list, `deb [signed-by=${KEYS}] ${MIRROR} ${suite} main\n`);
		this.#options = Object.entries({
			'Dir::Etc::SourceList': list,
			'Dir::Etc::SourceParts': '/dev/null',
			'Dir::State::Lists': join(directory, 'lists'),
			'Dir::Cache': join(directory, 'cache'),
			'APT::Sandbox::User': 'root',
			'Acquire::Languages': 'none',
			'Acquire::Retries': '2',
		}).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
	}

	run(command: 'apt-get' | 'apt-cache', ...args: readonly string[]): string {
		return execFileSync(command, [...this.#options, ...args], {
			cwd: this.#directory,
			encoding: 'utf8',
			timeout: LIMIT_MS,
			stdio: ['ignore', 'pipe', 'pipe'],
			maxBuffer: 64 * 1024 * 1024,
		});
	}
}

/**
 * The suite's newest kernel of the series, fetched and unpacked unless that was done before; asked for anew after a day.
 * @throws Error when the suite is not served or has no such kernel
 */
export function fetchKernel(source: Source, directory: string): KernelTree {
	const note = join(directory, `${source.suite}.release`);
	const known = existsSync(note) ? readFileSync(note, 'utf8') : '';
	const isFresh = known !== '' && Date.now() - statSync(note).mtimeMs < FRESH_MS;
	const root = join(directory, known);
	if (isFresh && findFile(root, known) !== undefined) return { release: known, root };
	try {
		const kernel = askApt(source, directory);
		writeFileSync(note, kernel.release);
		return kernel;
	} catch (error) {
		if (known === '' || findFile(root, known) === undefined) throw error;
		return { release: known, root }; // of another day, while the mirror cannot be reached
	}
}

function askApt(source: Source, directory: string): KernelTree {
	const apt = new Apt(join(directory, 'apt', source.suite), source.suite);
	apt.run('apt-get', '-qq', '-o', 'APT::Update::Error-Mode=any', 'update');
	const release = newestRelease(
		apt.run('apt-cache', 'search', '--names-only', '^linux-image-.*-cloud-amd64$'),
		source.series,
	);
	if (release === undefined) throw new Error(`suite ${source.suite} has no linux-image-${source.series}*-cloud-amd64`);
	const root = join(directory, release);
	if (findFile(root, release) !== undefined) return { release, root };
	rmSync(root, { recursive: true, force: true });
	mkdirSync(root);
	const packages = join(directory, 'apt', source.suite);
	const image = `linux-image-${release}`;
	// Newer packages only depend on those with the kernel and the modules.
	const depends = apt.run('apt-cache', 'depends', '--important', image).matchAll(/Depends: (\S+)$/gm);
	for (const name of [image, ...[...depends].flatMap((match) => match[1] ?? [])]) {
		if (!name.endsWith(`-${release}`)) continue;
		apt.run('apt-get', '-qq', 'download', name);
		const file = readdirSync(packages).find((each) => each.startsWith(`${name}_`));
		if (file === undefined) throw new Error(`apt-get download ${name} left no file`);
		execFileSync('dpkg-deb', ['-x', join(packages, file), root], { timeout: LIMIT_MS });
		rmSync(join(packages, file));
	}
	if (findFile(root, release) === undefined) throw new Error(`package ${image} and what it depends on have no kernel`);
	return { release, root };
}

/** A kernel's file (vmlinuz, config) in an unpacked package. */
export function findFile(root: string, release: string, name = 'vmlinuz'): string | undefined {
	const places = [join('boot', `${name}-${release}`), join('usr/lib/modules', release, name)];
	return places.map((place) => join(root, place)).find((path) => existsSync(path));
}

/** @param listing  of `apt-cache search` */
export function newestRelease(listing: string, series: string): string | undefined {
	const releases = listing.split('\n').flatMap((line) => NAME.exec(line)?.[1] ?? []);
	const numbers = (release: string): number[] => [...release.matchAll(/\d+/g)].map((match) => Number(match[0]));
	const older = (a: string, b: string): number => {
		const [left, right] = [numbers(a), numbers(b)];
		const at = left.findIndex((number, i) => number !== right[i]);
		return at < 0 ? 0 : (left[at] ?? 0) - (right[at] ?? 0);
	};
	return releases
		.filter((release) => release.startsWith(series))
		.sort(older)
		.at(-1);
}
