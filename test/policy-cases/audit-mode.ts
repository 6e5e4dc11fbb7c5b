/**
 * Audit mode: a policy in it drops nothing, and the others are enforced as if it were not there. What it reports is compared by
 * the random tests.
 */
import {
	type MutableWorld,
	type PolicyCase,
	policyCase,
	setClusterPolicy,
	setNetworkPolicy,
} from '../lib/policy-world.ts';

const net = (name: string, spec: object, audit?: 'audit') => (world: MutableWorld) =>
	setNetworkPolicy(world, name, spec, audit);
const cluster = (name: string, spec: object, audit?: 'audit') => (world: MutableWorld) =>
	setClusterPolicy(world, name, spec, audit);
const all =
	(...changes: ((world: MutableWorld) => void)[]) =>
	(world: MutableWorld) => {
		for (const change of changes) change(world);
	};

const CLOSED = { podSelector: {}, policyTypes: ['Ingress'] };
const FROM_Y = {
	podSelector: {},
	policyTypes: ['Ingress'],
	ingress: [{ from: [{ namespaceSelector: { matchLabels: { ns: 'y' } } }] }],
};
const admin = (action: string, peer = 'y', priority = 1, tier = 'Admin') => ({
	tier,
	priority,
	subject: { namespaces: { matchLabels: { ns: 'x' } } },
	ingress: [{ action, from: [{ namespaces: { matchLabels: { ns: peer } } }] }],
});

export const auditCases: readonly PolicyCase[] = [
	policyCase('a policy in audit mode isolates nobody', net('x/p', CLOSED, 'audit'), []),
	policyCase(
		'a policy in audit mode lets nobody in whom an enforced one keeps out',
		all(net('x/closed', CLOSED), net('x/p', FROM_Y, 'audit')),
		['deny * > x/*'],
	),
	policyCase(
		'an enforced policy that lets in is not narrowed by one in audit mode',
		all(net('x/open', FROM_Y), net('x/p', CLOSED, 'audit')),
		['deny * > x/*', 'allow y/* > x/*'],
	),
	policyCase('a Deny in audit mode denies nothing', cluster('c', admin('Deny'), 'audit'), []),
	policyCase(
		'an Accept in audit mode does not go before an enforced Deny',
		all(cluster('a', admin('Accept', 'y', 0), 'audit'), cluster('b', admin('Deny', 'y', 1))),
		['deny y/* > x/*'],
	),
	policyCase(
		'a Pass in audit mode skips no enforced rule',
		all(cluster('a', admin('Pass', 'y', 0), 'audit'), cluster('b', admin('Deny', 'y', 1))),
		['deny y/* > x/*'],
	),
	policyCase(
		'the Baseline tier counts for pods that only a policy in audit mode isolates',
		all(net('x/p', FROM_Y, 'audit'), cluster('b', admin('Deny', 'y', 1, 'Baseline'))),
		['deny y/* > x/*'],
	),
	{
		title: 'taking the annotation off enforces the policy, and putting it back ends that',
		steps: [
			{ change: net('x/p', FROM_Y, 'audit'), truth: [] },
			{ change: net('x/p', FROM_Y), truth: ['deny * > x/*', 'allow y/* > x/*'] },
			{ change: net('x/p', FROM_Y, 'audit'), truth: [] },
		],
	},
];
