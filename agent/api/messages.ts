/**
 * From the agent's values to the messages of agent.proto. Pure.
 */
import { HookName } from '../../native/abi/generated.ts';
import type { ConntrackEntry } from '../../proto/generated/fairlead/v1/ConntrackEntry.ts';
import type { DropCount } from '../../proto/generated/fairlead/v1/DropCount.ts';
import type { Flow as FlowMessage } from '../../proto/generated/fairlead/v1/Flow.ts';
import type { FlowKind as FlowKindMessage } from '../../proto/generated/fairlead/v1/FlowKind.ts';
import type { FlowPolicy as FlowPolicyMessage } from '../../proto/generated/fairlead/v1/FlowPolicy.ts';
import type { GetStatusResponse } from '../../proto/generated/fairlead/v1/GetStatusResponse.ts';
import type { LostFlows } from '../../proto/generated/fairlead/v1/LostFlows.ts';
import type { ObserveFlowsResponse } from '../../proto/generated/fairlead/v1/ObserveFlowsResponse.ts';
import type { Peer as PeerMessage } from '../../proto/generated/fairlead/v1/Peer.ts';
import type { PeerKind as PeerKindMessage } from '../../proto/generated/fairlead/v1/PeerKind.ts';
import type { TrafficDirection as DirectionMessage } from '../../proto/generated/fairlead/v1/TrafficDirection.ts';
import type { Verdict as VerdictMessage } from '../../proto/generated/fairlead/v1/Verdict.ts';
import type { Timestamp } from '../../proto/generated/google/protobuf/Timestamp.ts';
import type { DropTotal } from '../flows/counters.ts';
import { dropReasonName, dropText } from '../flows/drop-reasons.ts';
import type {
	Flow,
	FlowKind,
	FlowPeer,
	FlowPolicy,
	Loss,
	FlowMessage as ObservedMessage,
	PeerKind,
	PeerName,
	TrafficDirection,
	Verdict,
} from '../flows/flow.ts';
import type { FlowStats } from '../flows/observer.ts';
import { protocolName, summarize, tcpFlagNames } from '../flows/protocols.ts';
import type { ConntrackReport, StatusReport } from './state.ts';

const VERDICTS = {
	forwarded: 'VERDICT_FORWARDED',
	dropped: 'VERDICT_DROPPED',
	error: 'VERDICT_ERROR',
	translated: 'VERDICT_TRANSLATED',
	audit: 'VERDICT_AUDIT',
} as const satisfies Record<Verdict, VerdictMessage>;

const KINDS = {
	new: 'FLOW_KIND_NEW',
	drop: 'FLOW_KIND_DROP',
	close: 'FLOW_KIND_CLOSE',
	connect: 'FLOW_KIND_CONNECT',
	'nat-exhausted': 'FLOW_KIND_NAT_EXHAUSTED',
	audit: 'FLOW_KIND_AUDIT',
} as const satisfies Record<FlowKind, FlowKindMessage>;

const DIRECTIONS = {
	unknown: 'TRAFFIC_DIRECTION_UNSPECIFIED',
	ingress: 'TRAFFIC_DIRECTION_INGRESS',
	egress: 'TRAFFIC_DIRECTION_EGRESS',
} as const satisfies Record<TrafficDirection, DirectionMessage>;

const PEER_KINDS = {
	unknown: 'PEER_KIND_UNKNOWN',
	pod: 'PEER_KIND_POD',
	service: 'PEER_KIND_SERVICE',
	host: 'PEER_KIND_HOST',
	'remote-node': 'PEER_KIND_REMOTE_NODE',
	world: 'PEER_KIND_WORLD',
} as const satisfies Record<PeerKind, PeerKindMessage>;

/** Message values by ours; requests.ts reads the same tables backwards. */
export const ENUMS = { verdict: VERDICTS, kind: KINDS, direction: DIRECTIONS } as const;

/** @param ns  nanoseconds since 1970 */
export function timestampOfNs(ns: bigint): Timestamp {
	const seconds = ns / 1_000_000_000n;
	return { seconds: Number(seconds), nanos: Number(ns - seconds * 1_000_000_000n) };
}

export function timestampOfDate(date: Date): Timestamp {
	return timestampOfNs(BigInt(date.getTime()) * 1_000_000n);
}

function durationOfMs(ms: number): { seconds: number; nanos: number } {
	const seconds = Math.floor(ms / 1000);
	return { seconds, nanos: Math.round((ms - seconds * 1000) * 1_000_000) };
}

export function observedMessage(message: ObservedMessage): ObserveFlowsResponse {
	return message.kind === 'flow' ? { flow: flowMessage(message.flow) } : { lost: lossMessage(message.loss) };
}

