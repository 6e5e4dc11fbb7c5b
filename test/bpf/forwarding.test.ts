/** What forwarding would do, a redirect must do: hop limit, MTU, fragments, extension headers (design.md section 4). */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DropReason } from '../../native/abi/generated.ts';
import type { RunResult } from '../lib/dataplane.ts';
import { VERDICT } from '../lib/dataplane.ts';
import type { Layer } from '../lib/packet.ts';
import {
	build,
	concat,
	echo,
	eth,
	ext6,
	fragmentOf,
	fragments,
	icmp,
	icmpv6,
	ip,
	ipv4,
	ipv6,
	layerOf,
	parse,
	quoted,
	raw,
	tcp,
	udp,
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
	podFrame,
	SERVICE,
	TestNode,
	UPLINK_MAC,
	uplinkFrame,
	V4,
	V6,
} from './world.ts';

let node: TestNode;
beforeAll(async () => {
	node = await TestNode.start();
});
afterAll(() => node?.close());
beforeEach(() => node.reset());

const syn = tcp({ sport: 40000, dport: 8080, flags: 'S' });
const bytes = (n: number): Layer => raw(Uint8Array.from({ length: n }, (_, i) => i));

function icmpOf(x: Addresses, got: RunResult) {
	return layerOf(parse(got.packet), x.family === 4 ? 'icmp' : 'icmpv6');
}

describe.each(FAMILIES)('hop limit, IPv$family', (x) => {
	it.each([
		['a local pod', 'b', 8080],
		['a pod behind the tunnel', 'pod2', 8080],
		['a pod on the shared link', 'pod3', 8080],
		['the world', 'world', 443],
		['a service', 'vip', SERVICE.web],
	] as const)('lowers it by one on the way to %s', async (_, target, dport) => {
		const sent = podFrame(POD_A, ip(x.a, x[target], { ttl: 2 }), tcp({ ...syn, dport }));
		const got = await node.fromPod(POD_A, sent);
		expectVerdict(sent, got, VERDICT.REDIRECT);
		expect(ipOf(got.packet).ttl).toBe(1);
	});

	it.each(['b', 'pod2', 'pod3', 'world', 'vip'] as const)(
		'answers time exceeded when it is used up on the way to %s',
		async (target) => {
			const dport = target === 'vip' ? SERVICE.web : 8080;
			for (const ttl of [1, 0]) {
				const sent = podFrame(
					POD_A,
					ip(x.a, x[target], { ttl }),
					udp({ sport: 1, dport: target === 'vip' ? SERVICE.dns : dport }),
					bytes(40),
				);
				const got = await node.fromPod(POD_A, sent);
				const parsed = expectAnswer(sent, got, DropReason.TTL_EXCEEDED);
				expect(ipOf(got.packet)).toMatchObject({ src: x.node, dst: x.a });
				expect(icmpOf(x, got)).toMatchObject(x.family === 4 ? { type: 11, code: 0 } : { type: 3, code: 0 });
				expect(parsed.quoted?.layers[0]).toMatchObject({ src: x.a, dst: x[target] });
			}
		},
	);

	it('does not lower it for a packet to the node itself', async () => {
		const sent = podFrame(POD_A, ip(x.a, x.node, { ttl: 1 }), syn);
		const got = await node.fromPod(POD_A, sent);
		expectVerdict(sent, got, VERDICT.NEXT);
		expect(ipOf(got.packet).ttl).toBe(1);
	});

	it('does not answer an ICMP error with an ICMP error', async () => {
		const about = build(eth({ src: POD_A.mac, dst: POD_A.mac }), ip(x.world, x.a), udp({ sport: 1, dport: 2 }));
		const error = x.family === 4 ? icmp({ type: 3, code: 3, rest: 0 }) : icmpv6({ type: 1, code: 4, rest: 0 });
		const sent = podFrame(POD_A, ip(x.a, x.world, { ttl: 1 }), error, raw(quoted(about)));
		expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.TTL_EXCEEDED);
	});
});

