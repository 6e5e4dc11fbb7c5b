/**
 * v1 Service, trimmed to what a node's dataplane uses.
 */
import * as z from 'zod';
import type { Address, Cidr } from './address.ts';
import type { Parsed, Protocol } from './fields.ts';
import { address, cidr, list, namespacedMeta, optional, optionalPort, parseWith, port, protocol } from './fields.ts';
import { readPlain } from './plain.ts';
import { DEFAULT_AFFINITY_TIMEOUT_S, LB_ALGORITHM, readService } from './plain-service.ts';

export type ServiceType = 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName';
export type TrafficPolicy = 'Cluster' | 'Local';

export interface ServicePort {
	/** '' when the only port has no name. */
	readonly name: string;
	readonly protocol: Protocol;
	readonly port: number;
	/** 0 = none. */
	readonly nodePort: number;
}

export interface Service {
	readonly namespace: string;
	readonly name: string;
	/** metadata.creationTimestamp; '' = not known. */
	readonly created: string;
	readonly type: ServiceType;
	/** Empty for headless services. */
	readonly clusterIps: readonly Address[];
	readonly externalIps: readonly Address[];
	/** Load balancer addresses to program here: ipMode Proxy and host names are left out. */
	readonly loadBalancerIps: readonly Address[];
	readonly loadBalancerSourceRanges: readonly Cidr[];
	readonly ports: readonly ServicePort[];
	readonly internalPolicy: TrafficPolicy;
	readonly externalPolicy: TrafficPolicy;
	/** Seconds; null = no session affinity. */
	readonly affinityTimeoutS: number | null;
	/** 0 = none. */
	readonly healthCheckNodePort: number;
	/** Label service.kubernetes.io/service-proxy-name; null = absent: the default proxy serves it. */
	readonly proxyName: string | null;
	/** Label service.kubernetes.io/headless is present (any value): not proxied. */
	readonly headlessLabel: boolean;
	/** Annotation fairlead.dev/lb-algorithm as it is written; '' = absent. The planner knows which words mean something. */
	readonly lbAlgorithm: string;
}

const policy = optional(z.enum(['Cluster', 'Local']), 'Cluster' as const);

const servicePort = z.object({ name: optional(z.string(), ''), protocol, port, nodePort: optionalPort });

const spec = z.object({
	type: optional(z.enum(['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName']), 'ClusterIP' as const),
	clusterIP: optional(z.union([z.literal(''), z.literal('None'), address]), ''),
	clusterIPs: list(z.union([z.literal(''), z.literal('None'), address])),
	externalIPs: list(address),
	ports: list(servicePort),
	internalTrafficPolicy: policy,
	externalTrafficPolicy: policy,
	sessionAffinity: optional(z.enum(['None', 'ClientIP']), 'None' as const),
	sessionAffinityConfig: optional(
		z.object({ clientIP: optional(z.object({ timeoutSeconds: optional(z.int().min(1).max(86400), null) }), null) }),
		null,
	),
	loadBalancerSourceRanges: list(cidr),
	healthCheckNodePort: optionalPort,
});

const ingress = z.object({
	ip: optional(z.union([z.literal(''), address]), ''),
	ipMode: optional(z.enum(['VIP', 'Proxy']), 'VIP' as const),
});

const status = z.object({ loadBalancer: optional(z.object({ ingress: list(ingress) }), { ingress: [] }) });

const serviceSchema = z
	.object({ metadata: namespacedMeta, spec, status: optional(status, { loadBalancer: { ingress: [] } }) })
	.superRefine((service, context) => {
		// The API server refuses these; files have no API server before them, and ids are given by port name.
		const seen = new Set<string>();
		for (const [i, each] of service.spec.ports.entries()) {
			const facts = [`name ${JSON.stringify(each.name)}`, `port ${each.port}/${each.protocol}`];
			for (const [n, fact] of facts.entries()) {
				if (seen.has(fact)) {
					const path = ['spec', 'ports', i, n === 0 ? 'name' : 'port'];
					context.addIssue({ code: 'custom', path, message: `expected a unique value, got ${fact} twice` });
				}
				seen.add(fact);
			}
		}
	});

/** Reads an object as the API or a YAML file gives it. Never throws. */
export function parseService(raw: unknown): Parsed<Service> {
	const value = readPlain(readService, raw);
	return value === undefined ? parseServiceBySchema(raw) : { ok: true, value };
}

/** The same by the schema, which says what is wrong. Never throws. */
export function parseServiceBySchema(raw: unknown): Parsed<Service> {
	const parsed = parseWith(serviceSchema, raw);
	return parsed.ok ? { ok: true, value: toService(parsed.value) } : parsed;
}

function toService(raw: z.output<typeof serviceSchema>): Service {
	const { metadata, spec } = raw;
	const ips = spec.clusterIPs.length > 0 ? spec.clusterIPs : [spec.clusterIP];
	const affinity = spec.sessionAffinity === 'ClientIP';
	return {
		namespace: metadata.namespace,
		name: metadata.name,
		created: metadata.creationTimestamp,
		type: spec.type,
		clusterIps: unique(ips.filter((ip) => ip !== '' && ip !== 'None')),
		externalIps: unique(spec.externalIPs),
		loadBalancerIps: unique(
			raw.status.loadBalancer.ingress.filter((i) => i.ip !== '' && i.ipMode === 'VIP').map((i) => i.ip),
		),
		loadBalancerSourceRanges: spec.loadBalancerSourceRanges,
		ports: spec.ports,
		internalPolicy: spec.internalTrafficPolicy,
		externalPolicy: spec.externalTrafficPolicy,
		affinityTimeoutS: affinity
			? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? DEFAULT_AFFINITY_TIMEOUT_S)
			: null,
		healthCheckNodePort: spec.healthCheckNodePort,
		proxyName: metadata.labels['service.kubernetes.io/service-proxy-name'] ?? null,
		headlessLabel: 'service.kubernetes.io/headless' in metadata.labels,
		lbAlgorithm: metadata.annotations[LB_ALGORITHM]?.trim() ?? '',
	};
}

function unique(addresses: readonly Address[]): Address[] {
	return [...new Set(addresses)];
}

/** 'namespace/name', the key of a service everywhere. */
export function serviceKey(service: { readonly namespace: string; readonly name: string }): string {
	return `${service.namespace}/${service.name}`;
}

/** One line for people. */
export function formatService(service: Service): string {
	const ports = service.ports.map((p) => `${p.port}${p.nodePort > 0 ? `:${p.nodePort}` : ''}/${p.protocol}`).join(',');
	return `${serviceKey(service)} ${service.type} ${service.clusterIps.join(',') || 'None'} ${ports}`;
}
