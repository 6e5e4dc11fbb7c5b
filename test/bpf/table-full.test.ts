/** A conntrack table without room: what is in it stays, what comes is carried all the same. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Ct4Entry, CtEntry, CtFlags, Metric } from '../../native/abi/generated.ts';
import { indexKey, VERDICT } from '../lib/dataplane.ts';
import { echo, ip, layerOf, parse, tcp, udp } from '../lib/packet.ts';
import {
	expectVerdict,
	FAMILIES,
	ipOf,
	POD_A,
	POD_B,
	podFrame,
	SERVICE,
	SNAT,
	TestNode,
	uplinkFrame,
	WORLD,
} from './world.ts';

/** Entries of a table; each flow of a service takes two. */
const ROOM = 24_000;
const HELD = 10_000;
const FLOOD = 5000;

let node: TestNode;
beforeAll(async () => {
	const mapSizes = { ...WORLD.mapSizes, ct4: ROOM, ct6: ROOM, ctfull4: 1024, ctfull6: 1024, events: 1 << 22 };
	node = await TestNode.start({ ...WORLD, mapSizes });
});
afterAll(() => node?.close());
beforeEach(async () => {
	await node.reset();
	await node.dataplane.set('ctfull', indexKey(0), new Uint8Array(4));
});

const count = async (map: string): Promise<number> => (await node.dataplane.entries(map)).length;
const range = (length: number): number[] => Array.from({ length }, (_unused, i) => i);

async function foundFull(): Promise<bigint> {
	const row = (await node.dataplane.entries('metrics')).find(({ key }) => key[0] === Metric.CT_FULL);
	const view = new DataView(row?.value.buffer ?? new ArrayBuffer(0), row?.value.byteOffset);
	let sum = 0n;
	for (let at = 0; at + 8 <= view.byteLength; at += 8) sum += view.getBigUint64(at, true);
	return sum;
}

describe.each(FAMILIES)('a full conntrack table, IPv$family', (x) => {
	const [table, overflow] = x.family === 4 ? ['ct4', 'ctfull4'] : ['ct6', 'ctfull6'];
	const packet = (sport: number, flags: string) =>
		podFrame(POD_A, ip(x.a, x.vip), tcp({ sport, dport: SERVICE.web, flags, seq: 1, ack: flags === 'S' ? 0 : 1 }));
	const send = (ports: readonly number[], flags: string) =>
		node.dataplane.runMany(
			'from_pod',
			ports.map((sport) => packet(sport, flags)),
			{ device: POD_A.device, ingressDevice: POD_A.device },
		);
	const held = range(HELD).map((i) => 1024 + i);
	const flood = range(FLOOD).map((i) => 20_000 + i);

	it(`loses none of ${HELD} idle connections in a flood of new ones, and carries those too`, async () => {
		await send(held, 'S');
		expect(await count(table)).toBe(2 * HELD);
		const before = await foundFull();
		const answers = await send(flood, 'S');
		expect(answers.every(({ verdict }) => verdict === VERDICT.REDIRECT)).toBe(true);
		expect(await count(table)).toBe(ROOM);
		expect(Number((await foundFull()) - before)).toBe(2 * FLOOD - (ROOM - 2 * HELD));
		const later = await send(held, 'A');
		const lost = later.filter(({ packet: bytes, verdict }) => {
			const layer = layerOf(parse(bytes), x.family === 4 ? 'ipv4' : 'ipv6');
			return verdict !== VERDICT.REDIRECT || layer.dst !== x.b;
		});
		expect(lost).toEqual([]);
		expect((await node.flows()).filter(({ client }) => held.includes(client.port))).toHaveLength(2 * HELD);
	}, 60_000);

	it('translates both directions of a connection that found no room', async () => {
		await send([...held, ...flood.slice(0, 2000)], 'S');
		await send([50_000], 'S');
		expect(await count(overflow)).toBe(2);
		const reply = podFrame(POD_B, ip(x.b, x.a), tcp({ sport: 8080, dport: 50_000, flags: 'SA', seq: 1, ack: 2 }));
		const answered = await node.fromPod(POD_B, reply);
		const parsed = parse(answered.packet);
		expect(layerOf(parsed, 'tcp')).toMatchObject({ sport: SERVICE.web, dport: 50_000 });
		expect(layerOf(parsed, x.family === 4 ? 'ipv4' : 'ipv6')).toMatchObject({ src: x.vip, dst: x.a });
		const [first] = await send([50_000], 'A');
		expect(first?.verdict).toBe(VERDICT.REDIRECT);
		expect(await count(overflow)).toBe(2);
		const flows = (await node.flows()).filter(({ client }) => client.port === 50_000);
		expect(flows.map(({ flags }) => flags & CtFlags.ESTABLISHED)).toContain(CtFlags.ESTABLISHED);
	}, 60_000);

	it('takes a flow back into the table when its port is used again and there is room', async () => {
		await send([...held, ...flood.slice(0, 2000), 50_000], 'S');
		expect(await count(overflow)).toBe(2);
		await node.dataplane.clear(table);
		await send([50_000], 'F');
		await send([50_000], 'S');
		expect([await count(table), await count(overflow)]).toEqual([2, 0]);
	}, 60_000);
});

