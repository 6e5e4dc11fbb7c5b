/**
 * What a restarted agent takes over from the kernel: ids, rows, lists and tables of a service port, so that nothing is
 * written that is already there and conntrack entries keep their meaning.
 */
import type { SvcEntry } from '../../native/abi/generated.ts';
import { Limits, SvcFlags, SvcScope } from '../../native/abi/generated.ts';
import type { Backend } from '../plan/endpoints.ts';
import type { DesiredPort } from '../plan/services.ts';
import type { Extent, FoundState, PortState, ServicesState } from './services-state.ts';
import { chunksFor, EMPTY_EXTENT } from './services-state.ts';
import type { FoundTables, Tables, TransitionClock } from './services-tables.ts';
import { resumeTables, sameTable, settled, tableOf } from './services-tables.ts';

const NOTHING: readonly Backend[] = [];
const NO_ROWS: readonly number[] = [];

/** A port that is new to the state. A transition that a dead agent has left begins anew; one of this agent goes on. */
export function adoptPort(state: ServicesState, owner: string, wanted: DesiredPort, clock: TransitionClock): PortState {
	if (wanted.frontends.every((frontend) => frontend.proto === 0)) return freshPort(owner, wanted, 0);
	const { found } = state;
	for (const frontend of found === undefined ? [] : wanted.frontends) {
		const entry = state.entries.get(frontend.key);
		// An id found in the kernel goes to the first port that wants an entry of it.
		if (found === undefined || entry === undefined || entry.id === 0 || found.adoptedIds.has(entry.id)) continue;
		found.adoptedIds.add(entry.id);
		const port = freshPort(owner, wanted, entry.id);
		adoptContent(state, found, port, wanted, clock);
		return port;
	}
	return freshPort(owner, wanted, state.nextId++);
}

function freshPort(owner: string, wanted: DesiredPort, id: number): PortState {
	const plan: DesiredPort = {
		...wanted,
		all: NOTHING,
		allTable: 0,
		external: NOTHING,
		externalTable: 0,
		local: NOTHING,
		serving: NOTHING,
	};
	return {
		name: wanted.name,
		owner,
		id,
		plan,
		rows: NO_ROWS,
		all: EMPTY_EXTENT,
		external: EMPTY_EXTENT,
		local: EMPTY_EXTENT,
		previous: EMPTY_EXTENT,
		tables: undefined,
		union: undefined,
		transition: 0,
	};
}

/** Rows of the port by index. */
type Rows = ReadonlyMap<number, Backend>;

interface AdoptedList {
	readonly extent: Extent;
	/** What the extent holds as a plan would say it; empty when no plan says so. */
	readonly list: readonly Backend[];
	readonly table: number;
	readonly content: Uint32Array | undefined;
}

const NO_LIST: AdoptedList = { extent: EMPTY_EXTENT, list: NOTHING, table: 0, content: undefined };

function adoptContent(
	state: ServicesState,
	found: FoundState,
	port: PortState,
	wanted: DesiredPort,
	clock: TransitionClock,
): void {
	const rows = adoptRows(state, found, port);
	const entryOf = (scope: number): SvcEntry | undefined => {
		for (const frontend of wanted.frontends) {
			const entry = frontend.scope === scope ? state.entries.get(frontend.key) : undefined;
			if (entry?.id === port.id) return entry;
		}
		return undefined;
	};
	const cluster = entryOf(SvcScope.CLUSTER);
	const external = entryOf(SvcScope.EXTERNAL);
	const first = cluster ?? external;
	if (first === undefined) return;
	const all = adoptList(state, found, rows, first, first.allBase, first.allCount);
	const shared = external === undefined || external.allBase === first.allBase;
	const outer = shared ? all : adoptList(state, found, rows, external, external.allBase, external.allCount);
	const local = adoptList(state, found, rows, undefined, first.localBase, first.localCount);
	port.all = all.extent;
	port.external = outer.extent;
	port.local = local.extent;
	port.plan = {
		...port.plan,
		all: all.list,
		allTable: all.table,
		external: outer.list,
		externalTable: outer.table,
		local: local.list,
	};
	if (external !== undefined) adoptTables(state, found, port, rows, external, outer, clock);
}

function adoptTables(
	state: ServicesState,
	found: FoundState,
	port: PortState,
	rows: Rows,
	entry: SvcEntry,
	outer: AdoptedList,
	clock: TransitionClock,
): void {
	if ((entry.flags & SvcFlags.MAGLEV) === 0 || outer.content === undefined) return;
	const previous = adoptList(state, found, rows, undefined, entry.prevBase, entry.prevCount);
	const current = outer.content;
	const remembered = (entry.flags & SvcFlags.REMEMBERED) !== 0;
	port.previous = previous.extent;
	if (previous.content === undefined) port.tables = settled(current);
	else {
		const tables = { current, previous: previous.content, remembered };
		const known = found.moving.get(port.name);
		port.tables = known !== undefined && sameMove(known, tables) ? known : resumeTables(tables, clock);
	}
	port.transition = entry.transition;
}

/** Is it the change that this agent knows, with its times? */
function sameMove(known: Tables, { current, previous, remembered }: FoundTables): boolean {
	if (known.remembered !== remembered || known.previous === null) return false;
	return sameTable(known.current, current) && sameTable(known.previous, previous);
}

/** Rows that name the port. Of two with the same content the second is left to be freed. */
function adoptRows(state: ServicesState, found: FoundState, port: PortState): Rows {
	const list = [...(found.rows.get(port.id) ?? [])];
	list.sort((a, b) => (a.backend.key < b.backend.key ? -1 : a.backend.key > b.backend.key ? 1 : a.index - b.index));
	const serving: Backend[] = [];
	const indexes: number[] = [];
	const rows = new Map<number, Backend>();
	for (const { index, backend } of list) {
		if (serving.at(-1)?.key === backend.key) continue;
		if (!state.backends.adopt(index, backend.address, backend.flags)) continue;
		serving.push(backend);
		indexes.push(index);
		rows.set(index, backend);
	}
	port.rows = indexes;
	port.plan = { ...port.plan, serving };
	return rows;
}

/** @param entry  whose flags say whether it is a table; undefined = take the content only */
function adoptList(
	state: ServicesState,
	found: FoundState,
	rows: Rows,
	entry: SvcEntry | undefined,
	base: number,
	count: number,
): AdoptedList {
	const content = count === 0 ? undefined : found.readSlots(base, count);
	if (content === undefined || !content.every((index) => rows.has(index))) return NO_LIST;
	if (!state.chunks.adopt(base / Limits.SLOTS_PER_CHUNK, chunksFor(count))) return NO_LIST;
	const extent: Extent = { base, count };
	if (entry === undefined || (entry.flags & SvcFlags.MAGLEV) === 0) {
		return {
			extent,
			list: Array.from(content, (index) => rows.get(index)).filter((b) => b !== undefined),
			table: 0,
			content,
		};
	}
	const members = [...rows].filter(([index]) => content.includes(index));
	const keyed = members.map(([row, { key }]) => ({ key, row }));
	const known = sameTable(content, tableOf(keyed, count));
	return { extent, list: known ? members.map(([, backend]) => backend) : NOTHING, table: count, content };
}
