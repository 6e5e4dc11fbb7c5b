/**
 * What the Kubernetes policy suite asks of NetworkPolicy (48 connectivity cases), restated as data: which of nine pods reach
 * which on which port, before and after changes. Numbers in docs/policy.md refer to the rows of the semantics table.
 */
import { type MutableWorld, type PolicyCase, policyCase, setNetworkPolicy } from '../lib/policy-world.ts';

type Labels = Record<string, string>;
const pods = (labels: Labels) => ({ podSelector: { matchLabels: labels } });
const pod = (name: string) => pods({ pod: name });
const namespaces = (labels: Labels) => ({ namespaceSelector: { matchLabels: labels } });
const namespace = (name: string) => namespaces({ ns: name });
const both = (ns: object, own: object) => ({ ...ns, ...own });
const expression = (key: string, operator: string, ...values: string[]) => ({
	matchExpressions: [{ key, operator, ...(values.length > 0 ? { values } : {}) }],
});
const port = (number: number | string, protocol = 'TCP') => ({ port: number, protocol });
const serve = (number: number, protocol = 'TCP') => port(`serve-${number}-${protocol.toLowerCase()}`, protocol);
const ingress = (...from: object[]) => ({ policyTypes: ['Ingress'], ingress: [{ from }] });
const egress = (...to: object[]) => ({ policyTypes: ['Egress'], egress: [{ to }] });
const CLOSED_IN = { podSelector: {}, policyTypes: ['Ingress'] };
const CLOSED_OUT = { podSelector: {}, policyTypes: ['Egress'] };
const put = (name: string, spec: object) => (world: MutableWorld) => setNetworkPolicy(world, name, spec);
const all =
	(...changes: ((world: MutableWorld) => void)[]) =>
	(world: MutableWorld) => {
		for (const change of changes) change(world);
	};
const relabelPod = (name: string, labels: Labels) => (world: MutableWorld) => {
	const old = world.pods.get(name);
	if (old !== undefined) world.pods.set(name, { ...old, labels: { ...old.labels, ...labels } });
};
const relabelNamespace = (name: string, labels: Labels) => (world: MutableWorld) =>
	void world.namespaces.set(name, { name, labels: { ns: name, ...labels } });
const removePolicy = (name: string) => (world: MutableWorld) => void world.networkPolicies.delete(name);
/** An ipBlock of one pod of the usual world, IPv4. */
const only = (n: number, p: number) => `10.244.${n}.${p}/32`;

