import { describe, expect, it } from 'vitest';
import { parseEndpointSlice } from './endpoint-slice.ts';
import { parseNamespace, parseNode } from './node.ts';
import { parsePod } from './pod.ts';
import { parseService } from './service.ts';
import { allServiceCidrs, parseServiceCidr } from './service-cidr.ts';

/** The value, or the problems as text so that a failure shows them. */
function parsedValue<T>(
	parsed: { ok: true; value: T } | { ok: false; issues: readonly { path: string; message: string }[] },
): T {
	if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
	return parsed.value;
}

function issuesOf(parsed: { ok: boolean; issues?: readonly { path: string; message: string }[] }): string[] {
	return (parsed.issues ?? []).map(({ path, message }) => `${path}: ${message}`);
}

const meta = { name: 'web', namespace: 'shop' };

describe('parseService', () => {
	it('fills in what the API server would', () => {
		const parsed = parsedValue(
			parseService({ metadata: { name: 'web' }, spec: { clusterIP: '10.96.0.1', ports: [{ port: 80 }] } }),
		);
		expect(parsed).toMatchObject({
			namespace: 'default',
			type: 'ClusterIP',
			clusterIps: ['10.96.0.1'],
			ports: [{ name: '', protocol: 'TCP', port: 80, nodePort: 0 }],
			internalPolicy: 'Cluster',
			externalPolicy: 'Cluster',
			affinityTimeoutS: null,
		});
	});

	it('prefers clusterIPs, canonicalises addresses and drops None', () => {
		const spec = { clusterIP: '10.96.0.1', clusterIPs: ['010.096.000.001', '::ffff:10.96.0.2', 'FD00::1'] };
		expect(parsedValue(parseService({ metadata: meta, spec })).clusterIps).toEqual([
			'10.96.0.1',
			'10.96.0.2',
			'fd00::1',
		]);
		expect(parsedValue(parseService({ metadata: meta, spec: { clusterIP: 'None' } })).clusterIps).toEqual([]);
	});

	it('leaves out load balancer addresses in mode Proxy and host names', () => {
		const ingress = [
			{ ip: '203.0.113.1' },
			{ ip: '203.0.113.2', ipMode: 'VIP' },
			{ ip: '203.0.113.3', ipMode: 'Proxy' },
			{ hostname: 'lb' },
		];
		const service = parsedValue(parseService({ metadata: meta, spec: {}, status: { loadBalancer: { ingress } } }));
		expect(service.loadBalancerIps).toEqual(['203.0.113.1', '203.0.113.2']);
	});

	it('trims source ranges', () => {
		const spec = { loadBalancerSourceRanges: [' 10.0.0.0/8 '] };
		expect(parsedValue(parseService({ metadata: meta, spec })).loadBalancerSourceRanges).toEqual(['10.0.0.0/8']);
	});

	it('knows the default affinity timeout and a configured one', () => {
		const affinity = (spec: object) =>
			parsedValue(parseService({ metadata: meta, spec: { sessionAffinity: 'ClientIP', ...spec } })).affinityTimeoutS;
		expect(affinity({})).toBe(10800);
		expect(affinity({ sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } })).toBe(60);
		expect(
			issuesOf(parseService({ metadata: meta, spec: { sessionAffinityConfig: { clientIP: { timeoutSeconds: 0 } } } })),
		).toEqual(['spec.sessionAffinityConfig.clientIP.timeoutSeconds: expected at least 1, got 0']);
	});

	it('names the field of everything that is wrong at once', () => {
		const spec = {
			type: 'Cluster',
			clusterIP: '10.96.0.300',
			ports: [{ port: 'http' }, { port: 80, protocol: 'ICMP' }],
		};
		expect(issuesOf(parseService({ metadata: meta, spec }))).toEqual([
			'spec.type: expected "ClusterIP" or "NodePort" or "LoadBalancer" or "ExternalName", got "Cluster"',
			'spec.clusterIP: expected "" or "None" or an IP address, got "10.96.0.300"',
			'spec.ports[0].port: expected a number, got "http"',
			'spec.ports[1].protocol: expected "TCP" or "UDP" or "SCTP", got "ICMP"',
		]);
	});

	it('refuses two ports of one name or number: ids are given by name', () => {
		const ports = [{ port: 80 }, { port: 80, name: 'b' }, { port: 81, name: 'b' }];
		expect(issuesOf(parseService({ metadata: meta, spec: { ports } }))).toEqual([
			'spec.ports[1].port: expected a unique value, got port 80/TCP twice',
			'spec.ports[2].name: expected a unique value, got name "b" twice',
		]);
	});

	it('allows the same number for TCP and UDP', () => {
		const ports = [
			{ port: 53, name: 'dns' },
			{ port: 53, name: 'dns-udp', protocol: 'UDP' },
		];
		expect(parsedValue(parseService({ metadata: meta, spec: { ports } })).ports).toHaveLength(2);
	});

	it('reads null as not given, as YAML files write it', () => {
		const spec = { clusterIP: '10.96.0.1', externalIPs: null, ports: null, sessionAffinity: null };
		expect(parsedValue(parseService({ metadata: { ...meta, labels: null }, spec, status: null })).externalIps).toEqual(
			[],
		);
	});
});

