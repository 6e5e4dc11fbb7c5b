/**
 * From the options of `fairlead observe` to the request. Pure.
 */
import { InvalidArgumentError } from 'commander';
import type { FlowFilter } from '../proto/generated/fairlead/v1/FlowFilter.ts';
import type { FlowKind } from '../proto/generated/fairlead/v1/FlowKind.ts';
import type { ObserveFlowsRequest } from '../proto/generated/fairlead/v1/ObserveFlowsRequest.ts';
import type { TrafficDirection } from '../proto/generated/fairlead/v1/TrafficDirection.ts';
import type { Verdict } from '../proto/generated/fairlead/v1/Verdict.ts';
import { parsePort } from './parse.ts';

export const VERDICTS = ['forwarded', 'dropped', 'error', 'translated', 'audit'] as const;
export const KINDS = ['new', 'drop', 'close', 'connect', 'nat-exhausted', 'audit'] as const;
export const DIRECTIONS = ['ingress', 'egress'] as const;

/** Values of the options; absent = not given. */
export interface ObserveOptions {
	readonly follow?: boolean;
	readonly last?: number;
	readonly first?: number;
	readonly all?: boolean;
	/** Milliseconds since 1970. */
	readonly since?: number;
	readonly until?: number;
	readonly pod?: readonly string[];
	readonly fromPod?: readonly string[];
	readonly toPod?: readonly string[];
	readonly namespace?: readonly string[];
	readonly ip?: readonly string[];
	readonly fromIp?: readonly string[];
	readonly toIp?: readonly string[];
	readonly port?: readonly number[];
	readonly fromPort?: readonly number[];
	readonly toPort?: readonly number[];
	readonly protocol?: readonly string[];
	readonly verdict?: readonly Verdict[];
	readonly reason?: readonly string[];
	readonly service?: readonly string[];
	readonly label?: readonly string[];
	readonly kind?: readonly FlowKind[];
	readonly direction?: readonly TrafficDirection[];
	readonly tcpFlags?: readonly string[];
	readonly ipv4?: boolean;
	readonly ipv6?: boolean;
	readonly not?: readonly FlowFilter[];
}

const DEFAULT_LAST = 20;
const ALL = 2 ** 53;

/** Without any of last, first, all, since and follow: the last 20 flows. */
export function observeRequest(options: ObserveOptions): ObserveFlowsRequest {
	const { follow = false, last, first, all = false, since, until } = options;
	const time = (ms: number | undefined) => (ms === undefined ? null : timestamp(ms));
	const filter = filterOf(options);
	const explicit = last ?? first ?? (all ? ALL : undefined);
	return {
		include: Object.values(filter).some((value) => value.length > 0) ? [filter] : [],
		exclude: [...(options.not ?? [])],
		number: explicit ?? (follow || since !== undefined ? 0 : DEFAULT_LAST),
		first: first !== undefined,
		since: time(since),
		until: time(until),
		follow,
	};
}

function timestamp(ms: number): { seconds: number; nanos: number } {
	const seconds = Math.floor(ms / 1000);
	return { seconds, nanos: (ms - seconds * 1000) * 1_000_000 };
}

function filterOf(options: ObserveOptions) {
	return {
		pod: [...(options.pod ?? [])],
		sourcePod: [...(options.fromPod ?? [])],
		destinationPod: [...(options.toPod ?? [])],
		namespace: [...(options.namespace ?? [])],
		ip: [...(options.ip ?? [])],
		sourceIp: [...(options.fromIp ?? [])],
		destinationIp: [...(options.toIp ?? [])],
		port: [...(options.port ?? [])],
		sourcePort: [...(options.fromPort ?? [])],
		destinationPort: [...(options.toPort ?? [])],
		protocol: [...(options.protocol ?? [])],
		verdict: [...(options.verdict ?? [])],
		reason: [...(options.reason ?? [])],
		service: [...(options.service ?? [])],
		label: [...(options.label ?? [])],
		kind: [...(options.kind ?? [])],
		direction: [...(options.direction ?? [])],
		tcpFlags: [...(options.tcpFlags ?? [])],
		ipVersion: [...(options.ipv4 === true ? [4] : []), ...(options.ipv6 === true ? [6] : [])],
	} satisfies FlowFilter;
}

