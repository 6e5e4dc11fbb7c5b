/**
 * What the agent knows, in the words of its API: services with their backends, pods of this node, other nodes.
 */
import { BackendFlags, SvcFlags, SvcScope } from '../../native/abi/generated.ts';
import type { EndpointReport, NodeReport, ServiceReport } from '../api/state.ts';
import type { LiveEndpoint } from '../endpoints/endpoint-manager.ts';
import { protocolName } from '../flows/protocols.ts';
import type { ClusterView } from '../model/cluster-view.ts';
import type { NodeFacts } from '../model/node-facts.ts';
import type { Pod } from '../model/pod.ts';
import type { Service } from '../model/service.ts';
import type { Backend } from '../plan/endpoints.ts';
import type { RoutingResult } from '../plan/routing.ts';
import type { DesiredPort, Frontend, OwnerPlan } from '../plan/services.ts';

/** Everything the reports are made of. */
export interface ReportSources {
	readonly view: ClusterView;
	readonly facts: NodeFacts;
	/** By owner: 'namespace/name' of a service, or that of a pod with host ports. */
	readonly plans: ReadonlyMap<string, OwnerPlan>;
	/** Number of a service port in the maps → its name. */
	readonly serviceNames: ReadonlyMap<number, string>;
	readonly routing: RoutingResult;
}

/** Who stands behind an address: built once per report. */
function podsByAddress(view: ClusterView): Map<string, { namespace: string; name: string; node: string }> {
	const pods = new Map<string, { namespace: string; name: string; node: string }>();
	for (const pod of view.pods.values()) {
		if (pod.finished || pod.hostNetwork) continue;
		for (const address of pod.addresses)
			pods.set(address, { namespace: pod.namespace, name: pod.name, node: pod.node });
	}
	return pods;
}

function splitName(owner: string): { namespace: string; name: string } {
	const slash = owner.lastIndexOf('/');
	return slash < 0
		? { namespace: '', name: owner }
		: { namespace: owner.slice(0, slash), name: owner.slice(slash + 1) };
}

/** Name of the port in 'namespace/name:port/TCP/4'. */
function portNameOf(name: string): string {
	return name.slice(name.indexOf(':') + 1).split('/')[0] ?? '';
}

/** Backends of new connections. */
function listOf({ all, external }: DesiredPort, { scope }: Frontend): readonly Backend[] {
	return scope === SvcScope.CLUSTER ? all : external;
}

/** Backends that end and only keep what they have. */
function finishingOf(port: DesiredPort, frontend: Frontend): readonly Backend[] {
	const list = listOf(port, frontend);
	if (list.length === port.serving.length) return [];
	const chosen = new Set(list.map(({ key }) => key));
	return port.serving.filter(({ key, flags }) => (flags & BackendFlags.TERMINATING) !== 0 && !chosen.has(key));
}

/** Services that are programmed, host ports among them. */
export function serviceReports(sources: ReportSources): ServiceReport[] {
	const ids = new Map([...sources.serviceNames].map(([id, name]) => [name, id]));
	const pods = podsByAddress(sources.view);
	const backendReport = (backend: Backend) => {
		const pod = pods.get(backend.address);
		return {
			address: backend.address,
			port: backend.port,
			state: backend.flags & BackendFlags.TERMINATING ? 'terminating' : 'active',
			nodeName: pod?.node ?? '',
			namespace: pod?.namespace ?? '',
			pod: pod?.name ?? '',
			local: pod?.node === sources.facts.name,
		};
	};
	const frontends = (port: DesiredPort) =>
		port.frontends
			.filter((frontend) => !(frontend.flags & SvcFlags.ADDRESS_ONLY))
			.map((frontend) => ({
				id: ids.get(port.name) ?? 0,
				address: frontend.address,
				port: frontend.port,
				protocol: protocolName(frontend.proto),
				portName: portNameOf(port.name),
				scope: frontend.scope === SvcScope.CLUSTER ? 'cluster' : 'external',
				backends: [...listOf(port, frontend), ...finishingOf(port, frontend)].map(backendReport),
			}));
	return [...sources.plans].flatMap(([owner, plan]) => {
		const rows = plan.ports.flatMap(frontends);
		const service = sources.view.services.get(owner);
		return rows.length === 0 ? [] : [{ ...serviceHead(owner, service), frontends: rows }];
	});
}

function serviceHead(owner: string, service: Service | undefined): Omit<ServiceReport, 'frontends'> {
	const { namespace, name } = service ?? splitName(owner.replace(/^hostport:/, ''));
	return {
		namespace,
		name,
		type: service?.type ?? 'HostPort',
		clusterIps: [...(service?.clusterIps ?? [])],
		externalIps: [...(service?.externalIps ?? []), ...(service?.loadBalancerIps ?? [])],
		affinitySeconds: service?.affinityTimeoutS ?? 0,
		internalTrafficPolicy: service?.internalPolicy ?? 'Cluster',
		externalTrafficPolicy: service?.externalPolicy ?? 'Cluster',
	};
}

/** Pods attached to this node. */
export function endpointReports(endpoints: Iterable<LiveEndpoint>): EndpointReport[] {
	return [...endpoints].map((endpoint) => ({
		id: endpoint.index,
		namespace: endpoint.pod?.namespace ?? '',
		pod: endpoint.pod?.name ?? '',
		containerId: endpoint.containerId,
		addresses: [...endpoint.addresses],
		interface: endpoint.hostIfname,
		ifindex: endpoint.ifindex,
		mac: endpoint.mac,
		state: endpoint.identity.isolated ? 'isolated' : 'ready',
		identity: endpoint.identity.identity,
	}));
}

/** Pods of this node that another plugin has attached: what the API tells of them. */
export function foreignReports(pods: Iterable<Pod>): EndpointReport[] {
	return [...pods].map(({ namespace, name, addresses }) => ({
		...{ id: 0, namespace, pod: name, containerId: '', addresses: [...addresses] },
		...{ interface: '', ifindex: 0, mac: '', state: 'foreign', identity: 0 },
	}));
}

/** This node first, then those it can reach. */
export function nodeReports(facts: NodeFacts, routing: RoutingResult, podMtu: number): NodeReport[] {
	const own: NodeReport = {
		name: facts.name,
		addresses: [...facts.addresses],
		podCidrs: [...facts.podCidrs],
		routing: 'local',
		mtu: podMtu,
		index: 0,
	};
	const others = routing.peers.map((peer, at) => ({
		name: peer.name,
		addresses: [...peer.addresses],
		podCidrs: [...peer.podCidrs],
		routing: peer.path.via === 'tunnel' ? 'vxlan' : 'direct',
		mtu: peer.mtu,
		index: at + 1,
	}));
	return [own, ...others];
}
