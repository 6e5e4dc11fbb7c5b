/** Answers of name servers to pods whose policies name domains: which packets go to the agent, and which straight to the pod. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DnsLimits, DnsMark, DnsState, Endpoint, EndpointFlags, ResolverKey } from '../../native/abi/generated.ts';
import { indexKey, VERDICT } from '../lib/dataplane.ts';
import type { Layer } from '../lib/packet.ts';
import { address16, build, eth, fragments, icmp, icmpv6, ip, quoted, raw, tcp, udp } from '../lib/packet.ts';
import type { Addresses } from './world.ts';
import { expectVerdict, FAMILIES, POD_A, POD_B, PROTO, podFrame, TestNode, WORLD } from './world.ts';

/** As if jiffies were short: the agent counts as alive for as long as a test may take on a slow machine. */
const HZ = 60_000;

let node: TestNode;
beforeAll(async () => {
	node = await TestNode.start({ ...WORLD, config: { ...WORLD.config, hz: HZ } });
});
afterAll(() => node?.close());

const CLIENT = 40_000;
const BYTES: Layer = raw(Uint8Array.from({ length: 40 }, (_, i) => i));

async function setFlags(flags: number): Promise<void> {
	const key = indexKey(POD_A.index);
	const rows = await node.dataplane.entries('endpoints');
	const old = rows.find((row) => Buffer.compare(row.key, key) === 0)?.value ?? new Uint8Array(Endpoint.size);
	await node.dataplane.set('endpoints', key, Endpoint.encode({ ...Endpoint.decode(old), flags }));
}

/** Says that the agent is there, or was `ago` jiffies ago. The clock is read off a flow that begins now. */
async function alive(ago = 0): Promise<void> {
	const [x] = FAMILIES;
	await node.dataplane.clear('ct4');
	await node.fromPod(POD_B, podFrame(POD_B, ip(x.b, x.node), udp({ sport: 1, dport: 1 })));
	const [flow] = await node.flows().then((flows) => flows.filter(({ client }) => client.address === x.b));
	const { fl_host: ifindex = 0 } = await node.dataplane.devices();
	const now = flow?.entry.lastSeen ?? 0;
	await node.dataplane.set('dns', indexKey(0), DnsState.encode({ ifindex, alive: (now - ago) >>> 0 }));
}

const resolver = (address: string, port: number, proto: number) =>
	node.dataplane.set(
		'resolvers',
		ResolverKey.encode({ addr: address16(address), port, proto }),
		Uint8Array.of(1, 0, 0, 0),
	);

beforeEach(async () => {
	await node.reset();
	await node.dataplane.clear('resolvers');
	for (const { node: address } of FAMILIES) {
		await resolver(address, 53, PROTO.UDP);
		await resolver(address, 53, PROTO.TCP);
	}
	await setFlags(EndpointFlags.READY | EndpointFlags.DNS);
	await alive();
});

type Ports = { readonly sport: number; readonly dport: number };
const asked = (x: Addresses, layer: (ports: Ports) => Layer, dport = 53) =>
	podFrame(POD_A, ip(x.a, x.node), layer({ sport: CLIENT, dport }), BYTES);
const stack = (x: Addresses, ...layers: readonly Layer[]) =>
	build(eth({ src: POD_A.hostMac, dst: POD_A.mac }), ip(x.node, x.a), ...layers);
const answer = (x: Addresses, layer: (ports: Ports) => Layer, sport = 53) =>
	stack(x, layer({ sport, dport: CLIENT }), BYTES);
const segment = (flags: string) => (ports: Ports) => tcp({ ...ports, flags, seq: 1, ack: 1 });

/** The query goes on as ever; what becomes of the answer. */
async function verdictOf(query: Uint8Array, reply: Uint8Array): Promise<number> {
	expectVerdict(query, await node.fromPod(POD_A, query), VERDICT.NEXT);
	const got = await node.toPod(POD_A, reply);
	expect(got.packet).toEqual(reply);
	return got.verdict;
}

