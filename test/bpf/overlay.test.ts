/** The VXLAN device: who may send through the tunnel, and what the node's stack sends into it (design.md section 9). */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DropReason, IpcacheEntry, IpcacheKey, Node, PeerKind } from '../../native/abi/generated.ts';
import { compileBpf } from '../../scripts/build-bpf.ts';
import type { RunResult } from '../lib/dataplane.ts';
import { indexKey, NODE_OBJECTS, VERDICT } from '../lib/dataplane.ts';
import type { Layer } from '../lib/packet.ts';
import {
	address16,
	addressBytes,
	arp,
	build,
	eth,
	icmp,
	icmpv6,
	ip,
	layerOf,
	parse,
	quoted,
	raw,
	tcp,
	udp,
} from '../lib/packet.ts';
import type { Addresses } from './world.ts';
import {
	BACKEND_PORT,
	expectAnswer,
	expectDrop,
	expectVerdict,
	FAMILIES,
	ipOf,
	NODE_PORT,
	POD_A,
	POD_B,
	podFrame,
	SERVICE,
	TestNode,
	uplinkFrame,
	V4,
	V6,
	WORLD,
} from './world.ts';

const OVERLAY_MAC = '02:fa:00:00:00:01';
let node: TestNode;
let directory: string;
beforeAll(async () => {
	directory = await mkdtemp(join(tmpdir(), 'fairlead-test-'));
	const driver = join(directory, 'driver.bpf.o');
	await compileBpf({ source: resolve(import.meta.dirname, 'driver.bpf.c'), output: driver });
	node = await TestNode.start(WORLD, [...NODE_OBJECTS, driver]);
	await node.dataplane.setProgram('driver_target', 0, 'from_overlay');
});
afterAll(async () => {
	await node?.close();
	await rm(directory, { recursive: true, force: true });
});
beforeEach(() => node.reset());

/** Runs from_overlay on a packet that came out of a tunnel whose outer source is `outer`. */
async function fromTunnel(outer: string, packet: Uint8Array): Promise<RunResult> {
	const value = new Uint8Array(24);
	const view = new DataView(value.buffer);
	const bytes = addressBytes(outer);
	view.setUint32(4, 1, true);
	if (bytes.length === 4) {
		view.setUint32(0, new DataView(bytes.buffer).getUint32(0), true);
	} else {
		value.set(bytes, 8);
	}
	await node.dataplane.set('driver_tunnel', indexKey(0), value);
	return node.dataplane.run('decapsulated', packet, { device: 'overlay', ingressDevice: 'overlay' });
}

const inner = (...layers: readonly Layer[]): Uint8Array =>
	build(eth({ src: OVERLAY_MAC, dst: OVERLAY_MAC }), ...layers);
const syn = tcp({ sport: 40000, dport: 8080, flags: 'S', seq: 1 });

