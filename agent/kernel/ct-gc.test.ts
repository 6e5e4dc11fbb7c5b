import { afterEach, describe, expect, it } from 'vitest';
import { fieldOffset } from '../../native/abi/field-offset.ts';
import { Ct4Entry, Ct4Key, CtEntry, CtFlags, CtKey, L4Proto } from '../../native/abi/generated.ts';
import { BpfMap } from '../../native/index.ts';
import { type CtGcOptions, collectConntrack, countEntries, widenEntry } from './ct-gc.ts';
import { DEFAULT_CT_TIMEOUTS } from './ct-timeouts.ts';
import { elapsedSeconds } from './jiffies.ts';

const HZ = 250;
/** A day of jiffies fits below it. */
const NOW = 0x8000_0000;
const v4 = (last: number, net = 10) => Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, net, 0, 0, last);
const NODE = v4(1, 192);
const POD = v4(5);

const HASH = 1;
const LRU_HASH = 9;
type Rows = [Uint8Array, Uint8Array][];

const opened: BpfMap[] = [];
afterEach(() => {
	for (const map of opened.splice(0)) map.close();
});

/** A map of the kernel with these rows. */
function mapOf(sizes: { keySize: number; valueSize: number }, rows: Rows = [], type = HASH, maxEntries = 100): BpfMap {
	const map = BpfMap.create({ type, name: 'gc', maxEntries, ...sizes });
	opened.push(map);
	for (const [key, value] of rows) map.set(key, value);
	return map;
}
const CT4 = { keySize: Ct4Key.size, valueSize: Ct4Entry.size };
const CT6 = { keySize: CtKey.size, valueSize: CtEntry.size };

/** Rows in an order that does not depend on the hash. */
function sorted(rows: Iterable<readonly [Uint8Array, Uint8Array]>): string[] {
	return [...rows]
		.map(([key, value]) => `${Buffer.from(key).toString('hex')} ${Buffer.from(value).toString('hex')}`)
		.sort();
}

