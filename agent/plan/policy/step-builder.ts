/**
 * Gathers what a change touches and turns it into one step: rows of identities and sets that are concerned, compared with
 * what they were.
 */
import { Identity as WellKnown } from '../../../native/abi/generated.ts';
import type { AddressBook } from './address-book.ts';
import type { Identity } from './identities.ts';
import type { IdentityMap, IdentityMove, ResolvedIdentities } from './identity-map.ts';
import type { Base, Matcher } from './matchers.ts';
import type { Program } from './programs.ts';
import { rowFor } from './programs.ts';
import type { PolicySet } from './sets.ts';
import { sameState, stateOf } from './sets.ts';
import type { AddressChange, Direction, PodChange, PolicyStep, Row, RowChange, SetState } from './types.ts';
import { DIRECTIONS, isPodIdentity, peerWord } from './types.ts';

interface BuilderParts {
	readonly identities: IdentityMap;
	readonly book: AddressBook;
	readonly sets: () => Iterable<PolicySet>;
	/** null = no policy selects it, or it is no local pod. */
	readonly setOfPod: (pod: string) => PolicySet | null;
}

export class StepBuilder {
	readonly #parts: BuilderParts;
	/** 'all', or the identities whose rows may be wrong. */
	#dirty = new Map<PolicySet, 'all' | Set<Identity>>();
	#fresh = new Set<PolicySet>();
	#self = new Set<PolicySet>();
	#pods = new Set<string>();
	#dropped = new Set<string>();
	#retiredSets: number[] = [];
	/** What was said of a pod last. */
	readonly #told = new Map<string, string>();

	constructor(parts: BuilderParts) {
		this.#parts = parts;
	}

	/** A base began or ceased to match: its rows in sets that use the matcher change. */
	touchMember(base: Base, matcher: Matcher): void {
		if (base.identities.size === 0) return;
		for (const program of matcher.programs) {
			for (const set of program.sets) for (const identity of base.identities) this.#touch(set, identity);
		}
	}

	/** All rows of a set may be wrong. */
	touchSet(set: PolicySet): void {
		this.#dirty.set(set, 'all');
	}

	/** Pods joined the set, or their identities changed. */
	touchSelf(set: PolicySet): void {
		this.#self.add(set);
	}

	/** The set is new. */
	announce(set: PolicySet): void {
		this.#fresh.add(set);
	}

	/** Set or identities of a local pod may have changed. */
	touchPod(pod: string): void {
		this.#pods.add(pod);
		this.#dropped.delete(pod);
	}

	dropPod(pod: string): void {
		this.#pods.delete(pod);
		this.#dropped.add(pod);
	}

	retireSet(set: PolicySet): void {
		this.#dirty.delete(set);
		this.#self.delete(set);
		this.#fresh.delete(set);
		for (const peer of set.rows.keys()) this.#parts.identities.table.byNumber(peer >>> 2)?.sets.delete(set);
		this.#retiredSets.push(set.number);
	}

	/** Puts what is known of these sets aside, until restore(). */
	hold(sets: ReadonlySet<PolicySet>): ReadonlyMap<PolicySet, 'all' | ReadonlySet<Identity>> {
		const held = new Map<PolicySet, 'all' | ReadonlySet<Identity>>();
		for (const set of sets) {
			const dirty = this.#dirty.get(set);
			if (dirty === undefined) continue;
			held.set(set, dirty);
			this.#dirty.delete(set);
		}
		return held;
	}

	restore(held: ReadonlyMap<PolicySet, 'all' | ReadonlySet<Identity>>): void {
		for (const [set, dirty] of held) {
			if (dirty === 'all') this.touchSet(set);
			// An identity may have gone meanwhile.
			else for (const identity of dirty) if (identity.refs > 0) this.#touch(set, identity);
		}
	}

	/** The step of everything gathered; undefined = nothing to do. */
	finish(): PolicyStep | undefined {
		const resolved = this.#parts.identities.resolve();
		for (const identity of resolved.created) this.#touchNew(identity);
		for (const move of resolved.moves) this.#touchMoved(move);
		this.#touchSelves();
		const bump = new Set<string>();
		const rows: RowChange[] = [];
		const created = new Set(resolved.created.map(({ number }) => number));
		for (const [set, dirty] of this.#dirty) {
			const before = rows.length;
			if (dirty === 'all') this.#allRows(set, rows);
			else for (const identity of dirty) this.#someRows(set, identity, rows);
			if (this.#fresh.has(set)) continue;
			if (namesOther(rows, before, created)) addAll(bump, set.pods);
		}
		const sets = this.#changedSets(bump);
		const seen = new Set<string>();
		for (const move of resolved.moves) this.#bumpMoved(move, bump, seen);
		const pods = this.#changedPods(bump);
		const step: PolicyStep = {
			rows,
			sets,
			addresses: resolved.moves.map((move) => this.#addressChange(move)),
			cidrs: resolved.cidrs.map(({ cidr, entry }) => ({ cidr, row: entry?.row ?? null })),
			pods,
			bump,
			retiredSets: this.#retiredSets,
			retiredIdentities: this.#forget(resolved),
		};
		this.#clear();
		return isEmpty(step) ? undefined : step;
	}

	#clear(): void {
		this.#dirty = new Map();
		this.#fresh = new Set();
		this.#self = new Set();
		this.#pods = new Set();
		this.#dropped = new Set();
		this.#retiredSets = [];
	}

	#touch(set: PolicySet, identity: Identity): void {
		const dirty = this.#dirty.get(set);
		if (dirty === 'all') return;
		if (dirty === undefined) this.#dirty.set(set, new Set([identity]));
		else dirty.add(identity);
	}

