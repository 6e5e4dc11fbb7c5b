/**
 * What the agent has found out about the machine it runs on. Plain values: collected by agent/kernel and main.ts,
 * used by the planners, invented freely in tests.
 */
import type { Address, Cidr } from './address.ts';

/** An address with the prefix length of its link, as `ip addr` shows it. */
export interface InterfaceAddress {
	readonly address: Address;
	readonly prefixLength: number;
}

/** gso_ipv4_max_size of interfaces, in bytes: what they have, and what they get for BIG TCP. */
export const GSO_BYTES = { usual: 65_536, big: 196_608 } as const;

export interface UplinkFacts {
	readonly name: string;
	readonly ifindex: number;
	/** Largest IP packet of the link in bytes. */
	readonly mtu: number;
	readonly addresses: readonly InterfaceAddress[];
	/** gso_ipv4_max_size, and the largest one that the driver takes, in bytes; absent = the kernel knows none (before 6.3). */
	readonly gso?: { readonly ipv4: number; readonly largest: number };
	/** It is one side of a veth pair: the node is a container. */
	readonly isVeth?: boolean;
}

export interface NodeFacts {
	/** metadata.name of the own Node object. */
	readonly name: string;
	/** Label topology.kubernetes.io/zone of the own Node object; '' = none. */
	readonly zone: string;
	/** Primary addresses, at most one per family; the one this node is known by comes first. */
	readonly addresses: readonly Address[];
	/** Every address of every interface in the node's network namespace except loopback and link-local ones. */
	readonly localAddresses: readonly Address[];
	/** Pod CIDRs of this node. */
	readonly podCidrs: readonly Cidr[];
	/** The interface that leads to the other nodes. */
	readonly uplink: UplinkFacts;
	/** Other interfaces by which clients of services come, by name. */
	readonly moreUplinks: readonly UplinkFacts[];
}