const basic: readonly PolicyCase[] = [
	policyCase('a policy without ingress rules closes the pods of its namespace to everybody', put('x/p', CLOSED_IN), [
		'deny * > x/*',
	]),
	policyCase(
		'a policy of both directions without rules cuts a namespace off',
		put('x/p', { podSelector: {}, policyTypes: ['Ingress', 'Egress'] }),
		['deny x/* > *', 'deny * > x/*'],
	),
	policyCase('a policy of egress without rules lets nothing out and everything in', put('x/p', CLOSED_OUT), [
		'deny x/* > *',
	]),
	policyCase(
		'a pod selector of a peer means pods of the own namespace',
		put('x/p', { podSelector: {}, ...ingress(pod('a')) }),
		['deny * > x/*', 'allow x/a > x/*'],
	),
	policyCase('a rule for one target isolates that target only', put('x/p', { ...pod('a'), ...ingress(pod('b')) }), [
		'deny * > x/a',
		'allow x/b > x/a',
	]),
	policyCase(
		'an empty namespace selector means all pods of all namespaces',
		put('x/p', { ...pod('a'), ...ingress({ namespaceSelector: {} }) }),
		[],
	),
	policyCase(
		'a namespace selector alone admits other namespaces and not the own one',
		put('x/p', { ...pod('a'), ...ingress(namespace('y')) }),
		['deny * > x/a', 'allow y/* > x/a'],
	),
	policyCase(
		'a pod expression admits every value in its list',
		put('x/p', { ...pod('a'), ...ingress({ podSelector: expression('pod', 'In', 'b', 'q') }) }),
		['deny * > x/a', 'allow x/b > x/a'],
	),
	policyCase(
		'a namespace expression admits every value in its list',
		put('x/p', { ...pod('a'), ...ingress({ namespaceSelector: expression('ns', 'In', 'y', 'q') }) }),
		['deny * > x/a', 'allow y/* > x/a'],
	),
	policyCase(
		'a namespace that lacks the key satisfies NotIn',
		all(
			relabelNamespace('z', { team: 'red' }),
			put('x/p', { ...pod('a'), ...ingress({ namespaceSelector: expression('team', 'NotIn', 'red') }) }),
		),
		['deny z/* > x/a'],
	),
	policyCase(
		'two peers of a rule are alternatives',
		put('x/p', { ...pod('a'), ...ingress(namespace('y'), pod('b')) }),
		['deny * > x/a', 'allow y/*,x/b > x/a'],
	),
	policyCase(
		'two selectors in one peer must both hold',
		put('x/p', { ...pod('a'), ...ingress(both(namespace('y'), pod('b'))) }),
		['deny * > x/a', 'allow y/b > x/a'],
	),
	policyCase(
		'expressions on namespaces and pods combine in one peer',
		put('x/p', {
			...pod('a'),
			...ingress({ namespaceSelector: expression('ns', 'NotIn', 'x'), podSelector: expression('pod', 'In', 'b', 'c') }),
		}),
		['deny * > x/a', 'allow y/b,y/c,z/b,z/c > x/a'],
	),
	policyCase(
		'several selector pairs are alternatives of each other',
		put('x/p', { ...pod('a'), ...ingress(both(namespace('y'), pod('a')), both(namespace('z'), pod('c'))) }),
		['deny * > x/a', 'allow y/a,z/c > x/a'],
	),
	policyCase(
		'several pod selectors admit any of them',
		put('x/p', { ...pod('a'), ...ingress(pod('b'), { podSelector: expression('pod', 'In', 'c') }) }),
		['deny * > x/a', 'allow x/b,x/c > x/a'],
	),
	policyCase(
		'a pod expression without a value excludes those that carry the key',
		all(
			relabelPod('x/c', { canary: 'yes' }),
			put('x/p', { ...pod('a'), ...ingress({ podSelector: expression('canary', 'DoesNotExist') }) }),
		),
		['deny * > x/a', 'allow x/a,x/b > x/a'],
	),
	policyCase(
		'a pod expression admits those that carry the key with whatever value',
		all(
			relabelPod('x/c', { canary: 'no' }),
			put('x/p', { ...pod('a'), ...ingress({ podSelector: expression('canary', 'Exists') }) }),
		),
		['deny * > x/a', 'allow x/c > x/a'],
	),
];

