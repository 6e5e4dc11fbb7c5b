/**
 * Desired services against what the maps hold → operations. No kernel in here: the state is changed to what the maps
 * will hold when all operations have been done, and the caller reads it anew if one fails.
 * The work is proportional to the services that changed.
 */

import type { SvcEntry } from '../../native/abi/generated.ts';
import { L4Proto, Limits, SvcFlags, SvcScope } from '../../native/abi/generated.ts';
import type { DesiredPort, Frontend, OwnerPlan } from '../plan/services.ts';
import type { RememberedFlows } from './remembered-flows.ts';
import type { ServiceOp, ServiceOps } from './services-ops.ts';
import type { PackedPeer } from './services-peers.ts';
import type { GoneBackend, PortWork } from './services-port.ts';
import { commitPort, dropPort, preparePort } from './services-port.ts';
import type { Claim, Extent, PortState, ServicesState } from './services-state.ts';
import { chunksFor, EMPTY_EXTENT } from './services-state.ts';
import { dueMs, type TransitionClock } from './services-tables.ts';
import { diffXdpRows } from './services-xdp.ts';

export interface ServicesDiff extends ServiceOps {
	/** Owners that could not be programmed as wanted, with the reason. What they had before stays in force. */
	readonly refused: ReadonlyMap<string, string>;
	/** Backends that their service port no longer has, or not by these frontends, when all operations have been done. */
	readonly gone: readonly GoneBackend[];
	/** Addresses and ports that nobody or another service port had before. */
	readonly taken: readonly TakenFrontend[];
}

/** An address and port that a service port has newly: flows that clients began towards it before came to somebody else. */
export interface TakenFrontend {
	readonly address: string;
	readonly port: number;
	/** IP protocol number. */
	readonly proto: number;
}

export interface DiffOptions {
	/** `changes` are the plans of all owners: whatever else the state or the kernel holds is removed. */
	readonly full: boolean;
	readonly clock: TransitionClock;
	/** Who owns an address, for the hint in backend rows. */
	readonly peerOf: (address: string) => PackedPeer;
	/** What the programs remember of flows; asked only when a transition has run its time. */
	readonly remembered: () => RememberedFlows;
}

interface Work extends PortWork {
	/** Frontend keys whose entry may have to change. */
	readonly touched: Set<string>;
	readonly refused: Map<string, string>;
	/** Entries that are taken out. */
	readonly deleted: { readonly key: string; readonly entry: SvcEntry }[];
}

/** @param changes  plans of the owners that changed; transitions that have run their time end as well */
export function diffServices(
	state: ServicesState,
	changes: ReadonlyMap<string, OwnerPlan>,
	options: DiffOptions,
): ServicesDiff {
	const { full, clock, peerOf, remembered } = options;
	const work: Work = {
		state,
		clock,
		peerOf,
		remembered,
		before: [],
		slots: [],
		after: [],
		touched: new Set(),
		freedExtents: [],
		refused: new Map(),
		gone: [],
		deleted: [],
	};
	state.generation = (state.generation + 1) >>> 0;
	for (const [owner, plan] of changes) replaceOwner(work, owner, plan);
	if (full) removeOthers(work, changes);
	endTransitions(work, changes);
	const published = diffEntries(work);
	const xdp = diffXdpRows(state, work.touched, peerOf, full);
	const sources = state.sources.settle();
	const ports = diffExternalPorts(state);
	const idle = full ? state.filter.idle() : published.idleBits;
	for (const extent of work.freedExtents) freeExtent(state, extent);
	if (full && state.found !== undefined) sweepFound(work);
	return {
		before: [...xdp.before, ...published.filterSet, ...sources.before, ...work.before, ...work.slots, ...ports.before],
		publish: published.ops,
		after: [...ports.after, ...work.after, ...sources.after, ...clearBits(state, idle), ...xdp.after],
		refused: work.refused,
		gone: work.gone,
		taken: published.taken,
	};
}

