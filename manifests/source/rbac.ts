/**
 * What the agent may do with the API: it reads the kinds that its source watches, and writes what the life-cycle of its node
 * needs. A test holds both against the agent's own list and against what agents ask in a test cluster.
 */
import type { V1ClusterRole, V1ClusterRoleBinding, V1PolicyRule, V1ServiceAccount } from '@kubernetes/client-node';
import { watchedResources } from '../../agent/sources/kubernetes/resources.ts';
import { AGENT, clusterMeta, type Installation, namespacedMeta } from './names.ts';

const READ = ['get', 'list', 'watch'];

/** '/apis/discovery.k8s.io/v1/endpointslices' → its group and resource. */
function groupOf(path: string): { group: string; resource: string } {
	const parts = path.split('/');
	return { group: parts[1] === 'api' ? '' : (parts[2] ?? ''), resource: parts.at(-1) ?? '' };
}

/** One rule per API group. */
function readRules(): V1PolicyRule[] {
	const byGroup = new Map<string, string[]>();
	for (const { path } of watchedResources('')) {
		const { group, resource } = groupOf(path);
		byGroup.set(group, [...(byGroup.get(group) ?? []), resource].sort());
	}
	const groups = [...byGroup.keys()].sort();
	return groups.map((group) => ({ apiGroups: [group], resources: [...new Set(byGroup.get(group))], verbs: READ }));
}

/** NetworkUnavailable of the own node; its start-up taint; what an operator must know. */
const WRITE_RULES: V1PolicyRule[] = [
	{ apiGroups: [''], resources: ['nodes', 'nodes/status'], verbs: ['patch'] },
	{ apiGroups: [''], resources: ['events'], verbs: ['create', 'patch'] },
];

export function clusterRole(i: Installation): V1ClusterRole {
	return {
		apiVersion: 'rbac.authorization.k8s.io/v1',
		kind: 'ClusterRole',
		metadata: clusterMeta(i),
		rules: [...readRules(), ...WRITE_RULES],
	};
}

export function clusterRoleBinding(i: Installation): V1ClusterRoleBinding {
	return {
		apiVersion: 'rbac.authorization.k8s.io/v1',
		kind: 'ClusterRoleBinding',
		metadata: clusterMeta(i),
		roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: AGENT },
		subjects: [{ kind: 'ServiceAccount', name: AGENT, namespace: i.namespace }],
	};
}

export function serviceAccount(i: Installation): V1ServiceAccount {
	return {
		apiVersion: 'v1',
		kind: 'ServiceAccount',
		metadata: namespacedMeta(i),
		// the pod asks for its token itself
		automountServiceAccountToken: false,
	};
}
