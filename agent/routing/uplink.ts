/** Which interface leads to the other nodes, and which addresses the node has. */
import type { AddressInfo, LinkInfo, Netlink, RouteInfo } from '../kernel/netlink.ts';
import { type Address, familyOf } from '../model/address.ts';
import { FairleadError } from '../model/errors.ts';
import type { UplinkFacts } from '../model/node-facts.ts';

export const SCOPE_GLOBAL = 0;
const MAIN_TABLE = 254;
const RTN_UNICAST = 1;
export const ARPHRD_LOOPBACK = 772;

export interface UplinkChoice {
	readonly uplink: UplinkFacts;
	/** Why it was chosen, for `--check-config`. */
	readonly reason: string;
}

export interface UplinkQuery {
	/** Interface name, or 'auto'. */
	readonly wanted: string;
	/** Addresses the node is known by. */
	readonly nodeAddresses: readonly Address[];
}

export type Reader = Pick<Netlink, 'links' | 'addresses' | 'routes'>;

/**
 * The configured interface, else the one with a node address, else the one of the default route with the lowest metric.
 * @throws FairleadError UPLINK_UNKNOWN when none of these exists
 */
export async function detectUplink(netlink: Reader, query: UplinkQuery): Promise<UplinkChoice> {
	const [links, addresses] = [await netlink.links(), await netlink.addresses()];
	const routes = [...(await netlink.routes(4)), ...(await netlink.routes(6))];
	return chooseUplink(links, addresses, routes, query);
}

/** As detectUplink, on values. */
export function chooseUplink(
	links: readonly LinkInfo[],
	addresses: readonly AddressInfo[],
	routes: readonly RouteInfo[],
	query: UplinkQuery,
): UplinkChoice {
	if (query.wanted !== 'auto') {
		const link = links.find((each) => each.name === query.wanted);
		if (link === undefined) throw unknownUplink(`there is no interface ${query.wanted}`);
		return { uplink: factsOf(link, addresses), reason: 'configured' };
	}
	for (const address of query.nodeAddresses) {
		const owner = addresses.find((each) => each.address === address);
		const link = links.find((each) => each.ifindex === owner?.ifindex && each.type !== ARPHRD_LOOPBACK);
		if (link !== undefined) return { uplink: factsOf(link, addresses), reason: `it has the node address ${address}` };
	}
	const route = defaultRoute(routes);
	const link = links.find((each) => each.ifindex === route?.ifindex);
	if (route === undefined || link === undefined) {
		throw unknownUplink('no interface has a node address and there is no default route');
	}
	return { uplink: factsOf(link, addresses), reason: `the IPv${route.family} default route goes through it` };
}

/** Of the main table. */
export function isDefaultRoute({ table, type, dst }: RouteInfo): boolean {
	return table === MAIN_TABLE && type === RTN_UNICAST && (dst === '0.0.0.0/0' || dst === '::/0');
}

function defaultRoute(routes: readonly RouteInfo[]): RouteInfo | undefined {
	return routes
		.filter((route) => route.ifindex !== undefined && isDefaultRoute(route))
		.sort((a, b) => a.family - b.family || (a.priority ?? 0) - (b.priority ?? 0))[0];
}

export function factsOf(link: LinkInfo, addresses: readonly AddressInfo[]): UplinkFacts {
	return {
		name: link.name,
		ifindex: link.ifindex,
		mtu: link.mtu,
		addresses: addresses
			.filter((each) => each.ifindex === link.ifindex && each.scope === SCOPE_GLOBAL)
			.map(({ address, prefixLength }) => ({ address, prefixLength })),
		...(link.gso && { gso: link.gso }),
		...(link.kind === 'veth' && { isVeth: true }),
	};
}

function unknownUplink(why: string): FairleadError {
	return new FairleadError('UPLINK_UNKNOWN', `cannot tell the uplink of this node: ${why}; set uplink`);
}

/** Every address of the node except loopback's and link-local ones, IPv4 first. */
export async function localAddresses(netlink: Pick<Netlink, 'links' | 'addresses'>): Promise<Address[]> {
	const loopbacks = new Set(
		(await netlink.links()).filter((link) => link.type === ARPHRD_LOOPBACK).map((link) => link.ifindex),
	);
	return (await netlink.addresses())
		.filter((each) => each.scope === SCOPE_GLOBAL && !loopbacks.has(each.ifindex))
		.map((each) => each.address)
		.sort((a, b) => familyOf(a) - familyOf(b) || (a < b ? -1 : 1));
}
