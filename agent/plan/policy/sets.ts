/**
 * Policy sets: what pods selected by the same policies share. Which policies select a pod, and the programs they make.
 */
import type { Pod } from '../../model/pod.ts';
import type { CookieTable } from './cookies.ts';
import type { MatcherTable } from './matchers.ts';
import type { PolicyObject, Program } from './programs.ts';
import { buildProgram, othersRow, podsRow, releaseProgram } from './programs.ts';
import { selects } from './selectors.ts';
import type { Direction, NamedPort, Row, SetState } from './types.ts';
import { DIRECTIONS } from './types.ts';

/** A policy with what belongs to it. */
export interface PolicyEntry {
	readonly object: PolicyObject;
	/** Grows with every version of any policy. */
	readonly revision: number;
	/** Container port names that its ingress rules use: they tell subjects apart. */
	readonly ingressPortNames: readonly string[];
}

export interface PolicySet {
	readonly number: number;
	readonly key: string;
	/** Keys of policies, sorted: 'NetworkPolicy ns/name'. */
	readonly policies: readonly string[];
	/** Named ports of its pods that ingress rules use. */
	readonly ports: readonly NamedPort[];
	/** Local pods, 'namespace/name'. */
	readonly pods: Set<string>;
	programs: Readonly<Record<Direction, Program>>;
	/** Rows by policy_key.peer. */
	rows: Map<number, Row>;
	state: SetState;
}

/** Name of a policy among both kinds. */
export function policyName(object: Pick<PolicyObject, 'kind' | 'key'>): string {
	return `${object.kind} ${object.key}`;
}

export function makeEntry(object: PolicyObject, revision: number): PolicyEntry {
	const names = new Set<string>();
	if (object.kind === 'NetworkPolicy') {
		for (const rule of object.value.ingress ?? [])
			for (const { port } of rule.ports ?? []) if (typeof port === 'string') names.add(port);
	} else {
		for (const rule of object.value.ingress)
			for (const port of rule.ports ?? []) if (port.kind === 'named') names.add(port.name);
	}
	return { object, revision, ingressPortNames: [...names].sort() };
}

/** The policies in force, by what they may select. */
export class PolicyTable {
	readonly #entries = new Map<string, PolicyEntry>();
	readonly #byNamespace = new Map<string, Set<string>>();
	readonly #cluster = new Set<string>();
	#revision = 0;

	/** Changes with every policy that is set or deleted. */
	get revision(): number {
		return this.#revision;
	}

	get(name: string): PolicyEntry | undefined {
		return this.#entries.get(name);
	}

	all(): Iterable<PolicyEntry> {
		return this.#entries.values();
	}

	set(object: PolicyObject): void {
		const name = policyName(object);
		this.#entries.set(name, makeEntry(object, ++this.#revision));
		if (object.kind === 'ClusterNetworkPolicy') this.#cluster.add(name);
		else {
			const { namespace } = object.value;
			const own = this.#byNamespace.get(namespace) ?? new Set();
			this.#byNamespace.set(namespace, own.add(name));
		}
	}

	delete(name: string): void {
		const entry = this.#entries.get(name);
		if (entry === undefined) return;
		this.#entries.delete(name);
		this.#revision++;
		this.#cluster.delete(name);
		if (entry.object.kind === 'NetworkPolicy') this.#byNamespace.get(entry.object.value.namespace)?.delete(name);
	}

	/** Names of the policies that select a pod, sorted. */
	selecting(pod: Pick<Pod, 'namespace' | 'labels'>, matchers: MatcherTable): readonly string[] {
		const names: string[] = [];
		for (const name of this.#byNamespace.get(pod.namespace) ?? []) {
			const { object } = this.#entries.get(name) as PolicyEntry;
			if (object.kind !== 'NetworkPolicy' || !selects(object.value.podSelector, pod.labels)) continue;
			if (object.value.ingress !== null || object.value.egress !== null) names.push(name);
		}
		for (const name of this.#cluster) {
			const { object } = this.#entries.get(name) as PolicyEntry;
			if (object.kind !== 'ClusterNetworkPolicy') continue;
			const { namespaceSelector, podSelector } = object.value.subject;
			if (!selects(podSelector, pod.labels) || !matchers.selectsNamespace(namespaceSelector, pod.namespace)) continue;
			names.push(name);
		}
		return names.sort();
	}

