/** A cluster of two nodes with random services, and what the rules expect of every client's connections to them. */
import { join } from 'node:path';
import { nodeObject, ObjectStore } from '../lib/cluster/objects.ts';
import { acceptXdpFrames, sentByXdp } from '../lib/cluster/outside.ts';
import {
	ask,
	CLIENT,
	type Cluster,
	type ClusterNode,
	eventually,
	type KubeObject,
	type Place,
	type Pod,
	SERVICE_CIDRS,
} from '../lib/cluster.ts';
import { awaitBackends, ECHO_PORTS, startHostEcho } from '../lib/echo-cluster.ts';
import type { Answer, Outcome, Probe } from '../lib/service-oracle-probe.ts';
import { formatProbe } from '../lib/service-oracle-probe.ts';
import { type Expectation, FIRST_PORT, type ProbeCase } from '../lib/service-probes.ts';
import { expectedOutcome, findService, type Match, type RulesWorld, servingEndpoints } from '../lib/service-rules.ts';
import { familyOfText } from '../lib/service-rules-objects.ts';
import {
	clusterIp,
	externalIp,
	FAMILIES,
	type FamilyNumber,
	type Home,
	NODES,
	type NodeIndex,
	nodePort,
	type Objects,
	PORTS,
	PROTOCOLS,
	vip,
	ZONES,
} from './random-services.ts';

/** The objects of the cluster, and how often they have changed. */
export interface Round extends Objects {
	readonly homes: readonly Home[];
	readonly number: number;
	/** Addresses of 1 to `count` are asked, whether they are a service's or not. */
	readonly count: number;
	readonly dsr: boolean;
}

const PODS = [
	['c1', 1],
	['p1', 1],
	['p2', 2],
	['q2', 2],
] as const;

