/**
 * Requests through services. Pod to ClusterIP against straight to the pod; outside client to a NodePort whose backend is on another
 * node against kernel DNAT by nftables with masquerading and conntrack, on two further nodes of the same network (plain veth and
 * routes). Real agents, real pods; the paths take turns within each round.
 *
 * `nodeport.rps.ratio` is what a cluster with the default configuration does: the node's address as source, by tc, because these
 * uplinks are veths and `xdp: auto` leaves those alone. XDP is measured as well, by an agent that is told to use it: a veth copies each
 * TCP packet into a page for it and makes a new skb at the other end, which no network card does. Direct server return has figures of
 * its own, as it must be configured. With a connection per request most of the time is that of both ends' sockets; what the same path
 * costs when connections are kept is `nodeport.rr.ratio`. How much both ends and the way between them take without any entry
 * node is measured beside (`straight`), with a server's node that forwards as nftables' does: an entry node that costs nothing reaches that, and what the
 * server's node saves by forwarding in BPF.
 *
 * `nodeport.wire.*` are the same paths over a network that hands frames over as network cards do (wire.ts), which is what XDP is for.
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
import { kubeProxyRules } from './kube-proxy-rules.ts';
import { buildTraffic, firstNumber } from './tools.ts';
import { makeWire } from './wire.ts';

/** How long and how hard each path is asked; on the wire in many short rounds, of which a neighbour on the host disturbs few. */
const LOAD = {
	bridge: { rounds: 7, ms: 1000, requests: 16, kept: 16 },
	wire: { rounds: 15, ms: 500, requests: 16, kept: 64 },
} as const;
const PORT = 7200;
const NODE_PORT = 30_720;
const VIP = '10.96.7.8';
/** Two nodes without agents, and the server on the second of them. */
interface Yardstick {
	/** Numbers of the nodes. */
	readonly entry: number;
	readonly far: number;
	/** Network of the server, without the last number. */
	readonly network: string;
	/** What nft reads on a node with this address. */
	readonly rules: (node: string, server: string) => string;
	/** Whether the second node has rules too. */
	readonly everywhere: boolean;
}

const BARE: Yardstick = { entry: 8, far: 9, network: '10.199.9', rules: bareRules, everywhere: false };
const KUBE_PROXY: Yardstick = {
	entry: 10,
	far: 11,
	network: '10.199.11',
	rules: (node, server) =>
		kubeProxyRules(node, '10.199.0.0/16', {
			clusterIp: '10.96.7.10',
			port: PORT,
			nodePort: NODE_PORT,
			endpoint: { address: server, port: PORT },
		}),
	everywhere: true,
};
const YARDSTICKS = [BARE, KUBE_PROXY];
/** Number of the machine that asks over the wire. */
const MACHINE = 12;
const serverOf = ({ network }: Yardstick): string => `${network}.2`;
/** Another address of the server, which no rule names. */
const STRAIGHT = `${BARE.network}.3`;
/** All ends of every path share one CPU: the rate is then what the path costs, not how long another CPU takes to wake up. */
const ON_CPU = ['taskset', '-c', '1'];

interface Path {
	readonly name: 'pod' | 'clusterip' | 'nftables' | 'kube-proxy' | 'straight' | 'xdp' | 'tc' | 'dsr';
	readonly from: Place;
	readonly to: string;
	readonly port: number;
}

/** `requests`: a connection each; `kept`: one after the other on the same connections. */
type Kind = 'requests' | 'kept';

/** `bridge`: veths and a bridge, the client behind a router. `wire`: see wire.ts, the client on the nodes' network. */
type Network = keyof typeof LOAD;

/** The path that a figure is about, and the one that it is compared with. */
interface Comparison {
	/** Default: the bridge. */
	readonly network?: Network;
	readonly kind: Kind;
	readonly own: Path['name'];
	readonly base: Path['name'];
}

