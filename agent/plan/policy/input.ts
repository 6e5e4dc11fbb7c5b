/** What the cluster view has for the policy compiler. Pure. */
import type { ClusterChange, ClusterView } from '../../model/cluster-view.ts';
import type { PolicyInput } from './compiler.ts';

/** Everything, for the first call. */
export function inputOfView(view: ClusterView): PolicyInput {
	const { namespaces, pods, nodes, networkPolicies, clusterNetworkPolicies } = view;
	return { namespaces, pods, nodes, networkPolicies, clusterNetworkPolicies };
}

/** What a change of the view names; objects that are gone are null. */
export function inputOfChange(view: ClusterView, change: ClusterChange): PolicyInput {
	const pick = <T>(keys: ReadonlySet<string>, map: ReadonlyMap<string, T>): ReadonlyMap<string, T | null> =>
		new Map([...keys].map((key) => [key, map.get(key) ?? null]));
	return {
		namespaces: pick(change.namespaces, view.namespaces),
		pods: pick(change.pods, view.pods),
		nodes: pick(change.nodes, view.nodes),
		networkPolicies: pick(change.networkPolicies, view.networkPolicies),
		clusterNetworkPolicies: pick(change.clusterNetworkPolicies, view.clusterNetworkPolicies),
	};
}
