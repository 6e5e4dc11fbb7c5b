/**
 * Tables of small sets under direct server return: each slot belongs to the backend that scores highest there (rendezvous hashing), so
 * that XDP can tell a slot's backend from a few numbers instead of a table (bpf/lib/xdp_service.h computes the same). A backend that goes
 * moves its own flows and no others. Every node makes the same table of the same backends. Pure.
 */
import { XdpBackendBits, XdpServiceLimits } from '../../native/abi/generated.ts';
import type { Address } from '../model/address.ts';
import { addressBytes } from '../model/address.ts';

/** Golden ratio in 64 bits, and its halves. */
const GOLDEN_HIGH = 0x9e3779b9;
const GOLDEN_LOW = 0x7f4a7c15;

/** Tag by which an envelope names a backend: dsr_tag() of bpf/lib/dsr.h. */
export function backendTag(address: Address, port: number): number {
	const view = new DataView(addressBytes(address).buffer);
	const swapped = ((port & 0xff) << 8) | (port >>> 8);
	const low = (view.getUint32(0, true) ^ view.getUint32(8, true) ^ swapped) >>> 0;
	const high = view.getUint32(4, true) ^ view.getUint32(12, true);
	const product = highWord(low, GOLDEN_LOW) + Math.imul(low, GOLDEN_HIGH) + Math.imul(high, GOLDEN_LOW);
	return (product >>> 0) >>> (32 - XdpBackendBits.TAG_BITS);
}

/** The upper 32 bits of the product of two 32-bit numbers. */
function highWord(a: number, b: number): number {
	const [a0, a1, b0, b1] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
	const middle = a1 * b0 + ((a0 * b0) >>> 16);
	const other = a0 * b1 + (middle & 0xffff);
	return a1 * b1 + Math.floor(middle / 0x10000) + Math.floor(other / 0x10000);
}

/**
 * Tags of backends that can be ranked.
 * @param keys  one per backend ('address|port|proto')
 * @returns undefined = too many of them, or two with the same tag: they have a Maglev table
 */
export function rankableTags(keys: readonly string[]): readonly number[] | undefined {
	if (keys.length === 0 || keys.length > XdpServiceLimits.BACKENDS) return undefined;
	const tags = keys.map((key) => {
		const [address = '', port] = key.split('|');
		return backendTag(address, Number(port));
	});
	return new Set(tags).size === tags.length ? tags : undefined;
}

/** What a backend scores at a slot: xdp_rank(). */
function scoreAt(tag: number, mixedSlot: number): number {
	const score = Math.imul(tag ^ mixedSlot, 0x85ebca6b);
	return Math.imul(score ^ (score >>> 15), 0xc2b2ae35) >>> 0;
}

/** @returns for each slot the position of its backend in `tags` */
export function rankedTable(tags: readonly number[], size: number): Uint32Array {
	const table = new Uint32Array(size);
	const { length } = tags;
	for (let slot = 0; slot < size; slot++) {
		const mixed = Math.imul(slot, 0x9e3779b1);
		let best = -1;
		for (let i = 0; i < length; i++) {
			const score = scoreAt(tags[i] ?? 0, mixed);
			if (score <= best) continue;
			best = score;
			table[slot] = i;
		}
	}
	return table;
}
