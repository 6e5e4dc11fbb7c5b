/**
 * Objects → policy rows, incrementally: a change costs what depends on it. Holds no kernel state and does no I/O; what it
 * returns are steps, each of which leaves every flow judged as before or as after at any point in between.
 *
 * A change of policies is three steps: prefixes and nodes that the new rules tell apart get identities of their own (judged as
 * before), then the rules change, then identities that no rule tells apart any more fall together (judged as after).
 */
import type { Address, Cidr } from '../../model/address.ts';
import type { ClusterNetworkPolicy } from '../../model/cluster-network-policy.ts';
import type { NetworkPolicy } from '../../model/network-policy.ts';
import type { Namespace, Node } from '../../model/node.ts';
import type { Pod } from '../../model/pod.ts';
import type { PeerRow } from '../peers.ts';
import { AddressBook, isAddressed } from './address-book.ts';
import { CookieTable } from './cookies.ts';
import { NumberPool } from './identities.ts';
import { IdentityMap } from './identity-map.ts';
import { MatcherTable } from './matchers.ts';
import type { PolicyObject } from './programs.ts';
import type { PolicyEntry, PolicySet } from './sets.ts';
import { PolicyTable, ProgramTable, policyName, setKey, stateOf } from './sets.ts';
import { StepBuilder } from './step-builder.ts';
import type { PolicyStep } from './types.ts';

/** What changed; null = deleted. */
export interface PolicyInput {
	readonly namespaces?: ReadonlyMap<string, Namespace | null>;
	readonly pods?: ReadonlyMap<string, Pod | null>;
	readonly nodes?: ReadonlyMap<string, Node | null>;
	readonly networkPolicies?: ReadonlyMap<string, NetworkPolicy | null>;
	readonly clusterNetworkPolicies?: ReadonlyMap<string, ClusterNetworkPolicy | null>;
	/** All of them, if they changed: addresses of the own node's interfaces. */
	readonly ownAddresses?: readonly Address[];
	/** All of them, if they changed: cidrs of planPeers(). */
	readonly peerCidrs?: ReadonlyMap<Cidr, PeerRow>;
}

/** Numbers an earlier run has left in the kernel; whoever had one gets it again. */
export interface PolicyHints {
	readonly addresses: ReadonlyMap<Address, number>;
	readonly cidrs: ReadonlyMap<Cidr, number>;
	/** By pod. */
	readonly sets: ReadonlyMap<string, number>;
}

interface LocalPod {
	readonly pod: Pod;
	set: PolicySet | null;
}

const NO_HINTS: PolicyHints = { addresses: new Map(), cidrs: new Map(), sets: new Map() };

export class PolicyCompiler {
	readonly cookies = new CookieTable();
	readonly policies = new PolicyTable();
	readonly book: AddressBook;
	readonly matchers: MatcherTable;
	readonly identities: IdentityMap;
	readonly #nodeName: string;
	readonly #programs: ProgramTable;
	readonly #namespaces = new Map<string, Namespace>();
	readonly #sets = new Map<string, PolicySet>();
	readonly #byNumber = new Map<number, PolicySet>();
	readonly #setNumbers = new NumberPool(1);
	readonly #local = new Map<string, LocalPod>();
	readonly #localByNamespace = new Map<string, Set<string>>();
	readonly #build: StepBuilder;
	readonly #hints: PolicyHints;
	/** Pods whose policies have to be looked at, and sets one of whose policies changed. */
	readonly #dirtyPods = new Set<string>();
	readonly #dirtySets = new Set<PolicySet>();
	/** Sets that a pod has left. */
	readonly #leftSets = new Set<PolicySet>();

