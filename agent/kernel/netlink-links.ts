/**
 * Interfaces: messages that make, change, remove and list them. Pure; agent/kernel/netlink.ts sends them.
 */
import {
	formatInfo,
	formatLinkAttrs,
	formatLinkProtocolInfoInet6,
	formatVxlan,
	In6AddrGenMode,
	type LinkAttrs,
	parseInfo,
	type Vxlan,
} from 'netlink/dist/rt/ifla.js';
import { formatLink, MessageType, parseLink } from 'netlink/dist/rt/structs.js';
import { type AttrStream, putString, putU16be, putU32, type StreamData } from 'netlink/dist/structs.js';
import { attributesOf, buildPayload, type NetlinkMessage, NlFlag, textOf, u32Of } from './netlink-codec.ts';

/** Where an interface shall live: an open descriptor of a network namespace. */
export interface NetnsFd {
	readonly fd: number;
}

export interface VethSide {
	readonly name: string;
	/** 6 bytes; left out = random. */
	readonly mac?: Uint8Array;
	/** Bytes; left out = 1500. */
	readonly mtu?: number;
	/** Default: the namespace the request is made in. */
	readonly netns?: NetnsFd;
	/** IFLA_GROUP; 0 = default group. */
	readonly group?: number;
	/** Largest aggregate of IPv4 segments that leaves in one piece, in bytes (kernel 6.3); left out = 65536. */
	readonly gsoIpv4MaxSize?: number;
}

export interface VxlanSpec {
	readonly name: string;
	/** UDP destination port. */
	readonly port: number;
	readonly mtu?: number;
	readonly mac?: Uint8Array;
	/** true = the tunnel key comes with each packet (collect_md); false = `vni` is fixed. */
	readonly collectMetadata: boolean;
	readonly vni?: number;
}

export interface LinkChange {
	readonly up?: boolean;
	readonly mtu?: number;
	readonly mac?: Uint8Array;
	readonly name?: string;
	/** Text for people in `ip link`; up to 254 bytes. */
	readonly alias?: string;
	readonly group?: number;
	readonly netns?: NetnsFd;
	/** Bytes; see VethSide. */
	readonly gsoIpv4MaxSize?: number;
	/** How the interface makes its IPv6 link-local address: 'none' = not at all. Left alone where IPv6 is off. */
	readonly ipv6AddressMode?: 'eui64' | 'none';
}

/** How a link is named in a request. */
export type LinkRef = { readonly ifindex: number } | { readonly name: string };

/** What the kernel tells about an interface. */
export interface LinkInfo {
	readonly ifindex: number;
	readonly name: string;
	/** IFF_UP: administratively up. */
	readonly up: boolean;
	/** IFF_LOWER_UP: has carrier. */
	readonly carrier: boolean;
	readonly mtu: number;
	readonly mac: Uint8Array;
	/** 'veth', 'vxlan', ...; '' = physical or loopback. */
	readonly kind: string;
	/** veth: ifindex of the other side, in its own namespace; others: the device below. */
	readonly peerIfindex?: number;
	/** Id of the namespace of `peerIfindex` as seen from here; left out = the same namespace. */
	readonly peerNetnsId?: number;
	/** Bridge, bond or VRF that it belongs to. */
	readonly masterIfindex?: number;
	readonly group: number;
	readonly alias: string;
	/** ARPHRD_*: 1 = Ethernet, 772 = loopback. */
	readonly type: number;
	readonly vxlan?: { readonly vni: number; readonly port: number; readonly collectMetadata: boolean };
	/** gso_ipv4_max_size and what the driver takes at most, in bytes; left out before kernel 6.3. */
	readonly gso?: { readonly ipv4: number; readonly largest: number };
}

