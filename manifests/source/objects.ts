/** Values → the objects of an installation, in the order in which they are applied. Pure. */
import type { KubernetesObject, V1Namespace } from '@kubernetes/client-node';
import { configMap } from './config-map.ts';
import { daemonSet } from './daemon-set.ts';
import { podMonitor, prometheusRule } from './monitoring.ts';
import { type Installation, labels } from './names.ts';
import { ownNodePolicy, ownNodePolicyBinding } from './own-node.ts';
import { clusterRole, clusterRoleBinding, serviceAccount } from './rbac.ts';

/** The agent uses the node's network and file systems: a namespace that forbids that would refuse its pods. */
function namespace({ namespace: name, version }: Installation): V1Namespace {
	return {
		apiVersion: 'v1',
		kind: 'Namespace',
		metadata: {
			name,
			labels: { ...labels(version, 'namespace'), 'pod-security.kubernetes.io/enforce': 'privileged' },
		},
	};
}

/** Everything an installation consists of. */
export function renderObjects(i: Installation): readonly KubernetesObject[] {
	const { values } = i;
	return [
		...(values.namespace.create ? [namespace(i)] : []),
		serviceAccount(i),
		clusterRole(i),
		clusterRoleBinding(i),
		...(values.restrictToOwnNode && i.kubernetesMinor >= 30 ? [ownNodePolicy(i), ownNodePolicyBinding(i)] : []),
		configMap(i),
		daemonSet(i),
		...(values.monitoring.podMonitor ? [podMonitor(i)] : []),
		...(values.monitoring.rules ? [prometheusRule(i)] : []),
	];
}