describe.each(FAMILIES)('answers of name servers, IPv$family', (x) => {
	it.each([
		['a datagram', udp, udp],
		['the beginning of a connection', segment('S'), segment('SA')],
		['a segment with bytes in it', segment('S'), segment('PA')],
	])('go by way of the agent: %s', async (_what, query, reply) => {
		expect(await verdictOf(asked(x, query), answer(x, reply))).toBe(VERDICT.REDIRECT);
	});

	it('go by way of the agent in all their fragments', async () => {
		const query = asked(x, udp);
		await node.fromPod(POD_A, query);
		const content = raw(new Uint8Array(3000));
		const [head, header] = [eth({ src: POD_A.hostMac, dst: POD_A.mac }), ip(x.node, x.a)];
		const layers = [header, udp({ sport: 53, dport: CLIENT }), content] as const;
		for (const piece of fragments([head], layers, { id: 9, cuts: [1400, 2800] })) {
			expect((await node.toPod(POD_A, piece)).verdict).toBe(VERDICT.REDIRECT);
		}
	});

	it('go straight to a pod whose policies name no domains', async () => {
		await setFlags(EndpointFlags.READY);
		expect(await verdictOf(asked(x, udp), answer(x, udp))).toBe(VERDICT.NEXT);
	});

	it('go straight to the pod while no agent listens, or none is alive', async () => {
		await node.dataplane.set('dns', indexKey(0), DnsState.encode({ ifindex: 0, alive: 0 }));
		expect(await verdictOf(asked(x, udp), answer(x, udp))).toBe(VERDICT.NEXT);
		await alive(DnsLimits.SECONDS * HZ + 1);
		expect(await verdictOf(asked(x, udp), answer(x, udp))).toBe(VERDICT.NEXT);
	});

	it('are those of the servers that count, by address, port and protocol', async () => {
		expect(await verdictOf(asked(x, udp, 54), answer(x, udp, 54))).toBe(VERDICT.NEXT);
		await node.dataplane.clear('resolvers');
		await resolver(x.node, 53, PROTO.TCP);
		await resolver(x.node2, 53, PROTO.UDP);
		expect(await verdictOf(asked(x, udp), answer(x, udp))).toBe(VERDICT.NEXT);
	});

	it('are no segments without bytes, and no errors', async () => {
		const query = asked(x, segment('S'));
		expectVerdict(query, await node.fromPod(POD_A, query), VERDICT.NEXT);
		const bare = stack(x, tcp({ sport: 53, dport: CLIENT, flags: 'A', seq: 1, ack: 1 }));
		expect((await node.toPod(POD_A, bare)).verdict).toBe(VERDICT.NEXT);
		const unreachable = x.family === 4 ? icmp({ type: 3, code: 3, rest: 0 }) : icmpv6({ type: 1, code: 4, rest: 0 });
		const error = stack(x, unreachable, raw(quoted(query)));
		expect((await node.toPod(POD_A, error)).verdict).toBe(VERDICT.NEXT);
	});

	it('are no packets of flows that others began', async () => {
		const packet = answer(x, udp);
		expect((await node.toPod(POD_A, packet)).verdict).toBe(VERDICT.NEXT);
		expect((await node.toPod(POD_A, packet)).verdict).toBe(VERDICT.NEXT);
	});

	it('that the agent sends on are delivered, and not judged or counted again', async () => {
		const mark = DnsMark.SEEN;
		const query = asked(x, udp);
		await node.fromPod(POD_A, query);
		const reply = answer(x, udp);
		expect((await node.toPod(POD_A, reply)).verdict).toBe(VERDICT.REDIRECT);
		const got = await node.toPod(POD_A, reply, { mark });
		expect({ verdict: got.verdict, mark: got.mark }).toEqual({ verdict: VERDICT.NEXT, mark: 0 });
		const [flow] = (await node.flows()).filter(({ client }) => client.address === x.a);
		expect(flow?.entry.packets).toEqual([1, 1]);
	});
});
