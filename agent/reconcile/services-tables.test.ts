import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { maglevSize } from '../plan/maglev.ts';
import type { TableMember, Tables } from './services-tables.ts';
import { dueMs, moveTables, rankedTableOf, sameTable, tableOf } from './services-tables.ts';

const WINDOW_MS = 1000;
const member = (n: number): TableMember => ({ key: `10.0.${n >> 8}.${n & 255}|8080|6`, row: n });
const members = (...rows: readonly number[]): TableMember[] => rows.map(member);
const set = (table: ArrayLike<number> | null): number[] => [...new Set(Array.from(table ?? []))].sort((a, b) => a - b);

/** @param serving  rows whose flows stay good besides the wanted ones: they drain */
function move(
	old: Tables | undefined,
	rows: readonly number[],
	nowMs: number,
	draining: readonly number[] = [],
): Tables {
	const goal = { members: members(...rows), size: 251, serving: new Set([...rows, ...draining]), remembersAll: false };
	return moveTables(old, goal, { nowMs, transitionMs: WINDOW_MS });
}

describe('moveTables', () => {
	const first = move(undefined, [1, 2, 3], 0);

	it('starts with the table that every node makes', () => {
		expect(first).toMatchObject({ previous: null, behind: false });
		expect(sameTable(first.current, rankedTableOf(members(1, 2, 3), 251))).toBe(true);
	});

	it('keeps the same object when nothing changes', () => {
		expect(move(first, [1, 2, 3], 5).current).toBe(first.current);
	});

	it('has the old table beside the new one after an addition', () => {
		const next = move(first, [1, 2, 3, 4], 0);
		expect(next.previous).toBe(first.current);
		expect(sameTable(next.current, rankedTableOf(members(1, 2, 3, 4), 251))).toBe(true);
		expect(next.behind).toBe(false);
	});

	it('lets additions wait while a transition is young, and no longer', () => {
		const started = move(first, [1, 2, 3, 4], 0);
		const waiting = move(started, [1, 2, 3, 4, 5], 10);
		expect(waiting.current).toBe(started.current);
		expect([waiting.behind, dueMs(waiting)]).toEqual([true, WINDOW_MS]);
		const then = move(waiting, [1, 2, 3, 4, 5], WINDOW_MS);
		expect(sameTable(then.current, rankedTableOf(members(1, 2, 3, 4, 5), 251))).toBe(true);
		expect(then.behind).toBe(false);
	});

	it('lets additions in early when less than half of what is wanted would serve', () => {
		const started = move(first, [1, 2, 3, 4], 0);
		expect(set(move(started, [4, 5], 10).current)).toEqual([4]);
		expect(set(move(started, [4, 5, 6], 10).current)).toEqual([4, 5, 6]);
	});

	it('takes a dead backend out of both tables at once', () => {
		const started = move(first, [1, 2, 3, 4], 0);
		const dead = move(started, [2, 3, 4], 10);
		expect([set(dead.current), set(dead.previous)]).toEqual([
			[2, 3, 4],
			[2, 3, 4],
		]);
		expect(started.current).not.toBe(dead.current);
	});

	it('takes a draining backend out of the table in force only', () => {
		const drains = move(first, [2, 3], 0, [1]);
		expect([set(drains.current), set(drains.previous)]).toEqual([
			[2, 3],
			[1, 2, 3],
		]);
		const later = move(move(first, [1, 2, 3, 4], 0), [2, 3, 4], 10, [1]);
		expect([set(later.current), set(later.previous)]).toEqual([
			[2, 3, 4],
			[1, 2, 3],
		]);
	});

	it('gives the previous table up after an hour without a change', () => {
		const started = move(first, [1, 2, 3, 4], 0);
		expect(dueMs(started)).toBe(3_600_000);
		expect(move(started, [1, 2, 3, 4], 3_599_999).previous).toBe(started.previous);
		expect(move(started, [1, 2, 3, 4], 3_600_000)).toMatchObject({ previous: null, behind: false });
	});

	it('ends with nothing when no backend is left, and begins anew', () => {
		const none = move(first, [], 0);
		expect([none.current.length, none.previous]).toEqual([0, null]);
		expect(move(none, [1], 1).previous).toBeNull();
	});

	it('disturbs only slots of the backend that dies', () => {
		const next = move(first, [1, 2], 0);
		for (let slot = 0; slot < 251; slot++) {
			if (first.current[slot] !== 3) expect(next.current[slot]).toBe(first.current[slot]);
		}
		// no table moves a slot of the others, so there is nothing to remember
		expect(next.previous).toBeNull();
	});

	it('has Maglev tables for sets that are too large to be ranked', () => {
		const many = Array.from({ length: 13 }, (_, i) => i + 1);
		expect(sameTable(move(undefined, many, 0).current, tableOf(members(...many), 251))).toBe(true);
		expect(sameTable(move(undefined, many.slice(1), 0).current, tableOf(members(...many.slice(1)), 251))).toBe(false);
	});
});

