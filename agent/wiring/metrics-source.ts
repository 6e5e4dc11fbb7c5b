/**
 * What a scrape reads: of the dataplane when there is one, zero and nothing before.
 */
import { readDropTotals, readMetric } from '../flows/counters.ts';
import type { FlowObserver } from '../flows/observer.ts';
import type { MetricsSource } from '../metrics/metrics.ts';
import type { NodeCounts } from '../metrics/node-metrics.ts';
import type { PolicyDetail } from '../metrics/policy-metrics.ts';
import type { NodeHealth } from './node-health.ts';
import { policyCounts } from './policy-counts.ts';
import { mapReports, type RunningParts, reader } from './state.ts';

export interface MetricsParts {
	/** undefined until the dataplane is up. */
	readonly running: () => RunningParts | undefined;
	readonly ready: () => boolean;
	readonly flows: FlowObserver;
	readonly health: () => NodeHealth;
	readonly node: () => NodeCounts;
	readonly policyDetail: () => PolicyDetail;
}

export function metricsSource(metrics: MetricsParts): MetricsSource {
	const { running, ready, flows, health, node, policyDetail } = metrics;
	const datapath = () => running()?.dataplane.datapath;
	return {
		drops: () => {
			const open = datapath();
			return open === undefined ? [] : readDropTotals(reader(open));
		},
		counter: (name) => {
			const open = datapath();
			return open === undefined ? 0n : readMetric(reader(open), name);
		},
		flows: () => flows.stats(),
		maps: () => {
			const parts = running();
			return parts === undefined ? [] : mapReports(parts);
		},
		domains: () => running()?.domains.stats,
		endpoints: () => running()?.pods.list().length ?? 0,
		closedPolicySets: () => running()?.policies.closed().length ?? 0,
		policies: () => {
			const parts = running();
			if (parts === undefined) return undefined;
			const { policies, rules } = parts;
			return policyCounts({ compiler: policies.compiler, closed: policies.closed(), counters: rules });
		},
		policyDetail,
		ready,
		node,
		syncs: () => health().tracker.families(),
		plans: () => running()?.services.plans ?? new Map(),
		conntrack: () => running()?.collector.report,
	};
}
