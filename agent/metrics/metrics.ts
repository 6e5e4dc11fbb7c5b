/**
 * Prometheus metrics. What the kernel counts is read when somebody scrapes; what happens in the agent is recorded by
 * calls. Labels have bounded values: never the name of a pod or service; of policies so many (policy-metrics.ts).
 */
import type { Registry as MetricRegistry } from 'prom-client';
import { DropReason } from '../../native/abi/generated.ts';
import type { DropTotal, MetricName } from '../flows/counters.ts';
import { dropReasonName } from '../flows/drop-reasons.ts';
import type { FlowStats } from '../flows/observer.ts';
import type { HttpAnswer } from '../health/http-server.ts';
import { pressureOf } from '../health/map-pressure.ts';
import type { FamilyName } from '../health/proxy-health.ts';
import { addDomainMetrics, type DomainCounts } from './domain-metrics.ts';
import { addNodeMetrics, type NodeCounts } from './node-metrics.ts';
import { addPolicyMetrics, type PolicyCounts, type PolicyDetail } from './policy-metrics.ts';
import { Counter, Histogram, Registry } from './prom-client.ts';
import { createProxyMetrics, type ProxyMetrics, type ProxySource } from './proxy-metrics.ts';
import { addCounter, addGauge, type Sample } from './register.ts';

export interface MapUse {
	/** Without prefix and version. */
	readonly name: string;
	/** Undefined = not known without walking the map. */
	readonly entries?: number | undefined;
	readonly capacity: number;
	/** Kernel memory. */
	readonly bytes: number;
}

/** Conntrack entries of one family; a service flow has two. */
export interface ConntrackUse {
	readonly byProtocol: Readonly<Record<string, number>>;
	readonly closing: number;
	readonly synOnly: number;
}

/** Read at each scrape; each must be cheap. */
export interface MetricsSource extends ProxySource {
	/** readDropTotals of agent/flows/counters.ts. */
	drops(): readonly DropTotal[];
	/** readMetric of agent/flows/counters.ts. */
	counter(name: MetricName): bigint;
	flows(): FlowStats;
	maps(): readonly MapUse[];
	endpoints(): number;
	/** Sets of policies that deny everything for want of room. */
	closedPolicySets(): number;
	/** undefined = policies are not followed yet. */
	policies(): PolicyCounts | undefined;
	policyDetail(): PolicyDetail;
	/** The last collection of flows; undefined = none yet. */
	conntrack(): Readonly<Record<FamilyName, ConntrackUse>> | undefined;
	ready(): boolean;
	node(): NodeCounts;
	/** undefined = the dataplane is not up. */
	domains?(): DomainCounts | undefined;
}

export interface MetricsOptions {
	readonly version: string;
	readonly source: MetricsSource;
}

export interface Metrics {
	/** Those that kube-proxy has. */
	readonly proxy: ProxyMetrics;
	/** @param seconds  duration of one run of a reconciler */
	recordReconcile(reconciler: string, outcome: 'success' | 'failure', seconds: number): void;
	/** @param result  'success' or the CNI error code as text */
	recordCni(command: string, result: string, seconds: number): void;
	/** Sockets that were ended because their backend is gone. */
	recordSocketsEnded(count: number): void;
	/** Route for startHttpServer: the answer to a scrape. */
	scrape(): Promise<HttpAnswer>;
}

const RECONCILE_BUCKETS_S = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10];
const CNI_BUCKETS_S = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5, 30];
const CNI_COMMANDS = new Set(['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION']);

