/**
 * One service port: from what was programmed last to what is wanted. Rows, lists and tables; entries are made of them
 * afterwards. What has no room changes nothing.
 */
import { BackendFlags, Limits } from '../../native/abi/generated.ts';
import type { Backend } from '../plan/endpoints.ts';
import type { DesiredPort } from '../plan/services.ts';
import { ANYBODY } from '../plan/services-sources.ts';
import { livesByTableBefore, type RememberedFlows } from './remembered-flows.ts';
import { adoptPort } from './services-adopt.ts';
import type { ServiceOp } from './services-ops.ts';
import type { PackedPeer } from './services-peers.ts';
import type { Extent, PortState, ServicesState } from './services-state.ts';
import { chunksFor, EMPTY_EXTENT } from './services-state.ts';
import type { Table, TableMember, Tables, TransitionClock } from './services-tables.ts';
import { dueMs, moveTables, postponed, rankedTableOf, sameTable, settled, tableOf } from './services-tables.ts';
import { unionOfPort } from './services-xdp.ts';

/** A backend that a service port no longer has: what is connected to it through the service should be ended. */
export interface GoneBackend {
	readonly address: string;
	readonly port: number;
	/** IP protocol number. */
	readonly proto: number;
	/** Of the service port; see ServicesReconciler.serviceNames(). */
	readonly svcId: number;
	/** 'namespace/name' of the service; undefined = a service that went while no agent ran. */
	readonly owner?: string;
	/** Where clients reached it: what came by another address was not the service's. */
	readonly frontends: readonly { readonly address: string; readonly port: number }[];
}

/** What the diff of one change set gathers. */
export interface PortWork {
	readonly state: ServicesState;
	readonly clock: TransitionClock;
	readonly peerOf: (address: string) => PackedPeer;
	/** What the programs remember of flows of services whose set changes. */
	readonly remembered: () => RememberedFlows;
	/** Rows that are new or gain something. */
	readonly before: ServiceOp[];
	readonly slots: ServiceOp[];
	/** Rows that lose something or go away. */
	readonly after: ServiceOp[];
	readonly freedExtents: Extent[];
	readonly gone: GoneBackend[];
}

/** A port in its new form, to be taken over by commit(). */
export interface PreparedPort {
	readonly port: PortState;
	readonly wanted: DesiredPort;
	readonly rows: readonly number[];
	readonly lists: Lists;
}

/** There is no room for a port as it is wanted. */
export interface RefusedPort {
	readonly refused: string;
	/** What the kernel has of a port that is not in the state: to be kept. */
	readonly found?: PortState;
}

interface Lists {
	readonly all: Extent;
	readonly external: Extent;
	readonly local: Extent;
	readonly previous: Extent;
	readonly tables: Tables | undefined;
	readonly writes: readonly ServiceOp[];
}

/** @returns the port, or why there is no room for it: then nothing has changed */
export function preparePort(work: PortWork, owner: string, wanted: DesiredPort): PreparedPort | RefusedPort {
	const { state, clock } = work;
	const known = state.ports.get(wanted.name);
	const port = known ?? adoptPort(state, owner, wanted, clock);
	const rows = matchRows(port, wanted.serving);
	const refused = roomForRows(state, rows) ?? roomForSources(state, wanted);
	const isFound = known === undefined && state.found?.adoptedIds.has(port.id) === true;
	const kept = isFound ? { found: port } : {};
	if (refused !== undefined) return { refused, ...kept };
	const fresh = createRows(state, wanted.serving, rows);
	const lists = planLists(work, port, wanted, rows);
	if (typeof lists !== 'string') return { port, wanted, rows, lists };
	for (const i of fresh) state.backends.cancel(rows[i] ?? 0, wanted.serving[i]?.address ?? '');
	return { refused: lists, ...kept };
}

function roomForRows(state: ServicesState, rows: readonly number[]): string | undefined {
	const { free, used, capacity } = state.backends.allocator;
	if (rows.length <= free) return undefined;
	const missing = rows.reduce((sum, row) => sum + (row === 0 ? 1 : 0), 0);
	return missing <= free ? undefined : `map backends: no room for ${missing} more rows, ${used} of ${capacity} used`;
}

function roomForSources({ sources }: ServicesState, wanted: DesiredPort): string | undefined {
	if (wanted.frontends.every((frontend) => frontend.sources === ANYBODY)) return undefined;
	const missing = sources.missing(wanted.frontends.map((frontend) => frontend.sources));
	if (sources.used + missing <= sources.capacity) return undefined;
	return `map sources: no room for ${missing} more prefixes, ${sources.used} of ${sources.capacity} used`;
}

/** Indexes of the rows that stay; 0 = a row has to be made. Both lists are sorted by key. */
function matchRows(port: PortState, wanted: readonly Backend[]): number[] {
	const old = port.plan.serving;
	const rows = new Array<number>(wanted.length);
	let i = 0;
	for (let j = 0; j < wanted.length; j++) {
		const key = wanted[j]?.key ?? '';
		while (i < old.length && (old[i]?.key ?? '') < key) i++;
		rows[j] = old[i]?.key === key ? (port.rows[i++] ?? 0) : 0;
	}
	return rows;
}

