/**
 * What a list of policies says about one direction: rules in order of precedence with their peers as matchers. A program
 * answers with a row for any identity; equal answers are found by the rules that concern the identity.
 */
import { PolicyCookie } from '../../../native/abi/generated.ts';
import type { ClusterNetworkPolicy, ClusterPeer, ClusterPort } from '../../model/cluster-network-policy.ts';
import { errorMessage } from '../../model/errors.ts';
import { PROTOCOL_NUMBER } from '../../model/fields.ts';
import type { NetworkPolicy, NetworkPolicyPeer, PolicyPort } from '../../model/network-policy.ts';
import { type CookieTable, isolationName } from './cookies.ts';
import type { Identity } from './identities.ts';
import type { Matcher, MatcherSpec, MatcherTable } from './matchers.ts';
import type { Action, ApplicableRule, PortRange, Tier } from './rows.ts';
import { ALL_PORTS, compileRow, OPEN_ROW } from './rows.ts';
import type { PolicySet } from './sets.ts';
import type { Direction, NamedPort, Row } from './types.ts';

/** A policy of either kind. */
export type PolicyObject =
	| { readonly kind: 'NetworkPolicy'; readonly key: string; readonly value: NetworkPolicy }
	| { readonly kind: 'ClusterNetworkPolicy'; readonly key: string; readonly value: ClusterNetworkPolicy };

/** A range, or a container port of the destination by name; protocol null = of whatever protocol. */
export type PortSpec = PortRange | { readonly name: string; readonly protocol: number | null };

export interface ProgramRule {
	readonly tier: Tier;
	readonly action: Action;
	/** 'NetworkPolicy ns/name ingress rule 0' */
	readonly name: string;
	readonly cookie: number;
	/** null = everybody. */
	readonly matchers: readonly Matcher[] | null;
	readonly ports: readonly PortSpec[];
	/** Its policy is in audit mode. */
	readonly audit: boolean;
}

export interface Program {
	readonly key: string;
	readonly direction: Direction;
	readonly rules: readonly ProgramRule[];
	readonly isolated: boolean;
	/** By a policy that is not in audit mode. */
	readonly isolatedInForce: boolean;
	/** What says that no rule allows: of all policies that isolate, and of those that are not in audit mode. */
	readonly isolation: { readonly all: Isolation; readonly inForce: Isolation };
	/** Restricts nothing. */
	readonly open: boolean;
	/** Some rule names domains. */
	readonly domains: boolean;
	/** Has rules of cluster policies, which count for a pod that reaches itself. */
	readonly clusterRules: boolean;
	/** Rules by who they are about; those about everybody or every pod are not here. */
	readonly byMatcher: ReadonlyMap<Matcher, readonly number[]>;
	readonly aboutAll: readonly number[];
	readonly aboutPods: readonly number[];
	/** Names of container ports that rows depend on; egress only. */
	readonly portNames: readonly string[];
	/** Policies that threw while they were compiled, by name, and what: they deny everything to their pods. */
	readonly broken: ReadonlyMap<string, string>;
	/** All it has taken, to be released with it. */
	readonly taken: readonly Matcher[];
	/** Sets in force that use it. */
	readonly sets: Set<PolicySet>;
	readonly memo: Map<string, Row>;
	refs: number;
}

export interface ProgramInput {
	readonly key: string;
	readonly direction: Direction;
	readonly policies: readonly PolicyObject[];
	/** Named ports of the subject, for ingress. */
	readonly ports: readonly NamedPort[];
}

/** 'NetworkPolicy ns/name ingress rule 0' */
export function ruleName(policy: PolicyObject, direction: Direction, index: number): string {
	return `${policy.kind} ${policy.key} ${direction} rule ${index}`;
}

