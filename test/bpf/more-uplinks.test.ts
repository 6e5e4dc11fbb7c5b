/** Interfaces besides the uplink: clients that come by them, packets that leave by them. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DropReason } from '../../native/abi/generated.ts';
import type { RunResult, ServiceFixture, UplinkFixture } from '../lib/dataplane.ts';
import { VERDICT } from '../lib/dataplane.ts';
import type { Layer } from '../lib/packet.ts';
import { build, echo, eth, icmp, icmpv6, ip, layerOf, parse, quoted, raw, tcp, udp } from '../lib/packet.ts';
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
	PROTO,
	podFrame,
	SERVICE,
	SNAT,
	TestNode,
	UPLINK_MAC,
	uplinkFrame,
	V4,
	WORLD,
} from './world.ts';
import { AT, addressesOf, datagram, MODE, PORT, sportOf, xdpWorld } from './xdp-world.ts';

const SECOND = {
	device: 'second',
	ipv4: '192.168.51.1',
	ipv6: 'fd51::1',
	mtu: 1400,
	gateway4: '192.168.51.254',
	gateway6: 'fd51::fe',
	routes: ['198.18.0.0/16', '2001:db8:18::/48'],
	rules: [],
} as const satisfies UplinkFixture;
/** Leads to the same places as the uplink, for sources that say so. */
const THIRD = {
	...SECOND,
	device: 'third',
	ipv4: '192.168.52.1',
	ipv6: 'fd52::1',
	mtu: 1300,
	gateway4: '192.168.52.254',
	gateway6: 'fd52::fe',
	routes: [],
	rules: ['192.168.52.1', 'fd52::1'],
} as const satisfies UplinkFixture;

/** Behind the second interface. */
const far = (x: Addresses): string => (x.family === 4 ? '198.18.0.7' : '2001:db8:18::7');
const second = (x: Addresses): string => (x.family === 4 ? SECOND.ipv4 : SECOND.ipv6);
const third = (x: Addresses): string => (x.family === 4 ? THIRD.ipv4 : THIRD.ipv6);

/** Node ports at the addresses of the other interfaces, and a service whose server is outside the cluster. */
function services(x: Addresses): ServiceFixture[] {
	const web = { address: x.b, port: BACKEND_PORT.web, local: true };
	const ports = [second(x), third(x)].flatMap((address) => {
		const nodePort = { address, proto: PROTO.TCP, external: true, nodeAddress: 'further' as const };
		return [
			{ ...nodePort, port: NODE_PORT.web, backends: [web] },
			{ ...nodePort, port: NODE_PORT.tunnel, backends: [{ address: x.pod2, port: BACKEND_PORT.web }] },
		];
	});
	const outside = { address: x.vip, proto: PROTO.TCP, port: 99, backends: [{ address: far(x), port: 443 }] };
	return [...ports, outside, { ...outside, address: x.external, external: true }];
}

let node: TestNode;
beforeAll(async () => {
	node = await TestNode.start({
		...WORLD,
		moreUplinks: [SECOND, THIRD],
		services: [...WORLD.services, ...FAMILIES.flatMap(services)],
	});
});
afterAll(() => node?.close());
beforeEach(() => node.reset());

const PAYLOAD = raw('some bytes, odd');

function frame(...layers: readonly Layer[]): Uint8Array {
	return build(eth({ src: GATEWAY_MAC, dst: UPLINK_MAC }), ...layers);
}

const fromSecond = (packet: Uint8Array): Promise<RunResult> =>
	node.fromUplink(packet, { device: 'second', ingressDevice: 'second' });
const portOf = (packet: Uint8Array): number => layerOf(parse(packet), 'tcp').sport;

