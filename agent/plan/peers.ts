/**
 * Who owns which address: rows of `nodes`, `ipcache` and `cidrs`. Pure.
 * Rows name nodes, not indexes: indexes are state of the kernel and resolved by the reconciler.
 */

import { Identity, NodeFlags, PeerKind } from '../../native/abi/generated.ts';
import type { Address, Cidr } from '../model/address.ts';
import type { NodeFacts } from '../model/node-facts.ts';
import type { PeerNode } from './routing.ts';

/** A row of the map `nodes`. Its tunnel address is its identity over restarts. */
export interface NodeRow {
	readonly name: string;
	readonly tunnel: Address;
	readonly nexthop4: Address | null;
	readonly nexthop6: Address | null;
	readonly device: 'uplink' | 'overlay';
	/** Bytes. */
	readonly mtu: number;
	/** enum node_flags */
	readonly flags: number;
	/** enum identity */
	readonly identity: number;
}

/** An entry of `ipcache` (prefix of full length) or `cidrs`. */
export interface PeerRow {
	readonly cidr: Cidr;
	/** enum peer_kind */
	readonly kind: number;
	/** Name of the node whose row it refers to; null = no reference. */
	readonly node: string | null;
	/** enum identity or a dynamic one. */
	readonly identity: number;
}

export interface PeersPlan {
	/** Sorted by name. */
	readonly nodes: readonly NodeRow[];
	/** Exact addresses, by address. Local pods are not here: their rows belong to the endpoint manager. */
	readonly addresses: ReadonlyMap<Address, PeerRow>;
	/** By prefix. */
	readonly cidrs: ReadonlyMap<Cidr, PeerRow>;
}

export interface PeersSettings {
	/** Prefixes of all pods; parts without a node are unknown, not the world. */
	readonly clusterCidrs: readonly Cidr[];
	readonly serviceCidrs: readonly Cidr[];
	/** Outside the cluster, but never masqueraded. */
	readonly nonMasqueradeCidrs: readonly Cidr[];
}

/** Rows for the nodes that routing can reach. Where two rules name one prefix, the later of this list wins. */
export function planPeers(peers: readonly PeerNode[], node: NodeFacts, settings: PeersSettings): PeersPlan {
	const addresses = new Map<Address, PeerRow>();
	const cidrs = new Map<Cidr, PeerRow>();
	const put = (cidr: Cidr, kind: number, identity: number, owner: string | null = null): void => {
		cidrs.set(cidr, { cidr, kind, node: owner, identity });
	};
	for (const cidr of settings.nonMasqueradeCidrs) put(cidr, PeerKind.NATIVE, Identity.WORLD);
	for (const cidr of settings.clusterCidrs) put(cidr, PeerKind.UNKNOWN, Identity.UNKNOWN_POD);
	for (const cidr of settings.serviceCidrs) put(cidr, PeerKind.UNKNOWN, Identity.UNKNOWN);
	for (const cidr of node.podCidrs) put(cidr, PeerKind.UNKNOWN, Identity.UNKNOWN_POD);
	for (const peer of peers) {
		for (const cidr of peer.podCidrs) put(cidr, PeerKind.REMOTE_POD, Identity.UNKNOWN_POD, peer.name);
		for (const cidr of peer.unreachableCidrs) put(cidr, PeerKind.UNKNOWN, Identity.UNKNOWN_POD);
		for (const address of peer.addresses) {
			addresses.set(address, remoteNodeRow(address, peer.name));
		}
	}
	for (const address of [...node.localAddresses, ...node.addresses]) {
		addresses.set(address, { cidr: address, kind: PeerKind.HOST, node: null, identity: Identity.HOST });
	}
	return { nodes: peers.map(toNodeRow), addresses, cidrs };
}

function remoteNodeRow(address: Address, name: string): PeerRow {
	return { cidr: address, kind: PeerKind.REMOTE_NODE, node: name, identity: Identity.REMOTE_NODE };
}

function toNodeRow(peer: PeerNode): NodeRow {
	const tunnel = peer.path.via === 'tunnel';
	return {
		name: peer.name,
		tunnel: peer.tunnel,
		nexthop4: peer.nexthop4,
		nexthop6: peer.nexthop6,
		device: tunnel ? 'overlay' : 'uplink',
		mtu: peer.mtu,
		flags: tunnel ? NodeFlags.TUNNEL : NodeFlags.DIRECT,
		identity: Identity.REMOTE_NODE,
	};
}
