import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { BpfMap, BpfObject, btfOfId, NativeError } from './index.ts';
import {
	compileFixture,
	frame,
	openBpfFds,
	readU64,
	removeScratch,
	scratch,
	skb,
	u32,
	u64,
} from './testdata/harness.ts';

let basic = '';
let rejected = '';
beforeAll(() => {
	basic = compileFixture('basic');
	rejected = compileFixture('rejected');
});
afterAll(removeScratch);

const opened: { close(): void }[] = [];
afterEach(() => {
	for (const one of opened.splice(0)) one.close();
});
function keep<T extends { close(): void }>(one: T): T {
	opened.push(one);
	return one;
}

async function rejection(promise: Promise<unknown>): Promise<NativeError> {
	const error = await promise.then(
		() => undefined,
		(e: unknown) => e,
	);
	if (!(error instanceof NativeError)) throw new Error(`expected a NativeError, got ${String(error)}`);
	return error;
}

function code(run: () => unknown): string {
	try {
		run();
	} catch (error) {
		if (error instanceof NativeError) return error.code;
		throw error;
	}
	return 'did not throw';
}

describe('before load', () => {
	it('lists maps, programs and constants of the file', () => {
		const object = keep(BpfObject.open(basic));
		expect([...object.mapNames].sort()).toEqual(['calls', 'counts', 'events']);
		expect(object.programNames).toContain('first');
		expect(object.rodata).toEqual({ verdict: 4, wide: 8, address: 16 });
	});

	it('says what is wrong with a file it cannot open', () => {
		const path = join(scratch(), 'none.o');
		expect(() => BpfObject.open(path)).toThrow(`cannot open BPF object ${path}: No such file or directory (ENOENT)`);
		expect(() => BpfObject.open(join(import.meta.dirname, 'index.ts'))).toThrow(NativeError);
	});

	it('refuses unknown constants, and values of another size', () => {
		const object = keep(BpfObject.open(basic));
		expect(() => object.setRodata('verdict', new Uint8Array(3))).toThrow('rodata verdict: expected 4 bytes, got 3');
		expect(() => object.setRodata('verdikt', new Uint8Array(4))).toThrow(/no such variable in \.rodata.*ENOENT/);
		expect(() => object.setRodata('runs', new Uint8Array(8))).toThrow(/no such variable in \.rodata/);
	});

	it('refuses to give maps and programs that do not exist yet', () => {
		const object = keep(BpfObject.open(basic));
		expect(code(() => object.map('counts'))).toBe('WRONG_STAGE');
		expect(code(() => object.program('first'))).toBe('WRONG_STAGE');
	});
});

