/**
 * Services of a cluster whose nodes have two networks: what must come of asking for them at the addresses of the second one. The
 * rules are those of service-table.ts: a client's address is kept if the backend is on the node that it comes to.
 */
import { SECOND_VIPS, type SecondNetwork, secondAddresses } from './cluster/second-network.ts';
import { type Cluster, type ClusterNode, curl, eventually, type Family, type Pod, urlOf } from './cluster.ts';
import { ECHO_PORT, startHostEcho } from './echo-cluster.ts';
import type { ProbeCase } from './service-probes.ts';

export const FAMILIES = ['IPv4', 'IPv6'] as const;
export const MODES = ['tcp', 'udp'] as const;
/** Echo servers that answer from the address of the Node object, as servers must whose machine has several. */
const NODE_ECHO_PORT = 7200;
const WEB_TARGET = 8080;
const PORT = { tcp: 80, udp: 53 } as const;
/** For each case. */
const REQUESTS = 24;

type NodeIndex = 1 | 2;
interface UplinkService {
	/** Tells addresses and node port. */
	readonly number: number;
	readonly backends: readonly { readonly name: string; readonly node: NodeIndex }[];
	readonly local?: true;
}

const P1 = { name: 'p1', node: 1 } as const;
const P2 = { name: 'p2', node: 2 } as const;
const SERVICES = {
	'on-1': { number: 1, backends: [P1] },
	'on-2': { number: 2, backends: [P2] },
	both: { number: 3, backends: [P1, P2] },
	'both-local': { number: 4, backends: [P1, P2], local: true },
	'host-1': { number: 5, backends: [{ name: 'node1', node: 1 }] },
	'host-2': { number: 6, backends: [{ name: 'node2', node: 2 }] },
} as const satisfies Record<string, UplinkService>;
export type ServiceName = keyof typeof SERVICES;
const NAMES = Object.keys(SERVICES) as ServiceName[];
export const OF_PODS = NAMES.filter((name) => !name.startsWith('host'));
export const OF_NODES = NAMES.filter((name) => name.startsWith('host'));
const rowOf = (name: ServiceName): UplinkService => SERVICES[name];

/** Of p1. */
export const HOST_PORT = 8088;
/** Backends are nginx in both pods. */
export const WEB = { name: 'web', nodePort: 31_950, clusterIPs: ['10.96.4.50', 'fd00:96::450'] } as const;

export const clusterIp = (name: ServiceName, f: Family): string =>
	f === 'IPv4' ? `10.96.4.${rowOf(name).number}` : `fd00:96::40${rowOf(name).number}`;
export const nodePort = (name: ServiceName): number => 31_900 + rowOf(name).number;
/** Address that the second network leads to a node: of its load balancer, or an external IP. */
const routedTo = (name: ServiceName, node: NodeIndex, f: Family, kind: 'VIP' | 'external IP'): string => {
	const host = kind === 'VIP' ? rowOf(name).number : 100 + rowOf(name).number;
	const prefix = f === 'IPv4' ? SECOND_VIPS[node].v4.replace('0/24', '') : SECOND_VIPS[node].v6.replace('/64', '');
	return `${prefix}${host}`;
};

/** Of two addresses the one of a family. */
export const of = (address: { readonly v4: string; readonly v6: string }, f: Family): string =>
	f === 'IPv4' ? address.v4 : address.v6;

/** Under which address a client asks for a service, at each node. */
export type At = 'first address' | 'second address' | 'VIP' | 'external IP';

function hostOf(name: ServiceName, node: ClusterNode, at: At, f: Family): string {
	if (at === 'first address') return of(node.addresses, f);
	if (at === 'second address') return of(secondAddresses(node), f);
	return routedTo(name, node.index === 1 ? 1 : 2, f, at);
}

