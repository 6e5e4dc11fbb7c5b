/**
 * Names for addresses: which pod, node or service an address belongs to now. The history asks once per record, at the
 * time of the record, so that a later owner of the address does not inherit old flows.
 */
import { L4Proto } from '../../native/abi/generated.ts';
import type { Address, Cidr, Family } from '../model/address.ts';
import { addressBytes, familyOf } from '../model/address.ts';
import { CidrSet } from '../model/cidr-set.ts';
import type { ClusterView } from '../model/cluster-view.ts';
import type { Pod } from '../model/pod.ts';
import type { Service } from '../model/service.ts';
import type { PeerName } from './flow.ts';

/** What the history needs to know about addresses. Answers are shared objects: never change them. */
export interface AddressResolver {
	/** Owner by the 16 bytes at `offset`; undefined = none is known. For the hot path: makes no text. */
	owner(bytes: Uint8Array, offset: number): PeerName | undefined;
	/** What an address (canonical text) without an owner is: `world`, or `unknown` inside the cluster's CIDRs. */
	stranger(address: Address): PeerName;
	/** Address of the pod whose processes are in a network namespace; undefined = of none, or it has none of the family. */
	sender?(netnsCookie: bigint, family: Family): Uint8Array | undefined;
	/** The service that owns this address and port; undefined = no service does. */
	service(bytes: Uint8Array, offset: number, protocol: number, port: number): PeerName | undefined;
}

const NO_LABELS: Readonly<Record<string, string>> = Object.freeze({});
const PROTOCOL_NUMBERS: Readonly<Record<string, number>> = { TCP: L4Proto.TCP, UDP: L4Proto.UDP, SCTP: L4Proto.SCTP };

export const WORLD: PeerName = Object.freeze({ kind: 'world', namespace: '', name: '', labels: NO_LABELS });
export const UNKNOWN: PeerName = Object.freeze({ kind: 'unknown', namespace: '', name: '', labels: NO_LABELS });

export interface NodeIdentity {
	/** Own node's name. */
	readonly nodeName: string;
	/** Addresses of the own node that its Node object does not list; the object's are known from the view. */
	readonly localAddresses: readonly Address[];
	/** Prefixes of the cluster beside the pod CIDRs of its Nodes: an address in them without an owner is `unknown`, not `world`. */
	readonly clusterCidrs: readonly Cidr[];
}

/** A pod of this node, as sockets are told apart. */
export interface Sender {
	readonly netnsCookie: bigint;
	readonly addresses: readonly Address[];
	/** null or missing = a container that is no pod. */
	readonly pod?: { readonly namespace: string; readonly name: string } | null;
}

/** Resolver over the objects of the cluster. Everything is `world` until the first update. */
export class NameTable implements AddressResolver {
	/** By the 16 bytes of the address as latin1 text: cheaper to make from a record than canonical text. */
	#owners = new Map<string, PeerName>();
	/** As #owners, of pods: there can be very many, and one of them changes at a time. */
	readonly #podOwners = new Map<string, Pod>();
	/** Who had it before, while two pods have an address: one of them ends, and its end is told late. */
	readonly #disputed = new Map<string, Pod>();
	/** The pods that are in #podOwners, by their key in the view. */
	readonly #pods = new Map<string, Pod>();
	/** Pods of this node by address: their objects say it later, and those of isolated pods never. */
	readonly #attached = new Map<string, PeerName>();
	/** Made when somebody asks. */
	readonly #podNames = new WeakMap<Pod, PeerName>();
	/** By address bytes, protocol and port. */
	#frontends = new Map<string, PeerName>();
	#clusterCidrs = new CidrSet();
	readonly #senders: Readonly<Record<Family, Map<bigint, Uint8Array>>> = { 4: new Map(), 6: new Map() };

