/**
 * Maglev tables of services whose flows are not tracked (DSR): what happens to them when the set of backends changes.
 * While a transition runs, the programs look a packet up in the table in force and in the one before it, and remember
 * only flows on which the two disagree. One transition at a time: what is added meanwhile waits for its end, so that
 * no flow can be of a table before the last; a backend that is dead leaves both tables at once, one that drains leaves
 * the table in force only. Pure: time comes in, rows are numbers.
 */
import { maglevTable } from '../plan/maglev.ts';

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
	/** When the transition ends, in milliseconds of the caller's clock. */
	readonly untilMs: number;
}

export interface TableGoal {
	/** Sorted by key; empty = no backend. */
	readonly members: readonly TableMember[];
	/** A prime; of the table to make. */
	readonly size: number;
	/** Rows whose flows stay good, those of `members` among them. */
	readonly serving: ReadonlySet<number>;
}

export interface TransitionClock {
	readonly nowMs: number;
	/** How long a transition runs: the longest time between two packets of a flow that is kept for certain. */
	readonly transitionMs: number;
}

const EMPTY: Table = new Uint32Array(0);

/** The table that every node makes of these members. */
export function tableOf(members: readonly TableMember[], size: number): Uint32Array {
	const keys = members.map(({ key }) => key);
	const table = maglevTable(keys, size);
	for (let slot = 0; slot < size; slot++) table[slot] = members[table[slot] ?? 0]?.row ?? 0;
	return table;
}

/** What the tables should be now. @param old  what is in force; undefined = nothing, or no Maglev table */
export function moveTables(old: Tables | undefined, goal: TableGoal, clock: TransitionClock): Tables {
	if (goal.members.length === 0) return settled(EMPTY);
	const target = tableOf(goal.members, goal.size);
	if (old === undefined || old.current.length === 0) return settled(target);
	if (old.previous !== null && clock.nowMs < old.untilMs) return patched(old, old.previous, goal, target);
	if (sameTable(old.current, target)) return settled(old.current);
	const previous = replaceRows(old.current, goal.serving, goal.members);
	if (sameTable(previous, target)) return settled(target);
	return { current: target, previous, untilMs: clock.nowMs + clock.transitionMs };
}

function settled(current: Table): Tables {
	return { current, previous: null, untilMs: 0 };
}

/** A transition is under way: nothing comes in. */
function patched(old: Tables, previous: Table, goal: TableGoal, target: Table): Tables {
	const inForce = new Set(Array.from(old.current));
	const staying = goal.members.filter(({ row }) => inForce.has(row));
	const wanted = new Set(goal.members.map(({ row }) => row));
	// None of those that are in force is left: what waited comes in now, for flows have nowhere else to go.
	const members = staying.length > 0 ? staying : goal.members;
	const current = staying.length > 0 ? replaceRows(old.current, wanted, members) : target;
	return { current, previous: replaceRows(previous, goal.serving, members), untilMs: old.untilMs };
}

/** Slots of rows that are not kept go to where a table of the members has them; equal on nodes with equal tables. */
function replaceRows(table: Table, kept: ReadonlySet<number>, members: readonly TableMember[]): Table {
	let substitutes: Uint32Array | undefined;
	let result: Uint32Array | undefined;
	for (let slot = 0; slot < table.length; slot++) {
		if (kept.has(table[slot] ?? 0)) continue;
		substitutes ??= tableOf(members, table.length);
		result ??= Uint32Array.from(table);
		result[slot] = substitutes[slot] ?? 0;
	}
	return result ?? table;
}

export function sameTable(a: Table, b: Table): boolean {
	if (a === b) return true;
	if (a.length !== b.length) return false;
	for (let slot = 0; slot < a.length; slot++) if (a[slot] !== b[slot]) return false;
	return true;
}
