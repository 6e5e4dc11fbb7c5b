/**
 * The agent in life on this kernel: two nodes, pods through the CNI plugin, and an outside client; TCP, UDP and SCTP to Services, through the
 * socket hooks and, from a cgroup that they do not see, packet by packet; then policies.
 */
import type { Family } from '../lib/cluster.ts';
import { expectAnswers, type Protocol } from './ask.ts';
import { tryPolicies } from './policies.ts';
import { FAMILIES, OUTSIDE, PORTS, type Scene, UNSERVED, VIP, withScene } from './scene.ts';

const BOTH = ['far', 'near'];

export async function tryVxlan(): Promise<void> {
	await withScene('', { routing: 'vxlan' }, async (scene) => {
		for (const family of FAMILIES) {
			for (const protocol of scene.protocols) {
				await tryServices(scene, family, protocol);
				await tryNodePorts(scene, family, protocol);
				await tryUnserved(scene, family, protocol);
			}
			await tryPods(scene, family);
		}
		await tryPolicies(scene);
	});
}

/** With direct routes and direct server return, in the driver. */
export async function tryDirect(): Promise<void> {
	const options = { routing: 'direct', config: { northSouth: 'dsr', xdp: 'native' } } as const;
	await withScene('direct routes and direct server return, ', options, async (scene) => {
		for (const family of FAMILIES) {
			for (const protocol of scene.protocols) await tryNodePorts(scene, family, protocol);
			await tryPods(scene, family);
		}
	});
}

const titleOf = ({ prefix }: Scene, family: Family, protocol: Protocol): string =>
	`${prefix}${family}, ${protocol.toUpperCase()}`;

async function tryServices(scene: Scene, family: Family, protocol: Protocol): Promise<void> {
	const { cluster, client } = scene;
	const title = titleOf(scene, family, protocol);
	const service = { from: client, protocol, host: VIP[family], port: PORTS[protocol].port };
	// the hooks leave SCTP to the packet path
	if (protocol !== 'sctp') await expectAnswers(`${title} to a Service by the socket hooks`, service, BOTH);
	const unhooked = { ...service, cgroup: cluster.client.cgroup };
	await expectAnswers(`${title} to a Service packet by packet`, unhooked, BOTH);
	await expectAnswers(`${title} from a node to a Service`, { ...service, from: cluster.node(1) }, BOTH);
}

async function tryNodePorts(scene: Scene, family: Family, protocol: Protocol): Promise<void> {
	const { client, nodes } = scene.cluster;
	const [first] = nodes;
	for (const node of nodes) {
		const host = node.addresses[family === 'IPv4' ? 'v4' : 'v6'];
		const title = `${titleOf(scene, family, protocol)} from outside to the NodePort of ${node.name}`;
		await expectAnswers(title, { from: client, protocol, host, port: PORTS[protocol].nodePort }, BOTH);
	}
	if (first === undefined) return;
	const own = {
		from: first,
		protocol,
		host: first.addresses[family === 'IPv4' ? 'v4' : 'v6'],
		port: PORTS[protocol].nodePort,
	};
	const title = `${titleOf(scene, family, protocol)} from a node to its own NodePort`;
	if (protocol !== 'sctp') await expectAnswers(`${title} by the socket hooks`, own, BOTH);
	await expectAnswers(`${title} packet by packet`, { ...own, cgroup: scene.cluster.client.cgroup }, BOTH);
}

async function tryUnserved(scene: Scene, family: Family, protocol: Protocol): Promise<void> {
	const { client, cluster } = scene;
	const unserved = { from: client, protocol, host: UNSERVED[family], port: PORTS[protocol].port, count: 2 };
	const title = `${titleOf(scene, family, protocol)} to a Service without endpoints is refused`;
	const refused = ['error ECONNREFUSED'];
	if (protocol !== 'sctp') await expectAnswers(`${title} by the socket hooks`, unserved, refused);
	await expectAnswers(`${title} packet by packet`, { ...unserved, cgroup: cluster.client.cgroup }, refused);
}

async function tryPods(scene: Scene, family: Family): Promise<void> {
	const { prefix, client, near, far, cluster } = scene;
	const own = client.address(family);
	const node = cluster.node(1).addresses[family === 'IPv4' ? 'v4' : 'v6'];
	for (const [title, host, answer] of [
		['to a pod of the same node', near.address(family), `near ${own}`],
		['to a pod of another node', far.address(family), `far ${own}`],
		['to the outside, masqueraded', OUTSIDE[family], `client ${node}`],
	] as const)
		await expectAnswers(`${prefix}${family}, TCP ${title}`, { from: client, protocol: 'tcp', host }, [answer]);
}
