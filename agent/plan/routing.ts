/**
 * Nodes → how their pods are reached. Pure. Types of the result: routing-plan.ts.
 */
import type { Address, Cidr, Family } from '../model/address.ts';
import { cidrContains, cidrParts, compareAddresses, familyOf, networkAddress } from '../model/address.ts';
import type { Node } from '../model/node.ts';
import { GSO_BYTES, type NodeFacts } from '../model/node-facts.ts';
import { type BigTcpSettings, chooseBigTcp } from './big-tcp.ts';
import { CidrClaims } from './cidr-claims.ts';
import type { NeighbourPlan, NodePath, OverlayPlan, RoutePlan, RoutingPlan, RoutingProblem } from './routing-plan.ts';

export type RoutingMode = 'vxlan' | 'direct' | 'auto';

export interface RoutingSettings {
	readonly mode: RoutingMode;
	readonly vni: number;
	/** UDP port. */
	readonly vxlanPort: number;
	/** Largest IP packet a pod may send, in bytes; 'auto' = what fits on every path. */
	readonly mtu: number | 'auto';
	readonly bigTcp: boolean | 'auto';
	readonly xdp: BigTcpSettings['xdp'];
	readonly serviceCidrs: readonly Cidr[];
}

/** Everything about another node that both routes and map rows need. */
export interface PeerNode {
	readonly name: string;
	/** Address of the node's own family preference: outer destination and identity of its row. */
	readonly tunnel: Address;
	readonly addresses: readonly Address[];
	/** Those with a route; without those that overlap an earlier node's or this node's. */
	readonly podCidrs: readonly Cidr[];
	/** Those of a family for which there is no way to the node. */
	readonly unreachableCidrs: readonly Cidr[];
	readonly path: NodePath;
	/** On-link addresses, used when the path is direct. */
	readonly nexthop4: Address | null;
	readonly nexthop6: Address | null;
	/** Largest IP packet that reaches its pods in one piece, in bytes. */
	readonly mtu: number;
}

export interface RoutingResult {
	readonly plan: RoutingPlan;
	/** Other nodes that can be reached, sorted by name. */
	readonly peers: readonly PeerNode[];
}

/** Outer Ethernet is not counted in an IP MTU: outer IP + UDP + VXLAN + inner Ethernet. */
export const VXLAN_OVERHEAD = { 4: 20 + 8 + 8 + 14, 6: 40 + 8 + 8 + 14 } as const satisfies Record<Family, number>;

/** Link-local gateways on devices that have no other next hop; the same that pods see. */
export const GATEWAY = { 4: '169.254.1.1', 6: 'fe80::1' } as const satisfies Record<Family, Address>;

/**
 * Desired routing.
 * @param nodes  all nodes, the own one included (recognised by name)
 */
export function planRouting(nodes: Iterable<Node>, node: NodeFacts, settings: RoutingSettings): RoutingResult {
	const problems: RoutingProblem[] = [];
	const peers = planPeerNodes(nodes, node, settings, problems);
	const overlayMtu = node.uplink.mtu - overhead(node);
	const tunnels = settings.mode !== 'direct';
	const overlay: OverlayPlan | null = tunnels ? { vni: settings.vni, port: settings.vxlanPort, mtu: overlayMtu } : null;
	const fits = tunnels ? overlayMtu : node.uplink.mtu;
	const routes = [
		...peers.flatMap((peer) => peerRoutes(peer, node)),
		...node.podCidrs.map((dst) => unreachable(dst)),
		...settings.serviceCidrs.map((dst) => serviceRoute(dst, node)),
	];
	return {
		plan: {
			overlay,
			podMtu: settings.mtu === 'auto' ? fits : settings.mtu,
			podGso: hasBigTcp(node, settings) ? GSO_BYTES.big : GSO_BYTES.usual,
			routes: routes.sort((a, b) => compareCidrs(a.dst, b.dst)),
			neighbours: planNeighbours(peers, routes),
			paths: peers.map((peer) => peer.path),
			problems: [...problems, ...peers.flatMap((peer) => unreachableProblems(peer, node))],
		},
		peers,
	};
}

