import {
	existsSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	statSync,
	symlinkSync,
	utimesSync,
	writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
	FileComparison,
	formatConflist,
	hasLoopback,
	type InstallOptions,
	installCni,
	setAsideCni,
} from './install.ts';
import { CNI_VERSIONS } from './versions.ts';

let dir: string;
let options: InstallOptions;

beforeEach(() => {
	dir = mkdtempSync(join(tmpdir(), 'fl-install-'));
	writeFileSync(join(dir, 'built'), 'program 1');
	options = {
		executable: join(dir, 'built'),
		binDir: join(dir, 'opt/cni/bin'),
		confDir: join(dir, 'etc/cni/net.d'),
		confName: '05-fairlead.conflist',
		cniVersion: 'auto',
		networkName: 'fairlead',
		socketPath: '/run/fairlead/cni.sock',
		spoolDir: '/var/lib/fairlead/cni-spool',
		addTimeoutMs: 30_000,
		delTimeoutMs: 10_000,
	};
});

afterEach(() => rmSync(dir, { recursive: true, force: true }));

const binary = () => join(options.binDir, 'fairlead-cni');
const conflist = () => join(options.confDir, options.confName);

describe('installation', () => {
	it('makes the directories, an executable and a readable configuration, and leaves nothing else there', async () => {
		expect(await installCni(options)).toEqual([binary(), conflist()]);
		expect(statSync(binary()).mode & 0o777).toBe(0o755);
		expect(statSync(conflist()).mode & 0o777).toBe(0o644);
		expect(readdirSync(options.binDir)).toEqual(['fairlead-cni']);
		expect(readdirSync(options.confDir)).toEqual(['05-fairlead.conflist']);
		expect(readFileSync(conflist(), 'utf8')).toBe(formatConflist(options));
	});

	it('writes a list that gives the executable longer than the agent gives itself', () => {
		expect(JSON.parse(formatConflist({ ...options, cniVersion: '1.0.0' }))).toEqual({
			cniVersion: '1.0.0',
			name: 'fairlead',
			plugins: [
				{
					type: 'fairlead-cni',
					capabilities: { portMappings: true },
					socketPath: '/run/fairlead/cni.sock',
					spoolDir: '/var/lib/fairlead/cni-spool',
					addTimeoutMs: 32_000,
					delTimeoutMs: 12_000,
				},
			],
		});
	});

	it('offers both versions or the one that is set', async () => {
		const versions = (text: string) => ({ ...(JSON.parse(text) as object), name: undefined, plugins: undefined });
		expect(versions(formatConflist(options))).toEqual({ cniVersion: '1.0.0', cniVersions: ['1.0.0', '1.1.0'] });
		for (const cniVersion of CNI_VERSIONS) {
			expect(versions(formatConflist({ ...options, cniVersion }))).toEqual({ cniVersion });
			await installCni(options);
			expect(await installCni({ ...options, cniVersion })).toEqual([conflist()]);
			expect(versions(readFileSync(conflist(), 'utf8'))).toEqual({ cniVersion });
		}
	});

	it('touches nothing that is as it should be, so that runtimes do not load it again', async () => {
		await installCni(options);
		const before = statSync(conflist()).ino;
		expect(await installCni(options)).toEqual([]);
		expect(statSync(conflist()).ino).toBe(before);
	});

	it('replaces by rename: whoever runs the old executable keeps it', async () => {
		await installCni(options);
		const before = statSync(binary()).ino;
		writeFileSync(options.executable, 'program 2');
		expect(await installCni(options)).toEqual([binary()]);
		expect(statSync(binary()).ino).not.toBe(before);
		expect(readFileSync(binary(), 'utf8')).toBe('program 2');
	});

	it('reads executables again only when one of them has changed', async () => {
		const executables = new FileComparison();
		writeFileSync(options.executable, Buffer.alloc(8 << 20, 'a'));
		expect(await installCni(options, executables)).toEqual([binary(), conflist()]);
		expect(await installCni(options, executables)).toEqual([]);
		const before = process.memoryUsage().arrayBuffers;
		for (let i = 0; i < 4; i++) expect(await installCni(options, executables)).toEqual([]);
		expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 << 20);

		const { atime, mtime } = statSync(binary());
		writeFileSync(binary(), Buffer.alloc(8 << 20, 'b'));
		utimesSync(binary(), atime, mtime);
		expect(await installCni(options, executables)).toEqual([binary()]);
		writeFileSync(options.executable, 'program 2');
		expect(await installCni(options, executables)).toEqual([binary()]);
		rmSync(binary());
		expect(await installCni(options, executables)).toEqual([binary()]);
		rmSync(options.executable);
		await expect(installCni(options, executables)).rejects.toThrow(`cannot read ${options.executable}: ENOENT`);
	});

	it('installs no configuration without an executable', async () => {
		rmSync(options.executable);
		await expect(installCni(options)).rejects.toMatchObject({ code: 'CNI_INSTALL' });
		expect(existsSync(conflist())).toBe(false);
	});

	it('says which file could not be written and leaves no temporary one', async () => {
		writeFileSync(join(dir, 'etc'), 'a file');
		await expect(installCni(options)).rejects.toThrow(`cannot install ${conflist()}: ENOTDIR`);
		expect(readdirSync(options.binDir)).toEqual(['fairlead-cni']);
	});

	it('finds a loopback plugin, by way of a link, too', async () => {
		expect(await hasLoopback(options)).toBe(false);
		await installCni(options);
		expect(await hasLoopback(options)).toBe(false);
		symlinkSync('/outside/of/the/container', join(options.binDir, 'loopback'));
		expect(await hasLoopback(options)).toBe(true);
	});

	it('leaves configurations of others alone and can be set aside, twice', async () => {
		await installCni(options);
		writeFileSync(join(options.confDir, '10-other.conflist'), '{}');
		await setAsideCni(options);
		await setAsideCni(options);
		expect(readdirSync(options.confDir)).toEqual(['05-fairlead.conflist.aside', '10-other.conflist']);
		expect(existsSync(binary())).toBe(true);
	});
});

