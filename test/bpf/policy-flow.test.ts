/** How hooks obey policy rows: who is judged, when, by whose identity, and what becomes of flows when policies change. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
	CtDirection,
	DropReason,
	EndpointFlags,
	EventType,
	FlowEvent,
	JudgedSide,
} from '../../native/abi/generated.ts';
import type { RunResult } from '../lib/dataplane.ts';
import { VERDICT } from '../lib/dataplane.ts';
import type { Layer } from '../lib/packet.ts';
import { addressText, build, eth, fragments, icmp, icmpv6, ip, quoted, raw, tcp, udp } from '../lib/packet.ts';
import { COOKIE, Policies } from './policy-world.ts';
import type { Addresses } from './world.ts';
import {
	expectDrop,
	expectVerdict,
	FAMILIES,
	NODE_PORT,
	POD_A,
	POD_B,
	podFrame,
	SERVICE,
	TestNode,
	uplinkFrame,
	V4,
	V6,
} from './world.ts';

let node: TestNode;
let policies: Policies;
beforeAll(async () => {
	node = await TestNode.start();
	policies = new Policies(node);
	await policies.start();
});
afterAll(() => node?.close());
beforeEach(async () => {
	await node.reset();
	await policies.reset();
	await node.dataplane.events();
});

const PORT = 8080;
const CLIENT_PORT = 40000;
const WORLD_IDENTITY = (1 << 24) + 5;
const bytes = (n: number): Layer => raw(Uint8Array.from({ length: n }, (_, i) => i));
const syn = (dport: number = PORT) => tcp({ sport: CLIENT_PORT, dport, flags: 'S' });
const ack = tcp({ sport: CLIENT_PORT, dport: PORT, flags: 'A', seq: 1, ack: 1 });
const answer = tcp({ sport: PORT, dport: CLIENT_PORT, flags: 'SA', ack: 1 });

/** A → B directly. */
const aToB = (x: Addresses, layer: Layer = syn()) => podFrame(POD_A, ip(x.a, x.b), layer);
const bToA = (x: Addresses, layer: Layer = answer) => podFrame(POD_B, ip(x.b, x.a), layer);
/** A pod of another node, which is reached on the shared link → B. */
const farToB = (x: Addresses, layer: Layer = syn()) => uplinkFrame(ip(x.pod3, x.b), layer);
const worldToPort = (x: Addresses, port: number = NODE_PORT.web) => uplinkFrame(ip(x.world, x.node), syn(port));

async function expectPolicyDrop(sent: Uint8Array, got: RunResult | Promise<RunResult>): Promise<void> {
	expectDrop(sent, await got, DropReason.POLICY);
}

async function expectPass(sent: Uint8Array, got: RunResult | Promise<RunResult>): Promise<void> {
	expectVerdict(sent, await got, VERDICT.REDIRECT);
}

