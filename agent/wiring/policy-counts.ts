/**
 * What rules have counted, for metrics.
 */
import { PolicyCookie } from '../../native/abi/generated.ts';
import type { PolicySources } from '../api/policy-sources.ts';
import type { CountedRule, PolicyCounts } from '../metrics/policy-metrics.ts';
import { parsePolicyName } from '../model/policy-rule.ts';
import { listPolicies, rulesInForce } from '../plan/policy/report.ts';

export function policyCounts({ compiler, closed, counters }: Omit<PolicySources, 'view'>): PolicyCounts {
	const states: Record<string, number> = { enforced: 0, audit: 0, closed: 0, unused: 0 };
	for (const { state } of listPolicies(compiler, closed)) states[state] = (states[state] ?? 0) + 1;
	const rules = [...rulesInForce(compiler)].flatMap(([name, own]) => {
		const ref = parsePolicyName(name);
		if (ref === undefined) return [];
		const { kind, namespace, name: policy } = ref;
		return own.map(({ name: full, audit, cookie }): CountedRule => {
			const rule = full.slice(name.length + 1);
			return { kind, namespace, policy, rule, audit, counts: counters.of(cookie) };
		});
	});
	return { states, rules, isolated: counters.of(PolicyCookie.NOT_ALLOWED) };
}
