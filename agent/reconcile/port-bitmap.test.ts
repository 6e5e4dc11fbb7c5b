import { describe, expect, it } from 'vitest';
import { SvcEntry, SvcKey, SvcScope } from '../../native/abi/generated.ts';
import { FakeKernel } from '../../test/lib/fake-kernel.ts';
import { addressBytes } from '../model/address.ts';
import { PortBitmap, portBit } from './port-bitmap.ts';
import { bytesKey } from './table.ts';

const NODE = addressBytes('192.168.0.1');
const SECOND = addressBytes('fd00:192::1');
const VIP = addressBytes('198.51.100.1');
const isLocal = (address: Uint8Array): boolean => [NODE, SECOND].some((each) => bytesKey(each) === bytesKey(address));
const VALUE = new Uint8Array(SvcEntry.size);

function key(addr: Uint8Array, port: number, proto: number, scope: number = SvcScope.EXTERNAL): Uint8Array {
	return SvcKey.encode({ addr, port, proto, scope });
}

/** [port, protocol] of every bit that is set. */
function bitsOf(kernel: FakeKernel): [number, number][] {
	const view = kernel.shared('ports');
	const words = new Uint32Array(view.buffer, view.byteOffset, view.byteLength / 4);
	const bits: [number, number][] = [];
	for (let bit = 0; bit < words.length * 32; bit++) {
		if (((words[bit >>> 5] ?? 0) >>> (bit & 31)) & 1) bits.push([bit & 0xffff, bit >>> 16 === 0 ? 6 : 17]);
	}
	return bits;
}

describe('the bitmap of service ports at node addresses', () => {
	it('has a bit for each TCP and UDP port, and none for other protocols, scopes and addresses', () => {
		const kernel = new FakeKernel();
		const followed = new PortBitmap(kernel, isLocal).follow();
		followed.mapSet('services', key(NODE, 30080, 6), VALUE);
		followed.mapSet('services', key(NODE, 30053, 17), VALUE);
		followed.mapSet('services', key(NODE, 30132, 132), VALUE);
		followed.mapSet('services', key(VIP, 80, 6), VALUE);
		followed.mapSet('services', key(NODE, 81, 6, SvcScope.CLUSTER), VALUE);
		expect(bitsOf(kernel)).toEqual([
			[30080, 6],
			[30053, 17],
		]);
	});

	it('keeps a bit until the last address with the port is gone, however often an entry was replaced', () => {
		const kernel = new FakeKernel();
		const followed = new PortBitmap(kernel, isLocal).follow();
		for (const addr of [NODE, SECOND, NODE]) followed.mapSet('services', key(addr, 30080, 6), VALUE);
		followed.mapDelete('services', key(NODE, 30080, 6));
		expect(bitsOf(kernel)).toEqual([[30080, 6]]);
		followed.mapDelete('services', key(SECOND, 30080, 6));
		followed.mapDelete('services', key(SECOND, 30080, 6));
		expect(bitsOf(kernel)).toEqual([]);
	});

	it('sets a bit before the entry is there and clears it after it has gone', () => {
		const seen: string[] = [];
		const kernel = new FakeKernel({
			fault: ({ call }) => {
				seen.push(`${call}: ${bitsOf(kernel).length}`);
				return undefined;
			},
		});
		const followed = new PortBitmap(kernel, isLocal).follow();
		followed.mapSet('services', key(NODE, 30080, 6), VALUE);
		followed.mapDelete('services', key(NODE, 30080, 6));
		expect(seen).toEqual(['set: 1', 'delete: 1']);
		expect(bitsOf(kernel)).toEqual([]);
	});

	it('follows batches', async () => {
		const kernel = new FakeKernel();
		const followed = new PortBitmap(kernel, isLocal).follow();
		const keys = Buffer.concat([key(NODE, 30080, 6), key(VIP, 443, 6), key(SECOND, 30081, 17)]);
		await followed.mapSetBatch('services', keys, Buffer.concat([VALUE, VALUE, VALUE]));
		expect(bitsOf(kernel)).toEqual([
			[30080, 6],
			[30081, 17],
		]);
	});

	it('begins with what the kernel has, and clears what nothing explains', () => {
		const kernel = new FakeKernel();
		kernel.mapSet('services', key(NODE, 30080, 6), VALUE);
		const view = kernel.shared('ports');
		view.setUint32(((portBit(99, 17) ?? 0) >>> 5) * 4, 0xffffffff, true);
		new PortBitmap(kernel, isLocal);
		expect(bitsOf(kernel)).toEqual([[30080, 6]]);
	});
});
