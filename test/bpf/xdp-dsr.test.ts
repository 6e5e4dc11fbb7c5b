/** Direct server return on the backend's node: from the envelope to the pod, and the reply straight back to the client. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CtFlags, DropReason } from '../../native/abi/generated.ts';
import type { RunResult } from '../lib/dataplane.ts';
import { VERDICT } from '../lib/dataplane.ts';
import { backendTag } from '../lib/flow-hash.ts';
import type { Layer } from '../lib/packet.ts';
import { build, eth, get16, icmp, icmpv6, ip, ipv4, ipv6, layerOf, parse, raw, tcp } from '../lib/packet.ts';
import {
	type Addresses,
	BACKEND_PORT,
	expectDrop,
	expectVerdict,
	FAMILIES,
	ipOf,
	POD_B,
	podFrame,
	TestNode,
	UPLINK_MAC,
	uplinkFrame,
	V4,
	V6,
} from './world.ts';
import {
	AT,
	addressesOf,
	type Datagram,
	datagram,
	expectPassed,
	fromClient,
	MODE,
	PORT,
	sportOf,
	XDP,
	xdpWorld,
} from './xdp-world.ts';

const OBJECTS = ['pod', 'node', 'overlay', 'host', 'xdp_lb', 'clock'];
let node: TestNode;

beforeAll(async () => {
	node = await TestNode.start(xdpWorld(MODE.ipip), OBJECTS);
}, 60_000);

beforeEach(async () => {
	await node.reset();
	await node.dataplane.clear('dsr_flows');
});

afterAll(() => node?.close());

const xdp = (packet: Uint8Array): Promise<RunResult> => node.dataplane.run('xdp_lb', packet);

interface Envelope {
	readonly from?: string;
	readonly to?: string;
	readonly tag?: number;
}

/** An outer header as another node puts it on; `u` says which family nodes speak outside. */
function outer(u: Addresses, inside: 4 | 6, o: Envelope = {}): Layer {
	const { from = u.node2, to = u.node, tag = 0 } = o;
	return u.family === 4
		? ipv4({ src: from, dst: to, df: true, id: tag, proto: inside === 4 ? 4 : 41 })
		: ipv6({ src: from, dst: to, flowLabel: tag, next: inside === 4 ? 4 : 41 });
}

const envelope = (u: Addresses, x: Addresses, o: Datagram, e?: Envelope): Uint8Array =>
	uplinkFrame(outer(u, x.family, e), ...datagram(x, o));

/** A client's packet from the wire through XDP into tc. */
async function receive(packet: Uint8Array): Promise<RunResult> {
	const unpacked = await xdp(packet);
	expect(unpacked.verdict).toBe(XDP.PASS);
	return node.fromUplink(unpacked.packet);
}

const web = { proto: 'tcp', dport: PORT.web } as const;
const dns = { proto: 'udp', dport: PORT.dns } as const;

