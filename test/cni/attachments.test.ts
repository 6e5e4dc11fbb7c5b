import { readdirSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AttachRequest } from '../../agent/endpoints/endpoint-deps.ts';
import type { EndpointManager } from '../../agent/endpoints/endpoint-manager.ts';
import { eventually, sh, TestNode } from './harness.ts';

let node: TestNode;
let manager: EndpointManager;

beforeEach(async () => {
	node = new TestNode();
	manager = await node.manager();
	await manager.start();
});

afterEach(async () => {
	node.faults.arm(0, 'before');
	await node.destroy();
});

const request = (netns: string, more: Partial<AttachRequest> = {}): AttachRequest => ({
	containerId: 'c1',
	ifname: 'eth0',
	network: 'fairlead',
	netns,
	pod: { namespace: 'default', name: 'web', uid: 'u1' },
	hostPorts: [],
	...more,
});

const inPod = (netns: string, ...args: string[]): string => sh('nsenter', `--net=${netns}`, ...args);

describe('attach', () => {
	it('gives the pod addresses, a link-local gateway with a permanent neighbour, default routes and the MTU of the node', async () => {
		const netns = node.addPodNetns();
		const endpoint = await manager.attach(request(netns));
		expect(endpoint.addresses).toEqual(['10.77.0.1', 'fd77::1']);
		const shown = inPod(netns, 'ip', 'addr', 'show', 'dev', 'eth0');
		expect(shown).toContain('inet 10.77.0.1/32');
		expect(shown).toMatch(/inet6 fd77::1\/128 .*nodad/);
		expect(shown).not.toContain('tentative');
		expect(shown).toContain('state UP');
		expect(inPod(node.netns, 'ip', 'link', 'show', 'dev', endpoint.hostIfname)).toContain('state UP');
		expect(shown).not.toContain('fe80');
		expect(shown).toContain('mtu 1450');
		expect(shown).toContain(endpoint.mac);
		expect(inPod(netns, 'ip', 'route')).toContain('default via 169.254.1.1 dev eth0');
		expect(inPod(netns, 'ip', '-6', 'route')).toContain('default via fe80::1 dev eth0');
		const neighbours = inPod(netns, 'ip', 'neigh');
		expect(neighbours).toContain(`169.254.1.1 dev eth0 lladdr ${endpoint.hostMac} PERMANENT`);
		expect(neighbours).toMatch(new RegExp(`fe80::1 dev eth0 lladdr ${endpoint.hostMac} (router )?PERMANENT`));
	});

	it('gives the node a route and a permanent neighbour per address and closes the link to router advertisements', async () => {
		const endpoint = await manager.attach(request(node.addPodNetns()));
		const dev = endpoint.hostIfname;
		expect(inPod(node.netns, 'ip', 'route')).toContain(`10.77.0.1 dev ${dev}`);
		expect(inPod(node.netns, 'ip', '-6', 'route')).toContain(`fd77::1 dev ${dev}`);
		expect(inPod(node.netns, 'ip', 'neigh')).toContain(`10.77.0.1 dev ${dev} lladdr ${endpoint.mac} PERMANENT`);
		expect(inPod(node.netns, 'ip', '-6', 'addr', 'show', 'dev', dev)).not.toContain('fe80');
		for (const key of [
			`ipv6.conf.${dev}.accept_ra`,
			`ipv6.conf.${dev}.accept_redirects`,
			`ipv4.conf.${dev}.rp_filter`,
		]) {
			expect(inPod(node.netns, 'sysctl', '-n', `net.${key}`).trim(), key).toBe('0');
		}
		expect(inPod(node.netns, 'ip', 'link', 'show', 'dev', dev)).toContain('alias pod default/web');
	});

	it('lets node and pod reach each other through the stack for both families', async () => {
		const netns = node.addPodNetns();
		const endpoint = await manager.attach(request(netns));
		sh('ip', '-n', node.name, 'addr', 'add', '169.254.1.1/32', 'dev', endpoint.hostIfname);
		sh('ip', '-n', node.name, 'addr', 'add', 'fe80::1/64', 'dev', endpoint.hostIfname, 'nodad');
		inPod(node.netns, 'ping', '-c1', '-w15', '10.77.0.1');
		inPod(node.netns, 'ping', '-c1', '-w15', '-I', endpoint.hostIfname, 'fd77::1');
	});

	for (const [families, podCidrs] of [
		['IPv4', ['10.77.0.0/24']],
		['IPv6', ['fd77::/64']],
		['both', ['10.77.0.0/24', 'fd77::/64']],
	] as const) {
		it(`lets pods reach each other by the node's routes alone (${families})`, async () => {
			const other = await node.manager({ podCidrs });
			for (const key of ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding']) {
				inPod(node.netns, 'sysctl', '-qw', `${key}=1`);
			}
			const [from, to] = [node.addPodNetns(), node.addPodNetns()];
			await other.attach(request(from));
			const { addresses } = await other.attach(request(to, { containerId: 'c2' }));
			expect(addresses).toHaveLength(podCidrs.length);
			for (const address of addresses) inPod(from, 'ping', '-c1', '-w15', address);
		});
	}

	it('serves containers whose pod has the longest names', async () => {
		const pod = { namespace: 'n'.repeat(63), name: 'p'.repeat(253), uid: '' };
		const endpoint = await manager.attach(request(node.addPodNetns(), { pod, containerId: 'c'.repeat(1000) }));
		await manager.detach(endpoint);
	});

	it('does one thing at a time for one container', async () => {
		const netns = node.addPodNetns();
		const results = await Promise.allSettled([
			manager.attach(request(netns)),
			manager.attach(request(netns)),
			manager.detach(request(netns)),
			manager.attach(request(netns)),
			manager.detach(request(netns)),
		]);
		expect(results.map((result) => result.status)).toEqual([
			'fulfilled',
			'rejected',
			'fulfilled',
			'fulfilled',
			'fulfilled',
		]);
		expect(manager.list()).toEqual([]);
		await eventually(async () => expect(await node.veths()).toEqual([]));
	});

	it('writes the rows of the pod before its interface is up', async () => {
		const names: string[] = [];
		node.faults.arm(0, 'before');
		await manager.attach(request(node.addPodNetns()));
		names.push(...node.faults.names);
		const lastSet = names.lastIndexOf('set ipcache');
		expect(lastSet).toBeGreaterThan(0);
		expect(names.indexOf('attach programs')).toBeGreaterThan(lastSet);
		expect(names.indexOf('sysctl')).toBeGreaterThan(names.indexOf('attach programs'));
		expect(names.indexOf('netlink node, pod, node')).toBeGreaterThan(names.indexOf('attach programs'));
		expect(node.mapRows()).toEqual({ endpoints: 1, ipcache: 2, ifaces: 1 });
	});

	it('refuses a second attachment of the same container and leaves the first alone', async () => {
		const netns = node.addPodNetns();
		await manager.attach(request(netns));
		await expect(manager.attach(request(netns))).rejects.toMatchObject({ code: 'ENDPOINT_EXISTS' });
		expect(manager.list()).toHaveLength(1);
		expect(await node.veths()).toHaveLength(1);
	});

	it('refuses a namespace that already has such an interface and does not touch it', async () => {
		const netns = node.addPodNetns();
		inPod(netns, 'ip', 'link', 'add', 'eth0', 'type', 'vxlan', 'id', '7', 'dstport', '4789');
		await expect(manager.attach(request(netns))).rejects.toMatchObject({ code: 'ENDPOINT_EXISTS' });
		expect(inPod(netns, 'ip', '-d', 'link', 'show', 'dev', 'eth0')).toContain('vxlan');
		expect(await node.veths()).toEqual([]);
	});

	it('refuses what is no network namespace', async () => {
		await expect(manager.attach(request('/run/netns/none'))).rejects.toMatchObject({ code: 'NETNS_INVALID' });
		await expect(manager.attach(request('/etc/hostname'))).rejects.toMatchObject({ code: 'NETNS_INVALID' });
		await expect(manager.attach(request('/proc/self/ns/net'))).rejects.toMatchObject({ code: 'NETNS_INVALID' });
	});

	it('replaces an attachment whose namespace went away without DEL', async () => {
		const first = node.addPodNetns();
		const before = await manager.attach(request(first));
		node.removePodNetns(first);
		await eventually(async () => expect(await node.veths()).toEqual([]));
		const after = await manager.attach(request(node.addPodNetns()));
		expect(after.addresses).not.toEqual(before.addresses);
		expect(manager.list()).toHaveLength(1);
	});

	it('gives up when its caller goes away, leaving nothing', async () => {
		const gone = new AbortController();
		const identify = async () => {
			gone.abort(new Error('the caller went away'));
			return { identity: 300, identity6: 300, policySet: 0, isolated: false };
		};
		const other = await node.manager({ identify });
		const attempt = other.attach(request(node.addPodNetns(), { signal: gone.signal }));
		await expect(attempt).rejects.toMatchObject({ code: 'ENDPOINT_TIMEOUT' });
		expect(await node.veths()).toEqual([]);
		expect(readdirSync(node.ledgerDir)).toEqual([]);
	});

	it('attaches 30 pods at once with addresses and rows of their own', async () => {
		const requests = Array.from({ length: 30 }, (_, i) => request(node.addPodNetns(), { containerId: `c${i}` }));
		const endpoints = await Promise.all(requests.map((each) => manager.attach(each)));
		expect(new Set(endpoints.flatMap((e) => e.addresses)).size).toBe(60);
		expect(new Set(endpoints.map((e) => e.index)).size).toBe(30);
		await Promise.all(endpoints.map((e) => manager.detach(e)));
		await eventually(async () => expect(await node.veths()).toEqual([]));
		expect(node.mapRows()).toEqual({ endpoints: 0, ipcache: 0, ifaces: 0 });
		await eventually(() => expect(node.attached.size).toBe(0));
	});
});

