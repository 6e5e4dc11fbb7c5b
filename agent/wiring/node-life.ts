/**
 * The node as the cluster sees it: Events, the condition and taint of its Node object, and what others do to our part of it.
 */
import type { Logger } from 'pino';
import { setAsideCni } from '../../cni/install.ts';
import type { Config } from '../config/schema.ts';
import type { EndpointDeps } from '../endpoints/endpoint-deps.ts';
import type { NodeCounts } from '../metrics/node-metrics.ts';
import type { ClusterChange } from '../model/cluster-view.ts';
import { FairleadError } from '../model/errors.ts';
import { formatRef, nodeRef } from '../model/event.ts';
import type { Pod } from '../model/pod.ts';
import { noteBoot } from '../node/boot-record.ts';
import { type EventSink, QueuedEventRecorder } from '../node/event-recorder.ts';
import { NodeKeeper } from '../node/node-keeper.ts';
import { ObjectFaults } from '../node/object-faults.ts';
import { PodLookup } from '../node/pod-lookup.ts';
import type { SelfTestResult } from '../node/self-test.ts';
import { EventWriter } from '../sources/kubernetes/event-writer.ts';
import { NodeWriter } from '../sources/kubernetes/node-writer.ts';
import type { SourceProblem } from '../sources/problem.ts';
import type { ClusterStore } from '../sources/store.ts';
import { bootId } from './machine.ts';
import { type NodeWatch, WATCH_MS } from './node-watch.ts';
import { awaitSelfTest } from './self-test.ts';
import type { Source } from './source.ts';

export interface NodeLifeOptions {
	readonly config: Config;
	readonly store: ClusterStore;
	readonly log: Logger;
	/** How long a Node may lack pod CIDRs before that is an Event, and how often it is told again. */
	readonly patienceMs?: number;
	readonly repeatMs?: number;
	/** Between attempts at the self-test. */
	readonly sleep?: (ms: number) => Promise<unknown>;
}

type Identify = NonNullable<EndpointDeps['identify']>;

const PATIENCE_MS = 10_000;
const REPEAT_MS = 300_000;
/** What waits when the agent ends gets so long to be delivered. */
const LAST_WORDS_MS = 1000;

/** Events are in the log already. */
const LOG_ONLY: EventSink = { deliver: async () => ({ handle: 'log' }) };

export class NodeLife {
	readonly events: QueuedEventRecorder;
	readonly #options: NodeLifeOptions;
	readonly #faults: ObjectFaults;
	#sink: EventSink = LOG_ONLY;
	#keeper: NodeKeeper | undefined;
	#lookup: PodLookup | undefined;
	#patience: NodeJS.Timeout | undefined;
	#watch: NodeWatch | undefined;
	#selfTest = '';
	#watchTimer: NodeJS.Timeout | undefined;

