import { describe, expect, it } from 'vitest';
import { type EventReason, nodeRef, serviceRef } from '../model/event.ts';
import { type EventSeries, QueuedEventRecorder } from './event-recorder.ts';

/** A sink that remembers, and fails or refuses as told. */
function start() {
	const sent: (EventSeries & { handle: string | undefined })[] = [];
	const state = { now: 1_000_000, failures: 0, refuse: '', pauses: [] as number[], problems: [] as string[], told: 0 };
	const recorder = new QueuedEventRecorder({
		sink: {
			deliver: async (series, handle) => {
				if (state.failures > 0) {
					state.failures--;
					throw new Error('no server');
				}
				sent.push({ ...series, handle });
				return { handle: handle ?? `h${sent.length}`, ...(state.refuse !== '' && { refused: state.refuse }) };
			},
		},
		now: () => state.now,
		random: () => 0.5,
		sleep: async (ms) => {
			state.pauses.push(ms);
			await new Promise((resolve) => setImmediate(resolve));
		},
		onProblem: (why) => state.problems.push(why),
		onEvent: () => state.told++,
	});
	const warn = (message: string, reason: EventReason = 'MapPressure') =>
		recorder.event(nodeRef('n1'), 'Warning', reason, message);
	return { sent, state, recorder, warn };
}

describe('QueuedEventRecorder', () => {
	it('counts what is said again and keeps to one object', async () => {
		const { sent, state, recorder, warn } = start();
		warn('map ct4 fills up');
		await recorder.idle();
		state.now += 60_000;
		warn('map ct4 fills up');
		await recorder.idle();
		expect(sent.map(({ count, handle, firstMs, lastMs }) => ({ count, handle, firstMs, lastMs }))).toEqual([
			{ count: 1, handle: undefined, firstMs: 1_000_000, lastMs: 1_000_000 },
			{ count: 2, handle: 'h1', firstMs: 1_000_000, lastMs: 1_060_000 },
		]);
		expect([recorder.counts, state.told]).toEqual([{ delivered: 2, lost: 0, limited: 0 }, 1]);
	});

	it('counts in one request what comes while it cannot send', async () => {
		const { sent, recorder, warn } = start();
		for (let i = 0; i < 5; i++) warn('map ct4 fills up');
		await recorder.idle();
		expect(sent.map(({ count }) => count)).toEqual([5]);
	});

	it('returns at once while nothing can be delivered, waits longer each time, and loses nothing', async () => {
		const { sent, state, recorder, warn } = start();
		state.failures = 3;
		warn('map ct4 fills up');
		recorder.event(serviceRef('shop/web'), 'Warning', 'FailedToStartServiceHealthcheck', 'port 32000 is taken');
		expect(sent).toEqual([]);
		await recorder.idle();
		expect(state.pauses).toEqual([1000, 2000, 4000]);
		expect(sent.map(({ about, count }) => [about.kind, count])).toEqual([
			['Node', 1],
			['Service', 1],
		]);
		expect(state.problems).toEqual(['no server', '']);
	});

	it('does not send again what the server will not have', async () => {
		const { sent, state, recorder, warn } = start();
		state.refuse = '403: forbidden';
		warn('map ct4 fills up');
		await recorder.idle();
		expect([sent.length, recorder.counts.lost, state.problems]).toEqual([1, 1, ['403: forbidden']]);
	});

	it('gathers different texts of one reason from the eleventh on', async () => {
		const { sent, recorder, warn } = start();
		for (let i = 0; i < 13; i++) warn(`map number ${i}`);
		await recorder.idle();
		expect(sent).toHaveLength(11);
		expect(sent.at(-1)).toMatchObject({ count: 3, message: '(combined from similar events): map number 12' });
	});

	it('lets 25 events about an object through, then one in five minutes, and others are not concerned', async () => {
		const { sent, state, recorder, warn } = start();
		for (let i = 0; i < 40; i++) warn('again');
		await recorder.idle();
		expect([sent.at(-1)?.count, recorder.counts.limited]).toEqual([25, 15]);
		recorder.event(nodeRef('n2'), 'Normal', 'FairleadIsUp', 'up');
		state.now += 300_000;
		for (let i = 0; i < 3; i++) warn('again');
		await recorder.idle();
		expect(sent.map(({ about, count }) => `${about.name} ${count}`)).toEqual(['n1 25', 'n1 26', 'n2 1']);
	});

	it('begins a series anew after an hour, when the server has forgotten the old one', async () => {
		const { sent, state, recorder, warn } = start();
		warn('map ct4 fills up');
		await recorder.idle();
		state.now += 3_600_000;
		warn('map ct4 fills up');
		await recorder.idle();
		expect(sent.map(({ count, handle }) => [count, handle])).toEqual([
			[1, undefined],
			[1, undefined],
		]);
	});

	it('remembers only so many series and counts what it drops', async () => {
		const { state, recorder } = start();
		state.failures = Number.POSITIVE_INFINITY;
		for (let i = 0; i < 300; i++) recorder.event(nodeRef(`n${i}`), 'Warning', 'MapPressure', 'full');
		expect(recorder.counts.lost).toBe(44);
		await recorder.close();
	});

	it('ends although nothing can be delivered', async () => {
		const { state, recorder, warn } = start();
		state.failures = Number.POSITIVE_INFINITY;
		warn('map ct4 fills up');
		await recorder.close(1);
		warn('too late');
		expect(recorder.counts.delivered).toBe(0);
	});
});
