import { describe, expect, it } from 'vitest';
import { CidrKey, IpcacheEntry, IpcacheKey, Node, PeerKind } from '../../native/abi/generated.ts';
import { FACTS, ROUTING } from '../../test/lib/cluster-builder.ts';
import { FakeKernel } from '../../test/lib/fake-kernel.ts';
import { addressBytes, addressOfBytes } from '../model/address.ts';
import type { Node as NodeObject } from '../model/node.ts';
import { planPeers } from '../plan/peers.ts';
import type { RoutingMode } from '../plan/routing.ts';
import { planRouting } from '../plan/routing.ts';
import { PeerMemory, reconcilePeers } from './nodes.ts';

const DEVICES = { uplinkIfindex: 2, overlayIfindex: 9 };
const NO_CIDRS = { clusterCidrs: [], serviceCidrs: [], nonMasqueradeCidrs: [] };

function node(name: string, n: number): NodeObject {
	return {
		name,
		labels: {},
		zone: '',
		internalIps: [`192.168.0.${n}`],
		externalIps: [],
		podCidrs: [`10.244.${n}.0/24`],
		goingAway: false,
	};
}

function peers(nodes: readonly NodeObject[], mode: RoutingMode = 'vxlan') {
	return planPeers(planRouting(nodes, FACTS, { ...ROUTING, mode }).peers, FACTS, NO_CIDRS);
}

function cidrEntry(kernel: FakeKernel, address: string, prefixLen: number) {
	const value = kernel.mapGet('cidrs', CidrKey.encode({ prefixLen, addr: addressBytes(address) }));
	return value && IpcacheEntry.decode(value);
}

function nodeRow(kernel: FakeKernel, index: number) {
	return Node.decode(kernel.mapGet('nodes', new Uint8Array(new Uint32Array([index]).buffer))!);
}

