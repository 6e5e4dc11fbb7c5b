/**
 * Hubble's flow filters as tests. Those on things this dataplane does not know (L7, DNS names, workloads, …) are refused:
 * an empty answer would look like an absence of traffic.
 */
import type { FlowFilter__Output } from '../../proto/generated/flow/FlowFilter.ts';
import { compileFilter, type FlowTest } from '../flows/filter.ts';
import type { Flow, PeerName, Verdict } from '../flows/flow.ts';
import { FairleadError } from '../model/errors.ts';
import { eventTypeOf, hubbleReason, identityOf, tcpFlagBitsOf } from './hubble-flow.ts';

type Filter = FlowFilter__Output;

const UNSUPPORTED = [
	'sourceFqdn',
	'destinationFqdn',
	'httpStatusCode',
	'dnsQuery',
	'httpMethod',
	'httpPath',
	'sourceWorkload',
	'destinationWorkload',
	'traceId',
	'uuid',
	'httpUrl',
	'httpHeader',
	'sourceIpXlated',
	'nodeLabels',
	'sourceClusterName',
	'destinationClusterName',
	'ipTraceId',
	'encrypted',
] as const satisfies readonly (keyof Filter)[];

const VERDICTS: Readonly<Record<string, Verdict>> = {
	FORWARDED: 'forwarded',
	DROPPED: 'dropped',
	ERROR: 'error',
	TRANSLATED: 'translated',
	AUDIT: 'audit',
};

/** A flow passes when it matches one of the whitelist (or there is none) and none of the blacklist. @throws REQUEST_INVALID */
export function compileHubbleFilters(whitelist: readonly Filter[], blacklist: readonly Filter[]): FlowTest {
	const wanted = whitelist.map((filter, i) => compileHubbleFilter(filter, `whitelist[${i}]`));
	const unwanted = blacklist.map((filter, i) => compileHubbleFilter(filter, `blacklist[${i}]`));
	return (flow) => (wanted.length === 0 || wanted.some((test) => test(flow))) && !unwanted.some((test) => test(flow));
}

function compileHubbleFilter(filter: Filter, path: string): FlowTest {
	for (const field of UNSUPPORTED) {
		if (filter[field].length > 0) throw unsupported(path, field);
	}
	if ((filter.experimental?.celExpression ?? []).length > 0) throw unsupported(path, 'experimental.cel_expression');
	const common = compileFilter(
		{
			sourceIp: filter.sourceIp,
			sourcePod: filter.sourcePod,
			destinationIp: filter.destinationIp,
			destinationPod: filter.destinationPod,
			sourceLabel: filter.sourceLabel,
			destinationLabel: filter.destinationLabel,
			protocol: filter.protocol,
			sourcePort: filter.sourcePort.map((text, i) => portOf(text, `${path}.source_port[${i}]`)),
			destinationPort: filter.destinationPort.map((text, i) => portOf(text, `${path}.destination_port[${i}]`)),
			ipVersion: filter.ipVersion.map((version) => (version === 'IPv6' ? 6 : 4)),
			direction: filter.trafficDirection.map(directionOf),
		},
		path,
	);
	const tests = [common, ...ownTests(filter)];
	return (flow) => tests.every((test) => test(flow));
}

function unsupported(path: string, field: string): FairleadError {
	const name = field.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
	return new FairleadError('REQUEST_INVALID', `${path}.${name}: this server cannot filter by it`, {
		field: `${path}.${name}`,
	});
}

function portOf(text: string, field: string): number {
	if (!/^\d{1,5}$/.test(text)) {
		throw new FairleadError('REQUEST_INVALID', `${field}: expected a port, got ${JSON.stringify(text)}`, { field });
	}
	return Number(text);
}

function directionOf(direction: string): 'ingress' | 'egress' | 'unknown' {
	if (direction === 'INGRESS') return 'ingress';
	return direction === 'EGRESS' ? 'egress' : 'unknown';
}

/** Fields our own filters do not have. */
function ownTests(filter: Filter): FlowTest[] {
	const tests: FlowTest[] = [];
	const add = <T>(values: readonly T[], matches: (flow: Flow, value: T) => boolean): void => {
		if (values.length > 0) tests.push((flow) => values.some((value) => matches(flow, value)));
	};
	add(filter.verdict, (flow, verdict) => VERDICTS[verdict] === flow.verdict);
	add(filter.reply, (flow, reply) => flow.reply === reply);
	add(filter.eventType, (flow, wanted) => {
		const { type, subType } = eventTypeOf(flow);
		return type === wanted.type && (!wanted.matchSubType || subType === wanted.subType);
	});
	add(filter.sourceService, (flow, name) => flow.source.kind === 'service' && named(flow.source, name));
	add(filter.destinationService, (flow, name) => flow.service !== undefined && named(flow.service, name));
	add(filter.sourceIdentity, (flow, identity) => identityOf(flow.source) === identity);
	add(filter.destinationIdentity, (flow, identity) => identityOf(flow.destination) === identity);
	add(filter.tcpFlags.map(tcpFlagBitsOf), (flow, bits) => flow.protocol === 6 && (flow.tcpFlags & bits) === bits);
	add(filter.nodeName.map(globOf), (flow, glob) => glob.test(flow.nodeName));
	add(filter.dropReasonDesc, (flow, reason) => {
		return flow.verdict === 'dropped' && hubbleReason(flow) === reason;
	});
	add(filter.interface, (flow, wanted) => wanted.index !== 0 && flow.ifindex === wanted.index);
	return tests;
}

/** `[namespace/]name-prefix` */
function named(peer: PeerName, text: string): boolean {
	const slash = text.indexOf('/');
	if (slash < 0) return peer.name.startsWith(text);
	return peer.namespace === text.slice(0, slash) && peer.name.startsWith(text.slice(slash + 1));
}

/** `[cluster/]node` with `*` for any characters; there is only one cluster here, so its part is ignored. */
function globOf(pattern: string): RegExp {
	const node = pattern.slice(pattern.lastIndexOf('/') + 1);
	const parts = (node === '' ? '*' : node).split('*').map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&'));
	return new RegExp(`^${parts.join('.*')}$`);
}
