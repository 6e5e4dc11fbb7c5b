/**
 * Misbehaviour on request: rules that hit the next matching requests, and switches that hit watches which run.
 */

export type FaultAction =
	/** An error status, with Retry-After if given. */
	| { readonly type: 'status'; readonly code: number; readonly retryAfterSeconds?: number }
	/** The connection is closed without an answer. */
	| { readonly type: 'drop' }
	/** Nothing is answered, ever. */
	| { readonly type: 'hang' }
	/** The answer begins late. */
	| { readonly type: 'delay'; readonly ms: number }
	/** The connection is closed after so many bytes of the body, wherever that is. */
	| { readonly type: 'cut'; readonly afterBytes: number }
	/** The body comes in pieces with pauses. */
	| { readonly type: 'trickle'; readonly bytes: number; readonly everyMs: number };

export interface FaultRule {
	/** list, watch, get, create, update, patch, delete; absent = any. */
	readonly verb?: string;
	/** Name in paths; absent = any. */
	readonly resource?: string;
	/** Only requests that continue a list. */
	readonly continued?: boolean;
	/** How many requests it hits; absent = one, 0 = all until it is cleared. */
	readonly times?: number;
	readonly action: FaultAction;
}

export interface WatchFaults {
	/** Every event is sent twice. */
	readonly duplicate?: boolean;
	/** Events of these resources come late, by so many milliseconds: kinds overtake each other. */
	readonly delayMs?: Readonly<Record<string, number>>;
	/** Watches that would have sent something send nothing any more; their connections stay open. */
	readonly silent?: boolean;
}

export interface FaultTarget {
	readonly verb: string;
	readonly resource: string;
	readonly continued: boolean;
}

export class Faults {
	readonly #rules: { rule: FaultRule; left: number }[] = [];
	watches: WatchFaults = {};

	add(rule: FaultRule): void {
		this.#rules.push({ rule, left: rule.times === 0 ? Number.POSITIVE_INFINITY : (rule.times ?? 1) });
	}

	clear(): void {
		this.#rules.length = 0;
		this.watches = {};
	}

	/** What is to happen to a request; counts it. */
	take(target: FaultTarget): FaultAction | undefined {
		const hit = this.#rules.find(
			({ rule, left }) =>
				left > 0 &&
				(rule.verb ?? target.verb) === target.verb &&
				(rule.resource ?? target.resource) === target.resource &&
				(rule.continued ?? target.continued) === target.continued,
		);
		if (hit === undefined) return undefined;
		hit.left--;
		return hit.rule.action;
	}
}
