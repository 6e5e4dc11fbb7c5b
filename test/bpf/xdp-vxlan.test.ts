/** Direct server return through the overlay's VXLAN, for networks that drop IP protocols 4 and 41. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DropReason } from '../../native/abi/generated.ts';
import { VERDICT } from '../lib/dataplane.ts';
import { backendTag } from '../lib/flow-hash.ts';
import { build, layerOf } from '../lib/packet.ts';
import { BACKEND_PORT, expectVerdict, FAMILIES, TestNode, V4 } from './world.ts';
import {
	AT,
	addressesOf,
	datagram,
	expectPassed,
	expectSent,
	fromClient,
	headersOf,
	isMoved,
	MODE,
	macsOf,
	PORT,
	sportFor,
	sportOf,
	xdpWorld,
} from './xdp-world.ts';

const OVERLAY_MAC = '02:fa:00:00:00:01';
let node: TestNode;

beforeAll(async () => {
	node = await TestNode.start(xdpWorld(MODE.vxlan), ['node', 'overlay', 'xdp_lb', 'clock']);
}, 120_000);

afterAll(() => node?.close());

const xdp = (packet: Uint8Array) => node.dataplane.run('xdp_lb', packet);

/** The frame's source address that names a backend. */
function markOf(address: string): string {
	const tag = backendTag(address, BACKEND_PORT.web);
	return ['02', 'fa', '44', '53', ...[tag >> 8, tag & 255].map((byte) => byte.toString(16).padStart(2, '0'))].join(':');
}

describe.each(FAMILIES)('VXLAN as envelope over IPv$family', (x) => {
	const web = { proto: 'tcp', dport: PORT.web } as const;

	it('carries the whole packet, and the backend in the inner source address', async () => {
		const o = { ...web, sport: sportOf(x, web, AT.node2), ttl: 9, tos: 0x28 };
		const sent = fromClient(x, o);
		const got = await xdp(sent);
		const parsed = expectSent(sent, got);
		expect(addressesOf(parsed, 0)).toEqual({ src: V4.node, dst: V4.node2, ttl: 64 });
		expect(layerOf(parsed, 'udp')).toMatchObject({ dport: 8472, checksum: 0 });
		expect(layerOf(parsed, 'vxlan')).toMatchObject({ vni: 1, flags: 8 });
		expect(layerOf(parsed, 'eth', 1)).toMatchObject({ dst: OVERLAY_MAC, src: markOf(x.pod2) });
		expect([...got.packet.subarray(64)]).toEqual([...build(...datagram(x, { ...o, ttl: 8 }))]);
		expect(macsOf(parsed).dst).not.toBe(OVERLAY_MAC);
	});

	it('leaves what does not fit to tc, which answers', async () => {
		const sport = sportOf(x, web, AT.node2);
		const head = build(...datagram(x, { ...web, sport, payload: 0 })).length;
		const largest = fromClient(x, { ...web, sport, payload: 1450 - head });
		expectSent(largest, await xdp(largest));
		const larger = fromClient(x, { ...web, sport, payload: 1450 - head + 1 });
		expectPassed(larger, await xdp(larger));
		const got = await node.fromUplink(larger);
		expect(got.drops).toEqual({ [DropReason.FRAG_NEEDED]: 1 });
	});

	it('names another backend by a header inside', async () => {
		const o = { proto: 'tcp', dport: PORT.changing } as const;
		const sent = fromClient(x, { ...o, sport: sportFor(x, o, isMoved) });
		const parsed = expectSent(sent, await xdp(sent));
		expect(headersOf(parsed)).toBe(3);
		expect(addressesOf(parsed, 0).dst).toBe(V4.node2);
		expect(addressesOf(parsed, 1)).toMatchObject({ src: V4.node, dst: V4.node3 });
		expect(layerOf(parsed, 'eth', 1)).toMatchObject({ src: markOf(x.pod2) });
	});

	it('is left to the overlay device by tc', async () => {
		const sent = fromClient(x, { ...web, sport: sportOf(x, web, AT.node2) });
		const got = await node.fromUplink(sent);
		const parsed = expectVerdict(sent, got, VERDICT.REDIRECT);
		expect(macsOf(parsed)).toMatchObject({ dst: OVERLAY_MAC, src: markOf(x.pod2) });
		expect(addressesOf(parsed, 0)).toMatchObject({ src: x.world, dst: x.external, ttl: 63 });
	});
});
