import { afterEach, describe, expect, it } from 'vitest';
import { ANY_PROTO, BpfMap, type MapSpec, moveEntries, type SweepSpec, sweepMap } from './index.ts';

const HASH = 1;
const LRU_HASH = 9;
const TCP = 6;
const UDP = 17;

const opened: BpfMap[] = [];
function create(spec: Partial<MapSpec>): BpfMap {
	const map = BpfMap.create({ type: HASH, name: 'sweep', keySize: 8, valueSize: 8, maxEntries: 64, ...spec });
	opened.push(map);
	return map;
}
afterEach(() => {
	for (const map of opened.splice(0)) map.close();
});

/** Key: u32 number, u8 protocol, 3 bytes tag. Value: u16 flags, 2 bytes, u32 last use. */
const LAYOUT = { proto: 4, flags: 0, lastSeen: 4 };
const key = (n: number, proto = TCP, tag = 0): Uint8Array => {
	const bytes = new Uint8Array(8);
	new DataView(bytes.buffer).setUint32(0, n, true);
	bytes.set([proto, tag, tag, tag], 4);
	return bytes;
};
const value = (flags: number, lastSeen: number): Uint8Array => {
	const view = new DataView(new ArrayBuffer(8));
	view.setUint16(0, flags, true);
	view.setUint32(4, lastSeen, true);
	return new Uint8Array(view.buffer);
};
const numbersIn = (map: BpfMap): number[] =>
	map
		.entries()
		.map(([each]) => new DataView(each.buffer, each.byteOffset).getUint32(0, true))
		.sort((a, b) => a - b);
const spec = (over: Partial<SweepSpec>): SweepSpec => ({ layout: LAYOUT, now: 1000, rules: [], ...over });
const rule = (proto: number, mask: number, wanted: number, limit: number) => ({ proto, mask, value: wanted, limit });

describe('sweepMap with a tally', () => {
	/** Value: flags u16, 2 bytes, last use u32, two u16 numbers, two u32 packets, 4 bytes, two u64 bytes. */
	const layout = { numbers: 8, packets: 12, bytes: 24 };
	const flow = (
		flags: number,
		lastSeen: number,
		numbers: readonly number[],
		packets: readonly number[],
	): Uint8Array => {
		const view = new DataView(new ArrayBuffer(40));
		view.setUint16(0, flags, true);
		view.setUint32(4, lastSeen, true);
		for (const side of [0, 1]) {
			view.setUint16(8 + side * 2, numbers[side] ?? 0, true);
			view.setUint32(12 + side * 4, packets[side] ?? 0, true);
			view.setBigUint64(24 + side * 8, BigInt((packets[side] ?? 0) * 100), true);
		}
		return new Uint8Array(view.buffer);
	};
	const rowsOf = (tallies: Float64Array | undefined): number[][] =>
		Array.from({ length: (tallies?.length ?? 0) / 4 }, (_, i) => [...(tallies ?? []).slice(i * 4, i * 4 + 4)]).sort(
			([a = 0], [b = 0]) => a - b,
		);

	it('sums entries by both of their numbers, those that stay apart from those that go', async () => {
		const map = create({ valueSize: 40 });
		map.set(key(1), flow(0, 990, [20, 30], [3, 2]));
		map.set(key(2), flow(0, 990, [20, 20], [1, 1]));
		map.set(key(3), flow(0, 1, [20, 0], [7, 0]));
		map.set(key(4), flow(0, 990, [0, 0], [9, 9]));
		const tally = { ...layout, firstOnly: 0, secondOnly: 0 };
		const { live, ended } = await sweepMap(map, spec({ rules: [rule(TCP, 0, 0, 100)], tally }));
		expect(rowsOf(live)).toEqual([
			[20, 2, 7, 700],
			[30, 1, 5, 500],
		]);
		expect(rowsOf(ended)).toEqual([[20, 1, 7, 700]]);
	});

	it('takes one direction of each of a flow’s two entries, and counts one flow', async () => {
		const map = create({ valueSize: 40 });
		map.set(key(1), flow(1, 990, [20, 0], [3, 1]));
		map.set(key(2), flow(2, 990, [20, 0], [1, 2]));
		const { live } = await sweepMap(map, spec({ tally: { ...layout, firstOnly: 1, secondOnly: 2 } }));
		expect(rowsOf(live)).toEqual([[20, 1, 5, 500]]);
	});

	it('refuses offsets beyond the value', () => {
		const map = create({});
		const tally = { ...layout, firstOnly: 0, secondOnly: 0 };
		expect(() => sweepMap(map, spec({ tally }))).toThrow(/sweep.tally.numbers/);
	});
});

