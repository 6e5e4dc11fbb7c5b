/** Devices, routes and neighbours on the real kernel, inside a namespace, seen through iproute2. */
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GSO_IPV4, isKernelSince, RENAMES_LIVE } from '../../test/lib/kernel-version.ts';
import { NetnsProcess } from '../../test/lib/netns-process.ts';
import { GSO_BYTES } from '../model/node-facts.ts';
import type { RoutePlan, RoutingPlan } from '../plan/routing-plan.ts';
import type { Devices } from './devices.ts';
import type { RoutingReport } from './executor.ts';

const UPLINK = 10;
const OVERLAY = { vni: 1, port: 8472, mtu: 1450 };
let node: NetnsProcess;

beforeEach(async () => {
	node = new NetnsProcess(join(import.meta.dirname, 'testdata/routing-process.ts'));
	await ip('link', 'add', 'eth0', 'index', `${UPLINK}`, 'type', 'veth', 'peer', 'name', 'far');
	for (const [device, address] of [
		['eth0', '192.0.2.1/24'],
		['eth0', '2001:db8::1/64'],
	]) {
		await ip('address', 'add', address!, 'dev', device!, ...(address!.includes(':') ? ['nodad'] : []));
	}
	for (const device of ['lo', 'eth0', 'far']) await ip('link', 'set', device, 'up');
});
afterEach(() => node.close());

const ip = (...args: string[]): Promise<string> => node.call('ip', ...args);
const json = async (...args: string[]): Promise<Record<string, unknown>[]> =>
	JSON.parse(await ip('-json', '-details', ...args));
const ensure = (overlay: RoutingPlan['overlay'] = OVERLAY): Promise<Devices> =>
	node.call('ensure', { overlay, hostMtu: 1450 });
const apply = (plan: RoutingPlan): Promise<RoutingReport> => node.call('apply', plan, UPLINK);
const route = (dst: string, changes: Partial<RoutePlan> = {}): RoutePlan => {
	const family = dst.includes(':') ? 6 : 4;
	return {
		dst,
		family,
		type: 'unicast',
		device: 'overlay',
		gateway: family === 4 ? '169.254.1.1' : 'fe80::1',
		onlink: true,
		source: family === 4 ? '192.0.2.1' : '2001:db8::1',
		mtu: null,
		reason: '',
		...changes,
	};
};
const nothing = { device: null, gateway: null, onlink: false, source: null } as const;
const PLAN: RoutingPlan = {
	overlay: OVERLAY,
	podMtu: 1450,
	podGso: GSO_BYTES.usual,
	routes: [
		route('10.1.2.0/24'),
		route('fd00:2::/64'),
		route('10.96.0.0/16', { device: 'host' }),
		route('fd00:96::/108', { device: 'host' }),
		route('10.1.3.0/24', { device: 'uplink', gateway: '192.0.2.2', onlink: false }),
		route('10.1.1.0/24', { ...nothing, type: 'unreachable' }),
		route('fd00:1::/64', { ...nothing, type: 'unreachable' }),
	],
	neighbours: [
		{ device: 'host', address: '169.254.1.1', kind: 'permanent' },
		{ device: 'host', address: 'fe80::1', kind: 'permanent' },
		{ device: 'overlay', address: '169.254.1.1', kind: 'permanent' },
		{ device: 'overlay', address: 'fe80::1', kind: 'permanent' },
		{ device: 'uplink', address: '192.0.2.2', kind: 'managed' },
	],
	paths: [],
	problems: [],
};
const EMPTY: RoutingPlan = { ...PLAN, routes: [], neighbours: [] };

