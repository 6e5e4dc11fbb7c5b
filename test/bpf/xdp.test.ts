import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NODE_MAC, xdpNodeRows } from '../lib/dataplane/rows.ts';
import { build, eth, ext6, frag6, ip, ipv4, ipv6, raw, udp } from '../lib/packet.ts';
import { FAMILIES, GATEWAY_MAC, SNAT, TestNode, UPLINK_MAC, uplinkFrame, V4, V6 } from './world.ts';
import {
	AT,
	addressesOf,
	datagram,
	expectPassed,
	expectSent,
	fromClient,
	MODE,
	macsOf,
	PORT,
	sportOf,
	XDP,
	xdpWorld,
} from './xdp-world.ts';

const world = xdpWorld(MODE.ipip);
let node: TestNode;

beforeAll(async () => {
	node = await TestNode.start(world, ['xdp_lb', 'clock']);
});

afterAll(() => node?.close());

const run = (packet: Uint8Array) => node.dataplane.run('xdp_lb', packet);
const jiffies = async (): Promise<number> =>
	(await node.dataplane.run('clock_jiffies', new Uint8Array(64))).verdict >>> 0;

describe.each(FAMILIES)('XDP with direct server return over IPv$family', (x) => {
	const web = { proto: 'tcp', dport: PORT.web } as const;
	const dns = { proto: 'udp', dport: PORT.dns } as const;

	describe.each([web, dns])('$proto', (service) => {
		it.each([
			{ position: AT.node2, target: V4.node2, index: 2 },
			{ position: AT.node3, target: V4.node3, index: 3 },
		])('encapsulates a packet for a backend on node $index', async ({ position, target, index }) => {
			const o = { ...service, sport: sportOf(x, service, position), ttl: 17 };
			const sent = fromClient(x, o);
			const parsed = expectSent(sent, await run(sent));
			expect(macsOf(parsed)).toMatchObject({ src: UPLINK_MAC, dst: `${NODE_MAC}0${index}` });
			expect(addressesOf(parsed, 0)).toEqual({ src: V4.node, dst: target, ttl: 64 });
			expect(addressesOf(parsed, 1)).toEqual({ src: x.world, dst: x.external, ttl: 16 });
		});

		it('changes nothing but the hop limit inside', async () => {
			const o = { ...service, sport: sportOf(x, service, AT.node2) };
			const got = await run(fromClient(x, o));
			expect([...got.packet.subarray(34)]).toEqual([...build(...datagram(x, { ...o, ttl: 63 }))]);
		});

		it('leaves a backend of this node to tc', async () => {
			const sent = fromClient(x, { ...service, sport: sportOf(x, service, AT.local) });
			expectPassed(sent, await run(sent));
		});

		it('copies the traffic class into the outer header', async () => {
			const sent = fromClient(x, { ...service, sport: sportOf(x, service, AT.node2), tos: 0xb9 });
			const got = await run(sent);
			expect(expectSent(sent, got).layers[1]).toMatchObject({ tos: 0xb9 });
		});

		it('leaves a packet whose last hop this is to tc, which answers', async () => {
			const sent = fromClient(x, { ...service, sport: sportOf(x, service, AT.node2), ttl: 1 });
			expectPassed(sent, await run(sent));
		});

		it('leaves a packet that does not fit with the outer header to tc, which answers', async () => {
			const sport = sportOf(x, service, AT.node2);
			const head = build(...datagram(x, { ...service, sport, payload: 0 })).length;
			const largest = fromClient(x, { ...service, sport, payload: 1500 - 20 - head });
			expectSent(largest, await run(largest));
			const larger = fromClient(x, { ...service, sport, payload: 1500 - 20 - head + 1 });
			expectPassed(larger, await run(larger));
		});

		it('leaves a packet that is longer than its frame to tc', async () => {
			const sent = fromClient(x, { ...service, sport: sportOf(x, service, AT.node2) });
			const cut = sent.slice(0, sent.length - 4);
			expectPassed(cut, await run(cut));
		});

		it.each(['a', 'node', 'external'] as const)('leaves a packet from outside with %s as source to tc', async (who) => {
			const o = { ...service, src: x[who] };
			const sent = fromClient(x, { ...o, sport: sportOf(x, o, AT.node2) });
			expectPassed(sent, await run(sent));
		});
	});

	it('gives a SYN and the packets after it the same backend', async () => {
		for (const position of [AT.node2, AT.node3]) {
			const sport = sportOf(x, web, position);
			const targets = new Set<string>();
			for (const flags of ['S', 'A', 'PA', 'FA', 'R']) {
				const sent = fromClient(x, { ...web, sport, flags });
				targets.add(addressesOf(expectSent(sent, await run(sent)), 0).dst);
			}
			expect([...targets]).toEqual([position === AT.node2 ? V4.node2 : V4.node3]);
		}
	});

	it.each(['local', 'affinity', 'random', 'nodeBackend'] as const)('leaves service %s to tc', async (name) => {
		const o = { proto: 'tcp', dport: PORT[name], sport: 20_001 } as const;
		for (const flags of ['S', 'A']) {
			const sent = fromClient(x, { ...o, flags });
			expectPassed(sent, await run(sent));
		}
	});

	it.each<[string, string, number]>([
		['an address that is no service', x.noService, 80],
		['a port that the service does not have', x.external, 9999],
		["a closed port of the node's", x.node, 22],
		['a masquerade port of nobody', x.node, SNAT.min],
		['a pod', x.a, 80],
	])('leaves a packet to %s to tc', async (_what, dst, dport) => {
		for (const proto of ['tcp', 'udp'] as const) {
			const sent = fromClient(x, { proto, sport: 20_001, dst, dport });
			expectPassed(sent, await run(sent));
		}
	});

	it('sends from the address of the family that nodes speak outside', async () => {
		const now = await jiffies();
		for (const { key, value } of xdpNodeRows(world, now, 6)) await node.dataplane.set('xdp_nodes', key, value);
		try {
			const sent = fromClient(x, { ...web, sport: sportOf(x, web, AT.node2) });
			const parsed = expectSent(sent, await run(sent));
			expect(addressesOf(parsed, 0)).toEqual({ src: V6.node, dst: V6.node2, ttl: 64 });
			expect(addressesOf(parsed, 1)).toMatchObject({ src: x.world, dst: x.external });
		} finally {
			for (const { key, value } of xdpNodeRows(world, now)) await node.dataplane.set('xdp_nodes', key, value);
		}
	});

	it('redirects when the way to the backend is another device', async () => {
		const now = await jiffies();
		const { uplink = 0 } = await node.dataplane.devices();
		for (const { key, value } of xdpNodeRows(world, now, 4, uplink)) await node.dataplane.set('xdp_nodes', key, value);
		try {
			const sent = fromClient(x, { ...web, sport: sportOf(x, web, AT.node2) });
			expectSent(sent, await run(sent), XDP.REDIRECT);
		} finally {
			for (const { key, value } of xdpNodeRows(world, now)) await node.dataplane.set('xdp_nodes', key, value);
		}
	});

	it.each([
		['its deadline has passed', 4000, {}],
		['its generation is another', 0, { gen: 9 }],
	])('leaves packets to tc when the node is known but %s', async (_why, ageS, over) => {
		const now = await jiffies();
		const nodes = world.nodes.map((each) => ({ ...each, ...over }));
		const rows = xdpNodeRows({ ...world, nodes, config: { ...world.config, hz: 250 } }, (now - ageS * 250) >>> 0);
		for (const { key, value } of rows) await node.dataplane.set('xdp_nodes', key, value);
		try {
			const sent = fromClient(x, { ...web, sport: sportOf(x, web, AT.node2) });
			expectPassed(sent, await run(sent));
		} finally {
			for (const { key, value } of xdpNodeRows(world, now)) await node.dataplane.set('xdp_nodes', key, value);
		}
	});
});

