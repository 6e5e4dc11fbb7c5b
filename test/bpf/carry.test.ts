/**
 * Flows of tables that are being replaced by tables of another layout: what programs find in the old ones, and write there. The old layout here
 * is the new one behind eight other bytes, the first of which means something that the new one cannot say.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Ct4Entry, CtEntry, CtFlags, DropReason, RuntimeState } from '../../native/abi/generated.ts';
import { indexKey, VERDICT } from '../lib/dataplane.ts';
import { ip, layerOf, raw, tcp, udp } from '../lib/packet.ts';
import {
	BACKEND_PORT,
	expectDrop,
	expectVerdict,
	FAMILIES,
	ipOf,
	NODE_PORT,
	POD_A,
	POD_B,
	podFrame,
	SERVICE,
	SNAT,
	TestNode,
	uplinkFrame,
	WORLD,
} from './world.ts';

const VALUE_MAX = 128;
const SHIFT = 8;
const NONE = 255;
const MUST_BE_ZERO = 254;
const TABLES = ['ct4', 'ct6'] as const;
const SIZES = { ct4: Ct4Entry.size, ct6: CtEntry.size };
const PAYLOAD = raw('datagram');

const bytes = (places: readonly number[]): string =>
	places.map((place) => place.toString(16).padStart(2, '0')).join(':');
const placesOf = (table: (typeof TABLES)[number]): Record<string, string> => ({
	[`carry_${table}_in`]: bytes(
		Array.from({ length: VALUE_MAX }, (_, index) => (index < SIZES[table] ? index + SHIFT : NONE)),
	),
	[`carry_${table}_out`]: bytes(
		Array.from({ length: VALUE_MAX }, (_, index) => {
			if (index === 0) return MUST_BE_ZERO;
			return index >= SHIFT && index < SHIFT + SIZES[table] ? index - SHIFT : NONE;
		}),
	),
});

let node: TestNode;
beforeAll(async () => {
	const config = { ...WORLD.config, carry: 3, ...placesOf('ct4'), ...placesOf('ct6') };
	const mapSizes = { ...WORLD.mapSizes, ct4_old: 64, ct6_old: 64 };
	node = await TestNode.start({ ...WORLD, config, mapSizes });
});
afterAll(() => node?.close());
beforeEach(async () => {
	await node.reset();
	for (const table of TABLES) await node.dataplane.clear(`${table}_old`);
	await migrate(1);
});

async function migrate(migrating: 0 | 1): Promise<void> {
	const [row] = await node.dataplane.entries('runtime');
	await node.dataplane.set(
		'runtime',
		indexKey(0),
		RuntimeState.encode({ ...RuntimeState.decode(row!.value), migrating }),
	);
}

/** Leaves all flows to the old tables alone. @param other  what the field says that only they have */
async function moveToOld(other = 0): Promise<void> {
	for (const table of TABLES) {
		await node.dataplane.clear(`${table}_old`);
		for (const { key, value } of await node.dataplane.entries(table)) {
			const old = new Uint8Array(VALUE_MAX);
			old.set(value.subarray(0, SIZES[table]), SHIFT);
			old[0] = other;
			await node.dataplane.set(`${table}_old`, key, old);
		}
		await node.dataplane.clear(table);
	}
}

/** Rows of an old table as the new one would have them. */
async function oldRows(table: (typeof TABLES)[number]): Promise<string[]> {
	const rows = await node.dataplane.entries(`${table}_old`);
	return rows.map(({ key, value }) => hex(key, value.subarray(SHIFT, SHIFT + SIZES[table]))).sort();
}
async function newRows(table: (typeof TABLES)[number]): Promise<string[]> {
	return (await node.dataplane.entries(table)).map(({ key, value }) => hex(key, value)).sort();
}
const hex = (...parts: Uint8Array[]): string => parts.map((part) => Buffer.from(part).toString('hex')).join(' ');

