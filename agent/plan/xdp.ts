/**
 * What XDP needs to know of the machine: whether a device can have it, and how frames to other nodes begin. Pure.
 */
import { type Address, addressBytes, cidrContains, cidrParts, familyOf } from '../model/address.ts';

/** As agent/kernel/netlink reads them. */
export interface XdpLink {
	readonly ifindex: number;
	readonly mtu: number;
	readonly mac: Uint8Array;
	readonly kind: string;
	/** ARPHRD_* */
	readonly type: number;
}

export interface XdpRoute {
	readonly dst: string;
	readonly type: number;
	readonly table: number;
	readonly ifindex?: number;
	readonly gateway?: Address;
	readonly priority?: number;
}

export interface XdpNeighbour {
	readonly ifindex: number;
	readonly address: Address;
	readonly mac?: Uint8Array;
	/** NUD_* bits. */
	readonly state: number;
}

/** A row of the map nodes that is in use. */
export interface XdpTarget {
	readonly index: number;
	readonly gen: number;
	/** Where envelopes to the node go. */
	readonly tunnel: Address;
	/** Its pods are reached without a tunnel. */
	readonly direct: boolean;
}

export interface XdpMachine {
	readonly links: readonly XdpLink[];
	readonly routes: readonly XdpRoute[];
	readonly neighbours: readonly XdpNeighbour[];
	/** Devices with XDP: only to them it may send. */
	readonly devices: readonly number[];
	/** Node addresses, at most one per family. */
	readonly addresses: readonly Address[];
}

/** A row of xdp_nodes without its deadline. */
export interface XdpNodeRow {
	readonly index: number;
	readonly gen: number;
	readonly tunnel: Uint8Array;
	readonly source: Uint8Array;
	readonly dstMac: Uint8Array;
	readonly srcMac: Uint8Array;
	readonly mtu: number;
	readonly direct: number;
	readonly ifindex: number;
}

export interface NextHop {
	readonly ifindex: number;
	readonly address: Address;
}

export interface XdpNodesPlan {
	readonly rows: readonly XdpNodeRow[];
	/** Neighbours to ask for: without them their nodes are left to tc. */
	readonly unresolved: readonly NextHop[];
}

const ETHERNET = 1;
const MAIN_TABLE = 254;
const UNICAST = 1;
/** NUD_REACHABLE, STALE, DELAY, PROBE, NOARP, PERMANENT: states whose link address the kernel itself would use. */
const USABLE = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80;
/** Devices whose packets belong to other devices or that have no queues of their own. */
const UPPER_KINDS = new Set(['bond', 'team', 'vlan', 'macvlan', 'ipvlan', 'bridge', 'vrf', 'wireguard', 'vxlan']);

/** Why a device is served by tc alone; undefined = it may have XDP. */
export function xdpObstacle(link: Pick<XdpLink, 'kind' | 'type'>): string | undefined {
	if (link.type !== ETHERNET) return 'it has no Ethernet header';
	return UPPER_KINDS.has(link.kind) ? `it is a ${link.kind} device` : undefined;
}

/** Why `auto` leaves a device alone that could have XDP; undefined = it does not. */
export function xdpDoubt(link: Pick<XdpLink, 'kind'>): string | undefined {
	if (link.kind !== 'veth') return undefined;
	return 'a veth loses what XDP sends unless its far end runs XDP too; set xdp: native if it does';
}

/** Where a packet to `address` goes next by the main table; undefined = nowhere. */
export function nextHopTo(address: Address, routes: readonly XdpRoute[]): NextHop | undefined {
	const best = routes
		.filter((route) => route.table === MAIN_TABLE && route.type === UNICAST && route.ifindex !== undefined)
		.filter((route) => familyOf(route.dst) === familyOf(address) && cidrContains(route.dst, address))
		.sort(
			(a, b) => cidrParts(b.dst).prefixLength - cidrParts(a.dst).prefixLength || (a.priority ?? 0) - (b.priority ?? 0),
		)[0];
	if (best?.ifindex === undefined) return undefined;
	return { ifindex: best.ifindex, address: best.gateway ?? address };
}

/** Rows of the nodes whose next hop is known. */
export function planXdpNodes(targets: readonly XdpTarget[], machine: XdpMachine): XdpNodesPlan {
	const links = new Map(machine.links.map((link) => [link.ifindex, link]));
	const macs = new Map(
		machine.neighbours.flatMap(({ ifindex, address, mac, state }) =>
			mac !== undefined && mac.length === 6 && (state & USABLE) !== 0 ? [[`${ifindex} ${address}`, mac] as const] : [],
		),
	);
	const rows: XdpNodeRow[] = [];
	const unresolved = new Map<string, NextHop>();
	for (const { index, gen, tunnel, direct } of targets) {
		const source = machine.addresses.find((each) => familyOf(each) === familyOf(tunnel));
		const next = nextHopTo(tunnel, machine.routes);
		const link = next && links.get(next.ifindex);
		if (source === undefined || next === undefined || link === undefined) continue;
		if (!machine.devices.includes(next.ifindex)) continue;
		const dstMac = macs.get(`${next.ifindex} ${next.address}`);
		if (dstMac === undefined) {
			unresolved.set(`${next.ifindex} ${next.address}`, next);
			continue;
		}
		rows.push({
			index,
			gen,
			tunnel: addressBytes(tunnel),
			source: addressBytes(source),
			dstMac,
			srcMac: link.mac,
			mtu: link.mtu,
			direct: direct ? 1 : 0,
			ifindex: next.ifindex,
		});
	}
	return { rows, unresolved: [...unresolved.values()] };
}
