/**
 * Keeps the service maps following the cluster and the pods' host ports: plans what changed, hands it to the reconciler.
 */
import type { Config } from '../config/schema.ts';
import { ctTimeoutsOf } from '../kernel/ct-timeouts.ts';
import type { ClusterChange, ClusterView } from '../model/cluster-view.ts';
import { PROTOCOL_NUMBER } from '../model/fields.ts';
import type { HostPort } from '../model/host-port.ts';
import type { NodeFacts } from '../model/node-facts.ts';
import {
	type OwnerPlan,
	planHostPorts,
	planServices,
	replanServices,
	type ServicesContext,
	selectNodePortAddresses,
} from '../plan/services.ts';
import type { Kernel } from '../reconcile/kernel.ts';
import type { Jiffies } from '../reconcile/remembered-flows.ts';
import { type ReconcileReport, ServicesReconciler } from '../reconcile/services.ts';
import type { TakenFrontend } from '../reconcile/services-diff.ts';
import { ServicesLoop } from '../reconcile/services-loop.ts';
import type { LocalPod, PeerChange, PeerIndex } from '../reconcile/services-peers.ts';
import type { GoneBackend } from '../reconcile/services-port.ts';
import { contestedFrontends } from './contested-frontends.ts';
import type { FlowEnder } from './flow-ender.ts';

export type ServicesConfig = Pick<
	Config,
	| 'ctTimeouts'
	| 'externalIps'
	| 'lbAlgorithm'
	| 'lbTransitionMs'
	| 'nodePortAddresses'
	| 'nodePortDsr'
	| 'northSouth'
	| 'serviceProxyName'
	| 'standalone'
>;

export interface ServicePlannerOptions {
	readonly view: ClusterView;
	readonly kernel: Kernel;
	readonly config: ServicesConfig;
	/** See ServicesReconcilerOptions. */
	readonly jiffies?: Jiffies;
	/** Asked at every planning. */
	readonly facts: () => NodeFacts;
	readonly hostPorts: () => readonly HostPort[];
	/** Who owns which address; kept by the caller but for the pods of this node. */
	readonly peers?: PeerIndex;
	/** Pods of this node. */
	readonly pods?: () => Iterable<LocalPod>;
	/** Backends that services no longer have: sockets connected to them should be ended. */
	readonly onBackendsGone?: (gone: readonly GoneBackend[]) => void;
	/** Ends flows that clients began towards an address and port before a service had it. */
	readonly flows?: Pick<FlowEnder, 'add' | 'close'>;
	readonly onReport: (report: ReconcileReport) => void;
	readonly onProblems: (problems: readonly string[], retryInMs: number) => void;
}

/**
 * Connections to an endpoint that is only not ready any more go on, as they do past the socket programs, even if nobody answers for a while: its
 * node may be out of reach only. Datagrams are sent elsewhere at once.
 */
export function isKept(view: Pick<ClusterView, 'slicesOf'>, { proto, owner, address }: GoneBackend): boolean {
	if (proto !== PROTOCOL_NUMBER.TCP || owner === undefined) return false;
	return view.slicesOf(owner).some(({ endpoints }) => endpoints.some((each) => each.address === address));
}

/** Of datagrams only: a connection stays where it began. */
function endFlows({ flows }: ServicePlannerOptions, taken: readonly TakenFrontend[]): void {
	flows?.add(taken.filter(({ proto }) => proto === PROTOCOL_NUMBER.UDP));
}

/** A list of thousands helps nobody. */
const MOST_REFUSALS = 20;

/** Of what found no room in a map: no reason for the node not to be ready, since every node may be as full and all others are served. */
function unservedForRoom(refusals: readonly string[]): readonly string[] {
	const told = refusals.slice(0, MOST_REFUSALS).map((refusal) => `not served: ${refusal}`);
	if (refusals.length > told.length)
		told.push(`not served either: ${refusals.length - told.length} more, for want of room`);
	return told;
}

const NO_PLAN: OwnerPlan = { ports: [], problems: [] };

export class ServicePlanner {
	readonly reconciler: ServicesReconciler;
	readonly #options: ServicePlannerOptions;
	readonly #loop: ServicesLoop;
	/** What was handed over last, by owner. */
	#plans = new Map<string, OwnerPlan>();
	/** What the plans are made with, and the facts it was made of. */
	#context: { readonly facts: NodeFacts; readonly text: string; readonly value: ServicesContext } | undefined;
	/** Text of the context that all plans were made with. */
	#plannedWith = '';

