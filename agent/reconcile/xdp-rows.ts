/**
 * Rows of xdp_svc in memory: where each lies, and which positions may be used. A row is a copy of what the other service maps say:
 * it is taken out before they change and put back after, and XDP looks into the maps meanwhile. So the worst that can
 * happen to a service is that it has no row.
 */
import { Maps, XdpBackendBits, XdpServiceKind, XdpServiceLimits } from '../../native/abi/generated.ts';
import type { XdpServiceKey, XdpServiceRow } from '../plan/xdp-services.ts';
import { xdpServiceHome } from '../plan/xdp-services.ts';
import type { Kernel } from './kernel.ts';

/** The memory of the map, in the forms that make single stores. */
export interface XdpRowMemory {
	readonly words: Uint32Array;
	readonly keys: BigUint64Array;
}

const STRIDE = Maps.xdp_svc.valueSize;
const WORDS = STRIDE / 4;
/** Words of a row before `backend`. */
const HEAD_WORDS = 4;

export function xdpRowMemory(kernel: Kernel): XdpRowMemory {
	const { buffer, byteOffset, byteLength } = kernel.shared('xdp_svc');
	return {
		words: new Uint32Array(buffer, byteOffset, byteLength / 4),
		keys: new BigUint64Array(buffer, byteOffset, byteLength / 8),
	};
}

/** A free row becomes one of a service: its key comes last. */
export function writeXdpRow({ words, keys }: XdpRowMemory, at: number, { key, ...row }: XdpServiceRow): void {
	words.set([key.check, row.slots | (row.kind << 16), ...row.backend], at * WORDS + 2);
	Atomics.store(keys, (at * STRIDE) / 8, (BigInt(key.high) << 32n) | BigInt(key.low));
}

export function clearXdpRow({ keys }: XdpRowMemory, at: number): void {
	Atomics.store(keys, (at * STRIDE) / 8, 0n);
}

/** Of a row in use: backends that have moved to other nodes, one store each. @returns whether anything changed */
export function moveXdpBackends({ words }: XdpRowMemory, at: number, { backend }: XdpServiceRow): boolean {
	let changed = false;
	for (const [i, word] of backend.entries()) {
		const index = at * WORDS + HEAD_WORDS + i;
		if (words[index] === word) continue;
		Atomics.store(words, index, word);
		changed = true;
	}
	return changed;
}

const FREE = 0;
const USED = 1;
const QUARANTINED = 2;

/** What is where. Rows are read from the kernel once; the caller does with the memory what it is told. */
export class XdpRows {
	readonly capacity: number;
	readonly #memory: XdpRowMemory;
	readonly #at = new Map<string, number>();
	readonly #use: Uint8Array;
	#quarantined = 0;
	/** Frontend keys of rows that may be placed after the next grace period. */
	readonly waiting = new Set<string>();

	constructor(memory: XdpRowMemory, capacity: number) {
		this.#memory = memory;
		this.capacity = capacity;
		this.#use = new Uint8Array(capacity);
		for (let at = 0; at < capacity; at++) {
			if (memory.keys[(at * STRIDE) / 8] === 0n) continue;
			const [low = 0, high = 0, check = 0] = memory.words.subarray(at * WORDS, at * WORDS + 3);
			this.#use[at] = USED;
			this.#at.set(textOf({ high, low, check }), at);
		}
	}

	get used(): number {
		return this.#at.size;
	}

	/** Rows taken out that programs may still be reading. */
	get quarantined(): number {
		return this.#quarantined;
	}

	/** A grace period is over. */
	release(): void {
		if (this.#quarantined === 0) return;
		for (let at = 0; at < this.capacity; at++) if (this.#use[at] === QUARANTINED) this.#use[at] = FREE;
		this.#quarantined = 0;
	}

	positionOf(key: XdpServiceKey): number | undefined {
		return this.#at.get(textOf(key));
	}

	/** Tags that a ranked row has; none = there is no such row. */
	tagsOf(key: XdpServiceKey): readonly number[] {
		const at = this.positionOf(key);
		const base = (at ?? 0) * WORDS;
		const { words } = this.#memory;
		if (at === undefined || (words[base + 3] ?? 0) >>> 16 !== XdpServiceKind.RANKED) return [];
		const backend = words.subarray(base + HEAD_WORDS, base + HEAD_WORDS + XdpServiceLimits.BACKENDS);
		return [...new Set(Array.from(backend, (word) => word & ((1 << XdpBackendBits.TAG_BITS) - 1)))];
	}

	/** Does the memory say exactly this at this place? */
	holds(at: number, { key, kind, slots, backend }: XdpServiceRow): boolean {
		const { words } = this.#memory;
		const base = at * WORDS;
		if (words[base + 2] !== key.check || words[base + 3] !== (slots | (kind << 16))) return false;
		return backend.every((word, i) => words[base + HEAD_WORDS + i] === word);
	}

	/** Takes a row out. @returns where it was */
	remove(key: XdpServiceKey): number | undefined {
		const text = textOf(key);
		const at = this.#at.get(text);
		if (at === undefined) return undefined;
		this.#at.delete(text);
		this.#use[at] = QUARANTINED;
		this.#quarantined++;
		return at;
	}

	/** @returns a place for a row; undefined = there is none where XDP would look */
	place(key: XdpServiceKey): number | undefined {
		const home = xdpServiceHome(key);
		for (let i = 0; i < XdpServiceLimits.PROBES; i++) {
			const at = (home + i) % XdpServiceLimits.HOMES;
			if (at >= this.capacity || this.#use[at] !== FREE) continue;
			this.#use[at] = USED;
			this.#at.set(textOf(key), at);
			return at;
		}
		return undefined;
	}

	/** Is one of the places of a row out of use? */
	mayBePlaced(key: XdpServiceKey): boolean {
		const home = xdpServiceHome(key);
		return Array.from({ length: XdpServiceLimits.PROBES }, (_, i) => (home + i) % XdpServiceLimits.HOMES).some(
			(at) => this.#use[at] === QUARANTINED,
		);
	}

	/** Rows whose key is none of these, taken out. @returns where they were */
	removeOthers(kept: ReadonlySet<string>): number[] {
		const gone: number[] = [];
		for (const [text, at] of this.#at) {
			if (kept.has(text)) continue;
			this.#at.delete(text);
			this.#use[at] = QUARANTINED;
			this.#quarantined++;
			gone.push(at);
		}
		return gone;
	}
}

export function textOf({ high, low, check }: XdpServiceKey): string {
	return check === 0 ? `${high}.${low}` : `${high}.${low}.${check}`;
}