/** Builds a program and takes the matchers it needs. */
export function buildProgram(input: ProgramInput, matchers: MatcherTable, cookies: CookieTable): Program {
	const taken: Matcher[] = [];
	const take = (spec: MatcherSpec): Matcher => {
		const matcher = matchers.acquire(spec);
		taken.push(matcher);
		return matcher;
	};
	const rules: ProgramRule[] = [];
	const broken = new Map<string, string>();
	for (const policy of inOrder(input.policies)) {
		try {
			rules.push(...rulesOf(policy, input, take, cookies));
		} catch (error) {
			// A fault of ours, or an object that should not have got so far: it must not take the other policies along.
			broken.set(`${policy.kind} ${policy.key}`, errorMessage(error));
			rules.push(...closedRules(policy, input.direction, cookies));
		}
	}
	const portNames = [
		...new Set(rules.flatMap(({ ports }) => ports.flatMap((port) => ('name' in port ? [port.name] : [])))),
	];
	for (const name of portNames) take({ kind: 'port', name });
	const isolating = input.policies.filter(
		({ kind, key, value }) =>
			kind === 'NetworkPolicy' && (value[input.direction] !== null || broken.has(`${kind} ${key}`)),
	);
	const isolated = isolating.length > 0;
	return {
		key: input.key,
		direction: input.direction,
		rules,
		isolated,
		isolatedInForce: isolating.some(({ value }) => !value.audit),
		isolation: {
			all: isolationOf(isolating, input.direction, cookies),
			inForce: isolationOf(
				isolating.filter(({ value }) => !value.audit),
				input.direction,
				cookies,
			),
		},
		open: !isolated && rules.length === 0,
		clusterRules: rules.some(({ tier }) => tier !== 'network'),
		domains: rules.some(({ matchers }) => matchers?.some(({ kind }) => kind === 'domain')),
		...audience(rules, taken),
		portNames: portNames.sort(),
		broken,
		taken,
		sets: new Set(),
		memo: new Map(),
		refs: 1,
	};
}

/** Rules of one policy, or none and what was thrown; only then are all numbers and matchers taken. */
function rulesOf(
	policy: PolicyObject,
	input: ProgramInput,
	take: (spec: MatcherSpec) => Matcher,
	cookies: CookieTable,
): ProgramRule[] {
	const { audit } = policy.value;
	const made = rawRules(policy, input.direction).map(({ tier, action, peers, ports }, i) => {
		const own = peers?.map(take) ?? null;
		return {
			tier,
			action,
			name: ruleName(policy, input.direction, i),
			matchers: own,
			ports: resolve(ports, input),
			audit,
		};
	});
	return made.map((rule) => ({ ...rule, cookie: cookies.acquire(rule.name) }));
}

/** A NetworkPolicy closes by isolating without rules, another by denying everybody in its place. */
function closedRules(policy: PolicyObject, direction: Direction, cookies: CookieTable): ProgramRule[] {
	if (policy.kind === 'NetworkPolicy') return [];
	const { tier, audit } = policy.value;
	const name = ruleName(policy, direction, 0);
	const rule = {
		tier: tier === 'Admin' ? 'admin' : 'baseline',
		action: 'deny',
		matchers: null,
		ports: [ALL_PORTS],
	} as const;
	return [{ ...rule, name, cookie: cookies.acquire(name), audit }];
}

/** Who isolates, and the number that verdicts have for it. */
export interface Isolation {
	/** PolicyCookie.NOT_ALLOWED if nobody does. */
	readonly cookie: number;
	/** 'NetworkPolicy ns/name' */
	readonly policies: readonly string[];
	/** Some of them only report. */
	readonly audit: boolean;
}

function isolationOf(isolating: readonly PolicyObject[], direction: Direction, cookies: CookieTable): Isolation {
	const policies = isolating.map(({ kind, key }) => `${kind} ${key}`).sort();
	const audit = isolating.some(({ value }) => value.audit);
	const cookie = policies.length === 0 ? PolicyCookie.NOT_ALLOWED : cookies.acquire(isolationName(direction, policies));
	return { cookie, policies, audit };
}

/** Gives back what a program has taken. */
export function releaseProgram(program: Program, matchers: MatcherTable, cookies: CookieTable): void {
	for (const { policies } of Object.values(program.isolation)) {
		if (policies.length > 0) cookies.release(isolationName(program.direction, policies));
	}
	for (const { name } of program.rules) cookies.release(name);
	for (const matcher of program.taken) matchers.release(matcher);
}

