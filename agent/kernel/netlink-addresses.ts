/**
 * Addresses, routes and neighbours: messages that add, remove and list them. Pure; agent/kernel/netlink.ts sends them.
 */
import {
	formatAddress,
	formatAddressAttrs,
	formatNeighbor,
	formatRoute,
	formatRouteAttrs,
	formatRouteMetrics,
	MessageType,
	parseAddress as parseRtAddress,
	RouteScope,
	RouteType,
	type Address as RtAddress,
} from 'netlink/dist/rt/structs.js';
import { putU32 } from 'netlink/dist/structs.js';
import {
	type Address,
	addressBytes,
	addressOfBytes,
	type Cidr,
	cidrParts,
	type Family,
	familyOf,
} from '../model/address.ts';
import { attributesOf, buildPayload, type NetlinkMessage, NlFlag, u32Of } from './netlink-codec.ts';

/** Fairlead's mark on its routes (`proto 160` in `ip route`): they are told from anybody else's by it. */
export const ROUTE_PROTOCOL_FAIRLEAD = 160;
const AF_INET = 2;
const AF_INET6 = 10;
const RT_TABLE_MAIN = 254;
const RTNH_F_ONLINK = 4;
const RTNH_F_LINKDOWN = 16;
const NTF = { USE: 0x01, EXT_LEARNED: 0x10, ROUTER: 0x80 } as const;
const NTF_EXT_MANAGED = 1;
const NUD = { NONE: 0, PERMANENT: 0x80 } as const;
const IFA = { ADDRESS: 1, LOCAL: 2, FLAGS: 8 };
const RTA = { DST: 1, OIF: 4, GATEWAY: 5, PRIORITY: 6, PREFSRC: 7, METRICS: 8, MULTIPATH: 9, TABLE: 15, VIA: 18 };
const RTAX_MTU = 2;
const NDA = { DST: 1, LLADDR: 2, FLAGS_EXT: 15 };
const IFA_F_NODAD = 2;
const IFA_F_TENTATIVE = 0x40;
/** IFA_F_TEMPORARY is the same bit. */
const IFA_F_SECONDARY = 0x01;
const IFA_F_DEPRECATED = 0x20;
const IFA_F_DADFAILED = 8;

export interface InterfaceAddressSpec {
	readonly ifindex: number;
	readonly address: Address;
	/** In bits of the own family. */
	readonly prefixLength: number;
	/** IPv6: usable at once, without duplicate address detection. */
	readonly nodad?: boolean;
	readonly scope?: 'global' | 'link';
}

export interface RouteSpec {
	readonly dst: Cidr;
	readonly type?: 'unicast' | 'unreachable' | 'blackhole' | 'local';
	readonly ifindex?: number;
	readonly gateway?: Address;
	/** The gateway is on the link although no prefix covers it. */
	readonly onlink?: boolean;
	/** Preferred source address. */
	readonly source?: Address;
	/** Route MTU in bytes. */
	readonly mtu?: number;
	/** Default: 'link' for an IPv4 route without gateway, else 'global'. */
	readonly scope?: 'global' | 'link' | 'host';
	/** Default: main (254). */
	readonly table?: number;
	/** Metric. */
	readonly priority?: number;
	/** Default: ROUTE_PROTOCOL_FAIRLEAD. */
	readonly protocol?: number;
}

export interface NeighbourSpec {
	readonly ifindex: number;
	readonly address: Address;
	/** 6 bytes; required for `permanent`. */
	readonly mac?: Uint8Array;
	/**
	 * `permanent` never changes or expires; `managed` is resolved and kept fresh by the kernel (NTF_EXT_LEARNED with
	 * NTF_MANAGED, since 5.16, older kernels answer EINVAL); `use` asks for one resolution now (NTF_USE).
	 */
	readonly kind: 'permanent' | 'managed' | 'use';
	readonly router?: boolean;
}

export interface AddressInfo {
	readonly ifindex: number;
	readonly address: Address;
	readonly prefixLength: number;
	readonly family: Family;
	/** 0 = global, 253 = link, 254 = host. */
	readonly scope: number;
	readonly tentative: boolean;
	/** IPv4: not the first of its prefix; IPv6: temporary (RFC 8981) or deprecated. */
	readonly secondary?: true;
}

