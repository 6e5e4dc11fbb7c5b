import { describe, expect, it } from 'vitest';
import type { StructLayout, TypeLayout } from '../../native/abi/layout.ts';
import { placesBetween } from './look-back.ts';

const u16: TypeLayout = { kind: 'uint', size: 2, bigEndian: false };
const u32: TypeLayout = { kind: 'uint', size: 4, bigEndian: false };
const be32: TypeLayout = { kind: 'uint', size: 4, bigEndian: true };
const NONE = 255;
const MUST_BE_ZERO = 254;

/** A struct of these fields, one right after the other. */
function struct(name: string, fields: readonly (readonly [string, TypeLayout])[]): StructLayout {
	let size = 0;
	const placed = fields.map(([field, type]) => {
		const offset = size;
		size += type.kind === 'uint' ? type.size : 0;
		return { name: field, offset, type, pad: false };
	});
	return { kind: 'struct', name, size, fields: placed };
}

const key = struct('key', [['id', u32]]);
const entry = (...fields: (readonly [string, TypeLayout])[]) => ({ key, value: struct('entry', fields) });

describe('places of bytes in two layouts', () => {
	it('follow fields to another place, width and byte order, there and back', () => {
		const places = placesBetween(
			entry(['flags', u32], ['gone', u16], ['addr', u32]),
			entry(['addr', be32], ['flags', u16], ['fresh', u16]),
		);
		expect([...places!.in.subarray(0, 9)]).toEqual([9, 8, 7, 6, 0, 1, NONE, NONE, NONE]);
		expect([...places!.out.subarray(0, 11)]).toEqual([4, 5, MUST_BE_ZERO, MUST_BE_ZERO, NONE, NONE, 3, 2, 1, 0, NONE]);
	});

	it('are not known when the key changes, a field becomes another kind or a value is too long', () => {
		const plain = entry(['a', u32]);
		const bytes = (length: number): TypeLayout => ({
			kind: 'array',
			element: { kind: 'uint', size: 1, bigEndian: false },
			length,
		});
		const long = { key, value: { ...struct('entry', [['a', bytes(136)]]), size: 136 } };
		expect(placesBetween(plain, { ...plain, key: struct('key', [['id', u16]]) })).toBeUndefined();
		expect(placesBetween(plain, entry(['a', bytes(4)]))).toBeUndefined();
		expect(placesBetween(long, long)).toBeUndefined();
		expect(placesBetween(undefined, plain)).toBeUndefined();
		expect(placesBetween(plain, plain)).toBeDefined();
	});
});
