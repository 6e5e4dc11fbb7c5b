/** Objects of the Prometheus operator. */
import type { V1ObjectMeta } from '@kubernetes/client-node';
import { agentConfig } from './config-map.ts';
import { AGENT, type Installation, namespacedMeta, SELECTOR } from './names.ts';

const API = 'monitoring.coreos.com/v1';

function meta(i: Installation): V1ObjectMeta {
	const made = namespacedMeta(i);
	return { ...made, labels: { ...i.values.monitoring.labels, ...made.labels } };
}

function metricsPort({ values }: Installation): number {
	return Number(String(agentConfig(values).metricsBindAddress).split(':').at(-1));
}

export function podMonitor(i: Installation) {
	const { interval } = i.values.monitoring;
	return {
		apiVersion: API,
		kind: 'PodMonitor',
		metadata: meta(i),
		spec: {
			selector: { matchLabels: { ...SELECTOR } },
			podMetricsEndpoints: [
				{
					portNumber: metricsPort(i),
					path: '/metrics',
					interval,
					relabelings: [{ sourceLabels: ['__meta_kubernetes_pod_node_name'], targetLabel: 'node' }],
				},
			],
		},
	};
}

interface Alert {
	readonly alert: string;
	readonly expr: string;
	readonly for: string;
	readonly severity: 'critical' | 'warning';
	readonly summary: string;
	readonly description: string;
}

const ALERTS: readonly Alert[] = [
	{
		alert: 'FairleadAgentNotReady',
		expr: 'fairlead_ready == 0',
		for: '10m',
		severity: 'warning',
		summary: 'The agent is not ready.',
		description: 'Traffic goes on as it was; changes and new pods may wait. `fairlead status` on the node says why.',
	},
	{
		alert: 'FairleadServicesOutOfDate',
		expr: 'max by (node) (kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds - kubeproxy_sync_proxy_rules_last_timestamp_seconds) > 60',
		for: '5m',
		severity: 'critical',
		summary: 'Changes of Services are not in force.',
		description: 'A change has waited for more than a minute. `fairlead status` on the node says why.',
	},
	{
		alert: 'FairleadMapFillsUp',
		expr: 'fairlead_map_pressure_ratio > 0.85',
		for: '10m',
		severity: 'warning',
		summary: 'A BPF map is more than 85 % full.',
		description: 'Raise its size in the configuration (`ctMaxEntries`, `maps`); live flows are carried over.',
	},
	{
		alert: 'FairleadConntrackFull',
		expr: 'increase(fairlead_conntrack_full_total[5m]) > 0',
		for: '5m',
		severity: 'critical',
		summary: 'New flows find the connection table full.',
		description: "Established flows go on; new ones take each other's place. Raise `ctMaxEntries`.",
	},
	{
		alert: 'FairleadMasqueradePortsExhausted',
		expr: 'increase(fairlead_masquerade_exhausted_total[5m]) > 0',
		for: '5m',
		severity: 'critical',
		summary: 'Packets are dropped because no source port is free.',
		description: 'Widen `snatPorts`, or see with `fairlead ct list` who opens so many connections to one destination.',
	},
	{
		alert: 'FairleadPolicyNotEnforced',
		expr: 'fairlead_policy_closed_sets > 0',
		for: '5m',
		severity: 'critical',
		summary: 'Policies find no room, so the pods they select are closed.',
		description: '`fairlead status` on the node names the map; raise its size.',
	},
	{
		alert: 'FairleadCniFailures',
		expr: 'increase(fairlead_cni_request_duration_seconds_count{result!="success"}[10m]) > 5',
		for: '10m',
		severity: 'warning',
		summary: 'CNI requests fail.',
		description: "Pods of the node do not start or end. The agent's log names each request and why.",
	},
];

export function prometheusRule(i: Installation) {
	return {
		apiVersion: API,
		kind: 'PrometheusRule',
		metadata: meta(i),
		spec: {
			groups: [
				{
					name: AGENT,
					rules: ALERTS.map(({ alert, expr, for: pending, severity, summary, description }) => ({
						alert,
						expr,
						for: pending,
						labels: { severity },
						annotations: { summary, description },
					})),
				},
			],
		},
	};
}
