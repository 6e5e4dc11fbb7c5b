/**
 * Desired services against what the maps hold → operations. No kernel in here: the state is changed to what the maps
 * will hold when all operations have been done, and the caller reads it anew if one fails.
 * The work is proportional to the services that changed.
 */

import type { SvcEntry } from '../../native/abi/generated.ts';
import { Limits, SvcFlags } from '../../native/abi/generated.ts';
import type { Backend } from '../plan/endpoints.ts';
import type { DesiredPort, Frontend, OwnerPlan } from '../plan/services.ts';
import type { BackendRow } from './backend-table.ts';
import { BackendTable } from './backend-table.ts';
import type { ServiceOp, ServiceOps } from './services-ops.ts';
import type { Claim, Extent, PortState, ServicesState } from './services-state.ts';
import { chunksFor, EMPTY_EXTENT } from './services-state.ts';

export interface ServicesDiff extends ServiceOps {
	/** Owners that could not be programmed as wanted, with the reason. What they had before stays in force. */
	readonly refused: ReadonlyMap<string, string>;
}

interface Work {
	readonly state: ServicesState;
	readonly before: ServiceOp[];
	readonly slots: ServiceOp[];
	/** Frontend keys whose entry may have to change. */
	readonly touched: Set<string>;
	readonly freedExtents: Extent[];
	readonly refused: Map<string, string>;
}

/**
 * @param changes  plans of the owners that changed; with `full`, plans of all owners: whatever else the state or the
 *                 kernel holds is removed
 */
export function diffServices(
	state: ServicesState,
	changes: ReadonlyMap<string, OwnerPlan>,
	full: boolean,
): ServicesDiff {
	const work: Work = {
		state,
		before: [],
		slots: [],
		touched: new Set(),
		freedExtents: [],
		refused: new Map(),
	};
	state.generation = (state.generation + 1) >>> 0;
	for (const [owner, plan] of changes) replaceOwner(work, owner, plan);
	if (full) {
		for (const owner of state.owners.keys()) {
			if (!changes.has(owner)) replaceOwner(work, owner, { ports: [], problems: [] });
		}
		for (const key of state.entries.keys()) work.touched.add(key);
	}
	const rows = diffBackends(work, full);
	const published = diffEntries(work);
	const ports = diffExternalPorts(state);
	const idle = full ? state.filter.idle() : published.idleBits;
	for (const extent of work.freedExtents) freeExtent(state, extent);
	if (full && state.adopting) {
		state.chunks.sweepFound();
		state.adopting = false;
	}
	return {
		before: [...published.filterSet, ...rows.before, ...work.slots, ...ports.before],
		publish: published.ops,
		after: [...ports.after, ...rows.after, ...clearBits(state, idle)],
		refused: work.refused,
	};
}

function replaceOwner(work: Work, owner: string, plan: OwnerPlan): void {
	const { state } = work;
	const names: string[] = [];
	for (const port of plan.ports) {
		if (replacePort(work, owner, port)) names.push(port.name);
	}
	for (const name of state.owners.get(owner) ?? []) {
		const port = state.ports.get(name);
		if (port !== undefined && !names.includes(name)) removePort(work, port);
	}
	if (names.length === 0) state.owners.delete(owner);
	else state.owners.set(owner, names);
}