export function createMetrics(options: MetricsOptions): Metrics {
	const registry = new Registry();
	addAgent(registry, options);
	addDatapath(registry, options.source);
	addFlows(registry, options.source);
	addConntrack(registry, options.source);
	addMaps(registry, options.source);
	addNodeMetrics(registry, () => options.source.node());
	addDomainMetrics(registry, () => options.source.domains?.());
	addPolicyMetrics(
		registry,
		() => options.source.policies(),
		() => options.source.policyDetail(),
	);
	addProcess(registry);
	const reconcile = new Histogram({
		name: 'fairlead_reconcile_duration_seconds',
		help: 'Duration of the runs of each reconciler by outcome',
		labelNames: ['reconciler', 'outcome'],
		buckets: RECONCILE_BUCKETS_S,
		registers: [registry],
	});
	const cni = new Histogram({
		name: 'fairlead_cni_request_duration_seconds',
		help: 'Duration of CNI requests by command and result: success or the CNI error code',
		labelNames: ['command', 'result'],
		buckets: CNI_BUCKETS_S,
		registers: [registry],
	});
	const ended = new Counter({
		name: 'fairlead_sockets_ended_total',
		help: 'Sockets ended because the backend that they were connected to through a service is gone',
		registers: [registry],
	});
	return {
		recordSocketsEnded: (count) => ended.inc(count),
		proxy: createProxyMetrics(registry, options.source),
		recordReconcile: (reconciler, outcome, seconds) => reconcile.observe({ reconciler, outcome }, seconds),
		// the command is text from a caller: anything unknown shares one label value
		recordCni: (command, result, seconds) =>
			cni.observe({ command: CNI_COMMANDS.has(command) ? command : 'other', result }, seconds),
		scrape: async () => ({ status: 200, contentType: registry.contentType, body: await registry.metrics() }),
	};
}

function addAgent(registry: MetricRegistry, { version, source }: MetricsOptions): void {
	const info: Sample[] = [[{ version, node_version: process.versions.node }, 1]];
	addGauge(registry, 'fairlead_build_info', 'Version of the agent; always 1', ['version', 'node_version'], () => info);
	addGauge(registry, 'fairlead_ready', '1 when the dataplane is attached and agrees with the desired state', [], () => [
		[{}, source.ready() ? 1 : 0],
	]);
	addGauge(
		registry,
		'fairlead_policy_closed_sets',
		'Sets of policies that deny everything to their pods for want of room in a map',
		[],
		() => [[{}, source.closedPolicySets()]],
	);
	addGauge(registry, 'fairlead_endpoints', 'Pods attached to this node', [], () => [[{}, source.endpoints()]]);
}

function addDatapath(registry: MetricRegistry, source: MetricsSource): void {
	addCounter(registry, 'fairlead_dropped_packets_total', 'Packets dropped by reason', ['reason'], () =>
		source.drops().map(({ reason, packets }) => [{ reason: dropReasonName(reason) }, Number(packets)]),
	);
	addCounter(
		registry,
		'fairlead_masquerade_exhausted_total',
		'Packets dropped because no masquerade port to their destination was free',
		[],
		() => {
			const total = source.drops().find(({ reason }) => reason === DropReason.NAT_EXHAUSTED);
			return [[{}, Number(total?.packets ?? 0n)]];
		},
	);
	addCounter(registry, 'fairlead_dropped_bytes_total', 'Bytes of dropped packets by reason', ['reason'], () =>
		source.drops().map(({ reason, bytes }) => [{ reason: dropReasonName(reason) }, Number(bytes)]),
	);
	const counters: [string, string, MetricName][] = [
		['fairlead_forwarded_packets_total', 'Packets forwarded by the pod programs', 'FORWARDED_PACKETS'],
		['fairlead_conntrack_created_total', 'Conntrack entries made', 'CT_CREATED'],
		['fairlead_conntrack_full_total', 'Conntrack entries that found their table full', 'CT_FULL'],
		['fairlead_conntrack_closed_total', 'Conntrack entries that saw their connection close', 'CT_CLOSED'],
		['fairlead_masquerade_created_total', 'Masquerade ports taken', 'NAT_CREATED'],
		['fairlead_socket_translations_total', 'Sockets translated at connect or sendmsg', 'SOCK_TRANSLATED'],
		['fairlead_flow_events_limited_total', 'Events suppressed by the rate limit of their reason', 'EVENTS_LIMITED'],
	];
	for (const [name, help, metric] of counters) {
		addCounter(registry, name, help, [], () => [[{}, Number(source.counter(metric))]]);
	}
}

