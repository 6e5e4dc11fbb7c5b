/**
 * The node's routes to its pods, compared with what the kernel has: it removes IPv4 routes together with the address that they name as source,
 * and forgets that in IPv6 routes.
 */
import { type RouteSpec, replaceRoute } from '../kernel/netlink.ts';
import type { Address } from '../model/address.ts';
import type { EndpointDeps } from './endpoint-deps.ts';
import type { LiveEndpoint } from './endpoint-manager.ts';
import { podRoute } from './pod-wiring.ts';

/**
 * Makes routes that are missing or name another source.
 * @returns addresses of the pods concerned
 * @throws NETLINK_REFUSED
 */
export async function repairPodRoutes(
	endpoints: readonly LiveEndpoint[],
	{ netlink, nodeAddress }: Pick<EndpointDeps, 'netlink' | 'nodeAddress'>,
): Promise<readonly Address[]> {
	const pods = endpoints.filter(({ mode }) => mode === 'veth');
	if (pods.length === 0) return [];
	const present = new Set([...(await netlink.routes(4)), ...(await netlink.routes(6))].map(routeText));
	const repaired: Address[] = [];
	for (const { ifindex, addresses } of pods) {
		const missing = addresses.filter((each) => !present.has(routeText(podRoute(each, ifindex, nodeAddress))));
		const made = missing.map((each) => replaceRoute(podRoute(each, ifindex, nodeAddress)));
		// the pod may go meanwhile, and so may the node's address
		await netlink.apply(made.map((each) => ({ ...each, tolerate: ['ENODEV', 'ENETDOWN', 'EINVAL'] })));
		repaired.push(...missing);
	}
	return repaired;
}

function routeText({ dst, ifindex, source }: Pick<RouteSpec, 'dst' | 'ifindex' | 'source'>): string {
	return `${dst} ${ifindex} ${source ?? ''}`;
}