/** @returns true when the port exists afterwards, as wanted or (refused) as it was */
function replacePort(work: Work, owner: string, wanted: DesiredPort): boolean {
	const { state } = work;
	const old = state.ports.get(wanted.name);
	const { free, used, capacity } = state.backends.allocator;
	if (wanted.serving.length > free && state.backends.countMissing(wanted.serving) > free) {
		const missing = state.backends.countMissing(wanted.serving);
		work.refused.set(owner, `map backends: no room for ${missing} more rows, ${used} of ${capacity} used`);
		return old !== undefined;
	}
	const port = old ?? adoptPort(state, owner, wanted);
	const all = sameList(port.all, wanted.all) ? port.all : reserveExtent(work, owner, wanted.all);
	const local = sameList(port.local, wanted.local) ? port.local : reserveExtent(work, owner, wanted.local);
	if (all === undefined || local === undefined) {
		discardExtents(work, old, port, [all, local]);
		return old !== undefined;
	}
	const indexes = state.backends.acquire(wanted.serving);
	if (old !== undefined) {
		state.backends.release(old.plan.serving);
		removeClaims(work, old, old.plan.frontends);
	}
	writeExtent(work, port.all, all, wanted.all === wanted.serving ? indexes : undefined);
	writeExtent(work, port.local, local, undefined);
	port.plan = wanted;
	port.all = all;
	port.local = local;
	state.ports.set(wanted.name, port);
	for (const frontend of wanted.frontends) addClaim(work, port, frontend);
	return true;
}

/** Undoes the reservations of a port that was refused; one that is not in the state keeps nothing. */
function discardExtents(
	work: Work,
	old: PortState | undefined,
	port: PortState,
	reserved: readonly (Extent | undefined)[],
): void {
	const mine = [port.all, port.local];
	for (const extent of reserved) if (extent !== undefined && !mine.includes(extent)) freeExtent(work.state, extent);
	if (old === undefined) for (const extent of mine) work.freedExtents.push(extent);
}

function removePort(work: Work, port: PortState): void {
	work.state.backends.release(port.plan.serving);
	removeClaims(work, port, port.plan.frontends);
	work.freedExtents.push(port.all, port.local);
	work.state.ports.delete(port.name);
}

/** A port that is new to the state; after a restart it takes over the id and lists its entries have in the kernel. */
function adoptPort(state: ServicesState, owner: string, wanted: DesiredPort): PortState {
	const fresh = { name: wanted.name, owner, plan: wanted, all: EMPTY_EXTENT, local: EMPTY_EXTENT };
	if (wanted.frontends.every((frontend) => frontend.proto === 0)) return { ...fresh, id: 0 };
	if (state.adopting) {
		for (const frontend of wanted.frontends) {
			const entry = state.entries.get(frontend.key);
			// An id found in the kernel goes to the first port that wants an entry of it.
			if (entry === undefined || entry.id === 0 || state.adoptedIds.has(entry.id)) continue;
			state.adoptedIds.add(entry.id);
			return {
				...fresh,
				id: entry.id,
				all: adoptExtent(state, entry.allBase, entry.allCount),
				local: adoptExtent(state, entry.localBase, entry.localCount),
			};
		}
	}
	return { ...fresh, id: state.nextId++ };
}

function adoptExtent(state: ServicesState, base: number, count: number): Extent {
	const extent = state.readExtent(base, count);
	if (extent === undefined || count === 0) return EMPTY_EXTENT;
	return state.chunks.adopt(base / Limits.SLOTS_PER_CHUNK, chunksFor(count)) ? extent : EMPTY_EXTENT;
}

function sameList(extent: Extent, wanted: readonly Backend[]): boolean {
	if (extent.keys.length !== wanted.length) return false;
	for (let i = 0; i < wanted.length; i++) if (extent.keys[i] !== wanted[i]?.key) return false;
	return true;
}

function reserveExtent(work: Work, owner: string, wanted: readonly Backend[]): Extent | undefined {
	if (wanted.length === 0) return EMPTY_EXTENT;
	const { chunks } = work.state;
	const start = chunks.allocate(chunksFor(wanted.length));
	if (start === undefined) {
		const want = chunksFor(wanted.length);
		work.refused.set(
			owner,
			`map slots: no room for ${want} chunks in a row, ${chunks.used} of ${chunks.capacity} used`,
		);
		return undefined;
	}
	return { base: start * Limits.SLOTS_PER_CHUNK, keys: wanted.map((backend) => backend.key) };
}

