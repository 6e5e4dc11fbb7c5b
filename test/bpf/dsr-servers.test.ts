/** Direct server return by servers that are no nodes (standalone mode): IP in IP to their own address, or to their link address. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DropReason } from '../../native/abi/generated.ts';
import type { ServiceFixture, WorldFixture } from '../lib/dataplane.ts';
import { VERDICT } from '../lib/dataplane.ts';
import { build, icmp, icmpv6, ip, layerOf, parse, raw } from '../lib/packet.ts';
import {
	expectDrop,
	expectVerdict,
	FAMILIES,
	PROTO,
	TestNode,
	UPLINK_MAC,
	uplinkFrame,
	V4,
	V6,
	WORLD,
} from './world.ts';
import { addressesOf, datagram, expectPassed, fromClient, headersOf, MODE, sportFor, TABLE } from './xdp-world.ts';

const SERVERS = { 4: ['203.0.113.77', '203.0.113.78'], 6: ['2001:db8:77::77', '2001:db8:77::78'] } as const;
const PORT = { web: 8000, dns: 8053, sctp: 8008, tracked: 8001, changing: 8004 } as const;
const TRACKED = 256;
const spread = Array.from({ length: TABLE }, (_, slot) => slot % 2);
const before = Array.from({ length: TABLE }, () => 0);

function services(): ServiceFixture[] {
	return [V4, V6].flatMap((x): ServiceFixture[] => {
		const at = (port: number, proto: number): ServiceFixture => ({
			address: x.external,
			external: true,
			port,
			proto,
			table: spread,
			backends: SERVERS[x.family].map((address) => ({ address, port })),
		});
		return [
			at(PORT.web, PROTO.TCP),
			at(PORT.dns, PROTO.UDP),
			at(PORT.sctp, PROTO.SCTP),
			{ ...at(PORT.tracked, PROTO.TCP), flags: TRACKED },
			{ ...at(PORT.changing, PROTO.TCP), previous: before },
		];
	});
}

const world = (mode: number): WorldFixture => ({
	...WORLD,
	services: services(),
	config: { ...WORLD.config, north_south: mode },
	mapSizes: { ...WORLD.mapSizes, dsr_flows: 1024 },
});

describe.each([
	{ way: 'IP in IP', mode: MODE.serverIpip },
	{ way: 'the link', mode: MODE.serverLink },
])('servers that are reached by $way', ({ mode }) => {
	const inIp = mode === MODE.serverIpip;
	let node: TestNode;

	beforeAll(async () => {
		node = await TestNode.start(world(mode), ['node', 'xdp_lb', 'clock']);
	}, 120_000);
	beforeEach(async () => {
		await node.reset();
		await node.dataplane.clear('dsr_flows');
	});
	afterAll(() => node?.close());

	describe.each(FAMILIES)('over IPv$family', (x) => {
		const servers = SERVERS[x.family];
		const web = { proto: 'tcp', dport: PORT.web } as const;

		it.each([web, { proto: 'udp', dport: PORT.dns } as const, { proto: 'sctp', dport: PORT.sctp } as const])(
			'get $proto as the client sent it, by the hash of the flow, and no state is kept',
			async (service) => {
				for (const [position, server] of servers.entries()) {
					const sport = sportFor(x, service, (slot) => slot % 2 === position);
					for (const flags of ['S', 'A']) {
						const o = { ...service, sport, ttl: 17, tos: 0x28, flags };
						const sent = fromClient(x, o);
						expectPassed(sent, await node.dataplane.run('xdp_lb', sent));
						const got = await node.fromUplink(sent);
						const parsed = expectVerdict(sent, got, VERDICT.REDIRECT);
						if (inIp) expect(addressesOf(parsed, 0)).toEqual({ src: x.node, dst: server, ttl: 64 });
						expect(headersOf(parsed)).toBe(inIp ? 2 : 1);
						const inside = got.packet.subarray(inIp ? (x.family === 4 ? 34 : 54) : 14);
						expect([...inside]).toEqual([...build(...datagram(x, { ...o, ttl: 16 }))]);
					}
				}
				expect(await node.flows()).toEqual([]);
			},
		);

		it('get one header only while their set changes; a new connection goes where new ones go, others stay', async () => {
			const o = { proto: 'tcp', dport: PORT.changing } as const;
			const sport = sportFor(x, o, (slot) => slot % 2 === 1);
			const targets: string[] = [];
			for (const [flags, from] of [
				['A', sport],
				['S', sport],
				['A', sport],
			] as const) {
				const sent = fromClient(x, { ...o, sport: from, flags });
				const parsed = expectVerdict(sent, await node.fromUplink(sent), VERDICT.REDIRECT);
				expect(headersOf(parsed)).toBe(inIp ? 2 : 1);
				if (inIp) targets.push(addressesOf(parsed, 0).dst);
			}
			expect(targets).toEqual(inIp ? [servers[0], servers[1], servers[1]] : []);
		});

		it('get ICMP errors about their answers', async () => {
			const sport = sportFor(x, web, (slot) => slot % 2 === 1);
			const answer = {
				proto: 'tcp',
				src: x.external,
				dst: x.world,
				sport: PORT.web,
				dport: sport,
				payload: 8,
			} as const;
			const error = x.family === 4 ? icmp({ type: 3, code: 4, rest: 1400 }) : icmpv6({ type: 2, code: 0, rest: 1400 });
			const router = x.family === 4 ? '203.0.113.254' : '2001:db8:7::fe';
			const sent = uplinkFrame(ip(router, x.external), error, raw(build(...datagram(x, answer))));
			const parsed = expectVerdict(sent, await node.fromUplink(sent), VERDICT.REDIRECT);
			expect(addressesOf(parsed, 0).dst).toBe(inIp ? servers[1] : x.external);
		});

		it('are spared what does not fit on the way: the client is told the size', async () => {
			const sport = sportFor(x, web, (slot) => slot % 2 === 1);
			const head = build(...datagram(x, { ...web, sport, payload: 0 })).length;
			const room = 1500 - head - (inIp ? (x.family === 4 ? 20 : 40) : 0);
			const largest = fromClient(x, { ...web, sport, payload: room });
			expectVerdict(largest, await node.fromUplink(largest), VERDICT.REDIRECT);
			const larger = fromClient(x, { ...web, sport, payload: room + 1 });
			const got = await node.fromUplink(larger);
			expect(got.drops).toEqual({ [DropReason.FRAG_NEEDED]: 1 });
			const answer = layerOf(parse(got.packet), x.family === 4 ? 'icmp' : 'icmpv6');
			expect(answer).toMatchObject({ type: x.family === 4 ? 3 : 2, rest: room + head });
		});

		it('see the balancer where ports must be translated', async () => {
			const sent = fromClient(x, { proto: 'tcp', dport: PORT.tracked, sport: 20_001, flags: 'S' });
			const parsed = expectVerdict(sent, await node.fromUplink(sent), VERDICT.REDIRECT);
			expect(addressesOf(parsed, 0).src).toBe(x.node);
			expect(await node.flows()).toHaveLength(2);
		});

		it('get nothing from who passes for a service', async () => {
			const o = { ...web, src: x.external };
			const sent = fromClient(x, { ...o, sport: 20_000 });
			expectDrop(sent, await node.fromUplink(sent), DropReason.SPOOFED_LOCAL);
		});

		it('get what bears the mark of an opened envelope, which means nothing here', async () => {
			const sport = sportFor(x, web, (slot) => slot % 2 === 1);
			const marked = fromClient(x, { ...web, sport });
			marked.set([0x02, 0xfa, 0x44, 0x53, 0, 1], 6);
			expect(layerOf(parse(marked), 'eth').dst).toBe(UPLINK_MAC);
			const parsed = expectVerdict(marked, await node.fromUplink(marked), VERDICT.REDIRECT);
			expect(headersOf(parsed)).toBe(inIp ? 2 : 1);
		});
	});
});
