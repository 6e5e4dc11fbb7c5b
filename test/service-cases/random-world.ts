/** Random Services and EndpointSlices of every kind, inside the geography of this folder. */
import fc from 'fast-check';
import type { RulesWorld } from '../lib/service-rules.ts';
import type { RawEndpoint, RawService, RawSlice } from '../lib/service-rules-objects.ts';
import { EMPTY_WORLD, NODE, PLACES, type PlaceName, ZONE } from './geography.ts';

/** Where endpoints live, and the node that their slices name. */
const HOMES: readonly (readonly [PlaceName, string | undefined])[] = [
	['podA', NODE],
	['podB', NODE],
	['node', NODE],
	['gone', NODE],
	['pod2', 'node-2'],
	['pod2b', 'node-2'],
	['node2', 'node-2'],
	['pod3', 'node-3'],
	['world', undefined],
	['native', undefined],
	['nobody', 'node-9'],
];

const PORTS = [80, 53, 443, 5000] as const;
const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;
const EXTERNAL = { 4: ['198.51.100.10', '198.51.100.11'], 6: ['2001:db8:100::10', '2001:db8:100::11'] } as const;
const BALANCER = { 4: ['198.51.100.20', '198.51.100.21'], 6: ['2001:db8:100::20', '2001:db8:100::21'] } as const;
const RANGES = [
	'203.0.113.0/24',
	' 203.0.113.0/29 ',
	'10.244.1.0/28',
	'192.168.50.0/24',
	'198.51.99.9/32',
	'2001:db8:7::/48',
	'fd10:244:1::b/128',
	'fd50::/64',
	'0.0.0.0/0',
	'::/0',
] as const;

const rarely = (n: number): fc.Arbitrary<boolean> => fc.nat(n).map((i) => i === n);
const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined });

const conditions = fc.oneof(
	{ weight: 8, arbitrary: fc.constant({ ready: true, serving: true, terminating: false }) },
	{ weight: 2, arbitrary: fc.constant({ ready: false, serving: true, terminating: true }) },
	{ weight: 1, arbitrary: fc.constant({ ready: false, serving: false, terminating: false }) },
	{
		weight: 2,
		arbitrary: fc.record({
			ready: maybe(fc.boolean()),
			serving: maybe(fc.boolean()),
			terminating: maybe(fc.boolean()),
		}),
	},
);

const endpointSeed = fc.record({
	home: fc.nat(HOMES.length - 1),
	conditions,
	zone: fc.constantFrom('', '', '', ZONE, 'zone-2'),
	hintNode: fc.constantFrom('', '', '', '', NODE, 'node-2'),
	unhinted: rarely(8),
});
type EndpointSeed = typeof endpointSeed extends fc.Arbitrary<infer T> ? T : never;

const sliceSeed = fc.record({
	families: fc.constantFrom([4, 6], [4, 6], [4, 6], [4], [6], [0]),
	endpoints: fc.array(endpointSeed, { maxLength: 4, size: 'max' }),
	/** Ports of the service that the slice leaves out. */
	without: rarely(5),
	targetPort: fc.constantFrom(8080, 8080, 9090),
	odd: fc.constantFrom('', '', '', '', '', '', '', 'headless', 'orphan', 'namespace'),
	/** All endpoints of the slice carry hints of this kind. */
	hints: fc.constantFrom('', '', 'zone', 'node', 'both'),
});
type SliceSeed = typeof sliceSeed extends fc.Arbitrary<infer T> ? T : never;

const portSeed = fc.record({
	port: fc.constantFrom(...PORTS),
	protocol: fc.constantFrom(...PROTOCOLS, 'TCP', 'UDP'),
	nodePort: fc.boolean(),
});

const policy = maybe(fc.constantFrom<'Cluster' | 'Local'>('Cluster', 'Local'));

