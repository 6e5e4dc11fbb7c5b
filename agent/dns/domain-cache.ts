/**
 * Addresses that have been learnt for names. An address stays until its records have run out, a while longer for those who keep what
 * they have looked up, and as long as a connection uses it. Pure: time comes in, changes come out.
 */
import type { Address } from '../model/address.ts';
import type { DnsAnswer } from './message.ts';

export interface DomainCacheOptions {
	/** Does a policy wait for the name? */
	readonly waitsFor: (name: string) => boolean;
	/** How long addresses outlive their records. */
	readonly graceMs: number;
	/** Addresses of one name; more take the place of the oldest that nobody uses. */
	readonly addressesPerName: number;
	/** Addresses of all names. */
	readonly addresses: number;
	/** Told of whatever is to survive this process; null = forgotten. */
	readonly onEntry?: (name: string, address: Address, expiresMs: number | null) => void;
	/** An address had to go or was not learnt, for want of room for its name or for all. */
	readonly onFull?: (name: string, limit: 'name' | 'all') => void;
}

export interface DomainEntry {
	readonly name: string;
	readonly address: Address;
	/** Milliseconds since 1970. */
	readonly expiresMs: number;
}

export interface DomainCacheStats {
	readonly names: number;
	readonly addresses: number;
	/** Addresses that had to go for younger ones of their name, since start. */
	readonly evicted: number;
	/** Addresses that were not learnt for want of room, since start. */
	readonly refused: number;
}

const NOBODY: ReadonlySet<Address> = new Set();

export class DomainCache {
	readonly #options: DomainCacheOptions;
	/** name → address → expiry; the address that was learnt longest ago first. */
	readonly #names = new Map<string, Map<Address, number>>();
	readonly #namesOf = new Map<Address, Set<string>>();
	readonly #changed = new Set<Address>();
	#inUse: ReadonlySet<Address> = NOBODY;
	#evicted = 0;
	#refused = 0;

	constructor(options: DomainCacheOptions) {
		this.#options = options;
	}

	/** Takes over what an earlier run knew. */
	restore(entries: Iterable<DomainEntry>): void {
		for (const { name, address, expiresMs } of entries) {
			if (this.#hasRoom(name, address)) this.#put(name, address, expiresMs);
		}
	}

	learn({ name, addresses }: Pick<DnsAnswer, 'name' | 'addresses'>, nowMs: number): void {
		if (addresses.length === 0 || !this.#options.waitsFor(name)) return;
		for (const { address, ttlSeconds } of addresses) {
			const expiresMs = nowMs + ttlSeconds * 1000 + this.#options.graceMs;
			const known = this.#names.get(name)?.get(address);
			if (known === undefined && !this.#makeRoom(name, address)) {
				this.#refused++;
				continue;
			}
			this.#put(name, address, Math.max(known ?? 0, expiresMs));
			this.#options.onEntry?.(name, address, Math.max(known ?? 0, expiresMs));
		}
	}

	/** Addresses whose names are others than when this was last called. Empty = forgotten. */
	takeChanges(): Map<Address, ReadonlySet<string>> {
		const changes = new Map<Address, ReadonlySet<string>>();
		for (const address of this.#changed) changes.set(address, new Set(this.#namesOf.get(address)));
		this.#changed.clear();
		return changes;
	}

	/** All of them, for somebody who begins anew. */
	all(): Map<Address, ReadonlySet<string>> {
		return new Map([...this.#namesOf].map(([address, names]) => [address, new Set(names)]));
	}

	/** Addresses that go, or may soon have to go for others, unless somebody uses them. */
	questionable(nowMs: number): Set<Address> {
		const found = new Set<Address>();
		for (const [name, addresses] of this.#names) {
			const all = !this.#options.waitsFor(name) || addresses.size > this.#options.addressesPerName / 2;
			for (const [address, expiresMs] of addresses) if (all || expiresMs <= nowMs) found.add(address);
		}
		return found;
	}

	/** Forgets what has run out. @param inUse  those of questionable() that connections use; they stay with all their names */
	expire(nowMs: number, inUse: ReadonlySet<Address>): void {
		this.#inUse = inUse;
		for (const [name, addresses] of [...this.#names]) {
			const wanted = this.#options.waitsFor(name);
			for (const [address, expiresMs] of [...addresses]) {
				if ((!wanted || expiresMs <= nowMs) && !inUse.has(address)) this.#remove(name, address);
			}
		}
	}

	*entries(): Iterable<DomainEntry> {
		for (const [name, addresses] of this.#names) {
			for (const [address, expiresMs] of addresses) yield { name, address, expiresMs };
		}
	}

	get stats(): DomainCacheStats {
		return {
			names: this.#names.size,
			addresses: this.#namesOf.size,
			evicted: this.#evicted,
			refused: this.#refused,
		};
	}

	#hasRoom(name: string, address: Address): boolean {
		const { addressesPerName, addresses } = this.#options;
		const own = this.#names.get(name)?.size ?? 0;
		return own < addressesPerName && (this.#namesOf.has(address) || this.#namesOf.size < addresses);
	}

	#makeRoom(name: string, address: Address): boolean {
		if (this.#hasRoom(name, address)) return true;
		const own = this.#names.get(name)?.size ?? 0;
		this.#options.onFull?.(name, own >= this.#options.addressesPerName ? 'name' : 'all');
		for (const oldest of this.#names.get(name)?.keys() ?? []) {
			if (this.#inUse.has(oldest)) continue;
			this.#remove(name, oldest);
			this.#evicted++;
			return this.#hasRoom(name, address);
		}
		return false;
	}

	#put(name: string, address: Address, expiresMs: number): void {
		let addresses = this.#names.get(name);
		if (addresses === undefined) {
			addresses = new Map();
			this.#names.set(name, addresses);
		}
		// deleted first: the order is that of learning
		if (!addresses.delete(address)) {
			const names = this.#namesOf.get(address) ?? new Set();
			this.#namesOf.set(address, names.add(name));
			this.#changed.add(address);
		}
		addresses.set(address, expiresMs);
	}

	#remove(name: string, address: Address): void {
		const addresses = this.#names.get(name);
		if (!addresses?.delete(address)) return;
		if (addresses.size === 0) this.#names.delete(name);
		const names = this.#namesOf.get(address);
		names?.delete(name);
		if (names?.size === 0) this.#namesOf.delete(address);
		this.#changed.add(address);
		this.#options.onEntry?.(name, address, null);
	}
}
