/**
 * policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy, trimmed. What this version does not know fails closed: an unknown
 * peer of an Accept rule matches nobody, one of a Deny or Pass rule makes it a Deny of everybody.
 */
import * as z from 'zod';
import type { Cidr } from './address.ts';
import type { FieldIssue, Parsed, Protocol } from './fields.ts';
import { cidr, clusterMeta, optional, parseWith, port } from './fields.ts';
import { portName, unknownFields } from './network-policy.ts';
import { readAuditMode } from './policy-audit.ts';
import { formatSelector, type LabelSelector, labelSelector } from './policy-selector.ts';

export type PolicyTier = 'Admin' | 'Baseline';
export type PolicyAction = 'Accept' | 'Deny' | 'Pass';

export type ClusterPeer =
	| { readonly kind: 'pods'; readonly namespaceSelector: LabelSelector; readonly podSelector: LabelSelector }
	| { readonly kind: 'networks'; readonly cidrs: readonly Cidr[] }
	| { readonly kind: 'nodes'; readonly selector: LabelSelector }
	/** Lower case, without a final dot; '*.' in front stands for one or more labels. Accept rules only. */
	| { readonly kind: 'domains'; readonly names: readonly string[] };

export type ClusterPort =
	/** first = last = one port; 0 to 65535 = the whole protocol. */
	| { readonly kind: 'range'; readonly protocol: Protocol; readonly first: number; readonly last: number }
	/** A container port of the destination, of whatever protocol it has there. */
	| { readonly kind: 'named'; readonly name: string };

export interface ClusterPolicyRule {
	/** '' = none. */
	readonly name: string;
	readonly action: PolicyAction;
	/** null = everybody (a rule that fails closed). An empty list = nobody. */
	readonly peers: readonly ClusterPeer[] | null;
	/** null = every protocol and port; an empty list = none. */
	readonly ports: readonly ClusterPort[] | null;
}

export interface ClusterNetworkPolicy {
	readonly name: string;
	readonly tier: PolicyTier;
	/** 0 to 1000; the lower one counts first. */
	readonly priority: number;
	readonly subject: { readonly namespaceSelector: LabelSelector; readonly podSelector: LabelSelector };
	readonly ingress: readonly ClusterPolicyRule[];
	readonly egress: readonly ClusterPolicyRule[];
	/** Reports what it would drop instead of dropping it. */
	readonly audit: boolean;
	readonly unsupported: readonly FieldIssue[];
}

const podsPeer = z.strictObject({ namespaceSelector: labelSelector, podSelector: labelSelector });
const LABEL = '[a-z0-9]([a-z0-9-]*[a-z0-9])?';
const DOMAIN = new RegExp(`^(\\*\\.)?(${LABEL}\\.)*${LABEL}\\.?$`, 'i');
const domainName = z
	.string()
	.regex(DOMAIN, { error: (issue) => `expected a domain name, got ${JSON.stringify(issue.input)}` })
	.transform((name) => name.toLowerCase().replace(/\.$/, ''));

const peerShape = {
	namespaces: optional(labelSelector, null),
	pods: optional(podsPeer, null),
	networks: optional(z.array(cidr).min(1).max(25), null),
	nodes: optional(labelSelector, null),
	domainNames: optional(z.array(domainName).min(1).max(25), null),
};
const peerFields = Object.keys(peerShape) as (keyof typeof peerShape)[];
const peer = z.looseObject(peerShape).superRefine((raw, context) => {
	const used = peerFields.filter((field) => raw[field] !== null);
	if (used.length > 1) {
		context.addIssue({
			code: 'custom',
			path: [used[1] ?? ''],
			message: `expected one kind of peer, got ${used.join(' and ')}`,
		});
	}
});

const destinationPort = z
	.strictObject({
		number: optional(port, null),
		range: optional(z.strictObject({ start: port, end: port }), null),
	})
	.superRefine(({ number, range }, context) => {
		if ((number === null) === (range === null)) {
			context.addIssue({ code: 'custom', message: 'expected one of number and range' });
		} else if (range !== null && range.end < range.start) {
			context.addIssue({ code: 'custom', path: ['range', 'end'], message: `expected at least ${range.start}` });
		}
	});
const transport = z.strictObject({ destinationPort: optional(destinationPort, null) });
const portShape = {
	tcp: optional(transport, null),
	udp: optional(transport, null),
	sctp: optional(transport, null),
	destinationNamedPort: optional(portName, null),
};
const portFields = Object.keys(portShape) as (keyof typeof portShape)[];
const portMatch = z.looseObject(portShape);

const rule = (side: 'from' | 'to') =>
	z.looseObject({
		name: optional(z.string().max(100), ''),
		action: z.string().min(1),
		[side]: z.array(peer).min(1).max(25),
		protocols: z.array(portMatch).max(25).nullish(),
	});

const policySchema = z
	.object({
		metadata: clusterMeta,
		spec: z.strictObject({
			tier: z.enum(['Admin', 'Baseline']),
			priority: z.int().min(0).max(1000),
			subject: z.strictObject({ namespaces: optional(labelSelector, null), pods: optional(podsPeer, null) }),
			ingress: optional(z.array(rule('from')).max(25), []),
			egress: optional(z.array(rule('to')).max(25), []),
		}),
	})
	.superRefine(({ spec: { subject, ingress, egress } }, context) => {
		if ((subject.namespaces === null) === (subject.pods === null)) {
			const message = 'expected one of namespaces and pods';
			context.addIssue({ code: 'custom', path: ['spec', 'subject'], message });
		}
		const refuse = (path: readonly (string | number)[], message: string): void =>
			context.addIssue({ code: 'custom', path: ['spec', ...path], message });
		for (const [i, each] of (ingress as readonly RawRule[]).entries()) {
			for (const [p, { networks, nodes, domainNames }] of (each.from ?? []).entries()) {
				if (networks !== null || nodes !== null || domainNames !== null)
					refuse(['ingress', i, 'from', p], 'expected namespaces or pods');
			}
		}
		for (const [i, each] of (egress as readonly RawRule[]).entries()) {
			for (const [p, { domainNames }] of (each.to ?? []).entries()) {
				if (domainNames !== null && each.action !== 'Accept')
					refuse(['egress', i, 'to', p, 'domainNames'], 'expected an Accept rule around it');
			}
		}
	});

