import { afterEach, describe, expect, it } from 'vitest';
import { Ct4Entry, Ct4Key, CtEntry, CtFlags, CtKey, L4Proto } from '../../native/abi/generated.ts';
import { BpfMap } from '../../native/index.ts';
import { addressBytes } from '../model/address.ts';
import { widenEntry } from './ct-gc.ts';
import { convertPortRows } from './port-rows.ts';

const { MASQUERADE, SVC_FORWARD, SVC_REPLY, ESTABLISHED, INITIATOR_IS_HI } = CtFlags;
const HASH = 1;
const opened: BpfMap[] = [];
afterEach(() => {
	for (const map of opened.splice(0)) map.close();
});
function mapOf(keySize: number, valueSize: number, maxEntries = 16): BpfMap {
	const map = BpfMap.create({ type: HASH, name: 'ports', keySize, valueSize, maxEntries });
	opened.push(map);
	return map;
}

interface End {
	readonly address: string;
	readonly port: number;
}

function world(ct4Entries = 16) {
	const ct4 = mapOf(Ct4Key.size, Ct4Entry.size, ct4Entries);
	const ct6 = mapOf(CtKey.size, CtEntry.size);
	const rows = mapOf(CtKey.size, 24);
	const number = (address: string) => new DataView(addressBytes(address).buffer).getUint32(12);
	const key4 = (lo: End, hi: End, proto: number) =>
		Ct4Key.encode({ lo: number(lo.address), hi: number(hi.address), loPort: lo.port, hiPort: hi.port, proto });
	const key6 = (lo: End, hi: End, proto: number) =>
		CtKey.encode({
			lo: addressBytes(lo.address),
			hi: addressBytes(hi.address),
			loPort: lo.port,
			hiPort: hi.port,
			proto,
		});
	return {
		ct4,
		ct6,
		key4,
		convert: () => convertPortRows(rows, { ct4, ct6 }),
		port(lo: End, hi: End, client: End, proto: number = L4Proto.TCP) {
			const value = new Uint8Array(24);
			value.set(addressBytes(client.address));
			new DataView(value.buffer).setUint16(16, client.port);
			rows.set(key6(lo, hi, proto), value);
		},
		flow4(lo: End, hi: End, over: Partial<Ct4Entry>, proto: number = L4Proto.TCP) {
			const empty = Ct4Entry.decode(new Uint8Array(Ct4Entry.size));
			ct4.set(key4(lo, hi, proto), Ct4Entry.encode({ ...empty, bytes: [500n, 70n], packets: [5, 7], ...over }));
		},
		flow6(lo: End, hi: End, over: Partial<CtEntry>, proto: number = L4Proto.TCP) {
			const empty = CtEntry.decode(new Uint8Array(CtEntry.size));
			ct6.set(key6(lo, hi, proto), CtEntry.encode({ ...empty, ...over }));
		},
		found4(lo: End, hi: End, proto: number = L4Proto.TCP) {
			const value = ct4.get(key4(lo, hi, proto));
			return value && widenEntry(Ct4Entry.decode(value));
		},
		found6(lo: End, hi: End, proto: number = L4Proto.TCP) {
			const value = ct6.get(key6(lo, hi, proto));
			return value && CtEntry.decode(value);
		},
	};
}

const POD = { address: '10.244.1.5', port: 4000 };
const NODE = { address: '192.0.2.1', port: 50_000 };
const REMOTE = { address: '203.0.113.9', port: 443 };
const VIP = { address: '10.96.0.9', port: 80 };

