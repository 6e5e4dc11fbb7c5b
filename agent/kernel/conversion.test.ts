import { describe, expect, it } from 'vitest';
import type { TypeLayout, UintLayout } from '../../native/abi/layout.ts';
import { ConversionError, conversionOf } from './conversion.ts';

const uint = (size: UintLayout['size'], bigEndian = false): UintLayout => ({ kind: 'uint', size, bigEndian });
const bytes = (length: number): TypeLayout => ({ kind: 'array', element: uint(1), length });
function struct(size: number, ...fields: [name: string, offset: number, type: TypeLayout][]): TypeLayout {
	return {
		kind: 'struct',
		name: 's',
		size,
		fields: fields.map(([name, offset, type]) => ({ name, offset, type, pad: name.startsWith('pad') })),
	};
}
function convert(from: TypeLayout, to: TypeLayout, input: number[], size: number): number[] | 'does not fit' {
	const out = new Uint8Array(size);
	const view = new DataView(Uint8Array.from(input).buffer);
	return conversionOf(from, to, 's').copy(view, 0, new DataView(out.buffer), 0) ? [...out] : 'does not fit';
}

describe('conversion of values between layouts', () => {
	it('finds fields by name, wherever they are', () => {
		const from = struct(4, ['a', 0, uint(2)], ['b', 2, uint(1)], ['c', 3, uint(1)]);
		const to = struct(4, ['c', 0, uint(1)], ['b', 1, uint(1)], ['a', 2, uint(2)]);
		expect(convert(from, to, [1, 2, 3, 4], 4)).toEqual([4, 3, 1, 2]);
	});

	it('reports what is dropped and what is new, and never copies padding', () => {
		const from = struct(4, ['a', 0, uint(1)], ['old', 1, uint(1)], ['pad', 2, uint(2)]);
		const to = struct(4, ['a', 0, uint(1)], ['fresh', 1, uint(1)], ['pad', 2, uint(2)]);
		const conversion = conversionOf(from, to, 's');
		expect(conversion).toMatchObject({ dropped: ['s.old'], added: ['s.fresh'] });
		expect(convert(from, to, [9, 8, 7, 7], 4)).toEqual([9, 0, 0, 0]);
	});

	it('changes width and byte order', () => {
		expect(convert(uint(2), uint(4, true), [0x34, 0x12], 4)).toEqual([0, 0, 0x12, 0x34]);
		expect(convert(uint(8), uint(4), [1, 2, 3, 4, 0, 0, 0, 0], 4)).toEqual([1, 2, 3, 4]);
	});

	it('refuses a value that the narrower field cannot hold, rather than cutting it', () => {
		expect(convert(uint(4), uint(2), [0xff, 0xff, 0, 0], 2)).toEqual([0xff, 0xff]);
		expect(convert(uint(4), uint(2), [0, 0, 1, 0], 2)).toBe('does not fit');
	});

	it('converts arrays of structs element by element', () => {
		const from: TypeLayout = { kind: 'array', length: 2, element: struct(2, ['x', 0, uint(1)], ['y', 1, uint(1)]) };
		const to: TypeLayout = { kind: 'array', length: 2, element: struct(2, ['y', 0, uint(1)], ['x', 1, uint(1)]) };
		expect(convert(from, to, [1, 2, 3, 4], 4)).toEqual([2, 1, 4, 3]);
	});

	it.each([
		['addresses of another length', struct(4, ['a', 0, bytes(4)]), struct(16, ['a', 0, bytes(16)]), /s\.a has 4 bytes/],
		[
			'a number that became an array',
			struct(4, ['a', 0, uint(4)]),
			struct(4, ['a', 0, bytes(4)]),
			/kind uint .* array/,
		],
	])('refuses %s', (_name, from, to, message) => {
		expect(() => conversionOf(from, to, 's')).toThrow(ConversionError);
		expect(() => conversionOf(from, to, 's')).toThrow(message);
	});
});
