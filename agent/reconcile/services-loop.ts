/**
 * Plans that changed → service maps: gathers them, runs the reconciler, and frees what is out of use once things are
 * quiet (the grace period blocks for milliseconds, so it is never part of a change).
 */
import type { OwnerPlan } from '../plan/services.ts';
import type { LoopClock } from './loop.ts';
import { ReconcileLoop, systemClock } from './loop.ts';
import type { ReconcileReport, ServicesReconciler } from './services.ts';

export interface ServicesLoopOptions {
	readonly reconciler: ServicesReconciler;
	readonly onReport?: (report: ReconcileReport) => void;
	readonly onProblems?: (problems: readonly string[], retryInMs: number) => void;
	/** Quiet time before what is out of use is freed, in milliseconds. */
	readonly reclaimAfterMs?: number;
	readonly clock?: LoopClock;
}

export class ServicesLoop {
	readonly #options: ServicesLoopOptions;
	readonly #loop: ReconcileLoop;
	readonly #clock: LoopClock;
	#pending = new Map<string, OwnerPlan>();
	#full = false;
	#cancelReclaim: (() => void) | undefined;
	#cancelTransition: (() => void) | undefined;

	constructor(options: ServicesLoopOptions) {
		this.#options = options;
		this.#clock = options.clock ?? systemClock;
		this.#loop = new ReconcileLoop({
			run: (retry) => this.#run(retry),
			clock: this.#clock,
			...(options.onProblems === undefined ? {} : { onProblems: options.onProblems }),
		});
	}

	/** The first delivery after start: everything that should exist. Resolves after the first attempt. */
	async start(plans: ReadonlyMap<string, OwnerPlan>): Promise<ReconcileReport> {
		const report = await this.#options.reconciler.replaceAll(plans);
		this.#options.onReport?.(report);
		if (report.problems.length > 0) this.#loop.request();
		this.#scheduleNext();
		return report;
	}

	/** Plans of owners that changed; an empty plan removes. */
	enqueue(plans: ReadonlyMap<string, OwnerPlan>): void {
		for (const [owner, plan] of plans) this.#pending.set(owner, plan);
		if (plans.size > 0) this.#loop.request();
	}

	/** Compares everything with the kernel soon: repairs what somebody else has changed. */
	resync(): void {
		this.#full = true;
		this.#loop.request();
	}

	/** Resolves when everything enqueued has been tried. */
	idle(): Promise<void> {
		return this.#loop.idle();
	}

	async close(): Promise<void> {
		this.#cancelReclaim?.();
		this.#cancelTransition?.();
		await this.#loop.close();
	}

	async #run(retry: boolean): Promise<readonly string[]> {
		const { reconciler, onReport } = this.#options;
		const changes = this.#pending;
		this.#pending = new Map();
		const full = retry || this.#full;
		this.#full = false;
		let report = await reconciler.update(changes);
		if (full && !report.full) report = await reconciler.resync();
		onReport?.(report);
		this.#scheduleNext();
		return report.problems;
	}

	#scheduleNext(): void {
		const { reconciler, reclaimAfterMs } = this.#options;
		this.#cancelReclaim?.();
		if (reconciler.hasGarbage) {
			this.#cancelReclaim = this.#clock.schedule(() => reconciler.reclaim(), reclaimAfterMs ?? 100);
		}
		this.#cancelTransition?.();
		this.#cancelTransition = undefined;
		const delayMs = reconciler.nextTransitionMs;
		// A millisecond more: timers may run early, and a run that ends nothing would only come again.
		if (delayMs !== undefined) {
			this.#cancelTransition = this.#clock.schedule(() => this.#loop.request(), Math.ceil(delayMs) + 1);
		}
	}
}
