/**
 * What policies mean, written straight from the rules and without any of the compiler's ideas: for one flow, every policy is
 * asked in turn. Slow and plain on purpose; it is what compiled rows are held against. Shares only model types with the agent.
 */
import type { Address, Cidr } from '../../agent/model/address.ts';
import { cidrContains } from '../../agent/model/address.ts';
import type { ClusterNetworkPolicy, ClusterPeer, ClusterPort } from '../../agent/model/cluster-network-policy.ts';
import type { NetworkPolicy, NetworkPolicyPeer, PolicyPort } from '../../agent/model/network-policy.ts';
import type { Namespace, Node } from '../../agent/model/node.ts';
import type { Pod } from '../../agent/model/pod.ts';
import type { LabelSelector } from '../../agent/model/policy-selector.ts';

export interface PolicyWorld {
	readonly namespaces: ReadonlyMap<string, Namespace>;
	readonly pods: ReadonlyMap<string, Pod>;
	readonly nodes: ReadonlyMap<string, Node>;
	readonly networkPolicies: ReadonlyMap<string, NetworkPolicy>;
	readonly clusterNetworkPolicies: ReadonlyMap<string, ClusterNetworkPolicy>;
	/** Addresses in here that nobody is known to have are pods that are not known yet. */
	readonly clusterCidrs: readonly Cidr[];
}

export interface PolicyFlow {
	readonly from: Address;
	/** After service translation. */
	readonly to: Address;
	/** IP protocol number. */
	readonly proto: number;
	/** Destination port; 0 for protocols without ports. */
	readonly port: number;
	/** The client addressed a service. Matters only to pods that reach themselves. */
	readonly viaService?: boolean;
}

export interface SimulatedVerdict {
	readonly allowed: boolean;
	/**
	 * What may be named as the reason: several if rules of equal standing allow. 'no policy', 'not allowed', 'own node', 'self' or
	 * 'NetworkPolicy ns/name ingress rule 0'.
	 */
	readonly by: readonly string[];
	/** Let through only because of audit mode; `by` would have denied it. */
	readonly audited?: boolean;
}

export interface SimulatedFlow {
	readonly egress: SimulatedVerdict;
	readonly ingress: SimulatedVerdict;
}

type Direction = 'ingress' | 'egress';

/** Who an address belongs to. */
type Party =
	| { readonly kind: 'pod'; readonly pod: Pod; readonly address: Address }
	| { readonly kind: 'node'; readonly node: Node; readonly address: Address }
	| { readonly kind: 'unknown pod' | 'outside'; readonly address: Address };

const NUMBERS: Readonly<Record<string, number>> = { TCP: 6, UDP: 17, SCTP: 132 };
const ALLOWED = (...by: string[]): SimulatedVerdict => ({ allowed: true, by });
const DENIED = (...by: string[]): SimulatedVerdict => ({ allowed: false, by });

/** Both verdicts of a flow: it passes if both ends allow it. */
export function simulateFlow(world: PolicyWorld, flow: PolicyFlow): SimulatedFlow {
	const from = partyOf(world, flow.from);
	const to = partyOf(world, flow.to);
	return {
		egress: from.kind === 'pod' ? judge(world, 'egress', from.pod, to, flow) : ALLOWED('no policy'),
		ingress: to.kind === 'pod' ? judge(world, 'ingress', to.pod, from, flow) : ALLOWED('no policy'),
	};
}

/** Pods in the host network are their node; an address that two pods claim is nobody's. */
function partyOf(world: PolicyWorld, address: Address): Party {
	for (const node of world.nodes.values()) {
		if (node.internalIps.includes(address) || node.externalIps.includes(address))
			return { kind: 'node', node, address };
	}
	const owners = [...world.pods.values()].filter(
		(pod) => !pod.hostNetwork && !pod.finished && pod.addresses.includes(address),
	);
	const [pod] = owners;
	if (pod !== undefined && owners.length === 1) return { kind: 'pod', pod, address };
	if (owners.length > 1) return { kind: 'unknown pod', address };
	return { kind: world.clusterCidrs.some((cidr) => cidrContains(cidr, address)) ? 'unknown pod' : 'outside', address };
}

interface Question {
	readonly world: PolicyWorld;
	readonly direction: Direction;
	readonly subject: Pod;
	readonly peer: Party;
	readonly flow: PolicyFlow;
	/** Whose named ports count. */
	readonly destination: Party;
	readonly self: boolean;
}

function judge(
	world: PolicyWorld,
	direction: Direction,
	subject: Pod,
	peer: Party,
	flow: PolicyFlow,
): SimulatedVerdict {
	const self = peer.kind === 'pod' && peer.pod === subject;
	if (self && flow.viaService !== true) return ALLOWED('self');
	if (direction === 'ingress' && peer.kind === 'node' && peer.node.name === subject.node) return ALLOWED('own node');
	const destination: Party = direction === 'egress' ? peer : { kind: 'pod', pod: subject, address: flow.to };
	const question: Question = { world, direction, subject, peer, flow, destination, self };
	const enforced = ask({ ...question, world: withoutAudited(world) });
	if (!enforced.allowed) return enforced;
	const wished = ask(question);
	if (!wished.allowed) return { allowed: true, by: wished.by, audited: true };
	return enforced.by.includes('no policy') ? wished : enforced;
}

/** Policies in audit mode are not there for those that are enforced. */
function withoutAudited(world: PolicyWorld): PolicyWorld {
	const enforced = <T extends { readonly audit: boolean }>(policies: ReadonlyMap<string, T>): Map<string, T> =>
		new Map([...policies].filter(([, { audit }]) => !audit));
	return {
		...world,
		networkPolicies: enforced(world.networkPolicies),
		clusterNetworkPolicies: enforced(world.clusterNetworkPolicies),
	};
}

