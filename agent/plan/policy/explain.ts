/**
 * Why a flow is allowed or denied: the verdict that the rows give, and the rules in the order in which they were asked. Pure; for
 * `fairlead policy trace` and `fairlead why-dropped`.
 */
import { PolicyCookie, PolicyVerdictFlag, Identity as WellKnown } from '../../../native/abi/generated.ts';
import type { Address } from '../../model/address.ts';
import type { PolicyCompiler } from './compiler.ts';
import type { Identity } from './identities.ts';
import { addressBits } from './prefixes.ts';
import type { Program, ProgramRule } from './programs.ts';
import { concernedRules, portsOf } from './programs.ts';
import type { Tier } from './rows.ts';
import type { PolicySet } from './sets.ts';
import type { Direction, Row } from './types.ts';
import { isPodIdentity, peerWord } from './types.ts';

export interface TraceRequest {
	readonly from: Address;
	/** After service translation. */
	readonly to: Address;
	/** IP protocol number. */
	readonly proto: number;
	/** 0 for protocols without ports. */
	readonly port: number;
	/** The client addressed a service. */
	readonly viaService: boolean;
}

export interface TraceStep {
	/** 'NetworkPolicy ns/name ingress rule 0' */
	readonly rule: string;
	readonly tier: Tier;
	readonly outcome: 'not about this peer' | 'not about this port' | 'accepts' | 'denies' | 'passes' | 'not reached';
}

export interface DirectionTrace {
	readonly direction: Direction;
	/** Local pod that is judged, 'namespace/name'. */
	readonly pod: string;
	/** The other end as the rows see it. */
	readonly peer: { readonly identity: number; readonly text: string };
	/** 0 = no policy selects the pod. */
	readonly set: number;
	readonly steps: readonly TraceStep[];
	readonly allowed: boolean;
	/** Rule, or 'no policy', 'not allowed', 'own node', 'self'. */
	readonly by: string;
}

export interface PolicyTrace {
	/** Directions that this node judges, egress first; empty = neither end is a pod of this node. */
	readonly directions: readonly DirectionTrace[];
	readonly allowed: boolean;
}

/** Asks the rows that are in force. Never changes anything. */
export function tracePolicy(compiler: PolicyCompiler, request: TraceRequest): PolicyTrace {
	const ends = [
		['egress', request.from, request.to],
		['ingress', request.to, request.from],
	] as const;
	const directions = ends.flatMap(([direction, subject, peer]) => {
		const owner = compiler.book.entries.get(subject)?.owner;
		if (owner?.kind !== 'pod') return [];
		const set = compiler.setOf(owner.pod);
		return set === undefined ? [] : [traceDirection(compiler, { direction, pod: owner.pod, set, peer, request })];
	});
	return { directions, allowed: directions.every(({ allowed }) => allowed) };
}

interface Question {
	readonly direction: Direction;
	readonly pod: string;
	readonly set: PolicySet | null;
	readonly peer: Address;
	readonly request: TraceRequest;
}

function traceDirection(compiler: PolicyCompiler, question: Question): DirectionTrace {
	const { direction, pod, set, request } = question;
	const identity = identityAt(compiler, question.peer);
	const peer = { identity: identity?.number ?? WellKnown.WORLD, text: describePeer(compiler, question.peer, identity) };
	const self = request.from === request.to;
	const fixed = fixedVerdict(compiler, question, self);
	const common = { direction, pod, peer, set: set?.number ?? 0 };
	if (fixed !== undefined || set === null) {
		const by = compiler.cookies.name(fixed ?? PolicyCookie.NO_POLICY) ?? '';
		return { ...common, steps: [], allowed: true, by };
	}
	const steps = traceRules(set.programs[direction], identity, request, self);
	const verdict = search(rowIn(set, peer.identity, direction, self), (request.proto << 16) | request.port);
	const by = compiler.cookies.name(verdict >>> PolicyVerdictFlag.SHIFT) ?? 'a rule that is gone';
	return { ...common, steps, allowed: (verdict & PolicyVerdictFlag.ALLOW) !== 0, by };
}

/** What needs no rule: cookie, or undefined. */
function fixedVerdict(
	compiler: PolicyCompiler,
	{ direction, peer, request }: Question,
	self: boolean,
): number | undefined {
	if (self && !request.viaService) return PolicyCookie.SELF;
	const owner = compiler.book.entries.get(peer)?.owner;
	return direction === 'ingress' && owner?.kind === 'node' && owner.node === compiler.nodeName
		? PolicyCookie.HOST
		: undefined;
}