describe.each(FAMILIES)('both ends are asked, IPv$family', (x) => {
	it('the egress of the initiator', async () => {
		await policies.set('a', { egress: 'nothing' });
		await expectPolicyDrop(aToB(x), node.fromPod(POD_A, aToB(x)));
		expect(await node.flows()).toEqual([]);
	});

	it('the ingress of the responder', async () => {
		await policies.set('b', { ingress: 'nothing' });
		await expectPolicyDrop(aToB(x), node.fromPod(POD_A, aToB(x)));
		expect(await node.flows()).toEqual([]);
	});

	it('and nothing else: answers belong to the flow', async () => {
		await policies.set('a', { ingress: 'nothing' });
		await policies.set('b', { egress: 'nothing' });
		await expectPass(aToB(x), node.fromPod(POD_A, aToB(x)));
		await expectPass(bToA(x), node.fromPod(POD_B, bToA(x)));
	});

	it('the ingress for a pod of another node', async () => {
		await policies.set('b', { ingress: 'nothing' });
		await expectPolicyDrop(farToB(x), node.fromUplink(farToB(x)));
	});

	it('the egress towards a pod of another node, and towards the world', async () => {
		await policies.set('a', { egress: 'nothing' });
		for (const to of [x.pod2, x.pod3, x.world]) {
			const sent = podFrame(POD_A, ip(x.a, to), syn());
			await expectPolicyDrop(sent, node.fromPod(POD_A, sent));
		}
		expect(await node.flows()).toEqual([]);
	});

	it('by protocol and port', async () => {
		await policies.set('b', { ingress: 'tcp8080' });
		await expectPass(aToB(x), node.fromPod(POD_A, aToB(x)));
		for (const layer of [syn(8081), syn(8079), udp({ sport: 1, dport: PORT })]) {
			await expectPolicyDrop(aToB(x, layer), node.fromPod(POD_A, aToB(x, layer)));
		}
	});

	it('by the identity of the other end', async () => {
		await policies.set('b', { ingress: 'nothing' });
		await policies.row('b', 'ingress', 256 + POD_A.index, 'tcp8080');
		await expectPass(aToB(x), node.fromPod(POD_A, aToB(x)));
		await expectPolicyDrop(farToB(x), node.fromUplink(farToB(x)));
		await policies.remotePod(x.pod3, 3, 400);
		await policies.row('b', 'ingress', 400, 'all');
		await expectPass(farToB(x), node.fromUplink(farToB(x)));
		await node.dataplane.clear('policy');
		await policies.remotePod(x.pod3, 3, 15);
	});

	it('and says in entries and events which rules decided', async () => {
		await policies.set('a', { egress: 'all' });
		await policies.set('b', { ingress: 'tcp8080' });
		await policies.bump('a', 7);
		await policies.bump('b', 9);
		await expectPass(aToB(x), node.fromPod(POD_A, aToB(x)));
		const rule = [COOKIE.all, COOKIE.tcp8080];
		expect((await node.flows()).map(({ entry }) => entry)).toMatchObject([{ rule, policyGen: [7, 9] }]);
		await policies.set('b', { ingress: 'nothing' });
		await expectPolicyDrop(aToB(x, syn(1)), node.fromPod(POD_A, aToB(x, syn(1))));
		const events = (await node.dataplane.events()).map((record) => FlowEvent.decode(record));
		expect(events).toMatchObject([
			{ type: EventType.FLOW_NEW, rule, denied: 0, audited: 0 },
			{
				type: EventType.DROP,
				reason: DropReason.POLICY,
				rule: [COOKIE.all, COOKIE.nothing],
				denied: JudgedSide.INGRESS,
				srcIdentity: 256 + POD_A.index,
				dstIdentity: 256 + POD_B.index,
			},
		]);
	});

	it('counts what a rule drops', async () => {
		await policies.set('b', { ingress: 'nothing' });
		const before = await policies.denied('nothing');
		for (let i = 0; i < 3; i++) await node.fromPod(POD_A, aToB(x));
		expect((await policies.denied('nothing')) - before).toBe(3n);
	});

	it('tells in events who began the flow and which backend was judged', async () => {
		await policies.bump('b', 1);
		const toService = podFrame(POD_A, ip(x.a, x.vip), syn(SERVICE.web));
		await policies.set('b', { ingress: 'nothing' });
		await expectPolicyDrop(toService, node.fromPod(POD_A, toService));
		await policies.set('b', {});
		await expectPass(aToB(x), node.fromPod(POD_A, aToB(x)));
		await policies.set('b', { ingress: 'nothing' });
		await policies.bump('b', 2);
		await expectPolicyDrop(bToA(x), node.fromPod(POD_B, bToA(x)));
		const [service, reply] = (await node.dataplane.events())
			.map((record) => FlowEvent.decode(record))
			.filter(({ reason }) => reason === DropReason.POLICY);
		expect(service).toMatchObject({
			denied: JudgedSide.INGRESS,
			direction: CtDirection.FORWARD,
			origDport: SERVICE.web,
		});
		expect([addressText(service!.origDst), addressText(service!.dst), service!.dport]).toEqual([x.vip, x.b, PORT]);
		expect(reply).toMatchObject({ denied: JudgedSide.INGRESS, direction: CtDirection.REPLY });
		expect([addressText(reply!.src), addressText(reply!.dst)]).toEqual([x.b, x.a]);
		expect([reply!.srcIdentity, reply!.dstIdentity]).toEqual([258, 257]);
	});

	it('lets through what is only audited, and says so', async () => {
		await policies.set('b', { ingress: 'audited' });
		const before = await policies.denied('audited');
		await expectPass(aToB(x), node.fromPod(POD_A, aToB(x)));
		expect((await policies.denied('audited')) - before).toBe(1n);
		const events = (await node.dataplane.events()).map((record) => FlowEvent.decode(record));
		expect(events.find(({ type }) => type === EventType.POLICY_AUDIT)).toMatchObject({
			audited: JudgedSide.INGRESS,
			rule: [0, COOKIE.audited],
		});
	});
});

