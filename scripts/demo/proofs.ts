/**
 * The proofs of the demo: each sends real traffic and returns the figure that shows that the claim holds.
 */
import {
	ask,
	CLIENT,
	type ClientReport,
	type Cluster,
	curl,
	eventually,
	type Family,
	type Place,
	type Pod,
	startTraffic,
	urlOf,
} from '../../test/lib/cluster.ts';
import { HOST_ECHO_PORT } from '../../test/lib/echo-cluster.ts';
import type { Population } from './population.ts';
import { claim, heading, progress } from './report.ts';

export interface Demo {
	readonly cluster: Cluster;
	readonly population: Population;
	readonly family: Family;
}

const podOf = (demo: Demo, name: string): Pod => {
	const pod = demo.population.pods.get(name);
	if (!pod) throw new Error(`examples/demo has no Pod ${name}`);
	return pod;
};

const spread = (report: ClientReport): string =>
	Object.entries(report.servers)
		.sort()
		.map(([name, count]) => `${name} ${count}`)
		.join(', ');

function expectServers(report: ClientReport, names: readonly string[]): void {
	if (report.failed > 0)
		throw new Error(`${report.failed} of ${report.failed + report.ok} failed: ${JSON.stringify(report.errors)}`);
	const found = Object.keys(report.servers).sort().join(', ');
	if (found !== [...names].sort().join(', '))
		throw new Error(`expected ${names.join(', ')}, reached ${found || 'nobody'}`);
}

/** Waits until `service` leads from `place` to exactly these pods. */
async function settle(place: Place, host: string, port: number, names: readonly string[]): Promise<void> {
	await eventually(`${host} leads to ${names.join(', ')}`, async () => {
		expectServers(await ask(place, { mode: 'tcp', host, port, count: 20, timeoutMs: 1000 }), names);
	});
}

/** Requests of client-1 to the Service echo, one connection each. */
export async function askEcho(demo: Demo, count: number): Promise<void> {
	const host = demo.population.vip('echo', demo.family);
	const { failed, errors } = await ask(podOf(demo, 'client-1'), { mode: 'tcp', host, port: 7, count });
	if (failed > 0) throw new Error(`${failed} of ${count} failed: ${JSON.stringify(errors)}`);
}

/** Services from pods and from the node. */
export async function proveServices(demo: Demo): Promise<void> {
	heading('Services');
	const { population, family, cluster } = demo;
	const client = podOf(demo, 'client-1');
	const [web, echo] = [population.vip('web', family), population.vip('echo', family)];
	await claim('nginx on both nodes answers curl under one ClusterIP', async () => {
		await eventually('the Service is known on both nodes', () => curl(client, urlOf(web)));
		const report = await ask(client, { mode: 'http', host: web, port: 80, count: 200, parallel: 4 });
		expectServers(report, ['web-1', 'web-2']);
		return `${report.ok} requests, ${spread(report)}, p50 ${report.p50Ms} ms`;
	});
	for (const mode of ['tcp', 'udp'] as const) {
		await claim(`the echo Service spreads ${mode.toUpperCase()} over both nodes`, async () => {
			const report = await ask(client, { mode, host: echo, port: 7, count: 200, parallel: 4 });
			expectServers(report, ['echo-1', 'echo-2']);
			return `${report.ok} requests, ${spread(report)}, p50 ${report.p50Ms} ms`;
		});
	}
	await claim('a program on the node itself reaches the Service', async () => {
		const report = await ask(cluster.node(1), { mode: 'tcp', host: echo, port: 7, count: 100 });
		expectServers(report, ['echo-1', 'echo-2']);
		return `${report.ok} requests, ${spread(report)}`;
	});
	await claim('a Service without endpoints refuses at once', async () => {
		const nobody = { host: population.vip('nobody', family), port: 80, timeoutMs: 2000 };
		const started = performance.now();
		const report = await ask(client, { mode: 'tcp', ...nobody, count: 20, maxFailures: 20 });
		if (report.errors.ECONNREFUSED !== 20) throw new Error(JSON.stringify(report.errors));
		return `20 × connection refused in ${(performance.now() - started).toFixed(0)} ms, start of the client included`;
	});
}

