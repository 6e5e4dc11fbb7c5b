/**
 * Requests through services. Pod to ClusterIP against straight to the pod; outside client to a NodePort whose backend is on another
 * node against kernel DNAT by nftables with masquerading and conntrack, on two further nodes of the same network (plain veth and
 * routes). Real agents, real pods; the paths take turns within each round.
 *
 * `nodeport.rps.*` are requests on kept connections, as HTTP clients make them; `nodeport.cps.*` take a connection for each, so that most
 * of the time is that of both ends' sockets. Between the machines is a wire that hands frames over as network cards do (wire.ts), for
 * all paths. Without more in its name a figure is about what the agent does on a card whose driver has XDP: the node's address as
 * source, by XDP; these uplinks are veths, on which `xdp: auto` takes tc, so it is told to. `tc` is the same by tc; `dsr` is direct
 * server return, which must be configured. How much both ends and the way between them take without any entry
 * node is measured beside (`straight`): no entry node whatever could reach more than that.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../test/lib/cluster/exec.ts';
import { createNode, nodeAddresses, setSysctls } from '../test/lib/cluster/topology.ts';
import { Cluster, eventually, Place, type Pod } from '../test/lib/cluster.ts';
import type { Figure, FigureInfo, Suite } from './figures.ts';
import { median, rounded, spread } from './figures.ts';
import { kubeProxyRules } from './kube-proxy-rules.ts';
import { buildTraffic, firstNumber } from './tools.ts';
import { makeWire } from './wire.ts';

/** Many short ones: a neighbour on the host disturbs few of them. */
const ROUNDS = 15;
const MS = 500;
/** Connections at a time. */
const PARALLEL = { requests: 16, kept: 64 } as const;
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
/** Number of the machine that asks. */
const CLIENT = 12;
const serverOf = ({ network }: Yardstick): string => `${network}.2`;
/** Another address of the server, which no rule names. */
const STRAIGHT = `${BARE.network}.3`;
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
		what: 'requests per second on kept connections, outside to NodePort with a remote backend, against DNAT by nftables',
		target: { atLeast: 1.3 },
	},
	{ id: 'nodeport.rps.tc.ratio', what: 'the same by tc' },
	{ id: 'nodeport.rps.dsr.ratio', what: 'the same with direct server return (northSouth: dsr)' },
	{ id: 'nodeport.rps.straight.ratio', what: 'the same straight to the server, by no entry node' },
	{
		id: 'nodeport.rps.kubeproxy.ratio',
		what: 'nodeport.rps.ratio against the rules that kube-proxy has on both nodes',
	},
	{ id: 'nodeport.cps.ratio', what: 'nodeport.rps.ratio with a connection for each request' },
	{ id: 'nodeport.cps.tc.ratio', what: 'the same by tc' },
	{ id: 'nodeport.cps.dsr.ratio', what: 'the same with direct server return (northSouth: dsr)' },
	{ id: 'nodeport.cps.straight.ratio', what: 'the same straight to the server, by no entry node' },
	{
		id: 'nodeport.cps.kubeproxy.ratio',
		what: 'nodeport.cps.ratio against the rules that kube-proxy has on both nodes',
	},
	{
		id: 'nodeport.entry.ratio',
		what: 'time that the entry node adds to a request on a kept connection: that of nftables over ours',
	},
];

