/**
 * Which policies can be judged only by somebody who knows the pods of other nodes.
 */
import type { ClusterNetworkPolicy } from '../model/cluster-network-policy.ts';
import type { Kind, ObjectsByKind } from '../model/cluster-view.ts';
import type { NetworkPolicy } from '../model/network-policy.ts';

/**
 * Peers by labels of pods or namespaces need them, and so do named ports of destinations. Whom a policy is about does not:
 * only pods of the own node are judged here. Nor do blocks of addresses: they are about addresses, whoever has them.
 */
export function needsOtherPods<K extends Kind>(kind: K, value: ObjectsByKind[K]): boolean {
	if (kind === 'NetworkPolicy') return ofNetworkPolicy(value as NetworkPolicy);
	return kind === 'ClusterNetworkPolicy' && ofClusterPolicy(value as ClusterNetworkPolicy);
}

interface Rule {
	readonly peers: readonly { readonly kind: string }[] | null;
}

function byPod({ peers }: Rule): boolean {
	return peers?.some(({ kind }) => kind === 'pods') ?? false;
}

function ofNetworkPolicy({ ingress, egress }: NetworkPolicy): boolean {
	const named = egress?.some(({ ports }) => ports?.some(({ port }) => typeof port === 'string') ?? false) ?? false;
	return named || [...(ingress ?? []), ...(egress ?? [])].some(byPod);
}

function ofClusterPolicy({ ingress, egress }: ClusterNetworkPolicy): boolean {
	const named = egress.some(({ ports }) => ports?.some(({ kind }) => kind === 'named') ?? false);
	return named || [...ingress, ...egress].some(byPod);
}
