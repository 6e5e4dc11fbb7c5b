/**
 * Test cluster: nodes as network namespaces on a shared layer-2 network, an outside client behind a router, agents on the
 * nodes, pods connected through the CNI plugin, Kubernetes objects as YAML files or in a test API server. Nothing in it stands in for a part of
 * Fairlead: agents, plugin, CLI, programs and traffic are real.
 *
 *   const cluster = await Cluster.create({ nodes: 2, routing: 'vxlan' });
 *   try { … } finally { await cluster.destroy(); }
 */
import { randomUUID } from 'node:crypto';
import { cpSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ApiObjects, type ApiObjectsOptions } from './cluster/api-objects.ts';
import type { PortMapping } from './cluster/cni.ts';
import { run } from './cluster/exec.ts';
import { ClusterNode, ROOT } from './cluster/node.ts';
import {
	type EndpointSpec,
	endpointSliceObject,
	type Family,
	familyOf,
	type KubeObject,
	nodeObject,
	ObjectStore,
	type Objects,
	type ServiceSpec,
	serviceObject,
} from './cluster/objects.ts';
import { Place } from './cluster/place.ts';
import { Pod } from './cluster/pod.ts';
import { createScope, leftovers, removeScope, type Scope, sweep, uniqueName } from './cluster/scope.ts';
import { CLIENT, createNetwork, createNode } from './cluster/topology.ts';

export { ask, type ClientReport, curl, startTraffic, type Traffic, urlOf } from './cluster/client.ts';
export { CniError } from './cluster/cni.ts';
export { eventually, PATIENCE, run, sleep } from './cluster/exec.ts';
export type { ClusterNode } from './cluster/node.ts';
export type { Family, KubeObject, ServiceSpec } from './cluster/objects.ts';
export { Place } from './cluster/place.ts';
export type { Pod } from './cluster/pod.ts';
export { CLIENT, ROUTER_OUTSIDE, SERVICE_CIDRS, setSysctls } from './cluster/topology.ts';

export interface ClusterOptions {
	/** Prefix of all that it makes on the machine; default: unique. */
	name?: string;
	nodes?: number;
	families?: readonly Family[];
	routing?: 'vxlan' | 'direct' | 'auto';
	/** Subnet (0, 1, …) of each node; default all in 0. */
	subnets?: readonly number[];
	/** Where agents have their objects from; default: TEST_SOURCE of the environment, else files. */
	source?: 'files' | 'kubernetes';
	/** More options of the test API server. */
	apiServer?: ApiObjectsOptions['server'];
	/** More agent configuration for all nodes. */
	config?: Record<string, unknown>;
	/** Do not start the agents. */
	withoutAgents?: boolean;
	/** Leave it on the machine when this process ends. */
	kept?: boolean;
	/** Told before each slow step. */
	progress?: (text: string) => void;
}

export interface PodOptions {
	node: ClusterNode;
	name: string;
	namespace?: string;
	labels?: Record<string, string>;
	portMappings?: readonly PortMapping[];
	/** Cgroup for its programs; default: one inside its node's. */
	cgroup?: string;
	/** Called when its namespace is there, before CNI ADD, and waited for. */
	prepare?: (pod: Pod) => void | Promise<void>;
}

/** What stands behind a Service: a pod, or an endpoint by address. */
export type Backing = Pod | (EndpointSpec & { node?: undefined });

export class Cluster {
	readonly name: string;
	readonly dir: string;
	readonly families: readonly Family[];
	readonly objects: Objects;
	readonly nodes: ClusterNode[] = [];
	readonly pods: Pod[] = [];
	/** Outside of the cluster; reaches the nodes through a router. */
	readonly client: Place;
	readonly #scope: Scope;

	private constructor(scope: Scope, o: ClusterOptions) {
		this.#scope = scope;
		this.name = scope.name;
		this.dir = scope.dir;
		this.families = o.families ?? ['IPv4', 'IPv6'];
		this.client = new Place({
			name: 'client',
			netns: `${scope.name}-client`,
			cgroup: join(scope.cgroup, 'client'),
			dir: join(scope.dir, 'client'),
		});
		const source = o.source ?? process.env.TEST_SOURCE ?? 'files';
		const at = { place: this.client, host: CLIENT.v4, dir: join(scope.dir, 'api') };
		this.objects =
			source === 'kubernetes'
				? new ApiObjects({ ...at, ...(o.apiServer && { server: o.apiServer }) })
				: new ObjectStore(join(scope.dir, 'objects'));
	}

	/** The test API server; only with source kubernetes. */
	get api(): ApiObjects {
		if (this.objects instanceof ApiObjects) return this.objects;
		throw new Error('the cluster has its objects from files');
	}