function choose<T extends string>(choices: readonly T[], text: string): T {
	const found = choices.find((choice) => choice === text.toLowerCase());
	if (found === undefined) throw new InvalidArgumentError(`Expected one of ${choices.join(', ')}.`);
	return found;
}

export function verdictValue(text: string): Verdict {
	const word = choose(VERDICTS, text);
	const values = {
		forwarded: 'VERDICT_FORWARDED',
		dropped: 'VERDICT_DROPPED',
		error: 'VERDICT_ERROR',
		translated: 'VERDICT_TRANSLATED',
		audit: 'VERDICT_AUDIT',
	} as const;
	return values[word];
}

export function kindValue(text: string): FlowKind {
	const values = {
		new: 'FLOW_KIND_NEW',
		drop: 'FLOW_KIND_DROP',
		close: 'FLOW_KIND_CLOSE',
		connect: 'FLOW_KIND_CONNECT',
		'nat-exhausted': 'FLOW_KIND_NAT_EXHAUSTED',
		audit: 'FLOW_KIND_AUDIT',
	} as const;
	return values[choose(KINDS, text)];
}

export function directionValue(text: string): TrafficDirection {
	const values = { ingress: 'TRAFFIC_DIRECTION_INGRESS', egress: 'TRAFFIC_DIRECTION_EGRESS' } as const;
	return values[choose(DIRECTIONS, text)];
}

/** Fields `--not FIELD=VALUE` knows, with how their value becomes a filter. */
const NOT_FIELDS: Readonly<Record<string, (value: string) => FlowFilter>> = {
	pod: (value) => ({ pod: [value] }),
	'from-pod': (value) => ({ sourcePod: [value] }),
	'to-pod': (value) => ({ destinationPod: [value] }),
	namespace: (value) => ({ namespace: [value] }),
	ip: (value) => ({ ip: [value] }),
	'from-ip': (value) => ({ sourceIp: [value] }),
	'to-ip': (value) => ({ destinationIp: [value] }),
	port: (value) => ({ port: [parsePort(value)] }),
	'from-port': (value) => ({ sourcePort: [parsePort(value)] }),
	'to-port': (value) => ({ destinationPort: [parsePort(value)] }),
	protocol: (value) => ({ protocol: [value] }),
	verdict: (value) => ({ verdict: [verdictValue(value)] }),
	reason: (value) => ({ reason: [value] }),
	service: (value) => ({ service: [value] }),
	label: (value) => ({ label: [value] }),
	kind: (value) => ({ kind: [kindValue(value)] }),
	direction: (value) => ({ direction: [directionValue(value)] }),
	'tcp-flags': (value) => ({ tcpFlags: [value] }),
};

/** The agent names fields of the request, people know options: 'include[0].source_ip[0]: …' → '--from-ip: …' */
export function inOptions(refusal: string): string {
	return refusal.replace(/^(include|exclude)\[\d+\]\.(\w+)\[\d+\]/, (_all, list: string, field: string) => {
		const option = field
			.replace(/^source_/, 'from-')
			.replace(/^destination_/, 'to-')
			.replaceAll('_', '-');
		return list === 'exclude' ? `--not ${option}` : `--${option}`;
	});
}

/** `--not FIELD=VALUE`, may be repeated: each hides the flows it matches. */
export function collectNot(text: string, previous: readonly FlowFilter[] = []): FlowFilter[] {
	const at = text.indexOf('=');
	const make = at < 1 ? undefined : NOT_FIELDS[text.slice(0, at)];
	if (make === undefined) {
		throw new InvalidArgumentError(`Expected FIELD=VALUE with FIELD one of ${Object.keys(NOT_FIELDS).join(', ')}.`);
	}
	return [...previous, make(text.slice(at + 1))];
}
