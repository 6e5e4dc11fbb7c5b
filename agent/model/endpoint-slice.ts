/**
 * discovery.k8s.io/v1 EndpointSlice, trimmed. Condition defaults are applied here: no `ready` or `serving` is true,
 * no `terminating` is false (pkg/proxy/endpointslicecache.go of Kubernetes).
 */
import * as z from 'zod';
import type { Address } from './address.ts';
import { familyOf, parseAddress } from './address.ts';
import type { Parsed, Protocol } from './fields.ts';
import { list, namespacedMeta, optional, optionalPort, parseWith, protocol } from './fields.ts';
import { readPlain } from './plain.ts';
import { readSlice, timeOf } from './plain-slice.ts';

export interface SlicePort {
	readonly name: string;
	readonly protocol: Protocol;
	readonly port: number;
}

export interface Endpoint {
	readonly address: Address;
	readonly ready: boolean;
	readonly serving: boolean;
	readonly terminating: boolean;
	/** '' = not known. */
	readonly node: string;
	/** hints.forZones; empty = no hint. */
	readonly zoneHints: readonly string[];
	/** hints.forNodes; empty = no hint. */
	readonly nodeHints: readonly string[];
}

export interface EndpointSlice {
	readonly namespace: string;
	readonly name: string;
	/** Name of the service in the same namespace (label kubernetes.io/service-name); '' = none. */
	readonly service: string;
	/** Label service.kubernetes.io/headless is present: not used for proxying. */
	readonly headlessLabel: boolean;
	readonly addressType: 'IPv4' | 'IPv6' | 'FQDN';
	/** Ports without a number are left out: they mean "all ports" and cannot be proxied. */
	readonly ports: readonly SlicePort[];
	/** Only the first address of each; empty for FQDN slices. */
	readonly endpoints: readonly Endpoint[];
	/**
	 * When the change of a pod or service happened that led to this version (annotation
	 * endpoints.kubernetes.io/last-change-trigger-time), in milliseconds since 1970; 0 = not known.
	 */
	readonly triggeredAtMs: number;
}

const TRIGGER_TIME = 'endpoints.kubernetes.io/last-change-trigger-time';

const NONE: readonly string[] = [];

const conditions = z.object({
	ready: optional(z.boolean(), true),
	serving: optional(z.boolean(), true),
	terminating: optional(z.boolean(), false),
});
const namedHints = z
	.array(z.object({ name: z.string() }))
	.nullish()
	.transform((hints) => (hints && hints.length > 0 ? hints.map((h) => h.name) : NONE));

const endpoint = z.object({
	addresses: z.array(z.string()).min(1),
	conditions: optional(conditions, { ready: true, serving: true, terminating: false }),
	nodeName: optional(z.string(), ''),
	hints: optional(z.object({ forZones: namedHints, forNodes: namedHints }), { forZones: NONE, forNodes: NONE }),
});

/** A port without a name gets '' as the API server's defaulting does, so that plain YAML files mean the same. */
const slicePort = z.object({ name: optional(z.string(), ''), protocol, port: optionalPort });

const sliceSchema = z
	.object({
		metadata: namespacedMeta,
		addressType: z.enum(['IPv4', 'IPv6', 'FQDN']),
		ports: list(slicePort),
		endpoints: list(endpoint),
	})
	.transform((raw, context): EndpointSlice => {
		const endpoints: Endpoint[] = [];
		if (raw.addressType !== 'FQDN') {
			const family = raw.addressType === 'IPv4' ? 4 : 6;
			for (const [i, each] of raw.endpoints.entries()) {
				const text = each.addresses[0] ?? '';
				const address = parseAddress(text);
				if (address === undefined || familyOf(address) !== family) {
					const message = `expected an ${raw.addressType} address, got ${JSON.stringify(text)}`;
					context.addIssue({ code: 'custom', path: ['endpoints', i, 'addresses', 0], message });
					continue;
				}
				endpoints.push({
					address,
					...each.conditions,
					node: each.nodeName,
					zoneHints: each.hints.forZones,
					nodeHints: each.hints.forNodes,
				});
			}
		}
		return {
			namespace: raw.metadata.namespace,
			name: raw.metadata.name,
			service: raw.metadata.labels['kubernetes.io/service-name'] ?? '',
			headlessLabel: 'service.kubernetes.io/headless' in raw.metadata.labels,
			addressType: raw.addressType,
			ports: raw.ports.filter((p) => p.port > 0),
			endpoints,
			triggeredAtMs: timeOf(raw.metadata.annotations[TRIGGER_TIME]),
		};
	});

/** Reads an object as the API or a YAML file gives it. Never throws. */
export function parseEndpointSlice(raw: unknown): Parsed<EndpointSlice> {
	const value = readPlain(readSlice, raw);
	return value === undefined ? parseSliceBySchema(raw) : { ok: true, value };
}

/** As parseEndpointSlice, but slowly. */
export function parseSliceBySchema(raw: unknown): Parsed<EndpointSlice> {
	return parseWith(sliceSchema, raw);
}

/** 'namespace/name' of the service the slice belongs to; undefined = of none. */
export function serviceOfSlice(slice: EndpointSlice): string | undefined {
	return slice.service === '' || slice.headlessLabel ? undefined : `${slice.namespace}/${slice.service}`;
}

/** One line for people. */
export function formatEndpointSlice(slice: EndpointSlice): string {
	const ports = slice.ports.map((p) => `${p.name || '-'}:${p.port}/${p.protocol}`).join(',');
	return `${slice.namespace}/${slice.name} of ${slice.service || '-'} ${slice.addressType} ${ports} ${slice.endpoints.length} endpoints`;
}
