/**
 * Looks after what this agent has made on the machine, every few seconds: programs at their hooks, devices, the CNI configuration,
 * and pods that another plugin has attached.
 */
import type { Logger } from 'pino';
import { hookQueries, inspectHooks } from '../kernel/hook-state.ts';
import type { NodeCounts } from '../metrics/node-metrics.ts';
import type { ClusterView } from '../model/cluster-view.ts';
import { errorMessage } from '../model/errors.ts';
import { type EventReason, type EventRecorder, podRef } from '../model/event.ts';
import type { Pod } from '../model/pod.ts';
import { ForeignPods } from '../node/foreign-pods.ts';
import { Watchdog } from '../node/watchdog.ts';
import type { Dataplane } from './dataplane.ts';
import type { Pods } from './pods.ts';

export interface NodeWatchOptions {
	readonly nodeName: string;
	readonly view: ClusterView;
	readonly dataplane: Dataplane;
	readonly pods: Pods;
	/** The kernel has tcx. */
	readonly useTcx: boolean;
	readonly events: EventRecorder;
	/** An Event about the own Node. */
	readonly warn: (reason: EventReason, message: string) => void;
	/** Runs the node loop, which makes devices and routes. */
	readonly repairDevices: () => void;
	readonly log: Logger;
}

/** How often look() is to be called, in milliseconds. */
export const WATCH_MS = 10_000;

/** Pods that are named in `fairlead status`; all of them are in `fairlead endpoint list`. */
const NAMED = 10;

export class NodeWatch {
	readonly #options: NodeWatchOptions;
	readonly #watchdog: Watchdog;
	readonly #foreignPods: ForeignPods;
	#devices = 0;
	#cni = 0;
	#shadow = '';
	#cniFailure = '';
	#closed = false;
	#looking: Promise<void> = Promise.resolve();

	constructor(options: NodeWatchOptions) {
		this.#options = options;
		const { dataplane, pods, view, nodeName, events, warn, log } = options;
		this.#watchdog = new Watchdog({
			inspect: () => inspectHooks(dataplane.datapath.hooks(), hookQueries(dataplane.netlink), options.useTcx),
			repair: (name) => dataplane.datapath.repair(name),
			onGone: (names) => {
				log.warn({ links: names }, 'devices are gone');
				options.repairDevices();
			},
			warn,
			log,
		});
		this.#foreignPods = new ForeignPods({
			nodeName,
			pods: view.pods,
			attached: () => pods.list(),
			former: pods.former,
			onFound: ({ namespace, name, uid, addresses }) => {
				const text = `${addresses.join(' ')} was not given by Fairlead: no policy holds for this pod; delete it to have it attached anew`;
				events.event(podRef(`${namespace}/${name}`, uid), 'Warning', 'AttachedByOtherPlugin', text);
				log.warn({ pod: `${namespace}/${name}`, addresses }, 'pod was attached by another plugin');
			},
		});
		dataplane.onRepaired = (what) => {
			this.#devices += what.length;
			log.warn({ what: what.slice(0, NAMED), count: what.length }, 'made again: somebody had removed it');
			for (const each of what) warn('DeviceRepaired', `made again what somebody had removed: ${each}`);
		};
	}

	/** One after the other; never throws. */
	look(): Promise<void> {
		this.#looking = this.#looking.then(async () => {
			if (this.#closed) return;
			await this.#watchdog.look();
			this.#foreignPods.look();
			await this.#lookAtCni();
		});
		return this.#looking;
	}

	get foreignPods(): readonly Pod[] {
		return this.#foreignPods.list;
	}

	warnings(): readonly string[] {
		const pods = this.#foreignPods.list.map(({ namespace, name }) => `${namespace}/${name}`);
		const named = pods.length > NAMED ? `${pods.slice(0, NAMED).join(', ')}, …` : pods.join(', ');
		return [
			...this.#watchdog.warnings,
			...(pods.length > 0 ? [`pods attached by another plugin: ${pods.length}: ${named}; delete them`] : []),
			...(this.#shadow === '' ? [] : [this.#shadow]),
			...(this.#cniFailure === '' ? [] : [this.#cniFailure]),
		];
	}

	counts(): Omit<NodeCounts, 'events'> {
		return {
			repairs: { link: this.#watchdog.repaired, device: this.#devices, cni: this.#cni },
			foreign: this.#watchdog.counts,
			foreignPods: this.#foreignPods.list.length,
		};
	}

	async close(): Promise<void> {
		this.#closed = true;
		await this.#looking;
	}

	async #lookAtCni(): Promise<void> {
		const { pods, warn, log } = this.#options;
		try {
			const written = await pods.install();
			this.#cni += written.length;
			for (const path of written) {
				log.warn({ path }, 'CNI file installed again: somebody had removed or changed it');
				warn('CNIConfigRestored', `installed again what somebody had removed or changed: ${path}`);
			}
			this.#cniFailure = '';
			const before = await pods.shadowedBy();
			const shadow = before === undefined ? '' : `CNI configuration ${before} comes before ours: runtimes use that one`;
			if (shadow !== this.#shadow && shadow !== '') {
				log.warn({ path: before }, 'another CNI configuration comes first');
				warn('CNIConfigShadowed', shadow);
			}
			this.#shadow = shadow;
		} catch (error) {
			const text = errorMessage(error);
			if (text !== this.#cniFailure) log.warn({ error: text }, 'CNI plugin not installed');
			this.#cniFailure = text;
		}
	}
}
