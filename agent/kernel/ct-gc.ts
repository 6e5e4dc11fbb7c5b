/**
 * Removes conntrack and masquerade entries whose flow is over. Nothing else does: a full conntrack table sends new flows to a small
 * one where they evict each other, and an entry of the masquerade table is a port that nobody else can have.
 * Dumps and deletions run on a worker thread; the scan yields to the event loop between slices.
 */
import { setImmediate as yieldToLoop } from 'node:timers/promises';
import { Ct4Entry, Ct4Key, CtEntry, CtFlags, CtKey, L4Proto, NatEntry } from '../../native/abi/generated.ts';
import { errorCode } from '../model/errors.ts';
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
	/** Flags as those of bpf_map_update_elem. @throws an error with code EEXIST or E2BIG */
	set(key: Uint8Array, value: Uint8Array, flags?: number): void;
}

/** Where flows are: the table of each family, and what found it full. */
export interface CtMaps {
	readonly ct4: DumpableMap;
	readonly ct6: DumpableMap;
	readonly ctfull4: DumpableMap;
	readonly ctfull6: DumpableMap;
}

export interface CtGcReport {
	/** Entries left, by map. */
	readonly ct4: number;
	readonly ct6: number;
	/** Flows of both families that found their table full and could not be moved into it since. */
	readonly ctfull: number;
	readonly nat: number;
	readonly ctDeleted: number;
	readonly natDeleted: number;
}

