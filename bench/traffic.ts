/**
 * Throughput, request/response rate and connect time between pods of one node, and through a ClusterIP, against plain veth
 * and routing on the same machine. A real agent, real pods; the paths take turns within each round.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Cluster, eventually, type Place, type Pod } from '../test/lib/cluster.ts';
import type { Figure, FigureInfo, Suite } from './figures.ts';
import { median, rounded, spread } from './figures.ts';
import { makePlainPath, type PlainPath } from './plain-path.ts';
import { buildTraffic, firstNumber, iperfBits } from './tools.ts';

const ROUNDS = 7;
const RR_MS = 1000;
const IPERF_S = 2;
const CONNECTS = 2000;
const ECHO_PORT = 7100;
const IPERF_PORT = 5201;
const VIP = '10.96.7.7';
const PLAIN = 'plain veth + route, same round';
/** Both ends of every path share one CPU: the rate is then what the path costs, not how long another CPU takes to wake up. */
const ON_CPU = ['taskset', '-c', '1'];

const FIGURES: readonly FigureInfo[] = [
	{
		id: 'connect.clusterip.ratio',
		what: 'connect() to a ClusterIP against connect() to the pod itself, both on this node',
		target: { atMost: 1.1 },
	},
	{
		id: 'throughput.samenode.ratio',
		what: 'TCP throughput pod to pod on one node against plain veth and routing; routing direct, so with BIG TCP',
		target: { atLeast: 1.05 },
	},
	{
		id: 'throughput.samenode.apart.ratio',
		what: 'the same with the client on another CPU than the server',
	},
	{
		id: 'throughput.samenode.vxlan.ratio',
		what: 'the same with routing vxlan, where pods send 64 KB in one piece as on the plain path',
	},
	{
		id: 'rr.samenode.ratio',
		what: 'TCP request/response rate pod to pod on one node against plain veth and routing',
		target: { atLeast: 1.05 },
	},
	{
		id: 'throughput.clusterip.ratio',
		what: 'TCP throughput pod to ClusterIP on one node against plain veth and routing',
	},
	{
		id: 'rr.clusterip.ratio',
		what: 'TCP request/response rate pod to ClusterIP on one node against plain veth and routing',
	},
	{ id: 'throughput.crossnode.mbps', what: 'TCP throughput pod to pod across two nodes, VXLAN' },
	{ id: 'rr.crossnode.rate', what: 'TCP request/response rate pod to pod across two nodes, VXLAN' },
];

interface Path {
	readonly name: 'plain' | 'pod' | 'clusterip' | 'crossnode';
	readonly from: Place;
	readonly to: string;
}

interface Bench {
	readonly traffic: string;
	readonly paths: readonly Path[];
	readonly client: Pod;
	readonly server: Pod;
}

async function startServers(place: Place, traffic: string): Promise<void> {
	place.start('traffic', [...ON_CPU, traffic, 'server', String(ECHO_PORT)]);
	place.start('iperf3', [...ON_CPU, 'iperf3', '-s', '-p', String(IPERF_PORT)]);
	await eventually(`servers in ${place.name} listen`, async () => {
		const { stdout } = await place.run(['ss', '-Hltn']);
		for (const port of [ECHO_PORT, IPERF_PORT]) {
			if (!stdout.includes(`:${port} `)) {
				throw new Error(`nothing listens on ${port}`);
			}
		}
	});
}

async function mtuOf(place: Place): Promise<number> {
	const { stdout } = await place.run(['cat', '/sys/class/net/eth0/mtu'], { allowFailure: true });
	const { stdout: link } = await place.run(['ip', '-j', 'link', 'show', 'eth0']);
	const [first] = JSON.parse(link) as { mtu: number }[];
	return first?.mtu ?? firstNumber(stdout);
}

async function setUp(cluster: Cluster, traffic: string): Promise<Bench> {
	const [node, other] = [cluster.node(1), cluster.node(2)];
	const client = await cluster.createPod({ node, name: 'client' });
	const server = await cluster.createPod({ node, name: 'server' });
	const far = await cluster.createPod({ node: other, name: 'far' });
	cluster.publish(
		{
			name: 'bench',
			clusterIPs: [VIP],
			ports: [
				{ name: 'echo', port: ECHO_PORT },
				{ name: 'iperf', port: IPERF_PORT },
			],
		},
		[server],
	);
	const plain: PlainPath = await makePlainPath({
		name: cluster.name,
		dir: join(cluster.dir, 'plain'),
		cgroup: dirname(node.nodeCgroup),
		mtu: await mtuOf(client),
	});
	for (const place of [server, far, plain.server]) {
		await startServers(place, traffic);
	}
	await eventually('the service answers', () => client.run([traffic, 'rr', VIP, String(ECHO_PORT), '10']));
	return {
		traffic,
		client,
		server,
		paths: [
			{ name: 'plain', from: plain.client, to: plain.serverAddress },
			{ name: 'pod', from: client, to: server.address('IPv4') },
			{ name: 'clusterip', from: client, to: VIP },
			{ name: 'crossnode', from: client, to: far.address('IPv4') },
		],
	};
}

async function rr(bench: Bench, path: Path): Promise<number> {
	const command = [...ON_CPU, bench.traffic, 'rr', path.to, String(ECHO_PORT), String(RR_MS)];
	return firstNumber((await path.from.run(command)).stdout);
}

/** The client on another CPU than the server: the slower of the two ends is what counts then. */
const throughputApart = (bench: Bench, path: Path): Promise<number> => throughput(bench, path, ['taskset', '-c', '0']);