describe.each(FAMILIES)('while tables are replaced, IPv$family', (x) => {
	const table = x.family === 4 ? 'ct4' : 'ct6';
	const query = () =>
		node.fromPod(POD_A, podFrame(POD_A, ip(x.a, x.vip), udp({ sport: 5000, dport: SERVICE.dns }), PAYLOAD));
	const answer = podFrame(POD_B, ip(x.b, x.a), udp({ sport: BACKEND_PORT.dns, dport: 5000 }), PAYLOAD);

	it('an answer finds its flow in the old table, and both have it then', async () => {
		await query();
		await moveToOld();
		const got = await node.fromPod(POD_B, answer);
		expect(layerOf(expectVerdict(answer, got, VERDICT.REDIRECT), 'udp')).toMatchObject({ sport: SERVICE.dns });
		expect(ipOf(got.packet)).toMatchObject({ src: x.vip, dst: x.a });
		const [reply, ...more] = await node.flows();
		expect(more).toEqual([]);
		expect(reply?.flags).toBe((reply?.flags ?? 0) | CtFlags.SVC_REPLY | CtFlags.ESTABLISHED);
		expect(reply?.entry).toMatchObject({ packets: [1, 1] });
		expect(await oldRows(table)).toHaveLength(2);
	});

	it('an answer of a TCP connection does, too', async () => {
		await node.fromPod(POD_A, podFrame(POD_A, ip(x.a, x.vip), tcp({ sport: 5001, dport: SERVICE.web, flags: 'S' })));
		await moveToOld();
		const sent = podFrame(POD_B, ip(x.b, x.a), tcp({ sport: BACKEND_PORT.web, dport: 5001, flags: 'SA' }));
		const got = await node.fromPod(POD_B, sent);
		expect(layerOf(expectVerdict(sent, got, VERDICT.REDIRECT), 'tcp')).toMatchObject({ sport: SERVICE.web });
	});

	it('an answer from the world finds its port', async () => {
		const out = podFrame(POD_A, ip(x.a, x.world), udp({ sport: 5002, dport: 53 }), PAYLOAD);
		const { sport } = layerOf(expectVerdict(out, await node.fromPod(POD_A, out), VERDICT.REDIRECT), 'udp');
		await moveToOld();
		const back = uplinkFrame(ip(x.world, x.node), udp({ sport: 53, dport: sport }), PAYLOAD);
		const got = await node.fromUplink(back);
		expect(layerOf(expectVerdict(back, got, VERDICT.REDIRECT), 'udp')).toMatchObject({ dport: 5002 });
		expect(ipOf(got.packet)).toMatchObject({ src: x.world, dst: x.a });
	});

	it('a new flow is in both tables', async () => {
		await query();
		expect(await oldRows(table)).toEqual(await newRows(table));
		expect(await oldRows(table)).toHaveLength(2);
		const out = podFrame(POD_A, ip(x.a, x.world), udp({ sport: 5003, dport: 53 }), PAYLOAD);
		await node.fromPod(POD_A, out);
		expect(await oldRows(table)).toEqual(await newRows(table));
		expect(await oldRows(table)).toHaveLength(4);
	});

	it('what the new layout cannot express is not taken', async () => {
		await query();
		await moveToOld(1);
		expect(ipOf((await node.fromPod(POD_B, answer)).packet).src).toBe(x.b);
	});

	it('a packet amid a TCP connection that no table knows is dropped', async () => {
		const sent = podFrame(POD_A, ip(x.a, x.vip), tcp({ sport: 5004, dport: SERVICE.web, flags: 'A' }));
		expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.MIGRATING);
	});

	it('what is amid a connection of the node itself goes on, and only that', async () => {
		const amid = (dport: number, flags = 'A') => uplinkFrame(ip(x.world, x.node), tcp({ sport: 443, dport, flags }));
		for (const own of [amid(22), amid(50_022), amid(50_022, 'SA'), amid(50_022, 'FA'), amid(50_022, 'R')])
			expectVerdict(own, await node.fromUplink(own), VERDICT.NEXT);
		for (const given of [amid(SNAT.min), amid(SNAT.max, 'SA'), amid(NODE_PORT.web)])
			expectDrop(given, await node.fromUplink(given), DropReason.MIGRATING);
	});

	it('nothing is read or written when it is over', async () => {
		await migrate(0);
		await query();
		expect(await oldRows(table)).toEqual([]);
		await moveToOld();
		expect(ipOf((await node.fromPod(POD_B, answer)).packet).src).toBe(x.b);
	});
});