describe.each(FAMILIES)('masqueraded flows that find the table full, IPv$family', (x) => {
	const [table, overflow] = x.family === 4 ? ['ct4', 'ctfull4'] : ['ct6', 'ctfull6'];
	const room = 64;
	let small: TestNode;
	beforeAll(async () => {
		small = await TestNode.start({ ...WORLD, mapSizes: { ...WORLD.mapSizes, ct4: room, ct6: room } });
	});
	afterAll(() => small?.close());
	beforeEach(async () => {
		await small.reset();
		await small.dataplane.set('ctfull', indexKey(0), new Uint8Array(4));
		const packets = range(room / 2).map((i) => podFrame(POD_A, ip(x.a, x.vip), udp({ sport: 1024 + i, dport: 53 })));
		await small.dataplane.runMany('from_pod', packets, { device: POD_A.device, ingressDevice: POD_A.device });
	});

	const rows = async (map: string): Promise<number> => (await small.dataplane.entries(map)).length;
	const query = (sport: number, pod: typeof POD_A | typeof POD_B = POD_A) =>
		podFrame(pod, ip(pod === POD_A ? x.a : x.b, x.world), udp({ sport, dport: 53 }));
	/** The port that the world sees. */
	const out = async (pod: typeof POD_A | typeof POD_B, sent: Uint8Array, kind: 'udp' | 'tcp'): Promise<number> => {
		const got = await small.fromPod(pod, sent);
		expect(ipOf(got.packet)).toMatchObject({ src: x.node, dst: x.world });
		return layerOf(expectVerdict(sent, got, VERDICT.REDIRECT), kind).sport;
	};

	it('keep their ports while the entries for their replies are there', async () => {
		const segment = (flags: string) => podFrame(POD_A, ip(x.a, x.world), tcp({ sport: 40_000, dport: 443, flags }));
		const ping = podFrame(POD_A, ip(x.a, x.world), echo(x.family, { id: 99, seq: 3 }));
		const identifier = async () => {
			const got = expectVerdict(ping, await small.fromPod(POD_A, ping), VERDICT.REDIRECT);
			return layerOf(got, x.family === 4 ? 'icmp' : 'icmpv6').rest >>> 16;
		};
		const first = [await out(POD_A, query(40_000), 'udp'), await out(POD_A, segment('S'), 'tcp'), await identifier()];
		expect([await rows(table), await rows(overflow)]).toEqual([room, 6]);
		const second = [await out(POD_A, query(40_000), 'udp'), await out(POD_A, segment('A'), 'tcp'), await identifier()];
		expect(second).toEqual(first);
		expect([await rows(table), await rows(overflow)]).toEqual([room, 6]);
	});

	it('get another port when the entry that held their own has been evicted', async () => {
		const port = await out(POD_A, query(40_000), 'udp');
		for (const { key, value } of await small.dataplane.entries(overflow)) {
			const { flags } = x.family === 4 ? Ct4Entry.decode(value) : CtEntry.decode(value);
			if (flags & CtFlags.SVC_REPLY) await small.dataplane.delete(overflow, key);
		}
		expect(await rows(overflow)).toBe(1);
		expect(await out(POD_B, query(port, POD_B), 'udp')).toBe(port);
		const other = await out(POD_A, query(40_000), 'udp');
		expect(other).toSatisfy((each: number) => each >= SNAT.min && each <= SNAT.max && each !== port);
		expect(await out(POD_A, query(40_000), 'udp')).toBe(other);
		for (const [to, pod] of [
			[port, x.b],
			[other, x.a],
		] as const) {
			const answer = uplinkFrame(ip(x.world, x.node), udp({ sport: 53, dport: to }));
			const got = await small.fromUplink(answer);
			expectVerdict(answer, got, VERDICT.REDIRECT);
			expect(ipOf(got.packet)).toMatchObject({ src: x.world, dst: pod });
		}
	});
});
