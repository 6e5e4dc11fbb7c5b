/** The services, packets and expectations of the tests of north-south load balancing. */
import { expect } from 'vitest';
import type { RunResult, ServiceFixture, WorldFixture } from '../lib/dataplane.ts';
import { explain } from '../lib/dataplane.ts';
import { type FlowTuple, flowSlot } from '../lib/flow-hash.ts';
import type { Layer, Parsed } from '../lib/packet.ts';
import { ip, layerOf, parse, raw, sctp, tcp, udp } from '../lib/packet.ts';
import { type Addresses, BACKEND_PORT, PROTO, uplinkFrame, V4, V6, WORLD } from './world.ts';

/** The tag of a packet that nodes have sent on, which did not know its flow (enum dsr_tag_bits). */
export const sentOn = (tag: number, times: 'once' | 'twice'): number =>
	0x8000 | (times === 'once' ? 0x4000 : 0) | (tag & 0x3fff);

/** XDP's verdicts. */
export const XDP = { DROP: 1, PASS: 2, TX: 3, REDIRECT: 4 } as const;
/** cfg_north_south */
export const MODE = { snat: 0, ipip: 1, vxlan: 2, serverIpip: 3, serverLink: 4 } as const;

/** Slots of every table here. */
export const TABLE = 31;
/** Positions of the backends of `web`. */
export const AT = { local: 0, node2: 1, node3: 2 } as const;
const spread = Array.from({ length: TABLE }, (_, slot) => slot % 3);

/** Ports of the services at the external address. */
export const PORT = {
	/** Backends on this node and two others. */
	web: 8000,
	dns: 8053,
	/** externalTrafficPolicy: Local */
	local: 8001,
	/** sessionAffinity: ClientIP */
	affinity: 8002,
	/** Random instead of a table. */
	random: 8003,
	/** Changing from `before` to `now`. */
	changing: 8004,
	changingUdp: 8005,
	/** As changing, but what moves to node 3 comes from this node. */
	moving: 8007,
	/** As moving, after another change: nothing new comes to this node any more. */
	leaving: 8009,
	/** As web, but no table names the backend of this node, which waits for its place. */
	waiting: 8010,
	/** Backend is the other node itself. */
	nodeBackend: 8006,
	/** As web, over SCTP. */
	sctp: 8008,
} as const;
export const NODE_PORT = 30090;
/** More ports of the node's address; the same at all nodes. */
export const NODE_PORTS = {
	/** As PORT.web, dns and changing. */
	web: 30091,
	dns: 30092,
	changing: 30093,
	/** As web, over SCTP. */
	sctp: 30094,
	/** As web, but other nodes may not have it. */
	tracked: 30095,
	nodeBackend: 30096,
} as const;
const LOCAL_EXTERNAL = 4;
const AFFINITY = 8;
const TRACKED = 256;

/** Slots that are node 2's before a change and node 3's after it; the others stay with node 2. */
export const isMoved = (slot: number): boolean => slot % 2 === 1;
export const BEFORE = Array.from({ length: TABLE }, () => 0);
export const NOW = Array.from({ length: TABLE }, (_, slot) => (isMoved(slot) ? 1 : 0));

function services(x: Addresses): ServiceFixture[] {
	const at = { address: x.external, external: true } as const;
	const atNode = { address: x.node, nodeAddress: true } as const;
	const three = (port: number) => [
		{ address: x.b, port, local: true },
		{ address: x.pod2, port },
		{ address: x.pod3, port },
	];
	const web = { ...at, proto: PROTO.TCP, backends: three(BACKEND_PORT.web), table: spread };
	const two = three(BACKEND_PORT.web).slice(1);
	const node = [{ address: x.node2, port: BACKEND_PORT.web }];
	return [
		{ ...web, port: PORT.web },
		{ ...web, port: PORT.dns, proto: PROTO.UDP, backends: three(BACKEND_PORT.dns) },
		{ ...web, port: PORT.local, flags: LOCAL_EXTERNAL },
		{ ...web, port: PORT.affinity, flags: AFFINITY },
		{ ...at, proto: PROTO.TCP, port: PORT.random, backends: two },
		{ ...web, port: PORT.changing, backends: two, table: NOW, previous: BEFORE },
		{ ...web, proto: PROTO.UDP, port: PORT.changingUdp, backends: two, table: NOW, previous: BEFORE },
		{
			...web,
			port: PORT.moving,
			backends: [three(BACKEND_PORT.web)[0], two[1]].flatMap((b) => b ?? []),
			table: NOW,
			previous: BEFORE,
		},
		{
			...web,
			port: PORT.leaving,
			backends: [three(BACKEND_PORT.web)[0], two[1]].flatMap((b) => b ?? []),
			table: BEFORE.map(() => 1),
			previous: NOW,
		},
		{ ...web, port: PORT.waiting, table: BEFORE.map(() => AT.node2), listsLocal: true },
		{ ...web, port: PORT.nodeBackend, backends: node, table: BEFORE },
		{ ...web, port: PORT.sctp, proto: PROTO.SCTP },
		{ ...web, ...atNode, port: NODE_PORT, backends: two, table: BEFORE },
		{ ...web, ...atNode, port: NODE_PORTS.web },
		{ ...web, ...atNode, port: NODE_PORTS.dns, proto: PROTO.UDP, backends: three(BACKEND_PORT.dns) },
		{ ...web, ...atNode, port: NODE_PORTS.changing, backends: two, table: NOW, previous: BEFORE },
		{ ...web, ...atNode, port: NODE_PORTS.sctp, proto: PROTO.SCTP },
		{ ...web, ...atNode, port: NODE_PORTS.tracked, flags: TRACKED },
		{ ...web, ...atNode, port: NODE_PORTS.nodeBackend, backends: node, table: BEFORE },
	];
}

