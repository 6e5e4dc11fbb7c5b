/**
 * Who owns an address, for the hint in backend rows: from the same plan that `ipcache` and `cidrs` are made of, kept
 * here because asking those maps for 100,000 addresses takes half a second.
 */
import { PeerKind, type PeerRef } from '../../native/abi/generated.ts';
import type { Address, Cidr, Family } from '../model/address.ts';
import { addressBytes, cidrParts, familyOf } from '../model/address.ts';
import type { PeerRow, PeersPlan } from '../plan/peers.ts';

/** A peer_ref as one number; 0 = unknown, look it up. */
export type PackedPeer = number;

export const UNKNOWN_PEER: PackedPeer = 0;

export function packPeer({ index, gen, kind }: PeerRef): PackedPeer {
	return kind * 0x1000000 + gen * 0x10000 + index;
}

export function unpackPeer(peer: PackedPeer): PeerRef {
	return { index: peer & 0xffff, gen: (peer >>> 16) & 0xff, kind: peer >>> 24 };
}

/** Addresses whose owner may be another than before. */
export interface PeerChange {
	readonly addresses: readonly Address[];
	readonly cidrs: readonly Cidr[];
}

/** Row of `nodes` by node name. */
export type NodeAssignments = ReadonlyMap<string, { readonly index: number; readonly gen: number }>;

export interface LocalPod {
	readonly addresses: readonly Address[];
	readonly index: number;
	readonly gen: number;
}

/** Kinds that a backend row may name; all others are looked up. */
const HINTED: ReadonlySet<number> = new Set([PeerKind.REMOTE_POD, PeerKind.REMOTE_NODE, PeerKind.HOST]);

/** Prefixes of one family and length by their first bits. */
interface PrefixLevel {
	/** In bits of the 16 bytes. */
	readonly length: number;
	readonly peers: Map<string | number, PackedPeer>;
}

export class PeerIndex {
	#nodes = new Map<Address, PackedPeer>();
	#cidrs = new Map<Cidr, PackedPeer>();
	#pods = new Map<Address, PackedPeer>();
	/** Longest first. */
	#levels4: readonly PrefixLevel[] = [];
	#levels6: readonly PrefixLevel[] = [];

	/** @returns what has changed since the last call */
	setNodes(plan: Pick<PeersPlan, 'addresses' | 'cidrs'>, assignments: NodeAssignments): PeerChange {
		const peerOf = (row: PeerRow): PackedPeer => {
			if (!HINTED.has(row.kind)) return UNKNOWN_PEER;
			if (row.node === null) return packPeer({ index: 0, gen: 0, kind: row.kind });
			const assigned = assignments.get(row.node);
			return assigned === undefined ? UNKNOWN_PEER : packPeer({ ...assigned, kind: row.kind });
		};
		const nodes = new Map([...plan.addresses].map(([address, row]) => [address, peerOf(row)]));
		const cidrs = new Map([...plan.cidrs].map(([cidr, row]) => [cidr, peerOf(row)]));
		const change = { addresses: changedKeys(this.#nodes, nodes), cidrs: changedKeys(this.#cidrs, cidrs) };
		this.#nodes = nodes;
		this.#cidrs = cidrs;
		if (change.cidrs.length > 0) {
			this.#levels4 = levelsOf(cidrs, 4);
			this.#levels6 = levelsOf(cidrs, 6);
		}
		return change;
	}

	/** @returns what has changed since the last call */
	setPods(pods: Iterable<LocalPod>): PeerChange {
		const owners = new Map<Address, PackedPeer>();
		for (const { addresses, index, gen } of pods) {
			for (const address of addresses) owners.set(address, packPeer({ index, gen, kind: PeerKind.LOCAL_POD }));
		}
		const change = { addresses: changedKeys(this.#pods, owners), cidrs: [] };
		this.#pods = owners;
		return change;
	}

	/** The owner of an address; exact addresses before prefixes, the longest of these first, as the programs look. */
	of(address: Address): PackedPeer {
		const exact = this.#pods.get(address) ?? this.#nodes.get(address);
		if (exact !== undefined) return exact;
		if (familyOf(address) === 4) return longestOf(this.#levels4, (length) => prefixKey4(wordOf4(address), length));
		if (this.#levels6.length === 0) return UNKNOWN_PEER;
		const words = wordsOf(address);
		return longestOf(this.#levels6, (length) => prefixKey6(words, length));
	}
}

function changedKeys(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): string[] {
	const changed: string[] = [];
	for (const [key, peer] of after) if (before.get(key) !== peer) changed.push(key);
	for (const key of before.keys()) if (!after.has(key)) changed.push(key);
	return changed;
}

function longestOf(levels: readonly PrefixLevel[], keyOf: (length: number) => string | number): PackedPeer {
	for (const { length, peers } of levels) {
		const found = peers.get(keyOf(length));
		if (found !== undefined) return found;
	}
	return UNKNOWN_PEER;
}

function levelsOf(cidrs: ReadonlyMap<Cidr, PackedPeer>, family: Family): PrefixLevel[] {
	const levels = new Map<number, PrefixLevel>();
	for (const [cidr, peer] of cidrs) {
		if (familyOf(cidr) !== family) continue;
		const { address, length } = mappedPrefix(cidr);
		const level = levels.get(length) ?? { length, peers: new Map() };
		levels.set(length, level);
		level.peers.set(family === 4 ? prefixKey4(wordOf4(address), length) : prefixKey6(wordsOf(address), length), peer);
	}
	return [...levels.values()].sort((a, b) => b.length - a.length);
}

/** Length in bits of the 16 bytes. */
export function mappedPrefix(cidr: Cidr): { address: Address; length: number } {
	const { address, prefixLength } = cidrParts(cidr);
	return { address, length: prefixLength + (familyOf(cidr) === 4 ? 96 : 0) };
}

type Words = readonly [number, number, number, number];

/** The 16 bytes of an address as big endian words. */
export function wordsOf(address: Address): Words {
	const view = new DataView(addressBytes(address).buffer);
	return [view.getUint32(0), view.getUint32(4), view.getUint32(8), view.getUint32(12)];
}

/** The first `length` bits of word `i`. */
export function maskedWord(word: number, i: number, length: number): number {
	const bits = Math.min(32, Math.max(0, length - i * 32));
	return bits === 0 ? 0 : (word & (0xffffffff << (32 - bits))) >>> 0;
}

/** An IPv4 address as a number, without a detour over bytes: asked for every row. */
function wordOf4(address: Address): number {
	let word = 0;
	let part = 0;
	for (let i = 0; i < address.length; i++) {
		const c = address.charCodeAt(i);
		if (c === 46) {
			word = (word << 8) | part;
			part = 0;
		} else part = part * 10 + (c - 48);
	}
	return ((word << 8) | part) >>> 0;
}

function prefixKey4(word: number, length: number): number {
	return maskedWord(word, 3, length);
}

function prefixKey6(words: Words, length: number): string {
	return words.map((word, i) => maskedWord(word, i, length)).join(' ');
}
