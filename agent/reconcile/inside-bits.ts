/**
 * Bits of the map inside: who is certainly no client from outside. Programs ask it for each packet to a NodePort under direct server return,
 * where a look-up by prefix would cost as much as all the rest.
 */
import { Limits, PeerKind } from '../../native/abi/generated.ts';
import type { Address, Cidr } from '../model/address.ts';
import { addressBytes, cidrParts, familyOf } from '../model/address.ts';
import type { PeersPlan } from '../plan/peers.ts';
import type { Kernel } from './kernel.ts';
import { filterBitOf } from './vip-filter.ts';

/** Length of the networks that stand for all addresses in them; dsr_maybe_inside() of bpf/lib/dsr.h cuts addresses alike. */
const NETWORK_LENGTH = { 4: 24, 6: 64 } as const;
/** A prefix of more networks sets all bits: programs ask the exact tables then. */
const MOST_NETWORKS = 4096;

/** One word of 32 bits after the other, as the map has them. */
export function insideBits(plan: PeersPlan): Uint32Array {
	const words = new Uint32Array(Limits.INSIDE_BITS / 32);
	const add = (bytes: Uint8Array): void => {
		const bit = filterBitOf(bytes);
		words[bit >>> 5] = (words[bit >>> 5] ?? 0) | (1 << (bit & 31));
	};
	for (const { cidr: address, kind } of plan.addresses.values()) {
		if (kind === PeerKind.REMOTE_NODE || kind === PeerKind.HOST) add(addressBytes(address as Address));
	}
	for (const { cidr, kind } of plan.cidrs.values()) {
		if (kind !== PeerKind.REMOTE_POD) continue;
		const networks = networksOf(cidr);
		if (networks === undefined) return words.fill(0xffff_ffff);
		for (const network of networks) add(network);
	}
	return words;
}

/** The networks that a prefix touches, 16 bytes each; undefined = too many. */
function networksOf(cidr: Cidr): Uint8Array[] | undefined {
	const { address, prefixLength } = cidrParts(cidr);
	const family = familyOf(cidr);
	const count = 2 ** Math.max(0, NETWORK_LENGTH[family] - prefixLength);
	if (count > MOST_NETWORKS) return undefined;
	const first = addressBytes(address);
	first.fill(0, family === 4 ? 15 : 8);
	const end = family === 4 ? 15 : 8;
	return Array.from({ length: count }, (_, n) => {
		const network = first.slice();
		// a prefix is aligned to its size, so that its networks differ in the last bits only
		for (let at = end - 1, rest = n; rest > 0; at--, rest >>>= 8) network[at] = (network[at] ?? 0) | (rest & 0xff);
		return network;
	});
}

/** Makes the map equal to the plan: bits are set before others are cleared. */
export function writeInside(plan: PeersPlan, kernel: Kernel): void {
	const wanted = insideBits(plan);
	const memory = kernel.shared('inside');
	const words = new Uint32Array(memory.buffer, memory.byteOffset, wanted.length);
	for (const [at, word] of wanted.entries()) if ((words[at] ?? 0) !== word) Atomics.or(words, at, word);
	for (const [at, word] of wanted.entries()) if ((words[at] ?? 0) !== word) Atomics.store(words, at, word);
}
