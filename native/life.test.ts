/** Who owns what, and that everything comes back: by close, by the collector, at the end of a worker and of the process. */
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BpfLink, BpfMap, BpfObject, ifindexOf, netlinkRequest, openSocketInNetns, RingBuffer } from './index.ts';
import {
	bpfMappings,
	compileFixture,
	frame,
	openBpfFds,
	openFds,
	removeScratch,
	runChild,
	u32,
	u64,
	until,
} from './testdata/harness.ts';

let path = '';
beforeAll(() => {
	path = compileFixture('basic');
});
afterAll(removeScratch);

const arraySpec = { type: 2, name: 'leak', keySize: 4, valueSize: 8, maxEntries: 64, flags: 1024 };

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

describe('close', () => {
	it('gives back 5,000 maps with their memory', async () => {
		const before = { fds: openFds(), mappings: bpfMappings() };
		for (let i = 0; i < 5000; i++) {
			const map = BpfMap.create(arraySpec);
			new DataView(map.mmap()).setUint8(0, 1);
			map.close();
			map.close();
		}
		expect({ fds: openFds(), mappings: bpfMappings() }).toEqual(before);
	});

	it('gives back 60 objects with maps, programs, readers and failed attachments', async () => {
		await useObject();
		const before = openFds();
		for (let i = 0; i < 60; i++) await useObject();
		expect(openFds()).toBe(before);
	});

	it('is not needed for calls that fail', async () => {
		const map = BpfMap.create({ ...arraySpec, type: 1, flags: 0, maxEntries: 1 });
		map.set(u32(0), u64(0n));
		const before = openFds();
		for (let i = 0; i < 1000; i++) {
			expect(() => BpfMap.openPinned('/sys/fs/bpf/none')).toThrow('ENOENT');
			expect(() => BpfMap.openById(4_000_000_000)).toThrow('ENOENT');
			expect(() => BpfObject.open('/etc/hostname')).toThrow();
			expect(() => map.mmap()).toThrow('EPERM');
			await expect(map.updateBatch(new Uint8Array([...u32(1)]), u64(1n))).rejects.toThrow('E2BIG');
			await expect(openSocketInNetns('/etc/hostname', 2, 1, 0)).rejects.toThrow('EINVAL');
		}
		expect(openFds()).toBe(before);
		map.close();
	});

	async function useObject(): Promise<void> {
		const object = BpfObject.open(path);
		await object.load();
		const ring = new RingBuffer(object.map('events'), () => undefined);
		object.program('first').testRun({ data: frame() });
		expect(() => BpfLink.attachTcx(object.program('first'), 2_000_000, 'ingress')).toThrow('ENODEV');
		await object.map('counts').dumpAsync();
		ring.close();
		object.close();
	}
});

describe('the collector', () => {
	it('gives back what was forgotten open', async () => {
		const before = { fds: openBpfFds(), mappings: bpfMappings() };
		const forget = (): void => {
			for (let i = 0; i < 300; i++) new DataView(BpfMap.create(arraySpec).mmap()).setUint8(0, 1);
		};
		forget();
		expect(openBpfFds()).toBeGreaterThan(before.fds);
		await until('all forgotten maps are closed', () => {
			collect();
			return openBpfFds() <= before.fds && bpfMappings() <= before.mappings;
		});
	});

	it('does not take memory that a buffer still shows', async () => {
		const open = (): ArrayBuffer => BpfMap.create(arraySpec).mmap();
		const view = new DataView(open());
		for (let i = 0; i < 5; i++) {
			collect();
			await new Promise((resolve) => setImmediate(resolve));
		}
		view.setUint32(0, 77, true);
		expect(view.getUint32(0, true)).toBe(77);
	});
});

describe('worker threads', () => {
	const start = (mode: 'work' | 'busy'): Worker =>
		new Worker(join(import.meta.dirname, 'testdata', 'worker.ts'), {
			workerData: { path, mode },
			execArgv: ['--experimental-strip-types', '--no-warnings'],
		});
	const exited = (worker: Worker) =>
		new Promise<number>((resolve, reject) => {
			worker.once('exit', resolve);
			worker.once('error', reject);
		});

	it('end with everything open and leave nothing behind', async () => {
		const before = { fds: openBpfFds(), mappings: bpfMappings() };
		for (let round = 0; round < 3; round++) {
			expect(await Promise.all([exited(start('work')), exited(start('work'))])).toEqual([0, 0]);
		}
		await until('all is closed', () => openBpfFds() === before.fds && bpfMappings() === before.mappings);
	});

	it('can be terminated in the middle of loads, dumps and records', async () => {
		const before = openBpfFds();
		for (let round = 0; round < 4; round++) {
			const worker = start('busy');
			const exit = exited(worker);
			await new Promise((resolve) => worker.once('message', resolve));
			await new Promise((resolve) => setTimeout(resolve, 40 * round));
			await worker.terminate();
			await exit;
		}
		await until('all is closed', () => openBpfFds() === before);
	});
});

describe('the end of the process', () => {
	it('is clean with work still under way', () => {
		const run = runChild(
			async (n, { path }: { path: string }) => {
				const object = n.BpfObject.open(path);
				await object.load();
				new n.RingBuffer(object.map('events'), () => undefined);
				for (let i = 0; i < 8; i++) void n.BpfObject.open(path).load();
				void n.netlinkRequest({ netns: '/proc/self/ns/net', protocol: 0, messages: [] });
				process.exit(0);
			},
			{ path },
		);
		expect(run).toEqual({ status: 0, signal: null, stdout: '', stderr: '' });
	});
});

describe('this file', () => {
	it('attached nothing to the machine', async () => {
		expect(ifindexOf('lo')).toBe(1);
		await expect(netlinkRequest({ protocol: 0, messages: [] })).resolves.toEqual([]);
	});
});
