import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BPF_EXIST, BPF_NOEXIST, BpfMap, type MapSpec, NativeError, possibleCpus } from './index.ts';
import { bpfMappings, readU32, readU64, u32, u64, uniqueName, until } from './testdata/harness.ts';

const HASH = 1;
const ARRAY = 2;
const PERCPU_HASH = 5;
const LRU_HASH = 9;
const LPM_TRIE = 11;
const QUEUE = 22;
const BPF_F_NO_PREALLOC = 1;
const BPF_F_MMAPABLE = 1024;

const opened: BpfMap[] = [];
function create(spec: Partial<MapSpec>): BpfMap {
	const map = BpfMap.create({ type: HASH, name: 't', keySize: 4, valueSize: 8, maxEntries: 16, ...spec });
	opened.push(map);
	return map;
}
afterEach(() => {
	for (const map of opened.splice(0)) map.close();
});

/** Keys 0 … n-1 with values key * 3, flat. */
function flat(n: number): { keys: Uint8Array; values: Uint8Array } {
	const keys = Uint32Array.from({ length: n }, (_, i) => i);
	const values = BigUint64Array.from({ length: n }, (_, i) => BigInt(i) * 3n);
	return { keys: new Uint8Array(keys.buffer), values: new Uint8Array(values.buffer) };
}

function failure(run: () => unknown): NativeError {
	try {
		run();
	} catch (error) {
		if (error instanceof NativeError) return error;
		throw error;
	}
	throw new Error('did not throw');
}

describe('one entry', () => {
	it('says what the map is', () => {
		const map = create({ name: 'shape', keySize: 12, valueSize: 20, maxEntries: 7, flags: BPF_F_NO_PREALLOC });
		expect(map.info).toMatchObject({ name: 'shape', type: HASH, keySize: 12, valueSize: 20, maxEntries: 7 });
		expect(map.info.flags).toBe(BPF_F_NO_PREALLOC);
		expect(map.info.id).toBeGreaterThan(0);
	});

	it('reads back what was set and undefined after it was deleted', () => {
		const map = create({});
		expect(map.get(u32(1))).toBeUndefined();
		map.set(u32(1), u64(77n));
		expect(map.get(u32(1))).toEqual(u64(77n));
		expect(map.delete(u32(1))).toBe(true);
		expect(map.delete(u32(1))).toBe(false);
		expect(map.get(u32(1))).toBeUndefined();
	});

	it('accepts views into larger buffers', () => {
		const map = create({});
		const buffer = Uint8Array.of(9, 9, 9, 5, 0, 0, 0, 9);
		map.set(buffer.subarray(3, 7), u64(1n));
		expect(map.get(u32(5))).toEqual(u64(1n));
	});

	it('honours NOEXIST and EXIST and names the errno', () => {
		const map = create({ name: 'flagged' });
		expect(failure(() => map.set(u32(1), u64(1n), BPF_EXIST))).toMatchObject({
			code: 'ENOENT',
			errno: 2,
			syscall: 'BPF_MAP_UPDATE_ELEM',
		});
		map.set(u32(1), u64(1n), BPF_NOEXIST);
		const error = failure(() => map.set(u32(1), u64(1n), BPF_NOEXIST));
		expect(error.code).toBe('EEXIST');
		expect(error.message).toBe('map flagged: cannot set an entry (max_entries 16): File exists (EEXIST)');
	});

	it('says E2BIG when the map is full', () => {
		const map = create({ maxEntries: 1 });
		map.set(u32(1), u64(1n));
		expect(failure(() => map.set(u32(2), u64(1n))).code).toBe('E2BIG');
	});

	it('holds one value per possible CPU in a per-CPU map, each rounded up to 8 bytes', () => {
		const map = create({ type: PERCPU_HASH, valueSize: 4 });
		const value = new Uint8Array(8 * possibleCpus()).fill(1);
		for (let cpu = 0; cpu < possibleCpus(); cpu++) value.set(u64(BigInt(cpu + 1)), cpu * 8);
		map.set(u32(3), value);
		expect(map.get(u32(3))).toEqual(value);
		expect(map.entries()).toEqual([[u32(3), value]]);
		expect(() => map.set(u32(3), new Uint8Array(4))).toThrow(`value: expected ${value.length} bytes, got 4`);
	});
});

