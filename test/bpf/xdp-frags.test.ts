/** XDP on devices whose packets take several buffers (jumbo frames). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunResult } from '../lib/dataplane.ts';
import { build, ipv4 } from '../lib/packet.ts';
import { FAMILIES, TestNode, UPLINK_MAC, uplinkFrame, V4 } from './world.ts';
import {
	AT,
	addressesOf,
	datagram,
	expectPassed,
	expectSent,
	fromClient,
	MODE,
	macsOf,
	NODE_PORTS,
	PORT,
	sportOf,
	XDP,
	xdpWorld,
} from './xdp-world.ts';

const MTU = 9000;
const world = xdpWorld(MODE.ipip);
const jumbo = { ...world, uplinkMtu: MTU, config: { ...world.config, xdp_frags: 1 } };
/** More than two pages; a buffer has less than one. */
const PAYLOAD = 8500;

describe('a device whose packets take several buffers', () => {
	let node: TestNode;

	beforeAll(async () => {
		node = await TestNode.start(jumbo, ['node', 'xdp_lb', 'clock']);
		await node.dataplane.attachXdp('xdp_lb', 'uplink');
	}, 120_000);
	afterAll(() => node?.close());

	const run = (packet: Uint8Array): Promise<RunResult> => node.dataplane.run('xdp_lb', packet);

	describe.each(FAMILIES)('over IPv$family', (x) => {
		const web = { proto: 'tcp', dport: PORT.web, payload: PAYLOAD } as const;
		const nodePort = { proto: 'tcp', dport: NODE_PORTS.tracked, dst: x.node, payload: PAYLOAD } as const;

		it('sends such a packet in an envelope, whole', async () => {
			const o = { ...web, sport: sportOf(x, web, AT.node2), ttl: 17 };
			const sent = fromClient(x, o);
			const got = await run(sent);
			const parsed = expectSent(sent, got);
			expect(macsOf(parsed).src).toBe(UPLINK_MAC);
			expect(addressesOf(parsed, 0)).toEqual({ src: V4.node, dst: V4.node2, ttl: 64 });
			expect(Buffer.compare(got.packet.subarray(34), build(...datagram(x, { ...o, ttl: 16 })))).toBe(0);
		});

		it('translates it, with the checksum of all of it', async () => {
			const o = { ...nodePort, sport: sportOf(x, nodePort, AT.node3) };
			const opened = fromClient(x, { ...o, payload: 0, flags: 'S' });
			expectSent(opened, await run(opened));
			const sent = fromClient(x, o);
			expect(addressesOf(expectSent(sent, await run(sent)), 0)).toMatchObject({ src: x.node, dst: x.pod3 });
		});

		it('opens an envelope that takes several', async () => {
			const content = datagram(x, { ...web, sport: sportOf(x, web, AT.local) });
			const outer = ipv4({ src: V4.node2, dst: V4.node, df: true, proto: x.family === 4 ? 4 : 41 });
			const got = await run(uplinkFrame(outer, ...content));
			expect(got.verdict).toBe(XDP.PASS);
			expect(Buffer.compare(got.packet.subarray(14), build(...content))).toBe(0);
		});

		it('leaves what is longer than all of them to tc', async () => {
			const sent = fromClient(x, { ...web, sport: sportOf(x, web, AT.node2) });
			const cut = sent.slice(0, sent.length - 4);
			expectPassed(cut, await run(cut));
		});

		it('leaves what does not fit with its envelope to tc, which answers', async () => {
			const sport = sportOf(x, web, AT.node2);
			const head = build(...datagram(x, { ...web, sport, payload: 0 })).length;
			const largest = fromClient(x, { ...web, sport, payload: MTU - 20 - head });
			expectSent(largest, await run(largest));
			const larger = fromClient(x, { ...web, sport, payload: MTU - 20 - head + 1 });
			expectPassed(larger, await run(larger));
		});
	});
});

describe('a program that knows one buffer only', () => {
	it('is refused by a device of large MTU', async () => {
		const node = await TestNode.start({ ...jumbo, config: { ...jumbo.config, xdp_frags: 0 } }, ['xdp_lb']);
		try {
			await expect(node.dataplane.attachXdp('xdp_lb', 'uplink')).rejects.toThrow('ERANGE');
		} finally {
			await node.close();
		}
	}, 120_000);
});
