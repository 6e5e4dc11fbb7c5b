/**
 * Malformed packets through XDP and the uplink program behind it, in every mode: thousands of seeded mutations of packets to services,
 * of envelopes and of replies. Whatever comes, the verdict is one that a program may give, a dropped packet has one counted reason, and
 * what is sent or unpacked has headers that fit when the packet was whole. A failure prints the seed and the packet.
 */
import { describe, expect, it } from 'vitest';
import { explain, type RunResult } from '../lib/dataplane.ts';
import { mutate, Random } from '../lib/packet/mutate.ts';
import { build, eth, ipv4, type Layer, parse } from '../lib/packet.ts';
import { FAMILIES, GATEWAY_MAC, SNAT, TestNode, UPLINK_MAC, V4 } from './world.ts';
import { datagram, MODE, NODE_PORT, PORT, XDP, xdpWorld } from './xdp-world.ts';

const ROUNDS = 1500;
const SEED = 20_261_121;
/** Flows of each kind: some backends are XDP's, others are left to tc, and which a flow gets is chance. */
const SPORTS = [20_000, 30_000, 40_000, 50_000, 60_000];
/** Shorter frames are refused by BPF_PROG_TEST_RUN: of XDP, and of tc (an Ethernet and an IPv6 header). */
const SHORTEST = 15;
const SHORTEST_SKB = 54;
const XDP_VERDICTS: readonly number[] = [XDP.DROP, XDP.PASS, XDP.TX];
const TC_VERDICTS: readonly number[] = [-1, 2, 7];

function seeds(): Uint8Array[] {
	const macs = eth({ src: GATEWAY_MAC, dst: UPLINK_MAC });
	const plain = FAMILIES.flatMap((x) =>
		(['tcp', 'udp'] as const).flatMap((proto) => [
			...[PORT.web, PORT.dns, PORT.changing, PORT.moving, PORT.random].flatMap((dport) =>
				['S', 'A'].flatMap((flags) =>
					SPORTS.map((sport) => ({ x, layers: datagram(x, { proto, dport, sport: sport + dport, flags }) })),
				),
			),
			{ x, layers: datagram(x, { proto, dport: NODE_PORT, sport: 20_000, dst: x.node, flags: 'S' }) },
			{ x, layers: datagram(x, { proto, dport: SNAT.min, sport: 8080, src: x.pod3, dst: x.node, flags: 'SA' }) },
		]),
	);
	const outer = (to: string, proto: number): Layer => ipv4({ src: V4.node2, dst: to, df: true, id: 0x8123, proto });
	return plain.flatMap(({ x, layers }) => {
		const inside = x.family === 4 ? 4 : 41;
		return [
			build(macs, ...layers),
			build(macs, outer(V4.node, inside), ...layers),
			build(macs, outer(V4.node, 4), outer(V4.node3, inside), ...layers),
		];
	});
}

describe.each(Object.entries(MODE).filter(([name]) => name !== 'option'))('XDP and tc in mode %s', (_name, mode) => {
	it('give every packet a verdict and every drop a reason', async () => {
		const node = await TestNode.start(xdpWorld(mode), ['pod', 'node', 'xdp_lb', 'clock']);
		try {
			const random = new Random(SEED + mode);
			const all = seeds();
			const damaged = Array.from({ length: ROUNDS }, () => mutate(random.pick(all), random));
			const packets = [...all, ...damaged].filter((packet) => packet.length >= SHORTEST);
			const results = await node.dataplane.runMany('xdp_lb', packets);
			const passed: Uint8Array[] = [];
			for (const [i, got] of results.entries()) {
				const sent = packets[i] ?? new Uint8Array();
				judge(sent, got, XDP_VERDICTS, XDP.DROP);
				const whole = parse(sent).problems.length === 0;
				if (got.verdict === XDP.TX && whole) expect(parse(got.packet).problems, explain(sent, got)).toEqual([]);
				if (got.verdict === XDP.PASS && got.packet.length >= SHORTEST_SKB) passed.push(got.packet);
			}
			const slow = await node.dataplane.runMany('from_uplink', passed, { device: 'uplink', ingressDevice: 'uplink' });
			for (const [i, got] of slow.entries()) judge(passed[i] ?? new Uint8Array(), got, TC_VERDICTS, 2);
			expect(new Set(results.map((got) => got.verdict)).size).toBeGreaterThan(1);
		} finally {
			await node.close();
		}
	}, 120_000);
});

function judge(sent: Uint8Array, got: RunResult, verdicts: readonly number[], dropped: number): void {
	expect(verdicts, `seed ${SEED}\n${explain(sent, got)}`).toContain(got.verdict);
	const counted = Object.values(got.drops).reduce((sum, n) => sum + n, 0);
	if (got.verdict === dropped) expect(counted, `seed ${SEED}\n${explain(sent, got)}`).toBe(1);
}
