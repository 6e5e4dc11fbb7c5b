import { afterEach, describe, expect, it } from 'vitest';
import { Ct4Entry, Ct4Key, CtEntry, CtFlags, CtKey, L4Proto } from '../../native/abi/generated.ts';
import { BpfMap } from '../../native/index.ts';
import { forgetAddresses, forgetDestinations } from './ct-forget.ts';

const NOW = 0x8000_0000;
const HASH = 1;
const LRU_HASH = 9;
const CT4 = { keySize: Ct4Key.size, valueSize: Ct4Entry.size };
const CT6 = { keySize: CtKey.size, valueSize: CtEntry.size };
type Rows = readonly (readonly [Uint8Array, Uint8Array])[];

const opened: BpfMap[] = [];
afterEach(() => {
	for (const map of opened.splice(0)) map.close();
});

function mapOf(sizes: { keySize: number; valueSize: number }, rows: Rows = [], type = HASH): BpfMap {
	const map = BpfMap.create({ type, name: 'forget', maxEntries: 100, ...sizes });
	opened.push(map);
	for (const [key, value] of rows) map.set(key, value);
	return map;
}

function tables({ ct4 = [], ct6 = [], ctfull4 = [] }: { ct4?: Rows; ct6?: Rows; ctfull4?: Rows }) {
	return {
		ct4: mapOf(CT4, ct4),
		ct6: mapOf(CT6, ct6),
		ctfull4: mapOf(CT4, ctfull4, LRU_HASH),
		ctfull6: mapOf(CT6, [], LRU_HASH),
	};
}

const ipv4 = (last: number, net: number): number => ((net << 24) | last) >>> 0;
const v4 = (last: number, net = 10): Uint8Array => Uint8Array.of(...Array(10).fill(0), 0xff, 0xff, net, 0, 0, last);
const v6 = (last: number): Uint8Array =>
	Uint8Array.from({ length: 16 }, (_, i) => (i === 0 ? 0xfd : i === 15 ? last : 0));
const entry4 = (over: Partial<Ct4Entry> = {}): Uint8Array =>
	Ct4Entry.encode({ ...Ct4Entry.decode(new Uint8Array(Ct4Entry.size)), ...over });
const entry6 = (over: Partial<CtEntry> = {}): Uint8Array =>
	CtEntry.encode({ ...CtEntry.decode(new Uint8Array(CtEntry.size)), ...over });

describe('addresses that change hands', () => {
	const key = (proto: number): Uint8Array =>
		Ct4Key.encode({ lo: ipv4(5, 10), hi: ipv4(9, 203), loPort: 4000, hiPort: 443, proto });

	it('forgets the flows of an address at either end and no others', async () => {
		const other = Ct4Key.encode({ lo: ipv4(7, 10), hi: ipv4(9, 203), loPort: 1, hiPort: 2, proto: L4Proto.UDP });
		const row6 = CtKey.encode({ lo: v6(1), hi: v6(2), loPort: 1, hiPort: 2, proto: L4Proto.UDP });
		const maps = tables({
			ct4: [
				[key(L4Proto.TCP), entry4()],
				[other, entry4()],
			],
			ct6: [[row6, entry6()]],
			ctfull4: [[key(L4Proto.UDP), entry4()]],
		});
		expect((await forgetAddresses(maps, [v4(5), v6(1)])).deleted).toBe(3);
		expect(maps.ct4.entries().map(([row]) => [...row])).toEqual([[...other]]);
		expect(maps.ct6.entries()).toEqual([]);
		expect((await forgetAddresses(maps, [v4(8)])).deleted).toBe(0);
	});

	it('tells of the open connections of backends that end with them', async () => {
		const counted = { flags: CtFlags.SVC_REPLY | CtFlags.COUNTED, backend: 77 | (3 << 24) };
		const maps = tables({ ct4: [[key(L4Proto.TCP), entry4(counted)]] });
		expect((await forgetAddresses(maps, [v4(5)])).closedAtBackends).toEqual([77 | (3 << 24)]);
	});
});

/** Client .5 port 4000, service .9 port 53, backend .6 port 5353. */
describe.each([4, 6])('destinations that have another meaning, IPv%i', (family) => {
	const [client, service, backend] = family === 4 ? [v4(5), v4(9), v4(6)] : [v6(5), v6(9), v6(6)];
	const text = (address: Uint8Array): number => ipv4(address[15] ?? 0, address[12] ?? 0);
	/** With the smaller address first, which the client has. */
	const rowKey = (address: Uint8Array, hiPort: number, proto: number = L4Proto.UDP, loPort = 4000): Uint8Array =>
		family === 4
			? Ct4Key.encode({ lo: text(client), hi: text(address), loPort, hiPort, proto })
			: CtKey.encode({ lo: client, hi: address, loPort, hiPort, proto });
	const row = (flags: number, other: Uint8Array, xlatePort: number, created = NOW - 10): Uint8Array =>
		family === 4
			? entry4({ flags, xlateAddr: text(other), xlatePort, created, backend: 5 })
			: entry6({ flags, xlateAddr: other, xlatePort, created, backend: 5 });
	const forget = (maps: ReturnType<typeof tables>) =>
		forgetDestinations({ ...maps, clock: { now: () => NOW, hz: 250 }, nodeAddresses: [] }, [
			{ address: service, port: 53, proto: L4Proto.UDP, before: NOW },
			{ address: service, port: 54, proto: L4Proto.UDP, before: NOW - 20 },
		]);
	const tablesWith = (rows: Rows) => tables(family === 4 ? { ct4: rows } : { ct6: rows });
	const left = ({ ct4, ct6 }: ReturnType<typeof tables>): number => ct4.entries().length + ct6.entries().length;

	it('ends the flows that clients began towards them, with both entries', async () => {
		const maps = tablesWith([
			[rowKey(service, 53), row(CtFlags.SVC_FORWARD, backend, 5353)],
			[rowKey(backend, 5353), row(CtFlags.SVC_REPLY | CtFlags.COUNTED, service, 53)],
			[rowKey(service, 53, L4Proto.UDP, 4001), row(0, new Uint8Array(16), 0)],
		]);
		expect(await forget(maps)).toMatchObject({ deleted: 3, closedAtBackends: [5] });
		expect(left(maps)).toBe(0);
	});

	it.each<[string, Uint8Array, Uint8Array]>([
		['of another protocol', rowKey(service, 53, L4Proto.TCP), row(0, backend, 5353)],
		['to another port', rowKey(service, 55), row(0, backend, 5353)],
		['that began since one came, though before another did', rowKey(service, 54), row(0, backend, 5353, NOW - 20)],
		['to another address', rowKey(backend, 53), row(0, backend, 5353)],
		['that began since', rowKey(service, 53), row(CtFlags.SVC_FORWARD, backend, 5353, NOW)],
		['that came from there', rowKey(service, 53), row(CtFlags.INITIATOR_IS_HI, backend, 5353)],
		['of another service, whose backend it is', rowKey(service, 53), row(CtFlags.SVC_REPLY, backend, 80)],
	])('keeps flows %s', async (_what, key, value) => {
		const maps = tablesWith([[key, value]]);
		expect((await forget(maps)).deleted).toBe(0);
		expect(left(maps)).toBe(1);
	});
});
