/**
 * From an Ethernet frame to what name service needs of it: whose it is, the two ends, and the payload of UDP or TCP. Reads what may
 * have come from anybody: every length is checked, and what does not fit is undefined.
 */

export const PROTO_TCP = 6;
export const PROTO_UDP = 17;
export const TCP_SYN = 2;

export interface Fragment {
	/** Identification, unique with addresses and protocol. */
	readonly id: number;
	/** Bytes. */
	readonly offset: number;
	readonly more: boolean;
}

export interface Frame {
	/** 'aa:bb:cc:dd:ee:ff' */
	readonly sourceMac: string;
	readonly destinationMac: string;
	/** 4 or 16 bytes in hexadecimal digits: equal addresses have equal text. */
	readonly source: string;
	readonly destination: string;
	readonly proto: number;
	/** null = a whole packet. */
	readonly fragment: Fragment | null;
	/** From the header of UDP or TCP on; of a fragment what it carries. */
	readonly segment: Buffer;
}

export interface Datagram {
	readonly sourcePort: number;
	readonly destinationPort: number;
	readonly payload: Buffer;
}

export interface Segment extends Datagram {
	/** Number of the first byte, which is the SYN if there is one. */
	readonly sequence: number;
	readonly syn: boolean;
}

const ETHERNET = 14;
const IPV6 = 40;
const FRAGMENT_HEADER = 44;

/** @param bytes  an Ethernet frame, without anything in front */
export function parseFrame(bytes: Buffer): Frame | undefined {
	if (bytes.length < ETHERNET + 20) return undefined;
	const type = bytes.readUInt16BE(12);
	const packet = bytes.subarray(ETHERNET);
	const parsed = type === 0x0800 ? parseIpv4(packet) : type === 0x86dd ? parseIpv6(packet) : undefined;
	return parsed && { sourceMac: macAt(bytes, 6), destinationMac: macAt(bytes, 0), ...parsed };
}

function macAt(bytes: Buffer, at: number): string {
	return bytes.toString('hex', at, at + 6).replace(/..(?!$)/g, '$&:');
}

type Packet = Omit<Frame, 'sourceMac' | 'destinationMac'>;

function parseIpv4(packet: Buffer): Packet | undefined {
	const header = ((packet[0] ?? 0) & 0xf) * 4;
	// 0 in packets that a device is to cut into segments (BIG TCP)
	const total = packet.readUInt16BE(2) || packet.length;
	if (header < 20 || total < header || total > packet.length) return undefined;
	const flags = packet.readUInt16BE(6);
	const fragment = { id: packet.readUInt16BE(4), offset: (flags & 0x1fff) * 8, more: (flags & 0x2000) !== 0 };
	return {
		source: packet.toString('hex', 12, 16),
		destination: packet.toString('hex', 16, 20),
		proto: packet[9] ?? 0,
		fragment: fragment.offset > 0 || fragment.more ? fragment : null,
		segment: packet.subarray(header, total),
	};
}

function parseIpv6(packet: Buffer): Packet | undefined {
	if (packet.length < IPV6) return undefined;
	const end = IPV6 + (packet.readUInt16BE(4) || packet.length - IPV6);
	if (end > packet.length) return undefined;
	const ends = { source: packet.toString('hex', 8, 24), destination: packet.toString('hex', 24, 40) };
	if (packet[6] !== FRAGMENT_HEADER) {
		return { ...ends, proto: packet[6] ?? 0, fragment: null, segment: packet.subarray(IPV6, end) };
	}
	if (end < IPV6 + 8) return undefined;
	const word = packet.readUInt16BE(IPV6 + 2);
	const fragment = { id: packet.readUInt32BE(IPV6 + 4), offset: word & 0xfff8, more: (word & 1) !== 0 };
	const whole = fragment.offset === 0 && !fragment.more;
	return {
		...ends,
		proto: packet[IPV6] ?? 0,
		fragment: whole ? null : fragment,
		segment: packet.subarray(IPV6 + 8, end),
	};
}

export function parseUdp(segment: Buffer): Datagram | undefined {
	if (segment.length < 8) return undefined;
	const length = segment.readUInt16BE(4);
	if (length < 8 || length > segment.length) return undefined;
	return { ...portsOf(segment), payload: segment.subarray(8, length) };
}

export function parseTcp(segment: Buffer): Segment | undefined {
	if (segment.length < 20) return undefined;
	const header = ((segment[12] ?? 0) >> 4) * 4;
	if (header < 20 || header > segment.length) return undefined;
	const syn = ((segment[13] ?? 0) & TCP_SYN) !== 0;
	return { ...portsOf(segment), sequence: segment.readUInt32BE(4), syn, payload: segment.subarray(header) };
}

function portsOf(segment: Buffer): { readonly sourcePort: number; readonly destinationPort: number } {
	return { sourcePort: segment.readUInt16BE(0), destinationPort: segment.readUInt16BE(2) };
}
