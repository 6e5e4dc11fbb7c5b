/** From a world fixture to the rows of every map. Written apart from agent/plan on purpose: it judges the programs alone. */
import {
	Backend,
	CidrKey,
	Endpoint,
	IpcacheEntry,
	IpcacheKey,
	Node,
	PeerRef,
	RuntimeState,
	SlotChunk,
	SvcEntry,
	SvcKey,
	Uplink,
	XdpNode,
} from '../../../native/abi/generated.ts';
import { netnsCookie } from '../../../native/index.ts';
import { address16, macBytes } from '../packet.ts';
import type { NodeFixture, PodFixture, Row, ServiceFixture, WorldFixture } from './types.ts';

/** Numbers of bpf/abi/peer.h, as a test's reader would write them. */
export const PEER = { UNKNOWN: 0, LOCAL_POD: 1, REMOTE_POD: 2, HOST: 3, REMOTE_NODE: 4, WORLD: 5, NATIVE: 6 } as const;
export const SCOPE = { CLUSTER: 0, EXTERNAL: 1 } as const;
const SLOTS_PER_CHUNK = 16;
const ADDRESS_ONLY = 1;
/** SVC_FLAG_LOCAL_INTERNAL and SVC_FLAG_LOCAL_EXTERNAL. */
const LOCAL_POLICIES = 2 | 4;
/** BACKEND_FLAG_LIVE and BACKEND_FLAG_SERVING. */
const BACKEND_GOOD = 1 | 8;
const ENDPOINT_READY = 1;
const NEW_STATE = RuntimeState.decode(new Uint8Array(RuntimeState.size));
const MAGLEV = 16;
/** Link address of a node's next hop: its index is the last byte. */
export const NODE_MAC = '02:00:00:00:60:';
const XDP_SECONDS = 3600;

export type Rows = Record<string, Row[]>;
export type Ifindexes = Readonly<Record<string, number>>;

/** Little-endian key of an ARRAY map. */
export function indexKey(index: number): Uint8Array {
	const key = new Uint8Array(4);
	new DataView(key.buffer).setUint32(0, index, true);
	return key;
}

export function ifindexOf(devices: Ifindexes, device: string): number {
	const found = devices[device];
	if (found === undefined) {
		throw new Error(`the world has no device ${device}: ${Object.keys(devices).join(' ')}`);
	}
	return found;
}

const rotl = (w: number, n: number): number => ((w << n) | (w >>> (32 - n))) >>> 0;

/** Bit number of an address in vip_filter. */
export function filterBit(address: string): number {
	const view = new DataView(address16(address).buffer);
	const [w0, w1, w2, w3] = [0, 4, 8, 12].map((at) => view.getUint32(at, true)) as [number, number, number, number];
	const h = (w0 ^ rotl(w1, 8) ^ rotl(w2, 16) ^ rotl(w3, 24)) >>> 0;
	return Math.imul(h, 0x9e3779b1) >>> 16;
}

function peerValue(kind: number, index: number, gen: number, identity: number): Uint8Array {
	return IpcacheEntry.encode({ peer: { index, gen, kind }, identity });
}

function exact(address: string, value: Uint8Array): Row {
	return { key: IpcacheKey.encode({ addr: address16(address) }), value };
}

function prefix(cidr: string, value: Uint8Array): Row {
	const [address = '', length = ''] = cidr.split('/');
	const prefixLen = Number(length) + (address.includes(':') ? 0 : 96);
	return { key: CidrKey.encode({ prefixLen, addr: address16(address) }), value };
}

function podRows(pod: PodFixture, devices: Ifindexes): { endpoint: Row; iface: Row; ipcache: Row[] } {
	const gen = pod.gen ?? 1;
	const identity = pod.identity ?? 256 + pod.index;
	const addresses = [pod.ipv4, pod.ipv6].filter((a) => a !== undefined);
	const value = Endpoint.encode({
		ifindex: ifindexOf(devices, pod.device),
		gen,
		flags: pod.flags ?? ENDPOINT_READY,
		mac: macBytes(pod.mac),
		hostMac: macBytes(pod.hostMac),
		policyGen: 0,
		identity,
		identity6: identity,
		policySet: 0,
		addr4: pod.ipv4 ? address16(pod.ipv4) : new Uint8Array(16),
		addr6: pod.ipv6 ? address16(pod.ipv6) : new Uint8Array(16),
	});
	return {
		endpoint: { key: indexKey(pod.index), value },
		iface: {
			key: indexKey(ifindexOf(devices, pod.device)),
			value: PeerRef.encode({ index: pod.index, gen, kind: PEER.LOCAL_POD }),
		},
		ipcache: addresses.map((a) => exact(a, peerValue(PEER.LOCAL_POD, pod.index, gen, identity))),
	};
}

