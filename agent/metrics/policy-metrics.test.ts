import { describe, expect, it } from 'vitest';
import type { RuleCounts } from '../flows/rule-ledger.ts';
import type { CountedRule, PolicyCounts, PolicyDetail } from './policy-metrics.ts';
import { addPolicyMetrics } from './policy-metrics.ts';
import { Registry } from './prom-client.ts';

const counts = (allowed: number, denied = 0): RuleCounts => ({
	flows: 0,
	allowedPackets: BigInt(allowed),
	allowedBytes: BigInt(allowed * 100),
	deniedPackets: BigInt(denied),
	deniedBytes: BigInt(denied * 60),
});
const rule = (policy: string, n: number, own: RuleCounts, audit = false): CountedRule => ({
	...{ kind: 'NetworkPolicy', namespace: 'x', policy, rule: `ingress rule ${n}`, audit, counts: own },
});

/** Samples by name and labels that are not empty. */
async function scrape(source: () => PolicyCounts | undefined, detail: PolicyDetail = 'policy'): Promise<string[]> {
	const registry = new Registry();
	addPolicyMetrics(registry, source, () => detail);
	const text = await registry.metrics();
	return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

const SOURCE: PolicyCounts = {
	states: { enforced: 2, audit: 1 },
	rules: [rule('web', 0, counts(5)), rule('web', 1, counts(7, 2)), rule('trial', 0, counts(0, 3), true)],
	isolated: counts(0, 9),
};

describe('policy metrics', () => {
	it('add up the rules of a policy, and tell denied from audited', async () => {
		const samples = await scrape(() => SOURCE);
		const of = (policy: string, verdict: string) =>
			`{kind="NetworkPolicy",namespace="x",policy="${policy}",rule="",verdict="${verdict}"}`;
		expect(samples).toEqual(
			expect.arrayContaining([
				'fairlead_policies{state="enforced"} 2',
				`fairlead_policy_packets_total${of('web', 'allowed')} 12`,
				`fairlead_policy_packets_total${of('web', 'denied')} 2`,
				`fairlead_policy_packets_total${of('trial', 'audited')} 3`,
				`fairlead_policy_bytes_total${of('web', 'allowed')} 1200`,
				'fairlead_policy_isolated_packets_total 9',
				'fairlead_policy_isolated_bytes_total 540',
			]),
		);
	});

	it('count by rule if told so, and not at all if told so', async () => {
		const byRule = await scrape(() => SOURCE, 'rule');
		expect(byRule.filter((line) => line.includes('rule="ingress rule 1"')).length).toBeGreaterThan(0);
		const none = await scrape(() => SOURCE, 'off');
		expect(none.filter((line) => line.startsWith('fairlead_policy_packets'))).toEqual([]);
	});

	it('have a bound: what is beyond is counted together', async () => {
		const rules = Array.from({ length: 1500 }, (_, n) => rule(`p${n}`, 0, counts(1)));
		const samples = await scrape(() => ({ ...SOURCE, rules }));
		const packets = samples.filter((line) => line.startsWith('fairlead_policy_packets_total'));
		expect(packets).toHaveLength(1001);
		expect(packets.at(-1)).toMatch(/kind="other".* 500$/);
	});

	it('never fall while flows turn to other rules', async () => {
		const registry = new Registry();
		let packets = 10;
		let nowMs = 0;
		const source = () => ({ ...SOURCE, rules: [rule(`p`, 0, counts(packets))] });
		addPolicyMetrics(
			registry,
			source,
			() => 'policy',
			() => nowMs,
		);
		const value = async (): Promise<number> => {
			const line = (await registry.metrics())
				.split('\n')
				.find((each) => each.startsWith('fairlead_policy_packets_total{'));
			return Number(line?.split(' ').at(-1));
		};
		expect(await value()).toBe(10);
		packets = 4;
		nowMs = 1000;
		expect(await value()).toBe(10);
		packets = 11;
		nowMs = 2000;
		expect(await value()).toBe(11);
	});

	it('say nothing before policies are followed', async () => {
		const samples = await scrape(() => undefined);
		expect(samples).toEqual(['fairlead_policy_isolated_packets_total 0', 'fairlead_policy_isolated_bytes_total 0']);
	});
});