export interface RouteInfo {
	readonly dst: Cidr;
	readonly family: Family;
	/** RTN_*: 1 = unicast, 2 = local, 7 = unreachable. */
	readonly type: number;
	readonly table: number;
	readonly protocol: number;
	readonly scope: number;
	/** Absent with several next hops. */
	readonly ifindex?: number;
	/** Of several next hops. */
	readonly ifindexes?: readonly number[];
	readonly gateway?: Address;
	readonly onlink: boolean;
	readonly linkDown: boolean;
	readonly source?: Address;
	readonly mtu?: number;
	readonly priority?: number;
}

export interface NeighbourInfo {
	readonly ifindex: number;
	readonly address: Address;
	readonly mac?: Uint8Array;
	/** NUD_* bits: 0x80 = permanent, 0x02 = reachable, 0x20 = failed. */
	readonly state: number;
	readonly permanent: boolean;
	readonly managed: boolean;
	readonly extLearned: boolean;
}

/** Address in the length of its family: 4 or 16 bytes. */
function wire(address: Address): Buffer {
	const bytes = addressBytes(address);
	return Buffer.from(familyOf(address) === 4 ? bytes.subarray(12) : bytes);
}

function unwire(bytes: Buffer): Address {
	if (bytes.length !== 4) return addressOfBytes(bytes);
	return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
}

const afOf = (family: Family): number => (family === 4 ? AF_INET : AF_INET6);
const familyOfAf = (af: number): Family => (af === AF_INET ? 4 : 6);

function addressMessage(type: number, flags: number, spec: InterfaceAddressSpec, verb: string): NetlinkMessage {
	const nodad = spec.nodad === true && familyOf(spec.address) === 6;
	const header: RtAddress = {
		family: afOf(familyOf(spec.address)),
		prefixlen: spec.prefixLength,
		scope: spec.scope === 'link' ? RouteScope.LINK : RouteScope.UNIVERSE,
		index: spec.ifindex,
		...(nodad && { flags: { nodad: true as const } }),
	};
	const bytes = wire(spec.address);
	return {
		type,
		flags,
		payload: buildPayload((out) => {
			out.emit(formatAddress(header));
			out.emit(formatAddressAttrs({ local: bytes, address: bytes }));
		}),
		what: `${verb} address ${spec.address}/${spec.prefixLength} of link #${spec.ifindex}`,
	};
}

/** Adds an address; one that is there already is left as it is. */
export function addAddress(spec: InterfaceAddressSpec): NetlinkMessage {
	const flags = NlFlag.REQUEST | NlFlag.ACK | NlFlag.CREATE | NlFlag.REPLACE;
	return addressMessage(MessageType.NEWADDR, flags, spec, 'add');
}

/** Removes an address; EADDRNOTAVAIL = was not there. */
export function deleteAddress(spec: InterfaceAddressSpec): NetlinkMessage {
	return addressMessage(MessageType.DELADDR, NlFlag.REQUEST | NlFlag.ACK, spec, 'delete');
}

function routeMessage(type: number, flags: number, spec: RouteSpec, verb: string): NetlinkMessage {
	const { address, prefixLength, family } = cidrParts(spec.dst);
	const table = spec.table ?? RT_TABLE_MAIN;
	const linkScoped = family === 4 && spec.gateway === undefined && (spec.type ?? 'unicast') === 'unicast';
	const scope = spec.scope ?? (linkScoped ? 'link' : 'global');
	return {
		type,
		flags,
		payload: buildPayload((out) => {
			out.emit(
				formatRoute({
					family: afOf(family),
					dstLen: prefixLength,
					table: table < 256 ? table : 0,
					protocol: spec.protocol ?? ROUTE_PROTOCOL_FAIRLEAD,
					scope: { global: RouteScope.UNIVERSE, link: RouteScope.LINK, host: RouteScope.HOST }[scope],
					type: routeType(spec.type ?? 'unicast'),
					...(spec.onlink && { flags: { __unknown: RTNH_F_ONLINK } }),
				}),
			);
			const metrics = spec.mtu === undefined ? undefined : { mtu: Buffer.from(putU32(spec.mtu)) };
			out.emit(
				formatRouteAttrs({
					...(prefixLength > 0 && { dst: wire(address) }),
					...(spec.ifindex !== undefined && { oif: spec.ifindex }),
					...(spec.gateway !== undefined && { gateway: wire(spec.gateway) }),
					...(spec.priority !== undefined && { priority: spec.priority }),
					...(spec.source !== undefined && { prefsrc: wire(spec.source) }),
					...(table >= 256 && { table }),
				}),
			);
			if (metrics) out.push(RTA.METRICS, formatRouteMetrics(metrics));
		}),
		what: `${verb} route ${formatRouteSpec(spec)}`,
	};
}

