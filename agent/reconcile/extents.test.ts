import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ExtentAllocator } from './extents.ts';

function allocator(capacity: number, first = 0): ExtentAllocator {
	return new ExtentAllocator({ name: 'slots', capacity, first });
}

describe('ExtentAllocator', () => {
	it('hands out elements in a row and never those below the first', () => {
		const extents = allocator(8, 1);
		expect(extents.allocate(3)).toBe(1);
		expect(extents.allocate(4)).toBe(4);
		expect(extents.allocate(1)).toBeUndefined();
	});

	it('does not hand out again what a program may still be reading', () => {
		const extents = allocator(2);
		expect(extents.allocate(2)).toBe(0);
		extents.quarantine(0, 1);
		expect(extents.allocate(1)).toBeUndefined();
		extents.release();
		expect(extents.allocate(1)).toBe(0);
	});

	it('finds no room in pieces that are not in a row', () => {
		const extents = allocator(4);
		for (let i = 0; i < 4; i++) extents.allocate(1);
		extents.quarantine(0, 1);
		extents.quarantine(2, 1);
		extents.release();
		expect(extents.free).toBe(2);
		expect(extents.allocate(2)).toBeUndefined();
	});

	it('refuses to free what is not in use: two owners of one list would follow', () => {
		const extents = allocator(4);
		extents.allocate(1);
		extents.quarantine(0, 1);
		expect(() => extents.quarantine(0, 1)).toThrow('cannot free element 0');
	});

	it('lets one owner adopt what was found, and sweeps what nobody adopted', () => {
		const extents = allocator(8);
		expect(extents.markFound(2, 3)).toBe(true);
		expect(extents.markFound(7, 5)).toBe(false);
		expect(extents.adopt(2, 2)).toBe(true);
		expect(extents.adopt(3, 2)).toBe(false);
		expect(extents.sweepFound()).toEqual([4]);
		expect(extents.used).toBe(2);
		extents.release();
		expect(extents.free).toBe(6);
	});

	it('never lets two extents overlap and counts every element once', () => {
		const steps = fc.array(fc.record({ take: fc.boolean(), size: fc.integer({ min: 1, max: 5 }) }), { maxLength: 60 });
		fc.assert(
			fc.property(steps, (list) => {
				const extents = allocator(32);
				const held: [number, number][] = [];
				for (const { take, size } of list) {
					const start = take ? extents.allocate(size) : undefined;
					if (start !== undefined) held.push([start, size]);
					else if (!take && held.length > 0) extents.quarantine(...held.splice(size % held.length, 1)[0]!);
					if (size === 5) extents.release();
					const elements = held.flatMap(([from, count]) => Array.from({ length: count }, (_, i) => from + i));
					expect(new Set(elements).size).toBe(elements.length);
					expect(extents.used).toBe(elements.length);
					expect(extents.free + extents.used + extents.quarantined).toBe(32);
				}
			}),
		);
	});
});
