/** What `fairlead policy list` and `get` show. Pure. */
import type { LabelSelector } from '../../model/policy-selector.ts';
import { formatSelector } from '../../model/policy-selector.ts';
import type { PolicyCompiler } from './compiler.ts';
import type { Matcher } from './matchers.ts';
import type { PortSpec } from './programs.ts';
import { ruleName } from './programs.ts';
import type { PolicyEntry } from './sets.ts';
import { policyName } from './sets.ts';
import type { Direction } from './types.ts';
import { DIRECTIONS } from './types.ts';

export interface PolicySummary {
	/** 'NetworkPolicy ns/name' */
	readonly name: string;
	/** 'Admin 10', 'Baseline 0' or '' */
	readonly tier: string;
	/** Whom it selects, as a selector. */
	readonly subject: string;
	readonly directions: readonly Direction[];
	/** Pods of this node that it selects. */
	readonly pods: readonly string[];
	/** Fields that are not known, and sets that could not be programmed: why it denies more than it says. */
	readonly problems: readonly string[];
}

export interface RuleReport {
	readonly name: string;
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
	return [...compiler.policies.all()]
		.map((entry) => summarise(compiler, entry, closed))
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
	return { ...summarise(compiler, entry, closed), rules: rulesOf(compiler, entry) };
}

function summarise(compiler: PolicyCompiler, { object }: PolicyEntry, closed: readonly ClosedReport[]): PolicySummary {
	const name = policyName(object);
	const { value } = object;
	const sets = [...compiler.sets()].filter(({ policies }) => policies.includes(name));
	const problems = [
		...value.unsupported.map(({ path, message }) => `${path}: ${message}`),
		...closed.filter(({ policies }) => policies.includes(name)).map(({ reason }) => `denies everything: ${reason}`),
	];
	const directions = DIRECTIONS.filter((direction) =>
		object.kind === 'NetworkPolicy' ? object.value[direction] !== null : object.value[direction].length > 0,
	);
	return {
		name,
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

function rulesOf(compiler: PolicyCompiler, { object }: PolicyEntry): RuleReport[] {
	const inForce = new Map(
		[...compiler.sets()].flatMap(({ programs }) =>
			DIRECTIONS.flatMap((direction) => programs[direction].rules.map((rule) => [rule.name, rule] as const)),
		),
	);
	return DIRECTIONS.flatMap((direction) =>
		(object.value[direction] ?? []).map((_, index): RuleReport => {
			const name = ruleName(object, direction, index);
			const rule = inForce.get(name);
			const matchers = rule?.matchers;
			return {
				name,
				cookie: rule?.cookie,
				action: rule?.action ?? '',
				peers: matchers === null ? ['everybody'] : (matchers?.map(({ key }) => key) ?? []),
				ports: rule?.ports.map(formatPorts) ?? [],
				identities: matchers === null ? null : countIdentities(matchers ?? []),
			};
		}),
	);
}

function countIdentities(matchers: readonly Matcher[]): number {
	const found = new Set<unknown>();
	for (const matcher of matchers) {
		for (const { identities } of matcher.members) for (const each of identities) found.add(each);
		if (matcher.kind !== 'block') continue;
		for (const { identities } of matcher.prefixes) for (const each of identities) found.add(each);
	}
	return found.size;
}

const NAMES: Readonly<Record<number, string>> = { 6: 'TCP', 17: 'UDP', 132: 'SCTP' };

function formatPorts(spec: PortSpec): string {
	if ('name' in spec) return spec.protocol === null ? spec.name : `${spec.name}/${NAMES[spec.protocol]}`;
	if (spec.first === 0 && spec.last === 0xffffff) return 'all';
	const [first, last] = [spec.first & 0xffff, spec.last & 0xffff];
	const ports = first === 0 && last === 0xffff ? '*' : first === last ? `${first}` : `${first}-${last}`;
	return `${ports}/${NAMES[spec.first >>> 16]}`;
}
