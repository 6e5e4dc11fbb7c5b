/**
 * What is listed and watched. A kind that the model does not know yet gets here when it does (agent/model/cluster-view.ts):
 * everything else about it follows from this entry.
 */
import type { Kind } from '../../model/cluster-view.ts';

export interface WatchedResource {
	readonly kind: Kind;
	readonly apiVersion: string;
	/** For all namespaces: '/api/v1/services'. */
	readonly path: string;
	readonly labelSelector: string;
	readonly fieldSelector: string;
	/** The cluster may not have the kind (a CRD): 404 means that there are no objects, and is asked again later. */
	readonly optional: boolean;
}

/** Other proxies serve these, or nobody (P/server of kube-proxy filters both kinds of objects alike). */
const PROXIED = '!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name';

function resource(kind: Kind, group: string, plural: string, over: Partial<WatchedResource> = {}): WatchedResource {
	const path = group === 'v1' ? `/api/v1/${plural}` : `/apis/${group}/${plural}`;
	return { kind, apiVersion: group, path, labelSelector: '', fieldSelector: '', optional: false, ...over };
}

/** Everything a node needs. @param nodeName  own Node */
export function watchedResources(nodeName: string): readonly WatchedResource[] {
	return [
		resource('Node', 'v1', 'nodes'),
		resource('Namespace', 'v1', 'namespaces'),
		resource('Service', 'v1', 'services', { labelSelector: PROXIED }),
		resource('EndpointSlice', 'discovery.k8s.io/v1', 'endpointslices', { labelSelector: PROXIED }),
		resource('NetworkPolicy', 'networking.k8s.io/v1', 'networkpolicies'),
		resource('ClusterNetworkPolicy', 'policy.networking.k8s.io/v1alpha2', 'clusternetworkpolicies', { optional: true }),
		resource('Pod', 'v1', 'pods', { fieldSelector: ownPods(nodeName) }),
	];
}

/** Pods of one node. */
export function ownPods(nodeName: string): string {
	return `spec.nodeName=${nodeName}`;
}

/** Pods of all nodes that may have an address. */
export const LIVING_PODS = 'status.phase!=Succeeded,status.phase!=Failed';
