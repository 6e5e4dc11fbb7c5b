/**
 * Sets of the map `sources`: equal lists of prefixes share a number. Counted by the frontends that name them; numbers
 * found in the kernel are kept.
 */
import { SourceKey } from '../../native/abi/generated.ts';
import { addressBytes, addressOfBytes, familyOf } from '../model/address.ts';
import type { SourceSet } from '../plan/services-sources.ts';
import { ANYBODY, prefixesOf } from '../plan/services-sources.ts';
import type { Kernel } from './kernel.ts';
import type { ServiceOp } from './services-ops.ts';
import { mappedPrefix } from './services-peers.ts';

interface SetState {
	readonly number: number;
	references: number;
	/** All of its prefixes are in the kernel, or will be when the operations handed out have been done. */
	written: boolean;
}

/** The number comes first and is always compared as a whole. */
const SET_BITS = 32;

/** Key of a prefix in a set. */
export function sourceKey(set: number, cidr: string): SourceKey {
	const { address, length } = mappedPrefix(cidr);
	return { prefixLen: SET_BITS + length, set, addr: addressBytes(address) };
}

export class SourceSets {
	readonly #sets = new Map<SourceSet, SetState>();
	/** Sets whose references changed. */
	readonly #touched = new Set<SourceSet>();
	readonly capacity: number;
	#used = 0;
	#next = 1;

	/** Reads the sets that are in the kernel. */
	constructor(kernel: Kernel) {
		this.capacity = kernel.mapCapacity('sources');
		const found = new Map<number, string[]>();
		for (const [bytes] of kernel.mapEntries('sources')) {
			const { prefixLen, set, addr } = SourceKey.decode(bytes);
			const address = addressOfBytes(addr);
			const cidr = `${address}/${prefixLen - SET_BITS - (familyOf(address) === 4 ? 96 : 0)}`;
			found.set(set, [...(found.get(set) ?? []), cidr]);
			this.#used++;
			this.#next = Math.max(this.#next, set + 1);
		}
		for (const [number, cidrs] of [...found].sort(([a], [b]) => a - b)) {
			const set = cidrs.sort().join(',');
			// A double (the agent died between two sets) is found again under no name and removed with the first settle().
			const name = this.#sets.has(set) ? `${set}\0${number}` : set;
			this.#sets.set(name, { number, references: 0, written: true });
			this.#touched.add(name);
		}
	}

	get used(): number {
		return this.#used;
	}

	/** How many prefixes of these sets are not in the map yet. */
	missing(sets: Iterable<SourceSet>): number {
		let missing = 0;
		const restricting = [...sets].filter((set) => set !== ANYBODY);
		for (const set of new Set(restricting)) if (!this.#sets.has(set)) missing += prefixesOf(set).length;
		return missing;
	}

	/** Counts one frontend more. */
	acquire(set: SourceSet): void {
		if (set === ANYBODY) return;
		let state = this.#sets.get(set);
		if (state === undefined) {
			state = { number: this.#next++, references: 0, written: false };
			this.#sets.set(set, state);
			this.#used += prefixesOf(set).length;
		}
		state.references++;
		this.#touched.add(set);
	}

	/** Counts one frontend less. */
	release(set: SourceSet): void {
		const state = this.#sets.get(set);
		if (state === undefined) return;
		state.references--;
		this.#touched.add(set);
	}

	/** 0 = anybody. */
	numberOf(set: SourceSet): number {
		return this.#sets.get(set)?.number ?? 0;
	}

	/** Set of a number that was found in the kernel. */
	setOf(number: number): SourceSet {
		for (const [set, state] of this.#sets) if (state.number === number) return set;
		return ANYBODY;
	}

	/** Operations for the sets that are new, and for those that nothing names any more. */
	settle(): { readonly before: ServiceOp[]; readonly after: ServiceOp[] } {
		const before: ServiceOp[] = [];
		const after: ServiceOp[] = [];
		for (const set of this.#touched) {
			const state = this.#sets.get(set);
			if (state === undefined) continue;
			const cidrs = prefixesOf(set.split('\0')[0] ?? '');
			if (state.references === 0) {
				if (state.written) for (const cidr of cidrs) after.push({ kind: 'source-delete', set: state.number, cidr });
				this.#sets.delete(set);
				this.#used -= cidrs.length;
			} else if (!state.written) {
				for (const cidr of cidrs) before.push({ kind: 'source-set', set: state.number, cidr });
				state.written = true;
			}
		}
		this.#touched.clear();
		return { before, after };
	}
}