function routeType(type: NonNullable<RouteSpec['type']>): RouteType {
	switch (type) {
		case 'unicast':
			return RouteType.UNICAST;
		case 'unreachable':
			return RouteType.UNREACHABLE;
		case 'blackhole':
			return RouteType.BLACKHOLE;
		case 'local':
			return RouteType.LOCAL;
	}
}

/** Text as `ip route` would show it. */
export function formatRouteSpec(spec: RouteSpec): string {
	const parts: string[] = [];
	if (spec.type !== undefined && spec.type !== 'unicast') parts.push(spec.type);
	parts.push(spec.dst);
	if (spec.gateway !== undefined) parts.push(`via ${spec.gateway}`);
	if (spec.ifindex !== undefined) parts.push(`dev #${spec.ifindex}`);
	if (spec.onlink) parts.push('onlink');
	return parts.join(' ');
}

/** Adds a route or replaces the one with the same destination, table and metric. */
export function replaceRoute(spec: RouteSpec): NetlinkMessage {
	const flags = NlFlag.REQUEST | NlFlag.ACK | NlFlag.CREATE | NlFlag.REPLACE;
	return routeMessage(MessageType.NEWROUTE, flags, spec, 'replace');
}

/** Adds a route; EEXIST when there is one with the same destination, table and metric. */
export function addRoute(spec: RouteSpec): NetlinkMessage {
	return routeMessage(MessageType.NEWROUTE, NlFlag.REQUEST | NlFlag.ACK | NlFlag.CREATE | NlFlag.EXCL, spec, 'add');
}

/** Removes a route; ESRCH = was not there. */
export function deleteRoute(spec: RouteSpec): NetlinkMessage {
	return routeMessage(MessageType.DELROUTE, NlFlag.REQUEST | NlFlag.ACK, spec, 'delete');
}

/** Adds or replaces a neighbour entry. */
export function replaceNeighbour(spec: NeighbourSpec): NetlinkMessage {
	const flagBits = { permanent: 0, managed: NTF.EXT_LEARNED, use: NTF.USE }[spec.kind] | (spec.router ? NTF.ROUTER : 0);
	return {
		type: MessageType.NEWNEIGH,
		flags: NlFlag.REQUEST | NlFlag.ACK | NlFlag.CREATE | NlFlag.REPLACE,
		payload: buildPayload((out) => {
			out.emit(neighbourHeader(spec, spec.kind === 'permanent' ? NUD.PERMANENT : NUD.NONE, flagBits));
			out.push(NDA.DST, wire(spec.address));
			if (spec.mac) out.push(NDA.LLADDR, Buffer.from(spec.mac));
			if (spec.kind === 'managed') out.push(NDA.FLAGS_EXT, putU32(NTF_EXT_MANAGED));
		}),
		what: `replace ${spec.kind} neighbour ${spec.address} of link #${spec.ifindex}`,
	};
}

/** Removes a neighbour entry; ENOENT = was not there. */
export function deleteNeighbour(spec: Pick<NeighbourSpec, 'ifindex' | 'address'>): NetlinkMessage {
	return {
		type: MessageType.DELNEIGH,
		flags: NlFlag.REQUEST | NlFlag.ACK,
		payload: buildPayload((out) => {
			out.emit(neighbourHeader(spec, NUD.NONE, 0));
			out.push(NDA.DST, wire(spec.address));
		}),
		what: `delete neighbour ${spec.address} of link #${spec.ifindex}`,
	};
}

function neighbourHeader(spec: Pick<NeighbourSpec, 'ifindex' | 'address'>, state: number, flagBits: number): Buffer {
	return formatNeighbor({
		family: afOf(familyOf(spec.address)),
		ifindex: spec.ifindex,
		state: { __unknown: state },
		flags: { __unknown: flagBits },
	});
}

/** Asks for all addresses of all interfaces and both families. */
export function dumpAddresses(): NetlinkMessage {
	return dump(MessageType.GETADDR, formatAddress({}), 'list addresses');
}

/** Asks for all routes of all tables of one family. */
export function dumpRoutes(family: Family): NetlinkMessage {
	return dump(MessageType.GETROUTE, formatRoute({ family: afOf(family) }), `list IPv${family} routes`);
}