describe.each(FAMILIES)('an interface besides the uplink, IPv$family', (x) => {
	const opened = (target: string, sport = 40_000) =>
		podFrame(POD_A, ip(x.a, target), tcp({ sport, dport: 443, flags: 'S', seq: 1 }));

	it('gives its address to what pods send by it, and the uplink its own to the rest', async () => {
		for (const [target, source] of [
			[far(x), second(x)],
			[x.world, x.node],
		] as const) {
			const sent = opened(target);
			const got = await node.fromPod(POD_A, sent);
			expectVerdict(sent, got, VERDICT.REDIRECT);
			expect(ipOf(got.packet)).toEqual({ src: source, dst: target, ttl: 63 });
			const port = portOf(got.packet);
			const answer = frame(ip(target, source), tcp({ sport: 443, dport: port, flags: 'SA', ack: 2 }), PAYLOAD);
			const back = await fromSecond(answer);
			const parsed = expectVerdict(answer, back, VERDICT.REDIRECT);
			expect(ipOf(back.packet)).toMatchObject({ src: target, dst: x.a });
			expect(layerOf(parsed, 'tcp')).toMatchObject({ sport: 443, dport: 40_000 });
			const next = podFrame(POD_A, ip(x.a, target), tcp({ sport: 40_000, dport: 443, flags: 'A', seq: 2 }));
			const later = await node.fromPod(POD_A, next);
			expect(ipOf(later.packet).src).toBe(source);
			expect(portOf(later.packet)).toBe(port);
		}
	});

	it('does so for UDP and echo, too', async () => {
		const query = podFrame(POD_A, ip(x.a, far(x)), udp({ sport: 7, dport: 53 }), PAYLOAD);
		const parsed = expectVerdict(query, await node.fromPod(POD_A, query), VERDICT.REDIRECT);
		const answer = frame(ip(far(x), second(x)), udp({ sport: 53, dport: layerOf(parsed, 'udp').sport }), PAYLOAD);
		expect(ipOf((await fromSecond(answer)).packet)).toMatchObject({ src: far(x), dst: x.a });
		const ping = podFrame(POD_A, ip(x.a, far(x)), echo(x.family, { id: 99, seq: 3 }), PAYLOAD);
		const got = await node.fromPod(POD_A, ping);
		const id = layerOf(expectVerdict(ping, got, VERDICT.REDIRECT), x.family === 4 ? 'icmp' : 'icmpv6').rest >>> 16;
		expect(ipOf(got.packet).src).toBe(second(x));
		const pong = frame(ip(far(x), second(x)), echo(x.family, { reply: true, id, seq: 3 }), PAYLOAD);
		expect(ipOf((await fromSecond(pong)).packet)).toMatchObject({ src: far(x), dst: x.a });
	});

	it('has the same ports free at each address', async () => {
		const ports = async (target: string): Promise<number[]> => {
			const all: number[] = [];
			for (let sport = 41_000; sport <= 41_000 + SNAT.max - SNAT.min; sport++)
				all.push(portOf((await node.fromPod(POD_A, opened(target, sport))).packet));
			return all.sort();
		};
		expect(await ports(far(x))).toEqual(await ports(x.world));
		const sent = opened(far(x), 42_000);
		expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.NAT_EXHAUSTED);
	});

	it('serves node ports at its address: the local pod sees the client, whose answer has the address it asked', async () => {
		const sent = frame(ip(far(x), second(x)), tcp({ sport: 50_000, dport: NODE_PORT.web, flags: 'S', seq: 1 }));
		const got = await fromSecond(sent);
		expectVerdict(sent, got, VERDICT.REDIRECT);
		expect(ipOf(got.packet)).toMatchObject({ src: far(x), dst: x.b });
		const answer = podFrame(
			POD_B,
			ip(x.b, far(x)),
			tcp({ sport: BACKEND_PORT.web, dport: 50_000, flags: 'SA', ack: 2 }),
		);
		const back = await node.fromPod(POD_B, answer);
		expectVerdict(answer, back, VERDICT.REDIRECT);
		expect(ipOf(back.packet)).toMatchObject({ src: second(x), dst: far(x) });
		expect(portOf(back.packet)).toBe(NODE_PORT.web);
	});

	it("reaches other nodes' backends with the address that the node is known by", async () => {
		const sent = frame(ip(far(x), second(x)), tcp({ sport: 50_001, dport: NODE_PORT.tunnel, flags: 'S', seq: 1 }));
		const got = await fromSecond(sent);
		expectVerdict(sent, got, VERDICT.REDIRECT);
		expect(ipOf(got.packet)).toMatchObject({ src: x.node, dst: x.pod2 });
		const answer = uplinkFrame(
			ip(x.pod2, x.node),
			tcp({ sport: BACKEND_PORT.web, dport: portOf(got.packet), flags: 'SA', ack: 2 }),
		);
		const direct = await node.fromUplink(answer);
		expectDrop(answer, direct, DropReason.TUNNEL_INNER_SOURCE);
	});

	it('gives its address to what goes to a server outside by it, from pods and from clients of the uplink', async () => {
		const asked = podFrame(POD_A, ip(x.a, x.vip), tcp({ sport: 43_000, dport: 99, flags: 'S', seq: 1 }));
		const fromPod = await node.fromPod(POD_A, asked);
		expectVerdict(asked, fromPod, VERDICT.REDIRECT);
		expect(ipOf(fromPod.packet)).toMatchObject({ src: second(x), dst: far(x) });
		const sent = uplinkFrame(ip(x.world, x.external), tcp({ sport: 43_000, dport: 99, flags: 'S', seq: 1 }));
		const got = await node.fromUplink(sent);
		expectVerdict(sent, got, VERDICT.REDIRECT);
		expect(ipOf(got.packet)).toMatchObject({ src: second(x), dst: far(x) });
		const answer = frame(ip(far(x), second(x)), tcp({ sport: 443, dport: portOf(got.packet), flags: 'SA', ack: 2 }));
		const back = await fromSecond(answer);
		expectVerdict(answer, back, VERDICT.REDIRECT);
		expect(ipOf(back.packet)).toMatchObject({ src: x.external, dst: x.world });
		expect(layerOf(parse(back.packet), 'tcp')).toMatchObject({ sport: 99, dport: 43_000 });
	});

	it('tells its own size to who sends more than it takes', async () => {
		const big = raw(new Uint8Array(1380));
		const header = ip(x.a, far(x), x.family === 4 ? { df: true } : {});
		const sent = podFrame(POD_A, header, tcp({ sport: 44_000, dport: 443, flags: 'S' }), big);
		const answer = expectAnswer(sent, await node.fromPod(POD_A, sent), DropReason.FRAG_NEEDED);
		const info = x.family === 4 ? layerOf(answer, 'icmp').rest & 0xffff : layerOf(answer, 'icmpv6').rest;
		expect(info).toBe(SECOND.mtu);
	});

	it('routes answers by the address that they leave with', async () => {
		const open = frame(ip(x.world, third(x)), tcp({ sport: 50_002, dport: NODE_PORT.web, flags: 'S', seq: 1 }));
		expectVerdict(open, await node.fromUplink(open, { device: 'third', ingressDevice: 'third' }), VERDICT.REDIRECT);
		const header = ip(x.b, x.world, x.family === 4 ? { df: true } : {});
		const big = tcp({ sport: BACKEND_PORT.web, dport: 50_002, flags: 'A', ack: 2 });
		const sent = podFrame(POD_B, header, big, raw(new Uint8Array(1380)));
		const answer = expectAnswer(sent, await node.fromPod(POD_B, sent), DropReason.FRAG_NEEDED);
		expect(x.family === 4 ? layerOf(answer, 'icmp').rest & 0xffff : layerOf(answer, 'icmpv6').rest).toBe(THIRD.mtu);
		const other = podFrame(POD_B, ip(x.b, x.world), tcp({ sport: 1, dport: 2, flags: 'S' }), raw(new Uint8Array(1380)));
		expectVerdict(other, await node.fromPod(POD_B, other), VERDICT.REDIRECT);
	});

	it('gives an ICMP error about what left by it back to the pod, with what the pod sent inside', async () => {
		const out = await node.fromPod(POD_A, opened(far(x), 45_000));
		const error = x.family === 4 ? icmp({ type: 3, code: 4, rest: 1280 }) : icmpv6({ type: 2, code: 0, rest: 1280 });
		const sent = frame(ip(far(x), second(x)), error, raw(quoted(out.packet)));
		const got = await fromSecond(sent);
		expect(got.verdict).toBe(VERDICT.REDIRECT);
		const parsed = parse(got.packet);
		expect(ipOf(got.packet).dst).toBe(x.a);
		expect(parsed.quoted?.layers[0]).toMatchObject({ src: x.a, dst: far(x) });
	});

	it('gives its address to ICMP errors of pods, too', async () => {
		const refused = frame(ip(far(x), x.b), udp({ sport: 1, dport: 2 }), PAYLOAD);
		const error = x.family === 4 ? icmp({ type: 3, code: 3, rest: 0 }) : icmpv6({ type: 1, code: 4, rest: 0 });
		const sent = podFrame(POD_B, ip(x.b, far(x)), error, raw(quoted(refused)));
		const got = await node.fromPod(POD_B, sent);
		expectVerdict(sent, got, VERDICT.REDIRECT);
		expect(layerOf(parse(got.packet), x.family === 4 ? 'ipv4' : 'ipv6').src).toBe(second(x));
	});

	it('lets nobody outside pass for it', async () => {
		const sent = uplinkFrame(ip(second(x), x.a), tcp({ sport: 1, dport: 2, flags: 'S' }));
		expectDrop(sent, await node.fromUplink(sent), DropReason.SPOOFED_LOCAL);
	});

	it('leaves what is for the node itself alone', async () => {
		for (const dport of [22, SNAT.min]) {
			const sent = frame(ip(far(x), second(x)), tcp({ sport: 1, dport, flags: 'S' }));
			const got = await fromSecond(sent);
			expectVerdict(sent, got, VERDICT.NEXT);
			expect(got.packet).toEqual(sent);
		}
	});

	it('does not serve services of the cluster to pods in another way than before', async () => {
		const sent = podFrame(POD_A, ip(x.a, x.vip), tcp({ sport: 46_000, dport: SERVICE.web, flags: 'S' }));
		const got = await node.fromPod(POD_A, sent);
		expectVerdict(sent, got, VERDICT.REDIRECT);
		expect(ipOf(got.packet)).toMatchObject({ src: x.a, dst: x.b });
	});
});

