/** Who a pod may be (design.md section 9): its own addresses, its own MAC, one neighbour. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DropReason } from '../../native/abi/generated.ts';
import { VERDICT } from '../lib/dataplane.ts';
import {
	addressBytes,
	arp,
	build,
	concat,
	eth,
	icmpv6,
	ip,
	ipv4,
	ipv6,
	type Layer,
	layerOf,
	macBytes,
	macText,
	raw,
	tcp,
	udp,
} from '../lib/packet.ts';
import {
	expectAnswer,
	expectDrop,
	expectVerdict,
	FAMILIES,
	POD_A,
	POD_B,
	POD_NOT_READY,
	podFrame,
	SERVICE,
	TestNode,
	V6,
} from './world.ts';

let node: TestNode;
beforeAll(async () => {
	node = await TestNode.start();
});
afterAll(() => node?.close());

const BROADCAST = 'ff:ff:ff:ff:ff:ff';
const ZERO_MAC = '00:00:00:00:00:00';
const syn = tcp({ sport: 40000, dport: 8080, flags: 'S' });

describe.each(FAMILIES)('source of a pod, IPv$family', (x) => {
	it('drops a source address that is another pod, the node, a service or the world', async () => {
		for (const source of [x.b, x.node, x.vip, x.world, x.pod2, x.gone]) {
			const sent = podFrame(POD_A, ip(source, x.pod2), syn);
			expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.INVALID_SOURCE);
		}
	});

	it("drops the pod's own address behind a foreign MAC", async () => {
		const sent = build(eth({ src: POD_B.mac, dst: POD_A.hostMac }), ip(x.a, x.b), syn);
		expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.INVALID_SOURCE_MAC);
	});

	it("drops another pod's source although that pod has an open connection", async () => {
		const good = podFrame(POD_A, ip(x.a, x.pod3), syn);
		expectVerdict(good, await node.fromPod(POD_A, good), VERDICT.REDIRECT);
		const forged = podFrame(POD_B, ip(x.a, x.pod3), tcp({ ...syn, flags: 'A' }));
		expectDrop(forged, await node.fromPod(POD_B, forged), DropReason.INVALID_SOURCE);
		const stolenMac = podFrame(POD_A, ip(x.a, x.pod3), tcp({ ...syn, flags: 'A' }));
		expectDrop(stolenMac, await node.fromPod(POD_B, stolenMac), DropReason.INVALID_SOURCE);
		const foreignMac = podFrame(POD_B, ip(x.a, x.pod3), tcp({ ...syn, flags: 'A' }));
		expectDrop(foreignMac, await node.fromPod(POD_A, foreignMac), DropReason.INVALID_SOURCE_MAC);
	});

	it('drops everything of a pod that is not ready, and everything to it', async () => {
		const from = podFrame(POD_NOT_READY, ip(x.notReady, x.b), syn);
		expectDrop(from, await node.fromPod(POD_NOT_READY, from), DropReason.ENDPOINT_NOT_READY);
		const to = podFrame(POD_A, ip(x.a, x.notReady), syn);
		expectDrop(to, await node.fromPod(POD_A, to), DropReason.ENDPOINT_NOT_READY);
	});

	it('drops encapsulated traffic that a pod makes itself', async () => {
		const inner = ip(x.b, x.pod2);
		for (const target of [x.node, x.node2, x.node3]) {
			const vxlan = podFrame(POD_A, ip(x.a, target), udp({ sport: 1234, dport: 8472 }), raw(new Uint8Array(40)));
			expectDrop(vxlan, await node.fromPod(POD_A, vxlan), DropReason.TUNNEL_FROM_POD);
			const ipip = podFrame(POD_A, ip(x.a, target), inner, udp({ sport: 1, dport: 2 }));
			expectDrop(ipip, await node.fromPod(POD_A, ipip), DropReason.TUNNEL_FROM_POD);
		}
	});

	it('drops what no router forwards: multicast, loopback, unspecified and link-local destinations', async () => {
		const targets =
			x.family === 4
				? ['239.1.1.1', '255.255.255.255', '240.0.0.1', '127.0.0.1', '0.0.0.0']
				: ['ff0e::1', 'ff02::1', '::1', '::', 'fe80::99', 'fe80::1'];
		for (const target of targets) {
			const sent = podFrame(POD_A, ip(x.a, target), udp({ sport: 1, dport: 2 }));
			expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.NO_ROUTE);
		}
	});

	it('drops encapsulated traffic to a node also when a service would translate it there', async () => {
		const sent = podFrame(POD_A, ip(x.a, x.vip), udp({ sport: 1, dport: SERVICE.vxlan }), raw(new Uint8Array(40)));
		expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.TUNNEL_FROM_POD);
	});

	it('drops addresses of the cluster that nobody has', async () => {
		for (const target of [x.nobody, x.gone, x.noService]) {
			const sent = podFrame(POD_A, ip(x.a, target), syn);
			expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.NO_ROUTE);
		}
	});
});

describe('layer 2', () => {
	it('drops what is neither IP nor ARP', async () => {
		for (const type of [0x88cc, 0x8100, 0x8863, 0x0027]) {
			const sent = build(eth({ src: POD_A.mac, dst: BROADCAST, type }), raw(new Uint8Array(50)));
			expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.UNSUPPORTED_L2);
		}
	});
});

describe('ARP', () => {
	const request = (o: { sender?: string; target?: string; op?: number }): Uint8Array =>
		build(
			eth({ src: POD_A.mac, dst: BROADCAST }),
			arp({
				op: o.op ?? 1,
				senderMac: POD_A.mac,
				sender: o.sender ?? POD_A.ipv4,
				targetMac: ZERO_MAC,
				target: o.target ?? '169.254.1.1',
			}),
		);

	it("answers a request for the gateway with the host side's MAC", async () => {
		const got = await node.fromPod(POD_A, request({}));
		const parsed = expectVerdict(request({}), got, VERDICT.REDIRECT);
		expect(layerOf(parsed, 'eth')).toMatchObject({ src: POD_A.hostMac, dst: POD_A.mac });
		expect(layerOf(parsed, 'arp')).toEqual(
			arp({ op: 2, senderMac: POD_A.hostMac, sender: '169.254.1.1', targetMac: POD_A.mac, target: POD_A.ipv4 }),
		);
	});

	it.each([
		['for another pod', { target: POD_B.ipv4 }],
		['for itself (announcement)', { target: POD_A.ipv4 }],
		['in the name of another pod', { sender: POD_B.ipv4 }],
		['that is a reply', { op: 2 }],
		['that is a reply for the node', { op: 2, sender: '192.168.50.1' }],
	])('drops ARP %s', async (_, o) => {
		expectDrop(request(o), await node.fromPod(POD_A, request(o)), DropReason.FORBIDDEN_ARP);
	});

	it('drops a truncated request', async () => {
		const sent = request({}).subarray(0, 30);
		expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.INVALID_PACKET);
	});
});

/** Source link-layer address option. */
const ownMac = concat(Uint8Array.of(1, 1), macBytes(POD_A.mac));

