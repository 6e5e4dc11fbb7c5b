/** Random services of a real cluster of two nodes, and what the rules expect of every client's connections to them. */
import { join } from 'node:path';
import {
	CLIENT,
	type Cluster,
	eventually,
	type KubeObject,
	type Place,
	type Pod,
	SERVICE_CIDRS,
} from '../lib/cluster.ts';
import { ECHO_PORT, HOST_ECHO_PORT, startHostEcho } from '../lib/echo-cluster.ts';
import type { Random } from '../lib/packet/mutate.ts';
import type { Outcome, Probe } from '../lib/service-oracle-probe.ts';
import { formatProbe } from '../lib/service-oracle-probe.ts';
import { type Expectation, FIRST_PORT, type ProbeCase, probe } from '../lib/service-probes.ts';
import { expectedOutcome, type RulesWorld } from '../lib/service-rules.ts';
import type { RawEndpoint, RawService, RawSlice } from '../lib/service-rules-objects.ts';

type NodeIndex = 1 | 2;
const NODES = [1, 2] as const;
const FAMILIES = [4, 6] as const;
type FamilyNumber = (typeof FAMILIES)[number];
const ZONES = { 1: 'zone-1', 2: 'zone-2' } as const;
const PORT = { TCP: 80, UDP: 53 } as const;

const clusterIp = (n: number, f: FamilyNumber): string => (f === 4 ? `10.96.2.${n}` : `fd00:96::${200 + n}`);
const vip = (n: number, i: NodeIndex, f: FamilyNumber): string => (f === 4 ? `172.29.${i}.${n}` : `fd00:29:${i}::${n}`);
const externalIp = (n: number, i: NodeIndex, f: FamilyNumber): string =>
	f === 4 ? `172.28.${i}.${n}` : `fd00:28:${i}::${n}`;

export interface Home {
	readonly name: string;
	readonly node: NodeIndex;
	readonly kind: 'pod' | 'host';
	/** IPv4, IPv6. */
	readonly addresses: readonly [string, string];
}

function homesOf(cluster: Cluster): Home[] {
	const pods = cluster.pods.map((pod: Pod): Home => {
		const addresses = [pod.address('IPv4'), pod.address('IPv6')] as const;
		return { name: pod.name, node: pod.node.index === 1 ? 1 : 2, kind: 'pod', addresses };
	});
	const hosts = NODES.map((i): Home => {
		const { v4, v6 } = cluster.node(i).addresses;
		return { name: `node${i}`, node: i, kind: 'host', addresses: [v4, v6] };
	});
	return [...pods, ...hosts];
}

const CONDITIONS = [
	{ ready: true, serving: true, terminating: false },
	{ ready: true, serving: true, terminating: false },
	{ ready: true, serving: true, terminating: false },
	{ ready: false, serving: true, terminating: true },
	{ ready: false, serving: false, terminating: false },
] as const;

export interface Objects {
	readonly services: readonly RawService[];
	readonly slices: readonly RawSlice[];
}

/** Service number `n` with all kinds of addresses, and its slices: pods and hosts listen on different ports. */
function randomService(random: Random, n: number, homes: readonly Home[]): Objects {
	const policy = (): 'Cluster' | 'Local' => random.pick(['Cluster', 'Cluster', 'Local']);
	const name = `random-${n}`;
	const ranges = [[], [], [], [`${CLIENT.v4}/32`, `${CLIENT.v6}/128`], ['10.244.1.0/24', 'fd00:244:1::/64']];
	const service: RawService = {
		apiVersion: 'v1',
		kind: 'Service',
		metadata: {
			name,
			namespace: 'default',
			annotations: { 'fairlead.dev/lb-algorithm': random.pick(['random', 'random', 'maglev', 'least-conn']) },
		},
		spec: {
			type: 'LoadBalancer',
			clusterIP: clusterIp(n, 4),
			clusterIPs: FAMILIES.map((f) => clusterIp(n, f)),
			externalIPs: NODES.flatMap((i) => FAMILIES.map((f) => externalIp(n, i, f))),
			ports: (['TCP', 'UDP'] as const).map((protocol, p) => ({
				name: protocol.toLowerCase(),
				protocol,
				port: PORT[protocol],
				nodePort: 31_500 + n * 2 + p,
			})),
			internalTrafficPolicy: policy(),
			externalTrafficPolicy: policy(),
			sessionAffinity: random.pick(['None', 'None', 'ClientIP']),
			loadBalancerSourceRanges: random.pick(ranges),
		},
		status: { loadBalancer: { ingress: NODES.flatMap((i) => FAMILIES.map((f) => ({ ip: vip(n, i, f) }))) } },
	};
	const chosen = homes.filter(() => random.next(3) === 0);
	const hinted = random.next(3) === 0;
	const slices = (['pod', 'host'] as const).flatMap((kind) =>
		FAMILIES.map((f): RawSlice => {
			const target = kind === 'pod' ? ECHO_PORT : HOST_ECHO_PORT;
			return {
				apiVersion: 'discovery.k8s.io/v1',
				kind: 'EndpointSlice',
				metadata: {
					name: `${name}-${kind}-${f}`,
					namespace: 'default',
					labels: { 'kubernetes.io/service-name': name },
				},
				addressType: `IPv${f}`,
				ports: (['TCP', 'UDP'] as const).map((protocol) => ({ name: protocol.toLowerCase(), protocol, port: target })),
				endpoints: chosen.filter((home) => home.kind === kind).map((home) => randomEndpoint(random, home, f, hinted)),
			};
		}),
	);
	return { services: [service], slices };
}