describe('devices', () => {
	it('makes the VXLAN device and the host pair once, and finds them the next time', async () => {
		const first = await ensure();
		expect(first.made).toEqual(['fl_vxlan', 'fl_host']);
		expect(first.overlay).toMatchObject({
			kind: 'vxlan',
			mtu: 1450,
			up: true,
			vxlan: { port: 8472, collectMetadata: true },
		});
		expect(first.host).toMatchObject({ kind: 'veth', mtu: 1450, up: true, peerIfindex: first.hostPeer.ifindex });
		const [vxlan] = await json('link', 'show', 'fl_vxlan');
		expect(vxlan).toMatchObject({ linkinfo: { info_data: { external: true, learning: false, port: 8472 } } });
		const second = await ensure();
		expect(second.made).toEqual([]);
		expect([second.overlay?.ifindex, second.host.ifindex]).toEqual([first.overlay?.ifindex, first.host.ifindex]);
	});

	it('keeps its devices free of addresses and open to sources that are routed elsewhere', async () => {
		await ensure();
		for (const device of ['fl_vxlan', 'fl_host', 'fl_host_peer']) {
			expect(await ip('-6', 'address', 'show', 'dev', device)).toBe('');
		}
		expect(await node.call('sysctl', 'net/ipv4/conf/fl_vxlan/rp_filter')).toBe('2');
		expect(await node.call('sysctl', 'net/ipv4/conf/fl_host/accept_local')).toBe('1');
		expect(await node.call('sysctl', 'net/ipv6/conf/fl_host/accept_ra')).toBe('0');
	});

	it('repairs an MTU or a device that is down in place, and half a pair or another port by making it anew', async () => {
		const first = await ensure();
		await ip('link', 'set', 'fl_vxlan', 'mtu', '1400', 'down');
		await ip('link', 'set', 'fl_host', 'down');
		const repaired = await ensure();
		expect(repaired).toMatchObject({
			made: [],
			overlay: { mtu: 1450, up: true, ifindex: first.overlay?.ifindex },
			host: { up: true },
		});
		const moved = await ensure({ ...OVERLAY, port: 4789 });
		expect(moved).toMatchObject({ made: ['fl_vxlan'], overlay: { vxlan: { port: 4789 } } });
		await ip('link', 'del', 'fl_host');
		await ip('link', 'add', 'fl_host', 'type', 'veth', 'peer', 'stray');
		expect((await ensure({ ...OVERLAY, port: 4789 })).made).toEqual(['fl_host']);
	});

	it('removes the VXLAN device when no tunnel is wanted', async () => {
		await ensure();
		expect(await ensure(null)).toMatchObject({ overlay: null, made: [], retired: [{ name: 'fl_vxlan' }] });
		await apply(EMPTY);
		await expect(ip('link', 'show', 'fl_vxlan')).rejects.toThrow();
		expect((await ensure(null)).retired).toEqual([]);
	});

	it('refuses a name that something else has', async () => {
		await ip('link', 'add', 'fl_vxlan', 'type', 'bridge');
		await expect(ensure()).rejects.toThrow(
			/cannot use device fl_vxlan as a VXLAN device: it exists and is of kind bridge/,
		);
	});
});

describe('uplinks', () => {
	it.skipIf(!isKernelSince(GSO_IPV4))(
		'send as much in one piece as pods do, and say what they sent before',
		async () => {
			await ensure();
			const { changes, settings } = await apply({ ...EMPTY, podGso: GSO_BYTES.big });
			expect(changes).toEqual([`set link #${UPLINK} gso_ipv4_max_size ${GSO_BYTES.big}`]);
			const path = ['link', 'eth0', 'gso_ipv4_max_size'];
			expect(settings).toEqual([{ path, value: `${GSO_BYTES.big}`, found: `${GSO_BYTES.usual}` }]);
			expect(await apply({ ...EMPTY, podGso: GSO_BYTES.big })).toEqual({ changes: [], failures: [], settings: [] });
			expect((await apply(EMPTY)).changes).toEqual([]);
		},
	);

	it('are left alone when pods send no more than they do', async () => {
		await ensure();
		expect(await apply(EMPTY)).toEqual({ changes: [], failures: [], settings: [] });
	});
});