describe('undo of a half-made attachment', () => {
	for (const when of ['before', 'after'] as const) {
		it(`leaves nothing when any step fails ${when} it took effect`, async () => {
			const netns = node.addPodNetns();
			node.faults.arm(0, when);
			await manager.attach(request(netns));
			const steps = [...node.faults.names];
			await manager.detach(request(netns));
			await eventually(async () => expect(await node.veths()).toEqual([]));
			expect(steps.length).toBeGreaterThan(10);
			const files = readdirSync(node.ledgerDir).length;
			for (let step = 1; step <= steps.length; step++) {
				node.faults.arm(step, when);
				const failure = `step ${step} (${steps[step - 1]}) ${when}`;
				await expect(manager.attach(request(netns)), failure).rejects.toThrow(/fault/);
				expect(await node.veths(), failure).toEqual([]);
				expect(node.mapRows(), failure).toEqual({ endpoints: 0, ipcache: 0, ifaces: 0 });
				expect(node.attached.size, failure).toBe(0);
				expect(readdirSync(node.ledgerDir).length, failure).toBe(files);
				expect(manager.list(), failure).toEqual([]);
				expect(manager.usage()[0]?.used, failure).toBe(0);
			}
			expect(node.warnings).toEqual([]);
			node.faults.arm(0, when);
			await manager.attach(request(netns));
		});
	}
});