describe('sweepMap', () => {
	it('deletes what was idle for longer than the first rule that matches allows, and keeps what none matches', async () => {
		const map = create({});
		map.set(key(1), value(4, 899));
		map.set(key(2), value(4, 900));
		map.set(key(3), value(0, 900));
		map.set(key(4), value(0, 949));
		map.set(key(5, UDP), value(0, 1));
		const rules = [rule(TCP, 4, 4, 100), rule(TCP, 0, 0, 50)];
		expect(await sweepMap(map, spec({ rules }))).toEqual({ entries: 2, deleted: 3, counts: [], noted: [] });
		expect(numbersIn(map)).toEqual([2, 5]);
	});

	it('knows any protocol, compares under the mask and counts what stays', async () => {
		const map = create({});
		for (let n = 0; n < 8; n++) map.set(key(n, n < 5 ? TCP : UDP), value(n, 1000));
		const counters = [rule(TCP, 0, 0, 0), rule(UDP, 0, 0, 0), rule(ANY_PROTO, 3, 1, 0), rule(TCP, 1, 0, 0)];
		const rules = [rule(ANY_PROTO, 0, 0, 5)];
		expect(await sweepMap(map, spec({ rules, counters }))).toEqual({
			entries: 8,
			deleted: 0,
			counts: [5, 3, 2, 3],
			noted: [],
		});
	});

	it('counts time across the wrap of 32 bits, and what was used after the look at the clock as just now', async () => {
		const map = create({});
		map.set(key(1), value(0, 0xffff_ff00));
		map.set(key(2), value(0, 0xffff_fff0));
		map.set(key(3), value(0, 12));
		const rules = [rule(ANY_PROTO, 0, 0, 100)];
		expect(await sweepMap(map, spec({ now: 10, rules }))).toMatchObject({ entries: 2, deleted: 1 });
		expect(numbersIn(map)).toEqual([2, 3]);
	});

	it.each([
		['hash', HASH],
		['LRU hash', LRU_HASH],
	])('walks a %s of several batches while it deletes from it', async (_what, type) => {
		const total = 20_000;
		const map = create({ type, maxEntries: 40_000 });
		const keys = new Uint8Array(total * 8);
		const values = new Uint8Array(total * 8);
		for (let n = 0; n < total; n++) {
			keys.set(key(n), n * 8);
			values.set(value(0, n % 2 === 0 ? 1 : 1000), n * 8);
		}
		await map.updateBatch(keys, values);
		const rules = [rule(ANY_PROTO, 0, 0, 500)];
		expect(await sweepMap(map, spec({ rules }))).toMatchObject({ entries: total / 2, deleted: total / 2 });
		expect(await sweepMap(map, spec({ rules }))).toMatchObject({ entries: total / 2, deleted: 0 });
	});

	it('deletes what touches an address at one of the offsets', async () => {
		const map = create({ keySize: 16, valueSize: 8 });
		const pair = (a: number, b: number): Uint8Array => Uint8Array.of(a, a, a, a, b, b, b, b, TCP, 0, 0, 0, 0, 0, 0, 0);
		for (const [a, b] of [
			[1, 2],
			[2, 3],
			[3, 4],
		] as const) {
			map.set(pair(a, b), value(0, 1000));
		}
		const touching = { offsets: [0, 4], addresses: [Uint8Array.of(2, 2, 2, 2), Uint8Array.of(9, 9, 9, 9)] };
		const layout = { ...LAYOUT, proto: 8 };
		expect(await sweepMap(map, spec({ layout, touching }))).toMatchObject({ entries: 1, deleted: 2 });
		expect(map.get(pair(3, 4))).toBeDefined();
	});

	it('notes a number of what it deletes, once for each entry', async () => {
		const map = create({});
		map.set(key(1), value(0x21, 40));
		map.set(key(2), value(0x20, 41));
		map.set(key(3), value(1, 42));
		map.set(key(4), value(0x20, 990));
		const note = { mask: 0x20, offset: 4 };
		const { deleted, noted } = await sweepMap(map, spec({ rules: [rule(ANY_PROTO, 0, 0, 100)], note }));
		expect([deleted, noted.sort()]).toEqual([3, [40, 41]]);
	});

	it('refuses offsets beyond key or value before it looks at anything', () => {
		const map = create({});
		for (const layout of [
			{ ...LAYOUT, proto: 8 },
			{ ...LAYOUT, flags: 7 },
			{ ...LAYOUT, lastSeen: 5 },
		]) {
			expect(() => sweepMap(map, spec({ layout }))).toThrow(/bytes at \d are beyond 8/);
		}
		const touching = { offsets: [5], addresses: [new Uint8Array(4)] };
		expect(() => sweepMap(map, spec({ touching }))).toThrow('sweep.addressOffsets');
		const aimed = {
			created: 4,
			otherEnds: 0,
			ends: [{ address: new Uint8Array(16), port: 53, proto: UDP, before: 9 }],
		};
		expect(() => sweepMap(map, spec({ aimed }))).toThrow('sweep.aimed');
	});

	it('spares what is used again while it works', async () => {
		const count = 40_000;
		const map = create({ maxEntries: count });
		for (let n = 0; n < count; n++) map.set(key(n), value(4, 1));
		let ended = false;
		const swept = sweepMap(map, spec({ rules: [rule(ANY_PROTO, 0, 0, 5)] })).finally(() => {
			ended = true;
		});
		const used: number[] = [];
		for (let n = count - 1; n >= 0 && !ended; n--) {
			map.set(key(n), value(0, 1000));
			used.push(n);
			if (n % 64 === 0) await new Promise(setImmediate);
		}
		const { entries, deleted } = await swept;
		expect(used.filter((n) => map.get(key(n)) === undefined)).toEqual([]);
		expect(entries + deleted).toBeLessThanOrEqual(count);
	});

	it('leaves the event loop alone and survives the end of the map in the meantime', async () => {
		const map = create({});
		map.set(key(1), value(0, 1));
		const swept = sweepMap(map, spec({ rules: [rule(ANY_PROTO, 0, 0, 5)] }));
		map.close();
		expect(await swept).toMatchObject({ deleted: 1 });
	});
});

describe('moveEntries', () => {
	const MOVE = { flags: 0, mask: 0x10 };

	it('moves what has the flag, keeps what the target has already, and stops when that is full', async () => {
		const [from, to] = [create({ type: LRU_HASH }), create({ maxEntries: 2 })];
		from.set(key(1), value(0, 5));
		from.set(key(2), value(0x10, 5));
		to.set(key(2), value(0x99, 9));
		expect(await moveEntries(from, to, MOVE)).toMatchObject({ entries: 1, deleted: 1 });
		expect(to.get(key(2))).toEqual(value(0x99, 9));
		for (const n of [3, 4, 5]) from.set(key(n), value(0x10, 5));
		expect(await moveEntries(from, to, MOVE)).toMatchObject({ entries: 3, deleted: 1 });
		expect(numbersIn(to)).toHaveLength(2);
		expect([...numbersIn(from), ...numbersIn(to)].sort()).toEqual([1, 2, 3, 4, 5]);
	});

	it('refuses a map of another layout', () => {
		expect(() => moveEntries(create({}), create({ valueSize: 12 }), MOVE)).toThrow(
			'to: expected a map of the same layout',
		);
	});
});
