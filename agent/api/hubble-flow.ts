/**
 * Flows as the Hubble API knows them. Pure. What Hubble has no word for stands in the summary, which its CLI prints.
 */
import { Hook, Identity } from '../../native/abi/generated.ts';
import type { Endpoint } from '../../proto/generated/flow/Endpoint.ts';
import type { Flow as HubbleFlow } from '../../proto/generated/flow/Flow.ts';
import type { Layer4 } from '../../proto/generated/flow/Layer4.ts';
import type { LostEvent } from '../../proto/generated/flow/LostEvent.ts';
import type { Policy as HubblePolicy } from '../../proto/generated/flow/Policy.ts';
import type { Service } from '../../proto/generated/flow/Service.ts';
import type { TCPFlags, TCPFlags__Output } from '../../proto/generated/flow/TCPFlags.ts';
import type { GetFlowsResponse } from '../../proto/generated/observer/GetFlowsResponse.ts';
import { dropReasonName, dropText } from '../flows/drop-reasons.ts';
import type { Flow, FlowMessage, FlowPeer, FlowPolicy, Loss, PeerKind } from '../flows/flow.ts';
import { summarize } from '../flows/protocols.ts';
import type { RuleMatch } from '../model/policy-rule.ts';
import { timestampOfNs } from './messages.ts';

/** event_type.type */
export const EVENT_TYPE = { DROP: 1, TRACE: 4, POLICY_VERDICT: 5, TRACE_SOCK: 7 } as const;

const VERDICTS = {
	forwarded: 'FORWARDED',
	dropped: 'DROPPED',
	error: 'ERROR',
	translated: 'TRANSLATED',
	audit: 'AUDIT',
} as const;
const DIRECTIONS = { ingress: 'INGRESS', egress: 'EGRESS', unknown: 'TRAFFIC_DIRECTION_UNKNOWN' } as const;
const LOSS_SOURCES = {
	'kernel-ring': 'PERF_EVENT_RING_BUFFER',
	'agent-queue': 'OBSERVER_EVENTS_QUEUE',
	history: 'HUBBLE_RING_BUFFER',
} as const;

/** TraceObservationPoint by hook; the sub type of a trace event is the same number, but 0 for TO_ENDPOINT. */
const OBSERVATION_POINTS: Readonly<Record<number, number>> = {
	[Hook.FROM_POD]: 5,
	[Hook.TO_POD]: 101,
	[Hook.FROM_UPLINK]: 10,
	[Hook.TO_UPLINK]: 11,
	[Hook.FROM_OVERLAY]: 9,
	[Hook.TO_OVERLAY]: 4,
	[Hook.FROM_HOST_DEVICE]: 7,
	[Hook.LOOPBACK]: 7,
	[Hook.XDP]: 10,
};
const TO_ENDPOINT = 101;
/** SOCK_XLATE_POINT_POST_DIRECTION_FWD: the record is written after the translation. */
const AFTER_TRANSLATION = 2;

/** Reserved identities of peers that have no number of their own here; Hubble prints them as words. */
const RESERVED: Readonly<Record<PeerKind, number>> = {
	host: Identity.HOST,
	world: Identity.WORLD,
	'remote-node': Identity.REMOTE_NODE,
	pod: 0,
	service: 0,
	unknown: 0,
};

/** From the least significant bit of the flag byte on. */
const TCP_FLAGS = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR'] as const;

const POLICY_DENY = 181;
/** policy_match_type */
const MATCH_TYPES: Readonly<Record<RuleMatch, number>> = {
	none: 0,
	l3: 1,
	'l3-l4': 2,
	l4: 3,
	all: 4,
	'l3-proto': 5,
	proto: 6,
};

const PROTOCOL = { ICMP: 1, TCP: 6, UDP: 17, ICMPV6: 58, SCTP: 132 } as const;

export interface Emitter {
	readonly version: string;
	readonly nodeName: string;
}

