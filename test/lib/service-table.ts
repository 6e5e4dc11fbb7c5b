/**
 * Every kind of service address × client × backend, in both families and protocols, on a cluster of two nodes: the services,
 * and for every client what must come of asking for each of their addresses. The rules are sections 3 to 5 of what pkg/proxy
 * does, with one liberty: a client's address is kept wherever the reply comes back by itself, so clients of external
 * addresses are hidden behind the node only when they come from outside and their backend is on another node.
 */
import { join } from 'node:path';
import { endpointSliceObject } from './cluster/objects.ts';
import { CLIENT, type Cluster, eventually, type Family, type Place, type Pod, type ServiceSpec } from './cluster.ts';
import { HOST_ECHO_PORT, startHostEcho } from './echo-cluster.ts';
import { type Expectation, FIRST_PORT, type ProbeCase, probe } from './service-probes.ts';

export const FAMILIES = ['IPv4', 'IPv6'] as const;
export const MODES = ['tcp', 'udp'] as const;
/** Ports that pods listen on: another one on each node, so that a mixed-up target port is refused. */
const POD_PORT = { 1: 7000, 2: 7001 } as const;
const PORT = { tcp: 80, udp: 53 } as const;
/** No service has this port, and nothing listens there. */
const UNDEFINED_PORT = 81;

type NodeIndex = 1 | 2;

/** All addresses of service number `n`. The router leads those of node i to node i. */
const clusterIp = (n: number, f: Family): string => (f === 'IPv4' ? `10.96.1.${n}` : `fd00:96::${100 + n}`);
const vip = (n: number, i: NodeIndex, f: Family): string => (f === 'IPv4' ? `172.29.${i}.${n}` : `fd00:29:${i}::${n}`);
const externalIp = (n: number, i: NodeIndex, f: Family): string =>
	f === 'IPv4' ? `172.28.${i}.${n}` : `fd00:28:${i}::${n}`;
const nodePort = (n: number): number => 31_000 + n;

interface Backend {
	readonly name: string;
	readonly node: NodeIndex;
	readonly kind: 'pod' | 'host';
	readonly terminating?: boolean;
}

const BACKENDS = {
	p1: { name: 'p1', node: 1, kind: 'pod' },
	p2: { name: 'p2', node: 2, kind: 'pod' },
	c1: { name: 'c1', node: 1, kind: 'pod' },
	c2: { name: 'c2', node: 2, kind: 'pod' },
	node1: { name: 'node1', node: 1, kind: 'host' },
	node2: { name: 'node2', node: 2, kind: 'host' },
} as const satisfies Record<string, Backend>;
const { p1, p2, c1, c2, node1, node2 } = BACKENDS;
const terminating = (backend: Backend): Backend => ({ ...backend, terminating: true });

interface ServiceRow {
	readonly name: string;
	readonly backends: readonly Backend[];
	readonly policies?: { internal?: 'Local'; external?: 'Local' };
}

/** A service's number is its place in the list, from 1. */
export const SERVICES: readonly ServiceRow[] = [
	{ name: 'pod-1', backends: [p1] },
	{ name: 'pod-2', backends: [p2] },
	{ name: 'host-1', backends: [node1] },
	{ name: 'host-2', backends: [node2] },
	{ name: 'self-1', backends: [c1] },
	{ name: 'self-2', backends: [c2] },
	{ name: 'named', backends: [p1, p2] },
	{ name: 'empty', backends: [] },
	{ name: 'empty-local', backends: [], policies: { internal: 'Local', external: 'Local' } },
	{ name: 'internal-local-pod', backends: [p1], policies: { internal: 'Local' } },
	{ name: 'internal-local-host', backends: [node1], policies: { internal: 'Local' } },
	{ name: 'external-local-pod', backends: [p1], policies: { external: 'Local' } },
	{ name: 'external-local-host', backends: [node1], policies: { external: 'Local' } },
	{ name: 'draining', backends: [terminating(p1)] },
	{ name: 'one-draining', backends: [p1, terminating(p2)] },
	{ name: 'draining-local', backends: [terminating(p1), p2], policies: { internal: 'Local', external: 'Local' } },
];
const numberOf = (row: ServiceRow): number => SERVICES.indexOf(row) + 1;
/** Those with exactly one backend and nothing special: the matrix. */
const PLAIN = SERVICES.slice(0, 6);
const serviceOf = (name: string): ServiceRow => {
	const row = SERVICES.find((each) => each.name === name);
	if (!row) throw new Error(`there is no service ${name}`);
	return row;
};

/** Addresses under which a service can be asked for, seen from a client. */
export const KINDS = [
	'ClusterIP',
	'load balancer VIP',
	'external IP',
	'NodePort of node 1',
	'NodePort of node 2',
] as const;
export type Kind = (typeof KINDS)[number];

