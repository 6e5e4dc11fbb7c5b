import {
	closeSync,
	existsSync,
	fstatSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	readlinkSync,
	statSync,
	writeFileSync,
} from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import {
	BpfMap,
	btfOfId,
	ifindexOf,
	linkIds,
	mapIds,
	membarrier,
	membarrierAsync,
	peerCredentials,
	possibleCpus,
	probe,
	programIds,
	writeAside,
} from './index.ts';
import { openFds, removeScratch, scratch } from './testdata/harness.ts';

afterAll(removeScratch);

describe('probe', () => {
	/** Minimum kernels: a newer kernel must have the feature, an older one may by a backport. */
	const since: Record<string, [number, number]> = {
		btf: [5, 4],
		mmapableArray: [5, 5],
		jiffies64: [5, 5],
		batchOps: [5, 6],
		ringbuf: [5, 8],
		netnsCookie: [5, 8],
		cgroupGetpeername: [5, 8],
		cgroupSockRelease: [5, 9],
		redirectPeer: [5, 10],
		redirectNeigh: [5, 10],
		bpfLoop: [5, 17],
		bpfSetRetval: [5, 18],
		xdpFrags: [5, 18],
		tcx: [6, 6],
		fibLookup: [4, 18],
		membarrier: [4, 3],
	};

	it('finds every feature that a kernel of this version has', () => {
		const features = probe();
		const [major, minor] = features.version;
		expect(features.release.startsWith(`${major}.${minor}.`)).toBe(true);
		for (const [name, [needMajor, needMinor]] of Object.entries(since)) {
			if (major > needMajor || (major === needMajor && minor >= needMinor)) {
				expect(features, name).toHaveProperty(name, true);
			}
		}
		expect(Object.keys(features).sort()).toEqual(['release', 'version', ...Object.keys(since)].sort());
	});

	it('leaves nothing open', () => {
		const before = openFds();
		probe();
		expect(openFds()).toBe(before);
	});
});

describe('peerCredentials', () => {
	it('names the process at the other end of a unix socket', async () => {
		const path = join(scratch(), 'peer.sock');
		const seen = new Promise<ReturnType<typeof peerCredentials>>((resolve) => {
			const server = createServer((socket) => {
				const { fd } = (socket as Socket & { _handle: { fd: number } })._handle;
				resolve(peerCredentials(fd));
				socket.destroy();
				server.close();
			}).listen(path, () => connect(path).on('error', () => undefined));
		});
		expect(await seen).toEqual({ pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() });
	});

	it('refuses what is no socket', () => {
		expect(() => peerCredentials(999_999)).toThrow(/file descriptor 999999.*\(EBADF\)/);
		expect(() => peerCredentials(-1)).toThrow(TypeError);
	});
});

describe('writeAside', () => {
	it('puts a whole private file in place, also over another one', async () => {
		const directory = scratch();
		const [temporary, path] = [join(directory, 'new.tmp'), join(directory, 'new')];
		for (const content of ['short', 'é'.repeat(100_000)]) {
			const fd = await writeAside(temporary, path, content);
			expect(fstatSync(fd)).toMatchObject({ ino: statSync(path).ino, size: Buffer.byteLength(content) });
			closeSync(fd);
			expect(readFileSync(path, 'utf8')).toBe(content);
			expect(statSync(path).mode & 0o777).toBe(0o600);
			expect(existsSync(temporary)).toBe(false);
		}
	});

	it('leaves nothing behind when it fails, and a file that was there alone', async () => {
		const directory = mkdtempSync(join(scratch(), 'fail-'));
		const [temporary, path] = [join(directory, 'new.tmp'), join(directory, 'new')];
		await expect(writeAside(join(directory, 'none', 'tmp'), path, 'x')).rejects.toMatchObject({ code: 'ENOENT' });
		mkdirSync(path);
		await expect(writeAside(temporary, path, 'x')).rejects.toMatchObject({ code: 'EISDIR', syscall: 'rename' });
		expect(readdirSync(directory)).toEqual(['new']);
		writeFileSync(temporary, 'of another');
		await expect(writeAside(temporary, path, 'x')).rejects.toMatchObject({ code: 'EEXIST' });
		expect(readFileSync(temporary, 'utf8')).toBe('of another');
		const open = readdirSync('/proc/self/fd').map((fd) => readlinkIfOpen(`/proc/self/fd/${fd}`));
		expect(open.filter((target) => target?.startsWith(directory))).toEqual([]);
	});
});

function readlinkIfOpen(path: string): string | undefined {
	try {
		return readlinkSync(path);
	} catch {
		return undefined; // the directory that was being read
	}
}

describe('small calls', () => {
	it('know the loopback interface', () => {
		expect(ifindexOf('lo')).toBe(1);
		expect(() => ifindexOf('no-such')).toThrow('cannot find interface no-such: No such device (ENODEV)');
	});

	it('wait for a grace period', async () => {
		expect(membarrier()).toBeUndefined();
		await expect(membarrierAsync()).resolves.toBeUndefined();
	});

	it('list the ids of maps, programs and links', () => {
		const map = BpfMap.create({ type: 2, name: 'listed', keySize: 4, valueSize: 4, maxEntries: 1 });
		const { id } = map.info;
		expect(mapIds()).toContain(id);
		map.close();
		for (const ids of [programIds(), linkIds()]) expect([...ids].sort((a, b) => a - b)).toEqual(ids);
	});

	it('count CPUs as the kernel does for per-CPU maps', () => {
		const map = BpfMap.create({ type: 6, name: 'percpu', keySize: 4, valueSize: 8, maxEntries: 1 });
		expect(map.get(new Uint8Array(4))?.length).toBe(8 * possibleCpus());
		map.close();
	});

	it('say which BTF cannot be read', () => {
		expect(() => btfOfId(4_000_000_000)).toThrow('cannot read BTF 4000000000: No such file or directory (ENOENT)');
	});
});
