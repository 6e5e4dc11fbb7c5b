import { describe, expect, it } from 'vitest';
import { address, link, route } from '../../test/lib/machine.ts';
import type { RouteInfo } from '../kernel/netlink.ts';
import { chooseUplink, localAddresses } from './uplink.ts';

const defaultRoute = (ifindex: number, family: 4 | 6, priority: number): RouteInfo =>
	route(ifindex, family === 4 ? '0.0.0.0/0' : '::/0', { gateway: family === 4 ? '192.0.2.254' : 'fe80::fe', priority });

const links = [link(1, 'lo', { type: 772 }), link(2, 'eth0'), link(3, 'eth1')];
const addresses = [
	address(1, '127.0.0.1', { scope: 254 }),
	address(1, '192.0.2.99'),
	address(2, '192.0.2.1'),
	address(2, 'fe80::1', { scope: 253 }),
	address(3, '198.51.100.1'),
	address(3, '2001:db8::1'),
];

describe('uplink', () => {
	it('is the configured interface, with its mtu and global addresses', () => {
		expect(chooseUplink(links, addresses, [], { wanted: 'eth0', nodeAddresses: ['198.51.100.1'] })).toEqual({
			reason: 'configured',
			uplink: { name: 'eth0', ifindex: 2, mtu: 1500, addresses: [{ address: '192.0.2.1', prefixLength: 24 }] },
		});
	});

	it('is the interface with the node address, not the one of the default route', () => {
		const query = { wanted: 'auto', nodeAddresses: ['203.0.113.1', '2001:db8::1'] };
		const choice = chooseUplink(links, addresses, [defaultRoute(2, 4, 0)], query);
		expect(choice).toMatchObject({ uplink: { name: 'eth1' }, reason: 'it has the node address 2001:db8::1' });
	});

	it('is never loopback, though a node address may be on it', () => {
		const choice = chooseUplink(links, addresses, [defaultRoute(3, 4, 0)], {
			wanted: 'auto',
			nodeAddresses: ['192.0.2.99'],
		});
		expect(choice.uplink.name).toBe('eth1');
	});

	it('is the one of the default route with the lowest metric, IPv4 before IPv6', () => {
		const routes = [defaultRoute(3, 6, 10), defaultRoute(3, 4, 200), defaultRoute(2, 4, 100)];
		expect(chooseUplink(links, addresses, routes, { wanted: 'auto', nodeAddresses: [] })).toMatchObject({
			uplink: { name: 'eth0' },
			reason: 'the IPv4 default route goes through it',
		});
	});

	it.each([
		['a name that does not exist', 'eth9', /there is no interface eth9/],
		[
			'a node without default route',
			'auto',
			/no interface has a node address and there is no default route; set uplink/,
		],
	])('refuses %s', (_what, wanted, message) => {
		expect(() => chooseUplink(links, addresses, [], { wanted, nodeAddresses: [] })).toThrow(message);
	});

	it('collects addresses of all interfaces but loopback and link-local ones, IPv4 first', async () => {
		const netlink = { links: async () => links, addresses: async () => addresses };
		expect(await localAddresses(netlink)).toEqual(['192.0.2.1', '198.51.100.1', '2001:db8::1']);
	});
});
