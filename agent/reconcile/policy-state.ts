/**
 * What the policy maps hold, as the reconciler knows it: rows, the ranges they share, and room. Read from the kernel at start and
 * after a failure, followed by every operation in between.
 */
import { PolicyKey, PolicyLimit, PolicyRow, PolicySet, PolicySetFlag } from '../../native/abi/generated.ts';
import type { Address, Cidr } from '../model/address.ts';
import { rowOf } from '../plan/policy/rows.ts';
import type { Direction, Row } from '../plan/policy/types.ts';
import { DIRECTIONS } from '../plan/policy/types.ts';
import { ExtentAllocator } from './extents.ts';
import type { PolicyMemory } from './policy-apply.ts';
import type { Extent, PolicyKernel, PolicyOp } from './policy-kernel.ts';
import { extentAt, rangesIn, storedAlignment, storedSize, storedWords } from './policy-ranges.ts';

/** Ranges in the kernel, shared by all rows with this content. */
export interface StoredRow {
	readonly row: Row;
	readonly extent: Extent;
	refs: number;
}

export type UnplacedOp = Extract<PolicyOp, { kind: 'address-set' | 'cidr-set' }>;

export interface StoredSet {
	/** 'pods ingress' … → what the default refers to. */
	readonly defaults: Map<string, StoredRow>;
	flags: number;
}

/** Key of a row among all: set × 2^32 + peer. */
export type RowKey = number;

export function rowKey(set: number, peer: number): RowKey {
	return set * 0x1_0000_0000 + peer;
}

export function setOfKey(key: RowKey): number {
	return Math.floor(key / 0x1_0000_0000);
}

export function peerOfKey(key: RowKey): number {
	return key % 0x1_0000_0000;
}

export class PolicyState {
	readonly rows = new Map<RowKey, StoredRow>();
	readonly sets = new Map<number, StoredSet>();
	/** Rows of a set, and of an identity. */
	readonly bySet = new Map<number, Set<RowKey>>();
	readonly byIdentity = new Map<number, Set<RowKey>>();
	/** Rows that say what their default says, or that nobody can ask for any more: to be deleted after a grace period. */
	readonly garbage = new Set<RowKey>();
	/** Pods whose generation has changed since the last grace period. */
	readonly bumped = new Set<string>();
	readonly retiredSets = new Set<number>();
	readonly retiredIdentities = new Set<number>();
	/** Sets that could not be programmed, with the reason. */
	readonly closed = new Map<number, string>();
	/** Entries of tables shared with others that had no room, by address or prefix. */
	readonly unplaced = new Map<Address | Cidr, UnplacedOp>();
	readonly ranges: ExtentAllocator;
	readonly rowCapacity: number;
	/** Set numbers from here on have no element: programs deny their pods. */
	readonly setCapacity: number;
	readonly #contents = new Map<string, StoredRow>();

	constructor(rowCapacity: number, rangeCapacity: number, setCapacity: number) {
		this.rowCapacity = rowCapacity;
		this.setCapacity = setCapacity;
		this.ranges = new ExtentAllocator({ name: 'map ranges', capacity: rangeCapacity, first: 0 });
	}

	/** Takes a reference to ranges with this content. `fresh` = they have to be written. A string says why it cannot be. */
	acquire(row: Row): { readonly stored: StoredRow; readonly fresh: boolean } | string {
		const found = this.#contents.get(row.key);
		if (found !== undefined) {
			found.refs++;
			return { stored: found, fresh: false };
		}
		const count = row.ranges.length / 2;
		if (count > PolicyLimit.RANGES) return `a row has ${count} port ranges, at most ${PolicyLimit.RANGES} are possible`;
		const base = this.ranges.allocate(storedSize(count), storedAlignment(count));
		if (base === undefined) {
			return `map ranges: no room for ${count} in a row, ${this.ranges.used} of ${this.ranges.capacity} used`;
		}
		const stored: StoredRow = { row, extent: extentAt(base, count), refs: 1 };
		this.#contents.set(row.key, stored);
		return { stored, fresh: true };
	}

	/** Gives a reference back; the ranges can be used again after a grace period. */
	release(stored: StoredRow): void {
		if (--stored.refs > 0) return;
		this.#contents.delete(stored.row.key);
		this.ranges.quarantine(stored.extent.base, storedSize(rangesIn(stored.extent)));
	}

	place(key: RowKey, stored: StoredRow): void {
		this.rows.set(key, stored);
		addTo(this.bySet, setOfKey(key), key);
		addTo(this.byIdentity, peerOfKey(key) >>> 2, key);
	}

	remove(key: RowKey): void {
		const stored = this.rows.get(key);
		if (stored === undefined) return;
		this.rows.delete(key);
		this.garbage.delete(key);
		this.bySet.get(setOfKey(key))?.delete(key);
		this.byIdentity.get(peerOfKey(key) >>> 2)?.delete(key);
		this.release(stored);
	}

