/**
 * What has to exist outside the BPF maps so that pods of all nodes reach each other: types only.
 * agent/plan/routing.ts computes them, agent/routing executes them. Device roles, not names: the executor knows
 * which interface plays which role and its MAC address.
 */
import type { Address, Cidr, Family } from '../model/address.ts';

/** `overlay` = the VXLAN device, `host` = the node's side of the host device pair (fl_host). */
export type DeviceRole = 'uplink' | 'overlay' | 'host';

/** The VXLAN device (collect_md, no learning). */
export interface OverlayPlan {
	readonly vni: number;
	/** UDP destination port. */
	readonly port: number;
	/** MTU of the device: largest inner IP packet, in bytes. */
	readonly mtu: number;
}

/** A route of the main table. Equal `dst` = the same route with other attributes. */
export interface RoutePlan {
	readonly dst: Cidr;
	readonly family: Family;
	readonly type: 'unicast' | 'unreachable';
	/** null for unreachable routes. */
	readonly device: DeviceRole | null;
	readonly gateway: Address | null;
	/** The gateway is on the link although no prefix of the link covers it. */
	readonly onlink: boolean;
	/** Preferred source address. */
	readonly source: Address | null;
	/** Route MTU in bytes; null = that of the device. */
	readonly mtu: number | null;
	/** Why it exists, for people: 'pods of node b through the overlay'. */
	readonly reason: string;
}

/** A neighbour entry the executor keeps. */
export interface NeighbourPlan {
	readonly device: DeviceRole;
	readonly address: Address;
	/**
	 * `permanent`: points at the MAC of the device's far end (overlay: the MAC all overlay devices share; host: the other
	 * side of the pair). `managed`: the kernel resolves it and keeps it fresh (NTF_EXT_LEARNED|NTF_MANAGED since 5.16,
	 * else NTF_USE repeated), because BPF traffic does not refresh neighbours.
	 */
	readonly kind: 'permanent' | 'managed';
}

/** How the pods of one other node are reached. */
export interface NodePath {
	/** Name of the Node object. */
	readonly node: string;
	readonly via: 'tunnel' | 'direct';
	/** Why `auto` chose so, or 'configured'. */
	readonly reason: string;
}

export interface RoutingProblem {
	/** Node object the problem is about. */
	readonly node: string;
	readonly message: string;
}

/** Desired state outside the maps. All lists are sorted, so two plans of the same input compare equal as JSON. */
export interface RoutingPlan {
	/** null = no node is reached by tunnel and the mode is `direct`: no VXLAN device. */
	readonly overlay: OverlayPlan | null;
	/** MTU for pod interfaces: what fits on every path, in bytes. */
	readonly podMtu: number;
	/** Largest aggregate of IPv4 segments that pods and uplinks send in one piece, in bytes; see big-tcp.ts. */
	readonly podGso: number;
	readonly routes: readonly RoutePlan[];
	readonly neighbours: readonly NeighbourPlan[];
	readonly paths: readonly NodePath[];
	readonly problems: readonly RoutingProblem[];
}
