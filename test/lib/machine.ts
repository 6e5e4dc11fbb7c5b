/** What a machine has, as netlink tells it. */
import type { AddressInfo, LinkInfo, RouteInfo } from '../../agent/kernel/netlink.ts';

export const link = (ifindex: number, name: string, over: Partial<LinkInfo> = {}): LinkInfo => ({
	ifindex,
	name,
	up: true,
	carrier: true,
	mtu: 1500,
	mac: new Uint8Array(6),
	kind: '',
	group: 0,
	alias: '',
	type: 1,
	...over,
});
export const address = (ifindex: number, text: string, over: Partial<AddressInfo> = {}): AddressInfo => ({
	ifindex,
	address: text,
	prefixLength: text.includes(':') ? 64 : 24,
	family: text.includes(':') ? 6 : 4,
	scope: 0,
	tentative: false,
	...over,
});
export const route = (ifindex: number, dst: string, over: Partial<RouteInfo> = {}): RouteInfo => ({
	dst,
	family: dst.includes(':') ? 6 : 4,
	type: 1,
	table: 254,
	protocol: 3,
	scope: 0,
	ifindex,
	onlink: false,
	linkDown: false,
	...over,
});
