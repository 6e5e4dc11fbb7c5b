/**
 * The agent's answers to its API and to scrapes.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { MapName } from '../../native/abi/generated.ts';
import { flowsOf, indexReplies } from '../api/conntrack-flows.ts';
import { type ConntrackContext, conntrackReport } from '../api/conntrack-reports.ts';
import type { PolicySources } from '../api/policy-sources.ts';
import type {
	AgentState,
	ConntrackReport,
	ExplainRequest,
	FlowExplanation,
	MapReport,
	ReconcilerReport,
	SettingReport,
	SourceErrorReport,
	StatusReport,
} from '../api/state.ts';
import type { EffectiveConfig } from '../config/config.ts';
import { CONFIG_NAMES } from '../config/schema.ts';
import { readDropTotals, readMetric } from '../flows/counters.ts';
import type { RuleResolver } from '../flows/history.ts';
import type { AddressResolver } from '../flows/names.ts';
import type { RuleLedger } from '../flows/rule-ledger.ts';
import { ConntrackDump, type TableDump, type TrackedEntry } from '../kernel/ct-dump.ts';
import type { Datapath, MapMemory } from '../kernel/datapath.ts';
import type { JiffiesClock } from '../kernel/jiffies.ts';
import type { ClusterView } from '../model/cluster-view.ts';
import type { Pod } from '../model/pod.ts';
import type { SourceProblem } from '../sources/problem.ts';
import type { FlowCollector } from './collector.ts';
import type { Dataplane } from './dataplane.ts';
import type { Domains } from './domains.ts';
import { explainFlow } from './explain-flow.ts';
import type { Pods } from './pods.ts';
import type { Policies } from './policies.ts';
import { endpointReports, foreignReports, nodeReports, serviceReports } from './reports.ts';
import type { ServicePlanner } from './services.ts';

/** What exists once the dataplane does. */
export interface RunningParts {
	readonly dataplane: Dataplane;
	readonly services: ServicePlanner;
	readonly policies: Policies;
	readonly domains: Domains;
	readonly rules: RuleLedger;
	readonly pods: Pods;
	readonly clock: JiffiesClock;
	readonly collector: FlowCollector;
	readonly memory: readonly MapMemory[];
	/** Facts for people as they are now, by kebab-case key. */
	readonly facts: () => Readonly<Record<string, string>>;
}

/** Counts and last outcome of one reconciler. */
export class ReconcilerTally {
	readonly name: string;
	#runs = 0;
	#failures = 0;
	#lastSuccess: Date | undefined;
	#lastError = '';
	#failingSince: Date | undefined;

	constructor(name: string) {
		this.name = name;
	}

	/** @param problems  empty = success */
	record(problems: readonly string[]): void {
		this.#runs++;
		this.#lastError = problems.join('; ');
		this.#failingSince = problems.length > 0 ? (this.#failingSince ?? new Date()) : undefined;
		if (problems.length > 0) this.#failures++;
		else this.#lastSuccess = new Date();
	}

	/** First of the failures since the last success; undefined = the last run was one. */
	get failingSince(): Date | undefined {
		return this.#failingSince;
	}

	get lastError(): string {
		return this.#lastError;
	}

	report(): ReconcilerReport {
		const { name } = this;
		return {
			name,
			runs: this.#runs,
			failures: this.#failures,
			lastSuccess: this.#lastSuccess,
			lastError: this.#lastError,
		};
	}
}

export interface StateOptions {
	readonly view: ClusterView;
	readonly names: AddressResolver;
	readonly rules: RuleResolver;
	readonly started: Date;
	readonly tallies: readonly ReconcilerTally[];
	readonly config: () => EffectiveConfig;
	readonly problems: () => readonly string[];
	readonly warnings: () => readonly string[];
	readonly sourceProblems: () => readonly SourceProblem[];
	/** Pods of this node that another plugin has attached. */
	readonly foreignPods: () => readonly Pod[];
	/** undefined until the dataplane is up. */
	readonly running: () => RunningParts | undefined;
}

export class NodeState implements AgentState {
	readonly #options: StateOptions;

	constructor(options: StateOptions) {
		this.#options = options;
	}

	status(): StatusReport {
		const { started, tallies, running, problems, sourceProblems } = this.#options;
		const parts = running();
		const reasons = problems();
		return {
			started,
			ready: parts !== undefined && reasons.length === 0,
			problems: reasons,
			warnings: this.#options.warnings(),
			facts: parts?.facts() ?? {},
			reconcilers: tallies.map((tally) => tally.report()),
			maps: parts === undefined ? [] : mapReports(parts),
			sourceErrors: sourceProblems().map(sourceError),
			eventsLimited: parts === undefined ? 0n : readMetric(reader(parts.dataplane.datapath), 'EVENTS_LIMITED'),
		};
	}

