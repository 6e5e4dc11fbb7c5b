/**
 * Pods of the own node over those of all others: two watches fill one map. A pod of the same name can be deleted on one node
 * and made on another, and the two watches tell of it in any order; each layer takes back only what it has brought.
 */
import type { Kind, ObjectsByKind } from '../../model/cluster-view.ts';
import type { Pod } from '../../model/pod.ts';
import type { ClusterStore } from '../store.ts';
import type { ObjectSink } from './reflector.ts';

export class PodLayers {
	readonly own: ObjectSink;
	readonly others: ObjectSink;
	readonly #store: Pick<ClusterStore, 'pods' | 'set' | 'delete'>;
	readonly #nodeName: string;
	/** Pods of other nodes whose name a pod of the own node has. */
	readonly #hidden = new Map<string, Pod>();

	constructor(store: Pick<ClusterStore, 'pods' | 'set' | 'delete'>, nodeName: string) {
		this.#store = store;
		this.#nodeName = nodeName;
		this.own = sink(
			(key, pod) => this.#setOwn(key, pod),
			(key) => this.#deleteOwn(key),
		);
		this.others = sink(
			(key, pod) => this.#setOther(key, { ...pod, uid: '' }),
			(key) => this.#hidden.delete(key) || (!this.#isOwn(key) && store.delete('Pod', key)),
		);
	}

	/** Pods of other nodes are not followed any more. */
	forgetOthers(): void {
		this.#hidden.clear();
		for (const [key, { node }] of this.#store.pods) if (node !== this.#nodeName) this.#store.delete('Pod', key);
	}

	#isOwn(key: string): boolean {
		return this.#store.pods.get(key)?.node === this.#nodeName;
	}

	#setOwn(key: string, pod: Pod): boolean {
		const there = this.#store.pods.get(key);
		if (there !== undefined && there.node !== this.#nodeName) this.#hidden.set(key, there);
		return this.#store.set('Pod', key, pod);
	}

	#deleteOwn(key: string): boolean {
		const other = this.#hidden.get(key);
		if (other === undefined) return this.#store.delete('Pod', key);
		this.#hidden.delete(key);
		return this.#store.set('Pod', key, other);
	}

	/** Without its uid, which only attachments are held against: there are very many. */
	#setOther(key: string, pod: Pod): boolean {
		if (!this.#isOwn(key)) return this.#store.set('Pod', key, pod);
		this.#hidden.set(key, pod);
		return false;
	}
}

function sink(set: (key: string, pod: Pod) => boolean, remove: (key: string) => boolean): ObjectSink {
	return {
		set: <K extends Kind>(_kind: K, key: string, value: ObjectsByKind[K]) => set(key, value as Pod),
		delete: (_kind, key) => remove(key),
	};
}