const ports: readonly PolicyCase[] = [
	policyCase(
		'a port limits a rule to that port and its protocol',
		put('x/p', { ...pod('a'), policyTypes: ['Ingress'], ingress: [{ from: [namespace('y')], ports: [port(81)] }] }),
		['deny * > x/a', 'allow y/* > x/a 81/TCP'],
	),
	policyCase(
		'a port without a number means every port of the protocol',
		put('x/p', { ...pod('a'), policyTypes: ['Ingress'], ingress: [{ ports: [{ protocol: 'TCP' }] }] }),
		['deny * > x/a', 'allow * > x/a */TCP'],
	),
	policyCase(
		'a range of ports includes both ends',
		put('x/p', { ...pod('a'), policyTypes: ['Ingress'], ingress: [{ ports: [{ port: 81, endPort: 90 }] }] }),
		['deny * > x/a', 'allow * > x/a 81/TCP'],
	),
	policyCase(
		'a named port is resolved at the pod that is reached',
		put('x/p', { podSelector: {}, policyTypes: ['Ingress'], ingress: [{ ports: [serve(80)] }] }),
		['deny * > x/*', 'allow * > x/* 80/TCP'],
	),
	policyCase(
		'a named port combines with a namespace peer',
		put('x/p', {
			podSelector: {},
			policyTypes: ['Ingress'],
			ingress: [{ from: [namespace('y')], ports: [serve(81)] }],
		}),
		['deny * > x/*', 'allow y/* > x/* 81/TCP'],
	),
	policyCase(
		'a named port in an egress rule is resolved at the peer',
		put('x/p', { ...pod('a'), policyTypes: ['Egress'], egress: [{ ports: [serve(80)] }] }),
		['deny x/a > *', 'allow x/a > * 80/TCP'],
	),
	policyCase(
		'one name may be another number at another pod, and nothing at a pod that lacks it',
		all(
			(world) => {
				const at = (name: string, number: number | undefined) => {
					const namedPorts = number === undefined ? [] : [{ name: 'web', protocol: 'TCP' as const, port: number }];
					const old = world.pods.get(name);
					if (old !== undefined) world.pods.set(name, { ...old, namedPorts });
				};
				at('x/a', 80);
				at('x/b', 81);
				at('x/c', undefined);
			},
			put('x/in', { podSelector: {}, policyTypes: ['Ingress'], ingress: [{ ports: [port('web')] }] }),
			put('y/out', { ...pod('a'), policyTypes: ['Egress'], egress: [{ to: [namespace('x')], ports: [port('web')] }] }),
		),
		['deny * > x/*', 'deny y/a > *', 'allow * > x/a 80/TCP', 'allow * > x/b 81/TCP'],
	),
	policyCase(
		'a rule of one protocol says nothing for another: SCTP is not TCP',
		put('x/p', { ...pod('a'), policyTypes: ['Ingress'], ingress: [{ ports: [port(80, 'SCTP')] }] }),
		['deny * > x/a', 'allow * > x/a 80/SCTP'],
	),
	policyCase(
		'a rule of one protocol says nothing for another: UDP is not TCP',
		put('x/p', { ...pod('a'), policyTypes: ['Ingress'], ingress: [{ ports: [port(80, 'UDP')] }] }),
		['deny * > x/a', 'allow * > x/a 80/UDP'],
	),
	{
		title: 'a policy that allows only SCTP still isolates the pod for everything else, and goes away completely',
		steps: [
			{
				change: put('x/p', { podSelector: {}, policyTypes: ['Ingress'], ingress: [{ ports: [port(81, 'SCTP')] }] }),
				truth: ['deny * > x/*', 'allow * > x/* 81/SCTP'],
			},
			{ change: removePolicy('x/p'), truth: [] },
		],
	},
];

