/**
 * What the unit tests of kube-proxy's nftables back end and of its endpoint choice hold true (Kubernetes 1.36, pkg/proxy),
 * restated with services, addresses and words of our own. Titles name the test whose facts they carry.
 */
import { at, type Case, DRAINING, DYING, READY, service, slice, UNREADY } from './cases.ts';

const IP = '10.96.0.10';
const VIP = '198.51.100.20';
const EXTERNAL = '198.51.100.10';
const NODE = '192.168.50.1';
const WEB = [{ port: 80, protocol: 'TCP' as const, nodePort: 30080 }];
const balanced = (...ips: string[]) => ({ loadBalancer: { ingress: ips.map((ip) => ({ ip })) } });

/** A load balancer with every kind of address. */
function everywhere(name: string, more: Parameters<typeof service>[1] = {}) {
	return service(
		name,
		{ type: 'LoadBalancer', clusterIPs: [IP], externalIPs: [EXTERNAL], ports: WEB, ...more },
		balanced(VIP),
	);
}

const clusterIps: readonly Case[] = [
	{
		title: 'ClusterIPs lead to any endpoint, other ports of theirs are refused (TestClusterIPGeneral)',
		services: [
			service('one', { clusterIPs: ['10.96.0.41'], ports: [{ name: 'http', port: 80, protocol: 'TCP' }] }),
			service('two', {
				clusterIPs: ['10.96.0.42'],
				ports: [
					{ name: 'http', port: 80, protocol: 'TCP' },
					{ name: 'https', port: 443, protocol: 'TCP' },
					{ name: 'dns', port: 53, protocol: 'UDP' },
				],
			}),
		],
		slices: [
			slice('one', [at('podA')], [{ name: 'http', port: 8080, protocol: 'TCP' }]),
			slice(
				'two',
				[at('podB'), at('pod2')],
				[
					{ name: 'http', port: 8080, protocol: 'TCP' },
					{ name: 'https', port: 8443, protocol: 'TCP' },
					{ name: 'dns', port: 5353, protocol: 'UDP' },
				],
			),
		],
		rows: [
			['podB', '10.96.0.41 80', 'podA'],
			['pod', '10.96.0.41 80', 'podA*'],
			['elsewhere', '10.96.0.41 80', 'podA*', 'podA'],
			['node', '10.96.0.41 80', 'podA*'],
			['pod', '10.96.0.42 80', 'podB pod2'],
			['pod', '10.96.0.42 443', 'podB:8443 pod2:8443'],
			['elsewhere', '10.96.0.42 443', 'podB:8443* pod2:8443*', 'podB:8443 pod2:8443*'],
			['pod', '10.96.0.42 53/UDP', 'podB:5353 pod2:5353'],
			['pod', '10.96.0.42 53', 'reject (no such port)'],
			['pod', '10.96.0.41 443', 'reject (no such port)'],
			['outside', '10.96.0.41 8080', 'reject (no such port)'],
			['pod', '10.96.0.42 80/SCTP', 'reject (no such port)'],
			['pod', '10.96.0.41 ping', 'reject (no such port)'],
			['pod', '10.96.0.200 80', 'drop (unassigned address)'],
			['outside', '10.96.0.200 443', 'drop (unassigned address)'],
			['pod', '10.97.0.1 80', 'routed'],
		],
	},
	{
		title: 'nobody behind any address means a refusal at once (TestNoEndpointsReject)',
		services: [everywhere('web')],
		slices: [],
		rows: (['pod', 'node', 'elsewhere'] as const).flatMap((who) =>
			[`${IP} 80`, `${VIP} 80`, `${EXTERNAL} 80`, `${NODE} 30080`].map((to) => [who, to, 'reject'] as const),
		),
	},
	{
		title: 'endpoints that are not ready are nobody',
		services: [everywhere('web', { externalTrafficPolicy: 'Local' })],
		slices: [slice('web', [at('podA', UNREADY), at('pod2', DYING)])],
		rows: [
			['pod', `${IP} 80`, 'reject'],
			['elsewhere', `${VIP} 80`, 'reject'],
			['elsewhere', `${NODE} 30080`, 'reject'],
		],
	},
	{
		title: 'each family has its own endpoints',
		services: [service('web', { clusterIPs: [IP, 'fd96::10'], ports: [{ port: 80, protocol: 'TCP' }] })],
		slices: [
			slice('web', [at('podB')]),
			slice('web', [at('pod3', {}, 6)], [{ port: 9090, protocol: 'TCP' }], 'IPv6', '2'),
		],
		rows: [
			['pod', `${IP} 80`, 'podB'],
			['pod', 'fd96::10 80', 'pod3:9090'],
			['node', 'fd96::10 80', 'pod3:9090*'],
		],
	},
];

