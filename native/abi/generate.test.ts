import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compileBpf } from '../../scripts/build-bpf.ts';
import { GENERATED, regenerate } from '../../scripts/gen.ts';
import { BtfError, parseBtf, parseElfBtf } from './btf.ts';
import { generate } from './generate.ts';
import * as abi from './generated.ts';
import { describeLayout, exportedStructs, type LayoutError, layoutHash } from './layout.ts';

let directory: string;
beforeAll(async () => {
	directory = await mkdtemp(join(tmpdir(), 'fairlead-abi-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

let counter = 0;
async function compile(code: string): Promise<Uint8Array> {
	const source = join(directory, `case-${counter++}.bpf.c`);
	const output = source.replace(/\.c$/, '.o');
	await writeFile(source, `#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n${code}\n`);
	await compileBpf({ source, output });
	return readFileSync(output);
}

async function structOf(declaration: string) {
	const btf = parseElfBtf(await compile(`${declaration}\nstruct shared abi_shared;`));
	return exportedStructs(btf);
}

describe('generated.ts', () => {
	it('is what the headers of bpf/ generate', async () => {
		expect(readFileSync(GENERATED, 'utf8')).toBe(await regenerate());
	}, 60_000);

	it('generates a codec that nests structs and arrays, and zeroes padding in a dirty buffer', () => {
		const bytes = new Uint8Array(abi.CtEntry.size + 3).fill(0xee);
		const view = new DataView(bytes.buffer, 3);
		const entry = abi.CtEntry.decode(new Uint8Array(abi.CtEntry.size));
		abi.CtEntry.encodeInto(
			{ ...entry, xlatePort: 0x1234, peer: [{ index: 1, gen: 2, kind: 3 }, entry.peer[1]!] },
			view,
			0,
		);
		expect([...bytes.subarray(0, 3)]).toEqual([0xee, 0xee, 0xee]);
		expect(view.getUint16(0)).toBe(0x1234);
		expect([...bytes.subarray(3 + 8, 3 + 12)]).toEqual([1, 0, 2, 3]);
		const rest = bytes.slice(3);
		rest.fill(0, 0, 2);
		rest.fill(0, 8, 12);
		expect(rest.every((byte) => byte === 0)).toBe(true);
	});

	it('refuses numbers that do not fit and bytes of the wrong length', () => {
		const key = { addr: new Uint8Array(16), port: 80, proto: 6, scope: 0 };
		expect(() => abi.SvcKey.encode({ ...key, port: 70_000 })).toThrow(/svc_key.port: 70000/);
		expect(() => abi.SvcKey.encode({ ...key, proto: -1 })).toThrow(RangeError);
		expect(() => abi.SvcKey.encode({ ...key, scope: Number.NaN })).toThrow(RangeError);
		expect(() => abi.SvcKey.encode({ ...key, addr: new Uint8Array(4) })).toThrow(/expected 16 bytes, got 4/);
		expect(() => abi.SvcKey.decode(new Uint8Array(19))).toThrow(/expected 20 bytes at 0, got 19/);
		expect(() => abi.SvcKey.decode(new Uint8Array(40), 21)).toThrow(RangeError);
	});

	it('formats addresses, MACs and nested structs for people', () => {
		const addr = Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 96, 0, 10]);
		expect(abi.SvcKey.format({ addr, port: 443, proto: 6, scope: 0 })).toBe('addr=10.96.0.10 port=443 proto=6 scope=0');
		const v6 = Uint8Array.from([0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
		expect(abi.IpcacheKey.format({ addr: v6 })).toBe('addr=fd00:1::7');
		expect(abi.IpcacheKey.format({ addr: new Uint8Array(16) })).toBe('addr=::');
	});

	it('names enum values and flags', () => {
		expect(abi.DropReasonName(abi.DropReason.NO_BACKEND)).toBe('NO_BACKEND');
		expect(abi.DropReasonName(999)).toBe('unknown(999)');
		expect(abi.CtFlagsName(abi.CtFlags.ESTABLISHED | abi.CtFlags.CLOSING)).toBe('ESTABLISHED|CLOSING');
		expect(abi.CtFlagsName(0x80000001)).toBe('INITIATOR_IS_HI|0x80000000');
	});

	it('encodes many service rows into one buffer', () => {
		const bytes = new Uint8Array(100_000 * (abi.SvcKey.size + abi.SvcEntry.size));
		const view = new DataView(bytes.buffer);
		const key = { addr: new Uint8Array(16).fill(1), port: 80, proto: 6, scope: 0 };
		const entry = abi.SvcEntry.decode(new Uint8Array(abi.SvcEntry.size));
		for (let row = 0; row < 100_000; row++) {
			abi.SvcKey.encodeInto(key, view, row * abi.SvcKey.size);
			abi.SvcEntry.encodeInto({ ...entry, id: row }, view, 100_000 * abi.SvcKey.size + row * abi.SvcEntry.size);
		}
		expect(abi.SvcEntry.decode(bytes, bytes.length - abi.SvcEntry.size).id).toBe(99_999);
	});
});

describe('layout', () => {
	it.each([
		['implicit padding', 'struct shared { __u8 a; __u32 b; };', /shared: 3 bytes of implicit padding before b/],
		['padding at the end', 'struct shared { __u32 a; __u8 b; };', /shared: 3 bytes of implicit padding at its end/],
		['bitfields', 'struct shared { __u32 a : 3; __u32 b : 29; };', /bitfields/],
		['pointers', 'struct shared { void *p; };', /shared.p: pointers/],
		['long', 'struct shared { unsigned long a; };', /shared.a: the width of unsigned long/],
		['packed members', 'struct shared { __u8 a; __u32 b; __u8 c[3]; } __attribute__((packed));', /shared.b: packed/],
		['a packed size', 'struct shared { __u32 a; __u8 b; } __attribute__((packed));', /shared: packed, its size 5/],
		['unions', 'struct shared { union { __u32 a; __be32 b; } u; };', /shared.u: unions/],
		['anonymous members', 'struct shared { struct { __u32 a; }; };', /every member needs a name/],
		['signed numbers', 'struct shared { int a; };', /shared.a: int is not an unsigned integer/],
		['floating numbers', 'struct shared { double a; };', /kind float/],
		['enums as members', 'enum e { E_A }; struct shared { enum e a; };', /enum e/],
	])('refuses %s', async (_name, declaration, message) => {
		const failure = await structOf(declaration).catch((error: LayoutError) => error);
		expect(failure).toMatchObject({ name: 'LayoutError', message: expect.stringMatching(message) });
	});

	it('accepts what is written out, and hashes names, offsets, widths and byte order', async () => {
		const texts = [
			'struct shared { __be16 port; __u16 pad; };',
			'struct shared { __u16 port; __u16 pad; };',
			'struct shared { __be16 other; __u16 pad; };',
			'struct shared { __u16 pad; __be16 port; };',
			'struct shared { __be32 port; };',
		];
		const layouts = await Promise.all(texts.map(async (text) => (await structOf(text))[0]!));
		expect(describeLayout(layouts[0]!)).toBe('shared/4{port@0:be16,pad@2:u16}');
		expect(new Set(layouts.map((layout) => layoutHash(layout))).size).toBe(texts.length);
		const [again] = await structOf('struct shared { const volatile __be16 port; __u16 pad; };');
		expect(layoutHash(again!)).toBe(layoutHash(layouts[0]!));
	}, 60_000);

	it('refuses a map whose struct is not exported, and a name that does not fit the kernel', async () => {
		const map = (name: string) => `struct loner { __u32 a; };
			struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1); __type(key, __u32); __type(value, struct loner); }
			${name} SEC(".maps");`;
		const empty = await compile('int unused SEC(".data");');
		const stray = await compile(map('fl_stray_1'));
		expect(() => generate({ abi: empty, maps: stray })).toThrow(/struct loner is not exported/);
		const long = await compile(map('fl_far_too_long_1'));
		expect(() => generate({ abi: empty, maps: long })).toThrow(/at most 15 characters/);
	}, 60_000);
});

describe('BTF reader', () => {
	it('refuses every truncation and never reads past the end', async () => {
		const blob = readFileSync('/sys/kernel/btf/vmlinux').subarray(0, 65_536);
		expect(() => parseBtf(blob)).toThrow(BtfError);
		const elf = await compile('struct shared { __u32 a; };\nstruct shared abi_shared;');
		for (let length = 0; length < elf.length; length += 7) {
			expect(() => parseElfBtf(elf.subarray(0, length))).toThrow(BtfError);
		}
	});

	it('ends in an error or a result for arbitrary damage', async () => {
		const elf = await compile(
			'enum e { E_A = -1, E_B };\nstruct shared { __u32 a[3]; };\nstruct shared abi_shared; enum e abi_e;',
		);
		let seed = 1;
		for (let round = 0; round < 3000; round++) {
			const damaged = Uint8Array.from(elf);
			for (let change = 0; change < 4; change++) {
				seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
				damaged[(seed >>> 3) % damaged.length] = seed >>> 24;
			}
			try {
				exportedStructs(parseElfBtf(damaged));
			} catch (error) {
				expect(['BtfError', 'LayoutError']).toContain((error as Error).name);
			}
		}
	});

	it('reads the whole kernel', () => {
		const types = parseBtf(readFileSync('/sys/kernel/btf/vmlinux')).types;
		expect(types.some((type) => type.kind === 'struct' && type.name === 'sk_buff')).toBe(true);
	});
});