it('takes the identity of the family, not of the pod', async () => {
	await policies.endpoint('a', { identity: 300, identity6: 301 });
	await policies.set('b', { ingress: 'nothing' });
	await policies.row('b', 'ingress', 301, 'all');
	await expectPolicyDrop(aToB(V4), node.fromPod(POD_A, aToB(V4)));
	await expectPass(aToB(V6), node.fromPod(POD_A, aToB(V6)));
	await policies.endpoint('b', { identity: 302, identity6: 303 });
	await policies.set('b', {});
	await policies.set('a', { egress: 'nothing' });
	await policies.row('a', 'egress', 302, 'all');
	const toService = (x: Addresses) => podFrame(POD_A, ip(x.a, x.vip), syn(SERVICE.web));
	await expectPass(toService(V4), node.fromPod(POD_A, toService(V4)));
	await expectPolicyDrop(toService(V6), node.fromPod(POD_A, toService(V6)));
});

describe.each(FAMILIES)('services, IPv$family', (x) => {
	it('are judged by the backend and its port', async () => {
		await policies.set('a', { egress: 'tcp8080' });
		await policies.set('b', { ingress: 'tcp8080' });
		const sent = podFrame(POD_A, ip(x.a, x.vip), syn(SERVICE.web));
		await expectPass(sent, node.fromPod(POD_A, sent));
		await node.reset();
		await policies.set('a', { egress: 'nothing' });
		await expectPolicyDrop(sent, node.fromPod(POD_A, sent));
		expect(await node.flows()).toEqual([]);
	});

	it('at a node port are judged by the client outside, before anything is rewritten', async () => {
		await policies.identify(x.world, WORLD_IDENTITY);
		await policies.set('b', { ingress: 'nothing' });
		await expectPolicyDrop(worldToPort(x), node.fromUplink(worldToPort(x)));
		await policies.row('b', 'ingress', WORLD_IDENTITY, 'tcp8080');
		await expectPass(worldToPort(x), node.fromUplink(worldToPort(x)));
	});

	it('at a node port of another machine are none of the backend here: its node judges', async () => {
		await policies.set('a', { ingress: 'nothing', egress: 'nothing' });
		await policies.set('b', { ingress: 'nothing', egress: 'nothing' });
		const sent = worldToPort(x, NODE_PORT.tunnel);
		await expectPass(sent, node.fromUplink(sent));
	});

	it('lead a pod to itself unless a cluster policy forbids it', async () => {
		await policies.set('a', { ingress: 'nothing', egress: 'nothing' });
		const sent = podFrame(POD_A, ip(x.a, x.vip), syn(SERVICE.self));
		await expectPass(sent, node.fromPod(POD_A, sent));
		await node.reset();
		await policies.row('a', 'egress', 256 + POD_A.index, 'nothing', true);
		await expectPolicyDrop(sent, node.fromPod(POD_A, sent));
	});
});

