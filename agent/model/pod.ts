/**
 * v1 Pod, trimmed.
 */
import * as z from 'zod';
import type { Address } from './address.ts';
import type { Parsed, Protocol } from './fields.ts';
import { address, list, namespacedMeta, optional, parseWith, port, protocol } from './fields.ts';
import { readPlain } from './plain.ts';
import { podUid, readPod } from './plain-pod.ts';

/** A container port by the name that policies may use for it. */
export interface NamedPort {
	readonly name: string;
	readonly protocol: Protocol;
	readonly port: number;
}

export interface Pod {
	readonly namespace: string;
	readonly name: string;
	/** As the kubelet has it: see podUid(). '' = not known. */
	readonly uid: string;
	readonly labels: Readonly<Record<string, string>>;
	/** '' = not scheduled. */
	readonly node: string;
	readonly hostNetwork: boolean;
	readonly addresses: readonly Address[];
	/** Succeeded or Failed: its addresses may already belong to another pod. */
	readonly finished: boolean;
	/** Container ports that have a name; absent = none. */
	readonly namedPorts?: readonly NamedPort[];
}

const container = z.object({
	ports: list(z.object({ name: optional(z.string(), ''), protocol, containerPort: port })),
	restartPolicy: optional(z.string(), ''),
});

const podSchema = z.object({
	metadata: namespacedMeta,
	spec: optional(
		z.object({
			nodeName: optional(z.string(), ''),
			hostNetwork: optional(z.boolean(), false),
			containers: list(container),
			initContainers: list(container),
		}),
		{ nodeName: '', hostNetwork: false, containers: [], initContainers: [] },
	),
	status: optional(
		z.object({
			phase: optional(z.string(), ''),
			podIP: optional(z.union([z.literal(''), address]), ''),
			podIPs: list(z.object({ ip: address })),
		}),
		{ phase: '', podIP: '', podIPs: [] },
	),
});

/** Reads an object as the API or a YAML file gives it. Never throws. */
export function parsePod(raw: unknown): Parsed<Pod> {
	const value = readPlain(readPod, raw);
	return value === undefined ? parsePodBySchema(raw) : { ok: true, value };
}

/** As parsePod, but slowly. */
export function parsePodBySchema(raw: unknown): Parsed<Pod> {
	const parsed = parseWith(podSchema, raw);
	if (!parsed.ok) return parsed;
	const { metadata, spec, status } = parsed.value;
	const namedPorts = portsOf(spec.containers, spec.initContainers);
	const listed = status.podIPs.map((entry) => entry.ip);
	return {
		ok: true,
		value: {
			namespace: metadata.namespace,
			name: metadata.name,
			uid: podUid(metadata),
			labels: metadata.labels,
			node: spec.nodeName,
			hostNetwork: spec.hostNetwork,
			addresses: listed.length > 0 ? listed : status.podIP === '' ? [] : [status.podIP],
			finished: status.phase === 'Succeeded' || status.phase === 'Failed',
			...(namedPorts.length > 0 ? { namedPorts } : {}),
		},
	};
}

type Container = z.output<typeof container>;

/** Named ports of the containers that run as long as the pod: init containers only if they are restarted. */
function portsOf(containers: readonly Container[], initContainers: readonly Container[]): NamedPort[] {
	const running = [...containers, ...initContainers.filter((each) => each.restartPolicy === 'Always')];
	return running.flatMap(({ ports }) =>
		ports
			.filter(({ name }) => name !== '')
			.map(({ name, protocol: proto, containerPort }) => ({ name, protocol: proto, port: containerPort })),
	);
}

/** One line for people. */
export function formatPod(pod: Pod): string {
	return `${pod.namespace}/${pod.name} on ${pod.node || '-'} ${pod.addresses.join(',') || '-'}`;
}