function nodeRows(node: NodeFixture, devices: Ifindexes): { node: Row; ipcache: Row[]; cidrs: Row[] } {
	const gen = node.gen ?? 1;
	const tunnel = node.routing === 'tunnel';
	const value = Node.encode({
		tunnel: address16(node.ipv4),
		nexthop6: address16(node.nexthop6 ?? node.ipv6),
		nexthop4: new DataView(address16(node.nexthop4 ?? node.ipv4).buffer).getUint32(12),
		ifindex: ifindexOf(devices, tunnel ? 'overlay' : 'uplink'),
		mtu: node.mtu,
		gen,
		flags: tunnel ? 1 : 2,
		identity: 6,
	});
	const self = peerValue(PEER.REMOTE_NODE, node.index, gen, 6);
	const pods = peerValue(PEER.REMOTE_POD, node.index, gen, 15);
	return {
		node: { key: indexKey(node.index), value },
		ipcache: [exact(node.ipv4, self), exact(node.ipv6, self)],
		cidrs: [prefix(node.podCidr4, pods), prefix(node.podCidr6, pods)],
	};
}

/** Allocates backend indexes and slot extents in turn. */
class ServiceRows {
	readonly services: Row[] = [];
	readonly backends: Row[] = [];
	readonly #slots = new Map<number, number[]>();
	readonly #filter = new Map<number, bigint>();
	readonly #addresses = new Set<string>();
	#nextChunk = 0;
	#nextBackend = 1;
	#nextId = 1;
	readonly #peerOf: (address: string) => PeerRef;

	/** @param peerOf  who has the address of a backend */
	constructor(peerOf: (address: string) => PeerRef = () => ({ index: 0, gen: 0, kind: PEER.UNKNOWN })) {
		this.#peerOf = peerOf;
	}

	/** Adds one service port; its id is the order of addition, from 1. */
	add(service: ServiceFixture): void {
		const indexes = service.backends.map((b) => {
			const index = this.#nextBackend++;
			this.backends.push({
				key: indexKey(index),
				value: Backend.encode({
					addr: address16(b.address),
					port: b.port,
					proto: service.proto,
					flags: b.flags ?? BACKEND_GOOD,
					generation: 1,
					peer: this.#peerOf(b.address),
					svcId: this.#nextId,
				}),
			});
			return index;
		});
		const usesLocal = service.listsLocal === true || ((service.flags ?? 0) & LOCAL_POLICIES) !== 0;
		const local = usesLocal ? indexes.filter((_, i) => service.backends[i]?.local) : [];
		const [all, previous] = [service.table, service.previous].map((table) => table?.map((at) => indexes[at] ?? 0));
		const id = this.#nextId++;
		this.services.push({
			key: SvcKey.encode({
				addr: address16(service.address),
				port: service.port,
				proto: service.proto,
				scope: service.external ? SCOPE.EXTERNAL : SCOPE.CLUSTER,
			}),
			value: SvcEntry.encode({
				id,
				generation: 1,
				flags: (service.flags ?? 0) | (all ? MAGLEV : 0),
				allBase: this.#extent(all ?? indexes),
				allCount: (all ?? indexes).length,
				localBase: this.#extent(local),
				localCount: local.length,
				prevBase: this.#extent(previous ?? []),
				prevCount: previous?.length ?? 0,
				affinityTimeoutS: service.affinityTimeoutS ?? 0,
				sourceSet: service.sourceSet ?? 0,
				transition: 0,
			}),
		});
		if (service.nodeAddress !== true) this.#setFilter(service.address);
		if (!service.nodeAddress) this.#addAddress(service.address);
	}

	#setFilter(address: string): void {
		const bit = filterBit(address);
		this.#filter.set(bit >> 6, (this.#filter.get(bit >> 6) ?? 0n) | (1n << BigInt(bit & 63)));
	}

	#addAddress(address: string): void {
		if (this.#addresses.has(address)) {
			return;
		}
		this.#addresses.add(address);
		const none = { allBase: 0, allCount: 0, localBase: 0, localCount: 0, prevBase: 0, prevCount: 0 };
		this.services.push({
			key: SvcKey.encode({ addr: address16(address), port: 0, proto: 0, scope: 0 }),
			value: SvcEntry.encode({
				id: 0,
				generation: 0,
				flags: ADDRESS_ONLY,
				...none,
				affinityTimeoutS: 0,
				sourceSet: 0,
				transition: 0,
			}),
		});
	}

	#extent(indexes: readonly number[]): number {
		if (indexes.length === 0) {
			return 0;
		}
		const base = this.#nextChunk * SLOTS_PER_CHUNK;
		for (let at = 0; at < indexes.length; at += SLOTS_PER_CHUNK) {
			this.#slots.set(this.#nextChunk++, indexes.slice(at, at + SLOTS_PER_CHUNK));
		}
		return base;
	}

	rows(): Rows {
		return {
			backends: this.backends,
			slots: [...this.#slots].map(([chunk, indexes]) => ({
				key: indexKey(chunk),
				value: SlotChunk.encode({ backend: Array.from({ length: SLOTS_PER_CHUNK }, (_, i) => indexes[i] ?? 0) }),
			})),
			services: this.services,
			vip_filter: [...this.#filter].map(([element, bits]) => {
				const value = new Uint8Array(8);
				new DataView(value.buffer).setBigUint64(0, bits, true);
				return { key: indexKey(element), value };
			}),
		};
	}
}

