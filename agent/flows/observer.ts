/**
 * Takes records from the ring buffer, keeps the last ones and answers queries about them, past and live.
 * A follower is a position in the history, not a queue of its own: memory does not grow with slow readers, and one
 * that is overtaken is told how many records it missed (of all kinds: those are not there to be filtered any more).
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { FairleadError } from '../model/errors.ts';
import type { FlowFilter, FlowTest } from './filter.ts';
import { compileFilters } from './filter.ts';
import type { Flow, FlowMessage, Loss, LossSource } from './flow.ts';
import { FlowHistory, type RuleResolver } from './history.ts';
import type { AddressResolver } from './names.ts';

export interface Clock {
	/** Nanoseconds since 1970. */
	wallNs(): bigint;
	/** CLOCK_MONOTONIC in nanoseconds, the clock of the records. */
	monotonicNs(): bigint;
}

export const systemClock: Clock = {
	wallNs: () => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n,
	monotonicNs: () => process.hrtime.bigint(),
};

export interface ObserverOptions {
	/** Records that are kept. */
	readonly capacity: number;
	readonly nodeName: string;
	readonly names: AddressResolver;
	readonly rules?: RuleResolver;
	readonly clock?: Clock;
}

export interface FlowQuery {
	readonly include?: readonly FlowFilter[];
	readonly exclude?: readonly FlowFilter[];
	/** Must hold as well. */
	readonly where?: FlowTest;
	/** At most so many flows of the history; 0 = no limit, but none at all with `follow` and without `sinceNs`. */
	readonly number?: number;
	/** `number` counts from the oldest flow. Not together with `follow`. */
	readonly first?: boolean;
	/** Nanoseconds since 1970, inclusive. With `sinceNs`, `number` caps the flows from there on. */
	readonly sinceNs?: bigint | undefined;
	readonly untilNs?: bigint | undefined;
	readonly follow?: boolean;
}

export interface FlowStats {
	readonly held: number;
	readonly capacity: number;
	readonly seen: number;
	readonly lost: Readonly<Record<LossSource, number>>;
	readonly subscribers: number;
}

/** Loss marks that are kept for readers of the history; older ones only remain in the counters. */
const MAX_MARKS = 256;
/** Records a reader looks at before it lets others run. */
const RECORDS_PER_TURN = 512;

interface LossMark {
	/** The loss happened before this record. */
	readonly before: number;
	readonly loss: Loss;
}

/** A validated query, with what depends on the moment it was asked. */
interface Plan {
	readonly test: FlowTest;
	readonly start: number;
	/** First record that is not history. */
	readonly end: number;
	readonly limit: number;
	/** Number of the first loss the reader must hear of: those inside its range, not those before it came. */
	readonly mark: number;
	readonly sinceNs: bigint | undefined;
	readonly untilNs: bigint | undefined;
	readonly follow: boolean;
}

/** Where one reader is. */
interface Cursor {
	/** Next record. */
	at: number;
	/** Number of the next loss mark. */
	mark: number;
	/** The history part is over. */
	live: boolean;
	ended: boolean;
}

export class FlowObserver {
	readonly #history: FlowHistory;
	readonly #clock: Clock;
	readonly #lost: Record<LossSource, number> = { 'kernel-ring': 0, 'agent-queue': 0, history: 0 };
	readonly #marks: LossMark[] = [];
	/** Number of #marks[0]; marks are numbered from 0. */
	#firstMarkHeld = 0;
	readonly #waiting = new Set<() => void>();
	#subscribers = 0;
	#lastLossNs: bigint;

	constructor(options: ObserverOptions) {
		this.#clock = options.clock ?? systemClock;
		this.#history = new FlowHistory(options);
		this.#lastLossNs = this.#clock.wallNs();
	}

	/** Callback for the ring buffer: one `struct flow_event` each; shorter ones count as lost. */
	record(records: readonly Uint8Array[]): void {
		const offsetNs = this.#clock.wallNs() - this.#clock.monotonicNs();
		let refused = 0;
		for (const record of records) if (!this.#history.push(record, offsetNs)) refused++;
		if (refused > 0) this.recordLoss('agent-queue', refused);
		this.#wake();
	}

	/**
	 * Notes that `count` further records will never come. Readers see it between the flows around it.
	 * @param source  `kernel-ring` = METRIC_EVENTS_LOST grew; `agent-queue` = RingBuffer.lost grew
	 */
	recordLoss(source: 'kernel-ring' | 'agent-queue', count: number): void {
		if (count <= 0) return;
		const untilNs = this.#clock.wallNs();
		this.#lost[source] += count;
		this.#marks.push({
			before: this.#history.next,
			loss: { source, count, sinceNs: this.#lastLossNs, untilNs },
		});
		if (this.#marks.length > MAX_MARKS) {
			this.#marks.shift();
			this.#firstMarkHeld++;
		}
		this.#lastLossNs = untilNs;
		this.#wake();
	}

