/**
 * What the conformance suite of the network policy API asks of ClusterNetworkPolicy, restated for the usual world: the same
 * questions for each tier, direction and protocol, then tiers and NetworkPolicy together, networks, nodes and named ports.
 */
import {
	type MutableWorld,
	type PolicyCase,
	PROTOCOLS,
	type ProtocolName,
	policyCase,
	setClusterPolicy,
	setNetworkPolicy,
} from '../lib/policy-world.ts';

type Tier = 'Admin' | 'Baseline';
type Change = (world: MutableWorld) => void;
const labels = (values: Record<string, string>) => ({ matchLabels: values });
const ns = (name: string) => ({ namespaces: labels({ ns: name }) });
const everyNamespace = { namespaces: {} };
const podsOf = (namespace: string, pod: string) => ({
	pods: { namespaceSelector: labels({ ns: namespace }), podSelector: labels({ pod }) },
});
const tcp = (number: number) => ({ tcp: { destinationPort: { number } } });
const all =
	(...changes: Change[]): Change =>
	(world) => {
		for (const change of changes) change(world);
	};
const put =
	(
		name: string,
		spec: { tier?: Tier; priority?: number; subject?: object; ingress?: object[]; egress?: object[] },
	): Change =>
	(world) =>
		setClusterPolicy(world, name, { tier: 'Admin', priority: 10, subject: ns('x'), ...spec });
const putNetworkPolicy =
	(name: string, spec: object): Change =>
	(world) =>
		setNetworkPolicy(world, name, spec);
const remove =
	(name: string): Change =>
	(world) =>
		void world.clusterNetworkPolicies.delete(name);

interface Side {
	readonly rules: 'ingress' | 'egress';
	readonly peers: 'from' | 'to';
	/** A line about traffic between the peers and namespace x. */
	line(verb: 'allow' | 'deny', peers: string, ports: string): string;
}

const SIDES: readonly Side[] = [
	{ rules: 'ingress', peers: 'from', line: (verb, peers, ports) => `${verb} ${peers} > x/* ${ports}` },
	{ rules: 'egress', peers: 'to', line: (verb, peers, ports) => `${verb} x/* > ${peers} ${ports}` },
];

/** Order of rules, ports and ranges, for one tier, direction and protocol. */
function gress(tier: Tier, side: Side, protocol: ProtocolName): PolicyCase {
	const field = protocol.toLowerCase();
	const on = (destinationPort?: object) => ({ protocols: [{ [field]: destinationPort ? { destinationPort } : {} }] });
	const rule = (action: string, peer: object, ports?: object) => ({ action, [side.peers]: [peer], ...ports });
	const rules = (...list: object[]): Change => put('c', { tier, [side.rules]: list });
	const P = `*/${protocol}`;
	return {
		title: `${tier} ${side.rules} ${protocol}: the first rule that fits decides`,
		steps: [
			{ change: rules(rule('Deny', ns('y'), on())), truth: [side.line('deny', 'y/*', P)] },
			{
				change: rules(rule('Accept', ns('y'), on({ number: 80 })), rule('Deny', ns('y'), on())),
				truth: [side.line('deny', 'y/*', P), side.line('allow', 'y/*', `80/${protocol}`)],
			},
			{
				change: rules(rule('Deny', ns('y'), on()), rule('Accept', ns('y'), on({ number: 80 }))),
				truth: [side.line('deny', 'y/*', P)],
			},
			{
				change: rules(
					rule('Deny', podsOf('y', 'b'), on({ range: { start: 81, end: 90 } })),
					rule('Accept', everyNamespace),
				),
				truth: [side.line('deny', 'y/b', `81/${protocol}`)],
			},
			{
				change: rules(rule('Pass', podsOf('z', 'a'), on()), rule('Deny', ns('z'), on())),
				truth: [side.line('deny', 'z/*', P), side.line('allow', 'z/a', P)],
			},
			{ change: remove('c'), truth: [] },
		],
	};
}

const protocolCases = (['Admin', 'Baseline'] as const).flatMap((tier) =>
	(Object.keys(PROTOCOLS) as ProtocolName[]).flatMap((protocol) => SIDES.map((side) => gress(tier, side, protocol))),
);

