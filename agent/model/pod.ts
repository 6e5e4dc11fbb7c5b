/**
 * v1 Pod, trimmed.
 */
import * as z from 'zod';
import type { Address } from './address.ts';
import type { Parsed } from './fields.ts';
import { address, list, namespacedMeta, optional, parseWith } from './fields.ts';

export interface Pod {
	readonly namespace: string;
	readonly name: string;
	/** '' = not known. */
	readonly uid: string;
	readonly labels: Readonly<Record<string, string>>;
	/** '' = not scheduled. */
	readonly node: string;
	readonly hostNetwork: boolean;
	readonly addresses: readonly Address[];
	/** Succeeded or Failed: its addresses may already belong to another pod. */
	readonly finished: boolean;
}

const podSchema = z.object({
	metadata: namespacedMeta,
	spec: optional(z.object({ nodeName: optional(z.string(), ''), hostNetwork: optional(z.boolean(), false) }), {
		nodeName: '',
		hostNetwork: false,
	}),
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
	const parsed = parseWith(podSchema, raw);
	if (!parsed.ok) return parsed;
	const { metadata, spec, status } = parsed.value;
	const listed = status.podIPs.map((entry) => entry.ip);
	return {
		ok: true,
		value: {
			namespace: metadata.namespace,
			name: metadata.name,
			uid: metadata.uid,
			labels: metadata.labels,
			node: spec.nodeName,
			hostNetwork: spec.hostNetwork,
			addresses: listed.length > 0 ? listed : status.podIP === '' ? [] : [status.podIP],
			finished: status.phase === 'Succeeded' || status.phase === 'Failed',
		},
	};
}

/** One line for people. */
export function formatPod(pod: Pod): string {
	return `${pod.namespace}/${pod.name} on ${pod.node || '-'} ${pod.addresses.join(',') || '-'}`;
}