describe('flows of a version with a table of ports', () => {
	it('towards the world get an entry for replies, and name the responder', async () => {
		const { port, flow4, found4, convert } = world();
		port(REMOTE, NODE, POD);
		flow4(POD, REMOTE, { flags: MASQUERADE | ESTABLISHED, snatPort: NODE.port, created: 3 });
		expect(await convert()).toBe(1);
		const target = { xlateAddr: addressBytes(REMOTE.address), xlatePort: REMOTE.port, created: 3 };
		expect(found4(REMOTE, NODE)).toMatchObject({
			...target,
			flags: MASQUERADE | ESTABLISHED | SVC_REPLY | INITIATOR_IS_HI,
			client: addressBytes(POD.address),
			snatPort: POD.port,
			bytes: [0n, 70n],
		});
		expect(found4(POD, REMOTE)).toMatchObject({
			...target,
			flags: MASQUERADE | ESTABLISHED,
			snatPort: NODE.port,
			bytes: [500n, 70n],
		});
	});

	it('of a service get one, whichever end of the key is first; the other entries stay', async () => {
		const { port, flow4, found4, convert } = world();
		port(NODE, REMOTE, POD);
		const forward = { flags: MASQUERADE | SVC_FORWARD, snatPort: NODE.port };
		const reply = { flags: MASQUERADE | SVC_REPLY, snatPort: NODE.port, xlatePort: VIP.port };
		flow4(POD, VIP, forward);
		flow4(REMOTE, POD, { ...reply, xlateAddr: new DataView(addressBytes(VIP.address).buffer).getUint32(12) });
		expect(await convert()).toBe(1);
		expect(found4(NODE, REMOTE)).toMatchObject({
			flags: MASQUERADE | SVC_REPLY,
			xlateAddr: addressBytes(VIP.address),
			xlatePort: VIP.port,
			client: addressBytes(POD.address),
			snatPort: POD.port,
		});
		expect(found4(POD, VIP)).toMatchObject(forward);
		expect(found4(REMOTE, POD)).toMatchObject(reply);
	});

	it('of an echo have the identifier twice; over IPv6 too', async () => {
		const { port, flow6, found6, convert } = world();
		const [pod, node, remote] = ['fd00::5', 'fd50::1', '2001:db8::9'].map((address) => ({ address, port: 7 })) as [
			End,
			End,
			End,
		];
		const [own, far] = [
			{ ...node, port: 50_000 },
			{ ...remote, port: 50_000 },
		];
		port(far, own, pod, L4Proto.ICMPV6);
		flow6(remote, pod, { flags: MASQUERADE | INITIATOR_IS_HI, snatPort: 50_000 }, L4Proto.ICMPV6);
		expect(await convert()).toBe(1);
		expect(found6(far, own, L4Proto.ICMPV6)).toMatchObject({
			flags: MASQUERADE | SVC_REPLY | INITIATOR_IS_HI,
			client: addressBytes(pod.address),
			xlateAddr: addressBytes(remote.address),
			xlatePort: 7,
			snatPort: 7,
		});
	});

	it('are left alone when they are gone, use another port, or are converted already', async () => {
		const { port, flow4, found4, convert, ct4 } = world();
		port(REMOTE, NODE, POD);
		port(REMOTE, { ...NODE, port: 50_001 }, { ...POD, port: 4001 });
		flow4({ ...POD, port: 4001 }, REMOTE, { flags: MASQUERADE, snatPort: 50_002 });
		expect(await convert()).toBe(0);
		flow4(POD, REMOTE, { flags: MASQUERADE, snatPort: NODE.port });
		expect([await convert(), await convert()]).toEqual([1, 0]);
		expect(found4(REMOTE, NODE)).toBeDefined();
		expect(ct4.entries()).toHaveLength(3);
	});

	it('name the responder again after a later copy of the old table', async () => {
		const { port, flow4, found4, convert } = world();
		port(REMOTE, NODE, POD);
		for (const created of [3, 4]) {
			flow4(POD, REMOTE, { flags: MASQUERADE, snatPort: NODE.port, created });
			await convert();
			expect(found4(POD, REMOTE)).toMatchObject({
				created,
				xlateAddr: addressBytes(REMOTE.address),
				xlatePort: REMOTE.port,
			});
		}
	});

	it('are lost where the table is full', async () => {
		const { port, flow4, convert } = world(1);
		port(REMOTE, NODE, POD);
		flow4(POD, REMOTE, { flags: MASQUERADE, snatPort: NODE.port });
		expect(await convert()).toBe(0);
	});
});
