/**
 * What is in the service maps, as far as the agent knows: read from the kernel at start and after a failure, then kept
 * in step by every diff. Ids, extents and backend indexes are this state; nothing else remembers them.
 */

import { Limits, RuntimeState, SvcEntry, SvcKey } from '../../native/abi/generated.ts';
import { addressOfBytes } from '../model/address.ts';
import type { Backend } from '../plan/endpoints.ts';
import { type DesiredPort, type Frontend, frontendKey } from '../plan/services.ts';
import { BackendTable } from './backend-table.ts';
import { ExtentAllocator } from './extents.ts';
import type { Kernel } from './kernel.ts';
import { SHARED_STRIDE } from './kernel.ts';
import type { PackedPeer } from './services-peers.ts';
import { SourceSets } from './services-sources.ts';
import type { Tables } from './services-tables.ts';
import type { Union } from './services-union.ts';
import { FilterBits } from './vip-filter.ts';
import { XdpRows, xdpRowMemory } from './xdp-rows.ts';

/** A list or table in `slots`. Empty ones take no room. Never changed: a changed list gets another extent. */
export interface Extent {
	/** In slots; a multiple of LIMIT_SLOTS_PER_CHUNK. */
	readonly base: number;
	/** In slots. */
	readonly count: number;
}

export const EMPTY_EXTENT: Extent = { base: 0, count: 0 };

export interface PortState {
	readonly name: string;
	readonly owner: string;
	readonly id: number;
	/** What was programmed last. */
	plan: DesiredPort;
	/** Index of the row of each of plan.serving. */
	rows: readonly number[];
	all: Extent;
	/** The same object as `all` when frontends of both scopes share it. */
	external: Extent;
	local: Extent;
	/** The external table before the change that is under way. */
	previous: Extent;
	/** What `external` and `previous` hold, when the plan alone does not tell. */
	tables: Tables | undefined;
	/** What rows of XDP say while the set changes; undefined = nothing, or it does not change. */
	union: Union | undefined;
	/** Number of the change under way: what programs remember of flows in another one does not count. */
	transition: number;
}

export interface Claim {
	readonly port: PortState;
	readonly frontend: Frontend;
}

/** A row as it was found in the kernel. */
export interface FoundBackend {
	readonly index: number;
	readonly backend: Backend;
}

/** What was found in the kernel and nobody has claimed yet. */
export interface FoundState {
	/** Rows by the service port they name. */
	readonly rows: ReadonlyMap<number, readonly FoundBackend[]>;
	/** Ids that a port has taken over. */
	readonly adoptedIds: Set<number>;
	/** Content of slots; undefined = there are no such slots. */
	readonly readSlots: (base: number, count: number) => Uint32Array | undefined;
	readonly readPeer: (index: number) => PackedPeer;
	/** What was known by port name of the changes under way when the maps were read anew. */
	readonly moving: ReadonlyMap<string, Tables>;
}

export interface ServicesState {
	/** Content of `services` by frontend key. */
	readonly entries: Map<string, SvcEntry>;
	readonly entryCapacity: number;
	/** By port name. */
	readonly ports: Map<string, PortState>;
	/** Port names by owner. */
	readonly owners: Map<string, readonly string[]>;
	/** Names of the ports with a transition under way. */
	readonly moving: Set<string>;
	/** No transition is due before, in milliseconds of the caller's clock. */
	nextDueMs: number;
	/** Who wants an entry, best rank first. */
	readonly claims: Map<string, Claim[]>;
	readonly backends: BackendTable;
	readonly chunks: ExtentAllocator;
	readonly filter: FilterBits;
	readonly sources: SourceSets;
	readonly xdp: XdpRows;
	/** Frontend keys that the filter has counted. */
	readonly counted: Set<string>;
	/** Entries at node addresses: wanted now, and what `runtime` says. */
	atNode: number;
	externalPorts: number;
	nextId: number;
	generation: number;
	/** Ports may take over what was found in the kernel: until the first full diff has ended. */
	found: FoundState | undefined;
}

