import { pino } from 'pino';
import { expect, it, vi } from 'vitest';
import type { ForgetReport } from '../kernel/ct-forget.ts';
import type { CtMaps } from '../kernel/ct-gc.ts';
import { FlowEnder } from './flow-ender.ts';

const QUIET = pino({ level: 'silent' });
const NOTHING: ForgetReport = { deleted: 0, byRule: { live: [], ended: [] }, closedAtBackends: [] };

function enderWith(forget: (ends: { port: number; before: number }[]) => ForgetReport) {
	let now = 0;
	const reports: ForgetReport[] = [];
	const ender = new FlowEnder({
		maps: {} as CtMaps,
		clock: { now: () => ++now, hz: 250 },
		nodeAddresses: () => [],
		onEnded: (report) => reports.push(report),
		log: QUIET,
		delayMs: 1,
		forget: (_, ends) => Promise.resolve().then(() => forget(ends.map(({ port, before }) => ({ port, before })))),
	});
	return { ender, reports };
}
const taken = (port: number) => ({ address: '10.96.0.1', port, proto: 17 });

it('looks once for all that come together, at flows of before each of them came last', async () => {
	const looks: unknown[] = [];
	const { ender, reports } = enderWith((ends) => {
		looks.push(ends);
		return NOTHING;
	});
	ender.add([]);
	ender.add([taken(52), taken(53)]);
	ender.add([taken(53), taken(54)]);
	ender.add([taken(55)]);
	await vi.waitFor(() => expect(reports).toEqual([NOTHING]));
	expect(looks).toEqual([
		[
			{ port: 52, before: 1 },
			{ port: 53, before: 2 },
			{ port: 54, before: 2 },
			{ port: 55, before: 3 },
		],
	]);
	await ender.close();
	ender.add([taken(56)]);
	expect(looks).toHaveLength(1);
});

it('goes on after a look that failed', async () => {
	let looks = 0;
	const { ender, reports } = enderWith(() => {
		if (++looks === 1) throw new Error('EPERM');
		return NOTHING;
	});
	ender.add([taken(53)]);
	await vi.waitFor(() => expect(looks).toBe(1));
	ender.add([taken(54)]);
	await vi.waitFor(() => expect(reports).toEqual([NOTHING]));
	await ender.close();
});
