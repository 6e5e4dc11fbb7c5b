/**
 * The agent in life on this kernel: two nodes joined by VXLAN, pods through the CNI plugin, and an outside client; TCP, UDP and SCTP to
 * Services, through the socket hooks and, from a cgroup that they do not see, packet by packet.
 */
import { readFileSync } from 'node:fs';
import {
	Cluster,
	eventually,
	type Family,
	type KubeObject,
	type Place,
	type Pod,
	type ServiceSpec,
} from '../lib/cluster.ts';
import { tell } from './report.ts';

const LIMIT_MS = 10_000;
/** For those whom a policy keeps out. */
const DENIED_MS = 1500;
const COUNT = 24;
const PORT = 7000;
const FAMILIES = ['IPv4', 'IPv6'] as const;
const OUTSIDE: Record<Family, string> = { IPv4: '172.31.0.10', IPv6: 'fd00:31::10' };
const UNSERVED = { IPv4: '10.96.0.66', IPv6: 'fd00:96::66' };

type Protocol = 'tcp' | 'udp' | 'sctp';
const PORTS: Record<Protocol, { port: number; nodePort: number }> = {
	tcp: { port: 80, nodePort: 30080 },
	udp: { port: 53, nodePort: 30053 },
	sctp: { port: 90, nodePort: 30090 },
};
const PROTOCOLS = Object.keys(PORTS) as Protocol[];

