/**
 * Steps of the policy compiler → operations, in an order that may stop anywhere. The state is changed to what the maps will hold
 * when all has been done. A set that has no room is closed: it denies, and the reason is kept. One whose policies are all in audit mode
 * lets everything through then, unreported.
 */
import { PolicyPeer, PolicySetFlag } from '../../native/abi/generated.ts';
import { OPEN_ROW } from '../plan/policy/rows.ts';
import type { Direction, PolicyStep, Row, SetState } from '../plan/policy/types.ts';
import { DIRECTIONS, isPodIdentity } from '../plan/policy/types.ts';
import type { Extent, PolicyOp } from './policy-kernel.ts';
import type { PolicyState, StoredRow } from './policy-state.ts';
import { defaultName, flagsOf, peerOfKey, rowKey, setOfKey } from './policy-state.ts';

const NOTHING: Extent = { base: 0, count: 0 };

export class PolicyDiff {
	readonly ops: PolicyOp[] = [];
	/** Sets that were closed or opened again: their pods' verdicts must be found anew. */
	readonly turned = new Set<number>();
	readonly #state: PolicyState;
	readonly #enforces: (set: number) => boolean;

	/** @param enforces  some policy of the set is not in audit mode */
	constructor(state: PolicyState, enforces: (set: number) => boolean) {
		this.#state = state;
		this.#enforces = enforces;
	}

