/**
 * What is in the service maps, as far as the agent knows: read from the kernel at start and after a failure, then kept
 * in step by every diff. Ids, extents and backend indexes are this state; nothing else remembers them.
 */

import { Limits, RuntimeState, SvcEntry, SvcKey } from '../../native/abi/generated.ts';
import { addressOfBytes } from '../model/address.ts';
import type { DesiredPort, Frontend } from '../plan/services.ts';
import type { FoundBackend } from './backend-table.ts';
import { BackendTable } from './backend-table.ts';
import { ExtentAllocator } from './extents.ts';
import type { Kernel } from './kernel.ts';
import { SHARED_STRIDE } from './kernel.ts';
import { FilterBits } from './vip-filter.ts';

/** A list of backends in `slots`. Empty lists take no room. */
export interface Extent {
	/** In slots; a multiple of LIMIT_SLOTS_PER_CHUNK. */
	readonly base: number;
	/** Backend keys in slot order. */
	readonly keys: readonly string[];
}

export const EMPTY_EXTENT: Extent = { base: 0, keys: [] };

export interface PortState {
	readonly name: string;
	readonly owner: string;
	readonly id: number;
	/** What was programmed last. */
	plan: DesiredPort;
	all: Extent;
	local: Extent;
}

export interface Claim {
	readonly port: PortState;
	readonly frontend: Frontend;
}

export interface ServicesState {
	/** Content of `services` by frontend key. */
	readonly entries: Map<string, SvcEntry>;
	readonly entryCapacity: number;
	/** By port name. */
	readonly ports: Map<string, PortState>;
	/** Port names by owner. */
	readonly owners: Map<string, readonly string[]>;
	/** Who wants an entry, best rank first. */
	readonly claims: Map<string, Claim[]>;
	readonly backends: BackendTable;
	readonly chunks: ExtentAllocator;
	readonly filter: FilterBits;
	/** Frontend keys that the filter has counted. */
	readonly counted: Set<string>;
	/** Ids found in the kernel that a port has taken over. */
	readonly adoptedIds: Set<number>;
	/** Entries at node addresses: wanted now, and what `runtime` says. */
	atNode: number;
	externalPorts: number;
	nextId: number;
	generation: number;
	/** Ports may take over what was found in the kernel: true until the first full diff has ended. */
	adopting: boolean;
	/** Reads back a list while adopting; undefined = it does not hold together. */
	readonly readExtent: (base: number, count: number) => Extent | undefined;
}

/** Chunks that a list of `count` slots takes. */
export function chunksFor(count: number): number {
	return Math.ceil(count / Limits.SLOTS_PER_CHUNK);
}

/** Frontend key of an entry's key bytes. */
export function frontendKeyOf(bytes: Uint8Array): string {
	const key = SvcKey.decode(bytes);
	return `${addressOfBytes(key.addr)}|${key.port}|${key.proto}|${key.scope}`;
}

/** Reads everything. Bounded by the maps' capacities; about 50 ms at 10,000 services × 10 endpoints. */
export function readServicesState(kernel: Kernel): ServicesState {
	const { table, foundKeys } = readBackends(kernel);
	const chunks = new ExtentAllocator({ name: 'slots', capacity: kernel.mapCapacity('slots'), first: 0 });
	const entries = new Map<string, SvcEntry>();
	let nextId = 1;
	let generation = 0;
	for (const [keyBytes, valueBytes] of kernel.mapEntries('services')) {
		const entry = SvcEntry.decode(valueBytes);
		entries.set(frontendKeyOf(keyBytes), entry);
		nextId = Math.max(nextId, entry.id + 1);
		generation = Math.max(generation, entry.generation);
		for (const [base, count] of extentsOf(entry)) {
			chunks.markFound(Math.floor(base / Limits.SLOTS_PER_CHUNK), chunksFor(count));
		}
	}
	return {
		entries,
		entryCapacity: kernel.mapCapacity('services'),
		ports: new Map(),
		owners: new Map(),
		claims: new Map(),
		backends: table,
		chunks,
		filter: new FilterBits(readFilter(kernel)),
		counted: new Set(),
		adoptedIds: new Set(),
		atNode: 0,
		externalPorts: readExternalPorts(kernel),
		nextId,
		generation,
		adopting: true,
		readExtent: extentReader(kernel, table, foundKeys),
	};
}

function extentsOf(entry: SvcEntry): [number, number][] {
	const extents: [number, number][] = [
		[entry.allBase, entry.allCount],
		[entry.localBase, entry.localCount],
		[entry.prevBase, entry.prevCount],
	];
	return extents.filter(([, count]) => count > 0);
}

function readBackends(kernel: Kernel): { table: BackendTable; foundKeys: Map<number, string> } {
	const view = kernel.shared('backends');
	const capacity = kernel.mapCapacity('backends');
	const bytes = new Uint8Array(view.buffer, view.byteOffset, capacity * SHARED_STRIDE.backends);
	const generations = new Uint32Array(capacity);
	const found: FoundBackend[] = [];
	for (let index = 0, at = 0; index < capacity; index++, at += SHARED_STRIDE.backends) {
		generations[index] = view.getUint32(at + 20, true);
		const flags = bytes[at + 19] ?? 0;
		if (flags === 0) continue;
		const address = addressOfBytes(bytes, at);
		const port = view.getUint16(at + 16);
		const proto = bytes[at + 18] ?? 0;
		found.push({ index, key: `${address}|${port}|${proto}`, address, port, proto, flags });
	}
	const table = new BackendTable(generations, found);
	return { table, foundKeys: new Map(found.map((each) => [each.index, each.key])) };
}

function extentReader(kernel: Kernel, table: BackendTable, foundKeys: ReadonlyMap<number, string>) {
	const slots = kernel.shared('slots');
	return (base: number, count: number): Extent | undefined => {
		if (count === 0) return EMPTY_EXTENT;
		if (base % Limits.SLOTS_PER_CHUNK !== 0 || (base + count) * 4 > slots.byteLength) return undefined;
		const keys: string[] = [];
		for (let i = base; i < base + count; i++) {
			const index = slots.getUint32(i * 4, true);
			const key = foundKeys.get(index);
			// A double of the row that the table kept will be freed: a list that names it must be written anew.
			if (key === undefined || table.get(key)?.index !== index) return undefined;
			keys.push(key);
		}
		return { base, keys };
	};
}

function readFilter(kernel: Kernel): Uint8Array {
	const view = kernel.shared('vip_filter');
	const set = new Uint8Array(Limits.VIP_FILTER_BITS);
	for (let word = 0; word < Limits.VIP_FILTER_BITS / 32; word++) {
		const bits = view.getUint32(word * 4, true);
		if (bits === 0) continue;
		for (let bit = 0; bit < 32; bit++) set[word * 32 + bit] = (bits >>> bit) & 1;
	}
	return set;
}

function readExternalPorts(kernel: Kernel): number {
	const value = kernel.mapGet('runtime', new Uint8Array(4));
	return value === undefined ? 0 : RuntimeState.decode(value).externalPorts;
}
