import {
	existsSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	statSync,
	utimesSync,
	writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileComparison, formatConflist, type InstallOptions, installCni, uninstallCni } from './install.ts';

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
		cniVersion: '1.1.0',
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

	it('leaves configurations of others alone and can be taken back, twice', async () => {
		await installCni(options);
		writeFileSync(join(options.confDir, '10-other.conflist'), '{}');
		await uninstallCni(options);
		await uninstallCni(options);
		expect(readdirSync(options.confDir)).toEqual(['10-other.conflist']);
		expect(existsSync(binary())).toBe(true);
	});
});
