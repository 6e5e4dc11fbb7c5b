/**
 * What the planners want to know about this machine, from its links and its Node object. Reads only.
 */
import type { Netlink } from '../kernel/netlink.ts';
import { type Address, familyOf } from '../model/address.ts';
import type { Node } from '../model/node.ts';
import type { NodeFacts, UplinkFacts } from '../model/node-facts.ts';
import { detectUplink, localAddresses } from '../routing/uplink.ts';

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

/** The first of each family in the Node object, else on the uplink; the one the node is known by comes first. */
export function primaryAddresses(node: Pick<Node, 'internalIps'>, uplink: Pick<UplinkFacts, 'addresses'>): Address[] {
	const known = node.internalIps.length > 0 ? node.internalIps : uplink.addresses.map(({ address }) => address);
	const firsts = [4, 6].flatMap((family) => known.find((address) => familyOf(address) === family) ?? []);
	return firsts.sort((a, b) => known.indexOf(a) - known.indexOf(b));
}

/** @throws FairleadError UPLINK_UNKNOWN */
export async function collectNodeFacts({ netlink, node, ...options }: FactsOptions): Promise<FoundFacts> {
	const query = { wanted: options.uplink, nodeAddresses: node.internalIps };
	const { uplink, reason } = await detectUplink(netlink, query);
	return {
		uplinkReason: reason,
		facts: {
			name: node.name,
			zone: node.zone,
			addresses: primaryAddresses(node, uplink),
			localAddresses: await localAddresses(netlink),
			podCidrs: options.podCidrs.length > 0 ? options.podCidrs : node.podCidrs,
			uplink,
		},
	};
}
