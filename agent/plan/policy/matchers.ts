/**
 * Peers of rules, each distinct one once: who they match is kept up to date as pods, nodes, namespaces and peers come and
 * go, with work only for those concerned.
 */
import type { Address, Cidr } from '../../model/address.ts';
import type { LabelSelector } from '../../model/policy-selector.ts';
import { formatSelector } from '../../model/policy-selector.ts';
import { DomainNames } from './domain-names.ts';
import type { Identity } from './identities.ts';
import type { Bits, Prefix } from './prefixes.ts';
import { cidrBits, PrefixTable } from './prefixes.ts';
import type { Program } from './programs.ts';
import type { Labels } from './selectors.ts';
import { anchorOf, labelPair, MultiMap, SelectorIndex, selects } from './selectors.ts';
import type { NamedPort } from './types.ts';

/** What identities are made of, besides the prefix: a set of labels, or a kind of address. */
export interface Base {
	readonly key: string;
	readonly kind: 'pod' | 'node' | 'unknown-pod' | 'outside';
	/** Pods: '' otherwise. */
	readonly namespace: string;
	readonly labels: Labels;
	readonly ports: readonly NamedPort[];
	readonly matchers: Set<Matcher>;
	readonly identities: Set<Identity>;
}

interface MatcherState {
	/** Equal peers have equal keys. */
	readonly key: string;
	/** Programs in force that use it. */
	readonly programs: Set<Program>;
	readonly members: Set<Base>;
	refs: number;
}

export interface PodMatcher extends MatcherState {
	readonly kind: 'pods';
	/** The only namespace; null = those of the selector. */
	readonly namespace: string | null;
	readonly namespaceSelector: LabelSelector;
	readonly podSelector: LabelSelector;
	/** Matches every pod: it is part of the default and has no members. */
	readonly universal: boolean;
}

export interface NodeMatcher extends MatcherState {
	readonly kind: 'nodes';
	readonly selector: LabelSelector;
}

/** Pods that have a container port of this name; no peer of its own, but what it matches needs rows of its own. */
export interface PortMatcher extends MatcherState {
	readonly kind: 'port';
	readonly name: string;
}

export interface BlockMatcher extends MatcherState {
	readonly kind: 'block';
	readonly cidr: Cidr;
	readonly exceptCidrs: readonly Cidr[];
	readonly bits: Bits;
	readonly except: readonly Bits[];
	/** Prefixes inside the block. */
	readonly prefixes: Set<Prefix>;
}

/** Addresses that have been learnt for names. */
export interface DomainMatcher extends MatcherState {
	readonly kind: 'domain';
	/** As in ClusterPeer. */
	readonly pattern: string;
	/** Stand-ins for groups of such addresses; see PrefixTable.setHost(). */
	readonly prefixes: Set<Prefix>;
}

export type Matcher = PodMatcher | NodeMatcher | PortMatcher | BlockMatcher | DomainMatcher;

/** What a matcher is made from. */
export type MatcherSpec =
	| Pick<PodMatcher, 'kind' | 'namespace' | 'namespaceSelector' | 'podSelector'>
	| Pick<NodeMatcher, 'kind' | 'selector'>
	| Pick<PortMatcher, 'kind' | 'name'>
	| Pick<DomainMatcher, 'kind' | 'pattern'>
	| { readonly kind: 'block'; readonly cidr: Cidr; readonly except: readonly Cidr[] };

function keyOf(spec: MatcherSpec): string {
	switch (spec.kind) {
		case 'pods': {
			const where = spec.namespace === null ? `in ${formatSelector(spec.namespaceSelector)}` : `of ${spec.namespace}`;
			return `pods ${where} with ${formatSelector(spec.podSelector)}`;
		}
		case 'nodes':
			return `nodes ${formatSelector(spec.selector)}`;
		case 'port':
			return `port ${spec.name}`;
		case 'domain':
			return `domain ${spec.pattern}`;
		case 'block':
			return `block ${spec.cidr} but ${[...spec.except].sort().join(' ')}`;
	}
}

function makeMatcher(spec: MatcherSpec, key: string): Matcher {
	const state: MatcherState = { key, programs: new Set(), members: new Set(), refs: 1 };
	switch (spec.kind) {
		case 'pods': {
			const universal = spec.namespace === null && spec.namespaceSelector.length === 0 && spec.podSelector.length === 0;
			return { ...state, ...spec, universal };
		}
		case 'block': {
			const { cidr, except: exceptCidrs } = spec;
			const bits = { bits: cidrBits(cidr), except: exceptCidrs.map(cidrBits) };
			return { ...state, kind: 'block', cidr, exceptCidrs, ...bits, prefixes: new Set() };
		}
		case 'domain':
			return { ...state, ...spec, prefixes: new Set() };
		default:
			return { ...state, ...spec };
	}
}

