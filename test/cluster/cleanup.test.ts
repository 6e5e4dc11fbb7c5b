import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { Netlink } from '../../agent/kernel/netlink.ts';
import { netlinkRequest } from '../../native/index.ts';
import { useCluster } from '../lib/cluster/use.ts';
import { type ClusterNode, type Pod, setSysctls } from '../lib/cluster.ts';

const FOREIGN = '{"cniVersion":"1.0.0","name":"other","plugins":[{"type":"ptp"}]}';

describe('clean-up of a node', () => {
	// node 2 is reached directly, node 3 through the tunnel: routes, devices and neighbours of every kind
	const cluster = useCluster({
		nodes: 3,
		subnets: [0, 0, 1],
		routing: 'auto',
		withoutAgents: true,
		config: { bigTcp: true },
	});
	const node = (): ClusterNode => cluster().node(1);
	const foreignFile = (): string => join(node().confDir, '10-other.conflist');
	let before: Record<string, unknown>;
	let pod: Pod;

	const lines = async (...command: string[]): Promise<string[]> =>
		(await node().run(command)).stdout.split('\n').filter(Boolean).sort();

	/** iproute2 of Debian 12 does not know it. */
	async function gsoOfUplink(): Promise<unknown> {
		const netlink = new Netlink({ request: netlinkRequest, netns: `/run/netns/${node().netns}` });
		return (await netlink.link({ name: 'eth0' }))?.gso;
	}

	/** All of the node that an agent may change, by what the usual tools say. */
	async function state(): Promise<Record<string, unknown>> {
		const { root, nodeCgroup, bpffsDir, runDir, confDir } = node();
		const files = (directory: string): string[] =>
			existsSync(directory) ? readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort() : [];
		const neighbours = [...(await lines('ip', 'neigh')), ...(await lines('ip', '-6', 'neigh'))];
		return {
			interfaces: (await lines('ip', '-br', 'link')).map((line) => line.split(/[\s@]/)[0]),
			routes: [...(await lines('ip', 'route', 'show', 'table', 'all')), ...(await lines('ip', '-6', 'route'))],
			rules: [...(await lines('ip', 'rule')), ...(await lines('ip', '-6', 'rule'))],
			neighbours: neighbours.filter((line) => /PERMANENT|extern_learn|managed/.test(line)),
			sysctls: await lines(
				'sh',
				'-c',
				'sysctl -a --pattern "^net\\.ipv[46]\\.(ip_forward|conf\\.(all|eth0|lo))" 2>/dev/null',
			),
			gso: await gsoOfUplink(),
			network: await lines('bpftool', 'net'),
			cgroup: await lines('bpftool', 'cgroup', 'show', nodeCgroup),
			bpffs: files(bpffsDir),
			run: files(runDir),
			cni: [...files(confDir), ...files(join(root, 'cni-bin'))],
		};
	}

	const cleanup = (...args: string[]) =>
		node().run(node().cliCommand('cleanup', '--config', node().configFile, ...args), { allowFailure: true });

	beforeAll(async () => {
		mkdirSync(node().confDir, { recursive: true });
		writeFileSync(foreignFile(), FOREIGN);
		await setSysctls(node().netns, { 'net/ipv4/ip_forward': 0, 'net/ipv6/conf/all/forwarding': 0 });
		before = await state();
		node().startAgent();
		await node().waitReady(60_000);
		pod = await cluster().createPod({ node: node(), name: 'web' });
	}, 300_000);

	it('refuses while the agent runs', async () => {
		const { code, stderr } = await cleanup('--yes');
		expect(code).toBe(1);
		expect(stderr).toContain('cannot clean up: an agent serves');
		await node().stopAgent();
	});

	it('says what it would do, and does nothing without --yes', async () => {
		const running = await state();
		expect(running).not.toEqual(before);
		const { code, stdout } = await cleanup();
		expect(code).toBe(0);
		for (const line of [
			`would remove ${node().confDir}/05-fairlead.conflist`,
			/would delete interface fl[0-9a-f]{11} \(default\/web\)/,
			'would detach program ',
			'would delete neighbour 172.30.1.12',
			'would delete route 10.244.2.0/24',
			'would delete interface fl_vxlan (node)',
			'would set net/ipv4/ip_forward back to 0',
			'would set link/eth0/gso_ipv4_max_size back to 65536',
			`CNI configuration ${foreignFile()} is the next in force`,
			'these pods lose their network until they are started anew: default/web',
			'fairlead-cni stays',
			`${node().stateDir} stays; --state removes it`,
			'nothing was changed',
		])
			expect(stdout).toMatch(line);
		expect(await state()).toEqual(running);
	});

	it('leaves the node as it was before, but for the CNI executable that ends the pods', async () => {
		const { code, stdout, stderr } = await cleanup('--yes');
		expect(stdout + stderr).not.toContain('cannot');
		expect(code).toBe(0);
		expect(await state()).toEqual({ ...before, cni: ['10-other.conflist', 'fairlead-cni'] });
		expect(readFileSync(foreignFile(), 'utf8')).toBe(FOREIGN);
		// and one in cool-down, of the agent's self-test
		const records = readdirSync(join(node().stateDir, 'attachments'));
		expect(records.filter((name) => name.endsWith('.json'))).toHaveLength(1);
		await expect(pod.run(['ip', 'link', 'show', 'eth0'])).rejects.toThrow();
	});

	it('removes the executable and, when told, the state once the pods are gone', async () => {
		const { netns } = pod;
		cluster().pods.splice(cluster().pods.indexOf(pod), 1);
		await cluster().client.run(['ip', 'netns', 'del', netns]);
		const { code, stdout } = await cleanup('--yes', '--state');
		expect(code, stdout).toBe(0);
		expect(await state()).toEqual(before);
		expect(existsSync(node().stateDir)).toBe(false);
		expect((await cleanup('--state')).stdout).toContain('nothing of Fairlead is on this node');
	});
});