/** @returns positions of the rows that were made */
function createRows(state: ServicesState, wanted: readonly Backend[], rows: number[]): number[] {
	const fresh: number[] = [];
	for (let i = 0; i < rows.length; i++) {
		if (rows[i] !== 0) continue;
		rows[i] = state.backends.create(wanted[i]?.address ?? '');
		fresh.push(i);
	}
	return fresh;
}

/** Makes the prepared form that of the state, and the operations for it. */
export function commitPort(work: PortWork, { port, wanted, rows, lists }: PreparedPort): void {
	const { state } = work;
	freeLost(work, port, rows);
	for (let i = 0; i < rows.length; i++) {
		const backend = wanted.serving[i];
		if (backend !== undefined) writeRow(work, port.id, rows[i] ?? 0, backend);
	}
	const kept = [lists.all, lists.external, lists.local, lists.previous];
	for (const extent of extentsOfPort(port)) if (!kept.includes(extent)) work.freedExtents.push(extent);
	work.slots.push(...lists.writes);
	port.plan = wanted;
	port.rows = rows;
	port.all = lists.all;
	port.external = lists.external;
	port.local = lists.local;
	port.previous = lists.previous;
	if (lists.tables !== undefined && (port.tables?.previous ?? null) === null) port.transition = state.generation;
	port.tables = lists.tables;
	port.union = unionOfPort(state, port);
	if (lists.tables === undefined) state.moving.delete(port.name);
	else {
		state.moving.add(port.name);
		state.nextDueMs = Math.min(state.nextDueMs, dueMs(lists.tables));
	}
}

/** Takes everything of a port out of the state. */
export function dropPort(work: PortWork, port: PortState): void {
	freeLost(work, port, []);
	work.freedExtents.push(...extentsOfPort(port));
	work.state.moving.delete(port.name);
}

function extentsOfPort(port: PortState): readonly Extent[] {
	return [...new Set([port.all, port.external, port.local, port.previous])];
}

/** Rows that the port has and that are not among `rows`. */
function freeLost(work: PortWork, port: PortState, rows: readonly number[]): void {
	const { backends } = work.state;
	if (port.rows.length === 0 || sameTable(port.rows, rows)) return;
	const kept = new Set(rows);
	const { frontends } = port.plan;
	for (const [i, backend] of port.plan.serving.entries()) {
		const index = port.rows[i] ?? 0;
		if (kept.has(index)) continue;
		const { address, port: number, proto } = backend;
		const generation = backends.remove(index, address);
		work.after.push({ kind: 'backend-free', index, row: { port: number, proto, flags: 0, generation } });
		work.gone.push({ address, port: number, proto, svcId: port.id, owner: port.owner, frontends });
	}
}

/** What opens a row to new connections comes before the lists that name it, what closes it after them. */
function writeRow(work: PortWork, svcId: number, index: number, backend: Backend): void {
	const { state, before, after } = work;
	const { backends, found } = state;
	const old = backends.flags[index] ?? 0;
	const { flags, address, port, proto } = backend;
	if (old === flags && found === undefined) return;
	const generation = backends.generationOf(index);
	backends.flags[index] = flags;
	if (old === 0) {
		before.push({ kind: 'backend-set', index, backend, generation, peer: work.peerOf(address), svcId });
		return;
	}
	const word = (bits: number) => ({ port, proto, flags: bits, generation });
	const peer = found === undefined ? undefined : work.peerOf(address);
	if (peer !== undefined && found?.readPeer(index) !== peer) {
		before.push({ kind: 'backend-peer', index, owner: { peer, svcId } });
	}
	if (old === flags) return;
	if ((old & ~flags) === 0) {
		before.push({ kind: 'backend-update', index, row: word(flags) });
		return;
	}
	if (flags & ~old & (BackendFlags.LIVE | BackendFlags.LOCAL)) {
		before.push({ kind: 'backend-update', index, row: word(old | flags) });
	}
	after.push({ kind: 'backend-update', index, row: word(flags) });
}

/** Lists as they should be; extents are reserved, and given back when one finds no room. */
function planLists(work: PortWork, port: PortState, wanted: DesiredPort, rows: readonly number[]): Lists | string {
	const place = new Placement(work.state);
	const { plan } = port;
	const contentOf = (list: readonly Backend[], size: number): Table => {
		const indexes = rowsOf(list, wanted.serving, rows);
		return size === 0 ? indexes : tableOf(membersOf(list, indexes), size);
	};
	const keep = (old: Extent, same: boolean, content: () => Table): Extent => (same ? old : place.put(content()));
	const all = keep(port.all, plan.allTable === wanted.allTable && sameKeys(plan.all, wanted.all), () =>
		contentOf(wanted.all, wanted.allTable),
	);
	const local = keep(port.local, sameKeys(plan.local, wanted.local), () => contentOf(wanted.local, 0));
	const shares = wanted.external === wanted.all && wanted.externalTable === wanted.allTable && !wanted.transitions;
	const wasShared = port.external === port.all && port.all !== EMPTY_EXTENT;
	let external = all;
	let previous = EMPTY_EXTENT;
	let tables: Tables | undefined;
	if (wanted.transitions && wanted.externalTable > 0) {
		({ external, previous, tables } = moveExternal(work, place, port, wanted, rows));
	} else if (!shares) {
		const same = !wasShared && port.tables === undefined && plan.externalTable === wanted.externalTable;
		external = keep(port.external, same && sameKeys(plan.external, wanted.external), () =>
			contentOf(wanted.external, wanted.externalTable),
		);
	}
	const refused = place.refused;
	return refused ?? { all, external, local, previous, tables, writes: place.writes };
}

