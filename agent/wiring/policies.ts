/**
 * Keeps the policy maps following the cluster and the pods of this node. Changes are done when they are told, in their order, so that
 * nobody is judged by a policy whose peers are not known yet.
 */
import { PeerKind } from '../../native/abi/generated.ts';
import type { PodRef } from '../endpoints/attachment.ts';
import type { LiveEndpoint } from '../endpoints/endpoint-manager.ts';
import type { EndpointIdentity } from '../endpoints/endpoint-rows.ts';
import { type Address, type Cidr, familyOf } from '../model/address.ts';
import type { ClusterChange, ClusterView } from '../model/cluster-view.ts';
import { FairleadError } from '../model/errors.ts';
import type { EventRecorder } from '../model/event.ts';
import { refOf } from '../node/object-faults.ts';
import type { PeerRow, PeersPlan } from '../plan/peers.ts';
import { PolicyCompiler, type PolicyInput } from '../plan/policy/compiler.ts';
import { inputOfChange, inputOfView } from '../plan/policy/input.ts';
import type { Kernel } from '../reconcile/kernel.ts';
import type { Assignment, PeerPolicy } from '../reconcile/nodes.ts';
import { type ClosedSet, PolicyReconciler, type PolicyReport, readPolicyHints } from '../reconcile/policy.ts';
import { PolicyGenerations } from '../reconcile/policy-generations.ts';
import type { PeerReferences } from '../reconcile/policy-kernel.ts';
import { PolicyLoop } from '../reconcile/policy-loop.ts';
import type { Pods } from './pods.ts';
import { PolicyPods, podKeyOf } from './policy-pods.ts';

export interface PoliciesOptions {
	readonly view: ClusterView;
	readonly kernel: Kernel;
	readonly nodeName: string;
	/** All policies only report. */
	readonly audit: boolean;
	/** Pods that the cluster does not know are isolated, whether or not policies may concern them. */
	readonly isolateUnknown?: boolean;
	readonly pods: Pick<Pods, 'list' | 'attaching' | 'current' | 'setIdentity'>;
	/** Names of all addresses that have been learnt. */
	readonly domains?: () => ReadonlyMap<Address, ReadonlySet<string>>;
	readonly events?: EventRecorder;
	readonly onReport: (report: PolicyReport) => void;
	readonly onProblems: (problems: readonly string[], retryInMs: number) => void;
}

/** What a run works with; made anew when it has failed in a way that nobody foresaw. */
interface Engine {
	readonly compiler: PolicyCompiler;
	readonly reconciler: PolicyReconciler;
}

/** What could not be done; sets that have no room are not a failure of the node. */
export function failuresOf({ problems, closed }: PolicyReport): readonly string[] {
	return problems.filter((problem) => !closed.includes(problem));
}

export class Policies implements PeerPolicy {
	readonly #options: PoliciesOptions;
	readonly #pods: PolicyPods;
	readonly #loop: PolicyLoop;
	#engine: Engine;
	/** The engine has been given nothing yet. */
	#fresh = true;
	/** The engine has been given everything, and nothing unforeseen has happened since. */
	#started = false;
	#assignments: ReadonlyMap<string, Assignment> = new Map();
	#ownAddresses: readonly Address[] = [];
	#peerCidrs: ReadonlyMap<Cidr, PeerRow> = new Map();
	/** 'index generation' of attachments whose rows have been compared since they are complete. */
	#complete: ReadonlySet<string> = new Set();
	/** Policies that have been told to be closed. */
	#told: ReadonlySet<string> = new Set();
	#noRoom: readonly string[] = [];

