/** The uplink: who may come in, node ports, masquerade and its reverse (design.md sections 4 and 9). */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
	Ct4Entry,
	Ct4Key,
	CtEntry,
	CtFlags,
	CtKey,
	DropReason,
	EventType,
	FlowEvent,
	RuntimeState,
} from '../../native/abi/generated.ts';
import type { RunResult } from '../lib/dataplane.ts';
import { VERDICT } from '../lib/dataplane.ts';
import type { Layer } from '../lib/packet.ts';
import {
	build,
	echo,
	eth,
	ext6,
	fragments,
	icmp,
	icmpv6,
	ip,
	layerOf,
	parse,
	quoted,
	raw,
	sctp,
	tcp,
	udp,
	vxlan,
} from '../lib/packet.ts';
import type { Addresses } from './world.ts';
import {
	BACKEND_PORT,
	expectAnswer,
	expectDrop,
	expectVerdict,
	FAMILIES,
	GATEWAY_MAC,
	ipOf,
	NODE_PORT,
	POD_A,
	POD_B,
	podFrame,
	SERVICE,
	SNAT,
	TestNode,
	UPLINK_MAC,
	uplinkFrame,
} from './world.ts';

let node: TestNode;
beforeAll(async () => {
	node = await TestNode.start();
});
afterAll(() => node?.close());
beforeEach(() => node.reset());

const PAYLOAD = raw('some bytes, odd');

