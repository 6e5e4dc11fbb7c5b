/** A cluster of two nodes with random services, and what the rules expect of every client's connections to them. */
import { join } from 'node:path';
import { nodeObject, ObjectStore } from '../lib/cluster/objects.ts';
import { acceptXdpFrames, sentByXdp } from '../lib/cluster/outside.ts';
import {
	ask,
	type Backing,
	CLIENT,
	type Cluster,
	type ClusterNode,
	eventually,
	type KubeObject,
	type Place,
	type Pod,
	SERVICE_CIDRS,
} from '../lib/cluster.ts';
import { awaitBackends, ECHO_PORTS, HOST_ECHO_PORT, startHostEcho } from '../lib/echo-cluster.ts';
import { type PolicyFlow, simulateFlow } from '../lib/policy-simulator.ts';
import { PROTOCOLS as POLICY_PROTOCOLS } from '../lib/policy-world.ts';
import type { Answer, Outcome, Probe } from '../lib/service-oracle-probe.ts';
import { formatProbe } from '../lib/service-oracle-probe.ts';
import { type Expectation, FIRST_PORT, type ProbeCase } from '../lib/service-probes.ts';
import { expectedOutcome, findService, type Match, type RulesWorld, servingEndpoints } from '../lib/service-rules.ts';
import { familyOfText } from '../lib/service-rules-objects.ts';
import { labelsOf, NAMED_PORTS, NAMESPACE, policyWorldOf } from './random-policies.ts';
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
	readonly policies: readonly KubeObject[];
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
	cluster.objects.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { ...NAMESPACE } });
	const pods: Pod[] = [];
	// one after the other: their addresses, and so what is chosen by hash, are the same each time
	for (const [name, i] of PODS) {
		const labels = labelsOf(name);
		const pod = await cluster.createPod({ name, node: cluster.node(i), labels });
		const ports = NAMED_PORTS.map(({ port, ...named }) => ({ ...named, containerPort: port }));
		cluster.objects.apply(pod.object(labels, ports));
		pods.push(pod);
	}
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
const objectsOf = ({ policies, slices, services }: Round): readonly KubeObject[] => [
	...policies.slice(0, -1),
	...(slices as unknown as KubeObject[]),
	...(services as unknown as KubeObject[]),
	...policies.slice(-1),
];

/** Makes the cluster's objects those of `after`, one by one; the last of its policies and one more service come behind all others. */
export function write(cluster: Cluster, before: Round, after: Round): void {
	const former = new Map(objectsOf(before).map((each) => [nameOf(each), each]));
	for (const each of objectsOf(after)) {
		const old = former.get(nameOf(each));
		former.delete(nameOf(each));
		if (JSON.stringify(old) !== JSON.stringify(each)) cluster.objects.apply(each);
	}
	for (const { kind, metadata } of former.values()) cluster.objects.remove(kind, metadata.name, metadata.namespace);
	const n = MARKS + after.number;
	const ingress = NODES.flatMap((i) => FAMILIES.map((f) => ({ ip: vip(n, i, f) })));
	const clusterIPs = FAMILIES.map((f) => clusterIp(n, f));
	const ports = after.number === 0 ? ECHO_PORTS : ECHO_PORTS.map((port) => ({ ...port, targetPort: HOST_ECHO_PORT }));
	const service = { name: `mark-${after.number}`, type: 'LoadBalancer', clusterIPs, ingress, ports } as const;
	cluster.publish(service, markedOf(cluster, after));
}

/** Backends of the last service, on both nodes: first pods, to which XDP sends, and with policies the nodes, which none is about. */
function markedOf(cluster: Cluster, { number }: Round): readonly Backing[] {
	if (number === 0) return MARKED.map((name) => podOf(cluster, name));
	return cluster.nodes.map(({ name, addresses: { v4, v6 } }) => {
		return { name, nodeName: name, addresses: { IPv4: v4, IPv6: v6 } };
	});
}

/** Beyond the numbers of random services. */
const MARKS = 200;
const MARKED = ['p1', 'p2'] as const;

/** Waits until both nodes know the last service and the last policy, and so all that came before. */
export async function awaitObjects(cluster: Cluster, round: Round): Promise<void> {
	const last = round.policies.at(-1)?.metadata.name ?? '';
	const servers = markedOf(cluster, round).map(({ name }) => name);
	for (const node of cluster.nodes) {
		await awaitBackends(node, clusterIp(MARKS + round.number, 6), PORTS.TCP, servers);
		await eventually(`${node.name} knows policy ${last}`, async () => {
			await node.cli('policy', 'get', `${NAMESPACE.name}/${last}`);
		});
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
	const mayPass = policyOf(round, c);
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
		const expected = expectationOf(world, asked, match, { names, changed, mayPass });
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

/** Whether policies let a probe pass to who may answer it, or, without an answer, away from its client. */
type MayPass = (probe: Probe, answer?: Answer) => boolean;

/**
 * Both ends are judged by what the packet says where they are: egress of a client behind its service, unless another node translates;
 * ingress with the source that the backend sees, which is the entry node's where that masquerades.
 */
function policyOf(round: Round, { kind, home }: ClusterClient): MayPass {
	const world = policyWorldOf(round.policies, round.homes);
	const leaves = (flow: PolicyFlow): boolean => simulateFlow(world, flow).egress.allowed;
	return ({ client, address, port, protocol }, answer) => {
		const proto = POLICY_PROTOCOLS[protocol as 'TCP' | 'UDP'];
		const asked = { from: client.address, to: address, proto, port };
		const isElsewhere = kind === 'outside' && home !== undefined;
		if (answer === undefined) return leaves(asked);
		const flow = { from: client.address, to: answer.address, proto, port: answer.port, viaService: true };
		const seen = kind === 'outside' ? { ...flow, from: answer.source } : flow;
		return leaves(isElsewhere ? asked : flow) && simulateFlow(world, seen).ingress.allowed;
	};
}

function expectationOf(
	world: RulesWorld,
	asked: Probe,
	match: Match | undefined,
	o: { readonly names: ReadonlyMap<string, string>; readonly changed: boolean; readonly mayPass: MayPass },
): Expectation | undefined {
	const outcomeOf = (remembered?: string, probe = asked): Outcome =>
		expectedOutcome(world, probe, {
			rules: 'fairlead',
			directReturn: true,
			changed: o.changed,
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
			// The hook leaves a pod that may reach itself to the packet programs if policies are about that.
			const byPackets = asked.client.kind === 'pod' ? [outcomeOf(undefined, { ...asked, path: 'packet' })] : [];
			const possible = [outcome, ...byPackets, ...[...met].map((each) => outcomeOf(each))].flatMap(answersOf);
			const passing = possible.filter((answer) => o.mayPass(asked, answer));
			const answers = [...new Set(passing.map(({ address, source }) => `${o.names.get(address)} from ${source}`))];
			return { answers, ...(passing.length < possible.length && { orDropped: true }) };
		}
		case 'rejected':
			// by another node than a pod's own its packet must leave that first
			return asked.client.kind === 'outside' && !o.mayPass(asked) ? 'dropped' : 'refused';
		case 'dropped':
			return 'dropped';
		case 'not a service':
			// Nobody listens there; of ICMP errors a host sends few.
			if (!world.node.addresses.includes(asked.address) || asked.protocol !== 'TCP') return undefined;
			return o.mayPass(asked) ? 'refused' : 'dropped';
	}
}

const answersOf = (outcome: Outcome): readonly Answer[] => (outcome.kind === 'answered' ? outcome.answers : []);
