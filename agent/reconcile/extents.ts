/**
 * Allocator of contiguous ranges of array elements. What is taken back is quarantined until a grace period has passed:
 * a BPF program may still be reading it.
 */
import { FairleadError } from '../model/errors.ts';

/** `FOUND` = in use in the kernel when it was read, but nobody has claimed it yet. */
const FREE = 0;
const FOUND = 1;
const OWNED = 2;
const QUARANTINED = 3;

export class ExtentAllocator {
	readonly #state: Uint8Array;
	readonly #first: number;
	readonly #name: string;
	#cursor: number;
	#free: number;
	#quarantined: number[] = [];

	/** @param first  elements below are never handed out */
	constructor(options: { readonly name: string; readonly capacity: number; readonly first: number }) {
		this.#name = options.name;
		this.#state = new Uint8Array(options.capacity);
		this.#first = options.first;
		this.#cursor = options.first;
		this.#free = options.capacity - options.first;
	}

	/** Elements that can be handed out now, quarantined ones not counted. */
	get free(): number {
		return this.#free;
	}

	get quarantined(): number {
		return this.#quarantined.length;
	}

	get capacity(): number {
		return this.#state.length - this.#first;
	}

	get used(): number {
		return this.capacity - this.#free - this.#quarantined.length;
	}

	/**
	 * Start of `count` free elements in a row, now owned; undefined = there is no such gap. Next fit.
	 * @param align  what the start is a multiple of
	 */
	allocate(count: number, align = 1): number | undefined {
		if (count < 1 || count > this.#free) return undefined;
		const end = this.#state.length;
		const start = this.#findGap(this.#cursor, end, count, align) ?? this.#findGap(this.#first, end, count, align);
		if (start === undefined) return undefined;
		this.#state.fill(OWNED, start, start + count);
		this.#free -= count;
		this.#cursor = start + count >= end ? this.#first : start + count;
		return start;
	}

	#findGap(from: number, end: number, count: number, align: number): number | undefined {
		let run = 0;
		for (let i = from; i < end; i++) {
			run = this.#state[i] === FREE && (run > 0 || i % align === 0) ? run + 1 : 0;
			if (run === count) return i - count + 1;
		}
		return undefined;
	}

	/** Marks elements as in use in the kernel. @returns false when part of the range does not exist */
	markFound(start: number, count: number): boolean {
		if (!this.#contains(start, count)) return false;
		for (let i = start; i < start + count; i++) {
			if (this.#state[i] !== FREE) continue;
			this.#state[i] = FOUND;
			this.#free--;
		}
		return true;
	}

	/** Takes ownership of elements found in the kernel. @returns false when one of them is owned or was not found */
	adopt(start: number, count: number): boolean {
		if (!this.#contains(start, count)) return false;
		for (let i = start; i < start + count; i++) if (this.#state[i] !== FOUND) return false;
		this.#state.fill(OWNED, start, start + count);
		return true;
	}

	/** Quarantines all elements that were found and never adopted. @returns their numbers */
	sweepFound(): number[] {
		const swept: number[] = [];
		for (let i = this.#state.indexOf(FOUND); i >= 0; i = this.#state.indexOf(FOUND, i + 1)) {
			this.#state[i] = QUARANTINED;
			swept.push(i);
		}
		for (const each of swept) this.#quarantined.push(each);
		return swept;
	}

	/** Gives elements back; they stay out of use until release(). */
	quarantine(start: number, count: number): void {
		for (let i = start; i < start + count; i++) {
			if (this.#state[i] !== OWNED) {
				throw new FairleadError('MAP_CORRUPT', `${this.#name}: cannot free element ${i}: it is not in use`);
			}
			this.#state[i] = QUARANTINED;
			this.#quarantined.push(i);
		}
	}

	/** Gives elements back that nobody can have seen yet: they are free at once. */
	cancel(start: number, count: number): void {
		this.#state.fill(FREE, start, start + count);
		this.#free += count;
	}

	/** A grace period has passed: everything quarantined is free. */
	release(): void {
		for (const i of this.#quarantined) this.#state[i] = FREE;
		this.#free += this.#quarantined.length;
		this.#quarantined = [];
	}

	#contains(start: number, count: number): boolean {
		return start >= this.#first && count > 0 && start + count <= this.#state.length;
	}
}
