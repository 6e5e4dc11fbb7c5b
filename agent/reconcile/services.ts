/**
 * Keeps the service maps equal to the plan. One call at a time; the caller (ReconcileLoop) sees to that.
 */
import { SvcScope } from '../../native/abi/generated.ts';
import { backendKey } from '../plan/endpoints.ts';
import { frontendKey, type OwnerPlan, type ServiceProblem } from '../plan/services.ts';
import type { Kernel } from './kernel.ts';
import { type Jiffies, NO_FLOWS, type RememberedFlows, rememberedFlows } from './remembered-flows.ts';
import type { ServiceMemory } from './services-apply.ts';
import { applyServiceOps, serviceMemory, storeOwner } from './services-apply.ts';
import { diffServices, type TakenFrontend } from './services-diff.ts';
import { inOrder, type ServiceOps } from './services-ops.ts';
import type { PackedPeer, PeerChange } from './services-peers.ts';
import { UNKNOWN_PEER } from './services-peers.ts';
import type { GoneBackend } from './services-port.ts';
import { rowsWithin } from './services-rows.ts';
import type { ServicesState } from './services-state.ts';
import { movingTables, readServicesState } from './services-state.ts';
import type { Tables } from './services-tables.ts';
import { moveXdpRows } from './services-xdp.ts';
import { Withdrawn } from './withdrawn.ts';

export interface ReconcileReport {
	/** Operations that were done. */
	readonly ops: number;
	/** What went wrong and is tried again: nobody knows what is in force. */
	readonly failures: readonly string[];
	/** `failures` and who found no room; empty = the maps are as wanted. */
	readonly problems: readonly string[];
	/** Owners that found no room. All others are in force. */
	readonly refused: readonly string[];
	/** The maps were read and compared as a whole. */
	readonly full: boolean;
	readonly tookMs: number;
}

export interface ServicesUsage {
	readonly services: { readonly used: number; readonly capacity: number };
	readonly backends: { readonly used: number; readonly capacity: number };
	/** In chunks of LIMIT_SLOTS_PER_CHUNK. */
	readonly slots: { readonly used: number; readonly capacity: number };
	/** Prefixes of source ranges. */
	readonly sources: { readonly used: number; readonly capacity: number };
	/** Rows of services that XDP finds without the other maps. */
	readonly xdpServices: { readonly used: number; readonly capacity: number };
}

export interface ServicesReconcilerOptions {
	readonly kernel: Kernel;
	/** Sees every change set before it is applied (tests, trace log). */
	readonly onOps?: (ops: ServiceOps) => void;
	/** Backends that services no longer have, after the maps say so: sockets connected to them should be ended. */
	readonly onBackendsGone?: (gone: readonly GoneBackend[]) => void;
	/** Addresses and ports that service ports have newly, after the maps say so as far as they took it. */
	readonly onFrontendsTaken?: (taken: readonly TakenFrontend[]) => void;
	/** Who owns an address; what is unknown is looked up by the programs. */
	readonly peerOf?: (address: string) => PackedPeer;
	/** How long additions wait after a change of a Maglev table of untracked flows. */
	readonly transitionMs?: number;
	/** How long connections from outside may go on that came by an address which is no service's any more. Default 0: they end at once. */
	readonly withdrawnMs?: number;
	/** Milliseconds, monotonic. */
	readonly now?: () => number;
	/** Of the flows that programs remember. Without it nothing is asked of them, and a previous table goes when it has had its time. */
	readonly jiffies?: Jiffies;
}

const TRANSITION_MS = 30_000;

export class ServicesReconciler {
	readonly #kernel: Kernel;
	readonly #memory: ServiceMemory;
	readonly #options: ServicesReconcilerOptions;
	readonly #peerOf: (address: string) => PackedPeer;
	readonly #now: () => number;
	readonly #withdrawn: Withdrawn;
	readonly #desired = new Map<string, OwnerPlan>();
	/** undefined = to be read from the kernel: at start and after a failure. */
	#state: ServicesState | undefined;
	/** Of the last state: when changes under way are due is in no map. */
	#moving: ReadonlyMap<string, Tables> = new Map();
	/** Owners whose last change was refused for want of room, as of the last run. */
	#refused: ReadonlyMap<string, string> = new Map();

