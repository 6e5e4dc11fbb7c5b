/** Packets whose lengths contradict each other: which reason each is dropped for. The fuzz test covers what nobody thought of. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DropReason } from '../../native/abi/generated.ts';
import { VERDICT } from '../lib/dataplane.ts';
import { build, icmp, icmpv6, ip, ipv4, ipv6, layerOf, parse, raw, sctp, tcp, udp } from '../lib/packet.ts';
import { expectAnswer, expectDrop, FAMILIES, POD_A, POD_B, podFrame, TestNode, V4, V6 } from './world.ts';

let node: TestNode;
beforeAll(async () => {
	node = await TestNode.start();
});
afterAll(() => node?.close());

const four = { src: V4.a, dst: V4.b };
const six = { src: V6.a, dst: V6.b };
const syn = tcp({ sport: 1, dport: 2, flags: 'S' });
const datagram = udp({ sport: 1, dport: 2 });
const short = (n: number) => raw(new Uint8Array(n));

const CASES = [
	['an IPv4 total length beyond the frame', podFrame(POD_A, ipv4({ ...four, totalLength: 41 }), syn)],
	['an IPv4 total length below its header', podFrame(POD_A, ipv4({ ...four, totalLength: 19 }), syn)],
	['an IPv4 total length that cuts the TCP header', podFrame(POD_A, ipv4({ ...four, totalLength: 39 }), syn)],
	['an IPv4 header of 16 bytes', podFrame(POD_A, ipv4({ ...four, ihl: 4 }), syn)],
	['IPv4 options beyond the frame', podFrame(POD_A, ipv4({ ...four, ihl: 15, proto: 17, totalLength: 60 }), datagram)],
	['version 6 in an IPv4 frame', podFrame(POD_A, ipv4({ ...four, version: 6 }), syn)],
	['an IPv6 payload length beyond the frame', podFrame(POD_A, ipv6({ ...six, payloadLength: 21 }), syn)],
	['an IPv6 payload length that cuts the TCP header', podFrame(POD_A, ipv6({ ...six, payloadLength: 19 }), syn)],
	['an IPv4-mapped destination', podFrame(POD_A, ipv6({ ...six, dst: `::ffff:${V4.b}` }), syn)],
	['an IPv4-mapped service', podFrame(POD_A, ipv6({ ...six, dst: `::ffff:${V4.vip}` }), syn)],
	['its IPv4 address mapped into IPv6', podFrame(POD_A, ipv6({ src: `::ffff:${V4.a}`, dst: V6.b }), syn)],
	['version 4 in an IPv6 frame', podFrame(POD_A, ipv6({ ...six, version: 4 }), syn)],
	['a TCP header of 16 bytes', podFrame(POD_A, ipv4(four), tcp({ ...syn, dataOffset: 4 }))],
	['a UDP header of 7 bytes', podFrame(POD_A, ipv4({ ...four, proto: 17 }), short(7))],
	['an SCTP header of 11 bytes', podFrame(POD_A, ipv6({ ...six, next: 132 }), short(11))],
	['an ICMP header of 7 bytes', podFrame(POD_A, ipv4({ ...four, proto: 1 }), short(7))],
	['an ICMPv6 header of 7 bytes', podFrame(POD_A, ipv6({ ...six, next: 58 }), short(7))],
	['a TCP header of 19 bytes', podFrame(POD_A, ipv6({ ...six, next: 6 }), short(19))],
] as const;

describe('a malformed packet', () => {
	it.each(CASES)('with %s is dropped as invalid', async (_, sent) => {
		expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.INVALID_PACKET);
	});

	it('with bytes behind the IP packet (Ethernet padding) is none', async () => {
		for (const layers of [
			[ipv4(four), datagram],
			[ipv6(six), datagram],
		] as const) {
			const good = podFrame(POD_A, ...layers);
			const sent = build(raw(good), short(18));
			const got = await node.fromPod(POD_A, sent);
			expect({ verdict: got.verdict, drops: got.drops }).toEqual({ verdict: VERDICT.REDIRECT, drops: {} });
			expect(layerOf(parse(got.packet), 'eth').dst).toBe(POD_B.mac);
		}
	});
});

describe.each(FAMILIES)('an error about a very short packet, IPv$family', (x) => {
	it('quotes all of it and no more', async () => {
		const sent = podFrame(POD_A, ip(x.a, x.b, { ttl: 1, proto: 253 }), short(3));
		const parsed = expectAnswer(sent, await node.fromPod(POD_A, sent), DropReason.TTL_EXCEEDED);
		const kind = x.family === 4 ? icmp({ type: 11, code: 0, rest: 0 }) : icmpv6({ type: 3, code: 0, rest: 0 });
		expect(layerOf(parsed, kind.kind)).toMatchObject({ type: kind.type });
		expect(parsed.quoted && layerOf(parsed.quoted, 'raw').bytes).toEqual(new Uint8Array(3));
	});

	it('is also sent for SCTP', async () => {
		const sent = podFrame(POD_A, ip(x.a, x.b, { ttl: 1 }), sctp({ sport: 1, dport: 2 }));
		const parsed = expectAnswer(sent, await node.fromPod(POD_A, sent), DropReason.TTL_EXCEEDED);
		expect(parsed.quoted?.layers[0]).toMatchObject({ src: x.a, dst: x.b });
	});

	it('quotes of SCTP what its sender checks, the tag of INIT', async () => {
		const init = raw(Uint8Array.of(1, 0, 0, 20, 0xaa, 0xbb, 0xcc, 0xdd, ...new Uint8Array(12)));
		const sent = podFrame(POD_A, ip(x.a, x.b, { ttl: 1 }), sctp({ sport: 1, dport: 2 }), init);
		const result = await node.fromPod(POD_A, sent);
		expectAnswer(sent, result, DropReason.TTL_EXCEEDED);
		expect([...result.packet.slice(-8)]).toEqual([1, 0, 0, 20, 0xaa, 0xbb, 0xcc, 0xdd]);
	});
});
