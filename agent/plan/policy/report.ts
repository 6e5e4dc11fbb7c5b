/** What `fairlead policy list` and `get` show. Pure. */
import type { ClusterPeer, ClusterPort } from '../../model/cluster-network-policy.ts';
import type { NetworkPolicyPeer, PolicyPort } from '../../model/network-policy.ts';
import type { PolicyRef } from '../../model/policy-rule.ts';
import { parsePolicyName } from '../../model/policy-rule.ts';
import type { LabelSelector } from '../../model/policy-selector.ts';
import { formatSelector } from '../../model/policy-selector.ts';
import type { PolicyCompiler } from './compiler.ts';
import type { Matcher } from './matchers.ts';
import type { Isolation, PolicyObject, Program, ProgramRule } from './programs.ts';
import { ruleName } from './programs.ts';
import type { PolicyEntry, PolicySet } from './sets.ts';
import { policyName } from './sets.ts';
import type { Direction } from './types.ts';
import { DIRECTIONS } from './types.ts';

export interface PolicySummary {
	/** 'NetworkPolicy ns/name' */
	readonly name: string;
	readonly ref: PolicyRef;
	/** 'Admin 10', 'Baseline 0' or '' */
	readonly tier: string;
	/** Whom it selects, as a selector. */
	readonly subject: string;
	readonly directions: readonly Direction[];
	/** Pods of this node that it selects. */
	readonly pods: readonly string[];
	/** Fields that are not known, and sets that could not be programmed: why it denies more than it says. */
	readonly problems: readonly string[];
	/** `unused`: no pod of this node. `closed`: its pods are cut off, see problems. `audit`: it only reports. */
	readonly state: 'enforced' | 'audit' | 'closed' | 'unused';
	/** Numbers of the sets it is part of. */
	readonly sets: readonly number[];
	/** Numbers of its rules that are in force. */
	readonly cookies: readonly number[];
	/** Numbers of what is dropped because no rule allows it where the policy isolates; other policies may have the same ones. */
	readonly isolations: readonly Isolation[];
}

export interface RuleReport {
	/** 'NetworkPolicy ns/name ingress rule 0' */
	readonly name: string;
	readonly direction: Direction;
	readonly index: number;
	/** Cluster policies may name their rules; '' = not. */
	readonly title: string;
	/** Number in verdicts and events; undefined = no pod of this node needs the rule. */
	readonly cookie: number | undefined;
	readonly action: string;
	readonly peers: readonly string[];
	readonly ports: readonly string[];
	/** Identities on this node that the peers include; null = everybody. */
	readonly identities: number | null;
}

export interface PolicyDetails extends PolicySummary {
	readonly rules: readonly RuleReport[];
}

/** A set that is closed, with the policies it has. */
export interface ClosedReport {
	readonly policies: readonly string[];
	readonly reason: string;
}

