/**
 * The pinned maps of one node: which are used as they are, which have to be made again, and from where their content
 * comes. A map that replaces one of another layout or size is pinned as `<name>_next` until links have been swapped, so
 * that a killed agent finds what was in use.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { MapSpec } from '../../native/abi/codec.ts';
import { type MapName, Maps } from '../../native/abi/generated.ts';
import { BpfMap } from '../../native/index.ts';
import { FairleadError } from '../model/errors.ts';
import type { Kernel } from '../reconcile/kernel.ts';
import type { CarrySource } from './carry-over.ts';
import { mismatch } from './map-layout.ts';
import { MAP_GROUPS, type MapGroup } from './map-policy.ts';
import { PORT_ROWS_PIN } from './port-rows.ts';

const NEXT = '_next';
const PIN = /^fl_([a-z0-9_]+?)_(\d+)(_next)?$/;

export type MapSizes = Readonly<Partial<Record<MapName, number>>>;

/** A map that replaces others. */
export interface Replacement {
	readonly name: MapName;
	readonly carry: MapGroup['carry'];
	/** Pins whose content is to be carried over, best first. */
	readonly sources: readonly CarrySource[];
	/** Why the pin that had the name could not be used. */
	readonly reason: string;
	/** An earlier run has made the new map and may have begun to use it. */
	readonly resumed: boolean;
}

interface Candidate {
	readonly pin: string;
	readonly map: BpfMap;
	readonly next: boolean;
	/** Undefined: usable as it is. */
	readonly mismatch: string | undefined;
}

interface Slot {
	map: BpfMap | undefined;
	/** Made by this run. */
	made: boolean;
	/** Where the map is, or will be, pinned until finish(). */
	pin: string;
}

/** Name of a map without prefix and version, when it is one of ours. */
export function mapNameOf(fullName: string): MapName | undefined {
	return (Object.keys(Maps) as MapName[]).find((name) => Maps[name].name === fullName);
}

export class PinnedMaps {
	readonly #directory: string;
	readonly #sizes: MapSizes;
	readonly #slots = new Map<MapName, Slot>();
	readonly #replacements: Replacement[] = [];
	#portRows: BpfMap | undefined;

