import { describe, expect, it } from 'vitest';
import { PeerKind } from '../../native/abi/generated.ts';
import { FakeKernel } from '../../test/lib/fake-kernel.ts';
import type { PeerRow, PeersPlan } from '../plan/peers.ts';
import { insideBits, writeInside } from './inside-bits.ts';
import { filterBit } from './vip-filter.ts';

function plan(rows: readonly (readonly [string, number])[]): PeersPlan {
	const all = rows.map(([cidr, kind]): PeerRow => ({ cidr, kind, node: null, identity: 0 }));
	const split = (isNet: boolean) => new Map(all.filter((r) => r.cidr.includes('/') === isNet).map((r) => [r.cidr, r]));
	return { nodes: [], addresses: split(false), cidrs: split(true) };
}

const has = (words: Uint32Array, address: string): boolean => {
	const bit = filterBit(address);
	return (((words[bit >>> 5] ?? 0) >>> (bit & 31)) & 1) === 1;
};
const count = (words: Uint32Array): number =>
	words.reduce((sum, word) => sum + word.toString(2).replaceAll('0', '').length, 0);

describe('insideBits', () => {
	it('has the nodes, this one too, and no pod that is known by its own address', () => {
		const words = insideBits(
			plan([
				['192.0.2.1', PeerKind.HOST],
				['192.0.2.2', PeerKind.REMOTE_NODE],
				['2001:db8::2', PeerKind.REMOTE_NODE],
				['10.244.2.7', PeerKind.REMOTE_POD],
			]),
		);
		for (const address of ['192.0.2.1', '192.0.2.2', '2001:db8::2']) expect(has(words, address)).toBe(true);
		expect(count(words)).toBe(3);
	});

	it.each([
		['10.244.2.0/24', ['10.244.2.0']],
		['10.244.2.128/26', ['10.244.2.0']],
		['10.244.4.0/22', ['10.244.4.0', '10.244.5.0', '10.244.6.0', '10.244.7.0']],
		['fd10:244:2::/64', ['fd10:244:2::']],
		['fd10:244:2::5:0/112', ['fd10:244:2::']],
		['fd10:244:2:8::/63', ['fd10:244:2:8::', 'fd10:244:2:9::']],
	])('has the networks that %s touches', (cidr, networks) => {
		const words = insideBits(plan([[cidr, PeerKind.REMOTE_POD]]));
		for (const network of networks) expect(has(words, network)).toBe(true);
		expect(count(words)).toBe(networks.length);
	});

	it('has as many networks as a prefix of 16 bits has, the last one too', () => {
		const words = insideBits(plan([['10.7.0.0/16', PeerKind.REMOTE_POD]]));
		for (const network of ['10.7.0.0', '10.7.1.0', '10.7.255.0']) expect(has(words, network)).toBe(true);
		expect(has(words, '10.8.0.0')).toBe(false);
	});

	it('has all bits when a prefix is too large to count', () => {
		expect(count(insideBits(plan([['10.0.0.0/8', PeerKind.REMOTE_POD]])))).toBe(65_536);
	});

	it('has nobody who is outside or unknown', () => {
		const rows = [
			['172.20.0.0/16', PeerKind.NATIVE],
			['10.244.0.0/16', PeerKind.UNKNOWN],
		] as const;
		expect(count(insideBits(plan(rows)))).toBe(0);
	});
});

describe('writeInside', () => {
	it('makes the map equal to the plan, whatever it had', () => {
		const kernel = new FakeKernel();
		const wanted = plan([['192.0.2.2', PeerKind.REMOTE_NODE]]);
		writeInside(plan([['192.0.2.3', PeerKind.REMOTE_NODE]]), kernel);
		writeInside(wanted, kernel);
		const { buffer, byteOffset } = kernel.shared('inside');
		expect(new Uint32Array(buffer, byteOffset, 2048)).toEqual(insideBits(wanted));
	});
});
