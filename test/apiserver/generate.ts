/**
 * A large cluster: services with endpoints, nodes, pods and policies, as large as the objects of a real control plane are: managed
 * fields, owner references and selectors included, since clients have to read past them.
 */
import { endpointSliceObject, serviceObject } from '../lib/cluster/objects.ts';
import { findKind } from './kinds.ts';
import type { ApiObject, Storage } from './storage.ts';

export interface ClusterSize {
	readonly services: number;
	/** Of each service. */
	readonly endpoints: number;
	/** Node objects; absent or 0 = none, endpoints name a hundred. */
	readonly nodes?: number;
	/** Pods, of which the endpoints are the first ones. */
	readonly pods?: number;
	/** NetworkPolicies, each for the pods of one service, that allow those of three others. */
	readonly policies?: number;
}

/** Nodes that endpoints name if there are no Node objects. */
const UNKNOWN_NODES = 100;
/** Pods of a service are in one of so many namespaces; services are all in `default`. */
const NAMESPACES = 200;

/** Address of endpoint number n: all distinct; with Node objects in the pod CIDR of its node. */
export function endpointAddress(n: number, nodes = 0): string {
	if (nodes === 0) return `10.${128 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
	const node = n % nodes;
	return `10.${128 + (node >> 8)}.${node & 255}.${2 + Math.floor(n / nodes)}`;
}

function nodeName(n: number): string {
	return `node-${n}.example.internal`;
}

export function serviceAddress(n: number): string {
	return `10.${96 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
}

function withControlPlaneFields(object: unknown, manager: string, uid: string): ApiObject {
	const { metadata, ...rest } = object as ApiObject;
	const fields = {
		'f:spec': { 'f:ports': { '.': {}, 'k:{"port":80,"protocol":"TCP"}': { '.': {}, 'f:name': {}, 'f:port': {} } } },
	};
	const time = '2026-01-01T00:00:00Z';
	const managedFields = [
		{
			manager,
			operation: 'Update',
			apiVersion: 'v1',
			time,
			fieldsType: 'FieldsV1',
			fieldsV1: { ...fields, 'f:metadata': { 'f:labels': { '.': {}, 'f:app': {} } } },
		},
	];
	return { ...rest, metadata: { ...metadata, creationTimestamp: time, uid, managedFields } };
}

/** @param ready  endpoints from this number on are not ready @param nodes  Node objects of the cluster */
export function generatedSlice(service: number, endpoints: number, ready = endpoints, nodes = 0): ApiObject {
	const spec = serviceSpec(service);
	const list = Array.from({ length: endpoints }, (_, i) => {
		const n = service * endpoints + i;
		return {
			name: `p${n}-7d9c5b8f6d-abcde`,
			nodeName: nodeName(n % (nodes || UNKNOWN_NODES)),
			addresses: { IPv4: endpointAddress(n, nodes) },
			ready: i < ready,
		};
	});
	return withControlPlaneFields(
		endpointSliceObject(spec, 'IPv4', list),
		'kube-controller-manager',
		`slice-uid-${service}`,
	);
}

function serviceSpec(n: number) {
	return {
		name: `svc-${n}`,
		clusterIPs: [serviceAddress(n)],
		ports: [{ name: 'http', port: 80, targetPort: 8080 }],
	};
}

function namespaceOf(service: number): string {
	return `team-${service % NAMESPACES}`;
}

const CONDITIONS = ['Initialized', 'Ready', 'ContainersReady', 'PodScheduled'].map((type) => ({
	type,
	status: 'True',
	lastProbeTime: null,
	lastTransitionTime: '2026-01-01T00:00:00Z',
}));
const TOKEN = {
	name: 'kube-api-access',
	projected: { defaultMode: 420, sources: [{ serviceAccountToken: { path: 'token' } }] },
};
const TOLERATIONS = ['not-ready', 'unreachable'].map((key) => ({
	key: `node.kubernetes.io/${key}`,
	operator: 'Exists',
	effect: 'NoExecute',
	tolerationSeconds: 300,
}));

/** Pod number n, ten per service; some two thousand bytes, where those of real clusters have three to ten. */
export function generatedPod(n: number, nodes: number, app = Math.floor(n / 10)): ApiObject {
	const ip = endpointAddress(n, nodes);
	const image = `registry.example.internal/team/app-${app}:1.2.3`;
	const pod = {
		apiVersion: 'v1',
		kind: 'Pod',
		metadata: {
			name: `svc-${app}-7d9c5b8f6d-${n.toString(36).padStart(5, '0')}`,
			namespace: namespaceOf(app),
			labels: { app: `svc-${app}`, tier: `t${app % 5}`, 'pod-template-hash': '7d9c5b8f6d' },
			ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: `svc-${app}-7d9c5b8f6d`, uid: `rs-${app}` }],
		},
		spec: {
			nodeName: nodeName(n % nodes),
			serviceAccountName: 'default',
			volumes: [TOKEN],
			tolerations: TOLERATIONS,
			containers: [
				{
					name: 'app',
					image,
					ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }],
					resources: { requests: { cpu: '100m', memory: '128Mi' } },
				},
			],
		},
		status: {
			phase: 'Running',
			conditions: CONDITIONS,
			hostIP: hostAddress(n % nodes),
			podIP: ip,
			podIPs: [{ ip }],
			startTime: '2026-01-01T00:00:00Z',
			containerStatuses: [
				{ name: 'app', image, imageID: `${image}@sha256:${'0'.repeat(64)}`, ready: true, restartCount: 0 },
			],
		},
	};
	return withControlPlaneFields(pod, 'kubelet', `pod-uid-0000-0000-0000-${n.toString().padStart(12, '0')}`);
}

