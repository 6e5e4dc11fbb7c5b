/**
 * Generated from the BTF of bpf/abi and bpf/maps by native/abi/generate.ts: do not edit, run `npm run gen`.
 */
import {
	type Codec,
	counted,
	encodeWith,
	enumName,
	flagNames,
	formatBytes,
	getBytes,
	type MapSpec,
	putBytes,
	uint,
	viewOf,
} from './codec.ts';

export const Limits = {
	ENDPOINTS: 4096,
	NODES: 16384,
	UPLINKS: 8,
	SLOTS_PER_CHUNK: 16,
	VIP_FILTER_BITS: 65536,
	INSIDE_BITS: 65536,
	FRAG_RANGES: 6,
	IPV6_EXTENSIONS: 6,
} as const;
export type Limits = (typeof Limits)[keyof typeof Limits];
export function LimitsName(value: number): string {
	return enumName(Limits, value);
}

export const L4Proto = {
	ANY: 0,
	ICMP: 1,
	TCP: 6,
	UDP: 17,
	ICMPV6: 58,
	SCTP: 132,
} as const;
export type L4Proto = (typeof L4Proto)[keyof typeof L4Proto];
export function L4ProtoName(value: number): string {
	return enumName(L4Proto, value);
}

export const PeerKind = {
	UNKNOWN: 0,
	LOCAL_POD: 1,
	REMOTE_POD: 2,
	HOST: 3,
	REMOTE_NODE: 4,
	WORLD: 5,
	NATIVE: 6,
} as const;
export type PeerKind = (typeof PeerKind)[keyof typeof PeerKind];
export function PeerKindName(value: number): string {
	return enumName(PeerKind, value);
}

export const Identity = {
	UNKNOWN: 0,
	HOST: 1,
	WORLD: 2,
	REMOTE_NODE: 6,
	KUBE_APISERVER: 7,
	UNKNOWN_POD: 15,
	FIRST_DYNAMIC: 256,
} as const;
export type Identity = (typeof Identity)[keyof typeof Identity];
export function IdentityName(value: number): string {
	return enumName(Identity, value);
}

export const EndpointFlags = {
	READY: 1,
	ISOLATED: 2,
	DNS: 4,
} as const;
export type EndpointFlags = (typeof EndpointFlags)[keyof typeof EndpointFlags];
export function EndpointFlagsName(value: number): string {
	return flagNames(EndpointFlags, value);
}

export const NodeFlags = {
	TUNNEL: 1,
	DIRECT: 2,
} as const;
export type NodeFlags = (typeof NodeFlags)[keyof typeof NodeFlags];
export function NodeFlagsName(value: number): string {
	return flagNames(NodeFlags, value);
}

export const SvcScope = {
	CLUSTER: 0,
	EXTERNAL: 1,
} as const;
export type SvcScope = (typeof SvcScope)[keyof typeof SvcScope];
export function SvcScopeName(value: number): string {
	return enumName(SvcScope, value);
}

export const SvcFlags = {
	ADDRESS_ONLY: 1,
	LOCAL_INTERNAL: 2,
	LOCAL_EXTERNAL: 4,
	AFFINITY: 8,
	MAGLEV: 16,
	HOST_PORT: 32,
	ANY_ENDPOINTS: 64,
	LEAST_CONN: 128,
	TRACKED: 256,
	REMEMBERED: 512,
} as const;
export type SvcFlags = (typeof SvcFlags)[keyof typeof SvcFlags];
export function SvcFlagsName(value: number): string {
	return flagNames(SvcFlags, value);
}

export const BackendFlags = {
	LIVE: 1,
	TERMINATING: 2,
	LOCAL: 4,
	SERVING: 8,
} as const;
export type BackendFlags = (typeof BackendFlags)[keyof typeof BackendFlags];
export function BackendFlagsName(value: number): string {
	return flagNames(BackendFlags, value);
}

export const CtDirection = {
	FORWARD: 0,
	REPLY: 1,
} as const;
export type CtDirection = (typeof CtDirection)[keyof typeof CtDirection];
export function CtDirectionName(value: number): string {
	return enumName(CtDirection, value);
}

export const CtFlags = {
	INITIATOR_IS_HI: 1,
	SVC_FORWARD: 2,
	SVC_REPLY: 4,
	MASQUERADE: 8,
	ESTABLISHED: 16,
	CLOSING: 32,
	FIN_FORWARD: 64,
	FIN_REPLY: 128,
	VIA_HOST: 256,
	EXTERNAL: 512,
	HOST_LOOP: 4096,
	COUNTED: 2048,
	FORWARDED: 8192,
	DSR: 1024,
	SHARED: 16384,
	PORT_MAY_GO: 32768,
} as const;
export type CtFlags = (typeof CtFlags)[keyof typeof CtFlags];
export function CtFlagsName(value: number): string {
	return flagNames(CtFlags, value);
}

export const CtBackendWord = {
	BITS: 24,
	MASK: 16777215,
} as const;
export type CtBackendWord = (typeof CtBackendWord)[keyof typeof CtBackendWord];
export function CtBackendWordName(value: number): string {
	return enumName(CtBackendWord, value);
}

export const DropReason = {
	NONE: 0,
	INVALID_PACKET: 1,
	INVALID_SOURCE: 2,
	INVALID_SOURCE_MAC: 3,
	UNSUPPORTED_L2: 4,
	FORBIDDEN_ARP: 5,
	FORBIDDEN_ND: 6,
	EXTENSION_HEADERS: 7,
	FRAGMENT_NO_FIRST: 8,
	FRAGMENT_SHORT: 9,
	FRAGMENT_OVERLAP: 10,
	NO_BACKEND: 11,
	NO_LOCAL_BACKEND: 12,
	UNDEFINED_PORT: 13,
	NO_ROUTE: 14,
	TTL_EXCEEDED: 15,
	FRAG_NEEDED: 16,
	CT_INSERT: 17,
	NAT_EXHAUSTED: 18,
	TUNNEL_SOURCE: 19,
	TUNNEL_INNER_SOURCE: 20,
	TUNNEL_FROM_POD: 21,
	SPOOFED_LOCAL: 22,
	ENDPOINT_NOT_READY: 23,
	MIGRATING: 24,
	REWRITE_FAILED: 25,
	TUNNEL_KEY: 26,
	POLICY: 27,
	ISOLATED: 28,
	DSR_NOT_OURS: 29,
	SOURCE_RANGE: 30,
	MAX: 31,
} as const;
export type DropReason = (typeof DropReason)[keyof typeof DropReason];
export function DropReasonName(value: number): string {
	return enumName(DropReason, value);
}

export const EventType = {
	FLOW_NEW: 1,
	DROP: 2,
	FLOW_CLOSE: 3,
	SOCK_CONNECT: 4,
	NAT_EXHAUSTED: 5,
	POLICY_AUDIT: 6,
} as const;
export type EventType = (typeof EventType)[keyof typeof EventType];
export function EventTypeName(value: number): string {
	return enumName(EventType, value);
}

export const Hook = {
	FROM_POD: 1,
	TO_POD: 2,
	FROM_UPLINK: 3,
	TO_UPLINK: 4,
	FROM_OVERLAY: 5,
	TO_OVERLAY: 6,
	FROM_HOST_DEVICE: 7,
	SOCKET: 8,
	XDP: 9,
	LOOPBACK: 10,
} as const;
export type Hook = (typeof Hook)[keyof typeof Hook];
export function HookName(value: number): string {
	return enumName(Hook, value);
}

export const JudgedSide = {
	EGRESS: 1,
	INGRESS: 2,
} as const;
export type JudgedSide = (typeof JudgedSide)[keyof typeof JudgedSide];
export function JudgedSideName(value: number): string {
	return enumName(JudgedSide, value);
}

export const Metric = {
	EVENTS_LOST: 0,
	EVENTS_LIMITED: 1,
	CT_CREATED: 2,
	CT_CLOSED: 3,
	NAT_CREATED: 4,
	SOCK_TRANSLATED: 5,
	FORWARDED_PACKETS: 6,
	CT_FULL: 7,
	MAX: 16,
} as const;
export type Metric = (typeof Metric)[keyof typeof Metric];
export function MetricName(value: number): string {
	return enumName(Metric, value);
}

export const DnsLimits = {
	SECONDS: 2,
} as const;
export type DnsLimits = (typeof DnsLimits)[keyof typeof DnsLimits];
export function DnsLimitsName(value: number): string {
	return enumName(DnsLimits, value);
}

export const DnsMark = {
	SEEN: 262209539,
} as const;
export type DnsMark = (typeof DnsMark)[keyof typeof DnsMark];
export function DnsMarkName(value: number): string {
	return enumName(DnsMark, value);
}

export const PolicyDirection = {
	INGRESS: 0,
	EGRESS: 1,
} as const;
export type PolicyDirection = (typeof PolicyDirection)[keyof typeof PolicyDirection];
export function PolicyDirectionName(value: number): string {
	return enumName(PolicyDirection, value);
}

export const PolicyLimit = {
	SETS: 8192,
	RANGES: 8192,
	COOKIES: 65536,
	STEPS: 3,
	LEVELS: 4,
	LINE: 8,
} as const;
export type PolicyLimit = (typeof PolicyLimit)[keyof typeof PolicyLimit];
export function PolicyLimitName(value: number): string {
	return enumName(PolicyLimit, value);
}

export const PolicyExtentBits = {
	LEVELS_SHIFT: 24,
	RANGES_MASK: 16777215,
} as const;
export type PolicyExtentBits = (typeof PolicyExtentBits)[keyof typeof PolicyExtentBits];
export function PolicyExtentBitsName(value: number): string {
	return enumName(PolicyExtentBits, value);
}

export const PolicyRangeFirst = {
	NEVER: 2147483647,
} as const;
export type PolicyRangeFirst = (typeof PolicyRangeFirst)[keyof typeof PolicyRangeFirst];
export function PolicyRangeFirstName(value: number): string {
	return enumName(PolicyRangeFirst, value);
}

export const PolicyPeer = {
	EGRESS: 1,
	SELF: 2,
	FIRST_ADDRESS: 16777216,
} as const;
export type PolicyPeer = (typeof PolicyPeer)[keyof typeof PolicyPeer];
export function PolicyPeerName(value: number): string {
	return enumName(PolicyPeer, value);
}

export const PolicySetFlag = {
	OPEN_INGRESS: 1,
	OPEN_EGRESS: 2,
	CLOSED: 4,
} as const;
export type PolicySetFlag = (typeof PolicySetFlag)[keyof typeof PolicySetFlag];
export function PolicySetFlagName(value: number): string {
	return enumName(PolicySetFlag, value);
}

export const PolicyVerdictFlag = {
	ALLOW: 1,
	AUDIT: 2,
	SHIFT: 2,
} as const;
export type PolicyVerdictFlag = (typeof PolicyVerdictFlag)[keyof typeof PolicyVerdictFlag];
export function PolicyVerdictFlagName(value: number): string {
	return enumName(PolicyVerdictFlag, value);
}

export const PolicyCookie = {
	NO_POLICY: 0,
	NOT_ALLOWED: 1,
	HOST: 2,
	SELF: 3,
	CLOSED: 4,
	FIRST_RULE: 16,
} as const;
export type PolicyCookie = (typeof PolicyCookie)[keyof typeof PolicyCookie];
export function PolicyCookieName(value: number): string {
	return enumName(PolicyCookie, value);
}

export const ExplainStage = {
	NONE: 0,
	SENDER: 1,
	SERVICE: 2,
	DESTINATION: 3,
	POLICY: 4,
	DELIVERY: 5,
	FORWARDED: 6,
	NOT_OURS: 7,
} as const;
export type ExplainStage = (typeof ExplainStage)[keyof typeof ExplainStage];
export function ExplainStageName(value: number): string {
	return enumName(ExplainStage, value);
}

export const ExplainFlag = {
	BACKEND: 1,
	SERVICE: 2,
} as const;
export type ExplainFlag = (typeof ExplainFlag)[keyof typeof ExplainFlag];
export function ExplainFlagName(value: number): string {
	return enumName(ExplainFlag, value);
}

export const NorthSouth = {
	SNAT: 0,
	IPIP: 1,
	VXLAN: 2,
	SERVER_IPIP: 3,
	SERVER_LINK: 4,
} as const;
export type NorthSouth = (typeof NorthSouth)[keyof typeof NorthSouth];
export function NorthSouthName(value: number): string {
	return enumName(NorthSouth, value);
}

export const PortBits = {
	TCP: 0,
	UDP: 65536,
	TOTAL: 131072,
} as const;
export type PortBits = (typeof PortBits)[keyof typeof PortBits];
export function PortBitsName(value: number): string {
	return enumName(PortBits, value);
}

export const XdpServiceKind = {
	RANKED: 1,
	TABLE: 2,
} as const;
export type XdpServiceKind = (typeof XdpServiceKind)[keyof typeof XdpServiceKind];
export function XdpServiceKindName(value: number): string {
	return enumName(XdpServiceKind, value);
}

export const XdpServiceLimits = {
	HOMES: 65536,
	PROBES: 4,
	BACKENDS: 12,
} as const;
export type XdpServiceLimits = (typeof XdpServiceLimits)[keyof typeof XdpServiceLimits];
export function XdpServiceLimitsName(value: number): string {
	return enumName(XdpServiceLimits, value);
}

export const XdpBackendBits = {
	TAG_BITS: 15,
	GEN_BITS: 3,
} as const;
export type XdpBackendBits = (typeof XdpBackendBits)[keyof typeof XdpBackendBits];
export function XdpBackendBitsName(value: number): string {
	return enumName(XdpBackendBits, value);
}

