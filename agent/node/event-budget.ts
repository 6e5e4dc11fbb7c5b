/**
 * How much is said about one object: the same thing is counted, similar things are gathered under one text, and of what still
 * comes too often only so much gets through. The figures are those of client-go's correlator, so that a node that runs wild
 * costs the API server no more than a kubelet that does.
 */
import type { EventReason, EventType, ObjectRef } from '../model/event.ts';

export interface EventText {
	readonly about: ObjectRef;
	readonly type: EventType;
	readonly reason: EventReason;
	readonly message: string;
}

/** Which series an Event counts for, and the text of the series. */
export interface Series {
	readonly key: string;
	readonly message: string;
}

/** Different texts with one reason about one object within the window: more are gathered. */
const SIMILAR = 10;
const SIMILAR_WINDOW_MS = 600_000;
/** Events about one object at once, and how soon there is room for another. */
const BURST = 25;
const REFILL_MS = 300_000;
/** Objects that are remembered. */
const OBJECTS = 1024;
const MAX_MESSAGE_CHARS = 1024;

interface Spending {
	tokens: number;
	atMs: number;
	/** By reason: when each text was last seen. */
	readonly texts: Map<string, Map<string, number>>;
}

export class EventBudget {
	readonly #objects = new Map<string, Spending>();

	/** @returns undefined = too much has been said about the object */
	spend({ about, type, reason, message }: EventText, nowMs: number): Series | undefined {
		const object = `${about.apiVersion} ${about.kind} ${about.namespace}/${about.name}`;
		const spending = this.#spendingOf(object, nowMs);
		if (spending.tokens < 1) return undefined;
		spending.tokens--;
		const text = message.length > MAX_MESSAGE_CHARS ? `${message.slice(0, MAX_MESSAGE_CHARS - 1)}…` : message;
		const series = `${object} ${type} ${reason}`;
		if (!isOneTooMany(spending, reason, text, nowMs)) return { key: `${series} ${text}`, message: text };
		const gathered = `(combined from similar events): ${text}`.slice(0, MAX_MESSAGE_CHARS);
		return { key: series, message: gathered };
	}

	#spendingOf(object: string, nowMs: number): Spending {
		const known = this.#objects.get(object);
		this.#objects.delete(object); // the one that was used last comes last
		const spending = known ?? { tokens: BURST, atMs: nowMs, texts: new Map() };
		spending.tokens = Math.min(BURST, spending.tokens + Math.max(0, nowMs - spending.atMs) / REFILL_MS);
		spending.atMs = nowMs;
		this.#objects.set(object, spending);
		const [oldest] = this.#objects.keys();
		if (this.#objects.size > OBJECTS && oldest !== undefined) this.#objects.delete(oldest);
		return spending;
	}
}

function isOneTooMany({ texts }: Spending, reason: string, text: string, nowMs: number): boolean {
	const seen = texts.get(reason) ?? new Map<string, number>();
	texts.set(reason, seen);
	for (const [each, atMs] of seen) if (nowMs - atMs > SIMILAR_WINDOW_MS) seen.delete(each);
	if (!seen.has(text) && seen.size >= SIMILAR) return true;
	seen.set(text, nowMs);
	return false;
}