	/**
	 * Looks at what is pinned and decides; changes nothing but leftovers of interrupted runs.
	 * @param directory  on bpffs; made with mode 0700 when missing
	 * @param sizes      capacities that differ from the compiled defaults
	 */
	constructor(directory: string, sizes: MapSizes = {}) {
		this.#directory = directory;
		this.#sizes = sizes;
		mkdirSync(directory, { recursive: true, mode: 0o700 });
		const pins = new Map<MapName, Candidate[]>();
		for (const pin of readdirSync(directory).sort()) {
			if (pin === PORT_ROWS_PIN) this.#portRows = openMap(join(directory, pin));
			const name = PIN.exec(pin)?.[1] as MapName | undefined;
			if (name === undefined || Maps[name] === undefined) continue;
			pins.set(name, [...(pins.get(name) ?? []), this.#candidate(name, pin)]);
		}
		for (const group of MAP_GROUPS) this.#decide(group, pins);
	}

	/** Maps that take over from others; empty when everything was usable or nothing was there. */
	get replacements(): readonly Replacement[] {
		return this.#replacements;
	}

	/** The table that a former version had for masquerade ports, until finish(); undefined = there is none. */
	get portRows(): BpfMap | undefined {
		return this.#portRows;
	}

	/** Capacity the map has or will have. */
	capacity(name: MapName): number {
		return this.#sizes[name] ?? Maps[name].maxEntries;
	}

	/** Undefined until adopt() when the map has to be made. */
	find(name: MapName): BpfMap | undefined {
		return this.#slots.get(name)?.map;
	}

	/** @throws Error when the map has not been made yet: a mistake in the order of calls */
	get(name: MapName): BpfMap {
		const map = this.find(name);
		if (map === undefined) throw new Error(`map ${name} has not been made yet`);
		return map;
	}

	/** Ids of the maps that exist. */
	ids(): Map<string, number> {
		return new Map([...this.#slots].flatMap(([name, { map }]) => (map === undefined ? [] : [[name, map.info.id]])));
	}

	/** Pins a map that an object has just made. */
	adopt(name: MapName, made: BpfMap): void {
		const slot = this.#slots.get(name);
		if (slot === undefined || slot.map !== undefined) throw new Error(`map ${name} is not waited for`);
		const path = join(this.#directory, slot.pin);
		rmSync(path, { force: true });
		made.pin(path);
		slot.map = BpfMap.openPinned(path);
		slot.made = true;
	}

	/** All links use the new maps: gives them their final names and removes what they replaced. */
	finish(): void {
		for (const [name, slot] of this.#slots) {
			const final = Maps[name].name;
			if (slot.pin !== final) renameSync(join(this.#directory, slot.pin), join(this.#directory, final));
			slot.pin = final;
		}
		for (const { name, sources } of this.#replacements.splice(0)) {
			for (const { pin, map } of sources) {
				map.close();
				if (pin !== Maps[name].name) rmSync(join(this.#directory, pin), { force: true });
			}
		}
		this.#portRows?.close();
		this.#portRows = undefined;
		rmSync(join(this.#directory, PORT_ROWS_PIN), { force: true });
	}

	/** Removes the pins this run has made, as if it had not begun. To be followed by close(). */
	abandon(): void {
		for (const { pin, made } of this.#slots.values()) if (made) rmSync(join(this.#directory, pin), { force: true });
	}

	close(): void {
		this.#portRows?.close();
		for (const slot of this.#slots.values()) slot.map?.close();
		for (const { sources } of this.#replacements) for (const source of sources) source.map.close();
	}

	#candidate(name: MapName, pin: string): Candidate {
		const map = openMap(join(this.#directory, pin));
		const next = pin.endsWith(NEXT);
		const spec: MapSpec = Maps[name];
		const sameVersion = pin === (next ? spec.name + NEXT : spec.name);
		const why = sameVersion ? mismatch(map, spec, this.capacity(name)) : 'it has another layout version';
		return { pin, map, next, mismatch: why };
	}

	/** Uses the group's pins only if every member has a usable one of the same generation. */
	#decide(group: MapGroup, pins: ReadonlyMap<MapName, readonly Candidate[]>): void {
		const of = (name: MapName): readonly Candidate[] => pins.get(name) ?? [];
		const generation = [false, true].find((next) =>
			group.maps.every((name) => of(name).some((each) => each.next === next && each.mismatch === undefined)),
		);
		const pinned = group.maps.some((name) => of(name).length > 0);
		for (const name of group.maps) {
			const chosen =
				generation === undefined
					? undefined
					: of(name).find((each) => each.next === generation && each.mismatch === undefined);
			const others = of(name).filter((each) => each !== chosen);
			const staged = pinned && (chosen === undefined || chosen.next);
			this.#slots.set(name, { map: chosen?.map, made: false, pin: staged ? Maps[name].name + NEXT : Maps[name].name });
			if (others.length === 0 && !staged) continue;
			this.#replacements.push({
				name,
				carry: group.carry,
				sources: others.map(({ map, pin }) => ({ map, pin })),
				reason: others.find((each) => each.mismatch !== undefined)?.mismatch ?? 'a map it refers to is replaced',
				resumed: chosen !== undefined,
			});
		}
	}
}

/** Reads maps as an earlier agent has left them. @param directory  as of PinnedMaps */
export function pinnedReader(directory: string): Pick<Kernel, 'mapGet'> {
	return {
		mapGet: (name, key) => {
			const path = join(directory, Maps[name].name);
			if (!existsSync(path)) return undefined;
			const map = openMap(path);
			try {
				return mismatch(map, Maps[name], map.info.maxEntries) === undefined ? map.get(key) : undefined;
			} finally {
				map.close();
			}
		},
	};
}

function openMap(path: string): BpfMap {
	try {
		return BpfMap.openPinned(path);
	} catch (cause) {
		const why = cause instanceof Error ? cause.message : String(cause);
		throw new FairleadError('MAP_LAYOUT', `cannot open pinned map ${path}: ${why}; remove the pin`, { cause, path });
	}
}
