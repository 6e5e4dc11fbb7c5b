/**
 * Removes conntrack and masquerade entries whose flow is over. The conntrack table is an LRU and would survive without;
 * the masquerade table is not, and an entry there is a port that nobody else can have.
 * Dumps and deletions run on a worker thread; the scan yields to the event loop between slices.
 */
import { setImmediate as yieldToLoop } from 'node:timers/promises';
import { Ct4Entry, Ct4Key, CtEntry, CtFlags, CtKey, L4Proto, NatEntry } from '../../native/abi/generated.ts';
import { elapsedSeconds } from './jiffies.ts';

/** Seconds without a packet after which an entry goes, by state. */
export interface CtTimeouts {
	readonly tcpEstablished: number;
	/** After RST, or FIN from both sides. */
	readonly tcpClosing: number;
	/** One side has sent its FIN. */
	readonly tcpHalfClosed: number;
	/** No reply yet. */
	readonly tcpOpening: number;
	readonly udpReplied: number;
	readonly udpUnreplied: number;
	readonly icmp: number;
	/** SCTP and everything else. */
	readonly other: number;
}

/** Those of netfilter where Kubernetes users know them; established and half-closed TCP as
 * kube-proxy sets them (24 h, 1 h). */
export const DEFAULT_CT_TIMEOUTS: CtTimeouts = {
	tcpEstablished: 86_400,
	tcpClosing: 10,
	tcpHalfClosed: 3600,
	tcpOpening: 60,
	udpReplied: 180,
	udpUnreplied: 30,
	icmp: 30,
	other: 600,
};

/** A masquerade entry younger than this is kept although its flow is not in the conntrack table (yet). */
const NAT_GRACE_SECONDS = 10;
const SLICE = 4096;

/** The part of BpfMap that is needed. */
export interface DumpableMap {
	/** Flat arrays: count × key size, count × value size. */
	dumpAsync(): Promise<{ count: number; keys: Uint8Array; values: Uint8Array }>;
	deleteBatch(keys: Uint8Array): Promise<number>;
}

export interface CtGcReport {
	/** Entries left, by map. */
	readonly ct4: number;
	readonly ct6: number;
	readonly nat: number;
	readonly ctDeleted: number;
	readonly natDeleted: number;
}

/** Seconds an entry of this protocol and state may be idle. */
export function idleLimit(proto: number, flags: number, timeouts: CtTimeouts): number {
	const replied = (flags & CtFlags.ESTABLISHED) !== 0;
	switch (proto) {
		case L4Proto.TCP:
			if (flags & CtFlags.CLOSING) return timeouts.tcpClosing;
			if (flags & (CtFlags.FIN_FORWARD | CtFlags.FIN_REPLY)) return timeouts.tcpHalfClosed;
			// Replies of a translated flow are seen by its other entry, so a forward entry never is "replied".
			return replied || flags & CtFlags.SVC_FORWARD ? timeouts.tcpEstablished : timeouts.tcpOpening;
		case L4Proto.UDP:
			return replied || flags & CtFlags.SVC_FORWARD ? timeouts.udpReplied : timeouts.udpUnreplied;
		case L4Proto.ICMP:
		case L4Proto.ICMPV6:
			return timeouts.icmp;
		default:
			return timeouts.other;
	}
}

/** Calls `visit` for every entry, letting the event loop run in between. */
async function scan(count: number, visit: (index: number) => void): Promise<void> {
	for (let start = 0; start < count; start += SLICE) {
		for (let index = start; index < Math.min(count, start + SLICE); index++) visit(index);
		if (start + SLICE < count) await yieldToLoop();
	}
}

function pick(keys: Uint8Array, size: number, indexes: readonly number[]): Uint8Array {
	const out = new Uint8Array(indexes.length * size);
	indexes.forEach((index, at) => {
		out.set(keys.subarray(index * size, (index + 1) * size), at * size);
	});
	return out;
}

/** Identifies {pod, port, remote, port, proto} in either table. The pod's side comes first. */
function flowName(pod: Uint8Array, podPort: number, remote: Uint8Array, remotePort: number, proto: number): string {
	return `${Buffer.from(pod).toString('latin1')}${podPort},${Buffer.from(remote).toString('latin1')}${remotePort},${proto}`;
}

function hasBytes(a: Uint8Array, b: Uint8Array): boolean {
	return Buffer.compare(a, b) === 0;
}

/** Name of the flow a masquerade entry serves: the remote end is the side of the key that is not this node. */
function natFlowName(key: CtKey, entry: NatEntry, nodeAddresses: readonly Uint8Array[]): string {
	const loIsNode = nodeAddresses.some((address) => hasBytes(address, key.lo));
	const remote = loIsNode ? key.hi : key.lo;
	const echo = key.proto === L4Proto.ICMP || key.proto === L4Proto.ICMPV6;
	return flowName(entry.addr, entry.port, remote, echo ? entry.port : loIsNode ? key.hiPort : key.loPort, key.proto);
}