/** @param mode  one of MODE */
export function xdpWorld(mode: number, over: Partial<WorldFixture> = {}): WorldFixture {
	return {
		...WORLD,
		services: [...services(V4), ...services(V6)],
		config: { ...WORLD.config, north_south: mode },
		mapSizes: { ...WORLD.mapSizes, dsr_flows: 1024 },
		...over,
	};
}

export interface Datagram {
	readonly proto: 'tcp' | 'udp' | 'sctp';
	readonly dport: number;
	readonly sport: number;
	readonly flags?: string;
	readonly ttl?: number;
	readonly tos?: number;
	readonly payload?: number;
	readonly src?: string;
	readonly dst?: string;
}

const L4 = {
	tcp: (sport: number, dport: number, flags: string): Layer => tcp({ sport, dport, flags, seq: 7, ack: 9 }),
	udp: (sport: number, dport: number): Layer => udp({ sport, dport }),
	sctp: (sport: number, dport: number): Layer => sctp({ sport, dport }),
} as const;

/** Layers of a packet from the outside client. */
export function datagram(x: Addresses, o: Datagram): Layer[] {
	const { proto, dport, sport } = o;
	const options = {
		df: true,
		...(o.ttl === undefined ? {} : { ttl: o.ttl }),
		...(o.tos === undefined ? {} : { tos: o.tos }),
	};
	return [
		ip(o.src ?? x.world, o.dst ?? x.external, options),
		L4[proto](sport, dport, o.flags ?? 'A'),
		...(o.payload === 0 ? [] : [raw(new Uint8Array(o.payload ?? 32).fill(0x5a))]),
	];
}

export const fromClient = (x: Addresses, o: Datagram): Uint8Array => uplinkFrame(...datagram(x, o));

export function tupleOf(x: Addresses, o: Datagram): FlowTuple {
	const { sport, dport } = o;
	return {
		src: o.src ?? x.world,
		dst: o.dst ?? x.external,
		sport,
		dport,
		proto: { tcp: 6, udp: 17, sctp: 132 }[o.proto],
	};
}

/** A source port whose flow falls into a slot that is wanted. */
export function sportFor(
	x: Addresses,
	o: Omit<Datagram, 'sport'>,
	wanted: (slot: number) => boolean,
	from = 20_000,
): number {
	for (let sport = from; sport < 65_536; sport++) {
		if (wanted(flowSlot(tupleOf(x, { ...o, sport }), TABLE))) return sport;
	}
	throw new Error('no source port falls into a wanted slot');
}

/** A source port whose flow belongs to this backend of `web` or `dns`. */
export const sportOf = (x: Addresses, o: Omit<Datagram, 'sport'>, position: number): number =>
	sportFor(x, o, (slot) => slot % 3 === position);

/** The packet came out as it was, for tc to judge. */
export function expectPassed(sent: Uint8Array, got: RunResult): void {
	expect({ verdict: got.verdict, packet: got.packet, drops: got.drops }, explain(sent, got)).toEqual({
		verdict: XDP.PASS,
		packet: sent,
		drops: {},
	});
}

/** The packet left with this verdict, and its lengths and checksums fit. Returns it parsed. */
export function expectSent(sent: Uint8Array, got: RunResult, verdict: number = XDP.TX): Parsed {
	const parsed = parse(got.packet);
	expect(
		{ verdict: got.verdict, drops: got.drops, problems: parsed.problems },
		`expected verdict ${verdict}\n${explain(sent, got)}`,
	).toEqual({ verdict, drops: {}, problems: [] });
	return parsed;
}

/** Source and destination of the n-th IP header, from outside. */
export function addressesOf(parsed: Parsed, n: number): { src: string; dst: string; ttl: number } {
	const header = parsed.layers.filter((layer) => layer.kind === 'ipv4' || layer.kind === 'ipv6').at(n);
	if (!header) throw new Error(`packet has no IP header ${n}: ${parsed.layers.map((l) => l.kind).join(' ')}`);
	const ttl = (header.kind === 'ipv4' ? header.ttl : header.hopLimit) ?? 0;
	return { src: header.src, dst: header.dst, ttl };
}

export const headersOf = (parsed: Parsed): number =>
	parsed.layers.filter((layer) => layer.kind === 'ipv4' || layer.kind === 'ipv6').length;

export const macsOf = (parsed: Parsed): { src: string; dst: string } => layerOf(parsed, 'eth');