describe('arguments', () => {
	it.each([
		['a short key', (m: BpfMap) => m.get(new Uint8Array(3)), 'key: expected 4 bytes, got 3'],
		['a long key', (m: BpfMap) => m.delete(new Uint8Array(5)), 'key: expected 4 bytes, got 5'],
		['a short value', (m: BpfMap) => m.set(u32(1), new Uint8Array(7)), 'value: expected 8 bytes, got 7'],
		['a number array', (m: BpfMap) => m.get([1, 2, 3, 4] as unknown as Uint8Array), 'key: expected a Uint8Array'],
		['a wider array', (m: BpfMap) => m.get(Uint32Array.of(1) as unknown as Uint8Array), 'key: expected a Uint8Array'],
		['negative flags', (m: BpfMap) => m.set(u32(1), u64(1n), -1), 'flags: expected an integer'],
		['a fraction', (m: BpfMap) => m.set(u32(1), u64(1n), 0.5), 'flags: expected an integer'],
		['an empty path', (m: BpfMap) => m.pin(''), 'path: expected a string that is not empty'],
		['a path with NUL', (m: BpfMap) => m.pin('/sys/fs/bpf/a\0b'), 'path: contains a NUL character'],
	])('refuses %s before the kernel sees it', (_, act, message) => {
		const map = create({});
		expect(() => act(map)).toThrow(message);
		expect(() => act(map)).toThrow(TypeError);
	});

	it.each([
		[{ name: 'sixteen_bytes_xx' }, 'name: expected at most 15 bytes, got 16'],
		[{ keySize: -1 }, 'keySize: expected an integer from 0 to 4294967295, got -1'],
		[{ maxEntries: 2 ** 32 }, 'maxEntries: expected an integer'],
		[{ valueSize: Number.NaN }, 'valueSize: expected an integer'],
	])('refuses to create with %j', (spec, message) => {
		expect(() => create(spec)).toThrow(message);
	});

	it('passes on why the kernel refuses to create', () => {
		const error = failure(() => create({ name: 'odd', type: ARRAY, keySize: 8 }));
		expect(error).toMatchObject({ code: 'EINVAL', syscall: 'BPF_MAP_CREATE' });
		expect(error.message).toContain('map odd: cannot create');
	});

	it('refuses flat arrays that are no whole number of entries', () => {
		const map = create({});
		expect(() => map.updateBatch(new Uint8Array(6), new Uint8Array(8))).toThrow('keys: expected a multiple of 4');
		expect(() => map.updateBatch(new Uint8Array(8), new Uint8Array(8))).toThrow('values: expected 16 bytes for 2 keys');
		expect(() => map.deleteBatch(new Uint8Array(2))).toThrow('keys: expected a multiple of 4 bytes, got 2');
	});
});

describe('many entries', () => {
	it.each([
		['hash', HASH, 0],
		['hash without preallocation', HASH, BPF_F_NO_PREALLOC],
		['LRU hash', LRU_HASH, 0],
	])('writes, reads and deletes 20,000 entries of a %s', async (_, type, flags) => {
		const map = create({ type, flags, maxEntries: 100_000 });
		const { keys, values } = flat(20_000);
		expect(await map.updateBatch(keys, values)).toBe(20_000);
		const dump = await map.dumpAsync();
		expect(dump.count).toBe(20_000);
		const seen = new Set<number>();
		for (let i = 0; i < dump.count; i++) {
			const key = readU32(dump.keys, i * 4);
			seen.add(key);
			expect(readU64(dump.values, i * 8)).toBe(BigInt(key) * 3n);
		}
		expect(seen.size).toBe(20_000);
		expect(await map.deleteBatch(keys)).toBe(20_000);
		expect(map.entries()).toEqual([]);
	});

	it('reads the same through entries and entriesAsync', async () => {
		const map = create({});
		await map.updateBatch(flat(10).keys, flat(10).values);
		const byKey = (a: [Uint8Array, Uint8Array], b: [Uint8Array, Uint8Array]) => readU32(a[0]) - readU32(b[0]);
		const expected = Array.from({ length: 10 }, (_, i) => [u32(i), u64(BigInt(i) * 3n)]);
		expect(map.entries().sort(byKey)).toEqual(expected);
		expect((await map.entriesAsync()).sort(byKey)).toEqual(expected);
	});

	it('scans what was there when it was asked, as often as wanted', () => {
		const map = create({});
		map.set(u32(1), u64(3n));
		const scan = map.scan();
		map.set(u32(2), u64(6n));
		for (let round = 0; round < 2; round++) expect([...scan]).toEqual([[u32(1), u64(3n)]]);
	});

	it('reads an empty map as no entries', async () => {
		expect(create({}).entries()).toEqual([]);
		expect(await create({}).dumpAsync()).toEqual({ count: 0, keys: new Uint8Array(0), values: new Uint8Array(0) });
	});

	it('reads arrays of more than one batch with every index once', () => {
		const map = create({ type: ARRAY, maxEntries: 9000 });
		map.set(u32(8999), u64(5n));
		const entries = map.entries();
		expect(entries.map(([key]) => readU32(key))).toEqual(Array.from({ length: 9000 }, (_, i) => i));
		expect(entries.at(-1)?.[1]).toEqual(u64(5n));
	});

	it('reads and deletes entries of an LPM trie', async () => {
		const map = create({ type: LPM_TRIE, keySize: 8, flags: BPF_F_NO_PREALLOC });
		const prefix = (bits: number, first: number) => Uint8Array.of(bits, 0, 0, 0, first, 0, 0, 0);
		for (const first of [10, 11, 12]) map.set(prefix(8, first), u64(BigInt(first)));
		expect(map.get(Uint8Array.of(32, 0, 0, 0, 11, 1, 2, 3))).toEqual(u64(11n));
		expect(map.entries().length).toBe(3);
		expect(await map.deleteBatch(Uint8Array.of(...prefix(8, 10), ...prefix(8, 99), ...prefix(8, 12)))).toBe(2);
		expect(map.entries()).toEqual([[prefix(8, 11), u64(11n)]]);
	});

	it('passes over keys that are not there when it deletes', async () => {
		const map = create({});
		await map.updateBatch(flat(4).keys, flat(4).values);
		expect(await map.deleteBatch(Uint8Array.of(...u32(0), ...u32(50), ...u32(51), ...u32(3)))).toBe(2);
		expect(map.entries().length).toBe(2);
	});

	it('says how many were written when the map gets full', async () => {
		const map = create({ name: 'small', maxEntries: 8 });
		const { keys, values } = flat(20);
		await expect(map.updateBatch(keys, values)).rejects.toMatchObject({
			code: 'E2BIG',
			syscall: 'BPF_MAP_UPDATE_BATCH',
			done: 8,
			message: 'map small: set 8 of 20 entries (max_entries 8), then stopped: Argument list too long (E2BIG)',
		});
		expect(map.entries().length).toBe(8);
	});

	it('works on copies: later changes to the arrays and closing the map change nothing', async () => {
		const map = create({ maxEntries: 5000 });
		const { keys, values } = flat(5000);
		const reader = BpfMap.openById(map.info.id);
		opened.push(reader);
		const written = map.updateBatch(keys, values);
		keys.fill(255);
		map.close();
		expect(await written).toBe(5000);
		expect(reader.get(u32(4999))).toEqual(u64(4999n * 3n));
	});

	it('refuses to read maps that have no keys', () => {
		const queue = create({ type: QUEUE, keySize: 0 });
		expect(failure(() => queue.entries()).message).toContain('has no keys to read');
	});
});

