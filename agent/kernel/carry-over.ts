/**
 * Copies the entries of an old map into one of another layout while both are in use.
 * First pass: everything, before the new programs see a packet. Second pass, after they took over: what the old
 * programs added or changed since. Of two entries of one key the later stays, and flags of the same connection are
 * united. Works in both directions of an upgrade, because the old map's BTF names its fields.
 */
import { sizeOf, type TypeLayout } from '../../native/abi/layout.ts';
import { BPF_NOEXIST, type BpfMap, NativeError } from '../../native/index.ts';
import { FairleadError } from '../model/errors.ts';
import {
	ConversionError,
	type EntryConversion,
	type EntryLayout,
	entryConversion,
	type FlatEntries,
} from './conversion.ts';
import { entryLayoutOf } from './map-layout.ts';

export interface CarryReport {
	/** Map name without prefix and version. */
	readonly map: string;
	/** Pin the entries came from. */
	readonly from: string;
	readonly copied: number;
	/** Found in the new map already and united with it. */
	readonly merged: number;
	/** Not expressible in the new layout, or no room. */
	readonly lost: number;
	/** Fields the new layout does not have. */
	readonly dropped: readonly string[];
	/** Fields that start at zero. */
	readonly added: readonly string[];
}

export interface CarrySource {
	readonly map: BpfMap;
	/** Pin name, for reports. */
	readonly pin: string;
}

const BPF_MAP_TYPE_ARRAY = 2;

/**
 * One old map on its way into a new one.
 * @throws FairleadError MAP_LAYOUT from the constructor when the layouts have no common ground
 */
export class CarryOver {
	readonly #name: string;
	readonly #source: CarrySource;
	readonly #target: BpfMap;
	readonly #conversion: EntryConversion;
	readonly #merge: MergeFields;
	readonly #seen = new Set<number>();
	#copied = 0;
	#merged = 0;
	#lost = 0;

	constructor(name: string, source: CarrySource, target: BpfMap) {
		this.#name = name;
		this.#source = source;
		this.#target = target;
		const to = requireLayout(name, { map: target, pin: `fl_${name}` });
		this.#conversion = conversionFor(name, source, to);
		this.#merge = mergeFields(to.value);
	}

	/** Copies all entries. @param targetIsEmpty  false = an interrupted run has begun to use the target */
	async firstPass(targetIsEmpty: boolean): Promise<void> {
		const entries = await this.#source.map.dumpAsync();
		const hash = entryHasher(entries);
		for (let index = 0; index < entries.count; index++) this.#seen.add(hash(index));
		if (targetIsEmpty) await this.#write(this.#convert(entries));
		else this.#mergeAll(this.#convert(entries));
	}

	/** Copies what is new or changed since the first pass. */
	async secondPass(): Promise<void> {
		const entries = await this.#source.map.dumpAsync();
		const changed: number[] = [];
		const hash = entryHasher(entries);
		for (let index = 0; index < entries.count; index++) {
			if (!this.#seen.has(hash(index))) changed.push(index);
		}
		this.#mergeAll(this.#convert(pick(entries, changed)));
	}

	report(): CarryReport {
		return {
			map: this.#name,
			from: this.#source.pin,
			copied: this.#copied,
			merged: this.#merged,
			lost: this.#lost,
			dropped: this.#conversion.dropped,
			added: this.#conversion.added,
		};
	}

	#convert(entries: FlatEntries): FlatEntries {
		const converted = this.#conversion.convert(entries);
		this.#lost += converted.skipped;
		return converted;
	}

	/** One batch up to an entry that is refused; those after it one by one until one is taken, because a full map refuses them all. */
	async #write(entries: FlatEntries): Promise<void> {
		const { type, keySize, valueSize, maxEntries } = this.#target.info;
		// An array of fewer entries has no place for the last ones, used or not; its reconciler sees to those that were.
		const count = type === BPF_MAP_TYPE_ARRAY ? Math.min(entries.count, maxEntries) : entries.count;
		let done = 0;
		while (done < count) {
			const written = await writtenBy(
				this.#target.updateBatch(
					entries.keys.subarray(done * keySize, count * keySize),
					entries.values.subarray(done * valueSize, count * valueSize),
				),
			);
			done += written;
			this.#copied += written;
			for (let refused = true; refused && done < count; done++) {
				const before = this.#lost;
				this.#setOne(entries, done);
				refused = this.#lost > before;
			}
		}
	}

	#mergeAll(entries: FlatEntries): void {
		for (let index = 0; index < entries.count; index++) this.#setOne(entries, index);
	}

	#setOne(entries: FlatEntries, index: number): void {
		const { keySize, valueSize } = this.#target.info;
		const key = entries.keys.slice(index * keySize, (index + 1) * keySize);
		const value = entries.values.slice(index * valueSize, (index + 1) * valueSize);
		const present = this.#target.get(key);
		try {
			if (present === undefined) {
				this.#target.set(key, value, BPF_NOEXIST);
				this.#copied++;
			} else if (this.#merge(present, value)) {
				this.#target.set(key, present);
				this.#merged++;
			}
		} catch {
			this.#lost++; // full, or made by a packet this very moment: that entry is newer
		}
	}
}

/** How many elements a batch wrote before it ended or was refused. */
async function writtenBy(batch: Promise<number>): Promise<number> {
	try {
		return await batch;
	} catch (error) {
		if (error instanceof NativeError && error.done !== undefined) return error.done;
		throw error;
	}
}

