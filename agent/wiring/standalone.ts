/**
 * Standalone mode in the agent: what of the files counts, the own Node that nobody needs to write, and why nothing can be served.
 */
import { SvcScope } from '../../native/abi/generated.ts';
import type { Config } from '../config/schema.ts';
import type { ClusterView, Kind, ObjectsByKind } from '../model/cluster-view.ts';
import type { Node } from '../model/node.ts';
import { isSkipped, type OwnerPlan } from '../plan/services.ts';
import type { ClusterStore } from '../sources/store.ts';

export interface StandaloneObjectsOptions {
	readonly store: Pick<ClusterStore, 'nodes' | 'set' | 'delete' | 'markSynced'>;
	readonly nodeName: string;
	/** An object of a kind that needs a cluster, such as 'Pod default/a'; once each. */
	readonly onLeftOut: (object: string) => void;
}

/** Addresses and uplink come from the machine, as for a Node object that says nothing. */
function unwrittenNode(name: string): Node {
	return { name, labels: {}, zone: '', internalIps: [], externalIps: [], podCidrs: [], goingAway: false };
}

/** Between a source and the store: lets Services, EndpointSlices and the own Node through. There always is an own Node. */
export class StandaloneObjects {
	readonly #options: StandaloneObjectsOptions;
	readonly #leftOut = new Set<string>();

	constructor(options: StandaloneObjectsOptions) {
		this.#options = options;
	}

	/** As ClusterStore.set(). */
	set<K extends Kind>(kind: K, key: string, value: ObjectsByKind[K]): boolean {
		const { store, nodeName, onLeftOut } = this.#options;
		if (kind === 'Service' || kind === 'EndpointSlice') return store.set(kind, key, value);
		if (kind === 'Node' && key === nodeName) return store.set('Node', key, { ...(value as Node), podCidrs: [] });
		const name = `${kind} ${key}`;
		if (!this.#leftOut.has(name)) onLeftOut(name);
		this.#leftOut.add(name);
		return false;
	}

	/** As ClusterStore.delete(). */
	delete(kind: Kind, key: string): boolean {
		const { store, nodeName } = this.#options;
		if (kind === 'Node' && key === nodeName) return store.set('Node', key, unwrittenNode(key));
		return store.delete(kind, key);
	}

	/** As ClusterStore.markSynced(). */
	markSynced(): void {
		const { store, nodeName } = this.#options;
		if (!store.nodes.has(nodeName)) store.set('Node', nodeName, unwrittenNode(nodeName));
		store.markSynced();
	}
}

export interface ServedFacts {
	readonly config: Pick<Config, 'standalone' | 'filesDir' | 'serviceProxyName'>;
	readonly view: Pick<ClusterView, 'services'>;
	/** By 'namespace/name'; what is skipped may be missing. */
	readonly plans: ReadonlyMap<string, OwnerPlan>;
}

/** Services that are named; there may be thousands. */
const NAMED = 3;

/** Why a client finds nothing at all here; empty = at least one port of one service is served, or the mode is off. */
export function standaloneProblems({ config, view, plans }: ServedFacts): readonly string[] {
	if (!config.standalone) return [];
	if (view.services.size === 0) return [`no service can be served: there is no Service in ${config.filesDir}`];
	const reasons: string[] = [];
	for (const [key, service] of view.services) {
		const outside = (plans.get(key)?.ports ?? []).filter(({ frontends }) =>
			frontends.some(({ scope }) => scope === SvcScope.EXTERNAL),
		);
		if (outside.some(({ external }) => external.length > 0)) return [];
		if (reasons.length === NAMED) continue;
		if (isSkipped(service, config.serviceProxyName, true))
			reasons.push(`${key}: ExternalName, headless or for another proxy`);
		else if (outside.length === 0) {
			reasons.push(
				`${key}: no address here: it needs status.loadBalancer.ingress, externalIPs or a nodePort in a family of this machine`,
			);
		} else reasons.push(`${key}: no ready endpoint`);
	}
	const more = view.services.size - reasons.length;
	return [`no service can be served: ${reasons.join('; ')}${more > 0 ? `; and ${more} more` : ''}`];
}