	constructor(options: { readonly nodeName: string; readonly hints?: PolicyHints }) {
		this.#nodeName = options.nodeName;
		this.#hints = options.hints ?? NO_HINTS;
		for (const number of this.#hints.sets.values()) this.#setNumbers.avoid(number);
		this.book = new AddressBook(options.nodeName);
		this.matchers = new MatcherTable(
			(namespace) => ({ ...this.#namespaces.get(namespace)?.labels, 'kubernetes.io/metadata.name': namespace }),
			(base, matcher) => this.#build.touchMember(base, matcher),
		);
		this.#programs = new ProgramTable(this.matchers, this.cookies);
		this.identities = new IdentityMap(this.book, this.matchers, this.#hints);
		this.#build = new StepBuilder({
			identities: this.identities,
			book: this.book,
			sets: () => this.#sets.values(),
			setOfPod: (pod) => this.#local.get(pod)?.set ?? null,
		});
	}

	/** Takes changes in. @returns steps to be done in order; empty ones are left out */
	apply(input: PolicyInput): readonly PolicyStep[] {
		const steps: PolicyStep[] = [];
		const policies = [
			...entriesOf(input.networkPolicies, 'NetworkPolicy'),
			...entriesOf(input.clusterNetworkPolicies, 'ClusterNetworkPolicy'),
		];
		for (const { name, object } of policies) this.#setPolicy(name, object);
		if (policies.length > 0) this.#settle(steps);
		if (input.peerCidrs !== undefined) this.book.setPeers(input.peerCidrs);
		if (input.ownAddresses !== undefined) this.book.setOwnAddresses(input.ownAddresses);
		for (const [name, node] of input.nodes ?? []) this.book.setNode(name, node);
		for (const [name, namespace] of input.namespaces ?? []) this.#setNamespace(name, namespace);
		for (const [key, pod] of input.pods ?? []) this.#setPod(key, pod);
		this.#flush(steps);
		this.#settle(steps);
		return steps;
	}

	/** Numbers that the kernel has nothing of any more. */
	free(numbers: { readonly sets: Iterable<number>; readonly identities: Iterable<number> }): void {
		for (const number of numbers.sets) this.#setNumbers.give(number);
		for (const number of numbers.identities) this.identities.free(number);
	}

	sets(): Iterable<PolicySet> {
		return this.#sets.values();
	}

	setByNumber(number: number): PolicySet | undefined {
		return this.#byNumber.get(number);
	}

	/** Pods of this node with the set that judges them; null = no policy selects the pod. */
	*localPods(): Iterable<{ readonly key: string; readonly pod: Pod; readonly set: PolicySet | null }> {
		for (const [key, { pod, set }] of this.#local) yield { key, pod, set };
	}

	/** The set of a local pod: null = no policy selects it, undefined = not a pod of this node. */
	setOf(pod: string): PolicySet | null | undefined {
		return this.#local.get(pod)?.set;
	}

	#setPolicy(name: string, object: PolicyObject | null): void {
		const old = this.policies.get(name)?.object;
		for (const each of [old, object ?? undefined]) {
			if (each === undefined) continue;
			const scope =
				each.kind === 'NetworkPolicy' ? (this.#localByNamespace.get(each.value.namespace) ?? []) : this.#local.keys();
			for (const pod of scope) this.#dirtyPods.add(pod);
		}
		if (object === null) this.policies.delete(name);
		else this.policies.set(object);
		for (const set of this.#sets.values()) if (set.policies.includes(name)) this.#dirtySets.add(set);
	}

	#setNamespace(name: string, namespace: Namespace | null): void {
		if (namespace === null) this.#namespaces.delete(name);
		else this.#namespaces.set(name, namespace);
		this.matchers.refreshNamespace(name);
		for (const pod of this.#localByNamespace.get(name) ?? []) this.#dirtyPods.add(pod);
	}

	#setPod(key: string, pod: Pod | null): void {
		this.book.setPod(key, pod);
		const local = pod !== null && pod.node === this.#nodeName && isAddressed(pod);
		const old = this.#local.get(key);
		if (!local && old === undefined) return;
		const namespace = (pod ?? old?.pod)?.namespace ?? '';
		if (local) {
			this.#local.set(key, { pod, set: old?.set ?? null });
			const own = this.#localByNamespace.get(namespace) ?? new Set();
			this.#localByNamespace.set(namespace, own.add(key));
			this.#dirtyPods.add(key);
			return;
		}
		this.#local.delete(key);
		this.#localByNamespace.get(namespace)?.delete(key);
		this.#dirtyPods.delete(key);
		old?.set?.pods.delete(key);
		if (old?.set) this.#leftSets.add(old.set);
		this.#build.dropPod(key);
	}

	/** Follows changed policies and selections: split, switch, merge. */
	#settle(steps: PolicyStep[]): void {
		const moves = new Map<LocalPod, PolicySet | null>();
		const fresh: PolicySet[] = [];
		const changed: { set: PolicySet; programs: PolicySet['programs'] }[] = [];
		for (const key of this.#dirtyPods) {
			const local = this.#local.get(key);
			if (local !== undefined) moves.set(local, this.#choose(key, local.pod, fresh));
		}
		for (const set of this.#dirtySets) {
			const entries = this.#entriesOf(set.policies);
			// A policy of it is gone: its pods have moved, unless there are none.
			if (entries.length < set.policies.length) continue;
			changed.push({ set, programs: this.#programs.acquire(entries, set.ports) });
		}
		this.#followPrefixes();
		this.#flush(steps);
		const released: PolicySet['programs'][] = [];
		for (const { set, programs } of changed) {
			this.#programs.deactivate(set);
			released.push(set.programs);
			set.programs = programs;
			this.#programs.activate(set);
			this.#build.touchSet(set);
		}
		for (const set of fresh) {
			this.#build.announce(set);
			this.#programs.activate(set);
			this.#build.touchSet(set);
		}
		for (const [local, set] of moves) {
			this.#build.touchPod(podKey(local.pod));
			if (local.set === set) continue;
			if (local.set !== null) this.#leftSets.add(local.set);
			this.#move(local, set);
		}
		this.#flush(steps);
		for (const programs of released) this.#programs.release(programs);
		for (const set of this.#leftSets) if (set.pods.size === 0) this.#retire(set);
		this.#leftSets.clear();
		this.#dirtyPods.clear();
		this.#dirtySets.clear();
		this.#followPrefixes();
		this.#flush(steps);
	}

	#move(local: LocalPod, set: PolicySet | null): void {
		const key = podKey(local.pod);
		local.set?.pods.delete(key);
		local.set = set;
		set?.pods.add(key);
		if (set !== null) this.#build.touchSelf(set);
	}

	/** The set for a pod, made if it does not exist. */
	#choose(key: string, pod: Pod, fresh: PolicySet[]): PolicySet | null {
		const policies = this.policies.selecting(pod, this.matchers);
		if (policies.length === 0) return null;
		const ports = this.policies.relevantPorts(pod, policies);
		const text = setKey(policies, ports);
		const found = this.#sets.get(text);
		if (found !== undefined) return found;
		const programs = this.#programs.acquire(this.#entriesOf(policies), ports);
		const number = this.#setNumbers.take(this.#hints.sets.get(key));
		const state = stateOf(programs);
		const set: PolicySet = { number, key: text, policies, ports, pods: new Set(), programs, rows: new Map(), state };
		this.#sets.set(text, set);
		this.#byNumber.set(number, set);
		fresh.push(set);
		return set;
	}

	#retire(set: PolicySet): void {
		this.#programs.deactivate(set);
		this.#programs.release(set.programs);
		this.#sets.delete(set.key);
		this.#byNumber.delete(set.number);
		this.#build.retireSet(set);
	}

	#entriesOf(names: readonly string[]): PolicyEntry[] {
		return names.map((name) => this.policies.get(name)).filter((entry) => entry !== undefined);
	}

	/** Prefixes came or went: looks at the addresses inside. */
	#followPrefixes(): void {
		const { changedPrefixes } = this.matchers;
		this.book.touchInside([...changedPrefixes].map(({ bits }) => bits));
		changedPrefixes.clear();
		if (this.identities.nodesApart !== this.matchers.tellsNodesApart) this.book.touchNodes();
	}

	#flush(steps: PolicyStep[]): void {
		const step = this.#build.finish();
		if (step !== undefined) steps.push(step);
	}
}

function podKey({ namespace, name }: Pod): string {
	return `${namespace}/${name}`;
}

type NamedObject = { readonly name: string; readonly object: PolicyObject | null };

function entriesOf(
	changes: ReadonlyMap<string, NetworkPolicy | ClusterNetworkPolicy | null> | undefined,
	kind: PolicyObject['kind'],
): NamedObject[] {
	return [...(changes ?? [])].map(([key, value]) => ({
		name: policyName({ kind, key }),
		object: value === null ? null : ({ kind, key, value } as PolicyObject),
	}));
}