/** Changes of what a base or prefix matches. */
export type OnMembership = (base: Base, matcher: Matcher) => void;

export class MatcherTable {
	readonly prefixes = new PrefixTable();
	/** Prefixes added and removed since they were taken: addresses in them have to be looked at. */
	readonly changedPrefixes = new Set<Prefix>();
	/** Addresses of names that stand for something else now; emptied by whoever has looked. */
	readonly changedHosts = new Set<Address>();
	readonly #domains = new DomainNames();
	/** Labels of a namespace as selectors see them. */
	readonly #namespaceLabels: (namespace: string) => Labels;
	readonly #onMembership: OnMembership;
	readonly #matchers = new Map<string, Matcher>();
	readonly #own = new Map<string, SelectorIndex<PodMatcher>>();
	readonly #global = new SelectorIndex<PodMatcher>();
	readonly #nodes = new Set<NodeMatcher>();
	readonly #ports = new Map<string, PortMatcher>();
	/** Text of a namespace selector → answers by namespace. */
	readonly #answers = new Map<string, Map<string, boolean>>();
	readonly #byPair = new MultiMap<Base>();
	readonly #byKey = new MultiMap<Base>();
	readonly #byNamespace = new MultiMap<Base>();
	readonly #byPort = new MultiMap<Base>();
	readonly #nodeBases = new Set<Base>();

	constructor(namespaceLabels: (namespace: string) => Labels, onMembership: OnMembership) {
		this.#namespaceLabels = namespaceLabels;
		this.#onMembership = onMembership;
	}

	/** Some rule selects nodes by label, so that each node needs an identity of its own. */
	get tellsNodesApart(): boolean {
		return this.#nodes.size > 0;
	}

