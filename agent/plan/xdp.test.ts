import { describe, expect, it } from 'vitest';
import { nextHopTo, planXdpNodes, type XdpMachine, xdpDoubt, xdpObstacle } from './xdp.ts';

const MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
const GATEWAY_MAC = Uint8Array.of(2, 0, 0, 0, 0, 0xfe);
const NODE_MAC = Uint8Array.of(2, 0, 0, 0, 0, 2);
const REACHABLE = 2;
const FAILED = 0x20;

const machine: XdpMachine = {
	devices: [2],
	addresses: ['192.168.0.1', 'fd00:192::1'],
	links: [
		{ ifindex: 2, mtu: 1500, mac: MAC, kind: '', type: 1 },
		{ ifindex: 3, mtu: 1500, mac: MAC, kind: 'vlan', type: 1 },
	],
	routes: [
		{ dst: '0.0.0.0/0', type: 1, table: 254, ifindex: 2, gateway: '192.168.0.254', priority: 100 },
		{ dst: '192.168.0.0/24', type: 1, table: 254, ifindex: 2 },
		{ dst: '10.9.0.0/16', type: 1, table: 254, ifindex: 3 },
		{ dst: '192.168.0.9/32', type: 7, table: 254 },
		{ dst: '172.16.0.0/12', type: 1, table: 100, ifindex: 3 },
		{ dst: 'fd00:192::/64', type: 1, table: 254, ifindex: 2 },
	],
	neighbours: [
		{ ifindex: 2, address: '192.168.0.254', mac: GATEWAY_MAC, state: REACHABLE },
		{ ifindex: 2, address: '192.168.0.2', mac: NODE_MAC, state: REACHABLE },
		{ ifindex: 2, address: '192.168.0.3', mac: NODE_MAC, state: FAILED },
		{ ifindex: 2, address: 'fd00:192::2', mac: NODE_MAC, state: 0x80 },
	],
};

describe('the next hop', () => {
	it.each([
		['on the link is the node itself', '192.168.0.2', { ifindex: 2, address: '192.168.0.2' }],
		['behind a router is the router', '10.1.2.3', { ifindex: 2, address: '192.168.0.254' }],
		['is by the longest prefix', '10.9.1.1', { ifindex: 3, address: '10.9.1.1' }],
		['is not by other tables', '172.16.0.1', { ifindex: 2, address: '192.168.0.254' }],
		['does not exist without a route', 'fd01::1', undefined],
	])('%s', (_what, address, expected) => {
		expect(nextHopTo(address, machine.routes)).toEqual(expected);
	});
});

describe('rows for XDP', () => {
	const target = { index: 5, gen: 7, direct: false };

	it('have the link addresses of next hop and device', () => {
		const { rows, unresolved } = planXdpNodes([{ ...target, tunnel: '192.168.0.2' }], machine);
		expect(unresolved).toEqual([]);
		expect(rows).toMatchObject([{ index: 5, gen: 7, dstMac: NODE_MAC, srcMac: MAC, mtu: 1500, ifindex: 2, direct: 0 }]);
		expect([...(rows[0]?.source ?? [])].slice(-4)).toEqual([192, 168, 0, 1]);
	});

	it('speak the family of the tunnel', () => {
		const { rows } = planXdpNodes([{ ...target, tunnel: 'fd00:192::2' }], machine);
		expect([...(rows[0]?.source ?? [])].slice(0, 4)).toEqual([0xfd, 0, 1, 0x92]);
	});

	it.each([
		['never seen', '192.168.0.4'],
		['failed', '192.168.0.3'],
	])('wait for a neighbour that was %s', (_what, tunnel) => {
		const plan = planXdpNodes([{ ...target, tunnel }], machine);
		expect(plan).toEqual({ rows: [], unresolved: [{ ifindex: 2, address: tunnel }] });
	});

	it('ask for a shared router once', () => {
		const alone = { ...machine, neighbours: [] };
		const plan = planXdpNodes(
			[
				{ ...target, tunnel: '10.1.0.1' },
				{ ...target, index: 6, tunnel: '10.1.0.2' },
			],
			alone,
		);
		expect(plan.unresolved).toEqual([{ ifindex: 2, address: '192.168.0.254' }]);
	});

	it('leave nodes behind other devices to tc, which need not take what XDP sends', () => {
		expect(planXdpNodes([{ ...target, tunnel: '10.9.1.1' }], machine)).toEqual({ rows: [], unresolved: [] });
	});
});

describe('a device', () => {
	it.each([
		['physical', { kind: '', type: 1 }, undefined],
		['veth', { kind: 'veth', type: 1 }, undefined],
		['bond', { kind: 'bond', type: 1 }, 'it is a bond device'],
		['VLAN', { kind: 'vlan', type: 1 }, 'it is a vlan device'],
		['layer 3', { kind: 'tun', type: 65534 }, 'it has no Ethernet header'],
	])('that is %s can have XDP, or says why not', (_what, link, expected) => {
		expect(xdpObstacle(link)).toBe(expected);
	});

	it('that is a veth has XDP only when somebody says that its far end has it too', () => {
		expect(xdpDoubt({ kind: '' })).toBeUndefined();
		expect(xdpDoubt({ kind: 'veth' })).toContain('far end');
	});
});
