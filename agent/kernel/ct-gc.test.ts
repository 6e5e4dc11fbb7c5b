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
	constructor(rows: [Uint8Array, Uint8Array][], keySize: number = CtKey.size) {
		this.rows = rows;
		this.#keySize = keySize;
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

async function run(ctRows: [Uint8Array, Uint8Array][], natRows: [Uint8Array, Uint8Array][] = []) {
	const ct = new MemoryMap(ctRows, Ct4Key.size);
	const nat = new MemoryMap(natRows);
	const report = await collectConntrack({
		ct4: ct,
		ct6: none(),
		nat,
		clock: { now: () => NOW, hz: HZ },
		nodeAddresses: [NODE],
	});
	return { ct, nat, report };
}

describe('conntrack garbage collection', () => {
	it.each([
		['an established TCP flow', L4Proto.TCP, CtFlags.ESTABLISHED, DEFAULT_CT_TIMEOUTS.tcpEstablished],
		['a TCP flow after RST', L4Proto.TCP, CtFlags.ESTABLISHED | CtFlags.CLOSING, DEFAULT_CT_TIMEOUTS.tcpClosing],
		['a half-closed TCP flow', L4Proto.TCP, CtFlags.FIN_FORWARD, DEFAULT_CT_TIMEOUTS.tcpHalfClosed],
		['a TCP flow without an answer', L4Proto.TCP, 0, DEFAULT_CT_TIMEOUTS.tcpOpening],
		['the forward entry of a TCP service flow', L4Proto.TCP, CtFlags.SVC_FORWARD, DEFAULT_CT_TIMEOUTS.tcpEstablished],
		['an answered UDP flow', L4Proto.UDP, CtFlags.ESTABLISHED, DEFAULT_CT_TIMEOUTS.udpReplied],
		['an unanswered UDP flow', L4Proto.UDP, 0, DEFAULT_CT_TIMEOUTS.udpUnreplied],
		['ICMPv6', L4Proto.ICMPV6, CtFlags.ESTABLISHED, DEFAULT_CT_TIMEOUTS.icmp],
		['SCTP', L4Proto.SCTP, CtFlags.ESTABLISHED, DEFAULT_CT_TIMEOUTS.other],
	])('keeps %s until its time-out and removes it after', async (_name, proto, flags, limit) => {
		expect(idleLimit(proto, flags, DEFAULT_CT_TIMEOUTS)).toBe(limit);
		// An hour of jiffies fits below NOW; the day of established TCP is shown by the limit alone.
		if (limit > 3600) return;
		const kept = await run([[key(proto), entry(flags, limit)]]);
		expect(kept.report).toEqual({ ct4: 1, ct6: 0, ctDeleted: 0, nat: 0, natDeleted: 0 });
		const gone = await run([[key(proto), entry(flags, limit + 1)]]);
		expect(gone.ct.rows).toHaveLength(0);
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
		expect(report).toEqual({ ct4: 1, ct6: 0, ctDeleted: 0, nat: 2, natDeleted: 1 });
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
		expect(await forgetAddresses({ ct4, ct6 }, [POD, pod6])).toBe(2);
		expect(ct4.rows.map(([row]) => [...row])).toEqual([[...other]]);
		expect(ct6.rows).toEqual([]);
		expect(await forgetAddresses({ ct4, ct6 }, [v4(8)])).toBe(0);
	});
});

describe('jiffies', () => {
	it('counts across the wrap of 32 bits and takes an entry from the future for now', () => {
		expect(elapsedSeconds(10, 0xffffff00, 250)).toBeCloseTo(266 / 250);
		expect(elapsedSeconds(100, 101, 250)).toBe(0);
	});
});
