/**
 * Who has which address: pods, nodes, and prefixes of both. Says what identity each address has to have; changes are gathered
 * until they are asked for.
 */
import { PeerKind, Identity as WellKnown } from '../../../native/abi/generated.ts';
import type { Address, Cidr } from '../../model/address.ts';
import type { Node } from '../../model/node.ts';
import type { Pod } from '../../model/pod.ts';
import type { PeerRow } from '../peers.ts';
import type { Identity } from './identities.ts';
import type { Base, MatcherTable } from './matchers.ts';
import type { Bits, Prefix } from './prefixes.ts';
import { addressBits, cidrBits, hostCidr } from './prefixes.ts';
import { MultiMap } from './selectors.ts';
import { formatPort } from './sets.ts';
import type { AddressOwner, NamedPort } from './types.ts';

export interface AddressEntry {
	readonly address: Address;
	readonly bits: Bits;
	/** Nearly always one; a list, since there is an entry for each of very many pods. */
	pods: readonly string[];
	/** Node that has it; the own node's addresses are also those of its interfaces. */
	node: string | null;
	identity: Identity | null;
	owner: AddressOwner | null;
}

export interface CidrEntry {
	readonly row: PeerRow;
	readonly identity: Identity;
}

/** A base before it is known whether it exists already. */
export type BaseSpec = Pick<Base, 'key' | 'kind' | 'namespace' | 'labels' | 'ports'>;

/** A prefix that must be told apart. */
export interface WantedCidr {
	readonly cidr: Cidr;
	readonly bits: Bits;
	/** Whose it is. */
	readonly peer: PeerRow;
	/** What that one is made of. */
	readonly spec: BaseSpec;
}

const NO_PODS: readonly string[] = [];
/** From here on it is cheaper to look every address up than to compare it with each. */
const MANY_PREFIXES = 8;
const EVERY_IPV4: Cidr = '0.0.0.0/0';
const NOBODY = { namespace: '', labels: {}, ports: [] } as const;
export const OUTSIDE: BaseSpec = { key: 'outside', kind: 'outside', ...NOBODY };
export const UNKNOWN_POD: BaseSpec = { key: 'unknown-pod', kind: 'unknown-pod', ...NOBODY };
/** Service addresses that nobody serves: judged like unknown pods. */
export const UNKNOWN: BaseSpec = { key: 'unknown', kind: 'unknown-pod', ...NOBODY };
const OWN_NODE: BaseSpec = { key: 'host', kind: 'outside', ...NOBODY };
const OTHER_NODE: BaseSpec = { key: 'remote-node', kind: 'outside', ...NOBODY };

/** Pods that can have an address of their own. */
export function isAddressed(pod: Pod): boolean {
	return !pod.hostNetwork && !pod.finished && pod.addresses.length > 0;
}

export class AddressBook {
	readonly entries = new Map<Address, AddressEntry>();
	/** Addresses whose identity has to be found anew. */
	readonly dirty = new Set<AddressEntry>();
	/** Prefixes of other tables have changed. */
	cidrsDirty = true;
	/** Addresses of names whose prefix of full length has to be looked at. */
	readonly dirtyHosts = new Set<Address>();
	readonly #nodeName: string;
	readonly #pods = new Map<string, Pod>();
	readonly #nodes = new Map<string, Node>();
	/** By labels, which pods that are alike share. */
	readonly #specs = new WeakMap<Pod['labels'], { readonly ports: Pod['namedPorts']; readonly spec: BaseSpec }>();
	readonly #nodesByAddress = new MultiMap<string>();
	#ownAddresses: ReadonlySet<Address> = new Set();
	#peers: ReadonlyMap<Cidr, PeerRow> = new Map();
	#peersByBits = new Map<Bits, PeerRow>();

	constructor(nodeName: string) {
		this.#nodeName = nodeName;
	}

	pod(key: string): Pod | undefined {
		return this.#pods.get(key);
	}

	node(name: string): Node | undefined {
		return this.#nodes.get(name);
	}

