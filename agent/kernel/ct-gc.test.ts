import { describe, expect, it } from 'vitest';
import { Ct4Entry, Ct4Key, CtFlags, CtKey, L4Proto, NatEntry } from '../../native/abi/generated.ts';
import { collectConntrack, DEFAULT_CT_TIMEOUTS, type DumpableMap, forgetAddresses, idleLimit } from './ct-gc.ts';
import { elapsedSeconds } from './jiffies.ts';

const HZ = 250;
const NOW = 1_000_000;
const v4 = (last: number, net = 10) => Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, net, 0, 0, last);
const NODE = v4(1, 192);
const POD = v4(5);
const REMOTE = v4(9, 203);

/** A map in memory that remembers what was deleted. */
class MemoryMap implements DumpableMap {
	readonly rows: [Uint8Array, Uint8Array][];
	readonly #keySize: number;
	readonly #capacity: number;
	constructor(rows: [Uint8Array, Uint8Array][], keySize: number = CtKey.size, capacity = 100) {
		this.rows = rows;
		this.#keySize = keySize;
		this.#capacity = capacity;
	}
	set(key: Uint8Array, value: Uint8Array) {
		if (this.rows.length >= this.#capacity) throw Object.assign(new Error('full'), { code: 'E2BIG' });
		this.rows.push([key, value]);
	}
	dumpAsync() {
		return Promise.resolve({
			count: this.rows.length,
			keys: new Uint8Array(Buffer.concat(this.rows.map(([key]) => key))),
			values: new Uint8Array(Buffer.concat(this.rows.map(([, value]) => value))),
		});
	}
	deleteBatch(keys: Uint8Array) {
		let deleted = 0;
		for (let at = 0; at < keys.length; at += this.#keySize) {
			const key = keys.subarray(at, at + this.#keySize);
			const index = this.rows.findIndex(([row]) => Buffer.compare(row, key) === 0);
			if (index >= 0) {
				this.rows.splice(index, 1);
				deleted++;
			}
		}
		return Promise.resolve(deleted);
	}
}

const entry = (flags: number, idleSeconds: number): Uint8Array =>
	Ct4Entry.encode({
		xlateAddr: 0,
		xlatePort: 0,
		flags,
		backend: 0,
		peer: [
			{ index: 0, gen: 0, kind: 0 },
			{ index: 0, gen: 0, kind: 0 },
		],
		lastSeen: NOW - idleSeconds * HZ,
		created: 0,
		packets: [0, 0],
		bytes: [0n, 0n],
		policyGen: [0, 0],
		rule: [0, 0],
		snatPort: 0,
	});
const ipv4 = (last: number, net: number) => ((net << 24) | last) >>> 0;
const key = (proto: number, loPort = 4000) =>
	Ct4Key.encode({ lo: ipv4(5, 10), hi: ipv4(9, 203), loPort, hiPort: 443, proto });
const none = () => new MemoryMap([]);

type Rows = [Uint8Array, Uint8Array][];

async function run(ctRows: Rows, natRows: Rows = [], fullRows: Rows = [], capacity = 100) {
	const ct = new MemoryMap(ctRows, Ct4Key.size, capacity);
	const ctfull4 = new MemoryMap(fullRows, Ct4Key.size);
	const nat = new MemoryMap(natRows);
	const report = await collectConntrack({
		ct4: ct,
		ct6: none(),
		ctfull4,
		ctfull6: none(),
		nat,
		clock: { now: () => NOW, hz: HZ },
		nodeAddresses: [NODE],
	});
	return { ct, ctfull4, nat, report };
}

describe('conntrack garbage collection', () => {
	it.each([
		['an established TCP flow', L4Proto.TCP, CtFlags.ESTABLISHED, DEFAULT_CT_TIMEOUTS.tcpEstablished],
		['a TCP flow after RST', L4Proto.TCP, CtFlags.ESTABLISHED | CtFlags.CLOSING, DEFAULT_CT_TIMEOUTS.tcpClosing],
		['a half-closed TCP flow', L4Proto.TCP, CtFlags.FIN_FORWARD, DEFAULT_CT_TIMEOUTS.tcpHalfClosed],
		['a TCP flow without an answer', L4Proto.TCP, 0, DEFAULT_CT_TIMEOUTS.tcpOpening],
		['a TCP service flow without an answer', L4Proto.TCP, CtFlags.SVC_FORWARD, DEFAULT_CT_TIMEOUTS.tcpOpening],
		['an answered UDP flow', L4Proto.UDP, CtFlags.ESTABLISHED, DEFAULT_CT_TIMEOUTS.udpReplied],
		['an unanswered UDP flow', L4Proto.UDP, 0, DEFAULT_CT_TIMEOUTS.udpUnreplied],
		['ICMPv6', L4Proto.ICMPV6, CtFlags.ESTABLISHED, DEFAULT_CT_TIMEOUTS.icmp],
		['SCTP', L4Proto.SCTP, CtFlags.ESTABLISHED, DEFAULT_CT_TIMEOUTS.other],
	])('keeps %s until its time-out and removes it after', async (_name, proto, flags, limit) => {
		expect(idleLimit(proto, flags, DEFAULT_CT_TIMEOUTS)).toBe(limit);
		// An hour of jiffies fits below NOW; the day of established TCP is shown by the limit alone.
		if (limit > 3600) return;
		const kept = await run([[key(proto), entry(flags, limit)]]);
		expect(kept.report).toEqual({ ct4: 1, ct6: 0, ctfull: 0, ctDeleted: 0, nat: 0, natDeleted: 0 });
		const gone = await run([[key(proto), entry(flags, limit + 1)]]);
		expect(gone.ct.rows).toHaveLength(0);
	});

	describe('the two entries of a service flow', () => {
		const client = { lo: ipv4(5, 10), loPort: 4000, proto: L4Proto.TCP };
		const vip = Ct4Key.encode({ ...client, hi: ipv4(1, 96), hiPort: 80 });
		const backend = Ct4Key.encode({ ...client, hi: ipv4(9, 203), hiPort: 8080 });
		const forward = (idleSeconds: number, fields: Partial<Ct4Entry> = {}): [Uint8Array, Uint8Array] => {
			const state = Ct4Entry.decode(entry(CtFlags.SVC_FORWARD, idleSeconds));
			return [vip, Ct4Entry.encode({ ...state, xlateAddr: ipv4(9, 203), xlatePort: 8080, ...fields })];
		};
		const reply = (idleSeconds: number, flags = 0): [Uint8Array, Uint8Array] => [
			backend,
			entry(CtFlags.SVC_REPLY | flags, idleSeconds),
		];
		const answered = CtFlags.ESTABLISHED;

		it('stay while either is used', async () => {
			expect((await run([forward(3000), reply(1, answered)])).ct.rows).toHaveLength(2);
			expect((await run([forward(1), reply(3000, answered)])).ct.rows).toHaveLength(2);
		});

		it('go together soon after a SYN that nobody answered', async () => {
			expect((await run([forward(60), reply(60)])).ct.rows).toHaveLength(2);
			expect((await run([forward(61), reply(61)])).ct.rows).toHaveLength(0);
		});

		it('go together soon after the backend has closed', async () => {
			expect((await run([forward(11), reply(11, answered | CtFlags.CLOSING)])).ct.rows).toHaveLength(0);
		});

		it('find each other when the backend sees another port of the client', async () => {
			const other = Ct4Key.encode({ ...client, loPort: 33_333, hi: ipv4(9, 203), hiPort: 8080 });
			const [, value] = reply(3000, answered);
			const rows = (snatPort: number): Rows => [forward(3000, { snatPort }), [other, value]];
			expect((await run(rows(33_333))).ct.rows).toHaveLength(2);
			expect((await run(rows(33_334))).ct.rows).toEqual([[other, value]]);
		});
	});

	describe('flows that found the table full', () => {
		const rows: Rows = [
			[key(L4Proto.TCP, 1), entry(CtFlags.ESTABLISHED, 100)],
			[key(L4Proto.TCP, 2), entry(0, 1)],
			[key(L4Proto.TCP, 3), entry(0, 61)],
		];

		it('move into it once they are answered and there is room', async () => {
			const { ct, ctfull4, report } = await run([], [], [...rows]);
			expect(ct.rows).toEqual(rows.slice(0, 1));
			expect(ctfull4.rows).toEqual(rows.slice(1, 2));
			expect(report).toMatchObject({ ct4: 1, ctfull: 1, ctDeleted: 1 });
		});

		it('stay where they are while it is full', async () => {
			const { ct, ctfull4, report } = await run([], [], [...rows], 0);
			expect(ct.rows).toEqual([]);
			expect(ctfull4.rows).toEqual(rows.slice(0, 2));
			expect(report).toMatchObject({ ct4: 0, ctfull: 2, ctDeleted: 1 });
		});
	});

	it('frees the port of a masqueraded flow that is gone and keeps that of one that lives', async () => {
		const natKey = (port: number) =>
			CtKey.encode({ lo: NODE, hi: REMOTE, loPort: port, hiPort: 443, proto: L4Proto.TCP });
		const natEntry = (port: number, idleSeconds: number) =>
			NatEntry.encode({ addr: POD, port, lastSeen: NOW - idleSeconds * HZ });
		const { nat, report } = await run(
			[[key(L4Proto.TCP, 4000), entry(CtFlags.MASQUERADE | CtFlags.ESTABLISHED, 100)]],
			[
				[natKey(50_000), natEntry(4000, 100)],
				[natKey(50_001), natEntry(4001, 100)],
				[natKey(50_002), natEntry(4002, 1)],
			],
		);
		expect(report).toEqual({ ct4: 1, ct6: 0, ctfull: 0, ctDeleted: 0, nat: 2, natDeleted: 1 });
		expect(nat.rows.map(([row]) => CtKey.decode(row).loPort)).toEqual([50_000, 50_002]);
	});

	it('removes a dead flow and its port in the same pass', async () => {
		const { ct, nat } = await run(
			[[key(L4Proto.UDP), entry(CtFlags.MASQUERADE, 31)]],
			[
				[
					CtKey.encode({ lo: NODE, hi: REMOTE, loPort: 50_000, hiPort: 443, proto: L4Proto.UDP }),
					NatEntry.encode({ addr: POD, port: 4000, lastSeen: NOW - 31 * HZ }),
				],
			],
		);
		expect([ct.rows.length, nat.rows.length]).toEqual([0, 0]);
	});
});

describe('addresses that change hands', () => {
	it('forgets the flows of an address at either end and no others', async () => {
		const other = Ct4Key.encode({ lo: ipv4(7, 10), hi: ipv4(9, 203), loPort: 1, hiPort: 2, proto: L4Proto.UDP });
		const ct4 = new MemoryMap(
			[
				[key(L4Proto.TCP), entry(0, 0)],
				[other, entry(0, 0)],
			],
			Ct4Key.size,
		);
		const pod6 = Uint8Array.from({ length: 16 }, (_, index) => index);
		const ct6 = new MemoryMap([
			[CtKey.encode({ lo: pod6, hi: NODE, loPort: 1, hiPort: 2, proto: L4Proto.UDP }), entry(0, 0)],
		]);
		const maps = { ct4, ct6, ctfull4: new MemoryMap([[key(L4Proto.UDP), entry(0, 0)]], Ct4Key.size), ctfull6: none() };
		expect(await forgetAddresses(maps, [POD, pod6])).toBe(3);
		expect(ct4.rows.map(([row]) => [...row])).toEqual([[...other]]);
		expect(ct6.rows).toEqual([]);
		expect(await forgetAddresses(maps, [v4(8)])).toBe(0);
	});
});

describe('jiffies', () => {
	it('counts across the wrap of 32 bits and takes an entry from the future for now', () => {
		expect(elapsedSeconds(10, 0xffffff00, 250)).toBeCloseTo(266 / 250);
		expect(elapsedSeconds(100, 101, 250)).toBe(0);
	});
});