/** Asks for the neighbour entries of one family. */
export function dumpNeighbours(family: Family): NetlinkMessage {
	return dump(MessageType.GETNEIGH, formatNeighbor({ family: afOf(family) }), `list IPv${family} neighbours`);
}

function dump(type: number, header: Buffer, what: string): NetlinkMessage {
	return { type, flags: NlFlag.REQUEST | NlFlag.DUMP, payload: header, what };
}

export function parseAddressInfo(record: Buffer): AddressInfo {
	const header = parseRtAddress(record.subarray(0, 8));
	const attributes = attributesOf(record.subarray(8));
	const bytes = attributes.get(IFA.LOCAL) ?? attributes.get(IFA.ADDRESS) ?? Buffer.alloc(16);
	const flags = u32Of(attributes.get(IFA.FLAGS)) ?? record.readUInt8(2);
	return {
		ifindex: header.index ?? 0,
		address: unwire(bytes),
		prefixLength: header.prefixlen ?? 0,
		family: familyOfAf(header.family ?? AF_INET6),
		scope: header.scope ?? 0,
		tentative: (flags & IFA_F_TENTATIVE) !== 0 && (flags & (IFA_F_NODAD | IFA_F_DADFAILED)) === 0,
		...((flags & (IFA_F_SECONDARY | IFA_F_DEPRECATED)) !== 0 && { secondary: true as const }),
	};
}

export function parseRouteInfo(record: Buffer): RouteInfo {
	const family = familyOfAf(record.readUInt8(0));
	const attributes = attributesOf(record.subarray(12));
	const dst = attributes.get(RTA.DST);
	const gateway = gatewayOf(attributes);
	const source = attributes.get(RTA.PREFSRC);
	const ifindex = u32Of(attributes.get(RTA.OIF));
	const hops = attributes.get(RTA.MULTIPATH);
	const priority = u32Of(attributes.get(RTA.PRIORITY));
	const metrics = attributes.get(RTA.METRICS);
	const mtu = metrics === undefined ? undefined : u32Of(attributesOf(metrics).get(RTAX_MTU));
	const flags = record.readUInt32LE(8);
	return {
		dst: `${dst === undefined ? (family === 4 ? '0.0.0.0' : '::') : unwire(dst)}/${record.readUInt8(1)}`,
		family,
		type: record.readUInt8(7),
		table: u32Of(attributes.get(RTA.TABLE)) ?? record.readUInt8(4),
		protocol: record.readUInt8(5),
		scope: record.readUInt8(6),
		onlink: (flags & RTNH_F_ONLINK) !== 0,
		linkDown: (flags & RTNH_F_LINKDOWN) !== 0,
		...(ifindex !== undefined && { ifindex }),
		...(hops !== undefined && { ifindexes: hopIndexes(hops) }),
		...(gateway !== undefined && { gateway }),
		...(source !== undefined && { source: unwire(source) }),
		...(mtu !== undefined && { mtu }),
		...(priority !== undefined && { priority }),
	};
}

/** struct rtnexthop: {u16 length, u8 flags, u8 weight, s32 ifindex}, attributes, one after the other. */
function hopIndexes(hops: Buffer): number[] {
	const found: number[] = [];
	for (let at = 0; at + 8 <= hops.length; at += Math.max(8, (hops.readUInt16LE(at) + 3) & ~3)) {
		found.push(hops.readInt32LE(at + 4));
	}
	return found;
}

/** RTA_VIA is {u16 family, address}: an IPv4 route through an IPv6 next hop. */
function gatewayOf(attributes: Map<number, Buffer>): Address | undefined {
	const bytes = attributes.get(RTA.GATEWAY) ?? attributes.get(RTA.VIA)?.subarray(2);
	return bytes === undefined ? undefined : unwire(bytes);
}

export function parseNeighbourInfo(record: Buffer): NeighbourInfo {
	const attributes = attributesOf(record.subarray(12));
	const state = record.readUInt16LE(8);
	const mac = attributes.get(NDA.LLADDR);
	return {
		ifindex: record.readInt32LE(4),
		address: unwire(attributes.get(NDA.DST) ?? Buffer.alloc(16)),
		...(mac !== undefined && { mac: Uint8Array.from(mac) }),
		state,
		permanent: (state & NUD.PERMANENT) !== 0,
		managed: ((u32Of(attributes.get(NDA.FLAGS_EXT)) ?? 0) & NTF_EXT_MANAGED) !== 0,
		extLearned: (record.readUInt8(10) & NTF.EXT_LEARNED) !== 0,
	};
}