function hasBigTcp({ uplink, moreUplinks }: NodeFacts, { mode, xdp, bigTcp }: RoutingSettings): boolean {
	return bigTcp === 'auto' ? chooseBigTcp({ routing: mode, xdp }, [uplink, ...moreUplinks]).on : bigTcp;
}

/** Bytes that encapsulation adds on this node's uplink; the outer family is that of the node's first address. */
function overhead(node: NodeFacts): number {
	const first = node.addresses[0];
	return VXLAN_OVERHEAD[first === undefined ? 4 : familyOf(first)];
}

function planPeerNodes(
	nodes: Iterable<Node>,
	node: NodeFacts,
	settings: RoutingSettings,
	problems: RoutingProblem[],
): readonly PeerNode[] {
	const taken = new CidrClaims();
	for (const cidr of node.podCidrs) taken.add({ cidr, owner: node.name });
	const peers: PeerNode[] = [];
	for (const other of [...nodes].sort((a, b) => (a.name < b.name ? -1 : 1))) {
		if (other.name === node.name) continue;
		const tunnel = tunnelAddress(other, node);
		if (tunnel === undefined) {
			problems.push({
				node: other.name,
				message: 'no InternalIP of a family this node has; its pods cannot be reached',
			});
			continue;
		}
		const podCidrs = other.podCidrs.filter((cidr) => {
			const clash = taken.overlapping(cidr);
			if (clash === undefined) return true;
			problems.push({
				node: other.name,
				message: `pod CIDR ${cidr} overlaps ${clash.cidr} of node ${clash.owner} and is ignored`,
			});
			return false;
		});
		for (const cidr of podCidrs) taken.add({ cidr, owner: other.name });
		peers.push(planPeerNode(other, tunnel, podCidrs, node, settings));
	}
	return peers;
}

function tunnelAddress(other: Node, node: NodeFacts): Address | undefined {
	for (const own of node.addresses) {
		const match = other.internalIps.find((address) => familyOf(address) === familyOf(own));
		if (match !== undefined) return match;
	}
	return undefined;
}

function planPeerNode(
	other: Node,
	tunnel: Address,
	podCidrs: readonly Cidr[],
	node: NodeFacts,
	settings: RoutingSettings,
): PeerNode {
	const nexthop4 = onLinkAddress(other, node, 4);
	const nexthop6 = onLinkAddress(other, node, 6);
	const missing = [...new Set(podCidrs.map(familyOf))].filter((f) => (f === 4 ? nexthop4 : nexthop6) === null);
	const path = choosePath(other.name, missing, settings.mode);
	const direct = path.via === 'direct';
	return {
		name: other.name,
		tunnel,
		addresses: [...new Set([...other.internalIps, ...other.externalIps])].sort(compareAddresses),
		podCidrs: direct ? podCidrs.filter((cidr) => !missing.includes(familyOf(cidr))) : podCidrs,
		unreachableCidrs: direct ? podCidrs.filter((cidr) => missing.includes(familyOf(cidr))) : [],
		path,
		nexthop4: direct ? nexthop4 : null,
		nexthop6: direct ? nexthop6 : null,
		mtu: direct ? node.uplink.mtu : node.uplink.mtu - VXLAN_OVERHEAD[familyOf(tunnel)],
	};
}

function choosePath(name: string, missing: readonly Family[], mode: RoutingMode): NodePath {
	if (mode === 'vxlan') return { node: name, via: 'tunnel', reason: 'routing is vxlan' };
	if (mode === 'direct') return { node: name, via: 'direct', reason: 'routing is direct' };
	if (missing.length === 0) return { node: name, via: 'direct', reason: 'its address is in a subnet of the uplink' };
	const families = missing.map((f) => `IPv${f}`).join(' and ');
	return { node: name, via: 'tunnel', reason: `it has no ${families} address in a subnet of the uplink` };
}

