/**
 * Policies as messages of agent.proto. Pure.
 */
import type { GetPolicyRequest__Output } from '../../proto/generated/fairlead/v1/GetPolicyRequest.ts';
import type { GetPolicyResponse } from '../../proto/generated/fairlead/v1/GetPolicyResponse.ts';
import type { ListPoliciesResponse } from '../../proto/generated/fairlead/v1/ListPoliciesResponse.ts';
import type { Policy } from '../../proto/generated/fairlead/v1/Policy.ts';
import type { PolicyCounters } from '../../proto/generated/fairlead/v1/PolicyCounters.ts';
import type { TracePolicyRequest__Output } from '../../proto/generated/fairlead/v1/TracePolicyRequest.ts';
import type { TracePolicyResponse } from '../../proto/generated/fairlead/v1/TracePolicyResponse.ts';
import type { RuleCounts } from '../flows/rule-ledger.ts';
import type { PolicyRef } from '../model/policy-rule.ts';
import { formatPolicyRef } from '../model/policy-rule.ts';
import { tracePolicy } from '../plan/policy/explain.ts';
import type { PolicySummary, RuleReport } from '../plan/policy/report.ts';
import { getPolicy, listPolicies } from '../plan/policy/report.ts';
import { timestampOfDate } from './messages.ts';
import { endsOf, protocolOf } from './policy-ends.ts';
import type { PolicySources, RuleCounters } from './policy-sources.ts';
import { addCounts, NO_COUNTS } from './policy-sources.ts';

/** @param namespace  '' = all, cluster policies too */
export function policyList(sources: PolicySources, namespace: string): ListPoliciesResponse {
	const { compiler, closed, counters } = sources;
	const policies = listPolicies(compiler, closed).filter(({ ref }) => namespace === '' || ref.namespace === namespace);
	return {
		policies: policies.map((policy) => policyMessage(policy, sources)),
		isolated: countersMessage(isolatedCounts(policies, counters)),
		counted: counters.counted === undefined ? null : timestampOfDate(counters.counted),
	};
}

/** undefined = there is no such policy. */
export function policyDetails(
	sources: PolicySources,
	{ kind, namespace, name }: GetPolicyRequest__Output,
): GetPolicyResponse | undefined {
	const { compiler, closed, counters } = sources;
	const cluster = kind === '' ? namespace === '' : kind === 'ClusterNetworkPolicy';
	const ref: PolicyRef = { kind: cluster ? 'ClusterNetworkPolicy' : 'NetworkPolicy', namespace, name };
	const found = getPolicy(compiler, formatPolicyRef(ref), closed);
	if (found === undefined) return undefined;
	const rules = found.rules.map((rule) => ruleMessage(rule, counters.of(rule.cookie ?? 0)));
	return {
		policy: { ...policyMessage(found, sources), rules },
		counted: counters.counted === undefined ? null : timestampOfDate(counters.counted),
	};
}

function policyMessage(policy: PolicySummary, { counters }: PolicySources): Policy {
	const { ref, tier, subject, directions, pods, state, problems, sets, cookies } = policy;
	const isolated = isolatedCounts([policy], counters);
	const rules = cookies.map((cookie) => counters.of(cookie)).reduce(addCounts, NO_COUNTS);
	return {
		...ref,
		tier,
		subject,
		directions: [...directions],
		pods: [...pods],
		state,
		problems: [...problems],
		sets: [...sets],
		counters: countersMessage(addCounts(rules, isolated)),
		isolated: countersMessage(isolated),
	};
}

/** Each number once: policies that isolate the same pods share it. */
function isolatedCounts(policies: readonly Pick<PolicySummary, 'isolations'>[], counters: RuleCounters): RuleCounts {
	const cookies = new Set(policies.flatMap(({ isolations }) => isolations.map(({ cookie }) => cookie)));
	return [...cookies].map((cookie) => counters.of(cookie)).reduce(addCounts, NO_COUNTS);
}

function ruleMessage(rule: RuleReport, counts: RuleCounts) {
	const { direction, index, title, cookie = 0, action, peers, ports, identities } = rule;
	return {
		...{ direction, index, name: title, cookie, action },
		peers: [...peers],
		ports: [...ports],
		...(identities !== null && { identities }),
		counters: countersMessage(cookie === 0 ? NO_COUNTS : counts),
	};
}

function countersMessage(counts: RuleCounts): PolicyCounters {
	return {
		flows: counts.flows,
		allowedPackets: counts.allowedPackets.toString(),
		allowedBytes: counts.allowedBytes.toString(),
		deniedPackets: counts.deniedPackets.toString(),
		deniedBytes: counts.deniedBytes.toString(),
	};
}

/** @throws REQUEST_INVALID, CallError NOT_FOUND */
export function policyTrace(sources: PolicySources, request: TracePolicyRequest__Output): TracePolicyResponse {
	const { view, compiler } = sources;
	const { from, to } = endsOf(request, { view, compiler });
	const proto = protocolOf(request.protocol, from.address);
	const { port, viaService } = request;
	const trace = tracePolicy(compiler, { from: from.address, to: to.address, proto, port, viaService });
	return {
		allowed: trace.allowed,
		source: from.text,
		destination: to.text,
		directions: trace.directions.map((each) => ({
			direction: each.direction,
			pod: each.pod,
			peer: each.peer.text,
			identity: each.peer.identity,
			policySet: each.set,
			verdict: each.audited ? 'audited' : each.allowed ? 'allowed' : 'denied',
			by: each.by,
			isolatedBy: [...each.isolatedBy],
			steps: [...each.steps],
		})),
	};
}