	constructor(options: ServicePlannerOptions) {
		this.#options = options;
		const { peers, onBackendsGone, config, jiffies } = options;
		this.reconciler = new ServicesReconciler({
			kernel: options.kernel,
			transitionMs: config.lbTransitionMs,
			withdrawnMs: 1000 * ctTimeoutsOf(config.ctTimeouts).tcpEstablished,
			...(jiffies !== undefined && { jiffies }),
			...(peers !== undefined && { peerOf: (address: string) => peers.of(address) }),
			...(onBackendsGone !== undefined && { onBackendsGone }),
			onFrontendsTaken: (taken) => endFlows(options, taken),
		});
		this.#loop = new ServicesLoop({
			reconciler: this.reconciler,
			onReport: options.onReport,
			onProblems: options.onProblems,
		});
	}

	/** Desired state by owner, for reports. */
	get plans(): ReadonlyMap<string, OwnerPlan> {
		return this.#plans;
	}

	/** What people should know although all is as planned. */
	get warnings(): readonly string[] {
		return [...unservedForRoom(this.reconciler.refusals()), ...contestedFrontends(this.#plans)];
	}

	/** First planning: makes the maps hold exactly what is wanted. */
	async start(): Promise<ReconcileReport> {
		const context = this.#makeContext();
		this.#refreshPods();
		this.#plannedWith = this.#context?.text ?? '';
		this.#plans = planServices(this.#options.view, this.#options.hostPorts(), context);
		return this.#loop.start(this.#plans);
	}

	/** Plans the services that changed. */
	onChange(change: Pick<ClusterChange, 'services'>): void {
		if (change.services.size === 0) return;
		this.#hand(replanServices(this.#options.view, change.services, this.#makeContext(), this.#plans));
	}

	/** Plans everything anew if the node's addresses or zone changed. @returns whether they did */
	onFacts(): boolean {
		const context = this.#makeContext();
		if (this.#context?.text === this.#plannedWith) return false;
		this.#plannedWith = this.#context?.text ?? '';
		this.#hand(this.#withRemovals(planServices(this.#options.view, this.#options.hostPorts(), context)));
		return true;
	}

	/** Addresses have other owners. */
	onPeers(change: PeerChange): void {
		if (change.addresses.length + change.cidrs.length > 0) this.reconciler.updatePeers(change);
	}

	/** Pods of this node have changed: plans host ports; services stay. */
	onPods(): void {
		this.#refreshPods();
		const plans = planHostPorts(this.#options.hostPorts(), this.#makeContext());
		for (const owner of this.#plans.keys()) {
			if (owner.startsWith('hostport:') && !plans.has(owner)) plans.set(owner, NO_PLAN);
		}
		this.#hand(plans);
	}

	/** Compares the maps with what is wanted soon, and repairs what somebody else has changed. */
	resync(): void {
		this.#loop.resync();
	}

	async close(): Promise<void> {
		await this.#loop.close();
		await this.#options.flows?.close();
	}

	#refreshPods(): void {
		const { peers, pods } = this.#options;
		if (peers !== undefined && pods !== undefined) this.onPeers(peers.setPods(pods()));
	}

	#withRemovals(plans: Map<string, OwnerPlan>): Map<string, OwnerPlan> {
		for (const owner of this.#plans.keys()) if (!plans.has(owner)) plans.set(owner, NO_PLAN);
		return plans;
	}

	#hand(plans: ReadonlyMap<string, OwnerPlan>): void {
		for (const [owner, plan] of plans) {
			if (plan.ports.length === 0 && plan.problems.length === 0) this.#plans.delete(owner);
			else this.#plans.set(owner, plan);
		}
		this.#loop.enqueue(plans);
	}

	/** Made again only when the facts are others: every change asks. */
	#makeContext(): ServicesContext {
		const facts = this.#options.facts();
		if (this.#context?.facts === facts) return this.#context.value;
		const { name, zone, addresses, localAddresses } = facts;
		const { config } = this.#options;
		const setting = config.nodePortAddresses;
		const nodePortAddresses = selectNodePortAddresses(facts, setting[0] === 'primary' ? 'primary' : setting);
		const value: ServicesContext = {
			node: { name, zone, addresses, localAddresses },
			nodePortAddresses,
			proxyName: config.serviceProxyName,
			externalIps: config.externalIps,
			lbAlgorithm: config.lbAlgorithm,
			dsr: config.northSouth === 'dsr',
			// nodes may differ in what prefixes select: only the primary address is one that all know a node's ports by
			nodePortDsr: config.nodePortDsr && setting[0] === 'primary' && !config.standalone,
			standalone: config.standalone,
		};
		const text = JSON.stringify([name, zone, addresses, localAddresses, nodePortAddresses]);
		this.#context = { facts, text, value };
		return value;
	}
}
