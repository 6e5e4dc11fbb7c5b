/**
 * Keeps the names of addresses following the cluster. Pods are followed one by one. For services and nodes a new table is made from
 * all of them, so it is made only when one has changed, at once while that is rare, and never more than a twentieth of the time.
 */
import type { Config } from '../config/schema.ts';
import type { NameTable, NodeIdentity, Sender } from '../flows/names.ts';
import type { ClusterChange, ClusterView } from '../model/cluster-view.ts';
import type { NodeFacts } from '../model/node-facts.ts';
import type { Service } from '../model/service.ts';
import { allServiceCidrs } from '../model/service-cidr.ts';

export interface NameKeeperOptions {
	readonly names: Pick<NameTable, 'updatePods' | 'updateServicesAndNodes' | 'setSenders'>;
	/** Those that are attached to this node. */
	readonly pods?: { list(): readonly Sender[]; onChange(listener: () => void): void };
	readonly view: ClusterView;
	/** Asked at every update. */
	readonly identity: () => NodeIdentity;
	readonly now?: () => number;
	readonly later?: (task: () => void, ms: number) => NodeJS.Timeout;
}

/** Pause after an update, as a multiple of what it took. */
const PAUSE_FACTOR = 20;

/** What the own node is to names. */
export function nodeIdentity(config: Config, { localAddresses, podCidrs }: NodeFacts, view: ClusterView): NodeIdentity {
	const { clusterCidrs, nodeName } = config;
	const serviceCidrs = allServiceCidrs(config.serviceCidrs, view.serviceCidrs.values());
	return { nodeName, localAddresses, clusterCidrs: [...clusterCidrs, ...podCidrs, ...serviceCidrs] };
}

export class NameKeeper {
	readonly #options: Required<Omit<NameKeeperOptions, 'pods'>>;
	/** As they were at the last look; the store gives the same object as long as it has not changed. */
	#services = new Map<string, Service>();
	#timer: NodeJS.Timeout | undefined;
	#notBefore = 0;

	constructor(options: NameKeeperOptions) {
		const later = (task: () => void, ms: number) => setTimeout(task, ms);
		this.#options = { now: () => performance.now(), later, ...options };
		const { names, view, pods } = options;
		names.setSenders(pods?.list() ?? []);
		pods?.onChange(() => names.setSenders(pods.list()));
		names.updatePods(view, view.pods.keys());
		this.update();
	}

	/** Names services and nodes anew; the constructor does it for a first time. */
	update(): void {
		const { names, view, identity, now } = this.#options;
		clearTimeout(this.#timer);
		this.#timer = undefined;
		this.#services = new Map(view.services);
		const start = now();
		names.updateServicesAndNodes(view, identity());
		const end = now();
		this.#notBefore = end + (end - start) * PAUSE_FACTOR;
	}

	onChange({ services, pods, nodes, serviceCidrs }: ClusterChange): void {
		if (pods.size > 0) this.#options.names.updatePods(this.#options.view, pods);
		if (nodes.size + serviceCidrs.size === 0 && !this.#anyChanged(services)) return;
		if (this.#timer !== undefined) return;
		const wait = this.#notBefore - this.#options.now();
		if (wait <= 0) this.update();
		else this.#timer = this.#options.later(() => this.update(), wait);
	}

	close(): void {
		clearTimeout(this.#timer);
	}

	/** Most changes of services are changes of their endpoints, which have no part in names. */
	#anyChanged(services: ReadonlySet<string>): boolean {
		for (const key of services) {
			if (this.#options.view.services.get(key) !== this.#services.get(key)) return true;
		}
		return false;
	}
}
