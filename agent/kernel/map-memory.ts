/**
 * Memory the maps take in the kernel, computed before they are made: it is charged to the agent's cgroup and belongs
 * into its limit. Sizes of kernel structs are those of kernel/bpf/{hashtab,lpm_trie,ringbuf}.c on 64-bit machines;
 * a test holds the sum against what the kernel reports.
 */
import type { MapSpec } from '../../native/abi/codec.ts';

const MapType = { HASH: 1, ARRAY: 2, PERCPU_ARRAY: 6, LRU_HASH: 9, LPM_TRIE: 11, RINGBUF: 27 } as const;
const HTAB_ELEMENT = 48;
const HTAB_BUCKET = 16;
const LPM_NODE = 40;
const RINGBUF_HEADER = 3 * 4096;

const round8 = (bytes: number): number => Math.ceil(bytes / 8) * 8;
const powerOfTwo = (n: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, n)));

/**
 * Bytes a full map takes. Maps without preallocation take less while they are not full.
 * @param cpus  possible CPUs, which per-CPU maps are multiplied by
 */
export function mapBytes(spec: MapSpec, maxEntries: number, cpus: number): number {
	const value = round8(spec.valueSize);
	switch (spec.type) {
		case MapType.ARRAY:
			return maxEntries * value;
		case MapType.PERCPU_ARRAY:
			return maxEntries * (value * cpus + 8);
		case MapType.HASH:
		case MapType.LRU_HASH:
			return maxEntries * (HTAB_ELEMENT + round8(spec.keySize) + value) + powerOfTwo(maxEntries) * HTAB_BUCKET;
		case MapType.LPM_TRIE:
			// A trie of n prefixes has up to n - 1 nodes in between.
			return maxEntries * 2 * (LPM_NODE + round8(spec.keySize - 4 + spec.valueSize));
		case MapType.RINGBUF:
			return maxEntries + RINGBUF_HEADER;
		default:
			throw new RangeError(`map ${spec.name}: no memory formula for map type ${spec.type}`);
	}
}