describe.each(FAMILIES)('MTU, IPv$family', (x) => {
	const header = x.family === 4 ? 20 : 40;
	const sized = (target: string, total: number, df: boolean) =>
		podFrame(
			POD_A,
			ip(x.a, target, x.family === 4 ? { df } : {}),
			udp({ sport: 1, dport: 2 }),
			bytes(total - header - 8),
		);

	it('carries a packet that just fits the tunnel', async () => {
		const sent = sized(x.pod2, 1450, true);
		expectVerdict(sent, await node.fromPod(POD_A, sent), VERDICT.REDIRECT);
	});

	it.each([
		['the tunnel', 'pod2', 1450],
		['the shared link', 'pod3', 1500],
		['the uplink', 'world', 1500],
	] as const)('answers with the MTU of %s when a packet is one byte too long', async (_, target, mtu) => {
		const sent = sized(x[target], mtu + 1, true);
		const got = await node.fromPod(POD_A, sent);
		const parsed = expectAnswer(sent, got, DropReason.FRAG_NEEDED);
		expect(ipOf(got.packet)).toMatchObject({ src: x.node, dst: x.a });
		expect(icmpOf(x, got)).toMatchObject(
			x.family === 4 ? { type: 3, code: 4, rest: mtu } : { type: 2, code: 0, rest: mtu },
		);
		expect(parsed.quoted?.layers[0]).toMatchObject({ src: x.a, dst: x[target] });
		expect(parsed.quoted && layerOf(parsed.quoted, 'udp')).toMatchObject({ sport: 1, dport: 2 });
	});

	it('quotes the packet as the pod sent it, not as it was translated', async () => {
		const frame = podFrame(
			POD_A,
			ip(x.a, x.vip, x.family === 4 ? { df: true } : {}),
			tcp({ sport: 1, dport: SERVICE.tunnel, flags: 'A' }),
			bytes(1460),
		);
		const got = await node.fromPod(POD_A, frame);
		const parsed = expectAnswer(frame, got, DropReason.FRAG_NEEDED);
		expect(parsed.quoted?.layers[0]).toMatchObject({ src: x.a, dst: x.vip });
		expect(parsed.quoted && layerOf(parsed.quoted, 'tcp')).toMatchObject({ sport: 1, dport: SERVICE.tunnel });
	});

	it('measures the segments of an aggregate, not the aggregate', async () => {
		const sent = podFrame(
			POD_A,
			ip(x.a, x.pod2, x.family === 4 ? { df: true } : {}),
			tcp({ sport: 1, dport: 2, flags: 'A' }),
			bytes(2700),
		);
		const fits = await node.fromPod(POD_A, sent, { gsoSize: 1380, gsoSegments: 2 });
		expect({ verdict: fits.verdict, drops: fits.drops }).toEqual({ verdict: VERDICT.REDIRECT, drops: {} });
		const long = await node.fromPod(POD_A, sent, { gsoSize: 1440, gsoSegments: 2 });
		expect(long.drops).toEqual({ [DropReason.FRAG_NEEDED]: 1 });
	});

	if (x.family === 4) {
		it('leaves a too long packet without DF to the stack, which fragments it', async () => {
			const sent = sized(x.pod2, 1451, false);
			expectVerdict(sent, await node.fromPod(POD_A, sent), VERDICT.NEXT);
		});

		it('tells the size even without DF where the source becomes the node, which the stack would not fragment', async () => {
			const sent = uplinkFrame(
				ip(x.world, x.node, { df: false }),
				tcp({ sport: 50_000, dport: NODE_PORT.tunnel, flags: 'S' }),
				bytes(1440),
			);
			const got = await node.fromUplink(sent);
			const parsed = expectAnswer(sent, got, DropReason.FRAG_NEEDED);
			expect(icmpOf(x, got)).toMatchObject({ type: 3, code: 4, rest: 1450 });
			expect(parsed.quoted?.layers[0]).toMatchObject({ src: x.world, dst: x.node });
		});
	}
});