describe('load', () => {
	it('gives programs the constants that were set, of any size and place', async () => {
		const object = keep(BpfObject.open(basic));
		object.setRodata('verdict', u32(42));
		object.setRodata('wide', u64(1000n));
		object.setRodata(
			'address',
			Uint8Array.from({ length: 16 }, (_, i) => i),
		);
		await object.load();
		expect(object.program('first').testRun({ data: frame() }).retval).toBe(42);
		expect(object.program('read_rodata').testRun({ data: frame() }).retval).toBe(1015);
	});

	it('keeps constants that were not set', async () => {
		const object = keep(BpfObject.open(basic));
		await object.load();
		expect(object.program('read_rodata').testRun({ data: frame() }).retval).toBe(1);
	});

	it('leaves out programs whose autoload is off', async () => {
		const object = keep(BpfObject.open(basic));
		object.setAutoload('second', false);
		await object.load();
		expect(() => object.program('second')).toThrow('program second was not loaded (autoload is off)');
		expect(object.program('first').testRun({ data: frame() }).retval).toBe(0);
		expect(code(() => object.program('third'))).toBe('ENOENT');
		expect(code(() => keep(BpfObject.open(basic)).setAutoload('third', false))).toBe('ENOENT');
	});

	it('creates maps with the sizes that were set', async () => {
		const object = keep(BpfObject.open(basic));
		object.setMaxEntries('counts', 1000);
		await object.load();
		expect(object.map('counts').info).toMatchObject({ name: 'counts', maxEntries: 1000, keySize: 4, valueSize: 8 });
		expect(code(() => keep(BpfObject.open(basic)).setMaxEntries('none', 1))).toBe('ENOENT');
	});

	it('happens once', async () => {
		const object = keep(BpfObject.open(basic));
		const first = object.load();
		expect(code(() => object.load())).toBe('EBUSY');
		expect(code(() => object.setRodata('verdict', u32(1)))).toBe('EBUSY');
		await first;
		expect(code(() => object.load())).toBe('WRONG_STAGE');
		expect(() => object.setRodata('verdict', u32(1))).toThrow('is loaded already');
	});

	it('runs several loads at the same time', async () => {
		const objects = Array.from({ length: 8 }, () => keep(BpfObject.open(basic)));
		objects.forEach((object, i) => {
			object.setRodata('verdict', u32(i));
		});
		await Promise.all(objects.map((object) => object.load()));
		expect(objects.map((object) => object.program('first').testRun({ data: frame() }).retval)).toEqual([
			0, 1, 2, 3, 4, 5, 6, 7,
		]);
	});

	it('reports the verifier: last lines in the message, everything in the log', async () => {
		const object = keep(BpfObject.open(rejected));
		const error = await rejection(object.load());
		expect(error).toMatchObject({ code: 'EACCES', errno: 13, syscall: 'BPF_PROG_LOAD' });
		expect(error.message).toContain(`cannot load BPF object ${rejected}: Permission denied (EACCES)\n`);
		expect(error.message).toMatch(/invalid access to packet, off=41 size=1/);
		expect(error.message).toContain("prog 'unchecked'");
		expect(error.message.split('\n').length).toBeLessThanOrEqual(9);
		expect(error.log).toContain('BEGIN PROG LOAD LOG');
		expect(error.log?.length).toBeGreaterThan(error.message.length);
		expect(code(() => object.map('.bss'))).toBe('WRONG_STAGE');
	});

	it('reports a map that the kernel refuses, by name', async () => {
		const object = keep(BpfObject.open(basic));
		object.setMaxEntries('counts', 0);
		const error = await rejection(object.load());
		expect(error.code).toBe('EINVAL');
		expect(error.message).toContain("map 'counts': failed to create");
	});

	it('finishes when the object is closed meanwhile, and leaves nothing open', async () => {
		const before = openBpfFds();
		const object = BpfObject.open(basic);
		const loading = object.load();
		object.close();
		await loading;
		expect(code(() => object.map('counts'))).toBe('EBADF');
		expect(openBpfFds()).toBe(before);
	});
});

