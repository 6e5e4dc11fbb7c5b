import { describe, expect, it } from 'vitest';
import { Maps } from '../../native/abi/generated.ts';
import { mapBytes, planMemory } from './memory.ts';

describe('planMemory', () => {
	it('adds up all maps and follows the configured sizes', () => {
		const small = planMemory(Maps, { ct4: 1024 }, 4);
		const large = planMemory(Maps, { ct4: 1024 * 1024 }, 4);
		expect(small.maps.map(({ map }) => map).sort()).toEqual(Object.keys(Maps).sort());
		expect(small.totalBytes).toBe(small.maps.reduce((sum, { bytes }) => sum + bytes, 0));
		expect(large.totalBytes).toBeGreaterThan(small.totalBytes + 1_000_000 * 150);
	});

	it('counts elements, buckets and spare ones of a hash map', () => {
		const spec = { ...Maps.services, flags: 0 };
		// 1,024 buckets of 16 bytes in 4 pages; 1,004 elements of 48 + 24 + 40 bytes in 28 pages.
		expect(mapBytes(spec, 1000, 4)).toBe(4 * 4096 + 28 * 4096);
	});

	it('multiplies per-CPU maps by the possible CPUs', () => {
		const one = mapBytes(Maps.drops, 29, 1);
		const many = mapBytes(Maps.drops, 29, 64);
		expect(many - one).toBe(63 * 29 * 16);
	});

	it('knows a formula for every map there is', () => {
		for (const [name, spec] of Object.entries(Maps)) {
			expect(mapBytes(spec, spec.maxEntries, 8), name).toBeGreaterThan(0);
		}
	});
});