describe.each(FAMILIES)('direct server return for clients of an interface besides the uplink, IPv$family', (x) => {
	let balancer: TestNode;
	beforeAll(async () => {
		balancer = await TestNode.start(xdpWorld(MODE.ipip, { moreUplinks: [SECOND] }), ['pod', 'node']);
	});
	afterAll(() => balancer?.close());

	const web = { proto: 'tcp', dport: PORT.web, src: far(x) } as const;
	const on = { device: 'second', ingressDevice: 'second' };

	it('sends what is for other nodes to them as the client sent it, and remembers nothing', async () => {
		const sent = frame(...datagram(x, { ...web, sport: sportOf(x, web, AT.node3), flags: 'S' }));
		const got = await balancer.fromUplink(sent, on);
		const parsed = expectVerdict(sent, got, VERDICT.REDIRECT);
		expect(addressesOf(parsed, 0)).toMatchObject({ src: V4.node, dst: V4.node3 });
		expect(addressesOf(parsed, 1)).toMatchObject({ src: far(x), dst: x.external });
		expect(await balancer.flows()).toEqual([]);
	});

	it('serves pods of this node', async () => {
		const sent = frame(...datagram(x, { ...web, sport: sportOf(x, web, AT.local), flags: 'S' }));
		const got = await balancer.fromUplink(sent, on);
		expectVerdict(sent, got, VERDICT.REDIRECT);
		expect(ipOf(got.packet)).toMatchObject({ src: far(x), dst: x.b });
	});
});
