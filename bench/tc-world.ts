/** The node that the tc figures are measured on: one client pod, 200 backend pods, services of any number. */

import { SCOPE } from '../test/lib/dataplane/rows.ts';
import type { BackendFixture, PodFixture, ServiceFixture, WorldFixture } from '../test/lib/dataplane/types.ts';

export type Family = 4 | 6;
/** Where backends are: on many local pods, all on one, or on another node. */
export type BackendPlace = 'local' | 'onepod' | 'tunnel' | 'direct';

const PODS = 200;
const TCP = 6;
const PLACES: readonly BackendPlace[] = ['local', 'onepod', 'tunnel', 'direct'];
export const SERVICE_PORT = 80;
export const CLIENT = { device: 'pod1', ipv4: '10.244.1.11', ipv6: 'fd10:244:1::b', mac: '02:00:00:01:00:01' } as const;
export const OUTSIDE = { ipv4: '203.0.113.7', ipv6: '2001:db8:7::7', mac: '02:00:00:00:50:fe' } as const;
export const NODE_ADDRESS = { ipv4: '192.168.50.1', ipv6: 'fd50::1' } as const;

/** The n-th pod, from 1; pod 1 is the client. */
export function pod(n: number): PodFixture {
	const byte = n.toString(16).padStart(2, '0');
	return {
		index: n,
		device: `pod${n}`,
		ipv4: `10.244.1.${10 + n}`,
		ipv6: `fd10:244:1::${(10 + n).toString(16)}`,
		mac: `02:00:00:01:00:${byte}`,
		hostMac: `02:00:00:02:00:${byte}`,
	};
}

/** Address of the n-th service, from 0. Each place of backends has a service range of its own. */
export function serviceAddress(family: Family, place: BackendPlace, n: number): string {
	const block = PLACES.indexOf(place);
	return family === 4 ? `10.96.${block * 64 + (n >> 8)}.${n & 255}` : `fd96:${block}::${(n + 1).toString(16)}`;
}

function backend(family: Family, place: BackendPlace, service: number, n: number): BackendFixture {
	const at = service * 10 + n;
	const last = place === 'onepod' ? 12 : 12 + (at % (PODS - 1));
	const node = place === 'tunnel' ? 2 : place === 'direct' ? 3 : 1;
	const port = place === 'onepod' ? 8000 + (at % 50_000) : 8080;
	const address = family === 4 ? `10.244.${node}.${last}` : `fd10:244:${node}::${last.toString(16)}`;
	return { address, port, local: node === 1 };
}

/** `count` services of a place: one has 100 backends, many have 10 each. */
export function servicesOf(family: Family, place: BackendPlace, count: number): ServiceFixture[] {
	const backends = count === 1 ? 100 : 10;
	return Array.from({ length: count }, (_, i) => ({
		address: serviceAddress(family, place, i),
		port: SERVICE_PORT,
		proto: TCP,
		external: SCOPE.CLUSTER !== 0,
		backends: Array.from({ length: backends }, (_unused, n) => backend(family, place, i, n)),
	}));
}

export function benchWorld(services: readonly ServiceFixture[]): WorldFixture {
	return {
		...NODE_ADDRESS,
		podCidr4: '10.244.1.0/24',
		podCidr6: 'fd10:244:1::/64',
		serviceCidrs: ['10.96.0.0/16', 'fd96::/16'],
		clusterCidrs: ['10.244.0.0/16', 'fd10:244::/32'],
		nonMasqueradeCidrs: [],
		pods: Array.from({ length: PODS }, (_, i) => pod(i + 1)),
		nodes: [
			{
				index: 2,
				ipv4: '192.168.50.2',
				ipv6: 'fd50::2',
				podCidr4: '10.244.2.0/24',
				podCidr6: 'fd10:244:2::/64',
				routing: 'tunnel',
				mtu: 1450,
			},
			{
				index: 3,
				ipv4: '192.168.50.3',
				ipv6: 'fd50::3',
				podCidr4: '10.244.3.0/24',
				podCidr6: 'fd10:244:3::/64',
				routing: 'direct',
				mtu: 1500,
			},
		],
		services,
		mapSizes: { backends: 262_144 },
		config: { event_rate: 1_000_000, has_kern_ctx: 1, has_csum_ipv6: 1, has_coarse_time: 1 },
	};
}
