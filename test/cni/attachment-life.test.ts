import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AttachRequest } from '../../agent/endpoints/endpoint-deps.ts';
import type { EndpointManager, LiveEndpoint } from '../../agent/endpoints/endpoint-manager.ts';
import { repairPodRoutes } from '../../agent/endpoints/pod-routes.ts';
import { type Address, type Family, familyOf } from '../../agent/model/address.ts';
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

describe('start', () => {
	it('takes over live attachments with their addresses, rows and programs', async () => {
		const netns = node.addPodNetns();
		const endpoint = await manager.attach(
			request(netns, { hostPorts: [{ hostAddress: null, hostPort: 80, protocol: 'TCP', podPort: 8080 }] }),
		);
		node.attached.clear();
		const next = await node.manager();
		expect(await next.start()).toMatchObject({ adopted: 1, dropped: [], leakedLinks: [], problems: [] });
		expect(next.list()).toEqual([endpoint]);
		expect([...node.attached]).toEqual([endpoint.hostIfname]);
		expect(next.hostPorts()).toHaveLength(1);
		const other = await next.attach(request(node.addPodNetns(), { containerId: 'c2' }));
		expect(other.addresses).not.toEqual(endpoint.addresses);
		expect(other.index).not.toBe(endpoint.index);
		await next.check({ ...endpoint, netns, addresses: endpoint.addresses });
	});

	it('writes rows again that are missing', async () => {
		await manager.attach(request(node.addPodNetns()));
		for (const map of ['ipcache', 'ifaces'] as const) {
			for (const [key] of [...node.kernel.mapEntries(map)]) node.kernel.mapDelete(map, key);
		}
		await (await node.manager()).start();
		expect(node.mapRows()).toEqual({ endpoints: 1, ipcache: 2, ifaces: 1 });
	});

	it('drops attachments and cool-downs of another boot, whose addresses are free at once', async () => {
		const early = await manager.attach(request(node.addPodNetns(), { containerId: 'early' }));
		await manager.detach(early);
		const netns = node.addPodNetns();
		const endpoint = await manager.attach(request(netns));
		const next = await node.manager({ bootId: 'boot-2' });
		const report = await next.start();
		expect(report.dropped.map((each) => each.containerId)).toEqual([endpoint.containerId]);
		expect(next.list()).toEqual([]);
		expect(next.usage()[0]).toMatchObject({ used: 0, coolingDown: 0 });
		expect(readdirSync(node.ledgerDir)).toEqual([]);
		expect(node.mapRows()).toEqual({ endpoints: 0, ipcache: 0, ifaces: 0 });
		await eventually(async () => expect(await node.veths()).toEqual([]));
	});

	it('drops attachments whose interface is gone, with a cool-down', async () => {
		const netns = node.addPodNetns();
		await manager.attach(request(netns));
		node.removePodNetns(netns);
		await eventually(async () => expect(await node.veths()).toEqual([]));
		const next = await node.manager();
		expect((await next.start()).dropped).toHaveLength(1);
		expect(next.usage()[0]).toMatchObject({ used: 0, coolingDown: 1 });
		expect(node.mapRows()).toEqual({ endpoints: 0, ipcache: 0, ifaces: 0 });
	});

	it('removes interfaces of ours that no record names, and no others', async () => {
		sh('ip', '-n', node.name, 'link', 'add', 'fl0123456789a', 'type', 'veth', 'peer', 'name', 'leakpeer');
		sh('ip', '-n', node.name, 'link', 'add', 'veth0', 'type', 'veth', 'peer', 'name', 'veth1');
		const next = await node.manager();
		expect((await next.start()).leakedLinks).toEqual(['fl0123456789a']);
		await eventually(async () => expect((await node.veths()).sort()).toEqual(['veth0', 'veth1']));
	});

	it('moves an unreadable record aside and says so', async () => {
		writeFileSync(join(node.ledgerDir, 'broken.json'), '{"version":1,');
		const next = await node.manager();
		expect((await next.start()).problems).toMatchObject([{ code: 'LEDGER_INVALID' }]);
		expect(readdirSync(node.ledgerDir)).toEqual(['broken.json.bad']);
	});

	it('keeps cool-downs over a restart until their time and until old state is gone', async () => {
		node.clockMs = 1_000_000;
		const more = { podCidrs: ['10.77.0.0/31'], coolDownMs: 10_000 };
		const first = await node.manager(more);
		const endpoint = await first.attach(request(node.addPodNetns()));
		const other = await first.attach(request(node.addPodNetns(), { containerId: 'c2' }));
		await first.detach(endpoint);
		const forgotten: string[] = [];
		let forget: () => void = () => undefined;
		const gate = new Promise<void>((resolve) => {
			forget = resolve;
		});
		const forgetAddresses = async (addresses: readonly string[]) => {
			forgotten.push(...addresses);
			await gate;
		};
		const next = await node.manager({ ...more, forgetAddresses });
		await next.start();
		const attempt = () => next.attach(request(node.addPodNetns(), { containerId: 'c3' }));
		await expect(attempt()).rejects.toMatchObject({ code: 'ADDRESS_COOLING' });
		node.clockMs += 10_001;
		await expect(attempt()).rejects.toMatchObject({ code: 'ADDRESS_COOLING' });
		forget();
		await eventually(async () => expect((await attempt()).addresses).toEqual(endpoint.addresses));
		expect(forgotten).toEqual(endpoint.addresses);
		await next.sweep();
		expect(readdirSync(node.ledgerDir).filter((name) => name.endsWith('.released'))).toEqual([]);
		expect(other.addresses).toEqual(['10.77.0.1']);
	});

	it('leaves a pod its address that records of earlier pods name, which could not be removed', async () => {
		node.clockMs = 1_000_000;
		const more = { podCidrs: ['10.77.0.0/32'], coolDownMs: 10_000 };
		const first = await node.manager(more);
		const at = (name: string): string => join(node.ledgerDir, name);
		const undone = await first.attach(request(node.addPodNetns(), { containerId: 'undone' }));
		const [live = ''] = readdirSync(node.ledgerDir);
		const record = readFileSync(at(live));
		await first.detach(undone);
		const [released = ''] = readdirSync(node.ledgerDir);
		node.clockMs += 10_001;
		let endpoint: LiveEndpoint | undefined;
		await eventually(async () => {
			endpoint = await first.attach(request(node.addPodNetns(), { containerId: 'c2' }));
		});
		await first.close();
		const current = readdirSync(node.ledgerDir);
		for (const name of [live, released]) writeFileSync(at(name), record);
		const forgotten: string[] = [];
		const next = await node.manager({
			...more,
			forgetAddresses: async (addresses) => void forgotten.push(...addresses),
		});
		expect(await next.start()).toMatchObject({ adopted: 1, dropped: [{ containerId: 'undone' }] });
		expect(next.list()).toEqual([endpoint]);
		expect(next.usage()).toMatchObject([{ used: 1, coolingDown: 0 }]);
		node.clockMs += 10_001;
		const attempt = next.attach(request(node.addPodNetns(), { containerId: 'c3' }));
		await expect(attempt).rejects.toMatchObject({ code: 'ADDRESS_EXHAUSTED' });
		await next.close();
		expect(forgotten).toEqual([]);
		expect(readdirSync(node.ledgerDir)).toEqual(current);
	});
});