describe.each(FAMILIES)('the own node, IPv$family', (x) => {
	const fromNode = () => build(eth({ src: POD_B.hostMac, dst: POD_B.mac }), ip(x.node, x.b), syn());

	it('always reaches its pods', async () => {
		await policies.set('b', { ingress: 'nothing', closed: true });
		expectVerdict(fromNode(), await node.toPod(POD_B, fromNode()), VERDICT.NEXT);
	});

	it('is only who made the packet here', async () => {
		await policies.set('b', { ingress: 'nothing' });
		const got = node.toPod(POD_B, fromNode(), { ingressDevice: 'uplink' });
		await expectPolicyDrop(fromNode(), got);
	});

	it('is not whoever comes by the host device', async () => {
		await policies.set('b', { ingress: 'nothing' });
		const own = build(eth({ src: POD_B.hostMac, dst: POD_B.mac }), ip(x.node, x.vip), syn(SERVICE.web));
		await expectPass(own, node.fromHost(own));
		await node.reset();
		const other = build(eth({ src: POD_B.hostMac, dst: POD_B.mac }), ip(x.world, x.vip), syn(SERVICE.web));
		await expectPolicyDrop(other, node.fromHost(other));
	});

	it('is not whose packet it forwards with its own address', async () => {
		await policies.set('b', { ingress: 'nothing' });
		await policies.bump('b', 1);
		const sent = build(eth({ src: POD_B.hostMac, dst: POD_B.mac }), ip(x.node, x.vip), syn(SERVICE.web));
		const { mark } = await node.dataplane.run('to_host_device', sent, { device: 'fl_host', ingressDevice: 'uplink' });
		await expectPolicyDrop(sent, node.fromHost(sent, { mark }));
		await policies.set('b', {});
		expect((await node.fromHost(sent, { mark })).mark).toBe(0);
		await policies.set('b', { ingress: 'nothing' });
		await policies.bump('b', 2);
		await expectPolicyDrop(sent, node.fromHost(sent));
		const own = await node.dataplane.run('to_host_device', sent, { device: 'fl_host' });
		expect(own.mark).toBe(0);
	});

	it('is nobody from outside with its address', async () => {
		await policies.set('b', { ingress: 'nothing' });
		const sent = uplinkFrame(ip(x.node, x.b), syn());
		expectDrop(sent, await node.fromUplink(sent), DropReason.SPOOFED_LOCAL);
	});
});

describe.each(FAMILIES)('a change, IPv$family', (x) => {
	async function open(): Promise<void> {
		await expectPass(aToB(x), node.fromPod(POD_A, aToB(x)));
		await expectPass(bToA(x), node.fromPod(POD_B, bToA(x)));
	}

	it('cuts what is denied now, in both directions, and lets it go on when it is allowed again', async () => {
		await policies.bump('b', 1);
		await open();
		await policies.set('b', { ingress: 'nothing' });
		await policies.bump('b', 2);
		await expectPolicyDrop(aToB(x, ack), node.fromPod(POD_A, aToB(x, ack)));
		await expectPolicyDrop(bToA(x), node.fromPod(POD_B, bToA(x)));
		expect(await node.flows()).toHaveLength(1);
		await policies.set('b', { ingress: 'tcp8080' });
		await policies.bump('b', 3);
		await expectPass(bToA(x), node.fromPod(POD_B, bToA(x)));
		await expectPass(aToB(x, ack), node.fromPod(POD_A, aToB(x, ack)));
		expect((await node.flows()).map(({ entry }) => entry)).toMatchObject([
			{ rule: [0, COOKIE.tcp8080], policyGen: [expect.any(Number), 3] },
		]);
	});

	it('judges in the initiator’s direction, whoever sends', async () => {
		await policies.bump('a', 1);
		await open();
		await policies.set('a', { ingress: 'nothing', egress: 'tcp8080' });
		await policies.set('b', { ingress: 'tcp8080', egress: 'nothing' });
		await policies.bump('a', 2);
		await policies.bump('b', 20);
		await expectPass(bToA(x), node.fromPod(POD_B, bToA(x)));
		await expectPass(aToB(x, ack), node.fromPod(POD_A, aToB(x, ack)));
	});

	it('is seen by both entries of a service flow', async () => {
		await policies.bump('b', 1);
		const sent = podFrame(POD_A, ip(x.a, x.vip), syn(SERVICE.web));
		const later = podFrame(
			POD_A,
			ip(x.a, x.vip),
			tcp({ sport: CLIENT_PORT, dport: SERVICE.web, flags: 'A', seq: 1, ack: 1 }),
		);
		await expectPass(sent, node.fromPod(POD_A, sent));
		await policies.set('b', { ingress: 'nothing' });
		await policies.bump('b', 2);
		await expectPolicyDrop(later, node.fromPod(POD_A, later));
		await expectPolicyDrop(bToA(x), node.fromPod(POD_B, bToA(x)));
		await policies.set('b', { ingress: 'tcp8080' });
		await policies.bump('b', 3);
		await expectPass(later, node.fromPod(POD_A, later));
		await expectPass(bToA(x), node.fromPod(POD_B, bToA(x)));
	});

	it('reaches flows that the stack delivers', async () => {
		const sent = build(eth({ src: POD_B.hostMac, dst: POD_B.mac }), ip(x.world, x.b), syn());
		const again = build(eth({ src: POD_B.hostMac, dst: POD_B.mac }), ip(x.world, x.b), ack);
		await policies.bump('b', 1);
		expectVerdict(sent, await node.toPod(POD_B, sent, { ingressDevice: 'uplink' }), VERDICT.NEXT);
		await policies.set('b', { ingress: 'nothing' });
		await policies.bump('b', 2);
		await expectPolicyDrop(again, node.toPod(POD_B, again, { ingressDevice: 'uplink' }));
	});

	it('does not touch what the own node began', async () => {
		const sent = build(eth({ src: POD_B.hostMac, dst: POD_B.mac }), ip(x.node, x.b), syn());
		await policies.bump('b', 1);
		expectVerdict(sent, await node.toPod(POD_B, sent), VERDICT.NEXT);
		await policies.set('b', { ingress: 'nothing', egress: 'nothing' });
		await policies.bump('b', 2);
		const reply = podFrame(POD_B, ip(x.b, x.node), answer);
		expectVerdict(reply, await node.fromPod(POD_B, reply), VERDICT.NEXT);
	});
});

