/**
 * Bits of the map vip_filter: one per hash of a service address, counted here because addresses can share a bit.
 */

import { Limits } from '../../native/abi/generated.ts';
import type { Address } from '../model/address.ts';
import { addressBytes } from '../model/address.ts';

/** Bit of an address. bpf/lib/lb.h (lb_filter_bit) computes the same. */
export function filterBit(address: Address): number {
	return filterBitOf(addressBytes(address));
}

/** Bit of the 16 bytes of an address. */
export function filterBitOf(address: Uint8Array): number {
	const words = new DataView(address.buffer, address.byteOffset);
	const h =
		words.getUint32(0, true) ^
		rotateLeft(words.getUint32(4, true), 8) ^
		rotateLeft(words.getUint32(8, true), 16) ^
		rotateLeft(words.getUint32(12, true), 24);
	return Math.imul(h, 0x9e3779b1) >>> 16;
}

function rotateLeft(word: number, bits: number): number {
	return (word << bits) | (word >>> (32 - bits));
}

export class FilterBits {
	readonly #references = new Uint32Array(Limits.VIP_FILTER_BITS);
	/** What the kernel has. */
	readonly #set: Uint8Array;

	constructor(set: Uint8Array = new Uint8Array(Limits.VIP_FILTER_BITS)) {
		this.#set = set;
	}

	/** Counts one entry more. @returns the bit when it has to be set now */
	acquire(address: Address): number | undefined {
		const bit = filterBit(address);
		this.#references[bit] = (this.#references[bit] ?? 0) + 1;
		if (this.#set[bit] === 1) return undefined;
		this.#set[bit] = 1;
		return bit;
	}

	/** Counts one entry less. The bit is due for clearing when nothing refers to it; see idle(). */
	release(address: Address): number {
		const bit = filterBit(address);
		this.#references[bit] = Math.max(0, (this.#references[bit] ?? 0) - 1);
		return bit;
	}

	/** Takes a bit out if nothing refers to it. @returns true when it has to be cleared in the kernel */
	clearIfIdle(bit: number): boolean {
		if (this.#references[bit] !== 0 || this.#set[bit] !== 1) return false;
		this.#set[bit] = 0;
		return true;
	}

	/** Bits that are set in the kernel although nothing refers to them. */
	idle(): number[] {
		const bits: number[] = [];
		for (let bit = this.#set.indexOf(1); bit >= 0; bit = this.#set.indexOf(1, bit + 1)) {
			if (this.#references[bit] === 0) bits.push(bit);
		}
		return bits;
	}
}