const externalPolicies: readonly Case[] = [
	{
		title: 'policy Cluster: everybody outside is served by everybody (TestExternalTrafficPolicyCluster)',
		services: [everywhere('web', { externalTrafficPolicy: 'Cluster' })],
		slices: [slice('web', [at('podB'), at('pod2')])],
		rows: [
			...[`${VIP} 80`, `${EXTERNAL} 80`, `${NODE} 30080`].flatMap((to) => [
				['elsewhere', to, 'podB* pod2*', 'podB pod2*'] as const,
				['node', to, 'podB* pod2*'] as const,
				['pod', to, 'podB* pod2*', 'podB pod2'] as const,
			]),
			['podB', `${VIP} 80`, 'podB* pod2*', 'podB* pod2'],
			['elsewhere', `${NODE} 30081`, 'routed'],
			['elsewhere', `${NODE} 30080/UDP`, 'routed'],
			['elsewhere', `${VIP} 443`, 'routed'],
		],
	},
	{
		title: 'policy Local: those outside are served here and keep their address (TestExternalTrafficPolicyLocal)',
		services: [everywhere('web', { externalTrafficPolicy: 'Local' })],
		slices: [slice('web', [at('podB'), at('pod2')])],
		rows: [
			...[`${VIP} 80`, `${EXTERNAL} 80`, `${NODE} 30080`].flatMap((to) => [
				['elsewhere', to, 'podB'] as const,
				['node3', to, 'podB'] as const,
				['pod3', to, 'podB'] as const,
				['node', to, 'podB* pod2*'] as const,
				['pod', to, 'podB pod2'] as const,
				['podB', to, 'podB* pod2'] as const,
			]),
			['elsewhere', `${IP} 80`, 'podB* pod2*', 'podB pod2*'],
		],
	},
	{
		title: 'policy Local without an endpoint here drops those outside, and serves all who are here (short-circuit)',
		services: [everywhere('web', { externalTrafficPolicy: 'Local' })],
		slices: [slice('web', [at('pod3'), at('pod2')])],
		rows: [`${VIP} 80`, `${EXTERNAL} 80`, `${NODE} 30080`].flatMap((to) => [
			['elsewhere', to, 'drop (no local endpoint)'] as const,
			['node', to, 'pod2* pod3*'] as const,
			['pod', to, 'pod2 pod3'] as const,
		]),
	},
	{
		title: 'the external policy counts for externalIPs of a ClusterIP service',
		services: [
			service('web', {
				clusterIPs: [IP],
				externalIPs: [EXTERNAL],
				ports: [{ port: 80, protocol: 'TCP' }],
				externalTrafficPolicy: 'Local',
			}),
		],
		slices: [slice('web', [at('podB'), at('pod2')])],
		rows: [
			['elsewhere', `${EXTERNAL} 80`, 'podB'],
			['pod', `${EXTERNAL} 80`, 'podB pod2'],
		],
	},
	{
		title: 'host network endpoints count as local ones of their node',
		services: [everywhere('web', { externalTrafficPolicy: 'Local' })],
		slices: [slice('web', [at('node'), at('node2')])],
		rows: [
			['elsewhere', `${NODE} 30080`, 'node'],
			['pod', `${NODE} 30080`, 'node node2'],
		],
	},
];

const internal = (policy: 'Cluster' | 'Local' | undefined) =>
	service('web', {
		clusterIPs: [IP],
		ports: [{ port: 80, protocol: 'TCP' }],
		...(policy && { internalTrafficPolicy: policy }),
	});