function moveExternal(
	work: PortWork,
	place: Placement,
	port: PortState,
	wanted: DesiredPort,
	rows: readonly number[],
): { external: Extent; previous: Extent; tables: Tables | undefined } {
	const members = membersOf(wanted.external, rowsOf(wanted.external, wanted.serving, rows));
	const old = tablesInUse(work, port, wanted);
	const goal = { members, size: wanted.externalTable, serving: new Set(rows), remembersAll: wanted.remembersAll };
	const next = moveTables(old, goal, work.clock);
	const owns = port.external !== port.all || port.all === EMPTY_EXTENT;
	const known: [Table, Extent][] = [];
	if (old !== undefined && owns) known.push([old.current, port.external]);
	if (old !== undefined && old.previous !== null) known.push([old.previous, port.previous]);
	// A table that goes on, in force or as the one before, keeps its place: only the new one is written.
	const put = (table: Table): Extent => known.find(([each]) => sameTable(each, table))?.[1] ?? place.put(table);
	return {
		external: put(next.current),
		previous: next.previous === null ? EMPTY_EXTENT : put(next.previous),
		tables: next.previous === null ? undefined : next,
	};
}

/** Those in force. The one before stays over its time while connections live by it. */
function tablesInUse(work: PortWork, port: PortState, wanted: DesiredPort): Tables | undefined {
	const { tables, transition } = port;
	if (tables === undefined) return tablesOf(port);
	if (work.clock.nowMs < tables.keepUntilMs) return tables;
	return livesByTableBefore(tables, wanted, transition, work.remembered()) ? postponed(tables, work.clock) : tables;
}

/** The table that the last plan made. */
function tablesOf({ plan, rows, external }: PortState): Tables | undefined {
	if (plan.externalTable === 0 || external.count === 0) return undefined;
	const members = membersOf(plan.external, rowsOf(plan.external, plan.serving, rows));
	const current = (plan.transitions ? rankedTableOf : tableOf)(members, plan.externalTable);
	return settled(current);
}

function membersOf(list: readonly Backend[], indexes: readonly number[]): TableMember[] {
	return list.map(({ key }, i) => ({ key, row: indexes[i] ?? 0 }));
}

/** Row indexes of a list whose backends are all in `serving`; both are sorted by key. */
function rowsOf(list: readonly Backend[], serving: readonly Backend[], rows: readonly number[]): readonly number[] {
	if (list === serving) return rows;
	const indexes: number[] = [];
	for (let i = 0, j = 0; i < list.length; i++) {
		while (j < serving.length && serving[j]?.key !== list[i]?.key) j++;
		indexes.push(rows[j] ?? 0);
	}
	return indexes;
}

function sameKeys(a: readonly Backend[], b: readonly Backend[]): boolean {
	if (a === b) return true;
	if (a.length !== b.length) return false;
	for (let i = 0; i < a.length; i++) if (a[i]?.key !== b[i]?.key) return false;
	return true;
}

/** Reserves extents for one port, all or none. */
class Placement {
	readonly writes: ServiceOp[] = [];
	readonly #state: ServicesState;
	readonly #reserved: Extent[] = [];
	#refused: string | undefined;

	constructor(state: ServicesState) {
		this.#state = state;
	}

	put(content: Table): Extent {
		if (content.length === 0 || this.#refused !== undefined) return EMPTY_EXTENT;
		const { chunks } = this.#state;
		const wanted = chunksFor(content.length);
		const start = chunks.allocate(wanted);
		if (start === undefined) {
			this.#refused = `map slots: no room for ${wanted} chunks in a row, ${chunks.used} of ${chunks.capacity} used`;
			return EMPTY_EXTENT;
		}
		const extent = { base: start * Limits.SLOTS_PER_CHUNK, count: content.length };
		this.#reserved.push(extent);
		this.writes.push({ kind: 'slots-set', base: extent.base, indexes: content });
		return extent;
	}

	/** Why something found no room; everything reserved has been given back then. */
	get refused(): string | undefined {
		if (this.#refused === undefined) return undefined;
		for (const { base, count } of this.#reserved.splice(0)) {
			this.#state.chunks.cancel(base / Limits.SLOTS_PER_CHUNK, chunksFor(count));
		}
		return this.#refused;
	}
}