/** Chunks that a list of `count` slots takes. */
export function chunksFor(count: number): number {
	return Math.ceil(count / Limits.SLOTS_PER_CHUNK);
}

/** Frontend key of an entry's key bytes. */
export function frontendKeyOf(bytes: Uint8Array): string {
	const key = SvcKey.decode(bytes);
	return frontendKey(addressOfBytes(key.addr), key.port, key.proto, key.scope);
}

/** Changes under way by port name, with the times that no map holds. */
export function movingTables({ moving, ports }: ServicesState): ReadonlyMap<string, Tables> {
	const known = new Map<string, Tables>();
	for (const name of moving) {
		const tables = ports.get(name)?.tables;
		if (tables !== undefined) known.set(name, tables);
	}
	return known;
}

/**
 * Reads everything. With the comparison that follows a third of a second of CPU at 10,000 services × 10 endpoints.
 * @param moving  see FoundState
 */
export function readServicesState(kernel: Kernel, moving: ReadonlyMap<string, Tables>): ServicesState {
	const { table, rows } = readBackends(kernel);
	const chunks = new ExtentAllocator({ name: 'slots', capacity: kernel.mapCapacity('slots'), first: 0 });
	const entries = new Map<string, SvcEntry>();
	let nextId = 1;
	let generation = 0;
	for (const id of rows.keys()) nextId = Math.max(nextId, id + 1);
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
		moving: new Set(),
		nextDueMs: Number.POSITIVE_INFINITY,
		claims: new Map(),
		backends: table,
		chunks,
		filter: new FilterBits(readFilter(kernel)),
		sources: new SourceSets(kernel),
		xdp: new XdpRows(xdpRowMemory(kernel), kernel.mapCapacity('xdp_svc')),
		counted: new Set(),
		atNode: 0,
		externalPorts: readExternalPorts(kernel),
		nextId,
		generation,
		found: { rows, adoptedIds: new Set(), readSlots: slotReader(kernel), readPeer: peerReader(kernel), moving },
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

function readBackends(kernel: Kernel): { table: BackendTable; rows: Map<number, FoundBackend[]> } {
	const view = kernel.shared('backends');
	const capacity = kernel.mapCapacity('backends');
	const bytes = new Uint8Array(view.buffer, view.byteOffset, capacity * SHARED_STRIDE.backends);
	const generations = new Uint32Array(capacity);
	const rows = new Map<number, FoundBackend[]>();
	const table = new BackendTable(generations);
	for (let index = 0, at = 0; index < capacity; index++, at += SHARED_STRIDE.backends) {
		generations[index] = view.getUint32(at + 20, true);
		const flags = bytes[at + 19] ?? 0;
		if (flags === 0 || !table.allocator.markFound(index, 1)) continue;
		const address = addressOfBytes(bytes, at);
		const port = view.getUint16(at + 16);
		const proto = bytes[at + 18] ?? 0;
		const svcId = view.getUint32(at + 28, true);
		const found = { index, backend: { key: `${address}|${port}|${proto}`, address, port, proto, flags } };
		const list = rows.get(svcId);
		if (list === undefined) rows.set(svcId, [found]);
		else list.push(found);
	}
	return { table, rows };
}

function slotReader(kernel: Kernel): FoundState['readSlots'] {
	const slots = kernel.shared('slots');
	return (base, count) => {
		if (base % Limits.SLOTS_PER_CHUNK !== 0 || (base + count) * 4 > slots.byteLength) return undefined;
		const content = new Uint32Array(count);
		for (let i = 0; i < count; i++) content[i] = slots.getUint32((base + i) * 4, true);
		return content;
	};
}

function peerReader(kernel: Kernel): FoundState['readPeer'] {
	const view = kernel.shared('backends');
	return (index) => view.getUint32(index * SHARED_STRIDE.backends + 24, true);
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
