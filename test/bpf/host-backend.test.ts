/** Services whose backend is a process of this node: its answers pass the stack and still carry the service's address. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CtFlags } from '../../native/abi/generated.ts';
import type { RunResult } from '../lib/dataplane.ts';
import { indexKey, VERDICT } from '../lib/dataplane.ts';
import type { Layer } from '../lib/packet.ts';
import { build, eth, icmp, icmpv6, ip, layerOf, parse, quoted, raw, tcp, udp } from '../lib/packet.ts';
import { expectVerdict, FAMILIES, ipOf, PROTO, TestNode, UPLINK_MAC, uplinkFrame, WORLD } from './world.ts';

const PORT = { service: 300, node: 30_300, process: 7100 } as const;

let node: TestNode;
beforeAll(async () => {
	const services = FAMILIES.flatMap((x) => {
		const backends = [{ address: x.node, port: PORT.process, local: true }];
		return [
			{ address: x.vip, proto: PROTO.TCP, port: PORT.service, backends },
			{ address: x.node, proto: PROTO.TCP, port: PORT.node, external: true, nodeAddress: true, backends },
			{ address: x.external, proto: PROTO.UDP, port: PORT.service, external: true, backends },
		];
	});
	node = await TestNode.start({ ...WORLD, services });
});
afterAll(() => node?.close());
beforeEach(async () => {
	await node.reset();
	await node.dataplane.set('hostsvc', indexKey(0), new Uint8Array(4));
});

const toUplink = (packet: Uint8Array): Promise<RunResult> =>
	node.dataplane.run('to_uplink', packet, { device: 'uplink' });
const toOverlay = (packet: Uint8Array): Promise<RunResult> =>
	node.dataplane.run('to_overlay', packet, { device: 'overlay' });
const GATEWAY = '02:00:00:00:50:fe';

describe.each(FAMILIES)('a backend that is a process of the node, IPv$family', (x) => {
	const outgoing = (...layers: readonly Layer[]) => build(eth({ src: UPLINK_MAC, dst: GATEWAY }), ...layers);
	const request = (src: string, sport: number) =>
		uplinkFrame(ip(src, x.node), tcp({ sport, dport: PORT.node, flags: 'S' }));
	const answer = (dst: string, dport: number) =>
		outgoing(ip(x.node, dst), tcp({ sport: PORT.process, dport, flags: 'SA', seq: 1, ack: 2 }));

	it('answers a client from outside from the address it asked', async () => {
		const sent = request(x.world, 50_000);
		const got = expectVerdict(sent, await node.fromUplink(sent), VERDICT.NEXT);
		expect([ipOf(sent).src, layerOf(got, 'tcp').dport]).toEqual([x.world, PORT.process]);
		const back = answer(x.world, 50_000);
		const seen = expectVerdict(back, await toUplink(back), VERDICT.NEXT);
		expect(layerOf(seen, 'tcp')).toMatchObject({ sport: PORT.node, dport: 50_000 });
	});

	it('answers a pod of another node through the tunnel in the same way', async () => {
		await node.fromUplink(request(x.pod3, 50_001));
		const back = answer(x.pod3, 50_001);
		const seen = expectVerdict(back, await toOverlay(back), VERDICT.NEXT);
		expect(layerOf(seen, 'tcp').sport).toBe(PORT.node);
	});

	it('leaves what the node sends alone that is no such answer', async () => {
		await node.fromUplink(request(x.world, 50_000));
		for (const packet of [
			outgoing(ip(x.node, x.world), tcp({ sport: 22, dport: 50_000, flags: 'A', seq: 1, ack: 2 })),
			outgoing(ip(x.a, x.world), tcp({ sport: PORT.process, dport: 50_000, flags: 'A', seq: 1, ack: 2 })),
		]) {
			const got = await toUplink(packet);
			expect(got.verdict).toBe(VERDICT.NEXT);
			expect(got.packet).toEqual(packet);
		}
	});

	it('quotes the packet as the client sent it in an ICMP error', async () => {
		const sent = uplinkFrame(ip(x.world, x.external), udp({ sport: 50_002, dport: PORT.service }));
		const inside = await node.fromUplink(sent);
		expect(inside.verdict).toBe(VERDICT.NEXT);
		const unreachable = x.family === 4 ? icmp({ type: 3, code: 3, rest: 0 }) : icmpv6({ type: 1, code: 4, rest: 0 });
		const got = await toUplink(outgoing(ip(x.node, x.world), unreachable, raw(quoted(inside.packet))));
		expect(got.verdict).toBe(VERDICT.NEXT);
		expect(parse(got.packet).problems).toEqual([]);
		const quote = Buffer.from(quoted(got.packet).slice(x.family === 4 ? 28 : 48));
		const tuple = (bytes: Uint8Array) => bytes.slice(x.family === 4 ? 12 : 8, x.family === 4 ? 24 : 44);
		expect(tuple(quote)).toEqual(Buffer.from(tuple(quoted(sent))));
	});

	it('is reached by a process of the same node, which sees the service answer', async () => {
		const hostFrame = (...layers: readonly Layer[]) =>
			build(eth({ src: '02:fa:00:00:00:02', dst: '02:fa:00:00:00:03' }), ...layers);
		const sent = hostFrame(ip(x.node, x.vip), tcp({ sport: 50_003, dport: PORT.service, flags: 'S' }));
		const got = await node.fromHost(sent);
		expect(got.verdict).toBe(VERDICT.REDIRECT);
		expect(ipOf(got.packet)).toMatchObject({ src: x.vip, dst: x.node });
		expect(layerOf(parse(got.packet), 'tcp')).toMatchObject({ sport: 50_003, dport: PORT.process });
		const back = hostFrame(ip(x.node, x.vip), tcp({ sport: PORT.process, dport: 50_003, flags: 'SA', seq: 1, ack: 2 }));
		const answered = await node.fromHost(back);
		expect(answered.verdict).toBe(VERDICT.REDIRECT);
		expect(ipOf(answered.packet)).toMatchObject({ src: x.vip, dst: x.node });
		expect(layerOf(parse(answered.packet), 'tcp')).toMatchObject({ sport: PORT.service, dport: 50_003 });
		expect(parse(answered.packet).problems).toEqual([]);
		expect((await node.flows()).every(({ flags }) => flags & CtFlags.HOST_LOOP)).toBe(true);
	});
});
