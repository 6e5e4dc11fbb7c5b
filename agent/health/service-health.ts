/**
 * Which health check servers a service wants on this node, and what they have to say. Pure.
 * A load balancer asks spec.healthCheckNodePort of every node which of them have endpoints of a service with
 * externalTrafficPolicy Local. Rules: pkg/proxy/healthcheck/service_health.go of Kubernetes 1.36.
 */
import type { Address, Family } from '../model/address.ts';
import { familyOf } from '../model/address.ts';
import type { EndpointSlice } from '../model/endpoint-slice.ts';
import type { Service } from '../model/service.ts';
import { isSkipped } from '../plan/services.ts';
import type { HttpAnswer } from './http-server.ts';

/** One listening socket. */
export interface HealthServerPlan {
	/** 'address|port': equal keys = the same socket. */
	readonly key: string;
	readonly address: Address;
	readonly port: number;
	/** metadata of the service. */
	readonly namespace: string;
	readonly name: string;
	/** Endpoints of this node and of the address's family; see countLocalEndpoints. */
	readonly localEndpoints: number;
}

export interface HealthContext {
	readonly nodeName: string;
	/** Addresses at which NodePorts are open. */
	readonly nodePortAddresses: readonly Address[];
	/** Name of this proxy; '' = that of the default one. */
	readonly proxyName: string;
}

/** @returns sorted by key; empty when the service has no health check port or another proxy serves it */
export function planServiceHealth(
	service: Service,
	slices: readonly EndpointSlice[],
	{ nodeName, nodePortAddresses, proxyName }: HealthContext,
): readonly HealthServerPlan[] {
	if (!wantsHealthServer(service) || isSkipped(service, proxyName)) return [];
	const { namespace, name, healthCheckNodePort: port } = service;
	const families = new Set(service.clusterIps.map(familyOf));
	const counts = new Map([...families].map((family) => [family, countLocalEndpoints(slices, family, nodeName)]));
	const plans = nodePortAddresses.flatMap((address) => {
		const localEndpoints = counts.get(familyOf(address));
		if (localEndpoints === undefined) return [];
		return [{ key: `${address}|${port}`, address, port, namespace, name, localEndpoints }];
	});
	return plans.sort((a, b) => (a.key < b.key ? -1 : 1));
}

function wantsHealthServer(service: Service): boolean {
	return service.type === 'LoadBalancer' && service.externalPolicy === 'Local' && service.healthCheckNodePort > 0;
}

/**
 * Pods of this node that are ready and not terminating: addresses, not ports, so that a pod with two ports counts once.
 * @param nodeName  compared with the endpoint's nodeName as text
 */
export function countLocalEndpoints(slices: readonly EndpointSlice[], family: Family, nodeName: string): number {
	const addresses = new Set<Address>();
	for (const slice of slices) {
		if (slice.addressType !== (family === 4 ? 'IPv4' : 'IPv6') || slice.headlessLabel) continue;
		if (slice.ports.length === 0) continue;
		for (const endpoint of slice.endpoints) {
			if (endpoint.node === nodeName && endpoint.ready && !endpoint.terminating) addresses.add(endpoint.address);
		}
	}
	return addresses.size;
}

/** What the server says: 200 only if there is an endpoint and this node's service maps are up to date. */
export function serviceHealthAnswer(plan: HealthServerPlan, serviceProxyHealthy: boolean): HttpAnswer {
	const { namespace, name, localEndpoints } = plan;
	return {
		status: localEndpoints > 0 && serviceProxyHealthy ? 200 : 503,
		contentType: 'application/json',
		headers: {
			'x-content-type-options': 'nosniff',
			'x-load-balancing-endpoint-weight': String(localEndpoints),
		},
		body: JSON.stringify({ service: { namespace, name }, localEndpoints, serviceProxyHealthy }),
	};
}