describe('a list that others have changed', () => {
	interface List {
		plugins: { type: string }[];
		[key: string]: unknown;
	}
	const ISTIO = { type: 'istio-cni', log_level: 'info', kubernetes: { cni_bin_dir: '/opt/cni/bin' } };
	const TUNING = { type: 'tuning', sysctl: { 'net.core.somaxconn': '500' } };
	const read = (): List => JSON.parse(readFileSync(conflist(), 'utf8')) as List;
	/** @returns what the next look finds wrong */
	const change = (edit: (list: List) => unknown): Promise<string[]> => {
		const list = read();
		writeFileSync(conflist(), JSON.stringify(edit(list) ?? list));
		return installCni(options);
	};
	const ours = (): unknown => (JSON.parse(formatConflist(options)) as List).plugins[0];

	beforeEach(() => installCni(options));

	it('is left as it is: plugins after ours, keys of others, another order and white space', async () => {
		expect(await change((list) => void list.plugins.push(ISTIO, TUNING))).toEqual([]);
		const reversed = (value: object): object => Object.fromEntries(Object.entries(value).reverse());
		const sorted = (list: List) => reversed({ ...list, disableCheck: true, plugins: list.plugins.map(reversed) });
		expect(await change(sorted)).toEqual([]);
		expect(read()).toMatchObject({ disableCheck: true, plugins: [ours(), ISTIO, TUNING] });
	});

	it('keeps what is theirs when ours is written anew', async () => {
		await change((list) => void Object.assign(list, { disableGC: true, plugins: [...list.plugins, ISTIO] }));
		options = { ...options, socketPath: '/run/other/cni.sock', cniVersion: '1.0.0' };
		expect(await installCni(options)).toEqual([conflist()]);
		expect(read()).toEqual({
			...{ cniVersion: '1.0.0', name: 'fairlead', disableGC: true },
			plugins: [{ ...(ours() as object), socketPath: '/run/other/cni.sock' }, ISTIO],
		});
	});

	it.each<[string, (list: List) => unknown]>([
		['another name', (list) => void Object.assign(list, { name: 'other' })],
		['another version', (list) => void Object.assign(list, { cniVersion: '0.4.0' })],
		['other versions', (list) => void Object.assign(list, { cniVersions: ['1.1.0'] })],
		['a key more in our entry', ({ plugins }) => void Object.assign(plugins[0] ?? {}, { ipam: {} })],
		['a key less in our entry', ({ plugins }) => void Reflect.deleteProperty(plugins[0] ?? {}, 'spoolDir')],
		['our entry twice', ({ plugins }) => void plugins.push(...plugins.slice(0, 1))],
		['our entry last', ({ plugins }) => void plugins.reverse()],
	])('is repaired around what is theirs: %s', async (_, edit) => {
		expect(await change((list) => void list.plugins.push(ISTIO, TUNING))).toEqual([]);
		const theirs = (list: List) => list.plugins.filter(({ type }) => type !== 'fairlead-cni');
		expect(await change((list) => edit(list))).toEqual([conflist()]);
		const list = read();
		expect({ ...list, plugins: list.plugins.slice(0, 1) }).toEqual(JSON.parse(formatConflist(options)));
		expect(new Set(theirs(list))).toEqual(new Set([ISTIO, TUNING]));
		expect(list.plugins).toHaveLength(3);
		expect(await installCni(options)).toEqual([]);
	});

	it.each([
		['no JSON', '{"plugins":[{"type":"fairlead-cni"}'],
		['nothing', ''],
		['no list', '[{"type":"fairlead-cni"}]'],
		['no plugins', '{"name":"fairlead","plugins":{}}'],
		['a list without our entry', '{"cniVersion":"1.1.0","name":"fairlead","plugins":[{"type":"bridge"}]}'],
		['a list that no runtime loads', '{"name":"fairlead","plugins":[{"type":"fairlead-cni"},{"sysctl":{}}]}'],
	])('is replaced as a whole: %s', async (_, text) => {
		writeFileSync(conflist(), text);
		expect(await installCni(options)).toEqual([conflist()]);
		expect(readFileSync(conflist(), 'utf8')).toBe(formatConflist(options));
	});

	it('comes back whole after it was set aside, and only then', async () => {
		await change((list) => void list.plugins.push(ISTIO));
		await setAsideCni(options);
		expect(await installCni(options)).toEqual([conflist()]);
		expect(read().plugins).toEqual([ours(), ISTIO]);
		expect(readdirSync(options.confDir)).toEqual(['05-fairlead.conflist']);
		rmSync(conflist());
		expect(await installCni(options)).toEqual([conflist()]);
		expect(read().plugins).toEqual([ours()]);
	});
});
