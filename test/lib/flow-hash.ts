/** The hash of bpf/lib/hash.h, written apart from it: which slot of a Maglev table a flow falls into. */
import { address16 } from './packet.ts';

const MASK = (1n << 64n) - 1n;

export interface FlowTuple {
	readonly src: string;
	readonly dst: string;
	readonly sport: number;
	readonly dport: number;
	readonly proto: number;
}

function words(address: string): [bigint, bigint] {
	const view = new DataView(address16(address).buffer);
	return [view.getBigUint64(0, true), view.getBigUint64(8, true)];
}

const swap16 = (value: number): bigint => BigInt(((value & 0xff) << 8) | (value >>> 8));

/** 32-bit hash of a flow as its client sent it. */
export function flowHash({ src, dst, sport, dport, proto }: FlowTuple): number {
	const [s0, s1] = words(src);
	const [d0, d1] = words(dst);
	const ports = (swap16(sport) << 32n) | (swap16(dport) << 16n) | BigInt(proto);
	let h =
		(s0 * 0x9e3779b97f4a7c15n +
			s1 * 0xc2b2ae3d27d4eb4fn +
			d0 * 0x165667b19e3779f9n +
			d1 * 0xd6e8feb86659fd93n +
			ports * 0xff51afd7ed558ccdn) &
		MASK;
	h ^= h >> 32n;
	h = (h * 0xc4ceb9fe1a85ec53n) & MASK;
	return Number(h >> 32n);
}

/** Slot of a flow in a table of `size` slots. */
export function flowSlot(tuple: FlowTuple, size: number): number {
	return Number((BigInt(flowHash(tuple)) * BigInt(size)) >> 32n);
}

/** Tag by which an envelope names a backend (dsr_tag of bpf/lib/dsr.h). */
export function backendTag(address: string, port: number): number {
	const [w0, w1] = words(address);
	return Number((((w0 ^ w1 ^ swap16(port)) * 0x9e3779b97f4a7c15n) & MASK) >> 49n);
}