export interface CtGcOptions {
	readonly ct4: DumpableMap;
	readonly ct6: DumpableMap;
	readonly nat: DumpableMap;
	/** Low 32 bits of jiffies, and their rate. */
	readonly clock: { now(): number; readonly hz: number };
	/** 16-byte addresses of this node that masquerading uses. */
	readonly nodeAddresses: readonly Uint8Array[];
	readonly timeouts?: CtTimeouts;
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

/** Reads values of the IPv4 table as those of the IPv6 table. */
export function widenEntry(entry: Ct4Entry): CtEntry {
	return { ...entry, xlateAddr: entry.xlateAddr === 0 ? new Uint8Array(16) : mappedAddress(entry.xlateAddr) };
}

interface CtTable {
	readonly map: DumpableMap;
	readonly keySize: number;
	readonly valueSize: number;
	/** What both layouts have. */
	readonly value: (view: DataView, offset: number) => Pick<CtEntry, 'flags' | 'lastSeen'>;
	readonly key: (view: DataView, offset: number) => CtKey;
}

function tablesOf({ ct4, ct6 }: Pick<CtGcOptions, 'ct4' | 'ct6'>): CtTable[] {
	return [
		{
			map: ct4,
			keySize: Ct4Key.size,
			valueSize: Ct4Entry.size,
			key: (view, offset) => widenKey(Ct4Key.decodeFrom(view, offset)),
			value: Ct4Entry.decodeFrom,
		},
		{ map: ct6, keySize: CtKey.size, valueSize: CtEntry.size, key: CtKey.decodeFrom, value: CtEntry.decodeFrom },
	];
}

/** One pass over all tables. @throws what the maps throw; what was deleted before stays deleted */
export async function collectConntrack(options: CtGcOptions): Promise<CtGcReport> {
	const masqueraded = new Set<string>();
	const now = options.clock.now();
	const left: number[] = [];
	let ctDeleted = 0;
	for (const table of tablesOf(options)) {
		const { count, deleted } = await collectTable(table, options, now, masqueraded);
		left.push(count - deleted);
		ctDeleted += deleted;
	}
	const nat = await collectNat(options, now, masqueraded);
	return { ct4: left[0] ?? 0, ct6: left[1] ?? 0, ctDeleted, ...nat };
}

async function collectTable(
	table: CtTable,
	options: CtGcOptions,
	now: number,
	masqueraded: Set<string>,
): Promise<{ count: number; deleted: number }> {
	const timeouts = options.timeouts ?? DEFAULT_CT_TIMEOUTS;
	const dump = await table.map.dumpAsync();
	const keys = new DataView(dump.keys.buffer, dump.keys.byteOffset, dump.keys.byteLength);
	const values = new DataView(dump.values.buffer, dump.values.byteOffset, dump.values.byteLength);
	const dead: number[] = [];
	await scan(dump.count, (index) => {
		const key = table.key(keys, index * table.keySize);
		const entry = table.value(values, index * table.valueSize);
		if (elapsedSeconds(now, entry.lastSeen, options.clock.hz) > idleLimit(key.proto, entry.flags, timeouts)) {
			dead.push(index);
		} else if (entry.flags & CtFlags.MASQUERADE) {
			const podIsHi = (entry.flags & CtFlags.INITIATOR_IS_HI) !== 0;
			masqueraded.add(
				podIsHi
					? flowName(key.hi, key.hiPort, key.lo, key.loPort, key.proto)
					: flowName(key.lo, key.loPort, key.hi, key.hiPort, key.proto),
			);
		}
	});
	const deleted = dead.length ? await table.map.deleteBatch(pick(dump.keys, table.keySize, dead)) : 0;
	return { count: dump.count, deleted };
}

async function collectNat(
	options: CtGcOptions,
	now: number,
	masqueraded: ReadonlySet<string>,
): Promise<{ nat: number; natDeleted: number }> {
	const nat = await options.nat.dumpAsync();
	const keys = new DataView(nat.keys.buffer, nat.keys.byteOffset, nat.keys.byteLength);
	const values = new DataView(nat.values.buffer, nat.values.byteOffset, nat.values.byteLength);
	const dead: number[] = [];
	await scan(nat.count, (index) => {
		const entry = NatEntry.decodeFrom(values, index * NatEntry.size);
		if (elapsedSeconds(now, entry.lastSeen, options.clock.hz) <= NAT_GRACE_SECONDS) return;
		const key = CtKey.decodeFrom(keys, index * CtKey.size);
		if (!masqueraded.has(natFlowName(key, entry, options.nodeAddresses))) dead.push(index);
	});
	const natDeleted = dead.length ? await options.nat.deleteBatch(pick(nat.keys, CtKey.size, dead)) : 0;
	return { nat: nat.count - natDeleted, natDeleted };
}

/**
 * Deletes every entry one of whose ends is one of these addresses, so that the next owner of an address does not inherit
 * the flows of the last one.
 * @param addresses  16 bytes each
 * @returns entries deleted
 */
export async function forgetAddresses(
	maps: Pick<CtGcOptions, 'ct4' | 'ct6'>,
	addresses: readonly Uint8Array[],
): Promise<number> {
	const wanted = new Set(addresses.map((address) => Buffer.from(address).toString('latin1')));
	const isWanted = (address: Uint8Array): boolean => wanted.has(Buffer.from(address).toString('latin1'));
	let deleted = 0;
	for (const table of tablesOf(maps)) {
		const { count, keys } = await table.map.dumpAsync();
		const view = new DataView(keys.buffer, keys.byteOffset, keys.byteLength);
		const found: number[] = [];
		await scan(count, (index) => {
			const key = table.key(view, index * table.keySize);
			if (isWanted(key.lo) || isWanted(key.hi)) found.push(index);
		});
		if (found.length > 0) deleted += await table.map.deleteBatch(pick(keys, table.keySize, found));
	}
	return deleted;
}
