/**
 * networking.k8s.io/v1 ServiceCIDR, trimmed: prefixes that ClusterIPs are taken from. Several exist side by side, and they come and
 * go while the cluster runs.
 */
import * as z from 'zod';
import type { Cidr } from './address.ts';
import type { Parsed } from './fields.ts';
import { cidr, clusterMeta, list, parseWith } from './fields.ts';

export interface ServiceCidr {
	readonly name: string;
	readonly cidrs: readonly Cidr[];
}

const serviceCidrSchema = z
	.object({ metadata: clusterMeta, spec: z.object({ cidrs: list(cidr) }) })
	.transform(({ metadata, spec }): ServiceCidr => ({ name: metadata.name, cidrs: spec.cidrs }));

/** Reads an object as the API or a YAML file gives it. Never throws. */
export function parseServiceCidr(raw: unknown): Parsed<ServiceCidr> {
	return parseWith(serviceCidrSchema, raw);
}

/** All prefixes of ClusterIPs, those of the configuration first, each once. */
export function allServiceCidrs(configured: readonly Cidr[], objects: Iterable<ServiceCidr>): Cidr[] {
	const all = new Set(configured);
	for (const { cidrs } of [...objects].sort((a, b) => (a.name < b.name ? -1 : 1)))
		for (const each of cidrs) all.add(each);
	return [...all];
}