async function throughput(_bench: Bench, path: Path, cpu: readonly string[] = ON_CPU): Promise<number> {
	const command = [...cpu, 'iperf3', '-J', '-c', path.to, '-p', String(IPERF_PORT), '-t', String(IPERF_S)];
	return iperfBits((await path.from.run(command)).stdout) / 1e6;
}

async function connectRatio(bench: Bench): Promise<number> {
	const targets = [VIP, String(ECHO_PORT), bench.server.address('IPv4'), String(ECHO_PORT)];
	const command = [...ON_CPU, bench.traffic, 'connect', ...targets, String(CONNECTS)];
	const [service = 0, pod = 1] = (await bench.client.run(command)).stdout.split(' ').map(Number);
	return service / pod;
}

type Samples = Map<string, number[]>;

/** One value per path and round, keyed by path name. */
async function rounds(
	bench: Bench,
	names: readonly Path['name'][],
	measure: (bench: Bench, path: Path) => Promise<number>,
): Promise<Samples> {
	const samples: Samples = new Map(names.map((name) => [name, []]));
	const paths = bench.paths.filter((p) => names.includes(p.name));
	for (let round = 0; round < ROUNDS; round++) {
		for (const path of round % 2 === 0 ? paths : paths.toReversed()) {
			samples.get(path.name)?.push(await measure(bench, path));
		}
	}
	return samples;
}

function ratioFigure(id: string, samples: Samples, name: string, unit: string): Figure {
	const plain = samples.get('plain') ?? [];
	const own = samples.get(name) ?? [];
	const ratios = own.map((value, i) => value / (plain[i] ?? Number.NaN));
	return {
		id,
		value: rounded(median(ratios)),
		unit: '×',
		baseline: PLAIN,
		runs: ratios.length,
		note: `${rounded(median(own))} against ${rounded(median(plain))} ${unit}; spread ${spread(ratios, 2)}`,
	};
}

function plainFigure(id: string, values: readonly number[], unit: string): Figure {
	return {
		id,
		value: rounded(median(values)),
		unit,
		baseline: '',
		runs: values.length,
		note: `spread ${spread(values)}`,
	};
}

const KINDS = [
	{ prefix: 'throughput', measure: throughput, unit: 'Mbit/s', cross: 'throughput.crossnode.mbps' },
	{ prefix: 'rr', measure: rr, unit: '/s', cross: 'rr.crossnode.rate' },
] as const;

async function measureAll(bench: Bench, ids: ReadonlySet<string>, progress: (text: string) => void): Promise<Figure[]> {
	const out: Figure[] = [];
	if (ids.has('connect.clusterip.ratio')) {
		progress('connect times');
		const ratios: number[] = [];
		for (let round = 0; round < ROUNDS; round++) {
			ratios.push(await connectRatio(bench));
		}
		const note = `${CONNECTS} connects each per run, taking turns; spread ${spread(ratios, 3)}`;
		const baseline = 'connect() to the pod';
		out.push({
			id: 'connect.clusterip.ratio',
			value: rounded(median(ratios)),
			unit: '×',
			baseline,
			runs: ROUNDS,
			note,
		});
	}
	if (ids.has('throughput.samenode.apart.ratio')) {
		progress(`throughput on two CPUs, ${ROUNDS} rounds`);
		const samples = await rounds(bench, ['plain', 'pod'], throughputApart);
		out.push(ratioFigure('throughput.samenode.apart.ratio', samples, 'pod', 'Mbit/s'));
	}
	for (const { prefix, measure, unit, cross } of KINDS) {
		const own = [
			{ id: `${prefix}.samenode.ratio`, path: 'pod' },
			{ id: `${prefix}.samenode.vxlan.ratio`, path: 'pod' },
			{ id: `${prefix}.clusterip.ratio`, path: 'clusterip' },
		] as const;
		const wanted = own.filter((f) => ids.has(f.id));
		if (wanted.length > 0) {
			progress(`${prefix}: ${wanted.length + 1} paths, ${ROUNDS} rounds`);
			const samples = await rounds(bench, ['plain', ...wanted.map((f) => f.path)], measure);
			out.push(...wanted.map((f) => ratioFigure(f.id, samples, f.path, unit)));
		}
		if (ids.has(cross)) {
			progress(`${prefix} across nodes`);
			out.push(plainFigure(cross, (await rounds(bench, ['crossnode'], measure)).get('crossnode') ?? [], unit));
		}
	}
	return out;
}

/** Figures about tunnels; the others are measured without. */
const isTunnelled = (id: string): boolean => /\.(?:vxlan|crossnode)\./.test(id);

export const trafficSuite: Suite = {
	name: 'traffic',
	figures: FIGURES,
	async run(ids, progress) {
		const directory = await mkdtemp(join(tmpdir(), 'fairlead-bench-'));
		const figures: Figure[] = [];
		try {
			const traffic = await buildTraffic(directory);
			for (const routing of ['direct', 'vxlan'] as const) {
				const own = new Set([...ids].filter((id) => isTunnelled(id) === (routing === 'vxlan')));
				if (own.size === 0) continue;
				const cluster = await Cluster.create({ nodes: 2, routing, progress });
				try {
					figures.push(...(await measureAll(await setUp(cluster, traffic), own, progress)));
				} finally {
					await cluster.destroy();
				}
			}
			return figures;
		} finally {
			await rm(directory, { recursive: true, force: true });
		}
	},
};
