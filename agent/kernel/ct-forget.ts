/**
 * Takes flows out of conntrack that are not over: an address has another owner, or what clients ask for has another meaning.
 */
import { CtFlags } from '../../native/abi/generated.ts';
import { type FlowEnd, type SweepResult, type SweepSpec, sweepMap } from '../../native/index.ts';
import {
	type CtGcOptions,
	type CtMaps,
	type CtTable,
	closedOf,
	mapsOf,
	noteOf,
	pairsOf,
	type RuleTallies,
	tablesOf,
	talliesOf,
	tallyOf,
} from './ct-gc.ts';

/** What was deleted otherwise than by the collector. */
export interface ForgetReport {
	readonly deleted: number;
	/** What rules had allowed to it. */
	readonly byRule: RuleTallies;
	/** See FamilyReport. */
	readonly closedAtBackends: readonly number[];
}

/**
 * Deletes every entry one of whose ends is one of these addresses, so that the next owner of an address does not inherit
 * the flows of the last one.
 * @param addresses  16 bytes each
 */
export async function forgetAddresses(maps: CtMaps, addresses: readonly Uint8Array[]): Promise<ForgetReport> {
	const sweeps: SweepResult[] = [];
	for (const table of Object.values(tablesOf(maps))) {
		const { main, overflow, prefix, key } = table;
		const own = addresses.filter((address) => belongsTo(table, address));
		if (own.length === 0) continue;
		const spec: SweepSpec = {
			...forgetting(table, 0),
			touching: { offsets: [key.lo, key.hi], addresses: own.map((address) => address.subarray(prefix.length)) },
		};
		for (const map of [main, overflow]) sweeps.push(await sweepMap(map, spec));
	}
	return forgotten(sweeps);
}

/**
 * Deletes the flows that clients began towards one of these addresses and ports before its time, wherever they were sent to: what they come
 * to is to be chosen anew.
 */
export async function forgetDestinations(
	options: Omit<CtGcOptions, 'timeouts'>,
	ends: readonly FlowEnd[],
): Promise<ForgetReport> {
	const now = options.clock.now();
	const sweeps: SweepResult[] = [];
	for (const table of Object.values(tablesOf(options))) {
		const own = ends.filter(({ address }) => belongsTo(table, address));
		if (own.length === 0) continue;
		const spec: SweepSpec = {
			...forgetting(table, now),
			pairs: pairsOf(table, options),
			aimed: { created: table.value.created, otherEnds: CtFlags.SVC_REPLY, ends: own },
		};
		for (const map of mapsOf(table, options)) sweeps.push(await sweepMap(map, spec));
	}
	return forgotten(sweeps);
}

function belongsTo({ prefix }: CtTable, address: Uint8Array): boolean {
	return Buffer.compare(address.subarray(0, prefix.length), prefix) === 0;
}

function forgetting(table: CtTable, now: number): SweepSpec {
	const { key, value } = table;
	return {
		layout: { proto: key.proto, flags: value.flags, lastSeen: value.lastSeen },
		now,
		rules: [],
		note: noteOf(table),
		tally: tallyOf(table),
	};
}

function forgotten(sweeps: readonly SweepResult[]): ForgetReport {
	const { ended } = talliesOf(sweeps);
	return {
		deleted: sweeps.reduce((sum, { deleted }) => sum + deleted, 0),
		byRule: { live: [], ended },
		closedAtBackends: closedOf(sweeps),
	};
}