const serviceSeed = fc.record({
	type: fc.constantFrom('ClusterIP', 'NodePort', 'LoadBalancer', 'NodePort', 'LoadBalancer', undefined),
	odd: fc.oneof(
		{ weight: 16, arbitrary: fc.constant('') },
		{ weight: 1, arbitrary: fc.constantFrom('headless', 'external-name', 'other-proxy', 'headless-label') },
	),
	families: fc.constantFrom([4, 6], [4, 6], [4], [6]),
	ports: fc.uniqueArray(portSeed, { minLength: 1, maxLength: 3, selector: (p) => `${p.port}/${p.protocol}` }),
	externalIps: fc.constantFrom(0, 0, 0, 1, 2, 3),
	ingress: fc.array(fc.constantFrom('VIP', 'VIP', 'Proxy', undefined, 'hostname'), { maxLength: 2 }),
	ranges: fc.oneof(fc.constant([]), fc.uniqueArray(fc.constantFrom(...RANGES), { maxLength: 3 })),
	internal: policy,
	external: policy,
	affinity: fc.constantFrom(undefined, 'None', 'ClientIP'),
	timeout: maybe(fc.constantFrom(3600, 86400)),
	algorithm: fc.constantFrom(undefined, undefined, undefined, 'maglev', 'least-conn', 'random', 'nonsense'),
	age: fc.nat(3),
	slices: fc.array(sliceSeed, { maxLength: 4, size: 'max' }),
});
type ServiceSeed = typeof serviceSeed extends fc.Arbitrary<infer T> ? T : never;

export const randomWorld: fc.Arbitrary<RulesWorld> = fc
	.record({
		services: fc.array(serviceSeed, { minLength: 1, maxLength: 3, size: 'max' }),
		everyAddress: rarely(4),
		zone: fc.constantFrom(ZONE, ZONE, ZONE, ''),
		externalIps: rarely(8),
		lbAlgorithm: fc.constantFrom(undefined, undefined, undefined, 'random', 'maglev', 'least-conn'),
		dsr: rarely(5),
	})
	.map(({ services, everyAddress, zone, externalIps, lbAlgorithm, dsr }) => ({
		...EMPTY_WORLD,
		node: {
			...EMPTY_WORLD.node,
			zone,
			nodePortAddresses: everyAddress ? EMPTY_WORLD.node.localAddresses : EMPTY_WORLD.node.addresses,
		},
		services: services.map(toService),
		slices: services.flatMap((seed, n) =>
			seed.slices.flatMap((slice, s) => slice.families.map((family) => toSlice(seed, n, slice, s, family))),
		),
		...(externalIps && { externalIps: false }),
		...(lbAlgorithm !== undefined && { lbAlgorithm: lbAlgorithm as 'random' }),
		...(dsr && { dsr: true }),
	}));

/** Every second service is one that direct server return serves. */
export function forDirectReturn(service: RawService, n: number): RawService {
	if (n % 2 === 1) return service;
	const { externalTrafficPolicy, sessionAffinity, loadBalancerSourceRanges, ...spec } = service.spec;
	return { ...service, metadata: { ...service.metadata, annotations: {} }, spec };
}

const nameOf = (n: number): string => `svc-${n}`;
const portName = (seed: ServiceSeed, p: number): { name?: string } =>
	seed.ports.length === 1 ? {} : { name: `p${p}` };

/** ClusterIPs of service number n. */
export const CLUSTER_IPS = {
	4: (n: number) => `10.96.0.${10 + n}`,
	6: (n: number) => `fd96::${(0x10 + n).toString(16)}`,
} as const;

function typeOf(seed: ServiceSeed): RawService['spec']['type'] {
	if (seed.odd === 'external-name') return 'ExternalName';
	return seed.type as RawService['spec']['type'];
}