describe('parseEndpointSlice', () => {
	const base = { metadata: { ...meta, labels: { 'kubernetes.io/service-name': 'web' } }, addressType: 'IPv4' };

	it('takes a missing ready and serving as true, and a missing terminating as false', () => {
		const slice = parsedValue(parseEndpointSlice({ ...base, endpoints: [{ addresses: ['10.0.0.1'] }] }));
		expect(slice.endpoints).toEqual([
			{ address: '10.0.0.1', ready: true, serving: true, terminating: false, node: '', zoneHints: [], nodeHints: [] },
		]);
	});

	it('uses only the first address of an endpoint', () => {
		const slice = parsedValue(parseEndpointSlice({ ...base, endpoints: [{ addresses: ['10.0.0.1', '10.0.0.2'] }] }));
		expect(slice.endpoints.map((e) => e.address)).toEqual(['10.0.0.1']);
	});

	it('leaves out ports without a number and names a nameless port like the API server', () => {
		const slice = parsedValue(
			parseEndpointSlice({ ...base, ports: [{ port: 80 }, { name: 'x' }, { name: 'y', port: null }] }),
		);
		expect(slice.ports).toEqual([{ name: '', protocol: 'TCP', port: 80 }]);
	});

	it('refuses an address of another family than addressType', () => {
		expect(issuesOf(parseEndpointSlice({ ...base, endpoints: [{ addresses: ['fd00::1'] }] }))).toEqual([
			'endpoints[0].addresses[0]: expected an IPv4 address, got "fd00::1"',
		]);
	});

	it('accepts an FQDN slice and uses nothing of it', () => {
		const slice = { ...base, addressType: 'FQDN', endpoints: [{ addresses: ['example.org'] }] };
		expect(parsedValue(parseEndpointSlice(slice)).endpoints).toEqual([]);
	});

	it.each([
		['2026-01-02T03:04:05.123456789Z', Date.UTC(2026, 0, 2, 3, 4, 5, 123)],
		['2026-01-02T05:04:05+02:00', Date.UTC(2026, 0, 2, 3, 4, 5)],
		['yesterday', 0],
		[undefined, 0],
	])('reads when the change happened that led to it: %s', (text, expected) => {
		const annotations = text === undefined ? {} : { 'endpoints.kubernetes.io/last-change-trigger-time': text };
		const slice = { ...base, metadata: { ...base.metadata, annotations } };
		expect(parsedValue(parseEndpointSlice(slice)).triggeredAtMs).toBe(expected);
	});

	it('reads hints by zone and by node', () => {
		const hints = { forZones: [{ name: 'z1' }], forNodes: [{ name: 'n1' }, { name: 'n2' }] };
		const slice = parsedValue(parseEndpointSlice({ ...base, endpoints: [{ addresses: ['10.0.0.1'], hints }] }));
		expect(slice.endpoints[0]).toMatchObject({ zoneHints: ['z1'], nodeHints: ['n1', 'n2'] });
	});
});

describe('parseNode, parsePod and parseNamespace', () => {
	it('refuses two pod CIDRs of one family, as the API server does', () => {
		const spec = { podCIDRs: ['10.1.0.0/24', 'fd00::/64', '10.2.0.0/24'] };
		expect(issuesOf(parseNode({ metadata: { name: 'n' }, spec }))).toEqual([
			'spec.podCIDRs: expected at most one prefix of each family',
		]);
	});

	it('reads addresses by type and leaves host names out', () => {
		const addresses = [
			{ type: 'Hostname', address: 'node-a' },
			{ type: 'InternalIP', address: '192.168.0.1' },
			{ type: 'InternalIP', address: 'fd00::1' },
			{ type: 'ExternalIP', address: '203.0.113.1' },
		];
		const labels = { 'topology.kubernetes.io/zone': 'z1' };
		const node = { metadata: { name: 'node-a', labels }, spec: { podCIDR: '10.244.1.0/24' }, status: { addresses } };
		expect(parsedValue(parseNode(node))).toMatchObject({
			zone: 'z1',
			internalIps: ['192.168.0.1', 'fd00::1'],
			externalIps: ['203.0.113.1'],
			podCidrs: ['10.244.1.0/24'],
		});
	});

	it.each([
		['nothing', {}, [], false],
		['a taint of somebody else', {}, [{ key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }], false],
		['the taint of the autoscaler', {}, [{ key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' }], true],
		['a deletion timestamp', { deletionTimestamp: '2026-01-01T00:00:00Z' }, [], true],
	])('sees from %s whether a node is going away', (_what, metadata, taints, expected) => {
		const node = { metadata: { name: 'node-a', ...metadata }, spec: { taints } };
		expect(parsedValue(parseNode(node)).goingAway).toBe(expected);
	});

	it('prefers podIPs and knows a finished pod', () => {
		const status = { phase: 'Succeeded', podIP: '10.0.0.1', podIPs: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }] };
		expect(parsedValue(parsePod({ metadata: meta, spec: { nodeName: 'a' }, status }))).toMatchObject({
			addresses: ['10.0.0.1', 'fd00::1'],
			node: 'a',
			finished: true,
		});
	});

	it('keeps the labels of a namespace', () => {
		expect(parsedValue(parseNamespace({ metadata: { name: 'shop', labels: { team: 'x' } } }))).toEqual({
			name: 'shop',
			labels: { team: 'x' },
		});
	});
});

describe('parseServiceCidr', () => {
	it('reads prefixes leniently and joins them with those of the configuration', () => {
		const cidr = (name: string, cidrs: string[]) => {
			const parsed = parseServiceCidr({ metadata: { name }, spec: { cidrs } });
			if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
			return parsed.value;
		};
		const objects = [cidr('b', ['10.97.0.0/16']), cidr('a', ['fd00:96::1/108', '10.96.0.0/16'])];
		expect(allServiceCidrs(['10.96.0.0/16'], objects)).toEqual(['10.96.0.0/16', 'fd00:96::/108', '10.97.0.0/16']);
	});

	it('names what is no prefix', () => {
		const parsed = parseServiceCidr({ metadata: { name: 'a' }, spec: { cidrs: ['10.96.0.0/16', 'x'] } });
		expect(parsed).toMatchObject({ ok: false, issues: [{ path: 'spec.cidrs[1]' }] });
	});
});