describe('reconcilePeers', () => {
	it('writes a row per node and lets its pod CIDR and addresses refer to it', () => {
		const kernel = new FakeKernel();
		const report = reconcilePeers(peers([node('node-b', 2), node('node-c', 3)]), DEVICES, kernel);
		expect(report.problems).toEqual([]);
		const entry = cidrEntry(kernel, '10.244.3.0', 96 + 24)!;
		expect(entry.peer.kind).toBe(PeerKind.REMOTE_POD);
		const row = nodeRow(kernel, entry.peer.index);
		expect(addressOfBytes(row.tunnel)).toBe('192.168.0.3');
		expect({ ifindex: row.ifindex, mtu: row.mtu, gen: row.gen }).toEqual({
			ifindex: 9,
			mtu: 1450,
			gen: entry.peer.gen,
		});
		const own = kernel.mapGet('ipcache', IpcacheKey.encode({ addr: addressBytes('192.168.0.1') }))!;
		expect(IpcacheEntry.decode(own).peer.kind).toBe(PeerKind.HOST);
	});

	it('writes nothing the second time', () => {
		const kernel = new FakeKernel();
		reconcilePeers(peers([node('node-b', 2)]), DEVICES, kernel);
		kernel.log.length = 0;
		expect(reconcilePeers(peers([node('node-b', 2)]), DEVICES, kernel)).toMatchObject({ ops: 0, problems: [] });
		expect(kernel.log).toEqual([]);
	});

	it('never changes a row in use: a changed node moves to a new row and the old one gets another generation', () => {
		const kernel = new FakeKernel();
		reconcilePeers(peers([node('node-b', 2)]), DEVICES, kernel);
		const before = cidrEntry(kernel, '10.244.2.0', 120)!;
		reconcilePeers(peers([node('node-b', 2)], 'direct'), DEVICES, kernel);
		const after = cidrEntry(kernel, '10.244.2.0', 120)!;
		expect(after.peer.index).not.toBe(before.peer.index);
		expect(nodeRow(kernel, before.peer.index)).toMatchObject({ ifindex: 0, gen: before.peer.gen + 1 });
		expect(nodeRow(kernel, after.peer.index)).toMatchObject({ ifindex: 2, mtu: 1500 });
	});

	it('moves references before it takes a row out, with a grace period between', () => {
		const kernel = new FakeKernel();
		reconcilePeers(peers([node('node-b', 2)]), DEVICES, kernel);
		kernel.log.length = 0;
		reconcilePeers(peers([]), DEVICES, kernel);
		expect(kernel.log.map(({ call, map }) => `${call} ${map}`.trim())).toEqual([
			'delete ipcache',
			'delete cidrs',
			'barrier',
			'set nodes',
		]);
	});

	it('leaves the rows of local pods to the endpoint manager', () => {
		const kernel = new FakeKernel();
		const key = IpcacheKey.encode({ addr: addressBytes('10.244.1.5') });
		const pod = { peer: { index: 7, gen: 1, kind: PeerKind.LOCAL_POD }, identity: 300 };
		kernel.mapSet('ipcache', key, IpcacheEntry.encode(pod));
		reconcilePeers(peers([]), DEVICES, kernel);
		expect(IpcacheEntry.decode(kernel.mapGet('ipcache', key)!)).toEqual(pod);
	});

	it('says so when there are more nodes than rows, and serves the others', () => {
		const kernel = new FakeKernel({ capacity: { nodes: 3 } });
		const nodes = ['node-b', 'node-c', 'node-d'].map((name, i) => node(name, i + 2));
		const report = reconcilePeers(peers(nodes), DEVICES, kernel);
		expect(report.problems).toEqual(['map nodes: cannot add node node-d: all 2 rows used']);
		expect(cidrEntry(kernel, '10.244.3.0', 120)).toBeDefined();
		expect(cidrEntry(kernel, '10.244.4.0', 120)).toBeUndefined();
	});

	it('leaves an old row in place when a reference to it could not be moved', () => {
		const kernel = new FakeKernel();
		reconcilePeers(peers([node('node-b', 2)]), DEVICES, kernel);
		const { index } = cidrEntry(kernel, '10.244.2.0', 120)!.peer;
		kernel.fault = ({ call }) => (call === 'delete' ? 'EPERM' : undefined);
		const report = reconcilePeers(peers([]), DEVICES, kernel);
		expect(report.problems.join()).toContain('EPERM');
		expect(nodeRow(kernel, index).ifindex).toBe(9);
	});

	it('compares with what it wrote, and with the tables when told so or after a failure', () => {
		const kernel = new FakeKernel();
		const memory = new PeerMemory();
		const run = (nodes: NodeObject[]) => reconcilePeers(peers(nodes), DEVICES, kernel, undefined, memory);
		run([node('node-b', 2)]);
		const key = IpcacheKey.encode({ addr: addressBytes('192.168.0.2') });
		kernel.mapDelete('ipcache', key);
		expect(run([node('node-b', 2)]).ops).toBe(0);
		expect(run([node('node-b', 2), node('node-c', 3)]).ops).toBe(3);
		memory.forget();
		expect(run([node('node-b', 2), node('node-c', 3)]).ops).toBe(1);
		kernel.fault = ({ call }) => (call === 'delete' ? 'EPERM' : undefined);
		expect(run([node('node-b', 2)]).problems).not.toEqual([]);
		kernel.fault = undefined;
		run([node('node-b', 2)]);
		expect(kernel.mapGet('ipcache', IpcacheKey.encode({ addr: addressBytes('192.168.0.3') }))).toBeUndefined();
	});

	it('remembers the rows of nodes it has written, also those that are free again', () => {
		const kernel = new FakeKernel();
		const memory = new PeerMemory();
		const run = (nodes: NodeObject[]) => reconcilePeers(peers(nodes), DEVICES, kernel, undefined, memory);
		const first = run([node('node-b', 2)]).assignments.get('node-b')!;
		expect(memory.nodes(kernel).get(first.index)).toMatchObject({ ifindex: 9, gen: first.gen });
		run([]);
		expect(memory.nodes(kernel).get(first.index)).toMatchObject({ ifindex: 0 });
		// what is only in the table is not seen
		kernel.mapSet('nodes', new Uint8Array(new Uint32Array([first.index]).buffer), new Uint8Array(Node.size));
		const second = run([node('node-c', 3)]).assignments.get('node-c')!;
		expect(second.index).toBe(first.index);
		expect(second.gen).toBe(first.gen + 2);
		memory.forget();
		expect([...memory.nodes(kernel).keys()]).toEqual([second.index]);

		kernel.fault = ({ call, map }) => (call === 'set' && map === 'nodes' ? 'EPERM' : undefined);
		expect(run([node('node-d', 4)]).problems).not.toEqual([]);
		kernel.fault = undefined;
		expect(run([node('node-d', 4)]).problems).toEqual([]);
		expect([...memory.nodes(kernel)]).toEqual([...new PeerMemory().nodes(kernel)]);
	});

	it('deletes no entry that a pod has been given since', () => {
		const kernel = new FakeKernel();
		const memory = new PeerMemory();
		reconcilePeers(peers([node('node-b', 2)]), DEVICES, kernel, undefined, memory);
		const key = IpcacheKey.encode({ addr: addressBytes('192.168.0.2') });
		const pod = { peer: { index: 5, gen: 1, kind: PeerKind.LOCAL_POD }, identity: 256 };
		kernel.mapSet('ipcache', key, IpcacheEntry.encode(pod));
		reconcilePeers(peers([]), DEVICES, kernel, undefined, memory);
		expect(IpcacheEntry.decode(kernel.mapGet('ipcache', key)!)).toEqual(pod);
	});
});
