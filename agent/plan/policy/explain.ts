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
	/** Its policy is in audit mode: the outcome is what it would be if it were not. */
	readonly audit: boolean;
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
	/** Let through only because of audit mode: `by` would deny it. */
	readonly audited: boolean;
	/** Rule, or 'no policy', 'not allowed', 'own node', 'self'. */
	readonly by: string;
	/** If `by` is 'not allowed': the policies that isolate the pod. */
	readonly isolatedBy: readonly string[];
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
		return { ...common, steps: [], allowed: true, audited: false, by, isolatedBy: [] };
	}
	const program = set.programs[direction];
	const steps = traceAll(program, identity, request, self);
	const verdict = search(rowIn(set, peer.identity, direction, self), (request.proto << 16) | request.port);
	const cookie = verdict >>> PolicyVerdictFlag.SHIFT;
	return {
		...common,
		steps,
		allowed: (verdict & PolicyVerdictFlag.ALLOW) !== 0,
		audited: (verdict & PolicyVerdictFlag.AUDIT) !== 0,
		by: compiler.cookies.name(cookie) ?? 'a rule that is gone',
		isolatedBy: compiler.cookies.isolators(cookie) ?? [],
	};
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

/** Rules in force as if no others were there; audited ones as if all were in force. */
function traceAll(
	program: Program,
	identity: Identity | undefined,
	request: TraceRequest,
	self: boolean,
): readonly TraceStep[] {
	const { rules, isolated, isolatedInForce } = program;
	const inForce = rules.filter(({ audit }) => !audit);
	const trace = (asked: readonly ProgramRule[], isolates: boolean): readonly TraceStep[] =>
		traceRules(program, identity, request, { self, asked: new Set(asked), isolated: isolates });
	const wished = trace(rules, isolated);
	if (inForce.length === rules.length && isolated === isolatedInForce) return wished;
	const enforced = trace(inForce, isolatedInForce);
	return wished.map((step, i) => (step.audit ? step : (enforced[i] ?? step)));
}

interface TraceScope {
	readonly self: boolean;
	/** The others are not reached. */
	readonly asked: ReadonlySet<ProgramRule>;
	/** A NetworkPolicy isolates. */
	readonly isolated: boolean;
}

function traceRules(
	program: Program,
	identity: Identity | undefined,
	request: TraceRequest,
	{ self, asked, isolated }: TraceScope,
): readonly TraceStep[] {
	const concerned = new Set(identity === undefined ? program.aboutAll : concernedRules(program, identity));
	const wanted = (request.proto << 16) | request.port;
	const steps: TraceStep[] = [];
	let tier: Tier | 'done' = 'admin';
	for (const [i, rule] of program.rules.entries()) {
		const about = { rule: rule.name, tier: rule.tier, audit: rule.audit };
		if (asked.has(rule) && tier !== 'done' && rank(rule.tier) > rank(tier)) tier = tierAfter(rule.tier, isolated);
		if (!asked.has(rule) || tier === 'done' || rank(rule.tier) < rank(tier) || (self && rule.tier === 'network')) {
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
function tierAfter(next: Tier, isolated: boolean): Tier | 'done' {
	return next === 'baseline' && isolated ? 'done' : next;
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
