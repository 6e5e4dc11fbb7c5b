/**
 * The agent of one node: brings the parts up in the order that never takes anything away from running traffic, then follows
 * changes. Order: API (so that "why not ready" can be asked) → source → Node object → maps and programs → tables → swap of
 * attachments → routes → CNI.
 */
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Readiness } from '../../cni/dispatch.ts';
import { BpfObject, type KernelFeatures, netlinkRequest, peerCredentials, RingBuffer } from '../../native/index.ts';
import { type ApiServer, startApiServer } from '../api/server.ts';
import type { EffectiveConfig } from '../config/config.ts';
import { readMetric } from '../flows/counters.ts';
import { NameTable } from '../flows/names.ts';
import { FlowObserver } from '../flows/observer.ts';
import { type RingReader, startRingReader } from '../flows/ring-reader.ts';
import { RuleLedger } from '../flows/rule-ledger.ts';
import { PressureWatch } from '../health/map-pressure.ts';
import { plannedMemory } from '../kernel/datapath.ts';
import { type JiffiesClock, jiffiesClock } from '../kernel/jiffies.ts';
import { kernelHz } from '../kernel/kernel-hz.ts';
import { Netlink } from '../kernel/netlink.ts';
import { createMetrics, type Metrics } from '../metrics/metrics.ts';
import type { ClusterChange } from '../model/cluster-view.ts';
import { errorMessage } from '../model/errors.ts';
import type { Node } from '../model/node.ts';
import { RuleNames } from '../plan/policy/rule-names.ts';
import { ReconcileLoop } from '../reconcile/loop.ts';
import type { SourceProblem } from '../sources/problem.ts';
import { ClusterStore } from '../sources/store.ts';
import { mapSizesOf } from './datapath-settings.ts';
import { Dataplane } from './dataplane.ts';
import { Domains } from './domains.ts';
import { type MachineWatch, watchMachine } from './machine-watch.ts';
import { tidyMemory } from './memory.ts';
import { metricsSource } from './metrics-source.ts';
import { gatherChanges } from './missed-changes.ts';
import { NameKeeper, nodeIdentity } from './name-keeper.ts';
import { collectNodeFacts } from './node-facts.ts';
import { NodeHealth } from './node-health.ts';
import { NodeLife } from './node-life.ts';
import { awaitOwnNode } from './own-node.ts';
import { type Common, makeCollector, makePlanner, makePolicies, makeWatch, openSockets } from './parts.ts';
import { Pods } from './pods.ts';
import { failuresOf, type Policies } from './policies.ts';
import { resolveConfig } from './resolve-config.ts';
import { testNode } from './self-test.ts';
import type { ServicePlanner } from './services.ts';
import type { SocketEnder } from './socket-ender.ts';
import { createSource, type Source } from './source.ts';
import { standaloneProblems } from './standalone.ts';
import { mapReports, NodeState, ReconcilerTally, type RunningParts, reader } from './state.ts';
import { statusFacts } from './status-facts.ts';
import { XDP_REFRESH_MS } from './xdp.ts';

export interface AgentOptions {
	readonly config: EffectiveConfig;
	readonly version: string;
	readonly features: KernelFeatures;
	/** Directory of the compiled BPF objects. */
	readonly objectDir: string;
	readonly cniExecutable: string;
	readonly log: Logger;
}

/** Repairs, collection and replays, in milliseconds. */
const REFRESH_MS = 30_000;
const SWEEP_MS = 60_000;
/** Somebody else may have written to the service maps; comparing all of them is not free. */
const RESYNC_MS = 600_000;
/** Until what a start or a comparison has left behind is collected; by then pods that wait have been served. */
const TIDY_AFTER_MS = 5_000;
const RING_POLL_MS = 100;

