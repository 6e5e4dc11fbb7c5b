/** The node, its pods and its services in the tests of the programs, and the words the tests speak in. */
import { expect } from 'vitest';
import { widenEntry } from '../../agent/kernel/ct-gc.ts';
import { Ct4Entry, Ct4Key, CtEntry, CtFlags, CtKey, DropReasonName } from '../../native/abi/generated.ts';
import type { PodFixture, Row, RunOptions, RunResult, ServiceFixture, WorldFixture } from '../lib/dataplane.ts';
import { Dataplane, explain, VERDICT } from '../lib/dataplane.ts';
import type { Layer, Parsed } from '../lib/packet.ts';
import { addressText, build, eth, format, layerOf, parse, u32 } from '../lib/packet.ts';

export const PROTO = { TCP: 6, UDP: 17, SCTP: 132 } as const;
const LOCAL_INTERNAL = 2;
const ANY_ENDPOINTS = 64;
const LOCAL_EXTERNAL = 4;
const ENDPOINT_READY = 1;

export const POD_A = {
	index: 1,
	device: 'podA',
	ipv4: '10.244.1.11',
	ipv6: 'fd10:244:1::b',
	mac: '02:00:00:01:00:0a',
	hostMac: '02:00:00:02:00:0a',
	flags: ENDPOINT_READY,
} as const satisfies PodFixture;

export const POD_B = {
	index: 2,
	device: 'podB',
	ipv4: '10.244.1.12',
	ipv6: 'fd10:244:1::c',
	mac: '02:00:00:01:00:0b',
	hostMac: '02:00:00:02:00:0b',
	flags: ENDPOINT_READY,
} as const satisfies PodFixture;

/** Attached, but its addresses are not complete yet. */
export const POD_NOT_READY = {
	index: 3,
	device: 'podC',
	ipv4: '10.244.1.13',
	ipv6: 'fd10:244:1::d',
	mac: '02:00:00:01:00:0c',
	hostMac: '02:00:00:02:00:0c',
	flags: 0,
} as const satisfies PodFixture;

export const GATEWAY_MAC = '02:00:00:00:50:fe';
export const UPLINK_MAC = '02:00:00:00:50:01';

/** Everything that has an address in a family. */
export interface Addresses {
	readonly family: 4 | 6;
	readonly a: string;
	readonly b: string;
	readonly notReady: string;
	readonly node: string;
	readonly gateway: string;
	/** Virtual address of all cluster services. */
	readonly vip: string;
	/** An external address of services. */
	readonly external: string;
	/** Node 2 is behind the tunnel, node 3 on the shared link. */
	readonly node2: string;
	readonly pod2: string;
	readonly node3: string;
	readonly pod3: string;
	/** In the cluster's pod range, of no node. */
	readonly nobody: string;
	/** In this node's pod range, of no pod. */
	readonly gone: string;
	/** In the service range, no service. */
	readonly noService: string;
	readonly world: string;
	/** Outside, never masqueraded. */
	readonly native: string;
}

export const V4: Addresses = {
	family: 4,
	a: POD_A.ipv4,
	b: POD_B.ipv4,
	notReady: POD_NOT_READY.ipv4,
	node: '192.168.50.1',
	gateway: '169.254.1.1',
	vip: '10.96.0.10',
	external: '198.51.100.10',
	node2: '192.168.50.2',
	pod2: '10.244.2.20',
	node3: '192.168.50.3',
	pod3: '10.244.3.20',
	nobody: '10.244.77.5',
	gone: '10.244.1.99',
	noService: '10.96.9.9',
	world: '203.0.113.7',
	native: '172.20.1.1',
};

export const V6: Addresses = {
	family: 6,
	a: POD_A.ipv6,
	b: POD_B.ipv6,
	notReady: POD_NOT_READY.ipv6,
	node: 'fd50::1',
	gateway: 'fe80::1',
	vip: 'fd96::10',
	external: '2001:db8:100::10',
	node2: 'fd50::2',
	pod2: 'fd10:244:2::20',
	node3: 'fd50::3',
	pod3: 'fd10:244:3::20',
	nobody: 'fd10:244:77::5',
	gone: 'fd10:244:1::99',
	noService: 'fd96::99',
	world: '2001:db8:7::7',
	native: 'fd20::1',
};

export const FAMILIES = [V4, V6] as const;

/** Ports of the services at the VIP. */
export const SERVICE = {
	web: 80,
	tunnel: 81,
	direct: 82,
	self: 83,
	empty: 84,
	local: 85,
	dns: 53,
	emptyUdp: 86,
	sctp: 5000,
	/** Its backend is another node's VXLAN port. */
	vxlan: 4789,
	undefined: 9999,
} as const;