describe('check', () => {
	it('accepts an attachment as it was made, also with additions by others', async () => {
		const netns = node.addPodNetns();
		const endpoint = await manager.attach(request(netns));
		inPod(netns, 'ip', 'addr', 'add', '192.0.2.1/32', 'dev', 'eth0');
		inPod(netns, 'ip', 'route', 'add', '198.51.100.0/24', 'via', '169.254.1.1', 'dev', 'eth0', 'onlink');
		await manager.check({ ...endpoint, netns, addresses: endpoint.addresses });
	});

	const damages: [string, (netns: string, hostIfname: string) => void, RegExp][] = [
		[
			'an address is missing',
			(netns) => inPod(netns, 'ip', 'addr', 'del', '10.77.0.1/32', 'dev', 'eth0'),
			/address 10.77.0.1 is missing/,
		],
		[
			'the default route is missing',
			(netns) => inPod(netns, 'ip', '-6', 'route', 'del', 'default'),
			/default route via fe80::1/,
		],
		['the interface is down', (netns) => inPod(netns, 'ip', 'link', 'set', 'eth0', 'down'), /eth0 is down/],
		[
			'the interface is missing',
			(netns) => inPod(netns, 'ip', 'link', 'del', 'eth0'),
			/eth0 is missing.*is missing on the node/,
		],
		[
			'the route on the node is missing',
			() => inPod(node.netns, 'ip', 'route', 'del', '10.77.0.1'),
			/route to 10.77.0.1/,
		],
		[
			'programs are not attached',
			(_netns, hostIfname) => void node.attached.delete(hostIfname),
			/eth0 of default\/web has changed: program to_pod is not attached to fl\w+; program from_pod is not attached to fl\w+$/,
		],
	];
	for (const [title, damage, message] of damages) {
		it(`reports that ${title}`, async () => {
			const netns = node.addPodNetns();
			const endpoint = await manager.attach(request(netns));
			damage(netns, endpoint.hostIfname);
			const attempt = manager.check({ ...endpoint, netns, addresses: endpoint.addresses });
			await expect(attempt).rejects.toMatchObject({
				code: 'ENDPOINT_CHANGED',
				message: expect.stringMatching(message),
			});
		});
	}

	it('reports a container that it does not know', async () => {
		const attempt = manager.check({ containerId: 'x', ifname: 'eth0', netns: node.netns, addresses: [] });
		await expect(attempt).rejects.toMatchObject({ code: 'ENDPOINT_UNKNOWN' });
	});
});

