/** NodePorts with direct server return: the client asks one node, and the node of the backend answers with that node's address. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CtFlags, DropReason } from '../../native/abi/generated.ts';
import type { RunResult } from '../lib/dataplane.ts';
import { VERDICT } from '../lib/dataplane.ts';
import { backendTag } from '../lib/flow-hash.ts';
import type { Layer } from '../lib/packet.ts';
import { build, echo, icmp, icmpv6, ip, ipv4, layerOf, parse, raw } from '../lib/packet.ts';
import {
	type Addresses,
	BACKEND_PORT,
	expectDrop,
	expectVerdict,
	FAMILIES,
	ipOf,
	POD_B,
	podFrame,
	TestNode,
	uplinkFrame,
	V4,
} from './world.ts';
import {
	AT,
	addressesOf,
	type Datagram,
	datagram,
	expectPassed,
	expectSent,
	fromClient,
	headersOf,
	isMoved,
	MODE,
	NODE_PORTS,
	sentOn,
	sportFor,
	sportOf,
	XDP,
	xdpWorld,
} from './xdp-world.ts';

let node: TestNode;

beforeAll(async () => {
	node = await TestNode.start(xdpWorld(MODE.ipip), ['pod', 'node', 'xdp_lb', 'clock']);
}, 120_000);

beforeEach(async () => {
	await node.reset();
	await node.dataplane.clear('dsr_flows');
});

afterAll(() => node?.close());

const xdp = (packet: Uint8Array): Promise<RunResult> => node.dataplane.run('xdp_lb', packet);

/** A client's packet as node 2 sends it on that was asked for it. */
function envelope(x: Addresses, o: Datagram, tag = 0): Uint8Array {
	const outer = ipv4({ src: V4.node2, dst: V4.node, df: true, id: tag, proto: x.family === 4 ? 4 : 41 });
	return uplinkFrame(outer, ...datagram(x, o));
}

/** From the wire through XDP into tc. */
async function receive(packet: Uint8Array): Promise<RunResult> {
	const unpacked = await xdp(packet);
	expect(unpacked.verdict).toBe(XDP.PASS);
	return node.fromUplink(unpacked.packet);
}

