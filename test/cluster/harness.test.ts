import { readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { afterAll, expect, it } from 'vitest';
import { leftovers, sweep } from '../lib/cluster/scope.ts';
import { ask, CLIENT, Cluster, eventually, ROUTER_OUTSIDE, run, sleep, startTraffic } from '../lib/cluster.ts';
import { HOST_ECHO_PORT, startHostEcho } from '../lib/echo-cluster.ts';

const made: Cluster[] = [];
afterAll(async () => {
	for (const cluster of made) await cluster.destroy();
});

async function bareCluster(): Promise<Cluster> {
	const cluster = await Cluster.create({ nodes: 2, subnets: [0, 1], withoutAgents: true });
	made.push(cluster);
	return cluster;
}

it('tells programs nothing of what is said to tests, which agents would refuse', async () => {
	process.env.FAIRLEAD_TEST_OF_HARNESS = '1';
	try {
		const { stdout } = await run(['env'], { env: { OTHER: '2' } });
		expect(stdout).toContain('OTHER=2');
		expect(stdout).not.toContain('FAIRLEAD_TEST_OF_HARNESS');
	} finally {
		delete process.env.FAIRLEAD_TEST_OF_HARNESS;
	}
});

it('connects nodes of two subnets and the outside client, in both families', async () => {
	const cluster = await bareCluster();
	const [first, second] = [cluster.node(1), cluster.node(2)];
	for (const target of [second.addresses.v4, second.addresses.v6, CLIENT.v4, CLIENT.v6, ROUTER_OUTSIDE.v4]) {
		await first.run(['ping', '-c', '1', '-W', '2', target]);
	}
	const refused = await ask(cluster.client, { mode: 'tcp', host: first.addresses.v4, port: 9 });
	expect(refused.errors).toEqual({ ECONNREFUSED: 1 });
});

it('counts answers and failures of every kind of traffic', async () => {
	const cluster = await bareCluster();
	await startHostEcho(cluster.client);
	const [node] = cluster.nodes;
	if (!node) throw new Error('no node');
	for (const mode of ['tcp', 'stream', 'udp', 'udp-stream', 'sendto'] as const) {
		for (const host of [CLIENT.v4, CLIENT.v6]) {
			const report = await ask(node, { mode, host, port: HOST_ECHO_PORT, count: 5, size: 3000 });
			expect(report, mode).toMatchObject({ ok: 5, failed: 0, servers: { client: 5 } });
			expect(report.seenAs).toEqual([host === CLIENT.v4 ? node.addresses.v4 : node.addresses.v6]);
			expect(report.peers).toEqual([`${host} ${HOST_ECHO_PORT}`]);
		}
	}
	const traffic = startTraffic(node, 'lost', { mode: 'tcp', host: CLIENT.v4, port: HOST_ECHO_PORT, timeoutMs: 200 });
	await traffic.flowing();
	await cluster.client.run(['ip', 'link', 'set', 'eth0', 'down']);
	await sleep(1000);
	const report = await traffic.stop();
	expect(report.ok).toBeGreaterThan(0);
	expect(report.failed).toBeGreaterThan(0);
});

it('leaves no namespace, process, cgroup, pinned object or file behind', async () => {
	const cluster = await bareCluster();
	const sleeper = cluster.node(1).start('sleeper', ['sleep', '600']);
	await eventually('the program is in its cgroup', () => {
		expect(readFileSync(`/proc/${sleeper.pid}/cgroup`, 'utf8')).toContain(`${cluster.name}/node1/system`);
	});
	await cluster.destroy();
	expect(await sleeper.exited).toBe(128);
	expect(leftovers(cluster.name)).toEqual([]);
});

it('removes the cluster of a test run that was killed', async () => {
	const cluster = await bareCluster();
	const past = new Date(Date.now() - 60_000);
	const entry = `/run/fairlead-clusters/${cluster.name}`;
	writeFileSync(entry, '4194305\n'); // above the largest process id of a 64-bit kernel
	utimesSync(entry, past, past);
	// by this process, or by another one that starts a cluster just now
	await sweep();
	await eventually('it is removed', () => expect(leftovers(cluster.name)).toEqual([]));
});
