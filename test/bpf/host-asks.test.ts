/**
 * Processes of the node that ask for services past the socket programs, by addresses that are not routed into the host device: taken off
 * the loopback device or an uplink, and answered there.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DropReason, SvcKey } from '../../native/abi/generated.ts';
import type { RunResult } from '../lib/dataplane.ts';
import { indexKey, VERDICT } from '../lib/dataplane.ts';
import type { Layer } from '../lib/packet.ts';
import { build, eth, icmp, icmpv6, ip, layerOf, parse, quoted, raw, tcp, udp } from '../lib/packet.ts';
import {
	expectVerdict,
	FAMILIES,
	GATEWAY_MAC,
	ipOf,
	POD_A,
	PROTO,
	podFrame,
	TestNode,
	UPLINK_MAC,
	WORLD,
} from './world.ts';

const PORT = { service: 300, node: 30_300, hosted: 30_301, empty: 30_302, process: 7100, pod: 8080 } as const;
/** Of programs that send a packet to the host device as an external one. */
const MARK_EXTERNAL = 0x0fa10003;
const ZERO_MAC = '00:00:00:00:00:00';
const CLIENT_PORT = 50_000;

let node: TestNode;
beforeAll(async () => {
	const services = FAMILIES.flatMap((x) => {
		const pods = [{ address: x.a, port: PORT.pod, local: true }];
		const processes = [{ address: x.node, port: PORT.process, local: true }];
		const at = { proto: PROTO.TCP, external: true };
		return [
			{ ...at, address: x.node, port: PORT.node, nodeAddress: true, backends: pods },
			{ ...at, address: x.node, port: PORT.hosted, nodeAddress: true, backends: processes },
			{ ...at, address: x.node, port: PORT.hosted, proto: PROTO.UDP, nodeAddress: true, backends: processes },
			{ ...at, address: x.node, port: PORT.empty, nodeAddress: true, backends: [] },
			{ ...at, address: x.external, port: PORT.service, backends: pods },
		];
	});
	node = await TestNode.start({ ...WORLD, services });
});
afterAll(() => node?.close());
beforeEach(async () => {
	await node.reset();
	await node.dataplane.set('hostsvc', indexKey(0), new Uint8Array(4));
});

const onLoopback = (packet: Uint8Array, ingressDevice?: string): Promise<RunResult> =>
	node.dataplane.run('to_uplink', packet, { ...(ingressDevice && { ingressDevice }) });
const onUplink = (packet: Uint8Array, ingressDevice?: string): Promise<RunResult> =>
	node.dataplane.run('to_uplink', packet, { device: 'uplink', ...(ingressDevice && { ingressDevice }) });
const loopFrame = (...layers: readonly Layer[]) => build(eth({ src: ZERO_MAC, dst: ZERO_MAC }), ...layers);
const outFrame = (...layers: readonly Layer[]) => build(eth({ src: UPLINK_MAC, dst: GATEWAY_MAC }), ...layers);

