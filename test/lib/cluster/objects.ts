/**
 * Kubernetes objects as YAML files in the directory that the agents' `files` source watches. One file per object, replaced by
 * rename, so that an agent never reads half of one.
 */
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { type NodeAddresses, nodeAddresses } from './topology.ts';

export interface KubeObject {
	apiVersion: string;
	kind: string;
	metadata: { name: string; namespace?: string; labels?: Record<string, string>; [key: string]: unknown };
	[key: string]: unknown;
}

export type Family = 'IPv4' | 'IPv6';

export interface PortSpec {
	name?: string;
	port: number;
	targetPort?: number;
	protocol?: 'TCP' | 'UDP' | 'SCTP';
	nodePort?: number;
}

export interface ServiceSpec {
	name: string;
	namespace?: string;
	/** ClusterIPs, one per family; their families become ipFamilies. */
	clusterIPs: readonly string[];
	ports: readonly PortSpec[];
	type?: 'ClusterIP' | 'NodePort' | 'LoadBalancer';
	extra?: Record<string, unknown>;
	/** `status.loadBalancer.ingress` */
	ingress?: readonly { ip: string; ipMode?: 'VIP' | 'Proxy' }[];
}

export interface EndpointSpec {
	name: string;
	nodeName: string;
	addresses: Partial<Record<Family, string>>;
	ready?: boolean;
	terminating?: boolean;
}

export const familyOf = (address: string): Family => (address.includes(':') ? 'IPv6' : 'IPv4');

/** Where the objects of a cluster are: the agents' source has them soon after. */
export interface Objects {
	/** Directory of files, or of the API server's own things. */
	readonly dir: string;
	apply(object: KubeObject): void;
	remove(kind: string, name: string, namespace?: string): void;
}

/** The directory of object files. */
export class ObjectStore implements Objects {
	readonly dir: string;
	readonly #staging: string;

	constructor(dir: string) {
		this.dir = dir;
		this.#staging = `${dir}.staging`;
		mkdirSync(dir, { recursive: true });
		mkdirSync(this.#staging, { recursive: true });
	}

	/** Path of an object's file. */
	fileOf(kind: string, name: string, namespace = 'default'): string {
		return join(this.dir, `${kind.toLowerCase()}.${namespace}.${name}.yaml`);
	}

	apply(object: KubeObject): void {
		const { name, namespace } = object.metadata;
		this.writeText(this.fileOf(object.kind, name, namespace), stringify(object));
	}

	/** Writes any text as one of the files, e.g. a broken one. */
	writeText(path: string, text: string): void {
		const staged = join(this.#staging, 'next');
		writeFileSync(staged, text);
		renameSync(staged, path);
	}

	remove(kind: string, name: string, namespace = 'default'): void {
		rmSync(this.fileOf(kind, name, namespace), { force: true });
	}
}

export function nodeObject(name: string, index: number, subnet: number, families: readonly Family[]): KubeObject {
	const a: NodeAddresses = nodeAddresses(index, subnet);
	const podCIDRs = families.map((f) => (f === 'IPv4' ? a.podCidr4 : a.podCidr6));
	const addresses = families.map((f) => ({ type: 'InternalIP', address: f === 'IPv4' ? a.v4 : a.v6 }));
	return {
		apiVersion: 'v1',
		kind: 'Node',
		metadata: { name, labels: { 'kubernetes.io/hostname': name } },
		spec: { podCIDR: podCIDRs[0], podCIDRs },
		status: { addresses: [...addresses, { type: 'Hostname', address: name }] },
	};
}

export function serviceObject(s: ServiceSpec): KubeObject {
	return {
		apiVersion: 'v1',
		kind: 'Service',
		metadata: { name: s.name, namespace: s.namespace ?? 'default' },
		spec: {
			type: s.type ?? 'ClusterIP',
			clusterIP: s.clusterIPs[0],
			clusterIPs: [...s.clusterIPs],
			ipFamilies: s.clusterIPs.map(familyOf),
			ipFamilyPolicy: s.clusterIPs.length > 1 ? 'RequireDualStack' : 'SingleStack',
			selector: { app: s.name },
			ports: s.ports.map((p) => ({ protocol: 'TCP', ...p, name: p.name ?? `p${p.port}` })),
			...s.extra,
		},
		...(s.ingress ? { status: { loadBalancer: { ingress: s.ingress } } } : {}),
	};
}

/** The EndpointSlice that the control plane would write for one family of a service. */
export function endpointSliceObject(s: ServiceSpec, family: Family, endpoints: readonly EndpointSpec[]): KubeObject {
	const usable = endpoints.flatMap((e) => {
		const address = e.addresses[family];
		return address ? [{ ...e, address }] : [];
	});
	return {
		apiVersion: 'discovery.k8s.io/v1',
		kind: 'EndpointSlice',
		metadata: {
			name: `${s.name}-${family.toLowerCase()}`,
			namespace: s.namespace ?? 'default',
			labels: { 'kubernetes.io/service-name': s.name },
		},
		addressType: family,
		ports: s.ports.map((p) => ({
			name: p.name ?? `p${p.port}`,
			port: p.targetPort ?? p.port,
			protocol: p.protocol ?? 'TCP',
		})),
		endpoints: usable.map((e) => ({
			addresses: [e.address],
			conditions: {
				ready: (e.ready ?? true) && !e.terminating,
				serving: e.ready ?? true,
				terminating: e.terminating ?? false,
			},
			nodeName: e.nodeName,
			targetRef: { kind: 'Pod', name: e.name, namespace: s.namespace ?? 'default' },
		})),
	};
}
