/** Which slot of a Maglev table a flow falls into: flow_hash() and flow_slot() of bpf/lib/hash.h. Pure. */

/** A flow as its client sends it. Addresses have 16 bytes, IPv4 is mapped. */
export interface FlowTuple {
	readonly src: Uint8Array;
	readonly dst: Uint8Array;
	readonly sport: number;
	readonly dport: number;
	/** IP protocol number. */
	readonly proto: number;
}

const wordOf = (address: Uint8Array, offset: number): bigint =>
	new DataView(address.buffer, address.byteOffset).getBigUint64(offset, true);

/** A port in network order, as the programs read it. */
const portOf = (port: number): bigint => BigInt(((port & 0xff) << 8) | (port >>> 8));

/** @param size  slots of the table */
export function flowSlot({ src, dst, sport, dport, proto }: FlowTuple, size: number): number {
	const ports = (portOf(sport) << 32n) | (portOf(dport) << 16n) | BigInt(proto);
	let hash = BigInt.asUintN(
		64,
		wordOf(src, 0) * 0x9e3779b97f4a7c15n +
			wordOf(src, 8) * 0xc2b2ae3d27d4eb4fn +
			wordOf(dst, 0) * 0x165667b19e3779f9n +
			wordOf(dst, 8) * 0xd6e8feb86659fd93n +
			ports * 0xff51afd7ed558ccdn,
	);
	hash = BigInt.asUintN(64, (hash ^ (hash >> 32n)) * 0xc4ceb9fe1a85ec53n);
	return Number(((hash >> 32n) * BigInt(size)) >> 32n);
}
