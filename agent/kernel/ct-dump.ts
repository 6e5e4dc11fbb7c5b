/**
 * Entries of all conntrack tables by position, in the form of the IPv6 table.
 */
import { Ct4Entry, Ct4Key, CtEntry, CtKey } from '../../native/abi/generated.ts';
import { widenEntry, widenKey } from './ct-gc.ts';

/** What a table held: keys and values one after the other, as BpfMap.dumpAsync() gives them. */
export interface TableDump {
	readonly count: number;
	readonly keys: Uint8Array;
	readonly values: Uint8Array;
}

export interface TrackedEntry {
	readonly key: CtKey;
	readonly entry: CtEntry;
}

export class ConntrackDump {
	readonly count: number;
	readonly #ipv4: readonly TableDump[];
	readonly #ipv6: readonly TableDump[];

	constructor(ipv4: readonly TableDump[], ipv6: readonly TableDump[]) {
		this.#ipv4 = ipv4;
		this.#ipv6 = ipv6;
		this.count = [...ipv4, ...ipv6].reduce((sum, { count }) => sum + count, 0);
	}

	/** @throws RangeError unless 0 <= position < count */
	at(position: number): TrackedEntry {
		let i = position;
		for (const { count, keys, values } of this.#ipv4) {
			if (i < count) {
				const key = widenKey(Ct4Key.decode(keys, i * Ct4Key.size));
				return { key, entry: widenEntry(Ct4Entry.decode(values, i * Ct4Entry.size)) };
			}
			i -= count;
		}
		for (const { count, keys, values } of this.#ipv6) {
			if (i < count) {
				return { key: CtKey.decode(keys, i * CtKey.size), entry: CtEntry.decode(values, i * CtEntry.size) };
			}
			i -= count;
		}
		throw new RangeError(`entry ${position} of ${this.count}`);
	}
}
