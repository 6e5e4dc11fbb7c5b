/** What the router in front of a test cluster does for services with addresses outside of it, and what nodes do by XDP. */
import { join } from 'node:path';
import { compileBpf } from '../../../scripts/build-bpf.ts';
import type { Cluster, ClusterNode } from '../cluster.ts';
import { run } from './exec.ts';
import { Place } from './place.ts';

/** As a place to run programs in. */
export function routerOf({ name, client, dir }: Cluster): Place {
	return new Place({ name: 'router', netns: `${name}-router`, cgroup: client.cgroup, dir: join(dir, 'router') });
}

/** MAC address of a device. */
export async function macOf(place: Place, device: string): Promise<string> {
	const [link] = JSON.parse((await place.run(['ip', '-j', 'link', 'show', device])).stdout) as { address: string }[];
	return link?.address ?? '';
}

/** Its routes to these addresses, an IPv4 and an IPv6 one, lead to node `index` from now on. */
export async function leadOutside(cluster: Cluster, [v4, v6]: readonly [string, string], index = 1): Promise<void> {
	const router = `${cluster.name}-router`;
	const node = cluster.node(index).addresses;
	await run(['ip', '-n', router, 'route', 'replace', `${v4}/32`, 'via', node.v4]);
	await run(['ip', '-n', router, 'route', 'replace', `${v6}/128`, 'via', node.v6]);
}

/** Its ports to the nodes take frames that XDP sent: a veth does not unless its far end has a program. */
export async function acceptXdpFrames(cluster: Cluster): Promise<void> {
	const program = join(cluster.dir, 'xdp-pass.bpf.o');
	await compileBpf({ source: join(import.meta.dirname, '../programs/xdp-pass.bpf.c'), output: program });
	for (const { index } of cluster.nodes) {
		await run([
			'ip',
			'-n',
			`${cluster.name}-router`,
			'link',
			'set',
			`node${index}`,
			'xdp',
			'obj',
			program,
			'sec',
			'xdp',
		]);
	}
}

/** Frames that the node's uplink has sent by XDP, without ever making an skb of them. */
export async function sentByXdp(node: ClusterNode): Promise<number> {
	const { stdout } = await node.run(['ethtool', '-S', 'eth0']);
	return [...stdout.matchAll(/rx_queue_\d+_xdp_tx: (\d+)/g)].reduce((sum, [, n]) => sum + Number(n), 0);
}