const ENTRY = 'nodeport.entry.ratio';

interface TrafficFigure extends FigureInfo {
	readonly compared: Comparison;
}

const FIGURES: readonly TrafficFigure[] = [
	{
		id: 'cps.clusterip.ratio',
		what: 'new TCP connections per second, pod to ClusterIP against straight to the pod, both on this node',
		target: { atLeast: 0.95 },
		compared: { kind: 'requests', own: 'clusterip', base: 'pod' },
	},
	{
		id: 'nodeport.rps.ratio',
		what: 'requests per second, a connection each, outside to NodePort with a remote backend, against DNAT by nftables',
		target: { atLeast: 1.3 },
		compared: { kind: 'requests', own: 'tc', base: 'nftables' },
	},
	{
		id: 'nodeport.rps.kubeproxy.ratio',
		what: 'the same against the rules that kube-proxy has on both nodes',
		compared: { kind: 'requests', own: 'tc', base: 'kube-proxy' },
	},
	{
		id: 'nodeport.rr.kubeproxy.ratio',
		what: 'that on kept connections',
		compared: { kind: 'kept', own: 'tc', base: 'kube-proxy' },
	},
	{
		id: 'nodeport.rps.dsr.kubeproxy.ratio',
		what: 'direct server return against these rules',
		compared: { kind: 'requests', own: 'dsr', base: 'kube-proxy' },
	},
	{
		id: 'nodeport.rr.dsr.kubeproxy.ratio',
		what: 'that on kept connections',
		compared: { kind: 'kept', own: 'dsr', base: 'kube-proxy' },
	},
	{
		id: 'nodeport.rps.xdp.ratio',
		what: 'the same by XDP on a veth',
		compared: { kind: 'requests', own: 'xdp', base: 'nftables' },
	},
	{
		id: 'nodeport.rps.dsr.ratio',
		what: 'the same with direct server return (northSouth: dsr)',
		compared: { kind: 'requests', own: 'dsr', base: 'nftables' },
	},
	{
		id: 'nodeport.rps.straight.ratio',
		what: 'the same straight to the server, by no entry node; its own node forwards by the kernel',
		compared: { kind: 'requests', own: 'straight', base: 'nftables' },
	},
	{
		id: 'nodeport.rr.ratio',
		what: 'requests per second on kept connections, otherwise as nodeport.rps.ratio',
		compared: { kind: 'kept', own: 'tc', base: 'nftables' },
	},
	{
		id: 'nodeport.rr.xdp.ratio',
		what: 'the same by XDP on a veth',
		compared: { kind: 'kept', own: 'xdp', base: 'nftables' },
	},
	{
		id: 'nodeport.rr.dsr.ratio',
		what: 'the same with direct server return',
		compared: { kind: 'kept', own: 'dsr', base: 'nftables' },
	},
	{
		id: 'nodeport.rr.straight.ratio',
		what: 'the same straight to the server, by no entry node',
		compared: { kind: 'kept', own: 'straight', base: 'nftables' },
	},
	{
		id: 'nodeport.wire.rr.ratio',
		what: 'nodeport.rr.ratio by XDP, 64 at a time, over a wire without socket buffers',
		compared: { network: 'wire', kind: 'kept', own: 'xdp', base: 'nftables' },
	},
	{
		id: 'nodeport.wire.rr.tc.ratio',
		what: 'the same by tc',
		compared: { network: 'wire', kind: 'kept', own: 'tc', base: 'nftables' },
	},
	{
		id: 'nodeport.wire.rr.straight.ratio',
		what: 'the same straight to the server, by no entry node',
		compared: { network: 'wire', kind: 'kept', own: 'straight', base: 'nftables' },
	},
	{
		id: 'nodeport.wire.rr.kubeproxy.ratio',
		what: 'by XDP against the rules that kube-proxy has on both nodes',
		compared: { network: 'wire', kind: 'kept', own: 'xdp', base: 'kube-proxy' },
	},
	{
		id: 'nodeport.wire.rps.ratio',
		what: 'nodeport.rps.ratio by XDP, over a wire without socket buffers',
		compared: { network: 'wire', kind: 'requests', own: 'xdp', base: 'nftables' },
	},
	{
		id: 'nodeport.wire.rps.straight.ratio',
		what: 'the same straight to the server, by no entry node',
		compared: { network: 'wire', kind: 'requests', own: 'straight', base: 'nftables' },
	},
	{
		id: 'nodeport.wire.rps.kubeproxy.ratio',
		what: 'by XDP against the rules that kube-proxy has on both nodes',
		compared: { network: 'wire', kind: 'requests', own: 'xdp', base: 'kube-proxy' },
	},
	{
		id: ENTRY,
		what: 'time that the entry node adds to a request on a kept connection: that of nftables over ours',
		compared: { kind: 'kept', own: 'tc', base: 'nftables' },
	},
];