function solicitation(o: { src?: string; target?: string; hopLimit?: number; options?: Uint8Array }): Uint8Array {
	const target = addressBytes(o.target ?? 'fe80::1');
	return build(
		eth({ src: POD_A.mac, dst: '33:33:ff:00:00:01' }),
		ipv6({ src: o.src ?? POD_A.ipv6, dst: 'ff02::1:ff00:1', hopLimit: o.hopLimit ?? 255 }),
		icmpv6({ type: 135, code: 0, rest: 0 }),
		raw(concat(target, o.options ?? ownMac)),
	);
}

/** Types of ICMPv6 with the hop limit that they must have: router solicitation, MLD report and done, MLDv2 report. */
const LEFT_TO_STACK = [
	[133, 255],
	[131, 1],
	[132, 1],
	[143, 1],
] as const;

function discovery(o: { type: number; hopLimit: number; src?: string; dst?: string; mac?: string }): Uint8Array {
	return build(
		eth({ src: o.mac ?? POD_A.mac, dst: '33:33:00:00:00:02' }),
		ipv6({ src: o.src ?? 'fe80::aa', dst: o.dst ?? 'ff02::2', hopLimit: o.hopLimit }),
		icmpv6({ type: o.type, code: 0, rest: 0 }),
	);
}

/** Eight bytes of a message, the checksum left out. */
const echoOf = (type: number): Layer => raw(Uint8Array.of(type, 0, 0, 0, 0, 1, 0, 1));