/** An InternalIP of the family inside a subnet of the uplink. */
function onLinkAddress(other: Node, node: NodeFacts, family: Family): Address | null {
	const found = other.internalIps.find(
		(address) =>
			familyOf(address) === family &&
			node.uplink.addresses.some((own) => cidrContains(subnetOf(own.address, own.prefixLength), address)),
	);
	return found ?? null;
}

function subnetOf(address: Address, prefixLength: number): Cidr {
	return `${networkAddress(address, prefixLength)}/${prefixLength}`;
}

function peerRoutes(peer: PeerNode, node: NodeFacts): RoutePlan[] {
	return peer.podCidrs.map((dst) => {
		const family = familyOf(dst);
		const common = { dst, family, type: 'unicast', source: sourceAddress(node, family), mtu: null } as const;
		if (peer.path.via === 'tunnel') {
			const reason = `pods of node ${peer.name} through the overlay`;
			return { ...common, device: 'overlay', gateway: GATEWAY[family], onlink: true, reason };
		}
		const gateway = family === 4 ? peer.nexthop4 : peer.nexthop6;
		const reason = `pods of node ${peer.name} on the shared link`;
		return { ...common, device: 'uplink', gateway, onlink: false, reason };
	});
}

function unreachableProblems(peer: PeerNode, node: NodeFacts): RoutingProblem[] {
	return peer.unreachableCidrs.map((dst) => ({
		node: peer.name,
		message: `pod CIDR ${dst} has no route: routing is direct and the node has no IPv${familyOf(dst)} address in a subnet of ${node.uplink.name}`,
	}));
}

function sourceAddress(node: NodeFacts, family: Family): Address | null {
	return node.addresses.find((address) => familyOf(address) === family) ?? null;
}

/** Addresses of the own pod CIDR that no pod has must not leave by the default route; pods have longer routes. */
function unreachable(dst: Cidr): RoutePlan {
	return {
		dst,
		family: familyOf(dst),
		type: 'unreachable',
		device: null,
		gateway: null,
		onlink: false,
		source: null,
		mtu: null,
		reason: 'own pod CIDR: addresses without a pod',
	};
}

/** Host packets to services that the socket hook missed are translated at the host device. */
function serviceRoute(dst: Cidr, node: NodeFacts): RoutePlan {
	const family = familyOf(dst);
	return {
		dst,
		family,
		type: 'unicast',
		device: 'host',
		gateway: GATEWAY[family],
		onlink: true,
		source: sourceAddress(node, family),
		mtu: null,
		reason: 'service CIDR, translated at the host device',
	};
}

function planNeighbours(peers: readonly PeerNode[], routes: readonly RoutePlan[]): readonly NeighbourPlan[] {
	const neighbours = new Map<string, NeighbourPlan>();
	const add = (neighbour: NeighbourPlan): void => {
		neighbours.set(`${neighbour.device} ${neighbour.address}`, neighbour);
	};
	for (const route of routes) {
		if (route.device === 'overlay' || route.device === 'host') {
			add({ device: route.device, address: GATEWAY[route.family], kind: 'permanent' });
		}
	}
	for (const peer of peers) {
		for (const address of [peer.nexthop4, peer.nexthop6]) {
			if (address !== null) add({ device: 'uplink', address, kind: 'managed' });
		}
	}
	return [...neighbours.values()].sort(
		(a, b) => compareText(a.device, b.device) || compareAddresses(a.address, b.address),
	);
}

function compareCidrs(a: Cidr, b: Cidr): number {
	const left = cidrParts(a);
	const right = cidrParts(b);
	return compareAddresses(left.address, right.address) || left.prefixLength - right.prefixLength;
}

function compareText(a: string, b: string): number {
	return a < b ? -1 : a > b ? 1 : 0;
}