/** Rows of services alone, by map. */
export function serviceRows(services: readonly ServiceFixture[], peerOf?: (address: string) => PeerRef): Rows {
	const rows = new ServiceRows(peerOf);
	for (const service of services) {
		rows.add(service);
	}
	return rows.rows();
}

/** The owner of an address in a world, as backends name it. */
function peerIn(world: WorldFixture): (address: string) => PeerRef {
	const pods = new Map(world.pods.flatMap((pod) => [pod.ipv4, pod.ipv6].map((address) => [address, pod] as const)));
	const nets = world.nodes.flatMap((node) =>
		[node.podCidr4, node.podCidr6].map((cidr) => ({ ...prefixBytes(cidr), node })),
	);
	return (address) => {
		const pod = pods.get(address);
		if (pod) return { index: pod.index, gen: pod.gen ?? 1, kind: PEER.LOCAL_POD };
		const bytes = address16(address);
		const net = nets.find(({ net, mask }) => net.every((byte, i) => byte === ((bytes[i] ?? 0) & (mask[i] ?? 0))));
		if (net) return { index: net.node.index, gen: net.node.gen ?? 1, kind: PEER.REMOTE_POD };
		const node = world.nodes.find((each) => each.ipv4 === address || each.ipv6 === address);
		return node
			? { index: node.index, gen: node.gen ?? 1, kind: PEER.REMOTE_NODE }
			: { index: 0, gen: 0, kind: PEER.UNKNOWN };
	};
}

/** Bits of the map inside: nodes, and the networks of other nodes' pods, which are /24 and /64 here. */
function insideRows(world: WorldFixture): Row[] {
	const networks = world.nodes.flatMap((n) => [n.podCidr4, n.podCidr6].map((cidr) => cidr.split('/')[0] ?? ''));
	const addresses = [world.ipv4, world.ipv6, ...world.nodes.flatMap((n) => [n.ipv4, n.ipv6]), ...networks];
	return bitRows(addresses.map(filterBit));
}

function bitRows(bits: readonly number[]): Row[] {
	const words = new Map<number, bigint>();
	for (const bit of bits) words.set(bit >> 6, (words.get(bit >> 6) ?? 0n) | (1n << BigInt(bit & 63)));
	return [...words].map(([element, word]) => {
		const value = new Uint8Array(8);
		new DataView(value.buffer).setBigUint64(0, word, true);
		return { key: indexKey(element), value };
	});
}

/** Bits of the map ports: TCP first, then UDP. */
function portRows(services: readonly ServiceFixture[]): Row[] {
	return bitRows(
		services.flatMap(({ port, proto, nodeAddress }) => {
			if (!nodeAddress || (proto !== 6 && proto !== 17)) return [];
			return [port + (proto === 17 ? 65_536 : 0)];
		}),
	);
}

/**
 * Rows of xdp_nodes: every node is behind the loopback device, on which test runs happen, and speaks `family` outside.
 * @param now  jiffies
 */
export function xdpNodeRows(world: WorldFixture, now: number, family: 4 | 6 = 4, ifindex = 1): Row[] {
	const hz = Number(world.config?.hz ?? 250);
	return world.nodes.map((node) => ({
		key: indexKey(node.index),
		value: XdpNode.encode({
			tunnel: address16(family === 4 ? node.ipv4 : node.ipv6),
			source: address16(family === 4 ? world.ipv4 : world.ipv6),
			dstMac: macBytes(`${NODE_MAC}0${node.index}`),
			mtu: world.uplinkMtu ?? 1500,
			srcMac: macBytes('02:00:00:00:50:01'),
			gen: node.gen ?? 1,
			direct: node.routing === 'direct' ? 1 : 0,
			ifindex,
			deadline: (now + XDP_SECONDS * hz) >>> 0,
		}),
	}));
}

