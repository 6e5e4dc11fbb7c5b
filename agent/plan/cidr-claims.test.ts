import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cidrsOverlap, networkAddress } from '../model/address.ts';
import { CidrClaims } from './cidr-claims.ts';

/** Few addresses and many lengths, so that most prefixes overlap others. */
const cidr = fc.oneof(
	fc.tuple(fc.constantFrom('10.0.0.0', '10.1.2.3', '10.1.128.7', '192.168.0.1'), fc.integer({ min: 0, max: 32 })),
	fc.tuple(fc.constantFrom('fd00::', 'fd00::1:2:3', 'fd00:1::'), fc.integer({ min: 0, max: 128 })),
);

describe('CidrClaims', () => {
	it('finds an overlap exactly when comparing with each does', () => {
		fc.assert(
			fc.property(fc.array(cidr, { maxLength: 12 }), cidr, (prefixes, [asked, askedLength]) => {
				const text = (address: string, length: number) => `${networkAddress(address, length)}/${length}`;
				const claims = new CidrClaims();
				const all = prefixes.map(([address, length]) => text(address, length));
				for (const [i, each] of all.entries()) {
					// the question may come at any time and must not disturb later ones
					claims.overlapping(text(asked, askedLength));
					claims.add({ cidr: each, owner: `n${i}` });
				}
				const wanted = text(asked, askedLength);
				const found = claims.overlapping(wanted);
				expect(found !== undefined).toBe(all.some((each) => cidrsOverlap(each, wanted)));
				if (found !== undefined) expect(cidrsOverlap(found.cidr, wanted)).toBe(true);
			}),
			{ numRuns: 500 },
		);
	});
});
