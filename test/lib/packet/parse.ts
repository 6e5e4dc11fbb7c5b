/**
 * Reads bytes back into layers and lists everything that is wrong with them: lengths, checksums, truncation.
 * L4 checksums are judged only where the whole datagram is present (not in fragments or quoted packets).
 */
import {
	addressBytes,
	addressText,
	crc32c,
	get16,
	get32,
	internetChecksum,
	macText,
	onesSum,
	pseudoHeader,
} from './bytes.ts';
import type { Icmp, Ipv4, Ipv6, Layer, LayerKind, LayerOf } from './layers.ts';
import { tcpFlagLetters } from './layers.ts';

export interface Parsed {
	readonly layers: readonly Layer[];
	/** Sentences; empty = everything fits. */
	readonly problems: readonly string[];
	/** The packet quoted by an ICMP error. */
	readonly quoted?: Parsed;
}

interface State {
	readonly bytes: Uint8Array;
	/** End of what the lengths so far allow. */
	end: number;
	at: number;
	readonly layers: Layer[];
	readonly problems: string[];
	/** A quoted packet: may be cut short, its checksums are not judged. */
	readonly partial: boolean;
	fragment: boolean;
	quoted?: Parsed;
}

type Step = (s: State) => Step | undefined;

const EXTENSIONS = new Set([0, 43, 60, 135, 139, 140]);

function room(s: State, need: number, what: string): boolean {
	if (s.end - s.at >= need) {
		return true;
	}
	if (!s.partial) {
		s.problems.push(`${what} is truncated: ${s.end - s.at} of ${need} bytes`);
	}
	return false;
}

function parseEthernet(s: State): Step | undefined {
	if (!room(s, 14, 'Ethernet header')) {
		return parseRaw;
	}
	const type = get16(s.bytes, s.at + 12);
	s.layers.push({
		kind: 'eth',
		dst: macText(s.bytes.subarray(s.at, s.at + 6)),
		src: macText(s.bytes.subarray(s.at + 6, s.at + 12)),
		type,
	});
	s.at += 14;
	return byEtherType(type);
}

function byEtherType(type: number): Step {
	switch (type) {
		case 0x8100:
		case 0x88a8:
			return parseVlan;
		case 0x0800:
			return parseIpv4;
		case 0x86dd:
			return parseIpv6;
		case 0x0806:
			return parseArp;
		default:
			return parseRaw;
	}
}

function parseVlan(s: State): Step | undefined {
	if (!room(s, 4, 'VLAN tag')) {
		return parseRaw;
	}
	const type = get16(s.bytes, s.at + 2);
	s.layers.push({ kind: 'vlan', id: get16(s.bytes, s.at) & 0xfff, type });
	s.at += 4;
	return byEtherType(type);
}

function parseArp(s: State): Step | undefined {
	if (!room(s, 28, 'ARP message')) {
		return parseRaw;
	}
	const at = s.at;
	s.layers.push({
		kind: 'arp',
		op: get16(s.bytes, at + 6),
		senderMac: macText(s.bytes.subarray(at + 8, at + 14)),
		sender: addressText(s.bytes.subarray(at + 14, at + 18)),
		targetMac: macText(s.bytes.subarray(at + 18, at + 24)),
		target: addressText(s.bytes.subarray(at + 24, at + 28)),
	});
	s.at += 28;
	return parseRaw;
}

function narrow(s: State, end: number, what: string): void {
	if (end > s.end) {
		if (!s.partial) {
			s.problems.push(`${what} says ${end - s.at} bytes, ${s.end - s.at} are there`);
		}
		return;
	}
	s.end = end;
}

function parseIpv4(s: State): Step | undefined {
	if (!room(s, 20, 'IPv4 header')) {
		return parseRaw;
	}
	const { bytes, at } = s;
	const ihl = (bytes[at] ?? 0) & 15;
	if (ihl < 5 || !room(s, ihl * 4, 'IPv4 options')) {
		s.problems.push(`IPv4 header length ${ihl * 4} does not fit`);
		return parseRaw;
	}
	const flags = get16(bytes, at + 6);
	const layer: Ipv4 = {
		kind: 'ipv4',
		version: (bytes[at] ?? 0) >>> 4,
		ihl,
		tos: bytes[at + 1] ?? 0,
		totalLength: get16(bytes, at + 2),
		id: get16(bytes, at + 4),
		df: (flags & 0x4000) !== 0,
		mf: (flags & 0x2000) !== 0,
		offset: (flags & 0x1fff) * 8,
		ttl: bytes[at + 8] ?? 0,
		proto: bytes[at + 9] ?? 0,
		checksum: get16(bytes, at + 10),
		src: addressText(bytes.subarray(at + 12, at + 16)),
		dst: addressText(bytes.subarray(at + 16, at + 20)),
		options: bytes.slice(at + 20, at + ihl * 4),
	};
	s.layers.push(layer);
	if (layer.version !== 4) {
		s.problems.push(`IPv4 header has version ${layer.version}`);
	}
	if (onesSum(bytes.subarray(at, at + ihl * 4)) !== 0xffff) {
		s.problems.push(`IPv4 header checksum is wrong: 0x${layer.checksum?.toString(16)}`);
	}
	narrow(s, at + (layer.totalLength ?? 0), 'IPv4 total length');
	s.at += ihl * 4;
	s.fragment = layer.mf === true || layer.offset !== 0;
	return layer.offset ? parseRaw : byProtocol(layer.proto ?? 0);
}

