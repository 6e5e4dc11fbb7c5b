/** Rows of the map uplinks, which programs look up by index. */
import { Limits, Uplink } from '../../native/abi/generated.ts';
import { planUplinkRows, type UplinkRowWrite, type WantedUplink } from '../plan/uplinks.ts';
import type { Kernel } from './kernel.ts';
import { applyTableOps, type TableOp } from './table.ts';

export interface UplinksReport {
	/** Constant uplinkRows of the programs: highest index in use, 0 = none. */
	readonly uplinkRows: number;
	readonly problems: readonly string[];
}

/** Before programs are loaded with this uplinkRows: gives every interface its row and takes none away, which older programs may use. */
export function addUplinks(wanted: readonly WantedUplink[], kernel: Kernel): UplinksReport {
	const { writes, uplinkRows } = planUplinkRows(readUplinks(kernel), wanted);
	return { uplinkRows, problems: write(writes, kernel) };
}

/** After that: those that are gone keep their rows, without interface. @returns problems */
export function clearUplinks(wanted: readonly WantedUplink[], kernel: Kernel): readonly string[] {
	return write(planUplinkRows(readUplinks(kernel), wanted).clears, kernel);
}

/** What addUplinks will return, for programs that are loaded before it is called. */
export function expectedUplinkRows(wanted: readonly WantedUplink[], kernel: Pick<Kernel, 'mapGet'>): number {
	return planUplinkRows(readUplinks(kernel), wanted).uplinkRows;
}

/** Addresses that flows may have as source besides those the node is known by, in 16 bytes, whether their interface is there or not. */
export function uplinkAddresses(kernel: Pick<Kernel, 'mapGet'>): readonly Uint8Array[] {
	return readUplinks(kernel)
		.flatMap(({ addr4, addr6 }) => [addr4, addr6])
		.filter((address) => address.some((byte) => byte !== 0));
}

function readUplinks(kernel: Pick<Kernel, 'mapGet'>): Uplink[] {
	return Array.from({ length: Limits.UPLINKS }, (_, index) =>
		Uplink.decode(kernel.mapGet('uplinks', keyOf(index)) ?? new Uint8Array(Uplink.size)),
	);
}

function write(rows: readonly UplinkRowWrite[], kernel: Kernel): readonly string[] {
	const ops = rows.map(({ index, row }): TableOp => ({ kind: 'set', key: keyOf(index), value: Uplink.encode(row) }));
	return applyTableOps(ops, 'uplinks', kernel).problems;
}

function keyOf(index: number): Uint8Array {
	const key = new Uint8Array(4);
	new DataView(key.buffer).setUint32(0, index, true);
	return key;
}