	setPod(key: string, pod: Pod | null): void {
		const old = this.#pods.get(key);
		if (old !== undefined && isAddressed(old))
			for (const address of old.addresses) {
				const entry = this.#touch(address);
				entry.pods = entry.pods.filter((each) => each !== key);
			}
		if (pod === null) this.#pods.delete(key);
		else this.#pods.set(key, pod);
		if (pod === null || !isAddressed(pod)) return;
		for (const address of pod.addresses) {
			const entry = this.#touch(address);
			if (!entry.pods.includes(key)) entry.pods = [...entry.pods, key];
		}
	}

	setNode(name: string, node: Node | null): void {
		const old = this.#nodes.get(name);
		if (node === null) this.#nodes.delete(name);
		else this.#nodes.set(name, node);
		for (const address of addressesOf(old)) this.#nodesByAddress.delete(address, name);
		for (const address of addressesOf(node)) this.#nodesByAddress.add(address, name);
		for (const address of new Set([...addressesOf(old), ...addressesOf(node)])) this.#placeNode(address);
	}

	/** Addresses of the own node's interfaces. */
	setOwnAddresses(addresses: readonly Address[]): void {
		const before = this.#ownAddresses;
		this.#ownAddresses = new Set(addresses);
		for (const address of [...before, ...addresses]) this.#placeNode(address);
	}

	/** Prefixes of planPeers(), which policy prefixes are cut out of. */
	setPeers(cidrs: ReadonlyMap<Cidr, PeerRow>): void {
		this.#peers = cidrs;
		this.#peersByBits = new Map([...cidrs].map(([cidr, row]) => [cidrBits(cidr), row]));
		this.cidrsDirty = true;
	}

	/** Every node address has to be looked at: nodes are told apart now, or no more. */
	touchNodes(): void {
		for (const entry of this.entries.values()) if (entry.node !== null) this.dirty.add(entry);
	}

	/** Prefixes came or went: addresses whose longest one is another now have to be looked at. */
	touchInside(changed: readonly Bits[], find: (bits: Bits) => Prefix | null): void {
		if (changed.length === 0) return;
		this.cidrsDirty = true;
		const maybe = (bits: Bits): boolean =>
			changed.length > MANY_PREFIXES || changed.some((each) => bits.startsWith(each));
		for (const entry of this.entries.values()) {
			const { identity, bits } = entry;
			if (identity !== null && maybe(bits) && find(bits) !== identity.prefix) this.dirty.add(entry);
		}
	}

	/** Addresses of names belong to others now. */
	touchHosts(hosts: Iterable<Address>): void {
		for (const address of hosts) {
			this.dirtyHosts.add(address);
			const entry = this.entries.get(address);
			if (entry !== undefined) this.dirty.add(entry);
		}
	}

