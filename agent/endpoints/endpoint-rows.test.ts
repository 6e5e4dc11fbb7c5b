import { describe, expect, it } from 'vitest';
import { Endpoint, EndpointFlags, IpcacheEntry, Limits, PeerKind, PeerRef } from '../../native/abi/generated.ts';
import { FakeKernel } from '../../test/lib/fake-kernel.ts';
import { addressBytes } from '../model/address.ts';
import type { Attachment } from './attachment.ts';
import { EndpointRows, UNKNOWN_POD } from './endpoint-rows.ts';

const kernelOf = (): FakeKernel =>
	new FakeKernel({ capacity: { endpoints: Limits.ENDPOINTS, ifaces: Limits.ENDPOINTS } });

const key = (value: number): Uint8Array => new Uint8Array(new Uint32Array([value]).buffer);

const attachment = (index: number, gen: number): Attachment => ({
	version: 1,
	containerId: `c${index}`,
	ifname: 'eth0',
	network: 'n',
	mode: 'veth',
	bootId: 'b',
	netns: { path: '', dev: 0, ino: 0 },
	pod: null,
	index,
	gen,
	addresses: [`10.1.0.${index}`, `fd00::${index}`],
	mac: '02:00:00:00:00:01',
	hostMac: '02:00:00:00:00:02',
	hostIfname: 'fl0123456789a',
	mtu: 1500,
	hostPorts: [],
	createdAtMs: 0,
});

describe('endpoint rows', () => {
	it('lead from address and interface to the row of the pod', () => {
		const kernel = kernelOf();
		const rows = new EndpointRows(kernel);
		const { index, gen } = rows.allocate('a/b');
		rows.write(attachment(index, gen), 42, { identity: 300, identity6: 301, policySet: 7, isolated: true });
		const row = Endpoint.decode(kernel.mapGet('endpoints', key(index)) ?? new Uint8Array());
		expect(row).toMatchObject({ ifindex: 42, gen, identity: 300, identity6: 301, policySet: 7 });
		expect(row.flags).toBe(EndpointFlags.READY | EndpointFlags.ISOLATED);
		expect(row.addr4).toEqual(addressBytes('10.1.0.1'));
		expect(row.addr6).toEqual(addressBytes('fd00::1'));
		const peer = { index, gen, kind: PeerKind.LOCAL_POD };
		expect(PeerRef.decode(kernel.mapGet('ifaces', key(42)) ?? new Uint8Array())).toEqual(peer);
		for (const [address, identity] of [
			['10.1.0.1', 300],
			['fd00::1', 301],
		] as const) {
			const entry = IpcacheEntry.decode(kernel.mapGet('ipcache', addressBytes(address)) ?? new Uint8Array());
			expect(entry).toEqual({ peer, identity });
		}
		expect(rows.isWritten(attachment(index, gen), 42)).toBe(true);
		expect(rows.isWritten(attachment(index, gen), 43)).toBe(false);
	});

	it('change their generation with every owner and never have generation 0', () => {
		const rows = new EndpointRows(kernelOf());
		for (let i = 1; i < Limits.ENDPOINTS; i++) rows.claim(i);
		const seen: number[] = [];
		for (let round = 0; round < 300; round++) {
			rows.giveBack(9);
			const { index, gen } = rows.allocate('a/b');
			expect(index).toBe(9);
			rows.write(attachment(index, gen), 42, UNKNOWN_POD);
			rows.erase(attachment(index, gen));
			seen.push(gen);
		}
		expect(seen.slice(0, 3)).toEqual([1, 2, 3]);
		expect(seen.slice(253, 257)).toEqual([254, 255, 1, 2]);
	});

	it('are allocated in turn, and refused with the number in use when all are', () => {
		const rows = new EndpointRows(kernelOf());
		expect(rows.allocate('a').index).toBe(1);
		rows.giveBack(1);
		expect(rows.allocate('a').index).toBe(2);
		for (let i = 0; i < Limits.ENDPOINTS - 2; i++) rows.allocate('a');
		expect(() => rows.allocate('default/web')).toThrow('cannot attach default/web: 4095 of 4095 endpoints are in use');
	});

	it('that nobody claims are erased, those of others are not', () => {
		const kernel = kernelOf();
		const before = new EndpointRows(kernel);
		for (const index of [1, 2]) {
			before.claim(index);
			before.write(attachment(index, 1), 40 + index, UNKNOWN_POD);
		}
		const host = { peer: { index: 0, gen: 0, kind: PeerKind.HOST }, identity: 1 };
		kernel.mapSet('ipcache', addressBytes('192.0.2.1'), IpcacheEntry.encode(host));
		const rows = new EndpointRows(kernel);
		rows.claim(2);
		expect(rows.eraseUnclaimed()).toBe(3);
		expect(rows.isWritten(attachment(2, 1), 42)).toBe(true);
		expect(kernel.mapGet('ipcache', addressBytes('10.1.0.1'))).toBeUndefined();
		expect(kernel.mapGet('ipcache', addressBytes('192.0.2.1'))).toBeDefined();
		expect(kernel.mapGet('ifaces', key(41))).toBeUndefined();
	});

	it('do not take the address of a pod that got it later', () => {
		const kernel = kernelOf();
		const rows = new EndpointRows(kernel);
		const old = attachment(1, 1);
		rows.write(old, 41, UNKNOWN_POD);
		const next = { ...attachment(2, 1), addresses: old.addresses };
		rows.write(next, 42, UNKNOWN_POD);
		rows.erase(old);
		expect(rows.isWritten(next, 42)).toBe(true);
	});
});
