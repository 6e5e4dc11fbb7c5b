/**
 * Numbers of rules, as verdicts and events carry them. A number follows from the rule's name, so that it is the same after a
 * restart of the agent; where two names meet, the later one takes the next free number.
 */
import { PolicyCookie } from '../../../native/abi/generated.ts';

/** Conntrack entries keep 16 bits of a number: more rules than nearly fill those get larger numbers, which it cuts off. */
const SMALL_SPACE = 2 ** 16 - PolicyCookie.FIRST_RULE;
const LARGE_SPACE = 2 ** 28 - PolicyCookie.FIRST_RULE;
const SMALL_LIMIT = 50_000;

const FIXED: Readonly<Record<number, string>> = {
	[PolicyCookie.NO_POLICY]: 'no policy',
	[PolicyCookie.NOT_ALLOWED]: 'not allowed',
	[PolicyCookie.HOST]: 'own node',
	[PolicyCookie.SELF]: 'self',
	[PolicyCookie.CLOSED]: 'closed',
};

const ISOLATION = 'isolation ';

/** Name for acquire() of the lack of a rule that allows. @param policies  that isolate, 'NetworkPolicy ns/name' */
export function isolationName(direction: string, policies: readonly string[]): string {
	return `${ISOLATION}${direction}|${policies.join('|')}`;
}

export class CookieTable {
	readonly #byName = new Map<string, { cookie: number; refs: number }>();
	readonly #byCookie = new Map<number, string>();

	acquire(name: string): number {
		const found = this.#byName.get(name);
		if (found !== undefined) {
			found.refs++;
			return found.cookie;
		}
		const space = this.#byCookie.size < SMALL_LIMIT ? SMALL_SPACE : LARGE_SPACE;
		let offset = fnv1a(name) % space;
		while (this.#byCookie.has(PolicyCookie.FIRST_RULE + offset)) offset = (offset + 1) % space;
		const cookie = PolicyCookie.FIRST_RULE + offset;
		this.#byName.set(name, { cookie, refs: 1 });
		this.#byCookie.set(cookie, name);
		return cookie;
	}

	release(name: string): void {
		const found = this.#byName.get(name);
		if (found === undefined || --found.refs > 0) return;
		this.#byName.delete(name);
		this.#byCookie.delete(found.cookie);
	}

	/** 'NetworkPolicy ns/name ingress rule 0', or what a number stands for that is no rule's; undefined = a rule that is gone. */
	name(cookie: number): string | undefined {
		const name = FIXED[cookie] ?? this.#byCookie.get(cookie);
		return name?.startsWith(ISOLATION) ? FIXED[PolicyCookie.NOT_ALLOWED] : name;
	}

	/** Policies that isolate, if the number says that no rule allows; undefined = it says something else. */
	isolators(cookie: number): readonly string[] | undefined {
		const name = this.#byCookie.get(cookie);
		return name?.startsWith(ISOLATION) ? name.split('|').slice(1) : undefined;
	}
}

function fnv1a(text: string): number {
	let hash = 0x811c9dc5;
	for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
	return hash >>> 0;
}
