/**
 * What decided about a flow in one direction, in words: a rule, or the policies that isolate a pod without allowing it.
 */

export interface PolicyRef {
	readonly kind: 'NetworkPolicy' | 'ClusterNetworkPolicy';
	/** '' for cluster policies. */
	readonly namespace: string;
	readonly name: string;
}

/** Which parts of a flow a rule names: peers (L3), ports (L4) or only a protocol. */
export type RuleMatch = 'none' | 'all' | 'l3' | 'l4' | 'l3-l4' | 'proto' | 'l3-proto';

/** One shared, immutable object for all flows that the same rule has decided. */
export interface RuleVerdict {
	readonly kind: 'rule' | 'no-policy' | 'not-allowed' | 'own-node' | 'self' | 'closed' | 'gone';
	/** For people, such as 'NetworkPolicy ns/name ingress rule 0' or 'no policy allows it (isolated by NetworkPolicy ns/name)'. */
	readonly text: string;
	/** The rule's policy; or all that isolate the pod; or all of a set that denies for want of room. */
	readonly policies: readonly PolicyRef[];
	/** 'ingress rule 0', with its name if it has one; '' = no rule decided. */
	readonly rule: string;
	/** A rule that denies. */
	readonly deny: boolean;
	readonly match: RuleMatch;
}

/** Reads 'NetworkPolicy ns/name' or 'ClusterNetworkPolicy name'. undefined = it is neither. */
export function parsePolicyName(text: string): PolicyRef | undefined {
	const found = /^(?:(NetworkPolicy) ([^ /]+)\/([^ /]+)|(ClusterNetworkPolicy) ([^ /]+))$/.exec(text);
	if (found === null) return undefined;
	const [, , namespace, name, cluster, clusterName] = found;
	return cluster === undefined
		? { kind: 'NetworkPolicy', namespace: namespace ?? '', name: name ?? '' }
		: { kind: 'ClusterNetworkPolicy', namespace: '', name: clusterName ?? '' };
}

/** The same in reverse. */
export function formatPolicyRef({ kind, namespace, name }: PolicyRef): string {
	return kind === 'NetworkPolicy' ? `${kind} ${namespace}/${name}` : `${kind} ${name}`;
}