function removeOthers(work: Work, changes: ReadonlyMap<string, OwnerPlan>): void {
	const { state } = work;
	for (const owner of state.owners.keys()) {
		if (!changes.has(owner)) replaceOwner(work, owner, { ports: [], problems: [] });
	}
	for (const key of state.entries.keys()) work.touched.add(key);
}

/** Ports whose transition has run its time are planned again as they are. */
function endTransitions(work: Work, changes: ReadonlyMap<string, OwnerPlan>): void {
	const { state, clock } = work;
	if (clock.nowMs < state.nextDueMs) return;
	state.nextDueMs = Number.POSITIVE_INFINITY;
	for (const name of [...state.moving]) {
		const port = state.ports.get(name);
		if (port?.tables === undefined) continue;
		const due = dueMs(port.tables);
		if (due > clock.nowMs || changes.has(port.owner)) state.nextDueMs = Math.min(state.nextDueMs, due);
		else replacePort(work, port.owner, port.plan);
	}
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
	const prepared = preparePort(work, owner, wanted);
	const known = state.ports.has(wanted.name);
	if ('refused' in prepared) {
		work.refused.set(owner, prepared.refused);
		if (prepared.found !== undefined) keepFound(work, prepared.found);
		return known || prepared.found !== undefined;
	}
	const { port } = prepared;
	// New sets first: one that goes and comes back in the same change stays.
	for (const frontend of wanted.frontends) state.sources.acquire(frontend.sources);
	if (known) removeClaims(work, port);
	commitPort(work, prepared);
	state.ports.set(wanted.name, port);
	for (const frontend of wanted.frontends) addClaim(work, port, frontend);
	return true;
}

/** What an agent finds in the kernel of a port that it has no room to change stays in force as it is there. */
function keepFound(work: Work, port: PortState): void {
	const { state } = work;
	const entries = port.plan.frontends.flatMap((frontend) => {
		const entry = state.entries.get(frontend.key);
		return entry?.id === port.id ? [{ frontend, entry }] : [];
	});
	const frontends = entries.map(({ frontend, entry }) => ({
		...frontend,
		flags: entry.flags & ~SvcFlags.REMEMBERED,
		sources: state.sources.setOf(entry.sourceSet),
	}));
	port.plan = { ...port.plan, frontends, affinityTimeoutS: entries[0]?.entry.affinityTimeoutS ?? 0 };
	state.ports.set(port.name, port);
	for (const frontend of frontends) {
		state.sources.acquire(frontend.sources);
		addClaim(work, port, frontend);
	}
}

function removePort(work: Work, port: PortState): void {
	removeClaims(work, port);
	dropPort(work, port);
	work.state.ports.delete(port.name);
}

function freeExtent(state: ServicesState, { base, count }: Extent): void {
	if (count > 0) state.chunks.quarantine(base / Limits.SLOTS_PER_CHUNK, chunksFor(count));
}

/** What was found in the kernel and belongs to nobody. */
function sweepFound(work: Work): void {
	const { state } = work;
	state.chunks.sweepFound();
	const swept = new Set(state.backends.allocator.sweepFound());
	for (const [svcId, rows] of swept.size === 0 ? [] : (state.found?.rows ?? [])) {
		const frontends = work.deleted.filter(({ entry }) => entry.id === svcId).map(({ key }) => addressAndPort(key));
		for (const { index, backend } of rows) {
			if (!swept.has(index)) continue;
			const { address, port, proto } = backend;
			const generation = state.backends.retire(index);
			work.after.push({ kind: 'backend-free', index, row: { port, proto, flags: 0, generation } });
			work.gone.push({ address, port, proto, svcId, frontends });
		}
	}
	state.found = undefined;
}