/**
 * Copies a table as a start for the reconcilers.
 * @returns undefined when the layouts have no common ground: the table starts empty
 */
export async function copyTable(name: string, source: CarrySource, target: BpfMap): Promise<CarryReport | undefined> {
	try {
		const carry = new CarryOver(name, source, target);
		await carry.firstPass(true);
		return carry.report();
	} catch (error) {
		if (error instanceof FairleadError && error.code === 'MAP_LAYOUT') return undefined;
		throw error;
	}
}

function conversionFor(name: string, source: CarrySource, to: EntryLayout): EntryConversion {
	const from = requireLayout(name, source);
	try {
		return entryConversion(from, to, name);
	} catch (error) {
		if (!(error instanceof ConversionError)) throw error;
		throw uncarriable(source, error.message, error);
	}
}

function requireLayout(name: string, source: CarrySource): EntryLayout {
	try {
		const layout = entryLayoutOf(source.map);
		if (layout !== undefined) return layout;
	} catch (error) {
		throw uncarriable(source, error instanceof Error ? error.message : String(error), error);
	}
	throw uncarriable(source, `the kernel keeps no type information of ${name}`, undefined);
}

function uncarriable(source: CarrySource, why: string, cause: unknown): FairleadError {
	return new FairleadError(
		'MAP_LAYOUT',
		`map ${source.pin}: cannot carry its entries over: ${why}; run the version that made it, or remove the pin and lose them`,
		{ cause, map: source.pin },
	);
}

function pick(entries: FlatEntries, indexes: readonly number[]): FlatEntries {
	if (entries.count === 0) return entries;
	const keySize = entries.keys.length / entries.count;
	const valueSize = entries.values.length / entries.count;
	const keys = new Uint8Array(indexes.length * keySize);
	const values = new Uint8Array(indexes.length * valueSize);
	indexes.forEach((index, at) => {
		keys.set(entries.keys.subarray(index * keySize, (index + 1) * keySize), at * keySize);
		values.set(entries.values.subarray(index * valueSize, (index + 1) * valueSize), at * valueSize);
	});
	return { count: indexes.length, keys, values };
}

/** Hashes entries to 53 bits over key and value, so that a changed counter makes an entry a changed one. */
function entryHasher(entries: FlatEntries): (index: number) => number {
	const parts = [entries.keys, entries.values].map((bytes) => ({
		view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
		size: bytes.length / Math.max(1, entries.count),
	}));
	return (index) => {
		let high = 0x811c9dc5;
		let low = 0x9e3779b1;
		for (const { view, size } of parts) {
			const end = (index + 1) * size;
			const wordsEnd = end - (size % 4);
			for (let at = index * size; at < end; at += at < wordsEnd ? 4 : 1) {
				const word = at < wordsEnd ? view.getUint32(at, true) : view.getUint8(at);
				high = Math.imul(high ^ word, 0x01000193) ^ (high >>> 15);
				low = Math.imul(low ^ word, 0x85ebca6b) ^ (low >>> 13);
			}
		}
		return (high >>> 0) * 0x200000 + (low >>> 11);
	};
}

/** Brings `present` up to date with `value`, an entry of the same key; false = nothing to change. */
type MergeFields = (present: Uint8Array, value: Uint8Array) => boolean;

/**
 * Which of two entries of one key stays: that of the later connection (`created`), of the same one that seen last
 * (`last_seen`), and at equality the one that is present. Flags of the same connection unite. An entry without these fields stays.
 */
function mergeFields(layout: TypeLayout): MergeFields {
	const fields = layout.kind === 'struct' ? layout.fields : [];
	const number = (name: string) => {
		const field = fields.find((each) => each.name === name && each.type.kind === 'uint');
		return field === undefined ? undefined : { offset: field.offset, size: sizeOf(field.type) };
	};
	const later = (name: string) => {
		const field = number(name);
		if (field?.size !== 4) return () => 0;
		// Low halves of a clock: what is less than half its range ahead is later.
		return (a: DataView, b: DataView) => (a.getUint32(field.offset, true) - b.getUint32(field.offset, true)) | 0;
	};
	const [created, lastSeen] = [later('created'), later('last_seen')];
	const flags = number('flags');
	const bits = flags === undefined || flags.size > 4 ? 0 : flags.size * 8;
	const flagsAt = flags?.offset ?? 0;
	return (present, value) => {
		const to = new DataView(present.buffer, present.byteOffset, present.byteLength);
		const from = new DataView(value.buffer, value.byteOffset, value.byteLength);
		const connection = created(from, to);
		if (connection < 0) return false;
		if (connection > 0) {
			present.set(value);
			return true;
		}
		const known = readBits(to, flagsAt, bits);
		const united = known | readBits(from, flagsAt, bits);
		const newer = lastSeen(from, to) > 0;
		if (!newer && united === known) return false;
		if (newer) present.set(value);
		writeBits(to, flagsAt, bits, united);
		return true;
	};
}

function readBits(view: DataView, offset: number, bits: number): number {
	if (bits === 0) return 0;
	if (bits === 8) return view.getUint8(offset);
	return bits === 16 ? view.getUint16(offset, true) : view.getUint32(offset, true) | 0;
}

function writeBits(view: DataView, offset: number, bits: number, value: number): void {
	if (bits === 8) view.setUint8(offset, value);
	else if (bits === 16) view.setUint16(offset, value, true);
	else if (bits === 32) view.setUint32(offset, value >>> 0, true);
}
