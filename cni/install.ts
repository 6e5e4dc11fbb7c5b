/**
 * Puts the CNI executable and the network configuration where runtimes look for them. A node becomes Ready as soon as
 * the configuration is there, so install() is called only when the agent can serve ADD.
 */
import { chmod, copyFile, lstat, mkdir, open, readdir, readFile, rename, rm, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import * as z from 'zod';
import { errorMessage, FairleadError } from '../agent/model/errors.ts';
import type { CniVersion } from './versions.ts';

export const CNI_TYPE = 'fairlead-cni';

export interface InstallOptions {
	/** The compiled executable. */
	readonly executable: string;
	/** Usually /opt/cni/bin. */
	readonly binDir: string;
	/** Usually /etc/cni/net.d. */
	readonly confDir: string;
	/** File name; the first in alphabetical order is used by runtimes. */
	readonly confName: string;
	/** `auto`: 1.1.0, which brings STATUS and GC, for runtimes that know it, else 1.0.0. */
	readonly cniVersion: CniVersion | 'auto';
	readonly networkName: string;
	readonly socketPath: string;
	readonly spoolDir: string;
	/** The agent's own deadlines; the executable waits a little longer, so that the agent's text is seen. */
	readonly addTimeoutMs: number;
	readonly delTimeoutMs: number;
}

export type ConfigurationPath = Pick<InstallOptions, 'confDir' | 'confName'>;

const FRONT_MARGIN_MS = 2000;

/** A list that has an entry of ours, as it was written or changed since. Others may have added plugins and keys. */
const ourList = z.looseObject({
	plugins: z
		.array(z.looseObject({ type: z.string().min(1) }))
		.refine((plugins) => plugins.some(({ type }) => type === CNI_TYPE)),
});

/** Other keys of a list belong to who has put them there. */
const OUR_KEYS: readonly string[] = ['cniVersion', 'cniVersions', 'name', 'plugins'];

/**
 * The network configuration as it should be, as text. Of a list that has our entry, plugins of others are kept, those that stood
 * before ours behind it (ours makes the interface), and so are keys such as `disableCheck`. Any other text is replaced as a whole.
 * @param found  what is there; '' = nothing
 */
export function formatConflist(o: InstallOptions, found = ''): string {
	const { plugins = [], ...keys } = ourList.safeParse(parseJson(found)).data ?? {};
	const wanted = {
		...versionsOf(o.cniVersion),
		name: o.networkName,
		...Object.fromEntries(Object.entries(keys).filter(([key]) => !OUR_KEYS.includes(key))),
		plugins: [ourPlugin(o), ...plugins.filter(({ type }) => type !== CNI_TYPE)],
	};
	return `${JSON.stringify(wanted, null, 2)}\n`;
}

/**
 * Runtimes that know 1.1.0 know `cniVersions`, too, and take the highest of them that they speak. Others look at `cniVersion` alone, and
 * every ADD fails if they do not speak it.
 */
function versionsOf(cniVersion: InstallOptions['cniVersion']): object {
	return cniVersion === 'auto' ? { cniVersion: '1.0.0', cniVersions: ['1.0.0', '1.1.0'] } : { cniVersion };
}

function ourPlugin(o: InstallOptions): object {
	return {
		type: CNI_TYPE,
		capabilities: { portMappings: true },
		socketPath: o.socketPath,
		spoolDir: o.spoolDir,
		addTimeoutMs: o.addTimeoutMs + FRONT_MARGIN_MS,
		delTimeoutMs: o.delTimeoutMs + FRONT_MARGIN_MS,
	};
}

function parseJson(text: string): unknown {
	try {
		return JSON.parse(text);
	} catch {
		return undefined;
	}
}

/** Remembers which two files were equal, so that they are read again only when one of them has changed. */
export class FileComparison {
	#equal = '';

	/** A missing `other` differs. @throws CNI_INSTALL when `path` cannot be read */
	async areEqual(path: string, other: string): Promise<boolean> {
		const own = await orRefuse('read', path, stateOf(path));
		const state = `${own} ${await stateOf(other).catch(() => 'missing')}`;
		if (state === this.#equal) return true;
		const wanted = await orRefuse('read', path, readFile(path));
		const isEqual = await isContent(other, wanted);
		this.#equal = isEqual ? state : '';
		return isEqual;
	}
}

/** The change time (ctime) changes whenever content or owner do, and nobody can set it. */
async function stateOf(path: string): Promise<string> {
	const { dev, ino, size, ctimeNs } = await stat(path, { bigint: true });
	return `${dev} ${ino} ${size} ${ctimeNs}`;
}

async function isContent(path: string, content: Buffer): Promise<boolean> {
	const current = await readFile(path).catch(() => undefined);
	return current?.equals(content) === true;
}

/**
 * Installs both, each at once and only if it differs: first the executable, then the configuration that names it.
 * @param executables  the same at each call, for who calls again and again
 * @returns paths that were written
 * @throws CNI_INSTALL
 */
export async function installCni(o: InstallOptions, executables = new FileComparison()): Promise<string[]> {
	const executable = join(o.binDir, CNI_TYPE);
	const conflist = join(o.confDir, o.confName);
	const written: string[] = [];
	if (!(await executables.areEqual(o.executable, executable))) {
		await replaceFile(executable, (path) => copyFile(o.executable, path), 0o755);
		written.push(executable);
	}
	const there = await readText(conflist);
	const text = formatConflist(o, there ?? (await readText(asidePath(o))));
	if (there === undefined || !isDeepStrictEqual(parseJson(there), parseJson(text))) {
		await replaceFile(conflist, (path) => writeNew(path, text), 0o644);
		written.push(conflist);
	}
	await rm(asidePath(o), { force: true });
	return written;
}

/** The configuration that runtimes take instead of ours: theirs is the first by name. @returns its path; undefined = ours is it */
export async function firstBefore(confDir: string, confName: string): Promise<string | undefined> {
	const names = await readdir(confDir).catch((): string[] => []);
	const [first] = names.filter((name) => /\.(conf|conflist|json)$/.test(name)).sort();
	return first === undefined || first >= confName ? undefined : join(confDir, first);
}

/**
 * Whether there is the plugin that containerd runs for the `lo` of every pod, whatever our list says, unless it is told
 * `use_internal_loopback`. A link counts even if it leads nowhere from where the agent is: its container has only this directory of the
 * node's.
 */
export async function hasLoopback({ binDir }: Pick<InstallOptions, 'binDir'>): Promise<boolean> {
	return await lstat(join(binDir, 'loopback')).then(
		() => true,
		() => false,
	);
}

/**
 * Takes the configuration away, so that no new pods are given to this node, until it is installed again with what others have added
 * to it. The executable stays: DEL needs it.
 */
export async function setAsideCni(o: ConfigurationPath): Promise<void> {
	const conflist = join(o.confDir, o.confName);
	await rename(conflist, asidePath(o)).catch((error: NodeJS.ErrnoException) => {
		if (error.code !== 'ENOENT') throw installError('remove', conflist, error);
	});
}

/** Where the configuration is while it is set aside: beside its place, by a name that no runtime reads. */
export function asidePath(o: ConfigurationPath): string {
	return join(o.confDir, `${o.confName}.aside`);
}

async function readText(path: string): Promise<string | undefined> {
	return await readFile(path, 'utf8').catch(() => undefined);
}

async function orRefuse<T>(verb: string, path: string, result: Promise<T>): Promise<T> {
	try {
		return await result;
	} catch (cause) {
		throw installError(verb, path, cause);
	}
}

/**
 * Writes under another name in the same directory, one that no runtime reads (no `.conf`, `.conflist`, `.json`; not
 * executed by name), then renames: readers see the old file or the new one, and a running executable is not touched.
 */
async function replaceFile(path: string, write: (path: string) => Promise<void>, mode: number): Promise<void> {
	const temporary = `${path}.${process.pid}.tmp`;
	try {
		await mkdir(dirname(path), { recursive: true, mode: 0o755 });
		await write(temporary);
		await chmod(temporary, mode);
		await sync(temporary);
		await rename(temporary, path);
		await sync(dirname(path));
	} catch (cause) {
		await unlink(temporary).catch(() => undefined);
		throw installError('install', path, cause);
	}
}

async function writeNew(path: string, content: string): Promise<void> {
	const file = await open(path, 'w', 0o600);
	try {
		await file.writeFile(content);
	} finally {
		await file.close();
	}
}

async function sync(path: string): Promise<void> {
	const file = await open(path, 'r');
	try {
		await file.sync();
	} finally {
		await file.close();
	}
}

function installError(verb: string, path: string, cause: unknown): FairleadError {
	return new FairleadError('CNI_INSTALL', `cannot ${verb} ${path}: ${errorMessage(cause)}`, { cause });
}