	constructor(options: ServicesReconcilerOptions) {
		this.#kernel = options.kernel;
		this.#memory = serviceMemory(options.kernel);
		this.#options = options;
		this.#peerOf = options.peerOf ?? (() => UNKNOWN_PEER);
		this.#now = options.now ?? (() => performance.now());
		this.#withdrawn = new Withdrawn({ keepMs: options.withdrawnMs ?? 0, now: this.#now });
	}

	/** Makes the maps hold exactly these plans, compared with a fresh read of the kernel. */
	async replaceAll(plans: ReadonlyMap<string, OwnerPlan>): Promise<ReconcileReport> {
		this.#desired.clear();
		for (const [owner, plan] of plans) this.#desired.set(owner, plan);
		this.#forget();
		return this.#run(new Map());
	}

	/** Applies the plans of some owners; an empty plan removes. After a failure everything is compared instead. */
	async update(changes: ReadonlyMap<string, OwnerPlan>): Promise<ReconcileReport> {
		for (const [owner, plan] of changes) {
			if (plan.ports.length === 0 && plan.problems.length === 0) this.#desired.delete(owner);
			else this.#desired.set(owner, plan);
		}
		return this.#run(changes);
	}

	/** Compares everything with a fresh read of the kernel. */
	async resync(): Promise<ReconcileReport> {
		this.#forget();
		return this.#run(new Map());
	}

	/** The next run reads the kernel. */
	#forget(): void {
		if (this.#state !== undefined) this.#moving = movingTables(this.#state);
		this.#state = undefined;
	}

