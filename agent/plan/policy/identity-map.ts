/**
 * Gives addresses and prefixes their identities, and finds which came to be and which nobody has any more.
 */
import { Identity as WellKnown } from '../../../native/abi/generated.ts';
import type { Address, Cidr } from '../../model/address.ts';
import type { AddressBook, AddressEntry, BaseSpec, CidrEntry, WantedCidr } from './address-book.ts';
import { UNKNOWN, UNKNOWN_POD } from './address-book.ts';
import type { Identity } from './identities.ts';
import { IdentityTable } from './identities.ts';
import type { Base, MatcherTable } from './matchers.ts';
import type { Bits, Prefix } from './prefixes.ts';
import { compareCidrLengths, hostCidr } from './prefixes.ts';
import type { AddressOwner } from './types.ts';

export interface IdentityMove {
	readonly entry: AddressEntry;
	/** null = nobody had the address. */
	readonly before: Identity | null;
	/** null = nobody has it. */
	readonly after: Identity | null;
}

export interface CidrResolution {
	readonly cidr: Cidr;
	/** null = no longer told apart. */
	readonly entry: CidrEntry | null;
}

export interface ResolvedIdentities {
	readonly moves: readonly IdentityMove[];
	/** Longest first, those that are no longer told apart last. */
	readonly cidrs: readonly CidrResolution[];
	readonly created: readonly Identity[];
	readonly retired: readonly Identity[];
}

/** What an address is to be. */
interface EntryPlan {
	readonly entry: AddressEntry;
	readonly owner: AddressOwner | null;
	readonly spec: BaseSpec | null;
	readonly prefix: Prefix | null;
}

interface Hints {
	readonly addresses: ReadonlyMap<Address, number>;
	readonly cidrs: ReadonlyMap<Cidr, number>;
}

export class IdentityMap {
	readonly table = new IdentityTable();
	/** As the last look found it; see MatcherTable.tellsNodesApart. */
	nodesApart = false;
	readonly cidrs = new Map<Cidr, CidrEntry>();
	readonly #book: AddressBook;
	readonly #matchers: MatcherTable;
	readonly #bases = new Map<string, Base>();
	readonly #hints: Hints;
	/** Numbers of the hints that more than one kind of peer would claim. */
	readonly #contested = new Set<number>();
	#created: Identity[] = [];
	#retired: Identity[] = [];

	constructor(book: AddressBook, matchers: MatcherTable, hints: Hints) {
		this.#book = book;
		this.#matchers = matchers;
		this.#hints = hints;
		for (const each of [...hints.addresses.values(), ...hints.cidrs.values()]) this.table.avoid(each);
		// Always there: what is not known must be judged from the first set on.
		for (const spec of [UNKNOWN_POD, UNKNOWN]) this.#acquire(spec, null, undefined);
	}

	free(number: number): void {
		this.table.free(number);
	}

	/** Identity of an address that nobody is known to have. */
	strangerAt(bits: Bits): Identity | undefined {
		const spec = this.#book.specOfStranger(bits);
		const prefix = this.#matchers.prefixes.find(bits);
		return this.table.find(spec.key, prefix);
	}

	/** Identity of a pod that is not known but has the address. */
	unknownPodAt(bits: Bits): number {
		const found = this.strangerAt(bits);
		return found?.base.kind === 'unknown-pod' ? found.number : WellKnown.UNKNOWN_POD;
	}