describe.each(FAMILIES)('senders at the uplink, IPv$family', (x) => {
	it("drops this node's address, its pods' and services' as source, whatever the target", async () => {
		for (const source of [x.node, x.a, x.b, x.gone, x.vip, x.external]) {
			for (const target of [x.a, x.node, x.world]) {
				const sent = uplinkFrame(ip(source, target), tcp({ sport: 1, dport: 2, flags: 'S' }));
				expectDrop(sent, await node.fromUplink(sent), DropReason.SPOOFED_LOCAL);
			}
		}
	});

	it('drops it also of fragments and headers that cannot be read, which the stack would take', async () => {
		for (const source of [x.node, x.a, x.gone, x.vip]) {
			const whole = [ip(source, x.node), udp({ sport: 1, dport: 2 }), raw(new Uint8Array(64))] as const;
			const [, later] = fragments([eth({ src: GATEWAY_MAC, dst: UPLINK_MAC })], whole, { id: 7, cuts: [32] });
			if (later === undefined) throw new Error('two fragments expected');
			expectDrop(later, await node.fromUplink(later), DropReason.SPOOFED_LOCAL);
			if (x.family === 4) continue;
			const options = Array.from({ length: 7 }, () => ext6({ type: 60, data: Uint8Array.of(1, 4, 0, 0, 0, 0) }));
			const long = uplinkFrame(ip(source, x.node), ...options, udp({ sport: 1, dport: 2 }));
			expectDrop(long, await node.fromUplink(long), DropReason.SPOOFED_LOCAL);
		}
		const [, alone] = fragments(
			[eth({ src: GATEWAY_MAC, dst: UPLINK_MAC })],
			[ip(x.world, x.node), udp({ sport: 1, dport: 2 }), raw(new Uint8Array(64))],
			{ id: 8, cuts: [32] },
		);
		if (alone === undefined) throw new Error('two fragments expected');
		expectVerdict(alone, await node.fromUplink(alone), VERDICT.NEXT);
	});

	it('drops a pod source on the bare link when that pod lives behind the tunnel', async () => {
		const sent = uplinkFrame(ip(x.pod2, x.a), tcp({ sport: 1, dport: 2, flags: 'S' }));
		expectDrop(sent, await node.fromUplink(sent), DropReason.TUNNEL_INNER_SOURCE);
	});

	it('drops it also where a connection through the tunnel exists', async () => {
		const open = podFrame(POD_A, ip(x.a, x.pod2), tcp({ sport: 40000, dport: 80, flags: 'S' }));
		expectVerdict(open, await node.fromPod(POD_A, open), VERDICT.REDIRECT);
		const sent = uplinkFrame(ip(x.pod2, x.a), tcp({ sport: 80, dport: 40000, flags: 'SA' }));
		expectDrop(sent, await node.fromUplink(sent), DropReason.TUNNEL_INNER_SOURCE);
	});

	it('delivers from pods on the shared link, from nodes and from the world to pods', async () => {
		for (const source of [x.pod3, x.node3, x.world]) {
			const sent = uplinkFrame(ip(source, x.b), tcp({ sport: 1, dport: 8080, flags: 'S' }));
			const parsed = expectVerdict(sent, await node.fromUplink(sent), VERDICT.REDIRECT);
			expect(layerOf(parsed, 'eth')).toMatchObject({ dst: POD_B.mac, src: POD_B.hostMac });
		}
	});

	it('drops packets to addresses of this node that no pod has', async () => {
		const sent = uplinkFrame(ip(x.pod3, x.gone), tcp({ sport: 1, dport: 2, flags: 'S' }));
		const got = await node.fromUplink(sent);
		expect([VERDICT.DROP, VERDICT.NEXT]).toContain(got.verdict);
		expect(Object.keys(got.drops)).toHaveLength(got.verdict === VERDICT.DROP ? 1 : 0);
	});

	it('leaves everything that is not about pods and services alone', async () => {
		const others: Layer[][] = [
			[ip(x.world, x.node), tcp({ sport: 1, dport: 22, flags: 'S' })],
			[
				ip(x.node2, x.node),
				udp({ sport: 1, dport: 8472 }),
				vxlan(1),
				eth({ src: UPLINK_MAC, dst: UPLINK_MAC }),
				ip(x.pod2, x.a),
				udp({ sport: 1, dport: 2 }),
			],
			[ip(x.world, x.native), udp({ sport: 1, dport: 2 })],
			[ip(x.world, x.node), echo(x.family, { id: 1, seq: 1 })],
		];
		for (const layers of others) {
			const sent = uplinkFrame(...layers);
			const got = await node.fromUplink(sent);
			expectVerdict(sent, got, VERDICT.NEXT);
			expect(got.packet).toEqual(sent);
		}
		expect(await node.flows()).toEqual([]);
	});

	it('serves a cluster address that is routed here from outside, as kube-proxy does', async () => {
		const sent = uplinkFrame(ip(x.world, x.vip), tcp({ sport: 1, dport: SERVICE.web, flags: 'S' }));
		const got = await node.fromUplink(sent);
		expectVerdict(sent, got, VERDICT.REDIRECT);
		expect(ipOf(got.packet)).toMatchObject({ src: x.world, dst: x.b });
		const remote = uplinkFrame(ip(x.world, x.vip), tcp({ sport: 1, dport: SERVICE.tunnel, flags: 'S' }));
		expect(ipOf((await node.fromUplink(remote)).packet)).toMatchObject({ src: x.node, dst: x.pod2 });
	});
});

