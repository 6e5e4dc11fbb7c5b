/** Packets as text, for failure messages. */
import { hex } from './bytes.ts';
import type { Ipv4, Ipv6, Layer } from './layers.ts';
import type { Parsed } from './parse.ts';
import { parse } from './parse.ts';

function formatIpv4(l: Ipv4): string {
	const flags = `${l.df ? ' DF' : ''}${l.mf ? ' MF' : ''}${l.offset ? ` offset ${l.offset}` : ''}`;
	const options = l.options?.length ? ` options ${hex(l.options)}` : '';
	return `IPv4 ${l.src} > ${l.dst} ttl ${l.ttl} proto ${l.proto} len ${l.totalLength} id ${l.id}${flags}${options}`;
}

function formatIpv6(l: Ipv6): string {
	return `IPv6 ${l.src} > ${l.dst} hop ${l.hopLimit} next ${l.next} len ${l.payloadLength}`;
}

function formatLayer(l: Layer): string {
	switch (l.kind) {
		case 'eth':
			return `Ethernet ${l.src} > ${l.dst} type 0x${l.type?.toString(16)}`;
		case 'vlan':
			return `VLAN ${l.id}`;
		case 'arp':
			return `ARP op ${l.op} ${l.sender} (${l.senderMac}) > ${l.target} (${l.targetMac})`;
		case 'ipv4':
			return formatIpv4(l);
		case 'ipv6':
			return formatIpv6(l);
		case 'ext6':
			return `IPv6 extension ${l.type} ${l.data.length + 2} bytes ${hex(l.data)}`;
		case 'frag6':
			return `IPv6 fragment offset ${l.offset}${l.more ? ' more' : ''} id ${l.id}`;
		case 'tcp':
			return `TCP ${l.sport} > ${l.dport} [${l.flags}] seq ${l.seq} ack ${l.ack} window ${l.window}`;
		case 'udp':
			return `UDP ${l.sport} > ${l.dport} length ${l.length} checksum 0x${l.checksum?.toString(16)}`;
		case 'sctp':
			return `SCTP ${l.sport} > ${l.dport} tag ${l.tag}`;
		case 'icmp':
		case 'icmpv6':
			return `${l.kind === 'icmp' ? 'ICMP' : 'ICMPv6'} type ${l.type} code ${l.code} rest 0x${l.rest.toString(16)}`;
		case 'vxlan':
			return `VXLAN vni ${l.vni}`;
		case 'raw':
			return `${l.bytes.length} bytes ${hex(l.bytes.subarray(0, 32))}${l.bytes.length > 32 ? '…' : ''}`;
	}
}

function formatParsed(parsed: Parsed, indent: string): string[] {
	return [
		...parsed.layers.map((layer) => `${indent}${formatLayer(layer)}`),
		...(parsed.quoted ? [`${indent}quoting:`, ...formatParsed(parsed.quoted, `${indent}  `)] : []),
		...parsed.problems.map((problem) => `${indent}! ${problem}`),
	];
}

/** One line per layer, and one line starting with "!" per problem. */
export function format(bytes: Uint8Array): string {
	return formatParsed(parse(bytes), '').join('\n');
}