/** Seconds a flow of this protocol and state may be idle. @param flags  of both entries of a service flow */
export function idleLimit(proto: number, flags: number, timeouts: CtTimeouts): number {
	const replied = (flags & CtFlags.ESTABLISHED) !== 0;
	switch (proto) {
		case L4Proto.TCP:
			if (flags & CtFlags.CLOSING) return timeouts.tcpClosing;
			if (flags & (CtFlags.FIN_FORWARD | CtFlags.FIN_REPLY)) return timeouts.tcpHalfClosed;
			return replied ? timeouts.tcpEstablished : timeouts.tcpOpening;
		case L4Proto.UDP:
			return replied ? timeouts.udpReplied : timeouts.udpUnreplied;
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

export interface CtGcOptions extends CtMaps {
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
	/** What found `map` full. */
	readonly overflow: DumpableMap;
	readonly keySize: number;
	readonly valueSize: number;
	readonly value: (view: DataView, offset: number) => CtEntry;
	readonly key: (view: DataView, offset: number) => CtKey;
}

function tablesOf({ ct4, ct6, ctfull4, ctfull6 }: CtMaps): CtTable[] {
	return [
		{
			map: ct4,
			overflow: ctfull4,
			keySize: Ct4Key.size,
			valueSize: Ct4Entry.size,
			key: (view, offset) => widenKey(Ct4Key.decodeFrom(view, offset)),
			value: (view, offset) => widenEntry(Ct4Entry.decodeFrom(view, offset)),
		},
		{
			map: ct6,
			overflow: ctfull6,
			keySize: CtKey.size,
			valueSize: CtEntry.size,
			key: CtKey.decodeFrom,
			value: CtEntry.decodeFrom,
		},
	];
}

/** One pass over all tables. @throws what the maps throw; what was deleted before stays deleted */
export async function collectConntrack(options: CtGcOptions): Promise<CtGcReport> {
	const now = options.clock.now();
	const pass: Pass = {
		idleSeconds: (entry) => elapsedSeconds(now, entry.lastSeen, options.clock.hz),
		timeouts: options.timeouts ?? DEFAULT_CT_TIMEOUTS,
		masqueraded: new Set(),
	};
	const families: FamilyReport[] = [];
	for (const table of tablesOf(options)) families.push(await collectFamily(table, pass));
	const nat = await collectNat(options, now, pass.masqueraded);
	const sum = (of: (report: FamilyReport) => number): number => families.map(of).reduce((a, b) => a + b, 0);
	return {
		ct4: families[0]?.kept ?? 0,
		ct6: families[1]?.kept ?? 0,
		ctfull: sum((family) => family.overflow),
		ctDeleted: sum((family) => family.deleted),
		...nat,
	};
}

/** What all tables of one pass share. */
interface Pass {
	readonly idleSeconds: (entry: CtEntry) => number;
	readonly timeouts: CtTimeouts;
	/** Names of the flows that use a port of this node. */
	readonly masqueraded: Set<string>;
}

interface FamilyReport {
	readonly kept: number;
	readonly overflow: number;
	readonly deleted: number;
}

/** Flags of both entries of a flow, and seconds since either was used. */
interface FlowState {
	flags: number;
	idleSeconds: number;
}

/** The two entries of a service flow live and die together: each sees one direction only. */
async function collectFamily(table: CtTable, pass: Pass): Promise<FamilyReport> {
	const parts = [await readTable(table, table.map), await readTable(table, table.overflow)] as const;
	const pairs = new Map<string, FlowState>();
	for (const part of parts) {
		await scan(part.count, (index) => {
			const { key, entry } = part.at(index);
			const name = serviceFlowName(key, entry);
			if (name === undefined) return;
			const state = pairs.get(name) ?? { flags: 0, idleSeconds: Number.POSITIVE_INFINITY };
			state.flags |= entry.flags;
			state.idleSeconds = Math.min(state.idleSeconds, pass.idleSeconds(entry));
			pairs.set(name, state);
		});
	}
	const [main, overflow] = [await judge(parts[0], pairs, pass), await judge(parts[1], pairs, pass)];
	let deleted = 0;
	for (const { part, dead } of [main, overflow]) {
		if (dead.length > 0) deleted += await part.map.deleteBatch(pick(part.keys, table.keySize, dead));
	}
	const moved = await moveOverflow(table, overflow);
	return {
		kept: parts[0].count - main.dead.length + moved,
		overflow: parts[1].count - overflow.dead.length - moved,
		deleted,
	};
}

interface ReadTable {
	readonly map: DumpableMap;
	readonly count: number;
	readonly keys: Uint8Array;
	readonly values: Uint8Array;
	readonly at: (index: number) => { readonly key: CtKey; readonly entry: CtEntry };
}

async function readTable(table: CtTable, map: DumpableMap): Promise<ReadTable> {
	const { count, keys, values } = await map.dumpAsync();
	const keyView = new DataView(keys.buffer, keys.byteOffset, keys.byteLength);
	const valueView = new DataView(values.buffer, values.byteOffset, values.byteLength);
	const at = (index: number): { key: CtKey; entry: CtEntry } => ({
		key: table.key(keyView, index * table.keySize),
		entry: table.value(valueView, index * table.valueSize),
	});
	return { map, count, keys, values, at };
}

interface Judged {
	readonly part: ReadTable;
	/** Indexes of entries to delete, and of live ones that have been answered. */
	readonly dead: number[];
	readonly answered: number[];
}

async function judge(part: ReadTable, pairs: ReadonlyMap<string, FlowState>, pass: Pass): Promise<Judged> {
	const judged: Judged = { part, dead: [], answered: [] };
	await scan(part.count, (index) => {
		const { key, entry } = part.at(index);
		const name = serviceFlowName(key, entry);
		const state = name === undefined ? undefined : pairs.get(name);
		const flags = state?.flags ?? entry.flags;
		const idle = state?.idleSeconds ?? pass.idleSeconds(entry);
		if (idle > idleLimit(key.proto, flags, pass.timeouts)) {
			judged.dead.push(index);
			return;
		}
		if (flags & CtFlags.ESTABLISHED) judged.answered.push(index);
		if (entry.flags & CtFlags.MASQUERADE) pass.masqueraded.add(initiatorFirst(key, entry));
	});
	return judged;
}

/** Name of a flow by its own key. */
function initiatorFirst(key: CtKey, { flags }: CtEntry): string {
	return flags & CtFlags.INITIATOR_IS_HI
		? flowName(key.hi, key.hiPort, key.lo, key.loPort, key.proto)
		: flowName(key.lo, key.loPort, key.hi, key.hiPort, key.proto);
}

/** The same for both entries of a service flow: {client, backend} as the backend sees it. undefined = no service. */
function serviceFlowName(key: CtKey, entry: CtEntry): string | undefined {
	const { flags, snatPort, xlateAddr, xlatePort } = entry;
	if (flags & CtFlags.SVC_REPLY) return initiatorFirst(key, entry);
	if (!(flags & CtFlags.SVC_FORWARD)) return undefined;
	const [client, port] = flags & CtFlags.INITIATOR_IS_HI ? [key.hi, key.hiPort] : [key.lo, key.loPort];
	const seenPort = snatPort !== 0 && !(flags & CtFlags.MASQUERADE) ? snatPort : port;
	return flowName(client, seenPort, xlateAddr, xlatePort, key.proto);
}

const BPF_NOEXIST = 1;

/**
 * Moves flows that have been answered into the table that was full when they began, as far as there is room now: there nothing
 * evicts them. @returns how many
 */
async function moveOverflow(table: CtTable, { part, answered }: Judged): Promise<number> {
	const moved: number[] = [];
	for (const index of answered) {
		const key = part.keys.slice(index * table.keySize, (index + 1) * table.keySize);
		try {
			table.map.set(key, part.values.slice(index * table.valueSize, (index + 1) * table.valueSize), BPF_NOEXIST);
		} catch (error) {
			if (errorCode(error) === 'E2BIG') break;
			if (errorCode(error) !== 'EEXIST') throw error;
		}
		moved.push(index);
	}
	return moved.length > 0 ? part.map.deleteBatch(pick(part.keys, table.keySize, moved)) : 0;
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
export async function forgetAddresses(maps: CtMaps, addresses: readonly Uint8Array[]): Promise<number> {
	const wanted = new Set(addresses.map((address) => Buffer.from(address).toString('latin1')));
	const isWanted = (address: Uint8Array): boolean => wanted.has(Buffer.from(address).toString('latin1'));
	let deleted = 0;
	const tables = tablesOf(maps).flatMap((table) => [table, { ...table, map: table.overflow }]);
	for (const table of tables) {
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