const entry = (flags: number, idleSeconds: number): Uint8Array =>
	Ct4Entry.encode({
		xlateAddr: 0,
		source: 0,
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
async function run(ctRows: Rows, fullRows: Rows = [], over: Partial<CtGcOptions> = {}) {
	const maps = {
		ct4: mapOf(CT4, ctRows),
		ct6: mapOf(CT6),
		ctfull4: mapOf(CT4, fullRows, LRU_HASH),
		ctfull6: mapOf(CT6, [], LRU_HASH),
		...over,
	};
	const report = await collectConntrack({ ...maps, clock: { now: () => NOW, hz: HZ }, nodeAddresses: [NODE], ...over });
	return { report, ct: maps.ct4.entries(), full: maps.ctfull4.entries() };
}

const CLOSED_BY_CLIENT = CtFlags.ESTABLISHED | CtFlags.FIN_FORWARD;

describe('conntrack garbage collection', () => {
	it('sums flows by the rules that allowed them, and those that are over too', async () => {
		const counted = { rule: [20, 30], packets: [4, 2], bytes: [400n, 200n] };
		const row = (over: object) => Ct4Entry.encode({ ...Ct4Entry.decode(entry(0, 0)), ...counted, ...over });
		const { report } = await run([
			[key(L4Proto.TCP), row({ flags: CtFlags.ESTABLISHED })],
			[key(L4Proto.TCP, 4001), row({ lastSeen: (NOW - 100_000 * HZ) >>> 0, rule: [20, 0] })],
		]);
		const { live, ended } = report.IPv4.byRule;
		const rows = (tallies: readonly Float64Array[]) => tallies.flatMap((each) => [...each]);
		expect(rows(live)).toHaveLength(8);
		expect(rows(live)).toEqual(expect.arrayContaining([20, 30, 1, 6, 600]));
		expect(rows(ended)).toEqual([20, 1, 6, 600]);
	});

	it.each([
		['an established TCP flow', L4Proto.TCP, CtFlags.ESTABLISHED, DEFAULT_CT_TIMEOUTS.tcpEstablished],
		['a TCP flow after RST', L4Proto.TCP, CtFlags.ESTABLISHED | CtFlags.CLOSING, DEFAULT_CT_TIMEOUTS.tcpClosing],
		['a half-closed TCP flow', L4Proto.TCP, CLOSED_BY_CLIENT, DEFAULT_CT_TIMEOUTS.tcpHalfClosed],
		[
			'a TCP flow whose FIN came before it was established',
			L4Proto.TCP,
			CtFlags.FIN_FORWARD,
			DEFAULT_CT_TIMEOUTS.tcpOpening,
		],
		['a TCP flow without an answer', L4Proto.TCP, 0, DEFAULT_CT_TIMEOUTS.tcpOpening],
		['a TCP service flow without an answer', L4Proto.TCP, CtFlags.SVC_FORWARD, DEFAULT_CT_TIMEOUTS.tcpOpening],
		[
			'a TCP flow of the node to itself',
			L4Proto.TCP,
			CtFlags.SVC_FORWARD | CtFlags.HOST_LOOP,
			DEFAULT_CT_TIMEOUTS.tcpEstablished,
		],
		[
			'a UDP flow of the node to itself',
			L4Proto.UDP,
			CtFlags.SVC_FORWARD | CtFlags.HOST_LOOP,
			DEFAULT_CT_TIMEOUTS.udpReplied,
		],
		['an answered UDP flow', L4Proto.UDP, CtFlags.ESTABLISHED, DEFAULT_CT_TIMEOUTS.udpReplied],
		['an unanswered UDP flow', L4Proto.UDP, 0, DEFAULT_CT_TIMEOUTS.udpUnreplied],
		['ICMPv6', L4Proto.ICMPV6, CtFlags.ESTABLISHED, DEFAULT_CT_TIMEOUTS.icmp],
		['an answered SCTP association', L4Proto.SCTP, CtFlags.ESTABLISHED, DEFAULT_CT_TIMEOUTS.sctpEstablished],
		['an unanswered SCTP association', L4Proto.SCTP, 0, DEFAULT_CT_TIMEOUTS.sctpOpening],
		['GRE', 47, CtFlags.ESTABLISHED, DEFAULT_CT_TIMEOUTS.other],
	])('keeps %s until its time-out and removes it after', async (_name, proto, flags, limit) => {
		const kept = await run([[key(proto), entry(flags, limit)]]);
		expect(kept.report.IPv4).toMatchObject({ entries: 1, overflow: 0, deleted: 0 });
		const gone = await run([[key(proto), entry(flags, limit + 1)]]);
		expect(gone.ct).toHaveLength(0);
		expect(gone.report).toMatchObject({ IPv4: { entries: 0, deleted: 1 }, IPv6: { entries: 0, deleted: 0 } });
	});

	it('uses the time-outs that are configured', async () => {
		const timeouts = { ...DEFAULT_CT_TIMEOUTS, udpReplied: 7 };
		const rows: Rows = [
			[key(L4Proto.UDP, 1), entry(CtFlags.ESTABLISHED, 7)],
			[key(L4Proto.UDP, 2), entry(CtFlags.ESTABLISHED, 8)],
		];
		expect(sorted((await run(rows, [], { timeouts })).ct)).toEqual(sorted(rows.slice(0, 1)));
	});

	it('names the backends of open connections that nobody saw end, with the generation of their rows', async () => {
		const counted = (port: number, backend: number, idleSeconds: number): [Uint8Array, Uint8Array] => {
			const state = Ct4Entry.decode(entry(CtFlags.SVC_REPLY | CtFlags.COUNTED | CtFlags.ESTABLISHED, idleSeconds));
			return [key(L4Proto.TCP, port), Ct4Entry.encode({ ...state, backend: (0x5a << 24) | backend })];
		};
		const day = DEFAULT_CT_TIMEOUTS.tcpEstablished;
		const { report } = await run([counted(1, 77, day + 1), counted(2, 77, day + 1), counted(3, 78, 5)]);
		const word = (0x5a << 24) | 77;
		expect(report.IPv4.closedAtBackends).toEqual([word, word]);
	});

	it('counts what stays by protocol and state', async () => {
		const { report } = await run([
			[key(L4Proto.TCP, 1), entry(CtFlags.ESTABLISHED, 5)],
			[key(L4Proto.TCP, 2), entry(CtFlags.ESTABLISHED | CtFlags.CLOSING, 5)],
			[key(L4Proto.TCP, 3), entry(0, 5)],
			[key(L4Proto.TCP, 4), entry(0, 500)],
			[key(L4Proto.UDP), entry(0, 5)],
			[key(L4Proto.ICMP), entry(0, 5)],
			[key(47), entry(0, 5)],
		]);
		expect(report.IPv4).toMatchObject({
			entries: 6,
			deleted: 1,
			byProtocol: { tcp: 3, udp: 1, sctp: 0, icmp: 1, other: 1 },
			closing: 1,
			synOnly: 1,
		});
	});

	describe('the two entries of a service flow', () => {
		const client = { lo: ipv4(5, 10), loPort: 4000, proto: L4Proto.TCP };
		const vip = Ct4Key.encode({ ...client, hi: ipv4(1, 96), hiPort: 80 });
		const backend = Ct4Key.encode({ ...client, hi: ipv4(9, 203), hiPort: 8080 });
		const forward = (idleSeconds: number, fields: Partial<Ct4Entry> = {}): [Uint8Array, Uint8Array] => {
			const state = Ct4Entry.decode(entry(CtFlags.SVC_FORWARD, idleSeconds));
			return [vip, Ct4Entry.encode({ ...state, xlateAddr: ipv4(9, 203), xlatePort: 8080, ...fields })];
		};
		const reply = (idleSeconds: number, flags = 0, fields: Partial<Ct4Entry> = {}): [Uint8Array, Uint8Array] => {
			const state = Ct4Entry.decode(entry(CtFlags.SVC_REPLY | flags, idleSeconds));
			return [backend, Ct4Entry.encode({ ...state, xlateAddr: ipv4(1, 96), xlatePort: 80, ...fields })];
		};
		const answered = CtFlags.ESTABLISHED;

		it('stay while either is used', async () => {
			expect((await run([forward(3000), reply(1, answered)])).ct).toHaveLength(2);
			expect((await run([forward(1), reply(3000, answered)])).ct).toHaveLength(2);
		});

		it('go together soon after a SYN that nobody answered', async () => {
			expect((await run([forward(60), reply(60)])).ct).toHaveLength(2);
			expect((await run([forward(61), reply(61)])).ct).toHaveLength(0);
		});

		it('go together soon after the backend has closed', async () => {
			expect((await run([forward(11), reply(11, answered | CtFlags.CLOSING)])).ct).toHaveLength(0);
		});

		it('find each other when one of them found the table full', async () => {
			const { ct, full } = await run([forward(3000)], [reply(3000, answered)]);
			expect([ct.length, full.length]).toEqual([2, 0]);
			expect((await run([forward(61)], [reply(61)])).full).toHaveLength(0);
		});

		it('find each other in the table of IPv6', async () => {
			const address = (last: number) => Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last);
			const state = { ...CtEntry.decode(new Uint8Array(CtEntry.size)), lastSeen: NOW - 3000 * HZ };
			const ends = { lo: address(1), loPort: 4000, proto: L4Proto.TCP };
			const target = { xlateAddr: address(9), xlatePort: 8080 };
			const ct6 = mapOf(CT6, [
				[
					CtKey.encode({ ...ends, hi: address(96), hiPort: 80 }),
					CtEntry.encode({ ...state, ...target, flags: CtFlags.SVC_FORWARD }),
				],
				[
					CtKey.encode({ ...ends, hi: address(9), hiPort: 8080 }),
					CtEntry.encode({ ...state, flags: CtFlags.SVC_REPLY | answered, xlateAddr: address(96), xlatePort: 80 }),
				],
			]);
			expect((await run([], [], { ct6 })).report.IPv6).toMatchObject({ entries: 2, deleted: 0 });
		});

		it('go together when the one that knows that the flow is over comes first', async () => {
			// Whatever the order of the hash: many pairs, in each only one entry has seen the end.
			const rows: Rows = [];
			for (let port = 1; port <= 40; port++) {
				const over = CtFlags.CLOSING;
				const [, forwardValue] = forward(11);
				const decoded = Ct4Entry.decode(forwardValue);
				const flags = CtFlags.SVC_FORWARD | (port % 2 === 0 ? over : 0);
				rows.push([
					Ct4Key.encode({ ...client, loPort: port, hi: ipv4(1, 96), hiPort: 80 }),
					Ct4Entry.encode({ ...decoded, flags }),
				]);
				const replyFlags = answered | (port % 2 === 0 ? 0 : over);
				const [, replyValue] = reply(11, replyFlags);
				rows.push([Ct4Key.encode({ ...client, loPort: port, hi: ipv4(9, 203), hiPort: 8080 }), replyValue]);
			}
			expect((await run(rows)).ct).toHaveLength(0);
		});

		it('find each other when the backend sees another port of the client', async () => {
			const other = Ct4Key.encode({ ...client, loPort: 33_333, hi: ipv4(9, 203), hiPort: 8080 });
			const [, value] = reply(3000, answered, { snatPort: 4000 });
			const rows = (snatPort: number): Rows => [forward(3000, { snatPort }), [other, value]];
			expect((await run(rows(33_333))).ct).toHaveLength(2);
			expect(sorted((await run(rows(33_334))).ct)).toEqual(sorted([[other, value]]));
		});

		it('are told from the one that an earlier connection from that port has left behind, to another backend', async () => {
			const over = Ct4Key.encode({ ...client, hi: ipv4(8, 203), hiPort: 8080 });
			const [, overValue] = reply(20, answered | CtFlags.CLOSING);
			const later = [forward(20), reply(20, answered)];
			expect(sorted((await run([[over, overValue], ...later])).ct)).toEqual(sorted(later));
		});

		it('stay after their connection while another one shares the entry of the backend', async () => {
			const flags = answered | CtFlags.CLOSING;
			const rows = (shared: number): Rows => [forward(3000), reply(3000, flags | shared, { snatPort: shared && 4444 })];
			expect((await run(rows(CtFlags.SHARED))).ct).toHaveLength(2);
			expect((await run(rows(0))).ct).toHaveLength(0);
		});
	});

	describe('flows that found the table full', () => {
		const rows: Rows = [
			[key(L4Proto.TCP, 1), entry(CtFlags.ESTABLISHED, 100)],
			[key(L4Proto.TCP, 2), entry(0, 1)],
			[key(L4Proto.TCP, 3), entry(0, 61)],
		];

		it('move into it once they are answered and there is room', async () => {
			const { ct, full, report } = await run([], rows);
			expect(sorted(ct)).toEqual(sorted(rows.slice(0, 1)));
			expect(sorted(full)).toEqual(sorted(rows.slice(1, 2)));
			expect(report.IPv4).toMatchObject({ entries: 1, overflow: 1, deleted: 1 });
		});

		it('stay where they are while it is full', async () => {
			const taken: Rows = [[key(L4Proto.UDP, 9), entry(0, 1)]];
			const { ct, full, report } = await run([], rows, { ct4: mapOf(CT4, taken, HASH, 1) });
			expect(sorted(ct)).toEqual(sorted(taken));
			expect(sorted(full)).toEqual(sorted(rows.slice(0, 2)));
			expect(report.IPv4).toMatchObject({ entries: 1, overflow: 2, deleted: 1 });
		});

		it('are not looked for when the programs have put none there', async () => {
			const { full, report } = await run([], rows, { overflowInUse: false });
			expect([full.length, report.IPv4.overflow]).toEqual([3, 0]);
		});
	});

	describe('the two entries of a masqueraded flow', () => {
		const { MASQUERADE, SVC_FORWARD, SVC_REPLY, ESTABLISHED, CLOSING, INITIATOR_IS_HI } = CtFlags;
		const [pod, node, remote, vip] = [ipv4(5, 10), ipv4(1, 192), ipv4(9, 203), ipv4(1, 96)];
		type Over = Partial<Ct4Entry> & { readonly proto?: number; readonly idle?: number };
		const row = (k: Ct4Key, flags: number, { proto: _, idle = 100, ...over }: Over): [Uint8Array, Uint8Array] => [
			Ct4Key.encode(k),
			Ct4Entry.encode({ ...Ct4Entry.decode(entry(flags, idle)), ...over }),
		];
		/** Of the pod's port 4000 to the remote port 443, which sees port 50000 of the node. */
		const forward = (over: Over = {}): [Uint8Array, Uint8Array] =>
			row({ lo: pod, loPort: 4000, hi: remote, hiPort: 443, proto: over.proto ?? L4Proto.TCP }, MASQUERADE, {
				snatPort: 50_000,
				xlateAddr: remote,
				xlatePort: 443,
				...over,
			});
		/** bytes[0] is the pod's address as it is in memory. */
		const reply = ({ flags = ESTABLISHED, ...over }: Over = {}): [Uint8Array, Uint8Array] =>
			row(
				{ lo: node, loPort: 50_000, hi: remote, hiPort: 443, proto: over.proto ?? L4Proto.TCP },
				MASQUERADE | SVC_REPLY | flags,
				{ snatPort: 4000, xlateAddr: remote, xlatePort: 443, bytes: [0x0500_000an, 7n], ...over },
			);
		const left = async (...rows: Rows): Promise<number> => (await run(rows)).ct.length;

		it('stay while either is used', async () => {
			expect(await left(forward({ idle: 3000 }), reply({ idle: 1 }))).toBe(2);
			expect(await left(forward({ idle: 1 }), reply({ idle: 3000 }))).toBe(2);
		});

		it('go together', async () => {
			expect(await left(forward(), reply({ flags: 0 }))).toBe(0);
			expect(await left(forward({ idle: 11 }), reply({ idle: 11, flags: CLOSING }))).toBe(0);
			expect(
				await left(forward({ proto: L4Proto.UDP, idle: 31 }), reply({ proto: L4Proto.UDP, idle: 31, flags: 0 })),
			).toBe(0);
		});

		it('of a service, too', async () => {
			const toVip = (idle: number): [Uint8Array, Uint8Array] =>
				row({ lo: pod, loPort: 4000, hi: vip, hiPort: 80, proto: L4Proto.TCP }, MASQUERADE | SVC_FORWARD, {
					idle,
					snatPort: 50_000,
					xlateAddr: remote,
					xlatePort: 443,
				});
			const asVip = { xlateAddr: vip, xlatePort: 80 };
			expect(await left(toVip(3000), reply({ idle: 1, ...asVip }))).toBe(2);
			expect(await left(toVip(100), reply({ flags: 0, ...asVip }))).toBe(0);
		});

		it('are told from those of a flow that has taken the port over', async () => {
			const taken = reply({ idle: 1, snatPort: 4001 });
			expect(sorted((await run([forward(), taken])).ct)).toEqual(sorted([taken]));
			const elsewhere = reply({ idle: 1, bytes: [0x0600_000an, 7n] });
			expect(sorted((await run([forward(), elsewhere])).ct)).toEqual(sorted([elsewhere]));
		});

		it('are told from those of a later flow of the initiator, to another backend or by another address, with the same port', async () => {
			const toVip = (address: number, backend: number): [Uint8Array, Uint8Array] =>
				row({ lo: pod, loPort: 4000, hi: address, hiPort: 80, proto: L4Proto.TCP }, MASQUERADE | SVC_FORWARD, {
					idle: 20,
					snatPort: 50_000,
					xlateAddr: backend,
					xlatePort: 443,
				});
			const from = (backend: number, address: number, flags: number): [Uint8Array, Uint8Array] =>
				row(
					{ lo: node, loPort: 50_000, hi: backend, hiPort: 443, proto: L4Proto.TCP },
					MASQUERADE | SVC_REPLY | flags,
					{ idle: 20, snatPort: 4000, xlateAddr: address, xlatePort: 80, bytes: [0x0500_000an, 7n] },
				);
			const later = [toVip(vip, remote + 1), from(remote + 1, vip, ESTABLISHED)];
			expect(sorted((await run([from(remote, vip, CLOSING), ...later])).ct)).toEqual(sorted(later));
			const [[otherKey, otherValue], back] = [toVip(vip + 1, remote), from(remote, vip, ESTABLISHED)];
			const over = Ct4Entry.encode({ ...Ct4Entry.decode(otherValue), flags: MASQUERADE | SVC_FORWARD | CLOSING });
			const live = [toVip(vip, remote), back];
			expect(sorted((await run([[otherKey, over], ...live])).ct)).toEqual(sorted(live));
		});

		it('free the port when the one of the initiator is gone, after a moment', async () => {
			expect(await left(reply({ idle: 10 }))).toBe(1);
			expect(await left(reply({ idle: 11 }))).toBe(0);
			expect(await left(forward({ idle: 1, snatPort: 50_001 }), reply({ idle: 11 }))).toBe(1);
		});

		it('of an echo have the identifier twice', async () => {
			const proto = L4Proto.ICMP;
			const out = row({ lo: pod, loPort: 7, hi: remote, hiPort: 7, proto }, MASQUERADE, {
				idle: 31,
				snatPort: 50_000,
				xlateAddr: remote,
				xlatePort: 7,
			});
			const back = (idle: number): [Uint8Array, Uint8Array] =>
				row({ lo: node, loPort: 50_000, hi: remote, hiPort: 50_000, proto }, MASQUERADE | SVC_REPLY, {
					idle,
					snatPort: 7,
					xlateAddr: remote,
					xlatePort: 7,
					bytes: [0x0500_000an, 0n],
				});
			expect(await left(out, back(1))).toBe(2);
			expect(await left(out, back(31))).toBe(0);
		});

		it('find each other whichever end of the key is first, and over IPv6', async () => {
			const six = (last: number) => Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last);
			const state = { ...CtEntry.decode(new Uint8Array(CtEntry.size)), lastSeen: NOW - 3000 * HZ };
			const far = { xlateAddr: six(9), xlatePort: 443 };
			const proto = L4Proto.TCP;
			const rows = (client: number): Rows => [
				[
					CtKey.encode({ lo: six(9), loPort: 443, hi: six(50), hiPort: 4000, proto }),
					CtEntry.encode({ ...state, ...far, flags: MASQUERADE | INITIATOR_IS_HI, snatPort: 50_000 }),
				],
				[
					CtKey.encode({ lo: six(1), loPort: 50_000, hi: six(9), hiPort: 443, proto }),
					CtEntry.encode({
						...state,
						...far,
						flags: MASQUERADE | SVC_REPLY | ESTABLISHED,
						snatPort: 4000,
						client: six(client),
					}),
				],
			];
			const options = (client: number) => ({ ct6: mapOf(CT6, rows(client)), nodeAddresses: [NODE, six(1)] });
			expect((await run([], [], options(50))).report.IPv6).toMatchObject({ entries: 2, deleted: 0 });
			expect((await run([], [], options(51))).report.IPv6).toMatchObject({ entries: 0, deleted: 2 });
		});
	});

	it('reads the initiator of a masqueraded flow from an IPv4 entry, and counts no forward bytes there', () => {
		const flags = CtFlags.MASQUERADE | CtFlags.SVC_REPLY;
		const state = { ...Ct4Entry.decode(entry(flags, 0)), bytes: [0x0500_000an, 7n] };
		expect(widenEntry(state)).toMatchObject({ client: POD, bytes: [0n, 7n] });
		expect(widenEntry({ ...state, flags: CtFlags.MASQUERADE })).toMatchObject({
			client: new Uint8Array(16),
			bytes: state.bytes,
		});
	});
});

describe('offsets of fields', () => {
	it('are those that the codecs write to', () => {
		const value = CtEntry.encode({ ...CtEntry.decode(new Uint8Array(CtEntry.size)), flags: 0xabcd, lastSeen: 0x1234 });
		const view = new DataView(value.buffer);
		expect(view.getUint16(fieldOffset(CtEntry, 'flags'), true)).toBe(0xabcd);
		expect(view.getUint32(fieldOffset(CtEntry, 'lastSeen'), true)).toBe(0x1234);
	});
});

describe('countEntries', () => {
	it('counts without a copy of the map', async () => {
		const rows = Array.from({ length: 57 }, (_, n): [Uint8Array, Uint8Array] => [key(6, n), entry(0, 0)]);
		expect(await countEntries(mapOf(CT4, rows, LRU_HASH))).toBe(57);
	});
});

describe('jiffies', () => {
	it('counts across the wrap of 32 bits and takes an entry from the future for now', () => {
		expect(elapsedSeconds(10, 0xffffff00, 250)).toBeCloseTo(266 / 250);
		expect(elapsedSeconds(100, 101, 250)).toBe(0);
	});
});