const IFLA = {
	ADDRESS: 1,
	IFNAME: 3,
	MTU: 4,
	LINK: 5,
	MASTER: 10,
	LINKINFO: 18,
	IFALIAS: 20,
	GROUP: 27,
	EXT_MASK: 29,
	LINK_NETNSID: 37,
	TSO_MAX_SIZE: 59,
	GSO_IPV4_MAX_SIZE: 63,
};
const VETH_INFO_PEER = 1;
const IFLA_VXLAN = { ID: 1, PORT: 15, COLLECT_METADATA: 25 };
const AF_INET6 = 10;
const RTEXT_FILTER_SKIP_STATS = 8;
const IFF_UP = 1;
const IFF_LOWER_UP = 0x10000;

function flatten(data: StreamData): Buffer {
	return Buffer.from(buildPayload((out) => out.emit(data)));
}

/** With what the library has no name for. */
interface Attributes extends LinkAttrs {
	readonly gsoIpv4MaxSize?: number;
}

function linkBody(header: Parameters<typeof formatLink>[0], attributes: Attributes): Uint8Array {
	return buildPayload((out) => emitLink(out, header, attributes));
}

function emitLink(
	out: AttrStream,
	header: Parameters<typeof formatLink>[0],
	{ gsoIpv4MaxSize, ...attributes }: Attributes,
): void {
	out.emit(formatLink(header));
	out.emit(formatLinkAttrs(attributes));
	if (gsoIpv4MaxSize !== undefined) out.push(IFLA.GSO_IPV4_MAX_SIZE, putU32(gsoIpv4MaxSize));
}

function sideAttributes(side: VethSide): Attributes {
	return {
		ifname: side.name,
		...(side.mac && { address: Buffer.from(side.mac) }),
		...(side.mtu !== undefined && { mtu: side.mtu }),
		...(side.group !== undefined && { group: side.group }),
		...(side.netns && { netNsFd: side.netns.fd }),
		...(side.gsoIpv4MaxSize !== undefined && { gsoIpv4MaxSize: side.gsoIpv4MaxSize }),
	};
}

/**
 * Makes a veth pair, each side at once in its namespace under its final name, with one queue: the kernel (since 5.17) makes one for
 * each CPU with all that they have in sysfs, to leave all but one unused unless told otherwise later. Refused with EEXIST when either name
 * is taken, in which case nothing is changed.
 */
export function addVeth(side: VethSide, peer: VethSide): NetlinkMessage {
	const queues = { numTxQueues: 1, numRxQueues: 1 };
	const peerData = buildPayload((out) =>
		out.push(VETH_INFO_PEER, (inner) => emitLink(inner, {}, { ...sideAttributes(peer), ...queues })),
	);
	const linkinfo = flatten(formatInfo({ kind: 'veth', data: Buffer.from(peerData) }));
	return {
		type: MessageType.NEWLINK,
		flags: NlFlag.REQUEST | NlFlag.ACK | NlFlag.CREATE | NlFlag.EXCL,
		payload: linkBody({}, { ...sideAttributes(side), ...queues, linkinfo }),
		what: `add veth pair ${side.name} with peer ${peer.name}`,
	};
}

/** Makes a VXLAN device without learning; with collectMetadata it carries IPv4 and IPv6 outer packets. */
export function addVxlan(spec: VxlanSpec): NetlinkMessage {
	const data: Vxlan = {
		...(spec.vni !== undefined && { id: spec.vni }),
		learning: 0,
		port: Buffer.from(putU16be(spec.port)),
		udpCsum: 1,
		udpZeroCsum6Tx: 0,
		udpZeroCsum6Rx: 1,
		collectMetadata: spec.collectMetadata ? 1 : 0,
	};
	return {
		type: MessageType.NEWLINK,
		flags: NlFlag.REQUEST | NlFlag.ACK | NlFlag.CREATE | NlFlag.EXCL,
		payload: linkBody(
			{},
			{
				...sideAttributes(spec),
				linkinfo: flatten(formatInfo({ kind: 'vxlan', data: flatten(formatVxlan(data)) })),
			},
		),
		what: `add vxlan device ${spec.name} port ${spec.port}`,
	};
}

