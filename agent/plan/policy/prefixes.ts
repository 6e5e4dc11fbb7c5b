/**
 * The prefixes that policies tell apart. An address is inside a chain of them; the longest one stands for the chain, so it is
 * part of an identity.
 */
import type { Address, Cidr } from '../../model/address.ts';
import { addressBytes, cidrParts, familyOf } from '../../model/address.ts';
import type { Identity } from './identities.ts';
import type { BlockMatcher, DomainMatcher } from './matchers.ts';

/** An address or prefix as text of its family and bits ('4' + '0101…'): one contains another if it is its beginning. */
export type Bits = string;

const BYTE_BITS = Array.from({ length: 256 }, (_, value) => value.toString(2).padStart(8, '0'));

export function addressBits(address: Address): Bits {
	const bytes = addressBytes(address);
	let text: string = familyOf(address) === 4 ? '4' : '6';
	for (let i = text === '4' ? 12 : 0; i < 16; i++) text += BYTE_BITS[bytes[i] ?? 0];
	return text;
}

export function cidrBits(cidr: Cidr): Bits {
	const { address, prefixLength } = cidrParts(cidr);
	return addressBits(address).slice(0, prefixLength + 1);
}

/** The prefix that contains an address alone. */
export function hostCidr(address: Address): Cidr {
	return `${address}/${familyOf(address) === 4 ? 32 : 128}`;
}

/** Longer ones first, as the kernel's table of 128 bits counts. */
export function compareCidrLengths(a: Cidr, b: Cidr): number {
	const length = (cidr: Cidr): number => cidrParts(cidr).prefixLength + (familyOf(cidr) === 4 ? 96 : 0);
	return length(b) - length(a);
}

export interface Prefix {
	readonly cidr: Cidr;
	readonly bits: Bits;
	/** Blocks that all addresses whose longest prefix is this one are in, and domains that they belong to. */
	readonly matchers: Set<BlockMatcher | DomainMatcher>;
	/** Live identities with this prefix. */
	readonly identities: Set<Identity>;
	refs: number;
}

interface Host {
	readonly address: Address;
	readonly domains: ReadonlySet<DomainMatcher>;
	readonly group: Prefix;
}

export class PrefixTable {
	readonly #prefixes = new Map<Bits, Prefix>();
	/** Lengths of the bits in use, longest first, with their number. */
	readonly #lengths = new Map<number, number>();
	#order: readonly number[] = [];
	readonly #blocks = new Set<BlockMatcher>();
	readonly #hosts = new Map<Bits, Host>();
	/** Stand-ins by their text. */
	readonly #groups = new Map<string, Prefix>();
	readonly #idle = new Set<Prefix>();

	get size(): number {
		return this.#prefixes.size;
	}

	all(): Iterable<Prefix> {
		return this.#prefixes.values();
	}

	has(bits: Bits): boolean {
		return this.#prefixes.has(bits);
	}

