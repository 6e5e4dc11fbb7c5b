/**
 * Random services of a cluster of two nodes, and random changes of them. Everybody has a number, and each kind of address belongs to a number:
 * a change may give it to another service.
 */
import { CLIENT } from '../lib/cluster.ts';
import { ECHO_PORT, HOST_ECHO_PORT } from '../lib/echo-cluster.ts';
import type { Random } from '../lib/packet/mutate.ts';
import type { RawEndpoint, RawService, RawSlice } from '../lib/service-rules-objects.ts';

export type NodeIndex = 1 | 2;
export const NODES = [1, 2] as const;
export const FAMILIES = [4, 6] as const;
export type FamilyNumber = (typeof FAMILIES)[number];
export const ZONES = { 1: 'zone-1', 2: 'zone-2' } as const;
export const PORTS = { TCP: 80, UDP: 53 } as const;
export const PROTOCOLS = ['TCP', 'UDP'] as const;

export const clusterIp = (n: number, f: FamilyNumber): string => (f === 4 ? `10.96.2.${n}` : `fd00:96::${200 + n}`);
/** Those of node `i` lead to it. */
export const vip = (n: number, i: NodeIndex, f: FamilyNumber): string =>
	f === 4 ? `172.29.${i}.${n}` : `fd00:29:${i}::${n}`;
export const externalIp = (n: number, i: NodeIndex, f: FamilyNumber): string =>
	f === 4 ? `172.28.${i}.${n}` : `fd00:28:${i}::${n}`;
export const nodePort = (n: number, protocol: 'TCP' | 'UDP'): number => 31_500 + n * 2 + PROTOCOLS.indexOf(protocol);

/** Where an endpoint may be. */
export interface Home {
	readonly name: string;
	readonly node: NodeIndex;
	readonly kind: 'pod' | 'host';
	/** IPv4, IPv6. */
	readonly addresses: readonly [string, string];
}

export interface Objects {
	readonly services: readonly RawService[];
	readonly slices: readonly RawSlice[];
}

const CONDITIONS = [
	{ ready: true, serving: true, terminating: false },
	{ ready: true, serving: true, terminating: false },
	{ ready: true, serving: true, terminating: false },
	{ ready: false, serving: true, terminating: true },
	{ ready: false, serving: false, terminating: false },
] as const;
/** '' = no annotation. */
const ALGORITHMS = ['', '', 'random', 'maglev', 'least-conn'] as const;
const POLICIES = ['Cluster', 'Cluster', 'Local'] as const;
const AFFINITIES = ['None', 'None', 'ClientIP'] as const;
const RANGES = [[], [], [], [`${CLIENT.v4}/32`, `${CLIENT.v6}/128`], ['10.244.1.0/24', 'fd00:244:1::/64']];
const HINTS = ['', '', '', 'zones', 'nodes'] as const;
type Hints = (typeof HINTS)[number];

const oneIn = (random: Random, n: number): boolean => random.next(n) === 0;

function annotationsOf(random: Random): Record<string, string> {
	const algorithm = random.pick(ALGORITHMS);
	return algorithm === '' ? {} : { 'fairlead.dev/lb-algorithm': algorithm };
}

/** Service `name` with all kinds of addresses of number `n`. */
function randomService(random: Random, name: string, n: number): RawService {
	return {
		apiVersion: 'v1',
		kind: 'Service',
		metadata: { name, namespace: 'default', annotations: annotationsOf(random) },
		spec: {
			type: 'LoadBalancer',
			clusterIP: clusterIp(n, 4),
			clusterIPs: FAMILIES.map((f) => clusterIp(n, f)),
			externalIPs: NODES.flatMap((i) => FAMILIES.map((f) => externalIp(n, i, f))),
			ports: PROTOCOLS.map((protocol) => ({
				name: protocol.toLowerCase(),
				protocol,
				port: PORTS[protocol],
				nodePort: nodePort(n, protocol),
			})),
			internalTrafficPolicy: random.pick(POLICIES),
			externalTrafficPolicy: random.pick(POLICIES),
			sessionAffinity: random.pick(AFFINITIES),
			loadBalancerSourceRanges: random.pick(RANGES),
		},
		status: { loadBalancer: { ingress: NODES.flatMap((i) => FAMILIES.map((f) => ({ ip: vip(n, i, f) }))) } },
	};
}

/** Its slices: pods and hosts listen on different ports. @param keeps  whether the endpoint of a home stays as `before` has it */
function randomSlices(
	random: Random,
	name: string,
	homes: readonly Home[],
	before: readonly RawSlice[] = [],
	keeps = (): boolean => false,
): RawSlice[] {
	const hints = random.pick(HINTS);
	const chosen = homes.map((home) => ({ home, kept: keeps(), isIn: oneIn(random, 3) }));
	return (['pod', 'host'] as const).flatMap((kind) =>
		FAMILIES.map((f): RawSlice => {
			const former = before.find(({ metadata }) => metadata.name === `${name}-${kind}-${f}`)?.endpoints ?? [];
			const endpoints = chosen.flatMap(({ home, kept, isIn }) => {
				if (home.kind !== kind) return [];
				const address = home.addresses[f === 4 ? 0 : 1];
				if (kept) return former.filter(({ addresses }) => addresses[0] === address);
				return isIn ? [randomEndpoint(random, home, address, hints)] : [];
			});
			const port = kind === 'pod' ? ECHO_PORT : HOST_ECHO_PORT;
			return {
				apiVersion: 'discovery.k8s.io/v1',
				kind: 'EndpointSlice',
				metadata: {
					name: `${name}-${kind}-${f}`,
					namespace: 'default',
					labels: { 'kubernetes.io/service-name': name },
				},
				addressType: `IPv${f}`,
				ports: PROTOCOLS.map((protocol) => ({ name: protocol.toLowerCase(), protocol, port })),
				endpoints,
			};
		}),
	);
}

