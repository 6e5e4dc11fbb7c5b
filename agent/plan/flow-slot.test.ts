import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { flowSlot as slotOfOracle } from '../../test/lib/flow-hash.ts';
import { addressBytes } from '../model/address.ts';
import { flowSlot } from './flow-slot.ts';

describe('flowSlot', () => {
	it('is that of the oracle, which the programs agree with', () => {
		const port = fc.integer({ min: 0, max: 65535 });
		const pair = fc.oneof(fc.tuple(fc.ipV4(), fc.ipV4()), fc.tuple(fc.ipV6(), fc.ipV6()));
		const size = fc.constantFrom(251, 2039, 16381, 65521);
		fc.assert(
			fc.property(pair, port, port, fc.constantFrom(6, 17, 132), size, ([src, dst], sport, dport, proto, slots) => {
				const bytes = { src: addressBytes(src), dst: addressBytes(dst), sport, dport, proto };
				expect(flowSlot(bytes, slots)).toBe(slotOfOracle({ src, dst, sport, dport, proto }, slots));
			}),
		);
	});
});
