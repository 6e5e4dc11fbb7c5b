import { describe, expect, it } from 'vitest';
import { CONTEXT, clusterOf, endpoint, service, slice } from '../../test/lib/cluster-builder.ts';
import type { Service } from '../model/service.ts';
import { planServices } from '../plan/services.ts';
import { Registry } from './prom-client.ts';
import { countNoLocalEndpoints, createProxyMetrics, type ProxySource } from './proxy-metrics.ts';

const SYNC = {
	lastUpdatedMs: 5500,
	lastQueuedMs: 6000,
	oldestQueuedMs: 6000,
	serviceChanges: { pending: 1, total: 11 },
	endpointChanges: { pending: 2, total: 22 },
};

function start(changes: Partial<ProxySource> = {}) {
	const registry = new Registry();
	const metrics = createProxyMetrics(registry, {
		syncs: () => new Map([['IPv4', SYNC]]),
		plans: () => new Map(),
		...changes,
	});
	const sample = async (name: string): Promise<number | undefined> => {
		const line = (await registry.metrics()).split('\n').find((each) => each.startsWith(`kubeproxy_${name} `));
		return line === undefined ? undefined : Number(line.split(' ').at(-1));
	};
	return { metrics, sample, text: () => registry.metrics() };
}

describe("kube-proxy's metrics", () => {
	it.each([
		['last_timestamp_seconds', 5.5],
		['last_queued_timestamp_seconds', 6],
		['endpoint_changes_pending', 2],
		['endpoint_changes_total', 22],
		['service_changes_pending', 1],
		['service_changes_total', 11],
	])('tell sync_proxy_rules_%s of each family of the node', async (name, value) => {
		const { sample } = start();
		expect(await sample(`sync_proxy_rules_${name}{ip_family="IPv4"}`)).toBe(value);
		expect(await sample(`sync_proxy_rules_${name}{ip_family="IPv6"}`)).toBeUndefined();
	});

	it('measure full and partial syncs apart and together', async () => {
		const { metrics, sample } = start();
		metrics.onSync('IPv4', 0.003, false);
		metrics.onSync('IPv4', 2, true);
		expect(await sample('sync_proxy_rules_duration_seconds_count{ip_family="IPv4"}')).toBe(2);
		expect(await sample('sync_full_proxy_rules_duration_seconds_sum{ip_family="IPv4"}')).toBe(2);
		expect(await sample('sync_partial_proxy_rules_duration_seconds_bucket{le="0.004",ip_family="IPv4"}')).toBe(1);
		expect(await sample('sync_partial_proxy_rules_duration_seconds_bucket{le="0.002",ip_family="IPv4"}')).toBe(0);
	});

	it('have the buckets that dashboards of the programming latency are made for', async () => {
		const { metrics, text } = start();
		metrics.onProgrammed('IPv6', 61);
		const name = 'kubeproxy_network_programming_duration_seconds_bucket';
		const lines = (await text()).split('\n').filter((line) => line.startsWith(name));
		const buckets = lines.map((line) => /le="([^"]+)"/.exec(line)?.[1]);
		expect([buckets.length, buckets.slice(0, 4), buckets.slice(-3)]).toEqual([
			81,
			['0.25', '0.5', '1', '2'],
			['270', '300', '+Inf'],
		]);
		expect(lines.find((line) => line.includes('le="65"'))).toMatch(/ 1$/);
	});

	it('count probes by status and conntrack passes by family', async () => {
		const { metrics, sample } = start();
		metrics.onProbe('healthz', 503);
		metrics.onProbe('healthz', 200);
		metrics.onProbe('livez', 200);
		metrics.onConntrack('IPv4', 0.02, 7);
		metrics.onConntrack('IPv4', 0.02, 2);
		expect(await sample('proxy_healthz_total{code="503"}')).toBe(1);
		expect(await sample('proxy_livez_total{code="200"}')).toBe(1);
		expect(await sample('conntrack_reconciler_deleted_entries_total{ip_family="IPv4"}')).toBe(9);
		expect(await sample('conntrack_reconciler_sync_duration_seconds_count{ip_family="IPv4"}')).toBe(2);
	});

	it('hold none of a dataplane that is not ours', async () => {
		expect(await start().text()).not.toMatch(/iptables|nftables|ipvs/);
	});
});

describe('services without an endpoint for their Local policy', () => {
	const there = endpoint('10.0.0.1', { node: 'node-b' });
	const here = endpoint('10.0.0.2', { node: 'node-a' });
	const local = (name: string, n: number, over: Partial<Service>): Service =>
		service(name, { clusterIps: [`10.96.0.${n}`], ...over });
	const balancer: Partial<Service> = {
		type: 'LoadBalancer',
		loadBalancerIps: ['198.51.100.9'],
		externalPolicy: 'Local',
	};

	it('are counted by policy, once for all ports, and only when endpoints exist elsewhere', () => {
		const ports = [80, 443].map((port) => ({ name: `p${port}`, protocol: 'TCP' as const, port, nodePort: 0 }));
		const slicePorts = ports.map(({ name, protocol }) => ({ name, protocol, port: 8080 }));
		const store = clusterOf(
			[
				local('inside', 1, { internalPolicy: 'Local', ports }),
				local('outside', 2, balancer),
				local('both-fine', 3, { ...balancer, internalPolicy: 'Local', loadBalancerIps: ['198.51.100.8'] }),
				local('nobody', 4, { internalPolicy: 'Local' }),
				local('anywhere', 5, {}),
			],
			[
				slice('inside', [there], { ports: slicePorts }),
				slice('outside', [there]),
				slice('both-fine', [there, here]),
				slice('anywhere', [there]),
			],
		);
		expect(countNoLocalEndpoints(planServices(store, [], CONTEXT).values())).toEqual([
			[{ traffic_policy: 'internal', ip_family: 'IPv4' }, 1],
			[{ traffic_policy: 'internal', ip_family: 'IPv6' }, 0],
			[{ traffic_policy: 'external', ip_family: 'IPv4' }, 1],
			[{ traffic_policy: 'external', ip_family: 'IPv6' }, 0],
		]);
	});
});