describe.each(FAMILIES)('out of the tunnel, IPv$family', (x) => {
	it("delivers a pod of the sending node to this node's pods", async () => {
		const sent = inner(ip(x.pod2, x.b), syn);
		const got = await fromTunnel(V4.node2, sent);
		const parsed = expectVerdict(sent, got, VERDICT.REDIRECT);
		expect(layerOf(parsed, 'eth')).toMatchObject({ src: POD_B.hostMac, dst: POD_B.mac });
		expect(ipOf(got.packet)).toEqual({ src: x.pod2, dst: x.b, ttl: 63 });
	});

	it('drops what comes from a machine that is no node', async () => {
		for (const outer of [V4.world, '192.168.50.77', V6.world]) {
			const sent = inner(ip(x.pod2, x.b), syn);
			expectDrop(sent, await fromTunnel(outer, sent), DropReason.TUNNEL_SOURCE);
		}
	});

	it('drops an inner source that does not belong to the sending node', async () => {
		for (const source of [x.pod3, x.a, x.gone, x.node, x.world, x.vip, x.nobody, x.native]) {
			const sent = inner(ip(source, x.b), syn);
			expectDrop(sent, await fromTunnel(V4.node2, sent), DropReason.TUNNEL_INNER_SOURCE);
		}
	});

	it('drops it also where the flow exists', async () => {
		const open = podFrame(POD_A, ip(x.a, x.pod2), tcp({ sport: 40000, dport: 80, flags: 'S' }));
		expectVerdict(open, await node.fromPod(POD_A, open), VERDICT.REDIRECT);
		const answer = inner(ip(x.pod2, x.a), tcp({ sport: 80, dport: 40000, flags: 'SA' }));
		expectDrop(answer, await fromTunnel(V4.node3, answer), DropReason.TUNNEL_INNER_SOURCE);
		expectVerdict(answer, await fromTunnel(V4.node2, answer), VERDICT.REDIRECT);
	});

	it('leaves packets to the node itself to its stack, from the sending node only', async () => {
		const sent = inner(ip(x.pod2, x.node), syn);
		expectVerdict(sent, await fromTunnel(V4.node2, sent), VERDICT.NEXT);
		const foreign = inner(ip(x.pod3, x.node), syn);
		expectDrop(foreign, await fromTunnel(V4.node2, foreign), DropReason.TUNNEL_INNER_SOURCE);
	});

	it('forwards nothing to the world or to other nodes', async () => {
		for (const target of [x.world, x.pod3, x.node3, x.nobody, x.gone, x.noService]) {
			const sent = inner(ip(x.pod2, target), syn);
			expectDrop(sent, await fromTunnel(V4.node2, sent), DropReason.NO_ROUTE);
		}
	});

	it("gives a local client of a service the answer of another node's pod as the service's", async () => {
		const open = podFrame(POD_A, ip(x.a, x.vip), tcp({ sport: 40001, dport: SERVICE.tunnel, flags: 'S' }));
		await node.fromPod(POD_A, open);
		const sent = inner(ip(x.pod2, x.a), tcp({ sport: BACKEND_PORT.web, dport: 40001, flags: 'SA' }));
		const got = await fromTunnel(V4.node2, sent);
		const parsed = expectVerdict(sent, got, VERDICT.REDIRECT);
		expect(ipOf(got.packet)).toMatchObject({ src: x.vip, dst: x.a });
		expect(layerOf(parsed, 'tcp')).toMatchObject({ sport: SERVICE.tunnel, dport: 40001 });
	});

	it('gives an outside client of a node port the answer of a pod behind the tunnel', async () => {
		const open = uplinkFrame(ip(x.world, x.node), tcp({ sport: 50000, dport: NODE_PORT.tunnel, flags: 'S' }));
		const out = await node.fromUplink(open);
		const port = layerOf(parse(out.packet), 'tcp').sport;
		const sent = inner(ip(x.pod2, x.node), tcp({ sport: BACKEND_PORT.web, dport: port, flags: 'SA' }));
		const got = await fromTunnel(V4.node2, sent);
		const parsed = expectVerdict(sent, got, VERDICT.REDIRECT);
		expect(ipOf(got.packet)).toMatchObject({ src: x.node, dst: x.world });
		expect(layerOf(parsed, 'tcp')).toMatchObject({ sport: NODE_PORT.tunnel, dport: 50000 });
	});

	it('goes on with connections through services when the node of the backend has another row', async () => {
		const send = (flags: string) =>
			node.fromUplink(uplinkFrame(ip(x.world, x.node), tcp({ sport: 50001, dport: NODE_PORT.tunnel, flags })));
		const port = layerOf(parse((await send('S')).packet), 'tcp').sport;
		const answer = inner(ip(x.pod2, x.node), tcp({ sport: BACKEND_PORT.web, dport: port, flags: 'A' }));
		const ipcacheKey = IpcacheKey.encode({ addr: address16(x.pod2) });
		const [key, other] = [indexKey(2), indexKey(9)];
		const row = (await node.dataplane.entries('nodes')).find((each) => Buffer.compare(each.key, key) === 0)!.value;
		const moved = { peer: { index: 9, gen: 1, kind: PeerKind.REMOTE_POD }, identity: 15 };
		await node.dataplane.set('nodes', other, Node.encode({ ...Node.decode(row), gen: 1 }));
		await node.dataplane.set('ipcache', ipcacheKey, IpcacheEntry.encode(moved));
		await node.dataplane.set('nodes', key, Node.encode({ ...Node.decode(row), ifindex: 0, gen: 99 }));
		try {
			for (const flags of ['A', 'PA']) {
				const got = expectVerdict(answer, await fromTunnel(V4.node2, answer), VERDICT.REDIRECT);
				expect(layerOf(got, 'tcp')).toMatchObject({ sport: NODE_PORT.tunnel, dport: 50001 });
				expect(layerOf(parse((await send(flags)).packet), 'tcp').sport).toBe(port);
			}
			const named = (await node.flows()).map(({ entry }) => entry.peer[1]?.index);
			expect(named).toEqual([9, 9]);
		} finally {
			await node.dataplane.set('nodes', key, row);
			await node.dataplane.set('nodes', other, new Uint8Array(Node.size));
			await node.dataplane.delete('ipcache', ipcacheKey);
		}
	});

	it('answers time exceeded through the tunnel', async () => {
		const sent = inner(ip(x.pod2, x.b, { ttl: 1 }), udp({ sport: 1, dport: 2 }), raw(new Uint8Array(20)));
		const got = await fromTunnel(V4.node2, sent);
		const parsed = expectAnswer(sent, got, DropReason.TTL_EXCEEDED);
		expect(ipOf(got.packet)).toMatchObject({ src: x.node, dst: x.pod2 });
		expect(parsed.quoted?.layers[0]).toMatchObject({ src: x.pod2, dst: x.b });
	});

	it('gives a pod an ICMP error of another pod about a service packet, as about the service', async () => {
		const open = podFrame(POD_A, ip(x.a, x.vip), tcp({ sport: 40002, dport: SERVICE.tunnel, flags: 'S' }));
		const out = await node.fromPod(POD_A, open);
		const error = x.family === 4 ? icmp({ type: 3, code: 3, rest: 0 }) : icmpv6({ type: 1, code: 4, rest: 0 });
		const sent = inner(ip(x.pod2, x.a), error, raw(quoted(out.packet)));
		const parsed = expectVerdict(sent, await fromTunnel(V4.node2, sent), VERDICT.REDIRECT);
		expect(parsed.quoted?.layers[0]).toMatchObject({ src: x.a, dst: x.vip });
		expect(parsed.quoted && layerOf(parsed.quoted, 'tcp')).toMatchObject({ sport: 40002, dport: SERVICE.tunnel });
	});
});