function parseIpv6(s: State): Step | undefined {
	if (!room(s, 40, 'IPv6 header')) {
		return parseRaw;
	}
	const { bytes, at } = s;
	const first = get32(bytes, at);
	const layer: Ipv6 = {
		kind: 'ipv6',
		version: first >>> 28,
		trafficClass: (first >>> 20) & 255,
		flowLabel: first & 0xfffff,
		payloadLength: get16(bytes, at + 4),
		next: bytes[at + 6] ?? 0,
		hopLimit: bytes[at + 7] ?? 0,
		src: addressText(bytes.subarray(at + 8, at + 24)),
		dst: addressText(bytes.subarray(at + 24, at + 40)),
	};
	s.layers.push(layer);
	if (layer.version !== 6) {
		s.problems.push(`IPv6 header has version ${layer.version}`);
	}
	narrow(s, at + 40 + (layer.payloadLength ?? 0), 'IPv6 payload length');
	s.at += 40;
	s.fragment = false;
	return byProtocol(layer.next ?? 59);
}

function byProtocol(proto: number): Step {
	switch (proto) {
		case 1:
			return (s) => parseIcmp(s, 'icmp');
		case 58:
			return (s) => parseIcmp(s, 'icmpv6');
		case 4:
			return parseIpv4;
		case 41:
			return parseIpv6;
		case 6:
			return parseTcp;
		case 17:
			return parseUdp;
		case 132:
			return parseSctp;
		case 44:
			return parseFragment6;
		default:
			return EXTENSIONS.has(proto) ? (s) => parseExtension(s, proto) : parseRaw;
	}
}

function parseExtension(s: State, type: number): Step | undefined {
	if (!room(s, 8, 'IPv6 extension header')) {
		return parseRaw;
	}
	const next = s.bytes[s.at] ?? 59;
	const length = s.bytes[s.at + 1] ?? 0;
	if (!room(s, (length + 1) * 8, 'IPv6 extension header')) {
		return parseRaw;
	}
	s.layers.push({ kind: 'ext6', type, next, length, data: s.bytes.slice(s.at + 2, s.at + (length + 1) * 8) });
	s.at += (length + 1) * 8;
	return byProtocol(next);
}

function parseFragment6(s: State): Step | undefined {
	if (!room(s, 8, 'IPv6 fragment header')) {
		return parseRaw;
	}
	const next = s.bytes[s.at] ?? 59;
	const word = get16(s.bytes, s.at + 2);
	s.layers.push({
		kind: 'frag6',
		next,
		offset: word & 0xfff8,
		more: (word & 1) !== 0,
		id: get32(s.bytes, s.at + 4),
	});
	s.at += 8;
	s.fragment = word !== 0;
	return word & 0xfff8 ? parseRaw : byProtocol(next);
}

function innermostIp(s: State): Ipv4 | Ipv6 | undefined {
	return s.layers.findLast((l): l is Ipv4 | Ipv6 => l.kind === 'ipv4' || l.kind === 'ipv6');
}

function judged(s: State): boolean {
	return !s.partial && !s.fragment;
}

function judgeSum(s: State, proto: number, name: string): void {
	const header = innermostIp(s);
	if (!judged(s) || !header) {
		return;
	}
	const body = s.bytes.subarray(s.at, s.end);
	const pseudo = pseudoHeader(addressBytes(header.src), addressBytes(header.dst), proto, body.length);
	const sum = onesSum(body, onesSum(pseudo));
	if (sum !== 0xffff) {
		s.problems.push(`${name} checksum is wrong by 0x${(0xffff - sum).toString(16)}`);
	}
}

/** A quote may end after the ports and the sequence number (RFC 792). */
function parseTcpQuote(s: State): Step | undefined {
	const { bytes, at } = s;
	s.layers.push({
		kind: 'tcp',
		sport: get16(bytes, at),
		dport: get16(bytes, at + 2),
		seq: get32(bytes, at + 4),
		flags: '',
	});
	s.at += 8;
	return parseRaw;
}

function parseTcp(s: State): Step | undefined {
	if (s.partial && s.end - s.at >= 8 && s.end - s.at < 20) {
		return parseTcpQuote(s);
	}
	if (!room(s, 20, 'TCP header')) {
		return parseRaw;
	}
	const { bytes, at } = s;
	const dataOffset = (bytes[at + 12] ?? 0) >>> 4;
	s.layers.push({
		kind: 'tcp',
		sport: get16(bytes, at),
		dport: get16(bytes, at + 2),
		seq: get32(bytes, at + 4),
		ack: get32(bytes, at + 8),
		dataOffset,
		flags: tcpFlagLetters(bytes[at + 13] ?? 0),
		window: get16(bytes, at + 14),
		checksum: get16(bytes, at + 16),
		urgent: get16(bytes, at + 18),
		options: bytes.slice(at + 20, Math.min(at + dataOffset * 4, s.end)),
	});
	judgeSum(s, 6, 'TCP');
	if (dataOffset < 5 || !room(s, dataOffset * 4, 'TCP options')) {
		s.problems.push(`TCP header length ${dataOffset * 4} does not fit`);
		s.at += 20;
		return parseRaw;
	}
	s.at += dataOffset * 4;
	return parseRaw;
}