describe.each([V4, V6])('on the backend node, envelopes over IPv$family', (u) => {
	describe.each(FAMILIES)('with IPv$family inside', (x) => {
		it.each([web, dns])('$proto: XDP takes the packet out of its envelope, whole', async (service) => {
			const o = { ...service, sport: sportOf(x, service, AT.local) };
			const got = await xdp(envelope(u, x, o, { tag: 0x1234 }));
			const parsed = parse(got.packet);
			expect({ verdict: got.verdict, drops: got.drops, problems: parsed.problems }).toEqual({
				verdict: XDP.PASS,
				drops: {},
				problems: [],
			});
			expect(layerOf(parsed, 'eth')).toMatchObject({ dst: UPLINK_MAC, src: '02:fa:44:53:12:34' });
			expect([...got.packet.subarray(14)]).toEqual([...build(...datagram(x, o))]);
		});

		it.each([web, dns])('$proto: the pod gets it from the client, and answers as the service', async (service) => {
			const sport = sportOf(x, service, AT.local);
			const sent = envelope(u, x, { ...service, sport, flags: 'S' });
			const got = await receive(sent);
			const port = service.proto === 'tcp' ? BACKEND_PORT.web : BACKEND_PORT.dns;
			const inside = expectVerdict(sent, got, VERDICT.REDIRECT);
			expect(ipOf(got.packet)).toMatchObject({ src: x.world, dst: x.b });
			expect(layerOf(inside, service.proto)).toMatchObject({ sport, dport: port });

			const reply = podFrame(
				POD_B,
				...datagram(x, { proto: service.proto, src: x.b, dst: x.world, sport: port, dport: sport, flags: 'SA' }),
			);
			const answered = await node.fromPod(POD_B, reply);
			const out = expectVerdict(reply, answered, VERDICT.REDIRECT);
			expect(ipOf(answered.packet)).toMatchObject({ src: x.external, dst: x.world });
			expect(layerOf(out, service.proto)).toMatchObject({ sport: service.dport, dport: sport });
		});

		it('rebuilds the state of a connection from any packet of it', async () => {
			const sport = sportOf(x, web, AT.local);
			const sent = envelope(u, x, { ...web, sport, flags: 'A' });
			expectVerdict(sent, await receive(sent), VERDICT.REDIRECT);
			const flows = await node.flows();
			expect(flows).toHaveLength(2);
			for (const flow of flows) expect(flow.flags & CtFlags.DSR).toBe(CtFlags.DSR);
			const reply = podFrame(
				POD_B,
				...datagram(x, { proto: 'tcp', src: x.b, dst: x.world, sport: BACKEND_PORT.web, dport: sport }),
			);
			expectVerdict(reply, await node.fromPod(POD_B, reply), VERDICT.REDIRECT);
		});

		it('tc opens an envelope that XDP did not see', async () => {
			const sent = envelope(u, x, { ...web, sport: sportOf(x, web, AT.local), flags: 'S' });
			const got = await node.fromUplink(sent);
			expectVerdict(sent, got, VERDICT.REDIRECT);
			expect(ipOf(got.packet)).toMatchObject({ src: x.world, dst: x.b });
		});

		it.each([
			['a client', 'world'],
			['a pod of another node', 'pod2'],
		] as const)('drops an envelope from %s', async (_who, who) => {
			const sent = envelope(u, x, { ...web, sport: sportOf(x, web, AT.local) }, { from: u[who] });
			const got = await xdp(sent);
			expect({ verdict: got.verdict, drops: got.drops }).toEqual({
				verdict: XDP.DROP,
				drops: { [DropReason.TUNNEL_SOURCE]: 1 },
			});
			expectDrop(sent, await node.fromUplink(sent), DropReason.TUNNEL_SOURCE);
		});

		it.each([
			['a pod of another node', 'pod3', DropReason.TUNNEL_INNER_SOURCE],
			['another node', 'node3', DropReason.TUNNEL_INNER_SOURCE],
			['a pod of this node', 'a', DropReason.SPOOFED_LOCAL],
			['this node', 'node', DropReason.SPOOFED_LOCAL],
			['a cluster address of nobody', 'nobody', DropReason.TUNNEL_INNER_SOURCE],
		] as const)('drops what %s cannot have sent through a load balancer', async (_who, who, reason) => {
			const o = { ...web, src: x[who] };
			const sent = envelope(u, x, { ...o, sport: sportOf(x, o, AT.local) });
			expectDrop(sent, await receive(sent), reason);
		});

		it('leaves a tunnel alone whose content is for no service', async () => {
			const sent = envelope(u, x, { proto: 'tcp', dport: 80, sport: 20_000, dst: x.a });
			expectPassed(sent, await xdp(sent));
			const got = await node.fromUplink(sent);
			expect({ verdict: got.verdict, drops: got.drops, packet: got.packet }).toEqual({
				verdict: VERDICT.NEXT,
				drops: {},
				packet: sent,
			});
		});

		it('drops what is for a service without a backend here', async () => {
			const o = { proto: 'tcp', dport: PORT.changing, sport: 20_000, flags: 'S' } as const;
			const sent = envelope(u, x, o);
			expectDrop(sent, await receive(sent), DropReason.DSR_NOT_OURS);
		});

		it('finds a backend of its own when the sender has another table', async () => {
			const o = { ...web, sport: sportOf(x, web, AT.node3), flags: 'S' };
			const tag = backendTag(x.b, BACKEND_PORT.web);
			const sent = envelope(u, x, o, { tag });
			const got = await receive(sent);
			expectVerdict(sent, got, VERDICT.REDIRECT);
			expect(ipOf(got.packet)).toMatchObject({ dst: x.b });
		});

		it('drops a frame from the wire that bears the mark of XDP', async () => {
			const sent = build(
				eth({ src: '02:fa:44:53:00:01', dst: UPLINK_MAC }),
				...datagram(x, { ...web, sport: sportOf(x, web, AT.local) }),
			);
			const got = await xdp(sent);
			expect({ verdict: got.verdict, drops: got.drops }).toEqual({
				verdict: XDP.DROP,
				drops: { [DropReason.TUNNEL_SOURCE]: 1 },
			});
		});
	});
});

