/**
 * Latency of CNI ADD and DEL, as a runtime sees it (fork of the plugin to its end), against the reference `ptp` with
 * `host-local` in the same run. Each has a node of its own; namespaces are made before the clock starts.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../test/lib/cluster/exec.ts';
import { setSysctls } from '../test/lib/cluster/topology.ts';
import { Cluster } from '../test/lib/cluster.ts';
import type { Figure, FigureInfo, Suite } from './figures.ts';
import { median, rounded } from './figures.ts';
import { buildTraffic, firstNumber } from './tools.ts';

const ROUNDS = 40;
const PLUGIN_DIR = '/usr/lib/cni';
const BASELINE = 'ptp + host-local, same round';

const FIGURES: readonly FigureInfo[] = [
	{ id: 'cni.add.ratio', what: 'CNI ADD, median, against ptp + host-local', target: { atMost: 0.6 } },
	{ id: 'cni.del.ratio', what: 'CNI DEL, median, against ptp + host-local', target: { atMost: 0.5 } },
];

interface Plugin {
	readonly name: 'own' | 'ptp';
	/** Namespace it runs in: that of its node. */
	readonly netns: string;
	readonly path: string;
	readonly binDir: string;
	/** File with the network configuration. */
	readonly config: string;
}

interface Times {
	readonly add: number[];
	readonly del: number[];
}

/**
 * A namespace without duplicate address detection: ptp waits for it for 1.7 s, which would make any ratio look good. Ours sets its
 * addresses `nodad` and does not wait.
 */
async function makeNamespace(name: string): Promise<void> {
	await run(['ip', 'netns', 'add', name]);
	await run(['ip', '-n', name, 'link', 'set', 'lo', 'up']);
	await setSysctls(name, { 'net/ipv6/conf/default/accept_dad': 0, 'net/ipv6/conf/all/accept_dad': 0 });
}

async function ptpPlugin(cluster: Cluster, directory: string): Promise<Plugin> {
	const netns = `${cluster.name}-ptp`;
	await makeNamespace(netns);
	const ranges = [[{ subnet: '10.98.0.0/16' }], [{ subnet: 'fd00:98::/64' }]];
	const ipam = {
		type: 'host-local',
		ranges,
		dataDir: join(directory, 'ipam'),
		routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
	};
	const config = join(directory, 'ptp.json');
	await writeFile(config, JSON.stringify({ cniVersion: '1.0.0', name: 'ptp', type: 'ptp', mtu: 1450, ipam }));
	return { name: 'ptp', netns, path: join(PLUGIN_DIR, 'ptp'), binDir: PLUGIN_DIR, config };
}

async function ownPlugin(cluster: Cluster, directory: string): Promise<Plugin> {
	const node = cluster.node(1);
	const network = node.cni.network();
	const [plugin] = network.plugins;
	if (!plugin) {
		throw new Error('the installed network configuration has no plugins');
	}
	const config = join(directory, 'own.json');
	await writeFile(config, JSON.stringify({ ...plugin, cniVersion: network.cniVersion, name: network.name }));
	const binDir = join(node.root, 'cni-bin');
	return { name: 'own', netns: node.netns, path: join(binDir, plugin.type), binDir, config };
}

class Runner {
	readonly #traffic: string;
	readonly #output: string;

	constructor(traffic: string, directory: string) {
		this.#traffic = traffic;
		this.#output = join(directory, 'output');
	}

	/** Milliseconds that one call of the plugin took. */
	async call(plugin: Plugin, command: 'ADD' | 'DEL', container: string, netns: string): Promise<number> {
		const timed = [this.#traffic, 'time', plugin.config, this.#output, plugin.path];
		const result = await run(['nsenter', `--net=/run/netns/${plugin.netns}`, ...timed], {
			allowFailure: true,
			env: {
				CNI_COMMAND: command,
				CNI_PATH: plugin.binDir,
				CNI_CONTAINERID: container,
				CNI_NETNS: `/run/netns/${netns}`,
				CNI_IFNAME: 'eth0',
				CNI_ARGS: '',
			},
		});
		if (result.code !== 0) {
			const { stdout } = await run(['cat', this.#output]);
			throw new Error(`${plugin.name} ${command} failed: ${stdout.trim() || result.stderr}`);
		}
		return firstNumber(result.stdout) / 1e6;
	}
}

async function oneRound(
	runner: Runner,
	cluster: Cluster,
	plugins: readonly Plugin[],
	round: number,
	times: Map<string, Times>,
): Promise<void> {
	for (const plugin of plugins) {
		const container = `bench-${plugin.name}-${round}`;
		const netns = `${cluster.name}-c-${plugin.name}-${round}`;
		await makeNamespace(netns);
		const add = await runner.call(plugin, 'ADD', container, netns);
		const del = await runner.call(plugin, 'DEL', container, netns);
		await run(['ip', 'netns', 'del', netns]);
		// the first round warms caches and loads pages
		if (round > 0) {
			times.get(plugin.name)?.add.push(add);
			times.get(plugin.name)?.del.push(del);
		}
	}
}

function figure(id: string, own: readonly number[], ptp: readonly number[]): Figure {
	return {
		id,
		value: rounded(median(own) / median(ptp)),
		unit: '×',
		baseline: BASELINE,
		runs: own.length,
		note: `${rounded(median(own))} ms against ${rounded(median(ptp))} ms`,
	};
}

async function measure(cluster: Cluster, traffic: string, directory: string): Promise<readonly Figure[]> {
	const plugins = [await ownPlugin(cluster, directory), await ptpPlugin(cluster, directory)];
	const times = new Map<string, Times>(plugins.map((p) => [p.name, { add: [], del: [] }]));
	const runner = new Runner(traffic, directory);
	for (let round = 0; round <= ROUNDS; round++) {
		await oneRound(runner, cluster, round % 2 === 0 ? plugins : plugins.toReversed(), round, times);
	}
	const own = times.get('own') ?? { add: [], del: [] };
	const ptp = times.get('ptp') ?? { add: [], del: [] };
	return [figure('cni.add.ratio', own.add, ptp.add), figure('cni.del.ratio', own.del, ptp.del)];
}

export const cniSuite: Suite = {
	name: 'cni',
	figures: FIGURES,
	async run(ids, progress) {
		const directory = await mkdtemp(join(tmpdir(), 'fairlead-bench-'));
		let cluster: Cluster | undefined;
		try {
			const traffic = await buildTraffic(directory);
			cluster = await Cluster.create({ nodes: 1, progress });
			progress(`${ROUNDS} ADD and DEL of each plugin`);
			const figures = await measure(cluster, traffic, directory);
			return figures.filter((f) => ids.has(f.id));
		} finally {
			await cluster?.destroy();
			await rm(directory, { recursive: true, force: true });
		}
	},
};
