/**
 * Tells those who wrote a policy that one of its names has more addresses than are kept: a pod may be refused an address that it has
 * looked up.
 */
import type { ClusterView } from '../model/cluster-view.ts';
import { clusterRef, type EventRecorder } from '../model/event.ts';
import { patternsOf } from '../plan/policy/domain-names.ts';

export interface CrowdedNamesOptions {
	readonly view: Pick<ClusterView, 'clusterNetworkPolicies'>;
	readonly events: EventRecorder;
	readonly nodeName: string;
	readonly addressesPerName: number;
	/** Of all names. */
	readonly addresses: number;
}

/** Which limit an address has met. */
export type DomainLimit = 'name' | 'all';

const API_VERSION = 'policy.networking.k8s.io/v1alpha2';

export class CrowdedNames {
	readonly #options: CrowdedNamesOptions;
	readonly #told = new Set<string>();

	constructor(options: CrowdedNamesOptions) {
		this.#options = options;
	}

	/** An address of the name had to go, or was not learnt. Answers come by the thousand: each name counts once between two rests. */
	tell(name: string, limit: DomainLimit): void {
		const { view, events, nodeName, addressesPerName, addresses } = this.#options;
		if (this.#told.has(name)) return;
		this.#told.add(name);
		const patterns = new Set(patternsOf(name));
		const why =
			limit === 'name'
				? `${name} has more than ${addressesPerName} addresses (dnsAddressesPerName)`
				: `names have more than ${addresses} addresses`;
		const text = `node ${nodeName}: ${why}; the oldest that no connection uses go for younger ones`;
		for (const [policy, { egress }] of view.clusterNetworkPolicies) {
			const names = egress
				.flatMap(({ peers }) => peers ?? [])
				.flatMap((peer) => (peer.kind === 'domains' ? peer.names : []));
			if (!names.some((each) => patterns.has(each))) continue;
			events.event(clusterRef(API_VERSION, 'ClusterNetworkPolicy', policy), 'Warning', 'NameHasManyAddresses', text);
		}
	}

	/** From here on each name is told once more. */
	rest(): void {
		this.#told.clear();
	}
}