function identityAt(compiler: PolicyCompiler, address: Address): Identity | undefined {
	return compiler.book.entries.get(address)?.identity ?? compiler.identities.strangerAt(addressBits(address));
}

function describePeer(compiler: PolicyCompiler, address: Address, identity: Identity | undefined): string {
	const owner = compiler.book.entries.get(address)?.owner ?? null;
	const prefix = identity?.prefix ? ` in ${identity.prefix.cidr}` : '';
	if (owner?.kind === 'pod') return `${address} (pod ${owner.pod}${prefix})`;
	if (owner?.kind === 'node') return `${address} (node ${owner.node}${prefix})`;
	const unknown = owner?.kind === 'disputed' || identity?.base.kind === 'unknown-pod';
	return `${address} (${unknown ? 'a pod that is not known' : 'outside the cluster'}${prefix})`;
}

function rowIn(set: PolicySet, identity: number, direction: Direction, self: boolean): Row | undefined {
	const own = set.rows.get(peerWord(identity, direction, self));
	if (own !== undefined || self) return own;
	return (isPodIdentity(identity) ? set.state.pods : set.state.others)[direction];
}

/** A pod without a row for itself may reach itself. */
function search(row: Row | undefined, wanted: number): number {
	if (row === undefined) return (PolicyCookie.SELF << PolicyVerdictFlag.SHIFT) | PolicyVerdictFlag.ALLOW;
	let verdict = row.ranges[1] ?? 0;
	for (let i = 0; i < row.ranges.length; i += 2) {
		if ((row.ranges[i] ?? 0) > wanted) break;
		verdict = row.ranges[i + 1] ?? 0;
	}
	return verdict;
}

function traceRules(
	program: Program,
	identity: Identity | undefined,
	request: TraceRequest,
	self: boolean,
): readonly TraceStep[] {
	const concerned = new Set(identity === undefined ? program.aboutAll : concernedRules(program, identity));
	const wanted = (request.proto << 16) | request.port;
	const steps: TraceStep[] = [];
	let tier: Tier | 'done' = 'admin';
	for (const [i, rule] of program.rules.entries()) {
		if (tier !== 'done' && rank(rule.tier) > rank(tier)) tier = tierAfter(rule.tier, program);
		const about = { rule: rule.name, tier: rule.tier };
		if (tier === 'done' || rank(rule.tier) < rank(tier) || (self && rule.tier === 'network')) {
			steps.push({ ...about, outcome: 'not reached' });
			continue;
		}
		const outcome = outcomeOf(rule, concerned.has(i), inRanges(program, rule, identity, wanted));
		steps.push({ ...about, outcome });
		if (outcome === 'accepts' || outcome === 'denies') tier = 'done';
		if (outcome === 'passes') tier = rule.tier === 'admin' ? 'network' : 'done';
	}
	return steps;
}

const RANKS: Readonly<Record<Tier, number>> = { admin: 0, network: 1, baseline: 2 };

function rank(tier: Tier): number {
	return RANKS[tier];
}

/** Rules of the Baseline tier are asked only if no NetworkPolicy isolates. */
function tierAfter(next: Tier, program: Program): Tier | 'done' {
	return next === 'baseline' && program.isolated ? 'done' : next;
}

function inRanges(program: Program, rule: ProgramRule, identity: Identity | undefined, wanted: number): boolean {
	const ranges =
		identity === undefined ? rule.ports.filter((port) => 'first' in port) : portsOf(program, rule, identity);
	return ranges.some(({ first, last }) => wanted >= first && wanted <= last);
}

const VERBS = { accept: 'accepts', deny: 'denies', pass: 'passes' } as const;

function outcomeOf({ action }: ProgramRule, peer: boolean, port: boolean): TraceStep['outcome'] {
	if (!peer) return 'not about this peer';
	return port ? VERBS[action] : 'not about this port';
}

/** A trace as people read it. */
export function formatTrace(trace: PolicyTrace): string {
	if (trace.directions.length === 0) return 'neither end is a pod of this node: nothing is judged here';
	const lines = trace.directions.flatMap(({ direction, pod, peer, set, steps, allowed, by }) => [
		`${direction} of pod ${pod}, ${direction === 'egress' ? 'to' : 'from'} ${peer.text}: ${allowed ? 'allowed' : 'denied'} by ${by}`,
		`  policy set ${set}, identity ${peer.identity}`,
		...steps.map(({ rule, outcome }) => `  ${rule}: ${outcome}`),
	]);
	return [...lines, trace.allowed ? 'allowed' : 'denied'].join('\n');
}