export interface PeerRef {
	index: number;
	gen: number;
	kind: number;
}
function encodePeerRef(value: PeerRef, view: DataView, offset: number): void {
	view.setUint16(offset, uint(value.index, 0xffff, 'peer_ref.index'), true);
	view.setUint8(offset + 2, uint(value.gen, 0xff, 'peer_ref.gen'));
	view.setUint8(offset + 3, uint(value.kind, 0xff, 'peer_ref.kind'));
}
function decodePeerRef(view: DataView, offset: number): PeerRef {
	return {
		index: view.getUint16(offset, true),
		gen: view.getUint8(offset + 2),
		kind: view.getUint8(offset + 3),
	};
}
function formatPeerRef(value: PeerRef): string {
	return `index=${value.index} gen=${value.gen} kind=${value.kind}`;
}
export const PeerRef = {
	name: 'peer_ref',
	size: 4,
	layout: '1387882e327bc9db',
	encode: (value: PeerRef): Uint8Array => encodeWith(4, encodePeerRef, value),
	encodeInto: encodePeerRef,
	decode: (bytes: Uint8Array, offset = 0): PeerRef =>
		decodePeerRef(viewOf(bytes, offset, 4, 'peer_ref'), 0),
	decodeFrom: decodePeerRef,
	format: formatPeerRef,
} as const satisfies Codec<PeerRef>;

export interface IpcacheKey {
	addr: Uint8Array;
}
function encodeIpcacheKey(value: IpcacheKey, view: DataView, offset: number): void {
	putBytes(view, offset, value.addr, 16, 'ipcache_key.addr');
}
function decodeIpcacheKey(view: DataView, offset: number): IpcacheKey {
	return {
		addr: getBytes(view, offset, 16),
	};
}
function formatIpcacheKey(value: IpcacheKey): string {
	return `addr=${formatBytes(value.addr)}`;
}
export const IpcacheKey = {
	name: 'ipcache_key',
	size: 16,
	layout: '61c7ffb60b8c0380',
	encode: (value: IpcacheKey): Uint8Array => encodeWith(16, encodeIpcacheKey, value),
	encodeInto: encodeIpcacheKey,
	decode: (bytes: Uint8Array, offset = 0): IpcacheKey =>
		decodeIpcacheKey(viewOf(bytes, offset, 16, 'ipcache_key'), 0),
	decodeFrom: decodeIpcacheKey,
	format: formatIpcacheKey,
} as const satisfies Codec<IpcacheKey>;

export interface CidrKey {
	prefixLen: number;
	addr: Uint8Array;
}
function encodeCidrKey(value: CidrKey, view: DataView, offset: number): void {
	view.setUint32(offset, uint(value.prefixLen, 0xffffffff, 'cidr_key.prefix_len'), true);
	putBytes(view, offset + 4, value.addr, 16, 'cidr_key.addr');
}
function decodeCidrKey(view: DataView, offset: number): CidrKey {
	return {
		prefixLen: view.getUint32(offset, true),
		addr: getBytes(view, offset + 4, 16),
	};
}
function formatCidrKey(value: CidrKey): string {
	return `prefix_len=${value.prefixLen} addr=${formatBytes(value.addr)}`;
}
export const CidrKey = {
	name: 'cidr_key',
	size: 20,
	layout: 'bd86225dffbc5291',
	encode: (value: CidrKey): Uint8Array => encodeWith(20, encodeCidrKey, value),
	encodeInto: encodeCidrKey,
	decode: (bytes: Uint8Array, offset = 0): CidrKey =>
		decodeCidrKey(viewOf(bytes, offset, 20, 'cidr_key'), 0),
	decodeFrom: decodeCidrKey,
	format: formatCidrKey,
} as const satisfies Codec<CidrKey>;

export interface IpcacheEntry {
	peer: PeerRef;
	identity: number;
}
function encodeIpcacheEntry(value: IpcacheEntry, view: DataView, offset: number): void {
	encodePeerRef(value.peer, view, offset);
	view.setUint32(offset + 4, uint(value.identity, 0xffffffff, 'ipcache_entry.identity'), true);
}
function decodeIpcacheEntry(view: DataView, offset: number): IpcacheEntry {
	return {
		peer: decodePeerRef(view, offset),
		identity: view.getUint32(offset + 4, true),
	};
}
function formatIpcacheEntry(value: IpcacheEntry): string {
	return `peer=${formatPeerRef(value.peer)} identity=${value.identity}`;
}
export const IpcacheEntry = {
	name: 'ipcache_entry',
	size: 8,
	layout: 'b9a162c216441c5c',
	encode: (value: IpcacheEntry): Uint8Array => encodeWith(8, encodeIpcacheEntry, value),
	encodeInto: encodeIpcacheEntry,
	decode: (bytes: Uint8Array, offset = 0): IpcacheEntry =>
		decodeIpcacheEntry(viewOf(bytes, offset, 8, 'ipcache_entry'), 0),
	decodeFrom: decodeIpcacheEntry,
	format: formatIpcacheEntry,
} as const satisfies Codec<IpcacheEntry>;

export interface Endpoint {
	ifindex: number;
	gen: number;
	flags: number;
	mac: Uint8Array;
	hostMac: Uint8Array;
	policyGen: number;
	identity: number;
	policySet: number;
	identity6: number;
	addr4: Uint8Array;
	addr6: Uint8Array;
}
function encodeEndpoint(value: Endpoint, view: DataView, offset: number): void {
	view.setUint32(offset, uint(value.ifindex, 0xffffffff, 'endpoint.ifindex'), true);
	view.setUint8(offset + 4, uint(value.gen, 0xff, 'endpoint.gen'));
	view.setUint8(offset + 5, uint(value.flags, 0xff, 'endpoint.flags'));
	putBytes(view, offset + 6, value.mac, 6, 'endpoint.mac');
	putBytes(view, offset + 12, value.hostMac, 6, 'endpoint.host_mac');
	view.setUint16(offset + 18, uint(value.policyGen, 0xffff, 'endpoint.policy_gen'), true);
	view.setUint32(offset + 20, uint(value.identity, 0xffffffff, 'endpoint.identity'), true);
	view.setUint32(offset + 24, uint(value.policySet, 0xffffffff, 'endpoint.policy_set'), true);
	view.setUint32(offset + 28, uint(value.identity6, 0xffffffff, 'endpoint.identity6'), true);
	putBytes(view, offset + 32, value.addr4, 16, 'endpoint.addr4');
	putBytes(view, offset + 48, value.addr6, 16, 'endpoint.addr6');
}
function decodeEndpoint(view: DataView, offset: number): Endpoint {
	return {
		ifindex: view.getUint32(offset, true),
		gen: view.getUint8(offset + 4),
		flags: view.getUint8(offset + 5),
		mac: getBytes(view, offset + 6, 6),
		hostMac: getBytes(view, offset + 12, 6),
		policyGen: view.getUint16(offset + 18, true),
		identity: view.getUint32(offset + 20, true),
		policySet: view.getUint32(offset + 24, true),
		identity6: view.getUint32(offset + 28, true),
		addr4: getBytes(view, offset + 32, 16),
		addr6: getBytes(view, offset + 48, 16),
	};
}
function formatEndpoint(value: Endpoint): string {
	return `ifindex=${value.ifindex} gen=${value.gen} flags=${value.flags} mac=${formatBytes(value.mac)} host_mac=${formatBytes(value.hostMac)} policy_gen=${value.policyGen} identity=${value.identity} policy_set=${value.policySet} identity6=${value.identity6} addr4=${formatBytes(value.addr4)} addr6=${formatBytes(value.addr6)}`;
}
export const Endpoint = {
	name: 'endpoint',
	size: 64,
	layout: '5946b5454eb28949',
	encode: (value: Endpoint): Uint8Array => encodeWith(64, encodeEndpoint, value),
	encodeInto: encodeEndpoint,
	decode: (bytes: Uint8Array, offset = 0): Endpoint =>
		decodeEndpoint(viewOf(bytes, offset, 64, 'endpoint'), 0),
	decodeFrom: decodeEndpoint,
	format: formatEndpoint,
} as const satisfies Codec<Endpoint>;

export interface Node {
	tunnel: Uint8Array;
	nexthop6: Uint8Array;
	nexthop4: number;
	ifindex: number;
	mtu: number;
	gen: number;
	flags: number;
	identity: number;
}
function encodeNode(value: Node, view: DataView, offset: number): void {
	putBytes(view, offset, value.tunnel, 16, 'node.tunnel');
	putBytes(view, offset + 16, value.nexthop6, 16, 'node.nexthop6');
	view.setUint32(offset + 32, uint(value.nexthop4, 0xffffffff, 'node.nexthop4'));
	view.setUint32(offset + 36, uint(value.ifindex, 0xffffffff, 'node.ifindex'), true);
	view.setUint16(offset + 40, uint(value.mtu, 0xffff, 'node.mtu'), true);
	view.setUint8(offset + 42, uint(value.gen, 0xff, 'node.gen'));
	view.setUint8(offset + 43, uint(value.flags, 0xff, 'node.flags'));
	view.setUint32(offset + 44, uint(value.identity, 0xffffffff, 'node.identity'), true);
	view.setBigUint64(offset + 48, 0n, true);
}
function decodeNode(view: DataView, offset: number): Node {
	return {
		tunnel: getBytes(view, offset, 16),
		nexthop6: getBytes(view, offset + 16, 16),
		nexthop4: view.getUint32(offset + 32),
		ifindex: view.getUint32(offset + 36, true),
		mtu: view.getUint16(offset + 40, true),
		gen: view.getUint8(offset + 42),
		flags: view.getUint8(offset + 43),
		identity: view.getUint32(offset + 44, true),
	};
}
function formatNode(value: Node): string {
	return `tunnel=${formatBytes(value.tunnel)} nexthop6=${formatBytes(value.nexthop6)} nexthop4=${value.nexthop4} ifindex=${value.ifindex} mtu=${value.mtu} gen=${value.gen} flags=${value.flags} identity=${value.identity}`;
}
export const Node = {
	name: 'node',
	size: 56,
	layout: '2f17c55e9c2e928b',
	encode: (value: Node): Uint8Array => encodeWith(56, encodeNode, value),
	encodeInto: encodeNode,
	decode: (bytes: Uint8Array, offset = 0): Node =>
		decodeNode(viewOf(bytes, offset, 56, 'node'), 0),
	decodeFrom: decodeNode,
	format: formatNode,
} as const satisfies Codec<Node>;

export interface Uplink {
	ifindex: number;
	mtu: number;
	addr4: Uint8Array;
	addr6: Uint8Array;
}
function encodeUplink(value: Uplink, view: DataView, offset: number): void {
	view.setUint32(offset, uint(value.ifindex, 0xffffffff, 'uplink.ifindex'), true);
	view.setUint32(offset + 4, uint(value.mtu, 0xffffffff, 'uplink.mtu'), true);
	putBytes(view, offset + 8, value.addr4, 16, 'uplink.addr4');
	putBytes(view, offset + 24, value.addr6, 16, 'uplink.addr6');
}
function decodeUplink(view: DataView, offset: number): Uplink {
	return {
		ifindex: view.getUint32(offset, true),
		mtu: view.getUint32(offset + 4, true),
		addr4: getBytes(view, offset + 8, 16),
		addr6: getBytes(view, offset + 24, 16),
	};
}
function formatUplink(value: Uplink): string {
	return `ifindex=${value.ifindex} mtu=${value.mtu} addr4=${formatBytes(value.addr4)} addr6=${formatBytes(value.addr6)}`;
}
export const Uplink = {
	name: 'uplink',
	size: 40,
	layout: '208437d138ad65b3',
	encode: (value: Uplink): Uint8Array => encodeWith(40, encodeUplink, value),
	encodeInto: encodeUplink,
	decode: (bytes: Uint8Array, offset = 0): Uplink =>
		decodeUplink(viewOf(bytes, offset, 40, 'uplink'), 0),
	decodeFrom: decodeUplink,
	format: formatUplink,
} as const satisfies Codec<Uplink>;

export interface SvcKey {
	addr: Uint8Array;
	port: number;
	proto: number;
	scope: number;
}
function encodeSvcKey(value: SvcKey, view: DataView, offset: number): void {
	putBytes(view, offset, value.addr, 16, 'svc_key.addr');
	view.setUint16(offset + 16, uint(value.port, 0xffff, 'svc_key.port'));
	view.setUint8(offset + 18, uint(value.proto, 0xff, 'svc_key.proto'));
	view.setUint8(offset + 19, uint(value.scope, 0xff, 'svc_key.scope'));
}
function decodeSvcKey(view: DataView, offset: number): SvcKey {
	return {
		addr: getBytes(view, offset, 16),
		port: view.getUint16(offset + 16),
		proto: view.getUint8(offset + 18),
		scope: view.getUint8(offset + 19),
	};
}
function formatSvcKey(value: SvcKey): string {
	return `addr=${formatBytes(value.addr)} port=${value.port} proto=${value.proto} scope=${value.scope}`;
}
export const SvcKey = {
	name: 'svc_key',
	size: 20,
	layout: 'fbd891f7c66a00d9',
	encode: (value: SvcKey): Uint8Array => encodeWith(20, encodeSvcKey, value),
	encodeInto: encodeSvcKey,
	decode: (bytes: Uint8Array, offset = 0): SvcKey =>
		decodeSvcKey(viewOf(bytes, offset, 20, 'svc_key'), 0),
	decodeFrom: decodeSvcKey,
	format: formatSvcKey,
} as const satisfies Codec<SvcKey>;

