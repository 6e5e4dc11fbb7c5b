/**
 * Flow filters: pure predicates compiled from values. Semantics are those of Hubble: inside a filter every field that
 * is set must match and a field matches when one of its values does; several filters are alternatives.
 */
import { cidrContains, parseCidr } from '../model/address.ts';
import { FairleadError } from '../model/errors.ts';
import { dropReasonNumber } from './drop-reasons.ts';
import type { Flow, FlowKind, FlowPeer, PeerName, TrafficDirection, Verdict } from './flow.ts';
import { parseLabelSelector } from './label-selector.ts';
import { protocolNumbers, tcpFlagBits } from './protocols.ts';

/** `pod`, `ip`, … mean either end; an absent or empty field matches everything. */
export interface FlowFilter {
	/** [namespace/]name-prefix; `namespace/` alone is every pod of it. */
	readonly pod?: readonly string[];
	readonly sourcePod?: readonly string[];
	readonly destinationPod?: readonly string[];
	readonly namespace?: readonly string[];
	/** Address or CIDR; `ip` and `destinationIp` also match the address before translation. */
	readonly ip?: readonly string[];
	readonly sourceIp?: readonly string[];
	readonly destinationIp?: readonly string[];
	readonly port?: readonly number[];
	readonly sourcePort?: readonly number[];
	readonly destinationPort?: readonly number[];
	readonly label?: readonly string[];
	readonly sourceLabel?: readonly string[];
	readonly destinationLabel?: readonly string[];
	/** [namespace/]name-prefix of the service that was addressed. */
	readonly service?: readonly string[];
	readonly protocol?: readonly string[];
	readonly verdict?: readonly Verdict[];
	readonly reason?: readonly string[];
	readonly kind?: readonly FlowKind[];
	readonly direction?: readonly TrafficDirection[];
	readonly ipVersion?: readonly number[];
	/** Each value is a set of flags that must all be set. */
	readonly tcpFlags?: readonly string[];
	readonly reply?: boolean;
}

export type FlowTest = (flow: Flow) => boolean;
type PeerTest = (peer: FlowPeer) => boolean;

/**
 * Compiles include and exclude lists: a flow passes when it matches one of `include` (or there is none) and none of
 * `exclude`.
 * @throws REQUEST_INVALID naming the field (`include[0].ip`) and the value
 */
export function compileFilters(include: readonly FlowFilter[], exclude: readonly FlowFilter[]): FlowTest {
	const wanted = include.map((filter, i) => compileFilter(filter, `include[${i}]`));
	const unwanted = exclude.map((filter, i) => compileFilter(filter, `exclude[${i}]`));
	return (flow) => (wanted.length === 0 || wanted.some((test) => test(flow))) && !unwanted.some((test) => test(flow));
}

/** @throws REQUEST_INVALID */
export function compileFilter(filter: FlowFilter, path: string): FlowTest {
	const tests = [...endTests(filter, path), ...packetTests(filter, path)];
	return (flow) => tests.every((test) => test(flow));
}

function endTests(filter: FlowFilter, path: string): FlowTest[] {
	const tests: FlowTest[] = [];
	const add = <T>(
		[either, source, destination]: readonly (readonly T[] | undefined)[],
		name: string,
		compile: (value: T, field: string) => PeerTest,
	): void => {
		const of = (values: readonly T[] | undefined, field: string) =>
			values === undefined || values.length === 0 ? undefined : anyOf(values, `${path}.${field}`, compile);
		const any = of(either, name);
		const from = of(source, `source_${name}`);
		const to = of(destination, `destination_${name}`);
		if (any !== undefined) tests.push((flow) => any(flow.source) || targets(flow).some(any));
		if (from !== undefined) tests.push((flow) => from(flow.source));
		if (to !== undefined) tests.push((flow) => targets(flow).some(to));
	};
	add([filter.pod, filter.sourcePod, filter.destinationPod], 'pod', podTest);
	add([filter.namespace], 'namespace', (namespace) => (peer) => peer.namespace === namespace);
	add([filter.ip, filter.sourceIp, filter.destinationIp], 'ip', addressTest);
	add([filter.port, filter.sourcePort, filter.destinationPort], 'port', portTest);
	add([filter.label, filter.sourceLabel, filter.destinationLabel], 'label', labelTest);
	return tests;
}