interface Path {
	readonly name: 'pod' | 'clusterip' | 'nftables' | 'kube-proxy' | 'straight' | 'xdp' | 'tc' | 'dsr';
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

/** Node 3 has the defaults; node 4 leaves replies to the backend's node, which therefore opens envelopes. */
async function startAgents(cluster: Cluster): Promise<void> {
	cluster.node(1).configure({ xdp: 'native' });
	cluster.node(2).configure({ northSouth: 'dsr' });
	cluster.node(4).configure({ northSouth: 'dsr', xdp: 'native' });
	await cluster.startAgents();
}

/** A machine on the nodes' network without agent or rules, and all of them on the wire. */
async function makeClient(cluster: Cluster): Promise<Place> {
	const netns = await createNode(cluster.name, cluster.dir, CLIENT, 0);
	await run(['ip', '-n', netns, 'route', 'add', STRAIGHT, 'via', nodeAddresses(BARE.far, 0).v4]);
	const indices = [...cluster.nodes.map(({ index }) => index), ...YARDSTICKS.flatMap((y) => [y.entry, y.far]), CLIENT];
	await makeWire({
		switchNetns: `${cluster.name}-router`,
		ports: indices.map((index) => `node${index}`),
		machines: indices.map((index) => `${cluster.name}-node${index}`),
		dir: cluster.dir,
		bpffsDir: `/sys/fs/bpf/${cluster.name}-wire`,
	});
	return new Place({ name: 'machine', netns, cgroup: cluster.client.cgroup, dir: join(cluster.dir, 'machine') });
}

async function setUp(cluster: Cluster, traffic: string): Promise<readonly Path[]> {
	const nftables = await makeYardstick(cluster, traffic, BARE);
	const kubeProxy = await makeYardstick(cluster, traffic, KUBE_PROXY);
	const machine = await makeClient(cluster);
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
	const outside = { from: machine, port: NODE_PORT };
	const paths: readonly Path[] = [
		{ name: 'pod', from: client, to: near.address('IPv4'), port: PORT },
		{ name: 'clusterip', from: client, to: VIP, port: PORT },
		{ name: 'nftables', ...outside, to: nftables },
		{ name: 'kube-proxy', ...outside, to: kubeProxy },
		{ name: 'xdp', ...outside, to: cluster.node(1).addresses.v4 },
		{ name: 'tc', ...outside, to: cluster.node(3).addresses.v4 },
		{ name: 'dsr', ...outside, to: cluster.node(4).addresses.v4 },
		{ name: 'straight', from: machine, to: STRAIGHT, port: PORT },
	];
	for (const path of paths) {
		await eventually(`the path ${path.name} answers`, () => rate(traffic, 'requests', path, 10));
	}
	return paths;
}

/** `requests`: a connection each; `kept`: one after the other on the same connections. */
type Kind = 'requests' | 'kept';

/** Requests per second. */
async function rate(traffic: string, kind: Kind, { from, to, port }: Path, ms: number): Promise<number> {
	const command = [...ON_CPU, traffic, kind, to, String(port), String(ms), String(PARALLEL[kind])];
	return firstNumber((await from.run(command)).stdout);
}

/** Requests per second by kind and name of path, a value per round. */
type Samples = Map<string, number[]>;

const keyOf = (kind: Kind, name: Path['name']): string => `${kind} ${name}`;

interface Comparison {
	readonly kind: Kind;
	readonly own: Path['name'];
	readonly base: Path['name'];
}

/** Figure → the path that it is about, and the one that it is compared with. */
const COMPARED: Readonly<Record<string, Comparison>> = {
	'cps.clusterip.ratio': { kind: 'requests', own: 'clusterip', base: 'pod' },
	'nodeport.rps.ratio': { kind: 'kept', own: 'xdp', base: 'nftables' },
	'nodeport.rps.tc.ratio': { kind: 'kept', own: 'tc', base: 'nftables' },
	'nodeport.rps.dsr.ratio': { kind: 'kept', own: 'dsr', base: 'nftables' },
	'nodeport.rps.straight.ratio': { kind: 'kept', own: 'straight', base: 'nftables' },
	'nodeport.rps.kubeproxy.ratio': { kind: 'kept', own: 'xdp', base: 'kube-proxy' },
	'nodeport.cps.ratio': { kind: 'requests', own: 'xdp', base: 'nftables' },
	'nodeport.cps.tc.ratio': { kind: 'requests', own: 'tc', base: 'nftables' },
	'nodeport.cps.dsr.ratio': { kind: 'requests', own: 'dsr', base: 'nftables' },
	'nodeport.cps.straight.ratio': { kind: 'requests', own: 'straight', base: 'nftables' },
	'nodeport.cps.kubeproxy.ratio': { kind: 'requests', own: 'xdp', base: 'kube-proxy' },
	'nodeport.entry.ratio': { kind: 'kept', own: 'xdp', base: 'nftables' },
};
const BASELINE: Partial<Record<Path['name'], string>> = {
	pod: 'straight to the pod, same round',
	nftables: 'nftables dnat + masquerade, same round',
	'kube-proxy': 'rules of kube-proxy (nftables mode) on both nodes, same round',
};
const ENTRY = 'nodeport.entry.ratio';

/** Which paths the figures need, by kind. */
function wantedPaths(ids: readonly string[]): ReadonlyMap<Kind, ReadonlySet<Path['name']>> {
	const wanted = new Map<Kind, Set<Path['name']>>();
	for (const id of ids) {
		const { kind, own, base } = comparisonOf(id);
		const names = wanted.get(kind) ?? new Set();
		for (const name of [own, base]) names.add(name);
		if (id === ENTRY) names.add('straight');
		wanted.set(kind, names);
	}
	return wanted;
}

function comparisonOf(id: string): Comparison {
	const compared = COMPARED[id];
	if (!compared) throw new Error(`no figure ${id} here`);
	return compared;
}

async function rounds(
	traffic: string,
	paths: readonly Path[],
	ids: readonly string[],
	progress: (text: string) => void,
): Promise<Samples> {
	const samples: Samples = new Map();
	for (const [kind, names] of wantedPaths(ids)) {
		progress(`${kind}: ${[...names].join(', ')}, ${ROUNDS} rounds`);
		const used = paths.filter(({ name }) => names.has(name));
		for (let round = 0; round < ROUNDS; round++) {
			for (const path of round % 2 === 0 ? used : used.toReversed()) {
				const key = keyOf(kind, path.name);
				samples.set(key, [...(samples.get(key) ?? []), await rate(traffic, kind, path, MS)]);
			}
		}
	}
	return samples;
}

/** What the entry node adds to a request, over the way without it; medians, as differences of single rounds are noise. */
function entryFigure(samples: Samples): Figure {
	const us = (name: Path['name']): number => 1e6 / median(samples.get(keyOf('kept', name)) ?? []);
	const [own, base] = [us('xdp') - us('straight'), us('nftables') - us('straight')];
	const note = `${rounded(own)} against ${rounded(base)} µs of ${rounded(us('xdp'))} and ${rounded(us('nftables'))}`;
	return { id: ENTRY, value: rounded(base / own), unit: '×', baseline: BASELINE.nftables ?? '', runs: ROUNDS, note };
}

function figureOf(id: string, samples: Samples): Figure {
	if (id === ENTRY) return entryFigure(samples);
	const { kind, own: ownName, base: baseName } = comparisonOf(id);
	const own = samples.get(keyOf(kind, ownName)) ?? [];
	const base = samples.get(keyOf(kind, baseName)) ?? [];
	const ratios = own.map((value, i) => value / (base[i] ?? Number.NaN));
	const note = `${rounded(median(own))} against ${rounded(median(base))} /s, ${PARALLEL[kind]} at a time; spread ${spread(ratios, 2)}`;
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
			const wanted = FIGURES.filter(({ id }) => ids.has(id)).map(({ id }) => id);
			const samples = await rounds(traffic, await setUp(cluster, traffic), wanted, progress);
			return wanted.map((id) => figureOf(id, samples));
		} finally {
			await cluster?.destroy();
			await rm(directory, { recursive: true, force: true });
		}
	},
};
