/** What the programs remember and when they stop believing it; drops as events; fragments that change address. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
	Ct4Entry,
	CtEntry,
	CtFlags,
	DropReason,
	Endpoint,
	EventType,
	FlowEvent,
	Hook,
	IpcacheEntry,
	IpcacheKey,
	Metric,
	Node,
	RuntimeState,
} from '../../native/abi/generated.ts';
import { indexKey, VERDICT } from '../lib/dataplane.ts';
import {
	address16,
	addressText,
	build,
	concat,
	eth,
	fragments,
	ip,
	layerOf,
	parse,
	raw,
	tcp,
	udp,
} from '../lib/packet.ts';
import {
	BACKEND_PORT,
	expectDrop,
	expectVerdict,
	FAMILIES,
	GATEWAY_MAC,
	ipOf,
	POD_A,
	POD_B,
	podFrame,
	SERVICE,
	TestNode,
	UPLINK_MAC,
	uplinkFrame,
	WORLD,
} from './world.ts';

let node: TestNode;
beforeAll(async () => {
	node = await TestNode.start();
});
afterAll(() => node?.close());
beforeEach(() => node.reset());

/** Changes one row for the duration of `work`. */
async function withRow(
	map: string,
	key: Uint8Array,
	change: (old: Uint8Array) => Uint8Array,
	work: () => Promise<void>,
) {
	const same = (other: Uint8Array) => Buffer.compare(other, key) === 0;
	const old = (await node.dataplane.entries(map)).find((row) => same(row.key))?.value;
	if (!old) {
		throw new Error(`${map} has no such row`);
	}
	await node.dataplane.set(map, key, change(old));
	try {
		await work();
	} finally {
		await node.dataplane.set(map, key, old);
	}
}

describe.each(FAMILIES)('owners that change, IPv$family', (x) => {
	const toB = (flags: string) => podFrame(POD_A, ip(x.a, x.b), tcp({ sport: 40000, dport: 22, flags }));
	const toPod3 = (flags: string) => podFrame(POD_A, ip(x.a, x.pod3), tcp({ sport: 40001, dport: 22, flags }));

	it('does not deliver a connection to the next owner of the row', async () => {
		await node.fromPod(POD_A, toB('S'));
		const other = (old: Uint8Array) =>
			Endpoint.encode({
				...Endpoint.decode(old),
				gen: 2,
				addr4: address16('10.244.1.77'),
				addr6: address16('fd10:244:1::77'),
			});
		await withRow('endpoints', indexKey(POD_B.index), other, async () => {
			const sent = toB('A');
			expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.NO_ROUTE);
		});
	});

	it('drops what a pod sends whose row is another pod by now', async () => {
		await node.fromPod(POD_B, podFrame(POD_B, ip(x.b, x.a), tcp({ sport: 1, dport: 2, flags: 'S' })));
		const other = (old: Uint8Array) => Endpoint.encode({ ...Endpoint.decode(old), gen: 2 });
		await withRow('endpoints', indexKey(POD_B.index), other, async () => {
			const sent = podFrame(POD_B, ip(x.b, x.a), tcp({ sport: 1, dport: 2, flags: 'A' }));
			expectDrop(sent, await node.fromPod(POD_B, sent), DropReason.ENDPOINT_NOT_READY);
		});
	});

	it('does not take the end of a service connection for that of a later one from the same port, to another backend', async () => {
		const syn = podFrame(POD_A, ip(x.a, x.vip), tcp({ sport: 40002, dport: SERVICE.web, flags: 'S' }));
		expectVerdict(syn, await node.fromPod(POD_A, syn), VERDICT.REDIRECT);
		const table = x.family === 4 ? 'ct4' : 'ct6';
		const codec = x.family === 4 ? Ct4Entry : CtEntry;
		const flagsOf = (bytes: Uint8Array): number => codec.decode(bytes).flags;
		const forward = async () => {
			const rows = await node.dataplane.entries(table);
			return rows.find((row) => (flagsOf(row.value) & CtFlags.SVC_FORWARD) !== 0);
		};
		const row = await forward();
		if (row === undefined) throw new Error('there is no forward entry');
		const later =
			x.family === 4
				? Ct4Entry.encode({ ...Ct4Entry.decode(row.value), xlatePort: 9999 })
				: CtEntry.encode({ ...CtEntry.decode(row.value), xlatePort: 9999 });
		await node.dataplane.set(table, row.key, later);
		const end = podFrame(POD_B, ip(x.b, x.a), tcp({ sport: BACKEND_PORT.web, dport: 40002, flags: 'R' }));
		await node.fromPod(POD_B, end);
		const rows = await node.dataplane.entries(table);
		const closing = rows.filter(({ value }) => (flagsOf(value) & CtFlags.CLOSING) !== 0);
		expect(closing.map(({ value }) => flagsOf(value) & CtFlags.SVC_REPLY)).toEqual([CtFlags.SVC_REPLY]);
	});

	it('follows a pod address to another node', async () => {
		await node.fromPod(POD_A, toPod3('S'));
		const key = IpcacheKey.encode({ addr: address16(x.pod3) });
		const moved = { peer: { index: 2, gen: 1, kind: 2 }, identity: 15 };
		await node.dataplane.set('ipcache', key, IpcacheEntry.encode(moved));
		try {
			await withRow(
				'nodes',
				indexKey(3),
				(old) => Node.encode({ ...Node.decode(old), gen: 2 }),
				async () => {
					const sent = toPod3('A');
					expectVerdict(sent, await node.fromPod(POD_A, sent), VERDICT.REDIRECT);
					const flow = (await node.flows()).find((f) => f.server.address === x.pod3);
					expect(flow?.entry.peer[1]).toMatchObject({ index: 2, gen: 1 });
				},
			);
		} finally {
			await node.dataplane.delete('ipcache', key);
		}
	});

	it('drops packets to a node that is gone', async () => {
		await node.fromPod(POD_A, toPod3('S'));
		await withRow(
			'nodes',
			indexKey(3),
			(old) => Node.encode({ ...Node.decode(old), ifindex: 0 }),
			async () => {
				const sent = toPod3('A');
				expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.NO_ROUTE);
			},
		);
	});
});