	/** Reads what an earlier run has left. Nothing is written before the first follow(). */
	constructor(options: PoliciesOptions) {
		this.#options = options;
		this.#pods = new PolicyPods({ pods: options.view.pods, nodeName: options.nodeName });
		this.#pods.follow(options.pods.list());
		new PolicyGenerations(options.kernel).begin();
		this.#engine = this.#makeEngine();
		this.#loop = new PolicyLoop({
			repair: () => this.#repair(),
			hasGarbage: () => this.#engine.reconciler.hasGarbage,
			reclaim: () => this.#engine.reconciler.reclaim(false),
			onReport: (report) => {
				options.onReport(report);
				this.#noRoom = report.closed;
				this.#tellClosed();
			},
			onProblems: options.onProblems,
		});
	}

	/** What is in force, for reports. */
	get compiler(): PolicyCompiler {
		return this.#engine.compiler;
	}

	/** Sets that deny everything for want of room. */
	closed(): readonly ClosedSet[] {
		return this.#engine.reconciler.closed();
	}

	/** What has no room, with what that does to whom; for people. */
	get warnings(): readonly string[] {
		return this.#noRoom;
	}

	/** Occupancy of `policy` and `ranges`; undefined while it is not known. */
	usage(): ReturnType<PolicyReconciler['usage']> {
		return this.#engine.reconciler.usage();
	}

	/** See PeerPolicy. The first call brings everything into force. */
	follow(plan: PeersPlan, assignments: ReadonlyMap<string, Assignment>): readonly string[] {
		const moved = movedNodes(this.#assignments, assignments);
		this.#assignments = assignments;
		const own = [...plan.addresses].filter(([, { kind }]) => kind === PeerKind.HOST).map(([address]) => address);
		const changed = own.join() !== this.#ownAddresses.join() || !samePeers(this.#peerCidrs, plan.cidrs);
		this.#ownAddresses = own;
		this.#peerCidrs = plan.cidrs;
		const input = { ownAddresses: own, peerCidrs: plan.cidrs };
		const report = this.#loop.do(() => {
			if (!this.#started) return this.#start();
			const { reconciler } = this.#engine;
			if (changed) this.#guarded(() => reconciler.update(input));
			return moved.size > 0 ? reconciler.referAgain(moved) : reconciler.bringUp();
		});
		this.#settleStrangers();
		return failuresOf(report);
	}

	cidrs(): ReadonlyMap<Cidr, PeerRow> {
		return new Map([...this.#engine.compiler.identities.cidrs].map(([cidr, { row }]) => [cidr, row]));
	}

	identityOf(address: Address): number | undefined {
		return this.#engine.compiler.book.entries.get(address)?.identity?.number;
	}

	changed(): void {
		if (this.#started) this.#loop.do(() => this.#engine.reconciler.judgeAgain());
	}

	onChange(change: ClusterChange): void {
		const { pods, nodes, namespaces, networkPolicies, clusterNetworkPolicies } = change;
		if (pods.size + nodes.size + namespaces.size + networkPolicies.size + clusterNetworkPolicies.size === 0) return;
		this.#update({ ...inputOfChange(this.#options.view, change), pods: this.#podsOf(pods) });
	}

	/** Addresses have other names now; they are in force when this returns, unless something failed, which is told as usual. */
	learn(domains: ReadonlyMap<Address, ReadonlySet<string>>): void {
		if (domains.size > 0 && this.#started)
			this.#loop.do(() => this.#guarded(() => this.#engine.reconciler.update({ domains })));
	}

	/** Attachments have come, gone, or got their addresses. */
	onPods(): void {
		const { pods } = this.#options;
		const live = pods.list();
		const { pods: keys, addresses } = this.#pods.follow([...live, ...pods.attaching()]);
		// Pods that were known by an address that another has been given.
		for (const address of addresses) {
			for (const key of this.#engine.compiler.book.entries.get(address)?.pods ?? []) keys.add(key);
		}
		this.#update({ pods: this.#podsOf(keys) });
		this.#compareNew(live);
	}

	/**
	 * Who a pod is that is being attached; what its policies say is in force when this returns.
	 * @throws POLICY_BEHIND when it cannot be put in force
	 */
	identify(pod: PodRef | null, addresses: readonly Address[]): EndpointIdentity {
		this.onPods();
		if (!this.#started || this.#engine.reconciler.isBehind) {
			const name = pod === null ? 'the container' : podKeyOf(pod);
			throw new FairleadError(
				'POLICY_BEHIND',
				`cannot attach ${name}: the policy maps are not as wanted; see fairlead status`,
			);
		}
		const key = pod === null ? '' : podKeyOf(pod);
		return this.#whoIs(pod, addresses, this.#pods.attachmentsOf(key).length > 0 ? key : undefined);
	}

	/** Compares everything with the kernel: repairs what somebody else has changed. */
	resync(): void {
		if (this.#started) this.#loop.do(() => this.#engine.reconciler.resync());
	}

	close(): Promise<void> {
		return this.#loop.close();
	}

	#makeEngine(): Engine {
		const { kernel, nodeName, audit, pods } = this.#options;
		const attached = new Map(pods.list().map(({ index, gen, pod }) => [`${index} ${gen}`, pod]));
		const hints = readPolicyHints(kernel, (index, gen) => {
			const pod = attached.get(`${index} ${gen}`);
			return pod ? podKeyOf(pod) : undefined;
		});
		const compiler = new PolicyCompiler({ nodeName, hints, audit });
		const refs: PeerReferences = {
			nodeName,
			nodeRef: (name) => this.#assignments.get(name),
			podRefs: (pod) => this.#pods.attachmentsOf(pod),
		};
		return { compiler, reconciler: new PolicyReconciler({ kernel, compiler, refs }) };
	}

	#start(): PolicyReport {
		if (!this.#fresh) this.#engine = this.#makeEngine();
		this.#fresh = false;
		const view = inputOfView(this.#options.view);
		const domains = this.#options.domains?.() ?? new Map();
		const rest = { ownAddresses: this.#ownAddresses, peerCidrs: this.#peerCidrs, domains };
		const report = this.#engine.reconciler.update({ ...view, ...rest, pods: this.#pods.all() });
		this.#started = true;
		return report;
	}

	#update(input: PolicyInput): void {
		if (!this.#started) return;
		const empty = Object.values(input).every((each) => each === undefined || ('size' in each && each.size === 0));
		if (!empty) this.#loop.do(() => this.#guarded(() => this.#engine.reconciler.update(input)));
		this.#settleStrangers();
	}

	/** What throws has left the compiler in an unknown state: the next run begins with another. */
	#guarded(work: () => PolicyReport): PolicyReport {
		try {
			return work();
		} catch (error) {
			this.#started = false;
			throw error;
		}
	}

	#repair(): PolicyReport {
		if (!this.#started) return this.#start();
		this.#rewriteStrangers();
		const { reconciler } = this.#engine;
		return reconciler.isBehind ? reconciler.resync() : reconciler.reclaim();
	}

	/** Rows of attachments that are complete now: policies may have changed since they were written. */
	#compareNew(live: readonly LiveEndpoint[]): void {
		const complete = new Set(live.map(({ index, gen }) => `${index} ${gen}`));
		const keys = live
			.filter(({ index, gen, pod }) => pod !== null && !this.#complete.has(`${index} ${gen}`))
			.map(({ pod }) => podKeyOf(pod as PodRef));
		this.#complete = complete;
		if (keys.length > 0 && this.#started) this.#loop.do(() => this.#engine.reconciler.writePods(keys));
	}

	/**
	 * Attached pods that the cluster does not know, not yet or no more: nobody but the node reaches one that a policy might
	 * select. Pods that are known have what their rows were given by the reconciler.
	 */
	#settleStrangers(): void {
		try {
			this.#rewriteStrangers();
		} catch (error) {
			this.#loop.do(() => {
				throw error;
			});
		}
	}

	#rewriteStrangers(): void {
		if (!this.#started) return;
		const { pods } = this.#options;
		for (const endpoint of pods.list()) {
			const key = endpoint.pod === null ? '' : podKeyOf(endpoint.pod);
			if (this.#pods.attachmentsOf(key).some(({ index }) => index === endpoint.index)) {
				if (this.#engine.compiler.endpointOf(key) !== undefined) continue;
			}
			pods.setIdentity(endpoint, this.#whoIs(endpoint.pod, endpoint.addresses, undefined));
		}
	}

	/** An Event about each policy that begins to deny everything for want of room. */
	#tellClosed(): void {
		const reasons = new Map(this.closed().flatMap(({ policies, reason }) => policies.map((name) => [name, reason])));
		for (const [name, reason] of reasons) {
			const about = this.#told.has(name) ? undefined : refOf(name);
			const text = `denies everything to the pods of node ${this.#options.nodeName} that it selects: ${reason}`;
			if (about !== undefined) this.#options.events?.event(about, 'Warning', 'PolicyNotEnforced', text);
		}
		this.#told = new Set(reasons.keys());
	}

	/** @param key  of the pod, if the cluster knows it and this is its attachment */
	#whoIs(pod: PodRef | null, addresses: readonly Address[], key: string | undefined): EndpointIdentity {
		const { compiler } = this.#engine;
		const known = key === undefined ? undefined : compiler.endpointOf(key);
		const of = (family: 4 | 6): number => {
			const address = addresses.find((each) => familyOf(each) === family) ?? (family === 4 ? '0.0.0.0' : '::');
			return known?.identities.get(address) ?? compiler.unknownPodAt(address);
		};
		const { isolateUnknown = false } = this.#options;
		const isolated = known === undefined && pod !== null && (isolateUnknown || compiler.mayConcern(pod.namespace));
		return {
			identity: of(4),
			identity6: of(6),
			policySet: known?.set ?? 0,
			isolated,
			domains: known?.domains ?? false,
		};
	}

	#podsOf(keys: Iterable<string>): NonNullable<PolicyInput['pods']> {
		return new Map([...keys].map((key) => [key, this.#pods.get(key)]));
	}
}

/** Nodes whose row is another than before, or gone. */
function movedNodes(before: ReadonlyMap<string, Assignment>, after: ReadonlyMap<string, Assignment>): Set<string> {
	const moved = new Set<string>();
	for (const name of new Set([...before.keys(), ...after.keys()])) {
		const [old, now] = [before.get(name), after.get(name)];
		if (old?.index !== now?.index || old?.gen !== now?.gen) moved.add(name);
	}
	return moved;
}

function samePeers(a: ReadonlyMap<Cidr, PeerRow>, b: ReadonlyMap<Cidr, PeerRow>): boolean {
	if (a.size !== b.size) return false;
	for (const [cidr, { kind, node, identity }] of b) {
		const old = a.get(cidr);
		if (old?.kind !== kind || old.node !== node || old.identity !== identity) return false;
	}
	return true;
}