	acquire(spec: MatcherSpec): Matcher {
		const key = keyOf(spec);
		const found = this.#matchers.get(key);
		if (found !== undefined) {
			found.refs++;
			return found;
		}
		const matcher = makeMatcher(spec, key);
		this.#matchers.set(key, matcher);
		this.#index(matcher);
		for (const base of this.#membersOf(matcher)) this.#join(base, matcher);
		return matcher;
	}

	release(matcher: Matcher): void {
		if (--matcher.refs > 0) return;
		this.#matchers.delete(matcher.key);
		for (const base of matcher.members) base.matchers.delete(matcher);
		if (matcher.kind === 'pods') this.#indexOf(matcher).delete(matcher.podSelector, matcher);
		else if (matcher.kind === 'nodes') this.#nodes.delete(matcher);
		else if (matcher.kind === 'port') this.#ports.delete(matcher.name);
		else if (matcher.kind === 'domain') this.#placeHosts(this.#domains.removeMatcher(matcher));
		else this.#notePrefixes(this.prefixes.removeBlock(matcher));
	}

	/** Names of an address that have been learnt; none = it is forgotten. */
	setNames(address: Address, names: ReadonlySet<string>): void {
		if (this.#domains.set(address, names)) this.#placeHosts([address]);
	}

	#placeHosts(addresses: Iterable<Address>): void {
		for (const address of addresses) {
			if (this.prefixes.setHost(address, this.#domains.matchersOf(address))) this.changedHosts.add(address);
		}
	}

	#notePrefixes(changed: readonly Prefix[]): void {
		for (const prefix of changed) this.changedPrefixes.add(prefix);
		if (changed.length > 0) this.prefixes.placeHosts();
	}

	addBase(base: Base): void {
		this.#postings(base, (map, key) => map.add(key, base));
		if (base.kind === 'node') this.#nodeBases.add(base);
		for (const matcher of this.#matchersOf(base)) this.#join(base, matcher);
	}

	removeBase(base: Base): void {
		this.#postings(base, (map, key) => map.delete(key, base));
		this.#nodeBases.delete(base);
		for (const matcher of base.matchers) matcher.members.delete(base);
		base.matchers.clear();
	}

	/** The labels of a namespace changed: looks at its pods again. */
	refreshNamespace(namespace: string): void {
		for (const answers of this.#answers.values()) answers.delete(namespace);
		for (const base of this.#byNamespace.get(namespace)) {
			const now = this.#matchersOf(base);
			for (const matcher of [...base.matchers]) {
				if (now.has(matcher)) continue;
				base.matchers.delete(matcher);
				matcher.members.delete(base);
				this.#onMembership(base, matcher);
			}
			for (const matcher of now) if (!base.matchers.has(matcher)) this.#join(base, matcher);
		}
	}

	/** True when the namespace has what the selector wants. */
	selectsNamespace(selector: LabelSelector, namespace: string): boolean {
		if (selector.length === 0) return true;
		const text = formatSelector(selector);
		let answers = this.#answers.get(text);
		if (answers === undefined) {
			answers = new Map();
			this.#answers.set(text, answers);
		}
		let answer = answers.get(namespace);
		if (answer === undefined) {
			answer = selects(selector, this.#namespaceLabels(namespace));
			answers.set(namespace, answer);
		}
		return answer;
	}

	#join(base: Base, matcher: Matcher): void {
		base.matchers.add(matcher);
		matcher.members.add(base);
		this.#onMembership(base, matcher);
	}

	#index(matcher: Matcher): void {
		if (matcher.kind === 'pods') {
			if (!matcher.universal) this.#indexOf(matcher).add(matcher.podSelector, matcher);
		} else if (matcher.kind === 'nodes') this.#nodes.add(matcher);
		else if (matcher.kind === 'port') this.#ports.set(matcher.name, matcher);
		else if (matcher.kind === 'domain') this.#placeHosts(this.#domains.addMatcher(matcher));
		else this.#notePrefixes(this.prefixes.addBlock(matcher));
	}

	#indexOf(matcher: PodMatcher): SelectorIndex<PodMatcher> {
		if (matcher.namespace === null) return this.#global;
		let index = this.#own.get(matcher.namespace);
		if (index === undefined) {
			index = new SelectorIndex();
			this.#own.set(matcher.namespace, index);
		}
		return index;
	}

	#postings(base: Base, each: (map: MultiMap<Base>, key: string) => void): void {
		if (base.kind !== 'pod') return;
		each(this.#byNamespace, base.namespace);
		for (const [key, value] of Object.entries(base.labels)) {
			each(this.#byPair, labelPair(key, value));
			each(this.#byKey, key);
		}
		for (const { name } of base.ports) each(this.#byPort, name);
	}

	/** What matches a base, from nothing. Blocks match prefixes, not bases. */
	#matchersOf(base: Base): Set<Matcher> {
		const found = new Set<Matcher>();
		if (base.kind === 'node') {
			for (const matcher of this.#nodes) if (selects(matcher.selector, base.labels)) found.add(matcher);
		}
		if (base.kind !== 'pod') return found;
		const ask = (matcher: PodMatcher): void => {
			if (!found.has(matcher) && this.#matches(matcher, base)) found.add(matcher);
		};
		this.#own.get(base.namespace)?.candidates(base.labels, ask);
		this.#global.candidates(base.labels, ask);
		for (const { name } of base.ports) {
			const matcher = this.#ports.get(name);
			if (matcher !== undefined) found.add(matcher);
		}
		return found;
	}

	#matches(matcher: PodMatcher, base: Base): boolean {
		const where =
			matcher.namespace === null
				? this.selectsNamespace(matcher.namespaceSelector, base.namespace)
				: matcher.namespace === base.namespace;
		return where && selects(matcher.podSelector, base.labels);
	}

	/** Whom a new matcher matches, from nothing. */
	*#membersOf(matcher: Matcher): Iterable<Base> {
		switch (matcher.kind) {
			case 'block':
			case 'domain':
				return;
			case 'nodes':
				for (const base of this.#nodeBases) if (selects(matcher.selector, base.labels)) yield base;
				return;
			case 'port':
				yield* this.#byPort.get(matcher.name);
				return;
			case 'pods':
				if (matcher.universal) return;
				for (const set of this.#candidateSets(matcher)) {
					for (const base of set) if (this.#matches(matcher, base)) yield base;
				}
		}
	}

	#candidateSets(matcher: PodMatcher): readonly ReadonlySet<Base>[] {
		const anchor = anchorOf(matcher.podSelector);
		const byLabel =
			anchor === undefined
				? undefined
				: anchor.operator === 'Exists'
					? [this.#byKey.get(anchor.key)]
					: anchor.values.map((value) => this.#byPair.get(labelPair(anchor.key, value)));
		if (matcher.namespace !== null) {
			const own = this.#byNamespace.get(matcher.namespace);
			const labelled = byLabel?.reduce((sum, set) => sum + set.size, 0) ?? Number.POSITIVE_INFINITY;
			return byLabel !== undefined && labelled < own.size ? byLabel : [own];
		}
		if (byLabel !== undefined) return byLabel;
		return [...this.#byNamespace.keys()]
			.filter((namespace) => this.selectsNamespace(matcher.namespaceSelector, namespace))
			.map((namespace) => this.#byNamespace.get(namespace));
	}
}
