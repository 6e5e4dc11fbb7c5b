import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DropReason, Metric } from '../../native/abi/generated.ts';
import { DROP_NUMBERS, dropReasonName } from '../flows/drop-reasons.ts';
import type { MetricsSource } from './metrics.ts';
import { createMetrics } from './metrics.ts';

function sourceOf(changes: Partial<MetricsSource> = {}): MetricsSource {
	return {
		drops: () => DROP_NUMBERS.map((reason) => ({ reason, packets: BigInt(reason), bytes: BigInt(reason * 100) })),
		counter: (name) => BigInt(1000 + Metric[name]),
		flows: () => ({
			held: 5,
			capacity: 10,
			seen: 15,
			lost: { 'kernel-ring': 3, 'agent-queue': 2, history: 1 },
			subscribers: 4,
		}),
		maps: () => [
			{ name: 'services', entries: 7, capacity: 100, bytes: 4096 },
			{ name: 'ct', capacity: 200, bytes: 8192 },
		],
		endpoints: () => 6,
		closedPolicySets: () => 0,
		policies: () => undefined,
		policyDetail: () => 'policy',
		ready: () => true,
		conntrack: () => {
			const family = { byProtocol: { tcp: 7, udp: 2 }, closing: 3, synOnly: 1 };
			return { IPv4: family, IPv6: { ...family, closing: 0 } };
		},
		syncs: () => new Map(),
		plans: () => new Map(),
		node: () => ({
			events: { delivered: 3, lost: 1, limited: 2 },
			repairs: { link: 4 },
			foreign: [{ hook: 'tc-ingress', position: 'before', programs: 1 }],
			foreignPods: 5,
		}),
		...changes,
	};
}

async function scrape(changes: Partial<MetricsSource> = {}): Promise<string> {
	return (await createMetrics({ version: '1.2.3', source: sourceOf(changes) }).scrape()).body;
}

/** Value of one sample by its whole name. */
function sample(text: string, name: string): number | undefined {
	const line = text.split('\n').find((each) => each.startsWith(`${name} `));
	return line === undefined ? undefined : Number(line.slice(name.length + 1));
}

describe('metrics', () => {
	it('counts every drop reason, also those that never occurred', async () => {
		const text = await scrape();
		for (const reason of DROP_NUMBERS) {
			const label = `{reason="${dropReasonName(reason)}"}`;
			expect(sample(text, `fairlead_dropped_packets_total${label}`)).toBe(reason);
			expect(sample(text, `fairlead_dropped_bytes_total${label}`)).toBe(reason * 100);
		}
	});

	it('reads the source at each scrape and never adds up what it read before', async () => {
		let packets = 5n;
		const metrics = createMetrics({
			version: '1',
			source: sourceOf({ drops: () => [{ reason: DropReason.POLICY, packets, bytes: 0n }] }),
		});
		const read = async () => sample((await metrics.scrape()).body, 'fairlead_dropped_packets_total{reason="policy"}');
		expect([await read(), await read()]).toEqual([5, 5]);
		packets = 9n;
		expect(await read()).toBe(9);
	});

	it.each([
		['fairlead_build_info{version="1.2.3",node_version="NODE"}', 1],
		['fairlead_ready', 1],
		['fairlead_endpoints', 6],
		['fairlead_forwarded_packets_total', 1000 + Metric.FORWARDED_PACKETS],
		['fairlead_conntrack_created_total', 1000 + Metric.CT_CREATED],
		['fairlead_conntrack_full_total', 1000 + Metric.CT_FULL],
		['fairlead_flow_events_total', 15],
		['fairlead_flow_events_lost_total{source="kernel-ring"}', 3],
		['fairlead_flow_events_lost_total{source="history"}', 1],
		['fairlead_flow_subscribers', 4],
		['fairlead_map_entries{map="services"}', 7],
		['fairlead_map_entries{map="ct"}', undefined],
		['fairlead_map_capacity_entries{map="ct"}', 200],
		['fairlead_map_pressure_ratio{map="services"}', 0.07],
		['fairlead_map_pressure_ratio{map="ct"}', undefined],
		['fairlead_conntrack_entries{ip_family="IPv4",protocol="tcp"}', 7],
		['fairlead_conntrack_tcp_entries{ip_family="IPv4",state="closing"}', 3],
		['fairlead_conntrack_tcp_entries{ip_family="IPv6",state="syn-only"}', 1],
		['fairlead_masquerade_exhausted_total', DropReason.NAT_EXHAUSTED],
		['fairlead_map_memory_bytes{map="ct"}', 8192],
	])('has %s %s', async (name, value) => {
		expect(sample(await scrape(), name.replace('NODE', process.versions.node))).toBe(value);
	});

	it('records reconciler runs and CNI requests', async () => {
		const metrics = createMetrics({ version: '1', source: sourceOf() });
		metrics.recordReconcile('services', 'success', 0.004);
		metrics.recordReconcile('services', 'failure', 3);
		metrics.recordCni('ADD', 'success', 0.007);
		metrics.recordCni('$(reboot)', '4', 0.001);
		const text = (await metrics.scrape()).body;
		expect(sample(text, 'fairlead_reconcile_duration_seconds_count{reconciler="services",outcome="failure"}')).toBe(1);
		expect(sample(text, 'fairlead_reconcile_duration_seconds_sum{reconciler="services",outcome="success"}')).toBe(
			0.004,
		);
		expect(sample(text, 'fairlead_cni_request_duration_seconds_bucket{le="0.01",command="ADD",result="success"}')).toBe(
			1,
		);
		expect(sample(text, 'fairlead_cni_request_duration_seconds_count{command="other",result="4"}')).toBe(1);
		expect(text).not.toContain('reboot');
	});

	it('names every metric after its unit and explains it', async () => {
		const text = await scrape();
		const names = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => ({ name, type }));
		expect(names.length).toBeGreaterThan(15);
		for (const { name, type } of names) {
			expect(text).toMatch(new RegExp(`^# HELP ${name} \\S+ \\S+`, 'm'));
			// kube-proxy's names are as they are
			if (name.startsWith('kubeproxy_')) continue;
			if (type === 'counter') expect(name).toMatch(/_total$/);
			if (type === 'histogram') expect(name).toMatch(/_seconds$/);
			if (type === 'gauge')
				expect(name).toMatch(
					/_(info|ready|endpoints|closed_sets|policies|programs|pods|names|addresses|subscribers|entries|bytes|seconds|ratio)$/,
				);
		}
	});

	it('has every metric in the documentation, which names no other', async () => {
		const text = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
		const documented = [...text.matchAll(/`((?:fairlead|kubeproxy|process)_\w+)`/g)].map(([, name]) => name);
		const there = [...(await scrape()).matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
		expect([...new Set(documented)].sort()).toEqual(there.sort());
	});

	it('answers in the format of Prometheus', async () => {
		const answer = await createMetrics({ version: '1', source: sourceOf() }).scrape();
		expect(answer).toMatchObject({ status: 200, contentType: expect.stringContaining('version=0.0.4') as string });
	});
});
