/**
 * What reconcilers may ask of the kernel. Implemented by agent/kernel on real maps and by test/lib/fake-kernel.ts.
 * Calls are synchronous system calls of microseconds, except where a promise says otherwise.
 * Keys and values have exactly the sizes of the structs in bpf/abi; errors carry `code` with the errno name.
 */
import type { MapName } from '../../native/abi/generated.ts';
import { Maps } from '../../native/abi/generated.ts';

/** Maps of bpf/maps/maps.h without the prefix `fl_` and the layout version. */
export type { MapName };

/** Arrays that are written through shared memory. */
export type SharedMapName =
	| 'vip_filter'
	| 'slots'
	| 'backends'
	| 'ports'
	| 'inside'
	| 'xdp_svc'
	| 'policyset'
	| 'ranges'
	| 'endpoints'
	| 'denied';

/** Bytes from one element of a shared array to the next: value sizes, which are multiples of 8. */
export const SHARED_STRIDE = {
	vip_filter: Maps.vip_filter.valueSize,
	slots: Maps.slots.valueSize,
	backends: Maps.backends.valueSize,
	ports: Maps.ports.valueSize,
	inside: Maps.inside.valueSize,
	xdp_svc: Maps.xdp_svc.valueSize,
	policyset: Maps.policyset.valueSize,
	ranges: Maps.ranges.valueSize,
	endpoints: Maps.endpoints.valueSize,
	denied: Maps.denied.valueSize,
} as const satisfies Record<SharedMapName, number>;

export interface Kernel {
	/** @returns a copy of the value; undefined = no such entry. Array maps have every entry below their capacity. */
	mapGet(map: MapName, key: Uint8Array): Uint8Array | undefined;
	/** Adds or replaces. @throws E2BIG when a hash map is full, ENOSPC when an LPM trie is full. */
	mapSet(map: MapName, key: Uint8Array, value: Uint8Array): void;
	/** @returns false when the entry was not there. */
	mapDelete(map: MapName, key: Uint8Array): boolean;
	/** All entries in no particular order; arrays yield every element, zero or not. */
	mapEntries(map: MapName): Iterable<readonly [Uint8Array, Uint8Array]>;
	/** Largest number of entries. */
	mapCapacity(map: MapName): number;
	/**
	 * Adds or replaces many entries in the order given.
	 * @param keys    flat: entries × key size
	 * @param values  flat: entries × value size
	 * @returns entries written; fewer than given means that the next one was refused (map full or changed under us)
	 */
	mapSetBatch(map: MapName, keys: Uint8Array, values: Uint8Array): Promise<number>;
	/** The memory of a shared array; valid until the kernel object is closed. Strides are SHARED_STRIDE. */
	shared(map: SharedMapName): DataView;
	/**
	 * Returns when every BPF program that was running when it was called has ended (membarrier GLOBAL), so that what
	 * those programs may still read can be reused. Takes milliseconds: never once per change.
	 */
	barrier(): void;
}