describe('maps of an object', () => {
	it('are the kernel maps its programs use', async () => {
		const object = keep(BpfObject.open(basic));
		await object.load();
		object.program('first').testRun({ data: frame(), repeat: 5 });
		expect(readU64(object.map('.bss').get(u32(0)) ?? new Uint8Array(8))).toBe(5n);
		expect(object.map('counts')).toBe(object.map('counts'));
		expect(code(() => object.map('none'))).toBe('ENOENT');
	});

	it('carry BTF that can be read by id', async () => {
		const object = keep(BpfObject.open(basic));
		await object.load();
		const { btfId, btfKeyTypeId, btfValueTypeId } = object.map('counts').info;
		expect(btfKeyTypeId).toBeGreaterThan(0);
		expect(btfValueTypeId).toBeGreaterThan(0);
		const btf = btfOfId(btfId);
		expect([btf[0], btf[1], btf[2]]).toEqual([0x9f, 0xeb, 1]);
		expect(Buffer.from(btf).includes('counts')).toBe(true);
	});

	it('can be an existing map of the same layout', async () => {
		const shared = keep(BpfMap.create({ type: 1, name: 'shared', keySize: 4, valueSize: 8, maxEntries: 64 }));
		const object = keep(BpfObject.open(basic));
		object.reuseMap('counts', shared);
		await object.load();
		expect(object.map('counts').info.id).toBe(shared.info.id);
	});

	it.each([
		[{ keySize: 8 }, 'key size 8 instead of 4'],
		[{ valueSize: 4 }, 'value size 4 instead of 8'],
		[{ maxEntries: 65 }, 'max_entries 65 instead of 64'],
		[{ type: 9 }, 'type 9 instead of 1'],
		[{ flags: 1 }, 'flags 1 instead of 0'],
		[{ keySize: 8, valueSize: 4 }, 'it has key size 8 instead of 4, value size 4 instead of 8'],
	])('refuse an existing map with %j', (spec, message) => {
		const other = { type: 1, name: 'other', keySize: 4, valueSize: 8, maxEntries: 64, ...spec };
		const map = keep(BpfMap.create(other));
		const object = keep(BpfObject.open(basic));
		expect(() => object.reuseMap('counts', map)).toThrow(message);
		expect(code(() => object.reuseMap('counts', map))).toBe('MAP_LAYOUT');
	});

	it('can be replaced by a map of another shape', async () => {
		const map = keep(BpfMap.create({ type: 9, name: 'wide', keySize: 4, valueSize: 24, maxEntries: 5 }));
		const object = keep(BpfObject.open(basic));
		object.replaceMap('counts', map);
		await object.load();
		expect(object.map('counts').info).toMatchObject({ id: map.info.id, valueSize: 24 });
	});

	it('are compared with the size that was set', async () => {
		const map = keep(BpfMap.create({ type: 1, name: 'big', keySize: 4, valueSize: 8, maxEntries: 500 }));
		const object = keep(BpfObject.open(basic));
		object.setMaxEntries('counts', 500);
		object.reuseMap('counts', map);
		await object.load();
		expect(object.map('counts').info.id).toBe(map.info.id);
	});

	it('are closed with the object, as are its programs', async () => {
		const before = openBpfFds();
		const object = BpfObject.open(basic);
		await object.load();
		const map = object.map('counts');
		const program = object.program('first');
		object.close();
		object.close();
		expect(code(() => map.get(u32(0)))).toBe('EBADF');
		expect(code(() => program.testRun({ data: frame() }))).toBe('EBADF');
		expect(code(() => object.map('counts'))).toBe('EBADF');
		expect(openBpfFds()).toBe(before);
	});
});

describe('programs', () => {
	it('say what they are', async () => {
		const object = keep(BpfObject.open(basic));
		await object.load();
		const program = object.program('read_rodata');
		expect(program).toMatchObject({ name: 'read_rodata', type: 3 });
		expect(program.tag).toMatch(/^[0-9a-f]{16}$/);
		expect(program.tag).not.toBe(object.program('first').tag);
		expect(program.id).toBeGreaterThan(0);
	});

	it('return packet, context, verdict and time of a test run', async () => {
		const object = keep(BpfObject.open(basic));
		await object.load();
		const data = frame(100).fill(7);
		const result = object.program('first').testRun({ data, ctx: skb({ 2: 10 }), repeat: 3 });
		expect(result.retval).toBe(0);
		expect(result.data).toEqual(data);
		expect(new Uint32Array(result.ctx.buffer)[2]).toBe(13);
		expect(result.durationNs).toBeGreaterThanOrEqual(0);
	});

	it('return TCX_NEXT as -1', async () => {
		const object = keep(BpfObject.open(basic));
		await object.load();
		expect(object.program('second').testRun({ data: frame() }).retval).toBe(-1);
	});

	it('say ENOSPC when the result has no room', async () => {
		const object = keep(BpfObject.open(basic));
		await object.load();
		const program = object.program('first');
		expect(code(() => program.testRun({ data: frame(100), dataOutSize: 10 }))).toBe('ENOSPC');
		expect(() => program.testRun({ data: frame(4) })).toThrow('program first: cannot run: Invalid argument (EINVAL)');
		expect(() => program.testRun({ data: frame(), repeat: -1 })).toThrow('repeat: expected an integer');
	});

	it('call each other through a program array', async () => {
		const object = keep(BpfObject.open(basic));
		await object.load();
		expect(object.program('jump').testRun({ data: frame() }).retval).toBe(99);
		object.map('calls').setProgram(1, object.program('second'));
		expect(object.program('jump').testRun({ data: frame() }).retval).toBe(-1);
		expect(() => object.map('counts').setProgram(0, object.program('second'))).toThrow('is no program array');
	});
});
