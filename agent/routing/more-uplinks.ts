/** Which interfaces besides the uplink clients of services come by. */
import { Limits } from '../../native/abi/generated.ts';
import type { AddressInfo, LinkInfo, RouteInfo } from '../kernel/netlink.ts';
import { type Address, cidrContains } from '../model/address.ts';
import { DEVICE_NAMES } from './devices.ts';
import { DNS_DEVICES } from './dns-device.ts';
import { ARPHRD_LOOPBACK, factsOf, isDefaultRoute, type Reader, type UplinkChoice } from './uplink.ts';

export interface MoreUplinksQuery {
	/** Interface names, or 'auto' alone; empty = none. */
	readonly wanted: readonly string[];
	/** Name of the uplink. */
	readonly uplink: string;
	/** InternalIP and ExternalIP addresses of the own Node object. */
	readonly nodeAddresses: readonly Address[];
	/** Prefixes, or 'primary' alone. */
	readonly nodePortAddresses: readonly string[];
	/** What was chosen the last time: it stays while its interface is down, which takes routes and IPv6 addresses away. */
	readonly before?: readonly UplinkChoice[];
}

/** An interface that was asked for, or would have been chosen, and is not used. */
export interface LeftOut {
	readonly name: string;
	readonly why: string;
	/** Clients may miss it. */
	readonly isProblem: boolean;
}

export interface MoreUplinks {
	/** By name. */
	readonly chosen: readonly UplinkChoice[];
	readonly leftOut: readonly LeftOut[];
}

/** Row 0 of the map uplinks is never used. */
export const MOST_MORE_UPLINKS = Limits.UPLINKS - 1;

const ARPHRD_ETHER = 1;
const OWN_DEVICES: readonly string[] = [...Object.values(DEVICE_NAMES), ...Object.values(DNS_DEVICES)];

interface Machine {
	readonly links: readonly LinkInfo[];
	readonly addresses: readonly AddressInfo[];
	readonly routes: readonly RouteInfo[];
}

/** As chooseMoreUplinks, asking the kernel. */
export async function detectMoreUplinks(netlink: Reader, query: MoreUplinksQuery): Promise<MoreUplinks> {
	const [links, addresses] = [await netlink.links(), await netlink.addresses()];
	const routes = [...(await netlink.routes(4)), ...(await netlink.routes(6))];
	return chooseMoreUplinks(links, addresses, routes, query);
}

/**
 * The configured interfaces; with `auto` those that are up, have a global address, and have a default route, an address of the Node
 * object or one that nodePortAddresses selects. Programs need Ethernet frames, and members of a bridge or bond hand all they get to that.
 */
export function chooseMoreUplinks(
	links: readonly LinkInfo[],
	addresses: readonly AddressInfo[],
	routes: readonly RouteInfo[],
	query: MoreUplinksQuery,
): MoreUplinks {
	const machine = { links, addresses, routes };
	const isAuto = query.wanted[0] === 'auto' && query.wanted.length === 1;
	const { chosen, leftOut } = isAuto ? findAll(machine, query) : takeNamed(machine, query);
	const tooMany = chosen.slice(MOST_MORE_UPLINKS).map(({ uplink }) => ({
		name: uplink.name,
		why: `programs know no more than ${MOST_MORE_UPLINKS} further uplinks`,
		isProblem: true,
	}));
	return { chosen: chosen.slice(0, MOST_MORE_UPLINKS), leftOut: [...leftOut, ...tooMany] };
}

/** For people. */
export function describeMoreUplinks({ chosen, leftOut }: MoreUplinks): string {
	const texts = [
		...chosen.map(({ uplink, reason }) => `${uplink.name}: ${reason}`),
		...leftOut.map(({ name, why }) => `not ${name}: ${why}`),
	];
	return texts.length > 0
		? texts.join('; ')
		: 'no other interface has a default route, a node address or one that nodePortAddresses selects';
}

