import { describe, expect, it } from 'vitest';
import { simulate } from '../lib/service-oracle.ts';
import { ServiceMaps } from '../lib/service-oracle-maps.ts';
import { expectedOutcome } from '../lib/service-rules.ts';
import { type Case, probeOf, type Row, shortForm, sortedForm, worldOf } from './cases.ts';
import { KUBE_PROXY_CASES } from './kube-proxy-cases.ts';
import { WorldPlanner } from './plan-world.ts';

const line = (who: string, to: string, outcome: string): string => `${who} → ${to}: ${outcome}`;

function judged(each: Case, judge: (row: Row) => string): string[] {
	return each.rows.map((row) => line(row[0], row[1], judge(row)));
}

describe.each(KUBE_PROXY_CASES)('$title', (each) => {
	const world = worldOf(each);

	it('is what the rules say', () => {
		const byRules = judged(each, ([who, to]) =>
			shortForm(expectedOutcome(world, probeOf(who, to), { rules: 'kubernetes' })),
		);
		expect(byRules).toEqual(judged(each, ([, , expected]) => sortedForm(expected)));
	});

	it('is what the planned maps say, but for what Fairlead chooses otherwise', async () => {
		const planner = new WorldPlanner(world);
		await planner.plan(world);
		const maps = new ServiceMaps(planner.kernel);
		const byMaps = judged(each, ([who, to]) => shortForm(simulate(maps, world.node, probeOf(who, to))));
		expect(byMaps).toEqual(judged(each, ([, , kubernetes, fairlead]) => sortedForm(fairlead ?? kubernetes)));
		const byRules = judged(each, ([who, to]) =>
			shortForm(expectedOutcome(world, probeOf(who, to), { rules: 'fairlead' })),
		);
		expect(byMaps).toEqual(byRules);
	});
});