describe('neighbour discovery', () => {
	it.each([POD_A.ipv6, 'fe80::aa'])('answers a solicitation for fe80::1 from %s', async (src) => {
		const sent = solicitation({ src });
		const parsed = expectVerdict(sent, await node.fromPod(POD_A, sent), VERDICT.REDIRECT);
		expect(layerOf(parsed, 'eth')).toMatchObject({ src: POD_A.hostMac, dst: POD_A.mac });
		expect(layerOf(parsed, 'ipv6')).toMatchObject({ src: 'fe80::1', dst: src, hopLimit: 255 });
		expect(layerOf(parsed, 'icmpv6')).toMatchObject({ type: 136, code: 0, rest: 0xe0000000 });
		const body = layerOf(parsed, 'raw').bytes;
		expect(body.subarray(0, 16)).toEqual(addressBytes('fe80::1'));
		expect([...body.subarray(16, 18)]).toEqual([2, 1]);
		expect(macText(body.subarray(18, 24))).toBe(POD_A.hostMac);
	});

	it('answers a solicitation without options, as a probe of a known neighbour has none', async () => {
		const sent = solicitation({ options: new Uint8Array() });
		const parsed = expectVerdict(sent, await node.fromPod(POD_A, sent), VERDICT.REDIRECT);
		expect(layerOf(parsed, 'icmpv6')).toMatchObject({ type: 136 });
	});

	it('drops a solicitation for another address', async () => {
		for (const target of [POD_B.ipv6, 'fe80::2', V6.node]) {
			const sent = solicitation({ target });
			expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.FORBIDDEN_ND);
		}
	});

	it("drops a solicitation with another pod's source", async () => {
		const sent = solicitation({ src: POD_B.ipv6 });
		expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.INVALID_SOURCE);
	});

	it.each([
		['router advertisement', 134],
		['neighbour advertisement', 136],
		['redirect', 137],
	])('drops a %s', async (_, type) => {
		for (const src of ['fe80::aa', POD_A.ipv6]) {
			const sent = build(
				eth({ src: POD_A.mac, dst: '33:33:00:00:00:01' }),
				ipv6({ src, dst: 'ff02::1', hopLimit: 255 }),
				icmpv6({ type, code: 0, rest: 0 }),
				raw(new Uint8Array(40)),
			);
			expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.FORBIDDEN_ND);
		}
	});

	it('leaves router solicitations, address probes and listener reports to the stack, where nobody listens', async () => {
		const probe = solicitation({ src: '::', target: POD_A.ipv6, options: new Uint8Array() });
		expectVerdict(probe, await node.fromPod(POD_A, probe), VERDICT.NEXT);
		for (const [type, hopLimit] of LEFT_TO_STACK) {
			const sent = discovery({ type, hopLimit });
			expectVerdict(sent, await node.fromPod(POD_A, sent), VERDICT.NEXT);
		}
	});

	it('lets nothing that looks like them reach another machine or pod past policy', async () => {
		for (const [type, hopLimit] of LEFT_TO_STACK) {
			for (const dst of [POD_B.ipv6, V6.pod2, V6.node, V6.world]) {
				const sent = discovery({ type, hopLimit, src: POD_A.ipv6, dst });
				expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.FORBIDDEN_ND);
			}
			const far = discovery({ type, hopLimit: 64 });
			expectDrop(far, await node.fromPod(POD_A, far), DropReason.FORBIDDEN_ND);
			const foreign = discovery({ type, hopLimit, mac: POD_B.mac });
			expectDrop(foreign, await node.fromPod(POD_A, foreign), DropReason.INVALID_SOURCE_MAC);
		}
		const probe = solicitation({ src: '::', hopLimit: 64 });
		expectDrop(probe, await node.fromPod(POD_A, probe), DropReason.FORBIDDEN_ND);
	});

	it('drops messages of ICMP in packets of the other family', async () => {
		for (const type of [8, 128, 133, 135, 143]) {
			const four = podFrame(POD_A, ipv4({ src: POD_A.ipv4, dst: POD_B.ipv4, proto: 58 }), echoOf(type));
			expectDrop(four, await node.fromPod(POD_A, four), DropReason.INVALID_PACKET);
			const six = podFrame(POD_A, ipv6({ src: POD_A.ipv6, dst: POD_B.ipv6, next: 1 }), echoOf(type));
			expectDrop(six, await node.fromPod(POD_A, six), DropReason.INVALID_PACKET);
		}
	});

	it('drops link-local sources of anything but discovery', async () => {
		for (const target of [POD_B.ipv6, V6.node, V6.world, V6.pod2, V6.vip]) {
			const sent = podFrame(POD_A, ip('fe80::aa', target), tcp({ sport: 1, dport: 80, flags: 'S' }));
			expectDrop(sent, await node.fromPod(POD_A, sent), DropReason.INVALID_SOURCE);
		}
	});
});

describe('answers', () => {
	it('go back to the sender with its MAC', async () => {
		const sent = podFrame(POD_A, ip(V6.a, V6.vip), tcp({ sport: 1, dport: 84, flags: 'S' }));
		expectAnswer(sent, await node.fromPod(POD_A, sent), DropReason.NO_BACKEND);
	});
});
