/**
 * Finds out about the machine: which link is the uplink, which addresses are this node's. Reads only.
 */
import type { AddressInfo, LinkInfo, Netlink, RouteInfo } from '../kernel/netlink.ts';
import { type Address, familyOf } from '../model/address.ts';
import { FairleadError } from '../model/errors.ts';
import type { Node } from '../model/node.ts';
import type { NodeFacts } from '../model/node-facts.ts';

export interface FactsOptions {
	readonly netlink: Netlink;
	/** Own Node object. */
	readonly node: Node;
	/** Name of the uplink, or `auto`. */
	readonly uplink: string;
	/** Other than those of the Node object; empty = take those. */
	readonly podCidrs: readonly string[];
}

export interface FoundFacts {
	readonly facts: NodeFacts;
	/** Why the uplink was chosen, for people. */
	readonly uplinkReason: string;
}

const SCOPE_LINK = 253;
const LOOPBACK_TYPE = 772;
/** Devices that Fairlead makes itself are never uplinks. */
const OWN_DEVICE = /^fl(_|[0-9a-f]{11}$)/;

interface Candidate {
	readonly link: LinkInfo;
	readonly reason: string;
}

/** The link that holds the node's own address; failing that, the one with the default route. */
export function chooseUplink(
	links: readonly LinkInfo[],
	addresses: readonly AddressInfo[],
	routes: readonly RouteInfo[],
	node: Pick<Node, 'internalIps'>,
): Candidate | undefined {
	const byIndex = new Map(links.map((link) => [link.ifindex, link]));
	const eligible = (ifindex: number | undefined): LinkInfo | undefined => {
		const link = ifindex === undefined ? undefined : byIndex.get(ifindex);
		return link !== undefined && link.type !== LOOPBACK_TYPE && !OWN_DEVICE.test(link.name) ? link : undefined;
	};
	for (const ip of node.internalIps) {
		const link = eligible(addresses.find(({ address }) => address === ip)?.ifindex);
		if (link !== undefined) return { link, reason: `it has the node's address ${ip}` };
	}
	const defaults = routes
		.filter(({ dst }) => dst === '0.0.0.0/0' || dst === '::/0')
		.sort((a, b) => (a.priority ?? 0) - (b.priority ?? 0));
	for (const { ifindex, dst } of defaults) {
		const link = eligible(ifindex);
		if (link !== undefined) return { link, reason: `the default route ${dst} leaves by it` };
	}
	return undefined;
}

async function findUplink(
	options: FactsOptions,
	links: readonly LinkInfo[],
	addresses: readonly AddressInfo[],
): Promise<Candidate> {
	if (options.uplink !== 'auto') {
		const link = links.find(({ name }) => name === options.uplink);
		if (link !== undefined) return { link, reason: 'configured' };
		throw new FairleadError(
			'UPLINK_UNKNOWN',
			`uplink ${options.uplink}: no such interface; set uplink to one of ${links.map(({ name }) => name).join(', ')}`,
		);
	}
	const routes = [...(await options.netlink.routes(4)), ...(await options.netlink.routes(6))];
	const found = chooseUplink(links, addresses, routes, options.node);
	if (found !== undefined) return found;
	throw new FairleadError(
		'UPLINK_UNKNOWN',
		`uplink of node ${options.node.name}: no interface has one of its addresses (${options.node.internalIps.join(', ') || 'none'}) or a default route; set uplink`,
	);
}

/** Primary addresses: the first of each family in the Node object, else the first global one of the uplink. */
function primaryAddresses(node: Node, uplink: LinkInfo, addresses: readonly AddressInfo[]): Address[] {
	const ofUplink = addresses
		.filter(({ ifindex, scope }) => ifindex === uplink.ifindex && scope === 0)
		.map(({ address }) => address);
	const wanted = node.internalIps.length > 0 ? node.internalIps : ofUplink;
	return [4, 6]
		.flatMap((family) => wanted.find((address) => familyOf(address) === family) ?? [])
		.sort((a, b) => wanted.indexOf(a) - wanted.indexOf(b));
}

/** @throws FairleadError UPLINK_UNKNOWN */
export async function collectNodeFacts(options: FactsOptions): Promise<FoundFacts> {
	const { netlink, node } = options;
	const [links, addresses] = [await netlink.links(), await netlink.addresses()];
	const { link, reason } = await findUplink(options, links, addresses);
	const loopbacks = new Set(links.filter(({ type }) => type === LOOPBACK_TYPE).map(({ ifindex }) => ifindex));
	const global = addresses.filter(({ scope }) => scope < SCOPE_LINK);
	return {
		uplinkReason: reason,
		facts: {
			name: node.name,
			zone: node.zone,
			addresses: primaryAddresses(node, link, addresses),
			localAddresses: global
				.filter(({ ifindex, address }) => !loopbacks.has(ifindex) || !isLoopback(address))
				.map(({ address }) => address)
				.sort(),
			podCidrs: options.podCidrs.length > 0 ? options.podCidrs : node.podCidrs,
			uplink: {
				name: link.name,
				ifindex: link.ifindex,
				mtu: link.mtu,
				addresses: global
					.filter(({ ifindex }) => ifindex === link.ifindex)
					.map(({ address, prefixLength }) => ({ address, prefixLength })),
			},
		},
	};
}

function isLoopback(address: Address): boolean {
	return address === '::1' || address.startsWith('127.');
}
