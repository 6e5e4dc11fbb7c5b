/**
 * From an entry of the conntrack table to one for people. Pure.
 */
import { CtDirection, type CtEntry, CtFlags, type CtKey } from '../../native/abi/generated.ts';
import type { PeerName } from '../flows/flow.ts';
import type { AddressResolver } from '../flows/names.ts';
import { addressOfBytes } from '../model/address.ts';
import type { ConntrackReport } from './state.ts';

export interface ConntrackContext {
	readonly names: Pick<AddressResolver, 'owner'>;
	/** Low 32 bits of jiffies when the dump was made. */
	readonly jiffiesNow: number;
	/** Jiffies per second. */
	readonly hz: number;
}

/** Flags that `state` tells, or that only order the two ends. */
const UNSHOWN = new Set<string>(['INITIATOR_IS_HI', 'ESTABLISHED', 'CLOSING']);

export function conntrackReport(key: CtKey, entry: CtEntry, context: ConntrackContext): ConntrackReport {
	const { flags } = entry;
	const lo = { address: key.lo, port: key.loPort };
	const hi = { address: key.hi, port: key.hiPort };
	const [source, destination] = (flags & CtFlags.INITIATOR_IS_HI) !== 0 ? [hi, lo] : [lo, hi];
	const name = (address: Uint8Array): PeerName | undefined => context.names.owner(address, 0);
	const translated = isTranslated(entry, destination);
	const sinceMs = (jiffies: number): number => elapsedMs(context.jiffiesNow, jiffies, context.hz);
	return {
		protocol: key.proto,
		source: addressOfBytes(source.address),
		sourcePort: source.port,
		destination: addressOfBytes(destination.address),
		destinationPort: destination.port,
		translated: translated ? addressOfBytes(entry.xlateAddr) : '',
		translatedPort: translated ? entry.xlatePort : 0,
		snatPort: entry.snatPort,
		state: stateOf(flags),
		flags: Object.entries(CtFlags)
			.filter(([text, bit]) => (flags & bit) !== 0 && !UNSHOWN.has(text))
			.map(([text]) => text.toLowerCase()),
		idleMs: sinceMs(entry.lastSeen),
		ageMs: sinceMs(entry.created),
		packetsForward: entry.packets[CtDirection.FORWARD] ?? 0,
		packetsReply: entry.packets[CtDirection.REPLY] ?? 0,
		bytesForward: entry.bytes[CtDirection.FORWARD] ?? 0n,
		bytesReply: entry.bytes[CtDirection.REPLY] ?? 0n,
		sourceName: name(source.address),
		destinationName: name(destination.address),
	};
}

/** Of a masqueraded flow without a service the entry names the destination itself. */
function isTranslated({ xlateAddr, xlatePort }: CtEntry, destination: { address: Uint8Array; port: number }): boolean {
	if (xlateAddr.every((byte) => byte === 0)) return false;
	return xlatePort !== destination.port || xlateAddr.some((byte, i) => byte !== destination.address[i]);
}

function stateOf(flags: number): ConntrackReport['state'] {
	if ((flags & CtFlags.CLOSING) !== 0) return 'closing';
	return (flags & CtFlags.ESTABLISHED) !== 0 ? 'established' : 'new';
}

/** Between low halves of jiffies; an entry that was touched after `now` was read counts as just now. */
function elapsedMs(now: number, then: number, hz: number): number {
	return (Math.max(0, (now - then) | 0) * 1000) / hz;
}
