import { describe, expect, it } from 'vitest';
import { DropReason, EventType } from '../../native/abi/generated.ts';
import { flowRecord, ManualClock, resolverOf } from '../../test/lib/flow-records.ts';
import type { FlowMessage } from './flow.ts';
import type { FlowQuery } from './observer.ts';
import { FlowObserver } from './observer.ts';
import { startRingReader } from './ring-reader.ts';

const START_NS = 1_700_000_000_000_000_000n;

interface Setup {
	observer: FlowObserver;
	clock: ManualClock;
	/** Records one flow per port, one nanosecond apart. */
	record: (...ports: number[]) => void;
}

function setup(capacity = 100): Setup {
	const clock = new ManualClock(START_NS, START_NS - 1000n);
	const observer = new FlowObserver({ capacity, nodeName: 'n', names: resolverOf({}), clock });
	const record = (...ports: number[]): void => {
		for (const sport of ports) {
			observer.record([flowRecord({ sport, timeNs: clock.monotonicNs() })]);
			clock.advanceNs(1n);
		}
	};
	return { observer, clock, record };
}

function textOf(message: FlowMessage): string | number {
	return message.kind === 'flow' ? message.flow.source.port : `${message.loss.source}:${message.loss.count}`;
}

async function collect(observer: FlowObserver, query: FlowQuery): Promise<(string | number)[]> {
	const seen: (string | number)[] = [];
	for await (const message of observer.observe(query, new AbortController().signal)) seen.push(textOf(message));
	return seen;
}

/** A follower whose messages are taken one by one. */
function follow(observer: FlowObserver, query: FlowQuery) {
	const abort = new AbortController();
	const stream = observer.observe({ ...query, follow: true }, abort.signal);
	const take = async (count: number): Promise<(string | number)[]> => {
		const seen: (string | number)[] = [];
		while (seen.length < count) {
			const { value, done } = await stream.next();
			if (done === true) break;
			seen.push(textOf(value));
		}
		return seen;
	};
	return { take, stop: () => abort.abort() };
}

describe('FlowObserver history', () => {
	it('gives the whole history, oldest first, when nothing is asked', async () => {
		const { observer, record } = setup();
		record(1, 2, 3);
		expect(await collect(observer, {})).toEqual([1, 2, 3]);
	});

	it('gives the newest N matching flows, oldest of them first', async () => {
		const { observer, record } = setup();
		record(1, 2, 3, 2, 4, 2, 5);
		expect(await collect(observer, { number: 2 })).toEqual([2, 5]);
		expect(await collect(observer, { number: 2, include: [{ sourcePort: [2] }] })).toEqual([2, 2]);
		expect(await collect(observer, { number: 99 })).toHaveLength(7);
	});

	it('gives the oldest N matching flows with first', async () => {
		const { observer, record } = setup();
		record(1, 2, 3, 4);
		expect(await collect(observer, { number: 2, first: true, exclude: [{ sourcePort: [1] }] })).toEqual([2, 3]);
	});

	it('includes both ends of since and until, and number caps from since on', async () => {
		const { observer, record } = setup();
		record(1, 2, 3, 4, 5);
		const sinceNs = START_NS + 1n;
		expect(await collect(observer, { sinceNs, untilNs: START_NS + 3n })).toEqual([2, 3, 4]);
		expect(await collect(observer, { sinceNs, number: 2 })).toEqual([2, 3]);
		expect(await collect(observer, { number: 2, untilNs: START_NS + 2n })).toEqual([2, 3]);
	});

	it('only has what the ring still holds', async () => {
		const { observer, record } = setup(3);
		record(1, 2, 3, 4, 5);
		expect(await collect(observer, {})).toEqual([3, 4, 5]);
		expect(await collect(observer, { number: 5 })).toEqual([3, 4, 5]);
	});

	it('shows a loss between the flows around it, whatever the filters', async () => {
		const { observer, record } = setup();
		record(1);
		observer.recordLoss('kernel-ring', 7);
		record(2);
		expect(await collect(observer, { exclude: [{ sourcePort: [1] }] })).toEqual(['kernel-ring:7', 2]);
		expect(await collect(observer, { number: 1 })).toEqual([2]);
	});

	it.each([
		[{ first: true, follow: true }, 'first'],
		[{ number: -1 }, 'number'],
		[{ number: 1.5 }, 'number'],
		[{ include: [{ ip: ['x'] }] }, 'include[0].ip[0]'],
	])('refuses %o at once, naming the field', (query, field) => {
		const { observer } = setup();
		expect(() => observer.observe(query, new AbortController().signal)).toThrowError(
			expect.objectContaining({ code: 'REQUEST_INVALID', fields: { field } }),
		);
	});

	it('counts seen and held flows and losses by source', () => {
		const { observer, record } = setup(2);
		record(1, 2, 3);
		observer.recordLoss('kernel-ring', 4);
		observer.record([new Uint8Array(7)]);
		expect(observer.stats()).toEqual({
			held: 2,
			capacity: 2,
			seen: 3,
			lost: { 'kernel-ring': 4, 'agent-queue': 1, history: 0 },
			subscribers: 0,
		});
	});
});

