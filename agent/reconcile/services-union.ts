/**
 * What one row can tell XDP of a service whose set of backends changes: the backends of both tables, ranked together. Where the best of
 * all stands in both tables, it is the best of each. What the others would win is left to the tables, which know the rules of a
 * transition; so are slots on which the tables disagree for another reason, for each slot is held against both. Pure.
 */
import { XdpServiceLimits } from '../../native/abi/generated.ts';
import type { Address } from '../model/address.ts';
import { rankableTags, rankedTable } from '../plan/rank.ts';
import type { Table, Tables } from './services-tables.ts';

export interface UnionMember {
	readonly tag: number;
	/** Where packets of the slots that it wins go; undefined = the tables say that. */
	readonly address: Address | undefined;
}

/** At most XDP_SERVICE_BACKENDS, no tag twice. */
export type Union = readonly UnionMember[];

/** A backend that tables may name. */
export interface UnionBackend {
	/** 'address|port|proto' */
	readonly key: string;
	readonly address: Address;
	/** Index of its row; not 0. */
	readonly row: number;
}

interface Candidate {
	readonly tag: number;
	/** undefined = no table names it any more. */
	readonly backend: UnionBackend | undefined;
}

interface Judged {
	readonly union: Union;
	/** Slots that the row decides about. */
	readonly slots: number;
}

/**
 * @param backends  those of the service port
 * @param former    tags of an earlier row. A backend that has gone may have to keep its place: where it was in one table only they still
 *                  disagree, and without it the others would win such slots and could be trusted nowhere.
 * @returns undefined = a row could tell nothing
 */
export function unionOf(
	{ current, previous, remembered }: Tables,
	backends: readonly UnionBackend[],
	former: readonly number[],
): Union | undefined {
	if (previous === null || remembered || previous.length !== current.length) return undefined;
	const named = rowsOf(current, previous);
	const members = backends.filter(({ row }) => named.has(row));
	const tags = rankableTags(members.map(({ key }) => key));
	if (tags === undefined) return undefined;
	const present = members.map((backend, i): Candidate => ({ tag: tags[i] ?? 0, backend }));
	const gone = [...new Set(former)]
		.filter((tag) => !tags.includes(tag))
		.slice(0, XdpServiceLimits.BACKENDS - present.length)
		.map((tag): Candidate => ({ tag, backend: undefined }));
	const without = judge(present, current, previous);
	const best = gone.length === 0 ? without : larger(without, judge([...present, ...gone], current, previous));
	return best.slots === 0 ? undefined : best.union;
}

const larger = (a: Judged, b: Judged): Judged => (b.slots > a.slots ? b : a);

/** The rows that two tables name. */
function rowsOf(a: Table, b: Table): ReadonlySet<number> {
	const rows = new Set<number>();
	for (let slot = 0; slot < a.length; slot++) {
		rows.add(a[slot] ?? 0);
		rows.add(b[slot] ?? 0);
	}
	return rows;
}

/** Whoever wins a slot that the tables do not both give to it is trusted with none. */
function judge(candidates: readonly Candidate[], current: Table, previous: Table): Judged {
	const tags = candidates.map(({ tag }) => tag);
	const winners = rankedTable(tags, current.length);
	const rows = Uint32Array.from(candidates, ({ backend }) => backend?.row ?? 0);
	const won = new Uint32Array(candidates.length);
	const lost = new Uint32Array(candidates.length);
	for (let slot = 0; slot < winners.length; slot++) {
		const at = winners[slot] ?? 0;
		const row = rows[at] ?? 0;
		if (row !== 0 && current[slot] === row && previous[slot] === row) won[at] = (won[at] ?? 0) + 1;
		else lost[at] = 1;
	}
	const isTrusted = (at: number): boolean => lost[at] === 0;
	const union = candidates.map(({ tag, backend }, at) => ({
		tag,
		address: isTrusted(at) ? backend?.address : undefined,
	}));
	return { union, slots: won.reduce((sum, slots, at) => sum + (isTrusted(at) ? slots : 0), 0) };
}
