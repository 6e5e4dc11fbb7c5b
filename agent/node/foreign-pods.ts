/**
 * Pods of this node that another plugin has attached: they have an address in the API and no attachment of ours. That is how a node
 * looks after a change of plugins until its pods are made anew.
 */
import type { Address } from '../model/address.ts';
import type { ClusterView } from '../model/cluster-view.ts';
import type { Pod } from '../model/pod.ts';

/** What is needed of an attachment. */
export interface Attached {
	/** null = not a pod of Kubernetes. */
	readonly pod: { readonly uid: string } | null;
	readonly addresses: readonly Address[];
}

export interface ForeignPodsOptions {
	readonly nodeName: string;
	readonly pods: ClusterView['pods'];
	readonly attached: () => Iterable<Attached>;
	/** uids of pods that were ours before a reboot: the API tells their old addresses until they run again. */
	readonly former: readonly string[];
	/** Once for each pod. */
	readonly onFound: (pod: Pod) => void;
	readonly now?: () => number;
}

/** The API tells of addresses late: a pod counts as foreign when it has looked so for this long. */
const DOUBT_MS = 15_000;

export class ForeignPods {
	readonly #options: ForeignPodsOptions;
	/** Pods that have been ours: their address stays in the API for a while after DEL. */
	readonly #ours: Set<string>;
	/** Since when, by identity. */
	#since = new Map<string, number>();
	readonly #told = new Set<string>();
	#pods: readonly Pod[] = [];

	constructor(options: ForeignPodsOptions) {
		this.#options = options;
		this.#ours = new Set(options.former);
	}

	/** As of the last look, sorted by namespace and name. */
	get list(): readonly Pod[] {
		return this.#pods;
	}

	look(): readonly Pod[] {
		const { pods, nodeName, attached, onFound, now = Date.now } = this.#options;
		const addresses = new Set<Address>();
		for (const each of attached()) {
			if (each.pod !== null) this.#ours.add(each.pod.uid);
			for (const address of each.addresses) addresses.add(address);
		}
		const own = [...pods.values()].filter(({ node }) => node === nodeName);
		const suspects = own.filter((pod) => this.#isSuspect(pod, addresses));
		const before = this.#since;
		this.#since = new Map(suspects.map((pod) => [identityOf(pod), before.get(identityOf(pod)) ?? now()]));
		this.#pods = suspects
			.filter((pod) => now() - (this.#since.get(identityOf(pod)) ?? 0) >= DOUBT_MS)
			.sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
		for (const pod of this.#pods) {
			if (this.#told.has(identityOf(pod))) continue;
			this.#told.add(identityOf(pod));
			onFound(pod);
		}
		const there = new Set([...own.map(({ uid }) => uid), ...own.map(identityOf)]);
		for (const set of [this.#ours, this.#told]) for (const each of set) if (!there.has(each)) set.delete(each);
		return this.#pods;
	}

	#isSuspect(pod: Pod, addresses: ReadonlySet<Address>): boolean {
		if (pod.hostNetwork || pod.finished || pod.addresses.length === 0 || this.#ours.has(pod.uid)) return false;
		return !pod.addresses.some((address) => addresses.has(address));
	}
}

function keyOf({ namespace, name }: Pod): string {
	return `${namespace}/${name}`;
}

function identityOf(pod: Pod): string {
	return `${keyOf(pod)} ${pod.uid}`;
}
