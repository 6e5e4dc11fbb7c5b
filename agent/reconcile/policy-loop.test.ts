import { describe, expect, it } from 'vitest';
import type { PolicyReport } from './policy.ts';
import { PolicyLoop } from './policy-loop.ts';

const GOOD: PolicyReport = { ops: 1, problems: [], closed: [], full: false, tookMs: 0 };
const settled = () => new Promise((resolve) => setImmediate(resolve));

function setup() {
	const timers: { task: () => void; delayMs: number }[] = [];
	const log: string[] = [];
	let garbage = false;
	let repaired: PolicyReport = GOOD;
	const loop = new PolicyLoop({
		repair: () => {
			log.push('repair');
			return repaired;
		},
		hasGarbage: () => garbage,
		reclaim: () => {
			log.push('reclaim');
			garbage = false;
			return GOOD;
		},
		onReport: ({ problems }) => log.push(`report ${problems.join()}`),
		onProblems: (problems) => log.push(`problems ${problems.join()}`),
		clock: {
			schedule: (task, delayMs) => {
				const timer = { task, delayMs };
				timers.push(timer);
				return () => timers.splice(timers.indexOf(timer), 1);
			},
			random: () => 0,
		},
	});
	const fire = async () => {
		for (const { task } of timers.splice(0)) task();
		await settled();
	};
	return {
		...{ loop, log, timers, fire },
		setGarbage: () => {
			garbage = true;
		},
		setRepair: (report: PolicyReport) => {
			repaired = report;
		},
	};
}

describe('PolicyLoop', () => {
	it('does changes at once and frees what is out of use later, once for many changes', async () => {
		const { loop, log, timers, fire, setGarbage } = setup();
		setGarbage();
		loop.do(() => GOOD);
		loop.do(() => GOOD);
		expect(timers).toHaveLength(1);
		await fire();
		expect(log).toEqual(['report ', 'report ', 'reclaim', 'report ']);
		await loop.close();
	});

	it('repairs after a pause what failed or was thrown, with longer pauses until it succeeds', async () => {
		const { loop, log, timers, fire, setRepair } = setup();
		setRepair({ ...GOOD, problems: ['still'] });
		loop.do(() => {
			throw new Error('lost');
		});
		await settled();
		expect(log).toEqual(['report lost', 'problems lost']);
		const [first] = timers;
		await fire();
		expect(log.slice(2)).toEqual(['repair', 'report still', 'problems still']);
		expect(timers[0]!.delayMs).toBeGreaterThan(first!.delayMs);
		setRepair(GOOD);
		await fire();
		expect(log.slice(5)).toEqual(['repair', 'report ', 'problems ']);
		expect(timers).toEqual([]);
		await loop.close();
	});

	it('waits for the pause although changes go on failing', async () => {
		const { loop, log, timers } = setup();
		const bad = { ...GOOD, problems: ['bad'] };
		loop.do(() => bad);
		await settled();
		loop.do(() => bad);
		await settled();
		expect(log).toEqual(['report bad', 'problems bad', 'report bad']);
		expect(timers).toHaveLength(1);
		await loop.close();
	});
});