describe('XDP leaves to tc', () => {
	const service = { proto: 'udp', dport: PORT.dns } as const;
	const sport = sportOf(V4, service, AT.node2);
	const sport6 = sportOf(V6, service, AT.node2);
	const body = raw(new Uint8Array(64));

	it.each([
		['first fragments', ipv4({ src: V4.world, dst: V4.external, mf: true })],
		['later fragments', ipv4({ src: V4.world, dst: V4.external, offset: 64, proto: 17 })],
		['IPv4 options', ipv4({ src: V4.world, dst: V4.external, options: Uint8Array.of(1, 1, 1, 0) })],
	])('%s', async (_what, header) => {
		const sent = uplinkFrame(header, udp({ sport, dport: PORT.dns }), body);
		expectPassed(sent, await run(sent));
	});

	it.each([
		['IPv6 fragments', frag6({ offset: 0, more: true, id: 7 })],
		['IPv6 extension headers', ext6({ type: 60, data: Uint8Array.of(1, 4, 0, 0, 0, 0) })],
	])('%s', async (_what, extension) => {
		const header = ipv6({ src: V6.world, dst: V6.external });
		const sent = uplinkFrame(header, extension, udp({ sport: sport6, dport: PORT.dns }), body);
		expectPassed(sent, await run(sent));
	});

	it('other protocols, VLAN tags and frames that end in a header', async () => {
		const whole = fromClient(V4, { ...service, sport });
		const macs = eth({ src: GATEWAY_MAC, dst: UPLINK_MAC });
		const tagged = build(eth({ src: GATEWAY_MAC, dst: UPLINK_MAC, type: 0x8100 }), raw(new Uint8Array(64)));
		const sctp = build(macs, ip(V4.world, V4.external, { proto: 132 }), raw(new Uint8Array(40)));
		const short = [14, 20, 33, 34, 41].map((length) => whole.slice(0, length)).filter((p) => p.length > 14);
		const synShort = fromClient(V4, { proto: 'tcp', dport: PORT.web, sport, payload: 0 }).slice(0, 46);
		for (const sent of [tagged, sctp, ...short, synShort]) expectPassed(sent, await run(sent));
	});
});
