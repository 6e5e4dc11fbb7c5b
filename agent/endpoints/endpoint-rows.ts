/**
 * Rows of the maps `endpoints`, `ifaces` and `ipcache` for pods of this node, and the allocation of row numbers.
 * This is their only writer. A row's generation changes with every release, so that conntrack entries which still name
 * the row do not reach its next owner; the map itself remembers the generation of free rows.
 */
import {
	Endpoint,
	EndpointFlags,
	Identity,
	IpcacheEntry,
	IpcacheKey,
	Limits,
	PeerKind,
	PeerRef,
} from '../../native/abi/generated.ts';
import { type Address, addressBytes, familyOf } from '../model/address.ts';
import { FairleadError } from '../model/errors.ts';
import type { Kernel } from '../reconcile/kernel.ts';
import { PolicyGenerations } from '../reconcile/policy-generations.ts';
import { type Attachment, macBytes } from './attachment.ts';

/** What policy says about a pod; the defaults hold until it says something. */
export interface EndpointIdentity {
	/** Of the IPv4 address: enum identity or a dynamic number. */
	readonly identity: number;
	/** Of the IPv6 address. */
	readonly identity6: number;
	/** 0 = no policy selects it. */
	readonly policySet: number;
	/** Nothing but the node may talk to it. */
	readonly isolated: boolean;
	/** The agent sees what name servers answer it before it does; default false. */
	readonly domains?: boolean;
}

export const UNKNOWN_POD: EndpointIdentity = {
	identity: Identity.UNKNOWN_POD,
	identity6: Identity.UNKNOWN_POD,
	policySet: 0,
	isolated: false,
	domains: false,
};

const NO_ADDRESS = new Uint8Array(16);

export class EndpointRows {
	readonly #kernel: Kernel;
	readonly #generations: PolicyGenerations;
	readonly #taken = new Set<number>();
	#last = 0;

	constructor(kernel: Kernel) {
		this.#kernel = kernel;
		this.#generations = new PolicyGenerations(kernel);
	}

	/** Marks the row of an attachment found at start. */
	claim(index: number): void {
		this.#taken.add(index);
		this.#last = Math.max(this.#last, index);
	}