async function startServer(place: Place, traffic: string): Promise<void> {
	place.start('answer', [...ON_CPU, traffic, 'answer', String(PORT)]);
	await eventually(`server in ${place.name} listens`, async () => {
		const { stdout } = await place.run(['ss', '-Hltn', `sport = :${PORT}`]);
		if (!stdout.includes(`:${PORT} `)) throw new Error('not yet');
	});
}

/** The least that nftables can do: one rule to the server and one for the way back. */
function bareRules(node: string, server: string): string {
	return `
table ip services {
	chain prerouting {
		type nat hook prerouting priority dstnat;
		ip daddr ${node} tcp dport ${NODE_PORT} dnat to ${server}:${PORT}
	}
	chain postrouting {
		type nat hook postrouting priority srcnat;
		ip daddr ${server} tcp dport ${PORT} masquerade fully-random
	}
}
`;
}

/** Two more nodes on the cluster's network, without agents: what nftables does for the same job. Returns the entry's address. */
async function makeYardstick(cluster: Cluster, traffic: string, yardstick: Yardstick): Promise<string> {
	const entry = await createNode(cluster.name, cluster.dir, yardstick.entry, 0);
	const far = await createNode(cluster.name, cluster.dir, yardstick.far, 0);
	const [entryAddress, farAddress] = [nodeAddresses(yardstick.entry, 0).v4, nodeAddresses(yardstick.far, 0).v4];
	const name = `nftpod${yardstick.far}`;
	const netns = `${cluster.name}-${name}`;
	const gateway = `${yardstick.network}.1`;
	await run(['ip', 'netns', 'add', netns]);
	for (const node of [entry, far]) await setSysctls(node, { 'net/ipv4/ip_forward': 1 });
	const ip = (ns: string, ...words: string[]) => run(['ip', '-n', ns, ...words]);
	await ip(far, 'link', 'add', 'to-pod', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns);
	await ip(far, 'address', 'add', `${gateway}/24`, 'dev', 'to-pod');
	await ip(far, 'link', 'set', 'to-pod', 'up');
	for (const last of [2, 3]) await ip(netns, 'address', 'add', `${yardstick.network}.${last}/24`, 'dev', 'eth0');
	for (const device of ['lo', 'eth0']) await ip(netns, 'link', 'set', device, 'up');
	await ip(netns, 'route', 'add', 'default', 'via', gateway);
	await ip(entry, 'route', 'add', `${yardstick.network}.0/24`, 'via', farAddress);
	await ip(`${cluster.name}-router`, 'route', 'add', `${yardstick.network}.3`, 'via', farAddress);
	for (const [node, address] of [
		[entry, entryAddress],
		...(yardstick.everywhere ? [[far, farAddress] as const] : []),
	] as const) {
		const rules = join(cluster.dir, `${node}.nft`);
		await writeFile(rules, yardstick.rules(address, serverOf(yardstick)));
		await run(['nsenter', `--net=/run/netns/${node}`, 'nft', '-f', rules]);
	}
	const server = new Place({ name, netns, cgroup: cluster.client.cgroup, dir: join(cluster.dir, name) });
	await startServer(server, traffic);
	return entryAddress;
}

