/**
 * What has to be configured on both sides of a pod's veth pair. Pure lists of netlink messages and sysctls.
 * The pod sees one neighbour, the link-local gateway; the node has one route per pod address.
 */

import type { NetlinkMessage, RouteSpec } from '../kernel/netlink.ts';
import { addAddress, addVeth, replaceNeighbour, replaceRoute, setLink } from '../kernel/netlink.ts';
import { type Address, type Family, familyOf } from '../model/address.ts';
import { GSO_BYTES } from '../model/node-facts.ts';
import { type Attachment, macBytes, ownerOf } from './attachment.ts';

/** What the pod sends to; answered in BPF, so no interface has these addresses. */
export const GATEWAY: Readonly<Record<Family, Address>> = { 4: '169.254.1.1', 6: 'fe80::1' };
export const DEFAULT_ROUTE = { 4: '0.0.0.0/0', 6: '::/0' } as const;
const HOST_LENGTH = { 4: 32, 6: 128 } as const;
const LOOPBACK_IFINDEX = 1;
const MAX_ALIAS_BYTES = 254;

/** Interfaces that wait for removal; any number of them goes in one message. */
export const REAP_GROUP = 0x666c_0001;

/** An address as a prefix of full length: '10.1.0.5/32'. */
export function hostPrefix(address: Address): string {
	return `${address}/${HOST_LENGTH[familyOf(address)]}`;
}

/**
 * @param podNetnsFd  open descriptor of the pod's namespace
 * @param gsoIpv4MaxSize  bytes
 */
export function vethPair(attachment: Attachment, podNetnsFd: number, gsoIpv4MaxSize: number): NetlinkMessage {
	// kernels before 6.3 do not know it, and are not asked for more than they have anyway
	const both = { mtu: attachment.mtu, ...(gsoIpv4MaxSize > GSO_BYTES.usual && { gsoIpv4MaxSize }) };
	return addVeth(
		{ name: attachment.hostIfname, mac: macBytes(attachment.hostMac), ...both },
		{ name: attachment.ifname, mac: macBytes(attachment.mac), ...both, netns: { fd: podNetnsFd } },
	);
}

/** The node's side, in the node's namespace. Can be repeated. */
export function hostSide(attachment: Attachment, ifindex: number, nodeAddress?: NodeAddress): NetlinkMessage[] {
	const messages = [setLink({ ifindex }, { up: true, alias: aliasOf(attachment) })];
	for (const address of attachment.addresses) {
		messages.push(replaceNeighbour({ ifindex, address, mac: macBytes(attachment.mac), kind: 'permanent' }));
		messages.push(replaceRoute(podRoute(address, ifindex, nodeAddress)));
	}
	return messages;
}

/** Address that the node itself has as source; undefined = the kernel chooses. */
export type NodeAddress = (family: Family) => Address | undefined;

/**
 * The node's route to one of a pod's addresses. Without a source the kernel takes the first address that any interface has, and whoever routes
 * by source (`ip rule add from`) sends what has that elsewhere.
 */
export function podRoute(address: Address, ifindex: number, nodeAddress?: NodeAddress): RouteSpec {
	const source = nodeAddress?.(familyOf(address));
	return { dst: hostPrefix(address), ifindex, ...(source !== undefined && { source }) };
}

/** For people in `ip link`; the kernel takes 255 bytes with the final NUL. Names of Kubernetes are ASCII. */
function aliasOf(attachment: Attachment): string {
	return `pod ${ownerOf(attachment)}`.slice(0, MAX_ALIAS_BYTES);
}

/** The pod's side, in the pod's namespace. */
export function podSide(attachment: Attachment, ifindex: number): NetlinkMessage[] {
	const mac = macBytes(attachment.hostMac);
	const messages = [setLink({ ifindex: LOOPBACK_IFINDEX }, { up: true })];
	for (const address of attachment.addresses) {
		const prefixLength = HOST_LENGTH[familyOf(address)];
		messages.push(addAddress({ ifindex, address, prefixLength, nodad: true }));
	}
	// No link-local address: the gateway's neighbour entry is permanent, so nothing would use it. Fails where IPv6 is off.
	messages.push({ ...setLink({ ifindex }, { ipv6AddressMode: 'none' }), tolerate: ['EAFNOSUPPORT', 'EOPNOTSUPP'] });
	messages.push(setLink({ ifindex }, { up: true }));
	for (const address of attachment.addresses) {
		const family = familyOf(address);
		const gateway = GATEWAY[family];
		messages.push(replaceNeighbour({ ifindex, address: gateway, mac, kind: 'permanent', router: family === 6 }));
		if (family === 4) messages.push(replaceRoute({ dst: hostPrefix(gateway), ifindex }));
		messages.push(replaceRoute({ dst: DEFAULT_ROUTE[family], ifindex, gateway, onlink: true }));
	}
	return messages;
}

export interface HostSysctls {
	/** As [path below /proc/sys, value]. */
	readonly free: readonly (readonly [string, string])[];
	/** The kernel takes its rtnl lock for these: whoever writes them spins while another thread has it. */
	readonly locking: readonly (readonly [string, string])[];
}

/**
 * Settings of the node's side. The node must not learn anything from a pod: no
 * router advertisements, no redirects, no address of its own on the link. Reverse path filtering would only repeat
 * the source check of the BPF program, and refuse asymmetric paths while it is attached.
 */
export function hostSysctls(hostIfname: string, families: readonly Family[]): HostSysctls {
	const four = `net/ipv4/conf/${hostIfname}`;
	const six = `net/ipv6/conf/${hostIfname}`;
	const free: [string, string][] = [
		[`${four}/accept_redirects`, '0'],
		[`${four}/send_redirects`, '0'],
		[`${four}/rp_filter`, '0'],
	];
	if (!families.includes(6)) return { free, locking: [] };
	for (const name of ['accept_ra', 'accept_redirects', 'autoconf']) free.push([`${six}/${name}`, '0']);
	const locking: [string, string][] = [
		[`${six}/addr_gen_mode`, '1'],
		[`${six}/disable_ipv6`, '0'],
	];
	return { free, locking };
}