describe('FlowObserver follow', () => {
	it('gives only new flows unless history is asked for', async () => {
		const { observer, record } = setup();
		record(1, 2);
		const follower = follow(observer, {});
		const taken = follower.take(2);
		record(3, 4);
		expect(await taken).toEqual([3, 4]);
		follower.stop();
	});

	it('gives history first and then live flows; number limits only the history', async () => {
		const { observer, record } = setup();
		record(1, 2, 3);
		const follower = follow(observer, { number: 1 });
		expect(await follower.take(1)).toEqual([3]);
		const taken = follower.take(3);
		record(4, 5);
		record(6);
		expect(await taken).toEqual([4, 5, 6]);
		follower.stop();
	});

	it('filters live flows', async () => {
		const { observer, record } = setup();
		const follower = follow(observer, { include: [{ reason: ['policy'] }] });
		const taken = follower.take(1);
		record(1, 2);
		observer.record([flowRecord({ type: EventType.DROP, reason: DropReason.POLICY, sport: 9 })]);
		expect(await taken).toEqual([9]);
		follower.stop();
	});

	it('tells a reader that was overtaken exactly how many records it missed', async () => {
		const { observer, record } = setup(4);
		const follower = follow(observer, {});
		const first = follower.take(1);
		record(1);
		expect(await first).toEqual([1]);
		record(2, 3, 4, 5, 6, 7, 8);
		expect(await follower.take(5)).toEqual(['history:3', 5, 6, 7, 8]);
		expect(observer.stats().lost.history).toBe(3);
		follower.stop();
	});

	it('reports a loss even when no flow follows it', async () => {
		const { observer } = setup();
		const follower = follow(observer, {});
		const taken = follower.take(1);
		observer.recordLoss('agent-queue', 5);
		expect(await taken).toEqual(['agent-queue:5']);
		follower.stop();
	});

	it('does not repeat losses from before the reader came', async () => {
		const { observer, record } = setup();
		record(1);
		observer.recordLoss('agent-queue', 5);
		const follower = follow(observer, {});
		const taken = follower.take(1);
		record(2);
		expect(await taken).toEqual([2]);
		follower.stop();
	});

	it('ends at the first flow after until', async () => {
		const { observer, record } = setup();
		const follower = follow(observer, { untilNs: START_NS + 1n });
		const taken = follower.take(9);
		record(1, 2, 3);
		expect(await taken).toEqual([1, 2]);
	});

	it('ends when the signal aborts and forgets the reader', async () => {
		const { observer } = setup();
		const follower = follow(observer, {});
		const taken = follower.take(1);
		await Promise.resolve();
		expect(observer.stats().subscribers).toBe(1);
		follower.stop();
		expect(await taken).toEqual([]);
		expect(observer.stats().subscribers).toBe(0);
	});
});

describe('startRingReader', () => {
	it('feeds records and reports only losses that are new', async () => {
		const { observer } = setup();
		let kernelLost = 100n;
		let onRecords: (records: Uint8Array[]) => void = () => {};
		const ring = { lost: 0n, closed: 0, close: () => void ring.closed++ };
		const reader = startRingReader({
			observer,
			kernelLost: () => kernelLost,
			open: (callback) => {
				onRecords = callback;
				return ring;
			},
		});
		onRecords([flowRecord({ sport: 1 })]);
		reader.check();
		kernelLost = 103n;
		ring.lost = 2n;
		reader.check();
		kernelLost = 1n; // maps were made anew
		reader.check();
		kernelLost = 2n;
		reader.check();
		reader.close();
		reader.close();
		expect(observer.stats().lost).toEqual({ 'kernel-ring': 4, 'agent-queue': 2, history: 0 });
		expect(await collect(observer, {})).toEqual([1, 'kernel-ring:3', 'agent-queue:2', 'kernel-ring:1']);
		expect(ring.closed).toBe(1);
	});
});