describe.each(FAMILIES)('a pod whose policies are not known, IPv$family', (x) => {
	beforeEach(async () => {
		await policies.endpoint('b', { flags: EndpointFlags.READY | EndpointFlags.ISOLATED, policySet: 0 });
	});

	it('is reached by its own node only', async () => {
		const own = build(eth({ src: POD_B.hostMac, dst: POD_B.mac }), ip(x.node, x.b), syn());
		expectVerdict(own, await node.toPod(POD_B, own), VERDICT.NEXT);
		expectDrop(aToB(x), await node.fromPod(POD_A, aToB(x)), DropReason.ISOLATED);
		expectDrop(farToB(x), await node.fromUplink(farToB(x)), DropReason.ISOLATED);
	});

	it('reaches nobody', async () => {
		for (const to of [x.a, x.world, x.node, x.vip]) {
			const sent = podFrame(POD_B, ip(x.b, to), syn(to === x.vip ? SERVICE.web : PORT));
			expectDrop(sent, await node.fromPod(POD_B, sent), DropReason.ISOLATED);
		}
	});
});

describe.each(FAMILIES)('parts of packets and errors, IPv$family', (x) => {
	const parts = () =>
		fragments(
			[eth({ src: POD_A.mac, dst: POD_A.hostMac })],
			[ip(x.a, x.b), udp({ sport: 1, dport: PORT }), bytes(100)],
			{
				id: 20,
				cuts: [48],
			},
		);

	it('later fragments share the verdict of the first', async () => {
		await policies.set('b', { ingress: 'tcp8080' });
		for (const part of parts()) await expectPolicyDrop(part, node.fromPod(POD_A, part));
		await node.reset();
		await policies.set('b', { ingress: 'all' });
		for (const part of parts()) await expectPass(part, node.fromPod(POD_A, part));
	});

	const unreachable = x.family === 4 ? icmp({ type: 3, code: 3, rest: 0 }) : icmpv6({ type: 1, code: 4, rest: 0 });
	const about = (sport: number) =>
		build(eth({ src: POD_A.mac, dst: POD_A.mac }), ip(x.a, x.b), udp({ sport, dport: PORT }), bytes(20));
	const errorFrame = (sport: number) => podFrame(POD_B, ip(x.b, x.a), unreachable, raw(quoted(about(sport))));

	it('errors about a known flow are part of it, others are packets like any', async () => {
		const sent = podFrame(POD_A, ip(x.a, x.b), udp({ sport: 7, dport: PORT }), bytes(20));
		await policies.set('a', { ingress: 'tcp8080' });
		await expectPass(sent, node.fromPod(POD_A, sent));
		await expectPass(errorFrame(7), node.fromPod(POD_B, errorFrame(7)));
		await expectPolicyDrop(errorFrame(8), node.fromPod(POD_B, errorFrame(8)));
	});
});