export const NODE_PORT = { web: 30080, tunnel: 30081, localOnly: 30082, empty: 30083 } as const;
export const BACKEND_PORT = { web: 8080, dns: 5353, sctp: 5001 } as const;

function services(x: Addresses): ServiceFixture[] {
	const tcp = { address: x.vip, proto: PROTO.TCP };
	const nodePort = { address: x.node, proto: PROTO.TCP, external: true, nodeAddress: true };
	const web = { address: x.b, port: BACKEND_PORT.web, local: true };
	const tunnel = { address: x.pod2, port: BACKEND_PORT.web };
	return [
		{ ...tcp, port: SERVICE.web, backends: [web] },
		{ ...tcp, port: SERVICE.tunnel, backends: [tunnel] },
		{ ...tcp, port: SERVICE.direct, backends: [{ address: x.pod3, port: BACKEND_PORT.web }] },
		{ ...tcp, port: SERVICE.self, backends: [{ address: x.a, port: BACKEND_PORT.web, local: true }] },
		{ ...tcp, port: SERVICE.empty, backends: [] },
		{ ...tcp, port: SERVICE.local, backends: [tunnel], flags: LOCAL_INTERNAL | ANY_ENDPOINTS },
		{ address: x.vip, proto: PROTO.UDP, port: SERVICE.dns, backends: [{ ...web, port: BACKEND_PORT.dns }] },
		{ address: x.vip, proto: PROTO.UDP, port: SERVICE.emptyUdp, backends: [] },
		{ address: x.vip, proto: PROTO.UDP, port: SERVICE.vxlan, backends: [{ address: x.node2, port: 8472 }] },
		{ address: x.vip, proto: PROTO.SCTP, port: SERVICE.sctp, backends: [{ ...web, port: BACKEND_PORT.sctp }] },
		{ address: x.external, proto: PROTO.TCP, port: 80, external: true, backends: [web] },
		{ ...nodePort, port: NODE_PORT.web, backends: [web] },
		{ ...nodePort, port: NODE_PORT.tunnel, backends: [tunnel] },
		{ ...nodePort, port: NODE_PORT.localOnly, backends: [tunnel], flags: LOCAL_EXTERNAL | ANY_ENDPOINTS },
		{ ...nodePort, port: NODE_PORT.empty, backends: [] },
	];
}

export const SNAT = { min: 61000, max: 61003 } as const;

export const WORLD: WorldFixture = {
	ipv4: V4.node,
	ipv6: V6.node,
	podCidr4: '10.244.1.0/24',
	podCidr6: 'fd10:244:1::/64',
	serviceCidrs: ['10.96.0.0/16', 'fd96::/112'],
	clusterCidrs: ['10.244.0.0/16', 'fd10:244::/32'],
	nonMasqueradeCidrs: ['172.20.0.0/16', 'fd20::/64'],
	pods: [POD_A, POD_B, POD_NOT_READY],
	nodes: [
		{
			index: 2,
			ipv4: V4.node2,
			ipv6: V6.node2,
			podCidr4: '10.244.2.0/24',
			podCidr6: 'fd10:244:2::/64',
			routing: 'tunnel',
			mtu: 1450,
		},
		{
			index: 3,
			ipv4: V4.node3,
			ipv6: V6.node3,
			podCidr4: '10.244.3.0/24',
			podCidr6: 'fd10:244:3::/64',
			routing: 'direct',
			mtu: 1500,
		},
	],
	services: [...services(V4), ...services(V6)],
	config: { snat_port_min: SNAT.min, snat_port_max: SNAT.max, has_kern_ctx: 1, has_csum_ipv6: 1, has_coarse_time: 1 },
	mapSizes: { ct4: 4096, ct6: 4096, frags: 256, events: 1 << 18 },
};

/** A frame as the pod sends it to its gateway. */
export function podFrame(pod: PodFixture, ...layers: readonly Layer[]): Uint8Array {
	return build(eth({ src: pod.mac, dst: pod.hostMac }), ...layers);
}

/** A frame as it comes from the network. */
export function uplinkFrame(...layers: readonly Layer[]): Uint8Array {
	return build(eth({ src: GATEWAY_MAC, dst: UPLINK_MAC }), ...layers);
}

/** A conntrack entry with its key turned the way the flow was opened. */
export interface Flow {
	readonly client: { readonly address: string; readonly port: number };
	readonly server: { readonly address: string; readonly port: number };
	readonly flags: number;
	readonly entry: CtEntry;
}