function parseUdp(s: State): Step | undefined {
	if (!room(s, 8, 'UDP header')) {
		return parseRaw;
	}
	const { bytes, at } = s;
	const length = get16(bytes, at + 4);
	const checksum = get16(bytes, at + 6);
	const dport = get16(bytes, at + 2);
	s.layers.push({ kind: 'udp', sport: get16(bytes, at), dport, length, checksum });
	if (judged(s) && length !== s.end - at) {
		s.problems.push(`UDP length is ${length}, ${s.end - at} bytes are there`);
	}
	if (checksum !== 0) {
		judgeSum(s, 17, 'UDP');
	} else if (innermostIp(s)?.kind === 'ipv6' && dport !== 8472 && judged(s)) {
		s.problems.push('UDP over IPv6 has no checksum');
	}
	s.at += 8;
	return dport === 8472 || dport === 4789 ? parseVxlan : parseRaw;
}

function parseVxlan(s: State): Step | undefined {
	if (!room(s, 8, 'VXLAN header')) {
		return parseRaw;
	}
	s.layers.push({ kind: 'vxlan', flags: s.bytes[s.at] ?? 0, vni: get32(s.bytes, s.at + 4) >>> 8 });
	s.at += 8;
	return parseEthernet;
}

function parseSctp(s: State): Step | undefined {
	if (!room(s, 12, 'SCTP header')) {
		return parseRaw;
	}
	const { bytes, at } = s;
	const checksum = new DataView(bytes.buffer, bytes.byteOffset).getUint32(at + 8, true);
	s.layers.push({
		kind: 'sctp',
		sport: get16(bytes, at),
		dport: get16(bytes, at + 2),
		tag: get32(bytes, at + 4),
		checksum,
	});
	if (judged(s)) {
		const body = bytes.slice(at, s.end);
		body.fill(0, 8, 12);
		if (crc32c(body) !== checksum) {
			s.problems.push('SCTP CRC32c is wrong');
		}
	}
	s.at += 12;
	return parseRaw;
}

function isIcmpError(layer: Icmp): boolean {
	return layer.kind === 'icmp' ? [3, 4, 5, 11, 12].includes(layer.type) : layer.type < 128;
}

function parseIcmp(s: State, kind: 'icmp' | 'icmpv6'): Step | undefined {
	if (!room(s, 8, 'ICMP header')) {
		return parseRaw;
	}
	const { bytes, at } = s;
	const layer: Icmp = {
		kind,
		type: bytes[at] ?? 0,
		code: bytes[at + 1] ?? 0,
		checksum: get16(bytes, at + 2),
		rest: get32(bytes, at + 4),
	};
	s.layers.push(layer);
	if (kind === 'icmpv6') {
		judgeSum(s, 58, 'ICMPv6');
	} else if (judged(s) && internetChecksum(bytes.subarray(at, s.end)) !== 0) {
		s.problems.push('ICMP checksum is wrong');
	}
	s.at += 8;
	if (isIcmpError(layer) && s.end > s.at) {
		s.quoted = run(bytes.slice(s.at, s.end), kind === 'icmp' ? parseIpv4 : parseIpv6, true);
	}
	return parseRaw;
}

function parseRaw(s: State): undefined {
	if (s.end > s.at) {
		s.layers.push({ kind: 'raw', bytes: s.bytes.slice(s.at, s.end) });
		s.at = s.end;
	}
	return undefined;
}

function run(bytes: Uint8Array, first: Step, partial: boolean): Parsed {
	const s: State = { bytes, at: 0, end: bytes.length, layers: [], problems: [], partial, fragment: false };
	let step: Step | undefined = first;
	while (step) {
		step = step(s);
	}
	return { layers: s.layers, problems: s.problems, ...(s.quoted ? { quoted: s.quoted } : {}) };
}

/** Parses an Ethernet frame. */
export function parse(bytes: Uint8Array): Parsed {
	return run(bytes, parseEthernet, false);
}

/** The n-th layer of a kind (0 = outermost, -1 = innermost); throws with the packet's text when there is none. */
export function layerOf<K extends LayerKind>(parsed: Parsed, kind: K, n = 0): LayerOf<K> {
	const found = parsed.layers.filter((l): l is LayerOf<K> => l.kind === kind).at(n);
	if (!found) {
		throw new Error(`packet has no ${kind} layer ${n}: ${parsed.layers.map((l) => l.kind).join(' ')}`);
	}
	return found;
}