export function flowsResponse(message: FlowMessage, emitter: Emitter): GetFlowsResponse {
	if (message.kind === 'lost') {
		const { loss } = message;
		return { lostEvents: lostEvent(loss), nodeName: emitter.nodeName, time: timestampOfNs(loss.untilNs) };
	}
	const { flow } = message;
	return { flow: hubbleFlow(flow, emitter.version), nodeName: flow.nodeName, time: timestampOfNs(flow.timeNs) };
}

function lostEvent(loss: Loss): LostEvent {
	return {
		source: LOSS_SOURCES[loss.source],
		numEventsLost: loss.count,
		first: timestampOfNs(loss.sinceNs),
		last: timestampOfNs(loss.untilNs),
	};
}

/** type and sub_type of the event a flow came from, as Hubble numbers them. */
export function eventTypeOf(flow: Flow): { readonly type: number; readonly subType: number } {
	if (flow.verdict === 'dropped') return { type: EVENT_TYPE.DROP, subType: hubbleReason(flow) };
	if (flow.kind === 'audit') return { type: EVENT_TYPE.POLICY_VERDICT, subType: 0 };
	if (flow.kind === 'connect') return { type: EVENT_TYPE.TRACE_SOCK, subType: AFTER_TRANSLATION };
	const point = OBSERVATION_POINTS[flow.hook] ?? 0;
	return { type: EVENT_TYPE.TRACE, subType: point === TO_ENDPOINT ? 0 : point };
}

/** Hubble tells a rule that denies (181) from the lack of one that allows (133). */
export function hubbleReason(flow: Flow): number {
	const denied = [flow.egressRule, flow.ingressRule].find((rule) => rule?.verdict === 'denied');
	return denied?.by.deny === true ? POLICY_DENY : dropText(flow.reason).hubble;
}

export function hubbleFlow(flow: Flow, version: string): HubbleFlow {
	const dropped = flow.verdict === 'dropped';
	const event = eventTypeOf(flow);
	const reason = dropped ? event.subType : 0;
	return {
		time: timestampOfNs(flow.timeNs),
		verdict: VERDICTS[flow.verdict],
		dropReason: reason,
		dropReasonDesc: reason,
		IP: {
			source: flow.source.address,
			destination: flow.destination.address,
			ipVersion: flow.ipVersion === 4 ? 'IPv4' : 'IPv6',
		},
		l4: layer4(flow),
		source: endpoint(flow.source),
		destination: endpoint(flow.destination),
		Type: flow.kind === 'connect' ? 'SOCK' : 'L3_L4',
		nodeName: flow.nodeName,
		reply: flow.reply,
		isReply: { value: flow.reply },
		eventType: event,
		sourceService: serviceOf(flow.source),
		destinationService: flow.service === undefined ? serviceOf(flow.destination) : serviceName(flow.service),
		trafficDirection: DIRECTIONS[flow.direction],
		traceObservationPoint: event.type === EVENT_TYPE.TRACE ? (OBSERVATION_POINTS[flow.hook] ?? 0) : 0,
		traceReason: event.type === EVENT_TYPE.TRACE ? traceReason(flow) : 0,
		sockXlatePoint: flow.kind === 'connect' ? AFTER_TRANSLATION : 0,
		interface: flow.ifindex === 0 ? null : { index: flow.ifindex },
		emitter: { name: 'Fairlead', version },
		...policyFields(flow),
		Summary: summaryOf(flow),
	};
}

/** Who decided; of the side that denies or would deny, else of the one that allowed. */
function policyFields(flow: Flow): Partial<HubbleFlow> {
	const { egressRule: egress, ingressRule: ingress } = flow;
	const decisive = [egress, ingress].find((rule) => rule !== undefined && rule.verdict !== 'allowed');
	const match = (decisive ?? egress ?? ingress)?.by.match ?? 'none';
	const allowed = (rule: FlowPolicy | undefined): HubblePolicy[] =>
		rule?.verdict === 'allowed' ? policiesOf(rule) : [];
	const denied = (rule: FlowPolicy | undefined): HubblePolicy[] =>
		rule === undefined || rule.verdict === 'allowed' ? [] : policiesOf(rule);
	return {
		policyMatchType: MATCH_TYPES[match],
		egressAllowedBy: allowed(egress),
		ingressAllowedBy: allowed(ingress),
		egressDeniedBy: denied(egress),
		ingressDeniedBy: denied(ingress),
	};
}