function addFlows(registry: MetricRegistry, source: MetricsSource): void {
	addCounter(registry, 'fairlead_flow_events_total', 'Flow events received from the kernel', [], () => [
		[{}, source.flows().seen],
	]);
	addCounter(
		registry,
		'fairlead_flow_events_lost_total',
		'Flow events lost: kernel-ring = ring full, agent-queue = agent too slow, history = reader too slow',
		['source'],
		() => Object.entries(source.flows().lost).map(([from, count]) => [{ source: from }, count]),
	);
	addGauge(registry, 'fairlead_flow_subscribers', 'Clients that follow flows', [], () => [
		[{}, source.flows().subscribers],
	]);
}

function addConntrack(registry: MetricRegistry, source: MetricsSource): void {
	const read = (each: (family: ConntrackUse) => [string, number][], label: string) => (): Sample[] =>
		Object.entries(source.conntrack() ?? {})
			.filter(([ip_family]) => ip_family === 'IPv4' || ip_family === 'IPv6')
			.flatMap(([ip_family, family]) =>
				each(family).map(([name, value]): Sample => [{ ip_family, [label]: name }, value]),
			);
	addGauge(
		registry,
		'fairlead_conntrack_entries',
		'Conntrack entries at the last collection by protocol; a service flow has two',
		['ip_family', 'protocol'],
		read(({ byProtocol }) => Object.entries(byProtocol), 'protocol'),
	);
	addGauge(
		registry,
		'fairlead_conntrack_tcp_entries',
		'TCP conntrack entries at the last collection whose handshake is not over, or that are closing',
		['ip_family', 'state'],
		read(
			({ synOnly, closing }) => [
				['syn-only', synOnly],
				['closing', closing],
			],
			'state',
		),
	);
}

function addMaps(registry: MetricRegistry, source: MetricsSource): void {
	addGauge(registry, 'fairlead_map_entries', 'Entries in use by BPF map', ['map'], () =>
		source.maps().flatMap(({ name, entries }): Sample[] => (entries === undefined ? [] : [[{ map: name }, entries]])),
	);
	addGauge(registry, 'fairlead_map_capacity_entries', 'Largest number of entries by BPF map', ['map'], () =>
		source.maps().map(({ name, capacity }) => [{ map: name }, capacity]),
	);
	addGauge(
		registry,
		'fairlead_map_pressure_ratio',
		'Share of the entries in use by BPF map; from 0.7 the agent warns',
		['map'],
		() =>
			source.maps().flatMap((map): Sample[] => {
				const ratio = pressureOf(map);
				return ratio === undefined ? [] : [[{ map: map.name }, ratio]];
			}),
	);
	addGauge(registry, 'fairlead_map_memory_bytes', 'Kernel memory by BPF map', ['map'], () =>
		source.maps().map(({ name, bytes }) => [{ map: name }, bytes]),
	);
}

/** The library's own set would start timers that wake an idle agent a hundred times a second. */
function addProcess(registry: MetricRegistry): void {
	const startedS = Date.now() / 1000 - process.uptime();
	addCounter(registry, 'process_cpu_seconds_total', 'CPU time of the agent', [], () => {
		const { user, system } = process.cpuUsage();
		return [[{}, (user + system) / 1e6]];
	});
	addGauge(registry, 'process_resident_memory_bytes', 'Resident memory of the agent', [], () => [
		[{}, process.memoryUsage.rss()],
	]);
	addGauge(registry, 'process_start_time_seconds', 'Start of the agent since 1970', [], () => [[{}, startedS]]);
}