	/** The stored set; one that does not exist is closed in the kernel: all its words are zero. */
	set(number: number): StoredSet {
		let found = this.sets.get(number);
		if (found === undefined) {
			found = { defaults: new Map(), flags: 0 };
			this.sets.set(number, found);
		}
		return found;
	}

	/** Content found in the kernel; rows that share ranges there share them here. */
	adopt(row: Row, extent: Extent): StoredRow | undefined {
		const found = this.#contents.get(row.key);
		if (found !== undefined) {
			found.refs++;
			return found;
		}
		if (!this.ranges.adopt(extent.base, storedSize(rangesIn(extent)))) return undefined;
		const stored: StoredRow = { row, extent, refs: 1 };
		this.#contents.set(row.key, stored);
		return stored;
	}
}

function addTo(index: Map<number, Set<RowKey>>, at: number, key: RowKey): void {
	const found = index.get(at);
	if (found === undefined) index.set(at, new Set([key]));
	else found.add(key);
}

/** 'pods ingress' */
export function defaultName(who: 'pods' | 'others', direction: Direction): string {
	return `${who} ${direction}`;
}

/** Reads the maps. What contradicts itself is left out, so that it is written anew. */
export function readPolicyState(kernel: PolicyKernel, memory: PolicyMemory): PolicyState {
	const setCapacity = Math.floor((memory.setFlags.length * 4) / PolicySet.size);
	const state = new PolicyState(kernel.mapCapacity('policy'), memory.ranges.length / 2, setCapacity);
	const found: { key: RowKey; extent: Extent }[] = [];
	for (const [keyBytes, valueBytes] of kernel.mapEntries('policy')) {
		const { set, peer } = PolicyKey.decode(keyBytes);
		found.push({ key: rowKey(set, peer), extent: PolicyRow.decode(valueBytes).ranges });
	}
	const sets = readSets(memory);
	const extents = [...found.map(({ extent }) => extent), ...sets.flatMap(({ extents: own }) => [...own.values()])];
	for (const { base, count } of extents)
		if (count > 0) state.ranges.markFound(base, storedSize(rangesIn({ base, count })));
	for (const { key, extent } of found) {
		const stored = adoptExtent(state, memory, extent);
		// Kept in the books in any case: it takes room, and it has to be replaced or deleted.
		state.place(key, stored ?? { row: rowOf(new Uint32Array()), extent: { base: 0, count: 0 }, refs: Infinity });
	}
	for (const { number, flags, extents: own } of sets) {
		const set = state.set(number);
		set.flags = flags;
		for (const [name, extent] of own) {
			const stored = adoptExtent(state, memory, extent);
			if (stored !== undefined) set.defaults.set(name, stored);
		}
	}
	state.ranges.sweepFound();
	return state;
}

interface FoundSet {
	readonly number: number;
	readonly flags: number;
	readonly extents: ReadonlyMap<string, Extent>;
}

function readSets(memory: PolicyMemory): FoundSet[] {
	const sets: FoundSet[] = [];
	const words = PolicySet.size / 4;
	const bytes = new Uint8Array(memory.setFlags.buffer, memory.setFlags.byteOffset, memory.setFlags.byteLength);
	for (let number = 1; (number + 1) * words <= memory.setFlags.length; number++) {
		const own = memory.setFlags.subarray(number * words, (number + 1) * words);
		if (own.every((word) => word === 0)) continue;
		const { pods, others, flags } = PolicySet.decode(bytes, number * PolicySet.size);
		const extents = new Map<string, Extent>();
		for (const [i, direction] of DIRECTIONS.entries()) {
			const [pod, other] = [pods[i], others[i]];
			if (pod !== undefined) extents.set(defaultName('pods', direction), pod);
			if (other !== undefined) extents.set(defaultName('others', direction), other);
		}
		sets.push({ number, flags, extents });
	}
	return sets;
}

function adoptExtent(state: PolicyState, memory: PolicyMemory, extent: Extent): StoredRow | undefined {
	const { base } = extent;
	const count = rangesIn(extent);
	const end = base + storedSize(count);
	if (count === 0 || end * 2 > memory.ranges.length || extent.count !== extentAt(base, count).count) return undefined;
	const row = rowOf(memory.ranges.slice(base * 2, (base + count) * 2));
	const words = storedWords(row.ranges);
	for (let i = row.ranges.length; i < words.length; i++) if (memory.ranges[base * 2 + i] !== words[i]) return undefined;
	return state.adopt(row, extent);
}

/** Flags of a set as wanted. */
export function flagsOf(open: Readonly<Record<Direction, boolean>>): number {
	return (open.ingress ? PolicySetFlag.OPEN_INGRESS : 0) | (open.egress ? PolicySetFlag.OPEN_EGRESS : 0);
}
