import { describe, expect, it } from 'vitest';
import { NodeFlags, XdpNode } from '../../native/abi/generated.ts';
import { FakeKernel } from '../../test/lib/fake-kernel.ts';
import { addressBytes } from '../model/address.ts';
import type { XdpNodeRow } from '../plan/xdp.ts';
import { XdpNodes, xdpTargets } from './xdp-nodes.ts';

const row = (index: number, over: Partial<XdpNodeRow> = {}): XdpNodeRow => ({
	index,
	gen: 1,
	tunnel: addressBytes('192.168.0.2'),
	source: addressBytes('192.168.0.1'),
	dstMac: Uint8Array.of(2, 0, 0, 0, 0, 2),
	srcMac: Uint8Array.of(2, 0, 0, 0, 0, 1),
	mtu: 1500,
	direct: 0,
	ifindex: 2,
	...over,
});
const keyOf = (index: number): Uint8Array => new Uint8Array(new Uint32Array([index]).buffer);
const read = (kernel: FakeKernel, index: number): XdpNode =>
	XdpNode.decode(kernel.mapGet('xdp_nodes', keyOf(index)) ?? new Uint8Array(XdpNode.size));

describe('rows of nodes for XDP', () => {
	it('only get another deadline while nothing changes', () => {
		const kernel = new FakeKernel();
		const nodes = new XdpNodes(kernel);
		expect(nodes.apply([row(1), row(2)], 100)).toBe(true);
		kernel.log.length = 0;
		expect(nodes.apply([row(1), row(2)], 200)).toBe(false);
		expect(kernel.count('barrier')).toBe(0);
		expect(read(kernel, 1)).toMatchObject({ deadline: 200, ifindex: 2 });
	});

	it('are out of use for a grace period before they get another content', () => {
		const kernel = new FakeKernel();
		const nodes = new XdpNodes(kernel);
		nodes.apply([row(1)], 100);
		const seen: number[] = [];
		kernel.fault = ({ call }) => {
			if (call === 'barrier') seen.push(read(kernel, 1).ifindex);
			return undefined;
		};
		nodes.apply([row(1, { dstMac: Uint8Array.of(2, 0, 0, 0, 0, 9) })], 200);
		expect(seen).toEqual([0]);
		expect(read(kernel, 1)).toMatchObject({ ifindex: 2, dstMac: Uint8Array.of(2, 0, 0, 0, 0, 9) });
	});

	it('go when their node goes, also those of an earlier agent', () => {
		const kernel = new FakeKernel();
		new XdpNodes(kernel).apply([row(1), row(2)], 100);
		new XdpNodes(kernel).apply([row(2)], 200);
		expect(read(kernel, 1).ifindex).toBe(0);
		expect(read(kernel, 2)).toMatchObject({ ifindex: 2, deadline: 200 });
	});

	it('are made for the rows of nodes in use', () => {
		const node = {
			tunnel: addressBytes('192.168.0.2'),
			nexthop6: new Uint8Array(16),
			nexthop4: 0,
			ifindex: 4,
			mtu: 1450,
			gen: 9,
			flags: NodeFlags.DIRECT,
			identity: 6,
		};
		const rows = new Map([
			[3, node],
			[4, { ...node, ifindex: 0 }],
		]);
		expect(xdpTargets(rows)).toEqual([{ index: 3, gen: 9, tunnel: '192.168.0.2', direct: true }]);
	});
});