describe('routes and neighbours', () => {
	it('are as planned, and applying the plan again changes nothing', async () => {
		const devices = await ensure();
		const report = await apply(PLAN);
		expect(report.failures).toEqual([]);
		expect(report.changes).toHaveLength(PLAN.routes.length + PLAN.neighbours.length);
		expect(await ip('route', 'show', 'proto', '160')).toBe(
			[
				'unreachable 10.1.1.0/24 ',
				'10.1.2.0/24 via 169.254.1.1 dev fl_vxlan src 192.0.2.1 onlink ',
				'10.1.3.0/24 via 192.0.2.2 dev eth0 src 192.0.2.1 ',
				'10.96.0.0/16 via 169.254.1.1 dev fl_host src 192.0.2.1 onlink ',
				'',
			].join('\n'),
		);
		expect(await ip('-6', 'route', 'show', 'proto', '160')).toMatch(
			/fd00:2::\/64 via fe80::1 dev fl_vxlan src 2001:db8::1 .*onlink/,
		);
		expect(await ip('neigh', 'show', 'dev', 'fl_vxlan')).toMatch(
			/169\.254\.1\.1 lladdr 0a:fa:1e:ad:00:01 router PERMANENT/,
		);
		expect(await ip('-6', 'neigh', 'show', 'dev', 'fl_host')).toContain(
			Buffer.from(devices.hostPeer.mac).toString('hex', 5),
		);
		expect(await ip('neigh', 'show', 'dev', 'eth0')).toMatch(
			/192\.0\.2\.2 .*managed extern_learn|192\.0\.2\.2 .*extern_learn.*managed/,
		);
		expect(await apply(PLAN)).toEqual({ changes: [], failures: [], settings: [] });
	});

	it('sends what is routed to services and other pods with the node address as source', async () => {
		await ensure();
		await apply(PLAN);
		expect(await ip('route', 'get', '10.96.0.10')).toMatch(/dev fl_host src 192\.0\.2\.1/);
		expect(await ip('-6', 'route', 'get', 'fd00:2::5')).toMatch(/dev fl_vxlan .*src 2001:db8::1/);
		await expect(ip('route', 'get', '10.1.1.77')).rejects.toThrow();
	});

	it('changes a route in place when its device or type does, and removes what is no longer planned', async () => {
		await ensure();
		await apply(PLAN);
		const moved = PLAN.routes.map((each) =>
			each.dst === '10.1.2.0/24' || each.dst === 'fd00:1::/64'
				? route(each.dst, { device: 'uplink', gateway: each.family === 4 ? '192.0.2.2' : '2001:db8::2', onlink: false })
				: each,
		);
		const report = await apply({ ...PLAN, routes: moved.filter((each) => each.dst !== '10.1.3.0/24') });
		expect(report.failures).toEqual([]);
		expect(report.changes).toHaveLength(3);
		expect(await ip('route', 'show', '10.1.2.0/24')).toMatch(/dev eth0/);
		expect(await ip('-6', 'route', 'show', 'fd00:1::/64')).toMatch(/^fd00:1::\/64 via 2001:db8::2 dev eth0[^\n]*\n$/);
		expect(await ip('route', 'show', '10.1.3.0/24')).toBe('');
	});

	/** Pods of another node, IPv4 and IPv6. */
	const FAR = ['10.1.2.5', 'fd00:2::5'];
	const sent = (): Promise<{ sent: number; errors: string[] }> => node.call('sent');

	/** Sends to pods of another node while something is done. */
	async function expectNoErrors(action: () => Promise<unknown>): Promise<void> {
		await node.call('send', FAR);
		const sends = (least: number) =>
			expect.poll(async () => (await sent()).sent, { timeout: 60_000 }).toBeGreaterThan(least);
		await sends(100);
		await action();
		await sends((await sent()).sent + 100);
		expect((await sent()).errors).toEqual([]);
	}

	it.skipIf(!isKernelSince(RENAMES_LIVE))(
		'carry on while the overlay device is made anew for another port',
		async () => {
			const { overlay: first } = await ensure();
			await apply(PLAN);
			const overlay = { ...OVERLAY, port: 4789 };
			await expectNoErrors(async () => {
				const { made, overlay: second, retired } = await ensure(overlay);
				expect({ made, retired }).toMatchObject({ made: ['fl_vxlan'], retired: [{ ifindex: first?.ifindex }] });
				expect(await ip('route', 'show', '10.1.2.0/24')).toMatch(/dev fl_vxlan_old/);
				// an agent that was killed here leaves both to the next one
				expect(await ensure(overlay)).toMatchObject({ made: [], overlay: second, retired });
				expect((await apply({ ...PLAN, overlay })).failures).toEqual([]);
			});
			expect(await ip('route', 'show', '10.1.2.0/24')).toMatch(/dev fl_vxlan /);
			expect(await ip('-6', 'route', 'show', 'fd00:2::/64')).toMatch(/dev fl_vxlan /);
			expect((await json('link', 'show', 'type', 'vxlan')).map(({ ifname }) => ifname)).toEqual(['fl_vxlan']);
			expect(await ensure(overlay)).toMatchObject({ made: [], retired: [] });
		},
	);

	it('carry on while the uplink takes the place of the overlay device', async () => {
		await ensure();
		await apply(PLAN);
		const direct = PLAN.routes.map((each): RoutePlan => {
			const gateway = each.family === 4 ? '192.0.2.2' : '2001:db8::2';
			return each.device === 'overlay' ? { ...each, device: 'uplink', gateway, onlink: false } : each;
		});
		await ip('neigh', 'replace', '192.0.2.2', 'lladdr', '02:00:00:00:00:09', 'dev', 'eth0');
		await ip('neigh', 'replace', '2001:db8::2', 'lladdr', '02:00:00:00:00:09', 'dev', 'eth0');
		await expectNoErrors(async () => {
			await ensure(null);
			await apply({ ...PLAN, overlay: null, routes: direct, neighbours: [] });
		});
		expect(await json('link', 'show', 'type', 'vxlan')).toEqual([]);
	});

	it.each([
		{ title: 'with the new one', kill: [] },
		{ title: 'before the new one was there', kill: ['link', 'del', 'fl_vxlan'] },
	])('get a device with the old port when an agent was killed $title', async ({ kill }) => {
		await ensure();
		await apply(PLAN);
		await ensure({ ...OVERLAY, port: 4789 });
		if (kill.length > 0) await ip(...kill);
		expect(await ensure()).toMatchObject({ made: ['fl_vxlan'], overlay: { vxlan: { port: 8472 } } });
		expect((await apply(PLAN)).failures).toEqual([]);
		expect(await ip('route', 'show', '10.1.2.0/24')).toMatch(/dev fl_vxlan /);
		expect((await json('link', 'show', 'type', 'vxlan')).map(({ ifname }) => ifname)).toEqual(['fl_vxlan']);
	});

	it('repairs what somebody else has removed or changed', async () => {
		await ensure();
		await apply(PLAN);
		await ip('route', 'del', '10.1.2.0/24');
		await ip('neigh', 'replace', '169.254.1.1', 'lladdr', '02:00:00:00:00:09', 'dev', 'fl_vxlan');
		expect((await apply(PLAN)).changes).toHaveLength(2);
		expect(await apply(PLAN)).toEqual({ changes: [], failures: [], settings: [] });
	});

	it('keep a next hop current although nobody asks for it and its MAC changes', { timeout: 40_000 }, async () => {
		const far = `flrtfar${process.pid}`;
		await ip('netns', 'add', far);
		try {
			await ip('link', 'set', 'far', 'netns', far);
			await ip('-n', far, 'address', 'add', '192.0.2.2/24', 'dev', 'far');
			await ip('-n', far, 'link', 'set', 'far', 'address', '02:00:00:00:00:11', 'up');
			await node.call('setSysctl', 'net/ipv4/neigh/eth0/interval_probe_time_ms', '500');
			await node.call('setSysctl', 'net/ipv4/neigh/eth0/base_reachable_time_ms', '500');
			await ensure();
			await apply(PLAN);
			const mac = async (): Promise<unknown> => (await json('neigh', 'show', '192.0.2.2', 'dev', 'eth0'))[0]?.lladdr;
			await expect.poll(mac, { timeout: 60_000 }).toBe('02:00:00:00:00:11');
			await ip('-n', far, 'link', 'set', 'far', 'address', '02:00:00:00:00:22');
			await expect.poll(mac, { timeout: 60_000 }).toBe('02:00:00:00:00:22');
		} finally {
			await ip('netns', 'del', far);
		}
	});

	it('leaves routes of pods and of others alone', async () => {
		await ensure();
		await ip('route', 'add', '10.1.1.5/32', 'dev', 'fl_host', 'proto', '160');
		await ip('route', 'add', '203.0.113.0/24', 'via', '192.0.2.2');
		await apply(PLAN);
		expect(await apply(EMPTY)).toMatchObject({ failures: [] });
		expect(await ip('route', 'show', '10.1.1.5')).toMatch(/dev fl_host/);
		expect(await ip('route', 'show', '203.0.113.0/24')).toMatch(/via 192\.0\.2\.2/);
		expect(await ip('neigh', 'show', 'dev', 'eth0')).not.toMatch(/managed/);
	});

	it('reports what the kernel refuses and applies the rest', async () => {
		await ensure();
		const bad = route('10.1.9.0/24', { source: '198.51.100.1' });
		const report = await apply({ ...PLAN, routes: [bad, ...PLAN.routes] });
		expect(report.failures).toEqual([{ what: expect.stringContaining('10.1.9.0/24'), why: 'EINVAL' }]);
		expect(await ip('route', 'get', '10.96.0.10')).toMatch(/dev fl_host/);
		await ensure(null);
		const without = await apply(PLAN);
		expect(without.failures).toContainEqual({ what: 'add route 10.1.2.0/24', why: 'there is no overlay device' });
	});

	it('removes everything of its own and nothing else', async () => {
		await ensure();
		await apply(PLAN);
		await node.call('remove');
		expect(await ip('route', 'show', 'proto', '160')).toBe('');
		expect(await ip('-6', 'route', 'show', 'proto', '160')).toBe('');
		expect((await json('link')).map((link) => link.ifname).sort()).toEqual(['eth0', 'far', 'lo']);
	});
});

describe('the node', () => {
	it('forwards, and an uplink that learns routes by router advertisement goes on doing so', async () => {
		expect(await node.call('forward', 'eth0')).toContain('net/ipv4/ip_forward');
		expect(await node.call('sysctl', 'net/ipv4/ip_forward')).toBe('1');
		expect(await node.call('sysctl', 'net/ipv6/conf/all/forwarding')).toBe('1');
		expect(await node.call('sysctl', 'net/ipv6/conf/eth0/accept_ra')).toBe('2');
		expect(await node.call('forward', 'eth0')).toEqual([]);
	});

	it('forwards by further uplinks too, one of which may be gone', async () => {
		await node.call('forward', 'eth0');
		expect(await node.call('forward', 'eth0', 'far', 'gone0')).toEqual(['net/ipv6/conf/far/accept_ra']);
		expect(await node.call('sysctl', 'net/ipv6/conf/far/accept_ra')).toBe('2');
	});

	it('knows its uplink and addresses', async () => {
		expect(await node.call('uplink', 'auto', ['2001:db8::1'])).toMatchObject({
			uplink: { name: 'eth0', ifindex: UPLINK },
		});
		expect(await node.call('addresses')).toEqual(['192.0.2.1', '2001:db8::1']);
	});
});
