/**
 * Maglev tables of services whose flows are not tracked (DSR): what happens to them when the set of backends changes.
 * The programs look a packet up in the table in force and in the one before it; they remember only flows on which the
 * two disagree. So a change starts a transition: what is added while it is young waits, lest flows of one table meet
 * the next but one; a backend that is dead leaves both tables at once, and one that drains leaves the table in force
 * only. The table before stays until something else changes, for flows live longer than changes take; when it has had its time
 * and no flow lives by it any more, it goes.
 * Pure: time comes in, rows are numbers.
 */
import { maglevTable } from '../plan/maglev.ts';
import { rankableTags, rankedTable } from '../plan/rank.ts';

/** A backend that may be in the table. */
export interface TableMember {
	/** Key by which every node hashes it. */
	readonly key: string;
	/** Index of its row. */
	readonly row: number;
}

/** Row index by slot. */
export type Table = ArrayLike<number>;

export interface Tables {
	readonly current: Table;
	/** null = no transition is under way. */
	readonly previous: Table | null;
	/** When the set of backends changed last, in milliseconds of the caller's clock; null = it is not known to have changed. */
	readonly changedMs: number | null;
	/** Until then additions wait. */
	readonly youngUntilMs: number;
	/** Then the previous table is given up, unless something changes before or flows live by it. */
	readonly keepUntilMs: number;
	/** Additions wait. */
	readonly behind: boolean;
	/** What the programs remember of a flow counts where the two tables agree as well (SVC_FLAG_REMEMBERED). */
	readonly remembered: boolean;
}

export interface TableGoal {
	/** Sorted by key; empty = no backend. */
	readonly members: readonly TableMember[];
	/** A prime; of the table to make. */
	readonly size: number;
	/** Rows whose flows stay good, those of `members` among them. */
	readonly serving: ReadonlySet<number>;
	/** From a second change on what is remembered counts for all flows, which finds those that were idle over both. */
	readonly remembersAll: boolean;
}

export interface TransitionClock {
	readonly nowMs: number;
	/** How long additions wait after a change. */
	readonly transitionMs: number;
}

/** How long a flow may be idle and still be known where tables disagree; bpf/lib/dsr.h forgets it after that time. */
const KEEP_MS = 3_600_000;

/** How long a previous table stays over its time because flows live by it. */
const POSTPONE_MS = 600_000;

/**
 * After so many transition times another change keeps the table in force as the one before, not an older one, where all three differ. Flows
 * that an older table tells apart and that nobody remembers have been silent all that while; those of the table in force are many by then, and
 * a balancer that they come to for the first time has nothing but tables to go by.
 */
const RESTED_TRANSITIONS = 20;

const EMPTY: Table = new Uint32Array(0);

/** The table that every node makes of these members. */
export function tableOf(members: readonly TableMember[], size: number): Uint32Array {
	const keys = members.map(({ key }) => key);
	const table = maglevTable(keys, size);
	for (let slot = 0; slot < size; slot++) table[slot] = members[table[slot] ?? 0]?.row ?? 0;
	return table;
}

/** The same under direct server return, where small sets are ranked slot by slot. */
export function rankedTableOf(members: readonly TableMember[], size: number): Uint32Array {
	const tags = rankableTags(members.map(({ key }) => key));
	if (tags === undefined) return tableOf(members, size);
	return rankedTable(tags, size).map((position) => members[position]?.row ?? 0);
}

/** When the tables are due to be looked at again. */
export function dueMs(tables: Tables): number {
	return tables.behind ? tables.youngUntilMs : tables.keepUntilMs;
}

/** What the tables should be now. @param old  what is in force; undefined = nothing, or no Maglev table */
export function moveTables(old: Tables | undefined, goal: TableGoal, clock: TransitionClock): Tables {
	if (goal.members.length === 0) return settled(EMPTY);
	const target = rankedTableOf(goal.members, goal.size);
	if (old === undefined || old.current.length === 0) return settled(target);
	if (old.previous !== null && clock.nowMs < old.youngUntilMs) {
		const kept = patched(old, old.previous, goal, target);
		if (kept !== undefined) return kept;
	}
	const { current, previous } = old;
	if (!sameTable(current, target)) return started(old, goal, target, clock);
	if (previous === null || clock.nowMs >= old.keepUntilMs) return settled(current);
	const before = tableBefore({ ...goal, previous, current, next: current, remembered: old.remembered });
	return { ...old, previous: before, behind: false };
}

/** Nothing changes. */
export function settled(current: Table): Tables {
	return {
		current,
		previous: null,
		changedMs: null,
		youngUntilMs: 0,
		keepUntilMs: 0,
		behind: false,
		remembered: false,
	};
}

/** A transition as the maps have it. */
export interface FoundTables {
	readonly current: Table;
	readonly previous: Table;
	readonly remembered: boolean;
}

