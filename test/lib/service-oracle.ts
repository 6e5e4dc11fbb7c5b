/**
 * Walks the first packet of a connection through the maps as they are and says what must become of it. Written from the
 * semantics of services and the description of the maps in bpf/abi, not from the programs, which are held against it.
 */
import { addressOfBytes, cidrContains, familyOf } from '../../agent/model/address.ts';
import type { PeerRef, SvcEntry } from '../../native/abi/generated.ts';
import { BackendFlags, PeerKind, SvcFlags, SvcScope } from '../../native/abi/generated.ts';
import { flowSlot } from './flow-hash.ts';
import type { ServiceMaps } from './service-oracle-maps.ts';
import type { Answer, Outcome, Place, Probe } from './service-oracle-probe.ts';
import { answered, PROTOCOLS, rejectionOf } from './service-oracle-probe.ts';

export interface SimulatedNode {
	/** The addresses the node speaks with, at most one per family. */
	readonly addresses: readonly string[];
	readonly podCidrs: readonly string[];
}

export interface SimulationOptions {
	/** Jiffies, for the age of affinity rows. */
	readonly now?: number;
	readonly hz?: number;
	/** Direct server return, for a packet from this port: hash and tables alone say which backend it is. */
	readonly directReturnFrom?: number;
}

/** @throws when the maps contradict themselves in a way that no packet must meet */
export function simulate(maps: ServiceMaps, node: SimulatedNode, probe: Probe, o: SimulationOptions = {}): Outcome {
	if (isSpoofed(maps, node, probe)) return { kind: 'dropped', why: 'spoofed source' };
	const entry = findEntry(maps, node, probe);
	if (entry === undefined) return withoutEntry(maps, node, probe);
	if (entry.sourceSet !== 0 && !maps.inSources(entry.sourceSet, probe.client.address)) {
		return { kind: 'dropped', why: 'source not allowed' };
	}
	const localFlag = probe.client.kind === 'outside' ? SvcFlags.LOCAL_EXTERNAL : SvcFlags.LOCAL_INTERNAL;
	const local = (entry.flags & localFlag) !== 0;
	const list = local ? maps.slots(entry.localBase, entry.localCount) : maps.slots(entry.allBase, entry.allCount);
	if (list.length === 0) {
		return local && (entry.flags & SvcFlags.ANY_ENDPOINTS) !== 0
			? { kind: 'dropped', why: 'no local endpoint' }
			: { kind: 'rejected', why: 'no endpoint', by: rejectionOf(probe) };
	}
	const unique = [...new Set(list)];
	for (const index of unique) checkRow(maps, entry, index, local);
	const direct = directAnswer(maps, node, entry, probe, o);
	if (direct !== undefined) return answered([direct]);
	const sticky = stickyBackend(maps, entry, probe, local, o);
	const chosen = sticky === undefined ? unique : [sticky];
	return answered(chosen.map((index) => answerOf(maps, node, probe, index)));
}

/** Nobody outside is this node, one of its pods or a cluster address of a service. */
function isSpoofed(maps: ServiceMaps, node: SimulatedNode, { client }: Probe): boolean {
	if (client.kind !== 'outside') return false;
	return (
		node.addresses.includes(client.address) ||
		node.podCidrs.some((cidr) => cidrContains(cidr, client.address)) ||
		maps.service(client.address, 0, 0, 0) !== undefined
	);
}

/** Packets to the node itself are not asked about as long as nothing is served there; others only after the filter. */
function isLookedUp(maps: ServiceMaps, node: SimulatedNode, address: string): boolean {
	return node.addresses.includes(address) ? maps.externalPorts > 0 : maps.mayBeService(address);
}

/** Inside clients mean the cluster address, outside ones the external one, where one address and port is both. */
function findEntry(maps: ServiceMaps, node: SimulatedNode, { client, address, port, protocol }: Probe) {
	if (!isLookedUp(maps, node, address)) return undefined;
	const scopes = [SvcScope.CLUSTER, SvcScope.EXTERNAL];
	if (client.kind === 'outside') scopes.reverse();
	for (const scope of scopes) {
		const entry = maps.service(address, port, PROTOCOLS[protocol], scope);
		if (entry !== undefined && (entry.flags & SvcFlags.ADDRESS_ONLY) === 0) return entry;
	}
	return undefined;
}

function withoutEntry(maps: ServiceMaps, node: SimulatedNode, probe: Probe): Outcome {
	const { address } = probe;
	if (isLookedUp(maps, node, address) && maps.service(address, 0, 0, 0) !== undefined) {
		return { kind: 'rejected', why: 'undefined port', by: rejectionOf(probe) };
	}
	return maps.peerOf(address).kind === PeerKind.UNKNOWN
		? { kind: 'dropped', why: 'unassigned address' }
		: { kind: 'not a service' };
}

/** Services whose packets the same table and hash give to the same backend on every node: decisions 0013 and 0032. */
const STATEFUL =
	SvcFlags.ADDRESS_ONLY | SvcFlags.LOCAL_EXTERNAL | SvcFlags.AFFINITY | SvcFlags.HOST_PORT | SvcFlags.TRACKED;

/**
 * The backend that direct server return gives the first packet of a flow: with TCP where new flows go, else where flows of before may live, while a
 * set changes. Pods of other nodes get the packet as it is. Who is no pod gets flows by connection tracking only, so that a new one goes where
 * new ones go.
 * @returns undefined = the packet takes the way of all services
 */
