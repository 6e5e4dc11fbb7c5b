import { afterEach, describe, expect, it } from 'vitest';
import {
	ANY_PROTO,
	BpfMap,
	type MapSpec,
	moveEntries,
	type OrphanSpec,
	type SweepSpec,
	sweepMap,
	sweepOrphans,
} from './index.ts';

const HASH = 1;
const LRU_HASH = 9;
const TCP = 6;
const UDP = 17;
const ICMP = 1;

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

describe('sweepOrphans', () => {
	/** As struct ct_key: two addresses, two ports, protocol. */
	const TUPLE = { lo: 0, hi: 16, loPort: 32, hiPort: 34, proto: 36 };
	/** The same with addresses of four bytes. */
	const SHORT = { lo: 0, hi: 4, loPort: 8, hiPort: 10, proto: 12 };
	const MAPPED = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff);
	const v4 = (last: number, net: number): Uint8Array => Uint8Array.of(...MAPPED, net, 0, 0, last);
	const v6 = (last: number, net: number): Uint8Array =>
		Uint8Array.of(0xfd, net, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last);
	const [NODE, POD, REMOTE] = [v4(1, 192), v4(5, 10), v4(9, 203)];
	const [NODE6, POD6, REMOTE6] = [v6(1, 192), v6(5, 10), v6(9, 203)];
	const port = (n: number): number[] => [n >> 8, n & 0xff];
	const tuple = (lo: Uint8Array, loPort: number, hi: Uint8Array, hiPort: number, proto = TCP): Uint8Array =>
		Uint8Array.of(...lo, ...hi, ...port(loPort), ...port(hiPort), proto, 0, 0, 0);
	const short = (a: Uint8Array) => a.subarray(12);

	function world() {
		const flow4 = create({ keySize: 16 });
		const more4 = create({ keySize: 16, type: LRU_HASH });
		const flow6 = create({ keySize: 40 });
		const nat = create({ keySize: 40, valueSize: 24 });
		const orphans: OrphanSpec = {
			key: TUPLE,
			value: { address: 0, port: 16, lastSeen: 20 },
			now: 1000,
			grace: 100,
			own: [NODE, NODE6],
			echoProtos: [ICMP],
			tables: [
				{ maps: [flow4, more4], prefix: MAPPED, key: SHORT, flags: 0, mask: 8 },
				{ maps: [flow6], prefix: new Uint8Array(), key: TUPLE, flags: 0, mask: 8 },
			],
		};
		/** A masqueraded connection to REMOTE:443 from the given port of the node. */
		const translate = (nodePort: number, podPort: number, lastSeen = 1, over: Uint8Array[] = [NODE, POD, REMOTE]) => {
			const [node = NODE, pod = POD, remote = REMOTE] = over;
			const inner = new Uint8Array(24);
			inner.set(pod);
			inner.set(port(podPort), 16);
			new DataView(inner.buffer).setUint32(20, lastSeen, true);
			nat.set(tuple(node, nodePort, remote, 443), inner);
		};
		const ports = () =>
			nat
				.entries()
				.map(([each]) => ((each[32] ?? 0) << 8) | (each[33] ?? 0))
				.sort();
		return { flow4, more4, flow6, nat, orphans, translate, ports };
	}

	it('frees translations whose flow is in no table, whichever way round its key is', async () => {
		const { flow4, more4, nat, orphans, translate, ports } = world();
		for (const n of [1, 2, 3, 4, 5]) translate(50_000 + n, 4000 + n);
		flow4.set(tuple(short(POD), 4001, short(REMOTE), 443), value(8, 0));
		flow4.set(tuple(short(REMOTE), 443, short(POD), 4002), value(8, 0));
		more4.set(tuple(short(REMOTE), 443, short(POD), 4003), value(8, 0));
		flow4.set(tuple(short(REMOTE), 443, short(POD), 4004), value(1, 0)); // not masqueraded
		expect(await sweepOrphans(nat, orphans)).toMatchObject({ entries: 3, deleted: 2 });
		expect(ports()).toEqual([50_001, 50_002, 50_003]);
	});

	it('leaves alone what was used within the grace time', async () => {
		const { nat, orphans, translate, ports } = world();
		translate(50_001, 4001, 900);
		translate(50_002, 4002, 899);
		await sweepOrphans(nat, orphans);
		expect(ports()).toEqual([50_001]);
	});

	it('asks the table of the family, with the whole address where that is in the key', async () => {
		const { flow6, nat, orphans, translate, ports } = world();
		translate(50_001, 4001, 1, [NODE6, POD6, REMOTE6]);
		translate(50_002, 4002, 1, [NODE6, POD6, REMOTE6]);
		flow6.set(tuple(REMOTE6, 443, POD6, 4002), value(8, 0));
		await sweepOrphans(nat, orphans);
		expect(ports()).toEqual([50_002]);
	});

	it('knows that both ports of an echo are its identifier', async () => {
		const { flow4, nat, orphans } = world();
		const inner = Uint8Array.of(...POD, ...port(7), 0, 0, 1, 0, 0, 0);
		nat.set(tuple(REMOTE, 55_000, NODE, 55_000, ICMP), inner);
		flow4.set(tuple(short(POD), 7, short(REMOTE), 7, ICMP), value(8, 0));
		expect(await sweepOrphans(nat, orphans)).toMatchObject({ entries: 1, deleted: 0 });
	});

	it('refuses tables whose maps differ', () => {
		const { nat, orphans, flow4, flow6 } = world();
		const tables = [{ ...orphans.tables[0]!, maps: [flow4, flow6] }];
		expect(() => sweepOrphans(nat, { ...orphans, tables })).toThrow('expected maps of one layout');
	});
});