function policiesOf({ by }: FlowPolicy): HubblePolicy[] {
	return by.policies.map(({ kind, namespace, name }) => ({ kind, namespace, name }));
}

function traceReason(flow: Flow): 'NEW' | 'ESTABLISHED' | 'REPLY' {
	if (flow.kind === 'close') return 'ESTABLISHED';
	return flow.reply ? 'REPLY' : 'NEW';
}

/** With our own reason, for which `drop_reason_desc` only has the nearest number. */
function summaryOf(flow: Flow): string {
	const { reason, totals } = flow;
	const policy = policyText(flow);
	if (reason !== 0) return `${summarize(flow)}; ${dropReasonName(reason)}: ${policy || dropText(reason).text}`;
	if (policy !== '') return `${summarize(flow)}; ${policy}`;
	if (totals === undefined) return summarize(flow);
	const { packetsForward, packetsReply, bytesForward, bytesReply } = totals;
	return `${summarize(flow)}; packets ${packetsForward}/${packetsReply}, bytes ${bytesForward}/${bytesReply}`;
}

/** 'ingress denied by NetworkPolicy ns/name ingress rule 0' for each side that denies or would deny. */
function policyText(flow: Flow): string {
	const side = (direction: string, rule: FlowPolicy | undefined): string[] => {
		if (rule === undefined || rule.verdict === 'allowed') return [];
		return [`${direction} ${rule.verdict === 'denied' ? 'denied' : 'would be denied'}: ${rule.by.text}`];
	};
	return [...side('egress', flow.egressRule), ...side('ingress', flow.ingressRule)].join(', ');
}

function layer4(flow: Flow): Layer4 | null {
	const ports = { sourcePort: flow.source.port, destinationPort: flow.destination.port };
	const icmp = { type: flow.icmpType, code: flow.icmpCode };
	switch (flow.protocol) {
		case PROTOCOL.TCP:
			return { TCP: { ...ports, flags: tcpFlags(flow.tcpFlags) } };
		case PROTOCOL.UDP:
			return { UDP: ports };
		case PROTOCOL.SCTP:
			return { SCTP: ports };
		case PROTOCOL.ICMP:
			return { ICMPv4: icmp };
		case PROTOCOL.ICMPV6:
			return { ICMPv6: icmp };
		default:
			return null;
	}
}

function tcpFlags(bits: number): TCPFlags {
	return Object.fromEntries(TCP_FLAGS.map((name, bit) => [name, (bits & (1 << bit)) !== 0]));
}

/** Bits of a TCPFlags message, as they stand in a packet. */
export function tcpFlagBitsOf(flags: TCPFlags__Output): number {
	return TCP_FLAGS.reduce((bits, name, bit) => (flags[name] ? bits | (1 << bit) : bits), 0);
}

/** Identity as Hubble would number it. */
export function identityOf(peer: FlowPeer): number {
	return peer.identity === 0 ? RESERVED[peer.kind] : peer.identity;
}

function endpoint(peer: FlowPeer): Endpoint {
	const isPod = peer.kind === 'pod';
	return {
		identity: identityOf(peer),
		namespace: isPod ? peer.namespace : '',
		podName: isPod ? peer.name : '',
		labels: isPod
			? Object.entries(peer.labels).map(([key, value]) => `k8s:${key}=${value}`)
			: reservedLabels(peer.kind),
	};
}

function reservedLabels(kind: PeerKind): string[] {
	return kind === 'host' || kind === 'world' || kind === 'remote-node' ? [`reserved:${kind}`] : [];
}

function serviceOf(peer: FlowPeer): Service | null {
	return peer.kind === 'service' ? serviceName(peer) : null;
}

function serviceName({ name, namespace }: { readonly name: string; readonly namespace: string }): Service {
	return { name, namespace };
}