export interface Client {
	readonly title: string;
	/** Where it runs; for a client outside, the node through which it comes. */
	readonly node: NodeIndex;
	readonly kind: 'pod' | 'host' | 'outside';
	/** Its program is in a cgroup that the socket hook does not see. */
	readonly foreign?: boolean;
}

export const CLIENTS: readonly Client[] = [
	{ title: 'a pod of node 1', node: 1, kind: 'pod' },
	{ title: 'a pod of node 1 without the socket hook', node: 1, kind: 'pod', foreign: true },
	{ title: 'a pod of node 2', node: 2, kind: 'pod' },
	{ title: 'a process of node 1', node: 1, kind: 'host' },
	{ title: 'a process of node 1 without the socket hook', node: 1, kind: 'host', foreign: true },
	{ title: 'a hostNetwork pod of node 2', node: 2, kind: 'host' },
	{ title: 'a client outside that comes through node 1', node: 1, kind: 'outside' },
	{ title: 'a client outside that comes through node 2', node: 2, kind: 'outside' },
];

/**
 * Can this client ask for that kind of address at all? The router leads ClusterIPs to node 1 only.
 */
export function targetsExist(c: Client, kind: Kind): boolean {
	if (c.kind !== 'outside') return true;
	if (kind === 'ClusterIP') return c.node === 1;
	return !kind.startsWith('NodePort') || kind === `NodePort of node ${c.node}`;
}

/** The world as the expectations need it: real addresses. */
export class Addresses {
	readonly #cluster: Cluster;
	constructor(cluster: Cluster) {
		this.#cluster = cluster;
	}

	node(index: NodeIndex, f: Family): string {
		const { v4, v6 } = this.#cluster.node(index).addresses;
		return f === 'IPv4' ? v4 : v6;
	}

	pod(name: string, f: Family): string {
		const pod = this.#cluster.pods.find((each) => each.name === name);
		if (!pod) throw new Error(`there is no pod ${name}`);
		return pod.address(f);
	}

	client(c: Client, f: Family): string {
		if (c.kind === 'outside') return f === 'IPv4' ? CLIENT.v4 : CLIENT.v6;
		return c.kind === 'host' ? this.node(c.node, f) : this.pod(`c${c.node}`, f);
	}

	/** Where to send for a service. */
	target(c: Client, kind: Kind, n: number, f: Family): string {
		switch (kind) {
			case 'ClusterIP':
				return clusterIp(n, f);
			case 'load balancer VIP':
				return vip(n, c.node, f);
			case 'external IP':
				return externalIp(n, c.node, f);
			default:
				return this.node(kind === 'NodePort of node 1' ? 1 : 2, f);
		}
	}
}

/** The node that translates, and whether the client is an outside one to it. */
export function entryOf(c: Client, kind: Kind): { node: NodeIndex; outside: boolean } {
	const node = kind === 'NodePort of node 1' ? 1 : kind === 'NodePort of node 2' ? 2 : c.node;
	return { node, outside: c.kind === 'outside' || node !== c.node };
}

/** Which backends may answer; [] = nobody. Section 3 and 4 of the service semantics. */
function eligible(row: ServiceRow, c: Client, kind: Kind): readonly Backend[] {
	const entry = entryOf(c, kind);
	const local = kind === 'ClusterIP' ? row.policies?.internal : entry.outside ? row.policies?.external : undefined;
	const candidates = local === 'Local' ? row.backends.filter((b) => b.node === entry.node) : row.backends;
	const ready = candidates.filter((b) => b.terminating !== true);
	return ready.length > 0 ? ready : candidates;
}

/** From a process of a node past the socket hook to another one of it by an address that is routed: its answer must not find a shorter way. */
function isWithinHost(b: Backend, c: Client, kind: Kind): boolean {
	return c.kind === 'host' && c.foreign === true && kind === 'ClusterIP' && b.kind === 'host' && b.node === c.node;
}

function sourceSeen(addresses: Addresses, row: ServiceRow, b: Backend, c: Client, kind: Kind, f: Family): string {
	const entry = entryOf(c, kind);
	// Through the socket hook a pod connects to itself without ever leaving; a packet comes back only with another source.
	const itself = c.kind === 'pod' && c.foreign === true && b.name === `c${c.node}`;
	const hidden = entry.outside ? b.node !== entry.node : itself;
	if (isWithinHost(b, c, kind)) return addresses.target(c, kind, numberOf(row), f);
	return hidden ? addresses.node(entry.node, f) : addresses.client(c, f);
}

function expectation(addresses: Addresses, row: ServiceRow, c: Client, kind: Kind, f: Family): Expectation {
	const backends = eligible(row, c, kind);
	if (backends.length === 0) return row.backends.length === 0 ? 'refused' : 'dropped';
	return { answers: backends.map((b) => `${b.name} from ${sourceSeen(addresses, row, b, c, kind, f)}`) };
}

