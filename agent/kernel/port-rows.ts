/**
 * Flows of a version that kept masquerade ports in a table of their own (docs/decisions/0037): {remote, own address and port} → initiator. There,
 * the entry for replies of a service flow had the initiator's address in its key, and a flow without a service had one entry only. Gives each such
 * flow the entry for replies that the programs of now look for. What the old programs need stays as it is.
 */
import { Ct4Entry, Ct4Key, CtEntry, CtFlags, CtKey, L4Proto } from '../../native/abi/generated.ts';
import { BPF_NOEXIST, type BpfMap, NativeError } from '../../native/index.ts';
import { type CtMaps, widenEntry } from './ct-gc.ts';

/** Pin of the table. */
export const PORT_ROWS_PIN = 'fl_nat_1';

/** Its value: 16 bytes of address, the port in network order, two unused bytes, the time of the last use. */
const VALUE_BYTES = 24;

interface End {
	/** 16 bytes. */
	readonly address: Uint8Array;
	readonly port: number;
}

/** A flow table whose keys and values are those of the IPv6 table. */
interface Table {
	get(key: CtKey): CtEntry | undefined;
	/** @param noExist  true = an entry that is there stays. @returns false when nothing was written */
	set(key: CtKey, entry: CtEntry, noExist: boolean): boolean;
}

/**
 * @param rows  the table of ports
 * @param ct    where the flows are
 * @returns flows that got an entry; those that have one already do not count
 */
export async function convertPortRows(rows: BpfMap, ct: Pick<CtMaps, 'ct4' | 'ct6'>): Promise<number> {
	if (rows.info.keySize !== CtKey.size || rows.info.valueSize !== VALUE_BYTES) return 0;
	const { count, keys, values } = await rows.dumpAsync();
	const tables = { 4: tableOf4(ct.ct4), 6: tableOf6(ct.ct6) };
	let converted = 0;
	for (let index = 0; index < count; index++) {
		const key = CtKey.decode(keys.subarray(index * CtKey.size, (index + 1) * CtKey.size));
		const value = values.slice(index * VALUE_BYTES, (index + 1) * VALUE_BYTES);
		const client = { address: value.subarray(0, 16), port: new DataView(value.buffer).getUint16(16) };
		const table = isMapped(client.address) ? tables[4] : tables[6];
		if (convertOne(table, key, client, false) || convertOne(table, key, client, true)) converted++;
	}
	return converted;
}

/** @param ownIsHi  which end of the key is taken for the node's */
function convertOne(table: Table, key: CtKey, client: End, ownIsHi: boolean): boolean {
	const ends = [
		{ address: key.lo, port: key.loPort },
		{ address: key.hi, port: key.hiPort },
	] as const;
	const [far, own] = ownIsHi ? ends : [ends[1], ends[0]];
	const isEcho = key.proto === L4Proto.ICMP || key.proto === L4Proto.ICMPV6;
	const responder = isEcho ? { ...far, port: client.port } : far;
	for (const flowKey of bothOrders(client, responder, key.proto)) {
		const entry = table.get(flowKey);
		if (entry === undefined || (entry.flags & CtFlags.MASQUERADE) === 0 || entry.snatPort !== own.port) continue;
		const { SVC_REPLY, INITIATOR_IS_HI } = CtFlags;
		const isService = (entry.flags & SVC_REPLY) !== 0;
		const seen = isService ? {} : { xlateAddr: responder.address, xlatePort: responder.port };
		const flags = (entry.flags & ~INITIATOR_IS_HI) | SVC_REPLY | (ownIsHi ? INITIATOR_IS_HI : 0);
		const reply = { ...entry, ...seen, flags, snatPort: client.port, client: client.address };
		const made = table.set(key, { ...reply, bytes: [0n, entry.bytes[1] ?? 0n] }, true);
		// Also of one that has its entry for replies: a later copy of the old table may have come over it.
		if (!isService && entry.xlatePort !== responder.port) table.set(flowKey, { ...entry, ...seen }, false);
		return made;
	}
	return false;
}

/** Which end comes first in a key is the programs' affair. */
function bothOrders(a: End, b: End, proto: number): CtKey[] {
	const key = (lo: End, hi: End) => ({ lo: lo.address, hi: hi.address, loPort: lo.port, hiPort: hi.port, proto });
	return [key(a, b), key(b, a)];
}

function tableOf6(map: BpfMap): Table {
	return {
		get(key) {
			const value = map.get(CtKey.encode(key));
			return value && CtEntry.decode(value);
		},
		set: (key, entry, noExist) => write(map, CtKey.encode(key), CtEntry.encode(entry), noExist),
	};
}

function tableOf4(map: BpfMap): Table {
	const keyOf = (key: CtKey) => Ct4Key.encode({ ...key, lo: ipv4(key.lo), hi: ipv4(key.hi) });
	return {
		get(key) {
			const value = map.get(keyOf(key));
			// Of the former version: bytes[0] is no address yet.
			return value && { ...widenEntry(Ct4Entry.decode(value)), bytes: Ct4Entry.decode(value).bytes };
		},
		set(key, entry, noExist) {
			const { client, ...rest } = entry;
			const isReply = (entry.flags & CtFlags.SVC_REPLY) !== 0;
			const word = BigInt(new DataView(client.buffer, client.byteOffset).getUint32(12, true));
			const bytes = isReply ? [word, entry.bytes[1] ?? 0n] : entry.bytes;
			return write(map, keyOf(key), Ct4Entry.encode({ ...rest, bytes, xlateAddr: ipv4(entry.xlateAddr) }), noExist);
		},
	};
}

function write(map: BpfMap, key: Uint8Array, value: Uint8Array, noExist: boolean): boolean {
	try {
		if (noExist) map.set(key, value, BPF_NOEXIST);
		else map.set(key, value);
		return true;
	} catch (error) {
		if (error instanceof NativeError) return false; // there already, or no room
		throw error;
	}
}

const isMapped = (address: Uint8Array): boolean =>
	address[10] === 0xff && address[11] === 0xff && address.subarray(0, 10).every((byte) => byte === 0);

const ipv4 = (address: Uint8Array): number => new DataView(address.buffer, address.byteOffset).getUint32(12);