const internalPolicies: readonly Case[] = [
	{
		title: 'without an internal policy all endpoints serve (TestInternalTrafficPolicy)',
		services: [internal(undefined)],
		slices: [slice('web', [at('podA'), at('podB'), at('pod2')])],
		rows: [['podB', `${IP} 80`, 'podA podB* pod2']],
	},
	{
		title: 'internal policy Cluster: all endpoints serve (TestInternalTrafficPolicy)',
		services: [internal('Cluster')],
		slices: [slice('web', [at('podA'), at('podB'), at('pod2')])],
		rows: [['node', `${IP} 80`, 'podA* podB* pod2*']],
	},
	{
		title: 'internal policy Local: those of this node serve, whoever asks (TestInternalTrafficPolicy)',
		services: [internal('Local')],
		slices: [slice('web', [at('podA'), at('podB'), at('pod2')])],
		rows: [
			['podB', `${IP} 80`, 'podA podB*'],
			['node', `${IP} 80`, 'podA* podB*'],
			['elsewhere', `${IP} 80`, 'podA* podB*', 'podA podB'],
		],
	},
	{
		title: 'internal policy Local with endpoints elsewhere only drops (TestInternalTrafficPolicy)',
		services: [internal('Local')],
		slices: [slice('web', [at('pod2'), at('pod3')])],
		rows: [
			['pod', `${IP} 80`, 'drop (no local endpoint)'],
			['node', `${IP} 80`, 'drop (no local endpoint)'],
		],
	},
	{
		title: 'the internal policy says nothing about external addresses, nor the external one about ClusterIPs',
		services: [everywhere('web', { internalTrafficPolicy: 'Local', externalTrafficPolicy: 'Cluster' })],
		slices: [slice('web', [at('pod2')])],
		rows: [
			['pod', `${IP} 80`, 'drop (no local endpoint)'],
			['pod', `${VIP} 80`, 'pod2*', 'pod2'],
			['elsewhere', `${VIP} 80`, 'pod2*'],
		],
	},
];

/** [title, endpoints, what a pod gets at the ClusterIP, what an outsider gets at the VIP under policy Local] */
const terminating = (
	[
		[
			'ready ones hide draining ones',
			[at('podA', READY), at('podB', DRAINING), at('pod2', READY), at('pod3', DRAINING)],
			'podA* pod2',
			'podA',
		],
		[
			'the draining serve when nobody is ready',
			[at('podA', DRAINING), at('podB', DYING), at('pod2', DRAINING), at('pod3', UNREADY)],
			'podA* pod2',
			'podA',
		],
		[
			'draining here is better than ready elsewhere, for Local',
			[at('podA', DRAINING), at('pod2', READY)],
			'pod2',
			'podA',
		],
		['ready elsewhere and nothing here', [at('podB', DYING), at('pod2', READY)], 'pod2', 'drop (no local endpoint)'],
		['draining elsewhere and nothing here', [at('pod2', DRAINING)], 'pod2', 'drop (no local endpoint)'],
		[
			'those that do not serve are nobody',
			[at('podA', DYING), at('podB', UNREADY), at('pod2', DYING)],
			'reject',
			'reject',
		],
		['no endpoints', [], 'reject', 'reject'],
	] as const
).map(
	([title, endpoints, pod, outsider]): Case => ({
		title: `${title} (TestTerminatingEndpointsTrafficPolicyLocal and …Cluster)`,
		services: [everywhere('web', { externalTrafficPolicy: 'Local' })],
		slices: [slice('web', [...endpoints])],
		rows: [
			['pod', `${IP} 80`, pod],
			['elsewhere', `${VIP} 80`, outsider],
			['elsewhere', `${NODE} 30080`, outsider],
		],
	}),
);

