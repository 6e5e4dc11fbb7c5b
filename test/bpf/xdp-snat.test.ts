/** Services with the node's address as source, in XDP: the same state as the tc programs', so that either may see the next packet. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { fieldOffset } from '../../native/abi/field-offset.ts';
import { Ct4Entry, CtEntry, CtFlags, DropReason, XdpNode } from '../../native/abi/generated.ts';
import { NODE_MAC } from '../lib/dataplane/rows.ts';
import type { RunResult, WorldFixture } from '../lib/dataplane.ts';
import { indexKey, VERDICT } from '../lib/dataplane.ts';
import { layerOf, raw, udp } from '../lib/packet.ts';
import {
	type Addresses,
	BACKEND_PORT,
	expectDrop,
	expectVerdict,
	FAMILIES,
	ipOf,
	POD_A,
	PROTO,
	podFrame,
	SNAT,
	TestNode,
	UPLINK_MAC,
	uplinkFrame,
} from './world.ts';
import {
	AT,
	type Datagram,
	datagram,
	expectPassed,
	expectSent,
	fromClient,
	MODE,
	macsOf,
	NODE_PORT,
	PORT,
	sportFor,
	sportOf,
	XDP,
	xdpWorld,
} from './xdp-world.ts';

let node: TestNode;

/** A service whose backend is a machine outside, behind the gateway. */
const OUTSIDE = { port: 8020, 4: '203.0.113.77', 6: '2001:db8:77::77' } as const;

function outsideWorld(): WorldFixture {
	const world = xdpWorld(MODE.snat);
	const services = FAMILIES.map((x) => ({
		address: x.external,
		external: true,
		proto: PROTO.TCP,
		port: OUTSIDE.port,
		backends: [{ address: OUTSIDE[x.family], port: BACKEND_PORT.web }],
	}));
	return { ...world, services: [...(world.services ?? []), ...services] };
}

beforeAll(async () => {
	node = await TestNode.start(outsideWorld(), ['pod', 'node', 'xdp_lb', 'clock']);
	await node.dataplane.attachXdp('xdp_lb', 'uplink');
}, 120_000);

beforeEach(() => node.reset());
afterAll(() => node?.close());

const xdp = (packet: Uint8Array): Promise<RunResult> => node.dataplane.run('xdp_lb', packet);
const web = { proto: 'tcp', dport: PORT.web } as const;
const dns = { proto: 'udp', dport: PORT.dns } as const;
const backendPort = (o: Pick<Datagram, 'proto'>): number => (o.proto === 'tcp' ? BACKEND_PORT.web : BACKEND_PORT.dns);

/** Opens a flow by its first packet; returns its port at the node. */
async function open(x: Addresses, o: Datagram): Promise<number> {
	const sent = fromClient(x, { ...o, flags: 'S' });
	return layerOf(expectSent(sent, await xdp(sent)), o.proto).sport;
}

/** What the backend answers to the node. */
const replyTo = (x: Addresses, o: Datagram, port: number, more: Partial<Datagram> = {}): Uint8Array =>
	uplinkFrame(
		...datagram(x, { ...o, src: x.pod3, dst: x.node, sport: backendPort(o), dport: port, flags: 'SA', ...more }),
	);