describe.each(FAMILIES)('node ports, IPv$family', (x) => {
	const syn = (target: string, dport: number) =>
		uplinkFrame(ip(x.world, target), tcp({ sport: 50000, dport, flags: 'S', seq: 1 }));

	it.each([
		['node port', 'node', NODE_PORT.web],
		['external address', 'external', 80],
	] as const)(
		'translates a %s to a local pod, which sees the client, and answers from the same address',
		async (_, target, port) => {
			const sent = syn(x[target], port);
			const got = await node.fromUplink(sent);
			expectVerdict(sent, got, VERDICT.REDIRECT);
			expect(ipOf(got.packet)).toMatchObject({ src: x.world, dst: x.b, ttl: 63 });
			const answer = podFrame(
				POD_B,
				ip(x.b, x.world),
				tcp({ sport: BACKEND_PORT.web, dport: 50000, flags: 'SA', ack: 2 }),
			);
			const back = await node.fromPod(POD_B, answer);
			const parsed = expectVerdict(answer, back, VERDICT.REDIRECT);
			expect(ipOf(back.packet)).toMatchObject({ src: x[target], dst: x.world });
			expect(layerOf(parsed, 'tcp')).toMatchObject({ sport: port, dport: 50000 });
		},
	);

	it('sends to a backend of another node with its own address, so that the answer comes back here', async () => {
		const sent = syn(x.node, NODE_PORT.tunnel);
		const got = await node.fromUplink(sent);
		const parsed = expectVerdict(sent, got, VERDICT.REDIRECT);
		expect(ipOf(got.packet)).toMatchObject({ src: x.node, dst: x.pod2 });
		expect(layerOf(parsed, 'tcp')).toMatchObject({ dport: BACKEND_PORT.web });
		expect(layerOf(parsed, 'tcp').sport).toBeGreaterThanOrEqual(SNAT.min);
	});

	it('drops when the policy is Local and no local pod serves it; rejects when nothing does', async () => {
		const local = syn(x.node, NODE_PORT.localOnly);
		expectDrop(local, await node.fromUplink(local), DropReason.NO_LOCAL_BACKEND);
		const empty = syn(x.node, NODE_PORT.empty);
		const got = await node.fromUplink(empty);
		const parsed = expectAnswer(empty, got, DropReason.NO_BACKEND);
		expect(layerOf(parsed, 'tcp')).toMatchObject({ sport: NODE_PORT.empty, dport: 50000, flags: 'RA', ack: 2 });
	});
});

function world(x: Addresses, sport: number, flags = 'S', target = x.world): Uint8Array {
	return podFrame(POD_A, ip(x.a, target), tcp({ sport, dport: 443, flags, seq: 1 }), PAYLOAD);
}

/** Moves the time of the last packet of the flow with this port of a pod: into the past, or so that it stays just now. */
async function shiftFlow(x: Addresses, port: number, jiffies: number): Promise<void> {
	const table = x.family === 4 ? 'ct4' : 'ct6';
	for (const { key, value } of await node.dataplane.entries(table)) {
		const { loPort, hiPort } = x.family === 4 ? Ct4Key.decode(key) : CtKey.decode(key);
		const { snatPort } = x.family === 4 ? Ct4Entry.decode(value) : CtEntry.decode(value);
		if (![loPort, hiPort, snatPort].includes(port)) continue;
		const shifted = <E extends { lastSeen: number }>(e: E): E => ({ ...e, lastSeen: (e.lastSeen + jiffies) >>> 0 });
		const entry =
			x.family === 4
				? Ct4Entry.encode(shifted(Ct4Entry.decode(value)))
				: CtEntry.encode(shifted(CtEntry.decode(value)));
		await node.dataplane.set(table, key, entry);
	}
}

/** Makes `to` of the port `from` that a flow was given. */
async function movePort(x: Addresses, from: number, to: number): Promise<void> {
	const moved = (port: number): number => (port === from ? to : port);
	const movedKey = <K extends { loPort: number; hiPort: number }>(key: K): K => {
		return { ...key, loPort: moved(key.loPort), hiPort: moved(key.hiPort) };
	};
	const movedEntry = <E extends { snatPort: number }>(entry: E): E => ({ ...entry, snatPort: moved(entry.snatPort) });
	const table = x.family === 4 ? 'ct4' : 'ct6';
	for (const { key, value } of await node.dataplane.entries(table)) {
		await node.dataplane.delete(table, key);
		if (x.family === 4) {
			const entry = Ct4Entry.encode(movedEntry(Ct4Entry.decode(value)));
			await node.dataplane.set(table, Ct4Key.encode(movedKey(Ct4Key.decode(key))), entry);
		} else {
			const entry = CtEntry.encode(movedEntry(CtEntry.decode(value)));
			await node.dataplane.set(table, CtKey.encode(movedKey(CtKey.decode(key))), entry);
		}
	}
}

