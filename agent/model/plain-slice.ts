/**
 * EndpointSlices without faults, read without the schema of endpoint-slice.ts: the same values some ten times faster. Every change of
 * a pod comes by here.
 */
import { familyOf, parseAddress } from './address.ts';
import type { Endpoint, EndpointSlice, SlicePort } from './endpoint-slice.ts';
import * as plain from './plain.ts';

const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;
const TYPES = ['IPv4', 'IPv6'] as const;
const NO_HINTS: readonly string[] = [];

/** @throws OddObject when the schema has to be asked */
export function readSlice(raw: unknown): EndpointSlice {
	const slice = plain.fields(raw);
	const { namespace, name, labels, annotations } = plain.plainMeta(slice.metadata);
	const type = TYPES.find((each) => each === slice.addressType);
	if (type === undefined) throw new plain.OddObject();
	const family = type === 'IPv4' ? 4 : 6;
	return {
		namespace,
		name,
		service: labels['kubernetes.io/service-name'] ?? '',
		headlessLabel: 'service.kubernetes.io/headless' in labels,
		addressType: type,
		ports: plain
			.items(slice.ports)
			.map(readPort)
			.filter(({ port }) => port > 0),
		endpoints: plain.items(slice.endpoints).map((each) => readEndpoint(each, family)),
		triggeredAtMs: timeOf(annotations['endpoints.kubernetes.io/last-change-trigger-time']),
	};
}

function readPort(raw: unknown): SlicePort {
	const { name, protocol, port } = plain.fields(raw);
	return {
		name: plain.optionalText(name),
		protocol: plain.oneOf(protocol, PROTOCOLS, 'TCP'),
		port: port === undefined || port === null ? 0 : plain.integer(port, 0, 65535),
	};
}

function readEndpoint(raw: unknown, family: 4 | 6): Endpoint {
	const { addresses, conditions, nodeName, hints } = plain.fields(raw);
	const [first] = plain.items(addresses).map(plain.text);
	const address = first === undefined ? undefined : parseAddress(first);
	if (address === undefined || familyOf(address) !== family) throw new plain.OddObject();
	const { ready, serving, terminating } = plain.optionalFields(conditions);
	const { forZones, forNodes } = plain.optionalFields(hints);
	return {
		address,
		ready: plain.optionalFlag(ready, true),
		serving: plain.optionalFlag(serving, true),
		terminating: plain.optionalFlag(terminating, false),
		node: plain.shared(plain.optionalText(nodeName)),
		zoneHints: readHints(forZones),
		nodeHints: readHints(forNodes),
	};
}

function readHints(raw: unknown): readonly string[] {
	const hints = plain.items(raw);
	return hints.length === 0 ? NO_HINTS : hints.map((hint) => plain.text(plain.fields(hint).name));
}

/** RFC 3339 text as milliseconds since 1970; 0 when it is none. */
export function timeOf(text: string | undefined): number {
	if (text === undefined) return 0;
	const ms = Date.parse(text);
	return Number.isNaN(ms) ? 0 : ms;
}
