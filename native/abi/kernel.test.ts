/** Both ways through the kernel: what BPF wrote, TypeScript reads, and what TypeScript wrote, BPF checks. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compileBpf } from '../../scripts/build-bpf.ts';
import { type BpfMap, BpfObject } from '../index.ts';
import type { Codec } from './codec.ts';
import * as abi from './generated.ts';

type Value = number | bigint | Uint8Array | Value[] | { [field: string]: Value };

const FIRST_FILL = 1;
const FIRST_CHECK = 51;
/** Bases of native/testdata/abi.bpf.c: they tell width and byte order apart. */
const BASES = [0x40, 0xa000, 0xb0c0d000];
const BASE64 = 0x1122334455660000n;

const codecs = Object.values(abi).filter(
	(each): each is typeof each & Codec<unknown> => typeof each === 'object' && 'encodeInto' in each,
) as unknown as Codec<Value>[];
const EMPTY = new Uint8Array(64);

let directory: string;
let object: BpfObject;
beforeAll(async () => {
	directory = await mkdtemp(join(tmpdir(), 'fairlead-abi-'));
	const output = join(directory, 'abi.bpf.o');
	await compileBpf({ source: join(import.meta.dirname, '../testdata/abi.bpf.c'), output });
	object = BpfObject.open(output);
	await object.load();
});
afterAll(async () => {
	object?.close();
	await rm(directory, { recursive: true, force: true });
});

const row = (index: number): Uint8Array => Uint8Array.of(index, 0, 0, 0);
const mapOf = (codec: Codec<Value>): BpfMap => object.map(`m_${codec.name}`);

/** Replaces every number by `next(number)`, in the order of declaration. */
function walk(value: Value, next: (leaf: number | bigint) => number | bigint): Value {
	if (typeof value === 'number' || typeof value === 'bigint') return next(value);
	if (value instanceof Uint8Array) return value.map((byte) => Number(next(byte)));
	if (Array.isArray(value)) return value.map((each) => walk(each, next));
	return Object.fromEntries(Object.entries(value).map(([field, each]) => [field, walk(each, next)]));
}

describe('codecs and the kernel', () => {
	it('covers every struct that is shared', () => {
		const maps = object.mapNames.filter((name) => name.startsWith('m_')).map((name) => name.slice(2));
		expect(codecs.map((codec) => codec.name).sort()).toEqual(maps.sort());
		expect(codecs.length).toBeGreaterThan(20);
	});

	it.each(codecs.map((codec) => [codec.name, codec] as const))('decodes %s as BPF filled it', (_name, codec) => {
		object.program('fill').testRun({ data: EMPTY });
		const bytes = mapOf(codec).get(row(0))!;
		expect(bytes.length).toBe(codec.size);
		let number = FIRST_FILL;
		const wrong: string[] = [];
		walk(codec.decode(bytes), (leaf) => {
			const offset = typeof leaf === 'bigint' ? leaf - BASE64 : leaf - number;
			const right = typeof offset === 'bigint' ? offset === BigInt(number) : BASES.includes(offset);
			if (!right) wrong.push(`field ${number} is 0x${leaf.toString(16)}`);
			number++;
			return leaf;
		});
		expect(wrong).toEqual([]);
		expect(codec.encode(codec.decode(bytes))).toEqual(bytes);
	});

	it('encodes every struct as BPF expects it', () => {
		object.program('fill').testRun({ data: EMPTY });
		for (const codec of codecs) {
			const shift = FIRST_CHECK - FIRST_FILL;
			const value = walk(codec.decode(mapOf(codec).get(row(0))!), (leaf) =>
				typeof leaf === 'bigint' ? leaf + BigInt(shift) : leaf < 0x100 ? (leaf + shift) & 0xff : leaf + shift,
			);
			mapOf(codec).set(row(1), codec.encode(value));
		}
		expect(checkAll()).toEqual(new Array(codecs.length).fill(0));
	});

	it('notices a field that was encoded wrong', () => {
		const map = mapOf(codecs.find((codec) => codec.name === 'svc_key')!);
		const bytes = map.get(row(1))!;
		bytes.subarray(16, 18).reverse();
		map.set(row(1), bytes);
		const port = FIRST_CHECK + 16;
		expect(checkAll().filter((result) => result !== 0)).toEqual([port]);
	});
});

function checkAll(): number[] {
	const { retval } = object.program('check').testRun({ data: EMPTY });
	expect(retval).toBe(codecs.length);
	return object
		.map('results')
		.entries()
		.map(([, value]) => new DataView(value.buffer, value.byteOffset, 4).getUint32(0, true));
}
