import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { XdpServiceLimits } from '../../native/abi/generated.ts';
import { maglevSize } from '../plan/maglev.ts';
import { rankedTable } from '../plan/rank.ts';
import { moveTables, settled, type Tables } from './services-tables.ts';
import { type Union, type UnionBackend, unionOf } from './services-union.ts';

const WINDOW_MS = 1000;
const backend = (row: number): UnionBackend => ({ key: `10.0.0.${row}|8080|6`, address: `10.0.0.${row}`, row });
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

interface Step {
	readonly wanted: readonly number[];
	readonly draining?: readonly number[];
	readonly waitMs?: number;
}

/** A service through changes of its set. */
class Service {
	tables: Tables | undefined;
	union: Union | undefined;
	#nowMs = 0;

	change({ wanted, draining = [], waitMs = WINDOW_MS }: Step): this {
		this.#nowMs += waitMs;
		const serving = new Set([...wanted, ...draining].sort((a, b) => a - b));
		const members = wanted.map(backend);
		const goal = { members, size: maglevSize(wanted.length), serving, remembersAll: false };
		this.tables = moveTables(this.tables, goal, { nowMs: this.#nowMs, transitionMs: WINDOW_MS });
		const former = this.union?.map(({ tag }) => tag) ?? [];
		this.union = unionOf(this.tables, [...serving].map(backend), former);
		return this;
	}

	/** Per slot the address that XDP sends to without the tables; undefined = it asks them. */
	get answers(): (string | undefined)[] {
		const { tables, union = [] } = this;
		const tags = union.map(({ tag }) => tag);
		return Array.from(rankedTable(tags, tables?.current.length ?? 0), (at) => union[at]?.address);
	}

	/** Of all slots, in percent. */
	get share(): number {
		const { answers } = this;
		return Math.round((100 * answers.filter((address) => address !== undefined).length) / answers.length);
	}
}

const over = (...steps: readonly Step[]): Service => {
	const service = new Service();
	for (const step of steps) service.change(step);
	return service;
};

describe('the union of two tables', () => {
	const eight = { wanted: range(1, 8) };
	const drained = [eight, { wanted: range(2, 8), draining: [1] }];

	it('is none while nothing changes', () => {
		expect([over(eight).union, over(eight, { wanted: range(2, 8) }).union]).toEqual([undefined, undefined]);
	});

	it.each([
		['that come in', [eight, { wanted: range(1, 9) }], [9], 89],
		['that drain', drained, [1], 88],
		['that drained and are gone', [...drained, { wanted: range(2, 8) }], [1], 88],
		['that were added and died at once', [eight, { wanted: range(1, 9) }, { ...eight, waitMs: 10 }], [9], 89],
		['replaced by another', [...drained, { wanted: range(2, 9) }], [1, 9], 78],
		['that are half of what there was', [{ wanted: range(1, 4) }, eight], [5, 6, 7, 8], 49],
	])('trusts all but backends %s', (_, steps, distrusted, share) => {
		const service = over(...steps);
		const untrusted = service.union?.filter(({ address }) => address === undefined).length;
		const trusted = new Set(service.answers);
		expect([untrusted, service.share]).toEqual([distrusted.length, share]);
		expect(distrusted.filter((row) => trusted.has(`10.0.0.${row}`))).toEqual([]);
	});

	it('does without those that were gone before the change', () => {
		const former = over(eight, { wanted: range(1, 9) }).union?.map(({ tag }) => tag) ?? [];
		const { tables } = over({ wanted: range(2, 8) }, { wanted: range(2, 9) });
		const backends = range(2, 9).map(backend);
		expect(unionOf(tables as Tables, backends, former)).toEqual(unionOf(tables as Tables, backends, []));
	});

	it('is none of tables of two sizes, of too many backends, and of sets that have nothing in common', () => {
		expect(over({ wanted: [1] }, { wanted: [1, 2] }).union).toBeUndefined();
		const previous = Uint32Array.from({ length: 2039 }, (_, slot) => (slot < 251 ? 1 : 2));
		const sizes = { current: new Uint32Array(251).fill(1), previous };
		expect(unionOf({ ...settled(sizes.current), ...sizes }, [backend(1)], [])).toBeUndefined();
		expect(over({ wanted: range(1, 12) }, { wanted: range(3, 13), draining: [1, 2] }).union).toBeUndefined();
		expect(over({ wanted: [1, 2] }, { wanted: [3, 4], draining: [1, 2] }).union).toBeUndefined();
	});

	it('is none of two backends with the same tag', () => {
		const { tables } = over(eight, { wanted: range(1, 9) });
		const same = range(1, 9).map((row) => ({ ...backend(row), key: backend(row === 9 ? 1 : row).key }));
		expect(unionOf(tables as Tables, same, [])).toBeUndefined();
	});

	it('answers only what both tables say, over any row of changes', () => {
		const step = fc.record({
			wanted: fc.uniqueArray(fc.integer({ min: 1, max: 12 }), { minLength: 2, maxLength: 9 }),
			draining: fc.uniqueArray(fc.integer({ min: 1, max: 12 }), { maxLength: 3 }),
			waitMs: fc.constantFrom(10, WINDOW_MS),
		});
		let answered = 0;
		fc.assert(
			fc.property(fc.array(step, { minLength: 2, maxLength: 5 }), (steps) => {
				const service = new Service();
				for (const each of steps) {
					service.change({ ...each, wanted: [...each.wanted].sort((a, b) => a - b) });
					const { tables, union, answers } = service;
					if (tables === undefined || union === undefined) continue;
					expect(tables.remembered).toBe(false);
					expect(union.length).toBeLessThanOrEqual(XdpServiceLimits.BACKENDS);
					const wrong = answers.filter(
						(address, slot) =>
							address !== undefined &&
							[tables.current, tables.previous].some((table) => address !== `10.0.0.${table?.[slot]}`),
					);
					expect(wrong).toEqual([]);
					answered += answers.filter((address) => address !== undefined).length;
				}
			}),
			{ numRuns: 60 },
		);
		expect(answered).toBeGreaterThan(1000);
	});
});
