/**
 * From request messages to the agent's values. Pure; a bad field gives REQUEST_INVALID with its path in `field`.
 */
import type { FlowFilter__Output } from '../../proto/generated/fairlead/v1/FlowFilter.ts';
import type { ListConntrackRequest__Output } from '../../proto/generated/fairlead/v1/ListConntrackRequest.ts';
import type { ObserveFlowsRequest__Output } from '../../proto/generated/fairlead/v1/ObserveFlowsRequest.ts';
import type { Timestamp__Output } from '../../proto/generated/google/protobuf/Timestamp.ts';
import type { FlowFilter } from '../flows/filter.ts';
import type { FlowQuery } from '../flows/observer.ts';
import { protocolNumbers } from '../flows/protocols.ts';
import { cidrContains, parseCidr } from '../model/address.ts';
import { FairleadError } from '../model/errors.ts';
import { ENUMS } from './messages.ts';
import type { ConntrackReport } from './state.ts';

const MAX_TIMESTAMP_SECONDS = 253_402_300_799; // 9999-12-31, the bound google.protobuf.Timestamp sets

function invalid(field: string, value: unknown, expected: string): FairleadError {
	return new FairleadError('REQUEST_INVALID', `${field}: expected ${expected}, got ${JSON.stringify(value)}`, {
		field,
	});
}

export function parseObserveRequest(request: ObserveFlowsRequest__Output): FlowQuery {
	return {
		include: request.include.map((filter, i) => parseFilter(filter, `include[${i}]`)),
		exclude: request.exclude.map((filter, i) => parseFilter(filter, `exclude[${i}]`)),
		number: safeNumber(request.number),
		first: request.first,
		sinceNs: parseTimestamp(request.since, 'since'),
		untilNs: parseTimestamp(request.until, 'until'),
		follow: request.follow,
	};
}

/** MaxUint64 is how clients say "all": what JavaScript cannot count to is no limit. */
export function safeNumber(number: number): number {
	return Number.isSafeInteger(number) ? number : Number.MAX_SAFE_INTEGER;
}

/** Nanoseconds since 1970. @throws REQUEST_INVALID */
export function parseTimestamp(time: Timestamp__Output | null, field: string): bigint | undefined {
	if (time === null) return undefined;
	const { seconds, nanos } = time;
	if (seconds < 0 || seconds > MAX_TIMESTAMP_SECONDS || nanos < 0 || nanos > 999_999_999) {
		throw invalid(field, `${seconds}s ${nanos}ns`, 'a time from 1970 to 9999');
	}
	return BigInt(seconds) * 1_000_000_000n + BigInt(nanos);
}

function parseFilter(filter: FlowFilter__Output, path: string): FlowFilter {
	const { verdict, kind, direction, reply, _reply, ...rest } = filter;
	return {
		...rest,
		verdict: verdict.map((value, i) => parseEnum(ENUMS.verdict, value, `${path}.verdict[${i}]`)),
		kind: kind.map((value, i) => parseEnum(ENUMS.kind, value, `${path}.kind[${i}]`)),
		direction: direction.map((value, i) => parseEnum(ENUMS.direction, value, `${path}.direction[${i}]`)),
		...(_reply === undefined || reply === undefined ? {} : { reply }),
	};
}

function parseEnum<K extends string, V extends string>(
	table: Readonly<Record<K, V>>,
	value: unknown,
	field: string,
): K {
	for (const ours in table) if (table[ours] === value) return ours;
	throw invalid(field, value, `one of ${Object.values(table).join(', ')}`);
}

/** Test for the entries a client asked for; `limit` is the caller's business. */
export function parseConntrackRequest(request: ListConntrackRequest__Output): (entry: ConntrackReport) => boolean {
	const tests: ((entry: ConntrackReport) => boolean)[] = [];
	const { address, port, protocol } = request;
	if (address !== '') {
		const cidr = parseCidr(address);
		if (cidr === undefined) throw invalid('address', address, 'an IP address or CIDR');
		tests.push((entry) =>
			[entry.source, entry.destination, entry.translated].some((each) => each !== '' && cidrContains(cidr, each)),
		);
	}
	if (port > 65535) throw invalid('port', port, 'a port up to 65535');
	if (port !== 0) {
		tests.push((entry) => [entry.sourcePort, entry.destinationPort, entry.translatedPort].includes(port));
	}
	if (protocol !== '') {
		const numbers = protocolNumbers(protocol);
		if (numbers === undefined) throw invalid('protocol', protocol, 'tcp, udp, sctp, icmp, icmpv6 or a number');
		tests.push((entry) => numbers.includes(entry.protocol));
	}
	return (entry) => tests.every((test) => test(entry));
}

/** @throws REQUEST_INVALID when a name that must be given is empty */
export function requireText(value: string, field: string): string {
	if (value === '') throw invalid(field, value, 'a name');
	return value;
}
