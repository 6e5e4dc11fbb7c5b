/** Which backend a service gives to whom: affinity, source ranges, Maglev tables, least connections. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
	AffinityEntry,
	AffinityKey,
	Backend,
	BackendFlags,
	CtBackendWord,
	DropReason,
	SourceKey,
	SvcFlags,
} from '../../native/abi/generated.ts';
import type { ServiceFixture } from '../lib/dataplane.ts';
import { indexKey, VERDICT } from '../lib/dataplane.ts';
import { flowSlot } from '../lib/flow-hash.ts';
import { address16, addressText, ip, tcp } from '../lib/packet.ts';
import {
	type Addresses,
	expectDrop,
	expectVerdict,
	FAMILIES,
	POD_A,
	POD_B,
	PROTO,
	podFrame,
	TestNode,
	uplinkFrame,
	WORLD,
} from './world.ts';

const PORT = { sticky: 200, stickyLocal: 201, ranges: 202, maglev: 203, least: 204, draining: 205 } as const;
const BACKEND = { port: 7000, count: 8 } as const;
const SET = 7;
const GOOD = BackendFlags.LIVE | BackendFlags.SERVING;
/** A table of 61 slots in no particular order. */
const TABLE = Array.from({ length: 61 }, (_unused, i) => (i * 7 + (i >> 3)) % BACKEND.count);

/** The node has no other endpoints: a Local policy falls back to it, and the `all` list has those of other nodes. */
const drain = <T>(backend: T) => ({
	...backend,
	flags: BackendFlags.SERVING | BackendFlags.TERMINATING | BackendFlags.LOCAL,
});

function services(x: Addresses): ServiceFixture[] {
	const at = { address: x.vip, proto: PROTO.TCP };
	const outside = { address: x.external, proto: PROTO.TCP, external: true };
	const backends = Array.from({ length: BACKEND.count }, (_unused, i) => ({
		address: x.b,
		port: BACKEND.port + i,
		local: i < 2,
		flags: GOOD | (i < 2 ? BackendFlags.LOCAL : 0),
	}));
	const sticky = { flags: SvcFlags.AFFINITY, affinityTimeoutS: 60, backends };
	return [
		{ ...at, ...sticky, port: PORT.sticky },
		{ ...outside, ...sticky, port: PORT.stickyLocal, flags: SvcFlags.AFFINITY | SvcFlags.LOCAL_EXTERNAL },
		{ ...outside, port: PORT.ranges, sourceSet: SET, backends },
		{ ...at, port: PORT.maglev, backends, table: TABLE },
		{ ...at, port: PORT.least, flags: SvcFlags.LEAST_CONN, backends: backends.slice(0, 2) },
		{ ...outside, port: PORT.draining, flags: SvcFlags.LOCAL_EXTERNAL, backends: backends.slice(0, 2).map(drain) },
	];
}

let node: TestNode;
beforeAll(async () => {
	const mapSizes = { ...WORLD.mapSizes, backends: 256, conns: 256 };
	node = await TestNode.start({ ...WORLD, mapSizes, services: FAMILIES.flatMap(services) });
});
afterAll(() => node?.close());
beforeEach(async () => {
	await node.reset();
	await node.dataplane.clear('affinity');
	await node.dataplane.clear('sources');
});

const range = (n: number): number[] => Array.from({ length: n }, (_unused, i) => i);