function directAnswer(
	maps: ServiceMaps,
	node: SimulatedNode,
	entry: SvcEntry,
	probe: Probe,
	{ directReturnFrom: sport }: SimulationOptions,
): Answer | undefined {
	const { client, address, port, protocol } = probe;
	if (sport === undefined || client.kind !== 'outside') return undefined;
	if (maps.service(address, port, PROTOCOLS[protocol], SvcScope.EXTERNAL) !== entry || entry.sourceSet !== 0)
		return undefined;
	if ((entry.flags & SvcFlags.MAGLEV) === 0 || (entry.flags & STATEFUL) !== 0) return undefined;
	// The cluster's own clients of a NodePort would get packets of their own back from another node.
	const { kind } = maps.peerOf(client.address);
	if (node.addresses.includes(address) && kind !== PeerKind.WORLD && kind !== PeerKind.NATIVE) return undefined;
	const flow = { src: client.address, dst: address, sport, dport: port, proto: PROTOCOLS[protocol] };
	const choose = (base: number, count: number) => maps.slots(base, count)[flowSlot(flow, count)] ?? 0;
	const now = choose(entry.allBase, entry.allCount);
	const before = entry.prevCount === 0 || protocol === 'TCP' ? 0 : choose(entry.prevBase, entry.prevCount);
	const stays = before !== 0 && (maps.backend(before).flags & BackendFlags.SERVING) !== 0;
	const chosen = answerOf(maps, node, probe, stays ? before : now);
	const peer = maps.peerOf(chosen.address);
	if (peer.kind === PeerKind.LOCAL_POD) return chosen;
	if (peer.kind !== PeerKind.REMOTE_POD || chosen.place === 'nowhere') return answerOf(maps, node, probe, now);
	return { ...chosen, source: client.address, envelopeTo: maps.tunnelOf(peer) };
}

/** What holds for every slot that a packet can meet. */
function checkRow(maps: ServiceMaps, entry: SvcEntry, index: number, local: boolean): void {
	const row = maps.backend(index);
	const wanted = BackendFlags.SERVING | (local ? BackendFlags.LOCAL : BackendFlags.LIVE);
	const name = `${addressOfBytes(row.addr)} port ${row.port}`;
	if (row.svcId !== entry.id) throw new Error(`slot of service ${entry.id} names row ${index} of ${row.svcId}`);
	if ((row.flags & wanted) !== wanted) throw new Error(`row ${index} (${name}) is listed with flags ${row.flags}`);
	const real = maps.peerOf(addressOfBytes(row.addr));
	const hint = row.peer;
	if (hint.kind === PeerKind.UNKNOWN || !maps.isAlive(hint)) return;
	if (hint.kind !== real.kind || hint.index !== real.index) {
		throw new Error(`row ${index} (${name}) is said to be of kind ${hint.kind} at ${hint.index}, and is ${real.kind}`);
	}
}

/**
 * The backend of an earlier connection: still wanted on this path, the same row as then, and not too long ago. It need not
 * be in the very list: where the lists of ClusterIPs and external addresses differ, either is good enough.
 */
function stickyBackend(
	maps: ServiceMaps,
	entry: SvcEntry,
	{ client }: Probe,
	local: boolean,
	{ now = 0, hz = 250 }: SimulationOptions,
): number | undefined {
	if ((entry.flags & SvcFlags.AFFINITY) === 0) return undefined;
	const row = maps.affinity(client.address, entry.id);
	if (row === undefined) return undefined;
	const { flags, generation } = maps.backend(row.backend);
	const wanted = local ? BackendFlags.LOCAL : BackendFlags.LIVE;
	if (generation !== row.generation || (flags & wanted) === 0) return undefined;
	const idleS = ((now - row.lastUsed) >>> 0) / hz;
	return idleS > entry.affinityTimeoutS ? undefined : row.backend;
}

function placeOf(maps: ServiceMaps, peer: PeerRef): Place {
	if (!maps.isAlive(peer)) return 'nowhere';
	switch (peer.kind) {
		case PeerKind.LOCAL_POD:
			return 'local pod';
		case PeerKind.HOST:
			return 'this node';
		case PeerKind.REMOTE_POD:
		case PeerKind.REMOTE_NODE:
			return 'other node';
		case PeerKind.UNKNOWN:
			return 'nowhere';
		default:
			return 'outside';
	}
}

function answerOf(maps: ServiceMaps, node: SimulatedNode, probe: Probe, index: number): Answer {
	const row = maps.backend(index);
	const address = addressOfBytes(row.addr);
	const peer = maps.peerOf(address);
	const place = placeOf(maps, peer);
	if (place === 'nowhere') return { address, port: row.port, place, source: '' };
	const own = node.addresses.find((a) => familyOf(a) === familyOf(address)) ?? '';
	// Both ends have the node's address: the answer is only seen here if it goes to the service's.
	if (probe.client.kind === 'node' && probe.path === 'packet' && place === 'this node') {
		return { address, port: row.port, place, source: probe.address };
	}
	const source = needsNodeAddress(probe, place, peer, address) ? own : probe.client.address;
	return { address, port: row.port, place, source };
}

/** Replies must come back by this node where only it can turn them round, or where nobody else knows the way to a pod. */
function needsNodeAddress({ client, path }: Probe, place: Place, peer: PeerRef, backend: string): boolean {
	switch (client.kind) {
		case 'node':
			return true;
		case 'outside':
			return place === 'other node' || place === 'outside';
		case 'pod':
			return peer.kind === PeerKind.WORLD || (path === 'packet' && client.address === backend);
	}
}