export class Agent {
	readonly #options: AgentOptions;
	readonly #log: Logger;
	readonly #store = new ClusterStore();
	readonly #names = new NameTable();
	readonly #ruleNames = new RuleNames(() => this.#running?.policies.compiler);
	readonly #rules = new RuleLedger((key) => this.#running?.dataplane.datapath.kernel.mapGet('denied', key));
	readonly #started = new Date();
	readonly #flows: FlowObserver;
	readonly #metrics: Metrics;
	readonly #serviceTally = new ReconcilerTally('services');
	readonly #policyTally = new ReconcilerTally('policies');
	readonly #nodeTally = new ReconcilerTally('node');
	readonly #tallies = [this.#serviceTally, this.#policyTally, this.#nodeTally];
	readonly #nodeLoop: ReconcileLoop;
	readonly #timers: NodeJS.Timeout[] = [];
	readonly #health: NodeHealth;
	readonly #life: NodeLife;
	readonly #pressure = new PressureWatch();
	#api: ApiServer | undefined;
	#config: EffectiveConfig;
	#source: Source | undefined;
	#sourceProblems: readonly SourceProblem[] = [];
	#waitingFor = 'the first complete delivery of the source';
	#running: RunningParts | undefined;
	#nameKeeper: NameKeeper | undefined;
	#ring: RingReader | undefined;
	#domains: Domains | undefined;
	#machineWatch: MachineWatch | undefined;
	#sockets: SocketEnder | undefined;
	#clockObject: BpfObject | undefined;
	#closed = false;