describe.each(FAMILIES)('fragments, IPv$family', (x) => {
	const head = [eth({ src: POD_A.mac, dst: POD_A.hostMac })];
	const datagram = (target: string, dport: number): readonly [ReturnType<typeof ip>, ...Layer[]] => [
		ip(x.a, target),
		udp({ sport: 7000, dport }),
		bytes(88),
	];
	const PROTO_UDP = 17;
	const first = (id: number, more = true, content = new Uint8Array(24)) =>
		fragmentOf(
			head,
			ip(x.a, x.b),
			{ proto: PROTO_UDP, id, offset: 0, more },
			concat(Uint8Array.of(0, 1, 0, 2, 0, 100, 0, 0), content),
		);
	const later = (id: number, offset: number, length: number, more: boolean) =>
		fragmentOf(head, ip(x.a, x.b), { proto: PROTO_UDP, id, offset, more }, new Uint8Array(length));

	it('sends all fragments of a datagram to the same backend; the whole has a correct checksum', async () => {
		const parts = fragments(head, datagram(x.vip, SERVICE.dns), { id: 11, cuts: [16, 64] });
		const payloads: Uint8Array[] = [];
		for (const part of parts) {
			const got = await node.fromPod(POD_A, part);
			expectVerdict(part, got, VERDICT.REDIRECT);
			expect(ipOf(got.packet).dst).toBe(x.b);
			payloads.push(got.packet.subarray(x.family === 4 ? 34 : 62));
		}
		const whole = parse(build(...head, ip(x.a, x.b, { proto: PROTO_UDP }), raw(concat(...payloads))));
		expect(whole.problems).toEqual([]);
		expect(layerOf(whole, 'udp')).toMatchObject({ sport: 7000, dport: BACKEND_PORT.dns });
	});

	it('accepts the later fragments in any order', async () => {
		const [one, two, three] = fragments(head, datagram(x.b, 9), { id: 12, cuts: [16, 64] });
		for (const part of [one, three, two]) {
			const sent = part ?? new Uint8Array();
			expectVerdict(sent, await node.fromPod(POD_A, sent), VERDICT.REDIRECT);
		}
	});

	it('lets the same identification be used again once a datagram is complete, whatever order it came in', async () => {
		for (const order of [
			[0, 1, 2],
			[0, 2, 1],
			[0, 1, 2],
		]) {
			const parts = fragments(head, datagram(x.b, 9), { id: 13, cuts: [16, 64] });
			for (const i of order) {
				const sent = parts[i] ?? new Uint8Array();
				expectVerdict(sent, await node.fromPod(POD_A, sent), VERDICT.REDIRECT);
			}
		}
	});

	it('drops a fragment whose first one was not seen', async () => {
		const sent = later(14, 16, 16, false);
		expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.FRAGMENT_NO_FIRST);
	});

	it('drops a first fragment without the whole header of its protocol', async () => {
		for (const [proto, length] of [
			[6, 8],
			[6, 16],
			[PROTO_UDP, 0],
			[132, 8],
		] as const) {
			const sent = fragmentOf(head, ip(x.a, x.b), { proto, id: 15, offset: 0, more: true }, new Uint8Array(length));
			expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.FRAGMENT_SHORT);
		}
	});

	it.each([
		['the header again', 0, 16],
		['bytes inside the first', 8, 8],
		['the end of the first and more', 24, 24],
	])('drops a fragment that overlaps: %s', async (_, offset, length) => {
		const start = first(16);
		expectVerdict(start, await node.fromPod(POD_A, start), VERDICT.REDIRECT);
		const sent = offset === 0 ? first(16) : later(16, offset, length, true);
		expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.FRAGMENT_OVERLAP);
	});

	it('drops a middle fragment that is not a multiple of 8 bytes long', async () => {
		const start = first(17);
		await node.fromPod(POD_A, start);
		const sent = later(17, 32, 13, true);
		expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.INVALID_PACKET);
	});

	it('keeps datagrams of different senders, identifications and protocols apart', async () => {
		await node.fromPod(POD_A, first(18));
		const otherId = later(19, 32, 16, false);
		expectDrop(otherId, await node.fromPod(POD_A, otherId), DropReason.FRAGMENT_NO_FIRST);
		const otherTarget = fragmentOf(
			head,
			ip(x.a, x.pod3),
			{ proto: PROTO_UDP, id: 18, offset: 32, more: false },
			new Uint8Array(16),
		);
		expectDrop(otherTarget, await node.fromPod(POD_A, otherTarget), DropReason.FRAGMENT_NO_FIRST);
	});

	it('translates fragments from the network to a service and to a pod', async () => {
		const link = [eth({ src: GATEWAY_MAC, dst: UPLINK_MAC })];
		const parts = fragments(link, [ip(x.pod3, x.b), udp({ sport: 1, dport: 2 }), bytes(100)], { id: 20, cuts: [48] });
		for (const part of parts) {
			expectVerdict(part, await node.fromUplink(part), VERDICT.REDIRECT);
		}
	});

	it('leaves fragments for the node itself to its stack', async () => {
		const sent = fragmentOf(
			[eth({ src: GATEWAY_MAC, dst: UPLINK_MAC })],
			ip(x.world, x.node),
			{ proto: PROTO_UDP, id: 21, offset: 64, more: false },
			new Uint8Array(16),
		);
		expectVerdict(sent, await node.fromUplink(sent), VERDICT.NEXT);
	});

	it('answers no error to a later fragment', async () => {
		await node.fromPod(POD_A, first(22));
		const sent = fragmentOf(
			head,
			ip(x.a, x.b, { ttl: 1 }),
			{ proto: PROTO_UDP, id: 22, offset: 32, more: false },
			new Uint8Array(16),
		);
		expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.TTL_EXCEEDED);
	});
});

