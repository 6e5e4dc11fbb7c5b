/**
 * Follows service changes from their arrival to the moment they are in force: what waits, since when, and how long it took.
 * Health checks and the kubeproxy_* metrics read it. Times are milliseconds since 1970.
 */
import type { Family } from '../model/address.ts';
import { familyOf } from '../model/address.ts';
import type { ClusterView } from '../model/cluster-view.ts';
import type { EndpointSlice } from '../model/endpoint-slice.ts';
import type { Service } from '../model/service.ts';
import type { FamilyName, HealthTimes, ProxyHealth } from './proxy-health.ts';
import { familyName, judgeProxyHealth } from './proxy-health.ts';

/** One run of the services reconciler. */
export interface SyncReport {
	/** Empty = everything is in force. */
	readonly problems: readonly string[];
	/** Owners that found no room in a map, each with a problem of its own. Waiting does not help them, and all others are served. */
	readonly refused: readonly string[];
	/** The maps were compared as a whole. */
	readonly full: boolean;
	readonly tookMs: number;
}

/** What is known of one family. */
export interface FamilySync extends HealthTimes {
	readonly lastQueuedMs: number | undefined;
	readonly serviceChanges: ChangeCount;
	readonly endpointChanges: ChangeCount;
}

export interface ChangeCount {
	readonly pending: number;
	readonly total: number;
}

export interface SyncObserver {
	/** A run in which the family had something to do. */
	onSync(family: FamilyName, seconds: number, full: boolean): void;
	/** From the change of a pod or service in the cluster to the moment it is in force here. */
	onProgrammed(family: FamilyName, seconds: number): void;
}

interface Change {
	readonly atMs: number;
	/** Time of the clock that runs are measured with. */
	readonly order: number;
	readonly services: number;
	readonly slices: number;
	readonly triggersMs: readonly number[];
}

/** Beyond it changes are counted together: while nothing can be programmed, what waits must not grow for ever. */
const MAX_PENDING = 1024;

export interface TrackerClock {
	/** Milliseconds since 1970. */
	wall(): number;
	/** Milliseconds of the clock that SyncReport.tookMs is measured with. */
	monotonic(): number;
}

const SYSTEM_CLOCK: TrackerClock = { wall: () => Date.now(), monotonic: () => performance.now() };

interface FamilyState {
	lastUpdatedMs: number | undefined;
	lastQueuedMs: number | undefined;
	pending: Change[];
	services: number;
	slices: number;
}

interface Seen {
	readonly service: Service | undefined;
	readonly slices: readonly EndpointSlice[];
}

const NOTHING: Seen = { service: undefined, slices: [] };

export class SyncTracker {
	readonly #observer: SyncObserver;
	readonly #clock: TrackerClock;
	readonly #startedMs: number;
	readonly #families = new Map<FamilyName, FamilyState>();
	/** The objects of each service as they were; the store keeps an object as long as it does not change. */
	readonly #seen = new Map<string, Seen>();

	constructor(observer: SyncObserver, clock = SYSTEM_CLOCK) {
		this.#observer = observer;
		this.#clock = clock;
		this.#startedMs = clock.wall();
	}