describe.each(FAMILIES)('while entries are carried over, IPv$family', (x) => {
	const migrating = (old: Uint8Array) => RuntimeState.encode({ ...RuntimeState.decode(old), migrating: 1 });

	it('drops unknown TCP packets that open nothing, and lets known and new connections through', async () => {
		const known = podFrame(POD_A, ip(x.a, x.b), tcp({ sport: 41000, dport: 22, flags: 'S' }));
		await node.fromPod(POD_A, known);
		await withRow('runtime', indexKey(0), migrating, async () => {
			const ack = podFrame(POD_A, ip(x.a, x.b), tcp({ sport: 41000, dport: 22, flags: 'A' }));
			expectVerdict(ack, await node.fromPod(POD_A, ack), VERDICT.REDIRECT);
			const syn = podFrame(POD_A, ip(x.a, x.b), tcp({ sport: 41001, dport: 22, flags: 'S' }));
			expectVerdict(syn, await node.fromPod(POD_A, syn), VERDICT.REDIRECT);
			for (const target of [x.b, x.vip]) {
				const unknown = podFrame(POD_A, ip(x.a, target), tcp({ sport: 41002, dport: SERVICE.web, flags: 'A' }));
				expectDrop(unknown, await node.fromPod(POD_A, unknown), DropReason.MIGRATING);
			}
		});
	});
});