	services() {
		const parts = this.#options.running();
		if (parts === undefined) return [];
		const { dataplane, services } = parts;
		const { facts, routing } = dataplane;
		return serviceReports({
			view: this.#options.view,
			facts,
			routing,
			plans: services.plans,
			serviceNames: services.reconciler.serviceNames(),
		});
	}

	endpoints() {
		const own = endpointReports(this.#options.running()?.pods.current() ?? []);
		return [...own, ...foreignReports(this.#options.foreignPods())];
	}

	nodes() {
		const parts = this.#options.running();
		if (parts === undefined) return [];
		const { facts, routing } = parts.dataplane;
		return nodeReports(facts, routing, routing.plan.podMtu);
	}

	async conntrack(): Promise<Iterable<ConntrackReport>> {
		const parts = this.#options.running();
		if (parts === undefined) return [];
		const { datapath } = parts.dataplane;
		const context: ConntrackContext = { names: this.#options.names, jiffiesNow: parts.clock.now(), hz: parts.clock.hz };
		const dump = (map: MapName): Promise<TableDump> => datapath.map(map).dumpAsync();
		const [ct4, ctfull4, ct6, ctfull6] = await Promise.all([
			dump('ct4'),
			dump('ctfull4'),
			dump('ct6'),
			dump('ctfull6'),
		]);
		const entries = new ConntrackDump([ct4, ctfull4], [ct6, ctfull6]);
		return reportsOf(flowsOf(entries, await indexReplies(entries, nextTurn)), context);
	}

	policies(): PolicySources | undefined {
		const parts = this.#options.running();
		if (parts === undefined) return undefined;
		const { policies, rules } = parts;
		return { view: this.#options.view, compiler: policies.compiler, closed: policies.closed(), counters: rules };
	}

	async explain(request: ExplainRequest): Promise<FlowExplanation | undefined> {
		const parts = this.#options.running();
		if (parts === undefined) return undefined;
		const { dataplane, pods, policies } = parts;
		return explainFlow(request, {
			view: this.#options.view,
			facts: dataplane.facts,
			compiler: policies.compiler,
			rules: this.#options.rules,
			localAddresses: new Set(pods.current().flatMap(({ addresses }) => addresses)),
			services: this.services(),
			load: () => dataplane.datapath.loadExplainer(),
		});
	}

	drops() {
		const parts = this.#options.running();
		return parts === undefined ? [] : readDropTotals(reader(parts.dataplane.datapath));
	}

	config(): SettingReport[] {
		const { values, origins } = this.#options.config();
		return CONFIG_NAMES.map((key) => ({
			key,
			value: JSON.stringify(values[key]),
			origin: origins[key].source.split(' ')[0] ?? '',
			why: origins[key].reason,
		}));
	}
}

function* reportsOf(flows: Iterable<TrackedEntry>, context: ConntrackContext): Generator<ConntrackReport> {
	for (const { key, entry } of flows) yield conntrackReport(key, entry, context);
}

/** Reads elements of per-CPU maps. */
export function reader(datapath: Datapath) {
	return (map: 'drops' | 'metrics', key: Uint8Array): Uint8Array | undefined => datapath.kernel.mapGet(map, key);
}

function sourceError({ origin, object, path, message }: SourceProblem): SourceErrorReport {
	return { origin, object, field: path, message };
}

type MapParts = Pick<RunningParts, 'memory' | 'services' | 'policies' | 'pods' | 'collector'>;

/** Occupancy where it is known: of what the agent writes now, of what the programs write as of the last collection. */
export function mapReports(parts: MapParts): MapReport[] {
	const usage = parts.services.reconciler.usage();
	const policies = parts.policies.usage();
	const used: Readonly<Record<string, number | undefined>> = {
		services: usage?.services.used,
		backends: usage?.backends.used,
		slots: usage?.slots.used,
		sources: usage?.sources.used,
		xdp_svc: usage?.xdpServices.used,
		endpoints: parts.pods.list().length,
		policy: policies?.rows.used,
		ranges: policies?.ranges.used,
		...parts.collector.use,
	};
	return parts.memory.map(({ map, maxEntries, bytes }) => ({
		name: map,
		entries: used[map],
		capacity: maxEntries,
		bytes,
	}));
}
