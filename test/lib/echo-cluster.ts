/**
 * The usual population of a test cluster: two pods with echo servers on each of two nodes, a service `echo` with one backend
 * on each node, the same service as NodePort, and echo servers on the nodes and on the outside client.
 */

import { ask } from './cluster/client.ts';
import type { Place } from './cluster/place.ts';
import { type Cluster, eventually, type Family, type Pod, type ServiceSpec } from './cluster.ts';

const NODE = `${import.meta.dirname}/../../node_modules/.bin/node`;
const SERVER = `${import.meta.dirname}/programs/echo-server.ts`;

/** Port of the echo servers in pods. */
export const ECHO_PORT = 7000;
/** Port of the echo servers on nodes and on the outside client. */
export const HOST_ECHO_PORT = 7100;

export const VIP: Record<Family, string> = { IPv4: '10.96.0.10', IPv6: 'fd00:96::10' };
export const NODE_PORT = 30080;

export const ECHO_PORTS = [
	{ name: 'tcp', port: 80, targetPort: ECHO_PORT, protocol: 'TCP' },
	{ name: 'udp', port: 53, targetPort: ECHO_PORT, protocol: 'UDP' },
] as const satisfies ServiceSpec['ports'];

export const ECHO_SERVICE: ServiceSpec = { name: 'echo', clusterIPs: [VIP.IPv4, VIP.IPv6], ports: ECHO_PORTS };

/** A backend as it is while its pod ends: no new connections, but it still serves. */
export function draining({ name, node, addresses }: Pod) {
	return { name, nodeName: node.name, addresses, terminating: true };
}

export interface EchoPods {
	/** Client on node 1; also an echo server that is no backend. */
	a1: Pod;
	/** Backend on node 1. */
	a2: Pod;
	/** Backend on node 2. */
	b1: Pod;
	/** On node 2; no backend. */
	b2: Pod;
}

/** Starts an echo server (TCP and UDP) in any place, at one address of it or at all; returns when it answers there. */
export async function startHostEcho(place: Place, port = HOST_ECHO_PORT, address?: string): Promise<void> {
	place.start(`echo-${port}`, [NODE, SERVER, place.name, String(port), ...(address === undefined ? [] : [address])]);
	await eventually(`echo server on ${place.name}`, async () => {
		const { ok, errors } = await ask(place, { mode: 'tcp', host: address ?? '127.0.0.1', port });
		if (ok !== 1) throw new Error(JSON.stringify(errors));
	});
}

/** Makes the pods, servers and the service, and waits until both nodes know both backends. */
export async function populate(cluster: Cluster): Promise<EchoPods> {
	const [first, second] = [cluster.node(1), cluster.node(2)];
	const [a1, a2, b1, b2] = await Promise.all([
		cluster.createPod({ node: first, name: 'a1' }),
		cluster.createPod({ node: first, name: 'a2', labels: { app: 'echo' } }),
		cluster.createPod({ node: second, name: 'b1', labels: { app: 'echo' } }),
		cluster.createPod({ node: second, name: 'b2' }),
	]);
	cluster.publish(ECHO_SERVICE, [a2, b1]);
	await Promise.all([...[a1, a2, b1, b2].map((pod) => pod.startEcho()), startHostEcho(first), startHostEcho(second)]);
	await startHostEcho(cluster.client);
	for (const pod of [a1, b2]) {
		for (const family of cluster.families) await awaitBackends(pod, VIP[family], 80, ['a2', 'b1']);
	}
	return { a1, a2, b1, b2 };
}

/** Waits until connections from `place` to a service reach exactly these servers. */
export async function awaitBackends(place: Place, host: string, port: number, names: readonly string[]): Promise<void> {
	await eventually(`${host}:${port} leads from ${place.name} to ${names.join(', ')}`, async () => {
		const report = await ask(place, { mode: 'tcp', host, port, count: 12 * names.length, timeoutMs: 1000 });
		const found = Object.keys(report.servers).sort().join(', ');
		if (report.failed > 0 || found !== [...names].sort().join(', ')) {
			throw new Error(`reached ${found || 'nobody'}, errors ${JSON.stringify(report.errors)}`);
		}
	});
}