/** Both destinations: filters on the address a client used find its flows as well as those on the pod behind it. */
function targets(flow: Flow): readonly FlowPeer[] {
	return flow.originalDestination === undefined ? [flow.destination] : [flow.destination, flow.originalDestination];
}

function packetTests(filter: FlowFilter, path: string): FlowTest[] {
	const tests: FlowTest[] = [];
	const add = <T>(values: readonly T[] | undefined, name: string, compile: (value: T, field: string) => FlowTest) => {
		if (values !== undefined && values.length > 0) tests.push(anyOf(values, `${path}.${name}`, compile));
	};
	add(filter.service, 'service', serviceTest);
	add(filter.protocol, 'protocol', protocolTest);
	add(filter.reason, 'reason', reasonTest);
	add(filter.tcpFlags, 'tcp_flags', tcpFlagsTest);
	add(filter.verdict, 'verdict', (verdict) => (flow) => flow.verdict === verdict);
	add(filter.kind, 'kind', (kind) => (flow) => flow.kind === kind);
	add(filter.direction, 'direction', (direction) => (flow) => flow.direction === direction);
	add(filter.ipVersion, 'ip_version', versionTest);
	const { reply } = filter;
	if (reply !== undefined) tests.push((flow) => flow.reply === reply);
	return tests;
}

function anyOf<T, V>(
	values: readonly V[],
	field: string,
	compile: (value: V, field: string) => (item: T) => boolean,
): (item: T) => boolean {
	const tests = values.map((value, i) => compile(value, `${field}[${i}]`));
	return (item) => tests.some((test) => test(item));
}

function invalid(field: string, value: unknown, expected: string): FairleadError {
	return new FairleadError('REQUEST_INVALID', `${field}: expected ${expected}, got ${JSON.stringify(value)}`, {
		field,
	});
}

/** Test for `[namespace/]name-prefix`. */
function nameTest(text: string, field: string): (peer: PeerName) => boolean {
	const parts = text.split('/');
	const prefix = parts.pop() ?? '';
	const namespace = parts.pop();
	if (text === '' || parts.length > 0 || namespace === '') throw invalid(field, text, '[NAMESPACE/]NAME-PREFIX');
	return (peer) => (namespace === undefined || peer.namespace === namespace) && peer.name.startsWith(prefix);
}

function podTest(text: string, field: string): PeerTest {
	const named = nameTest(text, field);
	return (peer) => peer.kind === 'pod' && named(peer);
}

function serviceTest(text: string, field: string): FlowTest {
	const named = nameTest(text, field);
	return (flow) => flow.service !== undefined && named(flow.service);
}

function addressTest(text: string, field: string): PeerTest {
	const cidr = parseCidr(text);
	if (cidr === undefined) throw invalid(field, text, 'an IP address or CIDR');
	return (peer) => cidrContains(cidr, peer.address);
}

function portTest(port: number, field: string): PeerTest {
	if (!Number.isInteger(port) || port < 1 || port > 65535) throw invalid(field, port, 'a port from 1 to 65535');
	return (peer) => peer.port === port;
}

function labelTest(text: string, field: string): PeerTest {
	const selector = parseLabelSelector(text);
	if (selector === undefined) throw invalid(field, text, 'a label selector such as app=web or tier in (a,b)');
	return (peer) => peer.kind === 'pod' && selector(peer.labels);
}

function protocolTest(text: string, field: string): FlowTest {
	const numbers = protocolNumbers(text);
	if (numbers === undefined) throw invalid(field, text, 'tcp, udp, sctp, icmp, icmpv4, icmpv6 or a protocol number');
	return (flow) => numbers.includes(flow.protocol);
}

function reasonTest(text: string, field: string): FlowTest {
	const number = dropReasonNumber(text);
	if (number === undefined) throw invalid(field, text, 'a drop reason as `fairlead drops --all` lists them');
	return (flow) => flow.reason === number;
}

function tcpFlagsTest(text: string, field: string): FlowTest {
	const bits = tcpFlagBits(text);
	if (bits === undefined) throw invalid(field, text, 'TCP flags such as syn or syn+ack');
	return (flow) => flow.protocol === 6 && (flow.tcpFlags & bits) === bits;
}

function versionTest(version: number, field: string): FlowTest {
	if (version !== 4 && version !== 6) throw invalid(field, version, '4 or 6');
	return (flow) => flow.ipVersion === version;
}