/** Admin by priority, then NetworkPolicy, then Baseline by priority; names make the order certain. */
function inOrder(policies: readonly PolicyObject[]): readonly PolicyObject[] {
	const rank = ({ kind, value }: PolicyObject): number =>
		kind === 'NetworkPolicy' ? 2000 : value.tier === 'Admin' ? value.priority : 3000 + value.priority;
	return [...policies].sort((a, b) => rank(a) - rank(b) || (a.key < b.key ? -1 : 1));
}

interface RawRule {
	readonly tier: Tier;
	readonly action: Action;
	readonly peers: readonly MatcherSpec[] | null;
	readonly ports: readonly PortSpec[];
}

const ACTIONS = { Accept: 'accept', Deny: 'deny', Pass: 'pass' } as const;

function rawRules(policy: PolicyObject, direction: Direction): readonly RawRule[] {
	if (policy.kind === 'NetworkPolicy') {
		const { namespace } = policy.value;
		return (policy.value[direction] ?? []).map(({ peers, ports }) => ({
			tier: 'network',
			action: 'accept',
			peers: peers?.map((peer) => networkPeer(peer, namespace)) ?? null,
			ports: ports?.map(networkPort) ?? [ALL_PORTS],
		}));
	}
	return policy.value[direction].map(({ action, peers, ports }) => ({
		tier: policy.value.tier === 'Admin' ? 'admin' : 'baseline',
		action: ACTIONS[action],
		peers: peers?.flatMap(clusterPeer) ?? null,
		ports: ports?.map(clusterPort) ?? [ALL_PORTS],
	}));
}

function networkPeer(peer: NetworkPolicyPeer, namespace: string): MatcherSpec {
	if (peer.kind === 'block') return peer;
	const { namespaceSelector, podSelector } = peer;
	const own = namespaceSelector === null ? namespace : null;
	return { kind: 'pods', namespace: own, namespaceSelector: namespaceSelector ?? [], podSelector };
}

function clusterPeer(peer: ClusterPeer): readonly MatcherSpec[] {
	switch (peer.kind) {
		case 'pods':
			return [{ ...peer, namespace: null }];
		case 'networks':
			return peer.cidrs.map((cidr) => ({ kind: 'block', cidr, except: [] }));
		case 'nodes':
			return [peer];
		case 'domains':
			return peer.names.map((pattern) => ({ kind: 'domain', pattern }));
	}
}

function networkPort({ protocol, port, endPort }: PolicyPort): PortSpec {
	const number = PROTOCOL_NUMBER[protocol];
	if (typeof port === 'string') return { name: port, protocol: number };
	return { first: (number << 16) | (port ?? 0), last: (number << 16) | (endPort ?? port ?? 0xffff) };
}

function clusterPort(port: ClusterPort): PortSpec {
	if (port.kind === 'named') return { name: port.name, protocol: null };
	const number = PROTOCOL_NUMBER[port.protocol];
	return { first: (number << 16) | port.first, last: (number << 16) | port.last };
}

/** Ingress: names are those of the subject, known now. Egress: of the peer, known with the identity. */
function resolve(ports: readonly PortSpec[], { direction, ports: named }: ProgramInput): readonly PortSpec[] {
	return direction === 'egress' ? ports : ports.flatMap((port) => rangesOf(port, named));
}

function rangesOf(port: PortSpec, named: readonly NamedPort[]): readonly PortRange[] {
	if (!('name' in port)) return [port];
	return named
		.filter(
			({ name, protocol }) =>
				name === port.name && (port.protocol ?? PROTOCOL_NUMBER[protocol]) === PROTOCOL_NUMBER[protocol],
		)
		.map(({ protocol, port: number }) => {
			const at = (PROTOCOL_NUMBER[protocol] << 16) | number;
			return { first: at, last: at };
		});
}

/** A name at a pod that is not known may be any port: a Deny rule then is about all. */
function rangesOfRule(
	{ action, ports }: ProgramRule,
	named: readonly NamedPort[],
	unknown: boolean,
): readonly PortRange[] {
	if (unknown && action === 'deny' && ports.some((port) => 'name' in port)) return [ALL_PORTS];
	return ports.flatMap((port) => rangesOf(port, named));
}