export interface SvcEntry {
	id: number;
	generation: number;
	flags: number;
	allBase: number;
	allCount: number;
	localBase: number;
	localCount: number;
	prevBase: number;
	prevCount: number;
	affinityTimeoutS: number;
	sourceSet: number;
	transition: number;
}
function encodeSvcEntry(value: SvcEntry, view: DataView, offset: number): void {
	view.setUint32(offset, uint(value.id, 0xffffffff, 'svc_entry.id'), true);
	view.setUint32(offset + 4, uint(value.generation, 0xffffffff, 'svc_entry.generation'), true);
	view.setUint32(offset + 8, uint(value.flags, 0xffffffff, 'svc_entry.flags'), true);
	view.setUint32(offset + 12, uint(value.allBase, 0xffffffff, 'svc_entry.all_base'), true);
	view.setUint32(offset + 16, uint(value.allCount, 0xffffffff, 'svc_entry.all_count'), true);
	view.setUint32(offset + 20, uint(value.localBase, 0xffffffff, 'svc_entry.local_base'), true);
	view.setUint32(offset + 24, uint(value.localCount, 0xffffffff, 'svc_entry.local_count'), true);
	view.setUint32(offset + 28, uint(value.prevBase, 0xffffffff, 'svc_entry.prev_base'), true);
	view.setUint32(offset + 32, uint(value.prevCount, 0xffffffff, 'svc_entry.prev_count'), true);
	view.setUint32(offset + 36, uint(value.affinityTimeoutS, 0xffffffff, 'svc_entry.affinity_timeout_s'), true);
	view.setUint32(offset + 40, uint(value.sourceSet, 0xffffffff, 'svc_entry.source_set'), true);
	view.setUint32(offset + 44, uint(value.transition, 0xffffffff, 'svc_entry.transition'), true);
}
function decodeSvcEntry(view: DataView, offset: number): SvcEntry {
	return {
		id: view.getUint32(offset, true),
		generation: view.getUint32(offset + 4, true),
		flags: view.getUint32(offset + 8, true),
		allBase: view.getUint32(offset + 12, true),
		allCount: view.getUint32(offset + 16, true),
		localBase: view.getUint32(offset + 20, true),
		localCount: view.getUint32(offset + 24, true),
		prevBase: view.getUint32(offset + 28, true),
		prevCount: view.getUint32(offset + 32, true),
		affinityTimeoutS: view.getUint32(offset + 36, true),
		sourceSet: view.getUint32(offset + 40, true),
		transition: view.getUint32(offset + 44, true),
	};
}
function formatSvcEntry(value: SvcEntry): string {
	return `id=${value.id} generation=${value.generation} flags=${value.flags} all_base=${value.allBase} all_count=${value.allCount} local_base=${value.localBase} local_count=${value.localCount} prev_base=${value.prevBase} prev_count=${value.prevCount} affinity_timeout_s=${value.affinityTimeoutS} source_set=${value.sourceSet} transition=${value.transition}`;
}
export const SvcEntry = {
	name: 'svc_entry',
	size: 48,
	layout: 'b67f75e1aca1edad',
	encode: (value: SvcEntry): Uint8Array => encodeWith(48, encodeSvcEntry, value),
	encodeInto: encodeSvcEntry,
	decode: (bytes: Uint8Array, offset = 0): SvcEntry =>
		decodeSvcEntry(viewOf(bytes, offset, 48, 'svc_entry'), 0),
	decodeFrom: decodeSvcEntry,
	format: formatSvcEntry,
} as const satisfies Codec<SvcEntry>;

export interface SlotChunk {
	backend: number[];
}
function encodeSlotChunk(value: SlotChunk, view: DataView, offset: number): void {
	counted(value.backend, 16, 'slot_chunk.backend').forEach((each, index) => {
		view.setUint32(offset + index * 4, uint(each, 0xffffffff, 'slot_chunk.backend'), true);
	});
}
function decodeSlotChunk(view: DataView, offset: number): SlotChunk {
	return {
		backend: Array.from({ length: 16 }, (_, index) => view.getUint32(offset + index * 4, true)),
	};
}
function formatSlotChunk(value: SlotChunk): string {
	return `backend=${value.backend.join(',')}`;
}
export const SlotChunk = {
	name: 'slot_chunk',
	size: 64,
	layout: '83ff3908f6c08051',
	encode: (value: SlotChunk): Uint8Array => encodeWith(64, encodeSlotChunk, value),
	encodeInto: encodeSlotChunk,
	decode: (bytes: Uint8Array, offset = 0): SlotChunk =>
		decodeSlotChunk(viewOf(bytes, offset, 64, 'slot_chunk'), 0),
	decodeFrom: decodeSlotChunk,
	format: formatSlotChunk,
} as const satisfies Codec<SlotChunk>;

export interface Backend {
	addr: Uint8Array;
	port: number;
	proto: number;
	flags: number;
	generation: number;
	peer: PeerRef;
	svcId: number;
}
function encodeBackend(value: Backend, view: DataView, offset: number): void {
	putBytes(view, offset, value.addr, 16, 'backend.addr');
	view.setUint16(offset + 16, uint(value.port, 0xffff, 'backend.port'));
	view.setUint8(offset + 18, uint(value.proto, 0xff, 'backend.proto'));
	view.setUint8(offset + 19, uint(value.flags, 0xff, 'backend.flags'));
	view.setUint32(offset + 20, uint(value.generation, 0xffffffff, 'backend.generation'), true);
	encodePeerRef(value.peer, view, offset + 24);
	view.setUint32(offset + 28, uint(value.svcId, 0xffffffff, 'backend.svc_id'), true);
}
function decodeBackend(view: DataView, offset: number): Backend {
	return {
		addr: getBytes(view, offset, 16),
		port: view.getUint16(offset + 16),
		proto: view.getUint8(offset + 18),
		flags: view.getUint8(offset + 19),
		generation: view.getUint32(offset + 20, true),
		peer: decodePeerRef(view, offset + 24),
		svcId: view.getUint32(offset + 28, true),
	};
}
function formatBackend(value: Backend): string {
	return `addr=${formatBytes(value.addr)} port=${value.port} proto=${value.proto} flags=${value.flags} generation=${value.generation} peer=${formatPeerRef(value.peer)} svc_id=${value.svcId}`;
}
export const Backend = {
	name: 'backend',
	size: 32,
	layout: '0afc246bca4e439b',
	encode: (value: Backend): Uint8Array => encodeWith(32, encodeBackend, value),
	encodeInto: encodeBackend,
	decode: (bytes: Uint8Array, offset = 0): Backend =>
		decodeBackend(viewOf(bytes, offset, 32, 'backend'), 0),
	decodeFrom: decodeBackend,
	format: formatBackend,
} as const satisfies Codec<Backend>;

export interface AffinityKey {
	client: Uint8Array;
	svcId: number;
}
function encodeAffinityKey(value: AffinityKey, view: DataView, offset: number): void {
	putBytes(view, offset, value.client, 16, 'affinity_key.client');
	view.setUint32(offset + 16, uint(value.svcId, 0xffffffff, 'affinity_key.svc_id'), true);
	view.setUint32(offset + 20, 0, true);
}
function decodeAffinityKey(view: DataView, offset: number): AffinityKey {
	return {
		client: getBytes(view, offset, 16),
		svcId: view.getUint32(offset + 16, true),
	};
}
function formatAffinityKey(value: AffinityKey): string {
	return `client=${formatBytes(value.client)} svc_id=${value.svcId}`;
}
export const AffinityKey = {
	name: 'affinity_key',
	size: 24,
	layout: '035be1e320bf761a',
	encode: (value: AffinityKey): Uint8Array => encodeWith(24, encodeAffinityKey, value),
	encodeInto: encodeAffinityKey,
	decode: (bytes: Uint8Array, offset = 0): AffinityKey =>
		decodeAffinityKey(viewOf(bytes, offset, 24, 'affinity_key'), 0),
	decodeFrom: decodeAffinityKey,
	format: formatAffinityKey,
} as const satisfies Codec<AffinityKey>;

export interface AffinityEntry {
	backend: number;
	generation: number;
	lastUsed: number;
}
function encodeAffinityEntry(value: AffinityEntry, view: DataView, offset: number): void {
	view.setUint32(offset, uint(value.backend, 0xffffffff, 'affinity_entry.backend'), true);
	view.setUint32(offset + 4, uint(value.generation, 0xffffffff, 'affinity_entry.generation'), true);
	view.setUint32(offset + 8, uint(value.lastUsed, 0xffffffff, 'affinity_entry.last_used'), true);
	view.setUint32(offset + 12, 0, true);
}
function decodeAffinityEntry(view: DataView, offset: number): AffinityEntry {
	return {
		backend: view.getUint32(offset, true),
		generation: view.getUint32(offset + 4, true),
		lastUsed: view.getUint32(offset + 8, true),
	};
}
function formatAffinityEntry(value: AffinityEntry): string {
	return `backend=${value.backend} generation=${value.generation} last_used=${value.lastUsed}`;
}
export const AffinityEntry = {
	name: 'affinity_entry',
	size: 16,
	layout: 'b4a26a384efc1390',
	encode: (value: AffinityEntry): Uint8Array => encodeWith(16, encodeAffinityEntry, value),
	encodeInto: encodeAffinityEntry,
	decode: (bytes: Uint8Array, offset = 0): AffinityEntry =>
		decodeAffinityEntry(viewOf(bytes, offset, 16, 'affinity_entry'), 0),
	decodeFrom: decodeAffinityEntry,
	format: formatAffinityEntry,
} as const satisfies Codec<AffinityEntry>;

export interface SourceKey {
	prefixLen: number;
	set: number;
	addr: Uint8Array;
}
function encodeSourceKey(value: SourceKey, view: DataView, offset: number): void {
	view.setUint32(offset, uint(value.prefixLen, 0xffffffff, 'source_key.prefix_len'), true);
	view.setUint32(offset + 4, uint(value.set, 0xffffffff, 'source_key.set'), true);
	putBytes(view, offset + 8, value.addr, 16, 'source_key.addr');
}
function decodeSourceKey(view: DataView, offset: number): SourceKey {
	return {
		prefixLen: view.getUint32(offset, true),
		set: view.getUint32(offset + 4, true),
		addr: getBytes(view, offset + 8, 16),
	};
}
function formatSourceKey(value: SourceKey): string {
	return `prefix_len=${value.prefixLen} set=${value.set} addr=${formatBytes(value.addr)}`;
}
export const SourceKey = {
	name: 'source_key',
	size: 24,
	layout: '923f90040ccf48e1',
	encode: (value: SourceKey): Uint8Array => encodeWith(24, encodeSourceKey, value),
	encodeInto: encodeSourceKey,
	decode: (bytes: Uint8Array, offset = 0): SourceKey =>
		decodeSourceKey(viewOf(bytes, offset, 24, 'source_key'), 0),
	decodeFrom: decodeSourceKey,
	format: formatSourceKey,
} as const satisfies Codec<SourceKey>;

export interface SockRevKey {
	cookie: bigint;
	addr: Uint8Array;
	port: number;
}
function encodeSockRevKey(value: SockRevKey, view: DataView, offset: number): void {
	view.setBigUint64(offset, value.cookie, true);
	putBytes(view, offset + 8, value.addr, 16, 'sock_rev_key.addr');
	view.setUint16(offset + 24, uint(value.port, 0xffff, 'sock_rev_key.port'));
	view.setUint16(offset + 26, 0, true);
	view.setUint32(offset + 28, 0, true);
}
function decodeSockRevKey(view: DataView, offset: number): SockRevKey {
	return {
		cookie: view.getBigUint64(offset, true),
		addr: getBytes(view, offset + 8, 16),
		port: view.getUint16(offset + 24),
	};
}
function formatSockRevKey(value: SockRevKey): string {
	return `cookie=${value.cookie} addr=${formatBytes(value.addr)} port=${value.port}`;
}
export const SockRevKey = {
	name: 'sock_rev_key',
	size: 32,
	layout: 'b562a45c5fee696c',
	encode: (value: SockRevKey): Uint8Array => encodeWith(32, encodeSockRevKey, value),
	encodeInto: encodeSockRevKey,
	decode: (bytes: Uint8Array, offset = 0): SockRevKey =>
		decodeSockRevKey(viewOf(bytes, offset, 32, 'sock_rev_key'), 0),
	decodeFrom: decodeSockRevKey,
	format: formatSockRevKey,
} as const satisfies Codec<SockRevKey>;

export interface SockRevEntry {
	addr: Uint8Array;
	port: number;
	svcId: number;
}
function encodeSockRevEntry(value: SockRevEntry, view: DataView, offset: number): void {
	putBytes(view, offset, value.addr, 16, 'sock_rev_entry.addr');
	view.setUint16(offset + 16, uint(value.port, 0xffff, 'sock_rev_entry.port'));
	view.setUint16(offset + 18, 0, true);
	view.setUint32(offset + 20, uint(value.svcId, 0xffffffff, 'sock_rev_entry.svc_id'), true);
}
function decodeSockRevEntry(view: DataView, offset: number): SockRevEntry {
	return {
		addr: getBytes(view, offset, 16),
		port: view.getUint16(offset + 16),
		svcId: view.getUint32(offset + 20, true),
	};
}
function formatSockRevEntry(value: SockRevEntry): string {
	return `addr=${formatBytes(value.addr)} port=${value.port} svc_id=${value.svcId}`;
}
export const SockRevEntry = {
	name: 'sock_rev_entry',
	size: 24,
	layout: '2da236de7509c270',
	encode: (value: SockRevEntry): Uint8Array => encodeWith(24, encodeSockRevEntry, value),
	encodeInto: encodeSockRevEntry,
	decode: (bytes: Uint8Array, offset = 0): SockRevEntry =>
		decodeSockRevEntry(viewOf(bytes, offset, 24, 'sock_rev_entry'), 0),
	decodeFrom: decodeSockRevEntry,
	format: formatSockRevEntry,
} as const satisfies Codec<SockRevEntry>;

