/**
 * The cluster as objects arrive from a source: one Map per kind, and notifications that gather what changed.
 * Sources (files, kubernetes) write; planners read it as a ClusterView.
 */
import type { ClusterNetworkPolicy } from '../model/cluster-network-policy.ts';
import type { ClusterChange, ClusterView, Kind, ObjectsByKind } from '../model/cluster-view.ts';
import type { EndpointSlice } from '../model/endpoint-slice.ts';
import { serviceOfSlice } from '../model/endpoint-slice.ts';
import { reuseParts } from '../model/equal.ts';
import type { NetworkPolicy } from '../model/network-policy.ts';
import type { Namespace, Node } from '../model/node.ts';
import type { Pod } from '../model/pod.ts';
import type { Service } from '../model/service.ts';
import type { ServiceCidr } from '../model/service-cidr.ts';

export type ChangeListener = (change: ClusterChange) => void;

interface PendingChange {
	readonly services: Set<string>;
	readonly pods: Set<string>;
	readonly nodes: Set<string>;
	readonly namespaces: Set<string>;
	readonly networkPolicies: Set<string>;
	readonly clusterNetworkPolicies: Set<string>;
	readonly serviceCidrs: Set<string>;
}

const NO_SLICES: readonly EndpointSlice[] = [];

export class ClusterStore implements ClusterView {
	readonly services = new Map<string, Service>();
	readonly endpointSlices = new Map<string, EndpointSlice>();
	readonly pods = new Map<string, Pod>();
	readonly nodes = new Map<string, Node>();
	readonly namespaces = new Map<string, Namespace>();
	readonly networkPolicies = new Map<string, NetworkPolicy>();
	readonly clusterNetworkPolicies = new Map<string, ClusterNetworkPolicy>();
	readonly serviceCidrs = new Map<string, ServiceCidr>();
	readonly #maps: { readonly [P in Kind]: Map<string, ObjectsByKind[P]> } = {
		Service: this.services,
		EndpointSlice: this.endpointSlices,
		Pod: this.pods,
		Node: this.nodes,
		Namespace: this.namespaces,
		NetworkPolicy: this.networkPolicies,
		ClusterNetworkPolicy: this.clusterNetworkPolicies,
		ServiceCIDR: this.serviceCidrs,
	};
	/** Slices by service, sorted by name. */
	readonly #slices = new Map<string, readonly EndpointSlice[]>();
	readonly #listeners = new Set<ChangeListener>();
	#pending = emptyChange();
	#scheduled = false;
	#synced = false;

	/** True once the source has delivered everything that existed when it started. Plan nothing before. */
	get synced(): boolean {
		return this.#synced;
	}

	/** Called by the source after its first complete delivery; listeners hear of it even if there was no object. */
	markSynced(): void {
		if (this.#synced) return;
		this.#synced = true;
		this.#schedule();
	}

	/** Adds or replaces an object. @returns false when it is what was there */
	set<K extends Kind>(kind: K, key: string, value: ObjectsByKind[K]): boolean {
		const map = this.#mapOf(kind);
		const old = map.get(key);
		if (old !== undefined && reuseParts(old, value)) return false;
		map.set(key, value);
		this.#record(kind, key, old, value);
		return true;
	}

	/** @returns false when it was not there */
	delete(kind: Kind, key: string): boolean {
		const map = this.#mapOf(kind);
		const old = map.get(key);
		if (old === undefined) return false;
		map.delete(key);
		this.#record(kind, key, old, undefined);
		return true;
	}

	slicesOf(service: string): readonly EndpointSlice[] {
		return this.#slices.get(service) ?? NO_SLICES;
	}

	/**
	 * Calls `listener` with everything that changed since its last call, once per turn of the event loop at most and
	 * never before the source has delivered everything once.
	 * @returns a function that ends the subscription
	 */
	onChange(listener: ChangeListener): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}

	#mapOf<K extends Kind>(kind: K): Map<string, ObjectsByKind[K]> {
		return this.#maps[kind];
	}

	#record<K extends Kind>(
		kind: K,
		key: string,
		old: ObjectsByKind[K] | undefined,
		value: ObjectsByKind[K] | undefined,
	): void {
		if (kind === 'EndpointSlice') {
			this.#recordSlice(old as EndpointSlice | undefined, value as EndpointSlice | undefined);
		} else if (kind === 'Service') this.#pending.services.add(key);
		else if (kind === 'Pod') this.#pending.pods.add(key);
		else if (kind === 'Node') this.#pending.nodes.add(key);
		else if (kind === 'Namespace') this.#pending.namespaces.add(key);
		else if (kind === 'NetworkPolicy') this.#pending.networkPolicies.add(key);
		else if (kind === 'ClusterNetworkPolicy') this.#pending.clusterNetworkPolicies.add(key);
		else this.#pending.serviceCidrs.add(key);
		this.#schedule();
	}

	#recordSlice(old: EndpointSlice | undefined, value: EndpointSlice | undefined): void {
		const oldService = old && serviceOfSlice(old);
		const newService = value && serviceOfSlice(value);
		if (old !== undefined && oldService !== undefined) {
			const rest = this.slicesOf(oldService).filter((each) => each.name !== old.name);
			if (rest.length === 0) this.#slices.delete(oldService);
			else this.#slices.set(oldService, rest);
			this.#pending.services.add(oldService);
		}
		if (value !== undefined && newService !== undefined) {
			const slices = [...this.slicesOf(newService), value].sort((a, b) => (a.name < b.name ? -1 : 1));
			this.#slices.set(newService, slices);
			this.#pending.services.add(newService);
		}
	}

	#schedule(): void {
		if (this.#scheduled) return;
		this.#scheduled = true;
		setImmediate(() => this.#notify());
	}

	#notify(): void {
		this.#scheduled = false;
		if (!this.#synced) return;
		const change = this.#pending;
		this.#pending = emptyChange();
		for (const listener of this.#listeners) listener(change);
	}
}

function emptyChange(): PendingChange {
	return {
		services: new Set(),
		pods: new Set(),
		nodes: new Set(),
		namespaces: new Set(),
		networkPolicies: new Set(),
		clusterNetworkPolicies: new Set(),
		serviceCidrs: new Set(),
	};
}
