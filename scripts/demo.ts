/**
 * The demo: two nodes and an outside client made of network namespaces, pods made through the CNI plugin, Services from the YAML
 * of examples/demo, real clients and servers. Ends with what was proven; exit code 1 when something does not hold.
 *
 * Usage: npm run demo -- [--routing direct|vxlan] [--ipv6] [--keep]    --keep leaves it running and says how to explore it
 *        npm run demo -- --down                                        removes everything that a demo left
 */
import { parseArgs } from 'node:util';
import { scopeExists } from '../test/lib/cluster/scope.ts';
import { Cluster, eventually } from '../test/lib/cluster.ts';
import { startHostEcho } from '../test/lib/echo-cluster.ts';
import { populate } from './demo/population.ts';
import { askEcho, type Demo, proveChanges, proveOutside, proveServices, proveThroughput } from './demo/proofs.ts';
import { claim, heading, progress, quote, summary } from './demo/report.ts';

const NAME = 'fairlead-demo';

const USAGE = `usage: npm run demo -- [--routing direct|vxlan] [--ipv6] [--keep]
       npm run demo -- --down
  --routing  how the nodes reach each other's pods (default vxlan)
  --ipv6     send the traffic over IPv6; pods have both kinds of addresses anyway
  --keep     leave it running and say how to explore it
  --down     remove everything that a demo left`;

interface Options {
	routing: 'direct' | 'vxlan';
	ipv6: boolean;
	keep: boolean;
	down: boolean;
	help: boolean;
}

function readOptions(): Options {
	const { values } = parseArgs({
		options: {
			routing: { type: 'string', default: 'vxlan' },
			ipv6: { type: 'boolean', default: false },
			keep: { type: 'boolean', default: false },
			down: { type: 'boolean', default: false },
			help: { type: 'boolean', short: 'h', default: false },
		},
	});
	const { routing, ipv6, keep, down, help } = values;
	if (routing !== 'direct' && routing !== 'vxlan')
		throw new Error(`--routing: '${routing}' is neither direct nor vxlan`);
	return { routing, ipv6, keep, down, help };
}

/** Flows as the real command line shows them. */
async function showFlows(demo: Demo): Promise<void> {
	heading('What the node saw: fairlead observe');
	await claim('flows are reported with the names of pods and Services', async () => {
		const { cluster, population, family } = demo;
		const node = cluster.node(1);
		await askEcho(demo, 3);
		const filter = [
			'--from-pod',
			'default/client-1',
			'--service',
			'default/echo',
			'--ip',
			population.vip('echo', family),
		];
		const found = await eventually('three flows of client-1 to the Service echo', async () => {
			const { stdout } = await node.cli('observe', '--all', ...filter, '-o', 'json');
			const count = stdout.split('\n').filter(Boolean).length;
			if (count < 3) throw new Error(`there are ${count}`);
			return count;
		});
		quote((await node.cli('observe', '--last', '15')).stdout);
		return `${found} flows of client-1 to echo read back`;
	});
	for (const args of [['service', 'list'], ['status']]) {
		heading(`fairlead ${args.join(' ')}`);
		const node = demo.cluster.node(1);
		const { stdout, stderr } = await node.run(node.cliCommand(...args), { allowFailure: true });
		quote(stdout + stderr);
	}
}

function explainKept(cluster: Cluster): void {
	const [first] = cluster.nodes;
	const client = cluster.pods[0];
	if (!first || !client) return;
	heading('It goes on running. To explore it:');
	console.log(`
  alias fl1='${first.cliCommand().join(' ')}'
  fl1 status; fl1 service list; fl1 endpoint list; fl1 ct list; fl1 observe --follow

  nsenter --net=${client.netnsPath} curl -s http://10.96.0.80/          # from a pod
  nsenter --net=${first.netnsPath} ip route                                         # on a node
  nsenter --net=${cluster.client.netnsPath} curl -s http://172.30.1.12:30080/                # from outside

  objects: ${cluster.objects.dir}      (change one and watch)
  logs:    ${first.agentLog}

  npm run demo -- --down                                             # removes everything
`);
}

async function build(options: Options): Promise<Demo> {
	heading(`Two nodes, an outside client, routing ${options.routing}, traffic over ${options.ipv6 ? 'IPv6' : 'IPv4'}`);
	const cluster = await Cluster.create({ name: NAME, routing: options.routing, kept: true, progress });
	progress('making pods through the CNI plugin');
	const population = await populate(cluster);
	progress(`all pods run; median time from namespace to connected pod: ${population.addMs.toFixed(0)} ms`);
	await startHostEcho(cluster.client);
	return { cluster, population, family: options.ipv6 ? 'IPv6' : 'IPv4' };
}

async function main(): Promise<boolean> {
	const options = readOptions();
	if (options.help) {
		console.log(USAGE);
		return true;
	}
	if (scopeExists(NAME)) {
		progress('removing what an earlier demo left');
		await Cluster.remove(NAME);
	}
	if (options.down) {
		progress('nothing of the demo is left');
		return true;
	}
	let kept: Cluster | undefined;
	let held = false;
	const interrupted = (): void => {
		progress('interrupted, removing everything');
		void Cluster.remove(NAME).finally(() => process.exit(130));
	};
	process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
	try {
		const demo = await build(options);
		await proveServices(demo);
		await proveOutside(demo);
		await proveChanges(demo);
		await proveThroughput(demo);
		await showFlows(demo);
		held = summary(`2 nodes, routing ${options.routing}, ${options.ipv6 ? 'IPv6' : 'IPv4'}`);
		if (options.keep) kept = demo.cluster;
	} finally {
		if (kept) explainKept(kept);
		else {
			progress('removing the demo');
			await Cluster.remove(NAME);
		}
	}
	return held;
}

try {
	process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
	console.error(`fairlead demo: ${error instanceof Error ? error.message : String(error)}`);
	if (error instanceof TypeError) console.error(USAGE);
	process.exitCode = 1;
}