/** All cases of one client and kind of address for these services. */
function casesOf(addresses: Addresses, group: string, rows: readonly ServiceRow[], c: Client, kind: Kind): ProbeCase[] {
	const cases: ProbeCase[] = [];
	if (!targetsExist(c, kind)) return cases;
	for (const row of rows) {
		for (const f of FAMILIES) {
			const host = addresses.target(c, kind, numberOf(row), f);
			const expected = expectation(addresses, row, c, kind, f);
			for (const mode of MODES) {
				const port = kind.startsWith('NodePort') ? nodePort(numberOf(row)) : PORT[mode];
				const count = row.backends.length > 1 && expected !== 'dropped' ? 8 : undefined;
				cases.push({ group, mode, host, port, about: `${row.name} by ${kind}`, expected, ...(count ? { count } : {}) });
			}
		}
	}
	return cases;
}

export const SPECIAL: readonly { title: string; services: readonly string[] }[] = [
	{ title: 'finds the target port by name, with another number on each node', services: ['named'] },
	{ title: 'is refused at once without endpoints', services: ['empty', 'empty-local'] },
	{
		title: 'keeps to the node with internalTrafficPolicy Local, or nobody answers',
		services: ['internal-local-pod', 'internal-local-host'],
	},
	{
		title: 'keeps to the node from outside with externalTrafficPolicy Local, or nobody answers',
		services: ['external-local-pod', 'external-local-host'],
	},
	{
		title: 'gets a terminating endpoint only where there is no ready one',
		services: ['draining', 'one-draining', 'draining-local'],
	},
];
export const UNDEFINED = 'is refused at once at a port that the ClusterIP does not have';
export const PROXIED = 'leaves the node for an address with ipMode Proxy, and reaches whoever has it';
/** An address that a service calls its load balancer's, with ipMode Proxy: the client outside has it. */
const PROXY_ADDRESS = { IPv4: '172.27.0.1', IPv6: 'fd00:27::1' } as const;

export function allCases(addresses: Addresses, c: Client): ProbeCase[] {
	const cases = KINDS.flatMap((kind) => casesOf(addresses, kind, PLAIN, c, kind));
	for (const { title, services } of SPECIAL) {
		for (const kind of KINDS) cases.push(...casesOf(addresses, title, services.map(serviceOf), c, kind));
	}
	for (const f of targetsExist(c, 'ClusterIP') ? FAMILIES : []) {
		const host = addresses.target(c, 'ClusterIP', 1, f);
		for (const mode of MODES) {
			cases.push({ group: UNDEFINED, mode, host, port: UNDEFINED_PORT, about: 'pod-1', expected: 'refused' });
		}
	}
	for (const f of c.kind === 'outside' ? [] : FAMILIES) {
		const expected = { answers: [`client from ${addresses.node(c.node, f)}`] };
		// TCP only: the echo server answers datagrams from its main address
		const target = { mode: 'tcp', host: PROXY_ADDRESS[f], port: HOST_ECHO_PORT } as const;
		cases.push({ group: PROXIED, ...target, about: 'behind a proxy', expected });
	}
	return cases;
}

function targetPort(b: Backend): number {
	return b.kind === 'host' ? HOST_ECHO_PORT : POD_PORT[b.node];
}

function specOf(row: ServiceRow, port: number): ServiceSpec {
	const n = numberOf(row);
	return {
		name: row.name,
		type: 'LoadBalancer',
		clusterIPs: FAMILIES.map((f) => clusterIp(n, f)),
		ports: MODES.map((mode) => ({
			name: mode,
			port: PORT[mode],
			targetPort: port,
			protocol: mode === 'tcp' ? 'TCP' : 'UDP',
			nodePort: nodePort(n),
		})),
		ingress: FAMILIES.flatMap((f) => ([1, 2] as const).map((i) => ({ ip: vip(n, i, f), ipMode: 'VIP' as const }))),
		extra: {
			externalIPs: FAMILIES.flatMap((f) => ([1, 2] as const).map((i) => externalIp(n, i, f))),
			internalTrafficPolicy: row.policies?.internal ?? 'Cluster',
			externalTrafficPolicy: row.policies?.external ?? 'Cluster',
		},
	};
}

