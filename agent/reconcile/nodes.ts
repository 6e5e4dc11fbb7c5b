/**
 * Rows of `nodes` and the entries of `ipcache` and `cidrs` that refer to them. A row in use is never changed: a changed
 * node gets a new row, its references are moved, then the old row is taken out. Conntrack entries that still name the
 * old row see another generation and look again.
 */

import { CidrKey, IpcacheEntry, IpcacheKey, Node, PeerKind, PeerRef } from '../../native/abi/generated.ts';
import type { Address, Cidr } from '../model/address.ts';
import { addressBytes, cidrParts, familyOf } from '../model/address.ts';
import type { NodeRow, PeerRow, PeersPlan } from '../plan/peers.ts';
import type { Kernel } from './kernel.ts';
import type { TableReport, TableRow } from './table.ts';
import { applyTableOps, bytesKey, diffTable } from './table.ts';

/** Interfaces that the device roles of node rows stand for. */
export interface NodeDevices {
	readonly uplinkIfindex: number;
	/** 0 = there is no overlay device. */
	readonly overlayIfindex: number;
}

/** Row of a node. */
export interface Assignment {
	readonly index: number;
	readonly gen: number;
}

/** Rows of `nodes` that are or were in use, by index, in their order; all others are zeros. */
export type NodeRows = ReadonlyMap<number, Node>;

interface FoundRow {
	readonly index: number;
	readonly value: Node;
}

export interface NodeOps {
	/** New rows. */
	readonly before: readonly FoundRow[];
	/** Row of each node by name. */
	readonly assignments: ReadonlyMap<string, Assignment>;
	/** Rows to take out after the references have moved. */
	readonly after: readonly FoundRow[];
	readonly problems: readonly string[];
}

/** Index 0 means "no node" in references. */
const FIRST_ROW = 1;

/**
 * Pure: which rows to write and to take out.
 * @param capacity  elements of the map
 */
export function diffNodes(
	wanted: readonly NodeRow[],
	found: NodeRows,
	capacity: number,
	devices: NodeDevices,
): NodeOps {
	const used = new Map<string, FoundRow>();
	const doubles: FoundRow[] = [];
	for (const [index, value] of found) {
		if (index < FIRST_ROW || value.ifindex === 0) continue;
		if (used.has(identityOf(value))) doubles.push({ index, value });
		else used.set(identityOf(value), { index, value });
	}
	const free = freeRows(found, capacity);
	const before: FoundRow[] = [];
	const assignments = new Map<string, Assignment>();
	const problems: string[] = [];
	for (const row of wanted) {
		const value = toNode(row, devices);
		const match = used.get(identityOf(value));
		if (match !== undefined) {
			used.delete(identityOf(value));
			assignments.set(row.name, { index: match.index, gen: match.value.gen });
			continue;
		}
		const { value: place } = free.next();
		if (place === undefined) {
			problems.push(`map nodes: cannot add node ${row.name}: all ${capacity - FIRST_ROW} rows used`);
			continue;
		}
		const gen = nextGen(place.value.gen);
		before.push({ index: place.index, value: { ...value, gen } });
		assignments.set(row.name, { index: place.index, gen });
	}
	const after = [...used.values(), ...doubles].map(({ index, value }) => ({ index, value: deadRow(value) }));
	return { before, assignments, after, problems };
}

function* freeRows(found: NodeRows, capacity: number): Generator<FoundRow, undefined> {
	for (let index = FIRST_ROW; index < capacity; index++) {
		const value = found.get(index) ?? NEVER_USED_ROW;
		if (value.ifindex === 0) yield { index, value };
	}
}

/** Everything but the generation: a row with other content is another row. */
function identityOf(node: Node): string {
	return bytesKey(Node.encode({ ...node, gen: 0 }));
}

function nextGen(gen: number): number {
	return (gen + 1) & 0xff;
}

/** A free row keeps its generation, so that its next use gets another. */
function deadRow(old: Node): Node {
	const none = new Uint8Array(16);
	const gen = nextGen(old.gen);
	return { tunnel: none, nexthop6: none, nexthop4: 0, ifindex: 0, mtu: 0, gen, flags: 0, identity: 0 };
}

function toNode(row: NodeRow, devices: NodeDevices): Node {
	return {
		tunnel: addressBytes(row.tunnel),
		nexthop6: row.nexthop6 === null ? new Uint8Array(16) : addressBytes(row.nexthop6),
		nexthop4: row.nexthop4 === null ? 0 : new DataView(addressBytes(row.nexthop4).buffer).getUint32(12),
		ifindex: row.device === 'overlay' ? devices.overlayIfindex : devices.uplinkIfindex,
		mtu: row.mtu,
		gen: 0,
		flags: row.flags,
		identity: row.identity,
	};
}