function hostAddress(node: number): string {
	return `172.${20 + (node >> 14)}.${(node >> 8) & 63}.${node & 255}`;
}

function generatedNode(n: number): ApiObject {
	const cidr = `10.${128 + (n >> 8)}.${n & 255}.0/24`;
	const node = {
		apiVersion: 'v1',
		kind: 'Node',
		metadata: {
			name: nodeName(n),
			labels: { 'kubernetes.io/hostname': nodeName(n), 'topology.kubernetes.io/zone': `z${n % 3}` },
		},
		spec: { podCIDR: cidr, podCIDRs: [cidr] },
		status: {
			addresses: [{ type: 'InternalIP', address: hostAddress(n) }],
			conditions: CONDITIONS,
			images: Array.from({ length: 20 }, (_, i) => ({
				names: [`registry.example.internal/image-${i}`],
				sizeBytes: 100_000_000,
			})),
		},
	};
	return withControlPlaneFields(node, 'kubelet', `node-uid-${n}`);
}

function generatedPolicy(n: number): ApiObject {
	const from = [1, 2].map((i) => ({ podSelector: { matchLabels: { app: `svc-${n + i * NAMESPACES}` } } }));
	const others = {
		namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespaceOf(n + 1) } },
		podSelector: { matchLabels: { tier: `t${n % 5}` } },
	};
	const policy = {
		apiVersion: 'networking.k8s.io/v1',
		kind: 'NetworkPolicy',
		metadata: { name: `allow-${n}`, namespace: namespaceOf(n) },
		spec: {
			podSelector: { matchLabels: { app: `svc-${n}` } },
			policyTypes: ['Ingress'],
			ingress: [{ from: [...from, others], ports: [{ protocol: 'TCP', port: 8080 }] }],
		},
	};
	return withControlPlaneFields(policy, 'kubectl-client-side-apply', `policy-uid-${n}`);
}

/** Fills a storage with services svc-0 … and one slice each, and what else there is to be. */
export function generateCluster(storage: Storage, size: ClusterSize): void {
	const { services, endpoints, nodes = 0, pods = 0, policies = 0 } = size;
	const add = (object: ApiObject): void => {
		const info = findKind(object.apiVersion ?? '', object.kind ?? '');
		if (info === undefined) throw new Error(`no kind ${object.kind}`);
		storage.create(info, object);
	};
	for (let n = 0; n < services; n++) {
		add(withControlPlaneFields(serviceObject(serviceSpec(n)), 'kubectl-client-side-apply', `uid-${n}`));
		add(generatedSlice(n, endpoints, endpoints, nodes));
	}
	for (let n = 0; n < nodes; n++) add(generatedNode(n));
	for (let n = 0; n < (pods > 0 ? NAMESPACES : 0); n++) {
		const name = namespaceOf(n);
		const metadata = { name, labels: { 'kubernetes.io/metadata.name': name } };
		add({ apiVersion: 'v1', kind: 'Namespace', metadata, status: { phase: 'Active' } });
	}
	for (let n = 0; n < pods; n++) add(generatedPod(n, nodes));
	for (let n = 0; n < policies; n++) add(generatedPolicy(n));
}