function addressAndPort(key: string): TakenFrontend {
	const [address = '', port, proto] = key.split('|');
	return { address, port: Number(port), proto: Number(proto) };
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

function removeClaims(work: Work, port: PortState): void {
	for (const frontend of port.plan.frontends) {
		const list = work.state.claims.get(frontend.key) ?? [];
		const rest = list.filter((claim) => claim.port !== port);
		if (rest.length === 0) work.state.claims.delete(frontend.key);
		else work.state.claims.set(frontend.key, rest);
		work.touched.add(frontend.key);
		work.state.sources.release(frontend.sources);
		if (frontend.atNode && rest.length < list.length) work.state.atNode--;
	}
}

interface PublishedEntries {
	readonly filterSet: ServiceOp[];
	readonly ops: ServiceOp[];
	/** Bits that an entry which goes away referred to. */
	readonly idleBits: number[];
	readonly taken: TakenFrontend[];
}

function diffEntries(work: Work): PublishedEntries {
	const { state } = work;
	const filterSet: ServiceOp[] = [];
	const sets: ServiceOp[] = [];
	const deletes: ServiceOp[] = [];
	const idleBits: number[] = [];
	const gone: string[] = [];
	const taken: TakenFrontend[] = [];
	const wanted: [string, SvcEntry, boolean][] = [];
	for (const key of work.touched) {
		const current = state.entries.get(key);
		const claim = state.claims.get(key)?.[0];
		if (claim === undefined) {
			if (current !== undefined) gone.push(key);
			continue;
		}
		const entry = entryOf(claim, state);
		if (current === undefined || !sameEntry(current, entry)) wanted.push([key, entry, current === undefined]);
	}
	const added = wanted.filter(([, , isNew]) => isNew).length;
	// Room is made first only when there is no other way: otherwise what is new stands before what is old goes.
	const deletesFirst = state.entries.size + added > state.entryCapacity;
	for (const key of gone) {
		const entry = state.entries.get(key);
		if (entry !== undefined) work.deleted.push({ key, entry });
		state.entries.delete(key);
		deletes.push({ kind: 'service-delete', key });
	}
	for (const [key, entry, isNew] of wanted) {
		if (isNew && state.entries.size >= state.entryCapacity) {
			refuseEntry(work, key);
			continue;
		}
		const former = state.entries.get(key)?.id ?? 0;
		if (entry.id !== 0 && former !== entry.id) taken.push(addressAndPort(key));
		if (former !== 0 && former !== entry.id) loseFrontend(work, key, former);
		state.entries.set(key, entry);
		sets.push({ kind: 'service-set', key, entry });
	}
	collectFilterBits(work, gone, filterSet, idleBits);
	return { filterSet, ops: deletesFirst ? [...deletes, ...sets] : [...sets, ...deletes], idleBits, taken };
}

/** Another service port has the address and port now: sockets that came to datagram servers of the former one by it should be ended. */
function loseFrontend(work: Work, key: string, former: number): void {
	const frontend = addressAndPort(key);
	if (frontend.proto !== L4Proto.UDP) return;
	const port = [...work.state.ports.values()].find(({ id }) => id === former);
	for (const { address, port: number, proto } of port?.plan.serving ?? []) {
		work.gone.push({ address, port: number, proto, svcId: former, frontends: [frontend] });
	}
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

function entryOf({ port, frontend }: Claim, state: ServicesState): SvcEntry {
	const addressOnly = (frontend.flags & SvcFlags.ADDRESS_ONLY) !== 0;
	const external = frontend.scope === SvcScope.EXTERNAL;
	const all = external ? port.external : port.all;
	const previous = external ? port.previous : EMPTY_EXTENT;
	const remembered = external && port.tables?.remembered === true ? SvcFlags.REMEMBERED : 0;
	return {
		id: addressOnly ? 0 : port.id,
		generation: state.generation,
		flags: frontend.flags | remembered,
		allBase: all.base,
		allCount: all.count,
		localBase: port.local.base,
		localCount: port.local.count,
		prevBase: previous.base,
		prevCount: previous.count,
		affinityTimeoutS: port.plan.affinityTimeoutS,
		sourceSet: state.sources.numberOf(frontend.sources),
		transition: previous.count > 0 ? port.transition : 0,
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
		a.sourceSet === b.sourceSet &&
		a.transition === b.transition
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
