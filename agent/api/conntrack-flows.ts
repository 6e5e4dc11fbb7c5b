/**
 * Flows instead of entries: a translated or masqueraded flow has one entry for what its initiator sends and one for replies, and each sees only
 * one direction (docs/decisions/0005). Pure.
 */
import { CtDirection, type CtEntry, CtFlags, type CtKey, L4Proto } from '../../native/abi/generated.ts';
import type { TrackedEntry } from '../kernel/ct-dump.ts';

/** Entries by position, 0 to `count` - 1. */
export interface TrackedEntries {
	readonly count: number;
	at(position: number): TrackedEntry;
}

/** Entries for replies whose flow has another entry. */
export interface ReplyIndex {
	/** Positions by the tuple that their flow's initiator sends. */
	readonly byTuple: ReadonlyMap<string, number>;
}

const ENTRIES_PER_TURN = 4096;

/**
 * Finds the entries for replies. A full table has hundreds of thousands: `nextTurn` is awaited every now and then.
 */
export async function indexReplies(entries: TrackedEntries, nextTurn: () => Promise<unknown>): Promise<ReplyIndex> {
	const byTuple = new Map<string, number>();
	for (let i = 0; i < entries.count; i++) {
		if (i % ENTRIES_PER_TURN === ENTRIES_PER_TURN - 1) await nextTurn();
		const { key, entry } = entries.at(i);
		const tuple = tupleOfInitiator(key, entry);
		if (tuple !== undefined) byTuple.set(tuple, i);
	}
	return { byTuple };
}

/** Each flow once. Those that have both entries count what each of them saw, and are as far as the further one. */
export function* flowsOf(entries: TrackedEntries, { byTuple }: ReplyIndex): Generator<TrackedEntry> {
	const joined = new Set<number>();
	const later: number[] = [];
	for (let i = 0; i < entries.count; i++) {
		const { key, entry } = entries.at(i);
		if ((entry.flags & CtFlags.SVC_REPLY) !== 0) {
			later.push(i);
			continue;
		}
		const position = hasReplyEntry(entry) ? byTuple.get(tupleOf(key, entry)) : undefined;
		const reply = position === undefined ? undefined : entries.at(position);
		if (position === undefined || reply === undefined || !answers(reply, entry)) {
			yield { key, entry };
			continue;
		}
		joined.add(position);
		yield { key, entry: both(entry, reply.entry) };
	}
	for (const i of later) if (!joined.has(i)) yield entries.at(i);
}

interface Ends {
	readonly initiator: Uint8Array;
	readonly initiatorPort: number;
	readonly responder: Uint8Array;
	readonly responderPort: number;
}

function endsOf(key: CtKey, { flags }: CtEntry): Ends {
	return (flags & CtFlags.INITIATOR_IS_HI) !== 0
		? { initiator: key.hi, initiatorPort: key.hiPort, responder: key.lo, responderPort: key.loPort }
		: { initiator: key.lo, initiatorPort: key.loPort, responder: key.hi, responderPort: key.hiPort };
}

function tuple(protocol: number, { initiator, initiatorPort, responder, responderPort }: Ends): string {
	const text = (address: Uint8Array): string => Buffer.from(address).toString('latin1');
	return `${text(initiator)}${text(responder)} ${protocol} ${initiatorPort} ${responderPort}`;
}

const tupleOf = (key: CtKey, entry: CtEntry): string => tuple(key.proto, endsOf(key, entry));

/** Of an entry for replies. Undefined for others, and where nothing tells: in a flow of the node to itself the backend sees another address. */
function tupleOfInitiator(key: CtKey, entry: CtEntry): string | undefined {
	const { flags, xlateAddr, xlatePort, snatPort, client } = entry;
	if ((flags & CtFlags.SVC_REPLY) === 0 || (flags & CtFlags.HOST_LOOP) !== 0) return undefined;
	const { initiator, initiatorPort } = endsOf(key, entry);
	const masqueraded = (flags & CtFlags.MASQUERADE) !== 0;
	const ownPort = masqueraded || (snatPort !== 0 && (flags & CtFlags.SHARED) === 0);
	return tuple(key.proto, {
		initiator: masqueraded ? client : initiator,
		initiatorPort: ownPort ? snatPort : initiatorPort,
		responder: xlateAddr,
		responderPort: xlatePort,
	});
}

function hasReplyEntry({ flags }: CtEntry): boolean {
	return (flags & (CtFlags.SVC_FORWARD | CtFlags.MASQUERADE)) !== 0;
}

/** Is it the entry for replies of this very flow? An earlier one of the initiator's port may have left its own, with another backend. */
function answers({ key, entry }: TrackedEntry, forward: CtEntry): boolean {
	const { initiatorPort, responder, responderPort } = endsOf(key, entry);
	if (!responder.every((byte, i) => byte === forward.xlateAddr[i])) return false;
	const isEcho = key.proto === L4Proto.ICMP || key.proto === L4Proto.ICMPV6;
	if (!isEcho && responderPort !== forward.xlatePort) return false;
	return (forward.flags & CtFlags.MASQUERADE) === 0 || initiatorPort === forward.snatPort;
}

function both(forward: CtEntry, reply: CtEntry): CtEntry {
	const { FORWARD, REPLY } = CtDirection;
	return {
		...forward,
		flags: forward.flags | (reply.flags & (CtFlags.ESTABLISHED | CtFlags.CLOSING)),
		lastSeen: ((reply.lastSeen - forward.lastSeen) | 0) > 0 ? reply.lastSeen : forward.lastSeen,
		packets: [forward.packets[FORWARD] ?? 0, reply.packets[REPLY] ?? 0],
		bytes: [forward.bytes[FORWARD] ?? 0n, reply.bytes[REPLY] ?? 0n],
	};
}