export interface Ct4Key {
	lo: number;
	hi: number;
	loPort: number;
	hiPort: number;
	proto: number;
}
function encodeCt4Key(value: Ct4Key, view: DataView, offset: number): void {
	view.setUint32(offset, uint(value.lo, 0xffffffff, 'ct4_key.lo'));
	view.setUint32(offset + 4, uint(value.hi, 0xffffffff, 'ct4_key.hi'));
	view.setUint16(offset + 8, uint(value.loPort, 0xffff, 'ct4_key.lo_port'));
	view.setUint16(offset + 10, uint(value.hiPort, 0xffff, 'ct4_key.hi_port'));
	view.setUint8(offset + 12, uint(value.proto, 0xff, 'ct4_key.proto'));
	view.setUint8(offset + 13, 0);
	view.setUint8(offset + 13 + 1, 0);
	view.setUint8(offset + 13 + 2, 0);
}
function decodeCt4Key(view: DataView, offset: number): Ct4Key {
	return {
		lo: view.getUint32(offset),
		hi: view.getUint32(offset + 4),
		loPort: view.getUint16(offset + 8),
		hiPort: view.getUint16(offset + 10),
		proto: view.getUint8(offset + 12),
	};
}
function formatCt4Key(value: Ct4Key): string {
	return `lo=${value.lo} hi=${value.hi} lo_port=${value.loPort} hi_port=${value.hiPort} proto=${value.proto}`;
}
export const Ct4Key = {
	name: 'ct4_key',
	size: 16,
	layout: '4a9b4ac1b00a05cb',
	encode: (value: Ct4Key): Uint8Array => encodeWith(16, encodeCt4Key, value),
	encodeInto: encodeCt4Key,
	decode: (bytes: Uint8Array, offset = 0): Ct4Key =>
		decodeCt4Key(viewOf(bytes, offset, 16, 'ct4_key'), 0),
	decodeFrom: decodeCt4Key,
	format: formatCt4Key,
} as const satisfies Codec<Ct4Key>;

export interface CtKey {
	lo: Uint8Array;
	hi: Uint8Array;
	loPort: number;
	hiPort: number;
	proto: number;
}
function encodeCtKey(value: CtKey, view: DataView, offset: number): void {
	putBytes(view, offset, value.lo, 16, 'ct_key.lo');
	putBytes(view, offset + 16, value.hi, 16, 'ct_key.hi');
	view.setUint16(offset + 32, uint(value.loPort, 0xffff, 'ct_key.lo_port'));
	view.setUint16(offset + 34, uint(value.hiPort, 0xffff, 'ct_key.hi_port'));
	view.setUint8(offset + 36, uint(value.proto, 0xff, 'ct_key.proto'));
	view.setUint8(offset + 37, 0);
	view.setUint16(offset + 38, 0, true);
}
function decodeCtKey(view: DataView, offset: number): CtKey {
	return {
		lo: getBytes(view, offset, 16),
		hi: getBytes(view, offset + 16, 16),
		loPort: view.getUint16(offset + 32),
		hiPort: view.getUint16(offset + 34),
		proto: view.getUint8(offset + 36),
	};
}
function formatCtKey(value: CtKey): string {
	return `lo=${formatBytes(value.lo)} hi=${formatBytes(value.hi)} lo_port=${value.loPort} hi_port=${value.hiPort} proto=${value.proto}`;
}
export const CtKey = {
	name: 'ct_key',
	size: 40,
	layout: '90715b0d0f4fb14f',
	encode: (value: CtKey): Uint8Array => encodeWith(40, encodeCtKey, value),
	encodeInto: encodeCtKey,
	decode: (bytes: Uint8Array, offset = 0): CtKey =>
		decodeCtKey(viewOf(bytes, offset, 40, 'ct_key'), 0),
	decodeFrom: decodeCtKey,
	format: formatCtKey,
} as const satisfies Codec<CtKey>;

export interface Ct4Entry {
	xlatePort: number;
	snatPort: number;
	flags: number;
	source: number;
	peer: PeerRef[];
	lastSeen: number;
	backend: number;
	packets: number[];
	bytes: bigint[];
	created: number;
	policyGen: number[];
	rule: number[];
	xlateAddr: number;
}
function encodeCt4Entry(value: Ct4Entry, view: DataView, offset: number): void {
	view.setUint16(offset, uint(value.xlatePort, 0xffff, 'ct4_entry.xlate_port'));
	view.setUint16(offset + 2, uint(value.snatPort, 0xffff, 'ct4_entry.snat_port'));
	view.setUint16(offset + 4, uint(value.flags, 0xffff, 'ct4_entry.flags'), true);
	view.setUint16(offset + 6, uint(value.source, 0xffff, 'ct4_entry.source'), true);
	counted(value.peer, 2, 'ct4_entry.peer').forEach((each, index) => {
		encodePeerRef(each, view, offset + 8 + index * 4);
	});
	view.setUint32(offset + 16, uint(value.lastSeen, 0xffffffff, 'ct4_entry.last_seen'), true);
	view.setUint32(offset + 20, uint(value.backend, 0xffffffff, 'ct4_entry.backend'), true);
	counted(value.packets, 2, 'ct4_entry.packets').forEach((each, index) => {
		view.setUint32(offset + 24 + index * 4, uint(each, 0xffffffff, 'ct4_entry.packets'), true);
	});
	counted(value.bytes, 2, 'ct4_entry.bytes').forEach((each, index) => {
		view.setBigUint64(offset + 32 + index * 8, each, true);
	});
	view.setUint32(offset + 48, uint(value.created, 0xffffffff, 'ct4_entry.created'), true);
	counted(value.policyGen, 2, 'ct4_entry.policy_gen').forEach((each, index) => {
		view.setUint16(offset + 52 + index * 2, uint(each, 0xffff, 'ct4_entry.policy_gen'), true);
	});
	counted(value.rule, 2, 'ct4_entry.rule').forEach((each, index) => {
		view.setUint16(offset + 56 + index * 2, uint(each, 0xffff, 'ct4_entry.rule'), true);
	});
	view.setUint32(offset + 60, uint(value.xlateAddr, 0xffffffff, 'ct4_entry.xlate_addr'));
}
function decodeCt4Entry(view: DataView, offset: number): Ct4Entry {
	return {
		xlatePort: view.getUint16(offset),
		snatPort: view.getUint16(offset + 2),
		flags: view.getUint16(offset + 4, true),
		source: view.getUint16(offset + 6, true),
		peer: Array.from({ length: 2 }, (_, index) => decodePeerRef(view, offset + 8 + index * 4)),
		lastSeen: view.getUint32(offset + 16, true),
		backend: view.getUint32(offset + 20, true),
		packets: Array.from({ length: 2 }, (_, index) => view.getUint32(offset + 24 + index * 4, true)),
		bytes: Array.from({ length: 2 }, (_, index) => view.getBigUint64(offset + 32 + index * 8, true)),
		created: view.getUint32(offset + 48, true),
		policyGen: Array.from({ length: 2 }, (_, index) => view.getUint16(offset + 52 + index * 2, true)),
		rule: Array.from({ length: 2 }, (_, index) => view.getUint16(offset + 56 + index * 2, true)),
		xlateAddr: view.getUint32(offset + 60),
	};
}
function formatCt4Entry(value: Ct4Entry): string {
	return `xlate_port=${value.xlatePort} snat_port=${value.snatPort} flags=${value.flags} source=${value.source} peer=${value.peer.map((each) => `{${formatPeerRef(each)}}`).join(',')} last_seen=${value.lastSeen} backend=${value.backend} packets=${value.packets.join(',')} bytes=${value.bytes.join(',')} created=${value.created} policy_gen=${value.policyGen.join(',')} rule=${value.rule.join(',')} xlate_addr=${value.xlateAddr}`;
}
export const Ct4Entry = {
	name: 'ct4_entry',
	size: 64,
	layout: '17d1c76e2fb5cdde',
	encode: (value: Ct4Entry): Uint8Array => encodeWith(64, encodeCt4Entry, value),
	encodeInto: encodeCt4Entry,
	decode: (bytes: Uint8Array, offset = 0): Ct4Entry =>
		decodeCt4Entry(viewOf(bytes, offset, 64, 'ct4_entry'), 0),
	decodeFrom: decodeCt4Entry,
	format: formatCt4Entry,
} as const satisfies Codec<Ct4Entry>;

export interface CtEntry {
	xlatePort: number;
	snatPort: number;
	flags: number;
	source: number;
	peer: PeerRef[];
	lastSeen: number;
	backend: number;
	packets: number[];
	bytes: bigint[];
	created: number;
	policyGen: number[];
	rule: number[];
	xlateAddr: Uint8Array;
	client: Uint8Array;
}
function encodeCtEntry(value: CtEntry, view: DataView, offset: number): void {
	view.setUint16(offset, uint(value.xlatePort, 0xffff, 'ct_entry.xlate_port'));
	view.setUint16(offset + 2, uint(value.snatPort, 0xffff, 'ct_entry.snat_port'));
	view.setUint16(offset + 4, uint(value.flags, 0xffff, 'ct_entry.flags'), true);
	view.setUint16(offset + 6, uint(value.source, 0xffff, 'ct_entry.source'), true);
	counted(value.peer, 2, 'ct_entry.peer').forEach((each, index) => {
		encodePeerRef(each, view, offset + 8 + index * 4);
	});
	view.setUint32(offset + 16, uint(value.lastSeen, 0xffffffff, 'ct_entry.last_seen'), true);
	view.setUint32(offset + 20, uint(value.backend, 0xffffffff, 'ct_entry.backend'), true);
	counted(value.packets, 2, 'ct_entry.packets').forEach((each, index) => {
		view.setUint32(offset + 24 + index * 4, uint(each, 0xffffffff, 'ct_entry.packets'), true);
	});
	counted(value.bytes, 2, 'ct_entry.bytes').forEach((each, index) => {
		view.setBigUint64(offset + 32 + index * 8, each, true);
	});
	view.setUint32(offset + 48, uint(value.created, 0xffffffff, 'ct_entry.created'), true);
	counted(value.policyGen, 2, 'ct_entry.policy_gen').forEach((each, index) => {
		view.setUint16(offset + 52 + index * 2, uint(each, 0xffff, 'ct_entry.policy_gen'), true);
	});
	counted(value.rule, 2, 'ct_entry.rule').forEach((each, index) => {
		view.setUint16(offset + 56 + index * 2, uint(each, 0xffff, 'ct_entry.rule'), true);
	});
	view.setUint32(offset + 60, 0, true);
	putBytes(view, offset + 64, value.xlateAddr, 16, 'ct_entry.xlate_addr');
	putBytes(view, offset + 80, value.client, 16, 'ct_entry.client');
	view.setBigUint64(offset + 96, 0n, true);
}
function decodeCtEntry(view: DataView, offset: number): CtEntry {
	return {
		xlatePort: view.getUint16(offset),
		snatPort: view.getUint16(offset + 2),
		flags: view.getUint16(offset + 4, true),
		source: view.getUint16(offset + 6, true),
		peer: Array.from({ length: 2 }, (_, index) => decodePeerRef(view, offset + 8 + index * 4)),
		lastSeen: view.getUint32(offset + 16, true),
		backend: view.getUint32(offset + 20, true),
		packets: Array.from({ length: 2 }, (_, index) => view.getUint32(offset + 24 + index * 4, true)),
		bytes: Array.from({ length: 2 }, (_, index) => view.getBigUint64(offset + 32 + index * 8, true)),
		created: view.getUint32(offset + 48, true),
		policyGen: Array.from({ length: 2 }, (_, index) => view.getUint16(offset + 52 + index * 2, true)),
		rule: Array.from({ length: 2 }, (_, index) => view.getUint16(offset + 56 + index * 2, true)),
		xlateAddr: getBytes(view, offset + 64, 16),
		client: getBytes(view, offset + 80, 16),
	};
}
function formatCtEntry(value: CtEntry): string {
	return `xlate_port=${value.xlatePort} snat_port=${value.snatPort} flags=${value.flags} source=${value.source} peer=${value.peer.map((each) => `{${formatPeerRef(each)}}`).join(',')} last_seen=${value.lastSeen} backend=${value.backend} packets=${value.packets.join(',')} bytes=${value.bytes.join(',')} created=${value.created} policy_gen=${value.policyGen.join(',')} rule=${value.rule.join(',')} xlate_addr=${formatBytes(value.xlateAddr)} client=${formatBytes(value.client)}`;
}
export const CtEntry = {
	name: 'ct_entry',
	size: 104,
	layout: '97355df5319edf7e',
	encode: (value: CtEntry): Uint8Array => encodeWith(104, encodeCtEntry, value),
	encodeInto: encodeCtEntry,
	decode: (bytes: Uint8Array, offset = 0): CtEntry =>
		decodeCtEntry(viewOf(bytes, offset, 104, 'ct_entry'), 0),
	decodeFrom: decodeCtEntry,
	format: formatCtEntry,
} as const satisfies Codec<CtEntry>;