	/** Replaces everything by what the view says now. Objects that did not change keep their shared value. */
	update(view: ClusterView, node: NodeIdentity): void {
		this.updateServicesAndNodes(view, node);
		this.updatePods(view, [...this.#pods.keys(), ...view.pods.keys()]);
	}

	/** As update(), but leaves pods as they are. */
	updateServicesAndNodes(view: ClusterView, node: NodeIdentity): void {
		const before = new Map([...this.#owners.values()].map((peer) => [identityOf(peer), peer]));
		const shared = (peer: PeerName): PeerName => {
			const old = before.get(identityOf(peer));
			return old !== undefined && old.labels === peer.labels ? old : peer;
		};
		this.#owners = ownersOf(view, node, shared);
		this.#frontends = frontendsOf(view, node, shared);
		this.#clusterCidrs = new CidrSet([
			...node.clusterCidrs,
			...[...view.nodes.values()].flatMap((each) => each.podCidrs),
		]);
	}

	/** These pods ('namespace/name') may have changed. */
	updatePods(view: ClusterView, keys: Iterable<string>): void {
		for (const key of keys) {
			const [before, now] = [this.#pods.get(key), view.pods.get(key)];
			if (before === now) continue;
			if (before !== undefined) this.#removePod(key, before);
			if (now !== undefined && !now.hostNetwork && !now.finished) this.#addPod(key, now, before);
		}
	}

	#removePod(key: string, pod: Pod): void {
		this.#pods.delete(key);
		for (const address of pod.addresses) {
			const owner = addressKey(addressBytes(address), 0);
			const other = this.#disputed.get(owner);
			if (other === pod || this.#podOwners.get(owner) === pod) this.#disputed.delete(owner);
			if (this.#podOwners.get(owner) !== pod) continue;
			if (other === undefined || other === pod) this.#podOwners.delete(owner);
			else this.#podOwners.set(owner, other);
		}
	}

	#addPod(key: string, pod: Pod, before: Pod | undefined): void {
		this.#pods.set(key, pod);
		for (const address of pod.addresses) {
			const owner = addressKey(addressBytes(address), 0);
			const other = this.#podOwners.get(owner);
			if (other !== undefined) this.#disputed.set(owner, other);
			this.#podOwners.set(owner, pod);
		}
		const name = before?.labels === pod.labels ? this.#podNames.get(before) : undefined;
		if (name !== undefined) this.#podNames.set(pod, name);
	}

	#nameOf(pod: Pod): PeerName {
		let name = this.#podNames.get(pod);
		if (name === undefined) {
			name = { kind: 'pod', namespace: pod.namespace, name: pod.name, labels: pod.labels };
			this.#podNames.set(pod, name);
		}
		return name;
	}

	/** The pods of this node; a cookie of 0 is not known. */
	setSenders(pods: Iterable<Sender>): void {
		for (const addresses of Object.values(this.#senders)) addresses.clear();
		this.#attached.clear();
		for (const { netnsCookie, addresses, pod } of pods) {
			if (pod) {
				const peer: PeerName = { kind: 'pod', namespace: pod.namespace, name: pod.name, labels: NO_LABELS };
				for (const address of addresses) this.#attached.set(addressKey(addressBytes(address), 0), peer);
			}
			if (netnsCookie === 0n) continue;
			for (const address of addresses) this.#senders[familyOf(address)].set(netnsCookie, addressBytes(address));
		}
	}

	sender(netnsCookie: bigint, family: Family): Uint8Array | undefined {
		return this.#senders[family].get(netnsCookie);
	}

	owner(bytes: Uint8Array, offset: number): PeerName | undefined {
		const key = addressKey(bytes, offset);
		const pod = this.#podOwners.get(key);
		// a pod's address is never taken for that of a service or node
		if (pod !== undefined) return this.#nameOf(pod);
		const attached = this.#attached.get(key);
		if (attached === undefined) return this.#owners.get(key);
		const known = this.#pods.get(`${attached.namespace}/${attached.name}`);
		return known === undefined ? attached : this.#nameOf(known);
	}

	service(bytes: Uint8Array, offset: number, protocol: number, port: number): PeerName | undefined {
		const key = addressKey(bytes, offset);
		const exact = this.#frontends.get(`${key}/${protocol}/${port}`);
		if (exact !== undefined) return exact;
		const owner = this.#podOwners.has(key) ? undefined : this.#owners.get(key);
		return owner?.kind === 'service' ? owner : undefined;
	}

	stranger(address: Address): PeerName {
		return this.#clusterCidrs.contains(address) ? UNKNOWN : WORLD;
	}
}

function addressKey(bytes: Uint8Array, offset: number): string {
	return Buffer.from(bytes.buffer, bytes.byteOffset + offset, 16).toString('latin1');
}

function identityOf(peer: PeerName): string {
	return `${peer.kind}/${peer.namespace}/${peer.name}`;
}

/** Of all but pods; later kinds win. */
function ownersOf(view: ClusterView, node: NodeIdentity, shared: (peer: PeerName) => PeerName): Map<string, PeerName> {
	const owners = new Map<string, PeerName>();
	const add = (addresses: readonly Address[], peer: PeerName): void => {
		for (const address of addresses) owners.set(addressKey(addressBytes(address), 0), peer);
	};
	for (const service of view.services.values()) add(virtualAddresses(service), shared(servicePeer(service)));
	for (const each of view.nodes.values()) {
		const peer = shared(nodePeer(each.name, each.name === node.nodeName, each.labels));
		add(each.internalIps, peer);
		add(each.externalIps, peer);
	}
	const own = view.nodes.get(node.nodeName);
	add(node.localAddresses, shared(nodePeer(node.nodeName, true, own?.labels ?? NO_LABELS)));
	return owners;
}

function frontendsOf(
	view: ClusterView,
	node: NodeIdentity,
	shared: (peer: PeerName) => PeerName,
): Map<string, PeerName> {
	const frontends = new Map<string, PeerName>();
	const own = view.nodes.get(node.nodeName);
	const nodeAddresses = [...node.localAddresses, ...(own?.internalIps ?? []), ...(own?.externalIps ?? [])];
	for (const service of view.services.values()) {
		const peer = shared(servicePeer(service));
		for (const port of service.ports) {
			const protocol = PROTOCOL_NUMBERS[port.protocol] ?? L4Proto.ANY;
			const add = (address: Address, number: number): void => {
				frontends.set(`${addressKey(addressBytes(address), 0)}/${protocol}/${number}`, peer);
			};
			for (const address of virtualAddresses(service)) add(address, port.port);
			if (port.nodePort > 0) for (const address of nodeAddresses) add(address, port.nodePort);
		}
	}
	return frontends;
}

function virtualAddresses(service: Service): readonly Address[] {
	return [...service.clusterIps, ...service.externalIps, ...service.loadBalancerIps];
}

function servicePeer(service: Service): PeerName {
	return { kind: 'service', namespace: service.namespace, name: service.name, labels: NO_LABELS };
}

function nodePeer(name: string, own: boolean, labels: Readonly<Record<string, string>>): PeerName {
	return { kind: own ? 'host' : 'remote-node', namespace: '', name, labels };
}
