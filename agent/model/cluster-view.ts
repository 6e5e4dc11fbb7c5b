/**
 * The cluster as this node knows it: read-only for planners, filled by agent/sources.
 */
import type { ClusterNetworkPolicy } from './cluster-network-policy.ts';
import type { EndpointSlice } from './endpoint-slice.ts';
import type { NetworkPolicy } from './network-policy.ts';
import type { Namespace, Node } from './node.ts';
import type { Pod } from './pod.ts';
import type { Service } from './service.ts';
import type { ServiceCidr } from './service-cidr.ts';

/** Kinds a source may deliver, with their value type. */
export interface ObjectsByKind {
	Service: Service;
	EndpointSlice: EndpointSlice;
	Pod: Pod;
	Node: Node;
	Namespace: Namespace;
	NetworkPolicy: NetworkPolicy;
	ClusterNetworkPolicy: ClusterNetworkPolicy;
	ServiceCIDR: ServiceCidr;
}

export type Kind = keyof ObjectsByKind;

export interface ClusterView {
	/** By 'namespace/name'. */
	readonly services: ReadonlyMap<string, Service>;
	/** By 'namespace/name' of the slice. */
	readonly endpointSlices: ReadonlyMap<string, EndpointSlice>;
	/** By 'namespace/name'. */
	readonly pods: ReadonlyMap<string, Pod>;
	/** By name. */
	readonly nodes: ReadonlyMap<string, Node>;
	/** By name. */
	readonly namespaces: ReadonlyMap<string, Namespace>;
	/** By 'namespace/name'. */
	readonly networkPolicies: ReadonlyMap<string, NetworkPolicy>;
	/** By name. */
	readonly clusterNetworkPolicies: ReadonlyMap<string, ClusterNetworkPolicy>;
	/** By name. */
	readonly serviceCidrs: ReadonlyMap<string, ServiceCidr>;
	/** Slices of a service ('namespace/name') sorted by name; empty when there are none. */
	slicesOf(service: string): readonly EndpointSlice[];
}

/** What changed since the last notification; all sets hold keys of the maps above. */
export interface ClusterChange {
	/** Services whose own object or whose slices changed. */
	readonly services: ReadonlySet<string>;
	readonly pods: ReadonlySet<string>;
	readonly nodes: ReadonlySet<string>;
	readonly namespaces: ReadonlySet<string>;
	readonly networkPolicies: ReadonlySet<string>;
	readonly clusterNetworkPolicies: ReadonlySet<string>;
	readonly serviceCidrs: ReadonlySet<string>;
}