	/** Addresses of names. */
	*hosts(): Iterable<Address> {
		for (const { address } of this.#hosts.values()) yield address;
	}

	hasHost(bits: Bits): boolean {
		return this.#hosts.has(bits);
	}

	/**
	 * An address that belongs to domains. Addresses in the same blocks and domains share a stand-in, which is found instead of their
	 * longest prefix: so they have one identity, and another address of a name costs no rows.
	 * @returns whether find() answers something else now
	 */
	setHost(address: Address, domains: ReadonlySet<DomainMatcher>): boolean {
		const bits = addressBits(address);
		const old = this.#hosts.get(bits);
		if (old === undefined && domains.size === 0) return false;
		if (domains.size === 0) this.#hosts.delete(bits);
		else this.#hosts.set(bits, { address, domains, group: this.#join(this.#longest(bits), domains) });
		if (old !== undefined) this.#leave(old.group);
		return this.#hosts.get(bits)?.group !== old?.group;
	}

	/** Prefixes came or went: looks at every host again. */
	placeHosts(): void {
		for (const { address, domains } of [...this.#hosts.values()]) this.setHost(address, domains);
	}

	#join(outer: Prefix | null, domains: ReadonlySet<DomainMatcher>): Prefix {
		const names = [...domains].map(({ pattern }) => pattern).sort();
		const text = outer === null ? names.join(' ') : `${names.join(' ')} in ${outer.cidr}`;
		let group = this.#groups.get(text);
		if (group === undefined) {
			group = { cidr: text, bits: outer?.bits ?? '', matchers: new Set(), identities: new Set(), refs: 0 };
			for (const matcher of [...(outer?.matchers ?? []), ...domains]) link(group, matcher);
			this.#groups.set(text, group);
		}
		group.refs++;
		return group;
	}

	#leave(group: Prefix): void {
		if (--group.refs === 0) this.#idle.add(group);
	}

	/** Forgets stand-ins that nobody has any more. They stay until their identities are gone, for a host that joins meanwhile. */
	dropIdle(): void {
		for (const group of this.#idle) {
			if (group.refs === 0 && group.identities.size > 0) continue;
			this.#idle.delete(group);
			if (group.refs > 0) continue;
			this.#groups.delete(group.cidr);
			for (const matcher of group.matchers) matcher.prefixes.delete(group);
		}
	}

	/** What stands for an address or prefix: that of its names, else the longest prefix that contains it. */
	find(bits: Bits): Prefix | null {
		return this.#hosts.get(bits)?.group ?? this.#longest(bits);
	}

	#longest(bits: Bits): Prefix | null {
		for (const length of this.#order) {
			if (length > bits.length) continue;
			const found = this.#prefixes.get(bits.slice(0, length));
			if (found !== undefined) return found;
		}
		return null;
	}

	/** Registers a block. @returns prefixes that did not exist: addresses in them have another identity now */
	addBlock(block: BlockMatcher): readonly Prefix[] {
		this.#blocks.add(block);
		const added = [block.bits, ...block.except].map((bits, i) =>
			this.#acquire(bits, (i === 0 ? block.cidr : block.exceptCidrs[i - 1]) ?? ''),
		);
		for (const prefixes of [this.#prefixes, this.#groups]) {
			for (const prefix of prefixes.values()) if (contains(block, prefix.bits)) link(prefix, block);
		}
		return added.filter((prefix) => prefix !== undefined);
	}

	/** Takes a block out. @returns prefixes that exist no more */
	removeBlock(block: BlockMatcher): readonly Prefix[] {
		this.#blocks.delete(block);
		for (const prefix of block.prefixes) prefix.matchers.delete(block);
		block.prefixes.clear();
		return [block.bits, ...block.except].map((bits) => this.#release(bits)).filter((prefix) => prefix !== undefined);
	}

	#acquire(bits: Bits, cidr: Cidr): Prefix | undefined {
		const found = this.#prefixes.get(bits);
		if (found !== undefined) {
			found.refs++;
			return undefined;
		}
		const prefix: Prefix = { cidr, bits, matchers: new Set(), identities: new Set(), refs: 1 };
		for (const block of this.#blocks) if (contains(block, bits)) link(prefix, block);
		this.#prefixes.set(bits, prefix);
		this.#countLength(bits.length, 1);
		return prefix;
	}

	#release(bits: Bits): Prefix | undefined {
		const prefix = this.#prefixes.get(bits);
		if (prefix === undefined || --prefix.refs > 0) return undefined;
		this.#prefixes.delete(bits);
		for (const matcher of prefix.matchers) matcher.prefixes.delete(prefix);
		this.#countLength(bits.length, -1);
		return prefix;
	}

	#countLength(length: number, by: number): void {
		const count = (this.#lengths.get(length) ?? 0) + by;
		if (count === 0) this.#lengths.delete(length);
		else this.#lengths.set(length, count);
		this.#order = [...this.#lengths.keys()].sort((a, b) => b - a);
	}
}

function link(prefix: Prefix, matcher: BlockMatcher | DomainMatcher): void {
	prefix.matchers.add(matcher);
	matcher.prefixes.add(prefix);
}

function contains(block: BlockMatcher, bits: Bits): boolean {
	return bits.startsWith(block.bits) && !block.except.some((inner) => bits.startsWith(inner));
}
