/**
 * New connections through services. Pod to ClusterIP against straight to the pod; outside client to a NodePort whose backend is
 * on another node against kernel DNAT by nftables with masquerading and conntrack, on two further nodes of the same network
 * (plain veth and routes). Real agents, real pods; the paths take turns within each round.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compileBpf } from '../scripts/build-bpf.ts';
import { run } from '../test/lib/cluster/exec.ts';
import { createNode, nodeAddresses, setSysctls } from '../test/lib/cluster/topology.ts';
import { Cluster, eventually, Place, type Pod } from '../test/lib/cluster.ts';
import type { Figure, FigureInfo, Suite } from './figures.ts';
import { median, rounded, spread } from './figures.ts';
import { buildTraffic, firstNumber } from './tools.ts';

const ROUNDS = 7;
const MS = 1000;
const PARALLEL = 16;
const PORT = 7200;
const NODE_PORT = 30_720;
const VIP = '10.96.7.8';
/** Addresses of the yardstick's nodes and of its server. */
const YARDSTICK = { entry: 8, far: 9, server: '10.199.9.2', gateway: '10.199.9.1', subnet: '10.199.9.0/24' } as const;
/** All ends of every path share one CPU: the rate is then what the path costs, not how long another CPU takes to wake up. */
const ON_CPU = ['taskset', '-c', '1'];

const FIGURES: readonly FigureInfo[] = [
	{
		id: 'cps.clusterip.ratio',
		what: 'new TCP connections per second, pod to ClusterIP against straight to the pod, both on this node',
		target: { atLeast: 0.95 },
	},
	{
		id: 'nodeport.rps.ratio',
		what: 'requests per second, a connection each, outside to NodePort with a remote backend, against DNAT by nftables',
		target: { atLeast: 1.3 },
	},
	{ id: 'nodeport.rps.tc.ratio', what: 'the same without XDP' },
];

interface Path {
	readonly name: 'pod' | 'clusterip' | 'nftables' | 'xdp' | 'tc';
	readonly from: Place;
	readonly to: string;
	readonly port: number;
}

async function startServer(place: Place, traffic: string): Promise<void> {
	place.start('answer', [...ON_CPU, traffic, 'answer', String(PORT)]);
	await eventually(`server in ${place.name} listens`, async () => {
		const { stdout } = await place.run(['ss', '-Hltn', `sport = :${PORT}`]);
		if (!stdout.includes(`:${PORT} `)) throw new Error('not yet');
	});
}

const NFT_RULES = (entry: string): string => `
table ip services {
	chain prerouting {
		type nat hook prerouting priority dstnat;
		ip daddr ${entry} tcp dport ${NODE_PORT} dnat to ${YARDSTICK.server}:${PORT}
	}
	chain postrouting {
		type nat hook postrouting priority srcnat;
		ip daddr ${YARDSTICK.server} tcp dport ${PORT} masquerade fully-random
	}
}
`;

/** Two more nodes on the cluster's network, without agents: what nftables does for the same job. Returns the entry's address. */
async function makeYardstick(cluster: Cluster, traffic: string): Promise<string> {
	const entry = await createNode(cluster.name, cluster.dir, YARDSTICK.entry, 0);
	const far = await createNode(cluster.name, cluster.dir, YARDSTICK.far, 0);
	const [entryAddress, farAddress] = [nodeAddresses(YARDSTICK.entry, 0).v4, nodeAddresses(YARDSTICK.far, 0).v4];
	const netns = `${cluster.name}-nftpod`;
	await run(['ip', 'netns', 'add', netns]);
	for (const node of [entry, far]) await setSysctls(node, { 'net/ipv4/ip_forward': 1 });
	const ip = (ns: string, ...words: string[]) => run(['ip', '-n', ns, ...words]);
	await ip(far, 'link', 'add', 'to-pod', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns);
	await ip(far, 'address', 'add', `${YARDSTICK.gateway}/24`, 'dev', 'to-pod');
	await ip(far, 'link', 'set', 'to-pod', 'up');
	await ip(netns, 'address', 'add', `${YARDSTICK.server}/24`, 'dev', 'eth0');
	for (const device of ['lo', 'eth0']) await ip(netns, 'link', 'set', device, 'up');
	await ip(netns, 'route', 'add', 'default', 'via', YARDSTICK.gateway);
	await ip(entry, 'route', 'add', YARDSTICK.subnet, 'via', farAddress);
	const rules = join(cluster.dir, 'nat.nft');
	await writeFile(rules, NFT_RULES(entryAddress));
	await run(['nsenter', `--net=/run/netns/${entry}`, 'nft', '-f', rules]);
	const server = new Place({ name: 'nftpod', netns, cgroup: cluster.client.cgroup, dir: join(cluster.dir, 'nftpod') });
	await startServer(server, traffic);
	return entryAddress;
}

