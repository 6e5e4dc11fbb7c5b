/**
 * Which endpoints a service port may use on this node. Pure.
 * The rules are those of CategorizeEndpoints and endpointslicecache in pkg/proxy of Kubernetes 1.36.
 */
import type { Address, Family } from '../model/address.ts';
import type { Endpoint, EndpointSlice } from '../model/endpoint-slice.ts';
import type { Protocol } from '../model/fields.ts';
import { PROTOCOL_NUMBER } from '../model/fields.ts';

/** A row of the map `backends`. */
export interface Backend {
	/** 'address|port|proto': equal keys = the same row. */
	readonly key: string;
	readonly address: Address;
	readonly port: number;
	/** IP protocol number. */
	readonly proto: number;
	/** May receive new connections. */
	readonly live: boolean;
	/** Its pod is going away. */
	readonly terminating: boolean;
}

/** Where this node is, for locality and hints. */
export interface Locality {
	readonly name: string;
	/** '' = no zone label. */
	readonly zone: string;
}

export interface EndpointChoice {
	/** For traffic policy Cluster and for clients inside the node. */
	readonly all: readonly Backend[];
	/** For traffic policy Local. */
	readonly local: readonly Backend[];
	/**
	 * Every endpoint that still serves, chosen or not: their rows exist, so that flows to a draining endpoint or to one
	 * that only the topology took out of the list are recognised as good.
	 */
	readonly serving: readonly Backend[];
	/** A usable endpoint exists somewhere: an empty local list drops instead of rejecting. */
	readonly anyEndpoints: boolean;
}

interface Candidate {
	readonly endpoint: Endpoint;
	readonly port: number;
	readonly key: string;
}

/**
 * @param slices  slices of the service, sorted by name (the order decides between equal duplicates)
 * @returns lists sorted by key; `all` is `serving` itself when nothing is left out of it
 */
export function chooseEndpoints(
	slices: readonly EndpointSlice[],
	port: { readonly name: string; readonly protocol: Protocol },
	family: Family,
	node: Locality,
): EndpointChoice {
	const candidates = collectCandidates(slices, port, family);
	const ready = candidates.filter((c) => c.endpoint.ready);
	const draining = ready.length === candidates.length ? [] : candidates.filter((c) => isDraining(c.endpoint));
	const localReady = ready.some((c) => c.endpoint.node === node.name);
	const proto = PROTOCOL_NUMBER[port.protocol];
	const isLocal = (c: Candidate): boolean => c.endpoint.node === node.name;
	// A draining endpoint gets new connections only where nothing ready is left: anywhere, or on this node.
	const chosen = (c: Candidate): boolean => ready.length === 0 || (isLocal(c) && !localReady);
	const rows: Row[] = [
		...ready.map((c) => ({ c, backend: toBackend(c, proto, true) })),
		...draining.map((c) => ({ c, backend: toBackend(c, proto, chosen(c)) })),
	].sort(compareRows);
	const near = ready.length > 0 ? filterByTopology(ready, node) : draining;
	const all = near.length === rows.length ? undefined : new Set(near);
	const serving = rows.map(({ backend }) => backend);
	return {
		all: all === undefined ? serving : rows.filter(({ c }) => all.has(c)).map(({ backend }) => backend),
		local: rows.filter(({ c }) => isLocal(c) && c.endpoint.ready === localReady).map(({ backend }) => backend),
		serving,
		anyEndpoints: rows.length > 0,
	};
}

interface Row {
	readonly c: Candidate;
	readonly backend: Backend;
}

function compareRows(a: Row, b: Row): number {
	return a.backend.key < b.backend.key ? -1 : a.backend.key > b.backend.key ? 1 : 0;
}

function isDraining(endpoint: Endpoint): boolean {
	return !endpoint.ready && endpoint.serving && endpoint.terminating;
}

/** Endpoints of the port, one per address and port number: a copy that is not terminating wins, then a ready one. */
function collectCandidates(
	slices: readonly EndpointSlice[],
	port: { readonly name: string; readonly protocol: Protocol },
	family: Family,
): readonly Candidate[] {
	const proto = PROTOCOL_NUMBER[port.protocol];
	const addressType = family === 4 ? 'IPv4' : 'IPv6';
	const byKey = new Map<string, Candidate>();
	for (const slice of slices) {
		if (slice.addressType !== addressType) continue;
		for (const slicePort of slice.ports) {
			if (slicePort.name !== port.name || slicePort.protocol !== port.protocol) continue;
			for (const endpoint of slice.endpoints) {
				const key = backendKey(endpoint.address, slicePort.port, proto);
				const other = byKey.get(key);
				if (other === undefined || isBetterCopy(endpoint, other.endpoint)) {
					byKey.set(key, { endpoint, port: slicePort.port, key });
				}
			}
		}
	}
	return [...byKey.values()];
}

function isBetterCopy(a: Endpoint, b: Endpoint): boolean {
	if (a.terminating !== b.terminating) return !a.terminating;
	return a.ready && !b.ready;
}

/** Keeps the endpoints hinted for this node, else those for its zone; one endpoint without a hint disables the filter. */
function filterByTopology(ready: readonly Candidate[], node: Locality): readonly Candidate[] {
	if (ready.every((c) => c.endpoint.nodeHints.length > 0)) {
		const here = ready.filter((c) => c.endpoint.nodeHints.includes(node.name));
		if (here.length > 0) return here;
	}
	if (node.zone !== '' && ready.every((c) => c.endpoint.zoneHints.length > 0)) {
		const here = ready.filter((c) => c.endpoint.zoneHints.includes(node.zone));
		if (here.length > 0) return here;
	}
	return ready;
}

/** Key of a backend row. */
export function backendKey(address: Address, port: number, proto: number): string {
	return `${address}|${port}|${proto}`;
}

function toBackend({ endpoint, port, key }: Candidate, proto: number, live: boolean): Backend {
	return { key, address: endpoint.address, port, proto, live, terminating: endpoint.terminating };
}
