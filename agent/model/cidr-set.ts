/**
 * Prefixes, asked whether one of them contains an address. A question costs a look-up per length of prefix: with thousands of
 * nodes the pod CIDRs are too many to go through.
 */
import { type Address, type Cidr, cidrParts, type Family, familyOf, networkAddress } from './address.ts';

export class CidrSet {
	readonly #cidrs = new Set<Cidr>();
	readonly #lengths: Readonly<Record<Family, Set<number>>> = { 4: new Set(), 6: new Set() };

	constructor(cidrs: Iterable<Cidr> = []) {
		for (const cidr of cidrs) {
			const { address, prefixLength } = cidrParts(cidr);
			this.#cidrs.add(`${networkAddress(address, prefixLength)}/${prefixLength}`);
			this.#lengths[familyOf(cidr)].add(prefixLength);
		}
	}

	contains(address: Address): boolean {
		for (const length of this.#lengths[familyOf(address)]) {
			if (this.#cidrs.has(`${networkAddress(address, length)}/${length}`)) return true;
		}
		return false;
	}
}
