/**
 * BIG TCP with real pods: aggregates of more than 64 KB on every way that a pod's packets take, and not one byte wrong. The network between the nodes hands them
 * on as they are, as if the far end's card had put them together.
 */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Netlink, setLink } from '../../agent/kernel/netlink.ts';
import { GSO_BYTES } from '../../agent/model/node-facts.ts';
import { netlinkRequest } from '../../native/index.ts';
import { run } from '../lib/cluster/exec.ts';
import { useCluster } from '../lib/cluster/use.ts';
import { CLIENT, type Cluster, eventually, type Place, type Pod } from '../lib/cluster.ts';

const NODE = join(import.meta.dirname, '../../node_modules/.bin/node');
const PROGRAM = join(import.meta.dirname, '../lib/programs/bulk-echo.ts');
const [PORT, NODE_PORT, MEGABYTES] = [7300, 30_730, 48];
const VIP = { near: '10.96.7.31', far: '10.96.7.32' };

async function serve(place: Place): Promise<void> {
	place.start('bulk', [NODE, PROGRAM, 'serve', String(PORT)]);
	await eventually(`bulk server in ${place.name} listens`, async () => {
		const { stdout } = await place.run(['ss', '-Hltn', `sport = :${PORT}`]);
		if (!stdout.includes(`:${PORT} `)) throw new Error('not yet');
	});
}

/** Links between nodes compute checksums, as cards do; what is behind them is nobody's to set. */
async function letThrough(cluster: Cluster): Promise<void> {
	for (const { netns, index } of cluster.nodes) {
		for (const [ns, device] of [[netns, 'eth0'] as const, [`${cluster.name}-router`, `node${index}`] as const]) {
			await run(['nsenter', `--net=/run/netns/${ns}`, 'ethtool', '-K', device, 'tx', 'on', 'tso', 'on']);
		}
	}
	const netlink = new Netlink({ request: netlinkRequest, netns: `/run/netns/${cluster.name}-router` });
	const links = (await netlink.links()).filter(({ name }) => name !== 'lo');
	await netlink.apply(links.map(({ ifindex }) => setLink({ ifindex }, { gsoIpv4MaxSize: GSO_BYTES.big })));
}

describe('pods that send aggregates of more than 64 KB', () => {
	let pods: Record<'client' | 'near' | 'far', Pod>;
	const cluster = useCluster({ routing: 'direct', nodes: 3, withoutAgents: true }, async (made) => {
		await letThrough(made);
		for (const n of [1, 2]) made.node(n).configure({ northSouth: 'dsr' });
		await made.startAgents();
		const pod = (name: string, n: number): Promise<Pod> => made.createPod({ name, node: made.node(n) });
		pods = { client: await pod('client', 1), near: await pod('near', 1), far: await pod('far', 2) };
		publish(made, 'near', NODE_PORT);
		publish(made, 'far');
		for (const place of [pods.near, pods.far, made.node(1), made.client]) await serve(place);
		await eventually('services answer', () => ask(pods.client, VIP.far, PORT, 1));
	});

	function publish(made: Cluster, name: 'near' | 'far', nodePort?: number): void {
		const ports = [{ port: PORT, ...(nodePort !== undefined && { nodePort }) }];
		const type = nodePort === undefined ? 'ClusterIP' : 'NodePort';
		made.publish({ name, type, clusterIPs: [VIP[name]], ports }, [pods[name]]);
	}

	async function ask(from: Place, host: string, port: number, megabytes: number, cgroup?: string): Promise<void> {
		const command = [NODE, PROGRAM, 'ask', host, String(port), String(megabytes)];
		const { stdout } = await from.run(command, { timeoutMs: 60_000, ...(cgroup && { cgroup }) });
		expect(stdout.trim()).toBe('same');
	}

	/** Whether `place` gets one while something is done again and again. */
	async function getsBig(place: Place, work: () => Promise<void>, seconds = 30): Promise<boolean> {
		const capture = ['tcpdump', '-i', 'eth0', '-Q', 'in', '-n', '-c', '1', 'tcp and greater 66000'];
		let isOver = false;
		const seen = place
			.run(['timeout', String(seconds), ...capture], { allowFailure: true, timeoutMs: 60_000 })
			.finally(() => {
				isOver = true;
			});
		while (!isOver) await work();
		return (await seen).code === 0;
	}

	it('reach pods of their node in one piece, by their addresses and through services', async () => {
		const { client, near } = pods;
		const unhooked = join(cluster().node(1).nodeCgroup, '..', 'client');
		const ways = [
			() => ask(client, near.address('IPv4'), PORT, MEGABYTES),
			() => ask(client, VIP.near, PORT, MEGABYTES),
			() => ask(client, VIP.near, PORT, MEGABYTES, unhooked),
		];
		for (const way of ways) expect(await getsBig(near, way)).toBe(true);
	});

	it.each([
		['a pod of another node', () => [pods.far, pods.far.address('IPv4'), PORT]],
		['a service with a pod of another node', () => [pods.far, VIP.far, PORT]],
		['a NodePort by direct server return', () => [pods.near, cluster().node(2).addresses.v4, NODE_PORT]],
		['a NodePort that translates their address', () => [pods.near, cluster().node(3).addresses.v4, NODE_PORT]],
	] as readonly (readonly [string, () => readonly [Place, string, number]])[])(
		'reach %s in one piece',
		async (_, target) => {
			const [place, host, port] = target();
			expect(await getsBig(place, () => ask(pods.client, host, port, MEGABYTES))).toBe(true);
		},
	);

	it('reach their own node, and clients outside whose link takes them apart', async () => {
		for (const host of [cluster().node(1).addresses.v4, CLIENT.v4]) await ask(pods.client, host, PORT, MEGABYTES);
	});

	it('do not send larger ones over IPv6', async () => {
		const { client, near } = pods;
		expect(await getsBig(near, () => ask(client, near.address('IPv6'), PORT, MEGABYTES), 8)).toBe(false);
	});
});
