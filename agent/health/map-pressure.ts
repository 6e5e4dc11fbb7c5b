/**
 * Tells when a BPF map fills up, before it is full: at 70 % of its entries, once, and again when it has emptied. Pure but for
 * what it remembers of the last look.
 */

export interface MapOccupancy {
	/** Without prefix and version. */
	readonly name: string;
	/** Undefined = not known. */
	readonly entries?: number | undefined;
	readonly capacity: number;
}

/** Share of entries from which a map is under pressure. */
export const PRESSURE = 0.7;
/** Below it the pressure is over; lower, so that a map on the edge does not tell every minute. */
const RELIEF = 0.65;

const LOOK_MS = 1000;

/** Configuration keys other than maps.NAME. What is in the tables for a full conntrack has no room there. */
const SIZE_KEYS: Readonly<Record<string, string>> = {
	ct4: 'ctMaxEntries',
	ct6: 'ctMaxEntries',
	ctfull4: 'ctMaxEntries',
	ctfull6: 'ctMaxEntries',
};
/** Tables that throw old entries out. */
const EVICTING = new Set(['ctfull4', 'ctfull6', 'sock_rev', 'frags', 'affinity']);
/** Sized when the programs are built. */
const FIXED = new Set(['endpoints', 'ifaces', 'nodes']);

/** @returns share of entries in use; undefined = not known */
export function pressureOf({ entries, capacity }: MapOccupancy): number | undefined {
	return entries === undefined || capacity === 0 ? undefined : entries / capacity;
}

export interface PressureChange {
	/** Warnings that are new. */
	readonly raised: readonly string[];
	/** Names of maps whose pressure is over. */
	readonly relieved: readonly string[];
}

export class PressureWatch {
	readonly #warnings = new Map<string, string>();
	/** A look was less than a second ago. */
	#resting = false;
	#again = false;

	/**
	 * Calls at once, or when a second has passed since the last call: this is asked for at every change, and a look at all maps costs as
	 * much as a tenth of one. What changed last is always seen.
	 */
	soon(look: () => void): void {
		if (this.#resting) {
			this.#again = true;
			return;
		}
		this.#resting = true;
		setTimeout(() => {
			this.#resting = false;
			if (!this.#again) return;
			this.#again = false;
			this.soon(look);
		}, LOOK_MS).unref();
		look();
	}

	/** Current warnings, by name of the map. */
	get warnings(): readonly string[] {
		return [...this.#warnings.keys()].sort().map((name) => this.#warnings.get(name) ?? '');
	}

	/** Looks at the maps. A map whose occupancy is not known keeps what was said of it. */
	look(maps: Iterable<MapOccupancy>): PressureChange {
		const raised: string[] = [];
		const relieved: string[] = [];
		for (const map of maps) {
			const ratio = pressureOf(map);
			if (ratio === undefined) continue;
			const known = this.#warnings.has(map.name);
			if (ratio >= PRESSURE || (known && ratio >= RELIEF)) {
				const text = warningOf(map, ratio);
				this.#warnings.set(map.name, text);
				if (!known) raised.push(text);
			} else if (this.#warnings.delete(map.name)) relieved.push(map.name);
		}
		return { raised, relieved };
	}
}

function warningOf({ name, entries, capacity }: MapOccupancy, ratio: number): string {
	const advice = FIXED.has(name) ? 'its size is fixed' : `raise ${SIZE_KEYS[name] ?? `maps.${name}`}`;
	const used = `${entries} of ${capacity} entries used (${Math.floor(ratio * 100)} %)`;
	return `map ${name}: ${used}; when full, ${effectOf(name)}: ${advice}`;
}

function effectOf(name: string): string {
	if (name === 'ct4' || name === 'ct6') return 'new flows evict each other';
	return EVICTING.has(name) ? 'the least recently used go' : 'new ones are refused';
}
