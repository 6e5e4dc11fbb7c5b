/**
 * Turns examples/demo/*.yaml into a running cluster. Nodes, Services and hand-written EndpointSlices go to the agents as they are;
 * Pods are made as a kubelet makes them, and Services with a selector get their EndpointSlices as the control plane writes them.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import type { PortMapping } from '../../test/lib/cluster/cni.ts';
import type { Cluster, KubeObject, Pod, ServiceSpec } from '../../test/lib/cluster.ts';
import { progress } from './report.ts';

const EXAMPLES = join(import.meta.dirname, '..', '..', 'examples', 'demo');

const protocol = z.enum(['TCP', 'UDP', 'SCTP']).default('TCP');
const podSchema = z.object({
	metadata: z.object({ name: z.string(), labels: z.record(z.string(), z.string()) }),
	spec: z.object({
		nodeName: z.string(),
		containers: z.array(
			z.object({
				image: z.enum(['nginx', 'echo', 'client']),
				ports: z.array(z.object({ containerPort: z.number(), hostPort: z.number().optional(), protocol })).default([]),
			}),
		),
	}),
});
const serviceSchema = z.object({
	metadata: z.object({ name: z.string() }),
	spec: z.object({
		selector: z.record(z.string(), z.string()).optional(),
		clusterIPs: z.array(z.string()),
		ports: z.array(z.object({ name: z.string(), port: z.number(), targetPort: z.number().optional(), protocol })),
	}),
});

type PodManifest = z.infer<typeof podSchema>;

/** All objects of examples/demo, in the order of their files. */
export function readExamples(): KubeObject[] {
	const files = readdirSync(EXAMPLES).filter((name) => name.endsWith('.yaml'));
	return files.sort().flatMap((name) => {
		const documents = parseAllDocuments(readFileSync(join(EXAMPLES, name), 'utf8'));
		return documents.map((document) => document.toJS() as KubeObject);
	});
}

async function startServer(pod: Pod, image: 'nginx' | 'echo' | 'client'): Promise<void> {
	if (image === 'nginx') await pod.startNginx(80);
	if (image === 'echo') await pod.startEcho(7000);
}

async function runPod(cluster: Cluster, manifest: PodManifest): Promise<{ pod: Pod; addMs: number }> {
	const node = cluster.nodes.find((one) => one.name === manifest.spec.nodeName);
	if (!node) throw new Error(`Pod ${manifest.metadata.name}: there is no node ${manifest.spec.nodeName}`);
	const portMappings = manifest.spec.containers.flatMap((c) =>
		c.ports.flatMap(({ hostPort, containerPort, protocol: p }): PortMapping[] =>
			hostPort === undefined ? [] : [{ hostPort, containerPort, protocol: p === 'UDP' ? 'udp' : 'tcp' }],
		),
	);
	const started = performance.now();
	const pod = await cluster.createPod({
		node,
		name: manifest.metadata.name,
		labels: manifest.metadata.labels,
		...(portMappings.length > 0 ? { portMappings } : {}),
	});
	const addMs = performance.now() - started;
	for (const container of manifest.spec.containers) await startServer(pod, container.image);
	return { pod, addMs };
}

/** The running demo: pods by name, and how to publish a Service again with other backends. */
export interface Population {
	readonly pods: ReadonlyMap<string, Pod>;
	/** Writes the EndpointSlices of a Service for these pods. */
	publish(service: string, pods: readonly Pod[]): void;
	/** First ClusterIP of the family. */
	vip(service: string, family: 'IPv4' | 'IPv6'): string;
	/** Time of making a pod ready for its first packet, in milliseconds, median. */
	readonly addMs: number;
}

/** Applies all objects and starts all pods; the agents must be running. */
export async function populate(cluster: Cluster): Promise<Population> {
	const objects = readExamples();
	const manifests = objects.filter((o) => o.kind === 'Pod').map((o) => podSchema.parse(o));
	const pods = new Map<string, Pod>();
	const times: number[] = [];
	for (const object of objects) if (object.kind !== 'Pod') cluster.objects.apply(object);
	for (const manifest of manifests) {
		const { pod, addMs } = await runPod(cluster, manifest);
		pods.set(pod.name, pod);
		times.push(addMs);
		progress(`pod ${pod.name} on ${pod.node.name}: ${Object.values(pod.addresses).join(' ')}`);
	}
	const services = new Map<string, ServiceSpec>();
	for (const object of objects.filter((o) => o.kind === 'Service')) {
		const { metadata, spec } = serviceSchema.parse(object);
		services.set(metadata.name, {
			name: metadata.name,
			clusterIPs: spec.clusterIPs,
			ports: spec.ports.map(({ targetPort, ...port }) => ({ ...port, ...(targetPort ? { targetPort } : {}) })),
		});
		if (!spec.selector) continue;
		const selector = Object.entries(spec.selector);
		const selected = manifests.filter((m) => selector.every(([key, value]) => m.metadata.labels[key] === value));
		publish(
			metadata.name,
			selected.flatMap((m) => pods.get(m.metadata.name) ?? []),
		);
	}
	function serviceOf(name: string): ServiceSpec {
		const service = services.get(name);
		if (!service) throw new Error(`examples/demo has no Service ${name}`);
		return service;
	}
	function publish(service: string, backends: readonly Pod[]): void {
		cluster.publishEndpoints(serviceOf(service), backends);
	}
	const vip = (service: string, family: 'IPv4' | 'IPv6'): string =>
		serviceOf(service).clusterIPs.find((ip) => ip.includes(':') === (family === 'IPv6')) ?? '';
	times.sort((a, b) => a - b);
	return { pods, publish, vip, addMs: times[Math.floor(times.length / 2)] ?? 0 };
}