export function flowMessage(flow: Flow): FlowMessage {
	const { totals, originalDestination } = flow;
	return {
		time: timestampOfNs(flow.timeNs),
		nodeName: flow.nodeName,
		kind: KINDS[flow.kind],
		verdict: VERDICTS[flow.verdict],
		protocol: protocolName(flow.protocol),
		ipVersion: flow.ipVersion,
		source: peerMessage(flow.source),
		destination: peerMessage(flow.destination),
		originalDestination: originalDestination === undefined ? null : peerMessage(originalDestination),
		dropReason: flow.reason === 0 ? '' : dropReasonName(flow.reason),
		dropText: flow.reason === 0 ? '' : dropText(flow.reason).text,
		reply: flow.reply,
		direction: DIRECTIONS[flow.direction],
		hook: HookName(flow.hook).toLowerCase(),
		ifindex: flow.ifindex,
		tcpFlags: flow.protocol === 6 ? tcpFlagNames(flow.tcpFlags) : [],
		icmpType: flow.icmpType,
		icmpCode: flow.icmpCode,
		packetBytes: flow.packetBytes,
		totals:
			totals === undefined
				? null
				: {
						packetsForward: totals.packetsForward,
						packetsReply: totals.packetsReply,
						bytesForward: totals.bytesForward.toString(),
						bytesReply: totals.bytesReply.toString(),
					},
		egressPolicy: flowPolicyMessage(flow.egressRule),
		ingressPolicy: flowPolicyMessage(flow.ingressRule),
		summary: summarize(flow),
	};
}

function flowPolicyMessage(policy: FlowPolicy | undefined): FlowPolicyMessage | null {
	if (policy === undefined) return null;
	const { verdict, cookie, by } = policy;
	return { verdict, cookie, text: by.text, rule: by.rule, policies: [...by.policies] };
}

function peerMessage(peer: FlowPeer): PeerMessage {
	return {
		address: peer.address,
		port: peer.port,
		kind: PEER_KINDS[peer.kind],
		namespace: peer.namespace,
		name: peer.name,
		labels: Object.entries(peer.labels).map(([key, value]) => `${key}=${value}`),
		identity: peer.identity,
	};
}

function lossMessage(loss: Loss): LostFlows {
	return {
		source: loss.source,
		count: loss.count,
		since: timestampOfNs(loss.sinceNs),
		until: timestampOfNs(loss.untilNs),
	};
}

export function statusMessage(
	report: StatusReport,
	flows: FlowStats,
	agent: { readonly version: string; readonly nodeName: string },
): GetStatusResponse {
	return {
		version: agent.version,
		nodeName: agent.nodeName,
		started: timestampOfDate(report.started),
		ready: report.ready,
		problems: [...report.problems],
		warnings: [...report.warnings],
		facts: { ...report.facts },
		reconcilers: report.reconcilers.map(({ lastSuccess, ...rest }) => ({
			...rest,
			lastSuccess: lastSuccess === undefined ? null : timestampOfDate(lastSuccess),
		})),
		maps: report.maps.map(({ entries, ...rest }) => (entries === undefined ? rest : { ...rest, entries })),
		flows: {
			held: flows.held,
			capacity: flows.capacity,
			seen: flows.seen,
			lostKernel: flows.lost['kernel-ring'],
			lostQueue: flows.lost['agent-queue'],
			rateLimited: report.eventsLimited.toString(),
			subscribers: flows.subscribers,
		},
		sourceErrors: [...report.sourceErrors],
	};
}

export function dropMessage(total: DropTotal): DropCount {
	const { text, remedy } = dropText(total.reason);
	return {
		number: total.reason,
		reason: dropReasonName(total.reason),
		packets: total.packets.toString(),
		bytes: total.bytes.toString(),
		text,
		remedy,
	};
}

export function conntrackMessage(entry: ConntrackReport): ConntrackEntry {
	const { protocol, flags, idleMs, ageMs, bytesForward, bytesReply, sourceName, destinationName, ...rest } = entry;
	return {
		...rest,
		protocol: protocolName(protocol),
		flags: [...flags],
		idle: durationOfMs(idleMs),
		age: durationOfMs(ageMs),
		bytesForward: bytesForward.toString(),
		bytesReply: bytesReply.toString(),
		sourceName: peerText(sourceName),
		destinationName: peerText(destinationName),
	};
}

/** `namespace/name` of pods and services, `node NAME` of nodes; '' for others. */
export function peerText(peer: PeerName | undefined): string {
	if (peer === undefined || peer.name === '') return '';
	return peer.kind === 'pod' || peer.kind === 'service' ? `${peer.namespace}/${peer.name}` : `node ${peer.name}`;
}
