import { describe, expect, it } from 'vitest';
import type { LinkInfo, NeighbourInfo, RouteInfo } from '../kernel/netlink.ts';
import { type CleanupFacts, formatAction, planCleanup } from './cleanup-plan.ts';

const PATHS = {
	conflist: '/etc/cni/net.d/05-fairlead.conflist',
	asideConflist: '/etc/cni/net.d/05-fairlead.conflist.aside',
	executable: '/opt/cni/bin/fairlead-cni',
	bpffsDir: '/sys/fs/bpf/fairlead',
	runDir: '/run/fairlead',
	stateDir: '/var/lib/fairlead',
};

const NOTHING: CleanupFacts = {
	links: [],
	routes: [],
	neighbours: [],
	attached: [],
	attachments: [],
	settings: [],
	paths: [],
	otherConfigurations: [],
};

const link = (ifindex: number, name: string, kind = 'veth'): LinkInfo => ({
	ifindex,
	name,
	kind,
	up: true,
	carrier: true,
	mtu: 1500,
	mac: new Uint8Array(6),
	group: 0,
	alias: '',
	type: 1,
});

const route = (over: Partial<RouteInfo>): RouteInfo => ({
	...({ table: 254, type: 1, protocol: 160 } as RouteInfo),
	...over,
});
const neighbour = (over: Partial<NeighbourInfo>): NeighbourInfo =>
	({ ifindex: 2, permanent: false, managed: true, extLearned: true, ...over }) as NeighbourInfo;

const plan = (facts: Partial<CleanupFacts>, withState = false): string[] =>
	planCleanup({ ...NOTHING, ...facts }, PATHS, withState).actions.map(formatAction);
const notes = (facts: Partial<CleanupFacts>): string =>
	planCleanup({ ...NOTHING, ...facts }, PATHS, false).notes.join('\n');

describe('clean-up plan', () => {
	it('is empty on a node that Fairlead has never been on', () => {
		expect(plan({})).toEqual([]);
		expect(notes({})).toBe('');
	});

	it('takes away in an order in which an interrupted run can go on', () => {
		const facts = {
			paths: Object.values(PATHS),
			links: [
				link(7, 'fl0123456789a'),
				link(8, 'fl_vxlan', 'vxlan'),
				link(9, 'fl_host'),
				link(10, 'fl_host_peer'),
				link(11, 'fl_dns'),
				link(12, 'fl_vxlan_old', 'vxlan'),
			],
			attached: ['uplink_2_ingress'],
		};
		expect(plan(facts, true)).toEqual([
			'remove /etc/cni/net.d/05-fairlead.conflist',
			'remove /etc/cni/net.d/05-fairlead.conflist.aside',
			'delete interface fl0123456789a (no pod)',
			'detach program uplink_2_ingress',
			'delete interface fl_vxlan (node)',
			'delete interface fl_host (node)',
			'delete interface fl_dns (node)',
			'delete interface fl_vxlan_old (node)',
			'remove /sys/fs/bpf/fairlead',
			'remove /opt/cni/bin/fairlead-cni',
			'remove /run/fairlead',
			'remove /var/lib/fairlead',
		]);
	});

	it('leaves interfaces, routes and neighbours of others', () => {
		const links = [link(2, 'eth0', ''), link(3, 'flannel.1', 'vxlan'), link(4, 'veth01234567'), link(5, 'fl_hostess')];
		const routes = [
			route({ dst: '10.1.0.0/24', protocol: 3, ifindex: 2, gateway: '192.0.2.2' }),
			route({ dst: '10.2.0.0/24', ifindex: 2, gateway: '192.0.2.3' }),
			route({ dst: '10.3.0.0/24', type: 7 }),
		];
		const neighbours = [
			neighbour({ address: '192.0.2.2' }),
			neighbour({ address: '192.0.2.3' }),
			neighbour({ address: '192.0.2.3', managed: false }),
			neighbour({ address: '192.0.2.3', ifindex: 3 }),
		];
		expect(plan({ links, routes, neighbours })).toEqual([
			'delete route 10.2.0.0/24',
			'delete route 10.3.0.0/24',
			'delete neighbour 192.0.2.3',
		]);
	});

	it('names no route that goes with its interface', () => {
		const links = [link(7, 'fl0123456789a')];
		expect(plan({ links, routes: [route({ dst: '10.1.0.5/32', ifindex: 7 })] })).toEqual([
			'delete interface fl0123456789a (no pod)',
		]);
	});

	it('gives settings back as they were found, but not those that somebody has changed since', () => {
		const settings = [
			{ path: 'net/ipv4/ip_forward', found: '0', set: '1', now: '1' },
			{ path: 'net/ipv6/conf/all/forwarding', found: '0', set: '1', now: '2' },
			{ path: 'net/ipv6/conf/eth0/accept_ra', found: '1', set: '2', now: '1' },
			{ path: 'net/ipv6/conf/gone/accept_ra', found: '1', set: '2', now: undefined },
		];
		expect(plan({ settings })).toEqual(['set net/ipv4/ip_forward back to 0']);
		expect(notes({ settings })).toContain('net/ipv6/conf/all/forwarding is 2, which is not what was set here');
	});

	it('leaves the CNI executable while pods have to be ended with it', () => {
		const paths = [PATHS.executable, PATHS.stateDir];
		const attachment = { hostIfname: 'fl0123456789a', owner: 'shop/web' };
		expect(plan({ paths, attachments: [{ ...attachment, alive: true }] })).toEqual([]);
		expect(plan({ paths, attachments: [{ ...attachment, alive: false }] })).toEqual([
			'remove /opt/cni/bin/fairlead-cni',
		]);
		expect(notes({ paths, attachments: [{ ...attachment, alive: true }] })).toContain('started anew: shop/web');
	});

	it('says which CNI configuration comes next', () => {
		expect(notes({ paths: [PATHS.conflist] })).toContain('the node will be NotReady');
		expect(notes({ paths: [PATHS.conflist], otherConfigurations: ['/etc/cni/net.d/10-x.conflist'] })).toContain(
			'10-x.conflist is the next in force',
		);
	});
});