describe.each(FAMILIES)('masquerade, IPv$family', (x) => {
	async function outPort(got: RunResult): Promise<number> {
		return layerOf(parse(got.packet), 'tcp').sport;
	}

	it('gives a pod the node address and a port of the range, and the answer finds the pod', async () => {
		const sent = world(x, 40000);
		const got = await node.fromPod(POD_A, sent);
		expectVerdict(sent, got, VERDICT.REDIRECT);
		expect(ipOf(got.packet)).toEqual({ src: x.node, dst: x.world, ttl: 63 });
		const port = await outPort(got);
		expect(port).toSatisfy((p: number) => p >= SNAT.min && p <= SNAT.max);
		const answer = uplinkFrame(ip(x.world, x.node), tcp({ sport: 443, dport: port, flags: 'SA', ack: 2 }), PAYLOAD);
		const back = await node.fromUplink(answer);
		const parsed = expectVerdict(answer, back, VERDICT.REDIRECT);
		expect(ipOf(back.packet)).toMatchObject({ src: x.world, dst: x.a });
		expect(layerOf(parsed, 'tcp')).toMatchObject({ sport: 443, dport: 40000 });
		expect(layerOf(parsed, 'eth')).toMatchObject({ dst: POD_A.mac });
		const again = await node.fromPod(POD_A, world(x, 40000, 'A'));
		expect(await outPort(again)).toBe(port);
	});

	it('masquerades UDP, SCTP and echo and reverses them', async () => {
		for (const [out, back] of [
			[udp({ sport: 7, dport: 53 }), (port: number) => udp({ sport: 53, dport: port })],
			[sctp({ sport: 7, dport: 53 }), (port: number) => sctp({ sport: 53, dport: port })],
		] as const) {
			const sent = podFrame(POD_A, ip(x.a, x.world), out, PAYLOAD);
			const parsed = expectVerdict(sent, await node.fromPod(POD_A, sent), VERDICT.REDIRECT);
			const answer = uplinkFrame(ip(x.world, x.node), back(layerOf(parsed, out.kind).sport), PAYLOAD);
			const got = await node.fromUplink(answer);
			const reversed = expectVerdict(answer, got, VERDICT.REDIRECT);
			expect(ipOf(got.packet)).toMatchObject({ src: x.world, dst: x.a });
			expect(layerOf(reversed, out.kind)).toMatchObject({ sport: 53, dport: 7 });
		}
		const ping = podFrame(POD_A, ip(x.a, x.world), echo(x.family, { id: 99, seq: 3 }), PAYLOAD);
		const got = await node.fromPod(POD_A, ping);
		const kind = x.family === 4 ? 'icmp' : 'icmpv6';
		const id = layerOf(expectVerdict(ping, got, VERDICT.REDIRECT), kind).rest >>> 16;
		expect(ipOf(got.packet).src).toBe(x.node);
		const pong = uplinkFrame(ip(x.world, x.node), echo(x.family, { reply: true, id, seq: 3 }), PAYLOAD);
		const back = await node.fromUplink(pong);
		expect(layerOf(expectVerdict(pong, back, VERDICT.REDIRECT), kind).rest).toBe(((99 << 16) | 3) >>> 0);
		expect(ipOf(back.packet)).toMatchObject({ src: x.world, dst: x.a });
	});

	it('gives two pods with the same port different ports to the same target, and may repeat them to another', async () => {
		const a = await node.fromPod(POD_A, world(x, SNAT.min));
		const sentB = podFrame(POD_B, ip(x.b, x.world), tcp({ sport: SNAT.min, dport: 443, flags: 'S' }));
		const b = await node.fromPod(POD_B, sentB);
		expect(await outPort(a)).toBe(SNAT.min);
		expect(await outPort(b)).not.toBe(SNAT.min);
	});

	it('drops and counts when all ports to a target are in use, and only to that target', async () => {
		const ports = new Set<number>();
		for (let i = 0; i <= SNAT.max - SNAT.min; i++) {
			const sent = world(x, 41000 + i);
			const got = await node.fromPod(POD_A, sent);
			expectVerdict(sent, got, VERDICT.REDIRECT);
			ports.add(await outPort(got));
		}
		expect(ports.size).toBe(SNAT.max - SNAT.min + 1);
		await node.dataplane.events();
		const sent = world(x, 42000);
		expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.NAT_EXHAUSTED);
		const events = (await node.dataplane.events()).map((bytes) => FlowEvent.decode(bytes));
		expect(events.some((e) => e.type === EventType.DROP && e.reason === DropReason.NAT_EXHAUSTED)).toBe(true);
		const other = podFrame(POD_A, ip(x.a, x.world), tcp({ sport: 42000, dport: 80, flags: 'S' }));
		expectVerdict(other, await node.fromPod(POD_A, other), VERDICT.REDIRECT);
	});

	it('gives the port of a connection that is over to a new one when no other is left', async () => {
		for (let i = 0; i <= SNAT.max - SNAT.min; i++) await node.fromPod(POD_A, world(x, 41000 + i));
		const over = SNAT.min + 2;
		const reset = uplinkFrame(ip(x.world, x.node), tcp({ sport: 443, dport: over, flags: 'RA', seq: 1, ack: 2 }));
		expectVerdict(reset, await node.fromUplink(reset), VERDICT.REDIRECT);
		const next = await node.fromPod(POD_A, world(x, 42000));
		expect(await outPort(next)).toBe(over);
		const late = world(x, 42001);
		expectDrop(late, await node.fromPod(POD_A, late), DropReason.NAT_EXHAUSTED);
		const answer = uplinkFrame(ip(x.world, x.node), tcp({ sport: 443, dport: over, flags: 'SA', seq: 1, ack: 2 }));
		const got = expectVerdict(answer, await node.fromUplink(answer), VERDICT.REDIRECT);
		expect(layerOf(got, 'tcp').dport).toBe(42_000);
	});

	it('lets a port rest for a second before it takes it from a connection that is over', async () => {
		const open = async (sport: number) => outPort(await node.fromPod(POD_A, world(x, sport)));
		const end = async (dport: number, sport: number, jiffies: number): Promise<void> => {
			const reset = uplinkFrame(ip(x.world, x.node), tcp({ sport: 443, dport, flags: 'RA', seq: 1, ack: 2 }));
			expectVerdict(reset, await node.fromUplink(reset), VERDICT.REDIRECT);
			await shiftFlow(x, sport, jiffies);
		};
		const rested = await open(41_000);
		for (let sport = 43_000; sport < 43_000 + SNAT.max - SNAT.min; sport++)
			await end(await open(sport), sport, 1_000_000);
		await end(rested, 41_000, -1_000_000);
		for (let sport = 42_000; sport < 42_006; sport++) {
			expect(await open(sport)).toBe(rested);
			await end(rested, sport, -1_000_000);
		}
	});

	it('gives the port back at once to who begins anew from the same port to the same service, and to nobody else', async () => {
		const sport = SNAT.min + 2;
		const send = async (dport: number, flags: string): Promise<number> => {
			const sent = uplinkFrame(ip(x.world, x.node), tcp({ sport, dport, flags, seq: 1 }));
			return outPort(await node.fromUplink(sent));
		};
		for (let round = 0; round < 3; round++) {
			expect(await send(NODE_PORT.tunnel, 'S')).toBe(sport);
			expect(await send(NODE_PORT.tunnel, 'RA')).toBe(sport);
			await shiftFlow(x, sport, 1_000_000);
		}
		const other = uplinkFrame(ip(x.native, x.node), tcp({ sport, dport: NODE_PORT.tunnel, flags: 'S', seq: 1 }));
		expect(await outPort(await node.fromUplink(other))).not.toBe(sport);
		const vip = uplinkFrame(ip(x.world, x.vip), tcp({ sport, dport: SERVICE.tunnel, flags: 'S', seq: 1 }));
		expect(await outPort(await node.fromUplink(vip))).not.toBe(sport);
	});

	it('gives any port to who cannot have its own: the next one may be what its neighbour had', async () => {
		const ports = new Set<number>();
		for (let dport = 1000; dport < 1030; dport++) {
			const layers = [tcp({ sport: SNAT.min, dport, flags: 'S' })] as const;
			await node.fromPod(POD_A, podFrame(POD_A, ip(x.a, x.world), ...layers));
			ports.add(await outPort(await node.fromPod(POD_B, podFrame(POD_B, ip(x.b, x.world), ...layers))));
		}
		expect([...ports].sort()).toEqual([1, 2, 3].map((n) => SNAT.min + n));
	});

	it('does not take the end of a connection for that of a later one of the client to the same backend, with the same port', async () => {
		const sport = SNAT.min + 1;
		const send = async (target: string, dport: number, flags: string): Promise<number> => {
			const sent = uplinkFrame(ip(x.world, target), tcp({ sport, dport, flags, seq: 1 }));
			return outPort(await node.fromUplink(sent));
		};
		expect(await send(x.node, NODE_PORT.tunnel, 'S')).toBe(sport);
		await send(x.node, NODE_PORT.tunnel, 'RA');
		await shiftFlow(x, sport, -1_000_000);
		expect(await send(x.vip, SERVICE.tunnel, 'S')).toBe(sport);
		await send(x.node, NODE_PORT.tunnel, 'FA');
		const ofLater = (await node.flows()).filter(({ server, flags }) =>
			flags & CtFlags.SVC_REPLY ? server.address === x.pod2 : server.address === x.vip,
		);
		expect(ofLater.map(({ flags }) => flags & CtFlags.CLOSING)).toEqual([0, 0]);
		await send(x.vip, SERVICE.tunnel, 'RA');
		expect((await node.flows()).map(({ flags }) => flags & CtFlags.CLOSING)).toEqual(Array(3).fill(CtFlags.CLOSING));
	});

	it('finds flows by ports of a former range, services at ports of the node or not', async () => {
		const [port, former] = [await outPort(await node.fromPod(POD_A, world(x, 40_000))), 52_000];
		await movePort(x, port, former);
		const [row] = await node.dataplane.entries('runtime');
		const state = RuntimeState.decode(row!.value);
		const answer = uplinkFrame(ip(x.world, x.node), tcp({ sport: 443, dport: former, flags: 'SA', ack: 2 }), PAYLOAD);
		for (const externalPorts of [0, 1]) {
			await node.dataplane.set('runtime', row!.key, RuntimeState.encode({ ...state, externalPorts, formerPorts: 1 }));
			const got = await node.fromUplink(answer);
			const parsed = expectVerdict(answer, got, VERDICT.REDIRECT);
			expect(ipOf(got.packet)).toMatchObject({ src: x.world, dst: x.a });
			expect(layerOf(parsed, 'tcp')).toMatchObject({ sport: 443, dport: 40_000 });
			const own = uplinkFrame(
				ip(x.world, x.node),
				tcp({ sport: 443, dport: former + 1, flags: 'SA', ack: 2 }),
				PAYLOAD,
			);
			expectVerdict(own, await node.fromUplink(own), VERDICT.NEXT);
		}
		await node.dataplane.set('runtime', row!.key, row!.value);
	});

	it('keeps the pod address towards exempted networks, nodes and pods of other nodes', async () => {
		for (const target of [x.native, x.pod2, x.pod3, x.node3]) {
			const sent = world(x, 43000, 'S', target);
			const got = await node.fromPod(POD_A, sent);
			expect([VERDICT.REDIRECT, VERDICT.NEXT]).toContain(got.verdict);
			expect(ipOf(got.packet)).toMatchObject({ src: x.a, dst: target });
		}
	});

	it('does not let the outside use a masquerade port of another target', async () => {
		const got = await node.fromPod(POD_A, world(x, 44000));
		const port = await outPort(got);
		const foreign = uplinkFrame(ip(x.native, x.node), tcp({ sport: 443, dport: port, flags: 'A' }));
		const result = await node.fromUplink(foreign);
		expectVerdict(foreign, result, VERDICT.NEXT);
		expect(result.packet).toEqual(foreign);
	});

	it('gives an ICMP error about a masqueraded packet back to the pod, with what the pod sent inside', async () => {
		const out = await node.fromPod(POD_A, world(x, 45000));
		const error = x.family === 4 ? icmp({ type: 3, code: 4, rest: 1400 }) : icmpv6({ type: 2, code: 0, rest: 1400 });
		const router = x.native;
		const sent = uplinkFrame(ip(router, x.node), error, raw(quoted(out.packet)));
		const got = await node.fromUplink(sent);
		const parsed = expectVerdict(sent, got, VERDICT.REDIRECT);
		expect(parsed.layers[1]).toMatchObject({ src: router, dst: x.a });
		expect(parsed.quoted?.layers[0]).toMatchObject({ src: x.a, dst: x.world });
		expect(parsed.quoted && layerOf(parsed.quoted, 'tcp')).toMatchObject({ sport: 45000, dport: 443 });
		if (x.family === 4) {
			expect(parsed.quoted?.problems.filter((p) => p.includes('IPv4 header checksum'))).toEqual([]);
		}
	});

	it('gives an ICMP error about the first fragment of a masqueraded datagram back to the pod', async () => {
		const link = [eth({ src: POD_A.mac, dst: POD_A.hostMac })];
		const datagram = [ip(x.a, x.world), udp({ sport: 45001, dport: 4433 }), raw(new Uint8Array(1400))] as const;
		const [first = new Uint8Array()] = fragments(link, datagram, { id: 77, cuts: [1200] });
		const out = await node.fromPod(POD_A, first);
		expect(ipOf(out.packet)).toMatchObject({ src: x.node, dst: x.world });
		const error = x.family === 4 ? icmp({ type: 3, code: 4, rest: 1000 }) : icmpv6({ type: 2, code: 0, rest: 1280 });
		const sent = uplinkFrame(ip(x.native, x.node), error, raw(quoted(out.packet)));
		const parsed = expectVerdict(sent, await node.fromUplink(sent), VERDICT.REDIRECT);
		expect(parsed.layers[1]).toMatchObject({ src: x.native, dst: x.a });
		expect(parsed.quoted?.layers[0]).toMatchObject({ src: x.a, dst: x.world });
		expect(parsed.quoted && layerOf(parsed.quoted, 'udp')).toMatchObject({ sport: 45001, dport: 4433 });
	});

	it('leaves an ICMP error about the node itself to its stack', async () => {
		const own = build(
			eth({ src: UPLINK_MAC, dst: UPLINK_MAC }),
			ip(x.node, x.world),
			tcp({ sport: 33000, dport: 443, flags: 'A' }),
		);
		const error = x.family === 4 ? icmp({ type: 3, code: 4, rest: 1400 }) : icmpv6({ type: 2, code: 0, rest: 1400 });
		const sent = uplinkFrame(ip(x.native, x.node), error, raw(quoted(own)));
		const got = await node.fromUplink(sent);
		expectVerdict(sent, got, VERDICT.NEXT);
		expect(got.packet).toEqual(sent);
	});
});