/** Value of an ipcache or cidrs entry; undefined when its node has no row (map full): better no entry than a wrong one. */
function toEntry(row: PeerRow, assignments: ReadonlyMap<string, Assignment>): Uint8Array | undefined {
	let reference: Assignment = { index: 0, gen: 0 };
	if (row.node !== null) {
		const assigned = assignments.get(row.node);
		if (assigned === undefined) return undefined;
		reference = assigned;
	}
	return IpcacheEntry.encode({ peer: { ...reference, kind: row.kind }, identity: row.identity });
}

/** Wanted rows of `ipcache`. */
export function ipcacheRows(
	addresses: ReadonlyMap<Address, PeerRow>,
	assignments: ReadonlyMap<string, Assignment>,
): Map<string, TableRow> {
	const rows = new Map<string, TableRow>();
	for (const [address, row] of addresses) {
		const key = IpcacheKey.encode({ addr: addressBytes(address) });
		const value = toEntry(row, assignments);
		if (value !== undefined) rows.set(bytesKey(key), { key, value });
	}
	return rows;
}

/** Wanted rows of `cidrs`; IPv4 prefixes count from the first of the 128 bits. */
export function cidrRows(
	cidrs: ReadonlyMap<string, PeerRow>,
	assignments: ReadonlyMap<string, Assignment>,
): Map<string, TableRow> {
	const rows = new Map<string, TableRow>();
	for (const [cidr, row] of cidrs) {
		const { address, prefixLength } = cidrParts(cidr);
		const prefixLen = prefixLength + (familyOf(cidr) === 4 ? 96 : 0);
		const key = CidrKey.encode({ prefixLen, addr: addressBytes(address) });
		const value = toEntry(row, assignments);
		if (value !== undefined) rows.set(bytesKey(key), { key, value });
	}
	return rows;
}

/** Rows of pods on this node belong to the endpoint manager, those of pods on other nodes to policy, if there is one. */
function isOursInIpcache(value: Uint8Array, policy: PeerPolicy | undefined): boolean {
	// Decoding each of 100,000 entries took most of the time of a comparison.
	const kind = value[KIND_AT];
	return kind !== PeerKind.LOCAL_POD && !(kind === PeerKind.REMOTE_POD && policy !== undefined);
}

const NOBODYS = new Uint8Array(IpcacheEntry.size);

/** The last byte of the reference that an entry begins with. */
const KIND_AT = PeerRef.size - 1;

/** What network policy knows of the addresses of these tables. */
export interface PeerPolicy {
	/**
	 * Called when `nodes` has the wanted rows, and before rows are taken out: does all that is to be done for the plan in the tables of
	 * policy, and moves the references in its own entries of `ipcache`. @returns problems; empty = nothing of policy's names an old row
	 */
	follow(plan: PeersPlan, assignments: ReadonlyMap<string, Assignment>): readonly string[];
	/** Wanted rows of `cidrs`: those of the plan and the prefixes that policies name, all with their identities. */
	cidrs(): ReadonlyMap<Cidr, PeerRow>;
	/** undefined = as planned. */
	identityOf(address: Address): number | undefined;
	/** Entries have been changed after follow(). */
	changed(): void;
}

function withIdentities(addresses: PeersPlan['addresses'], policy: PeerPolicy): Map<Address, PeerRow> {
	return new Map(
		[...addresses].map(([key, row]) => [key, { ...row, identity: policy.identityOf(key) ?? row.identity }]),
	);
}

/** Nearly all of the 16384 rows; decoding each took most of the time of a comparison. */
const NEVER_USED = Buffer.alloc(Node.size);
const NEVER_USED_ROW = Node.decode(NEVER_USED);

function readNodes(kernel: Kernel): NodeRows {
	const rows: [number, Node][] = [];
	for (const [key, value] of kernel.mapEntries('nodes')) {
		if (NEVER_USED.equals(value)) continue;
		rows.push([new DataView(key.buffer, key.byteOffset).getUint32(0, true), Node.decode(value)]);
	}
	return inOrder(rows);
}

function inOrder(rows: Iterable<readonly [number, Node]>): NodeRows {
	return new Map([...rows].sort(([a], [b]) => a - b));
}

export interface PeersReport extends TableReport {
	/** Row of each node by name; empty when the rows could not be written. */
	readonly assignments: ReadonlyMap<string, Assignment>;
}