	/** Is there a policy in force that could select a pod of the namespace, whatever its labels? */
	mayConcern(namespace: string, matchers: MatcherTable): boolean {
		return [...(this.#byNamespace.get(namespace) ?? []), ...this.#cluster].some((name) => {
			const object = this.#entries.get(name)?.object;
			if (object === undefined || object.value.audit) return false;
			if (object.kind === 'NetworkPolicy') return true;
			return matchers.selectsNamespace(object.value.subject.namespaceSelector, namespace);
		});
	}

	/** Named ports of a pod that make a difference to these policies, as canonical list. */
	relevantPorts(pod: Pod, policies: readonly string[]): readonly NamedPort[] {
		const names = new Set(policies.flatMap((name) => this.#entries.get(name)?.ingressPortNames ?? []));
		if (names.size === 0) return [];
		return (pod.namedPorts ?? [])
			.filter(({ name }) => names.has(name))
			.toSorted((a, b) => (formatPort(a) < formatPort(b) ? -1 : 1));
	}
}

export function formatPort({ name, protocol, port }: NamedPort): string {
	return `${name}=${protocol}:${port}`;
}

export function setKey(policies: readonly string[], ports: readonly NamedPort[]): string {
	return `${policies.join('|')}#${ports.map(formatPort).join()}`;
}

/** Programs by what they are made of; sets with the same rules in a direction share one. */
export class ProgramTable {
	/** Those with policies that threw while they were compiled. */
	readonly broken = new Set<Program>();
	readonly #programs = new Map<string, Program>();
	readonly #matchers: MatcherTable;
	readonly #cookies: CookieTable;

	constructor(matchers: MatcherTable, cookies: CookieTable) {
		this.#matchers = matchers;
		this.#cookies = cookies;
	}

	/** Both directions; to be given back with release(). */
	acquire(entries: readonly PolicyEntry[], ports: readonly NamedPort[]): Record<Direction, Program> {
		const of = (direction: Direction): Program => {
			const own = entries.filter(({ object }) => says(object, direction));
			const versions = own.map(({ object, revision }) => `${policyName(object)}@${revision}`).join('|');
			const named = direction === 'ingress' ? ports : [];
			const key = `${direction} ${versions}#${named.map(formatPort).join()}`;
			const found = this.#programs.get(key);
			if (found !== undefined) {
				found.refs++;
				return found;
			}
			const policies = own.map(({ object }) => object);
			const program = buildProgram({ key, direction, policies, ports: named }, this.#matchers, this.#cookies);
			this.#programs.set(key, program);
			if (program.broken.size > 0) this.broken.add(program);
			return program;
		};
		return { ingress: of('ingress'), egress: of('egress') };
	}

	release(programs: Readonly<Record<Direction, Program>>): void {
		for (const direction of DIRECTIONS) {
			const program = programs[direction];
			if (--program.refs > 0) continue;
			this.#programs.delete(program.key);
			this.broken.delete(program);
			releaseProgram(program, this.#matchers, this.#cookies);
		}
	}

	/** The set begins to use its programs: their matchers tell from now on. */
	activate(set: PolicySet): void {
		for (const direction of DIRECTIONS) {
			const program = set.programs[direction];
			program.sets.add(set);
			for (const matcher of program.byMatcher.keys()) matcher.programs.add(program);
		}
	}

	deactivate(set: PolicySet): void {
		for (const direction of DIRECTIONS) {
			const program = set.programs[direction];
			program.sets.delete(set);
			if (program.sets.size > 0) continue;
			for (const matcher of program.byMatcher.keys()) matcher.programs.delete(program);
		}
	}
}

/** Is some policy of the set not in audit mode, so that it may deny? */
export function enforces({ programs }: Pick<PolicySet, 'programs'>): boolean {
	return Object.values(programs).some(
		({ rules, isolatedInForce }) => isolatedInForce || rules.some(({ audit }) => !audit),
	);
}

/** Does the policy say anything about a direction? */
function says(object: PolicyObject, direction: Direction): boolean {
	return object.kind === 'NetworkPolicy' ? object.value[direction] !== null : object.value[direction].length > 0;
}

export function stateOf(programs: Readonly<Record<Direction, Program>>): SetState {
	const { ingress, egress } = programs;
	return {
		open: { ingress: ingress.open, egress: egress.open },
		pods: { ingress: podsRow(ingress), egress: podsRow(egress) },
		others: { ingress: othersRow(ingress), egress: othersRow(egress) },
	};
}

export function sameState(a: SetState, b: SetState): boolean {
	return DIRECTIONS.every(
		(direction) =>
			a.open[direction] === b.open[direction] &&
			a.pods[direction].key === b.pods[direction].key &&
			a.others[direction].key === b.others[direction].key,
	);
}