describe.each(FAMILIES)('a process of the node without the socket programs, IPv$family', (x) => {
	const syn = (dst: string, dport: number) => [ip(x.node, dst), tcp({ sport: CLIENT_PORT, dport, flags: 'S' })];
	const taken = (got: RunResult) => ({ verdict: got.verdict, mark: got.mark });
	const TAKEN = { verdict: VERDICT.REDIRECT, mark: MARK_EXTERNAL };
	const macsOf = (packet: Uint8Array) => {
		const { src, dst } = layerOf(parse(packet), 'eth');
		return [src, dst];
	};

	it('reaches a pod by a node port of its own node, and is answered by the loopback device', async () => {
		const sent = loopFrame(...syn(x.node, PORT.node));
		const first = await onLoopback(sent);
		expect(taken(first)).toEqual(TAKEN);
		expect(first.packet).toEqual(sent);
		const got = expectVerdict(sent, await node.fromHost(sent, { mark: MARK_EXTERNAL }), VERDICT.REDIRECT);
		expect(ipOf(build(...got.layers))).toMatchObject({ src: x.node, dst: x.a });
		const { sport, dport } = layerOf(got, 'tcp');
		expect(dport).toBe(PORT.pod);
		const back = podFrame(POD_A, ip(x.a, x.node), tcp({ sport: PORT.pod, dport: sport, flags: 'SA', seq: 1, ack: 2 }));
		const answered = await node.fromPod(POD_A, back);
		const seen = expectVerdict(back, answered, VERDICT.REDIRECT);
		expect(ipOf(answered.packet)).toMatchObject({ src: x.node, dst: x.node });
		expect(layerOf(seen, 'tcp')).toMatchObject({ sport: PORT.node, dport: CLIENT_PORT });
		expect(macsOf(answered.packet)).toEqual([ZERO_MAC, ZERO_MAC]);
	});

	it('is taken off an uplink for an external address, only at a port that a service has there', async () => {
		expect(taken(await onUplink(outFrame(...syn(x.external, PORT.service))))).toEqual(TAKEN);
		expect((await onUplink(outFrame(...syn(x.external, PORT.service + 1)))).verdict).toBe(VERDICT.NEXT);
		const echo = x.family === 4 ? icmp({ type: 8, code: 0, rest: 0 }) : icmpv6({ type: 128, code: 0, rest: 0 });
		expect((await onUplink(outFrame(ip(x.node, x.external), echo))).verdict).toBe(VERDICT.NEXT);
	});

	it('is taken, not what the node only forwards', async () => {
		expect((await onUplink(outFrame(...syn(x.external, PORT.service)), 'fl_host')).verdict).toBe(VERDICT.NEXT);
		expect((await onLoopback(loopFrame(...syn(x.node, PORT.node)), 'fl_host')).verdict).toBe(VERDICT.NEXT);
	});

	it('keeps its connection when the service is gone', async () => {
		const sent = outFrame(...syn(x.external, PORT.service));
		await node.fromHost(sent, { mark: MARK_EXTERNAL });
		const rows = (await node.dataplane.entries('services')).filter(
			({ key }) => SvcKey.decode(key).port === PORT.service,
		);
		for (const { key } of rows) await node.dataplane.delete('services', key);
		const next = outFrame(
			ip(x.node, x.external),
			tcp({ sport: CLIENT_PORT, dport: PORT.service, flags: 'A', seq: 2, ack: 2 }),
		);
		expect(taken(await onUplink(next))).toEqual(TAKEN);
		for (const { key, value } of rows) await node.dataplane.set('services', key, value);
	});

	it('reaches a process of its own node, whose answers go the same way', async () => {
		const sent = loopFrame(...syn(x.node, PORT.hosted));
		expect(taken(await onLoopback(sent))).toEqual(TAKEN);
		const inside = await node.fromHost(sent, { mark: MARK_EXTERNAL });
		const got = expectVerdict(sent, inside, VERDICT.REDIRECT);
		expect(ipOf(inside.packet)).toMatchObject({ src: x.node, dst: x.node });
		expect(layerOf(got, 'tcp')).toMatchObject({ sport: CLIENT_PORT, dport: PORT.process });
		expect(macsOf(inside.packet)).toEqual([ZERO_MAC, ZERO_MAC]);
		const back = loopFrame(
			ip(x.node, x.node),
			tcp({ sport: PORT.process, dport: CLIENT_PORT, flags: 'SA', seq: 1, ack: 2 }),
		);
		expect(taken(await onLoopback(back))).toEqual(TAKEN);
		const answered = await node.fromHost(back, { mark: MARK_EXTERNAL });
		const seen = expectVerdict(back, answered, VERDICT.REDIRECT);
		expect(layerOf(seen, 'tcp')).toMatchObject({ sport: PORT.hosted, dport: CLIENT_PORT });
		expect(macsOf(answered.packet)).toEqual([ZERO_MAC, ZERO_MAC]);
	});

	it('learns from an ICMP error that nobody listens at its own node, with the packet quoted as it sent it', async () => {
		const sent = loopFrame(ip(x.node, x.node), udp({ sport: CLIENT_PORT, dport: PORT.hosted }));
		const inside = await node.fromHost(sent, { mark: MARK_EXTERNAL });
		const unreachable = x.family === 4 ? icmp({ type: 3, code: 3, rest: 0 }) : icmpv6({ type: 1, code: 4, rest: 0 });
		const got = await onLoopback(loopFrame(ip(x.node, x.node), unreachable, raw(quoted(inside.packet))));
		expect(got.verdict).toBe(VERDICT.NEXT);
		expect(parse(got.packet).problems).toEqual([]);
		const head = x.family === 4 ? 28 : 48;
		const ports = (bytes: Uint8Array) => Buffer.from(bytes.slice(x.family === 4 ? 20 : 40, x.family === 4 ? 24 : 44));
		expect(ports(quoted(got.packet).slice(head))).toEqual(ports(quoted(sent)));
	});

	it('is refused at once where no endpoint is, by the loopback device', async () => {
		const sent = loopFrame(...syn(x.node, PORT.empty));
		expect(taken(await onLoopback(sent))).toEqual(TAKEN);
		const got = await node.fromHost(sent, { mark: MARK_EXTERNAL });
		expect(got).toMatchObject({ verdict: VERDICT.REDIRECT, drops: { [DropReason.NO_BACKEND]: 1 } });
		expect(layerOf(parse(got.packet), 'tcp').flags).toContain('R');
		expect(macsOf(got.packet)).toEqual([ZERO_MAC, ZERO_MAC]);
	});

	it('keeps a connection that it had at the address and port before a service got them', async () => {
		const later = tcp({ sport: CLIENT_PORT, dport: PORT.node, flags: 'A', seq: 2, ack: 2 });
		const packet = loopFrame(ip(x.node, x.node), later);
		const got = await onLoopback(packet);
		expect([got.verdict, got.packet]).toEqual([VERDICT.NEXT, packet]);
	});

	it('is left alone at ports that are no service, and so is its answer', async () => {
		for (const packet of [
			loopFrame(...syn(x.node, 22)),
			loopFrame(ip(x.node, x.node), tcp({ sport: PORT.node, dport: CLIENT_PORT, flags: 'SA', seq: 1, ack: 2 })),
		]) {
			const got = await onLoopback(packet);
			expect([got.verdict, got.packet]).toEqual([VERDICT.NEXT, packet]);
		}
		expect(await node.flows()).toEqual([]);
	});
});