/**
 * The switch's port to node 1 must take frames that XDP sent. Node 3 has the defaults; node 4 leaves replies to the backend's node, which
 * therefore opens envelopes.
 */
async function startAgents(cluster: Cluster): Promise<void> {
	const program = join(cluster.dir, 'xdp-pass.bpf.o');
	const source = join(import.meta.dirname, '..', 'test/lib/programs/xdp-pass.bpf.c');
	await compileBpf({ source, output: program });
	await run(['ip', '-n', `${cluster.name}-router`, 'link', 'set', 'node1', 'xdp', 'obj', program, 'sec', 'xdp']);
	cluster.node(1).configure({ xdp: 'native' });
	for (const index of [2, 4]) cluster.node(index).configure({ northSouth: 'dsr' });
	await cluster.startAgents();
}

async function setUp(cluster: Cluster, traffic: string): Promise<readonly Path[]> {
	const nftables = await makeYardstick(cluster, traffic, BARE);
	const kubeProxy = await makeYardstick(cluster, traffic, KUBE_PROXY);
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
		{ name: 'kube-proxy', ...outside, to: kubeProxy },
		{ name: 'xdp', ...outside, to: cluster.node(1).addresses.v4 },
		{ name: 'tc', ...outside, to: cluster.node(3).addresses.v4 },
		{ name: 'dsr', ...outside, to: cluster.node(4).addresses.v4 },
		{ name: 'straight', from: cluster.client, to: STRAIGHT, port: PORT },
	];
	for (const path of paths) {
		await eventually(`the path ${path.name} answers`, () => rate(traffic, 'requests', path, 10, 1));
	}
	return paths;
}

/** Puts all machines on the wire, for good. @returns the ways from outside, from a machine on the nodes' network without agent or rules */
async function overWire(cluster: Cluster, paths: readonly Path[]): Promise<readonly Path[]> {
	const netns = await createNode(cluster.name, cluster.dir, MACHINE, 0);
	await run(['ip', '-n', netns, 'route', 'add', STRAIGHT, 'via', nodeAddresses(BARE.far, 0).v4]);
	const indices = [...cluster.nodes.map(({ index }) => index), ...YARDSTICKS.flatMap((y) => [y.entry, y.far]), MACHINE];
	await makeWire({
		switchNetns: `${cluster.name}-router`,
		ports: indices.map((index) => `node${index}`),
		machines: indices.map((index) => `${cluster.name}-node${index}`),
		dir: cluster.dir,
		bpffsDir: `/sys/fs/bpf/${cluster.name}-wire`,
	});
	const from = new Place({ name: 'machine', netns, cgroup: cluster.client.cgroup, dir: join(cluster.dir, 'machine') });
	return paths.filter((path) => path.from === cluster.client).map((path) => ({ ...path, from }));
}

/** Requests per second. */
async function rate(traffic: string, kind: Kind, { from, to, port }: Path, ms: number, many: number): Promise<number> {
	const command = [...ON_CPU, traffic, kind, to, String(port), String(ms), String(many)];
	return firstNumber((await from.run(command)).stdout);
}

/** Requests per second by kind and name of path, a value per round. */
type Samples = Map<string, number[]>;

const keyOf = (kind: Kind, name: Path['name']): string => `${kind} ${name}`;

const BASELINE: Partial<Record<Path['name'], string>> = {
	pod: 'straight to the pod, same round',
	nftables: 'nftables dnat + masquerade, same round',
	'kube-proxy': 'rules of kube-proxy (nftables mode) on both nodes, same round',
};

