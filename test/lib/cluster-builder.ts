/** Short ways to write Kubernetes objects and a view of them in tests. */
import type { Endpoint, EndpointSlice } from '../../agent/model/endpoint-slice.ts';
import type { NodeFacts } from '../../agent/model/node-facts.ts';
import type { Service } from '../../agent/model/service.ts';
import type { RoutingSettings } from '../../agent/plan/routing.ts';
import type { ServicesContext } from '../../agent/plan/services.ts';
import { ClusterStore } from '../../agent/sources/store.ts';

export function service(name: string, over: Partial<Service> = {}): Service {
	return {
		namespace: 'default',
		name,
		created: '',
		type: 'ClusterIP',
		clusterIps: ['10.96.0.10'],
		externalIps: [],
		loadBalancerIps: [],
		loadBalancerSourceRanges: [],
		ports: [{ name: '', protocol: 'TCP', port: 80, nodePort: 0 }],
		internalPolicy: 'Cluster',
		externalPolicy: 'Cluster',
		affinityTimeoutS: null,
		healthCheckNodePort: 0,
		proxyName: null,
		headlessLabel: false,
		lbAlgorithm: '',
		...over,
	};
}

export function endpoint(address: string, over: Partial<Endpoint> = {}): Endpoint {
	return { address, ready: true, serving: true, terminating: false, node: '', zoneHints: [], nodeHints: [], ...over };
}

export function slice(
	serviceName: string,
	endpoints: readonly (Endpoint | string)[],
	over: Partial<EndpointSlice> = {},
): EndpointSlice {
	return {
		namespace: 'default',
		name: `${serviceName}-1`,
		service: serviceName,
		headlessLabel: false,
		addressType: 'IPv4',
		ports: [{ name: '', protocol: 'TCP', port: 8080 }],
		endpoints: endpoints.map((each) => (typeof each === 'string' ? endpoint(each) : each)),
		triggeredAtMs: 0,
		...over,
	};
}

export function clusterOf(services: readonly Service[], slices: readonly EndpointSlice[]): ClusterStore {
	const store = new ClusterStore();
	for (const each of services) store.set('Service', `${each.namespace}/${each.name}`, each);
	for (const each of slices) store.set('EndpointSlice', `${each.namespace}/${each.name}`, each);
	return store;
}

/** Those of an agent whose configuration says nothing. */
export const ROUTING: RoutingSettings = {
	mode: 'vxlan',
	vni: 1,
	vxlanPort: 8472,
	mtu: 'auto',
	bigTcp: 'auto',
	xdp: 'auto',
	serviceCidrs: [],
};

export const FACTS: NodeFacts = {
	name: 'node-a',
	zone: 'zone-1',
	addresses: ['192.168.0.1', 'fd00:192::1'],
	localAddresses: ['192.168.0.1', 'fd00:192::1'],
	podCidrs: ['10.244.1.0/24', 'fd00:244:1::/64'],
	uplink: {
		name: 'eth0',
		ifindex: 2,
		mtu: 1500,
		addresses: [
			{ address: '192.168.0.1', prefixLength: 24 },
			{ address: 'fd00:192::1', prefixLength: 64 },
		],
	},
	moreUplinks: [],
};

export const CONTEXT: ServicesContext = { node: FACTS, nodePortAddresses: FACTS.addresses };

/** n services with m ready endpoints each, all addresses distinct. */
export function bigCluster(services: number, endpoints: number): ClusterStore {
	const store = new ClusterStore();
	for (let s = 0; s < services; s++) {
		const name = `svc-${s}`;
		store.set(
			'Service',
			`default/${name}`,
			service(name, { clusterIps: [`10.${96 + (s >> 16)}.${(s >> 8) & 255}.${s & 255}`] }),
		);
		const list = Array.from({ length: endpoints }, (_, e) => {
			const n = s * endpoints + e;
			return `10.${128 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
		});
		store.set('EndpointSlice', `default/${name}-1`, slice(name, list));
	}
	return store;
}
