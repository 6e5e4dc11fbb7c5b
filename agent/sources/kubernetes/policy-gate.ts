/**
 * Policies on their way into the store: says whether some of them select pods of other nodes, and keeps changes back while those
 * pods are being listed. A policy in force before its peers are known would cut connections that it allows.
 */
import type { Kind, ObjectsByKind } from '../../model/cluster-view.ts';
import { identityOf } from '../objects.ts';
import { needsOtherPods } from '../pods-needed.ts';
import type { ObjectSink } from './reflector.ts';

export class PolicyGate implements ObjectSink {
	readonly #store: ObjectSink;
	readonly #onNeed: () => void;
	/** Policies that select pods of other nodes, those that are kept back too. */
	readonly #selecting = new Set<string>();
	/** What to do once the gate is open, by policy: the last one counts. */
	readonly #held = new Map<string, () => void>();
	#closed = false;

	/** @param onNeed  called when `selectsPods` changes, before the policy it changes for is passed on */
	constructor(store: ObjectSink, onNeed: () => void) {
		this.#store = store;
		this.#onNeed = onNeed;
	}

	get selectsPods(): boolean {
		return this.#selecting.size > 0;
	}

	/** From here on changes wait for open(). */
	close(): void {
		this.#closed = true;
	}

	open(): void {
		this.#closed = false;
		for (const pass of this.#held.values()) pass();
		this.#held.clear();
	}

	set<K extends Kind>(kind: K, key: string, value: ObjectsByKind[K]): boolean {
		const identity = identityOf(kind, key);
		this.#note(identity, needsOtherPods(kind, value));
		return this.#pass(identity, () => this.#store.set(kind, key, value));
	}

	delete(kind: Kind, key: string): boolean {
		const identity = identityOf(kind, key);
		this.#note(identity, false);
		return this.#pass(identity, () => this.#store.delete(kind, key));
	}

	#note(identity: string, selects: boolean): void {
		const before = this.selectsPods;
		if (selects) this.#selecting.add(identity);
		else this.#selecting.delete(identity);
		if (this.selectsPods !== before) this.#onNeed();
	}

	#pass(identity: string, change: () => boolean): boolean {
		if (!this.#closed) return change();
		this.#held.set(identity, change);
		return false;
	}
}