/** Starts the agents, makes pods and servers and routes outside. @returns where endpoints may be */
export async function populate(cluster: Cluster, { xdp }: { readonly xdp: string }): Promise<readonly Home[]> {
	for (const { name, index } of cluster.nodes) {
		const node = nodeObject(name, index, 0, cluster.families);
		node.metadata.labels = { ...node.metadata.labels, 'topology.kubernetes.io/zone': ZONES[index === 1 ? 1 : 2] };
		cluster.objects.apply(node);
	}
	await routeIn(cluster);
	if (xdp === 'native') await acceptXdpFrames(cluster);
	await cluster.startAgents();
	const pods: Pod[] = [];
	// one after the other: their addresses, and so what is chosen by hash, are the same each time
	for (const [name, i] of PODS) pods.push(await cluster.createPod({ name, node: cluster.node(i) }));
	await Promise.all([...pods.map((pod) => pod.startEcho()), ...cluster.nodes.map((node) => startHostEcho(node))]);
	return homesOf(cluster);
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

const nameOf = ({ kind, metadata }: { kind: string; metadata: { name: string } }): string => `${kind} ${metadata.name}`;

/** Makes the cluster's objects those of `after`, one by one; one more service is the last. */
export function write(cluster: Cluster, before: Objects, after: Round): void {
	const former = new Map([...before.slices, ...before.services].map((each) => [nameOf(each), each]));
	for (const each of [...after.slices, ...after.services]) {
		const old = former.get(nameOf(each));
		former.delete(nameOf(each));
		if (JSON.stringify(old) !== JSON.stringify(each)) cluster.objects.apply(each as unknown as KubeObject);
	}
	for (const { kind, metadata } of former.values()) cluster.objects.remove(kind, metadata.name);
	const n = MARKS + after.number;
	const ingress = NODES.flatMap((i) => FAMILIES.map((f) => ({ ip: vip(n, i, f) })));
	const clusterIPs = FAMILIES.map((f) => clusterIp(n, f));
	const pods = MARKED.map((name) => podOf(cluster, name));
	cluster.publish({ name: `mark-${after.number}`, type: 'LoadBalancer', clusterIPs, ingress, ports: ECHO_PORTS }, pods);
}

/** Beyond the numbers of random services. */
const MARKS = 200;
/** Backends of the last service, on both nodes. */
const MARKED = ['p1', 'p2'] as const;

/** Waits until both nodes know the last service, and so all that came before. */
export async function awaitObjects(cluster: Cluster, { number }: Round): Promise<void> {
	for (const name of ['c1', 'p2']) {
		await awaitBackends(podOf(cluster, name), clusterIp(MARKS + number, 6), PORTS.TCP, MARKED);
	}
}

/** Waits until XDP of both nodes sends packets of both families on to the other one. */
export async function awaitXdp(cluster: Cluster): Promise<void> {
	const sendsOn = async (node: ClusterNode, host: string): Promise<void> => {
		const before = await sentByXdp(node);
		await ask(cluster.client, { mode: 'tcp', host, port: PORTS.TCP, count: 12, timeoutMs: 1000 });
		if ((await sentByXdp(node)) === before) throw new Error('it sends nothing');
	};
	for (const i of NODES) {
		for (const f of FAMILIES) {
			const host = vip(MARKS, i, f);
			await eventually(`XDP of node ${i} serves ${host}`, () => sendsOn(cluster.node(i), host));
		}
	}
}

function podOf(cluster: Cluster, name: string): Pod {
	const pod = cluster.pods.find((each) => each.name === name);
	if (!pod) throw new Error(`there is no pod ${name}`);
	return pod;
}

/** What node `i` has to go by. */
function worldOf(cluster: Cluster, { services, slices, homes, dsr }: Round, i: NodeIndex): RulesWorld {
	const of = (index: NodeIndex) => {
		const { v4, v6, podCidr4, podCidr6 } = cluster.node(index).addresses;
		return { addresses: [v4, v6], podCidrs: [podCidr4, podCidr6] };
	};
	const own = of(i);
	return {
		services,
		slices,
		node: { name: `node${i}`, zone: ZONES[i], ...own, nodePortAddresses: own.addresses, localAddresses: own.addresses },
		localPods: homes.filter((h) => h.kind === 'pod' && h.node === i).flatMap((h) => h.addresses),
		otherNodes: [of(i === 1 ? 2 : 1)],
		clusterCidrs: [],
		serviceCidrs: SERVICE_CIDRS,
		nonMasqueradeCidrs: [],
		dsr,
	};
}

export interface ClusterClient {
	readonly title: string;
	readonly kind: Probe['client']['kind'];
	readonly path: Probe['path'];
	/** The node whose programs see it first as the client of a service. */
	readonly node: NodeIndex;
	/** Where it runs; absent = outside of the cluster. */
	readonly home?: 'c1' | 'p2' | 'node1' | 'node2';
}

export const CLIENTS: readonly ClusterClient[] = [
	{ title: 'a pod of node 1', kind: 'pod', path: 'socket', node: 1, home: 'c1' },
	{ title: 'a pod of node 1 without the socket hook', kind: 'pod', path: 'packet', node: 1, home: 'c1' },
	{ title: 'a process of node 1', kind: 'node', path: 'socket', node: 1, home: 'node1' },
	{ title: 'a client outside that comes through node 1', kind: 'outside', path: 'packet', node: 1 },
	{ title: 'a client outside that comes through node 2', kind: 'outside', path: 'packet', node: 2 },
	{ title: 'a pod of node 2 at ports of node 1', kind: 'outside', path: 'packet', node: 1, home: 'p2' },
	{ title: 'a process of node 2 at ports of node 1', kind: 'outside', path: 'packet', node: 1, home: 'node2' },
];

/** Where it runs; those that share a namespace have source ports of their own, and so has each round. */
export function placeOf(
	cluster: Cluster,
	{ kind, path, node, home }: ClusterClient,
	round: Round,
): { place: Place; firstPort: number; cgroup?: string } {
	const isSecond = path === 'packet' && (kind === 'pod' || node === 2);
	const firstPort = FIRST_PORT + 6000 * (isSecond ? 1 : 0) + 500 * round.number;
	if (home === undefined) return { place: cluster.client, firstPort };
	if (home === 'node1' || home === 'node2') return { place: cluster.node(home === 'node1' ? 1 : 2), firstPort };
	const unhooked = kind === 'pod' && path === 'packet';
	const cgroup = join(cluster.node(node).nodeCgroup, '..', 'client');
	return { place: podOf(cluster, home), firstPort, ...(unhooked && { cgroup }) };
}

interface Target {
	readonly address: string;
	readonly port: number;
	readonly protocol: (typeof PROTOCOLS)[number];
}

/** Every address with one of the numbers that leads to the client's node; other nodes' clients come there by its own only. */
function targetsOf(cluster: Cluster, { node, kind, home }: ClusterClient, { count }: Round): Target[] {
	const { v4, v6 } = cluster.node(node).addresses;
	const numbers = Array.from({ length: count }, (_, i) => i + 1);
	return numbers.flatMap((n) =>
		FAMILIES.flatMap((f) =>
			PROTOCOLS.flatMap((protocol): Target[] => {
				const atNode = { address: f === 4 ? v4 : v6, port: nodePort(n, protocol), protocol };
				if (kind === 'outside' && home !== undefined) return [atNode];
				const addresses = [vip(n, node, f), externalIp(n, node, f), ...(node === 1 ? [clusterIp(n, f)] : [])];
				return [atNode, ...addresses.map((address) => ({ address, port: PORTS[protocol], protocol }))];
			}),
		),
	);
}

/** All cases of one client. */
export function casesOf(cluster: Cluster, round: Round, c: ClusterClient): ProbeCase[] {
	const world = worldOf(cluster, round, c.node);
	// an API server tells of services and of slices apart, so that those of a new service may come one by one
	const changed = round.number > 0 || !(cluster.objects instanceof ObjectStore);
	const names = new Map(round.homes.flatMap(({ name, addresses }) => addresses.map((a) => [a, name] as const)));
	const addressOf = (f: FamilyNumber): string => {
		if (c.home === undefined) return f === 4 ? CLIENT.v4 : CLIENT.v6;
		return round.homes.find(({ name }) => name === c.home)?.addresses[f === 4 ? 0 : 1] ?? '';
	};
	return targetsOf(cluster, c, round).flatMap((target): ProbeCase[] => {
		const client = { kind: c.kind, address: addressOf(familyOfText(target.address)) };
		const match = findService(world, { ...target, client, path: c.path });
		// The hook does not know a pod's address, and leaves to the packet programs what depends on it.
		const path = c.kind === 'pod' && match && dependsOnClient(match) ? 'packet' : c.path;
		const asked: Probe = { ...target, client, path };
		const expected = expectationOf(world, asked, match, { names, changed });
		// A process of the node gets EPERM at once; test/bpf/service-differential-socket.test.ts sees to that.
		if (expected === undefined || (c.kind === 'node' && expected === 'dropped')) return [];
		const mode = target.protocol === 'TCP' ? 'tcp' : 'udp';
		const about = `${match?.service.metadata.name ?? 'no service'}: ${formatProbe(asked)}`;
		return [{ group: c.title, mode, host: target.address, port: target.port, about, expected }];
	});
}

function dependsOnClient({ service: { metadata, spec }, via }: Match): boolean {
	return (
		spec.sessionAffinity === 'ClientIP' ||
		metadata.annotations?.['fairlead.dev/lb-algorithm'] === 'least-conn' ||
		(via === 'load balancer' && (spec.loadBalancerSourceRanges ?? []).length > 0)
	);
}

function expectationOf(
	world: RulesWorld,
	asked: Probe,
	match: Match | undefined,
	{ names, changed }: { readonly names: ReadonlyMap<string, string>; readonly changed: boolean },
): Expectation | undefined {
	const outcomeOf = (remembered?: string): Outcome =>
		expectedOutcome(world, asked, {
			rules: 'fairlead',
			directReturn: true,
			changed,
			...(remembered && { remembered }),
		});
	const outcome = outcomeOf();
	switch (outcome.kind) {
		case 'answered': {
			// Nobody says which backend a client has met before, at this address or another one.
			const met =
				match?.service.spec.sessionAffinity === 'ClientIP'
					? servingEndpoints(world, match, familyOfText(asked.address))
					: new Set<string>();
			const answers = [outcome, ...[...met].map(outcomeOf)].flatMap(answersOf);
			return { answers: [...new Set(answers.map(({ address, source }) => `${names.get(address)} from ${source}`))] };
		}
		case 'rejected':
			return 'refused';
		case 'dropped':
			return 'dropped';
		case 'not a service':
			// Nobody listens there; of ICMP errors a host sends few.
			return world.node.addresses.includes(asked.address) && asked.protocol === 'TCP' ? 'refused' : undefined;
	}
}

const answersOf = (outcome: Outcome): readonly Answer[] => (outcome.kind === 'answered' ? outcome.answers : []);
