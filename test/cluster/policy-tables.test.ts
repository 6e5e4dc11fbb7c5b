/**
 * The truth tables of test/policy-cases with real pods, agents and packets. A sample here; all of them, in both routings, by
 * `npm run test:policy-tables`.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PolicyCluster, whyNotOnCluster } from '../lib/policy-cluster.ts';
import type { PolicyCase } from '../lib/policy-world.ts';
import { clusterPolicyCases } from '../policy-cases/cluster-network-policy.ts';
import { furtherCases, networkPolicyCases } from '../policy-cases/network-policy.ts';

const ALL = process.env.POLICY_TABLES === 'all';
/** One of so many cases, evenly over the tables, in a usual run. */
const ONE_IN = 7;
const ROUTINGS = ALL ? (['vxlan', 'direct'] as const) : (['vxlan'] as const);

const possible = [...networkPolicyCases, ...furtherCases, ...clusterPolicyCases].filter(
	(each) => whyNotOnCluster(each) === undefined,
);
const chosen: readonly PolicyCase[] = ALL ? possible : possible.filter((_, i) => i % ONE_IN === 0);

it('nearly every case can be asked of real pods', () => {
	expect(possible.length).toBeGreaterThan(80);
});

describe.each(ROUTINGS)('two nodes, %s', (routing) => {
	let cluster: PolicyCluster;
	beforeAll(async () => {
		cluster = await PolicyCluster.create(routing);
	}, 300_000);
	afterAll(() => cluster?.destroy());

	it.each(chosen.map((each) => [each.title, each] as const))('%s', { timeout: 300_000 }, async (_title, each) => {
		try {
			await cluster.check(each);
		} catch (error) {
			cluster.saveLogs();
			throw error;
		}
	});
});
