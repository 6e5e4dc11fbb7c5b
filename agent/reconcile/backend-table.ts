/**
 * Rows of the map `backends`, by index. Each belongs to one service port, which knows what its rows stand for; here is
 * what all rows have in common: who is free, flags and generations, and which rows have an address.
 * Typed arrays instead of objects: there are 100,000 rows where there are 10,000 services.
 */
import type { Address } from '../model/address.ts';
import { ExtentAllocator } from './extents.ts';

const BUCKETS = 65536;

export class BackendTable {
	readonly allocator: ExtentAllocator;
	/** enum backend_flags as in the kernel; 0 = not in use. */
	readonly flags: Uint8Array;
	/** Survives the row's use so that the next one gets another number. */
	readonly #generations: Uint32Array;
	/** Chains of rows by hash of their address: index 0, which no row has, ends a chain. */
	readonly #heads = new Uint32Array(BUCKETS);
	readonly #next: Uint32Array;

	constructor(generations: Uint32Array) {
		this.#generations = generations;
		this.flags = new Uint8Array(generations.length);
		this.#next = new Uint32Array(generations.length);
		// Index 0 means "none" in conntrack entries.
		this.allocator = new ExtentAllocator({ name: 'backends', capacity: generations.length, first: 1 });
	}

	generationOf(index: number): number {
		return this.#generations[index] ?? 0;
	}

	/** Takes a free row. The caller has checked that there is room. */
	create(address: Address): number {
		const index = this.allocator.allocate(1);
		if (index === undefined) throw new RangeError('backends: no free row although room was checked');
		this.#generations[index] = this.generationOf(index) + 1;
		this.#link(index, address);
		return index;
	}

	/** Takes over a row found in the kernel. @returns false when it is not there to be taken */
	adopt(index: number, address: Address, flags: number): boolean {
		if (!this.allocator.adopt(index, 1)) return false;
		this.flags[index] = flags;
		this.#link(index, address);
		return true;
	}

	/** Gives a row back that was created and never written. */
	cancel(index: number, address: Address): void {
		this.#unlink(index, address);
		this.allocator.cancel(index, 1);
	}

	/** Ends the use of a row and quarantines its index. @returns the generation to write to the dead row */
	remove(index: number, address: Address): number {
		this.#unlink(index, address);
		this.allocator.quarantine(index, 1);
		this.flags[index] = 0;
		return this.retire(index);
	}

	/** Next generation of a row without a use. */
	retire(index: number): number {
		this.#generations[index] = this.generationOf(index) + 1;
		return this.generationOf(index);
	}

	/** All rows that may have the address, and possibly others. */
	*rowsNear(address: Address): Iterable<number> {
		for (let i = this.#heads[bucketOf(address)] ?? 0; i !== 0; i = this.#next[i] ?? 0) yield i;
	}

	#link(index: number, address: Address): void {
		const bucket = bucketOf(address);
		this.#next[index] = this.#heads[bucket] ?? 0;
		this.#heads[bucket] = index;
	}

	#unlink(index: number, address: Address): void {
		const bucket = bucketOf(address);
		const after = this.#next[index] ?? 0;
		if (this.#heads[bucket] === index) {
			this.#heads[bucket] = after;
			return;
		}
		for (let i = this.#heads[bucket] ?? 0; i !== 0; i = this.#next[i] ?? 0) {
			if (this.#next[i] !== index) continue;
			this.#next[i] = after;
			return;
		}
	}
}

function bucketOf(address: Address): number {
	let hash = 0x811c9dc5;
	for (let i = 0; i < address.length; i++) hash = Math.imul(hash ^ address.charCodeAt(i), 0x01000193);
	return (hash ^ (hash >>> 16)) & (BUCKETS - 1);
}