	/** Everything there is waits for the first sync of these families; others are not followed. */
	start(families: Iterable<Family>, view: ClusterView): void {
		for (const family of families) {
			this.#families.set(familyName(family), {
				lastUpdatedMs: undefined,
				lastQueuedMs: undefined,
				pending: [],
				services: 0,
				slices: 0,
			});
		}
		this.changed(view.services.keys(), view);
		this.queued();
	}

	/** Objects of these services ('namespace/name') have changed. */
	changed(names: Iterable<string>, view: ClusterView): void {
		for (const name of names) {
			const before = this.#seen.get(name) ?? NOTHING;
			const after: Seen = { service: view.services.get(name), slices: view.slicesOf(name) };
			if (after.service === undefined && after.slices.length === 0) this.#seen.delete(name);
			else this.#seen.set(name, after);
			for (const [family, state] of this.#families) this.#queue(state, changeOf(family, before, after));
		}
	}

	/** A sync for another reason, such as a new address of the node. */
	queued(): void {
		for (const state of this.#families.values()) this.#queue(state, { services: 0, slices: 0, triggersMs: [] });
	}

	#queue(state: FamilyState, change: Omit<Change, 'atMs' | 'order'> | undefined): void {
		if (change === undefined) return;
		const added = {
			...change,
			// what happened before this agent began would measure its absence
			triggersMs: change.triggersMs.filter((ms) => ms > this.#startedMs),
			atMs: this.#clock.wall(),
			order: this.#clock.monotonic(),
		};
		const last = state.pending.length < MAX_PENDING ? undefined : state.pending.pop();
		state.pending.push(last === undefined ? added : mergeChanges(last, added));
		state.lastQueuedMs = added.atMs;
		state.services += change.services;
		state.slices += change.slices;
	}

	/** A run has ended. What arrived after its begin waits for the next one. */
	finished(report: SyncReport): void {
		const nowMs = this.#clock.wall();
		const began = this.#clock.monotonic() - report.tookMs;
		for (const [family, state] of this.#families) {
			const done = state.pending.filter(({ order }) => order <= began);
			if (done.length > 0 || report.full) this.#observer.onSync(family, report.tookMs / 1000, report.full);
			if (report.problems.length > report.refused.length) continue;
			state.pending = state.pending.slice(done.length);
			state.lastUpdatedMs = nowMs;
			for (const triggeredMs of done.flatMap(({ triggersMs }) => triggersMs)) {
				this.#observer.onProgrammed(family, (nowMs - triggeredMs) / 1000);
			}
		}
	}

	/** By family that is followed. */
	families(): ReadonlyMap<FamilyName, FamilySync> {
		return new Map([...this.#families].map(([family, state]) => [family, syncOf(state)]));
	}

	health(): ProxyHealth {
		return judgeProxyHealth(this.families(), this.#clock.wall());
	}
}

function syncOf({ lastUpdatedMs, lastQueuedMs, pending, services, slices }: FamilyState): FamilySync {
	const sum = (count: (change: Change) => number): number => pending.reduce((total, each) => total + count(each), 0);
	return {
		lastUpdatedMs,
		lastQueuedMs,
		oldestQueuedMs: pending[0]?.atMs,
		serviceChanges: { pending: sum((each) => each.services), total: services },
		endpointChanges: { pending: sum((each) => each.slices), total: slices },
	};
}

/** Waits since the older one, and is done when the newer one is. */
function mergeChanges(older: Change, newer: Change): Change {
	return {
		atMs: older.atMs,
		order: newer.order,
		services: older.services + newer.services,
		slices: older.slices + newer.slices,
		triggersMs: [...older.triggersMs, ...newer.triggersMs].slice(0, MAX_PENDING),
	};
}

/** undefined = nothing that this family has to do with. */
function changeOf(family: FamilyName, before: Seen, after: Seen): Omit<Change, 'atMs' | 'order'> | undefined {
	const services =
		before.service !== after.service && (usesFamily(before, family) || usesFamily(after, family)) ? 1 : 0;
	const [old, current] = [slicesOf(before, family), slicesOf(after, family)];
	const fresh = current.filter((slice) => !old.includes(slice));
	const names = new Set(current.map(({ name }) => name));
	const slices = fresh.length + old.filter(({ name }) => !names.has(name)).length;
	if (services + slices === 0) return undefined;
	const triggersMs = fresh.map(({ triggeredAtMs }) => triggeredAtMs).filter((ms) => ms > 0);
	return { services, slices, triggersMs };
}

function usesFamily({ service }: Seen, family: FamilyName): boolean {
	return service?.clusterIps.some((address) => familyName(familyOf(address)) === family) ?? false;
}

function slicesOf({ slices }: Seen, family: FamilyName): readonly EndpointSlice[] {
	return slices.filter(({ addressType }) => addressType === family);
}
