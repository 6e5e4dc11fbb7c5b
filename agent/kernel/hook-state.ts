/**
 * What runs at the hooks that are ours: whether our program is there, and who else is, before it or after it. Reads only.
 */
import { BpfProgram, cgroupPrograms, tcxPrograms, xdpPrograms } from '../../native/index.ts';
import { errorCode } from '../model/errors.ts';
import { CLSACT_SLOT, type LinkTarget } from './links.ts';
import type { Netlink } from './netlink.ts';
import { dumpFilters, type FilterInfo, parseFilterInfo } from './netlink-filters.ts';

/** An attachment as it should be. */
export interface WantedHook {
	/** Name of its pin. */
	readonly name: string;
	readonly target: LinkTarget;
	readonly programId: number;
}

export type HookKind = 'tc-ingress' | 'tc-egress' | 'xdp' | 'cgroup';

/** A program, or a filter of another kind, that is not ours. */
export interface ForeignProgram {
	/** For people: 'sched_cls foo (id 17)', 'filter flower'. */
	readonly what: string;
	/** `only`: ours is not there. */
	readonly position: 'before' | 'after' | 'only';
}

export interface HookState {
	readonly name: string;
	readonly kind: HookKind;
	/** `lost`: the place is there, our program is not. `gone`: there is no such device or cgroup. */
	readonly state: 'attached' | 'lost' | 'gone';
	readonly foreign: readonly ForeignProgram[];
}

/** How the kernel is asked; tests answer themselves. */
export interface HookQueries {
	/** Ids in the order in which they run. @throws with code ENODEV or ENOENT when there is no such place */
	programs(target: LinkTarget): readonly number[];
	/** Filters by index of the target, for tc targets; empty = none. */
	filters(targets: readonly LinkTarget[]): Promise<readonly (readonly FilterInfo[])[]>;
	/** '' = it is gone. */
	nameOf(programId: number): string;
}

/**
 * Looks at all hooks.
 * @param useTcx  false = ours are clsact filters
 */
export async function inspectHooks(
	hooks: readonly WantedHook[],
	queries: HookQueries,
	useTcx: boolean,
): Promise<HookState[]> {
	const own = new Set(hooks.map(({ programId }) => programId));
	const filters = await queries.filters(hooks.map(({ target }) => target));
	return hooks.map((hook, at) => inspect(hook, own, filters[at] ?? [], queries, useTcx));
}

function inspect(
	{ name, target, programId }: WantedHook,
	own: ReadonlySet<number>,
	filters: readonly FilterInfo[],
	queries: HookQueries,
	useTcx: boolean,
): HookState {
	const kind: HookKind = target.kind === 'tc' ? `tc-${target.where}` : target.kind;
	let programs: readonly number[] = [];
	try {
		programs = queries.programs(target);
	} catch (error) {
		const code = errorCode(error) ?? '';
		if (code === 'ENODEV' || code === 'ENOENT') return { name, kind, state: 'gone', foreign: [] };
		// tcx before kernel 6.6: there are only filters
		if (code !== 'EINVAL') throw error;
	}
	const sorted = [...filters].sort((a, b) => a.priority - b.priority);
	const ofFilters = sorted.map((filter) => ({
		id: filter.programId,
		what: describeFilter(filter),
		slot: isSlot(filter),
	}));
	const ofPrograms = programs.map((id) => ({ id, what: '', slot: false }));
	// tcx runs before the filters of a clsact qdisc
	const all = [...ofPrograms, ...ofFilters];
	const mine = all.findIndex((each) => each.id === programId && (useTcx || target.kind !== 'tc' || each.slot));
	const foreign = all.flatMap((each, at): ForeignProgram[] => {
		if (at === mine || each.slot || (each.id !== undefined && own.has(each.id))) return [];
		const what = each.what || `program ${queries.nameOf(each.id ?? 0) || 'without name'} (id ${each.id})`;
		return [{ what, position: mine < 0 ? 'only' : at < mine ? 'before' : 'after' }];
	});
	return { name, kind, state: mine < 0 ? 'lost' : 'attached', foreign };
}

function isSlot({ kind, priority, handle }: FilterInfo): boolean {
	return kind === 'bpf' && priority === CLSACT_SLOT.priority && handle === CLSACT_SLOT.handle;
}

function describeFilter({ kind, name, programId, priority }: FilterInfo): string {
	const program = programId === undefined ? '' : ` ${name || 'without name'} (id ${programId})`;
	return `filter ${kind}${program} of priority ${priority}`;
}

/** Asks the kernel. */
export function hookQueries(netlink: Pick<Netlink, 'send'>): HookQueries {
	return {
		programs: (target) => {
			if (target.kind === 'cgroup') return cgroupPrograms(target.path, target.type);
			return target.kind === 'xdp' ? xdpPrograms(target.ifindex) : tcxPrograms(target.ifindex, target.where);
		},
		filters: async (targets) => {
			const tc = targets.flatMap((target, at) => (target.kind === 'tc' ? [{ target, at }] : []));
			const replies = await netlink.send(tc.map(({ target }) => dumpFilters(target.ifindex, target.where)));
			const found = targets.map((): FilterInfo[] => []);
			for (const [i, { at }] of tc.entries()) {
				found[at] = (replies[i]?.records ?? []).map(parseFilterInfo).filter((filter) => filter !== undefined);
			}
			return found;
		},
		nameOf: programName,
	};
}

function programName(id: number): string {
	try {
		const program = BpfProgram.openById(id);
		program.close();
		return program.name;
	} catch {
		return '';
	}
}
