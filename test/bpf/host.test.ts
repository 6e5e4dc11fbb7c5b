/** The node and its pods: what the stack sends to a pod and gets from it, and services for the node's own processes. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CtFlags, DropReason, Identity, PeerKind } from '../../native/abi/generated.ts';
import { VERDICT } from '../lib/dataplane.ts';
import type { Layer } from '../lib/packet.ts';
import { build, echo, eth, icmp, icmpv6, ip, layerOf, parse, quoted, raw, tcp, udp } from '../lib/packet.ts';
import type { Addresses } from './world.ts';
import {
	BACKEND_PORT,
	expectAnswer,
	expectDrop,
	expectVerdict,
	FAMILIES,
	ipOf,
	POD_A,
	POD_B,
	podFrame,
	SERVICE,
	TestNode,
} from './world.ts';

const HOST_MAC = '02:fa:00:00:00:02';
const PAYLOAD = raw('payload');
let node: TestNode;
beforeAll(async () => {
	node = await TestNode.start();
});
afterAll(() => node?.close());
beforeEach(() => node.reset());

const toPodFrame = (...layers: readonly Layer[]) => build(eth({ src: POD_A.hostMac, dst: POD_A.mac }), ...layers);

describe.each(FAMILIES)("the node's stack to a pod, IPv$family", (x) => {
	it('passes unchanged, is remembered as the node, and the answer goes to the stack', async () => {
		const sent = toPodFrame(ip(x.node, x.a), tcp({ sport: 33000, dport: 8080, flags: 'S' }));
		const got = await node.toPod(POD_A, sent);
		expectVerdict(sent, got, VERDICT.NEXT);
		expect(got.packet).toEqual(sent);
		const [flow] = await node.flows();
		expect(flow?.entry.peer[0]?.kind).toBe(PeerKind.HOST);
		const answer = podFrame(POD_A, ip(x.a, x.node, { ttl: 1 }), tcp({ sport: 8080, dport: 33000, flags: 'SA' }));
		const back = await node.fromPod(POD_A, answer);
		expectVerdict(answer, back, VERDICT.NEXT);
		expect(back.packet).toEqual(answer);
	});

	it('does not take a forwarded packet with the node address for the node', async () => {
		const sent = toPodFrame(ip(x.node, x.a), tcp({ sport: 33001, dport: 8080, flags: 'S' }));
		await node.toPod(POD_A, sent, { ingressDevice: 'uplink' });
		const [flow] = await node.flows();
		expect(flow?.entry.peer[0]?.kind).toBe(PeerKind.WORLD);
		expect(Identity.WORLD).toBe(2);
	});

	it('passes the answer to what a pod asked the node, and translates that of a service', async () => {
		const ask = podFrame(POD_A, ip(x.a, x.node), udp({ sport: 5000, dport: 53 }), PAYLOAD);
		expectVerdict(ask, await node.fromPod(POD_A, ask), VERDICT.NEXT);
		const answer = toPodFrame(ip(x.node, x.a), udp({ sport: 53, dport: 5000 }), PAYLOAD);
		const got = await node.toPod(POD_A, answer);
		expectVerdict(answer, got, VERDICT.NEXT);
		expect(got.packet).toEqual(answer);
		expect((await node.flows())[0]?.flags).toSatisfy((f: number) => (f & CtFlags.ESTABLISHED) !== 0);
	});

	it('passes ICMP errors about a flow of the pod', async () => {
		const out = podFrame(POD_A, ip(x.a, x.native), udp({ sport: 5001, dport: 53 }), PAYLOAD);
		await node.fromPod(POD_A, out);
		const error = x.family === 4 ? icmp({ type: 3, code: 3, rest: 0 }) : icmpv6({ type: 1, code: 4, rest: 0 });
		const sent = toPodFrame(ip(x.node, x.a), error, raw(quoted(out)));
		expectVerdict(sent, await node.toPod(POD_A, sent), VERDICT.NEXT);
	});
});

async function ask(
	x: Addresses,
	port: number,
	flags = 'S',
): Promise<[Uint8Array, Awaited<ReturnType<TestNode['fromHost']>>]> {
	const sent = build(
		eth({ src: HOST_MAC, dst: HOST_MAC }),
		ip(x.node, x.vip),
		tcp({ sport: 34000, dport: port, flags, seq: 1 }),
	);
	return [sent, await node.fromHost(sent)];
}

describe.each(FAMILIES)('a service for a process of the node, IPv$family', (x) => {
	it('goes to a local pod, and the answer comes back through the host device as from the service', async () => {
		const [sent, got] = await ask(x, SERVICE.web);
		const parsed = expectVerdict(sent, got, VERDICT.REDIRECT);
		expect(ipOf(got.packet)).toMatchObject({ src: x.node, dst: x.b });
		expect(layerOf(parsed, 'eth')).toMatchObject({ src: POD_B.hostMac, dst: POD_B.mac });
		const { sport, dport } = layerOf(parsed, 'tcp');
		expect(dport).toBe(BACKEND_PORT.web);
		const answer = podFrame(POD_B, ip(x.b, x.node), tcp({ sport: dport, dport: sport, flags: 'SA', seq: 5, ack: 2 }));
		const back = await node.fromPod(POD_B, answer);
		const backParsed = expectVerdict(answer, back, VERDICT.REDIRECT);
		expect(ipOf(back.packet)).toMatchObject({ src: x.vip, dst: x.node });
		expect(layerOf(backParsed, 'tcp')).toMatchObject({ sport: SERVICE.web, dport: 34000 });
		const [ack, again] = await ask(x, SERVICE.web, 'A');
		expectVerdict(ack, again, VERDICT.REDIRECT);
		expect(layerOf(parse(again.packet), 'tcp').sport).toBe(sport);
	});

	it.each([
		['tunnel', SERVICE.tunnel, 'pod2'],
		['direct', SERVICE.direct, 'pod3'],
	] as const)('goes to a pod behind %s routing with the node as source', async (_, port, target) => {
		const [sent, got] = await ask(x, port);
		expectVerdict(sent, got, VERDICT.REDIRECT);
		expect(ipOf(got.packet)).toMatchObject({ src: x.node, dst: x[target] });
	});

	it('is refused at once when it has no endpoint or no such port', async () => {
		const [sent, got] = await ask(x, SERVICE.empty);
		const parsed = expectAnswer(sent, got, DropReason.NO_BACKEND);
		expect(layerOf(parsed, 'tcp')).toMatchObject({ sport: SERVICE.empty, dport: 34000, flags: 'RA', ack: 2 });
		const [undefinedPort, refused] = await ask(x, SERVICE.undefined);
		expectAnswer(undefinedPort, refused, DropReason.UNDEFINED_PORT);
	});

	it('drops what is routed here and is no service', async () => {
		for (const layers of [[ip(x.node, x.noService), tcp({ sport: 1, dport: 80, flags: 'S' })]] as const) {
			const sent = build(eth({ src: HOST_MAC, dst: HOST_MAC }), ...layers);
			expectDrop(sent, await node.fromHost(sent), DropReason.NO_ROUTE);
		}
		const ping = build(
			eth({ src: HOST_MAC, dst: HOST_MAC }),
			ip(x.node, x.noService),
			echo(x.family, { id: 1, seq: 1 }),
		);
		expectDrop(ping, await node.fromHost(ping), DropReason.NO_ROUTE);
	});
});