function findAll(machine: Machine, query: MoreUplinksQuery): MoreUplinks {
	const chosen: UplinkChoice[] = [];
	const leftOut: LeftOut[] = [];
	for (const link of [...machine.links].sort((a, b) => (a.name < b.name ? -1 : 1))) {
		if (link.name === query.uplink) continue;
		const former = formerChoice(link, query);
		const reason = former?.reason ?? whyWanted(link, machine, query);
		if (reason === undefined) continue;
		const why = whyUnfit(link, machine.links);
		if (why === undefined) chosen.push(former ?? choice(link, machine, reason));
		else if (!OWN_DEVICES.includes(link.name)) leftOut.push({ name: link.name, why, isProblem: false });
	}
	return { chosen, leftOut };
}

function takeNamed(machine: Machine, query: MoreUplinksQuery): MoreUplinks {
	const chosen: UplinkChoice[] = [];
	const leftOut: LeftOut[] = [];
	for (const name of [...new Set(query.wanted)].sort()) {
		const link = machine.links.find((each) => each.name === name);
		const why = link === undefined ? 'there is no such interface' : whyUnfit(link, machine.links);
		// one configuration is for nodes of different uplinks
		if (name === query.uplink) leftOut.push({ name, why: 'it is the uplink', isProblem: false });
		else if (link !== undefined && why === undefined)
			chosen.push(formerChoice(link, query) ?? choice(link, machine, 'configured'));
		else leftOut.push({ name, why: why ?? '', isProblem: true });
	}
	return { chosen, leftOut };
}

function formerChoice(link: LinkInfo, { before = [] }: MoreUplinksQuery): UplinkChoice | undefined {
	if (link.up) return undefined;
	return before.find(({ uplink }) => uplink.ifindex === link.ifindex && uplink.name === link.name);
}

/** Stable addresses first: rows of the map uplinks are known by them. */
function choice(link: LinkInfo, { addresses }: Machine, reason: string): UplinkChoice {
	const sorted = [...addresses].sort((a, b) => Number(a.secondary ?? false) - Number(b.secondary ?? false));
	return { uplink: factsOf(link, sorted), reason };
}

function whyWanted(link: LinkInfo, machine: Machine, query: MoreUplinksQuery): string | undefined {
	// nothing comes in by a dummy, which is where balancers keep addresses
	if (!link.up || link.type === ARPHRD_LOOPBACK || link.kind === 'dummy') return undefined;
	const own = factsOf(link, machine.addresses).addresses.map(({ address }) => address);
	if (own.length === 0) return undefined;
	const route = machine.routes.find((each) => leadsOver(each, link.ifindex) && isDefaultRoute(each));
	if (route !== undefined) return `it has the IPv${route.family} default route`;
	const known = own.find((address) => query.nodeAddresses.includes(address));
	if (known !== undefined) return `it has the node address ${known}`;
	const cidrs = query.nodePortAddresses.filter((each) => each !== 'primary');
	const selected = own.find((address) => cidrs.some((cidr) => cidrContains(cidr, address)));
	return selected === undefined ? undefined : `nodePortAddresses selects its address ${selected}`;
}

function leadsOver({ ifindex, ifindexes }: RouteInfo, link: number): boolean {
	return ifindex === link || ifindexes?.includes(link) === true;
}

function whyUnfit(link: LinkInfo, links: readonly LinkInfo[]): string | undefined {
	if (OWN_DEVICES.includes(link.name)) return 'Fairlead has made it';
	if (link.type === ARPHRD_LOOPBACK) return 'it is a loopback device';
	if (link.type !== ARPHRD_ETHER) return 'it carries no Ethernet frames, which programs need';
	if (link.masterIfindex === undefined) return undefined;
	const master = links.find(({ ifindex }) => ifindex === link.masterIfindex);
	return `it belongs to ${master?.name ?? `interface #${link.masterIfindex}`}`;
}
