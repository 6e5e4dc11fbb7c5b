import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { netlinkRequest } from '../../native/index.ts';
import {
	addAddress,
	addRoute,
	addVeth,
	addVxlan,
	deleteAddress,
	deleteLink,
	deleteLinkGroup,
	deleteNeighbour,
	deleteRoute,
	Netlink,
	type NetlinkMessage,
	ROUTE_PROTOCOL_FAIRLEAD,
	replaceNeighbour,
	replaceRoute,
	setLink,
} from './netlink.ts';

const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8', timeout: 60_000 });
const mac = (last: number): Uint8Array => Uint8Array.of(2, 0, 0, 0, 0, last);
const MAIN = 254;

let names: { a: string; b: string };
let netlink: Netlink;

beforeEach(() => {
	const unique = `flnl${process.pid}x${Math.trunc(performance.now())}`;
	names = { a: `${unique}a`, b: `${unique}b` };
	ip('netns', 'add', names.a);
	ip('netns', 'add', names.b);
	netlink = new Netlink({ request: netlinkRequest, netns: `/run/netns/${names.a}` });
});

afterEach(() => {
	ip('netns', 'del', names.a);
	ip('netns', 'del', names.b);
});

async function addPair(name = 'fl1', group = 0): Promise<number> {
	const fd = openSync(`/run/netns/${names.b}`, 'r');
	try {
		const side = { name, mac: mac(1), mtu: 1400, group };
		await netlink.apply([addVeth(side, { name: `p${name}`, mac: mac(2), mtu: 1400, netns: { fd } })]);
	} finally {
		closeSync(fd);
	}
	return (await netlink.link({ name }))?.ifindex ?? 0;
}

describe('links', () => {
	it('have one queue on either side, whatever number of CPUs there is', async () => {
		await addPair('fl1');
		for (const [netns, device] of [
			[names.a, 'fl1'],
			[names.b, 'pfl1'],
		] as const) {
			expect(ip('-d', '-n', netns, 'link', 'show', device)).toContain('numtxqueues 1 numrxqueues 1 ');
		}
	});

	it('make a veth pair with its peer in another namespace, and tell what it is', async () => {
		const ifindex = await addPair('fl1', 7);
		await netlink.apply([setLink({ ifindex }, { up: true, alias: 'pod a/b' })]);
		const link = await netlink.link({ ifindex });
		expect(link).toMatchObject({
			name: 'fl1',
			up: true,
			mtu: 1400,
			mac: mac(1),
			kind: 'veth',
			group: 7,
			alias: 'pod a/b',
		});
		const peer = await netlink.in(`/run/netns/${names.b}`).link({ name: 'pfl1' });
		expect(peer).toMatchObject({ ifindex: link?.peerIfindex, peerIfindex: ifindex, mac: mac(2), mtu: 1400 });
		expect(link?.peerNetnsId).toBeDefined();
	});

	it('are changed in one namespace and then in another, and say where the kernel refused', async () => {
		const ifindex = await addPair();
		const other = netlink.in(`/run/netns/${names.b}`);
		const up = setLink({ ifindex }, { up: true });
		const [here, there] = [
			(m: NetlinkMessage) => ({ netlink, messages: [m] }),
			(m: NetlinkMessage) => ({ netlink: other, messages: [m] }),
		];
		await netlink.applyInTurn([here(up), there(setLink({ name: 'pfl1' }, { up: true })), here(up)]);
		expect(await netlink.link({ ifindex })).toMatchObject({ up: true, carrier: true });

		const missing = setLink({ name: 'none' }, { up: true });
		const refused = (netns: string) => `none up in /run/netns/${netns}: ENODEV`;
		await expect(netlink.applyInTurn([here(missing), there(missing)])).rejects.toThrow(refused(names.a));
		await expect(netlink.applyInTurn([here(up), there(missing)])).rejects.toThrow(refused(names.b));
		const tolerated = { ...missing, tolerate: ['ENODEV'] };
		await netlink.applyInTurn([here(tolerated), there(tolerated)]);
		await netlink.applyInTurn([]);
	});

	it('refuse a taken name, change nothing, and say what the kernel said', async () => {
		await addPair();
		const again = addVeth({ name: 'fl1' }, { name: 'other' });
		await expect(netlink.apply([again])).rejects.toMatchObject({
			code: 'NETLINK_REFUSED',
			fields: { errno: 'EEXIST' },
			message: expect.stringMatching(/^cannot add veth pair fl1 with peer other in .*: EEXIST/),
		});
		expect((await netlink.links('veth')).map((link) => link.name)).toEqual(['fl1']);
	});

	it('send every message although one before was refused, and tolerate what they say they do', async () => {
		const ifindex = await addPair();
		const missing = deleteLink({ name: 'none' });
		await netlink.apply([{ ...missing, tolerate: ['ENODEV'] }, setLink({ ifindex }, { mtu: 1300 })]);
		await expect(netlink.apply([missing, setLink({ ifindex }, { mtu: 1200 })])).rejects.toThrow('ENODEV');
		expect((await netlink.link({ ifindex }))?.mtu).toBe(1200);
	});

	it('make VXLAN devices with the key of each packet or one of their own', async () => {
		await netlink.apply([
			addVxlan({ name: 'v0', port: 8472, collectMetadata: true, mtu: 1450, mac: mac(9) }),
			addVxlan({ name: 'v1', port: 4789, collectMetadata: false, vni: 77 }),
		]);
		const found = await netlink.links('vxlan');
		expect(found.map(({ name, vxlan }) => [name, vxlan])).toEqual([
			['v0', { vni: 0, port: 8472, collectMetadata: true }],
			['v1', { vni: 77, port: 4789, collectMetadata: false }],
		]);
		expect(ip('-n', names.a, '-d', 'link', 'show', 'dev', 'v0')).toMatch(/external.*nolearning|nolearning.*external/);
	});

	it('tell what they belong to', async () => {
		const ifindex = await addPair();
		expect((await netlink.link({ ifindex }))?.masterIfindex).toBeUndefined();
		ip('-n', names.a, 'link', 'add', 'br0', 'type', 'bridge');
		ip('-n', names.a, 'link', 'set', 'fl1', 'master', 'br0');
		expect((await netlink.link({ ifindex }))?.masterIfindex).toBe((await netlink.link({ name: 'br0' }))?.ifindex);
	});

	it('remove a whole group at once and nothing else', async () => {
		for (const name of ['fl1', 'fl2', 'fl3']) await addPair(name, name === 'fl3' ? 0 : 4711);
		await netlink.apply([deleteLinkGroup(4711)]);
		expect((await netlink.links('veth')).map((link) => link.name)).toEqual(['fl3']);
		await expect(netlink.apply([deleteLinkGroup(4711)])).rejects.toThrow('ENODEV');
	});

	it('can go without a link-local address', async () => {
		const ifindex = await addPair();
		await netlink.apply([setLink({ ifindex }, { ipv6AddressMode: 'none' }), setLink({ ifindex }, { up: true })]);
		const other = netlink.in(`/run/netns/${names.b}`);
		await other.apply([setLink({ name: 'pfl1' }, { up: true })]);
		expect((await netlink.addresses()).filter((each) => each.ifindex === ifindex)).toEqual([]);
		expect((await other.addresses()).some((each) => each.address.startsWith('fe80::'))).toBe(true);
	});

	it('are undefined when there is none of that name', async () => {
		expect(await netlink.link({ name: 'none' })).toBeUndefined();
		expect(await netlink.link({ ifindex: 4242 })).toBeUndefined();
	});
});