describe.each(FAMILIES)('services of IPv$family', (x) => {
	const fromPod = async (port: number, sport: number) =>
		node.fromPod(POD_A, podFrame(POD_A, ip(x.a, x.vip), tcp({ sport, dport: port, flags: 'S' })));
	const outsideFrame = (src: string, port: number, sport: number) =>
		uplinkFrame(ip(src, x.external), tcp({ sport, dport: port, flags: 'S' }));
	/** Port of the backend that a client's flow got. */
	const chosen = async (client: string, port: number): Promise<number> => {
		const flows = await node.flows();
		const flow = flows.find((f) => f.client.address === client && f.client.port === port && f.entry.xlatePort >= 7000);
		return flow?.entry.xlatePort ?? 0;
	};
	const podPorts = async (port: number, sports: readonly number[]): Promise<number[]> => {
		for (const sport of sports) expect((await fromPod(port, sport)).verdict).toBe(VERDICT.REDIRECT);
		return Promise.all(sports.map((sport) => chosen(x.a, sport)));
	};
	/** Row of the n-th backend of a service of this family. */
	const rowOf = async (port: number, n: number) => {
		const ids = FAMILIES.flatMap((of) => services(of).map((service) => `${of.family} ${service.port}`));
		const id = ids.indexOf(`${x.family} ${port}`) + 1;
		const rows = await node.dataplane.entries('backends');
		const found = rows.filter(({ value }) => Backend.decode(value).svcId === id)[n];
		if (!found) throw new Error('no such backend');
		const index = new DataView(found.key.buffer, found.key.byteOffset).getUint32(0, true);
		return { ...found, index, backend: Backend.decode(found.value) };
	};
	const affinity = async () => {
		const [row] = await node.dataplane.entries('affinity');
		if (!row) throw new Error('no affinity entry');
		const entry = AffinityEntry.decode(row.value);
		const set = (changes: Partial<AffinityEntry>) =>
			node.dataplane.set('affinity', row.key, AffinityEntry.encode({ ...entry, ...changes }));
		return { entry, set };
	};

	it('keeps a connection whose SYN comes again with a draining backend that a Local policy falls back to', async () => {
		for (const sport of range(20).map((i) => 41_000 + i)) {
			const syn = outsideFrame(x.world, PORT.draining, sport);
			expectVerdict(syn, await node.fromUplink(syn), VERDICT.REDIRECT);
			const first = await chosen(x.world, sport);
			expect(first).toBeGreaterThan(0);
			expectVerdict(syn, await node.fromUplink(syn), VERDICT.REDIRECT);
			expect(await chosen(x.world, sport)).toBe(first);
		}
	});

	describe('session affinity', () => {
		it('gives all connections of a client to one backend, and other clients theirs', async () => {
			const ports = new Set(
				await podPorts(
					PORT.sticky,
					range(20).map((i) => 41_000 + i),
				),
			);
			expect(ports.size).toBe(1);
			const entries = await node.dataplane.entries('affinity');
			expect(entries.map(({ key }) => addressText(AffinityKey.decode(key).client))).toEqual([x.a]);
		});

		it('forgets the backend after the time of the service', async () => {
			const [first] = await podPorts(PORT.sticky, [41_000]);
			const { entry, set } = await affinity();
			const afterSeconds = async (seconds: number, from: number): Promise<Set<number | undefined>> => {
				const got: (number | undefined)[] = [];
				for (const sport of range(20).map((i) => from + i)) {
					await set({ lastUsed: (entry.lastUsed - seconds * 250) >>> 0 });
					got.push(...(await podPorts(PORT.sticky, [sport])));
				}
				return new Set(got);
			};
			expect(await afterSeconds(50, 42_000)).toEqual(new Set([first]));
			expect((await afterSeconds(61, 43_000)).size).toBeGreaterThan(1);
		});

		it('counts the time of the service from the last connection', async () => {
			const [first] = await podPorts(PORT.sticky, [41_000]);
			const got: (number | undefined)[] = [];
			for (const sport of range(20).map((i) => 44_000 + i)) {
				const { entry, set } = await affinity();
				await set({ lastUsed: (entry.lastUsed - 50 * 250) >>> 0 });
				got.push(...(await podPorts(PORT.sticky, [sport])));
			}
			expect(new Set(got)).toEqual(new Set([first]));
		});

		it.each([
			['left the list', { flags: BackendFlags.SERVING }],
			['is another one in the same row', { generation: 9 }],
		])('chooses anew when the backend %s', async (_what, change) => {
			const [first = 0] = await podPorts(PORT.sticky, [41_000]);
			const { set } = await affinity();
			const { key, value, backend } = await rowOf(PORT.sticky, first - BACKEND.port);
			await node.dataplane.set('backends', key, Backend.encode({ ...backend, ...change }));
			try {
				const got: number[] = [];
				for (const sport of range(20).map((i) => 43_000 + i)) {
					await set({});
					got.push(...(await podPorts(PORT.sticky, [sport])));
				}
				expect(new Set(got).size).toBeGreaterThan(1);
			} finally {
				await node.dataplane.set('backends', key, value);
			}
		});

		it('does not use a backend elsewhere where the policy is Local', async () => {
			await node.fromUplink(outsideFrame(x.world, PORT.stickyLocal, 50_000));
			const { set } = await affinity();
			await set({ backend: (await rowOf(PORT.stickyLocal, 5)).index });
			await node.fromUplink(outsideFrame(x.world, PORT.stickyLocal, 50_001));
			expect([BACKEND.port, BACKEND.port + 1]).toContain(await chosen(x.world, 50_001));
		});

		it('uses it for clients of this node, whom the external policy does not concern', async () => {
			const connect = (sport: number) =>
				node.fromPod(POD_A, podFrame(POD_A, ip(x.a, x.external), tcp({ sport, dport: PORT.stickyLocal, flags: 'S' })));
			await connect(50_000);
			const { set } = await affinity();
			await set({ backend: (await rowOf(PORT.stickyLocal, 5)).index });
			await connect(50_001);
			expect(await chosen(x.a, 50_001)).toBe(BACKEND.port + 5);
		});
	});

	describe('source ranges', () => {
		const allow = (address: string, bits: number) =>
			node.dataplane.set(
				'sources',
				SourceKey.encode({
					prefixLen: 32 + bits + (x.family === 4 ? 96 : 0),
					set: SET,
					addr: address16(address),
				}),
				new Uint8Array(4),
			);

		it('drops whoever is in none, from outside and inside, and names the reason', async () => {
			const frame = outsideFrame(x.world, PORT.ranges, 50_000);
			expectDrop(frame, await node.fromUplink(frame), DropReason.SOURCE_RANGE);
			const inside = podFrame(POD_A, ip(x.a, x.external), tcp({ sport: 50_001, dport: PORT.ranges, flags: 'S' }));
			expectDrop(inside, await node.fromPod(POD_A, inside), DropReason.SOURCE_RANGE);
		});

		it('serves whoever is in one', async () => {
			await allow(x.world, x.family === 4 ? 24 : 64);
			const frame = outsideFrame(x.world, PORT.ranges, 50_000);
			expect((await node.fromUplink(frame)).verdict).toBe(VERDICT.REDIRECT);
			expectDrop(
				outsideFrame(x.native, PORT.ranges, 50_001),
				await node.fromUplink(outsideFrame(x.native, PORT.ranges, 50_001)),
				DropReason.SOURCE_RANGE,
			);
		});
	});

	it('takes the slot of a Maglev table by the hash of the flow', async () => {
		const sports = range(60).map((i) => 44_000 + i);
		const expected = sports.map((sport) => {
			const tuple = { src: x.a, dst: x.vip, sport, dport: PORT.maglev, proto: PROTO.TCP };
			return BACKEND.port + (TABLE[flowSlot(tuple, TABLE.length)] ?? 0);
		});
		expect(await podPorts(PORT.maglev, sports)).toEqual(expected);
		expect(new Set(expected).size).toBe(BACKEND.count);
	});

	describe('least connections', () => {
		const word = async (index: number): Promise<number> => {
			const rows = await node.dataplane.entries('conns');
			const row = rows.find(({ key }) => new DataView(key.buffer, key.byteOffset).getUint32(0, true) === index);
			return row ? new DataView(row.value.buffer, row.value.byteOffset).getUint32(0, true) : 0;
		};
		const open = async (index: number): Promise<number> => (await word(index)) & CtBackendWord.MASK;
		const setOpen = (index: number, generation: number, count: number): Promise<void> =>
			node.dataplane.set('conns', indexKey(index), indexKey(((generation << CtBackendWord.BITS) | count) >>> 0));

		it('counts connections, prefers the backend with fewer, and forgets those that end', async () => {
			const [light, heavy] = [(await rowOf(PORT.least, 0)).index, (await rowOf(PORT.least, 1)).index];
			await setOpen(light, 1, 0);
			await setOpen(heavy, 1, 1000);
			const got = await podPorts(
				PORT.least,
				range(40).map((i) => 45_000 + i),
			);
			// Two random candidates: both are the loaded one in a quarter of all cases.
			const toLight = got.filter((port) => port === BACKEND.port).length;
			expect(toLight).toBeGreaterThan(20);
			expect([await open(light), await open(heavy)]).toEqual([toLight, 1000 + 40 - toLight]);
			const [first = 0, second = 0] = got.flatMap((port, i) => (port === BACKEND.port ? [45_000 + i] : []));
			const fromClient = (sport: number, flags: string) =>
				podFrame(POD_A, ip(x.a, x.vip), tcp({ sport, dport: PORT.least, flags, seq: 2, ack: 2 }));
			const fromBackend = (dport: number, flags: string) =>
				podFrame(POD_B, ip(x.b, x.a), tcp({ sport: BACKEND.port, dport, flags, seq: 1, ack: 2 }));
			await node.fromPod(POD_B, fromBackend(first, 'FA'));
			expect(await open(light)).toBe(toLight);
			await node.fromPod(POD_A, fromClient(first, 'FA'));
			await node.fromPod(POD_A, fromClient(first, 'FA'));
			expect(await open(light)).toBe(toLight - 1);
			await node.fromPod(POD_A, fromClient(second, 'R'));
			await node.fromPod(POD_A, fromClient(second, 'R'));
			expect(await open(light)).toBe(toLight - 2);
		});

		it('begins at nothing when a row is used anew, whatever is left of the backend that had it', async () => {
			const [loaded, anew] = [(await rowOf(PORT.least, 0)).index, (await rowOf(PORT.least, 1)).index];
			await setOpen(loaded, 1, 500);
			await setOpen(anew, 255, 1000);
			const got = await podPorts(
				PORT.least,
				range(40).map((i) => 46_000 + i),
			);
			const toAnew = got.filter((port) => port !== BACKEND.port).length;
			expect(toAnew).toBeGreaterThan(20);
			expect([await open(loaded), await word(anew)]).toEqual([500 + 40 - toAnew, (1 << CtBackendWord.BITS) | toAnew]);
			const sport = 46_000 + got.indexOf(BACKEND.port);
			await setOpen(loaded, 2, 500);
			const reset = podFrame(POD_A, ip(x.a, x.vip), tcp({ sport, dport: PORT.least, flags: 'R', seq: 2 }));
			await node.fromPod(POD_A, reset);
			expect(await open(loaded)).toBe(500);
		});
	});
});
