/**
 * Rows of the map uplinks. Flows name a row by its index (ct_entry.source), so an interface keeps its row across restarts, other orders and
 * other indexes of its own: it is known by its addresses. The row of one that is gone keeps them, so that answers to them are recognised,
 * until its place is needed. Pure.
 */
import { Limits, type Uplink } from '../../native/abi/generated.ts';
import { type Address, addressBytes, familyOf } from '../model/address.ts';

/** A further uplink as programs are to know it. */
export interface WantedUplink {
	readonly ifindex: number;
	/** Largest IP packet in bytes. */
	readonly mtu: number;
	/** What masqueraded packets have as source: at most one of each family. */
	readonly addresses: readonly Address[];
}

export interface UplinkRowWrite {
	readonly index: number;
	readonly row: Uplink;
}

export interface UplinkRowsPlan {
	/** Rows of interfaces that differ from what is there. */
	readonly writes: readonly UplinkRowWrite[];
	/** Rows whose interface is gone or has another row: to be written once programs look at all the others. */
	readonly clears: readonly UplinkRowWrite[];
	/** Highest index in use; 0 = none. */
	readonly uplinkRows: number;
}

const NO_ADDRESS = new Uint8Array(16);
const UNUSED: Uplink = { ifindex: 0, mtu: 0, addr4: NO_ADDRESS, addr6: NO_ADDRESS };

/**
 * @param rows    as the map has them, by index; what is missing is unused
 * @param wanted  at most Limits.UPLINKS - 1; more find no row
 */
export function planUplinkRows(rows: readonly Uplink[], wanted: readonly WantedUplink[]): UplinkRowsPlan {
	const actual = Array.from({ length: Limits.UPLINKS }, (_, index) => rows[index] ?? UNUSED);
	const indexes = assignIndexes(actual, wanted.map(rowOf));
	const planned = actual.map((row, index) => indexes.get(index) ?? { ...row, ifindex: 0 });
	const changes = planned.flatMap((row, index) => (sameRow(row, actual[index] ?? UNUSED) ? [] : [{ index, row }]));
	return {
		writes: changes.filter(({ row }) => row.ifindex !== 0),
		clears: changes.filter(({ row }) => row.ifindex === 0),
		uplinkRows: Math.max(
			0,
			planned.findLastIndex((row) => row.ifindex !== 0 || hasAddress(row)),
		),
	};
}

/** Wanted rows by the index that each has or gets. */
function assignIndexes(actual: readonly Uplink[], wanted: readonly Uplink[]): Map<number, Uplink> {
	const assigned = new Map<number, Uplink>();
	const left = new Set(wanted);
	const take = (suits: (row: Uplink, want: Uplink) => boolean): void => {
		for (const want of left) {
			const index = actual.findIndex((row, at) => at > 0 && !assigned.has(at) && suits(row, want));
			if (index < 0) continue;
			assigned.set(index, want);
			left.delete(want);
		}
	};
	take((row, want) => row.ifindex === want.ifindex && sameAddresses(row, want));
	take((row, want) => hasAddress(want) && sameAddresses(row, want));
	take((row) => row.ifindex === 0 && !hasAddress(row));
	take((row) => row.ifindex === 0);
	take(() => true);
	return assigned;
}

function rowOf({ ifindex, mtu, addresses }: WantedUplink): Uplink {
	const bytes = (family: 4 | 6): Uint8Array => {
		const address = addresses.find((each) => familyOf(each) === family);
		return address === undefined ? NO_ADDRESS : addressBytes(address);
	};
	return { ifindex, mtu, addr4: bytes(4), addr6: bytes(6) };
}

function hasAddress({ addr4, addr6 }: Uplink): boolean {
	return [...addr4, ...addr6].some((byte) => byte !== 0);
}

function sameAddresses(a: Uplink, b: Uplink): boolean {
	return Buffer.compare(a.addr4, b.addr4) === 0 && Buffer.compare(a.addr6, b.addr6) === 0;
}

function sameRow(a: Uplink, b: Uplink): boolean {
	return a.ifindex === b.ifindex && a.mtu === b.mtu && sameAddresses(a, b);
}