/**
 * What was written last, so that most comparisons need not read 100,000 entries, or a megabyte of rows of nodes. Others change `ipcache` and
 * `cidrs` too, but only entries of their own and identities that they give in the plan as well.
 */
export class PeerMemory {
	#rows: { readonly ipcache: Rows; readonly cidrs: Rows } | undefined;
	#nodes: NodeRows | undefined;

	/** The next comparison reads the tables. */
	forget(): void {
		this.#rows = undefined;
		this.#nodes = undefined;
	}

	nodes(kernel: Kernel): NodeRows {
		this.#nodes ??= readNodes(kernel);
		return this.#nodes;
	}

	/** These rows have been written. */
	keepNodes(rows: readonly FoundRow[]): void {
		if (this.#nodes === undefined || rows.length === 0) return;
		const written = rows.map(({ index, value }) => [index, value] as const);
		this.#nodes = inOrder(new Map([...this.#nodes, ...written]));
	}

	keep(ipcache: Rows, cidrs: Rows): void {
		this.#rows = { ipcache, cidrs };
	}

	entries(map: 'ipcache' | 'cidrs', kernel: Kernel): Iterable<readonly [Uint8Array, Uint8Array]> {
		const rows = this.#rows?.[map];
		return rows === undefined ? kernel.mapEntries(map) : [...rows.values()].map(({ key, value }) => [key, value]);
	}
}

type Rows = ReadonlyMap<string, TableRow>;

/**
 * Makes `nodes`, `ipcache` (but for local pods) and `cidrs` equal to the plan, compared with a fresh read or with what is remembered.
 * Never throws for a refused entry: everything else is done and the report says what is missing.
 */
export function reconcilePeers(
	plan: PeersPlan,
	devices: NodeDevices,
	kernel: Kernel,
	policy?: PeerPolicy,
	memory = new PeerMemory(),
): PeersReport {
	const nodes = diffNodes(plan.nodes, memory.nodes(kernel), kernel.mapCapacity('nodes'), devices);
	const written = applyTableOps(nodes.before.map(toSet), 'nodes', kernel);
	if (written.problems.length > 0) {
		memory.forget();
		return { ops: written.ops, problems: [...nodes.problems, ...written.problems], assignments: new Map() };
	}
	const policyProblems = policy?.follow(plan, nodes.assignments) ?? [];
	const addresses = policy === undefined ? plan.addresses : withIdentities(plan.addresses, policy);
	const wantedAddresses = ipcacheRows(addresses, nodes.assignments);
	const isOurs = (value: Uint8Array): boolean => isOursInIpcache(value, policy);
	const addressOps = diffTable(wantedAddresses, memory.entries('ipcache', kernel), isOurs).filter(
		// What is remembered may have become the entry of a pod.
		({ kind, key }) => kind === 'set' || isOurs(kernel.mapGet('ipcache', key) ?? NOBODYS),
	);
	const wantedCidrs = cidrRows(policy?.cidrs() ?? plan.cidrs, nodes.assignments);
	const cidrOps = diffTable(wantedCidrs, memory.entries('cidrs', kernel), () => true);
	const reports = [applyTableOps(addressOps, 'ipcache', kernel), applyTableOps(cidrOps, 'cidrs', kernel)];
	if (reports.some((report) => report.ops > 0)) policy?.changed();
	const problems = [...nodes.problems, ...policyProblems, ...reports.flatMap((report) => report.problems)];
	memory.keepNodes(nodes.before);
	// An entry that could not be moved may still name an old row.
	if (reports.some((report) => report.problems.length > 0)) memory.forget();
	else memory.keep(wantedAddresses, wantedCidrs);
	const moved = policyProblems.length === 0 && reports.every((report) => report.problems.length === 0);
	if (nodes.after.length > 0 && moved) {
		// A freed row is written as soon as another node comes, and a program may still be reading it.
		kernel.barrier();
		const freed = applyTableOps(nodes.after.map(toSet), 'nodes', kernel);
		if (freed.problems.length > 0) memory.forget();
		else memory.keepNodes(nodes.after);
		reports.push(freed);
		problems.push(...freed.problems);
	}
	const ops = reports.reduce((sum, report) => sum + report.ops, written.ops);
	return { ops, problems, assignments: nodes.assignments };
}

function toSet({ index, value }: FoundRow) {
	const key = new Uint8Array(4);
	new DataView(key.buffer).setUint32(0, index, true);
	return { kind: 'set' as const, key, value: Node.encode(value) };
}