/** What bpf/lib/dsr.h does with a packet. */
class Balancer {
	tables: Tables | undefined;
	serving = new Set<number>();
	readonly #remembered = new Map<number, number>();

	/** @returns the row that the packet goes to */
	packet(flow: number, hash: number, isSyn: boolean): number {
		const { current, previous, remembered } = this.tables!;
		const slot = (table: ArrayLike<number>): number => table[Math.floor(hash * table.length)]!;
		const now = slot(current);
		const before = previous === null ? now : slot(previous);
		if (previous === null || (now === before && !remembered)) return now;
		const known = this.#remembered.get(flow);
		if (known !== undefined && !isSyn && this.serving.has(known)) return known;
		const chosen = isSyn || !this.serving.has(before) ? now : before;
		this.#remembered.set(flow, chosen);
		return chosen;
	}
}

describe('flows over changes of a Maglev table', () => {
	it('stay when a set shrinks to one backend, grows again, and loses the new flows of one that drains', () => {
		const balancer = new Balancer();
		const change = (wanted: readonly number[], draining: readonly number[], nowMs: number): void => {
			balancer.serving = new Set([...wanted, ...draining]);
			const goal = {
				members: members(...wanted),
				size: maglevSize(wanted.length),
				serving: balancer.serving,
				remembersAll: false,
			};
			balancer.tables = moveTables(balancer.tables, goal, { nowMs, transitionMs: WINDOW_MS });
		};
		change([1, 2], [], 0);
		change([1], [2], 0);
		change([1, 2, 3], [], 10);
		const hashes = Array.from({ length: 500 }, (_, n) => (n * 0.618) % 1);
		const rows = hashes.map((hash, flow) => balancer.packet(flow, hash, true));
		expect(set(rows)).toEqual([1, 2, 3]);
		change([1, 3], [2], 20);
		expect(hashes.map((hash, flow) => balancer.packet(flow, hash, false))).toEqual(rows);
		expect(set(hashes.map((hash, n) => balancer.packet(500 + n, hash, true)))).toEqual([1, 3]);
	});

	it('are all remembered from the second change on when one of the tables has another size', () => {
		const sized = (old: Tables | undefined, rows: readonly number[], nowMs: number): Tables => {
			const goal = {
				members: members(...rows),
				size: maglevSize(rows.length),
				serving: new Set([...rows, 1]),
				remembersAll: false,
			};
			return moveTables(old, goal, { nowMs, transitionMs: WINDOW_MS });
		};
		const grown = sized(sized(undefined, [1], 0), [1, 2], 0);
		const twice = sized(grown, [1, 2, 3], WINDOW_MS);
		const ended = sized(twice, [1, 2, 3], 4_000_000);
		const same = sized(sized(sized(undefined, [1, 2], 0), [1, 2, 3], 0), [1, 2, 3, 4], WINDOW_MS);
		expect([grown, twice, ended, same].map(({ remembered }) => remembered)).toEqual([false, true, false, false]);
		expect(twice.previous).toBe(grown.previous);
	});

	it.each([
		['tables of one size', () => 251],
		['tables of other sizes', maglevSize],
	])(
		'are named by one of both tables to a balancer that has not seen them, once the set has rested: %s',
		(_, sizeOf) => {
			const grow = (old: Tables | undefined, count: number, nowMs: number): Tables => {
				const rows = Array.from({ length: count }, (_unused, i) => i + 1);
				const goal = {
					members: members(...rows),
					size: sizeOf(count),
					serving: new Set(rows),
					remembersAll: false,
				};
				return moveTables(old, goal, { nowMs, transitionMs: WINDOW_MS });
			};
			const at = (table: ArrayLike<number> | null, hash: number): number =>
				table?.[Math.floor(hash * table.length)] ?? 0;
			const hashes = Array.from({ length: 500 }, (_unused, n) => (n * 0.618) % 1);
			const first = grow(undefined, 1, 0);
			const second = grow(first, 2, 0);
			const named = ({ current }: Tables, { current: now, previous }: Tables): boolean =>
				hashes.every((hash) => [at(now, hash), at(previous, hash)].includes(at(current, hash)));
			const soon = grow(second, 3, 20 * WINDOW_MS - 1);
			const rested = grow(second, 3, 20 * WINDOW_MS);
			expect([named(first, soon), named(second, soon)]).toEqual([true, false]);
			expect([named(first, rested), named(second, rested)]).toEqual([false, true]);
			const again = grow(rested, 4, 40 * WINDOW_MS);
			expect([named(second, again), named(rested, again)]).toEqual([false, true]);
		},
	);

	/** Changes: which of ten backends are wanted, which of the others still drain, and how much time has passed. */
	const change = fc.record({
		wanted: fc.uniqueArray(fc.integer({ min: 1, max: 10 }), { minLength: 1, maxLength: 10 }),
		draining: fc.uniqueArray(fc.integer({ min: 1, max: 10 }), { maxLength: 4 }),
		waitMs: fc.constantFrom(1, 10, WINDOW_MS),
	});

	it.each([
		['none of them idle', false],
		['many of them idle over several changes, where all are remembered', true],
	])('stay with their backend as long as it serves, %s', (_, remembersAll) => {
		const run = (history: readonly { wanted: number[]; draining: number[]; waitMs: number }[], drains: boolean) => {
			const balancer = new Balancer();
			const flows: { hash: number; row: number }[] = [];
			let nowMs = 0;
			let lost = 0;
			let gone = new Set<number>();
			for (const each of history) {
				nowMs += each.waitMs;
				const wanted = each.wanted.filter((row) => !gone.has(row)).sort((a, b) => a - b);
				if (wanted.length === 0) continue;
				const draining = drains ? [...balancer.serving].filter((row) => each.draining.includes(row)) : [];
				const serving = new Set([...wanted, ...draining]);
				// A backend that is gone does not come back under the same row.
				gone = new Set([...gone, ...[...balancer.serving].filter((row) => !serving.has(row))]);
				balancer.serving = serving;
				const goal = { members: members(...wanted), size: maglevSize(wanted.length), serving, remembersAll };
				balancer.tables = moveTables(balancer.tables, goal, { nowMs, transitionMs: WINDOW_MS });
				for (const [id, flow] of flows.entries()) {
					if (!serving.has(flow.row) || (remembersAll && (id + nowMs) % 3 !== 0)) continue;
					if (balancer.packet(id, flow.hash, false) !== flow.row) lost++;
				}
				for (let i = 0; i < 20; i++) {
					const hash = ((flows.length * 0.618) % 1) + 0;
					flows.push({ hash, row: balancer.packet(flows.length, hash, true) });
				}
			}
			return { lost, flows: flows.length };
		};
		fc.assert(
			fc.property(fc.array(change, { minLength: 3, maxLength: 12 }), fc.boolean(), (history, drains) => {
				expect(run(history, drains).lost).toBe(0);
			}),
			{ numRuns: 100 },
		);
	});

	it('never lead to a backend that is dead or was not asked for', () => {
		fc.assert(
			fc.property(fc.array(change, { minLength: 1, maxLength: 12 }), (history) => {
				let tables: Tables | undefined;
				let nowMs = 0;
				for (const { wanted, draining, waitMs } of history) {
					nowMs += waitMs;
					const rows = [...wanted].sort((a, b) => a - b);
					const serving = new Set([...rows, ...draining]);
					const goal = { members: members(...rows), size: maglevSize(rows.length), serving, remembersAll: false };
					tables = moveTables(tables, goal, { nowMs, transitionMs: WINDOW_MS });
					expect(set(tables.current).filter((row) => !rows.includes(row))).toEqual([]);
					expect(set(tables.previous).filter((row) => !serving.has(row))).toEqual([]);
				}
			}),
			{ numRuns: 100 },
		);
	});
});