function randomEndpoint(random: Random, { node }: Home, address: string, hints: Hints): RawEndpoint {
	const near = random.pick(NODES);
	const hint = hints === 'zones' ? { forZones: [{ name: ZONES[near] }] } : { forNodes: [{ name: `node${near}` }] };
	return {
		addresses: [address],
		nodeName: `node${node}`,
		conditions: random.pick(CONDITIONS),
		...(hints !== '' && !oneIn(random, 8) && { hints: hint }),
	};
}

export function randomObjects(random: Random, count: number, homes: readonly Home[]): Objects {
	const names = Array.from({ length: count }, (_, i) => `random-${i + 1}`);
	return {
		services: names.map((name, i) => randomService(random, name, i + 1)),
		slices: names.flatMap((name) => randomSlices(random, name, homes)),
	};
}

/** The same after a while: some are as they were, some have gone or come back under another name. */
export function changedRandomly(random: Random, { services, slices }: Objects, homes: readonly Home[]): Objects {
	const after: { services: RawService[]; slices: RawSlice[] } = { services: [], slices: [] };
	services.forEach((service, i) => {
		const { name } = service.metadata;
		const own = slices.filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === name);
		const fate = random.pick(['stays', 'goes', 'changes', 'changes', 'changes', 'changes', 'changes', 'changes']);
		if (fate === 'goes') {
			if (oneIn(random, 2)) after.slices.push(...own);
			if (oneIn(random, 2)) return;
			after.services.push(randomService(random, `${name}-again`, i + 1));
			after.slices.push(...randomSlices(random, `${name}-again`, homes));
			return;
		}
		after.services.push(fate === 'stays' ? service : changedService(random, service));
		const keeps = (): boolean => oneIn(random, 2);
		const replaced = fate === 'changes' && !oneIn(random, 4);
		after.slices.push(...(replaced ? randomSlices(random, name, homes, own, keeps) : own));
	});
	return { ...after, services: exchanged(random, after.services) };
}

function changedService(random: Random, service: RawService): RawService {
	const { metadata, status, spec } = service;
	const type = random.pick(['LoadBalancer', 'LoadBalancer', 'LoadBalancer', 'NodePort', 'ClusterIP'] as const);
	const lost = random.pick(['', '', '', '', 'TCP', 'UDP']);
	const ports = (spec.ports ?? []).filter(({ protocol }) => protocol !== lost);
	return {
		...service,
		metadata: oneIn(random, 4) ? { ...metadata, annotations: annotationsOf(random) } : metadata,
		spec: {
			...spec,
			type,
			ports: type === 'ClusterIP' ? ports.map(({ nodePort: _, ...port }) => port) : ports,
			...(oneIn(random, 3) && { internalTrafficPolicy: random.pick(POLICIES) }),
			...(oneIn(random, 3) && { externalTrafficPolicy: random.pick(POLICIES) }),
			...(oneIn(random, 4) && { sessionAffinity: random.pick(AFFINITIES) }),
			...(oneIn(random, 4) && { loadBalancerSourceRanges: random.pick(RANGES) }),
		},
		...(status && { status: type === 'LoadBalancer' ? status : { loadBalancer: {} } }),
	};
}

/** Two of them have each other's VIPs, two each other's externalIPs, two each other's NodePorts. */
function exchanged(random: Random, services: readonly RawService[]): RawService[] {
	const result = [...services];
	const exchange = (give: (to: RawService, from: RawService) => RawService): void => {
		const [a, b] = [random.next(result.length), random.next(result.length)];
		const [first, second] = [result[a], result[b]];
		if (first === undefined || second === undefined || a === b) return;
		result[a] = give(first, second);
		result[b] = give(second, first);
	};
	exchange((to, { status }) => ({ ...to, ...(to.spec.type === 'LoadBalancer' && status && { status }) }));
	exchange((to, { spec }) => ({ ...to, spec: { ...to.spec, externalIPs: spec.externalIPs ?? [] } }));
	exchange((to, { spec }) => {
		const numberOf = (name?: string) => (spec.ports ?? []).find((port) => port.name === name)?.nodePort;
		const ports = (to.spec.ports ?? []).map(({ nodePort: own, ...port }) => {
			const number = own === undefined ? undefined : numberOf(port.name);
			return { ...port, ...(number !== undefined && { nodePort: number }) };
		});
		return { ...to, spec: { ...to.spec, ports } };
	});
	return result;
}
