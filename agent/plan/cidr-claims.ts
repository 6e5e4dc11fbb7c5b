/**
 * Prefixes with their owners, asked for one that overlaps another prefix. With thousands of nodes comparing each prefix with each
 * takes seconds; here a question costs one look-up per length of prefix that has come up.
 */
import type { Cidr } from '../model/address.ts';
import { type Bits, cidrBits } from './policy/prefixes.ts';

export interface CidrClaim {
	readonly cidr: Cidr;
	/** Node. */
	readonly owner: string;
}

interface Claim extends CidrClaim {
	readonly bits: Bits;
}

export class CidrClaims {
	readonly #claims: Claim[] = [];
	/** By length, the claims that are as long or longer, by their first bits; of several the first one. */
	readonly #byLength = new Map<number, Map<Bits, Claim>>();

	add(claim: CidrClaim): void {
		const bits = cidrBits(claim.cidr);
		const added = { ...claim, bits };
		this.#claims.push(added);
		this.#ofLength(bits.length);
		for (const [length, claims] of this.#byLength) enter(claims, added, length);
	}

	/** @returns a claim that contains the prefix or lies inside it */
	overlapping(cidr: Cidr): CidrClaim | undefined {
		const bits = cidrBits(cidr);
		const inside = this.#ofLength(bits.length).get(bits);
		if (inside !== undefined) return inside;
		for (const [length, claims] of this.#byLength) {
			const claim = length < bits.length ? claims.get(bits.slice(0, length)) : undefined;
			if (claim !== undefined && bits.startsWith(claim.bits)) return claim;
		}
		return undefined;
	}

	#ofLength(length: number): Map<Bits, Claim> {
		let claims = this.#byLength.get(length);
		if (claims === undefined) {
			claims = new Map();
			this.#byLength.set(length, claims);
			for (const claim of this.#claims) enter(claims, claim, length);
		}
		return claims;
	}
}

/** A claim of exactly this length goes before longer ones: it contains whatever begins with it. */
function enter(claims: Map<Bits, Claim>, claim: Claim, length: number): void {
	if (claim.bits.length < length) return;
	const key = claim.bits.slice(0, length);
	const known = claims.get(key);
	if (known === undefined || (claim.bits.length === length && known.bits.length > length)) claims.set(key, claim);
}
