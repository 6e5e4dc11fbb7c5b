/** Turns layers into bytes, from the innermost outwards. */
import {
	addressBytes,
	concat,
	crc32c,
	get16,
	internetChecksum,
	macBytes,
	onesSum,
	pseudoHeader,
	u16,
	u32,
} from './bytes.ts';
import type { Arp, Ethernet, Extension6, Fragment6, Icmp, Ipv4, Ipv6, Layer, Sctp, Tcp, Udp, Vxlan } from './layers.ts';
import { ipv4, ipv6, raw, tcpFlagBits } from './layers.ts';

const IP_PROTOCOL: Readonly<Partial<Record<Layer['kind'], number>>> = {
	icmp: 1,
	ipv4: 4,
	tcp: 6,
	udp: 17,
	ipv6: 41,
	frag6: 44,
	icmpv6: 58,
	sctp: 132,
};

const ETHER_TYPE: Readonly<Partial<Record<Layer['kind'], number>>> = {
	ipv4: 0x0800,
	arp: 0x0806,
	vlan: 0x8100,
	ipv6: 0x86dd,
};

interface Scope {
	readonly src: Uint8Array;
	readonly dst: Uint8Array;
}

function etherTypeOf(layer: Layer | undefined): number {
	return layer ? (ETHER_TYPE[layer.kind] ?? 0x88b5) : 0x88b5;
}

function protocolOf(layer: Layer | undefined): number {
	if (layer?.kind === 'ext6') {
		return layer.type;
	}
	return layer ? (IP_PROTOCOL[layer.kind] ?? 253) : 59;
}

function putChecksum(bytes: Uint8Array, at: number, value: number): Uint8Array {
	bytes.set(u16(value), at);
	return bytes;
}

function buildEthernet(layer: Ethernet, next: Layer | undefined, payload: Uint8Array): Uint8Array {
	return concat(macBytes(layer.dst), macBytes(layer.src), u16(layer.type ?? etherTypeOf(next)), payload);
}

function buildArp(layer: Arp): Uint8Array {
	return concat(
		Uint8Array.of(0, 1, 8, 0, 6, 4),
		u16(layer.op),
		macBytes(layer.senderMac),
		addressBytes(layer.sender),
		macBytes(layer.targetMac),
		addressBytes(layer.target),
	);
}

function buildIpv4(layer: Ipv4, next: Layer | undefined, payload: Uint8Array): Uint8Array {
	const options = layer.options ?? new Uint8Array();
	const length = 20 + Math.ceil(options.length / 4) * 4;
	const header = new Uint8Array(length);
	header[0] = ((layer.version ?? 4) << 4) | (layer.ihl ?? length / 4);
	header[1] = layer.tos ?? 0;
	header.set(u16(layer.totalLength ?? length + payload.length), 2);
	header.set(u16(layer.id ?? 0), 4);
	const flags = (layer.df ? 0x4000 : 0) | (layer.mf ? 0x2000 : 0);
	header.set(u16(flags | ((layer.offset ?? 0) >>> 3)), 6);
	header[8] = layer.ttl ?? 64;
	header[9] = layer.proto ?? protocolOf(next);
	header.set(addressBytes(layer.src), 12);
	header.set(addressBytes(layer.dst), 16);
	header.set(options, 20);
	return concat(putChecksum(header, 10, layer.checksum ?? internetChecksum(header)), payload);
}

function buildIpv6(layer: Ipv6, next: Layer | undefined, payload: Uint8Array): Uint8Array {
	const first = ((layer.version ?? 6) << 28) | ((layer.trafficClass ?? 0) << 20) | (layer.flowLabel ?? 0);
	return concat(
		u32(first >>> 0),
		u16(layer.payloadLength ?? payload.length),
		Uint8Array.of(layer.next ?? protocolOf(next), layer.hopLimit ?? 64),
		addressBytes(layer.src),
		addressBytes(layer.dst),
		payload,
	);
}

function buildExtension(layer: Extension6, next: Layer | undefined, payload: Uint8Array): Uint8Array {
	const size = Math.ceil((2 + layer.data.length) / 8) * 8;
	const bytes = new Uint8Array(size);
	bytes[0] = layer.next ?? protocolOf(next);
	bytes[1] = layer.length ?? size / 8 - 1;
	bytes.set(layer.data, 2);
	return concat(bytes, payload);
}

function buildFragment6(layer: Fragment6, next: Layer | undefined, payload: Uint8Array): Uint8Array {
	return concat(
		Uint8Array.of(layer.next ?? protocolOf(next), 0),
		u16((layer.offset & 0xfff8) | (layer.more ? 1 : 0)),
		u32(layer.id),
		payload,
	);
}

function withPseudo(scope: Scope | undefined, proto: number, bytes: Uint8Array): number {
	if (!scope) {
		return internetChecksum(bytes);
	}
	return internetChecksum(bytes, onesSum(pseudoHeader(scope.src, scope.dst, proto, bytes.length)));
}

function buildTcp(layer: Tcp, payload: Uint8Array, scope: Scope | undefined): Uint8Array {
	const options = layer.options ?? new Uint8Array();
	const length = 20 + Math.ceil(options.length / 4) * 4;
	const header = new Uint8Array(length);
	header.set(concat(u16(layer.sport), u16(layer.dport), u32(layer.seq ?? 0), u32(layer.ack ?? 0)));
	header[12] = (layer.dataOffset ?? length / 4) << 4;
	header[13] = tcpFlagBits(layer.flags);
	header.set(concat(u16(layer.window ?? 65535), u16(0), u16(layer.urgent ?? 0)), 14);
	header.set(options, 20);
	const bytes = concat(header, payload);
	return putChecksum(bytes, 16, layer.checksum ?? withPseudo(scope, 6, bytes));
}