/** Changes what is given and nothing else. */
export function setLink(link: LinkRef, change: LinkChange): NetlinkMessage {
	const header = {
		...('ifindex' in link && { index: link.ifindex }),
		...(change.up !== undefined && { flags: change.up ? { up: true as const } : {}, change: { up: true as const } }),
	};
	const name = change.name ?? ('name' in link ? link.name : undefined);
	return {
		type: MessageType.SETLINK,
		flags: NlFlag.REQUEST | NlFlag.ACK,
		payload: linkBody(header, {
			...(name !== undefined && { ifname: name }),
			...(change.mtu !== undefined && { mtu: change.mtu }),
			...(change.mac && { address: Buffer.from(change.mac) }),
			...(change.alias !== undefined && { ifalias: change.alias }),
			...(change.group !== undefined && { group: change.group }),
			...(change.netns && { netNsFd: change.netns.fd }),
			...(change.gsoIpv4MaxSize !== undefined && { gsoIpv4MaxSize: change.gsoIpv4MaxSize }),
			...(change.ipv6AddressMode && { afSpec: addressModeSpec(change.ipv6AddressMode) }),
		}),
		what: `set link ${formatRef(link)} ${formatChange(change)}`,
	};
}

/** IFLA_AF_SPEC { AF_INET6 { IFLA_INET6_ADDR_GEN_MODE } } */
function addressModeSpec(mode: NonNullable<LinkChange['ipv6AddressMode']>): Map<number, Buffer> {
	const addrGenMode = mode === 'none' ? In6AddrGenMode.NONE : In6AddrGenMode.EUI64;
	return new Map([[AF_INET6, flatten(formatLinkProtocolInfoInet6({ addrGenMode }))]]);
}

/** Removes one interface (of a veth pair: both sides). A missing one is refused with ENODEV. */
export function deleteLink(link: LinkRef): NetlinkMessage {
	return {
		type: MessageType.DELLINK,
		flags: NlFlag.REQUEST | NlFlag.ACK,
		payload: linkBody('ifindex' in link ? { index: link.ifindex } : {}, 'name' in link ? { ifname: link.name } : {}),
		what: `delete link ${formatRef(link)}`,
	};
}

/**
 * Removes all interfaces of a group under one grace period of the kernel: the way to remove many veths fast
 * (one by one each costs its own). Refused with ENODEV when the group is empty.
 */
export function deleteLinkGroup(group: number): NetlinkMessage {
	return {
		type: MessageType.DELLINK,
		flags: NlFlag.REQUEST | NlFlag.ACK,
		payload: linkBody({}, { group }),
		what: `delete links of group ${group}`,
	};
}

/** Asks for one interface; the record is read with `parseLinkInfo`. */
export function getLink(link: LinkRef): NetlinkMessage {
	return {
		type: MessageType.GETLINK,
		flags: NlFlag.REQUEST | NlFlag.ACK,
		payload: linkBody('ifindex' in link ? { index: link.ifindex } : {}, {
			...('name' in link && { ifname: link.name }),
			extMask: Buffer.from(putU32(RTEXT_FILTER_SKIP_STATS)),
		}),
		what: `get link ${formatRef(link)}`,
	};
}

/** Asks for all interfaces, or those of one kind. */
export function dumpLinks(kind?: string): NetlinkMessage {
	return {
		type: MessageType.GETLINK,
		flags: NlFlag.REQUEST | NlFlag.DUMP,
		payload: buildPayload((out) => {
			out.emit(formatLink({}));
			out.push(IFLA.EXT_MASK, putU32(RTEXT_FILTER_SKIP_STATS));
			if (kind !== undefined) out.push(IFLA.LINKINFO, (inner) => inner.push(1, putString(kind)));
		}),
		what: 'list links',
	};
}

