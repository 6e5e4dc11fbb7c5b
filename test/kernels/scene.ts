/** Who is there: three pods on two nodes, an outside client, and a Service of two of the pods. */
import { join } from 'node:path';
import {
	Cluster,
	type ClusterOptions,
	eventually,
	type Family,
	type Pod,
	run,
	type ServiceSpec,
} from '../lib/cluster.ts';
import { ask, formatAnswers, PORT, type Protocol, serversOf, startServer } from './ask.ts';
import { tell } from './report.ts';

export const FAMILIES = ['IPv4', 'IPv6'] as const;
export const PORTS: Record<Protocol, { port: number; nodePort: number }> = {
	tcp: { port: 80, nodePort: 30080 },
	udp: { port: 53, nodePort: 30053 },
	sctp: { port: 90, nodePort: 30090 },
};
const PROTOCOLS = Object.keys(PORTS) as Protocol[];

export const VIP: Record<Family, string> = { IPv4: '10.96.0.10', IPv6: 'fd00:96::10' };
/** Of a Service without endpoints. */
export const UNSERVED: Record<Family, string> = { IPv4: '10.96.0.66', IPv6: 'fd00:96::66' };
export const OUTSIDE: Record<Family, string> = { IPv4: '172.31.0.10', IPv6: 'fd00:31::10' };

export const SERVICE: ServiceSpec = {
	name: 'echo',
	type: 'NodePort',
	clusterIPs: [VIP.IPv4, VIP.IPv6],
	ports: PROTOCOLS.map((name) => ({
		name,
		...PORTS[name],
		targetPort: PORT,
		protocol: name.toUpperCase() as 'TCP' | 'UDP' | 'SCTP',
	})),
};

/** Of the image. */
const XDP_PASS = join(import.meta.dirname, '../../dist/xdp-pass.bpf.o');

export interface Scene {
	readonly cluster: Cluster;
	/** On node 1; no server. */
	readonly client: Pod;
	/** On node 1. */
	readonly near: Pod;
	/** On node 2. */
	readonly far: Pod;
	/** What the kernel has of them. */
	readonly protocols: readonly Protocol[];
	/** Before each title. */
	readonly prefix: string;
}

/** Makes the scene and plays it; a failure is told, not thrown. */
export async function withScene(
	prefix: string,
	options: ClusterOptions,
	play: (scene: Scene) => Promise<void>,
): Promise<void> {
	let cluster: Cluster | undefined;
	try {
		const progress = (text: string): void => tell('note', text);
		const config = { ctMaxEntries: 16_384, ...options.config };
		cluster = await Cluster.create({ nodes: 2, ...options, config, progress });
		await takeXdpFrames(cluster);
		progress('making pods');
		await play(await populate(cluster, prefix));
	} catch (error) {
		const why = error instanceof Error ? `${error.message} ${error.cause ?? ''}` : String(error);
		const status = cluster && (await cluster.node(1).cli('status').catch(String));
		const state = typeof status === 'object' ? status.stdout : status;
		tell('fail', `${prefix}traffic: ${why}\n${cluster?.diagnostics(15) ?? ''}\n${state ?? ''}`);
	} finally {
		await cluster?.destroy();
	}
}

/** A veth takes frames that its peer's XDP program sends only if it has one, too. */
async function takeXdpFrames(cluster: Cluster): Promise<void> {
	for (const { index } of cluster.nodes) {
		const to = ['link', 'set', `node${index}`, 'xdp', 'obj', XDP_PASS, 'sec', 'xdp'];
		await run(['ip', '-n', `${cluster.name}-router`, ...to]);
	}
}

async function populate(cluster: Cluster, prefix: string): Promise<Scene> {
	const client = await cluster.createPod({ node: cluster.node(1), name: 'client' });
	const near = await cluster.createPod({ node: cluster.node(1), name: 'near' });
	const far = await cluster.createPod({ node: cluster.node(2), name: 'far' });
	cluster.publish(SERVICE, [near, far]);
	cluster.publish({ ...SERVICE, type: 'ClusterIP', name: 'unserved', clusterIPs: Object.values(UNSERVED) }, []);
	for (const place of [near, far, cluster.client]) await startServer(place);
	await eventually('the service has both its backends', async () => {
		for (const from of [client, cluster.client]) {
			const host = from === client ? VIP.IPv6 : cluster.node(2).addresses.v6;
			const port = from === client ? PORTS.udp.port : PORTS.udp.nodePort;
			const answers = await ask({ from, protocol: 'udp', host, port });
			if (serversOf(answers) !== 'far, near') throw new Error(formatAnswers(answers));
		}
	});
	return { cluster, client, near, far, protocols: await knownProtocols(near), prefix };
}

/** SCTP is a module that a kernel may be without. */
async function knownProtocols(server: Pod): Promise<readonly Protocol[]> {
	const answers = await ask({ from: server, protocol: 'sctp', host: '127.0.0.1', count: 1 });
	if (!answers.has('error EPROTONOSUPPORT')) return PROTOCOLS;
	tell('skip', 'SCTP: this kernel does not have it');
	return PROTOCOLS.filter((each) => each !== 'sctp');
}