	/** The free row that was used longest ago, roughly, with its current generation. @throws ENDPOINT_LIMIT */
	allocate(owner: string): { index: number; gen: number } {
		const rows = Limits.ENDPOINTS - 1;
		for (let step = 1; step <= rows; step++) {
			const index = ((this.#last + step - 1) % rows) + 1;
			if (this.#taken.has(index)) continue;
			const gen = this.#read(index).gen;
			this.#taken.add(index);
			this.#last = index;
			return { index, gen: gen === 0 ? 1 : gen };
		}
		throw new FairleadError('ENDPOINT_LIMIT', `cannot attach ${owner}: ${rows} of ${rows} endpoints are in use`);
	}

	/** Lets the row be allocated again; its entries must have been erased if they were written. */
	giveBack(index: number): void {
		this.#taken.delete(index);
	}

	/** Writes all rows of a pod: from then on packets reach it. Owner rows first, the address that leads to them last. */
	write(attachment: Attachment, ifindex: number, who: EndpointIdentity): void {
		const peer = { index: attachment.index, gen: attachment.gen, kind: PeerKind.LOCAL_POD };
		const value: Endpoint = {
			ifindex,
			gen: attachment.gen,
			flags: EndpointFlags.READY | (who.isolated ? EndpointFlags.ISOLATED : 0) | (who.domains ? EndpointFlags.DNS : 0),
			mac: macBytes(attachment.mac),
			hostMac: macBytes(attachment.hostMac),
			policyGen: this.#read(attachment.index).policyGen,
			identity: who.identity,
			identity6: who.identity6,
			policySet: who.policySet,
			addr4: bytesOfFamily(attachment.addresses, 4),
			addr6: bytesOfFamily(attachment.addresses, 6),
		};
		this.#kernel.mapSet('endpoints', u32Key(attachment.index), Endpoint.encode(value));
		this.#kernel.mapSet('ifaces', u32Key(ifindex), PeerRef.encode(peer));
		for (const address of attachment.addresses) {
			const identity = familyOf(address) === 4 ? who.identity : who.identity6;
			const entry = IpcacheEntry.encode({ peer, identity });
			this.#kernel.mapSet('ipcache', addressKey(address), entry);
		}
	}

	/** Writes what policy says of a pod that is attached, and has its flows judged anew. Nothing if the row says so already. */
	identify(attachment: Attachment, ifindex: number, who: EndpointIdentity): void {
		const now = this.identityOf(attachment.index);
		const same = now.identity === who.identity && now.identity6 === who.identity6 && now.isolated === who.isolated;
		if (same && now.policySet === who.policySet && now.domains === (who.domains ?? false)) return;
		this.write(attachment, ifindex, who);
		this.#generations.bump(attachment.index);
	}

	/** Removes all entries of a pod and ends the generation of its row. */
	erase(attachment: Pick<Attachment, 'index' | 'gen' | 'addresses'>): void {
		for (const address of attachment.addresses) {
			if (this.#pointsAt(address, attachment)) this.#kernel.mapDelete('ipcache', addressKey(address));
		}
		this.#endGeneration(attachment.index, attachment.gen);
	}

	/** True when the rows are as write() left them. */
	isWritten(attachment: Attachment, ifindex: number): boolean {
		const row = this.#read(attachment.index);
		const good = row.ifindex === ifindex && row.gen === attachment.gen && (row.flags & EndpointFlags.READY) !== 0;
		return good && attachment.addresses.every((address) => this.#pointsAt(address, attachment));
	}

	/** What the row says; UNKNOWN_POD for a row that write() has never filled. */
	identityOf(index: number): EndpointIdentity {
		const { ifindex, identity, identity6, policySet, flags } = this.#read(index);
		if (ifindex === 0) return UNKNOWN_POD;
		const [isolated, domains] = [EndpointFlags.ISOLATED, EndpointFlags.DNS].map((flag) => (flags & flag) !== 0);
		return { identity, identity6, policySet, isolated: isolated ?? false, domains: domains ?? false };
	}

	/** Removes rows that belong to no claimed endpoint (the agent died in the middle of something). @returns how many */
	eraseUnclaimed(): number {
		let erased = 0;
		for (const [key, bytes] of this.#kernel.mapEntries('endpoints')) {
			const index = new DataView(key.buffer, key.byteOffset, 4).getUint32(0, true);
			const row = Endpoint.decode(bytes);
			if (row.ifindex === 0 || this.#taken.has(index)) continue;
			this.#endGeneration(index, row.gen);
			erased++;
		}
		for (const [key, bytes] of [...this.#kernel.mapEntries('ipcache')]) {
			const { peer } = IpcacheEntry.decode(bytes);
			const row = peer.kind === PeerKind.LOCAL_POD ? this.#read(peer.index) : undefined;
			if (row === undefined || (this.#taken.has(peer.index) && row.gen === peer.gen)) continue;
			this.#kernel.mapDelete('ipcache', key);
			erased++;
		}
		return erased;
	}

	#endGeneration(index: number, gen: number): void {
		const { ifindex, policyGen } = this.#read(index);
		if (ifindex !== 0) this.#kernel.mapDelete('ifaces', u32Key(ifindex));
		const free: Endpoint = {
			...{ ifindex: 0, gen: (gen % 255) + 1, flags: 0, mac: new Uint8Array(6), hostMac: new Uint8Array(6), policyGen },
			...{ identity: 0, identity6: 0, policySet: 0, addr4: NO_ADDRESS, addr6: NO_ADDRESS },
		};
		this.#kernel.mapSet('endpoints', u32Key(index), Endpoint.encode(free));
		this.#generations.bump(index);
	}

	#pointsAt(address: Address, owner: { readonly index: number; readonly gen: number }): boolean {
		const bytes = this.#kernel.mapGet('ipcache', addressKey(address));
		if (bytes === undefined) return false;
		const { peer } = IpcacheEntry.decode(bytes);
		return peer.kind === PeerKind.LOCAL_POD && peer.index === owner.index && peer.gen === owner.gen;
	}

	#read(index: number): Endpoint {
		const bytes = this.#kernel.mapGet('endpoints', u32Key(index));
		return Endpoint.decode(bytes ?? new Uint8Array(Endpoint.size));
	}
}

function bytesOfFamily(addresses: readonly Address[], family: 4 | 6): Uint8Array {
	const address = addresses.find((candidate) => familyOf(candidate) === family);
	return address === undefined ? NO_ADDRESS : addressBytes(address);
}

function addressKey(address: Address): Uint8Array {
	return IpcacheKey.encode({ addr: addressBytes(address) });
}

/** Keys of arrays and of `ifaces` are in the byte order of the machine, which is little endian wherever BTF was made. */
function u32Key(value: number): Uint8Array {
	const key = new Uint8Array(4);
	new DataView(key.buffer).setUint32(0, value, true);
	return key;
}
