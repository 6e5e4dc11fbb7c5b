/**
 * How long a flow may be idle, by protocol and state, as rules that native code can apply. Pure.
 */
import { CtFlags, L4Proto } from '../../native/abi/generated.ts';
import { ANY_PROTO, type IdleRule } from '../../native/index.ts';

/** Seconds without a packet after which a flow goes, by state. */
export interface CtTimeouts {
	readonly tcpEstablished: number;
	/** After RST, or FIN from both sides. */
	readonly tcpClosing: number;
	/** One side has sent its FIN. */
	readonly tcpHalfClosed: number;
	/** No reply yet, or nothing after it. */
	readonly tcpOpening: number;
	readonly udpReplied: number;
	readonly udpUnreplied: number;
	/** Several of the heartbeats that keep an idle association. */
	readonly sctpEstablished: number;
	readonly sctpOpening: number;
	readonly icmp: number;
	/** Every other protocol. */
	readonly other: number;
}

/** Those of netfilter where Kubernetes users know them; established and half-closed TCP as kube-proxy sets them. */
export const DEFAULT_CT_TIMEOUTS: CtTimeouts = {
	tcpEstablished: 86_400,
	tcpClosing: 10,
	tcpHalfClosed: 3600,
	tcpOpening: 60,
	udpReplied: 180,
	udpUnreplied: 30,
	sctpEstablished: 600,
	sctpOpening: 60,
	icmp: 30,
	other: 600,
};

/** The configured ones, and the defaults of what is not. */
export function ctTimeoutsOf(given: { readonly [K in keyof CtTimeouts]?: number | undefined }): CtTimeouts {
	const names = Object.keys(DEFAULT_CT_TIMEOUTS) as (keyof CtTimeouts)[];
	return Object.fromEntries(
		names.map((name) => [name, given[name] ?? DEFAULT_CT_TIMEOUTS[name]]),
	) as unknown as CtTimeouts;
}

/** @param hz  jiffies per second. @returns the first rule that matches decides */
export function idleRules(timeouts: CtTimeouts, hz: number): readonly IdleRule[] {
	const { TCP, UDP, SCTP, ICMP, ICMPV6 } = L4Proto;
	const { CLOSING, FIN_FORWARD, FIN_REPLY, ESTABLISHED, HOST_LOOP, SHARED, SVC_REPLY } = CtFlags;
	const rule = (proto: number, flags: number, seconds: number): IdleRule => {
		return { proto, mask: flags, value: flags, limit: Math.round(seconds * hz) };
	};
	return [
		// The service's connection may be over, the one that shares its entry is not.
		rule(TCP, SHARED | SVC_REPLY, timeouts.tcpEstablished),
		rule(TCP, CLOSING, timeouts.tcpClosing),
		// A FIN before the connection is established is anybody's. Both entries of a flow are told of either.
		rule(TCP, FIN_FORWARD | ESTABLISHED, timeouts.tcpHalfClosed),
		rule(TCP, FIN_REPLY | ESTABLISHED, timeouts.tcpHalfClosed),
		rule(TCP, ESTABLISHED, timeouts.tcpEstablished),
		// The entries of a node that talks to itself do not find each other, and one of them sees no answers.
		rule(TCP, HOST_LOOP, timeouts.tcpEstablished),
		rule(TCP, 0, timeouts.tcpOpening),
		rule(UDP, ESTABLISHED, timeouts.udpReplied),
		rule(UDP, HOST_LOOP, timeouts.udpReplied),
		rule(UDP, 0, timeouts.udpUnreplied),
		rule(SCTP, ESTABLISHED, timeouts.sctpEstablished),
		rule(SCTP, 0, timeouts.sctpOpening),
		rule(ICMP, 0, timeouts.icmp),
		rule(ICMPV6, 0, timeouts.icmp),
		rule(ANY_PROTO, 0, timeouts.other),
	];
}
