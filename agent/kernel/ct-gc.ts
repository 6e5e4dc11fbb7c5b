/**
 * Removes conntrack entries whose flow is over. Nothing else does: a full table sends new flows to a small one where they evict each
 * other, and the entry for replies of a masqueraded flow is a port that nobody else can have.
 * All of it happens in native code on a worker thread; here is only what the bytes mean and when a flow is over.
 */

import { fieldOffsets } from '../../native/abi/field-offset.ts';
import { Ct4Entry, Ct4Key, CtEntry, CtFlags, CtKey, L4Proto } from '../../native/abi/generated.ts';
import {
	ANY_PROTO,
	type BpfMap,
	type FlowPattern,
	type FlowTableSpec,
	moveEntries,
	type PairSpec,
	type SweepResult,
	type SweepSpec,
	sweepMap,
	type TallySpec,
} from '../../native/index.ts';
import { type CtTimeouts, DEFAULT_CT_TIMEOUTS, idleRules } from './ct-timeouts.ts';

/** An entry for replies of a masqueraded flow is kept so long without the other one: its port rests. */
const NAT_GRACE_SECONDS = 10;

/** Where flows are: the table of each family, and what found it full. */
export interface CtMaps {
	readonly ct4: BpfMap;
	readonly ct6: BpfMap;
	readonly ctfull4: BpfMap;
	readonly ctfull6: BpfMap;
}

/** Rows of cookie, flows, packets and bytes: of flows that go on, and of those that this pass has ended. */
export interface RuleTallies {
	readonly live: readonly Float64Array[];
	readonly ended: readonly Float64Array[];
}

/** One family after a pass. A service flow has two entries. */
export interface FamilyReport {
	/** Entries left in the table. */
	readonly entries: number;
	/** Flows that found it full and could not be moved into it since. */
	readonly overflow: number;
	readonly deleted: number;
	/** Rows of backends with their generation (ct_entry.backend), once for each deleted flow that counted as an open connection there. */
	readonly closedAtBackends: readonly number[];
	readonly seconds: number;
	/** Of `entries`, by protocol. */
	readonly byProtocol: Readonly<Record<CountedProtocol, number>>;
	/** Of the TCP entries: RST, or FIN from both sides. */
	readonly closing: number;
	/** What policy rules allowed: rows of cookie, flows, packets, bytes; see TallySpec. */
	readonly byRule: RuleTallies;
	/** Of the TCP entries: the handshake is not over. */
	readonly synOnly: number;
}

export interface CtGcReport {
	readonly IPv4: FamilyReport;
	readonly IPv6: FamilyReport;
}

export interface CtGcOptions extends CtMaps {
	/** Low 32 bits of jiffies, and their rate. */
	readonly clock: { now(): number; readonly hz: number };
	/** 16-byte addresses of this node that masquerading uses. */
	readonly nodeAddresses: readonly Uint8Array[];
	readonly timeouts?: CtTimeouts;
	/** False = nothing is in the overflow tables, which saves half of the look-ups. */
	readonly overflowInUse?: boolean;
}

const MAPPED = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0);

/** An IPv4 address of Ct4Key (a number in host order) in 16 bytes. */
export function mappedAddress(ipv4: number): Uint8Array {
	const bytes = Uint8Array.from(MAPPED);
	new DataView(bytes.buffer).setUint32(12, ipv4);
	return bytes;
}

/** Reads keys of the IPv4 table as those of the IPv6 table. */
export function widenKey({ lo, hi, loPort, hiPort, proto }: Ct4Key): CtKey {
	return { lo: mappedAddress(lo), hi: mappedAddress(hi), loPort, hiPort, proto };
}

/** Both flags of the entry for replies of a masqueraded flow; see struct ct_entry. */
const MASQUERADED_REPLY = CtFlags.MASQUERADE | CtFlags.SVC_REPLY;

