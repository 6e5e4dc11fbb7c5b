/** The node that the XDP figures are measured on: 16 other nodes, services at external addresses as the agent programs them. */
import { XdpServiceLimits } from '../native/abi/generated.ts';
import type { NodeFixture, ServiceFixture, WorldFixture } from '../test/lib/dataplane/types.ts';
import { dsrTable } from '../test/lib/xdp-service-rows.ts';

const TCP = 6;
const NODES = 16;
/** Of 16 slots, for the table of 10 and of 100 backends. */
const CHUNKS = { many: 128, one: 1024 } as const;
const BACKEND_PORT = 8080;
export const SERVICE_PORT = 80;
export const CLIENT = { ipv4: '203.0.113.7', mac: '02:00:00:00:50:fe' } as const;
export const NODE = { ipv4: '192.168.50.1', ipv6: 'fd50::1' } as const;
export const UPLINK_MAC = '02:00:00:00:50:01';
/** An address that the uplink carries and that is nobody's here. */
export const FOREIGN = '192.0.2.77';

function node(n: number): NodeFixture {
	return {
		index: n,
		ipv4: `192.168.50.${10 + n}`,
		ipv6: `fd50::${(16 + n).toString(16)}`,
		podCidr4: `10.244.${n}.0/24`,
		podCidr6: `fd10:244:${n.toString(16)}::/64`,
		routing: 'direct',
		mtu: 1500,
	};
}

/** Address of the n-th service, from 0. */
export function serviceAddress(n: number): string {
	return `198.51.${n >> 8}.${n & 255}`;
}

/** @param changing  the last backend has just been added */
function service(n: number, count: 10 | 100, { dsr, changing }: BenchOptions): ServiceFixture {
	const backends = Array.from({ length: count }, (_, i) => {
		const at = n * count + i;
		return { address: `10.244.${2 + (at % NODES)}.${1 + ((at >> 4) % 250)}`, port: BACKEND_PORT };
	});
	const address = { address: serviceAddress(n), port: SERVICE_PORT, proto: TCP, external: true };
	const tableOf = (size: number): number[] => dsrTable({ backends: backends.slice(0, size), proto: TCP });
	return {
		...address,
		backends,
		...(dsr && { table: tableOf(count) }),
		...(changing && { previous: tableOf(count - 1) }),
	};
}

export interface BenchOptions {
	readonly dsr: boolean;
	/** All sets change: there are two tables of each. */
	readonly changing: boolean;
	/** Of each service. Default: one service has 100, many have 10 each. */
	readonly backends?: 10 | 100 | undefined;
}

export function benchWorld(services: number, options: BenchOptions): WorldFixture {
	const { dsr, changing, backends = services === 1 ? 100 : 10 } = options;
	const chunks = Math.max(CHUNKS.one, CHUNKS.many * services) * (changing ? 2 : 1);
	return {
		...NODE,
		podCidr4: '10.244.1.0/24',
		podCidr6: 'fd10:244:1::/64',
		serviceCidrs: [],
		clusterCidrs: ['10.244.0.0/16', 'fd10:244::/32'],
		nonMasqueradeCidrs: [],
		pods: [],
		nodes: Array.from({ length: NODES }, (_, i) => node(2 + i)),
		services: Array.from({ length: services }, (_, n) => service(n, backends, options)),
		mapSizes: {
			backends: 262_144,
			slots: dsr ? chunks : 32_768,
			nat: 262_144,
			xdp_svc: dsr ? XdpServiceLimits.HOMES : 64,
		},
		config: { snat_port_min: 32_768, snat_port_max: 65_535, has_coarse_time: 1, event_rate: 1_000_000 },
	};
}