describe('detach', () => {
	it('stops all traffic and quarantines the addresses before it returns, and removes the interface soon after', async () => {
		const endpoint = await manager.attach(request(node.addPodNetns()));
		expect(await manager.detach(endpoint)).toBe(true);
		expect(node.mapRows()).toEqual({ endpoints: 0, ipcache: 0, ifaces: 0 });
		expect(inPod(node.netns, 'ip', 'route')).not.toContain('10.77.0.1');
		expect(manager.usage()[0]).toMatchObject({ used: 0, coolingDown: 1, size: 254 });
		expect(readdirSync(node.ledgerDir)).toEqual([expect.stringMatching(/\.released$/)]);
		await eventually(async () => expect(await node.veths()).toEqual([]));
		await eventually(() => expect(node.attached.size).toBe(0));
	});

	it('succeeds for what is not there', async () => {
		expect(await manager.detach({ containerId: 'never', ifname: 'eth0' })).toBe(false);
	});

	it('succeeds when the namespace is gone', async () => {
		const netns = node.addPodNetns();
		const endpoint = await manager.attach(request(netns));
		node.removePodNetns(netns);
		await eventually(async () => expect(await node.veths()).toEqual([]));
		expect(await manager.detach(endpoint)).toBe(true);
		expect(node.warnings).toEqual([]);
	});

	it('lets the same container attach again at once, in the same namespace', async () => {
		const netns = node.addPodNetns();
		const first = await manager.attach(request(netns));
		await manager.detach(first);
		const second = await manager.attach(request(netns));
		expect(second.addresses).not.toEqual(first.addresses);
		expect([second.index, second.gen]).not.toEqual([first.index, first.gen]);
		await new Promise((resolve) => setTimeout(resolve, 100));
		expect(await node.veths()).toEqual([second.hostIfname]);
	});

	it('can be tried again after the record could not be written', async () => {
		const endpoint = await manager.attach(request(node.addPodNetns()));
		node.faults.arm(1, 'before');
		await expect(manager.detach(endpoint)).rejects.toThrow('fault');
		node.faults.arm(0, 'before');
		expect(await manager.detach(endpoint)).toBe(true);
		await eventually(async () => expect(await node.veths()).toEqual([]));
	});
});