function randomEndpoint(random: Random, home: Home, f: FamilyNumber, hinted: boolean): RawEndpoint {
	return {
		addresses: [home.addresses[f === 4 ? 0 : 1]],
		nodeName: `node${home.node}`,
		conditions: random.pick(CONDITIONS),
		...(hinted && { hints: { forZones: [{ name: random.pick([ZONES[1], ZONES[2]]) }] } }),
	};
}

/** Makes pods and servers, routes outside, the services, and waits until both nodes know the last one. */
export async function publishRandom(
	cluster: Cluster,
	random: Random,
	count: number,
): Promise<Objects & { homes: Home[] }> {
	await routeIn(cluster);
	const make = (name: string, i: NodeIndex): Promise<Pod> => cluster.createPod({ name, node: cluster.node(i) });
	const pods = await Promise.all([make('c1', 1), make('p1', 1), make('p2', 2)]);
	await Promise.all([...pods.map((pod) => pod.startEcho()), ...cluster.nodes.map((node) => startHostEcho(node))]);
	const homes = homesOf(cluster);
	const made = Array.from({ length: count }, (_, i) => randomService(random, i + 1, homes));
	const objects = { services: made.flatMap((m) => m.services), slices: made.flatMap((m) => m.slices), homes };
	for (const object of [...objects.slices, ...objects.services]) cluster.objects.apply(object as unknown as KubeObject);
	const last = { host: '10.96.3.1', port: 80 };
	cluster.publish({ name: 'last', clusterIPs: [last.host], ports: [{ port: 80, targetPort: ECHO_PORT }] }, [pods[1]]);
	for (const place of [pods[0], pods[2]]) {
		await eventually(`${place.name} reaches the last service`, async () => {
			const [report] = await probe(place, [{ mode: 'tcp', ...last, count: 1, timeoutMs: 2000 }]);
			if (!report?.outcomes.join().startsWith('p1 from')) throw new Error(JSON.stringify(report));
		});
	}
	return objects;
}

/** The router leads the external addresses of each node to it, and ClusterIPs to node 1. */
async function routeIn(cluster: Cluster): Promise<void> {
	const add = async (prefix: string, via: string): Promise<void> => {
		await cluster.client.run(['ip', '-n', `${cluster.name}-router`, 'route', 'add', prefix, 'via', via]);
	};
	for (const i of NODES) {
		const { v4, v6 } = cluster.node(i).addresses;
		for (const prefix of [`172.29.${i}.0/24`, `172.28.${i}.0/24`]) await add(prefix, v4);
		for (const prefix of [`fd00:29:${i}::/64`, `fd00:28:${i}::/64`]) await add(prefix, v6);
	}
	await add(SERVICE_CIDRS[0] ?? '', cluster.node(1).addresses.v4);
	await add(SERVICE_CIDRS[1] ?? '', cluster.node(1).addresses.v6);
}

/** What node `i` has to go by. */
function worldOf(cluster: Cluster, objects: Objects & { readonly homes: readonly Home[] }, i: NodeIndex): RulesWorld {
	const of = (index: NodeIndex) => {
		const { v4, v6, podCidr4, podCidr6 } = cluster.node(index).addresses;
		return { addresses: [v4, v6], podCidrs: [podCidr4, podCidr6] };
	};
	const own = of(i);
	return {
		services: objects.services,
		slices: objects.slices,
		node: { name: `node${i}`, ...own, nodePortAddresses: own.addresses, localAddresses: own.addresses },
		localPods: objects.homes.filter((h) => h.kind === 'pod' && h.node === i).flatMap((h) => h.addresses),
		otherNodes: [of(i === 1 ? 2 : 1)],
		clusterCidrs: [],
		serviceCidrs: SERVICE_CIDRS,
		nonMasqueradeCidrs: [],
	};
}