describe.each(FAMILIES)('fragments of masqueraded datagrams, IPv$family', (x) => {
	const datagram = (header: ReturnType<typeof ip>, sport: number, dport: number) =>
		[header, udp({ sport, dport }), raw(Uint8Array.from({ length: 96 }, (_, i) => i))] as const;
	const head = x.family === 4 ? 34 : 62;

	it('all get the node address, and fragments of the answer all find the pod', async () => {
		const pod = [eth({ src: POD_A.mac, dst: POD_A.hostMac })];
		const out: Uint8Array[] = [];
		for (const part of fragments(pod, datagram(ip(x.a, x.world), 7000, 53), { id: 5, cuts: [32, 64] })) {
			const got = await node.fromPod(POD_A, part);
			expectVerdict(part, got, VERDICT.REDIRECT);
			expect(ipOf(got.packet)).toMatchObject({ src: x.node, dst: x.world });
			out.push(got.packet.subarray(head));
		}
		const whole = parse(build(...pod, ip(x.node, x.world, { proto: 17 }), raw(concat(...out))));
		expect(whole.problems).toEqual([]);
		const link = [eth({ src: GATEWAY_MAC, dst: UPLINK_MAC })];
		const { sport } = layerOf(whole, 'udp');
		const back: Uint8Array[] = [];
		for (const part of fragments(link, datagram(ip(x.world, x.node), 53, sport), { id: 6, cuts: [40] })) {
			const got = await node.fromUplink(part);
			expectVerdict(part, got, VERDICT.REDIRECT);
			expect(ipOf(got.packet)).toMatchObject({ src: x.world, dst: x.a });
			back.push(got.packet.subarray(head));
		}
		const answer = parse(build(...pod, ip(x.world, x.a, { proto: 17 }), raw(concat(...back))));
		expect(answer.problems).toEqual([]);
		expect(layerOf(answer, 'udp')).toMatchObject({ sport: 53, dport: 7000 });
	});
});

describe.each(FAMILIES)('events, IPv$family', (x) => {
	async function onlyEvent(): Promise<FlowEvent> {
		const events = (await node.dataplane.events()).map((bytes) => FlowEvent.decode(bytes));
		expect(events).toHaveLength(1);
		return events[0] as FlowEvent;
	}

	it('tell of a drop who sent what to whom, where and why', async () => {
		await node.dataplane.events();
		const sent = uplinkFrame(ip(x.vip, x.b), tcp({ sport: 7, dport: 9, flags: 'S' }));
		await node.fromUplink(sent);
		const event = await onlyEvent();
		expect(event).toMatchObject({
			type: EventType.DROP,
			reason: DropReason.SPOOFED_LOCAL,
			hook: Hook.FROM_UPLINK,
			family: x.family,
			proto: 6,
			sport: 7,
			dport: 9,
			tcpFlags: 2,
			ifindex: (await node.dataplane.devices()).uplink,
			len: x.family === 4 ? 40 : 60,
		});
		expect([addressText(event.src), addressText(event.dst)]).toEqual([x.vip, x.b]);
		expect(event.timeNs).toBeGreaterThan(0n);
	});

	it('tell of a new service flow both destinations', async () => {
		await node.dataplane.events();
		await node.fromPod(POD_A, podFrame(POD_A, ip(x.a, x.vip), tcp({ sport: 7, dport: SERVICE.web, flags: 'S' })));
		const event = await onlyEvent();
		expect(event).toMatchObject({
			type: EventType.FLOW_NEW,
			hook: Hook.FROM_POD,
			sport: 7,
			dport: 8080,
			origDport: SERVICE.web,
		});
		expect([event.src, event.dst, event.origDst].map((a) => addressText(a))).toEqual([x.a, x.b, x.vip]);
		expect(event).toMatchObject({ srcIdentity: 256 + POD_A.index, dstIdentity: 256 + POD_B.index });
	});
});

describe('events of many drops', () => {
	it('are limited per reason and second, while every drop is counted', async () => {
		const limited = await TestNode.start({ ...WORLD, config: { ...WORLD.config, event_rate: 10 } });
		try {
			const sent = uplinkFrame(ip('10.244.1.11', '10.244.1.12'), tcp({ sport: 7, dport: 9, flags: 'S' }));
			const count = 200;
			const packets = Array.from({ length: count }, () => sent);
			const results = await limited.dataplane.runMany('from_uplink', packets, {
				device: 'uplink',
				ingressDevice: 'uplink',
			});
			expect(results.every((r) => r.drops[DropReason.SPOOFED_LOCAL] === 1)).toBe(true);
			const events = await limited.dataplane.events();
			expect(events.length).toBeGreaterThanOrEqual(10);
			expect(events.length).toBeLessThan(count / 2);
			const row = (await limited.dataplane.entries('metrics')).find(({ key }) => key[0] === Metric.EVENTS_LIMITED);
			const suppressed = row ? [...new BigUint64Array(row.value.slice().buffer)].reduce((a, b) => a + b, 0n) : 0n;
			expect(Number(suppressed)).toBe(count - events.length);
		} finally {
			await limited.close();
		}
	});
});
