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
import { addressBits } from './prefixes.ts';
import type { PolicyObject } from './programs.ts';
import type { PolicyEntry, PolicySet } from './sets.ts';
import { PolicyTable, ProgramTable, policyName, setKey, stateOf } from './sets.ts';
import { StepBuilder } from './step-builder.ts';
import type { NamedPort, PodChange, PolicyStep } from './types.ts';

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
	/** Names that have been learnt for addresses: lower case, without a final dot. Those that changed; empty = forgotten. */
	readonly domains?: ReadonlyMap<Address, ReadonlySet<string>>;
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

/** The set that a pod belongs to. */
interface Target {
	readonly key: string;
	readonly policies: readonly string[];
	readonly ports: readonly NamedPort[];
	/** Number it had in an earlier run. */
	readonly wished: number | undefined;
}

const NO_HINTS: PolicyHints = { addresses: new Map(), cidrs: new Map(), sets: new Map() };

export class PolicyCompiler {
	readonly cookies = new CookieTable();
	readonly policies = new PolicyTable();
	readonly book: AddressBook;
	readonly matchers: MatcherTable;
	readonly identities: IdentityMap;
	readonly nodeName: string;
	readonly #programs: ProgramTable;
	readonly #namespaces = new Map<string, Namespace>();
	readonly #sets = new Map<string, PolicySet>();
	readonly #byNumber = new Map<number, PolicySet>();
	readonly #setNumbers = new NumberPool(1);
	readonly #local = new Map<string, LocalPod>();
	readonly #localByNamespace = new Map<string, Set<string>>();
	readonly #build: StepBuilder;
	readonly #hints: PolicyHints;
	/** Every policy is in audit mode. */
	readonly #audit: boolean;
	#started = false;
	/** Pods whose policies have to be looked at, and sets one of whose policies changed. */
	readonly #dirtyPods = new Set<string>();
	readonly #dirtySets = new Set<PolicySet>();
	/** Sets that a pod has left. */
	readonly #leftSets = new Set<PolicySet>();