function audience(rules: readonly ProgramRule[], taken: readonly Matcher[]) {
	const byMatcher = new Map<Matcher, number[]>(
		taken.filter((matcher) => !isUniversal(matcher)).map((each) => [each, []]),
	);
	const aboutAll: number[] = [];
	const aboutPods: number[] = [];
	for (const [i, { matchers }] of rules.entries()) {
		if (matchers === null) aboutAll.push(i);
		else if (matchers.some(isUniversal)) aboutPods.push(i);
		for (const matcher of new Set(matchers ?? [])) byMatcher.get(matcher)?.push(i);
	}
	return { byMatcher, aboutAll, aboutPods };
}

function isUniversal(matcher: Matcher): boolean {
	return matcher.kind === 'pods' && matcher.universal;
}

/** The row of pods that no selector names. */
export function podsRow(program: Program): Row {
	return once(program, 'pods', () => [...program.aboutAll, ...program.aboutPods]);
}

/** The row of everybody else that no block contains. */
export function othersRow(program: Program): Row {
	return once(program, 'others', () => program.aboutAll);
}

/** Defaults are asked for at every change: they are found without a signature. */
function once(program: Program, name: string, rules: () => readonly number[]): Row {
	let row = program.memo.get(name);
	if (row === undefined) {
		row = answer(program, inOrderOnce([...rules()]), [], false, false);
		program.memo.set(name, row);
	}
	return row;
}

/** Numbers of the rules whose peers include the identity, in order and each once. */
export function concernedRules(program: Program, identity: Identity): readonly number[] {
	const { base, prefix } = identity;
	const concerned = [...program.aboutAll];
	if (base.kind === 'pod') concerned.push(...program.aboutPods);
	for (const matchers of [base.matchers, prefix?.matchers]) {
		for (const matcher of matchers ?? []) {
			const rules = program.byMatcher.get(matcher);
			if (rules !== undefined) concerned.push(...rules);
		}
	}
	if (base.kind === 'unknown-pod') {
		for (const [i, { action, matchers }] of program.rules.entries()) {
			if (action === 'deny' && matchers?.some(({ kind }) => kind === 'pods')) concerned.push(i);
		}
	}
	return inOrderOnce(concerned);
}

function inOrderOnce(numbers: number[]): readonly number[] {
	if (numbers.length < 2) return numbers;
	numbers.sort((a, b) => a - b);
	return numbers.filter((number, i) => number !== numbers[i - 1]);
}

/** Ports of a rule towards one identity. */
export function portsOf(program: Program, rule: ProgramRule, identity: Identity): readonly PortRange[] {
	const unknown = identity.base.kind === 'unknown-pod';
	return rangesOfRule(rule, program.direction === 'egress' ? identity.base.ports : [], unknown);
}

/** The row of one identity. @param self  the identity is the subject's own, by way of a service */
export function rowFor(program: Program, identity: Identity, self = false): Row {
	const { kind, ports } = identity.base;
	return answer(program, concernedRules(program, identity), ports, kind === 'unknown-pod', self);
}

const NO_PORTS: readonly NamedPort[] = [];

function formatPort({ name, protocol, port }: NamedPort): string {
	return `${name}=${protocol}:${port}`;
}

function answer(
	program: Program,
	rules: readonly number[],
	named: readonly NamedPort[],
	unknown: boolean,
	self: boolean,
): Row {
	if (program.open) return OPEN_ROW;
	const relevant =
		program.portNames.length === 0 ? NO_PORTS : named.filter(({ name }) => program.portNames.includes(name));
	const ports = relevant.length === 0 ? '' : relevant.map(formatPort).sort().join();
	const signature = `${rules.join()} ${ports}${unknown ? ' u' : ''}${self ? ' s' : ''}`;
	const known = program.memo.get(signature);
	if (known !== undefined) return known;
	const applicable = rules.map((i): ApplicableRule => {
		const rule = program.rules[i] as ProgramRule;
		const { tier, action, cookie, audit } = rule;
		return { tier, action, cookie, audit, ranges: rangesOfRule(rule, relevant, unknown) };
	});
	const { isolated, isolatedInForce, isolation } = program;
	const numbers = { notAllowed: isolation.all.cookie, notAllowedInForce: isolation.inForce.cookie };
	const row = compileRow({ rules: applicable, isolated, isolatedInForce, self, ...numbers });
	program.memo.set(signature, row);
	return row;
}