const stacked: readonly PolicyCase[] = [
	{
		title: 'policies that select one pod add up',
		steps: [
			{
				change: put('x/one', {
					...pod('a'),
					policyTypes: ['Ingress'],
					ingress: [{ from: [namespace('y')], ports: [port(80)] }],
				}),
				truth: ['deny * > x/a', 'allow y/* > x/a 80/TCP'],
			},
			{
				change: put('x/two', {
					...pod('a'),
					policyTypes: ['Ingress'],
					ingress: [{ from: [namespace('y')], ports: [port(81)] }],
				}),
				truth: ['deny * > x/a', 'allow y/* > x/a 80/TCP 81/TCP'],
			},
		],
	},
	policyCase(
		'a rule that allows everything makes a policy that isolates nothing',
		put('x/p', { podSelector: {}, policyTypes: ['Ingress'], ingress: [{}] }),
		[],
	),
	{
		title: 'allow-all for ingress beats deny-all, in whatever order they come',
		steps: [
			{ change: put('x/deny', CLOSED_IN), truth: ['deny * > x/*'] },
			{ change: put('x/allow', { podSelector: {}, policyTypes: ['Ingress'], ingress: [{}] }), truth: [] },
			{ change: removePolicy('x/deny'), truth: [] },
		],
	},
	{
		title: 'allow-all for egress beats deny-all, in whatever order they come',
		steps: [
			{ change: put('x/deny', CLOSED_OUT), truth: ['deny x/* > *'] },
			{ change: put('x/allow', { podSelector: {}, policyTypes: ['Egress'], egress: [{}] }), truth: [] },
			{ change: removePolicy('x/allow'), truth: ['deny x/* > *'] },
		],
	},
	policyCase(
		'policies with overlapping selectors apply each to its own pods',
		all(
			put('x/one', { podSelector: expression('pod', 'In', 'a', 'b'), ...ingress(namespace('y')) }),
			put('x/two', { podSelector: expression('pod', 'In', 'b', 'c'), ...ingress(namespace('z')) }),
		),
		['deny * > x/*', 'allow y/* > x/a,x/b', 'allow z/* > x/b,x/c'],
	),
	policyCase(
		'ingress and egress of one policy count separately',
		put('x/p', {
			...pod('a'),
			policyTypes: ['Ingress', 'Egress'],
			ingress: [{ from: [namespace('y')] }],
			egress: [{ to: [namespace('z')] }],
		}),
		['deny * > x/a', 'deny x/a > *', 'allow y/* > x/a', 'allow x/a > z/*'],
	),
	policyCase(
		'an egress rule of the client is needed even if the server admits it',
		all(
			put('x/out', { ...pod('a'), policyTypes: ['Egress'], egress: [{ to: [both(namespace('y'), pod('b'))] }] }),
			put('y/in', { ...pod('a'), policyTypes: ['Ingress'], ingress: [{ from: [namespace('x')] }] }),
		),
		['deny * > y/a', 'deny x/a > *', 'allow x/b,x/c > y/a', 'allow x/a > y/b'],
	),
	policyCase('a peer of egress is selected by its labels', put('x/p', { ...pod('a'), ...egress(pod('b')) }), [
		'deny x/a > *',
		'allow x/a > x/b',
	]),
	policyCase(
		'egress to pods of another namespace needs both selectors',
		put('x/p', { ...pod('a'), ...egress(both(namespace('y'), pod('a'))) }),
		['deny x/a > *', 'allow x/a > y/a'],
	),
	policyCase(
		'egress can be closed for chosen pods only',
		put('x/p', { podSelector: expression('pod', 'NotIn', 'a'), policyTypes: ['Egress'] }),
		['deny x/b,x/c > *'],
	),
	policyCase(
		'only pods of the own namespace come in when the peer is an empty pod selector',
		put('x/p', { podSelector: {}, ...ingress({ podSelector: {} }) }),
		['deny y/*,z/* > x/*'],
	),
	{
		title: 'two policies control ingress and egress of the same pod independently',
		steps: [
			{
				change: all(
					put('x/in', { ...pod('a'), policyTypes: ['Ingress'], ingress: [] }),
					put('x/out', { ...pod('a'), policyTypes: ['Egress'], egress: [{}] }),
				),
				truth: ['deny * > x/a'],
			},
			{ change: put('x/in', { ...pod('a'), policyTypes: ['Ingress'], ingress: [{}] }), truth: [] },
		],
	},
];

const changes: readonly PolicyCase[] = [
	{
		title: 'a policy that is changed counts as it is now',
		steps: [
			{ change: put('x/p', { podSelector: {}, policyTypes: ['Ingress'], ingress: [{}] }), truth: [] },
			{ change: put('x/p', CLOSED_IN), truth: ['deny * > x/*'] },
		],
	},
	{
		title: 'a namespace that gets the label comes in, and out again without it',
		steps: [
			{ change: put('x/p', { ...pod('a'), ...ingress(namespaces({ team: 'blue' })) }), truth: ['deny * > x/a'] },
			{ change: relabelNamespace('y', { team: 'blue' }), truth: ['deny * > x/a', 'allow y/* > x/a'] },
			{ change: relabelNamespace('y', {}), truth: ['deny * > x/a'] },
		],
	},
	{
		title: 'a client that gets the label comes in',
		steps: [
			{
				change: put('x/p', { ...pod('a'), ...ingress(both(namespace('y'), pods({ role: 'web' }))) }),
				truth: ['deny * > x/a'],
			},
			{ change: relabelPod('y/b', { role: 'web' }), truth: ['deny * > x/a', 'allow y/b > x/a'] },
		],
	},
	{
		title: 'a server that gets the label is isolated, and free again without it',
		steps: [
			{ change: put('x/p', { ...pods({ role: 'db' }), policyTypes: ['Ingress'] }), truth: [] },
			{ change: relabelPod('x/a', { role: 'db' }), truth: ['deny * > x/a'] },
			{ change: relabelPod('x/a', { role: 'web' }), truth: [] },
		],
	},
	{
		title: 'policies that are deleted count no more',
		steps: [
			{ change: all(put('x/p', CLOSED_IN), put('y/p', CLOSED_IN)), truth: ['deny * > x/*', 'deny * > y/*'] },
			{ change: removePolicy('y/p'), truth: ['deny * > x/*'] },
			{ change: removePolicy('x/p'), truth: [] },
		],
	},
	policyCase(
		'the name of a namespace can be selected without anybody labelling it',
		put('x/p', { ...pod('a'), ...ingress(namespaces({ 'kubernetes.io/metadata.name': 'y' })) }),
		['deny * > x/a', 'allow y/* > x/a'],
	),
	policyCase(
		'the name of a namespace can be excluded without anybody labelling it',
		put('x/p', {
			...pod('a'),
			...ingress({ namespaceSelector: expression('kubernetes.io/metadata.name', 'NotIn', 'x') }),
		}),
		['deny x/* > x/a'],
	),
];

