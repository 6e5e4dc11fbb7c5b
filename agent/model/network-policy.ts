/**
 * networking.k8s.io/v1 NetworkPolicy, trimmed. A field that this version does not know takes away what it might restrict:
 * the rule or the whole policy then allows nothing, and `unsupported` says why.
 */
import * as z from 'zod';
import type { Cidr } from './address.ts';
import { cidrContains, cidrParts, familyOf } from './address.ts';
import type { FieldIssue, Parsed, Protocol } from './fields.ts';
import { cidr, list, namespacedMeta, optional, parseWith, port, protocol } from './fields.ts';
import { readAuditMode } from './policy-audit.ts';
import { formatSelector, type LabelSelector, labelSelector, optionalSelector } from './policy-selector.ts';

export interface PolicyPort {
	readonly protocol: Protocol;
	/** Number, name of a container port of the destination, or null = every port of the protocol. */
	readonly port: number | string | null;
	/** Last port of a range that starts at `port`; null = that one port. */
	readonly endPort: number | null;
}

export type NetworkPolicyPeer =
	/** namespaceSelector null = the policy's own namespace. */
	| { readonly kind: 'pods'; readonly namespaceSelector: LabelSelector | null; readonly podSelector: LabelSelector }
	| { readonly kind: 'block'; readonly cidr: Cidr; readonly except: readonly Cidr[] };

export interface NetworkPolicyRule {
	/** null = everybody; an empty list = nobody (all its peers were of unknown kinds). */
	readonly peers: readonly NetworkPolicyPeer[] | null;
	/** null = every protocol and port; an empty list = none. */
	readonly ports: readonly PolicyPort[] | null;
}

export interface NetworkPolicy {
	readonly namespace: string;
	readonly name: string;
	readonly podSelector: LabelSelector;
	/** null = the policy says nothing about this direction; an empty list isolates and allows nothing. */
	readonly ingress: readonly NetworkPolicyRule[] | null;
	readonly egress: readonly NetworkPolicyRule[] | null;
	/** Reports what it would drop instead of dropping it. */
	readonly audit: boolean;
	/** Fields of a newer version; what they belong to allows nothing. */
	readonly unsupported: readonly FieldIssue[];
}