/** Reads values of the IPv4 table as those of the IPv6 table. */
export function widenEntry(entry: Ct4Entry): CtEntry {
	const xlateAddr = entry.xlateAddr === 0 ? new Uint8Array(16) : mappedAddress(entry.xlateAddr);
	const [forward = 0n, reply = 0n] = entry.bytes;
	if ((entry.flags & MASQUERADED_REPLY) !== MASQUERADED_REPLY)
		return { ...entry, xlateAddr, client: new Uint8Array(16) };
	const client = Uint8Array.from(MAPPED);
	new DataView(client.buffer).setUint32(12, Number(forward & 0xffff_ffffn), true);
	return { ...entry, xlateAddr, client, bytes: [0n, reply] };
}

/** Bytes of a 16-byte address that the IPv4 table leaves out. */
const PREFIX4 = MAPPED.subarray(0, 12);

type ValueField =
	| 'flags'
	| 'lastSeen'
	| 'created'
	| 'backend'
	| 'xlateAddr'
	| 'xlatePort'
	| 'snatPort'
	| 'rule'
	| 'packets'
	| 'bytes'
	| 'client';
const VALUE_FIELDS = [
	'flags',
	'lastSeen',
	'created',
	'backend',
	'xlateAddr',
	'xlatePort',
	'snatPort',
	'rule',
	'packets',
	'bytes',
] as const;

/** A table, and where the fields of its keys and values are. */
export interface CtTable {
	readonly main: BpfMap;
	/** What found `main` full. */
	readonly overflow: BpfMap;
	readonly prefix: Uint8Array;
	readonly key: FlowTableSpec['key'];
	readonly value: Record<ValueField, number>;
}

const KEY4 = fieldOffsets(Ct4Key, 'lo', 'hi', 'loPort', 'hiPort', 'proto');
const KEY6 = fieldOffsets(CtKey, 'lo', 'hi', 'loPort', 'hiPort', 'proto');
const FIELDS4 = fieldOffsets(Ct4Entry, ...VALUE_FIELDS);
const VALUE4 = { ...FIELDS4, client: FIELDS4.bytes };
const VALUE6 = fieldOffsets(CtEntry, ...VALUE_FIELDS, 'client');

export function tablesOf({ ct4, ct6, ctfull4, ctfull6 }: CtMaps): Record<'IPv4' | 'IPv6', CtTable> {
	return {
		IPv4: { main: ct4, overflow: ctfull4, prefix: PREFIX4, key: KEY4, value: VALUE4 },
		IPv6: { main: ct6, overflow: ctfull6, prefix: new Uint8Array(), key: KEY6, value: VALUE6 },
	};
}

const PROTOCOLS = { tcp: L4Proto.TCP, udp: L4Proto.UDP, sctp: L4Proto.SCTP } as const;
export type CountedProtocol = keyof typeof PROTOCOLS | 'icmp' | 'other';

/** What is counted of the entries that stay. Order is that of `countsOf`. */
const COUNTERS: readonly FlowPattern[] = [
	...Object.values(PROTOCOLS).map((proto) => ({ proto, mask: 0, value: 0 })),
	{ proto: L4Proto.ICMP, mask: 0, value: 0 },
	{ proto: L4Proto.ICMPV6, mask: 0, value: 0 },
	{ proto: L4Proto.TCP, mask: CtFlags.CLOSING, value: CtFlags.CLOSING },
	// A forward entry never sees the answer itself.
	{
		proto: L4Proto.TCP,
		mask: CtFlags.ESTABLISHED | CtFlags.SVC_FORWARD | CtFlags.CLOSING | CtFlags.MASQUERADE,
		value: 0,
	},
	{
		proto: L4Proto.TCP,
		mask: CtFlags.ESTABLISHED | CtFlags.CLOSING | MASQUERADED_REPLY,
		value: MASQUERADED_REPLY,
	},
	{ proto: ANY_PROTO, mask: 0, value: 0 },
];

function countsOf({ counts }: SweepResult): Pick<FamilyReport, 'byProtocol' | 'closing' | 'synOnly'> {
	const [tcp = 0, udp = 0, sctp = 0, icmp4 = 0, icmp6 = 0, closing = 0, plain = 0, masqueraded = 0, all = 0] = counts;
	const icmp = icmp4 + icmp6;
	return {
		byProtocol: { tcp, udp, sctp, icmp, other: all - tcp - udp - sctp - icmp },
		closing,
		synOnly: plain + masqueraded,
	};
}