	/** Everything a step wants, in its order: rows, sets, who is who, pods, generations. */
	addStep(step: PolicyStep): void {
		for (const { set, peer, row } of step.rows) {
			if (!this.#hasElement(set) || this.#state.closed.has(set)) continue;
			if (row !== null) this.#wantRow(set, peer, row);
			else this.#dropRow(set, peer, step);
		}
		for (const [number, wanted] of step.sets) this.#wantSet(number, wanted);
		for (const { cidr, row } of step.cidrs) {
			this.ops.push(row === null ? { kind: 'cidr-delete', cidr } : { kind: 'cidr-set', cidr, row });
		}
		for (const { address, entry, stranger } of step.addresses) {
			if (entry === null) this.ops.push({ kind: 'address-delete', address, identity: stranger });
			else this.ops.push({ kind: 'address-set', address, ...entry });
		}
		for (const { pod, set, identities, domains } of step.pods) {
			if (set !== null) this.ops.push({ kind: 'endpoint-set', pod, set, identities, domains });
		}
		this.bump(step.bump);
		this.#retire(step);
	}

	/** Tries to program a closed set completely. @returns false when there is still no room */
	reopen(set: number, state: SetState, rows: ReadonlyMap<number, Row>): boolean {
		if (!this.#hasElement(set)) return false;
		const missing = [...rows.keys()].filter((peer) => !this.#state.rows.has(rowKey(set, peer))).length;
		if (this.#state.rows.size + missing > this.#state.rowCapacity) return false;
		this.#state.closed.delete(set);
		for (const [peer, row] of rows) if (!this.#wantRow(set, peer, row)) return false;
		for (const key of this.#state.bySet.get(set) ?? []) {
			if (!rows.has(peerOfKey(key))) this.#dropRow(set, peerOfKey(key), { sets: new Map([[set, state]]) });
		}
		if (!this.#wantDefaults(set, state)) return false;
		this.#setFlags(set, flagsOf(state.open));
		this.turned.add(set);
		return true;
	}

	/** Has the flows of pods judged anew. */
	bump(pods: Iterable<string>): void {
		for (const pod of pods) this.#bump(pod);
	}

	/** Everything but the own node is denied to the set's pods. */
	close(set: number, reason: string): void {
		this.#close(set, reason);
	}

	/** A set stays closed, but whether it has policies that are enforced may have changed. */
	keepClosed(set: number): void {
		if (set < this.#state.setCapacity && this.#state.set(set).flags !== this.#closedFlags(set)) this.turned.add(set);
		this.#setFlags(set, this.#closedFlags(set));
	}

	/** Bumps the pods of sets that were closed or opened. */
	bumpTurned(podsOf: (set: number) => Iterable<string>): void {
		for (const set of this.turned) for (const pod of podsOf(set)) this.#bump(pod);
		this.turned.clear();
	}

	/**
	 * A program may have asked who an address is before it was another's, and for the generation after that; by the end of the next
	 * grace period it has kept its verdict.
	 */
	#bump(pod: string): void {
		this.ops.push({ kind: 'generation-bump', pod });
		this.#state.bumped.add(pod);
	}

	/** After a grace period: takes out what nobody can ask for. @returns the numbers that are free when all is done */
	collect(): { readonly sets: readonly number[]; readonly identities: readonly number[] } {
		const state = this.#state;
		for (const pod of state.bumped) this.ops.push({ kind: 'generation-bump', pod });
		state.bumped.clear();
		for (const key of [...state.garbage]) {
			this.ops.push({ kind: 'row-delete', set: setOfKey(key), peer: peerOfKey(key) });
			state.remove(key);
		}
		for (const number of state.retiredSets) {
			const set = state.set(number);
			this.#setFlags(number, 0);
			for (const who of ['pods', 'others'] as const) {
				for (const direction of DIRECTIONS) {
					const stored = set.defaults.get(defaultName(who, direction));
					if (stored === undefined) continue;
					this.ops.push({ kind: 'default-set', set: number, who, direction, extent: NOTHING });
					state.release(stored);
				}
			}
			state.sets.delete(number);
		}
		const freed = { sets: [...state.retiredSets], identities: [...state.retiredIdentities] };
		state.retiredSets.clear();
		state.retiredIdentities.clear();
		return freed;
	}

	#wantRow(set: number, peer: number, row: Row): boolean {
		const key = rowKey(set, peer);
		this.#state.garbage.delete(key);
		return this.#write(set, peer, row);
	}

	/** The row says what the default says from now on; it goes when nobody can have read the default before that. */
	#dropRow(set: number, peer: number, step: Pick<PolicyStep, 'sets'>): void {
		const key = rowKey(set, peer);
		if (!this.#state.rows.has(key)) return;
		this.#state.garbage.add(key);
		const row = (peer & PolicyPeer.SELF) !== 0 ? OPEN_ROW : this.#defaultOf(set, peer, step);
		if (row !== undefined) this.#write(set, peer, row);
	}

	#defaultOf(set: number, peer: number, { sets }: Pick<PolicyStep, 'sets'>): Row | undefined {
		const direction: Direction = (peer & PolicyPeer.EGRESS) !== 0 ? 'egress' : 'ingress';
		const who = isPodIdentity(peer >>> 2) ? 'pods' : 'others';
		return sets.get(set)?.[who][direction] ?? this.#state.sets.get(set)?.defaults.get(defaultName(who, direction))?.row;
	}

	#write(set: number, peer: number, row: Row): boolean {
		const state = this.#state;
		const key = rowKey(set, peer);
		const current = state.rows.get(key);
		if (current?.row.key === row.key) return true;
		if (current === undefined && state.rows.size >= state.rowCapacity) {
			return this.#close(set, `map policy: no room for another row, ${state.rows.size} of ${state.rowCapacity} used`);
		}
		const stored = this.#acquire(set, row);
		if (stored === undefined) return false;
		this.ops.push({ kind: 'row-set', set, peer, extent: stored.extent });
		if (current !== undefined) state.release(current);
		state.place(key, stored);
		return true;
	}

	#acquire(set: number, row: Row): StoredRow | undefined {
		const got = this.#state.acquire(row);
		if (typeof got === 'string') {
			this.#close(set, got);
			return undefined;
		}
		if (got.fresh) this.ops.push({ kind: 'ranges-set', base: got.stored.extent.base, row });
		return got.stored;
	}

	#wantSet(number: number, wanted: SetState): void {
		const state = this.#state;
		if (!this.#hasElement(number) || state.closed.has(number)) return;
		state.retiredSets.delete(number);
		// Rows that wait for their end follow the default that they stand for.
		for (const key of [...(state.bySet.get(number) ?? [])]) {
			if (state.garbage.has(key)) this.#dropRow(number, peerOfKey(key), { sets: new Map([[number, wanted]]) });
		}
		if (!state.closed.has(number) && this.#wantDefaults(number, wanted)) this.#setFlags(number, flagsOf(wanted.open));
	}

	#wantDefaults(number: number, wanted: SetState): boolean {
		const set = this.#state.set(number);
		for (const who of ['pods', 'others'] as const) {
			for (const direction of DIRECTIONS) {
				const name = defaultName(who, direction);
				const current = set.defaults.get(name);
				const row = wanted[who][direction];
				if (current?.row.key === row.key) continue;
				const stored = this.#acquire(number, row);
				if (stored === undefined) return false;
				this.ops.push({ kind: 'default-set', set: number, who, direction, extent: stored.extent });
				if (current !== undefined) this.#state.release(current);
				set.defaults.set(name, stored);
			}
		}
		return true;
	}

	/** A number beyond the table needs nothing written: programs find no element and deny. */
	#hasElement(set: number): boolean {
		const { setCapacity, closed } = this.#state;
		if (set < setCapacity) return true;
		closed.set(set, `map policyset: no room for another set, all ${setCapacity - 1} used`);
		return false;
	}

	#setFlags(number: number, flags: number): void {
		if (number >= this.#state.setCapacity) return;
		const set = this.#state.set(number);
		if (set.flags === flags) return;
		set.flags = flags;
		this.ops.push({ kind: 'flags-set', set: number, flags });
	}

	#close(set: number, reason: string): false {
		const state = this.#state;
		if (state.closed.has(set)) return false;
		state.closed.set(set, reason);
		const flags = this.#closedFlags(set);
		// One that could not be opened is what it was.
		if (state.sets.get(set)?.flags !== flags) this.turned.add(set);
		this.#setFlags(set, flags);
		for (const key of state.bySet.get(set) ?? []) state.garbage.add(key);
		return false;
	}

	#closedFlags(set: number): number {
		return this.#enforces(set) ? PolicySetFlag.CLOSED : PolicySetFlag.OPEN_INGRESS | PolicySetFlag.OPEN_EGRESS;
	}

	#retire(step: PolicyStep): void {
		const state = this.#state;
		for (const number of step.retiredSets) {
			state.closed.delete(number);
			state.retiredSets.add(number);
			for (const key of state.bySet.get(number) ?? []) state.garbage.add(key);
		}
		for (const number of step.retiredIdentities) {
			state.retiredIdentities.add(number);
			for (const key of state.byIdentity.get(number) ?? []) state.garbage.add(key);
		}
	}
}