	/** Brings everything that changed up to date. */
	resolve(): ResolvedIdentities {
		const apart = this.#matchers.tellsNodesApart;
		this.nodesApart = apart;
		const dirty = [...this.#book.dirty];
		this.#book.dirty.clear();
		const plans = dirty.map((entry) => this.#planEntry(entry, apart));
		this.#findContested(plans);
		const moves = plans.map((plan) => this.#move(plan)).filter((move) => move !== undefined);
		const cidrs = this.#book.cidrsDirty ? this.#resolveCidrs() : this.#resolveHosts();
		this.#book.cidrsDirty = false;
		this.#book.dirtyHosts.clear();
		const created = this.#created.filter(({ refs }) => refs > 0);
		const retired = this.#retired;
		this.#created = [];
		this.#retired = [];
		return { moves, cidrs, created, retired };
	}

	#planEntry(entry: AddressEntry, apart: boolean): EntryPlan {
		const owner = this.#book.ownerOf(entry);
		const spec = owner === null ? null : this.#book.specOf(owner, apart);
		return { entry, owner, spec, prefix: this.#matchers.prefixes.find(entry.bits) };
	}

	/** A number from an earlier run is used again only if all who had it are still alike. */
	#findContested(plans: readonly EntryPlan[]): void {
		if (this.#hints.addresses.size === 0) return;
		const claims = new Map<number, string>();
		for (const { entry, spec, prefix } of plans) {
			const number = this.#hints.addresses.get(entry.address);
			if (number === undefined || spec === null) continue;
			const key = `${spec.key} ${prefix?.cidr ?? ''}`;
			if ((claims.get(number) ?? key) !== key) this.#contested.add(number);
			claims.set(number, key);
		}
	}

	/** The same for addresses of names, which share numbers as well. */
	#findContestedCidrs(): void {
		const claims = new Map<number, string>();
		for (const { cidr, bits, spec } of this.#book.wantedCidrs(this.#matchers)) {
			const number = this.#hints.cidrs.get(cidr);
			if (number === undefined) continue;
			const key = `${spec.key} ${this.#matchers.prefixes.find(bits)?.cidr ?? ''}`;
			if ((claims.get(number) ?? key) !== key) this.#contested.add(number);
			claims.set(number, key);
		}
	}

	#move({ entry, owner, spec, prefix }: EntryPlan): IdentityMove | undefined {
		const before = entry.identity;
		const wished = this.#hints.addresses.get(entry.address);
		const after = spec === null ? null : this.#acquire(spec, prefix, wished);
		const same = before === after && sameOwner(entry.owner, owner);
		entry.identity = after;
		entry.owner = owner;
		if (before !== null) this.#release(before);
		if (owner === null) this.#book.entries.delete(entry.address);
		return same ? undefined : { entry, before, after };
	}

	#resolveCidrs(): ResolvedIdentities['cidrs'] {
		const changes: CidrResolution[] = [];
		const gone = new Set(this.cidrs.keys());
		if (this.#hints.cidrs.size > 0 && gone.size === 0) this.#findContestedCidrs();
		for (const wanted of this.#book.wantedCidrs(this.#matchers)) {
			gone.delete(wanted.cidr);
			this.#wantCidr(wanted, changes);
		}
		changes.sort((a, b) => compareCidrLengths(a.cidr, b.cidr));
		for (const cidr of gone) this.#dropCidr(cidr, changes);
		return changes;
	}

	/** The same, if nothing but addresses of names has changed. */
	#resolveHosts(): ResolvedIdentities['cidrs'] {
		const changes: CidrResolution[] = [];
		const gone: Cidr[] = [];
		for (const address of this.#book.dirtyHosts) {
			const wanted = this.#book.wantedHost(address, this.#matchers);
			if (wanted === null) gone.push(hostCidr(address));
			else this.#wantCidr(wanted, changes);
		}
		for (const cidr of gone) this.#dropCidr(cidr, changes);
		return changes;
	}

	#wantCidr({ cidr, bits, peer, spec }: WantedCidr, changes: CidrResolution[]): void {
		const identity = this.#acquire(spec, this.#matchers.prefixes.find(bits), this.#hints.cidrs.get(cidr));
		const old = this.cidrs.get(cidr);
		const entry = { row: { ...peer, identity: identity.number }, identity };
		this.cidrs.set(cidr, entry);
		if (old !== undefined) this.#release(old.identity);
		const same = old?.identity === identity && old.row.kind === peer.kind && old.row.node === peer.node;
		if (!same) changes.push({ cidr, entry });
	}

	#dropCidr(cidr: Cidr, changes: CidrResolution[]): void {
		const old = this.cidrs.get(cidr);
		if (old === undefined) return;
		this.cidrs.delete(cidr);
		this.#release(old.identity);
		changes.push({ cidr, entry: null });
	}

	#acquire(spec: BaseSpec, prefix: Prefix | null, wished: number | undefined): Identity {
		let base = this.#bases.get(spec.key);
		if (base === undefined) {
			base = { ...spec, matchers: new Set(), identities: new Set() };
			this.#bases.set(spec.key, base);
			this.#matchers.addBase(base);
		}
		const free = wished !== undefined && !this.#contested.has(wished) ? wished : undefined;
		const { identity, isNew } = this.table.acquire(base, prefix, free);
		if (isNew) this.#created.push(identity);
		return identity;
	}

	#release(identity: Identity): void {
		if (!this.table.release(identity)) return;
		this.#retired.push(identity);
		const { base } = identity;
		if (base.identities.size > 0) return;
		this.#bases.delete(base.key);
		this.#matchers.removeBase(base);
	}
}

function sameOwner(a: AddressOwner | null, b: AddressOwner | null): boolean {
	if (a === null || b === null || a.kind !== b.kind) return a === b;
	if (a.kind === 'pod' && b.kind === 'pod') return a.pod === b.pod && a.node === b.node;
	return a.kind !== 'node' || b.kind !== 'node' || a.node === b.node;
}