function decodeFlow({ key, value }: Row): Flow {
	const v4 = key.length === Ct4Key.size ? Ct4Key.decode(key) : undefined;
	const entry = v4 ? widenEntry(Ct4Entry.decode(value)) : CtEntry.decode(value);
	const k = v4 ?? CtKey.decode(key);
	const text = (address: number | Uint8Array) => addressText(typeof address === 'number' ? u32(address) : address);
	const lo = { address: text(k.lo), port: k.loPort };
	const hi = { address: text(k.hi), port: k.hiPort };
	const initiatorIsHi = (entry.flags & CtFlags.INITIATOR_IS_HI) !== 0;
	return { client: initiatorIsHi ? hi : lo, server: initiatorIsHi ? lo : hi, flags: entry.flags, entry };
}

/** A node's dataplane and the hooks of this world. State is kept between calls; reset() forgets flows. */
export class TestNode {
	readonly dataplane: Dataplane;

	private constructor(dataplane: Dataplane) {
		this.dataplane = dataplane;
	}

	static async start(world: WorldFixture = WORLD, objects?: readonly string[]): Promise<TestNode> {
		return new TestNode(await Dataplane.start(world, objects));
	}

	/** What `pod` sends. */
	fromPod(pod: PodFixture, packet: Uint8Array, o: RunOptions = {}): Promise<RunResult> {
		return this.dataplane.run('from_pod', packet, { device: pod.device, ingressDevice: pod.device, ...o });
	}

	/** What the node's stack sends to `pod`. */
	toPod(pod: PodFixture, packet: Uint8Array, o: RunOptions = {}): Promise<RunResult> {
		return this.dataplane.run('to_pod', packet, { device: pod.device, ...o });
	}

	/** What comes from the network. */
	fromUplink(packet: Uint8Array, o: RunOptions = {}): Promise<RunResult> {
		return this.dataplane.run('from_uplink', packet, { device: 'uplink', ingressDevice: 'uplink', ...o });
	}

	/** What the node's processes send to a service. */
	fromHost(packet: Uint8Array, o: RunOptions = {}): Promise<RunResult> {
		return this.dataplane.run('from_host_device', packet, { device: 'fl_host', ingressDevice: 'fl_host', ...o });
	}

	/** Conntrack entries of both families. */
	async flows(): Promise<Flow[]> {
		const tables = ['ct4', 'ct6', 'ctfull4', 'ctfull6'].map((map) => this.dataplane.entries(map));
		return (await Promise.all(tables)).flat().map(decodeFlow);
	}

	/** Forgets flows, masquerade ports and fragments. Events stay; a test that counts them drains them first. */
	async reset(): Promise<void> {
		for (const map of ['ct4', 'ct6', 'ctfull4', 'ctfull6', 'frags']) {
			await this.dataplane.clear(map);
		}
	}

	close(): Promise<void> {
		return this.dataplane.close();
	}
}

/** Innermost IP header of a packet. */
export function ipOf(bytes: Uint8Array): { src: string; dst: string; ttl: number } {
	const parsed = parse(bytes);
	if (parsed.layers.some((l) => l.kind === 'ipv4')) {
		const v4 = layerOf(parsed, 'ipv4');
		return { src: v4.src, dst: v4.dst, ttl: v4.ttl ?? 0 };
	}
	const v6 = layerOf(parsed, 'ipv6');
	return { src: v6.src, dst: v6.dst, ttl: v6.hopLimit ?? 0 };
}

/** The packet was dropped, and counted once, for this reason and no other. */
export function expectDrop(sent: Uint8Array, got: RunResult, reason: number): void {
	const what = `expected a drop for ${DropReasonName(reason)}\n${explain(sent, got)}`;
	expect({ verdict: got.verdict, drops: got.drops }, what).toEqual({ verdict: VERDICT.DROP, drops: { [reason]: 1 } });
}

/** The packet went on with this verdict, nothing was counted, and its lengths and checksums fit. Returns it parsed. */
export function expectVerdict(sent: Uint8Array, got: RunResult, verdict: number): Parsed {
	const parsed = parse(got.packet);
	expect(
		{ verdict: got.verdict, drops: got.drops, problems: parsed.problems },
		`expected verdict ${verdict}\n${explain(sent, got)}`,
	).toEqual({ verdict, drops: {}, problems: [] });
	return parsed;
}

/** The packet was turned into an answer to its sender and counted for this reason. Returns the answer. */
export function expectAnswer(sent: Uint8Array, got: RunResult, reason: number | undefined): Parsed {
	const parsed = parse(got.packet);
	expect(
		{ verdict: got.verdict, drops: got.drops, problems: parsed.problems },
		`expected an answer\n${explain(sent, got)}`,
	).toEqual({ verdict: VERDICT.REDIRECT, drops: reason === undefined ? {} : { [reason]: 1 }, problems: [] });
	const before = parse(sent);
	expect(layerOf(parsed, 'eth'), format(got.packet)).toMatchObject({
		src: layerOf(before, 'eth').dst,
		dst: layerOf(before, 'eth').src,
	});
	return parsed;
}
