/**
 * loadBalancerSourceRanges → the set of prefixes that clients of a load balancer VIP must be in. Pure.
 */
import type { Address, Cidr, Family } from '../model/address.ts';
import { cidrContains, familyOf } from '../model/address.ts';

/**
 * Text of a set: canonical prefixes, sorted, joined by commas. Equal texts share one set in the map `sources`.
 * '' = anybody may connect.
 */
export type SourceSet = string;

export const ANYBODY: SourceSet = '';

/**
 * @param ranges   of all families; those of another family do not count, and any prefix of length 0 admits everybody
 * @param vips     the VIPs of the service port: what the node sends to its own VIP may have that as its source
 * @param nodeIps  addresses the node is known by
 */
export function sourceSetOf(
	ranges: readonly Cidr[],
	family: Family,
	vips: readonly Address[],
	nodeIps: readonly Address[],
): SourceSet {
	const own = ranges.filter((range) => familyOf(range) === family);
	if (own.length === 0 || own.some((range) => range.endsWith('/0'))) return ANYBODY;
	const admitsNode = nodeIps.some((address) => own.some((range) => cidrContains(range, address)));
	const vipRanges = admitsNode ? vips.map((vip) => `${vip}/${family === 4 ? 32 : 128}`) : [];
	return [...new Set([...own, ...vipRanges])].sort().join(',');
}

/** Prefixes of a set. */
export function prefixesOf(set: SourceSet): readonly Cidr[] {
	return set === ANYBODY ? [] : set.split(',');
}
