/**
 * Numbers for who a peer is: a base (labels, or a kind of address) and the longest policy prefix of its address. Numbers mean
 * something on this node only. Label sets of pods are numbered apart from addresses, because their defaults differ.
 */
import { PolicyPeer, Identity as WellKnown } from '../../../native/abi/generated.ts';
import type { Base } from './matchers.ts';
import type { Prefix } from './prefixes.ts';
import type { PolicySet } from './sets.ts';
import { isPodIdentity } from './types.ts';

export interface Identity {
	readonly number: number;
	readonly key: string;
	readonly base: Base;
	readonly prefix: Prefix | null;
	/** Sets that have rows of their own for it. */
	readonly sets: Set<PolicySet>;
	refs: number;
}

const WELL_KNOWN: Readonly<Record<string, number>> = {
	unknown: WellKnown.UNKNOWN,
	host: WellKnown.HOST,
	outside: WellKnown.WORLD,
	'remote-node': WellKnown.REMOTE_NODE,
	'unknown-pod': WellKnown.UNKNOWN_POD,
};

/** Numbers from `first` on, freed ones again. */
export class NumberPool {
	readonly #free: number[] = [];
	readonly #taken = new Set<number>();
	readonly #first: number;
	#next: number;

	constructor(first: number) {
		this.#first = first;
		this.#next = first;
	}

	/** @param wished  taken if it is this pool's and not in use */
	take(wished?: number): number {
		let number = wished;
		if (number === undefined || number < this.#first || this.#taken.has(number)) number = this.#pick();
		this.#taken.add(number);
		this.#next = Math.max(this.#next, number + 1);
		return number;
	}

	#pick(): number {
		for (let number = this.#free.pop(); number !== undefined; number = this.#free.pop()) {
			if (!this.#taken.has(number)) return number;
		}
		return this.#next;
	}

	/** Never hands out a number again that is not freed: numbers an earlier run may have left in the kernel. */
	avoid(number: number): void {
		this.#next = Math.max(this.#next, number + 1);
	}

	give(number: number): void {
		if (this.#taken.delete(number)) this.#free.push(number);
	}
}

function identityKey(baseKey: string, prefix: Prefix | null): string {
	return `${baseKey} ${prefix?.cidr ?? ''}`;
}

export class IdentityTable {
	readonly #byKey = new Map<string, Identity>();
	readonly #byNumber = new Map<number, Identity>();
	readonly #pods = new NumberPool(WellKnown.FIRST_DYNAMIC);
	readonly #others = new NumberPool(PolicyPeer.FIRST_ADDRESS);
	/** Identities of unknown pods: their rows follow every Deny rule. */
	readonly unknown = new Set<Identity>();

	get size(): number {
		return this.#byKey.size;
	}

	all(): Iterable<Identity> {
		return this.#byKey.values();
	}

	byNumber(number: number): Identity | undefined {
		return this.#byNumber.get(number);
	}

	find(baseKey: string, prefix: Prefix | null): Identity | undefined {
		return this.#byKey.get(identityKey(baseKey, prefix));
	}

	/** @param wished  number it had in an earlier run of the agent */
	acquire(
		base: Base,
		prefix: Prefix | null,
		wished?: number,
	): { readonly identity: Identity; readonly isNew: boolean } {
		const key = identityKey(base.key, prefix);
		const found = this.#byKey.get(key);
		if (found !== undefined) {
			found.refs++;
			return { identity: found, isNew: false };
		}
		const number = this.#number(base, prefix, wished);
		const identity: Identity = { number, key, base, prefix, sets: new Set(), refs: 1 };
		this.#byKey.set(key, identity);
		this.#byNumber.set(number, identity);
		base.identities.add(identity);
		prefix?.identities.add(identity);
		if (base.kind === 'unknown-pod') this.unknown.add(identity);
		return { identity, isNew: true };
	}

	/** @returns true when nobody has it any more; its number stays reserved until free() */
	release(identity: Identity): boolean {
		if (--identity.refs > 0) return false;
		this.#byKey.delete(identity.key);
		this.#byNumber.delete(identity.number);
		this.unknown.delete(identity);
		identity.base.identities.delete(identity);
		identity.prefix?.identities.delete(identity);
		return true;
	}

	/** Nothing in the kernel has the number any more. */
	free(number: number): void {
		(isPodIdentity(number) ? this.#pods : this.#others).give(number);
	}

	/** A number that was found in the kernel: not to be given to anybody but who had it. */
	avoid(number: number): void {
		if (isPodIdentity(number)) this.#pods.avoid(number);
		else if (number >= PolicyPeer.FIRST_ADDRESS) this.#others.avoid(number);
	}

	#number(base: Base, prefix: Prefix | null, wished: number | undefined): number {
		const known = prefix === null && base.kind !== 'pod' ? WELL_KNOWN[base.key] : undefined;
		if (known !== undefined) return known;
		const pool = base.kind === 'pod' ? this.#pods : this.#others;
		const fits = wished !== undefined && isPodIdentity(wished) === (base.kind === 'pod');
		return pool.take(fits ? wished : undefined);
	}
}