/** All policies in force, by name. */
export function listPolicies(compiler: PolicyCompiler, closed: readonly ClosedReport[] = []): PolicySummary[] {
	const use = usesOf(compiler);
	return [...compiler.policies.all()]
		.map((entry) => summarise(use, entry, closed))
		.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** One policy with its rules; undefined = there is none of this name. */
export function getPolicy(
	compiler: PolicyCompiler,
	name: string,
	closed: readonly ClosedReport[] = [],
): PolicyDetails | undefined {
	const entry = compiler.policies.get(name);
	if (entry === undefined) return undefined;
	const use = usesOf(compiler);
	const inForce = new Map((use.rules.get(name) ?? []).map((rule) => [rule.name, rule]));
	return { ...summarise(use, entry, closed), rules: rulesOf(entry, inForce) };
}

/** What each policy is part of. */
export interface Uses {
	readonly sets: ReadonlyMap<string, readonly PolicySet[]>;
	readonly rules: ReadonlyMap<string, readonly ProgramRule[]>;
	readonly isolations: ReadonlyMap<string, readonly Isolation[]>;
	/** Policies that are not in audit mode. */
	readonly enforced: ReadonlySet<string>;
}

/** One look at all sets; equal rules of several programs are one. */
export function usesOf(compiler: PolicyCompiler): Uses {
	const sets = new Map<string, PolicySet[]>();
	const rules = new Map<string, Map<string, ProgramRule>>();
	const isolations = new Map<string, Map<number, Isolation>>();
	const seen = new Set<Program>();
	for (const set of compiler.sets()) {
		for (const name of set.policies) sets.set(name, [...(sets.get(name) ?? []), set]);
		for (const program of Object.values(set.programs)) {
			if (seen.has(program)) continue;
			seen.add(program);
			for (const isolation of Object.values(program.isolation)) {
				for (const policy of isolation.policies) {
					const own = isolations.get(policy) ?? new Map<number, Isolation>();
					isolations.set(policy, own.set(isolation.cookie, isolation));
				}
			}
			for (const rule of program.rules) {
				const policy = rule.name.replace(/ (ingress|egress) rule \d+$/, '');
				const own = rules.get(policy) ?? new Map<string, ProgramRule>();
				rules.set(policy, own.set(rule.name, rule));
			}
		}
	}
	const enforced = new Set(
		[...compiler.policies.all()].filter(({ object }) => !object.value.audit).map(({ object }) => policyName(object)),
	);
	const lists = <T>(maps: ReadonlyMap<string, ReadonlyMap<unknown, T>>): Map<string, readonly T[]> =>
		new Map([...maps].map(([name, own]) => [name, [...own.values()]]));
	return { sets, enforced, rules: lists(rules), isolations: lists(isolations) };
}

function summarise(use: Uses, { object }: PolicyEntry, closed: readonly ClosedReport[]): PolicySummary {
	const name = policyName(object);
	const { value } = object;
	const sets = use.sets.get(name) ?? [];
	const closedHere = closed.filter(({ policies }) => policies.includes(name));
	const cut = closedHere.some(({ policies }) => policies.some((each) => use.enforced.has(each)));
	const problems = [
		...value.unsupported.map(({ path, message }) => `${path}: ${message}`),
		...closedHere.map(({ reason }) => `${cut ? 'denies everything' : 'reports nothing'}: ${reason}`),
	];
	const directions = DIRECTIONS.filter((direction) =>
		object.kind === 'NetworkPolicy' ? object.value[direction] !== null : object.value[direction].length > 0,
	);
	const used = sets.some(({ pods }) => pods.size > 0);
	return {
		name,
		ref: parsePolicyName(name) ?? { kind: object.kind, namespace: '', name: object.key },
		state: cut ? 'closed' : !used ? 'unused' : value.audit ? 'audit' : 'enforced',
		sets: sets.map(({ number }) => number).sort((a, b) => a - b),
		cookies: (use.rules.get(name) ?? []).map(({ cookie }) => cookie),
		isolations: use.isolations.get(name) ?? [],
		tier: object.kind === 'NetworkPolicy' ? '' : `${object.value.tier} ${object.value.priority}`,
		subject:
			object.kind === 'NetworkPolicy'
				? describe(object.value.podSelector, 'pods', [], object.value.namespace)
				: describe(object.value.subject.podSelector, 'pods', object.value.subject.namespaceSelector, null),
		directions,
		pods: sets.flatMap(({ pods }) => [...pods]).sort(),
		problems,
	};
}

function describe(pods: LabelSelector, what: string, namespaces: LabelSelector, namespace: string | null): string {
	const which = formatSelector(pods);
	const where = namespace ?? (formatSelector(namespaces) || 'all namespaces');
	return `${which === '' ? `all ${what}` : `${what} ${which}`} in ${where}`;
}

function rulesOf({ object }: PolicyEntry, inForce: ReadonlyMap<string, ProgramRule>): RuleReport[] {
	return DIRECTIONS.flatMap((direction) =>
		describeRules(object, direction).map((rule, index): RuleReport => {
			const found = inForce.get(ruleName(object, direction, index));
			const matchers = found?.matchers;
			return {
				...rule,
				direction,
				index,
				name: ruleName(object, direction, index),
				cookie: found?.cookie,
				identities: matchers === null ? null : countIdentities(matchers ?? []),
			};
		}),
	);
}

type RuleText = Pick<RuleReport, 'title' | 'action' | 'peers' | 'ports'>;

/** Rules as they are written, whether or not a pod here needs them. */
function describeRules(object: PolicyObject, direction: Direction): RuleText[] {
	if (object.kind === 'NetworkPolicy') {
		return (object.value[direction] ?? []).map(({ peers, ports }) => ({
			title: '',
			action: 'accept',
			peers: peers?.map((peer) => describeNetworkPeer(peer, object.value.namespace)) ?? ['everybody'],
			ports: ports?.map(describeNetworkPort) ?? ['all'],
		}));
	}
	return object.value[direction].map(({ name, action, peers, ports }) => ({
		title: name,
		action: action.toLowerCase(),
		peers: peers?.map(describeClusterPeer) ?? ['everybody'],
		ports: ports?.map(describeClusterPort) ?? ['all'],
	}));
}

function describeNetworkPeer(peer: NetworkPolicyPeer, namespace: string): string {
	if (peer.kind === 'block') {
		return `${peer.cidr}${peer.except.length === 0 ? '' : ` except ${peer.except.join(', ')}`}`;
	}
	const { podSelector, namespaceSelector } = peer;
	return describe(podSelector, 'pods', namespaceSelector ?? [], namespaceSelector === null ? namespace : null);
}

function describeClusterPeer(peer: ClusterPeer): string {
	switch (peer.kind) {
		case 'pods':
			return describe(peer.podSelector, 'pods', peer.namespaceSelector, null);
		case 'networks':
			return peer.cidrs.join(', ');
		case 'nodes':
			return `nodes ${formatSelector(peer.selector) || '(all)'}`;
		case 'domains':
			return `domain names ${peer.names.join(', ')}`;
	}
}

function describeNetworkPort({ protocol, port, endPort }: PolicyPort): string {
	return `${port ?? '*'}${endPort === null ? '' : `-${endPort}`}/${protocol}`;
}

function describeClusterPort(port: ClusterPort): string {
	if (port.kind === 'named') return port.name;
	const { first, last, protocol } = port;
	return `${first === 0 && last === 0xffff ? '*' : first === last ? first : `${first}-${last}`}/${protocol}`;
}

function countIdentities(matchers: readonly Matcher[]): number {
	const found = new Set<unknown>();
	for (const matcher of matchers) {
		for (const { identities } of matcher.members) for (const each of identities) found.add(each);
		if (matcher.kind !== 'block' && matcher.kind !== 'domain') continue;
		for (const { identities } of matcher.prefixes) for (const each of identities) found.add(each);
	}
	return found.size;
}
