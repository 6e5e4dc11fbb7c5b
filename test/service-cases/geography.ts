/** The cluster in which random services live: one node of ours, two others, and the world. The same places as in test/bpf. */
import type { PeerNode } from '../../agent/plan/routing.ts';
import type { RulesWorld } from '../lib/service-rules.ts';

export const NODE = 'node-a';
export const ZONE = 'zone-1';

/** Names of places in both families; [IPv4, IPv6]. */
export const PLACES = {
	node: ['192.168.50.1', 'fd50::1'],
	/** Another address of our machine. */
	second: ['192.168.51.1', 'fd51::1'],
	podA: ['10.244.1.11', 'fd10:244:1::b'],
	podB: ['10.244.1.12', 'fd10:244:1::c'],
	/** In our pod range, attached to nobody. */
	gone: ['10.244.1.99', 'fd10:244:1::63'],
	/** Behind the tunnel. */
	node2: ['192.168.50.2', 'fd50::2'],
	pod2: ['10.244.2.20', 'fd10:244:2::14'],
	pod2b: ['10.244.2.21', 'fd10:244:2::15'],
	/** On the shared link. */
	node3: ['192.168.50.3', 'fd50::3'],
	pod3: ['10.244.3.20', 'fd10:244:3::14'],
	/** In the cluster's pod range, of no node. */
	nobody: ['10.244.77.5', 'fd10:244:77::5'],
	world: ['203.0.113.7', '2001:db8:7::7'],
	stranger: ['198.51.99.9', '2001:db8:99::9'],
	/** Outside, never masqueraded. */
	native: ['172.20.1.1', 'fd20::1'],
} as const satisfies Record<string, readonly [string, string]>;

export type PlaceName = keyof typeof PLACES;

export const RANGES = {
	podCidrs: ['10.244.1.0/24', 'fd10:244:1::/64'],
	serviceCidrs: ['10.96.0.0/16', 'fd96::/112'],
	clusterCidrs: ['10.244.0.0/16', 'fd10:244::/32'],
	nonMasqueradeCidrs: ['172.20.0.0/16', 'fd20::/64'],
} as const;

const OTHERS = [
	{ name: 'node-2', addresses: PLACES.node2, podCidrs: ['10.244.2.0/24', 'fd10:244:2::/64'], via: 'tunnel', mtu: 1450 },
	{ name: 'node-3', addresses: PLACES.node3, podCidrs: ['10.244.3.0/24', 'fd10:244:3::/64'], via: 'direct', mtu: 1500 },
] as const;

/** The other nodes as routing plans them. */
export const PEERS: readonly PeerNode[] = OTHERS.map(({ name, addresses, podCidrs, via, mtu }) => ({
	name,
	tunnel: addresses[0],
	addresses,
	podCidrs,
	unreachableCidrs: [],
	path: { node: name, via, reason: 'as the test wants it' },
	nexthop4: addresses[0],
	nexthop6: addresses[1],
	mtu,
}));

/** Rows of the endpoint table. */
export const LOCAL_PODS = [
	{ index: 1, addresses: PLACES.podA, mac: '02:00:00:01:00:0a', hostMac: '02:00:00:02:00:0a' },
	{ index: 2, addresses: PLACES.podB, mac: '02:00:00:01:00:0b', hostMac: '02:00:00:02:00:0b' },
] as const;

/** A world without services. */
export const EMPTY_WORLD: RulesWorld = {
	services: [],
	slices: [],
	node: {
		name: NODE,
		zone: ZONE,
		addresses: PLACES.node,
		nodePortAddresses: PLACES.node,
		localAddresses: [...PLACES.node, ...PLACES.second],
		podCidrs: RANGES.podCidrs,
	},
	localPods: [...PLACES.podA, ...PLACES.podB],
	otherNodes: OTHERS,
	clusterCidrs: RANGES.clusterCidrs,
	serviceCidrs: RANGES.serviceCidrs,
	nonMasqueradeCidrs: RANGES.nonMasqueradeCidrs,
};
