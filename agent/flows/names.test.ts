import { describe, expect, it } from 'vitest';
import { addressBytes } from '../model/address.ts';
import type { ClusterView } from '../model/cluster-view.ts';
import { parseNode } from '../model/node.ts';
import { parsePod } from '../model/pod.ts';
import { parseService } from '../model/service.ts';
import { NameTable } from './names.ts';

function parsed<T>(result: { ok: true; value: T } | { ok: false }): T {
	if (!result.ok) throw new Error('test object is invalid');
	return result.value;
}

const podOf = (name: string, ip: string, extra: object = {}) =>
	parsed(
		parsePod({
			metadata: { name, namespace: 'shop', labels: { app: name } },
			spec: { nodeName: 'node-a', ...extra },
			status: { phase: 'Running', podIPs: [{ ip }] },
		}),
	);

const web = parsed(
	parseService({
		metadata: { name: 'web', namespace: 'shop' },
		spec: {
			type: 'NodePort',
			clusterIPs: ['10.96.0.9', 'fd00:96::9'],
			externalIPs: ['192.0.2.10'],
			ports: [{ port: 80, protocol: 'TCP', nodePort: 30080 }],
		},
	}),
);

const nodeOf = (name: string, address: string, podCIDRs: string[] = []) =>
	parsed(
		parseNode({ metadata: { name }, spec: { podCIDRs }, status: { addresses: [{ type: 'InternalIP', address }] } }),
	);

function viewOf(pods: ReturnType<typeof podOf>[]): ClusterView {
	return {
		services: new Map([['shop/web', web]]),
		endpointSlices: new Map(),
		pods: new Map(pods.map((pod) => [`shop/${pod.name}`, pod])),
		nodes: new Map([
			['node-a', nodeOf('node-a', '172.18.0.2')],
			['node-b', nodeOf('node-b', '172.18.0.3', ['10.7.0.0/24', 'fd07::/64'])],
		]),
		namespaces: new Map(),
		networkPolicies: new Map(),
		clusterNetworkPolicies: new Map(),
		serviceCidrs: new Map(),
		slicesOf: () => [],
	};
}

const identity = { nodeName: 'node-a', localAddresses: ['10.1.0.1'], clusterCidrs: ['10.1.0.0/16', 'fd00::/16'] };

function tableOf(...pods: ReturnType<typeof podOf>[]): NameTable {
	const table = new NameTable();
	table.update(viewOf(pods), identity);
	return table;
}

const ownerText = (table: NameTable, address: string): string => {
	const owner = table.owner(addressBytes(address), 0) ?? table.stranger(address);
	return [owner.kind, owner.namespace, owner.name].filter((part) => part !== '').join(' ');
};

describe('NameTable', () => {
	it.each([
		['10.1.0.5', 'pod shop a'],
		['fd00::5', 'pod shop b'],
		['10.96.0.9', 'service shop web'],
		['fd00:96::9', 'service shop web'],
		['192.0.2.10', 'service shop web'],
		['172.18.0.2', 'host node-a'],
		['10.1.0.1', 'host node-a'],
		['172.18.0.3', 'remote-node node-b'],
		['10.1.7.7', 'unknown'],
		['fd00::77', 'unknown'],
		['10.7.0.9', 'unknown'],
		['fd07::9', 'unknown'],
		['10.7.1.9', 'world'],
		['8.8.8.8', 'world'],
	])('says that %s is %s', (address, expected) => {
		expect(ownerText(tableOf(podOf('a', '10.1.0.5'), podOf('b', 'fd00::5')), address)).toBe(expected);
	});

	it('takes no names from pods in the host network or finished pods', () => {
		const finished = { ...podOf('old', '10.1.0.6'), finished: true };
		const table = tableOf(podOf('proxy', '172.18.0.2', { hostNetwork: true }), finished);
		expect(ownerText(table, '172.18.0.2')).toBe('host node-a');
		expect(ownerText(table, '10.1.0.6')).toBe('unknown');
	});

	it('finds a service by address and port, node ports at own addresses only', () => {
		const table = tableOf();
		const find = (address: string, port: number, protocol = 6) =>
			table.service(addressBytes(address), 0, protocol, port)?.name;
		expect(find('10.96.0.9', 80)).toBe('web');
		expect(find('10.96.0.9', 81)).toBe('web'); // the address is the service's, whatever the port
		expect(find('172.18.0.2', 30080)).toBe('web');
		expect(find('172.18.0.2', 30081)).toBeUndefined();
		expect(find('172.18.0.2', 30080, 17)).toBeUndefined();
		expect(find('172.18.0.3', 30080)).toBeUndefined();
	});

	it('reads the address at an offset', () => {
		const bytes = new Uint8Array(40);
		bytes.set(addressBytes('10.1.0.5'), 17);
		expect(tableOf(podOf('a', '10.1.0.5')).owner(bytes, 17)?.name).toBe('a');
	});

	it('keeps the shared value of an object that did not change', () => {
		const pod = podOf('a', '10.1.0.5');
		const table = tableOf(pod);
		const before = table.owner(addressBytes('10.1.0.5'), 0);
		table.update(viewOf([pod, podOf('b', '10.1.0.6')]), identity);
		expect(table.owner(addressBytes('10.1.0.5'), 0)).toBe(before);
		table.update(viewOf([podOf('c', '10.1.0.5')]), identity);
		expect(table.owner(addressBytes('10.1.0.5'), 0)?.name).toBe('c');
	});

	it('follows single pods, also when two have the same address for a while', () => {
		const table = tableOf();
		const name = () => ownerText(table, '10.1.0.5');
		const [a, b] = [podOf('a', '10.1.0.5'), podOf('b', '10.1.0.5')];
		const steps: [ReturnType<typeof podOf>[], string][] = [
			[[a], 'pod shop a'],
			[[a, b], 'pod shop b'],
			[[{ ...a }, b], 'pod shop a'],
			[[{ ...a, finished: true }, b], 'pod shop b'],
			[[b], 'pod shop b'],
			[[], 'unknown'],
		];
		for (const [pods, expected] of steps) {
			table.updatePods(viewOf(pods), ['shop/a', 'shop/b']);
			expect(name()).toBe(expected);
		}
	});

	it('names a pod of this node by its attachment until its object has the address', () => {
		const table = tableOf();
		const owner = () => table.owner(addressBytes('10.1.0.5'), 0);
		const sender = { netnsCookie: 0n, addresses: ['10.1.0.5'], pod: { namespace: 'shop', name: 'new' } };
		table.setSenders([sender]);
		expect(owner()).toEqual({ kind: 'pod', namespace: 'shop', name: 'new', labels: {} });
		table.updatePods(viewOf([podOf('new', '10.1.0.9')]), ['shop/new']);
		expect(owner()?.labels).toEqual({ app: 'new' });
		table.updatePods(viewOf([podOf('other', '10.1.0.5')]), ['shop/new', 'shop/other']);
		expect(owner()?.name).toBe('other');
		table.updatePods(viewOf([]), ['shop/other']);
		table.setSenders([{ ...sender, pod: null }]);
		expect(ownerText(table, '10.1.0.5')).toBe('unknown');
	});

	it('knows nobody before the first update', () => {
		expect(ownerText(new NameTable(), '10.1.0.5')).toBe('world');
	});
});
