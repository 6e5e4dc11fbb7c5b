/**
 * Rows of the map `backends`, counted: services share a row when address, port and protocol are the same.
 */

import { BackendFlags } from '../../native/abi/generated.ts';
import type { Backend } from '../plan/endpoints.ts';
import { ExtentAllocator } from './extents.ts';

export interface BackendRow {
	readonly index: number;
	readonly key: string;
	readonly address: string;
	readonly port: number;
	readonly proto: number;
	/** Of this use of the row. */
	readonly generation: number;
	/** enum backend_flags as in the kernel; 0 = not written yet. */
	flags: number;
	references: number;
	/** References that may get new connections, and those whose pod is going away. */
	live: number;
	terminating: number;
}

/** What the kernel had when it was read. */
export interface FoundBackend {
	readonly index: number;
	readonly key: string;
	readonly address: string;
	readonly port: number;
	readonly proto: number;
	readonly flags: number;
}

export class BackendTable {
	readonly #byKey = new Map<string, BackendRow>();
	readonly #allocator: ExtentAllocator;
	/** By index; survives the row's use so that the next one gets another number. */
	readonly #generations: Uint32Array;
	/** Rows whose references changed since settle(). */
	readonly #touched = new Set<BackendRow>();

	constructor(generations: Uint32Array, found: Iterable<FoundBackend> = []) {
		this.#generations = generations;
		// Index 0 means "none" in conntrack entries.
		this.#allocator = new ExtentAllocator({ name: 'backends', capacity: generations.length, first: 1 });
		for (const each of found) {
			if (!this.#allocator.markFound(each.index, 1) || this.#byKey.has(each.key)) continue;
			this.#allocator.adopt(each.index, 1);
			const generation = generations[each.index] ?? 0;
			this.#byKey.set(each.key, { ...each, generation, references: 0, live: 0, terminating: 0 });
		}
	}

	get allocator(): ExtentAllocator {
		return this.#allocator;
	}

	get size(): number {
		return this.#byKey.size;
	}

	get(key: string): BackendRow | undefined {
		return this.#byKey.get(key);
	}

	rows(): Iterable<BackendRow> {
		return this.#byKey.values();
	}

	/** How many rows of the list do not exist yet. */
	countMissing(backends: readonly Backend[]): number {
		let missing = 0;
		for (const backend of backends) if (!this.#byKey.has(backend.key)) missing++;
		return missing;
	}

	/**
	 * Counts references; rows that do not exist are made. The caller has checked that there is room.
	 * @returns the index of each
	 */
	acquire(backends: readonly Backend[]): number[] {
		return backends.map((backend) => {
			const row = this.#byKey.get(backend.key) ?? this.#create(backend);
			row.references++;
			if (backend.live) row.live++;
			if (backend.terminating) row.terminating++;
			this.#touched.add(row);
			return row.index;
		});
	}

	#create(backend: Backend): BackendRow {
		const index = this.#allocator.allocate(1);
		if (index === undefined) throw new RangeError('backends: no free row although room was checked');
		const generation = ((this.#generations[index] ?? 0) + 1) >>> 0;
		this.#generations[index] = generation;
		const { key, address, port, proto } = backend;
		const row: BackendRow = {
			index,
			key,
			address,
			port,
			proto,
			generation,
			flags: 0,
			references: 0,
			live: 0,
			terminating: 0,
		};
		this.#byKey.set(key, row);
		return row;
	}

	/** The reverse of acquire with the same list. */
	release(backends: readonly Backend[]): void {
		for (const backend of backends) {
			const row = this.#byKey.get(backend.key);
			if (row === undefined) continue;
			row.references--;
			if (backend.live) row.live--;
			if (backend.terminating) row.terminating--;
			this.#touched.add(row);
		}
	}

	/** Rows whose references changed since the last call. */
	takeTouched(): BackendRow[] {
		const rows = [...this.#touched];
		this.#touched.clear();
		return rows;
	}

	/** Flags the row should have. */
	static wantedFlags(row: BackendRow): number {
		const flags = (row.live > 0 ? BackendFlags.LIVE : 0) | (row.terminating > 0 ? BackendFlags.TERMINATING : 0);
		return flags === 0 ? 0 : flags | BackendFlags.SERVING;
	}

	/** Takes an unreferenced row out and quarantines its index. @returns the generation to write to the dead row */
	remove(row: BackendRow): number {
		this.#byKey.delete(row.key);
		this.#allocator.quarantine(row.index, 1);
		return this.retire(row.index);
	}

	/** Next generation of a row without a use. */
	retire(index: number): number {
		const generation = ((this.#generations[index] ?? 0) + 1) >>> 0;
		this.#generations[index] = generation;
		return generation;
	}
}
