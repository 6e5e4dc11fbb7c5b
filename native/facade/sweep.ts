/**
 * Walks over large flow tables on a worker thread: entries are judged and deleted in native code, some thousand at a time,
 * and only counts come back. What the bytes mean is told as offsets and rules; times are the low 32 bits of jiffies.
 */
import { addon, handleOf, mapHandles, type SweepResult } from './addon.ts';
import type { BpfMap } from './map.ts';

/** In a pattern: whatever the protocol. */
export const ANY_PROTO = 256;

/** Entries of a protocol whose flags under the mask have this value. */
export interface FlowPattern {
	/** IP protocol number or ANY_PROTO. */
	readonly proto: number;
	readonly mask: number;
	readonly value: number;
}

export interface IdleRule extends FlowPattern {
	/** Jiffies; an entry that was idle for longer goes. */
	readonly limit: number;
}

/** Offsets of the parts of a key: two addresses, their ports (u16, network order), u8 protocol. */
export interface TupleLayout {
	readonly lo: number;
	readonly hi: number;
	readonly loPort: number;
	readonly hiPort: number;
	readonly proto: number;
}

/** Flows of one family. */
export interface FlowTableSpec {
	/** All of one layout. */
	readonly maps: readonly BpfMap[];
	/** Bytes that keys and values leave out of 16-byte addresses. */
	readonly prefix: Uint8Array;
	readonly key: TupleLayout;
}

/**
 * A flow with two entries: {initiator, address the initiator knows} and {initiator, address behind it}. The value of each names
 * the other end of the other one, so one leads to the other. Their flags count together, and the later use; when one goes, both go.
 * The other one is only looked for when an entry would go by itself, so a rule must not ask for flags of both.
 */
export interface PairSpec extends FlowTableSpec {
	/** Flags (u16) of which such an entry has one. */
	readonly paired: number;
	/** Flag: the initiator is the `hi` end of the key. */
	readonly initiatorIsHi: number;
	/** Flag under which `ownPort` means something else. */
	readonly otherSense: number;
	/** Offsets in the value: address and port of the other end, and the initiator's port there (0 = the same). */
	readonly value: { readonly address: number; readonly port: number; readonly ownPort: number };
	readonly masquerade?: MasqueradeSpec;
}

/**
 * Flows that leave with an address of this machine: their other entry is {own address and port, other end}, and has the initiator's address and port in
 * its value. The first entry has that port as `ownPort`. An entry for replies whose first one is gone goes after a grace time.
 */
export interface MasqueradeSpec {
	/** Flag of both entries. */
	readonly masqueraded: number;
	/** Flag of the entry for replies. */
	readonly reply: number;
	/** Offset in the value of the latter: address of the initiator, without the prefix. */
	readonly client: number;
	/** 16 bytes each: what the own address can be. */
	readonly own: readonly Uint8Array[];
	/** Jiffies. */
	readonly grace: number;
	/** Protocols whose two ports are one identifier. */
	readonly echoProtos: readonly number[];
}

/**
 * Sums packets and bytes of entries by two numbers in their value; 0 is none. Offsets: `numbers` (two u16), `packets` (two u32, by
 * direction), `bytes` (two u64). Of entries with a flag of `firstOnly` (`secondOnly`) only that direction counts; the latter are no
 * flows of their own.
 */
export interface TallySpec {
	readonly numbers: number;
	readonly packets: number;
	readonly bytes: number;
	readonly firstOnly: number;
	readonly secondOnly: number;
}

