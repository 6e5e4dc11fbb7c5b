/**
 * What reports about policies are made of.
 */
import type { RuleCounts } from '../flows/rule-ledger.ts';
import type { ClusterView } from '../model/cluster-view.ts';
import type { PolicyCompiler } from '../plan/policy/compiler.ts';
import type { ClosedReport } from '../plan/policy/report.ts';

export interface RuleCounters {
	/** @param cookie  number of a rule, or a PolicyCookie */
	of(cookie: number): RuleCounts;
	/** When flows were looked at last; undefined = not yet. */
	readonly counted: Date | undefined;
}

export interface PolicySources {
	readonly view: ClusterView;
	readonly compiler: PolicyCompiler;
	readonly closed: readonly ClosedReport[];
	readonly counters: RuleCounters;
}

export const NO_COUNTS: RuleCounts = {
	flows: 0,
	allowedPackets: 0n,
	allowedBytes: 0n,
	deniedPackets: 0n,
	deniedBytes: 0n,
};

export function addCounts(a: RuleCounts, b: RuleCounts): RuleCounts {
	return {
		flows: a.flows + b.flows,
		allowedPackets: a.allowedPackets + b.allowedPackets,
		allowedBytes: a.allowedBytes + b.allowedBytes,
		deniedPackets: a.deniedPackets + b.deniedPackets,
		deniedBytes: a.deniedBytes + b.deniedBytes,
	};
}
