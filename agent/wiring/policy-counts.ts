/**
 * What rules have counted, for metrics.
 */
import { addCounts, NO_COUNTS, type PolicySources } from '../api/policy-sources.ts';
import type { CountedRule, PolicyCounts } from '../metrics/policy-metrics.ts';
import { parsePolicyName } from '../model/policy-rule.ts';
import { listPolicies, usesOf } from '../plan/policy/report.ts';

export function policyCounts({ compiler, closed, counters }: Omit<PolicySources, 'view'>): PolicyCounts {
	const states: Record<string, number> = { enforced: 0, audit: 0, closed: 0, unused: 0 };
	for (const { state } of listPolicies(compiler, closed)) states[state] = (states[state] ?? 0) + 1;
	const { rules, isolations } = usesOf(compiler);
	const counted = (name: string, rule: string, audit: boolean, cookie: number): CountedRule[] => {
		const ref = parsePolicyName(name);
		if (ref === undefined) return [];
		const { kind, namespace, name: policy } = ref;
		return [{ kind, namespace, policy, rule, audit, counts: counters.of(cookie) }];
	};
	const isolated = new Set([...isolations.values()].flatMap((own) => own.map(({ cookie }) => cookie)));
	return {
		states,
		rules: [
			...[...rules].flatMap(([name, own]) =>
				own.flatMap(({ name: full, audit, cookie }) => counted(name, full.slice(name.length + 1), audit, cookie)),
			),
			...[...isolations].flatMap(([name, own]) =>
				own.flatMap(({ audit, cookie }) => counted(name, 'isolation', audit, cookie)),
			),
		],
		isolated: [...isolated].map((cookie) => counters.of(cookie)).reduce(addCounts, NO_COUNTS),
	};
}