const ipModes: readonly Case[] = (
	[
		[undefined, 'podB*', 'podB'],
		['VIP', 'podB*', 'podB'],
		['Proxy', 'routed', undefined],
	] as const
).map(([ipMode, expected, ours]) => ({
	title: `ipMode ${ipMode ?? 'not said'} (TestLoadBalancerIngressRouteTypeProxy)`,
	services: [
		service(
			'web',
			{ type: 'LoadBalancer', clusterIPs: [IP], ports: WEB },
			{ loadBalancer: { ingress: [{ ip: VIP, ...(ipMode && { ipMode }) }, { hostname: 'lb.example.org' }] } },
		),
	],
	slices: [slice('web', [at('podB')])],
	rows: [
		ours === undefined ? ['pod', `${VIP} 80`, expected] : ['pod', `${VIP} 80`, expected, ours],
		['elsewhere', `${NODE} 30080`, 'podB*', 'podB'],
	],
}));

const ranges = (...loadBalancerSourceRanges: string[]) => everywhere('web', { loadBalancerSourceRanges });
const behind = [slice('web', [at('podB')])];

const sourceRanges: readonly Case[] = [
	{
		title: 'source ranges close the VIP to all others, and no other address (TestLoadBalancer)',
		services: [ranges('203.0.113.0/24', ' 198.18.0.0/15 ')],
		slices: behind,
		rows: [
			['outside', `${VIP} 80`, 'podB*', 'podB'],
			['elsewhere', `${VIP} 80`, 'drop (source not allowed)'],
			['pod', `${VIP} 80`, 'drop (source not allowed)'],
			['node', `${VIP} 80`, 'drop (source not allowed)'],
			['elsewhere', `${EXTERNAL} 80`, 'podB*', 'podB'],
			['elsewhere', `${NODE} 30080`, 'podB*', 'podB'],
			['pod', `${IP} 80`, 'podB'],
		],
	},
	{
		title: 'a closed VIP drops even when nobody is behind it',
		services: [ranges('203.0.113.0/24')],
		slices: [],
		rows: [
			['elsewhere', `${VIP} 80`, 'drop (source not allowed)'],
			['outside', `${VIP} 80`, 'reject'],
		],
	},
	{
		title: 'a range with the node in it lets the node in, and pods not',
		services: [ranges('192.168.50.0/24')],
		slices: behind,
		rows: [
			['node', `${VIP} 80`, 'podB*'],
			['node3', `${VIP} 80`, 'podB*', 'podB'],
			['pod', `${VIP} 80`, 'drop (source not allowed)'],
		],
	},
	{
		title: 'a range of length 0 is no restriction, whatever stands beside it',
		services: [ranges('203.0.113.0/24', '0.0.0.0/0')],
		slices: behind,
		rows: [['elsewhere', `${VIP} 80`, 'podB*', 'podB']],
	},
	{
		title: 'ranges of the other family alone are no restriction',
		services: [ranges('2001:db8::/32')],
		slices: behind,
		rows: [['elsewhere', `${VIP} 80`, 'podB*', 'podB']],
	},
];

const zone = (name: string) => ({ hints: { forZones: [{ name }] } });
const node = (name: string) => ({ hints: { forNodes: [{ name }] } });
const both = (z: string, n: string) => ({ hints: { forZones: [{ name: z }], forNodes: [{ name: n }] } });
const plain = service('web', { clusterIPs: [IP], ports: [{ port: 80, protocol: 'TCP' }] });

/** [title, endpoints, answer to a pod, more of the world] */
const hints = (
	[
		['hints by zone choose those of our zone', [at('podB', zone('zone-1')), at('pod2', zone('zone-2'))], 'podB'],
		[
			'one endpoint without a hint switches hints off',
			[at('podB', zone('zone-1')), at('pod2', zone('zone-2')), at('pod3')],
			'podB pod2 pod3',
		],
		[
			'hints that name no zone of ours are ignored',
			[at('podB', zone('zone-2')), at('pod2', zone('zone-3'))],
			'podB pod2',
		],
		['hints by node choose those for our node', [at('podB', node('node-2')), at('pod2', node('node-a'))], 'pod2'],
		[
			'hints by node come before those by zone',
			[at('podB', both('zone-1', 'node-2')), at('pod2', both('zone-2', 'node-a'))],
			'pod2',
		],
		[
			'without one for our node those by zone count',
			[at('podB', both('zone-1', 'node-3')), at('pod2', both('zone-2', 'node-2'))],
			'podB',
		],
		[
			'one endpoint without a node hint leaves those by zone',
			[at('podB', zone('zone-1')), at('pod2', both('zone-2', 'node-a'))],
			'podB',
		],
		[
			'hints of endpoints that are not ready do not count',
			[at('podB', zone('zone-1')), at('pod2', zone('zone-2')), at('pod3', UNREADY)],
			'podB',
		],
		[
			'hints do not apply to the draining',
			[at('podB', { ...DRAINING, ...zone('zone-1') }), at('pod2', { ...DRAINING, ...zone('zone-2') })],
			'podB pod2',
		],
		[
			'a draining endpoint of our zone does not stand in for a ready one elsewhere',
			[at('podB', { ...DRAINING, ...zone('zone-1') }), at('pod2', { ...READY, ...zone('zone-2') })],
			'pod2',
		],
	] as const
).map(
	([title, endpoints, answer]): Case => ({
		title: `${title} (TestCategorizeEndpoints)`,
		services: [plain],
		slices: [slice('web', [...endpoints])],
		rows: [['pod', `${IP} 80`, answer]],
	}),
);

