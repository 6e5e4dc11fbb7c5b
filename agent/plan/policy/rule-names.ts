/**
 * Numbers of rules, as programs report them → who decided. Asked for every flow record that a policy had a part in, so answers
 * are kept until the policies change. Never changes anything.
 */
import { PolicyCookie } from '../../../native/abi/generated.ts';
import type { Address } from '../../model/address.ts';
import type { PolicyRef, RuleMatch, RuleVerdict } from '../../model/policy-rule.ts';
import { formatPolicyRef, parsePolicyName } from '../../model/policy-rule.ts';
import type { PolicyCompiler } from './compiler.ts';
import type { PolicyObject } from './programs.ts';
import type { PolicySet } from './sets.ts';
import type { Direction } from './types.ts';

const NOBODY = { policies: [], rule: '', deny: false, match: 'none' } as const;
const FIXED: Readonly<Record<number, RuleVerdict>> = {
	[PolicyCookie.NO_POLICY]: { kind: 'no-policy', text: 'no policy', ...NOBODY },
	[PolicyCookie.HOST]: { kind: 'own-node', text: 'own node', ...NOBODY },
	[PolicyCookie.NOT_ALLOWED]: notAllowed([]),
	[PolicyCookie.SELF]: { kind: 'self', text: 'self', ...NOBODY },
};
const GONE: RuleVerdict = { kind: 'gone', text: 'a rule that is gone', ...NOBODY };

export class RuleNames {
	readonly #current: () => PolicyCompiler | undefined;
	#compiler: PolicyCompiler | undefined;
	readonly #rules = new Map<number, RuleVerdict>();
	#revision = -1;
	#closed = new WeakMap<PolicySet, RuleVerdict>();

	/** @param compiler  asked each time: it may be replaced by another; undefined = no policy is known yet */
	constructor(compiler: () => PolicyCompiler | undefined) {
		this.#current = compiler;
	}

	/**
	 * @param cookie   of the verdict; programs keep 16 bits of it
	 * @param subject  address of the pod that was judged; asked for only if its set is closed
	 */
	verdict(cookie: number, _direction: Direction, subject: () => Address): RuleVerdict {
		const fixed = FIXED[cookie];
		if (fixed !== undefined) return fixed;
		const compiler = this.#current();
		if (compiler !== this.#compiler) this.#revision = -1;
		this.#compiler = compiler;
		if (cookie === PolicyCookie.CLOSED) return this.#closedSet(subject());
		return this.#rule(cookie);
	}

	#rule(cookie: number): RuleVerdict {
		const revision = this.#compiler?.policies.revision ?? 0;
		if (revision !== this.#revision) this.#rules.clear();
		this.#revision = revision;
		let found = this.#rules.get(cookie);
		if (found === undefined) {
			found = this.#describe(cookie);
			this.#rules.set(cookie, found);
		}
		return found;
	}

	#describe(cookie: number): RuleVerdict {
		const isolators = this.#compiler?.cookies.isolators(cookie);
		if (isolators !== undefined) return notAllowed(isolators.flatMap((name) => parsePolicyName(name) ?? []));
		const name = this.#compiler?.cookies.name(cookie);
		const parts = name === undefined ? null : /^(.+) (ingress|egress) rule (\d+)$/.exec(name);
		if (name === undefined || parts === null) return GONE;
		const [, policyName = '', direction = '', index = ''] = parts;
		const policy = parsePolicyName(policyName);
		const object = this.#compiler?.policies.get(policyName)?.object;
		if (policy === undefined || object === undefined) return GONE;
		const about = describeRule(object, direction as Direction, Number(index));
		const rule = `${direction} rule ${index}${about.name === '' ? '' : ` "${about.name}"`}`;
		const { deny, match } = about;
		return { kind: 'rule', text: `${policyName} ${rule}`, policies: [policy], rule, deny, match };
	}

	#closedSet(subject: Address): RuleVerdict {
		const set = this.#setAt(subject);
		const make = (policies: readonly PolicyRef[]): RuleVerdict => {
			const names = policies.map(formatPolicyRef).join(', ');
			return { ...NOBODY, kind: 'closed', policies, text: `policies could not be programmed${names && `: ${names}`}` };
		};
		if (set === undefined) return make([]);
		let found = this.#closed.get(set);
		if (found === undefined) {
			found = make(set.policies.flatMap((name) => parsePolicyName(name) ?? []));
			this.#closed.set(set, found);
		}
		return found;
	}

	#setAt(address: Address): PolicySet | undefined {
		const owner = this.#compiler?.book.entries.get(address)?.owner;
		return owner?.kind === 'pod' ? (this.#compiler?.setOf(owner.pod) ?? undefined) : undefined;
	}
}

function notAllowed(policies: readonly PolicyRef[]): RuleVerdict {
	const by = policies.length === 0 ? '' : ` (isolated by ${policies.map(formatPolicyRef).join(', ')})`;
	return { ...NOBODY, kind: 'not-allowed', policies, text: `no policy allows it${by}` };
}

interface RuleParts {
	readonly name: string;
	readonly deny: boolean;
	readonly match: RuleMatch;
}

function describeRule(object: PolicyObject, direction: Direction, index: number): RuleParts {
	if (object.kind === 'NetworkPolicy') {
		const rule = object.value[direction]?.[index];
		const protocolOnly = rule?.ports?.every(({ port }) => port === null) ?? false;
		return { name: '', deny: false, match: matchOf(rule, protocolOnly) };
	}
	const rule = object.value[direction][index];
	const protocolOnly = rule?.ports?.every((port) => port.kind === 'range' && port.last - port.first === 0xffff);
	return { name: rule?.name ?? '', deny: rule?.action === 'Deny', match: matchOf(rule, protocolOnly ?? false) };
}

function matchOf(
	rule: { readonly peers: readonly unknown[] | null; readonly ports: readonly unknown[] | null } | undefined,
	protocolOnly: boolean,
): RuleMatch {
	if (rule === undefined) return 'none';
	if (rule.ports === null) return rule.peers === null ? 'all' : 'l3';
	if (rule.peers === null) return protocolOnly ? 'proto' : 'l4';
	return protocolOnly ? 'l3-proto' : 'l3-l4';
}