/** The switch's ports to the nodes must take frames that XDP sent; an agent without XDP is node 3's. */
async function startAgents(cluster: Cluster): Promise<void> {
	const program = join(cluster.dir, 'xdp-pass.bpf.o');
	const source = join(import.meta.dirname, '..', 'test/lib/programs/xdp-pass.bpf.c');
	await compileBpf({ source, output: program });
	await run(['ip', '-n', `${cluster.name}-router`, 'link', 'set', 'node1', 'xdp', 'obj', program, 'sec', 'xdp']);
	cluster.node(1).configure({ xdp: 'native' });
	for (const index of [2, 3]) cluster.node(index).configure({ xdp: 'off' });
	await cluster.startAgents();
}

async function setUp(cluster: Cluster, traffic: string): Promise<readonly Path[]> {
	const nftables = await makeYardstick(cluster, traffic);
	await startAgents(cluster);
	const [client, near, far] = await Promise.all([
		cluster.createPod({ node: cluster.node(1), name: 'client' }),
		cluster.createPod({ node: cluster.node(1), name: 'near' }),
		cluster.createPod({ node: cluster.node(2), name: 'far' }),
	]);
	const publish = (name: string, clusterIp: string, pod: Pod, nodePort?: number): void =>
		cluster.publish(
			{
				name,
				type: nodePort === undefined ? 'ClusterIP' : 'NodePort',
				clusterIPs: [clusterIp],
				ports: [{ port: PORT, ...(nodePort === undefined ? {} : { nodePort }) }],
			},
			[pod],
		);
	publish('near', VIP, near);
	publish('far', '10.96.7.9', far, NODE_PORT);
	for (const pod of [near, far]) await startServer(pod, traffic);
	const outside = { from: cluster.client, port: NODE_PORT };
	const paths: readonly Path[] = [
		{ name: 'pod', from: client, to: near.address('IPv4'), port: PORT },
		{ name: 'clusterip', from: client, to: VIP, port: PORT },
		{ name: 'nftables', ...outside, to: nftables },
		{ name: 'xdp', ...outside, to: cluster.node(1).addresses.v4 },
		{ name: 'tc', ...outside, to: cluster.node(3).addresses.v4 },
	];
	for (const path of paths) {
		await eventually(`the path ${path.name} answers`, () => rate(traffic, path, 10));
	}
	return paths;
}

/** Requests per second, a connection each. */
async function rate(traffic: string, { from, to, port }: Path, ms: number): Promise<number> {
	const command = [...ON_CPU, traffic, 'requests', to, String(port), String(ms), String(PARALLEL)];
	return firstNumber((await from.run(command)).stdout);
}

type Samples = Map<string, number[]>;

async function rounds(traffic: string, paths: readonly Path[], progress: (text: string) => void): Promise<Samples> {
	progress(`connections: ${paths.length} paths, ${ROUNDS} rounds`);
	const samples: Samples = new Map(paths.map(({ name }) => [name, []]));
	for (let round = 0; round < ROUNDS; round++) {
		for (const path of round % 2 === 0 ? paths : paths.toReversed()) {
			samples.get(path.name)?.push(await rate(traffic, path, MS));
		}
	}
	return samples;
}

/** Figure → the path that it is about, and the one that it is compared with. */
const COMPARED: Readonly<Record<string, { own: Path['name']; base: Path['name']; baseline: string }>> = {
	'cps.clusterip.ratio': { own: 'clusterip', base: 'pod', baseline: 'straight to the pod, same round' },
	'nodeport.rps.ratio': { own: 'xdp', base: 'nftables', baseline: 'nftables dnat + masquerade, same round' },
	'nodeport.rps.tc.ratio': { own: 'tc', base: 'nftables', baseline: 'nftables dnat + masquerade, same round' },
};

function figureOf(id: string, samples: Samples): Figure {
	const compared = COMPARED[id];
	if (!compared) throw new Error(`no figure ${id} here`);
	const own = samples.get(compared.own) ?? [];
	const base = samples.get(compared.base) ?? [];
	const ratios = own.map((value, i) => value / (base[i] ?? Number.NaN));
	const note = `${rounded(median(own))} against ${rounded(median(base))} /s, ${PARALLEL} at a time; spread ${spread(ratios, 2)}`;
	return { id, value: rounded(median(ratios)), unit: '×', baseline: compared.baseline, runs: ratios.length, note };
}

export const servicesTrafficSuite: Suite = {
	name: 'services traffic',
	figures: FIGURES,
	async run(ids, progress) {
		const directory = await mkdtemp(join(tmpdir(), 'fairlead-bench-'));
		let cluster: Cluster | undefined;
		try {
			const traffic = await buildTraffic(directory);
			cluster = await Cluster.create({ nodes: 3, routing: 'direct', withoutAgents: true, progress });
			const wanted = FIGURES.filter(({ id }) => ids.has(id));
			const names = new Set(wanted.flatMap(({ id }) => [COMPARED[id]?.own, COMPARED[id]?.base]));
			const paths = (await setUp(cluster, traffic)).filter(({ name }) => names.has(name));
			const samples = await rounds(traffic, paths, progress);
			return wanted.map(({ id }) => figureOf(id, samples));
		} finally {
			await cluster?.destroy();
			await rm(directory, { recursive: true, force: true });
		}
	},
};
