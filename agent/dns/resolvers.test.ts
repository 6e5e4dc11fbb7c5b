import { expect, it } from 'vitest';
import type { ClusterView } from '../model/cluster-view.ts';
import { parseEndpointSlice } from '../model/endpoint-slice.ts';
import { parseResolver } from '../model/resolver.ts';
import { parseService } from '../model/service.ts';
import { planResolvers } from './resolvers.ts';

it.each([
	['kube-system/kube-dns', { kind: 'service', namespace: 'kube-system', name: 'kube-dns' }],
	['10.0.0.2', { kind: 'address', address: '10.0.0.2', port: 53 }],
	['10.0.0.2:5353', { kind: 'address', address: '10.0.0.2', port: 5353 }],
	['[2001:DB8::1]:53', { kind: 'address', address: '2001:db8::1', port: 53 }],
	['fe80::53', { kind: 'address', address: 'fe80::53', port: 53 }],
	['dns.example.com', undefined],
	['10.0.0.2:0', undefined],
	['10.0.0.2:65536', undefined],
	['', undefined],
])('reads %j', (text, expected) => {
	expect(parseResolver(text)).toEqual(expected);
});

it('takes addresses of a Service and ports of its backends, whatever their numbers', () => {
	const metadata = { namespace: 'kube-system', name: 'kube-dns' };
	const ports = [
		{ name: 'dns', port: 53, protocol: 'UDP' },
		{ name: 'dns-tcp', port: 53, protocol: 'TCP' },
		{ name: 'metrics', port: 9153, protocol: 'TCP' },
	];
	const service = parseService({ metadata, spec: { clusterIP: '10.96.0.10', clusterIPs: ['10.96.0.10'], ports } });
	const slice = parseEndpointSlice({
		metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'kube-dns' } },
		addressType: 'IPv4',
		ports: [
			{ name: 'dns', port: 5353, protocol: 'UDP' },
			{ name: 'dns-tcp', port: 5354, protocol: 'TCP' },
			{ name: 'metrics', port: 9153, protocol: 'TCP' },
		],
		endpoints: [{ addresses: ['10.244.1.7'], conditions: {} }],
	});
	if (!service.ok || !slice.ok) throw new Error('the objects are wrong');
	const view: Pick<ClusterView, 'services' | 'slicesOf'> = {
		services: new Map([['kube-system/kube-dns', service.value]]),
		slicesOf: (name) => (name === 'kube-system/kube-dns' ? [slice.value] : []),
	};
	const sources = ['kube-system/kube-dns', 'kube-system/none', '192.0.2.1'].map((text) => parseResolver(text)!);
	expect([...planResolvers(view, sources).keys()].sort()).toEqual([
		'TCP 10.244.1.7 5354',
		'TCP 10.96.0.10 53',
		'TCP 192.0.2.1 53',
		'UDP 10.244.1.7 5353',
		'UDP 10.96.0.10 53',
		'UDP 192.0.2.1 53',
	]);
});
