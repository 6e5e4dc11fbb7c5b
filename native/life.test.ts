/** Who owns what, and that everything comes back: by close, by the collector, at the end of a worker and of the process. */
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
	BpfLink,
	BpfMap,
	BpfObject,
	ifindexOf,
	NetlinkListener,
	netlinkRequest,
	openSocketInNetns,
	RingBuffer,
} from './index.ts';
import {
	bpfMappings,
	compileFixture,
	frame,
	inNetns,
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
			expect(() => new NetlinkListener({ protocol: 0, groups: [1_000_000] }, () => undefined)).toThrow('EINVAL');
		}
		expect(openFds()).toBe(before);
		map.close();
	});

	async function useObject(): Promise<void> {
		const object = BpfObject.open(path);
		await object.load();
		const ring = new RingBuffer(object.map('events'), () => undefined);
		const listener = new NetlinkListener({ protocol: 0, groups: [1] }, () => undefined);
		object.program('first').testRun({ data: frame() });
		expect(() => BpfLink.attachTcx(object.program('first'), 2_000_000, 'ingress')).toThrow('ENODEV');
		const hook = { program: object.program('first'), ifindex: 2_000_000, where: 'egress' } as const;
		await expect(BpfLink.attachTcxAsync([hook])).rejects.toThrow('ENODEV');
		await object.map('counts').dumpAsync();
		ring.close();
		listener.close();
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
	/** Starts workers one after the other in a process of their own; counts BPF descriptors and mappings around them. */
	const run = (mode: 'work' | 'busy', rounds: number) =>
		inNetns(
			undefined,
			async (_, a) => {
				const { readdirSync, readFileSync, readlinkSync } = process.getBuiltinModule('node:fs');
				const { Worker } = process.getBuiltinModule('node:worker_threads');
				const link = (fd: string): string => {
					try {
						return readlinkSync(`/proc/self/fd/${fd}`);
					} catch {
						return '';
					}
				};
				const open = (): number =>
					readdirSync('/proc/self/fd').filter((fd) => link(fd).includes('bpf')).length +
					readFileSync('/proc/self/maps', 'utf8').split('bpf-map').length;
				const before = open();
				const codes: number[] = [];
				for (let round = 0; round < a.rounds; round++) {
					const worker = new Worker(a.file, { workerData: { path: a.path, mode: a.mode }, execArgv: [] });
					const exit = new Promise<number>((resolve) => worker.once('exit', resolve));
					await new Promise((resolve, reject) => {
						worker.once('message', resolve);
						worker.once('error', reject);
					});
					if (a.mode === 'busy') {
						await new Promise((resolve) => setTimeout(resolve, 25 * round));
						await worker.terminate();
					}
					codes.push(await exit);
				}
				for (let i = 0; i < 200 && open() !== before; i++) await new Promise((resolve) => setTimeout(resolve, 10));
				return { codes, left: open() - before };
			},
			{ file: join(import.meta.dirname, 'testdata', 'worker.ts'), path, mode, rounds },
		);

	it('end with everything open and leave nothing behind', () => {
		expect(run('work', 4)).toEqual({ codes: [0, 0, 0, 0], left: 0 });
	});

	it('can be terminated in the middle of loads, dumps and records', () => {
		expect(run('busy', 6)).toEqual({ codes: [1, 1, 1, 1, 1, 1], left: 0 });
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