/** A transition that begins, or one found in the kernel: nobody knows how old it is. */
export function resumeTables(found: FoundTables, { nowMs, transitionMs }: TransitionClock): Tables {
	const keepUntilMs = nowMs + Math.max(KEEP_MS, transitionMs);
	return { ...found, changedMs: nowMs, youngUntilMs: nowMs + transitionMs, keepUntilMs, behind: false };
}

/** The transition has had its time, but flows live by the table before: they are looked at again later. */
export function postponed(tables: Tables, { nowMs }: TransitionClock): Tables {
	return { ...tables, keepUntilMs: nowMs + POSTPONE_MS };
}

/**
 * Slots of tables of different sizes are not the same flows: after a second change nobody can see any more which flows the first two
 * tables disagreed on, so that what is remembered has to count for all.
 */
function mustRemember({ previous, current, remembered }: Tables, next: Table, goal: TableGoal): boolean {
	if (remembered || previous === null) return remembered;
	return goal.remembersAll || previous.length !== current.length || next.length !== current.length;
}

/** A change: the table in force becomes the one before. */
function started(old: Tables, goal: TableGoal, target: Table, clock: TransitionClock): Tables {
	const { current } = old;
	const remembered = mustRemember(old, target, goal);
	const rested = old.changedMs !== null && clock.nowMs - old.changedMs >= RESTED_TRANSITIONS * clock.transitionMs;
	const previous = rested && remembered ? current : (old.previous ?? current);
	const before = tableBefore({ ...goal, previous, current, next: target, remembered, rested });
	if (!remembered && sameTable(before, target)) return settled(target);
	return resumeTables({ current: target, previous: before, remembered }, clock);
}

/**
 * The transition is young: nothing comes in.
 * @returns undefined when so few are left that what waits has to come in after all
 */
function patched(old: Tables, previous: Table, goal: TableGoal, target: Table): Tables | undefined {
	const inForce = new Set(Array.from(old.current));
	const staying = goal.members.filter(({ row }) => inForce.has(row));
	if (staying.length * 2 < goal.members.length) return undefined;
	const wanted = new Set(goal.members.map(({ row }) => row));
	const disputed = (slot: number): boolean => previous[slot] !== old.current[slot];
	const current = replaceRows(old.current, wanted, staying, (slot) => (disputed(slot) ? (previous[slot] ?? 0) : 0));
	const remembered = mustRemember(old, current, goal);
	const before = tableBefore({ ...goal, previous, current: old.current, next: current, members: staying, remembered });
	return { ...old, current, previous: before, behind: !sameTable(current, target), remembered };
}

/**
 * The table to have beside `next`, made of the two that were in force: the one before as long as its backends serve, or the later one if it
 * has been in force for long (`rested`).
 * Where those two disagreed all flows are remembered, and that counts only while tables disagree: there it must not
 * say the same as `next`, unless it counts everywhere (`remembered`).
 */
function tableBefore(parts: {
	readonly previous: Table;
	readonly current: Table;
	readonly next: Table;
	readonly members: readonly TableMember[];
	readonly serving: ReadonlySet<number>;
	readonly remembered: boolean;
	readonly rested?: boolean;
}): Table {
	const { previous, current, next, members, serving, remembered, rested = false } = parts;
	const oldest = replaceRows(previous, serving, members, () => 0);
	if (remembered || previous.length !== current.length || next.length !== current.length) return oldest;
	const rows = [...members.map(({ row }) => row), ...serving];
	const result = Uint32Array.from(oldest);
	for (let slot = 0; slot < result.length; slot++) {
		const [older, newer, now] = [previous[slot] ?? 0, current[slot] ?? 0, next[slot] ?? 0];
		if (older === newer) continue;
		const kept = (rested ? [newer, older] : [older, newer]).find((row) => serving.has(row) && row !== now);
		if (kept !== undefined) result[slot] = kept;
		else if (result[slot] === now) result[slot] = rows.find((row) => row !== now) ?? now;
	}
	return sameTable(result, previous) ? previous : result;
}

/**
 * Slots of rows that are not kept go to where a table of the members has them; equal on nodes with equal tables.
 * @param avoid  row that a slot must not get if there is another; 0 = any will do
 */
function replaceRows(
	table: Table,
	kept: ReadonlySet<number>,
	members: readonly TableMember[],
	avoid: (slot: number) => number,
): Table {
	let substitutes: Uint32Array | undefined;
	let result: Uint32Array | undefined;
	for (let slot = 0; slot < table.length; slot++) {
		if (kept.has(table[slot] ?? 0)) continue;
		substitutes ??= rankedTableOf(members, table.length);
		result ??= Uint32Array.from(table);
		const row = substitutes[slot] ?? 0;
		result[slot] = row === avoid(slot) ? (members.find((each) => each.row !== row)?.row ?? row) : row;
	}
	return result ?? table;
}

export function sameTable(a: Table, b: Table): boolean {
	if (a === b) return true;
	if (a.length !== b.length) return false;
	for (let slot = 0; slot < a.length; slot++) if (a[slot] !== b[slot]) return false;
	return true;
}