describe.each(FAMILIES)('a NodePort with direct server return over IPv$family', (x) => {
	const web = { proto: 'tcp', dport: NODE_PORTS.web, dst: x.node } as const;
	const dns = { proto: 'udp', dport: NODE_PORTS.dns, dst: x.node } as const;
	const assoc = { proto: 'sctp', dport: NODE_PORTS.sctp, dst: x.node } as const;
	/** As clients of node 2 ask. */
	const atNode2 = { ...web, dst: x.node2 } as const;

	describe('at the node that is asked', () => {
		it.each([web, dns])('$proto: XDP sends the packet as it is to the node of the backend', async (service) => {
			for (const [position, target] of [
				[AT.node2, V4.node2],
				[AT.node3, V4.node3],
			] as const) {
				const o = { ...service, sport: sportOf(x, service, position), ttl: 17 };
				const sent = fromClient(x, o);
				const got = await xdp(sent);
				const parsed = expectSent(sent, got);
				expect(addressesOf(parsed, 0)).toEqual({ src: V4.node, dst: target, ttl: 64 });
				expect([...got.packet.subarray(34)]).toEqual([...build(...datagram(x, { ...o, ttl: 16 }))]);
			}
		});

		it.each([web, dns, assoc])('$proto: tc puts it into the same envelope, without a flow', async (service) => {
			const sent = fromClient(x, { ...service, sport: sportOf(x, service, AT.node3) });
			const got = await node.fromUplink(sent);
			const parsed = expectVerdict(sent, got, VERDICT.REDIRECT);
			expect(addressesOf(parsed, 0)).toMatchObject({ src: V4.node, dst: V4.node3 });
			expect(addressesOf(parsed, 1)).toMatchObject({ src: x.world, dst: x.node });
			if (service.proto !== 'sctp') expect(got.packet.subarray(14)).toEqual((await xdp(sent)).packet.subarray(14));
			expect(await node.flows()).toEqual([]);
		});

		it('gives a backend of its own the client as it is', async () => {
			const sent = fromClient(x, { ...web, sport: sportOf(x, web, AT.local), flags: 'S' });
			expectPassed(sent, await xdp(sent));
			const got = await node.fromUplink(sent);
			expectVerdict(sent, got, VERDICT.REDIRECT);
			expect(ipOf(got.packet)).toMatchObject({ src: x.world, dst: x.b });
		});

		it.each(['node2', 'pod3'] as const)('translates the source for a client inside the cluster, %s', async (who) => {
			const o = { ...web, src: x[who] };
			const sent = fromClient(x, { ...o, sport: sportOf(x, o, AT.node3), flags: 'S' });
			expectPassed(sent, await xdp(sent));
			const got = await node.fromUplink(sent);
			expect(headersOf(expectVerdict(sent, got, VERDICT.REDIRECT))).toBe(1);
			expect(ipOf(got.packet)).toMatchObject({ src: x.node, dst: x.pod3 });
		});

		it.each([
			['other nodes may not have', 'tracked'],
			['a process of another node serves', 'nodeBackend'],
		] as const)('translates the source at a port that %s, always to the same port', async (_what, name) => {
			const o = { ...web, dport: NODE_PORTS[name] };
			const sport = sportOf(x, o, AT.node3);
			const ports = new Set<number>();
			for (const flags of ['S', 'A', 'A']) {
				const sent = fromClient(x, { ...o, sport, flags });
				const parsed = expectVerdict(sent, await node.fromUplink(sent), VERDICT.REDIRECT);
				expect(addressesOf(parsed, 0).src).toBe(x.node);
				ports.add(layerOf(parsed, 'tcp').sport);
			}
			expect(ports.size).toBe(1);
		});

		it('names both backends while they change', async () => {
			const o = { ...web, dport: NODE_PORTS.changing };
			const sent = fromClient(x, { ...o, sport: sportFor(x, o, isMoved) });
			for (const parsed of [
				expectSent(sent, await xdp(sent)),
				expectVerdict(sent, await node.fromUplink(sent), VERDICT.REDIRECT),
			]) {
				expect(headersOf(parsed)).toBe(3);
				expect([0, 1, 2].map((n) => addressesOf(parsed, n).dst)).toEqual([V4.node2, V4.node3, x.node]);
			}
		});

		it('sends an ICMP error about an answer to the node that gave it', async () => {
			const sport = sportOf(x, web, AT.node3);
			const answer = { proto: 'tcp', src: x.node, dst: x.world, sport: web.dport, dport: sport, payload: 8 } as const;
			const sent = uplinkFrame(...tooBig(x, x.node, datagram(x, answer)));
			expectPassed(sent, await xdp(sent));
			const parsed = expectVerdict(sent, await node.fromUplink(sent), VERDICT.REDIRECT);
			expect(addressesOf(parsed, 0)).toMatchObject({ src: V4.node, dst: V4.node3 });
		});

		it("leaves what is for the node's own processes alone", async () => {
			for (const sent of [
				fromClient(x, { proto: 'tcp', dport: 22, sport: 20_000, dst: x.node }),
				uplinkFrame(ip(x.world, x.node), echo(x.family, { id: 7, seq: 1 })),
			]) {
				expectPassed(sent, await xdp(sent));
				expectVerdict(sent, await node.fromUplink(sent), VERDICT.NEXT);
			}
		});
	});

	describe('at the node of the backend', () => {
		it.each([web, dns, assoc])('$proto: the pod sees the client, who sees the node that was asked', async (service) => {
			const o = { ...service, dst: x.node2 };
			const sport = sportOf(x, o, AT.local);
			const sent = envelope(x, { ...o, sport, flags: 'S' });
			for (const got of [await receive(sent), await node.fromUplink(sent)]) {
				const inside = expectVerdict(sent, got, VERDICT.REDIRECT);
				expect(addressesOf(inside, 0)).toMatchObject({ src: x.world, dst: x.b });
			}
			const port = service.proto === 'udp' ? BACKEND_PORT.dns : BACKEND_PORT.web;
			const answer = { ...o, src: x.b, dst: x.world, sport: port, dport: sport, flags: 'SA' };
			const reply = podFrame(POD_B, ...datagram(x, answer));
			const out = expectVerdict(reply, await node.fromPod(POD_B, reply), VERDICT.REDIRECT);
			expect(addressesOf(out, 0)).toMatchObject({ src: x.node2, dst: x.world });
			expect(layerOf(out, service.proto)).toMatchObject({ sport: service.dport, dport: sport });
		});

		it('keeps apart what a client asks of two nodes from one port', async () => {
			const sport = sportOf(x, atNode2, AT.local);
			const seen: number[] = [];
			for (const dst of [x.node2, x.node3]) {
				const got = await receive(envelope(x, { ...web, dst, sport, flags: 'S' }, backendTag(x.b, BACKEND_PORT.web)));
				seen.push(layerOf(parse(got.packet), 'tcp').sport);
			}
			expect(new Set(seen).size).toBe(2);
			for (const [at, dst] of [x.node2, x.node3].entries()) {
				const o = { proto: 'tcp', src: x.b, dst: x.world, sport: BACKEND_PORT.web, dport: seen[at] ?? 0 } as const;
				const reply = podFrame(POD_B, ...datagram(x, o));
				const out = expectVerdict(reply, await node.fromPod(POD_B, reply), VERDICT.REDIRECT);
				expect(addressesOf(out, 0)).toMatchObject({ src: dst, dst: x.world });
				expect(layerOf(out, 'tcp')).toMatchObject({ sport: web.dport, dport: sport });
			}
		});

		it('rebuilds the state of a connection from any packet of it', async () => {
			const sent = envelope(x, { ...atNode2, sport: sportOf(x, atNode2, AT.local) });
			expectVerdict(sent, await receive(sent), VERDICT.REDIRECT);
			const flows = await node.flows();
			expect(flows).toHaveLength(2);
			for (const flow of flows) expect(flow.flags & CtFlags.DSR).toBe(CtFlags.DSR);
		});

		it('sends the middle of an unknown connection on to where it may be known', async () => {
			const sport = sportOf(x, atNode2, AT.node3);
			const sent = envelope(x, { ...atNode2, sport }, backendTag(x.b, BACKEND_PORT.web));
			const parsed = expectVerdict(sent, await receive(sent), VERDICT.REDIRECT);
			expect(addressesOf(parsed, 0)).toMatchObject({ src: V4.node, dst: V4.node3 });
			expect(addressesOf(parsed, 1)).toMatchObject({ src: x.world, dst: x.node2 });
			expect(layerOf(parsed, 'ipv4').id).toBe(sentOn(backendTag(x.pod3, BACKEND_PORT.web), 'once'));
		});

		it('takes back what another node has sent on of its own NodePort', async () => {
			const o = { ...web, sport: sportOf(x, web, AT.local) };
			const sent = envelope(x, o, sentOn(backendTag(x.b, BACKEND_PORT.web), 'once'));
			for (const got of [await receive(sent), await node.fromUplink(sent)]) {
				expectVerdict(sent, got, VERDICT.REDIRECT);
				expect(ipOf(got.packet)).toMatchObject({ src: x.world, dst: x.b });
			}
		});

		it('gives an ICMP error about an answer to the pod', async () => {
			const sport = sportOf(x, atNode2, AT.local);
			await receive(envelope(x, { ...atNode2, sport, flags: 'S' }));
			const answer = { proto: 'tcp', src: x.node2, dst: x.world, sport: web.dport, dport: sport, payload: 8 } as const;
			const outer = ipv4({ src: V4.node2, dst: V4.node, df: true, proto: x.family === 4 ? 4 : 41 });
			const sent = uplinkFrame(outer, ...tooBig(x, x.node2, datagram(x, answer)));
			const got = await receive(sent);
			const { quoted } = expectVerdict(sent, got, VERDICT.REDIRECT);
			expect(ipOf(got.packet).dst).toBe(x.b);
			if (!quoted) throw new Error('nothing is quoted');
			expect(addressesOf(quoted, 0)).toMatchObject({ src: x.b, dst: x.world });
		});

		it.each([
			['a port that is no NodePort', { dport: 22 }],
			['a NodePort that others may not have', { dport: NODE_PORTS.tracked }],
			['a NodePort without a backend here', { dport: NODE_PORTS.changing, flags: 'S' }],
		])('drops what is for %s', async (_what, over) => {
			const sent = envelope(x, { ...atNode2, sport: 20_000, ...over });
			expectDrop(sent, await receive(sent), DropReason.DSR_NOT_OURS);
		});

		it.each([
			['node3', DropReason.TUNNEL_INNER_SOURCE],
			['pod3', DropReason.TUNNEL_INNER_SOURCE],
			['a', DropReason.SPOOFED_LOCAL],
			['node', DropReason.SPOOFED_LOCAL],
		] as const)('drops what %s cannot have sent through another node', async (who, reason) => {
			const o = { ...atNode2, src: x[who] };
			const sent = envelope(x, { ...o, sport: sportOf(x, o, AT.local) });
			expectDrop(sent, await receive(sent), reason);
		});

		it('leaves a tunnel of somebody else alone', async () => {
			for (const dst of [x.node, x.world, x.pod2]) {
				const sent = envelope(x, { ...web, dst, sport: 20_000 });
				expectPassed(sent, await xdp(sent));
				expectVerdict(sent, await node.fromUplink(sent), VERDICT.NEXT);
			}
		});
	});
});

function tooBig(x: Addresses, to: string, quote: Layer[]): Layer[] {
	const router = x.family === 4 ? '203.0.113.254' : '2001:db8:7::fe';
	const error = x.family === 4 ? icmp({ type: 3, code: 4, rest: 1400 }) : icmpv6({ type: 2, code: 0, rest: 1400 });
	return [ip(router, to), error, raw(build(...quote))];
}