export interface FragKey {
	src: Uint8Array;
	dst: Uint8Array;
	id: number;
	proto: number;
	leaving: number;
}
function encodeFragKey(value: FragKey, view: DataView, offset: number): void {
	putBytes(view, offset, value.src, 16, 'frag_key.src');
	putBytes(view, offset + 16, value.dst, 16, 'frag_key.dst');
	view.setUint32(offset + 32, uint(value.id, 0xffffffff, 'frag_key.id'), true);
	view.setUint8(offset + 36, uint(value.proto, 0xff, 'frag_key.proto'));
	view.setUint8(offset + 37, uint(value.leaving, 0xff, 'frag_key.leaving'));
	view.setUint16(offset + 38, 0, true);
}
function decodeFragKey(view: DataView, offset: number): FragKey {
	return {
		src: getBytes(view, offset, 16),
		dst: getBytes(view, offset + 16, 16),
		id: view.getUint32(offset + 32, true),
		proto: view.getUint8(offset + 36),
		leaving: view.getUint8(offset + 37),
	};
}
function formatFragKey(value: FragKey): string {
	return `src=${formatBytes(value.src)} dst=${formatBytes(value.dst)} id=${value.id} proto=${value.proto} leaving=${value.leaving}`;
}
export const FragKey = {
	name: 'frag_key',
	size: 40,
	layout: 'aaf4753946e94113',
	encode: (value: FragKey): Uint8Array => encodeWith(40, encodeFragKey, value),
	encodeInto: encodeFragKey,
	decode: (bytes: Uint8Array, offset = 0): FragKey =>
		decodeFragKey(viewOf(bytes, offset, 40, 'frag_key'), 0),
	decodeFrom: decodeFragKey,
	format: formatFragKey,
} as const satisfies Codec<FragKey>;

export interface FragEntry {
	sport: number;
	dport: number;
	count: number;
	seen: number;
	total: number;
	created: number;
	start: number[];
	end: number[];
}
function encodeFragEntry(value: FragEntry, view: DataView, offset: number): void {
	view.setUint16(offset, uint(value.sport, 0xffff, 'frag_entry.sport'));
	view.setUint16(offset + 2, uint(value.dport, 0xffff, 'frag_entry.dport'));
	view.setUint16(offset + 4, uint(value.count, 0xffff, 'frag_entry.count'), true);
	view.setUint16(offset + 6, uint(value.seen, 0xffff, 'frag_entry.seen'), true);
	view.setUint16(offset + 8, uint(value.total, 0xffff, 'frag_entry.total'), true);
	view.setUint16(offset + 10, 0, true);
	view.setUint32(offset + 12, uint(value.created, 0xffffffff, 'frag_entry.created'), true);
	counted(value.start, 6, 'frag_entry.start').forEach((each, index) => {
		view.setUint16(offset + 16 + index * 2, uint(each, 0xffff, 'frag_entry.start'), true);
	});
	counted(value.end, 6, 'frag_entry.end').forEach((each, index) => {
		view.setUint16(offset + 28 + index * 2, uint(each, 0xffff, 'frag_entry.end'), true);
	});
}
function decodeFragEntry(view: DataView, offset: number): FragEntry {
	return {
		sport: view.getUint16(offset),
		dport: view.getUint16(offset + 2),
		count: view.getUint16(offset + 4, true),
		seen: view.getUint16(offset + 6, true),
		total: view.getUint16(offset + 8, true),
		created: view.getUint32(offset + 12, true),
		start: Array.from({ length: 6 }, (_, index) => view.getUint16(offset + 16 + index * 2, true)),
		end: Array.from({ length: 6 }, (_, index) => view.getUint16(offset + 28 + index * 2, true)),
	};
}
function formatFragEntry(value: FragEntry): string {
	return `sport=${value.sport} dport=${value.dport} count=${value.count} seen=${value.seen} total=${value.total} created=${value.created} start=${value.start.join(',')} end=${value.end.join(',')}`;
}
export const FragEntry = {
	name: 'frag_entry',
	size: 40,
	layout: '83879a04ab33fd6d',
	encode: (value: FragEntry): Uint8Array => encodeWith(40, encodeFragEntry, value),
	encodeInto: encodeFragEntry,
	decode: (bytes: Uint8Array, offset = 0): FragEntry =>
		decodeFragEntry(viewOf(bytes, offset, 40, 'frag_entry'), 0),
	decodeFrom: decodeFragEntry,
	format: formatFragEntry,
} as const satisfies Codec<FragEntry>;

export interface DropCounter {
	packets: bigint;
	bytes: bigint;
}
function encodeDropCounter(value: DropCounter, view: DataView, offset: number): void {
	view.setBigUint64(offset, value.packets, true);
	view.setBigUint64(offset + 8, value.bytes, true);
}
function decodeDropCounter(view: DataView, offset: number): DropCounter {
	return {
		packets: view.getBigUint64(offset, true),
		bytes: view.getBigUint64(offset + 8, true),
	};
}
function formatDropCounter(value: DropCounter): string {
	return `packets=${value.packets} bytes=${value.bytes}`;
}
export const DropCounter = {
	name: 'drop_counter',
	size: 16,
	layout: '76764d447c17f536',
	encode: (value: DropCounter): Uint8Array => encodeWith(16, encodeDropCounter, value),
	encodeInto: encodeDropCounter,
	decode: (bytes: Uint8Array, offset = 0): DropCounter =>
		decodeDropCounter(viewOf(bytes, offset, 16, 'drop_counter'), 0),
	decodeFrom: decodeDropCounter,
	format: formatDropCounter,
} as const satisfies Codec<DropCounter>;

export interface FlowEvent {
	timeNs: bigint;
	type: number;
	reason: number;
	hook: number;
	proto: number;
	direction: number;
	tcpFlags: number;
	icmpCode: number;
	family: number;
	src: Uint8Array;
	dst: Uint8Array;
	origDst: Uint8Array;
	sport: number;
	dport: number;
	origDport: number;
	denied: number;
	audited: number;
	ifindex: number;
	len: number;
	srcIdentity: number;
	dstIdentity: number;
	rule: number[];
	svcId: number;
	bytes: bigint[];
	packets: number[];
}
function encodeFlowEvent(value: FlowEvent, view: DataView, offset: number): void {
	view.setBigUint64(offset, value.timeNs, true);
	view.setUint8(offset + 8, uint(value.type, 0xff, 'flow_event.type'));
	view.setUint8(offset + 9, uint(value.reason, 0xff, 'flow_event.reason'));
	view.setUint8(offset + 10, uint(value.hook, 0xff, 'flow_event.hook'));
	view.setUint8(offset + 11, uint(value.proto, 0xff, 'flow_event.proto'));
	view.setUint8(offset + 12, uint(value.direction, 0xff, 'flow_event.direction'));
	view.setUint8(offset + 13, uint(value.tcpFlags, 0xff, 'flow_event.tcp_flags'));
	view.setUint8(offset + 14, uint(value.icmpCode, 0xff, 'flow_event.icmp_code'));
	view.setUint8(offset + 15, uint(value.family, 0xff, 'flow_event.family'));
	putBytes(view, offset + 16, value.src, 16, 'flow_event.src');
	putBytes(view, offset + 32, value.dst, 16, 'flow_event.dst');
	putBytes(view, offset + 48, value.origDst, 16, 'flow_event.orig_dst');
	view.setUint16(offset + 64, uint(value.sport, 0xffff, 'flow_event.sport'));
	view.setUint16(offset + 66, uint(value.dport, 0xffff, 'flow_event.dport'));
	view.setUint16(offset + 68, uint(value.origDport, 0xffff, 'flow_event.orig_dport'));
	view.setUint8(offset + 70, uint(value.denied, 0xff, 'flow_event.denied'));
	view.setUint8(offset + 71, uint(value.audited, 0xff, 'flow_event.audited'));
	view.setUint32(offset + 72, uint(value.ifindex, 0xffffffff, 'flow_event.ifindex'), true);
	view.setUint32(offset + 76, uint(value.len, 0xffffffff, 'flow_event.len'), true);
	view.setUint32(offset + 80, uint(value.srcIdentity, 0xffffffff, 'flow_event.src_identity'), true);
	view.setUint32(offset + 84, uint(value.dstIdentity, 0xffffffff, 'flow_event.dst_identity'), true);
	counted(value.rule, 2, 'flow_event.rule').forEach((each, index) => {
		view.setUint16(offset + 88 + index * 2, uint(each, 0xffff, 'flow_event.rule'), true);
	});
	view.setUint32(offset + 92, uint(value.svcId, 0xffffffff, 'flow_event.svc_id'), true);
	counted(value.bytes, 2, 'flow_event.bytes').forEach((each, index) => {
		view.setBigUint64(offset + 96 + index * 8, each, true);
	});
	counted(value.packets, 2, 'flow_event.packets').forEach((each, index) => {
		view.setUint32(offset + 112 + index * 4, uint(each, 0xffffffff, 'flow_event.packets'), true);
	});
}
function decodeFlowEvent(view: DataView, offset: number): FlowEvent {
	return {
		timeNs: view.getBigUint64(offset, true),
		type: view.getUint8(offset + 8),
		reason: view.getUint8(offset + 9),
		hook: view.getUint8(offset + 10),
		proto: view.getUint8(offset + 11),
		direction: view.getUint8(offset + 12),
		tcpFlags: view.getUint8(offset + 13),
		icmpCode: view.getUint8(offset + 14),
		family: view.getUint8(offset + 15),
		src: getBytes(view, offset + 16, 16),
		dst: getBytes(view, offset + 32, 16),
		origDst: getBytes(view, offset + 48, 16),
		sport: view.getUint16(offset + 64),
		dport: view.getUint16(offset + 66),
		origDport: view.getUint16(offset + 68),
		denied: view.getUint8(offset + 70),
		audited: view.getUint8(offset + 71),
		ifindex: view.getUint32(offset + 72, true),
		len: view.getUint32(offset + 76, true),
		srcIdentity: view.getUint32(offset + 80, true),
		dstIdentity: view.getUint32(offset + 84, true),
		rule: Array.from({ length: 2 }, (_, index) => view.getUint16(offset + 88 + index * 2, true)),
		svcId: view.getUint32(offset + 92, true),
		bytes: Array.from({ length: 2 }, (_, index) => view.getBigUint64(offset + 96 + index * 8, true)),
		packets: Array.from({ length: 2 }, (_, index) => view.getUint32(offset + 112 + index * 4, true)),
	};
}
function formatFlowEvent(value: FlowEvent): string {
	return `time_ns=${value.timeNs} type=${value.type} reason=${value.reason} hook=${value.hook} proto=${value.proto} direction=${value.direction} tcp_flags=${value.tcpFlags} icmp_code=${value.icmpCode} family=${value.family} src=${formatBytes(value.src)} dst=${formatBytes(value.dst)} orig_dst=${formatBytes(value.origDst)} sport=${value.sport} dport=${value.dport} orig_dport=${value.origDport} denied=${value.denied} audited=${value.audited} ifindex=${value.ifindex} len=${value.len} src_identity=${value.srcIdentity} dst_identity=${value.dstIdentity} rule=${value.rule.join(',')} svc_id=${value.svcId} bytes=${value.bytes.join(',')} packets=${value.packets.join(',')}`;
}
export const FlowEvent = {
	name: 'flow_event',
	size: 120,
	layout: 'e2ac4cd9b41f2582',
	encode: (value: FlowEvent): Uint8Array => encodeWith(120, encodeFlowEvent, value),
	encodeInto: encodeFlowEvent,
	decode: (bytes: Uint8Array, offset = 0): FlowEvent =>
		decodeFlowEvent(viewOf(bytes, offset, 120, 'flow_event'), 0),
	decodeFrom: decodeFlowEvent,
	format: formatFlowEvent,
} as const satisfies Codec<FlowEvent>;

export interface EventBucket {
	tokens: number;
	refilled: number;
}
function encodeEventBucket(value: EventBucket, view: DataView, offset: number): void {
	view.setUint32(offset, uint(value.tokens, 0xffffffff, 'event_bucket.tokens'), true);
	view.setUint32(offset + 4, uint(value.refilled, 0xffffffff, 'event_bucket.refilled'), true);
}
function decodeEventBucket(view: DataView, offset: number): EventBucket {
	return {
		tokens: view.getUint32(offset, true),
		refilled: view.getUint32(offset + 4, true),
	};
}
function formatEventBucket(value: EventBucket): string {
	return `tokens=${value.tokens} refilled=${value.refilled}`;
}
export const EventBucket = {
	name: 'event_bucket',
	size: 8,
	layout: '827ebc8496dfef08',
	encode: (value: EventBucket): Uint8Array => encodeWith(8, encodeEventBucket, value),
	encodeInto: encodeEventBucket,
	decode: (bytes: Uint8Array, offset = 0): EventBucket =>
		decodeEventBucket(viewOf(bytes, offset, 8, 'event_bucket'), 0),
	decodeFrom: decodeEventBucket,
	format: formatEventBucket,
} as const satisfies Codec<EventBucket>;

export interface RuntimeState {
	migrating: number;
	externalPorts: number;
	formerPorts: number;
	snatPortMin: number;
	snatPortMax: number;
}
function encodeRuntimeState(value: RuntimeState, view: DataView, offset: number): void {
	view.setUint32(offset, uint(value.migrating, 0xffffffff, 'runtime_state.migrating'), true);
	view.setUint32(offset + 4, uint(value.externalPorts, 0xffffffff, 'runtime_state.external_ports'), true);
	view.setUint32(offset + 8, uint(value.formerPorts, 0xffffffff, 'runtime_state.former_ports'), true);
	view.setUint16(offset + 12, uint(value.snatPortMin, 0xffff, 'runtime_state.snat_port_min'), true);
	view.setUint16(offset + 14, uint(value.snatPortMax, 0xffff, 'runtime_state.snat_port_max'), true);
}
function decodeRuntimeState(view: DataView, offset: number): RuntimeState {
	return {
		migrating: view.getUint32(offset, true),
		externalPorts: view.getUint32(offset + 4, true),
		formerPorts: view.getUint32(offset + 8, true),
		snatPortMin: view.getUint16(offset + 12, true),
		snatPortMax: view.getUint16(offset + 14, true),
	};
}
function formatRuntimeState(value: RuntimeState): string {
	return `migrating=${value.migrating} external_ports=${value.externalPorts} former_ports=${value.formerPorts} snat_port_min=${value.snatPortMin} snat_port_max=${value.snatPortMax}`;
}
export const RuntimeState = {
	name: 'runtime_state',
	size: 16,
	layout: 'a91809c3fdebaca1',
	encode: (value: RuntimeState): Uint8Array => encodeWith(16, encodeRuntimeState, value),
	encodeInto: encodeRuntimeState,
	decode: (bytes: Uint8Array, offset = 0): RuntimeState =>
		decodeRuntimeState(viewOf(bytes, offset, 16, 'runtime_state'), 0),
	decodeFrom: decodeRuntimeState,
	format: formatRuntimeState,
} as const satisfies Codec<RuntimeState>;