/** Traffic that crosses the border of the cluster. */
export async function proveOutside(demo: Demo): Promise<void> {
	heading('To and from outside');
	const { cluster, family, population } = demo;
	const client = podOf(demo, 'client-1');
	const nodeAddress = (index: number): string => {
		const a = cluster.node(index).addresses;
		return family === 'IPv4' ? a.v4 : a.v6;
	};
	await claim('a pod reaches the outside as its node', async () => {
		const host = family === 'IPv4' ? CLIENT.v4 : CLIENT.v6;
		const report = await ask(client, { mode: 'tcp', host, port: HOST_ECHO_PORT, count: 50 });
		expectServers(report, ['client']);
		if (report.seenAs.join() !== nodeAddress(1)) throw new Error(`the server saw ${report.seenAs.join(', ')}`);
		return `50 connections, the server saw ${nodeAddress(1)}`;
	});
	await claim('a Service with a hand-written EndpointSlice leads outside', async () => {
		const report = await ask(client, { mode: 'tcp', host: population.vip('outside', family), port: 7, count: 50 });
		expectServers(report, ['client']);
		return '50 connections';
	});
	await claim('the outside client reaches a NodePort of either node', async () => {
		const reports = await Promise.all(
			[1, 2].map((index) => ask(cluster.client, { mode: 'http', host: nodeAddress(index), port: 30080, count: 50 })),
		);
		for (const report of reports) expectServers(report, ['web-1', 'web-2']);
		return `100 requests to port 30080, ${reports.map(spread).join('; ')}`;
	});
	await claim('the outside client reaches a hostPort', async () => {
		const request = { mode: 'tcp', host: nodeAddress(2), port: 8088, count: 50 } as const;
		const report = await ask(cluster.client, request);
		expectServers(report, ['gateway']);
		return `50 connections to ${nodeAddress(2)}:8088`;
	});
}

/** Changes under load. */
export async function proveChanges(demo: Demo): Promise<void> {
	heading('Changes under load');
	const { cluster, family, population } = demo;
	const [client, other] = [podOf(demo, 'client-1'), podOf(demo, 'client-2')];
	const [one, two] = [podOf(demo, 'echo-1'), podOf(demo, 'echo-2')];
	const host = population.vip('echo', family);
	await claim('a backend is removed and traffic moves without an error', async () => {
		const traffic = [
			startTraffic(client, 'tcp', { mode: 'tcp', host, port: 7, intervalMs: 2 }),
			startTraffic(other, 'udp', { mode: 'udp', host, port: 7, intervalMs: 2 }),
		];
		await settle(client, host, 7, ['echo-1', 'echo-2']);
		population.publish('echo', [one]);
		for (const place of [client, other]) await settle(place, host, 7, ['echo-1']);
		population.publish('echo', [one, two]);
		for (const place of [client, other]) await settle(place, host, 7, ['echo-1', 'echo-2']);
		const reports = await Promise.all(traffic.map((t) => t.stop()));
		for (const report of reports) expectServers(report, ['echo-1', 'echo-2']);
		return `${reports.reduce((sum, r) => sum + r.ok, 0)} requests over TCP and UDP, 0 errors`;
	});
	await claim('both agents are killed five times and nobody notices', async () => {
		const traffic = [
			startTraffic(client, 'stream', { mode: 'stream', host, port: 7, intervalMs: 5 }),
			startTraffic(other, 'new', { mode: 'tcp', host, port: 7, intervalMs: 5 }),
			startTraffic(client, 'datagrams', { mode: 'udp-stream', host, port: 7, intervalMs: 5 }),
		];
		await Promise.all(traffic.map((one) => one.flowing()));
		for (let kill = 1; kill <= 5; kill++) {
			progress(`kill -9 of both agents, ${kill} of 5`);
			for (const node of cluster.nodes) {
				await node.killAgent();
				node.startAgent();
			}
			await Promise.all(cluster.nodes.map((node) => node.waitReady()));
		}
		const reports = await Promise.all(traffic.map((t) => t.stop()));
		const failed = reports.filter((r) => r.failed > 0);
		if (failed.length > 0) throw new Error(failed.map((r) => JSON.stringify(r.errors)).join(' '));
		return `${reports.reduce((sum, r) => sum + r.ok, 0)} requests, 0 errors`;
	});
}

/** How fast it is; figures for orientation, `npm run bench` measures properly. */
export async function proveThroughput(demo: Demo): Promise<void> {
	heading('Throughput (orientation only, see npm run bench)');
	const client = podOf(demo, 'client-1');
	for (const [what, name] of [
		['same node', 'web-1'],
		['other node', 'web-2'],
	] as const) {
		await claim(`iperf3 between pods, ${what}`, async () => {
			const server = await podOf(demo, name).startIperf();
			const host = podOf(demo, name).address(demo.family);
			const { stdout } = await client.run(['iperf3', '-c', host, '-t', '2', '-J'], { timeoutMs: 15_000 });
			await server.stop();
			const result = JSON.parse(stdout) as { end: { sum_received: { bits_per_second: number } } };
			return `${(result.end.sum_received.bits_per_second / 1e9).toFixed(1)} Gbit/s, one TCP stream`;
		});
	}
}