/** Dozens of requests by TCP and UDP for each service at each of some nodes. @param client  addresses that the nodes see */
export function casesOf(
	nodes: readonly ClusterNode[],
	client: { readonly v4: string; readonly v6: string },
	names: readonly ServiceName[],
	places: readonly At[],
): ProbeCase[] {
	const cases: ProbeCase[] = [];
	for (const name of names) {
		for (const node of nodes) {
			const { backends, local } = rowOf(name);
			const eligible = local ? backends.filter((b) => b.node === node.index) : backends;
			for (const f of FAMILIES) {
				const seen = (b: { node: NodeIndex }): string => of(b.node === node.index ? client : node.addresses, f);
				const expected = { answers: eligible.map((b) => `${b.name} from ${seen(b)}`) };
				for (const at of places) {
					for (const mode of MODES) {
						const host = hostOf(name, node, at, f);
						const port = at.endsWith('address') ? nodePort(name) : PORT[mode];
						const about = `${name} at ${at} of ${node.name}`;
						cases.push({ group: 'requests', mode, host, port, count: REQUESTS, about, expected });
					}
				}
			}
		}
	}
	return cases;
}

function publish(cluster: Cluster, name: ServiceName): void {
	const { backends, local } = rowOf(name);
	const ofNodes = OF_NODES.includes(name);
	const ports = MODES.map((mode) => ({
		name: mode,
		port: PORT[mode],
		targetPort: ofNodes ? NODE_ECHO_PORT : ECHO_PORT,
		protocol: mode === 'tcp' ? ('TCP' as const) : ('UDP' as const),
		nodePort: nodePort(name),
	}));
	const each = (kind: 'VIP' | 'external IP'): string[] =>
		FAMILIES.flatMap((f) => ([1, 2] as const).map((node) => routedTo(name, node, f, kind)));
	const endpoints = backends.map((b) => {
		const { v4, v6 } = cluster.node(b.node).addresses;
		const pod = cluster.pods.find((one) => one.name === b.name);
		return { name: b.name, nodeName: `node${b.node}`, addresses: pod?.addresses ?? { IPv4: v4, IPv6: v6 } };
	});
	cluster.publish(
		{
			name,
			type: 'LoadBalancer',
			clusterIPs: FAMILIES.map((f) => clusterIp(name, f)),
			ports,
			ingress: each('VIP').map((ip) => ({ ip })),
			extra: { externalIPs: each('external IP'), externalTrafficPolicy: local ? 'Local' : 'Cluster' },
		},
		endpoints,
	);
}

/** A pod with servers on each of two nodes, servers on the nodes and on all clients, and the services, known to both nodes. */
export async function populateUplinks(cluster: Cluster, second: SecondNetwork): Promise<{ p1: Pod; p2: Pod }> {
	const [p1, p2] = await Promise.all([
		cluster.createPod({
			node: cluster.node(1),
			name: 'p1',
			portMappings: [
				{ hostPort: HOST_PORT, containerPort: ECHO_PORT, protocol: 'tcp' },
				{ hostPort: HOST_PORT, containerPort: ECHO_PORT, protocol: 'udp' },
			],
		}),
		cluster.createPod({ node: cluster.node(2), name: 'p2' }),
	]);
	await Promise.all([
		...[p1, p2].flatMap((pod) => [pod.startEcho(), pod.startNginx(WEB_TARGET)]),
		...[cluster.client, second.near, second.far].map((place) => startHostEcho(place)),
		...cluster.nodes.flatMap((node) => FAMILIES.map((f) => startHostEcho(node, NODE_ECHO_PORT, of(node.addresses, f)))),
	]);
	for (const name of NAMES) publish(cluster, name);
	const ports = [{ port: 80, targetPort: WEB_TARGET, nodePort: WEB.nodePort }];
	cluster.publish({ ...WEB, type: 'NodePort', ports }, [p1, p2]);
	for (const pod of [p1, p2]) {
		for (const address of WEB.clusterIPs) {
			await eventually(`curl reaches ${address}`, () => curl(pod, urlOf(address)));
		}
	}
	return { p1, p2 };
}
