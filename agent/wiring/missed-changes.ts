/**
 * What changes while the parts that follow changes are still coming up: gathered, so that they can catch up.
 */
import type { ClusterChange } from '../model/cluster-view.ts';
import type { ClusterStore } from '../sources/store.ts';

/** Begins to gather. @returns ends it and gives the union of all changes since */
export function gatherChanges(store: Pick<ClusterStore, 'onChange'>): () => ClusterChange {
	const gathered: { readonly [K in keyof ClusterChange]: Set<string> } = {
		services: new Set(),
		pods: new Set(),
		nodes: new Set(),
		namespaces: new Set(),
		networkPolicies: new Set(),
		clusterNetworkPolicies: new Set(),
		serviceCidrs: new Set(),
	};
	const stop = store.onChange((change) => {
		for (const [name, keys] of Object.entries(gathered)) {
			for (const key of change[name as keyof ClusterChange]) keys.add(key);
		}
	});
	return () => {
		stop();
		return gathered;
	};
}