	get #sourceConfig(): Record<string, unknown> {
		if (this.objects instanceof ApiObjects) return { source: 'kubernetes', kubeconfig: this.objects.kubeconfig };
		return { source: 'files', filesDir: this.objects.dir };
	}

	/** Makes the network and the nodes and, unless told otherwise, starts the agents and waits until they are ready. */
	static async create(o: ClusterOptions = {}): Promise<Cluster> {
		await sweep();
		const count = o.nodes ?? 2;
		const subnets = o.subnets ?? Array.from({ length: count }, () => 0);
		const cluster = new Cluster(createScope(o.name ?? uniqueName(), o.kept ?? false), o);
		try {
			o.progress?.('creating network namespaces');
			await createNetwork(cluster.name, cluster.dir, [...new Set(subnets)]);
			if (cluster.objects instanceof ApiObjects) await cluster.objects.start();
			for (let index = 1; index <= count; index++) await cluster.#addNode(index, subnets[index - 1] ?? 0, o);
			if (!o.withoutAgents) {
				o.progress?.('starting the agents');
				await cluster.startAgents();
			}
			return cluster;
		} catch (error) {
			cluster.saveLogs();
			await cluster.destroy();
			throw error;
		}
	}

	async #addNode(index: number, subnet: number, o: ClusterOptions): Promise<void> {
		const name = `node${index}`;
		const netns = await createNode(this.name, this.dir, index, subnet);
		this.objects.apply(nodeObject(name, index, subnet, this.families));
		this.nodes.push(
			new ClusterNode({
				name,
				netns,
				cgroup: join(this.#scope.cgroup, name),
				dir: join(this.dir, name),
				bpffsDir: `/sys/fs/bpf/${this.name}-${name}`,
				source: this.#sourceConfig,
				index,
				subnet,
				routing: o.routing ?? 'vxlan',
				config: o.config ?? {},
			}),
		);
	}

	async startAgents(): Promise<void> {
		for (const node of this.nodes) node.startAgent();
		await Promise.all(this.nodes.map((node) => node.waitReady()));
	}

	/** Node by number, from 1. */
	node(index: number): ClusterNode {
		const node = this.nodes[index - 1];
		if (!node) throw new Error(`the cluster has ${this.nodes.length} nodes, there is no node ${index}`);
		return node;
	}

	#podObject(pod: Pod, labels: Record<string, string>, uid: string): KubeObject {
		const ips = this.families.flatMap((f) => pod.addresses[f] ?? []);
		return {
			apiVersion: 'v1',
			kind: 'Pod',
			metadata: { name: pod.name, namespace: pod.namespace, uid, labels },
			spec: { nodeName: pod.node.name, containers: [{ name: 'main', image: 'local' }] },
			status:
				ips.length > 0
					? { phase: 'Running', hostIP: pod.node.addresses.v4, podIP: ips[0], podIPs: ips.map((ip) => ({ ip })) }
					: { phase: 'Pending' },
		};
	}

	/** Makes a pod as a runtime and the kubelet do: namespace, Pod object, CNI ADD, addresses into the object's status. */
	async createPod(o: PodOptions): Promise<Pod> {
		const namespace = o.namespace ?? 'default';
		const uid = randomUUID();
		const netns = `${this.name}-pod-${namespace}-${o.name}`;
		const pod = new Pod({
			name: o.name,
			namespace,
			netns,
			node: o.node,
			cgroup: o.cgroup ?? join(o.node.nodeCgroup, `pod-${namespace}-${o.name}`),
			request: {
				containerId: uid.replaceAll('-', ''),
				netnsPath: `/run/netns/${netns}`,
				args: { K8S_POD_NAMESPACE: namespace, K8S_POD_NAME: o.name, K8S_POD_UID: uid },
				...(o.portMappings ? { portMappings: o.portMappings } : {}),
			},
		});
		await run(['ip', 'netns', 'add', netns]);
		await pod.run(['ip', 'link', 'set', 'lo', 'up']);
		const labels = o.labels ?? { app: o.name };
		this.objects.apply(this.#podObject(pod, labels, uid));
		await o.prepare?.(pod);
		await pod.attach();
		this.objects.apply(this.#podObject(pod, labels, uid));
		this.pods.push(pod);
		return pod;
	}

	/** Removes a pod: CNI DEL, its namespace, its object. */
	async deletePod(pod: Pod): Promise<void> {
		await pod.detach();
		await run(['ip', 'netns', 'del', pod.netns]);
		this.objects.remove('Pod', pod.name, pod.namespace);
		this.pods.splice(this.pods.indexOf(pod), 1);
	}

	/** Writes a Service and its EndpointSlices. */
	publish(service: ServiceSpec, pods: readonly Backing[]): void {
		this.publishEndpoints(service, pods);
		this.objects.apply(serviceObject(service));
	}

	/** Writes the EndpointSlices of a Service, as the control plane would for pods that it selects. */
	publishEndpoints(service: ServiceSpec, pods: readonly Backing[]): void {
		const endpoints = pods.map(
			(p): EndpointSpec => (p.node ? { name: p.name, nodeName: p.node.name, addresses: p.addresses } : p),
		);
		for (const family of new Set(service.clusterIPs.map(familyOf))) {
			this.objects.apply(endpointSliceObject(service, family, endpoints));
		}
	}

	/** Ends of all agents' logs, for a failed test. */
	diagnostics(lines = 40): string {
		return this.nodes.map((node) => `--- ${node.name}: end of the agent's log\n${node.agentLogTail(lines)}`).join('\n');
	}

	/** Copies logs and configurations to build/failed/NAME; returns the path. */
	saveLogs(): string {
		const target = join(ROOT, 'build', 'failed', this.name);
		if (!existsSync(this.dir)) return target;
		for (const entry of readdirSync(this.dir)) {
			cpSync(join(this.dir, entry), join(target, entry), {
				recursive: true,
				filter: (source) => !/\.sock$|cni-bin/.test(source),
			});
		}
		return target;
	}

	/** Ends all processes and removes everything; throws when something stays behind. */
	async destroy(): Promise<void> {
		await Cluster.remove(this.name);
	}

	/** Removes a cluster by name, whichever process made it. */
	static async remove(name: string): Promise<void> {
		await removeScope(name);
		const rest = leftovers(name);
		if (rest.length > 0) throw new Error(`cluster ${name}: left behind: ${rest.join(', ')}`);
	}
}
