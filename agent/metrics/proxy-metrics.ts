/**
 * The metrics that dashboards of kube-proxy read, under its names (pkg/proxy/metrics/metrics.go of Kubernetes 1.36). Those of
 * its iptables and nftables modes are not here: nothing of ours has such a value.
 * One run of our reconciler serves both families; it counts for each family that had something to do in it.
 */
import type { Registry as MetricRegistry } from 'prom-client';
import { SvcFlags, SvcScope } from '../../native/abi/generated.ts';
import type { FamilyName } from '../health/proxy-health.ts';
import { familyName } from '../health/proxy-health.ts';
import type { FamilySync, SyncObserver } from '../health/sync-tracker.ts';
import { familyOf } from '../model/address.ts';
import type { OwnerPlan } from '../plan/services.ts';
import { Counter, Histogram } from './prom-client.ts';
import { addCounter, addGauge, type Sample } from './register.ts';

export type PolicyLabel = 'internal' | 'external';

export interface ProxySource {
	/** By family of the node. */
	syncs(): ReadonlyMap<FamilyName, FamilySync>;
	/** Desired state by owner. */
	plans(): ReadonlyMap<string, OwnerPlan>;
}

export interface ProxyMetrics extends SyncObserver {
	onProbe(probe: 'healthz' | 'livez', status: number): void;
	/** A pass over the conntrack table of a family. */
	onConntrack(family: FamilyName, seconds: number, deleted: number): void;
}

function exponential(start: number, factor: number, count: number): number[] {
	return Array.from({ length: count }, (_, i) => start * factor ** i);
}

function linear(start: number, width: number, count: number): number[] {
	return Array.from({ length: count }, (_, i) => start + width * i);
}

/** 1 ms to 16 s. */
const SYNC_BUCKETS_S = exponential(0.001, 2, 15);
const PROGRAMMING_BUCKETS_S = [
	...linear(0.25, 0.25, 2),
	...linear(1, 1, 59),
	...linear(60, 5, 12),
	...linear(120, 30, 7),
];

export function createProxyMetrics(registry: MetricRegistry, source: ProxySource): ProxyMetrics {
	addSyncs(registry, source);
	addGauge(
		registry,
		'kubeproxy_sync_proxy_rules_no_local_endpoints_total',
		'Services with a Local traffic policy that have endpoints, but none on this node',
		['traffic_policy', 'ip_family'],
		() => countNoLocalEndpoints(source.plans().values()).filter(([{ ip_family }]) => source.syncs().has(ip_family)),
	);
	const histogram = (name: string, help: string, buckets: number[]) =>
		new Histogram({ name: `kubeproxy_${name}`, help, labelNames: ['ip_family'], buckets, registers: [registry] });
	const sync = histogram('sync_proxy_rules_duration_seconds', 'Duration of all syncs', SYNC_BUCKETS_S);
	const full = histogram('sync_full_proxy_rules_duration_seconds', 'Duration of full syncs', SYNC_BUCKETS_S);
	const partial = histogram('sync_partial_proxy_rules_duration_seconds', 'Duration of partial syncs', SYNC_BUCKETS_S);
	const programming = histogram(
		'network_programming_duration_seconds',
		'From the change of a pod or service in the cluster to its maps on this node',
		PROGRAMMING_BUCKETS_S,
	);
	const conntrack = histogram(
		'conntrack_reconciler_sync_duration_seconds',
		'Duration of passes over the conntrack table',
		SYNC_BUCKETS_S,
	);
	const counter = (name: string, help: string, label: string) =>
		new Counter({ name: `kubeproxy_${name}`, help, labelNames: [label], registers: [registry] });
	const deleted = counter('conntrack_reconciler_deleted_entries_total', 'Conntrack entries deleted', 'ip_family');
	const probes = {
		healthz: counter('proxy_healthz_total', 'Answers of /healthz by status', 'code'),
		livez: counter('proxy_livez_total', 'Answers of /livez by status', 'code'),
	};
	return {
		onSync: (ip_family, seconds, isFull) => {
			sync.observe({ ip_family }, seconds);
			(isFull ? full : partial).observe({ ip_family }, seconds);
		},
		onProgrammed: (ip_family, seconds) => programming.observe({ ip_family }, seconds),
		onProbe: (probe, status) => probes[probe].inc({ code: String(status) }),
		onConntrack: (ip_family, seconds, count) => {
			conntrack.observe({ ip_family }, seconds);
			deleted.inc({ ip_family }, count);
		},
	};
}

function addSyncs(registry: MetricRegistry, source: ProxySource): void {
	const read = (value: (sync: FamilySync) => number | undefined) => (): Sample[] =>
		[...source.syncs()].flatMap(([ip_family, sync]): Sample[] => {
			const found = value(sync);
			return found === undefined ? [] : [[{ ip_family }, found]];
		});
	const seconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms / 1000);
	const name = (rest: string): string => `kubeproxy_sync_proxy_rules_${rest}`;
	addGauge(
		registry,
		name('last_timestamp_seconds'),
		'Last time the maps were as wanted, since 1970',
		['ip_family'],
		read((sync) => seconds(sync.lastUpdatedMs)),
	);
	addGauge(
		registry,
		name('last_queued_timestamp_seconds'),
		'Last time a sync was asked for, since 1970',
		['ip_family'],
		read((sync) => seconds(sync.lastQueuedMs)),
	);
	for (const [kind, what] of [
		['endpointChanges', 'endpoint'],
		['serviceChanges', 'service'],
	] as const) {
		addGauge(
			registry,
			name(`${what}_changes_pending`),
			`Changes of ${what} objects that are not in force yet`,
			['ip_family'],
			read((sync) => sync[kind].pending),
		);
		addCounter(
			registry,
			name(`${what}_changes_total`),
			`Changes of ${what} objects seen`,
			['ip_family'],
			read((sync) => sync[kind].total),
		);
	}
}

/** Services that have endpoints but none for a Local policy, by policy and family; zeros are there too. */
export function countNoLocalEndpoints(
	plans: Iterable<OwnerPlan>,
): [labels: { traffic_policy: PolicyLabel; ip_family: FamilyName }, count: number][] {
	const counts = { 'internal IPv4': 0, 'internal IPv6': 0, 'external IPv4': 0, 'external IPv6': 0 };
	for (const plan of plans) for (const key of lackOf(plan)) counts[key]++;
	return Object.entries(counts).map(([key, count]) => {
		const [traffic_policy, ip_family] = key.split(' ') as [PolicyLabel, FamilyName];
		return [{ traffic_policy, ip_family }, count];
	});
}

function lackOf(plan: OwnerPlan): Set<`${PolicyLabel} ${FamilyName}`> {
	const found = new Set<`${PolicyLabel} ${FamilyName}`>();
	for (const port of plan.ports) {
		if (port.local.length > 0) continue;
		for (const { address, flags, scope } of port.frontends) {
			if (!(flags & SvcFlags.ANY_ENDPOINTS)) continue;
			const family = familyName(familyOf(address));
			if (flags & SvcFlags.LOCAL_INTERNAL) found.add(`internal ${family}`);
			// a ClusterIP has both flags for its one policy
			if (scope === SvcScope.EXTERNAL && flags & SvcFlags.LOCAL_EXTERNAL) found.add(`external ${family}`);
		}
	}
	return found;
}
