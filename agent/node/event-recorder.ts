/**
 * Delivers Events one after the other in the background. Nobody who records one waits or learns of a failure: an API server that
 * is away gets them when it is back, and what no longer fits is counted as lost.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { EventReason, EventRecorder, EventType, ObjectRef } from '../model/event.ts';
import { EventBudget, type EventText } from './event-budget.ts';

/** One Event object: the same thing about the same object, seen `count` times. */
export interface EventSeries extends EventText {
	readonly count: number;
	readonly firstMs: number;
	readonly lastMs: number;
}

/** Where Events end up. */
export interface EventSink {
	/**
	 * Makes or brings up to date the object of a series.
	 * @param handle  what the last delivery of this series returned; undefined = there was none
	 * @returns a handle for the next one
	 * @throws what may work later
	 */
	deliver(series: EventSeries, handle: string | undefined, signal: AbortSignal): Promise<DeliveredEvent>;
}

export interface DeliveredEvent {
	readonly handle: string;
	/** The receiver will not have it, so it is not tried again: why. */
	readonly refused?: string;
}

export interface EventRecorderOptions {
	readonly sink: EventSink;
	/** Once per event that is not only another count of the last. */
	readonly onEvent?: (event: EventText) => void;
	/** @param why  '' = delivered again */
	readonly onProblem?: (why: string) => void;
	readonly now?: () => number;
	readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
	/** In [0, 1). */
	readonly random?: () => number;
}

interface Entry {
	text: EventText;
	count: number;
	readonly firstMs: number;
	lastMs: number;
	handle: string | undefined;
	pending: boolean;
}

/** Series that are remembered, and so many may wait. */
const SERIES = 256;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;
/** A series that was quiet for longer begins anew: the API server forgets events after an hour. */
const SERIES_MS = 3_000_000;

export class QueuedEventRecorder implements EventRecorder {
	readonly #options: EventRecorderOptions;
	readonly #now: () => number;
	readonly #budget = new EventBudget();
	readonly #series = new Map<string, Entry>();
	readonly #closing = new AbortController();
	readonly #counts = { delivered: 0, lost: 0, limited: 0 };
	#pump: Promise<void> | undefined;
	#problem = '';

	constructor(options: EventRecorderOptions) {
		this.#options = options;
		this.#now = options.now ?? Date.now;
	}

	event(about: ObjectRef, type: EventType, reason: EventReason, message: string): void {
		if (this.#closing.signal.aborted) return;
		const nowMs = this.#now();
		const series = this.#budget.spend({ about, type, reason, message }, nowMs);
		if (series === undefined) {
			this.#counts.limited++;
			return;
		}
		const text = { about, type, reason, message: series.message };
		const known = this.#series.get(series.key);
		if (known !== undefined && nowMs - known.lastMs < SERIES_MS) {
			Object.assign(known, { text, count: known.count + 1, lastMs: nowMs, pending: true });
		} else {
			this.#remember(series.key, { text, count: 1, firstMs: nowMs, lastMs: nowMs, handle: undefined, pending: true });
			this.#options.onEvent?.(text);
		}
		this.#pump ??= this.#run().finally(() => {
			this.#pump = undefined;
		});
	}

	/** Deliveries, events that were lost (no room, refused) and events that the limits left out. */
	get counts(): Readonly<Record<'delivered' | 'lost' | 'limited', number>> {
		return this.#counts;
	}

	/** Resolves when nothing waits. */
	async idle(): Promise<void> {
		await this.#pump;
	}

	/** @param graceMs  how long what waits may still be delivered */
	async close(graceMs = 0): Promise<void> {
		if (graceMs > 0) await Promise.race([this.#pump, sleep(graceMs, undefined, { ref: false })]);
		this.#closing.abort();
		await this.#pump;
	}

	#remember(key: string, entry: Entry): void {
		this.#series.delete(key);
		this.#series.set(key, entry);
		if (this.#series.size <= SERIES) return;
		const quiet = [...this.#series].find(([, each]) => !each.pending);
		const [oldest] = quiet ?? [...this.#series.keys()];
		if (oldest === undefined) return;
		if (quiet === undefined) this.#counts.lost++;
		this.#series.delete(oldest);
	}

	async #run(): Promise<void> {
		let pauseMs = FIRST_PAUSE_MS;
		// whoever records several events in one go has them all in the queue before the first is sent
		await Promise.resolve();
		for (;;) {
			const next = [...this.#series.values()].find(({ pending }) => pending);
			if (next === undefined || this.#closing.signal.aborted) return;
			try {
				await this.#deliver(next);
				pauseMs = FIRST_PAUSE_MS;
			} catch (error) {
				next.pending = true;
				this.#say(error instanceof Error ? error.message : String(error));
				await this.#pause(pauseMs);
				pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
			}
		}
	}

	async #deliver(entry: Entry): Promise<void> {
		const { text, count, firstMs, lastMs, handle } = entry;
		entry.pending = false;
		const result = await this.#options.sink.deliver({ ...text, count, firstMs, lastMs }, handle, this.#closing.signal);
		entry.handle = result.handle;
		this.#counts[result.refused === undefined ? 'delivered' : 'lost']++;
		this.#say(result.refused ?? '');
	}

	#say(problem: string): void {
		if (problem === this.#problem || this.#closing.signal.aborted) return;
		this.#problem = problem;
		this.#options.onProblem?.(problem);
	}

	async #pause(ms: number): Promise<void> {
		const { random = Math.random } = this.#options;
		const wait = this.#options.sleep ?? ((waitMs, signal) => sleep(waitMs, undefined, { signal, ref: false }));
		await wait(ms * (0.5 + random()), this.#closing.signal).catch(() => undefined);
	}
}