function ask(question: Question): SimulatedVerdict {
	return (
		askTier(question, 'Admin') ?? askNetworkPolicies(question) ?? askTier(question, 'Baseline') ?? ALLOWED('no policy')
	);
}

function askTier(question: Question, tier: 'Admin' | 'Baseline'): SimulatedVerdict | undefined {
	const policies = [...question.world.clusterNetworkPolicies.values()]
		.filter((policy) => policy.tier === tier && isSubject(question, policy))
		.sort((a, b) => a.priority - b.priority || (a.name < b.name ? -1 : 1));
	for (const policy of policies) {
		for (const [n, rule] of policy[question.direction].entries()) {
			const closed = rule.action === 'Deny';
			if (rule.peers !== null && !rule.peers.some((peer) => clusterPeerMatches(question, peer, closed))) continue;
			if (rule.ports !== null && !rule.ports.some((port) => clusterPortMatches(question, port, closed))) continue;
			const by = `ClusterNetworkPolicy ${policy.name} ${question.direction} rule ${n}`;
			if (rule.action === 'Pass') return undefined;
			return rule.action === 'Accept' ? ALLOWED(by) : DENIED(by);
		}
	}
	return undefined;
}

function isSubject({ world, subject }: Question, policy: ClusterNetworkPolicy): boolean {
	return podMatches(world, subject, policy.subject.namespaceSelector, policy.subject.podSelector);
}

function askNetworkPolicies(question: Question): SimulatedVerdict | undefined {
	const { world, subject, direction } = question;
	const isolating = [...world.networkPolicies.values()].filter(
		(policy) =>
			policy.namespace === subject.namespace &&
			policy[direction] !== null &&
			labelsMatch(policy.podSelector, subject.labels),
	);
	if (isolating.length === 0) return undefined;
	if (question.self) return ALLOWED('self');
	const by: string[] = [];
	for (const policy of isolating) {
		for (const [n, rule] of (policy[direction] ?? []).entries()) {
			const peers = rule.peers === null || rule.peers.some((peer) => networkPeerMatches(question, policy, peer));
			const ports = rule.ports === null || rule.ports.some((port) => networkPortMatches(question, port));
			if (peers && ports) by.push(`NetworkPolicy ${policy.namespace}/${policy.name} ${direction} rule ${n}`);
		}
	}
	return by.length > 0 ? ALLOWED(...by) : DENIED('not allowed');
}

function networkPeerMatches({ world, peer }: Question, policy: NetworkPolicy, wanted: NetworkPolicyPeer): boolean {
	if (wanted.kind === 'block') {
		return cidrContains(wanted.cidr, peer.address) && !wanted.except.some((inner) => cidrContains(inner, peer.address));
	}
	if (peer.kind !== 'pod') return false;
	if (wanted.namespaceSelector === null) {
		return peer.pod.namespace === policy.namespace && labelsMatch(wanted.podSelector, peer.pod.labels);
	}
	return podMatches(world, peer.pod, wanted.namespaceSelector, wanted.podSelector);
}

function networkPortMatches({ flow, destination }: Question, wanted: PolicyPort): boolean {
	if (NUMBERS[wanted.protocol] !== flow.proto) return false;
	if (wanted.port === null) return true;
	if (typeof wanted.port === 'number') return flow.port >= wanted.port && flow.port <= (wanted.endPort ?? wanted.port);
	if (destination.kind !== 'pod') return false;
	return (destination.pod.namedPorts ?? []).some(
		({ name, protocol, port }) => name === wanted.port && protocol === wanted.protocol && port === flow.port,
	);
}

/** @param closed  a pod that is not known matches every selector (Deny) instead of none */
function clusterPeerMatches({ world, peer }: Question, wanted: ClusterPeer, closed: boolean): boolean {
	switch (wanted.kind) {
		case 'pods':
			if (peer.kind === 'unknown pod') return closed;
			return peer.kind === 'pod' && podMatches(world, peer.pod, wanted.namespaceSelector, wanted.podSelector);
		case 'networks':
			return wanted.cidrs.some((cidr) => cidrContains(cidr, peer.address));
		case 'nodes':
			return peer.kind === 'node' && labelsMatch(wanted.selector, peer.node.labels);
		case 'domains':
			// Addresses of names are learnt from DNS answers, which are no part of this world.
			return false;
	}
}

function clusterPortMatches({ flow, destination }: Question, wanted: ClusterPort, closed: boolean): boolean {
	if (wanted.kind === 'range') {
		return NUMBERS[wanted.protocol] === flow.proto && flow.port >= wanted.first && flow.port <= wanted.last;
	}
	if (destination.kind === 'unknown pod') return closed;
	if (destination.kind !== 'pod') return false;
	return (destination.pod.namedPorts ?? []).some(
		({ name, protocol, port }) => name === wanted.name && NUMBERS[protocol] === flow.proto && port === flow.port,
	);
}

function podMatches(world: PolicyWorld, pod: Pod, namespaces: LabelSelector, pods: LabelSelector): boolean {
	const namespaceLabels = {
		...world.namespaces.get(pod.namespace)?.labels,
		'kubernetes.io/metadata.name': pod.namespace,
	};
	return labelsMatch(namespaces, namespaceLabels) && labelsMatch(pods, pod.labels);
}

function labelsMatch(selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean {
	return selector.every(({ key, operator, values }) => {
		const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
		if (operator === 'In') return value !== undefined && values.includes(value);
		if (operator === 'NotIn') return value === undefined || !values.includes(value);
		return (operator === 'Exists') === (value !== undefined);
	});
}