describe.each(FAMILIES)('the MSS of a SYN-ACK over IPv$family', (x) => {
	const headers = x.family === 4 ? 40 : 60;
	const noOptions = { timestamps: Uint8Array.of(8, 10, 0, 0, 0, 0, 0, 0, 0, 0), nop: Uint8Array.of(1) };

	async function synAck(options: Uint8Array): Promise<Uint8Array> {
		const sport = sportOf(x, web, AT.local);
		await receive(envelope(V4, x, { ...web, sport, flags: 'S' }));
		const reply = podFrame(
			POD_B,
			ip(x.b, x.world),
			tcp({ sport: BACKEND_PORT.web, dport: sport, flags: 'SA', options }),
		);
		const got = await node.fromPod(POD_B, reply);
		return layerOf(expectVerdict(reply, got, VERDICT.REDIRECT), 'tcp').options ?? new Uint8Array();
	}

	it('is lowered to what fits into two envelopes', async () => {
		const options = await synAck(Uint8Array.of(2, 4, 0x05, 0xb4, 1, 3, 3, 7));
		expect(get16(options, 2)).toBe(1500 - 40 - headers);
	});

	it('is lowered at an odd offset, behind other options', async () => {
		const options = await synAck(Uint8Array.of(...noOptions.nop, 2, 4, 0x05, 0xb4, ...noOptions.timestamps, 0));
		expect(get16(options, 3)).toBe(1500 - 40 - headers);
	});

	it('stays when it is small enough', async () => {
		const options = await synAck(Uint8Array.of(2, 4, 0x02, 0x18));
		expect(get16(options, 2)).toBe(0x218);
	});
});

describe.each(FAMILIES)('what XDP leaves to tc over IPv$family', (x) => {
	it('reaches the same backend in the same envelope', async () => {
		for (const position of [AT.node2, AT.node3]) {
			const sent = fromClient(x, { ...web, sport: sportOf(x, web, position) });
			const fast = await xdp(sent);
			const slow = await node.fromUplink(sent);
			expectVerdict(sent, slow, VERDICT.REDIRECT);
			expect([...slow.packet.subarray(14)]).toEqual([...fast.packet.subarray(14)]);
		}
		expect(await node.flows()).toEqual([]);
	});

	it('is answered when it does not fit, with the size that does', async () => {
		const sport = sportOf(x, web, AT.node2);
		const head = build(...datagram(x, { ...web, sport, payload: 0 })).length;
		const sent = fromClient(x, { ...web, sport, payload: 1500 - 20 - head + 1 });
		const got = await node.fromUplink(sent);
		expect({ verdict: got.verdict, drops: got.drops }).toEqual({
			verdict: VERDICT.REDIRECT,
			drops: { [DropReason.FRAG_NEEDED]: 1 },
		});
		const answer = layerOf(parse(got.packet), x.family === 4 ? 'icmp' : 'icmpv6');
		expect(answer).toMatchObject({ type: x.family === 4 ? 3 : 2, rest: 1480 });
	});

	it('is answered when this is its last hop', async () => {
		const sent = fromClient(x, { ...web, sport: sportOf(x, web, AT.node2), ttl: 1 });
		const got = await node.fromUplink(sent);
		expect({ verdict: got.verdict, drops: got.drops }).toEqual({
			verdict: VERDICT.REDIRECT,
			drops: { [DropReason.TTL_EXCEEDED]: 1 },
		});
	});

	it('opens a flow here when the backend is a pod of this node', async () => {
		const sent = fromClient(x, { ...web, sport: sportOf(x, web, AT.local), flags: 'S' });
		const got = await node.fromUplink(sent);
		expectVerdict(sent, got, VERDICT.REDIRECT);
		expect(ipOf(got.packet)).toMatchObject({ src: x.world, dst: x.b });
	});

	it('goes the way with connection tracking when the hash does not decide', async () => {
		const sent = fromClient(x, { proto: 'tcp', dport: PORT.random, sport: 20_000, flags: 'S' });
		const got = await node.fromUplink(sent);
		expectVerdict(sent, got, VERDICT.REDIRECT);
		expect(ipOf(got.packet)).toMatchObject({ src: x.node });
	});
});