/** Which paths the figures need, by kind. */
function wantedPaths(figures: readonly TrafficFigure[]): ReadonlyMap<Kind, ReadonlySet<Path['name']>> {
	const wanted = new Map<Kind, Set<Path['name']>>();
	for (const { id, compared } of figures) {
		const { kind, own, base } = compared;
		const names = wanted.get(kind) ?? new Set();
		for (const name of [own, base]) names.add(name);
		if (id === ENTRY) names.add('straight');
		wanted.set(kind, names);
	}
	return wanted;
}

async function rounds(
	traffic: string,
	network: Network,
	paths: readonly Path[],
	figures: readonly TrafficFigure[],
	progress: (text: string) => void,
): Promise<Samples> {
	const samples: Samples = new Map();
	const load = LOAD[network];
	for (const [kind, names] of wantedPaths(figures)) {
		progress(`${kind} over the ${network}: ${[...names].join(', ')}, ${load.rounds} rounds`);
		const used = paths.filter(({ name }) => names.has(name));
		for (let round = 0; round < load.rounds; round++) {
			for (const path of round % 2 === 0 ? used : used.toReversed()) {
				const key = keyOf(kind, path.name);
				const perSecond = await rate(traffic, kind, path, load.ms, load[kind]);
				samples.set(key, [...(samples.get(key) ?? []), perSecond]);
			}
		}
	}
	return samples;
}

/** What the entry node adds to a request, over the way without it; medians, as differences of single rounds are noise. */
function entryFigure(samples: Samples): Figure {
	const us = (name: Path['name']): number => 1e6 / median(samples.get(keyOf('kept', name)) ?? []);
	const [own, base] = [us('tc') - us('straight'), us('nftables') - us('straight')];
	const note = `${rounded(own)} against ${rounded(base)} µs of ${rounded(us('tc'))} and ${rounded(us('nftables'))}`;
	return {
		id: ENTRY,
		value: rounded(base / own),
		unit: '×',
		baseline: BASELINE.nftables ?? '',
		runs: LOAD.bridge.rounds,
		note,
	};
}

function figureOf({ id, compared }: TrafficFigure, samples: Samples): Figure {
	if (id === ENTRY) return entryFigure(samples);
	const { network = 'bridge', kind, own: ownName, base: baseName } = compared;
	const own = samples.get(keyOf(kind, ownName)) ?? [];
	const base = samples.get(keyOf(kind, baseName)) ?? [];
	const ratios = own.map((value, i) => value / (base[i] ?? Number.NaN));
	const note = `${rounded(median(own))} against ${rounded(median(base))} /s, ${LOAD[network][kind]} at a time; spread ${spread(ratios, 2)}`;
	const baseline = BASELINE[baseName] ?? baseName;
	return { id, value: rounded(median(ratios)), unit: '×', baseline, runs: ratios.length, note };
}

export const servicesTrafficSuite: Suite = {
	name: 'services traffic',
	figures: FIGURES,
	async run(ids, progress) {
		const directory = await mkdtemp(join(tmpdir(), 'fairlead-bench-'));
		let cluster: Cluster | undefined;
		try {
			const traffic = await buildTraffic(directory);
			cluster = await Cluster.create({ nodes: 4, routing: 'direct', withoutAgents: true, progress });
			const wanted = FIGURES.filter(({ id }) => ids.has(id));
			const paths = await setUp(cluster, traffic);
			const figures: Figure[] = [];
			for (const network of ['bridge', 'wire'] as const) {
				const here = wanted.filter(({ compared }) => (compared.network ?? 'bridge') === network);
				if (here.length === 0) continue;
				const used = network === 'bridge' ? paths : await overWire(cluster, paths);
				const samples = await rounds(traffic, network, used, here, progress);
				figures.push(...here.map((figure) => figureOf(figure, samples)));
			}
			return figures;
		} finally {
			await cluster?.destroy();
			await rm(directory, { recursive: true, force: true });
		}
	},
};