	constructor(options: AgentOptions) {
		this.#options = options;
		this.#log = options.log;
		this.#config = options.config;
		const { flowBuffer, nodeName } = options.config.values;
		this.#flows = new FlowObserver({ capacity: flowBuffer, nodeName, names: this.#names, rules: this.#ruleNames });
		this.#life = new NodeLife({ config: options.config.values, store: this.#store, log: options.log });
		this.#metrics = this.#createMetrics();
		this.#health = new NodeHealth({
			store: this.#store,
			config: () => this.#config,
			metrics: () => this.#metrics,
			readiness: () => ({
				ready: this.#running !== undefined && this.#problems().length === 0,
				problems: this.#problems(),
			}),
			events: this.#life.events,
			log: options.log,
		});
		this.#nodeLoop = new ReconcileLoop({
			run: () => this.#refresh(),
			restFactor: 4,
			onProblems: (problems, retryInMs) => this.#logProblems('node', problems, retryInMs),
		});
	}

	/** Comes up; resolves when pods can be attached. @throws what makes the node unusable, such as PROGRAM_LOAD */
	async start(): Promise<void> {
		await this.#life.begin();
		await this.#serve();
		const synced = this.#startSource();
		synced.catch(() => undefined); // it is awaited later
		const node = await this.#ownNode(synced);
		if (node === undefined) return;
		this.#life.onWaiting('');
		this.#waitingFor = 'the dataplane';
		this.#config = await resolveConfig(this.#config, node);
		await this.#bringUp(node, synced);
	}

	/** Ends serving. Programs, maps, routes and pods stay as they are. */
	async close(): Promise<void> {
		this.#closed = true;
		for (const timer of this.#timers) clearInterval(timer);
		this.#machineWatch?.close();
		await this.#life.close();
		this.#source?.close();
		await this.#nodeLoop.close();
		await this.#running?.services.close();
		await this.#running?.policies.close();
		await this.#sockets?.close();
		this.#domains?.close();
		await this.#running?.pods.close();
		await this.#running?.collector.close();
		await this.#health.close();
		await this.#api?.close();
		this.#nameKeeper?.close();
		this.#ring?.close();
		this.#clockObject?.close();
		this.#running?.dataplane.close();
	}

	async #serve(): Promise<void> {
		const { values } = this.#config;
		const state = new NodeState({
			view: this.#store,
			names: this.#names,
			rules: this.#ruleNames,
			started: this.#started,
			tallies: this.#tallies,
			config: () => this.#config,
			problems: () => this.#problems(),
			warnings: () => [
				...this.#health.warnings(),
				...this.#pressure.warnings,
				...this.#life.warnings(),
				...(this.#running?.policies.warnings ?? []),
				...(this.#running?.dataplane.warnings ?? []),
				...(this.#running?.services.warnings ?? []),
			],
			sourceProblems: () => this.#sourceProblems,
			foreignPods: () => this.#life.foreignPods,
			running: () => this.#running,
		});
		this.#api = await startApiServer({
			socketPath: join(values.runDir, 'agent.sock'),
			version: this.#options.version,
			nodeName: values.nodeName,
			state,
			flows: this.#flows,
			peerCredentials,
			onRefused: (reason) => this.#log.warn({ reason }, 'API connection refused'),
			onError: (method, error) => this.#log.error({ method, error: errorMessage(error) }, 'API request failed'),
		});
		await this.#health.serve();
	}

	/** Resolves when the source has delivered everything. */
	#startSource(): Promise<void> {
		this.#source = createSource({
			config: this.#config.values,
			store: this.#store,
			log: this.#log,
			onProblems: (problems) => {
				this.#sourceProblems = problems;
				this.#life.onSourceProblems(problems);
			},
		});
		this.#life.useSource(this.#source);
		return this.#source.start();
	}

	#ownNode(synced: Promise<void>): Promise<Node | undefined> {
		return awaitOwnNode({
			store: this.#store,
			config: this.#config.values,
			synced,
			closed: () => this.#closed,
			onWaiting: (what) => {
				this.#waitingFor = what;
				this.#life.onWaiting(what);
				this.#log.info({ waitingFor: what }, 'waiting');
			},
		});
	}

	async #bringUp(node: Node, synced: Promise<void>): Promise<void> {
		const { values } = this.#config;
		const { features, objectDir, cniExecutable } = this.#options;
		// what Node object and machine gave is followed: only what was configured stays
		const { podCidrs, moreUplinks } = this.#options.config.values;
		const config = { ...values, podCidrs, moreUplinks };
		const found = await collectNodeFacts({
			netlink: new Netlink({ request: netlinkRequest }),
			node,
			...config,
			services: this.#store.services.values(),
		});
		const clock = await this.#openClock();
		const dataplane = await Dataplane.open(
			{ config, view: this.#store, features, objectDir, log: this.#log, clock },
			found,
		);
		// programs were loaded meanwhile; nothing is planned or attached before everything is known
		this.#waitingFor = 'the first complete delivery of the source';
		await synced;
		await turn();
		if (this.#closed) return dataplane.close();
		this.#waitingFor = 'the dataplane';
		const missed = gatherChanges(this.#store);
		await dataplane.replan();
		const pods = await Pods.open({
			config: values,
			dataplane,
			clock,
			cniExecutable,
			log: this.#log,
			identify: this.#life.knowing(async (pod, _, addresses) => policies.identify(pod, addresses)),
			onCni: (command, result, tookMs) => this.#metrics.recordCni(command, result, tookMs / 1000),
			onFlowsEnded: (byRule) => this.#rules.ended(byRule),
		});
		const adoption = await pods.adopt();
		for (const problem of adoption.problems) this.#log.warn({ problem: problem.message }, 'attachment not adopted');
		const { metrics, life, log } = { metrics: this.#metrics, life: this.#life, log: this.#log };
		const common: Common = { config: values, store: this.#store, dataplane, pods, metrics, life, log };
		this.#sockets = await openSockets(common, (...ends) => services.reconciler.leadsTo(...ends));
		const services = this.#planner(common, clock);
		this.#domains = new Domains({
			...{ config: values, view: this.#store, dataplane, clock, pods, log, events: life.events },
			learn: (names) => policies.learn(names),
		});
		const policies = makePolicies(common, {
			isolateUnknown: this.#source?.api !== undefined && values.unknownPods === 'isolate',
			domains: () => this.#domains?.all() ?? new Map(),
			onReport: (report) => this.#onReconciled(this.#policyTally, failuresOf(report), report.tookMs),
			onProblems: (problems, retryInMs) => this.#logProblems('policies', problems, retryInMs),
		});
		dataplane.policy = policies;
		this.#nodeTally.record(dataplane.reconcilePeers());
		this.#health.start(dataplane.facts);
		await services.start();
		const report = await dataplane.activate(() => pods.attachments());
		this.#log.info({ ...report, adopted: adoption.adopted }, 'programs attached');
		await this.#domains.start();
		await dataplane.refreshXdp();
		const collector = makeCollector(common, clock, {
			onReport: ({ IPv4, IPv6 }) => this.#rules.collected([IPv4.byRule, IPv6.byRule], new Date()),
			onDone: () => this.#pressure.soon(() => this.#watchPressure()),
		});
		this.#running = {
			dataplane,
			services,
			policies,
			domains: this.#domains,
			rules: this.#rules,
			pods,
			clock,
			collector,
			memory: plannedMemory(mapSizesOf(values, dataplane.facts.podCidrs)),
			facts: () => statusFacts({ config: this.#config, features, dataplane, sockets: this.#sockets }),
		};
		this.#follow(this.#running, missed());
		await pods.replaySpool();
		const test = () => testNode({ config: values, dataplane, pods, services, useTcx: features.tcx });
		if (!(await this.#life.prove(test, () => this.#closed))) return;
		await pods.serve(() => this.#cniReadiness());
		this.#life.up(makeWatch(common, { useTcx: features.tcx, repairDevices: () => this.#nodeLoop.request() }));
		this.#log.info({ routing: values.routing, uplink: values.uplink, podMtu: dataplane.routing.plan.podMtu }, 'ready');
	}

	async #openClock() {
		this.#clockObject = BpfObject.open(join(this.#options.objectDir, 'clock.bpf.o'));
		await this.#clockObject.load();
		return jiffiesClock(this.#clockObject.program('clock_jiffies'), kernelHz());
	}

	#planner(common: Common, clock: JiffiesClock): ServicePlanner {
		return makePlanner(common, clock, {
			onFlowsEnded: (byRule) => this.#rules.ended(byRule),
			onBackendsGone: (gone) => this.#sockets?.add(gone),
			onReport: (report) => {
				this.#onReconciled(this.#serviceTally, report.failures, report.tookMs);
				this.#health.onSync(report);
				this.#log.debug({ ops: report.ops, full: report.full, tookMs: report.tookMs }, 'services applied');
			},
			onProblems: (problems, retryInMs) => this.#logProblems('services', problems, retryInMs),
		});
	}

	#onReconciled(tally: ReconcilerTally, problems: readonly string[], tookMs: number): void {
		tally.record(problems);
		this.#metrics.recordReconcile(tally.name, problems.length === 0 ? 'success' : 'failure', tookMs / 1000);
		this.#pressure.soon(() => this.#watchPressure());
	}

	/** From here on changes are followed. */
	#follow({ dataplane, services, policies, pods, collector }: RunningParts, missed: ClusterChange): void {
		const { datapath } = dataplane;
		dataplane.onPeers = (change) => services.onPeers(change);
		const identity = () => nodeIdentity(this.#config.values, dataplane.facts, this.#store);
		this.#nameKeeper = new NameKeeper({ names: this.#names, view: this.#store, identity, pods });
		this.#store.onChange((change) => this.#onChange(change, services, policies));
		this.#onChange(missed, services, policies);
		pods.onChange(() => policies.onPods());
		pods.onChange(() => this.#domains?.onPods());
		pods.onChange(() => services.onPods());
		this.#ring = startRingReader({
			observer: this.#flows,
			open: (onRecords) => new RingBuffer(datapath.map('events'), onRecords, { pollMs: RING_POLL_MS }),
			kernelLost: () => readMetric(reader(datapath), 'EVENTS_LOST'),
		});
		const look = () => this.#nodeLoop.request();
		this.#machineWatch = watchMachine(this.#config.values, dataplane, { onChange: look, log: this.#log });
		this.#every(REFRESH_MS, look);
		this.#every(XDP_REFRESH_MS, () => void dataplane.refreshXdp());
		this.#every(SWEEP_MS, () => void pods.sweep());
		this.#every(RESYNC_MS, () => {
			services.resync();
			policies.resync();
			dataplane.resyncPeers();
			this.#tidySoon();
		});
		this.#tidySoon();
		collector.start();
	}

	#watchPressure(): void {
		if (this.#running === undefined) return;
		const { raised, relieved } = this.#pressure.look(mapReports(this.#running));
		for (const warning of raised) this.#log.warn({ warning }, 'a map fills up');
		this.#life.onPressure(raised);
		if (relieved.length > 0) this.#log.info({ maps: relieved }, 'maps have room again');
	}

	#every(periodMs: number, task: () => void): void {
		this.#timers.push(setInterval(task, periodMs));
	}

	#tidySoon(): void {
		setTimeout(tidyMemory, TIDY_AFTER_MS).unref();
	}

	#onChange(change: ClusterChange, services: ServicePlanner, policies: Policies): void {
		policies.onChange(change);
		this.#domains?.onChange(change);
		this.#health.onChange(change.services);
		this.#life.onChange(change);
		services.onChange(change);
		if (change.nodes.size + change.serviceCidrs.size > 0) this.#nodeLoop.request();
		this.#nameKeeper?.onChange(change);
	}

	/** One run of the node loop. @returns problems */
	async #refresh(): Promise<readonly string[]> {
		const parts = this.#running;
		if (parts === undefined) return [];
		const start = performance.now();
		const problems = [...(await parts.dataplane.refresh()), ...(await parts.pods.repairRoutes())];
		parts.pods.setPodCidrs(parts.dataplane.facts.podCidrs);
		if (parts.services.onFacts()) this.#health.tracker.queued();
		this.#health.onFacts(parts.dataplane.facts);
		this.#onReconciled(this.#nodeTally, problems, performance.now() - start);
		return problems;
	}

	/** Why the agent is not ready; empty = it is. */
	#problems(): readonly string[] {
		if (this.#running === undefined) return [`waiting for ${this.#waitingFor}`];
		const behind = this.#tallies.filter(({ lastError }) => lastError !== '');
		const { plans } = this.#running.services;
		const unserved = standaloneProblems({ config: this.#config.values, view: this.#store, plans });
		return [...this.#life.problems(), ...behind.map(({ name, lastError }) => `${name}: ${lastError}`), ...unserved];
	}

	#cniReadiness(): Readiness {
		const [reason] = this.#problems();
		if (reason === undefined) return { state: 'ready' };
		const since =
			this.#tallies.map(({ failingSince }) => failingSince).find((each) => each !== undefined) ?? this.#started;
		return { state: this.#running ? 'degraded' : 'unavailable', sinceMs: since.getTime(), reason };
	}

	#logProblems(reconciler: string, problems: readonly string[], retryInMs: number): void {
		if (problems.length === 0) this.#log.info({ reconciler }, 'recovered');
		else
			this.#log.warn(
				{ reconciler, problems: problems.slice(0, 10), count: problems.length, retryInMs },
				'not as wanted',
			);
	}

	#createMetrics(): Metrics {
		const source = metricsSource({
			running: () => this.#running,
			ready: () => this.#running !== undefined && this.#problems().length === 0,
			flows: this.#flows,
			health: () => this.#health,
			node: () => this.#life.counts(),
			policyDetail: () => this.#config.values.policyMetrics,
		});
		return createMetrics({ version: this.#options.version, source });
	}
}