describe.each(FAMILIES)('an ICMP error about an answer of a service over IPv$family', (x) => {
	const router = x.family === 4 ? '203.0.113.254' : '2001:db8:7::fe';
	const tooBig = (quote: Layer[]): Layer[] => [
		ip(router, x.external),
		x.family === 4 ? icmp({ type: 3, code: 4, rest: 1400 }) : icmpv6({ type: 2, code: 0, rest: 1400 }),
		raw(build(...quote)),
	];
	const answer = (sport: number): Layer[] =>
		datagram(x, { proto: 'tcp', src: x.external, dst: x.world, sport: PORT.web, dport: sport, payload: 8 });

	it('goes to the node of the backend that sent it', async () => {
		for (const [position, target] of [
			[AT.node2, V4.node2],
			[AT.node3, V4.node3],
		] as const) {
			const sent = uplinkFrame(...tooBig(answer(sportOf(x, web, position))));
			expectPassed(sent, await xdp(sent));
			const parsed = expectVerdict(sent, await node.fromUplink(sent), VERDICT.REDIRECT);
			expect(addressesOf(parsed, 0)).toMatchObject({ src: V4.node, dst: target });
			expect(addressesOf(parsed, 1)).toMatchObject({ src: router, dst: x.external });
		}
	});

	it('reaches the pod with its own address in the quote', async () => {
		const sport = sportOf(x, web, AT.local);
		await receive(envelope(V4, x, { ...web, sport, flags: 'S' }));
		const enveloped = uplinkFrame(outer(V4, x.family), ...tooBig(answer(sport)));
		for (const [sent, got] of [
			[enveloped, await receive(enveloped)],
			[uplinkFrame(...tooBig(answer(sport))), await node.fromUplink(uplinkFrame(...tooBig(answer(sport))))],
		] as const) {
			const parsed = expectVerdict(sent, got, VERDICT.REDIRECT);
			expect(ipOf(got.packet)).toMatchObject({ src: router, dst: x.b });
			const { quoted } = parsed;
			if (!quoted) throw new Error('nothing is quoted');
			expect(addressesOf(quoted, 0)).toMatchObject({ src: x.b, dst: x.world });
			expect(layerOf(quoted, 'tcp')).toMatchObject({ sport: BACKEND_PORT.web, dport: sport });
		}
	});

	it('is dropped when no flow here sent the answer', async () => {
		const sent = uplinkFrame(outer(V4, x.family), ...tooBig(answer(sportOf(x, web, AT.local))));
		expectDrop(sent, await receive(sent), DropReason.DSR_NOT_OURS);
	});
});

describe('a packet that comes by the overlay after one in an envelope', () => {
	it('is judged by itself', async () => {
		await receive(envelope(V4, V4, { ...web, sport: sportOf(V4, web, AT.local), flags: 'S' }));
		const sent = uplinkFrame(...datagram(V4, { proto: 'tcp', src: V4.pod2, dst: V4.b, sport: 40_000, dport: 80 }));
		// a test run has no tunnel key, which is what is looked at first
		const got = await node.dataplane.run('from_overlay', sent, { device: 'overlay', ingressDevice: 'overlay' });
		expectDrop(sent, got, DropReason.TUNNEL_KEY);
	});
});

describe('fragments', () => {
	it('of a datagram reach the backend of the whole one, each in an envelope', async () => {
		const sport = sportOf(V4, dns, AT.node3);
		const whole = build(...datagram(V4, { ...dns, sport, payload: 120 }));
		const body = whole.subarray(20);
		const head = { src: V4.world, dst: V4.external, id: 77, proto: 17 };
		const pieces = [
			uplinkFrame(ipv4({ ...head, mf: true }), raw(body.slice(0, 64))),
			uplinkFrame(ipv4({ ...head, offset: 64 }), raw(body.slice(64))),
		];
		for (const sent of pieces) {
			expectPassed(sent, await xdp(sent));
			const got = await node.fromUplink(sent);
			const parsed = expectVerdict(sent, got, VERDICT.REDIRECT);
			expect(addressesOf(parsed, 0)).toMatchObject({ src: V4.node, dst: V4.node3 });
			expect(addressesOf(parsed, 1)).toMatchObject({ src: V4.world, dst: V4.external });
		}
	});
});