	stats(): FlowStats {
		const { held, capacity, next } = this.#history;
		return { held, capacity, seen: next, lost: { ...this.#lost }, subscribers: this.#subscribers };
	}

	/**
	 * Flows of the history, oldest first, then live ones with `follow`. Checks the query at once; ends when the signal
	 * aborts, when the history ends (without `follow`) or at the first flow after `untilNs`.
	 * @throws REQUEST_INVALID with `field`
	 */
	observe(query: FlowQuery, signal: AbortSignal): AsyncGenerator<FlowMessage, void, undefined> {
		return this.#run(this.#plan(query), signal);
	}

	/** At most `limit` flows of the history that pass, newest first. */
	newest(limit: number, test: FlowTest): Flow[] {
		const found: Flow[] = [];
		for (let at = this.#history.next - 1; at >= this.#history.first && found.length < limit; at--) {
			const flow = this.#history.get(at);
			if (flow !== undefined && test(flow)) found.push(flow);
		}
		return found;
	}

	#plan(query: FlowQuery): Plan {
		const { number = 0, first = false, follow = false, sinceNs, untilNs } = query;
		if (first && follow)
			throw new FairleadError('REQUEST_INVALID', 'first: not possible with follow', { field: 'first' });
		if (!Number.isSafeInteger(number) || number < 0) {
			throw new FairleadError('REQUEST_INVALID', `number: expected 0 or more, got ${number}`, { field: 'number' });
		}
		const filter = compileFilters(query.include ?? [], query.exclude ?? []);
		const { where } = query;
		const test: FlowTest = where === undefined ? filter : (flow) => filter(flow) && where(flow);
		const end = this.#history.next;
		const limit = number === 0 ? Number.POSITIVE_INFINITY : number;
		const start = this.#start(query, test);
		return { test, start, end, limit, mark: this.#firstMark(start, end), sinceNs, untilNs, follow };
	}

	#start(query: FlowQuery, test: FlowTest): number {
		const { number = 0, first = false, follow = false, sinceNs, untilNs } = query;
		if (sinceNs !== undefined || first) return this.#history.first;
		if (number > 0) return this.#newest(number, test, untilNs);
		return follow ? this.#history.next : this.#history.first;
	}

	/** Position of the oldest of the `number` newest flows that match. */
	#newest(number: number, test: FlowTest, untilNs: bigint | undefined): number {
		let found = 0;
		let sequence = this.#history.next;
		while (sequence > this.#history.first && found < number) {
			sequence--;
			const flow = this.#history.get(sequence);
			if (flow !== undefined && (untilNs === undefined || flow.timeNs <= untilNs) && test(flow)) found++;
		}
		return sequence;
	}

	async *#run(plan: Plan, signal: AbortSignal): AsyncGenerator<FlowMessage, void, undefined> {
		if (plan.follow) this.#subscribers++;
		try {
			yield* this.#read(plan, signal);
		} finally {
			if (plan.follow) this.#subscribers--;
		}
	}

	async *#read(plan: Plan, signal: AbortSignal): AsyncGenerator<FlowMessage, void, undefined> {
		const cursor: Cursor = { at: plan.start, mark: plan.mark, live: false, ended: false };
		yield* this.#range(cursor, plan, plan.end, plan.limit, signal);
		if (!plan.follow) return;
		cursor.at = Math.max(cursor.at, plan.end);
		cursor.live = true;
		while (!signal.aborted && !cursor.ended) {
			yield* this.#range(cursor, plan, this.#history.next, Number.POSITIVE_INFINITY, signal);
			if (!cursor.ended) await this.#changed(cursor, signal);
		}
	}

	/** At most `limit` matching flows before record `end`, and the losses between them. */
	async *#range(
		cursor: Cursor,
		plan: Plan,
		end: number,
		limit: number,
		signal: AbortSignal,
	): AsyncGenerator<FlowMessage, void, undefined> {
		for (let sent = 0; sent < limit && !signal.aborted; ) {
			yield* this.#losses(cursor);
			if (cursor.at >= end) return;
			if (cursor.at < this.#history.first) {
				yield this.#overtaken(cursor);
				continue;
			}
			const flow = this.#history.get(cursor.at++);
			if (flow === undefined) continue;
			if (plan.untilNs !== undefined && flow.timeNs > plan.untilNs) {
				cursor.ended = cursor.live;
				if (cursor.ended) return;
			} else if ((plan.sinceNs === undefined || flow.timeNs >= plan.sinceNs) && plan.test(flow)) {
				sent++;
				yield { kind: 'flow', flow };
			}
			if (cursor.at % RECORDS_PER_TURN === 0) await nextTurn();
		}
	}

	#firstMark(start: number, end: number): number {
		const last = this.#firstMarkHeld + this.#marks.length;
		if (start >= end) return last;
		const index = this.#marks.findIndex((mark) => mark.before > start);
		return index < 0 ? last : this.#firstMarkHeld + index;
	}

	*#losses(cursor: Cursor): Generator<FlowMessage, void, undefined> {
		cursor.mark = Math.max(cursor.mark, this.#firstMarkHeld);
		for (;;) {
			const mark = this.#marks[cursor.mark - this.#firstMarkHeld];
			if (mark === undefined || mark.before > cursor.at) return;
			cursor.mark++;
			yield { kind: 'lost', loss: mark.loss };
		}
	}

	/** Moves a cursor that fell behind to the oldest record, and says what it missed. */
	#overtaken(cursor: Cursor): FlowMessage {
		const count = this.#history.first - cursor.at;
		const nowNs = this.#clock.wallNs();
		cursor.at = this.#history.first;
		this.#lost.history += count;
		const untilNs = this.#history.timeNs(cursor.at) ?? nowNs;
		return { kind: 'lost', loss: { source: 'history', count, sinceNs: untilNs, untilNs } };
	}

	/** Resolves when there is something to read at the cursor, or the signal aborts. */
	#changed(cursor: Cursor, signal: AbortSignal): Promise<void> {
		const lastMark = this.#firstMarkHeld + this.#marks.length;
		if (signal.aborted || cursor.at < this.#history.next || cursor.mark < lastMark) return Promise.resolve();
		return new Promise((resolve) => {
			const wake = (): void => {
				signal.removeEventListener('abort', wake);
				this.#waiting.delete(wake);
				resolve();
			};
			this.#waiting.add(wake);
			signal.addEventListener('abort', wake);
		});
	}

	#wake(): void {
		for (const wake of [...this.#waiting]) wake();
	}
}