export interface SweepSpec {
	/** Offsets: `proto` (u8) in the key, `flags` (u16) and `lastSeen` (u32) in the value. */
	readonly layout: { readonly proto: number; readonly flags: number; readonly lastSeen: number };
	readonly now: number;
	/** The first that matches decides; without one the entry stays. */
	readonly rules: readonly IdleRule[];
	/** What is counted of the entries that stay. */
	readonly counters?: readonly FlowPattern[];
	/** Deleted entries with one of these flags are noted by the u32 at an offset of their value. */
	readonly note?: { readonly mask: number; readonly offset: number };
	/** What flows are summed up by. */
	readonly tally?: TallySpec;
	/** Entries of one flow that are judged together. */
	readonly pairs?: PairSpec;
	/** Entries go that have one of these addresses at one of these offsets of their key. */
	readonly touching?: { readonly offsets: readonly number[]; readonly addresses: readonly Uint8Array[] };
	/** Flows towards one of these ends go that began before its time, with both entries. Needs `pairs`. */
	readonly aimed?: AimSpec;
}

export interface AimSpec {
	/** Offset in the value: u32, the time at which the flow began. */
	readonly created: number;
	/** Flags of entries whose responder is not whom the initiator asked for. */
	readonly otherEnds: number;
	/** Each once. */
	readonly ends: readonly FlowEnd[];
}

export interface FlowEnd {
	/** 16 bytes. */
	readonly address: Uint8Array;
	readonly port: number;
	/** IP protocol number. */
	readonly proto: number;
	/** Flows that began at this time or later stay. */
	readonly before: number;
}

/** Deletes entries that are idle for too long, touch an address or were made for an end. A key that changes meanwhile may be judged by its old value. */
export function sweepMap(map: BpfMap, spec: SweepSpec): Promise<SweepResult> {
	const { layout, now, rules, counters = [], touching, pairs, note, tally, aimed } = spec;
	return addon.mapSweep(handle(map), {
		...layout,
		now,
		rules: Uint32Array.from(rules.flatMap(({ proto, mask, value, limit }) => [proto, mask, value, limit])),
		counters: Uint32Array.from(counters.flatMap(({ proto, mask, value }) => [proto, mask, value])),
		addressOffsets: Uint32Array.from(touching?.offsets ?? []),
		addressSize: touching?.addresses[0]?.length ?? 0,
		addresses: concat(touching?.addresses ?? []),
		notedMask: note?.mask ?? 0,
		notedOffset: note?.offset ?? 0,
		...pairField(pairs),
		...(tally !== undefined && { tally }),
		...(aimed !== undefined && { aimed: { ...aimed, ends: concat(aimed.ends.map(endBytes)) } }),
	});
}

/** As keys have it, port in network order; then the time as values have it. */
function endBytes({ address, port, proto, before }: FlowEnd): Uint8Array {
	const time = new Uint8Array(Uint32Array.of(before).buffer);
	return Uint8Array.of(...address, port >>> 8, port & 0xff, proto, ...time);
}

/**
 * Moves entries that have one of the flags (u16 at an offset of the value) into another map of the same layout, as far as there is
 * room; what is there already wins. With `pairs` the flags of the other entry of a flow count too.
 * @returns what stayed as `entries`, what was moved as `deleted`
 */
export function moveEntries(
	from: BpfMap,
	to: BpfMap,
	spec: { readonly flags: number; readonly mask: number; readonly pairs?: PairSpec },
): Promise<SweepResult> {
	const { flags, mask, pairs } = spec;
	return addon.mapMove(handle(from), handle(to), { flags, mask, ...pairField(pairs) });
}

function pairField(pairs: PairSpec | undefined) {
	if (pairs === undefined) return {};
	const { paired, initiatorIsHi, otherSense, value, masquerade } = pairs;
	return {
		pairs: {
			...flowTable(pairs),
			paired,
			initiatorIsHi,
			otherSense,
			...value,
			...(masquerade !== undefined && {
				masquerade: {
					...masquerade,
					own: concat(masquerade.own),
					echoProtos: Uint8Array.from(masquerade.echoProtos),
				},
			}),
		},
	};
}

function flowTable({ maps, prefix, key }: FlowTableSpec) {
	return { maps: maps.map(handle), prefix, ...key };
}

function handle(map: BpfMap) {
	return handleOf(mapHandles, map, 'map');
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
	const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
	let at = 0;
	for (const part of parts) {
		all.set(part, at);
		at += part.length;
	}
	return all;
}
