import { describe, expect, it } from 'vitest';
import { address, link, route } from '../../test/lib/machine.ts';
import type { AddressInfo, LinkInfo, RouteInfo } from '../kernel/netlink.ts';
import { chooseMoreUplinks, describeMoreUplinks, MOST_MORE_UPLINKS, type MoreUplinksQuery } from './more-uplinks.ts';

interface World {
	readonly links?: readonly LinkInfo[];
	readonly addresses?: readonly AddressInfo[];
	readonly routes?: readonly RouteInfo[];
}

/** A node with eth0 as uplink and what is given besides. */
function choose(world: World, query: Partial<MoreUplinksQuery> = {}) {
	return chooseMoreUplinks(
		[link(1, 'lo', { type: 772 }), link(2, 'eth0'), ...(world.links ?? [])],
		[address(1, '127.0.0.1', { scope: 254 }), address(2, '192.0.2.1'), ...(world.addresses ?? [])],
		[route(2, '0.0.0.0/0'), ...(world.routes ?? [])],
		{ wanted: ['auto'], uplink: 'eth0', nodeAddresses: ['192.0.2.1'], nodePortAddresses: ['primary'], ...query },
	);
}

const reasons = (...o: Parameters<typeof choose>): string[] =>
	choose(...o).chosen.map(({ uplink, reason }) => `${uplink.name}: ${reason}`);

const ETH1 = { links: [link(3, 'eth1')], addresses: [address(3, '198.51.100.1'), address(3, '2001:db8::1')] };

describe('further uplinks found by themselves', () => {
	it.each([
		['an IPv4 default route', { routes: [route(3, '0.0.0.0/0')] }, {}, 'it has the IPv4 default route'],
		[
			'a default route that they share',
			{ routes: [{ ...route(0, '0.0.0.0/0'), ifindexes: [2, 3] }] },
			{},
			'it has the IPv4 default route',
		],
		['an IPv6 default route', { routes: [route(3, '::/0')] }, {}, 'it has the IPv6 default route'],
		[
			'an address of the Node object',
			{},
			{ nodeAddresses: ['192.0.2.1', '2001:db8::1'] },
			'it has the node address 2001:db8::1',
		],
		[
			'an address that NodePorts are open at',
			{},
			{ nodePortAddresses: ['203.0.113.0/24', '198.51.100.0/24'] },
			'nodePortAddresses selects its address 198.51.100.1',
		],
		[
			'one of any address',
			{},
			{ nodePortAddresses: ['203.0.113.0/24', '::/0'] },
			'nodePortAddresses selects its address 2001:db8::1',
		],
	])('are those with %s', (_what, world, query, reason) => {
		expect(reasons({ ...ETH1, ...world }, query)).toEqual([`eth1: ${reason}`]);
	});

	it('have their MTU and global addresses, stable ones first', () => {
		const addresses = [
			address(3, '2001:db8::bad', { secondary: true }),
			address(3, 'fe80::1', { scope: 253 }),
			...ETH1.addresses,
		];
		const world = { links: [link(3, 'eth1', { mtu: 9000 })], addresses, routes: [route(3, '0.0.0.0/0')] };
		expect(choose(world).chosen[0]?.uplink).toEqual({
			name: 'eth1',
			ifindex: 3,
			mtu: 9000,
			addresses: [
				{ address: '198.51.100.1', prefixLength: 24 },
				{ address: '2001:db8::1', prefixLength: 64 },
				{ address: '2001:db8::bad', prefixLength: 64 },
			],
		});
	});

	it.each<[string, World, Partial<MoreUplinksQuery>]>([
		['has none of these', ETH1, {}],
		['has a default route of another table', { ...ETH1, routes: [route(3, '0.0.0.0/0', { table: 100 })] }, {}],
		['has an unreachable default route', { ...ETH1, routes: [route(3, '0.0.0.0/0', { type: 7 })] }, {}],
		['is down', { ...ETH1, links: [link(3, 'eth1', { up: false })], routes: [route(3, '0.0.0.0/0')] }, {}],
		[
			'has link-local addresses only',
			{ links: [link(3, 'eth1')], addresses: [address(3, 'fe80::1', { scope: 253 })], routes: [route(3, '::/0')] },
			{},
		],
		['is loopback', { addresses: [address(1, '203.0.113.1')] }, { nodePortAddresses: ['203.0.113.0/24'] }],
		[
			'is a dummy, where balancers keep addresses',
			{ links: [link(3, 'vip0', { kind: 'dummy' })], addresses: [address(3, '203.0.113.1')] },
			{ nodePortAddresses: ['0.0.0.0/0'] },
		],
		[
			'is ours',
			{ links: [link(3, 'fl_host', { kind: 'veth' })], addresses: [address(3, '203.0.113.1')] },
			{ nodePortAddresses: ['0.0.0.0/0'] },
		],
	])('are no interface that %s', (_what, world, query) => {
		expect(choose(world, query)).toEqual({ chosen: [], leftOut: [] });
	});

	it.each([
		['WireGuard', link(3, 'wg0', { type: 65534 }), 'it carries no Ethernet frames, which programs need'],
		['a port of a bridge', link(3, 'eth1', { masterIfindex: 4 }), 'it belongs to br0'],
	])('leave out %s, and say so to who asks', (_what, unfit, why) => {
		const links = [unfit, link(4, 'br0', { kind: 'bridge' })];
		const choice = choose({ links, addresses: [address(3, '203.0.113.1')], routes: [route(3, '0.0.0.0/0')] });
		expect(choice).toEqual({ chosen: [], leftOut: [{ name: unfit.name, why, isProblem: false }] });
		expect(describeMoreUplinks(choice)).toBe(`not ${unfit.name}: ${why}`);
	});

	it('stay as they were while they are down, but not when another interface has come in their place', () => {
		const { chosen: before } = choose({ ...ETH1, routes: [route(3, '::/0')] });
		const left = { addresses: [address(3, '198.51.100.1')] };
		const down = link(3, 'eth1', { up: false });
		expect(choose({ ...left, links: [down] }, { before }).chosen).toEqual(before);
		expect(choose({ ...left, links: [down] }, { before, wanted: ['eth1'] }).chosen).toEqual(before);
		expect(choose({ ...left, links: [link(3, 'eth1')] }, { before }).chosen).toEqual([]);
		expect(choose({ ...left, links: [link(4, 'eth1', { up: false })] }, { before }).chosen).toEqual([]);
	});

	it('are at most seven by name; the others are named', () => {
		const numbers = Array.from({ length: 9 }, (_, n) => 9 - n);
		const choice = choose({
			links: numbers.map((n) => link(10 + n, `eth${n}`)),
			addresses: numbers.map((n) => address(10 + n, `203.0.113.${n}`)),
			routes: numbers.map((n) => route(10 + n, '0.0.0.0/0', { priority: n })),
		});
		expect(choice.chosen.map(({ uplink }) => uplink.name)).toEqual(
			['eth1', 'eth2', 'eth3', 'eth4', 'eth5', 'eth6', 'eth7'].slice(0, MOST_MORE_UPLINKS),
		);
		expect(choice.leftOut.map(({ name, isProblem }) => [name, isProblem])).toEqual([
			['eth8', true],
			['eth9', true],
		]);
	});
});