describe('routes of the node to its pods', () => {
	const NODE: Record<Family, Address> = { 4: '192.0.2.1', 6: '2001:db8::1' };
	const onNode = (...args: string[]): string => sh('ip', '-n', node.name, ...args);
	const has = new Set<Family>();

	function setNode(verb: 'add' | 'del', family: Family): void {
		onNode(
			'addr',
			verb,
			`${NODE[family]}/${family === 4 ? 24 : 64}`,
			'dev',
			'uplink',
			...(verb === 'add' ? ['nodad'] : []),
		);
		if (verb === 'add') has.add(family);
		else has.delete(family);
	}

	/** What the kernel has as source for packets of the node's own. */
	const sourceOf = (address: Address): string | undefined => / src (\S+)/.exec(onNode('route', 'get', address))?.[1];

	it('have its address as source, whichever interface comes first, and are made again when that comes and goes', async () => {
		// of another network, whose packets a table of their own sends there
		const others: Record<Family, Address> = { 4: '198.51.100.1', 6: '2001:db8:51::1' };
		onNode('link', 'set', 'uplink', 'up');
		for (const family of [4, 6] as const) {
			onNode('addr', 'add', `${others[family]}/${family === 4 ? 32 : 128}`, 'dev', 'lo');
			onNode(`-${family}`, 'rule', 'add', 'from', others[family], 'lookup', '101');
			onNode(`-${family}`, 'route', 'add', 'unreachable', 'default', 'table', '101');
			setNode('add', family);
		}
		const nodeAddress = (family: Family) => (has.has(family) ? NODE[family] : undefined);
		const routed = await node.manager({ nodeAddress });
		const repair = () => repairPodRoutes(routed.list(), { netlink: node.netlink, nodeAddress });
		const netns = node.addPodNetns();
		const { addresses } = await routed.attach(request(netns));
		const sources = () => addresses.map(sourceOf);
		const own = addresses.map((address) => NODE[familyOf(address)]);
		expect(own).toHaveLength(2);
		expect(sources()).toEqual(own);
		for (const address of addresses) sh('nsenter', `--net=${node.netns}`, 'ping', '-c1', '-W5', address);
		expect(await repair()).toEqual([]);

		for (const family of [4, 6] as const) setNode('del', family);
		await repair();
		await routed.check({ containerId: 'c1', ifname: 'eth0', netns, addresses });
		for (const family of [4, 6] as const) setNode('add', family);
		expect(await repair()).toEqual(addresses);
		expect(sources()).toEqual(own);

		onNode('route', 'del', `${addresses[0]}/32`);
		expect(await repair()).toEqual(addresses.slice(0, 1));
		expect(sources()).toEqual(own);
	});
});