	constructor(options: NodeLifeOptions) {
		this.#options = options;
		const { config, log, store } = options;
		this.events = new QueuedEventRecorder({
			sink: { deliver: (...args) => this.#sink.deliver(...args) },
			onEvent: ({ about, type, reason, message }) => {
				const level = config.source === 'kubernetes' ? 'debug' : type === 'Warning' ? 'warn' : 'info';
				log[level]({ object: formatRef(about), reason, message }, 'event');
			},
			onProblem: (problem) => {
				if (problem === '') log.info('Events are delivered again');
				else log.warn({ problem }, 'Events not delivered');
			},
		});
		const { nodeName } = config;
		this.#faults = new ObjectFaults({ events: this.events, nodeName, nodes: () => store.nodes.keys() });
	}

	/**
	 * Before everything else. After a reboot the CNI configuration of the boot before is set aside, so that the node is not taken for ready
	 * before this agent is; it comes back after the self-test.
	 */
	async begin(): Promise<void> {
		const { config, log } = this.#options;
		if (noteBoot(config.stateDir, bootId()) !== 'rebooted') return;
		await setAsideCni({ confDir: config.cniConfDir, confName: config.cniConfName });
		log.info(
			{},
			'the machine was booted since the last start: CNI configuration set aside until the self-test has passed',
		);
	}

	/** The source is there. One of files has no API server. */
	useSource(source: Source): void {
		const { api } = source;
		if (api === undefined) return;
		const { config, store, log } = this.#options;
		const lookup = new PodLookup({
			pods: store.pods,
			ask: async (pod, signal) => source.askPod?.(pod, signal),
			waitMs: config.podWaitMs,
		});
		store.onChange((change) => lookup.onChange(change));
		this.#lookup = lookup;
		const { nodeName, startupTaint } = config;
		const writer = new EventWriter(api, nodeName);
		this.#sink = { deliver: (event, handle, signal) => writer.deliver(event, handle, signal) };
		const node = new NodeWriter(api, nodeName);
		this.#keeper = new NodeKeeper({ node, nodeName, startupTaint, events: this.events, log });
	}

	/**
	 * Puts a question in front of CNI ADD: is the pod known? An attachment is never open because nobody has heard of the pod.
	 * @returns the same, but for pods that stay unknown: refused with POD_UNKNOWN, or isolated if so configured
	 */
	knowing(identify: Identify): Identify {
		return async (pod, signal, addresses) => {
			const found = pod === null ? undefined : await this.#lookup?.find(pod, signal);
			const identity = await identify(pod, signal, addresses);
			if (pod === null || found === undefined || found.known) return identity;
			const name = `${pod.namespace}/${pod.name}`;
			if (this.#options.config.unknownPods === 'retry') {
				throw new FairleadError('POD_UNKNOWN', `cannot attach ${name}: ${found.why}`);
			}
			this.#options.log.warn({ pod: name, why: found.why }, 'unknown pod isolated');
			return { ...identity, isolated: true };
		};
	}

	/** The agent waits. @param what  '' = no longer */
	onWaiting(what: string): void {
		clearTimeout(this.#patience);
		if (!what.startsWith('spec.podCIDRs')) return;
		const { patienceMs = PATIENCE_MS, repeatMs = REPEAT_MS, config } = this.#options;
		const text = `waiting for ${what}: the controller manager gives them with --allocate-node-cidrs, or set podCidrs`;
		const tell = () => {
			this.events.event(nodeRef(config.nodeName), 'Warning', 'NoPodCIDR', text);
			this.#patience = setTimeout(tell, repeatMs).unref();
		};
		this.#patience = setTimeout(tell, patienceMs).unref();
	}

	onSourceProblems(problems: readonly SourceProblem[]): void {
		this.#faults.update(problems);
	}

	/** @param warnings  maps that have become full to 70 % */
	onPressure(warnings: readonly string[]): void {
		for (const warning of warnings) this.warn('MapPressure', warning);
	}

	onChange({ nodes }: ClusterChange): void {
		const { config, store } = this.#options;
		if (nodes.has(config.nodeName)) this.#keeper?.onNode(store.nodes.get(config.nodeName));
	}

	/**
	 * Repeats the self-test until it passes.
	 * @param closed  the agent ends
	 * @returns whether pods can be attached
	 */
	async prove(test: () => Promise<SelfTestResult>, closed: () => boolean): Promise<boolean> {
		const { log, sleep } = this.#options;
		const result = await awaitSelfTest({
			...(sleep && { sleep }),
			test,
			closed,
			onFailed: (failures) => {
				const text = failures.join('; ');
				if (text !== this.#selfTest) log.error({ failures }, 'self-test failed; no pods are taken');
				this.#selfTest = text;
				this.warn('SelfTestFailed', text);
			},
		});
		if (result === undefined) return false;
		if (result.skipped !== '') log.warn({ why: result.skipped }, 'self-test without a probe');
		this.#selfTest = '';
		return true;
	}

	/** Why no pods are taken although the dataplane is there; empty = they are. */
	problems(): readonly string[] {
		return this.#selfTest === '' ? [] : [`self-test: ${this.#selfTest}`];
	}

	/** Pods can be attached from now on, and what was made for that is watched. */
	up(watch: NodeWatch): void {
		this.#watch = watch;
		void watch.look();
		this.#watchTimer = setInterval(() => void watch.look(), WATCH_MS);
		this.#keeper?.start();
		const { nodeName, standalone } = this.#options.config;
		const text = standalone ? 'services are balanced' : 'pods can be attached';
		this.events.event(nodeRef(nodeName), 'Normal', 'FairleadIsUp', text);
	}

	/** A warning about this node. */
	warn(reason: Parameters<QueuedEventRecorder['event']>[2], message: string): void {
		this.events.event(nodeRef(this.#options.config.nodeName), 'Warning', reason, message);
	}

	/** Pods of this node that another plugin has attached. */
	get foreignPods(): readonly Pod[] {
		return this.#watch?.foreignPods ?? [];
	}

	/** For `fairlead status`. */
	warnings(): readonly string[] {
		const problem = this.#keeper?.problem ?? '';
		const own = problem === '' ? [] : [`own Node not written: ${problem}`];
		return [...own, ...(this.#watch?.warnings() ?? [])];
	}

	counts(): NodeCounts {
		const seen = this.#watch?.counts() ?? { repairs: {}, foreign: [], foreignPods: 0 };
		return { events: this.events.counts, ...seen };
	}

	/** The Node object stays as it is: pods go on without the agent. */
	async close(): Promise<void> {
		clearTimeout(this.#patience);
		clearInterval(this.#watchTimer);
		await this.#watch?.close();
		await this.#keeper?.close();
		await this.events.close(LAST_WORDS_MS);
	}
}
