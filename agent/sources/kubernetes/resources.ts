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

/**
 * Others are served by other proxies, or by nobody (P/server of kube-proxy filters both kinds of objects alike; slices have
 * the labels of their service).
 */
function proxiedBy(proxyName: string): string {
	const label = 'service.kubernetes.io/service-proxy-name';
	return `!service.kubernetes.io/headless,${proxyName === '' ? `!${label}` : `${label}=${proxyName}`}`;
}

function resource(kind: Kind, group: string, plural: string, over: Partial<WatchedResource> = {}): WatchedResource {
	const path = group === 'v1' ? `/api/v1/${plural}` : `/apis/${group}/${plural}`;
	return { kind, apiVersion: group, path, labelSelector: '', fieldSelector: '', optional: false, ...over };
}

/**
 * Everything a node needs.
 * @param nodeName   own Node
 * @param proxyName  services with this label are ours; '' = those without the label
 */
export function watchedResources(nodeName: string, proxyName = ''): readonly WatchedResource[] {
	const labelSelector = proxiedBy(proxyName);
	return [
		resource('Node', 'v1', 'nodes'),
		resource('Namespace', 'v1', 'namespaces'),
		resource('Service', 'v1', 'services', { labelSelector }),
		resource('EndpointSlice', 'discovery.k8s.io/v1', 'endpointslices', { labelSelector }),
		resource('NetworkPolicy', 'networking.k8s.io/v1', 'networkpolicies'),
		resource('ClusterNetworkPolicy', 'policy.networking.k8s.io/v1alpha2', 'clusternetworkpolicies', { optional: true }),
		resource('ServiceCIDR', 'networking.k8s.io/v1', 'servicecidrs', { optional: true }),
		resource('Pod', 'v1', 'pods', { fieldSelector: `spec.nodeName=${nodeName}` }),
	];
}

/**
 * Pods of all other nodes that may have an address. What is not assigned to a node yet has none, and would have to change over
 * from this selection to that of its node.
 */
export function podsOfOthers(nodeName: string): WatchedResource {
	const fieldSelector = `spec.nodeName!=,spec.nodeName!=${nodeName},status.phase!=Succeeded,status.phase!=Failed`;
	return resource('Pod', 'v1', 'pods', { fieldSelector });
}