describe.each(FAMILIES)('XDP with the node as source over IPv$family', (x) => {
	describe.each([web, dns])('$proto', (service) => {
		const o = { ...service, sport: sportOf(x, service, AT.node3), ttl: 33 };

		it('opens a flow: backend as destination, a port of the node as source, two entries', async () => {
			const sent = fromClient(x, { ...o, flags: 'S' });
			const got = await xdp(sent);
			const parsed = expectSent(sent, got);
			expect(macsOf(parsed)).toMatchObject({ src: UPLINK_MAC, dst: `${NODE_MAC}03` });
			expect(ipOf(got.packet)).toEqual({ src: x.node, dst: x.pod3, ttl: 32 });
			const { sport, dport } = layerOf(parsed, o.proto);
			expect(dport).toBe(backendPort(o));
			expect(sport).toBeGreaterThanOrEqual(SNAT.min);
			expect(sport).toBeLessThanOrEqual(SNAT.max);
			const flows = await node.flows();
			const masquerade = CtFlags.MASQUERADE | CtFlags.EXTERNAL;
			expect(flows.map((flow) => flow.flags & (masquerade | CtFlags.SVC_FORWARD | CtFlags.SVC_REPLY)).sort()).toEqual(
				[masquerade | CtFlags.SVC_FORWARD, masquerade | CtFlags.SVC_REPLY].sort(),
			);
		});

		it('keeps the port for the packets after it', async () => {
			const port = await open(x, o);
			for (const flags of ['A', 'PA', 'FA']) {
				const sent = fromClient(x, { ...o, flags });
				const got = await xdp(sent);
				expect(layerOf(expectSent(sent, got), o.proto)).toMatchObject({ sport: port, dport: backendPort(o) });
				expect(ipOf(got.packet)).toMatchObject({ src: x.node, dst: x.pod3 });
			}
			expect(await node.flows()).toHaveLength(2);
		});

		it('sends the reply back as the service, by the routing table', async () => {
			const port = await open(x, o);
			const reply = replyTo(x, o, port);
			const got = await node.dataplane.run('xdp_lb', reply, { device: 'uplink' });
			const parsed = expectSent(reply, got);
			expect(macsOf(parsed)).toMatchObject({ src: UPLINK_MAC, dst: '02:00:00:00:50:fe' });
			expect(ipOf(got.packet)).toEqual({ src: x.external, dst: x.world, ttl: 32 });
			expect(layerOf(parsed, o.proto)).toMatchObject({ sport: o.dport, dport: o.sport });
		});

		it('leaves a reply to tc whose way to the client is another device', async () => {
			const reply = replyTo(x, o, await open(x, o));
			expectPassed(reply, await xdp(reply));
		});

		it('shares its flows with tc, in both directions', async () => {
			const port = await open(x, o);
			const sent = fromClient(x, { ...o, flags: 'A' });
			const forward = await node.fromUplink(sent);
			expect(layerOf(expectVerdict(sent, forward, VERDICT.REDIRECT), o.proto)).toMatchObject({ sport: port });
			const reply = replyTo(x, o, port);
			const back = await node.fromUplink(reply);
			expectVerdict(reply, back, VERDICT.REDIRECT);
			expect(ipOf(back.packet)).toMatchObject({ src: x.external, dst: x.world });
		});

		it('goes on with flows that tc has opened', async () => {
			const first = fromClient(x, { ...o, flags: 'S' });
			const opened = await node.fromUplink(first);
			const port = layerOf(expectVerdict(first, opened, VERDICT.REDIRECT), o.proto).sport;
			const sent = fromClient(x, { ...o, flags: 'A' });
			expect(layerOf(expectSent(sent, await xdp(sent)), o.proto)).toMatchObject({ sport: port });
		});

		it('leaves to tc what does not fit, has no hop left or goes through a tunnel', async () => {
			await open(x, o);
			const last = fromClient(x, { ...o, ttl: 1 });
			const tunnel = fromClient(x, { ...service, sport: sportOf(x, service, AT.node2), flags: 'S' });
			const local = fromClient(x, { ...service, sport: sportOf(x, service, AT.local), flags: 'S' });
			const large = fromClient(x, { ...o, payload: 1480 });
			for (const sent of [last, tunnel, local, large]) expectPassed(sent, await xdp(sent));
			const reply = replyTo(x, o, SNAT.min, { ttl: 1 });
			expectPassed(reply, await xdp(reply));
		});

		it('leaves replies of nobody to tc', async () => {
			await open(x, o);
			const strange = replyTo(x, o, SNAT.min, { src: x.pod2 });
			expectPassed(strange, await xdp(strange));
		});
	});

	it('serves a node port', async () => {
		const o = { proto: 'tcp', dport: NODE_PORT, sport: 20_000, dst: x.node, flags: 'S' } as const;
		// its backends: node 2 by tunnel in all slots, which is for tc
		const sent = fromClient(x, o);
		expectPassed(sent, await xdp(sent));
		const direct = await node.dataplane.entries('xdp_nodes');
		const row = direct.find(({ key }) => key[0] === 2);
		if (!row) throw new Error('node 2 has no row');
		await node.dataplane.set('xdp_nodes', row.key, XdpNode.encode({ ...XdpNode.decode(row.value), direct: 1 }));
		try {
			const got = await xdp(sent);
			expectSent(sent, got);
			expect(ipOf(got.packet)).toMatchObject({ src: x.node, dst: x.pod2 });
		} finally {
			await node.dataplane.set('xdp_nodes', row.key, row.value);
		}
	});

	describe('a backend that is a machine outside', () => {
		const o = { proto: 'tcp', dport: OUTSIDE.port, sport: 20_000, ttl: 33 } as const;
		const backend = OUTSIDE[x.family];
		const byUplink = (packet: Uint8Array) => node.dataplane.run('xdp_lb', packet, { device: 'uplink' });

		/** tc opens the flow; returns its port at the node. */
		async function openByTc(): Promise<number> {
			const first = fromClient(x, { ...o, flags: 'S' });
			expectPassed(first, await byUplink(first));
			return layerOf(expectVerdict(first, await node.fromUplink(first), VERDICT.REDIRECT), 'tcp').sport;
		}

		async function changeFlows(change: (entry: Ct4Entry | CtEntry) => Partial<Ct4Entry & CtEntry>): Promise<void> {
			for (const { key, value } of await node.dataplane.entries('ct4')) {
				const entry = Ct4Entry.decode(value);
				await node.dataplane.set('ct4', key, Ct4Entry.encode({ ...entry, ...change(entry) }));
			}
			for (const { key, value } of await node.dataplane.entries('ct6')) {
				const entry = CtEntry.decode(value);
				await node.dataplane.set('ct6', key, CtEntry.encode({ ...entry, ...change(entry) }));
			}
		}

		/** A second passes for the flow. */
		const letRest = () => changeFlows(({ lastSeen }) => ({ lastSeen: (lastSeen - 10_000) >>> 0 }));

		it('gets packets of flows that tc has opened, by the routing table, and so does the client', async () => {
			const port = await openByTc();
			const sent = fromClient(x, { ...o, flags: 'A' });
			const got = await byUplink(sent);
			const parsed = expectSent(sent, got);
			expect(macsOf(parsed)).toMatchObject({ src: UPLINK_MAC, dst: '02:00:00:00:50:fe' });
			expect(ipOf(got.packet)).toEqual({ src: x.node, dst: backend, ttl: 32 });
			expect(layerOf(parsed, 'tcp')).toMatchObject({ sport: port, dport: BACKEND_PORT.web });
			const reply = replyTo(x, o, port, { src: backend });
			const back = await byUplink(reply);
			expect(ipOf(back.packet)).toEqual({ src: x.external, dst: x.world, ttl: 32 });
			expect(layerOf(expectSent(reply, back), 'tcp')).toMatchObject({ sport: o.dport, dport: o.sport });
		});

		it('gets one packet a second by tc in each direction, which looks after its neighbours', async () => {
			const port = await openByTc();
			await letRest();
			for (const sent of [fromClient(x, { ...o, flags: 'A' }), replyTo(x, o, port, { src: backend })]) {
				expectPassed(sent, await byUplink(sent));
				expectVerdict(sent, await node.fromUplink(sent), VERDICT.REDIRECT);
				expectSent(sent, await byUplink(sent));
			}
		});

		it('leaves to tc what leaves by another device', async () => {
			await openByTc();
			const sent = fromClient(x, { ...o, flags: 'A' });
			expectPassed(sent, await xdp(sent));
		});

		it("leaves to tc what has another interface's address as source, wherever it leaves by now", async () => {
			await openByTc();
			await changeFlows(() => ({ source: 1 }));
			const sent = fromClient(x, { ...o, flags: 'A' });
			expectPassed(sent, await byUplink(sent));
		});

		it('leaves to tc, which drops it, what claims to be a pod that has such a flow', async () => {
			const first = podFrame(POD_A, ...datagram(x, { ...o, src: x.a, flags: 'S' }));
			expectVerdict(first, await node.fromPod(POD_A, first), VERDICT.REDIRECT);
			const flags = CtFlags.SVC_FORWARD | CtFlags.MASQUERADE;
			expect((await node.flows()).map((flow) => flow.flags & flags)).toContain(flags);
			const forged = fromClient(x, { ...o, src: x.a, flags: 'A' });
			expectPassed(forged, await byUplink(forged));
			expectDrop(forged, await node.fromUplink(forged), DropReason.SPOOFED_LOCAL);
		});
	});

	it('leaves a first packet to tc that comes again or has no hop left', async () => {
		const o = { ...web, sport: sportOf(x, web, AT.node3), flags: 'S' };
		const last = fromClient(x, { ...o, ttl: 1 });
		expectPassed(last, await xdp(last));
		expect(await node.flows()).toHaveLength(0);
		const port = await open(x, o);
		const again = fromClient(x, o);
		expectPassed(again, await xdp(again));
		expect(await node.flows()).toHaveLength(2);
		expect(layerOf(expectVerdict(again, await node.fromUplink(again), VERDICT.REDIRECT), 'tcp')).toMatchObject({
			sport: port,
		});
	});

	describe.each([
		{ what: 'a port that is not in the range', sport: 20_001 },
		{ what: 'a port of the range', sport: SNAT.min + 1 },
	])('a first packet from $what that comes again', ({ sport }) => {
		const again = fromClient(x, { proto: 'tcp', dport: PORT.random, sport, flags: 'S' });
		const table = x.family === 4 ? 'ct4' : 'ct6';
		const flagsAt = x.family === 4 ? fieldOffset(Ct4Entry, 'flags') : fieldOffset(CtEntry, 'flags');

		/** Half of the packets are given the backend that only tc can reach. */
		async function begin(): Promise<void> {
			for (let i = 0; i < 40; i++) if ((await xdp(again)).verdict === XDP.TX) return;
			throw new Error('no packet was sent');
		}

		async function expectUntouched(): Promise<void> {
			const before = await node.dataplane.entries(table);
			for (let i = 0; i < 24; i++) expectPassed(again, await xdp(again));
			expect(await node.dataplane.entries(table)).toEqual(before);
		}

		it('changes nothing about the flow that it has begun', async () => {
			await begin();
			await expectUntouched();
		});

		it('changes nothing about one that is over, which tc puts another in the place of', async () => {
			await begin();
			for (const { key, value } of await node.dataplane.entries(table)) {
				const view = new DataView(value.buffer, value.byteOffset);
				view.setUint16(flagsAt, view.getUint16(flagsAt, true) | CtFlags.CLOSING, true);
				await node.dataplane.set(table, key, value);
			}
			await expectUntouched();
			expectVerdict(again, await node.fromUplink(again), VERDICT.REDIRECT);
			expect((await node.flows()).filter(({ flags }) => !(flags & CtFlags.CLOSING))).toHaveLength(2);
		});
	});

	it('leaves the middle of an unknown connection to tc', async () => {
		const sent = fromClient(x, { ...web, sport: sportOf(x, web, AT.node3), flags: 'A' });
		expectPassed(sent, await xdp(sent));
		expect(await node.flows()).toEqual([]);
	});

	it('leaves a flow to tc that was made while the table was full, and tc looks whether its port is still its own', async () => {
		const o = { ...dns, sport: sportOf(x, dns, AT.node3) };
		const sent = fromClient(x, o);
		const byTc = async () => layerOf(expectVerdict(sent, await node.fromUplink(sent), VERDICT.REDIRECT), 'udp').sport;
		await node.dataplane.set('ctfull', indexKey(0), Uint8Array.of(1, 0, 0, 0));
		try {
			const port = await open(x, o);
			expectPassed(sent, await xdp(sent));
			expect(await byTc()).toBe(port);
			const table = x.family === 4 ? 'ct4' : 'ct6';
			for (const { key, value } of await node.dataplane.entries(table)) {
				const { flags } = x.family === 4 ? Ct4Entry.decode(value) : CtEntry.decode(value);
				if (flags & CtFlags.SVC_REPLY) await node.dataplane.delete(table, key);
			}
			expectPassed(sent, await xdp(sent));
			await byTc();
			const reply = replyTo(x, o, await byTc());
			expect(ipOf((await node.fromUplink(reply)).packet)).toMatchObject({ src: x.external, dst: x.world });
		} finally {
			await node.dataplane.set('ctfull', indexKey(0), new Uint8Array(4));
		}
	});

	it('leaves a flow to tc when no port is free, which counts it', async () => {
		const ports: number[] = [];
		for (let n = 0, sport = 20_000; n <= SNAT.max - SNAT.min + 1; n++, sport++) {
			sport = sportFor(x, web, (slot) => slot % 3 === AT.node3, sport);
			ports.push(sport);
		}
		const last = ports.pop() ?? 0;
		for (const sport of ports) await open(x, { ...web, sport });
		const sent = fromClient(x, { ...web, sport: last, flags: 'S' });
		expectPassed(sent, await xdp(sent));
		expect(await node.flows()).toHaveLength(2 * ports.length);
		expectDrop(sent, await node.fromUplink(sent), DropReason.NAT_EXHAUSTED);
	});

	it.each(['local', 'affinity', 'nodeBackend'] as const)('leaves service %s to tc', async (name) => {
		const sent = fromClient(x, { proto: 'tcp', dport: PORT[name], sport: 20_001, flags: 'S' });
		expectPassed(sent, await xdp(sent));
	});
});

describe('a UDP checksum of zero', () => {
	it('stays zero', async () => {
		const [x] = FAMILIES;
		const sport = sportOf(x, dns, AT.node3);
		const [header] = datagram(x, { ...dns, sport });
		if (!header) throw new Error('no header');
		const sent = uplinkFrame(header, udp({ sport, dport: PORT.dns, checksum: 0 }), raw(new Uint8Array(8)));
		expect(layerOf(expectSent(sent, await xdp(sent)), 'udp').checksum).toBe(0);
	});
});