function toService(seed: ServiceSeed, n: number): RawService {
	const type = typeOf(seed);
	const ips = seed.odd === 'headless' ? ['None'] : seed.families.map((family) => CLUSTER_IPS[family as 4 | 6](n));
	const opensNodePorts = type === 'NodePort' || type === 'LoadBalancer';
	const labels: Record<string, string> = {
		...(seed.odd === 'other-proxy' && { 'service.kubernetes.io/service-proxy-name': 'other' }),
		...(seed.odd === 'headless-label' && { 'service.kubernetes.io/headless': '' }),
	};
	// Some addresses are claimed by several services: the oldest gets them.
	const shared = n === 2 ? 0 : n;
	return {
		apiVersion: 'v1',
		kind: 'Service',
		metadata: {
			name: nameOf(n),
			namespace: 'default',
			labels,
			...(seed.age > 0 && { creationTimestamp: `2026-01-0${seed.age}T00:00:00Z` }),
			...(seed.algorithm && { annotations: { 'fairlead.dev/lb-algorithm': seed.algorithm } }),
		},
		spec: {
			...(type && { type }),
			clusterIP: ips[0] ?? '',
			clusterIPs: ips,
			externalIPs: [4, 6].flatMap((family) => {
				const own = EXTERNAL[family as 4 | 6][shared % 2] ?? '';
				return (seed.externalIps & 1 && family === 4) || (seed.externalIps & 2 && family === 6) ? [own] : [];
			}),
			ports: seed.ports.map((p, i) => ({
				...portName(seed, i),
				port: p.port,
				protocol: p.protocol,
				...(opensNodePorts && p.nodePort && { nodePort: 30000 + n * 10 + i }),
			})),
			...(seed.internal && { internalTrafficPolicy: seed.internal }),
			...(seed.external && { externalTrafficPolicy: seed.external }),
			...(seed.affinity && { sessionAffinity: seed.affinity as 'ClientIP' }),
			...(seed.timeout && { sessionAffinityConfig: { clientIP: { timeoutSeconds: seed.timeout } } }),
			...(type === 'LoadBalancer' && { loadBalancerSourceRanges: [...seed.ranges] }),
		},
		...(type === 'LoadBalancer' && { status: { loadBalancer: { ingress: ingressOf(seed, shared) } } }),
	};
}

type Ingress = NonNullable<NonNullable<NonNullable<RawService['status']>['loadBalancer']>['ingress']>;

function ingressOf(seed: ServiceSeed, n: number): Ingress {
	return seed.ingress.flatMap((mode, i): Ingress => {
		if (mode === 'hostname') return [{ hostname: 'lb.example.org' }];
		return ([4, 6] as const).map((family) => ({
			ip: BALANCER[family][(n + i) % 2] ?? '',
			...(mode && { ipMode: mode as 'VIP' | 'Proxy' }),
		}));
	});
}

function toSlice(seed: ServiceSeed, n: number, slice: SliceSeed, s: number, family: number): RawSlice {
	const labels: Record<string, string> = {
		...(slice.odd !== 'orphan' && { 'kubernetes.io/service-name': nameOf(n) }),
		...(slice.odd === 'headless' && { 'service.kubernetes.io/headless': '' }),
	};
	return {
		apiVersion: 'discovery.k8s.io/v1',
		kind: 'EndpointSlice',
		metadata: {
			name: `${nameOf(n)}-${s}-${family}`,
			namespace: slice.odd === 'namespace' ? 'elsewhere' : 'default',
			labels,
		},
		addressType: family === 0 ? 'FQDN' : family === 4 ? 'IPv4' : 'IPv6',
		ports: seed.ports
			.map((p, i) => ({ ...portName(seed, i), protocol: p.protocol, port: slice.targetPort + i }))
			.filter((_, i) => !(slice.without && i === 0)),
		endpoints: slice.endpoints.map((each) => toEndpoint(each, slice.hints, family)),
	};
}

function toEndpoint(seed: EndpointSeed, hinted: string, family: number): RawEndpoint {
	const [place, nodeName] = HOMES[seed.home] ?? ['podA', NODE];
	const zone = seed.zone || (hinted === 'zone' || hinted === 'both' ? ZONE : '');
	const node = seed.hintNode || (hinted === 'node' || hinted === 'both' ? NODE : '');
	const hints = seed.unhinted
		? {}
		: {
				...(zone && { forZones: [{ name: zone }, { name: 'zone-3' }] }),
				...(node && { forNodes: [{ name: node }] }),
			};
	const conditions = Object.fromEntries(Object.entries(seed.conditions).filter(([, value]) => value !== undefined));
	return {
		addresses: [family === 0 ? 'backend.example.org' : PLACES[place][family === 4 ? 0 : 1]],
		conditions,
		...(nodeName && { nodeName }),
		...(Object.keys(hints).length > 0 && { hints }),
	};
}