/** Rules without protocols, both directions in one policy. */
const mixed: readonly PolicyCase[] = (['Admin', 'Baseline'] as const).flatMap((tier) => [
	policyCase(
		`${tier}: ingress and egress of one policy count separately, a rule without protocols is about all`,
		put('c', {
			tier,
			ingress: [
				{ action: 'Accept', from: [podsOf('y', 'a')] },
				{ action: 'Deny', from: [ns('y')] },
			],
			egress: [
				{ action: 'Accept', to: [podsOf('z', 'a')] },
				{ action: 'Deny', to: [ns('z')] },
			],
		}),
		['deny y/* > x/*', 'allow y/a > x/*', 'deny x/* > z/*', 'allow x/a,x/b,x/c > z/a'],
		[
			{ flow: { from: '10.244.2.2', to: '10.244.1.1', proto: 1, port: 0 }, allowed: false },
			{ flow: { from: '10.244.2.1', to: '10.244.1.1', proto: 1, port: 0 }, allowed: true },
		],
	),
	policyCase(`${tier}: being a subject isolates nobody`, put('c', { tier, subject: { namespaces: {} } }), []),
	policyCase(
		`${tier}: a subject of pods needs both selectors`,
		put('c', { tier, subject: podsOf('x', 'a'), ingress: [{ action: 'Deny', from: [everyNamespace] }] }),
		['deny * > x/a'],
	),
	policyCase(
		`${tier}: networks match addresses of pods and of others, in order`,
		put('c', {
			tier,
			egress: [
				{ action: 'Accept', to: [{ networks: ['10.244.2.1/32', 'fd00:244:0:2::1/128'] }] },
				{ action: 'Deny', to: [{ networks: ['10.244.2.0/24', 'fd00:244:0:2::/64', '203.0.113.0/24'] }] },
			],
		}),
		['deny x/* > y/*', 'allow x/* > y/a'],
		[
			{ flow: { from: '10.244.1.1', to: '203.0.113.9', proto: 17, port: 53 }, allowed: false },
			{ flow: { from: '10.244.1.1', to: '203.0.113.9', proto: 1, port: 0 }, allowed: false },
			{ flow: { from: '10.244.1.1', to: '198.51.100.1', proto: 17, port: 53 }, allowed: true },
		],
	),
	policyCase(
		`${tier}: all networks denied cuts egress but for what was accepted before`,
		put('c', {
			tier,
			egress: [
				{ action: 'Accept', to: [ns('y')], protocols: [tcp(80)] },
				{ action: 'Deny', to: [{ networks: ['0.0.0.0/0', '::/0'] }] },
			],
		}),
		['deny x/* > *', 'allow x/* > y/* 80/TCP'],
		[{ flow: { from: '10.244.1.1', to: '198.51.100.1', proto: 6, port: 443 }, allowed: false }],
	),
	policyCase(
		`${tier}: nodes are selected by label, with all their addresses`,
		put('c', {
			tier,
			egress: [
				{ action: 'Accept', to: [{ nodes: labels({ zone: 'one' }) }], protocols: [tcp(36363)] },
				{ action: 'Deny', to: [{ nodes: {} }] },
			],
		}),
		[],
		[
			{ flow: { from: '10.244.1.1', to: '192.168.0.1', proto: 6, port: 36363 }, allowed: true },
			{ flow: { from: 'fd00:244:0:1::1', to: 'fd00:192::1', proto: 6, port: 36363 }, allowed: true },
			{ flow: { from: '10.244.1.1', to: '192.168.0.1', proto: 6, port: 34345 }, allowed: false },
			{ flow: { from: '10.244.1.1', to: '192.168.0.2', proto: 6, port: 36363 }, allowed: false },
			{ flow: { from: '10.244.2.1', to: '192.168.0.2', proto: 6, port: 36363 }, allowed: true },
		],
	),
	policyCase(
		`${tier}: a named port is that of the destination, of whatever protocol`,
		put('c', {
			tier,
			ingress: [{ action: 'Deny', from: [ns('y')], protocols: [{ destinationNamedPort: 'serve-80-udp' }] }],
			egress: [
				{
					action: 'Deny',
					to: [ns('z')],
					protocols: [{ destinationNamedPort: 'serve-81-tcp' }, { destinationNamedPort: 'nobody' }],
				},
			],
		}),
		['deny y/* > x/* 80/UDP', 'deny x/* > z/* 81/TCP'],
	),
	policyCase(
		`${tier}: a pod that is not known yet is denied by every selector and accepted by none`,
		put('c', {
			tier,
			egress: [
				{ action: 'Accept', to: [everyNamespace], protocols: [tcp(80)] },
				{ action: 'Deny', to: [ns('y')] },
			],
		}),
		['deny x/* > y/*', 'allow x/* > y/* 80/TCP'],
		[
			{ flow: { from: '10.244.1.1', to: '10.244.9.9', proto: 6, port: 80 }, allowed: false },
			{ flow: { from: '10.244.1.1', to: '198.51.100.1', proto: 6, port: 80 }, allowed: true },
		],
	),
	policyCase(
		`${tier}: a pod that reaches itself through a service is a subject, directly it is not`,
		put('c', { tier, ingress: [{ action: 'Deny', from: [ns('x')] }] }),
		['deny x/* > x/*'],
		[
			{ flow: { from: '10.244.1.1', to: '10.244.1.1', proto: 6, port: 80 }, allowed: true },
			{ flow: { from: '10.244.1.1', to: '10.244.1.1', proto: 6, port: 80, viaService: true }, allowed: false },
			{ flow: { from: '10.244.2.1', to: '10.244.2.1', proto: 6, port: 80, viaService: true }, allowed: true },
		],
	),
	policyCase(
		`${tier}: no rule keeps the own node from its pods`,
		put('c', { tier, ingress: [{ action: 'Deny', from: [everyNamespace] }] }),
		['deny * > x/*'],
		[{ flow: { from: '192.168.0.1', to: '10.244.1.1', proto: 6, port: 80 }, allowed: true }],
	),
	policyCase(
		`${tier}: a rule with a peer of a newer version denies instead of passing`,
		put('c', {
			tier,
			egress: [
				{ action: 'Pass', to: [{ spiffe: 'x' }] },
				{ action: 'Accept', to: [everyNamespace] },
			],
		}),
		['deny x/* > *'],
	),
	policyCase(
		`${tier}: names of domains that nobody has looked up accept nothing`,
		put('c', {
			tier,
			egress: [
				{ action: 'Accept', to: [{ domainNames: ['*.example.org'] }] },
				{ action: 'Deny', to: [{ networks: ['198.51.100.0/24'] }] },
			],
		}),
		[],
		[{ flow: { from: '10.244.1.1', to: '198.51.100.1', proto: 6, port: 443 }, allowed: false }],
	),
]);