describe('out of the tunnel', () => {
	it('drops what is not IP', async () => {
		const sent = build(
			eth({ src: OVERLAY_MAC, dst: OVERLAY_MAC }),
			arp({ op: 1, senderMac: OVERLAY_MAC, sender: V4.pod2, targetMac: OVERLAY_MAC, target: V4.b }),
		);
		expectDrop(sent, await fromTunnel(V4.node2, sent), DropReason.UNSUPPORTED_L2);
	});

	it('drops a packet without tunnel metadata', async () => {
		const sent = inner(ip(V4.pod2, V4.b), syn);
		const got = await node.dataplane.run('from_overlay', sent, { device: 'overlay', ingressDevice: 'overlay' });
		expectDrop(sent, got, DropReason.TUNNEL_KEY);
	});
});

async function intoTunnel(x: Addresses, target: string, mark = 0): Promise<[Uint8Array, RunResult]> {
	const sent = inner(ip(x.node, target), syn);
	return [sent, await node.dataplane.run('to_overlay', sent, { device: 'overlay', mark })];
}

describe.each(FAMILIES)("the node's stack into the tunnel, IPv$family", (x) => {
	it('passes packets to pods behind the tunnel unchanged', async () => {
		const [sent, got] = await intoTunnel(x, x.pod2);
		expectVerdict(sent, got, VERDICT.NEXT);
		expect(got.packet).toEqual(sent);
	});

	it('drops packets to addresses that no node has', async () => {
		for (const target of [x.nobody, x.world, x.b]) {
			const [sent, got] = await intoTunnel(x, target);
			expectDrop(sent, got, DropReason.NO_ROUTE);
		}
	});

	it('passes what already has its tunnel key and takes the mark off', async () => {
		const [sent, got] = await intoTunnel(x, x.nobody, 0x0fa10001);
		expectVerdict(sent, got, VERDICT.NEXT);
		expect(got.mark).toBe(0);
	});
});
