/**
 * Names that policies wait for, and the addresses that have been learnt for them. A pattern is a name, or '*.' and a name, which
 * stands for one or more labels in front of it.
 */
import type { Address } from '../../model/address.ts';
import type { DomainMatcher } from './matchers.ts';
import { MultiMap } from './selectors.ts';

/** All patterns that a name fits, whether or not somebody has them. @param name  lower case, without a final dot */
export function patternsOf(name: string): string[] {
	const patterns = [name];
	for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1)) patterns.push(`*${name.slice(dot)}`);
	return patterns;
}

const NO_NAMES: ReadonlySet<string> = new Set();

export class DomainNames {
	readonly #names = new Map<Address, ReadonlySet<string>>();
	readonly #addresses = new MultiMap<Address>();
	readonly #matchers = new Map<string, DomainMatcher>();

	/** Takes over the names of an address; none = it is forgotten. @returns whether they were others */
	set(address: Address, names: ReadonlySet<string>): boolean {
		const before = this.#names.get(address) ?? NO_NAMES;
		let changed = false;
		for (const name of before) {
			if (names.has(name)) continue;
			this.#addresses.delete(name, address);
			changed = true;
		}
		for (const name of names) {
			if (before.has(name)) continue;
			this.#addresses.add(name, address);
			changed = true;
		}
		if (names.size === 0) this.#names.delete(address);
		else this.#names.set(address, names);
		return changed;
	}

	/** Peers of rules that the address belongs to. */
	matchersOf(address: Address): ReadonlySet<DomainMatcher> {
		const found = new Set<DomainMatcher>();
		for (const name of this.#names.get(address) ?? NO_NAMES) {
			for (const pattern of patternsOf(name)) {
				const matcher = this.#matchers.get(pattern);
				if (matcher !== undefined) found.add(matcher);
			}
		}
		return found;
	}

	addMatcher(matcher: DomainMatcher): ReadonlySet<Address> {
		this.#matchers.set(matcher.pattern, matcher);
		return this.#addressesOf(matcher.pattern);
	}

	/** @returns addresses that belonged to it */
	removeMatcher(matcher: DomainMatcher): ReadonlySet<Address> {
		this.#matchers.delete(matcher.pattern);
		return this.#addressesOf(matcher.pattern);
	}

	#addressesOf(pattern: string): ReadonlySet<Address> {
		if (!pattern.startsWith('*')) return new Set(this.#addresses.get(pattern));
		const found = new Set<Address>();
		const suffix = pattern.slice(1);
		for (const name of this.#addresses.keys()) {
			if (name.endsWith(suffix)) for (const address of this.#addresses.get(name)) found.add(address);
		}
		return found;
	}
}
