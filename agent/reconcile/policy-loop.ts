/**
 * Runs the policy reconciler: changes are done when they come, in their order; what failed is tried again with back-off; what is
 * out of use is freed soon after (the grace period blocks for milliseconds, so it is never part of a change).
 */
import { errorMessage } from '../model/errors.ts';
import type { LoopClock } from './loop.ts';
import { ReconcileLoop, systemClock } from './loop.ts';
import type { PolicyReport } from './policy.ts';

export interface PolicyLoopOptions {
	/** Makes the maps as wanted again after a failure, or tries again what had no room. */
	readonly repair: () => PolicyReport;
	readonly hasGarbage: () => boolean;
	readonly reclaim: () => PolicyReport;
	readonly onReport: (report: PolicyReport) => void;
	readonly onProblems: (problems: readonly string[], retryInMs: number) => void;
	/** From the first change until what is out of use is freed, in milliseconds. */
	readonly reclaimAfterMs?: number;
	readonly clock?: LoopClock;
}

export class PolicyLoop {
	readonly #options: PolicyLoopOptions;
	readonly #clock: LoopClock;
	readonly #loop: ReconcileLoop;
	#problems: readonly string[] = [];
	/** A run of the loop has been asked for, or one that failed will be repeated. */
	#retrying = false;
	#cancelReclaim: (() => void) | undefined;
	#closed = false;

	constructor(options: PolicyLoopOptions) {
		this.#options = options;
		this.#clock = options.clock ?? systemClock;
		this.#loop = new ReconcileLoop({
			run: async (retry) => this.#repair(retry),
			onProblems: options.onProblems,
			clock: this.#clock,
		});
	}

	/** Does something now. Never throws: what is thrown is a problem like others. */
	do(work: () => PolicyReport): PolicyReport {
		let report: PolicyReport;
		try {
			report = work();
		} catch (thrown) {
			report = { ops: 0, problems: [errorMessage(thrown)], closed: [], full: false, tookMs: 0 };
		}
		this.#problems = report.problems;
		this.#options.onReport(report);
		this.#reclaimSoon();
		if (report.problems.length > 0 && !this.#retrying) {
			this.#retrying = true;
			this.#loop.request();
		}
		return report;
	}

	async close(): Promise<void> {
		this.#closed = true;
		this.#cancelReclaim?.();
		await this.#loop.close();
	}

	/** The loop's first run only learns what failed, so that the repair comes after a pause. */
	#repair(retry: boolean): readonly string[] {
		if (retry) this.do(this.#options.repair);
		if (this.#problems.length === 0) this.#retrying = false;
		return this.#problems;
	}

	#reclaimSoon(): void {
		if (this.#cancelReclaim !== undefined || this.#closed || !this.#options.hasGarbage()) return;
		this.#cancelReclaim = this.#clock.schedule(() => {
			this.#cancelReclaim = undefined;
			this.do(this.#options.reclaim);
		}, this.#options.reclaimAfterMs ?? 200);
	}
}