type RawPeer = z.output<typeof peer>;
type RawPort = z.output<typeof portMatch>;
interface RawRule {
	readonly name: string;
	readonly action: string;
	readonly from?: readonly RawPeer[];
	readonly to?: readonly RawPeer[];
	readonly protocols?: readonly RawPort[] | null;
}

/** Reads an object as the API or a YAML file gives it. Never throws. */
export function parseClusterNetworkPolicy(raw: unknown): Parsed<ClusterNetworkPolicy> {
	const parsed = parseWith(policySchema, raw);
	if (!parsed.ok) return parsed;
	const { metadata, spec } = parsed.value;
	const unsupported: FieldIssue[] = [];
	const rulesOf = (field: 'ingress' | 'egress', side: 'from' | 'to') =>
		(spec[field] as readonly RawRule[]).map((each, i) => toRule(each, side, `spec.${field}[${i}]`, unsupported));
	const { namespaces, pods } = spec.subject;
	const value: ClusterNetworkPolicy = {
		name: metadata.name,
		tier: spec.tier,
		priority: spec.priority,
		subject: pods ?? { namespaceSelector: namespaces ?? [], podSelector: [] },
		ingress: rulesOf('ingress', 'from'),
		egress: rulesOf('egress', 'to'),
		audit: readAuditMode(metadata.annotations, unsupported),
		unsupported,
	};
	return { ok: true, value };
}

function toRule(raw: RawRule, side: 'from' | 'to', path: string, unsupported: FieldIssue[]): ClusterPolicyRule {
	const found = unsupported.length;
	unsupported.push(...unknownFields(raw, ['name', 'action', side, 'protocols'], path));
	const known = raw.action === 'Accept' || raw.action === 'Deny' || raw.action === 'Pass';
	if (!known) unsupported.push({ path: `${path}.action`, message: `unknown action ${JSON.stringify(raw.action)}` });
	const ownFields = unsupported.length > found;
	const peers = (raw[side] ?? []).flatMap((each, i) => toPeer(each, `${path}.${side}[${i}]`, unsupported));
	const ports = raw.protocols?.flatMap((each, i) => toPorts(each, `${path}.protocols[${i}]`, unsupported)) ?? null;
	const { name } = raw;
	if (unsupported.length === found) return { name, action: raw.action as PolicyAction, peers, ports };
	if (raw.action !== 'Accept') return { name, action: 'Deny', peers: null, ports: null };
	return { name, action: 'Accept', peers: ownFields ? [] : peers, ports };
}

function toPeer(raw: RawPeer, path: string, unsupported: FieldIssue[]): ClusterPeer[] {
	const unknown = unknownFields(raw, peerFields, path);
	const { namespaces, pods, networks, nodes, domainNames } = raw;
	unsupported.push(...unknown);
	if (unknown.length > 0) return [];
	if (namespaces !== null) return [{ kind: 'pods', namespaceSelector: namespaces, podSelector: [] }];
	if (pods !== null) return [{ kind: 'pods', ...pods }];
	if (networks !== null) return [{ kind: 'networks', cidrs: networks }];
	if (nodes !== null) return [{ kind: 'nodes', selector: nodes }];
	if (domainNames !== null) return [{ kind: 'domains', names: domainNames }];
	unsupported.push({ path, message: 'expected a kind of peer, got none that is known' });
	return [];
}

function toPorts(raw: RawPort, path: string, unsupported: FieldIssue[]): ClusterPort[] {
	const unknown = unknownFields(raw, portFields, path);
	if (unknown.length === 0 && portFields.every((field) => raw[field] === null)) {
		unknown.push({ path, message: 'expected a kind of port, got none that is known' });
	}
	unsupported.push(...unknown);
	if (unknown.length > 0) return [];
	const ports: ClusterPort[] = [];
	for (const [field, name] of [
		['tcp', 'TCP'],
		['udp', 'UDP'],
		['sctp', 'SCTP'],
	] as const) {
		const found = raw[field];
		if (found === null) continue;
		const { number, range } = found.destinationPort ?? { number: null, range: { start: 0, end: 65535 } };
		ports.push({
			kind: 'range',
			protocol: name,
			first: number ?? range?.start ?? 0,
			last: number ?? range?.end ?? 65535,
		});
	}
	if (raw.destinationNamedPort !== null) ports.push({ kind: 'named', name: raw.destinationNamedPort });
	return ports;
}

/** One line for people. */
export function formatClusterNetworkPolicy(policy: ClusterNetworkPolicy): string {
	const { namespaceSelector, podSelector } = policy.subject;
	const subject = `${formatSelector(podSelector) || 'all pods'} in ${formatSelector(namespaceSelector) || 'all namespaces'}`;
	const rules = `ingress ${policy.ingress.length}, egress ${policy.egress.length} rules`;
	return `${policy.name} ${policy.tier} ${policy.priority} of ${subject}: ${rules}`;
}