export interface ResolverKey {
	addr: Uint8Array;
	port: number;
	proto: number;
}
function encodeResolverKey(value: ResolverKey, view: DataView, offset: number): void {
	putBytes(view, offset, value.addr, 16, 'resolver_key.addr');
	view.setUint16(offset + 16, uint(value.port, 0xffff, 'resolver_key.port'));
	view.setUint8(offset + 18, uint(value.proto, 0xff, 'resolver_key.proto'));
	view.setUint8(offset + 19, 0);
}
function decodeResolverKey(view: DataView, offset: number): ResolverKey {
	return {
		addr: getBytes(view, offset, 16),
		port: view.getUint16(offset + 16),
		proto: view.getUint8(offset + 18),
	};
}
function formatResolverKey(value: ResolverKey): string {
	return `addr=${formatBytes(value.addr)} port=${value.port} proto=${value.proto}`;
}
export const ResolverKey = {
	name: 'resolver_key',
	size: 20,
	layout: '2404498716bd3101',
	encode: (value: ResolverKey): Uint8Array => encodeWith(20, encodeResolverKey, value),
	encodeInto: encodeResolverKey,
	decode: (bytes: Uint8Array, offset = 0): ResolverKey =>
		decodeResolverKey(viewOf(bytes, offset, 20, 'resolver_key'), 0),
	decodeFrom: decodeResolverKey,
	format: formatResolverKey,
} as const satisfies Codec<ResolverKey>;

export interface DnsState {
	ifindex: number;
	alive: number;
}
function encodeDnsState(value: DnsState, view: DataView, offset: number): void {
	view.setUint32(offset, uint(value.ifindex, 0xffffffff, 'dns_state.ifindex'), true);
	view.setUint32(offset + 4, uint(value.alive, 0xffffffff, 'dns_state.alive'), true);
}
function decodeDnsState(view: DataView, offset: number): DnsState {
	return {
		ifindex: view.getUint32(offset, true),
		alive: view.getUint32(offset + 4, true),
	};
}
function formatDnsState(value: DnsState): string {
	return `ifindex=${value.ifindex} alive=${value.alive}`;
}
export const DnsState = {
	name: 'dns_state',
	size: 8,
	layout: '120fe216f8cf2b91',
	encode: (value: DnsState): Uint8Array => encodeWith(8, encodeDnsState, value),
	encodeInto: encodeDnsState,
	decode: (bytes: Uint8Array, offset = 0): DnsState =>
		decodeDnsState(viewOf(bytes, offset, 8, 'dns_state'), 0),
	decodeFrom: decodeDnsState,
	format: formatDnsState,
} as const satisfies Codec<DnsState>;

export interface PolicyKey {
	set: number;
	peer: number;
}
function encodePolicyKey(value: PolicyKey, view: DataView, offset: number): void {
	view.setUint32(offset, uint(value.set, 0xffffffff, 'policy_key.set'), true);
	view.setUint32(offset + 4, uint(value.peer, 0xffffffff, 'policy_key.peer'), true);
}
function decodePolicyKey(view: DataView, offset: number): PolicyKey {
	return {
		set: view.getUint32(offset, true),
		peer: view.getUint32(offset + 4, true),
	};
}
function formatPolicyKey(value: PolicyKey): string {
	return `set=${value.set} peer=${value.peer}`;
}
export const PolicyKey = {
	name: 'policy_key',
	size: 8,
	layout: '1633ff8b6ea46426',
	encode: (value: PolicyKey): Uint8Array => encodeWith(8, encodePolicyKey, value),
	encodeInto: encodePolicyKey,
	decode: (bytes: Uint8Array, offset = 0): PolicyKey =>
		decodePolicyKey(viewOf(bytes, offset, 8, 'policy_key'), 0),
	decodeFrom: decodePolicyKey,
	format: formatPolicyKey,
} as const satisfies Codec<PolicyKey>;

export interface PolicyExtent {
	base: number;
	count: number;
}
function encodePolicyExtent(value: PolicyExtent, view: DataView, offset: number): void {
	view.setUint32(offset, uint(value.base, 0xffffffff, 'policy_extent.base'), true);
	view.setUint32(offset + 4, uint(value.count, 0xffffffff, 'policy_extent.count'), true);
}
function decodePolicyExtent(view: DataView, offset: number): PolicyExtent {
	return {
		base: view.getUint32(offset, true),
		count: view.getUint32(offset + 4, true),
	};
}
function formatPolicyExtent(value: PolicyExtent): string {
	return `base=${value.base} count=${value.count}`;
}
export const PolicyExtent = {
	name: 'policy_extent',
	size: 8,
	layout: '5e820bc19f72db39',
	encode: (value: PolicyExtent): Uint8Array => encodeWith(8, encodePolicyExtent, value),
	encodeInto: encodePolicyExtent,
	decode: (bytes: Uint8Array, offset = 0): PolicyExtent =>
		decodePolicyExtent(viewOf(bytes, offset, 8, 'policy_extent'), 0),
	decodeFrom: decodePolicyExtent,
	format: formatPolicyExtent,
} as const satisfies Codec<PolicyExtent>;

export interface PolicyRow {
	key: PolicyKey;
	ranges: PolicyExtent;
}
function encodePolicyRow(value: PolicyRow, view: DataView, offset: number): void {
	encodePolicyKey(value.key, view, offset);
	encodePolicyExtent(value.ranges, view, offset + 8);
}
function decodePolicyRow(view: DataView, offset: number): PolicyRow {
	return {
		key: decodePolicyKey(view, offset),
		ranges: decodePolicyExtent(view, offset + 8),
	};
}
function formatPolicyRow(value: PolicyRow): string {
	return `key=${formatPolicyKey(value.key)} ranges=${formatPolicyExtent(value.ranges)}`;
}
export const PolicyRow = {
	name: 'policy_row',
	size: 16,
	layout: '63e5445d91942656',
	encode: (value: PolicyRow): Uint8Array => encodeWith(16, encodePolicyRow, value),
	encodeInto: encodePolicyRow,
	decode: (bytes: Uint8Array, offset = 0): PolicyRow =>
		decodePolicyRow(viewOf(bytes, offset, 16, 'policy_row'), 0),
	decodeFrom: decodePolicyRow,
	format: formatPolicyRow,
} as const satisfies Codec<PolicyRow>;

export interface PolicySet {
	pods: PolicyExtent[];
	others: PolicyExtent[];
	flags: number;
}
function encodePolicySet(value: PolicySet, view: DataView, offset: number): void {
	counted(value.pods, 2, 'policy_set.pods').forEach((each, index) => {
		encodePolicyExtent(each, view, offset + index * 8);
	});
	counted(value.others, 2, 'policy_set.others').forEach((each, index) => {
		encodePolicyExtent(each, view, offset + 16 + index * 8);
	});
	view.setUint32(offset + 32, uint(value.flags, 0xffffffff, 'policy_set.flags'), true);
	view.setUint32(offset + 36, 0, true);
}
function decodePolicySet(view: DataView, offset: number): PolicySet {
	return {
		pods: Array.from({ length: 2 }, (_, index) => decodePolicyExtent(view, offset + index * 8)),
		others: Array.from({ length: 2 }, (_, index) => decodePolicyExtent(view, offset + 16 + index * 8)),
		flags: view.getUint32(offset + 32, true),
	};
}
function formatPolicySet(value: PolicySet): string {
	return `pods=${value.pods.map((each) => `{${formatPolicyExtent(each)}}`).join(',')} others=${value.others.map((each) => `{${formatPolicyExtent(each)}}`).join(',')} flags=${value.flags}`;
}
export const PolicySet = {
	name: 'policy_set',
	size: 40,
	layout: '95a1526d7816f56b',
	encode: (value: PolicySet): Uint8Array => encodeWith(40, encodePolicySet, value),
	encodeInto: encodePolicySet,
	decode: (bytes: Uint8Array, offset = 0): PolicySet =>
		decodePolicySet(viewOf(bytes, offset, 40, 'policy_set'), 0),
	decodeFrom: decodePolicySet,
	format: formatPolicySet,
} as const satisfies Codec<PolicySet>;

export interface PolicyRange {
	first: number;
	verdict: number;
}
function encodePolicyRange(value: PolicyRange, view: DataView, offset: number): void {
	view.setUint32(offset, uint(value.first, 0xffffffff, 'policy_range.first'), true);
	view.setUint32(offset + 4, uint(value.verdict, 0xffffffff, 'policy_range.verdict'), true);
}
function decodePolicyRange(view: DataView, offset: number): PolicyRange {
	return {
		first: view.getUint32(offset, true),
		verdict: view.getUint32(offset + 4, true),
	};
}
function formatPolicyRange(value: PolicyRange): string {
	return `first=${value.first} verdict=${value.verdict}`;
}
export const PolicyRange = {
	name: 'policy_range',
	size: 8,
	layout: 'c8454c2d46635c99',
	encode: (value: PolicyRange): Uint8Array => encodeWith(8, encodePolicyRange, value),
	encodeInto: encodePolicyRange,
	decode: (bytes: Uint8Array, offset = 0): PolicyRange =>
		decodePolicyRange(viewOf(bytes, offset, 8, 'policy_range'), 0),
	decodeFrom: decodePolicyRange,
	format: formatPolicyRange,
} as const satisfies Codec<PolicyRange>;

export interface PolicyDenied {
	packets: bigint;
	bytes: bigint;
}
function encodePolicyDenied(value: PolicyDenied, view: DataView, offset: number): void {
	view.setBigUint64(offset, value.packets, true);
	view.setBigUint64(offset + 8, value.bytes, true);
}
function decodePolicyDenied(view: DataView, offset: number): PolicyDenied {
	return {
		packets: view.getBigUint64(offset, true),
		bytes: view.getBigUint64(offset + 8, true),
	};
}
function formatPolicyDenied(value: PolicyDenied): string {
	return `packets=${value.packets} bytes=${value.bytes}`;
}
export const PolicyDenied = {
	name: 'policy_denied',
	size: 16,
	layout: 'a839f75247601943',
	encode: (value: PolicyDenied): Uint8Array => encodeWith(16, encodePolicyDenied, value),
	encodeInto: encodePolicyDenied,
	decode: (bytes: Uint8Array, offset = 0): PolicyDenied =>
		decodePolicyDenied(viewOf(bytes, offset, 16, 'policy_denied'), 0),
	decodeFrom: decodePolicyDenied,
	format: formatPolicyDenied,
} as const satisfies Codec<PolicyDenied>;

