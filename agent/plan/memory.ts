/**
 * Memory that the maps take, computed before load: it is charged to the agent's cgroup. Pure.
 * Figures follow kernel/bpf of Linux 6.x (hashtab.c, arraymap.c, lpm_trie.c, ringbuf.c); real usage is compared with
 * them by the agent's memory test.
 */
import type { MapSpec } from '../../native/abi/codec.ts';

/** enum bpf_map_type of linux/bpf.h, as far as it is used. */
const TYPE = { HASH: 1, ARRAY: 2, PERCPU_ARRAY: 6, LRU_HASH: 9, LPM_TRIE: 11, RINGBUF: 27 } as const;
const NO_PREALLOC = 1;
const PAGE_BYTES = 4096;
/** struct htab_elem without key and value, and struct bucket. */
const HASH_ELEMENT_BYTES = 48;
const HASH_BUCKET_BYTES = 16;
/** struct lpm_trie_node without data. */
const TRIE_NODE_BYTES = 40;
/** Consumer, producer and bookkeeping pages of a ring buffer. */
const RING_PAGES = 3;

export interface MapMemory {
	/** Without prefix and version: 'services'. */
	readonly map: string;
	readonly entries: number;
	/** At most, in bytes. */
	readonly bytes: number;
	/** Taken at load; the rest grows with use up to `bytes`. */
	readonly preallocated: boolean;
}

export interface MemoryPlan {
	readonly maps: readonly MapMemory[];
	readonly totalBytes: number;
}

/**
 * @param specs  the maps as compiled, by short name
 * @param sizes  configured entries by short name; others keep the compiled size
 * @param cpus   possible CPUs (not only those online)
 */
export function planMemory(
	specs: Readonly<Record<string, MapSpec>>,
	sizes: Readonly<Record<string, number>>,
	cpus: number,
): MemoryPlan {
	const maps = Object.entries(specs).map(([map, spec]): MapMemory => {
		const entries = sizes[map] ?? spec.maxEntries;
		const preallocated = (spec.flags & NO_PREALLOC) === 0;
		return { map, entries, bytes: mapBytes(spec, entries, cpus), preallocated };
	});
	return { maps, totalBytes: maps.reduce((sum, each) => sum + each.bytes, 0) };
}

/** Bytes of one map with `entries` entries. */
export function mapBytes(spec: MapSpec, entries: number, cpus: number): number {
	const key = round8(spec.keySize);
	const value = round8(spec.valueSize);
	switch (spec.type) {
		case TYPE.HASH:
		case TYPE.LRU_HASH: {
			const spare = spec.type === TYPE.HASH && (spec.flags & NO_PREALLOC) === 0 ? cpus : 0;
			const buckets = powerOfTwo(entries) * HASH_BUCKET_BYTES;
			return pages(buckets) + pages((entries + spare) * (HASH_ELEMENT_BYTES + key + value));
		}
		case TYPE.ARRAY:
			return pages(entries * value);
		case TYPE.PERCPU_ARRAY:
			return pages(entries * 8) + entries * value * cpus;
		case TYPE.LPM_TRIE:
			// One inner node per entry at worst; a node and its data come from kmalloc's size classes.
			return 2 * entries * powerOfTwo(TRIE_NODE_BYTES + spec.keySize - 4 + spec.valueSize);
		case TYPE.RINGBUF:
			return entries + RING_PAGES * PAGE_BYTES;
		default:
			return pages(entries * (key + value));
	}
}

function round8(bytes: number): number {
	return Math.ceil(bytes / 8) * 8;
}

function pages(bytes: number): number {
	return Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
}

function powerOfTwo(n: number): number {
	return 2 ** Math.ceil(Math.log2(Math.max(1, n)));
}
