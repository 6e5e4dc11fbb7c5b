import { describe, expect, it } from 'vitest';
import type { NeighbourInfo, RouteInfo } from '../kernel/netlink-addresses.ts';
import type { NeighbourPlan, RoutePlan } from '../plan/routing-plan.ts';
import { diffNeighbours, diffRoutes, type NeighbourRules } from './diff.ts';

const roles = { uplink: 2, overlay: 7, host: 8 };

const planned = (changes: Partial<RoutePlan> = {}): RoutePlan => ({
	dst: '10.1.2.0/24',
	family: 4,
	type: 'unicast',
	device: 'overlay',
	gateway: '169.254.1.1',
	onlink: true,
	source: '192.0.2.1',
	mtu: null,
	reason: 'pods of node b',
	...changes,
});
const present = (changes: Partial<RouteInfo> = {}): RouteInfo => ({
	dst: '10.1.2.0/24',
	family: 4,
	type: 1,
	table: 254,
	protocol: 160,
	scope: 0,
	ifindex: 7,
	gateway: '169.254.1.1',
	onlink: true,
	linkDown: false,
	source: '192.0.2.1',
	...changes,
});

describe('routes', () => {
	it('leaves a route alone that is as planned', () => {
		expect(diffRoutes([planned()], [present()], roles)).toEqual({ replace: [], remove: [], impossible: [] });
	});

	it.each([
		['the device', { ifindex: 9 }],
		['the gateway', { gateway: '169.254.1.2' }],
		['onlink', { onlink: false }],
		['the source', { source: '192.0.2.9' }],
		['the MTU', { mtu: 1400 }],
		['the type', { type: 7 }],
	])('replaces a route in which %s differs, without removing it first', (_what, changes) => {
		const { replace, remove } = diffRoutes([planned()], [present(changes)], roles);
		expect(replace).toEqual([
			{
				dst: '10.1.2.0/24',
				type: 'unicast',
				ifindex: 7,
				gateway: '169.254.1.1',
				onlink: true,
				source: '192.0.2.1',
			},
		]);
		expect(remove).toEqual([]);
	});

	it('removes ours that are no longer planned, unreachable ones included', () => {
		const stale = [present({ dst: '10.1.9.0/24' }), present({ dst: 'fd00::/64', family: 6, type: 7, ifindex: 1 })];
		const { remove } = diffRoutes([], stale, roles);
		expect(remove.map((route) => [route.dst, route.type])).toEqual([
			['10.1.9.0/24', 'unicast'],
			['fd00::/64', 'unreachable'],
		]);
	});

	it('never touches routes of pods, of other programs or of other tables', () => {
		const { gateway: _, ...toPod } = present({ dst: '10.1.0.5/32', onlink: false });
		const others = [toPod, present({ protocol: 3 }), present({ table: 100 }), present({ type: 2 })];
		expect(diffRoutes([], others, roles).remove).toEqual([]);
	});

	it('recognises an unreachable IPv6 route, which the kernel shows on lo', () => {
		const plan = planned({
			dst: 'fd00::/64',
			family: 6,
			type: 'unreachable',
			device: null,
			gateway: null,
			onlink: false,
			source: null,
		});
		const shown = present({ dst: 'fd00::/64', family: 6, type: 7, ifindex: 1 });
		expect(diffRoutes([plan], [shown], roles).replace).toEqual([]);
	});

	it('reports routes whose device does not exist instead of adding them elsewhere', () => {
		const { replace, impossible } = diffRoutes([planned()], [], { uplink: 2, host: 8 });
		expect(replace).toEqual([]);
		expect(impossible).toEqual([planned()]);
	});
});

const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
const rules: NeighbourRules = { roles, macs: { overlay: mac, host: mac }, canManage: true };
const neighbour = (changes: Partial<NeighbourInfo> = {}): NeighbourInfo => ({
	ifindex: 7,
	address: '169.254.1.1',
	mac,
	state: 0x80,
	permanent: true,
	managed: false,
	extLearned: false,
	...changes,
});
const gateway: NeighbourPlan = { device: 'overlay', address: '169.254.1.1', kind: 'permanent' };
const nexthop: NeighbourPlan = { device: 'uplink', address: '192.0.2.2', kind: 'managed' };

describe('neighbours', () => {
	it('leaves settled ones alone and replaces those with another MAC or that can expire', () => {
		expect(diffNeighbours([gateway], [neighbour()], rules).replace).toEqual([]);
		for (const changes of [{ mac: Uint8Array.of(2, 0, 0, 0, 0, 9) }, { permanent: false, state: 2 }]) {
			expect(diffNeighbours([gateway], [neighbour(changes)], rules).replace).toMatchObject([
				{ kind: 'permanent', mac },
			]);
		}
	});

	it('lets the kernel manage next hops, or asks each time where it cannot', () => {
		const managed = neighbour({ ifindex: 2, address: '192.0.2.2', permanent: false, managed: true, extLearned: true });
		expect(diffNeighbours([nexthop], [], rules).replace).toMatchObject([{ kind: 'managed' }]);
		expect(diffNeighbours([nexthop], [managed], rules).replace).toEqual([]);
		expect(diffNeighbours([nexthop], [managed], { ...rules, canManage: false }).replace).toMatchObject([
			{ kind: 'use' },
		]);
	});

	it('removes stale ones of its own devices and managed ones of the uplink, and no others', () => {
		const existing = [
			neighbour({ address: '169.254.1.9' }),
			neighbour({ ifindex: 2, address: '192.0.2.9', permanent: false, managed: true, extLearned: true }),
			neighbour({ ifindex: 2, address: '192.0.2.10' }),
			neighbour({ ifindex: 2, address: '192.0.2.11', permanent: false }),
			neighbour({ ifindex: 30, address: '10.1.0.5' }),
		];
		expect(diffNeighbours([], existing, rules).remove.map((each) => each.address)).toEqual([
			'169.254.1.9',
			'192.0.2.9',
		]);
	});
});
