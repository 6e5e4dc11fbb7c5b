/**
 * Addresses of pods from the node's pod CIDRs: one per family, each given out as late as possible after its last use.
 * State lives in the attachment ledger; this is its index in memory. No I/O.
 */
import { type Address, addressBytes, addressOfBytes, type Cidr, cidrParts, type Family } from '../model/address.ts';
import { FairleadError } from '../model/errors.ts';

export interface PoolUsage {
	readonly cidr: Cidr;
	/** Held by attachments. */
	readonly used: number;
	readonly coolingDown: number;
	/** Addresses that can be given at all. */
	readonly size: number;
}

interface Pool {
	readonly cidr: Cidr;
	readonly family: Family;
	readonly first: bigint;
	readonly last: bigint;
	next: bigint;
}

interface Quarantine {
	/** Not before this time. */
	readonly untilMs: number;
	/** Old state of the address is gone from the kernel. */
	clean: boolean;
}

export class Ipam {
	readonly #used = new Set<Address>();
	readonly #quarantine = new Map<Address, Quarantine>();
	readonly #now: () => number;
	#pools: Pool[] = [];

	constructor(o: { readonly podCidrs: readonly Cidr[]; readonly now: () => number }) {
		this.#now = o.now;
		this.setPodCidrs(o.podCidrs);
	}

	/** Replaces the CIDRs; addresses already given stay where they are. */
	setPodCidrs(podCidrs: readonly Cidr[]): void {
		const before = new Map(this.#pools.map((pool) => [pool.cidr, pool]));
		this.#pools = podCidrs.map((cidr) => before.get(cidr) ?? poolOf(cidr));
	}

	/** Families in the order of the node's CIDRs, which is that of a pod's addresses. */
	get families(): readonly Family[] {
		return [...new Set(this.#pools.map((pool) => pool.family))];
	}

	/**
	 * One address of each family.
	 * @param owner  for the error text
	 * @throws ADDRESS_EXHAUSTED, ADDRESS_COOLING
	 */
	allocate(owner: string): Address[] {
		if (this.#pools.length === 0) {
			throw new FairleadError('ADDRESS_EXHAUSTED', `cannot give ${owner} an address: the node has no pod CIDR`);
		}
		const taken: Address[] = [];
		for (const family of this.families) {
			const address = this.#take(family);
			if (address === undefined) {
				this.free(taken);
				throw this.#exhausted(family, owner);
			}
			taken.push(address);
		}
		return taken;
	}

	/** Marks addresses of attachments found at start. */
	claim(addresses: readonly Address[]): void {
		for (const address of addresses) {
			this.#quarantine.delete(address);
			this.#used.add(address);
		}
	}

	/** Held by an attachment. */
	holds(address: Address): boolean {
		return this.#used.has(address);
	}

	/** Back at once: nothing has ever used them. */
	free(addresses: readonly Address[]): void {
		for (const address of addresses) this.#used.delete(address);
	}

	/** Not to be given before `untilMs` and before clean() has been called. */
	release(addresses: readonly Address[], untilMs: number): void {
		for (const address of addresses) {
			this.#used.delete(address);
			this.#quarantine.set(address, { untilMs, clean: false });
		}
	}

	/** Nothing in the kernel refers to these any more. */
	clean(addresses: readonly Address[]): void {
		for (const address of addresses) {
			const entry = this.#quarantine.get(address);
			if (entry) entry.clean = true;
		}
	}

	/** Ends what cooled down. @returns true when none of `addresses` is in cool-down any more */
	expire(addresses: readonly Address[]): boolean {
		let ended = true;
		for (const address of addresses) {
			const entry = this.#quarantine.get(address);
			if (entry && this.#isOver(entry)) this.#quarantine.delete(address);
			else if (entry) ended = false;
		}
		return ended;
	}

	usage(): PoolUsage[] {
		return this.#pools.map((pool) => ({
			cidr: pool.cidr,
			used: count(this.#used, pool),
			coolingDown: count(this.#quarantine.keys(), pool),
			size: Number(pool.last - pool.first + 1n),
		}));
	}

	#isOver(entry: Quarantine): boolean {
		return entry.clean && entry.untilMs <= this.#now();
	}

	#take(family: Family): Address | undefined {
		for (const pool of this.#pools) {
			if (pool.family !== family) continue;
			const address = this.#takeFrom(pool);
			if (address !== undefined) return address;
		}
		return undefined;
	}

	/** Walks on from where the last search ended; every step but the last meets a different taken address. */
	#takeFrom(pool: Pool): Address | undefined {
		const size = pool.last - pool.first + 1n;
		const limit = BigInt(this.#used.size + this.#quarantine.size + 1);
		for (let step = 0n; step < (size < limit ? size : limit); step++) {
			const address = addressAt(pool.next);
			pool.next = pool.next === pool.last ? pool.first : pool.next + 1n;
			if (this.#used.has(address)) continue;
			const cooling = this.#quarantine.get(address);
			if (cooling && !this.#isOver(cooling)) continue;
			this.#quarantine.delete(address);
			this.#used.add(address);
			return address;
		}
		return undefined;
	}

	#exhausted(family: Family, owner: string): FairleadError {
		const usage = this.usage().filter((pool) => cidrParts(pool.cidr).family === family);
		const cooling = usage.reduce((sum, pool) => sum + pool.coolingDown, 0);
		const pools = usage.map((pool) => {
			const extra = pool.coolingDown > 0 ? `, ${pool.coolingDown} in cool-down` : '';
			return `${pool.cidr}: ${pool.used} of ${pool.size} addresses used${extra}`;
		});
		const text = `cannot give ${owner} an IPv${family} address: ${pools.join('; ')}`;
		if (cooling === 0)
			return new FairleadError('ADDRESS_EXHAUSTED', `${text}; remove pods or enlarge the node's pod CIDR`);
		return new FairleadError('ADDRESS_COOLING', `${text}, the next is free in ${this.#nextFreeS(family)} s`);
	}

	#nextFreeS(family: Family): number {
		let next = Number.POSITIVE_INFINITY;
		for (const [address, entry] of this.#quarantine) {
			if (address.includes(':') === (family === 6)) next = Math.min(next, entry.untilMs);
		}
		return Math.max(1, Math.ceil((next - this.#now()) / 1000));
	}
}

/**
 * First and last address of a CIDR are kept back: the network address (IPv6: the subnet-router anycast address) and
 * the broadcast address. A CIDR of one or two addresses is used whole (RFC 3021, RFC 6164).
 */
function poolOf(cidr: Cidr): Pool {
	const { address, prefixLength, family } = cidrParts(cidr);
	const size = 1n << BigInt((family === 4 ? 32 : 128) - prefixLength);
	const network = numberOf(address);
	const reserve = size > 2n ? 1n : 0n;
	const first = network + reserve;
	return { cidr, family, first, last: network + size - 1n - reserve, next: first };
}

function numberOf(address: Address): bigint {
	return addressBytes(address).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

/** IPv4 numbers carry the prefix ::ffff:0:0/96, so both families read the same way. */
function addressAt(value: bigint): Address {
	const bytes = new Uint8Array(16);
	for (let i = 15, rest = value; i >= 0; i--, rest >>= 8n) bytes[i] = Number(rest & 0xffn);
	return addressOfBytes(bytes);
}

function count(addresses: Iterable<Address>, pool: Pool): number {
	let inside = 0;
	for (const address of addresses) {
		const value = numberOf(address);
		if (value >= pool.first && value <= pool.last) inside++;
	}
	return inside;
}