describe('IPv4 options', () => {
	it('finds the ports behind them', async () => {
		const options = Uint8Array.of(1, 1, 1, 1, 7, 7, 4, 0, 0, 0, 0, 0);
		const sent = podFrame(
			POD_A,
			ipv4({ src: V4.a, dst: V4.vip, options }),
			tcp({ sport: 1, dport: SERVICE.web, flags: 'S' }),
		);
		const parsed = expectVerdict(sent, await node.fromPod(POD_A, sent), VERDICT.REDIRECT);
		expect(layerOf(parsed, 'tcp')).toMatchObject({ dport: BACKEND_PORT.web });
		expect(layerOf(parsed, 'ipv4').options).toEqual(options);
	});
});

describe('IPv6 extension headers', () => {
	const options = (type: number) => ext6({ type, data: Uint8Array.of(1, 4, 0, 0, 0, 0) });
	const routing = (type: number) => ext6({ type: 43, data: Uint8Array.of(type, 0, 0, 0, 0, 0) });
	const frame = (dst: string, headers: readonly Layer[], dport: number) =>
		podFrame(POD_A, ipv6({ src: V6.a, dst }), ...headers, tcp({ sport: 1, dport, flags: 'S' }));

	it('walks up to six and translates behind them', async () => {
		for (const count of [1, 2, 6]) {
			const sent = frame(V6.vip, [options(0), ...Array.from({ length: count - 1 }, () => options(60))], SERVICE.web);
			const parsed = expectVerdict(sent, await node.fromPod(POD_A, sent), VERDICT.REDIRECT);
			expect(layerOf(parsed, 'tcp')).toMatchObject({ dport: BACKEND_PORT.web });
		}
	});

	it('walks long ones', async () => {
		const long = ext6({ type: 60, data: concat(Uint8Array.of(1, 252), new Uint8Array(252)) });
		const sent = frame(V6.vip, [long], SERVICE.web);
		const parsed = expectVerdict(sent, await node.fromPod(POD_A, sent), VERDICT.REDIRECT);
		expect(layerOf(parsed, 'tcp')).toMatchObject({ dport: BACKEND_PORT.web });
	});

	it('drops seven', async () => {
		for (const dst of [V6.vip, V6.b]) {
			const sent = frame(dst, [options(0), ...Array.from({ length: 6 }, () => options(60))], SERVICE.web);
			expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.EXTENSION_HEADERS);
		}
	});

	it('drops routing type 0, also behind others, and carries other types', async () => {
		for (const headers of [[routing(0)], [options(0), options(60), routing(0)]]) {
			const sent = frame(V6.b, headers, 8080);
			expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.EXTENSION_HEADERS);
		}
		const sent = frame(V6.b, [routing(4)], 8080);
		expectVerdict(sent, await node.fromPod(POD_A, sent), VERDICT.REDIRECT);
	});

	it('drops one that reaches beyond the packet', async () => {
		const sent = podFrame(
			POD_A,
			ipv6({ src: V6.a, dst: V6.b }),
			ext6({ type: 60, data: new Uint8Array(6), length: 200 }),
		);
		const got = await node.fromPod(POD_A, sent);
		expect(got.verdict).toBe(VERDICT.DROP);
		expect(Object.values(got.drops)).toEqual([1]);
	});

	it('carries an atomic fragment like a whole packet', async () => {
		const atomic = { kind: 'frag6', offset: 0, more: false, id: 1 } as const;
		const sent = podFrame(
			POD_A,
			ipv6({ src: V6.a, dst: V6.vip }),
			atomic,
			tcp({ sport: 1, dport: SERVICE.web, flags: 'S' }),
		);
		const got = await node.fromPod(POD_A, sent);
		expect({ verdict: got.verdict, drops: got.drops }).toEqual({ verdict: VERDICT.REDIRECT, drops: {} });
		expect(layerOf(parse(got.packet), 'tcp')).toMatchObject({ dport: BACKEND_PORT.web });
	});
});

describe.each(FAMILIES)('echo, IPv$family', (x) => {
	it('goes to pods of every kind and comes back by the same entry', async () => {
		for (const target of [x.b, x.pod2, x.pod3]) {
			const sent = podFrame(POD_A, ip(x.a, target), echo(x.family, { id: 77, seq: 1 }), bytes(56));
			expectVerdict(sent, await node.fromPod(POD_A, sent), VERDICT.REDIRECT);
		}
		const reply = uplinkFrame(ip(x.pod3, x.a), echo(x.family, { reply: true, id: 77, seq: 1 }), bytes(56));
		expectVerdict(reply, await node.fromUplink(reply), VERDICT.REDIRECT);
		expect(await node.flows()).toHaveLength(3);
	});
});