	async #run(changes: ReadonlyMap<string, OwnerPlan>): Promise<ReconcileReport> {
		try {
			return await this.#runPasses(changes);
		} catch (thrown) {
			// Whatever it was, the state is no longer known to be what the kernel has.
			this.#forget();
			throw thrown;
		}
	}

	async #runPasses(changes: ReadonlyMap<string, OwnerPlan>): Promise<ReconcileReport> {
		const start = this.#now();
		const full = this.#state === undefined;
		let ops = 0;
		const failures: string[] = [];
		// Who was not tried again still has no room.
		const refused = new Map(full ? [] : [...this.#refused].filter(([owner]) => !changes.has(owner)));
		const remembered = this.#remembered();
		let wanted: ReadonlyMap<string, OwnerPlan> = full ? this.#desired : changes;
		// Twice: what a first pass took out of use makes room for what it had to refuse.
		for (let pass = 0; pass < 2; pass++) {
			this.#state ??= readServicesState(this.#kernel, this.#moving);
			const diff = diffServices(this.#state, wanted, {
				full: full && pass === 0,
				clock: this.#clock(),
				peerOf: this.#peerOf,
				remembered,
			});
			this.#options.onOps?.(diff);
			if (full && pass === 0) this.#withdrawn.seeAll(inOrder(diff));
			const report = await applyServiceOps(diff, this.#kernel, this.#memory, this.#withdrawn);
			ops += report.done;
			failures.push(...report.failed.map(({ error }) => error.message));
			if (report.failed.length > 0) this.#forget();
			else if (diff.gone.length > 0) this.#options.onBackendsGone?.(diff.gone);
			if (diff.taken.length > 0) this.#options.onFrontendsTaken?.(diff.taken);
			if (report.failed.length > 0 || diff.refused.size === 0) break;
			if (pass === 1) for (const [owner, reason] of diff.refused) refused.set(owner, reason);
			this.reclaim();
			wanted = this.#plansOf(diff.refused.keys());
		}
		this.#refused = refused;
		const problems = [...failures, ...this.refusals()];
		return { ops, failures, problems, refused: [...refused.keys()], full, tookMs: this.#now() - start };
	}

	/** Whether clients reach a backend by an address and port, as of the last change that was begun. */
	leadsTo(
		frontend: GoneBackend['frontends'][number],
		backend: Pick<GoneBackend, 'address' | 'port' | 'proto'>,
	): boolean {
		const { address, port, proto } = backend;
		const key = backendKey(address, port, proto);
		return Object.values(SvcScope).some((scope) => {
			const claims = this.#state?.claims.get(frontendKey(frontend.address, frontend.port, proto, scope));
			return claims?.[0]?.port.plan.serving.some((each) => each.key === key) ?? false;
		});
	}

	/** Reads once, when first asked. */
	#remembered(): () => RememberedFlows {
		const { jiffies } = this.#options;
		let read: RememberedFlows | undefined;
		return () => {
			read ??= jiffies === undefined ? NO_FLOWS : rememberedFlows(this.#kernel, jiffies);
			return read;
		};
	}

	#clock() {
		return { nowMs: this.#now(), transitionMs: this.#options.transitionMs ?? TRANSITION_MS };
	}

	/** Milliseconds until a transition is due for the next step (see update()); undefined = none is under way. */
	get nextTransitionMs(): number | undefined {
		const state = this.#state;
		if (state === undefined || state.moving.size === 0 || state.nextDueMs === Number.POSITIVE_INFINITY)
			return undefined;
		return Math.max(0, state.nextDueMs - this.#now());
	}

	/**
	 * Addresses have other owners: corrects the hints in backend rows, one store each.
	 * @returns rows that were changed
	 */
	updatePeers(change: PeerChange): number {
		const state = this.#state;
		if (state === undefined) return 0;
		let changed = 0;
		const moved = new Set<number>();
		for (const { index, address, peer, svcId } of rowsWithin(state.backends, this.#memory, change)) {
			const wanted = this.#peerOf(address);
			if (wanted === peer) continue;
			storeOwner(this.#memory, index, { peer: wanted, svcId });
			changed++;
			moved.add(svcId);
		}
		moveXdpRows(state, this.#memory.xdp, moved, this.#peerOf);
		return changed;
	}

	#plansOf(owners: Iterable<string>): Map<string, OwnerPlan> {
		const plans = new Map<string, OwnerPlan>();
		for (const owner of owners) {
			const plan = this.#desired.get(owner);
			if (plan !== undefined) plans.set(owner, plan);
		}
		return plans;
	}

	/** Rows and lists wait for a grace period before they can be used again. */
	get hasGarbage(): boolean {
		const state = this.#state;
		return (
			state !== undefined && state.backends.allocator.quarantined + state.chunks.quarantined + state.xdp.quarantined > 0
		);
	}

	/** Waits for the grace period (milliseconds, blocking) and frees what is out of use. Call it when nothing else is due. */
	reclaim(): void {
		const state = this.#state;
		if (state === undefined || !this.hasGarbage) return;
		this.#kernel.barrier();
		state.backends.allocator.release();
		state.chunks.release();
		state.xdp.release();
	}

	/** Owners that found no room in a map, and which. All others are served. */
	refusals(): readonly string[] {
		return [...this.#refused].map(([owner, reason]) => `${owner}: ${reason}`);
	}

	/** Current problems of the plan and of the maps, for status displays. */
	problems(): readonly ServiceProblem[] {
		const problems = [...this.#desired.values()].flatMap((plan) => plan.problems);
		for (const [owner, message] of this.#refused) problems.push({ owner, message });
		for (const claims of this.#state?.claims.values() ?? []) {
			const [winner, ...losers] = claims;
			if (winner === undefined) continue;
			for (const { port, frontend } of losers) {
				const where = frontend.key.replaceAll('|', ' ');
				problems.push({ owner: port.owner, message: `${where} is already served by ${winner.port.owner}` });
			}
		}
		return problems;
	}

	/** Occupancy of the maps; undefined before the first run and after a failure. */
	usage(): ServicesUsage | undefined {
		const state = this.#state;
		if (state === undefined) return undefined;
		const { allocator } = state.backends;
		return {
			services: { used: state.entries.size, capacity: state.entryCapacity },
			backends: { used: allocator.used, capacity: allocator.capacity },
			slots: { used: state.chunks.used, capacity: state.chunks.capacity },
			sources: { used: state.sources.used, capacity: state.sources.capacity },
			xdpServices: { used: state.xdp.used, capacity: state.xdp.capacity },
		};
	}

	/** Number by which events and conntrack entries name a service port → its name ('namespace/name:port/TCP/4'). */
	serviceNames(): ReadonlyMap<number, string> {
		const names = new Map<number, string>();
		for (const port of this.#state?.ports.values() ?? []) if (port.id !== 0) names.set(port.id, port.name);
		return names;
	}
}