describe('addresses, routes and neighbours', () => {
	let ifindex: number;
	beforeEach(async () => {
		ifindex = await addPair();
		await netlink.apply([setLink({ ifindex }, { up: true })]);
		await netlink.in(`/run/netns/${names.b}`).apply([setLink({ name: 'pfl1' }, { up: true })]);
	});

	it('come back as they were written', async () => {
		const four = { ifindex, address: '10.9.0.1', prefixLength: 24 };
		const six = { ifindex, address: 'fd09::1', prefixLength: 64, nodad: true };
		await netlink.apply([addAddress(four), addAddress(six), addAddress(six)]);
		const found = (await netlink.addresses()).filter((each) => each.scope === 0);
		expect(found).toMatchObject([
			{ ...four, family: 4 },
			{ ifindex, address: 'fd09::1', prefixLength: 64, family: 6, tentative: false },
		]);
		await netlink.apply([deleteAddress(four)]);
		await expect(netlink.apply([deleteAddress(four)])).rejects.toThrow('EADDRNOTAVAIL');
	});

	it('tell those that others go before', async () => {
		for (const address of ['10.9.0.1/24', '10.9.0.2/24', '10.8.0.1/24']) {
			ip('-n', names.a, 'address', 'add', address, 'dev', 'fl1');
		}
		ip('-n', names.a, 'address', 'add', 'fd09::1/64', 'dev', 'fl1', 'nodad', 'preferred_lft', '0');
		ip('-n', names.a, 'address', 'add', 'fd09::2/64', 'dev', 'fl1', 'nodad');
		const found = (await netlink.addresses()).filter((each) => each.ifindex === ifindex && each.scope === 0);
		expect(found.filter(({ secondary }) => secondary).map(({ address }) => address)).toEqual(['10.9.0.2', 'fd09::1']);
		expect(found).toHaveLength(5);
	});

	it('name all interfaces of a route with several next hops', async () => {
		const other = await addPair('fl2');
		ip('-n', names.a, 'link', 'set', 'fl2', 'up');
		const hops = (to: string[]) => ['fl1', 'fl2'].flatMap((dev) => ['nexthop', ...to, 'dev', dev]);
		ip('-n', names.a, 'route', 'add', 'default', ...hops([]));
		ip('-n', names.a, '-6', 'route', 'add', 'default', ...hops(['via', 'fe80::1']));
		for (const family of [4, 6] as const) {
			const routes = (await netlink.routes(family)).filter(({ dst }) => dst === (family === 4 ? '0.0.0.0/0' : '::/0'));
			const named = routes.flatMap((route) => [...(route.ifindexes ?? []), route.ifindex ?? 0]);
			expect(named).toEqual(expect.arrayContaining([ifindex, other]));
		}
	});

	it('hold onlink gateways, sources, MTUs, metrics, tables and unreachable destinations', async () => {
		await netlink.apply([addAddress({ ifindex, address: '10.9.0.1', prefixLength: 32 })]);
		const routes = [
			{ dst: '10.1.0.0/24', ifindex, gateway: '192.0.2.1', onlink: true, source: '10.9.0.1', mtu: 1300 },
			{ dst: '10.2.0.0/24', type: 'unreachable' as const },
			{ dst: '10.3.0.7/32', ifindex },
			{ dst: '10.4.0.0/24', ifindex, table: 1000, priority: 50 },
			{ dst: '0.0.0.0/0', ifindex, gateway: '192.0.2.1', onlink: true },
		];
		await netlink.apply(routes.map(replaceRoute));
		const found = (await netlink.routes(4)).filter((route) => route.protocol === ROUTE_PROTOCOL_FAIRLEAD);
		const of = (dst: string) => found.find((route) => route.dst === dst);
		expect(of('10.1.0.0/24')).toMatchObject({
			gateway: '192.0.2.1',
			onlink: true,
			source: '10.9.0.1',
			mtu: 1300,
			table: MAIN,
		});
		expect(of('10.2.0.0/24')).toMatchObject({ type: 7 });
		expect(of('10.3.0.7/32')).toMatchObject({ ifindex, scope: 253 });
		expect(of('10.4.0.0/24')).toMatchObject({ table: 1000, priority: 50 });
		expect(of('0.0.0.0/0')).toMatchObject({ gateway: '192.0.2.1' });
		expect(ip('-n', names.a, 'route', 'show', '10.1.0.0/24')).toContain(
			'via 192.0.2.1 dev fl1 proto 160 src 10.9.0.1 onlink mtu 1300',
		);
	});

	it('are replaced, added once and removed once', async () => {
		const route = { dst: 'fd01::/64', ifindex, mtu: 1300 };
		await netlink.apply([replaceRoute(route), replaceRoute({ ...route, mtu: 1280 })]);
		const found = (await netlink.routes(6)).filter((each) => each.dst === route.dst);
		expect(found).toMatchObject([{ mtu: 1280, family: 6 }]);
		await expect(netlink.apply([addRoute(route)])).rejects.toThrow('EEXIST');
		await netlink.apply([deleteRoute(route)]);
		await expect(netlink.apply([deleteRoute(route)])).rejects.toThrow('ESRCH');
	});

	it('hold permanent neighbours and those that the kernel keeps fresh', async () => {
		const permanent = { ifindex, address: '10.9.0.2', mac: mac(3), kind: 'permanent' as const };
		await netlink.apply([
			replaceNeighbour(permanent),
			replaceNeighbour({ ...permanent, mac: mac(4) }),
			replaceNeighbour({ ifindex, address: 'fd09::2', kind: 'managed' }),
			replaceNeighbour({ ifindex, address: '10.9.0.3', kind: 'use' }),
		]);
		const four = await netlink.neighbours(4);
		expect(four.find((each) => each.address === '10.9.0.2')).toMatchObject({
			mac: mac(4),
			permanent: true,
			managed: false,
		});
		expect(four.find((each) => each.address === '10.9.0.3')).toMatchObject({ permanent: false });
		const six = (await netlink.neighbours(6)).find((each) => each.address === 'fd09::2');
		expect(six).toMatchObject({ managed: true, extLearned: true });
		await netlink.apply([deleteNeighbour(permanent)]);
		await expect(netlink.apply([deleteNeighbour(permanent)])).rejects.toThrow('ENOENT');
	});
});

describe('a namespace that is not there', () => {
	it('is an error of the call, not of a message', async () => {
		await expect(netlink.in('/run/netns/none').links()).rejects.toMatchObject({ code: 'ENOENT' });
	});
});