const otherChoices: readonly Case[] = [
	{
		title: 'a node without a zone has no hints by zone (TestCategorizeEndpoints)',
		services: [plain],
		slices: [slice('web', [at('podB', zone('zone-1')), at('pod2', zone('zone-2'))])],
		world: { node: { ...nodeWithout('zone') } },
		rows: [['pod', `${IP} 80`, 'podB pod2']],
	},
	{
		title: 'hints say nothing about Local policies (TestCategorizeEndpoints)',
		services: [everywhere('web', { internalTrafficPolicy: 'Local', externalTrafficPolicy: 'Local' })],
		slices: [slice('web', [at('podA', zone('zone-2')), at('podB', zone('zone-2')), at('pod2', zone('zone-1'))])],
		rows: [
			['pod', `${IP} 80`, 'podA* podB'],
			['elsewhere', `${VIP} 80`, 'podA podB'],
			['pod', `${VIP} 80`, 'pod2'],
		],
	},
	{
		title: 'an endpoint in two slices is one, and stays if one copy says so',
		services: [plain],
		slices: [
			slice('web', [at('podB', DRAINING)]),
			slice('web', [at('podB', READY), at('pod2', DRAINING)], undefined, 'IPv4', '2'),
		],
		rows: [['pod', `${IP} 80`, 'podB']],
	},
	{
		title: 'a named port has other numbers in other slices',
		services: [service('web', { clusterIPs: [IP], ports: [{ name: 'http', port: 80, protocol: 'TCP' }] })],
		slices: [
			slice('web', [at('podB')], [{ name: 'http', port: 8080, protocol: 'TCP' }]),
			slice('web', [at('pod2')], [{ name: 'http', port: 9090, protocol: 'TCP' }], 'IPv4', '2'),
			slice('web', [at('pod3')], [{ name: 'other', port: 8080, protocol: 'TCP' }], 'IPv4', '3'),
		],
		rows: [['pod', `${IP} 80`, 'podB pod2:9090']],
	},
	{
		title: 'addresses are read leniently (TestBadIPs)',
		services: [
			service('web', {
				clusterIPs: ['010.096.0.010'],
				externalIPs: ['::ffff:198.51.100.10'],
				ports: [{ port: 80, protocol: 'TCP' }],
			}),
		],
		slices: [slice('web', [{ ...at('podB'), addresses: ['10.244.001.012'] }])],
		rows: [
			['pod', `${IP} 80`, 'podB'],
			['node', `${EXTERNAL} 80`, 'podB*'],
		],
	},
];

function nodeWithout(_: 'zone') {
	return {
		name: 'node-a',
		addresses: ['192.168.50.1', 'fd50::1'],
		nodePortAddresses: ['192.168.50.1', 'fd50::1'],
		localAddresses: ['192.168.50.1', 'fd50::1'],
		podCidrs: ['10.244.1.0/24', 'fd10:244:1::/64'],
	};
}

export const KUBE_PROXY_CASES: readonly Case[] = [
	...clusterIps,
	...externalPolicies,
	...internalPolicies,
	...terminating,
	...ipModes,
	...sourceRanges,
	...hints,
	...otherChoices,
];