/** Blocks of IPv4 addresses: the IPv6 side of each pod is closed by the same rule. */
const blocks: readonly PolicyCase[] = [
	policyCase(
		'a block of addresses admits the pods that have them',
		put('x/p', {
			...pod('a'),
			...egress({ ipBlock: { cidr: '10.244.2.0/24' } }, { ipBlock: { cidr: 'fd00:244:0:2::/64' } }),
		}),
		['deny x/a > *', 'allow x/a > y/*'],
	),
	policyCase(
		'an exception takes addresses out of a block',
		put('x/p', {
			...pod('a'),
			...egress(
				{ ipBlock: { cidr: '10.244.2.0/24', except: [only(2, 2)] } },
				{ ipBlock: { cidr: 'fd00:244:0:2::/64', except: ['fd00:244:0:2::2/128'] } },
			),
		}),
		['deny x/a > *', 'allow x/a > y/a,y/c'],
	),
	{
		title: 'an address that one policy excepts and another admits is admitted',
		steps: [
			{
				change: put('x/one', {
					...pod('a'),
					...egress(
						{ ipBlock: { cidr: '10.244.2.0/24', except: [only(2, 2)] } },
						{ ipBlock: { cidr: 'fd00:244:0:2::/64', except: ['fd00:244:0:2::2/128'] } },
					),
				}),
				truth: ['deny x/a > *', 'allow x/a > y/a,y/c'],
			},
			{
				change: put('x/two', {
					...pod('a'),
					...egress({ ipBlock: { cidr: only(2, 2) } }, { ipBlock: { cidr: 'fd00:244:0:2::2/128' } }),
				}),
				truth: ['deny x/a > *', 'allow x/a > y/*'],
			},
		],
	},
];

/** The same questions for datagram protocols: what holds for TCP must hold for them. */
const perProtocol: readonly PolicyCase[] = ['UDP', 'SCTP'].flatMap((protocol) => [
	policyCase(`${protocol} is closed by a policy without rules`, put('x/p', CLOSED_IN), ['deny * > x/*']),
	policyCase(
		`${protocol} comes in by a rule for its port`,
		put('x/p', {
			...pod('a'),
			policyTypes: ['Ingress'],
			ingress: [{ from: [namespace('y')], ports: [port(81, protocol)] }],
		}),
		['deny * > x/a', `allow y/* > x/a 81/${protocol}`],
	),
	policyCase(
		`${protocol} goes out by a rule for pods of another namespace`,
		put('x/p', {
			...pod('a'),
			policyTypes: ['Egress'],
			egress: [{ to: [both(namespace('y'), pod('b'))], ports: [serve(80, protocol)] }],
		}),
		['deny x/a > *', `allow x/a > y/b 80/${protocol}`],
	),
]);