describe('mmap', () => {
	it('shares memory with the kernel in both directions', () => {
		const map = create({ type: ARRAY, valueSize: 24, maxEntries: 100, flags: BPF_F_MMAPABLE });
		const view = new DataView(map.mmap());
		expect(view.byteLength).toBe(2400);
		view.setUint32(24 * 7, 0xfee1dead, true);
		expect(readU32(map.get(u32(7)) ?? new Uint8Array(4))).toBe(0xfee1dead);
		map.set(u32(99), new Uint8Array(24).fill(3));
		expect(view.getUint8(2399)).toBe(3);
	});

	it('rounds the stride of elements up to 8 bytes', () => {
		const map = create({ type: ARRAY, valueSize: 4, maxEntries: 3, flags: BPF_F_MMAPABLE });
		new DataView(map.mmap()).setUint32(8, 5, true);
		expect(map.get(u32(1))).toEqual(u32(5));
	});

	it('gives the same buffer each time and detaches it on close', async () => {
		const before = bpfMappings();
		const map = create({ type: ARRAY, flags: BPF_F_MMAPABLE });
		const buffer = map.mmap();
		const view = new DataView(buffer);
		expect(map.mmap()).toBe(buffer);
		expect(bpfMappings()).toBe(before + 1);
		map.close();
		map.close();
		expect(buffer.byteLength).toBe(0);
		expect(() => view.getUint8(0)).toThrow(TypeError);
		await until('the mapping goes', () => bpfMappings() === before);
	});

	it('says why a map without the flag cannot be mapped', () => {
		const map = create({ name: 'plain', type: ARRAY });
		expect(failure(() => map.mmap())).toMatchObject({ code: 'EPERM', syscall: 'mmap' });
		expect(failure(() => map.mmap()).message).toContain('created without BPF_F_MMAPABLE');
	});
});

describe('pins and ids', () => {
	const dir = join('/sys/fs/bpf', uniqueName('flnt'));
	const path = join(dir, 'map');
	beforeEach(() => mkdirSync(dir));
	afterEach(() => {
		if (existsSync(path)) create({}).unpin(path);
		rmdirSync(dir);
	});

	it('finds the same map through its pin after the first owner has gone', () => {
		const first = create({});
		first.set(u32(1), u64(11n));
		first.pin(path);
		first.close();
		const second = BpfMap.openPinned(path);
		opened.push(second);
		expect(second.info).toEqual(first.info);
		expect(second.get(u32(1))).toEqual(u64(11n));
		second.unpin(path);
		expect(existsSync(path)).toBe(false);
	});

	it('refuses to pin over something and to open nothing', () => {
		create({ name: 'a' }).pin(path);
		expect(failure(() => create({ name: 'b' }).pin(path)).message).toContain(
			`map b: cannot pin at ${path}: File exists`,
		);
		expect(failure(() => BpfMap.openPinned(join(dir, 'none'))).code).toBe('ENOENT');
		expect(failure(() => BpfMap.openById(4_000_000_000)).code).toBe('ENOENT');
	});

	it('throws EBADF after close, also when closed twice', () => {
		const map = create({ name: 'gone' });
		map.close();
		map.close();
		expect(failure(() => map.get(u32(1)))).toMatchObject({ code: 'EBADF' });
		expect(() => map.pin(path)).toThrow('map gone: is closed');
		expect(() => map.updateBatch(new Uint8Array(4), new Uint8Array(8))).toThrow('map gone: is closed');
	});
});
