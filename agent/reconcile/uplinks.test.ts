import { describe, expect, it } from 'vitest';
import { FakeKernel } from '../../test/lib/fake-kernel.ts';
import { addressOfBytes } from '../model/address.ts';
import type { WantedUplink } from '../plan/uplinks.ts';
import { addUplinks, clearUplinks, expectedUplinkRows, uplinkAddresses } from './uplinks.ts';

const ETH1: WantedUplink = { ifindex: 3, mtu: 1500, addresses: ['192.0.2.1'] };
const ETH2: WantedUplink = { ifindex: 4, mtu: 9000, addresses: ['198.51.100.1'] };
const MOVED: WantedUplink = { ...ETH1, addresses: ['192.0.2.77'] };

/** ifindex by index of the row. */
const indexes = (kernel: FakeKernel): number[] =>
	[...kernel.mapEntries('uplinks')].map(([, value]) => new DataView(value.buffer, value.byteOffset).getUint32(0, true));

describe('the map of further uplinks', () => {
	it('is written once, and its highest index told', () => {
		const kernel = new FakeKernel();
		expect(expectedUplinkRows([ETH1, ETH2], kernel)).toBe(2);
		expect(addUplinks([ETH1, ETH2], kernel)).toEqual({ uplinkRows: 2, problems: [] });
		expect(indexes(kernel)).toEqual([0, 3, 4, 0, 0, 0, 0, 0]);
		kernel.log.length = 0;
		expect(addUplinks([ETH2, ETH1], kernel).uplinkRows).toBe(2);
		expect(clearUplinks([ETH2, ETH1], kernel)).toEqual([]);
		expect(kernel.log).toEqual([]);
	});

	it('has both rows of an interface with a new address until programs know the new one', () => {
		const kernel = new FakeKernel();
		addUplinks([ETH1], kernel);
		expect(addUplinks([MOVED], kernel).uplinkRows).toBe(2);
		expect(indexes(kernel).slice(0, 3)).toEqual([0, 3, 3]);
		clearUplinks([MOVED], kernel);
		expect(indexes(kernel).slice(0, 3)).toEqual([0, 0, 3]);
		expect(uplinkAddresses(kernel).map((each) => addressOfBytes(each))).toEqual([
			...ETH1.addresses,
			...MOVED.addresses,
		]);
	});

	it('says which row the kernel has refused and writes the others', () => {
		const kernel = new FakeKernel();
		kernel.fault = ({ call }) => (call === 'set' && kernel.count('set') === 1 ? 'EPERM' : undefined);
		expect(addUplinks([ETH1, ETH2], kernel).problems).toEqual(['map uplinks: cannot set key 01000000: EPERM']);
		expect(indexes(kernel)).toEqual([0, 0, 4, 0, 0, 0, 0, 0]);
		expect(addUplinks([ETH1, ETH2], kernel)).toEqual({ uplinkRows: 2, problems: [] });
	});
});