/** Not part of that suite: nodes, the outside, unknown addresses, other protocols and self. */
const beyond: readonly PolicyCase[] = [
	policyCase(
		'the own node always reaches its pods, another node needs a block',
		put('x/p', {
			...pod('a'),
			policyTypes: ['Ingress'],
			ingress: [{ from: [{ ipBlock: { cidr: '192.168.0.0/30' } }], ports: [port(80)] }],
		}),
		['deny * > x/a'],
		[
			{ flow: { from: '192.168.0.1', to: '10.244.1.1', proto: 6, port: 9 }, allowed: true },
			{ flow: { from: '192.168.0.2', to: '10.244.1.1', proto: 6, port: 80 }, allowed: true },
			{ flow: { from: '192.168.0.2', to: '10.244.1.1', proto: 6, port: 81 }, allowed: false },
			{ flow: { from: 'fd00:192::2', to: 'fd00:244:0:1::1', proto: 6, port: 80 }, allowed: false },
		],
	),
	policyCase(
		'a pod that is not known yet is admitted by no selector, but by a rule without peers or a block',
		all(
			put('x/a', { ...pod('a'), ...ingress({ namespaceSelector: {} }) }),
			put('x/b', { ...pod('b'), policyTypes: ['Ingress'], ingress: [{}] }),
			put('x/c', {
				...pod('c'),
				...ingress({ ipBlock: { cidr: '10.244.0.0/16' } }, { ipBlock: { cidr: 'fd00:244::/48' } }),
			}),
		),
		[],
		[
			{ flow: { from: '10.244.9.9', to: '10.244.1.1', proto: 6, port: 80 }, allowed: false },
			{ flow: { from: '10.244.9.9', to: '10.244.1.2', proto: 6, port: 80 }, allowed: true },
			{ flow: { from: '10.244.9.9', to: '10.244.1.3', proto: 6, port: 80 }, allowed: true },
		],
	),
	policyCase(
		'ICMP passes an isolated pod only by a rule for all ports',
		all(
			put('x/a', { ...pod('a'), policyTypes: ['Ingress'], ingress: [{ ports: [{ protocol: 'TCP' }] }] }),
			put('x/b', { ...pod('b'), policyTypes: ['Ingress'], ingress: [{ from: [{ namespaceSelector: {} }] }] }),
		),
		['deny * > x/a', 'allow * > x/a */TCP'],
		[
			{ flow: { from: '10.244.2.1', to: '10.244.1.1', proto: 1, port: 0 }, allowed: false },
			{ flow: { from: '10.244.2.1', to: '10.244.1.2', proto: 1, port: 0 }, allowed: true },
			{ flow: { from: 'fd00:244:0:2::1', to: 'fd00:244:0:1::2', proto: 58, port: 0 }, allowed: true },
		],
	),
	policyCase(
		'a pod reaches itself in spite of every NetworkPolicy, also through a service',
		put('x/p', { podSelector: {}, policyTypes: ['Ingress', 'Egress'] }),
		['deny x/* > *', 'deny * > x/*'],
		[
			{ flow: { from: '10.244.1.1', to: '10.244.1.1', proto: 6, port: 80 }, allowed: true },
			{ flow: { from: '10.244.1.1', to: '10.244.1.1', proto: 6, port: 80, viaService: true }, allowed: true },
		],
	),
	policyCase(
		'a pod in the host network is neither subject nor peer: it is its node',
		all(
			(world) => {
				const old = world.pods.get('z/c');
				if (old !== undefined) world.pods.set('z/c', { ...old, hostNetwork: true, node: 'node-2', addresses: [] });
			},
			put('x/p', { ...pod('a'), ...ingress({ namespaceSelector: {} }) }),
			put('z/p', { podSelector: {}, policyTypes: ['Ingress'] }),
		),
		['deny * > z/a,z/b'],
		[{ flow: { from: '192.168.0.2', to: '10.244.1.1', proto: 6, port: 80 }, allowed: false }],
	),
	{
		title: 'a finished pod lends its address to nobody',
		steps: [
			{
				change: all(put('x/p', { ...pod('a'), ...ingress(both(namespace('y'), pod('a'))) }), (world) => {
					const old = world.pods.get('y/a');
					if (old !== undefined) world.pods.set('y/a', { ...old, finished: true });
				}),
				truth: ['deny * > x/a'],
			},
			{
				change: (world) => {
					const old = world.pods.get('y/c');
					if (old !== undefined) world.pods.set('y/c', { ...old, addresses: ['10.244.2.1', 'fd00:244:0:2::1'] });
				},
				truth: ['deny * > x/a'],
			},
		],
	},
];

/** The suite's own cases. */
export const networkPolicyCases: readonly PolicyCase[] = [
	...basic,
	...ports,
	...stacked,
	...changes,
	...blocks,
	...perProtocol,
];

/** Cases beyond the suite. */
export const furtherCases: readonly PolicyCase[] = beyond;
