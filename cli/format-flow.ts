/**
 * Flows as lines of text. The words follow the Hubble CLI where it has one for the same thing.
 */
import type { Flow__Output } from '../proto/generated/fairlead/v1/Flow.ts';
import type { LostFlows__Output } from '../proto/generated/fairlead/v1/LostFlows.ts';
import type { Peer__Output } from '../proto/generated/fairlead/v1/Peer.ts';
import { enumWord, formatBytes, formatClock, formatEndpoint } from './format.ts';
import { formatTable } from './output.ts';

export interface FlowTextOptions {
	/** Addresses instead of names. */
	readonly numeric: boolean;
	readonly showNode: boolean;
}

/** `namespace/pod:port`, else the node's name, else the address. */
export function peerText(peer: Peer__Output | null, { numeric }: { readonly numeric: boolean }): string {
	if (peer === null) return '-';
	const { kind, namespace, name, address, port } = peer;
	if (numeric || name === '') return formatEndpoint(address, port);
	const full = kind === 'PEER_KIND_POD' || kind === 'PEER_KIND_SERVICE' ? `${namespace}/${name}` : name;
	return port === 0 ? full : `${full}:${port}`;
}

/** Reason of a drop, else where it was seen or what happened. */
export function flowType(flow: Flow__Output): string {
	if (flow.dropReason !== '') return flow.dropReason;
	if (flow.kind === 'FLOW_KIND_CLOSE') return 'closed';
	if (flow.kind === 'FLOW_KIND_CONNECT') return 'connect';
	if (flow.kind === 'FLOW_KIND_AUDIT') return 'policy';
	return flow.hook.replaceAll('_', '-');
}

/** Which policy denies, or would: 'ingress denied: NetworkPolicy shop/db ingress rule 0'. Empty = none does. */
export function policyText(flow: Flow__Output): string {
	const sides = [
		['egress', flow.egressPolicy],
		['ingress', flow.ingressPolicy],
	] as const;
	return sides
		.flatMap(([direction, policy]) => {
			if (policy === null || policy.verdict === 'allowed') return [];
			return [`${direction} ${policy.verdict === 'denied' ? 'denied' : 'would be denied'}: ${policy.text}`];
		})
		.join(', ');
}

function summaryOf(flow: Flow__Output): string {
	const { totals } = flow;
	const policy = policyText(flow);
	if (policy !== '') return `${flow.summary}, ${policy}`;
	if (totals === null) return flow.summary;
	const packets = `${totals.packetsForward}/${totals.packetsReply} packets`;
	return `${flow.summary}, ${packets}, ${formatBytes(totals.bytesForward)}/${formatBytes(totals.bytesReply)}`;
}

/** One line: `TIME: SOURCE (kind) -> DESTINATION (kind) [via SERVICE] TYPE VERDICT (SUMMARY)`. */
export function compactFlow(flow: Flow__Output, options: FlowTextOptions): string {
	const time = flow.time === null ? '-' : formatClock(flow.time);
	const ends = [flow.source, flow.destination].map((peer) => {
		return `${peerText(peer, options)} (${peer === null ? 'unknown' : enumWord(peer.kind)})`;
	});
	// the client is always on the left
	const [left, right] = flow.reply ? ends.reverse() : ends;
	const via = flow.originalDestination === null ? '' : ` via ${peerText(flow.originalDestination, options)}`;
	const node = options.showNode ? ` [${flow.nodeName}]` : '';
	const verdict = enumWord(flow.verdict).toUpperCase();
	return `${time}${node}: ${left} ${flow.reply ? '<-' : '->'} ${right}${via} ${flowType(flow)} ${verdict} (${summaryOf(flow)})\n`;
}

export function flowTable(flows: readonly Flow__Output[], options: FlowTextOptions): string {
	const head = ['TIMESTAMP', 'SOURCE', 'DESTINATION', 'VIA', 'TYPE', 'VERDICT', 'SUMMARY'];
	const rows = flows.map((flow) => [
		flow.time === null ? '-' : formatClock(flow.time),
		...(options.showNode ? [flow.nodeName] : []),
		peerText(flow.source, options),
		peerText(flow.destination, options),
		peerText(flow.originalDestination, options),
		flowType(flow),
		enumWord(flow.verdict).toUpperCase(),
		summaryOf(flow),
	]);
	return formatTable(options.showNode ? [...head.slice(0, 1), 'NODE', ...head.slice(1)] : head, rows);
}

const LOSS_TEXT: Readonly<Record<string, string>> = {
	'kernel-ring': 'the ring in the kernel was full',
	'agent-queue': 'the agent was too slow',
	history: 'this reader was too slow',
};

export function lostText(lost: LostFlows__Output): string {
	return `EVENTS LOST: ${lost.count} (${LOSS_TEXT[lost.source] ?? lost.source})`;
}
