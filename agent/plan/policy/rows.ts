/**
 * The rules that concern one peer → the verdict of every protocol and port. Precedence is resolved here: Admin tier, then
 * NetworkPolicy if it isolates, else the Baseline tier. Pure.
 *
 * Audit mode: what is done is what the policies in force say alone; where all of them together would deny, that is reported.
 */
import { PolicyCookie, PolicyVerdictFlag } from '../../../native/abi/generated.ts';
import type { Row } from './types.ts';
import { verdictWord } from './types.ts';

export type Tier = 'admin' | 'network' | 'baseline';
export type Action = 'accept' | 'deny' | 'pass';

/** Protocol << 16 | port, both ends included. */
export interface PortRange {
	readonly first: number;
	readonly last: number;
}

/** All protocols and ports. */
export const ALL_PORTS: PortRange = { first: 0, last: 0xffffff };

/** A rule that concerns the peer. */
export interface ApplicableRule {
	readonly tier: Tier;
	readonly action: Action;
	readonly ranges: readonly PortRange[];
	readonly cookie: number;
	/** Of a policy in audit mode. */
	readonly audit?: boolean;
}

export interface RowQuestion {
	/** In order of precedence within their tier; tiers may be mixed. */
	readonly rules: readonly ApplicableRule[];
	/** A NetworkPolicy isolates the pod in this direction. */
	readonly isolated: boolean;
	/** One that is not in audit mode does; left out = as `isolated`. */
	readonly isolatedInForce?: boolean;
	/** Number that says that no rule allows, and the same of the policies that are not in audit mode. */
	readonly notAllowed?: number;
	readonly notAllowedInForce?: number;
	/** The pod reaches itself: no NetworkPolicy keeps it from that. */
	readonly self: boolean;
}

const NO_POLICY = verdictWord(true, PolicyCookie.NO_POLICY);
const SELF = verdictWord(true, PolicyCookie.SELF);

export function rowOf(ranges: Uint32Array): Row {
	return { ranges, key: Buffer.from(ranges.buffer, ranges.byteOffset, ranges.byteLength).toString('latin1') };
}

/** One verdict for everything. */
export function uniformRow(verdict: number): Row {
	return rowOf(Uint32Array.of(0, verdict));
}

/** Nothing restricts the peer. */
export const OPEN_ROW: Row = uniformRow(NO_POLICY);
const SELF_ROW: Row = uniformRow(SELF);

/** The cells between all places where some rule begins or ends, each decided once; a decided cell costs nothing again. */
class Cells {
	readonly starts: readonly number[];
	readonly #verdicts: Uint32Array;
	readonly #decided: Uint8Array;
	/** The first cell from here on that is still to be painted; the end is a cell of its own. */
	#next: Int32Array;

	constructor(rules: readonly ApplicableRule[]) {
		const starts = new Set([0]);
		for (const { ranges } of rules) {
			for (const { first, last } of ranges) {
				starts.add(first);
				if (last < ALL_PORTS.last) starts.add(last + 1);
			}
		}
		this.starts = [...starts].sort((a, b) => a - b);
		this.#verdicts = new Uint32Array(this.starts.length);
		this.#decided = new Uint8Array(this.starts.length);
		this.#next = Int32Array.from({ length: this.starts.length + 1 }, (_, i) => i);
	}

	/** Paints what no earlier rule of this phase has painted. @param verdict  undefined = left for the next phase */
	paint(ranges: readonly PortRange[], verdict: number | undefined): void {
		for (const { first, last } of ranges) {
			for (let i = this.#open(this.#cellOf(first)); i < this.starts.length; i = this.#open(i)) {
				if ((this.starts[i] ?? 0) > last) break;
				this.#next[i] = i + 1;
				if (verdict === undefined) continue;
				this.#verdicts[i] = verdict;
				this.#decided[i] = 1;
			}
		}
	}