export interface ClusterClient {
	readonly title: string;
	readonly kind: Probe['client']['kind'];
	readonly path: Probe['path'];
	/** The node whose programs see it first. */
	readonly node: NodeIndex;
}

export const CLIENTS: readonly ClusterClient[] = [
	{ title: 'a pod of node 1', kind: 'pod', path: 'socket', node: 1 },
	{ title: 'a pod of node 1 without the socket hook', kind: 'pod', path: 'packet', node: 1 },
	{ title: 'a process of node 1', kind: 'node', path: 'socket', node: 1 },
	{ title: 'a client outside that comes through node 1', kind: 'outside', path: 'packet', node: 1 },
	{ title: 'a client outside that comes through node 2', kind: 'outside', path: 'packet', node: 2 },
];

/** Where it runs; those that share a namespace have source ports of their own. */
export function placeOf(cluster: Cluster, c: ClusterClient): { place: Place; firstPort: number; cgroup?: string } {
	const node = cluster.node(c.node);
	const firstPort = FIRST_PORT + 6000 * (c.path === 'packet' && (c.kind === 'pod' || c.node === 2) ? 1 : 0);
	if (c.kind === 'outside') return { place: cluster.client, firstPort };
	if (c.kind === 'node') return { place: node, firstPort };
	const pod = cluster.pods.find(({ name }) => name === 'c1');
	if (!pod) throw new Error('the client pod is made first');
	return { place: pod, firstPort, ...(c.path === 'packet' && { cgroup: join(node.nodeCgroup, '..', 'client') }) };
}

/** All cases of one client: every address of every service that leads to its node. */
export function casesOf(
	cluster: Cluster,
	objects: Objects & { readonly homes: readonly Home[] },
	c: ClusterClient,
): ProbeCase[] {
	const world = worldOf(cluster, objects, c.node);
	const names = new Map(objects.homes.flatMap(({ name, addresses }) => addresses.map((a) => [a, name] as const)));
	const clientAddress = (f: FamilyNumber): string => {
		if (c.kind === 'outside') return f === 4 ? CLIENT.v4 : CLIENT.v6;
		const home = objects.homes.find(({ name }) => name === (c.kind === 'pod' ? 'c1' : `node${c.node}`));
		return home?.addresses[f === 4 ? 0 : 1] ?? '';
	};
	return objects.services.flatMap((service, s) =>
		FAMILIES.flatMap((f) =>
			(service.spec.ports ?? []).flatMap(({ protocol = 'TCP', port, nodePort = 0 }): ProbeCase[] => {
				const n = s + 1;
				const nodeAddress = world.node.addresses[f === 4 ? 0 : 1] ?? '';
				const targets: [string, number][] = [
					[vip(n, c.node, f), port],
					[externalIp(n, c.node, f), port],
					[nodeAddress, nodePort],
				];
				if (c.node === 1) targets.push([clusterIp(n, f), port]);
				return targets.flatMap(([address, to]) => {
					const client = { kind: c.kind, address: clientAddress(f) };
					// The hook does not know a pod's address, and leaves to the packet programs what depends on it.
					const path = c.kind === 'pod' && dependsOnClient(service, address) ? 'packet' : c.path;
					const asked: Probe = { client, path, address, port: to, protocol };
					const expected = expectationOf(expectedOutcome(world, asked, { rules: 'fairlead' }), names);
					// A process of the node gets EPERM at once; test/bpf/service-differential-socket.test.ts sees to that.
					if (expected === undefined || (c.kind === 'node' && expected === 'dropped')) return [];
					const mode = protocol === 'TCP' ? 'tcp' : 'udp';
					return [{ group: c.title, mode, host: address, port: to, about: formatProbe(asked), expected }];
				});
			}),
		),
	);
}

function dependsOnClient({ metadata, spec, status }: RawService, address: string): boolean {
	const isVip = (status?.loadBalancer?.ingress ?? []).some(({ ip }) => ip === address);
	return (
		spec.sessionAffinity === 'ClientIP' ||
		metadata.annotations?.['fairlead.dev/lb-algorithm'] === 'least-conn' ||
		(isVip && (spec.loadBalancerSourceRanges ?? []).length > 0)
	);
}

function expectationOf(outcome: Outcome, names: ReadonlyMap<string, string>): Expectation | undefined {
	switch (outcome.kind) {
		case 'answered':
			return { answers: outcome.answers.map(({ address, source }) => `${names.get(address)} from ${source}`) };
		case 'rejected':
			return 'refused';
		case 'dropped':
			return 'dropped';
		case 'not a service':
			return undefined;
	}
}
