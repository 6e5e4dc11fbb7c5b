/**
 * What the planners want to know about this machine, from its links and its Node object. Reads only.
 */
import type { Netlink } from '../kernel/netlink.ts';
import { type Address, familyOf } from '../model/address.ts';
import type { Node } from '../model/node.ts';
import type { NodeFacts, UplinkFacts } from '../model/node-facts.ts';
import type { Service } from '../model/service.ts';
import { detectMoreUplinks, type MoreUplinks } from '../routing/more-uplinks.ts';
import { detectUplink, localAddresses } from '../routing/uplink.ts';

export interface FactsOptions {
	readonly netlink: Netlink;
	/** Own Node object. */
	readonly node: Node;
	/** Name of the uplink, or `auto`. */
	readonly uplink: string;
	/** Names of further uplinks, or `auto` alone. */
	readonly moreUplinks: readonly string[];
	/** Prefixes, or `primary` alone. */
	readonly nodePortAddresses: readonly string[];
	/** Other than those of the Node object; empty = take those. */
	readonly podCidrs: readonly string[];
	/** Those known by now: their addresses may be on the uplink and are not the node's. */
	readonly services?: Iterable<ServiceAddresses>;
	/** What was found the last time. */
	readonly before?: Pick<FoundFacts, 'moreUplinks'>;
}

type ServiceAddresses = Pick<Service, 'externalIps' | 'loadBalancerIps'>;

export interface FoundFacts {
	readonly facts: NodeFacts;
	/** Why the uplink was chosen, for people. */
	readonly uplinkReason: string;
	/** Those of the facts with reasons, and what is not used. */
	readonly moreUplinks: MoreUplinks;
}

/**
 * The first of each family in the Node object, else on the uplink; the one the node is known by comes first. On the uplink an address that a
 * service has, or that is alone in its prefix as balancers add theirs, counts only when there is no other.
 */
export function primaryAddresses(
	node: Pick<Node, 'internalIps'>,
	uplink: Pick<UplinkFacts, 'addresses'>,
	services: Iterable<ServiceAddresses> = [],
): Address[] {
	const all = uplink.addresses.map(({ address }) => address);
	const known = node.internalIps.length > 0 ? node.internalIps : likeliest(uplink, services);
	const firsts = ([4, 6] as const).flatMap((family) => known.find((address) => familyOf(address) === family) ?? []);
	const order = node.internalIps.length > 0 ? known : all;
	return firsts.sort((a, b) => order.indexOf(a) - order.indexOf(b));
}

/** What packets masqueraded on a further uplink have as source: one of each family at most, none that a service has. */
export function masqueradeAddresses(
	uplink: Pick<UplinkFacts, 'addresses'>,
	services: Iterable<ServiceAddresses>,
): Address[] {
	const taken = addressesOf(services);
	const own = likeliest(uplink, []).filter((address) => !taken.has(address));
	return ([4, 6] as const).flatMap((family) => own.find((address) => familyOf(address) === family) ?? []);
}

/** Addresses of the uplink, those that are probably the node's own first. */
function likeliest({ addresses }: Pick<UplinkFacts, 'addresses'>, services: Iterable<ServiceAddresses>): Address[] {
	const taken = addressesOf(services);
	const rank = ({ address, prefixLength }: UplinkFacts['addresses'][number]): number =>
		(taken.has(address) ? 2 : 0) + (prefixLength === (familyOf(address) === 4 ? 32 : 128) ? 1 : 0);
	return [...addresses].sort((a, b) => rank(a) - rank(b)).map(({ address }) => address);
}

function addressesOf(services: Iterable<ServiceAddresses>): Set<Address> {
	return new Set([...services].flatMap(({ externalIps, loadBalancerIps }) => [...externalIps, ...loadBalancerIps]));
}

/** @throws FairleadError UPLINK_UNKNOWN */
export async function collectNodeFacts({ netlink, node, services, ...options }: FactsOptions): Promise<FoundFacts> {
	const query = { wanted: options.uplink, nodeAddresses: node.internalIps };
	const { uplink, reason } = await detectUplink(netlink, query);
	const moreUplinks = await detectMoreUplinks(netlink, {
		wanted: options.moreUplinks,
		uplink: uplink.name,
		nodeAddresses: [...node.internalIps, ...node.externalIps],
		nodePortAddresses: options.nodePortAddresses,
		before: options.before?.moreUplinks.chosen ?? [],
	});
	return {
		uplinkReason: reason,
		moreUplinks,
		facts: {
			name: node.name,
			zone: node.zone,
			addresses: primaryAddresses(node, uplink, services),
			localAddresses: await localAddresses(netlink),
			podCidrs: options.podCidrs.length > 0 ? options.podCidrs : node.podCidrs,
			uplink,
			moreUplinks: moreUplinks.chosen.map((choice) => choice.uplink),
		},
	};
}