export function parseLinkInfo(record: Buffer): LinkInfo {
	const header = parseLink(record.subarray(0, 16));
	const flags = record.readUInt32LE(8);
	const attributes = attributesOf(record.subarray(16));
	const info = attributes.get(IFLA.LINKINFO);
	const { kind, data } = info === undefined ? { kind: '', data: undefined } : kindOf(info);
	const peerIfindex = u32Of(attributes.get(IFLA.LINK));
	const peerNetnsId = u32Of(attributes.get(IFLA.LINK_NETNSID));
	const masterIfindex = u32Of(attributes.get(IFLA.MASTER));
	const gsoIpv4 = u32Of(attributes.get(IFLA.GSO_IPV4_MAX_SIZE));
	return {
		ifindex: header.index ?? 0,
		name: textOf(attributes.get(IFLA.IFNAME)) ?? '',
		up: (flags & IFF_UP) !== 0,
		carrier: (flags & IFF_LOWER_UP) !== 0,
		mtu: u32Of(attributes.get(IFLA.MTU)) ?? 0,
		mac: Uint8Array.from(attributes.get(IFLA.ADDRESS) ?? []),
		kind,
		group: u32Of(attributes.get(IFLA.GROUP)) ?? 0,
		alias: textOf(attributes.get(IFLA.IFALIAS)) ?? '',
		type: record.readUInt16LE(2),
		...(peerIfindex !== undefined && { peerIfindex }),
		...(peerNetnsId !== undefined && { peerNetnsId }),
		...(masterIfindex !== undefined && { masterIfindex }),
		...(kind === 'vxlan' && data !== undefined && { vxlan: vxlanOf(data) }),
		...(gsoIpv4 !== undefined && {
			gso: { ipv4: gsoIpv4, largest: u32Of(attributes.get(IFLA.TSO_MAX_SIZE)) ?? gsoIpv4 },
		}),
	};
}

/** Name alone, which the kernel puts first. */
export function linkName(record: Buffer): string {
	const isFirst = record.length >= 20 && record.readUInt16LE(18) === IFLA.IFNAME;
	const bytes = isFirst
		? record.subarray(20, 16 + record.readUInt16LE(16))
		: attributesOf(record.subarray(16)).get(IFLA.IFNAME);
	return textOf(bytes) ?? '';
}

function kindOf(info: Buffer): { kind: string; data: Buffer | undefined } {
	const parsed = parseInfo(info);
	return { kind: parsed.kind ?? '', data: parsed.data };
}

function vxlanOf(data: Buffer): NonNullable<LinkInfo['vxlan']> {
	const attributes = attributesOf(data);
	const port = attributes.get(IFLA_VXLAN.PORT);
	return {
		vni: u32Of(attributes.get(IFLA_VXLAN.ID)) ?? 0,
		port: port === undefined ? 0 : port.readUInt16BE(0),
		collectMetadata: attributes.get(IFLA_VXLAN.COLLECT_METADATA)?.[0] === 1,
	};
}

function formatRef(link: LinkRef): string {
	return 'name' in link ? link.name : `#${link.ifindex}`;
}

function formatChange(change: LinkChange): string {
	const parts: string[] = [];
	if (change.up !== undefined) parts.push(change.up ? 'up' : 'down');
	if (change.mtu !== undefined) parts.push(`mtu ${change.mtu}`);
	if (change.mac) parts.push(`address ${Buffer.from(change.mac).toString('hex')}`);
	if (change.name !== undefined) parts.push(`name ${change.name}`);
	if (change.group !== undefined) parts.push(`group ${change.group}`);
	if (change.netns) parts.push('netns');
	if (change.gsoIpv4MaxSize !== undefined) parts.push(`gso_ipv4_max_size ${change.gsoIpv4MaxSize}`);
	if (change.ipv6AddressMode) parts.push(`addrgenmode ${change.ipv6AddressMode}`);
	return parts.join(' ');
}
