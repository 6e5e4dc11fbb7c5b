/**
 * Metrics of network policy: packets and bytes by policy, or by rule if that is configured. The number of series is bounded: what
 * is beyond is counted together.
 */
import type { Registry as MetricRegistry } from 'prom-client';
import type { RuleCounts } from '../flows/rule-ledger.ts';
import { addCounter, addGauge, type Sample } from './register.ts';

export interface CountedRule {
	readonly kind: 'NetworkPolicy' | 'ClusterNetworkPolicy';
	/** '' for cluster policies. */
	readonly namespace: string;
	readonly policy: string;
	/** 'ingress rule 0'; 'isolation' = no rule allowed it, which counts for each policy that isolates. */
	readonly rule: string;
	readonly audit: boolean;
	readonly counts: RuleCounts;
}

/** Read at each scrape. */
export interface PolicyCounts {
	/** Policies by state: enforced, audit, closed, unused. */
	readonly states: Readonly<Record<string, number>>;
	/** Rules that pods of this node need. */
	readonly rules: readonly CountedRule[];
	/** What no rule allowed at isolated pods, of all policies together. */
	readonly isolated: RuleCounts;
}

export type PolicyDetail = 'policy' | 'rule' | 'off';

/** Policies, or rules, that have series of their own; the others share one. */
const MOST_SERIES = 1000;
/** Several metrics are made of one look. */
const LOOK_MS = 500;
const LABELS = ['kind', 'namespace', 'policy', 'rule', 'verdict'];

interface Series {
	readonly labels: Record<string, string>;
	packets: bigint;
	bytes: bigint;
}

/** @param read  undefined = policies are not followed yet */
export function addPolicyMetrics(
	registry: MetricRegistry,
	read: () => PolicyCounts | undefined,
	detail: () => PolicyDetail,
	now: () => number = () => performance.now(),
): void {
	const look = sharedLook(read, now);
	addGauge(registry, 'fairlead_policies', 'Policies by state on this node', ['state'], () =>
		Object.entries(look()?.states ?? {}).map(([state, count]) => [{ state }, count]),
	);
	const counters = [
		['packets', 'Packets that rules of a policy allowed, denied, or would have denied in audit mode'],
		['bytes', 'IP bytes that rules of a policy allowed, denied, or would have denied in audit mode'],
	] as const;
	for (const [unit, help] of counters) {
		const grown = new Map<string, number>();
		let isolatedSoFar = 0;
		addCounter(registry, `fairlead_policy_${unit}_total`, help, LABELS, () =>
			neverLess(grown, seriesOf(look()?.rules ?? [], detail()), unit),
		);
		addCounter(
			registry,
			`fairlead_policy_isolated_${unit}_total`,
			`${unit === 'packets' ? 'Packets' : 'IP bytes'} that no rule allowed at pods that some policy isolates`,
			[],
			() => {
				const isolated = look()?.isolated;
				const value = unit === 'packets' ? isolated?.deniedPackets : isolated?.deniedBytes;
				isolatedSoFar = Math.max(isolatedSoFar, Number(value ?? 0n));
				return [[{}, isolatedSoFar]];
			},
		);
	}
}

function sharedLook(read: () => PolicyCounts | undefined, clock: () => number): () => PolicyCounts | undefined {
	let found: PolicyCounts | undefined;
	let at = Number.NEGATIVE_INFINITY;
	return () => {
		const now = clock();
		if (now - at > LOOK_MS) {
			found = read();
			at = now;
		}
		return found;
	};
}

function seriesOf(rules: readonly CountedRule[], detail: PolicyDetail): Series[] {
	if (detail === 'off') return [];
	const groups = new Map<string, Series>();
	const names = new Set<string>();
	for (const { kind, namespace, policy, rule, audit, counts } of rules) {
		const own = { kind, namespace, policy, rule: detail === 'rule' ? rule : '' };
		const name = Object.values(own).join('/');
		if (names.size < MOST_SERIES) names.add(name);
		const labels = names.has(name) ? own : { kind: 'other', namespace: '', policy: '', rule: '' };
		add(groups, { ...labels, verdict: 'allowed' }, counts.allowedPackets, counts.allowedBytes);
		const refused = audit ? 'audited' : 'denied';
		if (counts.deniedPackets > 0n) {
			add(groups, { ...labels, verdict: refused }, counts.deniedPackets, counts.deniedBytes);
		}
	}
	return [...groups.values()];
}

function add(groups: Map<string, Series>, labels: Record<string, string>, packets: bigint, bytes: bigint): void {
	const key = Object.values(labels).join('/');
	const series = groups.get(key) ?? { labels, packets: 0n, bytes: 0n };
	series.packets += packets;
	series.bytes += bytes;
	groups.set(key, series);
}

/** Flows may turn to another rule, or be overwritten: a counter then stands still until it has caught up. */
function neverLess(grown: Map<string, number>, all: readonly Series[], unit: 'packets' | 'bytes'): Sample[] {
	const seen = new Set<string>();
	const samples = all.map((series): Sample => {
		const key = Object.values(series.labels).join('/');
		seen.add(key);
		const value = Math.max(grown.get(key) ?? 0, Number(series[unit]));
		grown.set(key, value);
		return [series.labels, value];
	});
	for (const key of grown.keys()) if (!seen.has(key)) grown.delete(key);
	return samples;
}