function writeExtent(work: Work, old: Extent, extent: Extent, known: readonly number[] | undefined): void {
	if (extent === old) return;
	work.freedExtents.push(old);
	if (extent.keys.length === 0) return;
	const indexes = known ?? extent.keys.map((key) => work.state.backends.get(key)?.index ?? 0);
	work.slots.push({ kind: 'slots-set', base: extent.base, indexes });
}

function freeExtent(state: ServicesState, extent: Extent): void {
	if (extent.keys.length > 0) {
		state.chunks.quarantine(extent.base / Limits.SLOTS_PER_CHUNK, chunksFor(extent.keys.length));
	}
}

function addClaim(work: Work, port: PortState, frontend: Frontend): void {
	const { claims } = work.state;
	const list = claims.get(frontend.key);
	const claim: Claim = { port, frontend };
	if (list === undefined) claims.set(frontend.key, [claim]);
	else {
		list.push(claim);
		list.sort((a, b) => compareClaims(a, b));
	}
	work.touched.add(frontend.key);
	if (frontend.atNode) work.state.atNode++;
}

function compareClaims(a: Claim, b: Claim): number {
	const left = `${a.port.plan.rank}\0${a.port.name}`;
	const right = `${b.port.plan.rank}\0${b.port.name}`;
	return left < right ? -1 : left > right ? 1 : 0;
}

function removeClaims(work: Work, port: PortState, frontends: readonly Frontend[]): void {
	for (const frontend of frontends) {
		const list = work.state.claims.get(frontend.key) ?? [];
		const rest = list.filter((claim) => claim.port !== port);
		if (rest.length === 0) work.state.claims.delete(frontend.key);
		else work.state.claims.set(frontend.key, rest);
		work.touched.add(frontend.key);
		if (frontend.atNode && rest.length < list.length) work.state.atNode--;
	}
}

function diffBackends(work: Work, full: boolean): { before: ServiceOp[]; after: ServiceOp[] } {
	const { backends } = work.state;
	const before: ServiceOp[] = [];
	const after: ServiceOp[] = [];
	const touched = backends.takeTouched();
	for (const row of full ? [...backends.rows()] : touched) {
		if (row.references === 0) {
			const generation = backends.remove(row);
			const dead = { port: row.port, proto: row.proto, flags: 0, generation };
			after.push({ kind: 'backend-free', index: row.index, row: dead });
			continue;
		}
		diffRow(row, before, after);
	}
	if (full && work.state.adopting) {
		for (const index of backends.allocator.sweepFound()) {
			const dead = { port: 0, proto: 0, flags: 0, generation: backends.retire(index) };
			after.push({ kind: 'backend-free', index, row: dead });
		}
	}
	return { before, after };
}

/** Flags are added before the services that need them are published, and taken away after. */
function diffRow(row: BackendRow, before: ServiceOp[], after: ServiceOp[]): void {
	const flags = BackendTable.wantedFlags(row);
	if (flags === row.flags) return;
	const { index, address, port, proto, generation } = row;
	const fresh = row.flags === 0;
	const loses = (row.flags & ~flags) !== 0;
	row.flags = flags;
	const word = { port, proto, flags, generation };
	if (fresh) before.push({ kind: 'backend-set', index, address, row: word });
	else (loses ? after : before).push({ kind: 'backend-update', index, row: word });
}

interface PublishedEntries {
	readonly filterSet: ServiceOp[];
	readonly ops: ServiceOp[];
	/** Bits that an entry which goes away referred to. */
	readonly idleBits: number[];
}