	/** Starts another phase: everything without a verdict is open again. */
	reopen(): void {
		this.#next = Int32Array.from({ length: this.starts.length + 1 }, (_, i) => (this.#decided[i] === 1 ? i + 1 : i));
	}

	row(): Row {
		const out: number[] = [];
		for (const [i, start] of this.starts.entries()) {
			const verdict = this.#verdicts[i] ?? 0;
			if (i === 0 || out.at(-1) !== verdict) out.push(start, verdict);
		}
		return rowOf(Uint32Array.from(out));
	}

	#open(cell: number): number {
		let root = cell;
		while (this.#next[root] !== root) root = this.#next[root] ?? root;
		for (let i = cell; i !== root; ) {
			const after = this.#next[i] ?? root;
			this.#next[i] = root;
			i = after;
		}
		return root;
	}

	#cellOf(start: number): number {
		let low = 0;
		let high = this.starts.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if ((this.starts[middle] ?? 0) < start) low = middle + 1;
			else high = middle;
		}
		return low;
	}
}

/** Compiles a row. Work: proportional to the rules and the places where they change, whatever their order. */
export function compileRow(question: RowQuestion): Row {
	const { rules, isolated, isolatedInForce = isolated, self } = question;
	const { notAllowed = PolicyCookie.NOT_ALLOWED, notAllowedInForce = notAllowed } = question;
	const all = compileTiers({ rules, isolated, self, notAllowed });
	const inForce = rules.filter(({ audit }) => audit !== true);
	if (inForce.length === rules.length && isolated === isolatedInForce) return all;
	const enforced = compileTiers({ rules: inForce, isolated: isolatedInForce, self, notAllowed: notAllowedInForce });
	return auditRow(all.ranges, enforced.ranges);
}

/** @param all  with every policy enforced. @param inForce  with those that are not in audit mode */
function auditRow(all: Uint32Array, inForce: Uint32Array): Row {
	const out: number[] = [];
	for (let a = 0, f = 0, start = 0; start <= ALL_PORTS.last; ) {
		const verdict = auditVerdict(all[a + 1] ?? 0, inForce[f + 1] ?? 0);
		if (out.at(-1) !== verdict || out.length === 0) out.push(start, verdict);
		const nextAll = all[a + 2] ?? Number.POSITIVE_INFINITY;
		const nextInForce = inForce[f + 2] ?? Number.POSITIVE_INFINITY;
		start = Math.min(nextAll, nextInForce);
		if (start === nextAll) a += 2;
		if (start === nextInForce) f += 2;
	}
	return rowOf(Uint32Array.from(out));
}

/** What is in force decides and is named; where it says nothing, the rule of an audited policy that would allow. */
function auditVerdict(all: number, inForce: number): number {
	if ((inForce & PolicyVerdictFlag.ALLOW) === 0) return inForce;
	if ((all & PolicyVerdictFlag.ALLOW) === 0) return all | PolicyVerdictFlag.ALLOW | PolicyVerdictFlag.AUDIT;
	return inForce === NO_POLICY ? all : inForce;
}

type TierQuestion = Pick<RowQuestion, 'rules' | 'isolated' | 'self'> & { readonly notAllowed: number };

function compileTiers({ rules, isolated, self, notAllowed }: TierQuestion): Row {
	const refused = verdictWord(false, notAllowed);
	if (rules.length === 0) return isolated ? (self ? SELF_ROW : uniformRow(refused)) : OPEN_ROW;
	const cells = new Cells(rules);
	const tier = (name: Tier, onPass: number | undefined): void => {
		for (const rule of rules) {
			if (rule.tier !== name) continue;
			cells.paint(rule.ranges, rule.action === 'pass' ? onPass : verdictWord(rule.action === 'accept', rule.cookie));
		}
	};
	tier('admin', undefined);
	cells.reopen();
	if (isolated && !self) tier('network', undefined);
	if (isolated) cells.paint([ALL_PORTS], self ? SELF : refused);
	else tier('baseline', NO_POLICY);
	cells.paint([ALL_PORTS], NO_POLICY);
	return cells.row();
}
