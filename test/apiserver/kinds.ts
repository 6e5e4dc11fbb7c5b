/**
 * The kinds that the test API server knows: names, paths, scope, and which fields selectors may use.
 */

export interface KindInfo {
	/** '' = the core group. */
	readonly group: string;
	readonly version: string;
	readonly kind: string;
	/** Name in paths. */
	readonly resource: string;
	readonly singular: string;
	readonly shortNames: readonly string[];
	readonly namespaced: boolean;
	/** Has a status subresource. */
	readonly status: boolean;
	/** Fields beside metadata.name and metadata.namespace that a field selector may name, as paths into the object. */
	readonly fields: readonly string[];
}

function kind(group: string, version: string, name: string, resource: string, over: Partial<KindInfo> = {}): KindInfo {
	return {
		group,
		version,
		kind: name,
		resource,
		singular: name.toLowerCase(),
		shortNames: [],
		namespaced: true,
		status: false,
		fields: [],
		...over,
	};
}

export const KINDS: readonly KindInfo[] = [
	kind('', 'v1', 'Service', 'services', {
		shortNames: ['svc'],
		status: true,
		fields: ['spec.clusterIP', 'spec.type'],
	}),
	kind('', 'v1', 'Pod', 'pods', {
		shortNames: ['po'],
		status: true,
		fields: ['spec.nodeName', 'spec.restartPolicy', 'status.phase', 'status.podIP', 'spec.hostNetwork'],
	}),
	kind('', 'v1', 'Node', 'nodes', {
		shortNames: ['no'],
		namespaced: false,
		status: true,
		fields: ['spec.unschedulable'],
	}),
	kind('', 'v1', 'Namespace', 'namespaces', {
		shortNames: ['ns'],
		namespaced: false,
		status: true,
		fields: ['status.phase'],
	}),
	kind('', 'v1', 'ConfigMap', 'configmaps', { shortNames: ['cm'] }),
	kind('', 'v1', 'Event', 'events', {
		shortNames: ['ev'],
		fields: ['involvedObject.kind', 'involvedObject.name', 'involvedObject.namespace', 'reason', 'type', 'source'],
	}),
	kind('discovery.k8s.io', 'v1', 'EndpointSlice', 'endpointslices'),
	kind('networking.k8s.io', 'v1', 'NetworkPolicy', 'networkpolicies', { shortNames: ['netpol'] }),
	kind('networking.k8s.io', 'v1', 'ServiceCIDR', 'servicecidrs', { namespaced: false, status: true }),
	kind('policy.networking.k8s.io', 'v1alpha2', 'ClusterNetworkPolicy', 'clusternetworkpolicies', {
		shortNames: ['cnp'],
		namespaced: false,
		status: true,
	}),
	kind('coordination.k8s.io', 'v1', 'Lease', 'leases'),
	kind('', 'v1', 'ServiceAccount', 'serviceaccounts', { shortNames: ['sa'] }),
	kind('apps', 'v1', 'DaemonSet', 'daemonsets', { shortNames: ['ds'], status: true }),
	kind('rbac.authorization.k8s.io', 'v1', 'ClusterRole', 'clusterroles', { namespaced: false }),
	kind('rbac.authorization.k8s.io', 'v1', 'ClusterRoleBinding', 'clusterrolebindings', { namespaced: false }),
	kind('apiextensions.k8s.io', 'v1', 'CustomResourceDefinition', 'customresourcedefinitions', {
		shortNames: ['crd'],
		namespaced: false,
		status: true,
	}),
	kind('admissionregistration.k8s.io', 'v1', 'ValidatingAdmissionPolicy', 'validatingadmissionpolicies', {
		namespaced: false,
		status: true,
	}),
	kind('admissionregistration.k8s.io', 'v1', 'ValidatingAdmissionPolicyBinding', 'validatingadmissionpolicybindings', {
		namespaced: false,
	}),
	kind('monitoring.coreos.com', 'v1', 'PodMonitor', 'podmonitors'),
	kind('monitoring.coreos.com', 'v1', 'PrometheusRule', 'prometheusrules'),
];

export function apiVersionOf({ group, version }: Pick<KindInfo, 'group' | 'version'>): string {
	return group === '' ? version : `${group}/${version}`;
}

/** Path of a kind without namespace: '/api/v1/services', '/apis/GROUP/VERSION/RESOURCE'. */
export function pathOf({ group, version, resource }: KindInfo): string {
	return group === '' ? `/api/${version}/${resource}` : `/apis/${group}/${version}/${resource}`;
}

export function findResource(group: string, version: string, resource: string): KindInfo | undefined {
	return KINDS.find((each) => each.group === group && each.version === version && each.resource === resource);
}

export function findKind(apiVersion: string, name: string): KindInfo | undefined {
	return KINDS.find((each) => each.kind === name && apiVersionOf(each) === apiVersion);
}
