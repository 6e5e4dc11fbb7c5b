/**
 * The flow value: what the history holds, filters judge and the APIs send. It carries what the Hubble flow messages
 * need, so that they are a change of form only.
 */
import type { Address } from '../model/address.ts';
import type { RuleVerdict } from '../model/policy-rule.ts';

/**
 * As in Hubble: `translated` is a socket whose destination was chosen at connect or sendmsg, `audit` what only audit mode has let
 * through.
 */
export type Verdict = 'forwarded' | 'dropped' | 'error' | 'translated' | 'audit';

/** Why the record was written; one per new flow, drop, closed flow, translated socket. */
export type FlowKind = 'new' | 'drop' | 'close' | 'connect' | 'nat-exhausted' | 'audit';

/** Seen from the pod of this node that takes part. */
export type TrafficDirection = 'ingress' | 'egress' | 'unknown';

export type PeerKind = 'pod' | 'service' | 'host' | 'remote-node' | 'world' | 'unknown';

/** Who an address belonged to when the flow was seen. One shared, immutable object per owner. */
export interface PeerName {
	readonly kind: PeerKind;
	/** '' for host, remote-node, world and unknown. */
	readonly namespace: string;
	/** Of the pod, service or node; '' for world and unknown. */
	readonly name: string;
	readonly labels: Readonly<Record<string, string>>;
}

export interface FlowPeer extends PeerName {
	readonly address: Address;
	/** 0 for protocols without ports. */
	readonly port: number;
	/** Node-local number of the label set; 0 = not known. */
	readonly identity: number;
}

/** What policy said on one side of a flow: egress of the pod that began it, or ingress of the pod that was addressed. */
export interface FlowPolicy {
	readonly verdict: 'allowed' | 'denied' | 'audited';
	/** Number of the rule in the maps. */
	readonly cookie: number;
	readonly by: RuleVerdict;
}

/** Of a closed flow, by direction. Packets wrap at 2^32. */
export interface FlowTotals {
	readonly packetsForward: number;
	readonly packetsReply: number;
	readonly bytesForward: bigint;
	readonly bytesReply: bigint;
}

export interface Flow {
	/** Position in the history, from 0, without gaps. */
	readonly sequence: number;
	/** Nanoseconds since 1970. */
	readonly timeNs: bigint;
	readonly nodeName: string;
	readonly kind: FlowKind;
	readonly verdict: Verdict;
	/** IP protocol number. */
	readonly protocol: number;
	readonly ipVersion: 4 | 6;
	readonly source: FlowPeer;
	/** After translation. */
	readonly destination: FlowPeer;
	/** What the client addressed; undefined = the destination itself. */
	readonly originalDestination: FlowPeer | undefined;
	/** Service that was addressed; undefined = none is known. */
	readonly service: PeerName | undefined;
	/** DropReason; 0 = not dropped. */
	readonly reason: number;
	/** From the responder to the initiator. */
	readonly reply: boolean;
	readonly direction: TrafficDirection;
	/** Hook number, see enum hook. */
	readonly hook: number;
	readonly ifindex: number;
	/** Low byte of the TCP flags; 0 for other protocols. */
	readonly tcpFlags: number;
	readonly icmpType: number;
	readonly icmpCode: number;
	/** IP bytes of the packet that caused the record; 0 for closed flows. */
	readonly packetBytes: number;
	/** Only for closed flows. */
	readonly totals: FlowTotals | undefined;
	/** undefined = this node did not judge that side, or no policy restricts it. */
	readonly egressRule: FlowPolicy | undefined;
	readonly ingressRule: FlowPolicy | undefined;
}

/** Where records were lost: before the ring, between ring and agent, or overwritten before a slow reader came. */
export type LossSource = 'kernel-ring' | 'agent-queue' | 'history';

export interface Loss {
	readonly source: LossSource;
	readonly count: number;
	/** Nanoseconds since 1970; the losses happened between. */
	readonly sinceNs: bigint;
	readonly untilNs: bigint;
}

export type FlowMessage =
	| { readonly kind: 'flow'; readonly flow: Flow }
	| { readonly kind: 'lost'; readonly loss: Loss };