	#touchNew(identity: Identity): void {
		if (identity.base.kind === 'unknown-pod') for (const set of this.#parts.sets()) this.#touch(set, identity);
		for (const matchers of [identity.base.matchers, identity.prefix?.matchers ?? []]) {
			for (const { programs } of matchers)
				for (const program of programs) for (const set of program.sets) this.#touch(set, identity);
		}
	}

	#touchMoved({ entry, before, after }: IdentityMove): void {
		for (const pod of entry.pods) {
			const set = this.#parts.setOfPod(pod);
			if (this.#told.has(pod)) this.#pods.add(pod);
			if (set === null) continue;
			for (const identity of [before, after]) if (identity !== null && identity.refs > 0) this.#touch(set, identity);
		}
	}

	#touchSelves(): void {
		for (const set of this.#self) for (const identity of this.#selves(set)) this.#touch(set, identity);
	}

	/** Identities of the set's own pods. */
	#selves(set: PolicySet): Set<Identity> {
		const found = new Set<Identity>();
		for (const key of set.pods) {
			for (const address of this.#parts.book.pod(key)?.addresses ?? []) {
				const entry = this.#parts.book.entries.get(address);
				if (entry?.identity && entry.identity.base.kind === 'pod') found.add(entry.identity);
			}
		}
		return found;
	}

	/** Has a pod of the set the identity? */
	#isSelf(set: PolicySet, identity: Identity): boolean {
		if (identity.base.kind !== 'pod') return false;
		for (const key of set.pods) {
			for (const address of this.#parts.book.pod(key)?.addresses ?? []) {
				if (this.#parts.book.entries.get(address)?.identity === identity) return true;
			}
		}
		return false;
	}

	/** The rows that differ from the set's defaults. */
	#wanted(set: PolicySet, state: SetState, identity: Identity, self: boolean): [number, Row | null][] {
		const wanted: [number, Row | null][] = [];
		const defaults = isPodIdentity(identity.number) ? state.pods : state.others;
		for (const direction of DIRECTIONS) {
			const program = set.programs[direction];
			const row = program.open ? null : rowFor(program, identity);
			const same = row === defaults[direction] || row?.key === defaults[direction].key;
			wanted.push([peerWord(identity.number, direction), same ? null : row]);
			const own = self && program.clusterRules ? rowFor(program, identity, true) : null;
			wanted.push([peerWord(identity.number, direction, true), own]);
		}
		return wanted;
	}

	#someRows(set: PolicySet, identity: Identity, out: RowChange[]): void {
		const self = hasClusterRules(set) && this.#isSelf(set, identity);
		for (const [peer, row] of this.#wanted(set, set.state, identity, self)) {
			const old = set.rows.get(peer);
			if (old === (row ?? undefined) || old?.key === row?.key) continue;
			out.push({ set: set.number, peer, row });
			if (row === null) set.rows.delete(peer);
			else set.rows.set(peer, row);
		}
		this.#remember(set, identity);
	}

	#remember(set: PolicySet, identity: Identity): void {
		const word = (identity.number << 2) >>> 0;
		const { rows } = set;
		if (rows.has(word) || rows.has(word + 1) || rows.has(word + 2) || rows.has(word + 3)) identity.sets.add(set);
		else identity.sets.delete(set);
	}

	#allRows(set: PolicySet, out: RowChange[]): void {
		const state = stateOf(set.programs);
		const selves = hasClusterRules(set) ? this.#selves(set) : new Set<Identity>();
		const before = set.rows;
		set.rows = new Map();
		const candidates = new Set<Identity>([...this.#parts.identities.table.unknown, ...selves]);
		for (const direction of DIRECTIONS) collect(set.programs[direction], candidates);
		for (const identity of candidates) {
			let own = false;
			for (const [peer, row] of this.#wanted(set, state, identity, selves.has(identity))) {
				if (row === null) continue;
				own = true;
				set.rows.set(peer, row);
				if (before.get(peer)?.key !== row.key) out.push({ set: set.number, peer, row });
			}
			if (own) identity.sets.add(set);
			else identity.sets.delete(set);
		}
		for (const peer of before.keys()) {
			if (set.rows.has(peer)) continue;
			out.push({ set: set.number, peer, row: null });
			const identity = this.#parts.identities.table.byNumber(peer >>> 2);
			if (identity !== undefined) this.#remember(set, identity);
		}
	}

	#changedSets(bump: Set<string>): ReadonlyMap<number, SetState> {
		const changed = new Map<number, SetState>();
		for (const [set, dirty] of this.#dirty) {
			if (dirty !== 'all') continue;
			const state = stateOf(set.programs);
			const fresh = this.#fresh.has(set);
			if (!fresh && sameState(state, set.state)) continue;
			set.state = state;
			changed.set(set.number, state);
			if (!fresh) addAll(bump, set.pods);
		}
		return changed;
	}

	/** Flows with the address may be judged otherwise now: whose rows for old and new identity differ must look again. */
	#bumpMoved({ entry, before, after }: IdentityMove, bump: Set<string>, seen: Set<string>): void {
		const { table } = this.#parts.identities;
		const stranger = (): Identity | null =>
			this.#parts.identities.strangerAt(entry.bits) ?? table.byNumber(WellKnown.UNKNOWN_POD) ?? null;
		const old = before ?? stranger();
		const now = after ?? stranger();
		const pair = `${old?.number} ${now?.number}`;
		if (old === now || seen.has(pair)) return;
		seen.add(pair);
		const sameDefaults = old !== null && now !== null && isPodIdentity(old.number) === isPodIdentity(now.number);
		const sets = sameDefaults ? new Set([...old.sets, ...now.sets]) : this.#parts.sets();
		for (const set of sets) {
			if (set.pods.size === 0) continue;
			if (differs(set, old, now, 'ingress') || differs(set, old, now, 'egress')) addAll(bump, set.pods);
		}
	}

	#addressChange({ entry: { address, bits, owner }, after }: IdentityMove): AddressChange {
		const stranger = this.#parts.identities.unknownPodAt(bits);
		return { address, entry: after === null || owner === null ? null : { identity: after.number, owner }, stranger };
	}

	#changedPods(bump: Set<string>): PodChange[] {
		const changes: PodChange[] = [];
		for (const pod of this.#dropped) {
			if (this.#told.delete(pod)) changes.push({ pod, set: null, identities: new Map(), domains: false });
		}
		for (const pod of this.#pods) {
			const set = this.#parts.setOfPod(pod)?.number ?? 0;
			const identities = new Map<string, number>();
			for (const address of this.#parts.book.pod(pod)?.addresses ?? []) {
				const identity = this.#parts.book.entries.get(address)?.identity;
				if (identity) identities.set(address, identity.number);
			}
			const domains = this.#parts.setOfPod(pod)?.programs.egress.domains ?? false;
			const text = `${set} ${domains} ${[...identities].join(' ')}`;
			if (this.#told.get(pod) === text) continue;
			if (this.#told.get(pod)?.split(' ')[0] !== String(set)) bump.add(pod);
			this.#told.set(pod, text);
			changes.push({ pod, set, identities, domains });
		}
		return changes;
	}

	/** Identities that are gone leave the books of the sets; their rows in the kernel go after a grace period. */
	#forget({ retired }: ResolvedIdentities): readonly number[] {
		const numbers: number[] = [];
		for (const { number, sets } of retired) {
			// A well-known number can be in use again by the time its last user is noted as gone.
			if (this.#parts.identities.table.byNumber(number) !== undefined) continue;
			const word = (number << 2) >>> 0;
			for (const set of sets) for (let low = 0; low < 4; low++) set.rows.delete(word + low);
			numbers.push(number);
		}
		return numbers;
	}
}

/** Is any row from `start` on about an identity that was there before? */
function namesOther(rows: readonly RowChange[], start: number, created: ReadonlySet<number>): boolean {
	for (let i = start; i < rows.length; i++) if (!created.has((rows[i]?.peer ?? 0) >>> 2)) return true;
	return false;
}

function hasClusterRules(set: PolicySet): boolean {
	return DIRECTIONS.some((direction) => set.programs[direction].clusterRules);
}

function effectiveRow(set: PolicySet, identity: Identity | null, direction: Direction): Row {
	if (identity === null) return set.state.others[direction];
	const own = set.rows.get(peerWord(identity.number, direction));
	return own ?? (isPodIdentity(identity.number) ? set.state.pods : set.state.others)[direction];
}

function differs(set: PolicySet, a: Identity | null, b: Identity | null, direction: Direction): boolean {
	const [one, other] = [effectiveRow(set, a, direction), effectiveRow(set, b, direction)];
	return one !== other && one.key !== other.key;
}

/** Identities that some rule of the program names. */
function collect(program: Program, out: Set<Identity>): void {
	for (const matcher of program.byMatcher.keys()) {
		for (const base of matcher.members) addAll(out, base.identities);
		if (matcher.kind !== 'block' && matcher.kind !== 'domain') continue;
		for (const prefix of matcher.prefixes) addAll(out, prefix.identities);
	}
}

function addAll<T>(into: Set<T>, from: Iterable<T>): void {
	for (const each of from) into.add(each);
}

function isEmpty(step: PolicyStep): boolean {
	return (
		step.rows.length + step.addresses.length + step.cidrs.length + step.pods.length === 0 &&
		step.sets.size + step.retiredSets.length + step.retiredIdentities.length + step.bump.size === 0
	);
}
