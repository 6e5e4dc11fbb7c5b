/** BPF maps. */
import { unlinkSync } from 'node:fs';
import {
	addon,
	type FlatEntries,
	handleOf,
	type MapHandle,
	type MapInfo,
	mapHandles,
	programHandles,
} from './addon.ts';
import type { BpfProgram } from './program.ts';

/** `set` flags (linux/bpf.h). */
export const BPF_ANY = 0;
export const BPF_NOEXIST = 1;
export const BPF_EXIST = 2;

export interface MapSpec {
	/** enum bpf_map_type */
	type: number;
	/** At most 15 bytes. */
	name: string;
	keySize: number;
	valueSize: number;
	maxEntries: number;
	/** BPF_F_* creation flags. */
	flags?: number;
}

/** One BPF map. Keys and values are raw bytes of exactly the map's sizes. */
export class BpfMap {
	readonly info: MapInfo;
	readonly #handle: MapHandle;
	#memory: ArrayBuffer | undefined;

	/** Use create, openPinned, openById or BpfObject.map. */
	private constructor(handle: MapHandle) {
		this.#handle = handle;
		this.info = addon.mapInfo(handle);
		mapHandles.set(this, handle);
	}

	static create(spec: MapSpec): BpfMap {
		const { type, name, keySize, valueSize, maxEntries, flags } = spec;
		return new BpfMap(addon.mapCreate(type, name, keySize, valueSize, maxEntries, flags ?? 0));
	}

	/** @throws NativeError ENOENT when nothing is there, WRONG_KIND when it is no map. */
	static openPinned(path: string): BpfMap {
		return new BpfMap(addon.mapOpenPinned(path));
	}

	static openById(id: number): BpfMap {
		return new BpfMap(addon.mapOpenById(id));
	}

	/** For BpfObject only. */
	static fromHandle(handle: MapHandle): BpfMap {
		return new BpfMap(handle);
	}

	/**
	 * @returns a copy of the value, undefined when there is no such key.
	 * Per-CPU maps: the values of all possible CPUs (possibleCpus()), each rounded up to 8 bytes.
	 */
	get(key: Uint8Array): Uint8Array | undefined {
		return addon.mapGet(this.#handle, key);
	}

	/**
	 * Inserts or replaces. @param flags BPF_ANY (default), BPF_NOEXIST, BPF_EXIST.
	 * @throws NativeError E2BIG (full), EEXIST, ENOENT.
	 */
	set(key: Uint8Array, value: Uint8Array, flags?: number): void {
		addon.mapSet(this.#handle, key, value, flags);
	}

	/** Puts a program into a BPF_MAP_TYPE_PROG_ARRAY, for tail calls. */
	setProgram(index: number, program: BpfProgram): void {
		addon.mapSetProgram(this.#handle, index, handleOf(programHandles, program, 'program'));
	}

	/** @returns false when it was not there. */
	delete(key: Uint8Array): boolean {
		return addon.mapDelete(this.#handle, key);
	}

	/** All entries, in no order; entries changed meanwhile may be seen or not. Blocks: for small maps. */
	entries(): [Uint8Array, Uint8Array][] {
		return this.#split(addon.mapDump(this.#handle));
	}

	/** As entries(), read now, but each pair is made when it is asked for: for large maps of which little is kept. */
	scan(): Iterable<[Uint8Array, Uint8Array]> {
		const flat = addon.mapDump(this.#handle);
		const { keySize } = this.info;
		return { [Symbol.iterator]: () => pairs(flat, keySize) };
	}

	/** As entries(), read on a worker thread. */
	async entriesAsync(): Promise<[Uint8Array, Uint8Array][]> {
		return this.#split(await addon.mapDumpAsync(this.#handle));
	}

	/** All entries as two flat arrays: `count` keys, then `count` values of the sizes that get() uses. For large maps. */
	dumpAsync(): Promise<{ count: number; keys: Uint8Array; values: Uint8Array }> {
		return addon.mapDumpAsync(this.#handle);
	}

	/**
	 * Sets many entries on a worker thread; both arrays are copied first.
	 * @returns the number written. @throws NativeError with `done`, the number written before it stopped.
	 */
	updateBatch(keys: Uint8Array, values: Uint8Array, flags?: number): Promise<number> {
		return addon.mapUpdateBatch(this.#handle, keys, values, flags);
	}

	/** Deletes many keys on a worker thread. @returns how many were there. */
	deleteBatch(keys: Uint8Array): Promise<number> {
		return addon.mapDeleteBatch(this.#handle, keys);
	}

	/**
	 * The memory of a BPF_F_MMAPABLE array, shared with the kernel. Element i starts at i * (valueSize rounded up to 8).
	 * The same buffer each time; close() detaches it, after which every use of it throws TypeError or reads nothing.
	 */
	mmap(): ArrayBuffer {
		this.#memory ??= addon.mapMmap(this.#handle);
		return this.#memory;
	}

	/** @throws NativeError EEXIST when something is pinned there. */
	pin(path: string): void {
		addon.mapPin(this.#handle, path);
	}

	unpin(path: string): void {
		unlinkSync(path);
	}

	close(): void {
		addon.mapClose(this.#handle, this.#memory);
		this.#memory = undefined;
	}

	#split(flat: FlatEntries): [Uint8Array, Uint8Array][] {
		return [...pairs(flat, this.info.keySize)];
	}
}

function* pairs({ count, keys, values }: FlatEntries, keySize: number): Generator<[Uint8Array, Uint8Array]> {
	const valueSize = count === 0 ? 0 : values.length / count;
	for (let i = 0; i < count; i++) {
		yield [keys.subarray(i * keySize, (i + 1) * keySize), values.subarray(i * valueSize, (i + 1) * valueSize)];
	}
}
