/**
 * What programs need to find flows in tables of another layout while these are being replaced: the tables, and the place of each byte of
 * a value (bpf/lib/carry.h). Without it, a datagram whose flow only the other version's table has would be taken for a new flow.
 */
import type { DatapathConfig } from '../../native/abi/generated.ts';
import { describeLayout, sizeOf } from '../../native/abi/layout.ts';
import type { BpfMap } from '../../native/index.ts';
import { ConversionError, conversionOf, type EntryLayout } from './conversion.ts';
import { entryLayoutOf } from './map-layout.ts';
import type { PinnedMaps } from './pinned-maps.ts';

/** enum carry_limits and carry_place of bpf/lib/carry.h. */
const CARRY_VALUE_MAX = 128;
const CARRY_MUST_BE_ZERO = 254;
const CARRY_NONE = 255;

/** BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_LRU_HASH. */
const HASH_TYPES = [1, 9];

/** Tables programs look back into: the bit of enum carry_table, the program's name for the old map, its constants. */
const TABLES = [
	{ name: 'ct4', bit: 1, program: 'fl_ct4_old', in: 'carryCt4In', out: 'carryCt4Out' },
	{ name: 'ct6', bit: 2, program: 'fl_ct6_old', in: 'carryCt6In', out: 'carryCt6Out' },
] as const;

export type LookBackConfig = Pick<DatapathConfig, 'carry' | (typeof TABLES)[number]['in' | 'out']>;

export interface LookBack {
	readonly config: LookBackConfig;
	/** Old maps by the name they have in the programs. */
	readonly maps: ReadonlyMap<string, BpfMap>;
}

/** Nothing is being replaced. */
export const NO_LOOK_BACK: LookBack = {
	config: {
		carry: 0,
		carryCt4In: new Uint8Array(CARRY_VALUE_MAX),
		carryCt4Out: new Uint8Array(CARRY_VALUE_MAX),
		carryCt6In: new Uint8Array(CARRY_VALUE_MAX),
		carryCt6Out: new Uint8Array(CARRY_VALUE_MAX),
	},
	maps: new Map(),
};

/**
 * For the maps that are replaced; all new ones must have been made. A table whose keys changed, or whose values are too long or cannot be
 * converted in both directions, is left out: then the copies of FlowMigration are all there is.
 */
export function lookBackOf(maps: PinnedMaps): LookBack {
	let config = NO_LOOK_BACK.config;
	const old = new Map<string, BpfMap>();
	for (const table of TABLES) {
		const replacement = maps.replacements.find(({ name }) => name === table.name);
		const source = replacement?.sources[0]?.map;
		if (source === undefined || !HASH_TYPES.includes(source.info.type)) continue;
		const places = placesBetween(entryLayoutOf(source), entryLayoutOf(maps.get(table.name)));
		if (places === undefined) continue;
		config = { ...config, carry: config.carry | table.bit, [table.in]: places.in, [table.out]: places.out };
		old.set(table.program, source);
	}
	return { config, maps: old };
}

export interface Places {
	/** Of each byte of a new value, its place in the old one. */
	readonly in: Uint8Array;
	/** Of each byte of an old value, its place in the new one. */
	readonly out: Uint8Array;
}

/** @returns undefined when programs cannot convert: keys differ, values are longer than they can be, or a field has changed its kind */
export function placesBetween(old: EntryLayout | undefined, fresh: EntryLayout | undefined): Places | undefined {
	if (old === undefined || fresh === undefined || describeLayout(old.key) !== describeLayout(fresh.key))
		return undefined;
	if (Math.max(sizeOf(old.value), sizeOf(fresh.value)) > CARRY_VALUE_MAX) return undefined;
	try {
		const into = new Uint8Array(CARRY_VALUE_MAX).fill(CARRY_NONE);
		const out = new Uint8Array(CARRY_VALUE_MAX).fill(CARRY_NONE);
		for (const { from, to } of conversionOf(old.value, fresh.value, 'in').bytes) {
			if (to === undefined) out[from] = CARRY_MUST_BE_ZERO;
			else into[to] = from;
		}
		for (const { from, to } of conversionOf(fresh.value, old.value, 'out').bytes) if (to !== undefined) out[to] = from;
		return { in: into, out };
	} catch (error) {
		if (error instanceof ConversionError) return undefined;
		throw error;
	}
}