const VIP: Record<Family, string> = { IPv4: '10.96.0.10', IPv6: 'fd00:96::10' };
const SERVICE: ServiceSpec = {
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

/** A Service of the pod that a policy guards. */
const GUARDED_VIP: Record<Family, string> = { IPv4: '10.96.0.11', IPv6: 'fd00:96::11' };
const GUARDED: ServiceSpec = {
	...SERVICE,
	name: 'guarded',
	clusterIPs: [GUARDED_VIP.IPv4, GUARDED_VIP.IPv6],
	ports: SERVICE.ports.map((each) => ({ ...each, nodePort: (each.nodePort ?? 0) + 1 })),
};
/** `near` takes only `client`, and `client` speaks only to `near`. */
const POLICIES: readonly KubeObject[] = [
	{
		apiVersion: 'networking.k8s.io/v1',
		kind: 'NetworkPolicy',
		metadata: { name: 'into-near', namespace: 'default' },
		spec: {
			podSelector: { matchLabels: { app: 'near' } },
			policyTypes: ['Ingress'],
			ingress: [{ from: [{ podSelector: { matchLabels: { app: 'client' } } }] }],
		},
	},
	{
		apiVersion: 'networking.k8s.io/v1',
		kind: 'NetworkPolicy',
		metadata: { name: 'out-of-client', namespace: 'default' },
		spec: {
			podSelector: { matchLabels: { app: 'client' } },
			policyTypes: ['Egress'],
			egress: [{ to: [{ podSelector: { matchLabels: { app: 'near' } } }] }],
		},
	},
];

interface Question {
	readonly from: Place;
	readonly protocol: Protocol;
	readonly host: string;
	readonly port?: number;
	readonly count?: number;
	/** How long each waits for its answer. */
	readonly limitMs?: number;
	/** Default: the place's own, which the socket hooks see. */
	readonly cgroup?: string | undefined;
}

/** How often which answer came: `near 10.244.1.2`, or `error ECONNREFUSED`. */
type Answers = ReadonlyMap<string, number>;

/** Runs all of it; a failure is told, not thrown. */
export async function tryTraffic(): Promise<void> {
	let cluster: Cluster | undefined;
	try {
		const progress = (text: string): void => tell('note', text);
		cluster = await Cluster.create({ nodes: 2, config: { ctMaxEntries: 16_384 }, progress });
		await new Traffic(cluster).tryAll();
	} catch (error) {
		const why = error instanceof Error ? `${error.message} ${error.cause ?? ''}` : String(error);
		const status = cluster && (await cluster.node(1).cli('status').catch(String));
		const state = typeof status === 'object' ? status.stdout : status;
		tell('fail', `traffic: ${why}\n${cluster?.diagnostics(15) ?? ''}\n${state ?? ''}`);
	} finally {
		await cluster?.destroy();
	}
}

class Traffic {
	readonly #cluster: Cluster;
	#client!: Pod;
	#near!: Pod;
	#far!: Pod;

	constructor(cluster: Cluster) {
		this.#cluster = cluster;
	}

	async tryAll(): Promise<void> {
		tell('note', 'making pods');
		await this.#populate();
		const protocols = await this.#protocols();
		for (const family of FAMILIES) {
			for (const protocol of protocols) await this.#tryServices(family, protocol);
			const pod = { from: this.#client, protocol: 'tcp' as const, port: PORT };
			await this.#expect(`${family}, TCP to a pod of the same node`, { ...pod, host: this.#near.address(family) }, [
				`near ${this.#client.address(family)}`,
			]);
			await this.#expect(`${family}, TCP to a pod of another node`, { ...pod, host: this.#far.address(family) }, [
				`far ${this.#client.address(family)}`,
			]);
			const node = this.#cluster.node(1).addresses[family === 'IPv4' ? 'v4' : 'v6'];
			await this.#expect(`${family}, masquerade to the outside`, { ...pod, host: OUTSIDE[family] }, [`client ${node}`]);
		}
		await this.#tryPolicy();
	}

	/** Ingress of a pod and egress of another, by labels: who may not gets no answer, be it directly or by a Service. */
	async #tryPolicy(): Promise<void> {
		const cluster = this.#cluster;
		cluster.publish(GUARDED, [this.#near]);
		for (const each of POLICIES) cluster.objects.apply(each);
		const [client, near, far] = [this.#client, this.#near, this.#far];
		const denied = ['error ETIMEDOUT'];
		const quick = { protocol: 'udp', port: PORT, count: 1, limitMs: DENIED_MS } as const;
		await eventually('the policies are in force', async () => {
			for (const [from, to] of [
				[far, near],
				[client, far],
			] as const) {
				const answers = await ask({ ...quick, from, host: to.address('IPv4') });
				if ([...answers.keys()].join() !== denied.join()) throw new Error(format(answers));
			}
		});
		for (const family of FAMILIES) {
			for (const protocol of ['tcp', 'udp'] as const) {
				const title = `${family}, ${protocol.toUpperCase()}`;
				const question = { ...quick, protocol };
				const patient = { count: COUNT, limitMs: LIMIT_MS };
				const to = (pod: Pod) => ({ host: pod.address(family) });
				const allowed = { ...question, ...patient, from: client, ...to(near) };
				await this.#expect(`${title}: policy lets a pod in by its labels`, allowed, [`near ${client.address(family)}`]);
				await this.#expect(
					`${title}: policy keeps another node's pod out`,
					{ ...question, from: far, ...to(near) },
					denied,
				);
				await this.#expect(`${title}: policy keeps a pod in`, { ...question, from: client, ...to(far) }, denied);
				const world = { ...question, from: client, host: OUTSIDE[family] };
				await this.#expect(`${title}: policy keeps a pod from the outside`, world, denied);
				const service = { ...question, host: GUARDED_VIP[family], port: PORTS[protocol].port };
				await this.#expect(`${title}: policy lets a pod in by a Service`, { ...service, ...patient, from: client }, [
					'near',
				]);
				await this.#expect(
					`${title}: policy keeps another node's pod out of a Service`,
					{ ...service, from: far },
					denied,
				);
				const host = cluster.node(2).addresses[family === 'IPv4' ? 'v4' : 'v6'];
				const outside = { ...question, from: cluster.client, host, port: PORTS[protocol].nodePort + 1 };
				await this.#expect(`${title}: policy keeps the outside out of a NodePort`, outside, denied);
			}
		}
		for (const { kind, metadata } of POLICIES) cluster.objects.remove(kind, metadata.name, metadata.namespace);
		await eventually('the policies are gone', async () => {
			for (const [from, to] of [
				[far, near],
				[client, far],
			] as const) {
				const answers = await ask({ ...quick, from, host: to.address('IPv6') });
				if (serversOf(answers) !== to.name) throw new Error(format(answers));
			}
		});
		tell('pass', 'policies that are removed are not in force any more');
	}

	async #populate(): Promise<void> {
		const cluster = this.#cluster;
		this.#client = await cluster.createPod({ node: cluster.node(1), name: 'client' });
		this.#near = await cluster.createPod({ node: cluster.node(1), name: 'near' });
		this.#far = await cluster.createPod({ node: cluster.node(2), name: 'far' });
		cluster.publish(SERVICE, [this.#near, this.#far]);
		cluster.publish({ ...SERVICE, type: 'ClusterIP', name: 'unserved', clusterIPs: Object.values(UNSERVED) }, []);
		for (const place of [this.#near, this.#far, cluster.client]) {
			const server = place.start('fl-echo', ['fl-echo', 'serve', place.name, String(PORT)]);
			await eventually(`the echo server of ${place.name} is ready`, () => {
				if (!readFileSync(server.logFile, 'utf8').includes('ready')) throw new Error('not yet');
			});
		}
		await eventually('the service has both its backends', async () => {
			for (const from of [this.#client, cluster.client]) {
				const host = from === this.#client ? VIP.IPv6 : cluster.node(2).addresses.v6;
				const port = from === this.#client ? PORTS.udp.port : PORTS.udp.nodePort;
				const answers = await ask({ from, protocol: 'udp', host, port });
				if (serversOf(answers) !== 'far, near') throw new Error(format(answers));
			}
		});
	}

	/** SCTP is a module that a kernel may be without. */
	async #protocols(): Promise<Protocol[]> {
		const answers = await ask({ from: this.#near, protocol: 'sctp', host: '127.0.0.1', port: PORT, count: 1 });
		if (!answers.has('error EPROTONOSUPPORT')) return PROTOCOLS;
		tell('skip', 'SCTP: this kernel does not have it');
		return PROTOCOLS.filter((each) => each !== 'sctp');
	}

	async #tryServices(family: Family, protocol: Protocol): Promise<void> {
		const title = `${family}, ${protocol.toUpperCase()}`;
		const both = ['far', 'near'];
		const { port, nodePort } = PORTS[protocol];
		const service = { from: this.#client, protocol, host: VIP[family], port };
		const unhooked = this.#cluster.client.cgroup;
		// the hooks leave SCTP to the packet path
		if (protocol !== 'sctp') await this.#expect(`${title} to a Service by the socket hooks`, service, both);
		await this.#expect(`${title} to a Service packet by packet`, { ...service, cgroup: unhooked }, both);
		const ofNode = { ...service, from: this.#cluster.node(1) };
		await this.#expect(`${title} from a node to a Service`, ofNode, both);
		for (const node of this.#cluster.nodes) {
			const host = node.addresses[family === 'IPv4' ? 'v4' : 'v6'];
			const outside = { from: this.#cluster.client, protocol, host, port: nodePort };
			await this.#expect(`${title} from outside to the NodePort of ${node.name}`, outside, both);
		}
		const refused = ['error ECONNREFUSED'];
		for (const cgroup of protocol === 'sctp' ? [unhooked] : [undefined, unhooked]) {
			const how = cgroup === undefined ? 'by the socket hooks' : 'packet by packet';
			const unserved = { ...service, host: UNSERVED[family], count: 2, cgroup };
			await this.#expect(`${title} to a Service without endpoints is refused ${how}`, unserved, refused);
		}
	}

	/** @param wanted  servers, or whole answers */
	async #expect(title: string, question: Question, wanted: readonly string[]): Promise<void> {
		const answers = await ask(question);
		const whole = wanted.some((each) => each.includes(' '));
		const found = whole ? [...answers.keys()].sort().join(', ') : serversOf(answers);
		if (found === wanted.join(', ')) tell('pass', title);
		else tell('fail', `${title}: expected ${wanted.join(', ')}, got ${format(answers)}`);
	}
}

async function ask(question: Question): Promise<Answers> {
	const { from, protocol, host, port = PORT, count = COUNT, limitMs = LIMIT_MS, cgroup } = question;
	const command = ['fl-echo', 'ask', protocol, host, port, count, limitMs].map(String);
	const { stdout } = await from.run(command, { timeoutMs: 2 * LIMIT_MS, ...(cgroup && { cgroup }) });
	const answers = new Map<string, number>();
	for (const line of stdout.split('\n').filter(Boolean)) answers.set(line, (answers.get(line) ?? 0) + 1);
	return answers;
}

/** Names of those who answered, sorted; an error stands beside them. */
const serversOf = (answers: Answers): string =>
	[...new Set([...answers.keys()].map((each) => (each.startsWith('error') ? each : (each.split(' ')[0] ?? ''))))]
		.sort()
		.join(', ');

const format = (answers: Answers): string =>
	[...answers].map(([answer, times]) => `${times} × ${answer}`).join(', ') || 'nothing';