describe('further uplinks by name', () => {
	const named = (wanted: string[], world: World = ETH1) => choose(world, { wanted });

	it('need nothing but to exist', () => {
		const world = { links: [link(4, 'eth2', { up: false }), link(3, 'vip0', { kind: 'dummy' })] };
		expect(named(['vip0', 'eth2', 'eth2'], world).chosen.map(({ uplink, reason }) => [uplink.name, reason])).toEqual([
			['eth2', 'configured'],
			['vip0', 'configured'],
		]);
	});

	it('may be none, whatever there is', () => {
		expect(choose({ ...ETH1, routes: [route(3, '0.0.0.0/0')] }, { wanted: [] })).toEqual({ chosen: [], leftOut: [] });
	});

	it('may come later: the others are taken', () => {
		const choice = named(['eth9', 'eth1']);
		expect(choice.chosen.map(({ uplink }) => uplink.name)).toEqual(['eth1']);
		expect(choice.leftOut).toEqual([{ name: 'eth9', why: 'there is no such interface', isProblem: true }]);
		expect(describeMoreUplinks(choice)).toBe('eth1: configured; not eth9: there is no such interface');
	});

	it('may be the uplink of this node, which is no fault', () => {
		expect(named(['eth0', 'eth1']).leftOut).toEqual([{ name: 'eth0', why: 'it is the uplink', isProblem: false }]);
	});

	it.each([
		['loopback', 'lo', undefined, 'it is a loopback device'],
		['a device of ours', 'fl_vxlan', link(3, 'fl_vxlan', { kind: 'vxlan' }), 'Fairlead has made it'],
		['a tunnel without Ethernet', 'tun0', link(3, 'tun0', { type: 65534 }), /no Ethernet frames/],
		['a member of a bond', 'eth3', link(3, 'eth3', { masterIfindex: 99 }), 'it belongs to interface #99'],
	])('are not %s, which is a fault', (_what, name, made, why) => {
		const { chosen, leftOut } = named([name], { links: made === undefined ? [] : [made] });
		expect(chosen).toEqual([]);
		expect(leftOut).toEqual([
			{ name, why: typeof why === 'string' ? why : expect.stringMatching(why), isProblem: true },
		]);
	});
});