/** One pass over all tables. @throws what the maps throw; what was deleted before stays deleted */
export async function collectConntrack(options: CtGcOptions): Promise<CtGcReport> {
	const now = options.clock.now();
	const tables = tablesOf(options);
	const IPv4 = await collectFamily(tables.IPv4, options, now);
	const IPv6 = await collectFamily(tables.IPv6, options, now);
	return { IPv4, IPv6 };
}

async function collectFamily(table: CtTable, options: CtGcOptions, now: number): Promise<FamilyReport> {
	const began = performance.now();
	const { flags, lastSeen } = table.value;
	const pairs = pairsOf(table, options);
	const spec: SweepSpec = {
		layout: { proto: table.key.proto, flags, lastSeen },
		now,
		rules: idleRules(options.timeouts ?? DEFAULT_CT_TIMEOUTS, options.clock.hz),
		counters: COUNTERS,
		note: noteOf(table),
		tally: tallyOf(table),
		pairs,
	};
	const main = await sweepMap(table.main, spec);
	const overflow = options.overflowInUse === false ? NOTHING : await sweepMap(table.overflow, spec);
	// Answered flows go where nothing evicts them.
	const moved =
		overflow.entries === 0
			? NOTHING
			: await moveEntries(table.overflow, table.main, { flags, mask: CtFlags.ESTABLISHED, pairs });
	return {
		entries: main.entries + moved.deleted,
		overflow: overflow.entries - moved.deleted,
		deleted: main.deleted + overflow.deleted,
		closedAtBackends: closedOf([main, overflow]),
		byRule: talliesOf([main, overflow]),
		seconds: (performance.now() - began) / 1000,
		...countsOf(main),
	};
}

/** Open connections of backends that a pass ends. */
export function noteOf({ value }: CtTable): NonNullable<SweepSpec['note']> {
	return { mask: CtFlags.COUNTED, offset: value.backend };
}

export function closedOf(sweeps: readonly SweepResult[]): readonly number[] {
	return sweeps.flatMap(({ noted }) => noted);
}

/** Each of a service flow's two entries sees one direction, but both have counted the first packet. */
export function tallyOf({ value }: CtTable): TallySpec {
	const { rule: numbers, packets, bytes } = value;
	return { numbers, packets, bytes, firstOnly: CtFlags.SVC_FORWARD, secondOnly: CtFlags.SVC_REPLY };
}

export function talliesOf(sweeps: readonly SweepResult[]): RuleTallies {
	return {
		live: sweeps.flatMap(({ live }) => live ?? []),
		ended: sweeps.flatMap(({ ended }) => ended ?? []),
	};
}

const NOTHING: SweepResult = { entries: 0, deleted: 0, counts: [], noted: [] };

export function mapsOf(table: CtTable, { overflowInUse }: Pick<CtGcOptions, 'overflowInUse'>): BpfMap[] {
	return overflowInUse === false ? [table.main] : [table.main, table.overflow];
}

/** The two entries of a translated flow live and die together: each sees one direction only. */
export function pairsOf(table: CtTable, options: CtGcOptions): PairSpec {
	const { prefix, key, value } = table;
	return {
		maps: mapsOf(table, options),
		prefix,
		key,
		paired: CtFlags.SVC_FORWARD | CtFlags.SVC_REPLY,
		initiatorIsHi: CtFlags.INITIATOR_IS_HI,
		// There snatPort is that of another flow.
		otherSense: CtFlags.SHARED,
		value: { address: value.xlateAddr, port: value.xlatePort, ownPort: value.snatPort },
		masquerade: {
			masqueraded: CtFlags.MASQUERADE,
			reply: CtFlags.SVC_REPLY,
			client: value.client,
			own: options.nodeAddresses,
			grace: NAT_GRACE_SECONDS * options.clock.hz,
			echoProtos: [L4Proto.ICMP, L4Proto.ICMPV6],
		},
	};
}

/** Entries of a map that ages out by itself; a look at all of it on a worker thread. */
export async function countEntries(map: BpfMap): Promise<number> {
	const layout = { proto: 0, flags: 0, lastSeen: 0 };
	return (await sweepMap(map, { layout, now: 0, rules: [] })).entries;
}
