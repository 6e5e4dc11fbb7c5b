/**
 * What each policy rule has allowed and denied. Allowed: sums of flows, which bear the numbers of their rules, so nothing is
 * counted per packet; a flow counts for the rule that allows it now. Denied: the programs' own counters.
 */
import { PolicyDenied } from '../../native/abi/generated.ts';

/** Rows of number, flows, packets, bytes. */
export interface RuleTallies {
	readonly live: readonly Float64Array[];
	readonly ended: readonly Float64Array[];
}

export interface RuleCounts {
	/** Open when flows were looked at last. */
	readonly flows: number;
	/** Both directions, of flows that are open and of those that ended since the agent started. */
	readonly allowedPackets: bigint;
	/** IP bytes. */
	readonly allowedBytes: bigint;
	/** Dropped, or let through only in audit mode; since the maps were made. */
	readonly deniedPackets: bigint;
	readonly deniedBytes: bigint;
}

interface Sum {
	flows: number;
	packets: number;
	bytes: number;
}

const COLUMNS = 4;

export class RuleLedger {
	/** Element of the map `denied` by key; undefined = it cannot be read. */
	readonly #readDenied: (key: Uint8Array) => Uint8Array | undefined;
	readonly #ended = new Map<number, Sum>();
	#live = new Map<number, Sum>();
	#counted: Date | undefined;

	constructor(readDenied: (key: Uint8Array) => Uint8Array | undefined) {
		this.#readDenied = readDenied;
	}

	/** When flows were looked at last; undefined = not yet. */
	get counted(): Date | undefined {
		return this.#counted;
	}

	/** Takes in a look at all flows. */
	collected(tallies: readonly RuleTallies[], at: Date): void {
		this.#live = new Map();
		for (const { live, ended } of tallies) {
			for (const rows of live) addRows(this.#live, rows);
			for (const rows of ended) addRows(this.#ended, rows);
		}
		this.#counted = at;
	}

	/** Takes in flows that were ended between two looks: they were among the open ones until now. */
	ended({ ended }: RuleTallies): void {
		for (const rows of ended) {
			addRows(this.#ended, rows);
			addRows(this.#live, rows, -1);
		}
	}

	/** @param cookie  number of a rule, or a PolicyCookie */
	of(cookie: number): RuleCounts {
		const [live, ended] = [this.#live.get(cookie), this.#ended.get(cookie)];
		const denied = this.#denied(cookie);
		const sum = (field: 'packets' | 'bytes'): bigint => BigInt(Math.max(0, live?.[field] ?? 0) + (ended?.[field] ?? 0));
		return {
			flows: Math.max(0, live?.flows ?? 0),
			allowedPackets: sum('packets'),
			allowedBytes: sum('bytes'),
			deniedPackets: denied?.packets ?? 0n,
			deniedBytes: denied?.bytes ?? 0n,
		};
	}

	#denied(cookie: number): PolicyDenied | undefined {
		const key = new Uint8Array(4);
		new DataView(key.buffer).setUint32(0, cookie, true);
		const value = this.#readDenied(key);
		return value === undefined ? undefined : PolicyDenied.decode(value);
	}
}

function addRows(sums: Map<number, Sum>, rows: Float64Array, sign: 1 | -1 = 1): void {
	for (let at = 0; at + COLUMNS <= rows.length; at += COLUMNS) {
		const [cookie = 0, flows = 0, packets = 0, bytes = 0] = rows.subarray(at, at + COLUMNS);
		const sum = sums.get(cookie) ?? { flows: 0, packets: 0, bytes: 0 };
		sum.flows += sign * flows;
		sum.packets += sign * packets;
		sum.bytes += sign * bytes;
		sums.set(cookie, sum);
	}
}
