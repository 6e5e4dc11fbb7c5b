/**
 * Which endpoints a service port may use on this node. Pure.
 * The rules are those of CategorizeEndpoints and endpointslicecache in pkg/proxy of Kubernetes 1.36.
 */
import { BackendFlags } from '../../native/abi/generated.ts';
import type { Address, Family } from '../model/address.ts';
import type { Endpoint, EndpointSlice } from '../model/endpoint-slice.ts';
import type { Protocol } from '../model/fields.ts';
import { PROTOCOL_NUMBER } from '../model/fields.ts';

/** What one service port thinks of an endpoint: a row of the map `backends`. */
export interface Backend {
	/** 'address|port|proto': unique within the service port. */
	readonly key: string;
	readonly address: Address;
	readonly port: number;
	/** IP protocol number. */
	readonly proto: number;
	/** enum backend_flags */
	readonly flags: number;
}

/** Where this node is, for locality and hints. */
export interface Locality {
	readonly name: string;
	/** '' = no zone label. */
	readonly zone: string;
}

/** Lists are sorted by key; equal ones are the same object. */
export interface EndpointChoice {
	/** For traffic policy Cluster and for clients inside the node. */
	readonly all: readonly Backend[];
	/** As `all`, but without regard to topology: the same on every node. */
	readonly everywhere: readonly Backend[];
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

export interface ChoiceOptions {
	/** The list without topology is used as well: its endpoints are live. */
	readonly everywhere?: boolean;
}

interface Candidate {
	readonly endpoint: Endpoint;
	readonly port: number;
	readonly key: string;
}

/** @param slices  slices of the service, sorted by name (the order decides between equal duplicates) */
export function chooseEndpoints(
	slices: readonly EndpointSlice[],
	port: { readonly name: string; readonly protocol: Protocol },
	family: Family,
	node: Locality,
	options: ChoiceOptions = {},
): EndpointChoice {
	const proto = PROTOCOL_NUMBER[port.protocol];
	const candidates = collectCandidates(slices, port, family).filter(isUsable);
	const ready = candidates.filter((c) => c.endpoint.ready);
	const everywhere = ready.length > 0 ? ready : candidates;
	const near = ready.length > 0 ? filterByTopology(ready, node) : everywhere;
	const localReady = ready.some((c) => c.endpoint.node === node.name);
	const isLocal = (c: Candidate): boolean => c.endpoint.node === node.name && c.endpoint.ready === localReady;
	const live = options.everywhere === true || near === everywhere ? everywhere : near;
	// Nearly always every endpoint is ready and no hint counts: then one list is all lists.
	const liveSet = live.length === candidates.length ? undefined : new Set(live);
	const rows = candidates.map((c) => toBackend(c, proto, liveSet === undefined || liveSet.has(c), isLocal(c)));
	const pick = (list: readonly Candidate[]): readonly Backend[] => {
		if (list.length === candidates.length) return rows;
		const wanted = new Set(list);
		return rows.filter((_, i) => wanted.has(candidates[i] as Candidate));
	};
	const fromEverywhere = pick(everywhere);
	const local = rows.filter((row) => (row.flags & BackendFlags.LOCAL) !== 0);
	return {
		all: near === everywhere ? fromEverywhere : pick(near),
		everywhere: fromEverywhere,
		local: local.length === rows.length ? rows : local,
		serving: rows,
		anyEndpoints: rows.length > 0,
	};
}

/** Ready, or terminating and still serving: anything else gets nothing and keeps nothing. */
function isUsable({ endpoint }: Candidate): boolean {
	return endpoint.ready || (endpoint.serving && endpoint.terminating);
}

function compareCandidates(a: Candidate, b: Candidate): number {
	return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}

/** Endpoints of the port, sorted by key, one per address and port number: a copy that is not terminating wins, then a ready one. */
function collectCandidates(
	slices: readonly EndpointSlice[],
	port: { readonly name: string; readonly protocol: Protocol },
	family: Family,
): readonly Candidate[] {
	const suffix = `|${PROTOCOL_NUMBER[port.protocol]}`;
	const addressType = family === 4 ? 'IPv4' : 'IPv6';
	const found: Candidate[] = [];
	for (const slice of slices) {
		if (slice.addressType !== addressType) continue;
		for (const slicePort of slice.ports) {
			if (slicePort.name !== port.name || slicePort.protocol !== port.protocol) continue;
			const tail = `|${slicePort.port}${suffix}`;
			for (const endpoint of slice.endpoints) {
				found.push({ endpoint, port: slicePort.port, key: endpoint.address + tail });
			}
		}
	}
	return bestCopies(found.sort(compareCandidates));
}

/** @param sorted  by key; of equal copies the earlier one stays */
function bestCopies(sorted: readonly Candidate[]): readonly Candidate[] {
	let kept = 0;
	const best = sorted as Candidate[];
	for (const each of sorted) {
		const other = kept > 0 ? best[kept - 1] : undefined;
		if (other === undefined || other.key !== each.key) best[kept++] = each;
		else if (isBetterCopy(each.endpoint, other.endpoint)) best[kept - 1] = each;
	}
	best.length = kept;
	return best;
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

/** Key of a backend within its service port. */
export function backendKey(address: Address, port: number, proto: number): string {
	return `${address}|${port}|${proto}`;
}

function toBackend({ endpoint, port, key }: Candidate, proto: number, live: boolean, local: boolean): Backend {
	const flags =
		BackendFlags.SERVING |
		(live ? BackendFlags.LIVE : 0) |
		(local ? BackendFlags.LOCAL : 0) |
		(endpoint.terminating ? BackendFlags.TERMINATING : 0);
	return { key, address: endpoint.address, port, proto, flags };
}