function diffEntries(work: Work): PublishedEntries {
	const { state } = work;
	const filterSet: ServiceOp[] = [];
	const sets: ServiceOp[] = [];
	const deletes: ServiceOp[] = [];
	const idleBits: number[] = [];
	const gone: string[] = [];
	const wanted: [string, SvcEntry, boolean][] = [];
	for (const key of work.touched) {
		const current = state.entries.get(key);
		const claim = state.claims.get(key)?.[0];
		if (claim === undefined) {
			if (current !== undefined) gone.push(key);
			continue;
		}
		const entry = entryOf(claim, state.generation);
		if (current === undefined || !sameEntry(current, entry)) wanted.push([key, entry, current === undefined]);
	}
	const added = wanted.filter(([, , isNew]) => isNew).length;
	// Room is made first only when there is no other way: otherwise what is new stands before what is old goes.
	const deletesFirst = state.entries.size + added > state.entryCapacity;
	for (const key of gone) {
		state.entries.delete(key);
		deletes.push({ kind: 'service-delete', key });
	}
	for (const [key, entry, isNew] of wanted) {
		if (isNew && state.entries.size >= state.entryCapacity) {
			refuseEntry(work, key);
			continue;
		}
		state.entries.set(key, entry);
		sets.push({ kind: 'service-set', key, entry });
	}
	collectFilterBits(work, gone, filterSet, idleBits);
	return { filterSet, ops: deletesFirst ? [...deletes, ...sets] : [...sets, ...deletes], idleBits };
}

function refuseEntry(work: Work, key: string): void {
	const { state } = work;
	const owner = state.claims.get(key)?.[0]?.port.owner ?? '';
	work.refused.set(
		owner,
		`map services: no room for another entry, ${state.entries.size} of ${state.entryCapacity} used`,
	);
}

/** Bits are counted once per entry in the map, so each key is counted when it enters and leaves `counted`. */
function collectFilterBits(work: Work, gone: readonly string[], filterSet: ServiceOp[], idleBits: number[]): void {
	const { state } = work;
	for (const key of work.touched) {
		if (!state.entries.has(key) || state.counted.has(key)) continue;
		state.counted.add(key);
		const bit = state.filter.acquire(addressOfKey(key));
		if (bit !== undefined) filterSet.push({ kind: 'filter-set', bit });
	}
	for (const key of gone) {
		if (state.counted.delete(key)) idleBits.push(state.filter.release(addressOfKey(key)));
	}
}

function addressOfKey(key: string): string {
	return key.slice(0, key.indexOf('|'));
}

function clearBits(state: ServicesState, bits: readonly number[]): ServiceOp[] {
	return bits.filter((bit) => state.filter.clearIfIdle(bit)).map((bit) => ({ kind: 'filter-clear', bit }));
}

function entryOf({ port, frontend }: Claim, generation: number): SvcEntry {
	const addressOnly = (frontend.flags & SvcFlags.ADDRESS_ONLY) !== 0;
	return {
		id: addressOnly ? 0 : port.id,
		generation,
		flags: frontend.flags,
		allBase: port.all.base,
		allCount: port.all.keys.length,
		localBase: port.local.base,
		localCount: port.local.keys.length,
		prevBase: 0,
		prevCount: 0,
		affinityTimeoutS: port.plan.affinityTimeoutS,
		sourceSet: 0,
	};
}

/** Equal but for the generation, which only says that something changed. */
function sameEntry(a: SvcEntry, b: SvcEntry): boolean {
	return (
		a.id === b.id &&
		a.flags === b.flags &&
		a.allBase === b.allBase &&
		a.allCount === b.allCount &&
		a.localBase === b.localBase &&
		a.localCount === b.localCount &&
		a.prevBase === b.prevBase &&
		a.prevCount === b.prevCount &&
		a.affinityTimeoutS === b.affinityTimeoutS &&
		a.sourceSet === b.sourceSet
	);
}

/** The count may be too high for a moment (a look-up more), never too low. */
function diffExternalPorts(state: ServicesState): { before: ServiceOp[]; after: ServiceOp[] } {
	const op: ServiceOp = { kind: 'external-ports', count: state.atNode };
	const { externalPorts } = state;
	state.externalPorts = state.atNode;
	if (state.atNode === externalPorts) return { before: [], after: [] };
	return state.atNode > externalPorts ? { before: [op], after: [] } : { before: [], after: [op] };
}