const closeX = { podSelector: {}, policyTypes: ['Ingress'] };
const openX = {
	podSelector: {},
	policyTypes: ['Ingress'],
	ingress: [{ from: [{ namespaceSelector: labels({ ns: 'y' }) }] }],
};

/** Tiers together. */
const integration: readonly PolicyCase[] = [
	{
		title: 'lower priority numbers count first, and a policy can move',
		steps: [
			{
				change: put('one', { priority: 20, ingress: [{ action: 'Deny', from: [ns('y')] }] }),
				truth: ['deny y/* > x/*'],
			},
			{ change: put('two', { priority: 10, ingress: [{ action: 'Accept', from: [ns('y')] }] }), truth: [] },
			{
				change: put('two', { priority: 30, ingress: [{ action: 'Accept', from: [ns('y')] }] }),
				truth: ['deny y/* > x/*'],
			},
		],
	},
	{
		title: 'an Admin Accept beats a NetworkPolicy that closes, and a Deny one that opens',
		steps: [
			{
				change: all(
					putNetworkPolicy('x/np', closeX),
					put('c', { ingress: [{ action: 'Accept', from: [podsOf('y', 'a')] }] }),
				),
				truth: ['deny * > x/*', 'allow y/a > x/*'],
			},
			{
				change: all(
					putNetworkPolicy('x/np', openX),
					put('c', { ingress: [{ action: 'Deny', from: [podsOf('y', 'a')] }] }),
				),
				truth: ['deny * > x/*', 'allow y/b,y/c > x/*'],
			},
		],
	},
	{
		title: 'Pass leaves the decision to NetworkPolicy, and without one to the Baseline tier',
		steps: [
			{
				change: all(
					put('admin', {
						ingress: [
							{ action: 'Pass', from: [ns('y')] },
							{ action: 'Deny', from: [everyNamespace] },
						],
					}),
					put('base', { tier: 'Baseline', ingress: [{ action: 'Deny', from: [podsOf('y', 'c')] }] }),
					putNetworkPolicy('x/np', {
						...closeX,
						ingress: [{ from: [{ namespaceSelector: {}, podSelector: labels({ pod: 'c' }) }] }],
					}),
				),
				truth: ['deny * > x/*', 'allow y/c > x/*'],
			},
			{
				change: (world) => void world.networkPolicies.delete('x/np'),
				truth: ['deny * > x/*', 'allow y/a,y/b > x/*'],
			},
			{ change: remove('base'), truth: ['deny * > x/*', 'allow y/* > x/*'] },
			{ change: remove('admin'), truth: [] },
		],
	},
	{
		title: 'the Baseline tier counts only where no NetworkPolicy isolates',
		steps: [
			{
				change: all(
					put('base', {
						tier: 'Baseline',
						subject: everyNamespace,
						ingress: [{ action: 'Deny', from: [everyNamespace] }],
					}),
					putNetworkPolicy('x/np', openX),
				),
				truth: ['deny * > *', 'allow y/* > x/*'],
			},
			{ change: remove('base'), truth: ['deny * > x/*', 'allow y/* > x/*'] },
		],
	},
	policyCase(
		'Pass in one Admin policy skips all later ones',
		all(
			put('one', { priority: 1, ingress: [{ action: 'Pass', from: [ns('y')], protocols: [tcp(80)] }] }),
			put('two', { priority: 2, ingress: [{ action: 'Deny', from: [everyNamespace] }] }),
		),
		['deny * > x/*', 'allow y/* > x/* 80/TCP'],
	),
	policyCase(
		'egress and ingress of different tiers must both allow',
		all(
			put('out', { subject: ns('y'), egress: [{ action: 'Deny', to: [ns('x')], protocols: [tcp(81)] }] }),
			put('in', { tier: 'Baseline', ingress: [{ action: 'Deny', from: [ns('y')], protocols: [tcp(80)] }] }),
		),
		['deny y/* > x/* 80/TCP 81/TCP'],
	),
];

export const clusterPolicyCases: readonly PolicyCase[] = [...protocolCases, ...mixed, ...integration];