export interface ExplainFlow {
	src: Uint8Array;
	dst: Uint8Array;
	sport: number;
	dport: number;
	proto: number;
	family: number;
	hook: number;
	flags: number;
	stage: number;
	reason: number;
	denied: number;
	audited: number;
	backendPort: number;
	backendAddr: Uint8Array;
	svcId: number;
	svcFlags: number;
	backend: number;
	peer: PeerRef[];
	identity: number[];
	policySet: number[];
	rule: number[];
	endpointFlags: Uint8Array;
}
function encodeExplainFlow(value: ExplainFlow, view: DataView, offset: number): void {
	putBytes(view, offset, value.src, 16, 'explain_flow.src');
	putBytes(view, offset + 16, value.dst, 16, 'explain_flow.dst');
	view.setUint16(offset + 32, uint(value.sport, 0xffff, 'explain_flow.sport'));
	view.setUint16(offset + 34, uint(value.dport, 0xffff, 'explain_flow.dport'));
	view.setUint8(offset + 36, uint(value.proto, 0xff, 'explain_flow.proto'));
	view.setUint8(offset + 37, uint(value.family, 0xff, 'explain_flow.family'));
	view.setUint8(offset + 38, uint(value.hook, 0xff, 'explain_flow.hook'));
	view.setUint8(offset + 39, uint(value.flags, 0xff, 'explain_flow.flags'));
	view.setUint8(offset + 40, uint(value.stage, 0xff, 'explain_flow.stage'));
	view.setUint8(offset + 41, uint(value.reason, 0xff, 'explain_flow.reason'));
	view.setUint8(offset + 42, uint(value.denied, 0xff, 'explain_flow.denied'));
	view.setUint8(offset + 43, uint(value.audited, 0xff, 'explain_flow.audited'));
	view.setUint16(offset + 44, uint(value.backendPort, 0xffff, 'explain_flow.backend_port'));
	view.setUint16(offset + 46, 0, true);
	putBytes(view, offset + 48, value.backendAddr, 16, 'explain_flow.backend_addr');
	view.setUint32(offset + 64, uint(value.svcId, 0xffffffff, 'explain_flow.svc_id'), true);
	view.setUint32(offset + 68, uint(value.svcFlags, 0xffffffff, 'explain_flow.svc_flags'), true);
	view.setUint32(offset + 72, uint(value.backend, 0xffffffff, 'explain_flow.backend'), true);
	counted(value.peer, 2, 'explain_flow.peer').forEach((each, index) => {
		encodePeerRef(each, view, offset + 76 + index * 4);
	});
	counted(value.identity, 2, 'explain_flow.identity').forEach((each, index) => {
		view.setUint32(offset + 84 + index * 4, uint(each, 0xffffffff, 'explain_flow.identity'), true);
	});
	counted(value.policySet, 2, 'explain_flow.policy_set').forEach((each, index) => {
		view.setUint32(offset + 92 + index * 4, uint(each, 0xffffffff, 'explain_flow.policy_set'), true);
	});
	counted(value.rule, 2, 'explain_flow.rule').forEach((each, index) => {
		view.setUint16(offset + 100 + index * 2, uint(each, 0xffff, 'explain_flow.rule'), true);
	});
	putBytes(view, offset + 104, value.endpointFlags, 2, 'explain_flow.endpoint_flags');
	view.setUint16(offset + 106, 0, true);
	view.setUint32(offset + 108, 0, true);
}
function decodeExplainFlow(view: DataView, offset: number): ExplainFlow {
	return {
		src: getBytes(view, offset, 16),
		dst: getBytes(view, offset + 16, 16),
		sport: view.getUint16(offset + 32),
		dport: view.getUint16(offset + 34),
		proto: view.getUint8(offset + 36),
		family: view.getUint8(offset + 37),
		hook: view.getUint8(offset + 38),
		flags: view.getUint8(offset + 39),
		stage: view.getUint8(offset + 40),
		reason: view.getUint8(offset + 41),
		denied: view.getUint8(offset + 42),
		audited: view.getUint8(offset + 43),
		backendPort: view.getUint16(offset + 44),
		backendAddr: getBytes(view, offset + 48, 16),
		svcId: view.getUint32(offset + 64, true),
		svcFlags: view.getUint32(offset + 68, true),
		backend: view.getUint32(offset + 72, true),
		peer: Array.from({ length: 2 }, (_, index) => decodePeerRef(view, offset + 76 + index * 4)),
		identity: Array.from({ length: 2 }, (_, index) => view.getUint32(offset + 84 + index * 4, true)),
		policySet: Array.from({ length: 2 }, (_, index) => view.getUint32(offset + 92 + index * 4, true)),
		rule: Array.from({ length: 2 }, (_, index) => view.getUint16(offset + 100 + index * 2, true)),
		endpointFlags: getBytes(view, offset + 104, 2),
	};
}
function formatExplainFlow(value: ExplainFlow): string {
	return `src=${formatBytes(value.src)} dst=${formatBytes(value.dst)} sport=${value.sport} dport=${value.dport} proto=${value.proto} family=${value.family} hook=${value.hook} flags=${value.flags} stage=${value.stage} reason=${value.reason} denied=${value.denied} audited=${value.audited} backend_port=${value.backendPort} backend_addr=${formatBytes(value.backendAddr)} svc_id=${value.svcId} svc_flags=${value.svcFlags} backend=${value.backend} peer=${value.peer.map((each) => `{${formatPeerRef(each)}}`).join(',')} identity=${value.identity.join(',')} policy_set=${value.policySet.join(',')} rule=${value.rule.join(',')} endpoint_flags=${formatBytes(value.endpointFlags)}`;
}
export const ExplainFlow = {
	name: 'explain_flow',
	size: 112,
	layout: '387551cbcc5d7b7c',
	encode: (value: ExplainFlow): Uint8Array => encodeWith(112, encodeExplainFlow, value),
	encodeInto: encodeExplainFlow,
	decode: (bytes: Uint8Array, offset = 0): ExplainFlow =>
		decodeExplainFlow(viewOf(bytes, offset, 112, 'explain_flow'), 0),
	decodeFrom: decodeExplainFlow,
	format: formatExplainFlow,
} as const satisfies Codec<ExplainFlow>;

export interface XdpNode {
	tunnel: Uint8Array;
	source: Uint8Array;
	dstMac: Uint8Array;
	mtu: number;
	srcMac: Uint8Array;
	gen: number;
	direct: number;
	ifindex: number;
	deadline: number;
}
function encodeXdpNode(value: XdpNode, view: DataView, offset: number): void {
	putBytes(view, offset, value.tunnel, 16, 'xdp_node.tunnel');
	putBytes(view, offset + 16, value.source, 16, 'xdp_node.source');
	putBytes(view, offset + 32, value.dstMac, 6, 'xdp_node.dst_mac');
	view.setUint16(offset + 38, uint(value.mtu, 0xffff, 'xdp_node.mtu'), true);
	putBytes(view, offset + 40, value.srcMac, 6, 'xdp_node.src_mac');
	view.setUint8(offset + 46, uint(value.gen, 0xff, 'xdp_node.gen'));
	view.setUint8(offset + 47, uint(value.direct, 0xff, 'xdp_node.direct'));
	view.setUint32(offset + 48, uint(value.ifindex, 0xffffffff, 'xdp_node.ifindex'), true);
	view.setUint32(offset + 52, uint(value.deadline, 0xffffffff, 'xdp_node.deadline'), true);
	view.setBigUint64(offset + 56, 0n, true);
}
function decodeXdpNode(view: DataView, offset: number): XdpNode {
	return {
		tunnel: getBytes(view, offset, 16),
		source: getBytes(view, offset + 16, 16),
		dstMac: getBytes(view, offset + 32, 6),
		mtu: view.getUint16(offset + 38, true),
		srcMac: getBytes(view, offset + 40, 6),
		gen: view.getUint8(offset + 46),
		direct: view.getUint8(offset + 47),
		ifindex: view.getUint32(offset + 48, true),
		deadline: view.getUint32(offset + 52, true),
	};
}
function formatXdpNode(value: XdpNode): string {
	return `tunnel=${formatBytes(value.tunnel)} source=${formatBytes(value.source)} dst_mac=${formatBytes(value.dstMac)} mtu=${value.mtu} src_mac=${formatBytes(value.srcMac)} gen=${value.gen} direct=${value.direct} ifindex=${value.ifindex} deadline=${value.deadline}`;
}
export const XdpNode = {
	name: 'xdp_node',
	size: 64,
	layout: 'dafa8cb90ef6f8b3',
	encode: (value: XdpNode): Uint8Array => encodeWith(64, encodeXdpNode, value),
	encodeInto: encodeXdpNode,
	decode: (bytes: Uint8Array, offset = 0): XdpNode =>
		decodeXdpNode(viewOf(bytes, offset, 64, 'xdp_node'), 0),
	decodeFrom: decodeXdpNode,
	format: formatXdpNode,
} as const satisfies Codec<XdpNode>;

export interface XdpService {
	key: bigint;
	check: number;
	slots: number;
	kind: number;
	backend: number[];
}
function encodeXdpService(value: XdpService, view: DataView, offset: number): void {
	view.setBigUint64(offset, value.key, true);
	view.setUint32(offset + 8, uint(value.check, 0xffffffff, 'xdp_service.check'), true);
	view.setUint16(offset + 12, uint(value.slots, 0xffff, 'xdp_service.slots'), true);
	view.setUint8(offset + 14, uint(value.kind, 0xff, 'xdp_service.kind'));
	view.setUint8(offset + 15, 0);
	counted(value.backend, 12, 'xdp_service.backend').forEach((each, index) => {
		view.setUint32(offset + 16 + index * 4, uint(each, 0xffffffff, 'xdp_service.backend'), true);
	});
}
function decodeXdpService(view: DataView, offset: number): XdpService {
	return {
		key: view.getBigUint64(offset, true),
		check: view.getUint32(offset + 8, true),
		slots: view.getUint16(offset + 12, true),
		kind: view.getUint8(offset + 14),
		backend: Array.from({ length: 12 }, (_, index) => view.getUint32(offset + 16 + index * 4, true)),
	};
}
function formatXdpService(value: XdpService): string {
	return `key=${value.key} check=${value.check} slots=${value.slots} kind=${value.kind} backend=${value.backend.join(',')}`;
}
export const XdpService = {
	name: 'xdp_service',
	size: 64,
	layout: '4da49477f9ee3d8d',
	encode: (value: XdpService): Uint8Array => encodeWith(64, encodeXdpService, value),
	encodeInto: encodeXdpService,
	decode: (bytes: Uint8Array, offset = 0): XdpService =>
		decodeXdpService(viewOf(bytes, offset, 64, 'xdp_service'), 0),
	decodeFrom: decodeXdpService,
	format: formatXdpService,
} as const satisfies Codec<XdpService>;

export interface DsrFlow {
	backend: number;
	generation: number;
	lastSeen: number;
	transition: number;
}
function encodeDsrFlow(value: DsrFlow, view: DataView, offset: number): void {
	view.setUint32(offset, uint(value.backend, 0xffffffff, 'dsr_flow.backend'), true);
	view.setUint32(offset + 4, uint(value.generation, 0xffffffff, 'dsr_flow.generation'), true);
	view.setUint32(offset + 8, uint(value.lastSeen, 0xffffffff, 'dsr_flow.last_seen'), true);
	view.setUint32(offset + 12, uint(value.transition, 0xffffffff, 'dsr_flow.transition'), true);
}
function decodeDsrFlow(view: DataView, offset: number): DsrFlow {
	return {
		backend: view.getUint32(offset, true),
		generation: view.getUint32(offset + 4, true),
		lastSeen: view.getUint32(offset + 8, true),
		transition: view.getUint32(offset + 12, true),
	};
}
function formatDsrFlow(value: DsrFlow): string {
	return `backend=${value.backend} generation=${value.generation} last_seen=${value.lastSeen} transition=${value.transition}`;
}
export const DsrFlow = {
	name: 'dsr_flow',
	size: 16,
	layout: 'ad594072b379e643',
	encode: (value: DsrFlow): Uint8Array => encodeWith(16, encodeDsrFlow, value),
	encodeInto: encodeDsrFlow,
	decode: (bytes: Uint8Array, offset = 0): DsrFlow =>
		decodeDsrFlow(viewOf(bytes, offset, 16, 'dsr_flow'), 0),
	decodeFrom: decodeDsrFlow,
	format: formatDsrFlow,
} as const satisfies Codec<DsrFlow>;

