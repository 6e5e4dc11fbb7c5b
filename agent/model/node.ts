/**
 * v1 Node and v1 Namespace, trimmed.
 */
import * as z from 'zod';
import type { Address, Cidr } from './address.ts';
import { parseAddress } from './address.ts';
import type { Parsed } from './fields.ts';
import { cidr, clusterMeta, isOnePerFamily, list, ONE_PER_FAMILY, optional, parseWith } from './fields.ts';

export interface Node {
	readonly name: string;
	readonly labels: Readonly<Record<string, string>>;
	/** Label topology.kubernetes.io/zone; '' = none. */
	readonly zone: string;
	/** InternalIP addresses in the order of the object: the first of a family is its primary one. */
	readonly internalIps: readonly Address[];
	/** ExternalIP addresses. */
	readonly externalIps: readonly Address[];
	readonly podCidrs: readonly Cidr[];
	/** It is being deleted, or the cluster autoscaler has announced that it will be: load balancers have to drain it. */
	readonly goingAway: boolean;
	/** Keys of its taints; absent = it has none. */
	readonly taints?: readonly string[];
	/** Condition NetworkUnavailable is True, so nothing is scheduled; absent = it is not. */
	readonly networkUnavailable?: true;
}

/** Taint of a node that the cluster autoscaler is about to delete. */
const TO_BE_DELETED = 'ToBeDeletedByClusterAutoscaler';

export interface Namespace {
	readonly name: string;
	readonly labels: Readonly<Record<string, string>>;
}

const nodeSchema = z.object({
	metadata: clusterMeta,
	spec: optional(
		z.object({
			podCIDR: optional(z.union([z.literal(''), cidr]), ''),
			podCIDRs: list(cidr).refine(isOnePerFamily, ONE_PER_FAMILY),
			taints: list(z.object({ key: z.string() })),
		}),
		{ podCIDR: '', podCIDRs: [], taints: [] },
	),
	status: optional(
		z.object({
			addresses: list(z.object({ type: z.string(), address: z.string() })),
			conditions: list(z.object({ type: z.string(), status: z.string() })),
		}),
		{ addresses: [], conditions: [] },
	),
});

/** Reads an object as the API or a YAML file gives it. Never throws. Addresses that are no IP (Hostname) are left out. */
export function parseNode(raw: unknown): Parsed<Node> {
	const parsed = parseWith(nodeSchema, raw);
	if (!parsed.ok) return parsed;
	const { metadata, spec, status } = parsed.value;
	const ofType = (type: string): Address[] =>
		status.addresses
			.filter((entry) => entry.type === type)
			.map((entry) => parseAddress(entry.address))
			.filter((address) => address !== undefined);
	const taints = [...new Set(spec.taints.map(({ key }) => key))].sort();
	const unavailable = status.conditions.some((each) => each.type === 'NetworkUnavailable' && each.status === 'True');
	return {
		ok: true,
		value: {
			name: metadata.name,
			labels: metadata.labels,
			zone: metadata.labels['topology.kubernetes.io/zone'] ?? '',
			internalIps: ofType('InternalIP'),
			externalIps: ofType('ExternalIP'),
			podCidrs: spec.podCIDRs.length > 0 ? spec.podCIDRs : spec.podCIDR === '' ? [] : [spec.podCIDR],
			goingAway: metadata.deletionTimestamp !== '' || taints.includes(TO_BE_DELETED),
			...(taints.length > 0 && { taints }),
			...(unavailable && { networkUnavailable: true as const }),
		},
	};
}

const namespaceSchema = z.object({ metadata: clusterMeta });

/** Reads an object as the API or a YAML file gives it. Never throws. */
export function parseNamespace(raw: unknown): Parsed<Namespace> {
	const parsed = parseWith(namespaceSchema, raw);
	if (!parsed.ok) return parsed;
	return { ok: true, value: { name: parsed.value.metadata.name, labels: parsed.value.metadata.labels } };
}

/** One line for people. */
export function formatNode(node: Node): string {
	return `${node.name} ${node.internalIps.join(',') || '-'} pods ${node.podCidrs.join(',') || '-'}`;
}
