/** The agent in life on this kernel: two nodes, pods through the CNI plugin, TCP and UDP to a Service and elsewhere. */
import { ask, Cluster, type ClusterNode, type Place, type Pod } from '../lib/cluster.ts';
import { awaitBackends, ECHO_PORT, ECHO_SERVICE, HOST_ECHO_PORT, startHostEcho, VIP } from '../lib/echo-cluster.ts';
import { tell } from './report.ts';

const PATIENT_MS = 10_000;
const COUNT = 12;
const UNSERVED = '10.96.0.66';

interface Pods {
	readonly client: Pod;
	readonly near: Pod;
	readonly far: Pod;
}

/** Runs all of it with and without the socket hooks. Failures are told, not thrown. */
export async function tryTraffic(): Promise<void> {
	let cluster: Cluster | undefined;
	try {
		cluster = await Cluster.create({ nodes: 2, withoutAgents: true, config: { ctMaxEntries: 16_384 } });
		await startAgents(cluster.nodes, { socketLb: false });
		const pods = await populate(cluster);
		await tryPaths('packet path', cluster, pods);
		for (const node of cluster.nodes) await node.stopAgent();
		await startAgents(cluster.nodes, { socketLb: true });
		await tryPaths('socket hooks', cluster, pods);
	} catch (error) {
		const why = error instanceof Error ? `${error.message} ${error.cause ?? ''}` : String(error);
		tell('fail', `traffic: ${why}\n${cluster?.diagnostics(15) ?? ''}`);
	} finally {
		await cluster?.destroy();
	}
}

/** One after the other: two at once on one emulated processor take longer. */
async function startAgents(nodes: readonly ClusterNode[], config: Record<string, unknown>): Promise<void> {
	for (const node of nodes) {
		node.configure(config);
		node.startAgent();
		await node.waitReady();
	}
}

async function populate(cluster: Cluster): Promise<Pods> {
	const client = await cluster.createPod({ node: cluster.node(1), name: 'client' });
	const near = await cluster.createPod({ node: cluster.node(1), name: 'near' });
	const far = await cluster.createPod({ node: cluster.node(2), name: 'far' });
	cluster.publish(ECHO_SERVICE, [near, far]);
	cluster.publish({ ...ECHO_SERVICE, name: 'unserved', clusterIPs: [UNSERVED] }, []);
	for (const pod of [near, far]) await pod.startEcho();
	await startHostEcho(cluster.client);
	await awaitBackends(client, VIP.IPv4, 80, ['far', 'near']);
	return { client, near, far };
}

async function tryPaths(how: string, cluster: Cluster, { client, near, far }: Pods): Promise<void> {
	for (const family of ['IPv4', 'IPv6'] as const) {
		await tryAsk(`${how}, ${family}, TCP to a Service`, client, 'tcp', VIP[family], 80, ['far', 'near']);
		await tryAsk(`${how}, ${family}, UDP to a Service`, client, 'udp', VIP[family], 53, ['far', 'near']);
		await tryAsk(`${how}, ${family}, a pod of the same node`, client, 'tcp', near.address(family), ECHO_PORT, ['near']);
		await tryAsk(`${how}, ${family}, a pod of another node`, client, 'tcp', far.address(family), ECHO_PORT, ['far']);
	}
	await tryAsk(`${how}, TCP from a node to a Service`, cluster.node(1), 'tcp', VIP.IPv4, 80, ['far', 'near']);
	await tryAsk(`${how}, masquerade to the outside`, client, 'tcp', '172.31.0.10', HOST_ECHO_PORT, ['client']);
	const refused = await ask(client, { mode: 'tcp', host: UNSERVED, port: 80, timeoutMs: PATIENT_MS });
	const title = `${how}, a Service without endpoints refuses`;
	if (refused.errors.ECONNREFUSED === 1) tell('pass', title);
	else tell('fail', `${title}: ${JSON.stringify(refused)}`);
}

async function tryAsk(
	title: string,
	from: Place,
	mode: 'tcp' | 'udp',
	host: string,
	port: number,
	servers: readonly string[],
): Promise<void> {
	const report = await ask(from, { mode, host, port, count: COUNT, timeoutMs: PATIENT_MS, maxFailures: 1 });
	const reached = Object.keys(report.servers).sort();
	if (report.failed === 0 && reached.join() === servers.join()) tell('pass', title);
	else tell('fail', `${title}: reached ${reached.join() || 'nobody'}, errors ${JSON.stringify(report.errors)}`);
}