	/** Who has the address now; null = nobody. */
	ownerOf(entry: AddressEntry): AddressOwner | null {
		if (entry.node !== null) return { kind: 'node', node: entry.node };
		const [first, second] = entry.pods;
		if (first === undefined) return null;
		if (second !== undefined) return { kind: 'disputed' };
		return { kind: 'pod', pod: first, node: this.#pods.get(first)?.node ?? '' };
	}

	/** What the owner is made of. @param apart  nodes are selected by label */
	specOf(owner: AddressOwner, apart: boolean): BaseSpec {
		if (owner.kind === 'disputed') return UNKNOWN_POD;
		if (owner.kind === 'pod') return this.#podSpec(owner.pod);
		const own = owner.node === this.#nodeName;
		if (!apart) return own ? OWN_NODE : OTHER_NODE;
		const labels = this.#nodes.get(owner.node)?.labels ?? {};
		return { key: `node ${owner.node} ${formatLabels(labels)}`, kind: 'node', namespace: '', labels, ports: [] };
	}

	/** Prefixes that must be told apart; one may come twice. */
	*wantedCidrs(matchers: MatcherTable): Iterable<WantedCidr> {
		for (const [cidr, peer] of this.#peers) yield { cidr, bits: cidrBits(cidr), peer, spec: specOfPeer(peer) };
		for (const { cidr, bits } of matchers.prefixes.all())
			if (!this.#peersByBits.has(bits)) yield this.#cutOut(cidr, bits);
		for (const address of matchers.prefixes.hosts()) {
			const wanted = this.wantedHost(address, matchers);
			if (wanted !== null) yield wanted;
		}
		const every = cidrBits(EVERY_IPV4);
		if (this.#peersByBits.has(every) || matchers.prefixes.has(every)) return;
		// IPv4 is ::ffff:0:0/96 in the kernel's table: a wide IPv6 prefix must not answer for it.
		const peer = { cidr: EVERY_IPV4, kind: PeerKind.WORLD, node: null, identity: WellKnown.WORLD };
		yield { cidr: EVERY_IPV4, bits: every, peer, spec: OUTSIDE };
	}

	/** The same for one address; null = nothing tells it apart. */
	wantedHost(address: Address, { prefixes }: MatcherTable): WantedCidr | null {
		const [cidr, bits] = [hostCidr(address), addressBits(address)];
		const peer = this.#peersByBits.get(bits);
		if (peer !== undefined) return { cidr, bits, peer, spec: specOfPeer(peer) };
		return prefixes.has(bits) || prefixes.hasHost(bits) ? this.#cutOut(cidr, bits) : null;
	}

	#cutOut(cidr: Cidr, bits: Bits): WantedCidr {
		const peer = this.#peerOf(bits) ?? { cidr, kind: PeerKind.WORLD, node: null, identity: WellKnown.WORLD };
		return { cidr, bits, peer: { ...peer, cidr }, spec: specOfPeer(peer) };
	}

	/** What an address that nobody is known to have is made of. */
	specOfStranger(bits: Bits): BaseSpec {
		const peer = this.#peerOf(bits);
		return peer === undefined ? OUTSIDE : specOfPeer(peer);
	}

	#peerOf(bits: Bits): PeerRow | undefined {
		for (let length = bits.length; length > 0; length--) {
			const found = this.#peersByBits.get(bits.slice(0, length));
			if (found !== undefined) return found;
		}
		return undefined;
	}

	#podSpec(key: string): BaseSpec {
		const pod = this.#pods.get(key);
		if (pod === undefined) return UNKNOWN_POD;
		const known = this.#specs.get(pod.labels);
		if (known?.spec.namespace === pod.namespace && known.ports === pod.namedPorts) return known.spec;
		const ports: readonly NamedPort[] = pod.namedPorts ?? [];
		const text = `pod ${pod.namespace} ${formatLabels(pod.labels)} ${ports.map(formatPort).sort().join()}`;
		const spec: BaseSpec = { key: text, kind: 'pod', namespace: pod.namespace, labels: pod.labels, ports };
		this.#specs.set(pod.labels, { ports: pod.namedPorts, spec });
		return spec;
	}

	#placeNode(address: Address): void {
		const entry = this.#touch(address);
		const [first = null] = [...this.#nodesByAddress.get(address)].sort();
		entry.node = this.#ownAddresses.has(address) ? this.#nodeName : first;
	}

	#touch(address: Address): AddressEntry {
		let entry = this.entries.get(address);
		if (entry === undefined) {
			entry = { address, bits: addressBits(address), pods: NO_PODS, node: null, identity: null, owner: null };
			this.entries.set(address, entry);
		}
		this.dirty.add(entry);
		return entry;
	}
}

function addressesOf(node: Node | null | undefined): readonly Address[] {
	return [...(node?.internalIps ?? []), ...(node?.externalIps ?? [])];
}

function specOfPeer(peer: PeerRow): BaseSpec {
	if (peer.kind === PeerKind.REMOTE_POD || peer.identity === WellKnown.UNKNOWN_POD) return UNKNOWN_POD;
	return peer.kind === PeerKind.UNKNOWN ? UNKNOWN : OUTSIDE;
}

/** Canonical text of labels. */
export function formatLabels(labels: Readonly<Record<string, string>>): string {
	return Object.keys(labels)
		.sort()
		.map((key) => `${key}=${labels[key]}`)
		.join();
}
