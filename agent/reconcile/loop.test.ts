import { describe, expect, it } from 'vitest';
import type { LoopClock } from './loop.ts';
import { ReconcileLoop } from './loop.ts';

/** Time that passes only when told to. */
function manualClock(random = 1) {
	const tasks: { task: () => void; delayMs: number }[] = [];
	const clock: LoopClock = {
		schedule: (task, delayMs) => {
			const entry = { task, delayMs };
			tasks.push(entry);
			return () => {
				const at = tasks.indexOf(entry);
				if (at >= 0) tasks.splice(at, 1);
			};
		},
		random: () => random,
	};
	return { clock, tasks };
}

describe('ReconcileLoop', () => {
	it('gathers requests that arrive while a run is under way into one more run', async () => {
		let runs = 0;
		const loop: ReconcileLoop = new ReconcileLoop({
			run: async () => {
				if (++runs === 1) for (let i = 0; i < 5; i++) loop.request();
				return [];
			},
		});
		loop.request();
		loop.request();
		await loop.idle();
		expect(runs).toBe(2);
	});

	it('never runs twice at once', async () => {
		let active = 0;
		let most = 0;
		const loop = new ReconcileLoop({
			run: async () => {
				most = Math.max(most, ++active);
				await new Promise((resolve) => setImmediate(resolve));
				active--;
				return [];
			},
		});
		for (let i = 0; i < 3; i++) {
			loop.request();
			await new Promise((resolve) => setImmediate(resolve));
		}
		await loop.idle();
		expect(most).toBe(1);
	});

	it('retries a failure with growing delays, compares everything then, and reports the recovery once', async () => {
		const { clock, tasks } = manualClock();
		const retries: boolean[] = [];
		const reports: string[] = [];
		let failing = 3;
		const loop = new ReconcileLoop({
			run: async (retry) => {
				retries.push(retry);
				return failing-- > 0 ? ['map full'] : [];
			},
			onProblems: (problems, delay) => reports.push(`${problems.join()}@${delay}`),
			minBackoffMs: 100,
			clock,
		});
		loop.request();
		await loop.idle();
		while (tasks.length > 0) {
			tasks.splice(0, 1)[0]!.task();
			await loop.idle();
		}
		expect(retries).toEqual([false, true, true, true]);
		expect(reports).toEqual(['map full@100', 'map full@200', 'map full@400', '@0']);
		expect(loop.failures).toBe(0);
	});

	it('survives a run that throws', async () => {
		const { clock, tasks } = manualClock();
		const problems: string[] = [];
		const loop = new ReconcileLoop({
			run: async () => {
				throw new Error('broken');
			},
			onProblems: (list) => problems.push(...list),
			clock,
		});
		loop.request();
		await loop.idle();
		expect(problems).toEqual(['broken']);
		expect(tasks).toHaveLength(1);
	});

	it('spreads retries: the delay is between half and the whole of the back-off', async () => {
		const { clock, tasks } = manualClock(0);
		const loop = new ReconcileLoop({ run: async () => ['no'], minBackoffMs: 100, clock });
		loop.request();
		await loop.idle();
		expect(tasks.map(({ delayMs }) => delayMs)).toEqual([50]);
	});

	it('does nothing after it was closed', async () => {
		let runs = 0;
		const loop = new ReconcileLoop({ run: async () => [String(++runs)] });
		await loop.close();
		loop.request();
		await loop.idle();
		expect(runs).toBe(0);
	});

	it('rests between two runs, and no longer than until it is closed', async () => {
		let runs = 0;
		const { clock, tasks } = manualClock();
		const loop: ReconcileLoop = new ReconcileLoop({
			run: async () => {
				runs++;
				return [];
			},
			restFactor: 4,
			clock,
		});
		loop.request();
		await new Promise((resolve) => setImmediate(resolve));
		loop.request();
		expect([runs, tasks.length]).toEqual([1, 1]);
		tasks.shift()?.task();
		await new Promise((resolve) => setImmediate(resolve));
		expect([runs, tasks.length]).toEqual([2, 1]);
		loop.request();
		await loop.close();
		expect([runs, tasks.length]).toEqual([2, 0]);
	});
});