describe('garbage', () => {
	it('is collected by network and valid attachments only', async () => {
		const keep = await manager.attach(request(node.addPodNetns(), { containerId: 'keep' }));
		const other = await manager.attach(request(node.addPodNetns(), { containerId: 'other', network: 'another' }));
		await manager.attach(request(node.addPodNetns(), { containerId: 'stale' }));
		const report = await manager.collectGarbage('fairlead', [keep]);
		expect(report.removed.map((each) => each.containerId)).toEqual(['stale']);
		expect(report.problems).toEqual([]);
		expect((await node.veths()).sort()).toEqual([keep.hostIfname, other.hostIfname].sort());
	});

	it('is found by the sweep when a namespace vanished without DEL', async () => {
		const netns = node.addPodNetns();
		const kept = await manager.attach(request(node.addPodNetns(), { containerId: 'kept' }));
		await manager.attach(request(netns));
		node.removePodNetns(netns);
		await eventually(async () => expect(await node.veths()).toHaveLength(1));
		expect((await manager.sweep()).map((each) => each.containerId)).toEqual(['c1']);
		expect(manager.list()).toEqual([kept]);
	});
});

describe('host ports', () => {
	const port = (hostAddress: string | null, hostPort = 8080) => ({
		hostAddress,
		hostPort,
		protocol: 'TCP' as const,
		podPort: 80,
	});

	it('are listed for the planner and gone after detach', async () => {
		const endpoint = await manager.attach(request(node.addPodNetns(), { hostPorts: [port(null)] }));
		const expected = { owner: 'default/web', hostAddress: null, hostPort: 8080, protocol: 'TCP', podPort: 80 };
		expect(manager.hostPorts()).toEqual([{ ...expected, podAddresses: endpoint.addresses }]);
		await manager.detach(endpoint);
		expect(manager.hostPorts()).toEqual([]);
	});

	it('are refused by name when another pod has them, and the pod gets nothing', async () => {
		await manager.attach(request(node.addPodNetns(), { hostPorts: [port('192.0.2.1')] }));
		const second = request(node.addPodNetns(), {
			containerId: 'c2',
			hostPorts: [port(null)],
			pod: { namespace: 'default', name: 'b', uid: '' },
		});
		await expect(manager.attach(second)).rejects.toMatchObject({
			code: 'HOST_PORT_TAKEN',
			message: 'cannot map hostPort 8080/TCP to default/b: it is mapped to default/web',
		});
		expect(await node.veths()).toHaveLength(1);
		const twice = { ...second, hostPorts: [port('192.0.2.2'), port('192.0.2.2')] };
		await expect(manager.attach(twice)).rejects.toThrow('to default/b: it is asked for twice');
		await manager.attach({ ...second, hostPorts: [port('192.0.2.2')] });
	});
});

describe('chained mode', () => {
	it('serves the veth of a plugin before it and leaves it alone', async () => {
		const netns = node.addPodNetns();
		sh('ip', '-n', node.name, 'link', 'add', 'cali0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns.slice(11));
		inPod(netns, 'ip', 'addr', 'add', '192.0.2.7/32', 'dev', 'eth0');
		inPod(netns, 'ip', 'link', 'set', 'eth0', 'up');
		sh('ip', '-n', node.name, 'link', 'set', 'cali0', 'up');
		const endpoint = await manager.attach(request(netns, { chained: { addresses: ['192.0.2.7'] } }));
		expect(endpoint).toMatchObject({ mode: 'chained', hostIfname: 'cali0', addresses: ['192.0.2.7'] });
		expect([...node.attached]).toEqual(['cali0']);
		expect(manager.usage()[0]?.used).toBe(0);
		await manager.check({ ...endpoint, netns, addresses: ['192.0.2.7'] });
		expect((await (await node.manager()).start()).adopted).toBe(1);
		await manager.detach(endpoint);
		expect(await node.veths()).toEqual(['cali0']);
		expect(node.attached.size).toBe(0);
	});

	it('refuses interfaces without a side on the node', async () => {
		const netns = node.addPodNetns();
		inPod(netns, 'ip', 'link', 'add', 'eth0', 'type', 'vxlan', 'id', '7', 'dstport', '4789');
		const attempt = manager.attach(request(netns, { chained: { addresses: ['192.0.2.7'] } }));
		await expect(attempt).rejects.toMatchObject({
			code: 'CHAIN_UNSUPPORTED',
			message: expect.stringContaining('of kind vxlan'),
		});
	});
});
