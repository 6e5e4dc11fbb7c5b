/**
 * Names of protocols, TCP flags and ICMP types, and the one-line summary of a flow.
 */
import { L4Proto } from '../../native/abi/generated.ts';
import type { Flow } from './flow.ts';

const PROTOCOL_NAMES: Readonly<Record<number, string>> = {
	[L4Proto.ICMP]: 'icmp',
	[L4Proto.TCP]: 'tcp',
	[L4Proto.UDP]: 'udp',
	[L4Proto.ICMPV6]: 'icmpv6',
	[L4Proto.SCTP]: 'sctp',
};

/** From the least significant bit of the flag byte on (RFC 9293 section 3.1). */
const TCP_FLAGS: readonly string[] = ['fin', 'syn', 'rst', 'psh', 'ack', 'urg', 'ece', 'cwr'];

const ICMP4_TYPES: Readonly<Record<number, string>> = {
	0: 'EchoReply',
	3: 'DestinationUnreachable',
	5: 'Redirect',
	8: 'EchoRequest',
	11: 'TimeExceeded',
	12: 'ParameterProblem',
};

const ICMP6_TYPES: Readonly<Record<number, string>> = {
	1: 'DestinationUnreachable',
	2: 'PacketTooBig',
	3: 'TimeExceeded',
	4: 'ParameterProblem',
	128: 'EchoRequest',
	129: 'EchoReply',
	133: 'RouterSolicitation',
	134: 'RouterAdvertisement',
	135: 'NeighborSolicitation',
	136: 'NeighborAdvertisement',
	137: 'Redirect',
};

/** Lower-case name, or the number as text. */
export function protocolName(protocol: number): string {
	return PROTOCOL_NAMES[protocol] ?? String(protocol);
}

/**
 * Protocol numbers a name stands for: `icmp` is both families', `icmpv4` and `icmpv6` one each; numbers stand for
 * themselves. Undefined = not a protocol.
 */
export function protocolNumbers(name: string): readonly number[] | undefined {
	const lower = name.toLowerCase();
	if (lower === 'icmp') return [L4Proto.ICMP, L4Proto.ICMPV6];
	if (lower === 'icmpv4') return [L4Proto.ICMP];
	for (const [number, known] of Object.entries(PROTOCOL_NAMES)) if (known === lower) return [Number(number)];
	const number = /^\d{1,3}$/.test(lower) ? Number(lower) : 256;
	return number < 256 ? [number] : undefined;
}

/** True for protocols whose two 16-bit port fields the flow's ports are. */
export function hasPorts(protocol: number): boolean {
	return protocol === L4Proto.TCP || protocol === L4Proto.UDP || protocol === L4Proto.SCTP;
}

/** Lower-case names of the set bits, from FIN to CWR. */
export function tcpFlagNames(flags: number): string[] {
	return TCP_FLAGS.filter((_, bit) => (flags & (1 << bit)) !== 0);
}

/** Bits of names joined by `,`, `+` or `-`, in any case. Undefined when a name is none. */
export function tcpFlagBits(text: string): number | undefined {
	let bits = 0;
	for (const name of text.toLowerCase().split(/[,+-]/)) {
		const bit = TCP_FLAGS.indexOf(name.trim());
		if (bit < 0) return undefined;
		bits |= 1 << bit;
	}
	return bits;
}

/** One line about the packet itself, in the words of the Hubble CLI: `TCP Flags: SYN, ACK`, `UDP`, `ICMPv4 EchoRequest`. */
export function summarize(flow: Flow): string {
	if (flow.kind === 'close') return `${protocolName(flow.protocol).toUpperCase()} closed`;
	switch (flow.protocol) {
		case L4Proto.TCP: {
			const flags = tcpFlagNames(flow.tcpFlags).join(', ').toUpperCase();
			return flags === '' ? 'TCP' : `TCP Flags: ${flags}`;
		}
		case L4Proto.ICMP:
			return `ICMPv4 ${ICMP4_TYPES[flow.icmpType] ?? `type ${flow.icmpType} code ${flow.icmpCode}`}`;
		case L4Proto.ICMPV6:
			return `ICMPv6 ${ICMP6_TYPES[flow.icmpType] ?? `type ${flow.icmpType} code ${flow.icmpCode}`}`;
		default:
			return protocolName(flow.protocol).toUpperCase();
	}
}