/** Every pinned map, by its name without prefix and version. */
export const Maps = {
	affinity: {
		name: 'fl_affinity_1',
		type: 9,
		flags: 0,
		maxEntries: 65536,
		keySize: 24,
		valueSize: 16,
		layout: '6eeae1522eb73f4f',
	},
	backends: {
		name: 'fl_backends_1',
		type: 2,
		flags: 1024,
		maxEntries: 131072,
		keySize: 4,
		valueSize: 32,
		layout: '0cd67c9811d72f43',
	},
	cidrs: {
		name: 'fl_cidrs_1',
		type: 11,
		flags: 1,
		maxEntries: 65536,
		keySize: 20,
		valueSize: 8,
		layout: '44ccfb2348478879',
	},
	conns: {
		name: 'fl_conns_1',
		type: 2,
		flags: 0,
		maxEntries: 131072,
		keySize: 4,
		valueSize: 4,
		layout: 'cddb417a0a600df2',
	},
	ct4: {
		name: 'fl_ct4_1',
		type: 1,
		flags: 0,
		maxEntries: 262144,
		keySize: 16,
		valueSize: 64,
		layout: '9bd996183b7ba960',
	},
	ct6: {
		name: 'fl_ct6_1',
		type: 1,
		flags: 0,
		maxEntries: 262144,
		keySize: 40,
		valueSize: 104,
		layout: '0b743a8e28b6b005',
	},
	ctfull4: {
		name: 'fl_ctfull4_1',
		type: 9,
		flags: 0,
		maxEntries: 16384,
		keySize: 16,
		valueSize: 64,
		layout: '9bd996183b7ba960',
	},
	ctfull6: {
		name: 'fl_ctfull6_1',
		type: 9,
		flags: 0,
		maxEntries: 16384,
		keySize: 40,
		valueSize: 104,
		layout: '0b743a8e28b6b005',
	},
	ctfull: {
		name: 'fl_ctfull_1',
		type: 2,
		flags: 0,
		maxEntries: 1,
		keySize: 4,
		valueSize: 4,
		layout: 'cddb417a0a600df2',
	},
	denied: {
		name: 'fl_denied_1',
		type: 2,
		flags: 1024,
		maxEntries: 65536,
		keySize: 4,
		valueSize: 16,
		layout: '2fd8223754152aa3',
	},
	dns: {
		name: 'fl_dns_1',
		type: 2,
		flags: 0,
		maxEntries: 1,
		keySize: 4,
		valueSize: 8,
		layout: 'fcb19708c13ba4a8',
	},
	drops: {
		name: 'fl_drops_1',
		type: 6,
		flags: 0,
		maxEntries: 31,
		keySize: 4,
		valueSize: 16,
		layout: '4ddff8e9a5cdbbb5',
	},
	dsr_flows: {
		name: 'fl_dsr_flows_1',
		type: 9,
		flags: 0,
		maxEntries: 65536,
		keySize: 40,
		valueSize: 16,
		layout: '4aa05b54ed07dd8b',
	},
	endpoints: {
		name: 'fl_endpoints_1',
		type: 2,
		flags: 1024,
		maxEntries: 4096,
		keySize: 4,
		valueSize: 64,
		layout: '2911354025c16128',
	},
	events: {
		name: 'fl_events_1',
		type: 27,
		flags: 0,
		maxEntries: 1048576,
		keySize: 0,
		valueSize: 0,
		layout: '',
	},
	frags: {
		name: 'fl_frags_1',
		type: 9,
		flags: 0,
		maxEntries: 8192,
		keySize: 40,
		valueSize: 40,
		layout: '748ce89df4fc1a40',
	},
	hostsvc: {
		name: 'fl_hostsvc_1',
		type: 2,
		flags: 0,
		maxEntries: 1,
		keySize: 4,
		valueSize: 4,
		layout: 'cddb417a0a600df2',
	},
	ifaces: {
		name: 'fl_ifaces_1',
		type: 1,
		flags: 1,
		maxEntries: 4096,
		keySize: 4,
		valueSize: 4,
		layout: '72db1d30594a8f3c',
	},
	inside: {
		name: 'fl_inside_1',
		type: 2,
		flags: 1024,
		maxEntries: 1024,
		keySize: 4,
		valueSize: 8,
		layout: '2842a1117c6d18a0',
	},
	ipcache: {
		name: 'fl_ipcache_1',
		type: 1,
		flags: 1,
		maxEntries: 65536,
		keySize: 16,
		valueSize: 8,
		layout: '28083cf43fc06386',
	},
	limits: {
		name: 'fl_limits_1',
		type: 6,
		flags: 0,
		maxEntries: 31,
		keySize: 4,
		valueSize: 8,
		layout: '86a48dc5e7360b89',
	},
	metrics: {
		name: 'fl_metrics_1',
		type: 6,
		flags: 0,
		maxEntries: 16,
		keySize: 4,
		valueSize: 8,
		layout: '2842a1117c6d18a0',
	},
	nodes: {
		name: 'fl_nodes_1',
		type: 2,
		flags: 0,
		maxEntries: 16384,
		keySize: 4,
		valueSize: 56,
		layout: 'cf829d3982d8a180',
	},
	policy: {
		name: 'fl_policy_1',
		type: 1,
		flags: 1,
		maxEntries: 262144,
		keySize: 8,
		valueSize: 16,
		layout: '107d0e5d6f6b106f',
	},
	policyset: {
		name: 'fl_policyset_1',
		type: 2,
		flags: 1024,
		maxEntries: 8192,
		keySize: 4,
		valueSize: 40,
		layout: '2d0d1f55b3fc1093',
	},
	ports: {
		name: 'fl_ports_1',
		type: 2,
		flags: 1024,
		maxEntries: 2048,
		keySize: 4,
		valueSize: 8,
		layout: '2842a1117c6d18a0',
	},
	ranges: {
		name: 'fl_ranges_1',
		type: 2,
		flags: 1024,
		maxEntries: 131072,
		keySize: 4,
		valueSize: 8,
		layout: '8cefda01fbb51e39',
	},
	resolvers: {
		name: 'fl_resolvers_1',
		type: 1,
		flags: 1,
		maxEntries: 4096,
		keySize: 20,
		valueSize: 4,
		layout: '4ba68a44fb695291',
	},
	runtime: {
		name: 'fl_runtime_1',
		type: 2,
		flags: 0,
		maxEntries: 1,
		keySize: 4,
		valueSize: 16,
		layout: '783302e8d66343bc',
	},
	services: {
		name: 'fl_services_1',
		type: 1,
		flags: 0,
		maxEntries: 65536,
		keySize: 20,
		valueSize: 48,
		layout: '3310c24a5ee100ca',
	},
	slots: {
		name: 'fl_slots_1',
		type: 2,
		flags: 1024,
		maxEntries: 32768,
		keySize: 4,
		valueSize: 64,
		layout: 'ea7fe9cd9f74c1d5',
	},
	sock_rev: {
		name: 'fl_sock_rev_1',
		type: 9,
		flags: 0,
		maxEntries: 65536,
		keySize: 32,
		valueSize: 24,
		layout: 'b2be39fda0222db7',
	},
	sources: {
		name: 'fl_sources_1',
		type: 11,
		flags: 1,
		maxEntries: 65536,
		keySize: 24,
		valueSize: 4,
		layout: '14bab304dc2c7258',
	},
	uplinks: {
		name: 'fl_uplinks_1',
		type: 2,
		flags: 0,
		maxEntries: 8,
		keySize: 4,
		valueSize: 40,
		layout: '5bab8bdc1bc5b3fd',
	},
	vip_filter: {
		name: 'fl_vip_filter_1',
		type: 2,
		flags: 1024,
		maxEntries: 1024,
		keySize: 4,
		valueSize: 8,
		layout: '2842a1117c6d18a0',
	},
	xdp_nodes: {
		name: 'fl_xdp_nodes_1',
		type: 2,
		flags: 1024,
		maxEntries: 16384,
		keySize: 4,
		valueSize: 64,
		layout: '3e3fa7829e395b19',
	},
	xdp_svc: {
		name: 'fl_xdp_svc_1',
		type: 2,
		flags: 1024,
		maxEntries: 64,
		keySize: 4,
		valueSize: 64,
		layout: '3c2419501c1a113e',
	},
} as const satisfies Record<string, MapSpec>;

export type MapName = keyof typeof Maps;

/** Constants the programs are loaded with. */
export interface DatapathConfig {
	uplinkIfindex: number;
	uplinkRows: number;
	overlayIfindex: number;
	hostIfindex: number;
	vni: number;
	vxlanPort: number;
	snatPortMin: number;
	snatPortMax: number;
	podMtu: number;
	uplinkMtu: number;
	nodeAddr4: Uint8Array;
	nodeAddr6: Uint8Array;
	podNet4: Uint8Array;
	podMask4: Uint8Array;
	podNet6: Uint8Array;
	podMask6: Uint8Array;
	hostMac: Uint8Array;
	overlayMac: Uint8Array;
	events: number;
	masquerade4: number;
	masquerade6: number;
	sockLb: number;
	hasSetRetval: number;
	hasKernCtx: number;
	hasCoarseTime: number;
	xdpFrags: number;
	hasCsumIpv6: number;
	hasTunnelSource: number;
	northSouth: number;
	hostNetns: bigint;
	dryRun: number;
	carry: number;
	carryCt4In: Uint8Array;
	carryCt4Out: Uint8Array;
	carryCt6In: Uint8Array;
	carryCt6Out: Uint8Array;
	hz: number;
	eventRate: number;
}

/** The bytes of each constant, by the name of its variable. */
export function encodeDatapathConfig(config: DatapathConfig): Record<string, Uint8Array> {
	return {
		cfg_uplink_ifindex: encodeWith(4, (config: DatapathConfig, view, at) => {
			view.setUint32(at, uint(config.uplinkIfindex, 0xffffffff, 'cfg_uplink_ifindex'), true);
		}, config),
		cfg_uplink_rows: encodeWith(4, (config: DatapathConfig, view, at) => {
			view.setUint32(at, uint(config.uplinkRows, 0xffffffff, 'cfg_uplink_rows'), true);
		}, config),
		cfg_overlay_ifindex: encodeWith(4, (config: DatapathConfig, view, at) => {
			view.setUint32(at, uint(config.overlayIfindex, 0xffffffff, 'cfg_overlay_ifindex'), true);
		}, config),
		cfg_host_ifindex: encodeWith(4, (config: DatapathConfig, view, at) => {
			view.setUint32(at, uint(config.hostIfindex, 0xffffffff, 'cfg_host_ifindex'), true);
		}, config),
		cfg_vni: encodeWith(4, (config: DatapathConfig, view, at) => {
			view.setUint32(at, uint(config.vni, 0xffffffff, 'cfg_vni'), true);
		}, config),
		cfg_vxlan_port: encodeWith(2, (config: DatapathConfig, view, at) => {
			view.setUint16(at, uint(config.vxlanPort, 0xffff, 'cfg_vxlan_port'), true);
		}, config),
		cfg_snat_port_min: encodeWith(2, (config: DatapathConfig, view, at) => {
			view.setUint16(at, uint(config.snatPortMin, 0xffff, 'cfg_snat_port_min'), true);
		}, config),
		cfg_snat_port_max: encodeWith(2, (config: DatapathConfig, view, at) => {
			view.setUint16(at, uint(config.snatPortMax, 0xffff, 'cfg_snat_port_max'), true);
		}, config),
		cfg_pod_mtu: encodeWith(2, (config: DatapathConfig, view, at) => {
			view.setUint16(at, uint(config.podMtu, 0xffff, 'cfg_pod_mtu'), true);
		}, config),
		cfg_uplink_mtu: encodeWith(2, (config: DatapathConfig, view, at) => {
			view.setUint16(at, uint(config.uplinkMtu, 0xffff, 'cfg_uplink_mtu'), true);
		}, config),
		cfg_node_addr4: encodeWith(16, (config: DatapathConfig, view, at) => {
			putBytes(view, at, config.nodeAddr4, 16, 'cfg_node_addr4');
		}, config),
		cfg_node_addr6: encodeWith(16, (config: DatapathConfig, view, at) => {
			putBytes(view, at, config.nodeAddr6, 16, 'cfg_node_addr6');
		}, config),
		cfg_pod_net4: encodeWith(16, (config: DatapathConfig, view, at) => {
			putBytes(view, at, config.podNet4, 16, 'cfg_pod_net4');
		}, config),
		cfg_pod_mask4: encodeWith(16, (config: DatapathConfig, view, at) => {
			putBytes(view, at, config.podMask4, 16, 'cfg_pod_mask4');
		}, config),
		cfg_pod_net6: encodeWith(16, (config: DatapathConfig, view, at) => {
			putBytes(view, at, config.podNet6, 16, 'cfg_pod_net6');
		}, config),
		cfg_pod_mask6: encodeWith(16, (config: DatapathConfig, view, at) => {
			putBytes(view, at, config.podMask6, 16, 'cfg_pod_mask6');
		}, config),
		cfg_host_mac: encodeWith(6, (config: DatapathConfig, view, at) => {
			putBytes(view, at, config.hostMac, 6, 'cfg_host_mac');
		}, config),
		cfg_overlay_mac: encodeWith(6, (config: DatapathConfig, view, at) => {
			putBytes(view, at, config.overlayMac, 6, 'cfg_overlay_mac');
		}, config),
		cfg_events: encodeWith(1, (config: DatapathConfig, view, at) => {
			view.setUint8(at, uint(config.events, 0xff, 'cfg_events'));
		}, config),
		cfg_masquerade4: encodeWith(1, (config: DatapathConfig, view, at) => {
			view.setUint8(at, uint(config.masquerade4, 0xff, 'cfg_masquerade4'));
		}, config),
		cfg_masquerade6: encodeWith(1, (config: DatapathConfig, view, at) => {
			view.setUint8(at, uint(config.masquerade6, 0xff, 'cfg_masquerade6'));
		}, config),
		cfg_sock_lb: encodeWith(1, (config: DatapathConfig, view, at) => {
			view.setUint8(at, uint(config.sockLb, 0xff, 'cfg_sock_lb'));
		}, config),
		cfg_has_set_retval: encodeWith(1, (config: DatapathConfig, view, at) => {
			view.setUint8(at, uint(config.hasSetRetval, 0xff, 'cfg_has_set_retval'));
		}, config),
		cfg_has_kern_ctx: encodeWith(1, (config: DatapathConfig, view, at) => {
			view.setUint8(at, uint(config.hasKernCtx, 0xff, 'cfg_has_kern_ctx'));
		}, config),
		cfg_has_coarse_time: encodeWith(1, (config: DatapathConfig, view, at) => {
			view.setUint8(at, uint(config.hasCoarseTime, 0xff, 'cfg_has_coarse_time'));
		}, config),
		cfg_xdp_frags: encodeWith(1, (config: DatapathConfig, view, at) => {
			view.setUint8(at, uint(config.xdpFrags, 0xff, 'cfg_xdp_frags'));
		}, config),
		cfg_has_csum_ipv6: encodeWith(1, (config: DatapathConfig, view, at) => {
			view.setUint8(at, uint(config.hasCsumIpv6, 0xff, 'cfg_has_csum_ipv6'));
		}, config),
		cfg_has_tunnel_source: encodeWith(1, (config: DatapathConfig, view, at) => {
			view.setUint8(at, uint(config.hasTunnelSource, 0xff, 'cfg_has_tunnel_source'));
		}, config),
		cfg_north_south: encodeWith(1, (config: DatapathConfig, view, at) => {
			view.setUint8(at, uint(config.northSouth, 0xff, 'cfg_north_south'));
		}, config),
		cfg_host_netns: encodeWith(8, (config: DatapathConfig, view, at) => {
			view.setBigUint64(at, config.hostNetns, true);
		}, config),
		cfg_dry_run: encodeWith(1, (config: DatapathConfig, view, at) => {
			view.setUint8(at, uint(config.dryRun, 0xff, 'cfg_dry_run'));
		}, config),
		cfg_carry: encodeWith(1, (config: DatapathConfig, view, at) => {
			view.setUint8(at, uint(config.carry, 0xff, 'cfg_carry'));
		}, config),
		cfg_carry_ct4_in: encodeWith(128, (config: DatapathConfig, view, at) => {
			putBytes(view, at, config.carryCt4In, 128, 'cfg_carry_ct4_in');
		}, config),
		cfg_carry_ct4_out: encodeWith(128, (config: DatapathConfig, view, at) => {
			putBytes(view, at, config.carryCt4Out, 128, 'cfg_carry_ct4_out');
		}, config),
		cfg_carry_ct6_in: encodeWith(128, (config: DatapathConfig, view, at) => {
			putBytes(view, at, config.carryCt6In, 128, 'cfg_carry_ct6_in');
		}, config),
		cfg_carry_ct6_out: encodeWith(128, (config: DatapathConfig, view, at) => {
			putBytes(view, at, config.carryCt6Out, 128, 'cfg_carry_ct6_out');
		}, config),
		cfg_hz: encodeWith(4, (config: DatapathConfig, view, at) => {
			view.setUint32(at, uint(config.hz, 0xffffffff, 'cfg_hz'), true);
		}, config),
		cfg_event_rate: encodeWith(4, (config: DatapathConfig, view, at) => {
			view.setUint32(at, uint(config.eventRate, 0xffffffff, 'cfg_event_rate'), true);
		}, config),
	};
}
