/**
 * Pods as policy sees them: those attached to this node have the addresses that they were given here, from the moment on in which
 * these are reserved; the API tells them only after the pod's first process has begun.
 */
import type { PodRef } from '../endpoints/attachment.ts';
import type { Address } from '../model/address.ts';
import type { ClusterView } from '../model/cluster-view.ts';
import type { Pod } from '../model/pod.ts';

/** What is needed of an attachment. */
export interface AttachedPod {
	/** null = not a pod of Kubernetes. */
	readonly pod: PodRef | null;
	readonly addresses: readonly Address[];
	/** Row of `endpoints`. */
	readonly index: number;
	readonly gen: number;
}

export function podKeyOf({ namespace, name }: Pick<PodRef, 'namespace' | 'name'>): string {
	return `${namespace}/${name}`;
}

/** Another pod of the same name may be older than the attachment, or younger. */
function isSamePod({ uid }: Pick<Pod, 'uid'>, attached: AttachedPod): boolean {
	return uid === '' || attached.pod === null || attached.pod.uid === '' || attached.pod.uid === uid;
}

export class PolicyPods {
	readonly #pods: ClusterView['pods'];
	readonly #nodeName: string;
	#attached = new Map<string, readonly AttachedPod[]>();
	#byAddress = new Map<Address, string>();

	constructor(options: { readonly pods: ClusterView['pods']; readonly nodeName: string }) {
		this.#pods = options.pods;
		this.#nodeName = options.nodeName;
	}

	/** The pod as policy is to see it; null = there is none. */
	get(key: string): Pod | null {
		const pod = this.#pods.get(key);
		if (pod === undefined) return null;
		const own = this.attachmentsOf(key);
		if (own.length > 0) return { ...pod, node: this.#nodeName, addresses: own.flatMap(({ addresses }) => addresses) };
		const addresses = pod.addresses.filter((address) => !this.#byAddress.has(address));
		return addresses.length === pod.addresses.length ? pod : { ...pod, addresses };
	}

	all(): ReadonlyMap<string, Pod | null> {
		return new Map([...this.#pods.keys()].map((key) => [key, this.get(key)]));
	}

	/** Attachments of this very pod. */
	attachmentsOf(key: string): readonly AttachedPod[] {
		const pod = this.#pods.get(key);
		const found = this.#attached.get(key);
		if (pod === undefined || found === undefined || pod.hostNetwork) return [];
		if (pod.node !== this.#nodeName && pod.node !== '') return [];
		return found.filter((each) => isSamePod(pod, each));
	}

	/**
	 * Takes over what is attached, or being attached, now.
	 * @returns pods that may be another than before to policy, and addresses that came to be attached
	 */
	follow(attachments: Iterable<AttachedPod>): { readonly pods: Set<string>; readonly addresses: readonly Address[] } {
		const before = this.#attached;
		const [attached, byAddress] = [new Map<string, AttachedPod[]>(), new Map<Address, string>()];
		for (const each of attachments) {
			const key = each.pod === null ? '' : podKeyOf(each.pod);
			for (const address of each.addresses) byAddress.set(address, key);
			if (each.pod === null) continue;
			const own = attached.get(key);
			if (own === undefined) attached.set(key, [each]);
			else own.push(each);
		}
		const addresses = [...byAddress.keys()].filter(
			(address) => byAddress.get(address) !== this.#byAddress.get(address),
		);
		this.#attached = attached;
		this.#byAddress = byAddress;
		const pods = new Set<string>();
		for (const key of new Set([...before.keys(), ...attached.keys()])) {
			if (textOf(before.get(key)) !== textOf(attached.get(key))) pods.add(key);
		}
		return { pods, addresses };
	}
}

function textOf(attached: readonly AttachedPod[] = []): string {
	return attached.map(({ index, gen, addresses }) => `${index} ${gen} ${addresses.join()}`).join(' ');
}