function buildUdp(layer: Udp, payload: Uint8Array, scope: Scope | undefined): Uint8Array {
	const length = layer.length ?? 8 + payload.length;
	const bytes = concat(u16(layer.sport), u16(layer.dport), u16(length), u16(0), payload);
	return putChecksum(bytes, 6, layer.checksum ?? (withPseudo(scope, 17, bytes) || 0xffff));
}

function buildSctp(layer: Sctp, payload: Uint8Array): Uint8Array {
	const bytes = concat(u16(layer.sport), u16(layer.dport), u32(layer.tag ?? 0), u32(0), payload);
	new DataView(bytes.buffer).setUint32(8, layer.checksum ?? crc32c(bytes), true);
	return bytes;
}

function buildIcmp(layer: Icmp, payload: Uint8Array, scope: Scope | undefined): Uint8Array {
	const bytes = concat(Uint8Array.of(layer.type, layer.code, 0, 0), u32(layer.rest), payload);
	const computed = layer.kind === 'icmp' ? internetChecksum(bytes) : withPseudo(scope, 58, bytes);
	return putChecksum(bytes, 2, layer.checksum ?? computed);
}

function buildVxlan(layer: Vxlan, payload: Uint8Array): Uint8Array {
	return concat(Uint8Array.of(layer.flags ?? 8, 0, 0, 0), u32((layer.vni << 8) >>> 0), payload);
}

function buildLayer(layer: Layer, next: Layer | undefined, payload: Uint8Array, scope: Scope | undefined): Uint8Array {
	switch (layer.kind) {
		case 'eth':
			return buildEthernet(layer, next, payload);
		case 'vlan':
			return concat(u16(layer.id), u16(layer.type ?? etherTypeOf(next)), payload);
		case 'arp':
			return concat(buildArp(layer), payload);
		case 'ipv4':
			return buildIpv4(layer, next, payload);
		case 'ipv6':
			return buildIpv6(layer, next, payload);
		case 'ext6':
			return buildExtension(layer, next, payload);
		case 'frag6':
			return buildFragment6(layer, next, payload);
		case 'tcp':
			return buildTcp(layer, payload, scope);
		case 'udp':
			return buildUdp(layer, payload, scope);
		case 'sctp':
			return buildSctp(layer, payload);
		case 'icmp':
		case 'icmpv6':
			return buildIcmp(layer, payload, scope);
		case 'vxlan':
			return buildVxlan(layer, payload);
		case 'raw':
			return concat(layer.bytes, payload);
	}
}

/** Bytes of the layers; lengths, next protocols and checksums that are not given are computed. */
export function build(...layers: readonly Layer[]): Uint8Array {
	const scopes: (Scope | undefined)[] = [];
	let scope: Scope | undefined;
	for (const layer of layers) {
		scopes.push(scope);
		if (layer.kind === 'ipv4' || layer.kind === 'ipv6') {
			scope = { src: addressBytes(layer.src), dst: addressBytes(layer.dst) };
		}
	}
	let bytes: Uint8Array = new Uint8Array();
	for (let i = layers.length - 1; i >= 0; i--) {
		const layer = layers[i];
		if (layer) {
			bytes = buildLayer(layer, layers[i + 1], bytes, scopes[i]);
		}
	}
	return bytes;
}

/**
 * Splits one datagram into fragments.
 * @param head      layers before the IP header (Ethernet, VLAN)
 * @param datagram  IP header (no extension headers) and what follows
 * @param cuts      byte offsets into the IP payload where a new fragment starts; multiples of 8
 */
export function fragments(
	head: readonly Layer[],
	datagram: readonly [Ipv4 | Ipv6, ...Layer[]],
	o: { id: number; cuts: readonly number[] },
): Uint8Array[] {
	const [header, ...inner] = datagram;
	const whole = build(header, ...inner);
	const payload = whole.subarray(header.kind === 'ipv4' ? ((whole[0] ?? 0) & 15) * 4 : 40);
	const proto = protocolOf(inner[0]);
	const starts = [0, ...o.cuts];
	return starts.map((start, i) => {
		const end = starts[i + 1] ?? payload.length;
		return fragmentOf(
			head,
			header,
			{ proto, id: o.id, offset: start, more: end < payload.length },
			payload.subarray(start, end),
		);
	});
}

/** One fragment with any offset and content: overlapping, short or alone. */
export function fragmentOf(
	head: readonly Layer[],
	header: Ipv4 | Ipv6,
	o: { proto: number; id: number; offset: number; more: boolean },
	content: Uint8Array,
): Uint8Array {
	return header.kind === 'ipv4'
		? build(...head, ipv4({ ...header, proto: o.proto, id: o.id, mf: o.more, offset: o.offset }), raw(content))
		: build(
				...head,
				ipv6(header),
				{ kind: 'frag6', offset: o.offset, more: o.more, id: o.id, next: o.proto },
				raw(content),
			);
}

/** ICMP error payload: the offending packet's IP bytes, cut to `max`. */
export function quoted(packet: Uint8Array, max = 576 - 28): Uint8Array {
	const type = get16(packet, 12);
	const start = type === 0x8100 ? 18 : 14;
	return packet.slice(start, start + max);
}
