/**
 * The layers of a packet as plain values. A missing field is computed by build() (lengths, next protocol, checksums)
 * or takes the usual default; a given one is written as it is, right or wrong, so that malformed packets can be made.
 */

export interface Ethernet {
	readonly kind: 'eth';
	readonly src: string;
	readonly dst: string;
	readonly type?: number;
}

export interface Vlan {
	readonly kind: 'vlan';
	readonly id: number;
	readonly type?: number;
}

export interface Arp {
	readonly kind: 'arp';
	/** 1 = request, 2 = reply */
	readonly op: number;
	readonly senderMac: string;
	readonly sender: string;
	readonly targetMac: string;
	readonly target: string;
}

export interface Ipv4 {
	readonly kind: 'ipv4';
	readonly src: string;
	readonly dst: string;
	readonly ttl?: number;
	readonly tos?: number;
	readonly id?: number;
	readonly df?: boolean;
	readonly mf?: boolean;
	/** Bytes, a multiple of 8. */
	readonly offset?: number;
	readonly proto?: number;
	readonly options?: Uint8Array;
	/** Header length in 32-bit words. */
	readonly ihl?: number;
	readonly version?: number;
	readonly totalLength?: number;
	readonly checksum?: number;
}

export interface Ipv6 {
	readonly kind: 'ipv6';
	readonly src: string;
	readonly dst: string;
	readonly hopLimit?: number;
	readonly trafficClass?: number;
	readonly flowLabel?: number;
	readonly version?: number;
	readonly next?: number;
	readonly payloadLength?: number;
}

/** Hop-by-hop (0), routing (43), destination options (60), mobility (135), or any other with the same shape. */
export interface Extension6 {
	readonly kind: 'ext6';
	readonly type: number;
	/** Bytes after next header and length; padded to a multiple of 8 with the first two. */
	readonly data: Uint8Array;
	readonly next?: number;
	readonly length?: number;
}

export interface Fragment6 {
	readonly kind: 'frag6';
	readonly offset: number;
	readonly more: boolean;
	readonly id: number;
	readonly next?: number;
}

export interface Tcp {
	readonly kind: 'tcp';
	readonly sport: number;
	readonly dport: number;
	readonly seq?: number;
	readonly ack?: number;
	/** Letters of FSRPAUEC. */
	readonly flags: string;
	readonly window?: number;
	readonly urgent?: number;
	readonly options?: Uint8Array;
	/** Header length in 32-bit words. */
	readonly dataOffset?: number;
	readonly checksum?: number;
}

export interface Udp {
	readonly kind: 'udp';
	readonly sport: number;
	readonly dport: number;
	readonly length?: number;
	/** 0 = sent without a checksum. */
	readonly checksum?: number;
}

export interface Sctp {
	readonly kind: 'sctp';
	readonly sport: number;
	readonly dport: number;
	readonly tag?: number;
	readonly checksum?: number;
}

interface IcmpFields {
	readonly type: number;
	readonly code: number;
	/** The 32 bits after the checksum: identifier and sequence, MTU, ... */
	readonly rest: number;
	readonly checksum?: number;
}

export interface Icmp4 extends IcmpFields {
	readonly kind: 'icmp';
}

export interface Icmp6 extends IcmpFields {
	readonly kind: 'icmpv6';
}

export type Icmp = Icmp4 | Icmp6;

export interface Vxlan {
	readonly kind: 'vxlan';
	readonly vni: number;
	readonly flags?: number;
}

export interface Raw {
	readonly kind: 'raw';
	readonly bytes: Uint8Array;
}

export type Layer =
	| Ethernet
	| Vlan
	| Arp
	| Ipv4
	| Ipv6
	| Extension6
	| Fragment6
	| Tcp
	| Udp
	| Sctp
	| Icmp4
	| Icmp6
	| Vxlan
	| Raw;

export type LayerKind = Layer['kind'];
export type LayerOf<K extends LayerKind> = Extract<Layer, { kind: K }>;

type Fields<K extends LayerKind> = Omit<LayerOf<K>, 'kind'>;

export const eth = (f: Fields<'eth'>): Ethernet => ({ kind: 'eth', ...f });
export const vlan = (id: number): Vlan => ({ kind: 'vlan', id });
export const arp = (f: Fields<'arp'>): Arp => ({ kind: 'arp', ...f });
export const ipv4 = (f: Fields<'ipv4'>): Ipv4 => ({ kind: 'ipv4', ...f });
export const ipv6 = (f: Fields<'ipv6'>): Ipv6 => ({ kind: 'ipv6', ...f });
export const ext6 = (f: Fields<'ext6'>): Extension6 => ({ kind: 'ext6', ...f });
export const frag6 = (f: Fields<'frag6'>): Fragment6 => ({ kind: 'frag6', ...f });
export const tcp = (f: Fields<'tcp'>): Tcp => ({ kind: 'tcp', ...f });
export const udp = (f: Fields<'udp'>): Udp => ({ kind: 'udp', ...f });
export const sctp = (f: Fields<'sctp'>): Sctp => ({ kind: 'sctp', ...f });
export const icmp = (f: Fields<'icmp'>): Icmp4 => ({ ...f, kind: 'icmp' });
export const icmpv6 = (f: Fields<'icmpv6'>): Icmp6 => ({ ...f, kind: 'icmpv6' });
export const vxlan = (vni: number): Vxlan => ({ kind: 'vxlan', vni });
export const raw = (bytes: Uint8Array | string): Raw => ({
	kind: 'raw',
	bytes: typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes,
});

/** Echo request or reply of the family: type 8/0 or 128/129. */
export function echo(family: 4 | 6, o: { reply?: boolean; id: number; seq: number }): Icmp {
	const rest = ((o.id << 16) | o.seq) >>> 0;
	return family === 4
		? icmp({ type: o.reply ? 0 : 8, code: 0, rest })
		: icmpv6({ type: o.reply ? 129 : 128, code: 0, rest });
}

/** IP header of the family that the addresses belong to. */
export function ip(
	src: string,
	dst: string,
	o: { ttl?: number; df?: boolean; tos?: number; proto?: number } = {},
): Ipv4 | Ipv6 {
	if (!src.includes(':')) {
		return ipv4({ src, dst, ...o });
	}
	return ipv6({
		src,
		dst,
		...(o.ttl === undefined ? {} : { hopLimit: o.ttl }),
		...(o.tos === undefined ? {} : { trafficClass: o.tos }),
		...(o.proto === undefined ? {} : { next: o.proto }),
	});
}

export const TCP_FLAG_LETTERS = 'FSRPAUEC';

export function tcpFlagBits(letters: string): number {
	return [...letters].reduce((bits, letter) => {
		const at = TCP_FLAG_LETTERS.indexOf(letter);
		if (at < 0) {
			throw new RangeError(`TCP flag ${letter} does not exist`);
		}
		return bits | (1 << at);
	}, 0);
}

export function tcpFlagLetters(bits: number): string {
	return [...TCP_FLAG_LETTERS].filter((_, at) => bits & (1 << at)).join('');
}