	/** @param options  audit: every policy is in audit mode, whatever its annotation says */
	constructor(options: { readonly nodeName: string; readonly hints?: PolicyHints; readonly audit?: boolean }) {
		this.#audit = options.audit ?? false;
		this.nodeName = options.nodeName;
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
			sets: () => this.#byNumber.values(),
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
		for (const { name, object } of policies)
			this.#setPolicy(name, object && this.#audit ? inAuditMode(object) : object);
		if (policies.length > 0 && this.#started) this.#settle(steps);
		for (const [address, names] of input.domains ?? []) this.matchers.setNames(address, names);
		if (onlyDomains(input) && this.#started) return this.#followNames(steps);
		if (input.peerCidrs !== undefined) this.book.setPeers(input.peerCidrs);
		if (input.ownAddresses !== undefined) this.book.setOwnAddresses(input.ownAddresses);
		for (const [name, node] of input.nodes ?? []) this.book.setNode(name, node);
		for (const [name, namespace] of input.namespaces ?? []) {
			this.#setNamespace(name, namespace);
			// One at a time, and before its pods: see #settle.
			if (this.#started) this.#settle(steps);
		}
		for (const [key, pod] of input.pods ?? []) this.#setPod(key, pod);
		// At first nothing is judged yet; identities wait for the prefixes of the rules, so that they find their old numbers.
		if (this.#started) this.#flush(steps);
		this.#started = true;
		this.#settle(steps);
		return steps;
	}

	/**
	 * What a pod that is being attached has to get with its first row. undefined = not known here, or no pod of this node: nobody
	 * may talk to it until it is.
	 */
	endpointOf(pod: string): Omit<PodChange & { readonly set: number }, 'pod'> | undefined {
		const local = this.#local.get(pod);
		if (local === undefined) return undefined;
		const identities = new Map<Address, number>();
		for (const address of local.pod.addresses) {
			const identity = this.book.entries.get(address)?.identity;
			if (identity) identities.set(address, identity.number);
		}
		return { set: local.set?.number ?? 0, identities, domains: local.set?.programs.egress.domains ?? false };
	}

	/** Identity of a pod that is not known but has the address. */
	unknownPodAt(address: Address): number {
		return this.identities.unknownPodAt(addressBits(address));
	}

	/** Could a policy select a pod of this namespace whose labels are not known? */
	mayConcern(namespace: string): boolean {
		return this.policies.mayConcern(namespace, this.matchers);
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

	/** Policies that threw while they were compiled, by name, and what: they deny everything to the pods they select. */
	broken(): ReadonlyMap<string, string> {
		return new Map([...this.#programs.broken].flatMap(({ broken }) => [...broken]));
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
		const local = pod !== null && pod.node === this.nodeName && isAddressed(pod);
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
		const targets = new Map<LocalPod, Target | null>();
		for (const key of this.#dirtyPods) {
			const local = this.#local.get(key);
			if (local !== undefined) targets.set(local, this.#targetOf(local.pod));
		}
		const replaced = this.#takeOutReplaced(targets);
		const changed = [...this.#dirtySets]
			.filter((set) => !replaced.has(set))
			.map((set) => ({ set, programs: this.#programs.acquire(this.#entriesOf(set.policies), set.ports) }));
		const fresh: PolicySet[] = [];
		const moves = [...targets].map(([local, target]) => ({ local, set: target && this.#ensureSet(target, fresh) }));
		// New labels of a namespace change whom rules mean and whom they are about. Sets that pods leave keep their rows until they have
		// left; a set that one pod of the namespace joins is never one that another leaves.
		const held = this.#build.hold(
			new Set(moves.flatMap(({ local, set }) => (local.set !== set && local.set ? [local.set] : []))),
		);
		this.#followPrefixes();
		this.#flush(steps);
		for (const { set, programs } of changed) this.#switchPrograms(set, programs);
		for (const set of fresh) {
			this.#build.announce(set);
			this.#programs.activate(set);
			this.#build.touchSet(set);
		}
		for (const { local, set } of moves) this.#move(local, set);
		this.#flush(steps);
		this.#build.restore(held);
		this.#flush(steps);
		for (const { programs } of changed) this.#programs.release(programs);
		for (const set of new Set([...this.#leftSets, ...replaced])) if (set.pods.size === 0) this.#retire(set);
		this.#leftSets.clear();
		this.#dirtyPods.clear();
		this.#dirtySets.clear();
		this.#followPrefixes();
		this.#flush(steps);
		this.matchers.prefixes.dropIdle();
	}

	/**
	 * A set whose policies changed is changed in place only if its pods are the same as before. Else a new one takes its place, so
	 * that no pod is judged by new rules of policies it leaves or by old rules of those it joins.
	 */
	#takeOutReplaced(targets: ReadonlyMap<LocalPod, Target | null>): ReadonlySet<PolicySet> {
		const replaced = new Set<PolicySet>();
		for (const [{ set }, target] of targets) {
			if (set?.key === target?.key) continue;
			for (const each of [set, target && this.#sets.get(target.key)]) {
				if (each && this.#dirtySets.has(each)) replaced.add(each);
			}
		}
		for (const set of this.#dirtySets) if (set.pods.size === 0) replaced.add(set);
		for (const set of replaced) this.#sets.delete(set.key);
		return replaced;
	}

	/** @param programs  afterwards those that were in force, to be released when nothing depends on them */
	#switchPrograms(set: PolicySet, programs: PolicySet['programs']): void {
		const old = { ...set.programs };
		this.#programs.deactivate(set);
		set.programs = { ...programs };
		this.#programs.activate(set);
		this.#build.touchSet(set);
		Object.assign(programs, old);
	}

	#move(local: LocalPod, set: PolicySet | null): void {
		const key = podKey(local.pod);
		this.#build.touchPod(key);
		if (local.set === set) return;
		if (local.set !== null) this.#leftSets.add(local.set);
		local.set?.pods.delete(key);
		local.set = set;
		set?.pods.add(key);
		if (set !== null) this.#build.touchSelf(set);
	}

	#targetOf(pod: Pod): Target | null {
		const policies = this.policies.selecting(pod, this.matchers);
		if (policies.length === 0) return null;
		const ports = this.policies.relevantPorts(pod, policies);
		return { key: setKey(policies, ports), policies, ports, wished: this.#hints.sets.get(podKey(pod)) };
	}

	/** The set for a pod, made if it does not exist. */
	#ensureSet({ key, policies, ports, wished }: Target, fresh: PolicySet[]): PolicySet {
		const found = this.#sets.get(key);
		if (found !== undefined) return found;
		const programs = this.#programs.acquire(this.#entriesOf(policies), ports);
		const number = this.#setNumbers.take(wished);
		const state = stateOf(programs);
		const set: PolicySet = { number, key, policies, ports, pods: new Set(), programs, rows: new Map(), state };
		this.#sets.set(key, set);
		this.#byNumber.set(number, set);
		fresh.push(set);
		return set;
	}

	#retire(set: PolicySet): void {
		this.#programs.deactivate(set);
		this.#programs.release(set.programs);
		if (this.#sets.get(set.key) === set) this.#sets.delete(set.key);
		this.#byNumber.delete(set.number);
		this.#build.retireSet(set);
	}

	#entriesOf(names: readonly string[]): PolicyEntry[] {
		return names.map((name) => this.policies.get(name)).filter((entry) => entry !== undefined);
	}

	/** Other addresses of names, and nothing else: what a pod's lookup of a name waits for. */
	#followNames(steps: PolicyStep[]): readonly PolicyStep[] {
		this.#followPrefixes();
		this.#flush(steps);
		this.matchers.prefixes.dropIdle();
		return steps;
	}

	/** Prefixes came or went: looks at the addresses inside. */
	#followPrefixes(): void {
		const { changedPrefixes, changedHosts, prefixes } = this.matchers;
		this.book.touchHosts(changedHosts);
		changedHosts.clear();
		const changed = [...changedPrefixes].map(({ bits }) => bits);
		this.book.touchInside(changed, (bits) => prefixes.find(bits));
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

function inAuditMode(object: PolicyObject): PolicyObject {
	return { ...object, value: { ...object.value, audit: true } } as PolicyObject;
}

function onlyDomains({ domains, ...others }: PolicyInput): boolean {
	return domains !== undefined && Object.values(others).every((each) => each === undefined);
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