/** Writes a service; endpoints with another number for the same port name are in slices of their own. */
function publish(cluster: Cluster, row: ServiceRow): void {
	const addresses = new Addresses(cluster);
	for (const port of new Set(row.backends.map(targetPort))) {
		const spec = specOf(row, port);
		const endpoints = row.backends
			.filter((b) => targetPort(b) === port)
			.map((b) => ({
				name: b.name,
				nodeName: `node${b.node}`,
				terminating: b.terminating ?? false,
				addresses: Object.fromEntries(
					FAMILIES.map((f) => [f, b.kind === 'host' ? addresses.node(b.node, f) : addresses.pod(b.name, f)]),
				),
			}));
		for (const f of FAMILIES) {
			const object = endpointSliceObject(spec, f, endpoints);
			const name = `${object.metadata.name}-${port}`;
			cluster.objects.apply({ ...object, metadata: { ...object.metadata, name } });
		}
	}
	cluster.publish(specOf(row, 1), []);
}

/** A service behind a load balancer that speaks for itself; its backend on node 1 must not be asked under that address. */
async function publishProxied(cluster: Cluster, backend: Pod): Promise<void> {
	const ports = MODES.map((mode) => ({
		name: mode,
		port: HOST_ECHO_PORT,
		targetPort: POD_PORT[1],
		protocol: mode === 'tcp' ? ('TCP' as const) : ('UDP' as const),
	}));
	const n = SERVICES.length + 1;
	for (const f of FAMILIES) {
		const address = PROXY_ADDRESS[f];
		await cluster.client.run(['ip', 'address', 'add', address, 'dev', 'lo', ...(f === 'IPv6' ? ['nodad'] : [])]);
		const via = f === 'IPv4' ? CLIENT.v4 : CLIENT.v6;
		await cluster.client.run(['ip', '-n', `${cluster.name}-router`, 'route', 'add', address, 'via', via]);
	}
	const ingress = FAMILIES.map((f) => ({ ip: PROXY_ADDRESS[f], ipMode: 'Proxy' as const }));
	const clusterIPs = FAMILIES.map((f) => clusterIp(n, f));
	cluster.publish({ name: 'behind-proxy', type: 'LoadBalancer', clusterIPs, ports, ingress }, [backend]);
}

/** Leads the addresses of each node to it, and those behind a load balancer of its own to the client. */
async function route(cluster: Cluster): Promise<void> {
	const router = `${cluster.name}-router`;
	const add = async (prefix: string, via: string): Promise<void> => {
		await cluster.client.run(['ip', '-n', router, 'route', 'add', prefix, 'via', via]);
	};
	for (const i of [1, 2] as const) {
		const { v4, v6 } = cluster.node(i).addresses;
		for (const prefix of [`172.29.${i}.0/24`, `172.28.${i}.0/24`]) await add(prefix, v4);
		for (const prefix of [`fd00:29:${i}::/64`, `fd00:28:${i}::/64`]) await add(prefix, v6);
	}
	const { v4, v6 } = cluster.node(1).addresses;
	await add('10.96.0.0/16', v4);
	await add('fd00:96::/64', v6);
}

export async function populateServices(cluster: Cluster): Promise<void> {
	const make = (name: string, index: NodeIndex): Promise<Pod> => cluster.createPod({ name, node: cluster.node(index) });
	await route(cluster);
	const pods = await Promise.all([make('p1', 1), make('p2', 2), make('c1', 1), make('c2', 2)]);
	await Promise.all([
		...pods.map((pod) => pod.startEcho(POD_PORT[pod.node.index === 1 ? 1 : 2])),
		...[...cluster.nodes, cluster.client].map((place) => startHostEcho(place)),
	]);
	await publishProxied(cluster, pods[0]);
	for (const row of SERVICES.toReversed()) publish(cluster, row);
	for (const place of pods) {
		await eventually(`${place.name} reaches the services`, async () => {
			const requests = SERVICES.filter((row) => row.backends.length > 0 && !row.policies).map((row) => ({
				mode: 'tcp' as const,
				host: clusterIp(numberOf(row), 'IPv6'),
				port: PORT.tcp,
				count: 1,
				timeoutMs: 2000,
			}));
			const failed = (await probe(place, requests)).filter((r) => !r.outcomes.join().includes(' from '));
			if (failed.length > 0) throw new Error(JSON.stringify(failed));
		});
	}
}

/** Where a client runs its programs; of two in one namespace each has source ports of its own. */
export function placeOf(cluster: Cluster, c: Client): { place: Place; firstPort: number; cgroup?: string } {
	const node = cluster.node(c.node);
	const second = c.foreign === true || (c.kind === 'outside' && c.node === 2);
	const firstPort = FIRST_PORT + (second ? 6000 : 0);
	const foreign = c.foreign ? { cgroup: join(node.nodeCgroup, '..', 'client') } : {};
	if (c.kind === 'outside') return { place: cluster.client, firstPort };
	if (c.kind === 'host') return { place: node, firstPort, ...foreign };
	const pod = cluster.pods.find((each) => each.name === `c${c.node}`);
	if (!pod) throw new Error('the client pods are made first');
	return { place: pod, firstPort, ...foreign };
}