/** Rows of a whole world, by map name without fl_ and _1. */
export function worldRows(world: WorldFixture, devices: Ifindexes): Rows {
	const host = peerValue(PEER.HOST, 0, 0, 1);
	const unknown = peerValue(PEER.UNKNOWN, 0, 0, 0);
	const unknownPod = peerValue(PEER.UNKNOWN, 0, 0, 15);
	const native = peerValue(PEER.NATIVE, 0, 0, 2);
	const pods = world.pods.map((pod) => podRows(pod, devices));
	const nodes = world.nodes.map((node) => nodeRows(node, devices));
	const external = world.services.filter((s) => s.nodeAddress).length;
	return {
		...serviceRows(world.services, peerIn(world)),
		ports: portRows(world.services),
		inside: insideRows(world),
		endpoints: pods.map((p) => p.endpoint),
		ifaces: pods.map((p) => p.iface),
		nodes: nodes.map((n) => n.node),
		ipcache: [
			exact(world.ipv4, host),
			exact(world.ipv6, host),
			...(world.moreUplinks ?? []).flatMap(({ ipv4, ipv6 }) => [exact(ipv4, host), exact(ipv6, host)]),
			...pods.flatMap((p) => p.ipcache),
			...nodes.flatMap((n) => n.ipcache),
		],
		cidrs: [
			...world.serviceCidrs.map((c) => prefix(c, unknown)),
			...world.clusterCidrs.map((c) => prefix(c, unknownPod)),
			...world.nonMasqueradeCidrs.map((c) => prefix(c, native)),
			prefix(world.podCidr4, unknownPod),
			prefix(world.podCidr6, unknownPod),
			...nodes.flatMap((n) => n.cidrs),
		],
		uplinks: (world.moreUplinks ?? []).map(({ device, mtu, ipv4, ipv6 }, at) => ({
			key: indexKey(at + 1),
			value: Uplink.encode({
				ifindex: ifindexOf(devices, device),
				mtu,
				addr4: address16(ipv4),
				addr6: address16(ipv6),
			}),
		})),
		runtime: [{ key: indexKey(0), value: RuntimeState.encode({ ...NEW_STATE, externalPorts: external }) }],
	};
}

function prefixBytes(cidr: string): { net: Uint8Array; mask: Uint8Array } {
	const [address = '', length = ''] = cidr.split('/');
	const bits = Number(length) + (address.includes(':') ? 0 : 96);
	const mask = Uint8Array.from({ length: 16 }, (_, i) => (0xff00 >> Math.min(8, Math.max(0, bits - i * 8))) & 255);
	const net = address16(address).map((byte, i) => byte & (mask[i] ?? 0));
	return { net, mask };
}

/** .rodata constants that follow from a world; a test's own win. Numbers are little endian in the width of the variable. */
export function worldConfig(world: WorldFixture, devices: Ifindexes): Readonly<Record<string, number | Uint8Array>> {
	const net4 = prefixBytes(world.podCidr4);
	const net6 = prefixBytes(world.podCidr6);
	const own = Object.entries(world.config ?? {}).map(([name, v]) => [
		name,
		typeof v === 'string' ? (/^([0-9a-f]{2}:){5}/.test(v) ? macBytes(v) : address16(v)) : v,
	]);
	return {
		uplink_ifindex: ifindexOf(devices, 'uplink'),
		overlay_ifindex: ifindexOf(devices, 'overlay'),
		host_ifindex: ifindexOf(devices, 'fl_host'),
		vni: 1,
		vxlan_port: 8472,
		snat_port_min: 61000,
		snat_port_max: 61255,
		pod_mtu: 1450,
		uplink_mtu: world.uplinkMtu ?? 1500,
		uplink_rows: world.moreUplinks?.length ?? 0,
		node_addr4: address16(world.ipv4),
		node_addr6: address16(world.ipv6),
		pod_net4: net4.net,
		pod_mask4: net4.mask,
		pod_net6: net6.net,
		pod_mask6: net6.mask,
		overlay_mac: macBytes('02:fa:00:00:00:01'),
		host_mac: macBytes('02:fa:00:00:00:02'),
		events: 1,
		masquerade4: 1,
		masquerade6: 1,
		sock_lb: 1,
		has_set_retval: 1,
		hz: 250,
		host_netns: cookieBytes(netnsCookie()),
		event_rate: 1_000_000,
		...Object.fromEntries(own),
	};
}

function cookieBytes(cookie: bigint): Uint8Array {
	const bytes = new Uint8Array(8);
	new DataView(bytes.buffer).setBigUint64(0, cookie, true);
	return bytes;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
	return new Uint8Array(Buffer.concat(parts));
}

/** Joins rows to the flat arrays that batch operations take. */
export function flat(rows: readonly Row[]): { keys: Uint8Array; values: Uint8Array } {
	return { keys: joined(rows.map((r) => r.key)), values: joined(rows.map((r) => r.value)) };
}