/** IANA_SVC_NAME as the API server checks it. */
export const portName = z.string().regex(/^(?!.*--)(?=.*[a-z])[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$/, {
	error: (issue) => `expected a port number or name, got ${JSON.stringify(issue.input)}`,
});

const policyPort = z
	.looseObject({ protocol, port: optional(z.union([port, portName]), null), endPort: optional(port, null) })
	.superRefine(({ port: first, endPort }, context) => {
		if (endPort === null) return;
		const fail = (message: string): void => context.addIssue({ code: 'custom', path: ['endPort'], message });
		if (typeof first !== 'number') fail('expected a numeric port beside it');
		else if (endPort < first) fail(`expected at least ${first}, got ${endPort}`);
	});

const ipBlock = z.looseObject({ cidr, except: list(cidr) }).superRefine(({ cidr: outer, except }, context) => {
	for (const [i, inner] of except.entries()) {
		const strict =
			cidrContains(outer, cidrParts(inner).address) && cidrParts(inner).prefixLength > cidrParts(outer).prefixLength;
		if (strict && familyOf(inner) === familyOf(outer)) continue;
		context.addIssue({
			code: 'custom',
			path: ['except', i],
			message: `expected a strict part of ${outer}, got ${inner}`,
		});
	}
});

const peer = z
	.looseObject({
		podSelector: optionalSelector,
		namespaceSelector: optionalSelector,
		ipBlock: optional(ipBlock, null),
	})
	.superRefine(({ podSelector, namespaceSelector, ipBlock: block }, context) => {
		if (block === null || (podSelector === null && namespaceSelector === null)) return;
		context.addIssue({ code: 'custom', path: ['ipBlock'], message: 'expected no selector beside it' });
	});

const ingressRule = z.looseObject({ from: list(peer), ports: list(policyPort) });
const egressRule = z.looseObject({ to: list(peer), ports: list(policyPort) });

const policySchema = z.object({
	metadata: namespacedMeta,
	spec: z.looseObject({
		podSelector: optional(labelSelector, []),
		policyTypes: z.array(z.string()).nullish(),
		ingress: list(ingressRule),
		egress: list(egressRule),
	}),
});

const SPEC_FIELDS = ['podSelector', 'policyTypes', 'ingress', 'egress'];

/** Reads an object as the API or a YAML file gives it. Never throws. */
export function parseNetworkPolicy(raw: unknown): Parsed<NetworkPolicy> {
	const parsed = parseWith(policySchema, raw);
	if (!parsed.ok) return parsed;
	const { metadata, spec } = parsed.value;
	const unsupported = unknownFields(spec, SPEC_FIELDS, 'spec');
	const types = spec.policyTypes ?? defaultTypes(spec.egress.length > 0);
	for (const [i, type] of types.entries()) {
		if (type === 'Ingress' || type === 'Egress') continue;
		unsupported.push({ path: `spec.policyTypes[${i}]`, message: `unknown direction ${JSON.stringify(type)}` });
	}
	// An unknown field of the spec may narrow or widen anything: both directions are closed.
	const closed = unsupported.length > 0;
	const directionOf = (type: 'Ingress' | 'Egress', side: 'from' | 'to', rules: readonly RawRule[]) => {
		if (closed) return [];
		if (!types.includes(type)) return null;
		return rules.map((each, i) => toRule(each, side, `spec.${type.toLowerCase()}[${i}]`, unsupported));
	};
	const ingress = directionOf('Ingress', 'from', spec.ingress);
	const egress = directionOf('Egress', 'to', spec.egress);
	const { namespace, name } = metadata;
	const audit = readAuditMode(metadata.annotations, unsupported);
	return { ok: true, value: { namespace, name, podSelector: spec.podSelector, ingress, egress, audit, unsupported } };
}

/** Absent policyTypes: Ingress always, Egress if there is an egress rule. */
function defaultTypes(egress: boolean): readonly string[] {
	return egress ? ['Ingress', 'Egress'] : ['Ingress'];
}

type RawPeer = z.output<typeof peer>;
type RawPort = z.output<typeof policyPort>;
type RawRule = {
	readonly from?: readonly RawPeer[];
	readonly to?: readonly RawPeer[];
	readonly ports: readonly RawPort[];
};

function toRule(raw: RawRule, side: 'from' | 'to', path: string, unsupported: FieldIssue[]): NetworkPolicyRule {
	const own = unknownFields(raw, [side, 'ports'], path);
	unsupported.push(...own);
	if (own.length > 0) return { peers: [], ports: [] };
	const rawPeers = raw[side] ?? [];
	const peers = rawPeers.flatMap((each, i) => toPeer(each, `${path}.${side}[${i}]`, unsupported));
	const ports = raw.ports.flatMap((each, i) => {
		const unknown = unknownFields(each, ['protocol', 'port', 'endPort'], `${path}.ports[${i}]`);
		unsupported.push(...unknown);
		return unknown.length > 0 ? [] : [{ protocol: each.protocol, port: each.port, endPort: each.endPort }];
	});
	return { peers: rawPeers.length === 0 ? null : peers, ports: raw.ports.length === 0 ? null : ports };
}

function toPeer(raw: RawPeer, path: string, unsupported: FieldIssue[]): NetworkPolicyPeer[] {
	const unknown = [
		...unknownFields(raw, ['podSelector', 'namespaceSelector', 'ipBlock'], path),
		...(raw.ipBlock === null ? [] : unknownFields(raw.ipBlock, ['cidr', 'except'], `${path}.ipBlock`)),
	];
	const { podSelector, namespaceSelector, ipBlock: block } = raw;
	if (unknown.length === 0 && block === null && podSelector === null && namespaceSelector === null) {
		unknown.push({ path, message: 'expected podSelector, namespaceSelector or ipBlock, got none of them' });
	}
	unsupported.push(...unknown);
	if (unknown.length > 0) return [];
	if (block !== null) return [{ kind: 'block', cidr: block.cidr, except: block.except }];
	return [{ kind: 'pods', namespaceSelector, podSelector: podSelector ?? [] }];
}

/** Fields that are set and not in the list. */
export function unknownFields(raw: object, known: readonly string[], path: string): FieldIssue[] {
	return Object.entries(raw)
		.filter(([key, value]) => !known.includes(key) && value !== undefined && value !== null)
		.map(([key]) => ({ path: `${path}.${key}`, message: 'this version does not know the field' }));
}

/** 'namespace/name' */
export function networkPolicyKey(policy: Pick<NetworkPolicy, 'namespace' | 'name'>): string {
	return `${policy.namespace}/${policy.name}`;
}

/** One line for people. */
export function formatNetworkPolicy(policy: NetworkPolicy): string {
	const count = (rules: readonly NetworkPolicyRule[] | null) => (rules === null ? '-' : `${rules.length}`);
	const pods = formatSelector(policy.podSelector) || 'all pods';
	return `${networkPolicyKey(policy)} of ${pods}: ingress ${count(policy.ingress)}, egress ${count(policy.egress)} rules`;
}
