import { describe, expect, it } from 'vitest';
import { filterBit as writtenForTheBpfTests } from '../../test/lib/dataplane/rows.ts';
import { FilterBits, filterBit } from './vip-filter.ts';

describe('FilterBits', () => {
	it('sets a bit with the first address and clears it after the last that shares it', () => {
		const bits = new FilterBits();
		const bit = filterBit('10.96.0.1');
		expect(bits.acquire('10.96.0.1')).toBe(bit);
		expect(bits.acquire('10.96.0.1')).toBeUndefined();
		bits.release('10.96.0.1');
		expect(bits.clearIfIdle(bit)).toBe(false);
		bits.release('10.96.0.1');
		expect(bits.clearIfIdle(bit)).toBe(true);
		expect(bits.clearIfIdle(bit)).toBe(false);
	});

	it('agrees with the bit that the packet tests compute by themselves', () => {
		for (const address of ['10.96.0.1', '255.255.255.255', 'fd00:96::a', '2001:db8:1:2:3:4:5:6']) {
			expect(filterBit(address)).toBe(writtenForTheBpfTests(address));
		}
	});

	it('spreads the addresses of a service CIDR over the bits', () => {
		const seen = new Set<number>();
		for (let i = 0; i < 4096; i++) seen.add(filterBit(`10.96.${i >> 8}.${i & 255}`));
		expect(seen.size).toBeGreaterThan(3800);
	});
});
