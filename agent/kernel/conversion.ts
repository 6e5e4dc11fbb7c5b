/**
 * Turns a value of one layout into a value of another, field by field and by name. Both layouts may come from BTF, so
 * that a map made by an older or newer version describes itself. Fields only the source has are dropped, fields only
 * the target has are zero. A field whose meaning changes must therefore get a new name.
 */
import {
	type ArrayLayout,
	describeLayout,
	type StructLayout,
	sizeOf,
	type TypeLayout,
	type UintLayout,
} from '../../native/abi/layout.ts';

/** Copies one value. @returns false when a number does not fit the target's field */
export type CopyValue = (from: DataView, fromOffset: number, to: DataView, toOffset: number) => boolean;

export interface Conversion {
	readonly copy: CopyValue;
	/** Fields of the source that the target does not have. */
	readonly dropped: readonly string[];
	/** Fields that start at zero. */
	readonly added: readonly string[];
	/** The same by bytes: what `copy` does to them one by one. */
	readonly bytes: readonly BytePlace[];
}

/** Where a byte of a value comes from. `to` undefined: it has no place in the target and must be zero for the value to fit. */
export interface BytePlace {
	readonly from: number;
	readonly to: number | undefined;
}

/** Two layouts that have a field of the same name which cannot be converted. */
export class ConversionError extends Error {
	override name = 'ConversionError';
}

/** One thing to do per value; offsets are from the start of the whole value. */
type Step =
	| { readonly kind: 'move'; readonly from: number; readonly to: number; readonly length: number }
	| {
			readonly kind: 'number';
			readonly from: number;
			readonly to: number;
			readonly copy: CopyValue;
			readonly bytes: readonly BytePlace[];
	  };

interface Plan {
	readonly steps: Step[];
	readonly dropped: string[];
	readonly added: string[];
}

/**
 * Prepares the conversion.
 * @param where  for messages: `ct_entry`
 * @throws ConversionError naming the field that cannot be converted
 */
export function conversionOf(from: TypeLayout, to: TypeLayout, where: string): Conversion {
	const plan: Plan = { steps: [], dropped: [], added: [] };
	planValue(plan, { layout: from, offset: 0 }, { layout: to, offset: 0 }, where);
	const copies = joined(plan.steps).map(compiled);
	const copy: CopyValue = (source, sourceOffset, target, targetOffset) => {
		for (const each of copies) if (!each(source, sourceOffset, target, targetOffset)) return false;
		return true;
	};
	return { copy, dropped: plan.dropped, added: plan.added, bytes: plan.steps.flatMap(bytesOf) };
}

interface Place {
	readonly layout: TypeLayout;
	readonly offset: number;
}

function planValue(plan: Plan, from: Place, to: Place, where: string): void {
	const [source, target] = [from.layout, to.layout];
	if (describeLayout(source) === describeLayout(target)) {
		plan.steps.push({ kind: 'move', from: from.offset, to: to.offset, length: sizeOf(source) });
	} else if (source.kind === 'uint' && target.kind === 'uint') {
		const bytes = uintBytes({ layout: source, offset: from.offset }, { layout: target, offset: to.offset });
		plan.steps.push({ kind: 'number', from: from.offset, to: to.offset, copy: copyUint(source, target), bytes });
	} else if (source.kind === 'array' && target.kind === 'array') {
		planArray(plan, { layout: source, offset: from.offset }, { layout: target, offset: to.offset }, where);
	} else if (source.kind === 'struct' && target.kind === 'struct') {
		planStruct(plan, { layout: source, offset: from.offset }, { layout: target, offset: to.offset }, where);
	} else {
		throw new ConversionError(`${where} is of kind ${source.kind} in the old layout and ${target.kind} in the new one`);
	}
}

type PlaceOf<L extends TypeLayout> = Place & { readonly layout: L };

function planArray(plan: Plan, from: PlaceOf<ArrayLayout>, to: PlaceOf<ArrayLayout>, where: string): void {
	const [source, target] = [from.layout, to.layout];
	const bytes = source.element.kind === 'uint' && source.element.size === 1;
	if (bytes && source.length !== target.length) {
		throw new ConversionError(
			`${where} has ${source.length} bytes in the old layout and ${target.length} in the new one`,
		);
	}
	const [fromStride, toStride] = [sizeOf(source.element), sizeOf(target.element)];
	for (let index = 0; index < Math.min(source.length, target.length); index++) {
		// What is dropped or new is the same for each element: said once.
		const sink = index === 0 ? plan : { steps: plan.steps, dropped: [], added: [] };
		const element = { layout: source.element, offset: from.offset + index * fromStride };
		planValue(sink, element, { layout: target.element, offset: to.offset + index * toStride }, `${where}[]`);
	}
}

function planStruct(plan: Plan, from: PlaceOf<StructLayout>, to: PlaceOf<StructLayout>, where: string): void {
	const visible = (layout: StructLayout) => layout.fields.filter((field) => !field.pad);
	const old = new Map(visible(from.layout).map((field) => [field.name, field]));
	const fresh = visible(to.layout);
	const names = new Set(fresh.map((field) => field.name));
	plan.dropped.push(...[...old.keys()].filter((name) => !names.has(name)).map((name) => `${where}.${name}`));
	for (const field of fresh) {
		const source = old.get(field.name);
		if (source === undefined) {
			plan.added.push(`${where}.${field.name}`);
			continue;
		}
		const place = { layout: source.type, offset: from.offset + source.offset };
		planValue(plan, place, { layout: field.type, offset: to.offset + field.offset }, `${where}.${field.name}`);
	}
}

/** Moves that continue each other on both sides become one. */
function joined(steps: readonly Step[]): Step[] {
	const result: Step[] = [];
	for (const step of steps) {
		const last = result.at(-1);
		const continues =
			last?.kind === 'move' &&
			step.kind === 'move' &&
			last.from + last.length === step.from &&
			last.to + last.length === step.to;
		if (continues) result[result.length - 1] = { ...last, length: last.length + step.length };
		else result.push(step);
	}
	return result;
}

function compiled(step: Step): CopyValue {
	const { from, to } = step;
	if (step.kind === 'number') {
		return (source, sourceOffset, target, targetOffset) =>
			step.copy(source, sourceOffset + from, target, targetOffset + to);
	}
	const words = step.length & ~3;
	return (source, sourceOffset, target, targetOffset) => {
		const [start, out] = [sourceOffset + from, targetOffset + to];
		for (let at = 0; at < words; at += 4) target.setUint32(out + at, source.getUint32(start + at));
		for (let at = words; at < step.length; at++) target.setUint8(out + at, source.getUint8(start + at));
		return true;
	};
}

function bytesOf(step: Step): readonly BytePlace[] {
	if (step.kind === 'number') return step.bytes;
	return Array.from({ length: step.length }, (_, index) => ({ from: step.from + index, to: step.to + index }));
}

/** The bytes of a number, the least significant first. */
function uintBytes(from: PlaceOf<UintLayout>, to: PlaceOf<UintLayout>): BytePlace[] {
	const at = ({ layout, offset }: PlaceOf<UintLayout>, index: number): number =>
		layout.bigEndian ? offset + layout.size - 1 - index : offset + index;
	return Array.from({ length: from.layout.size }, (_, index) => ({
		from: at(from, index),
		to: index < to.layout.size ? at(to, index) : undefined,
	}));
}

function copyUint(from: UintLayout, to: UintLayout): CopyValue {
	const read = reader(from);
	const write = writer(to);
	const limit = to.size >= from.size ? undefined : 1n << BigInt(to.size * 8);
	return (source, sourceOffset, target, targetOffset) => {
		const value = read(source, sourceOffset);
		if (limit !== undefined && BigInt(value) >= limit) return false;
		write(target, targetOffset, value);
		return true;
	};
}

function reader(layout: UintLayout): (view: DataView, offset: number) => number | bigint {
	const little = !layout.bigEndian;
	switch (layout.size) {
		case 1:
			return (view, offset) => view.getUint8(offset);
		case 2:
			return (view, offset) => view.getUint16(offset, little);
		case 4:
			return (view, offset) => view.getUint32(offset, little);
		case 8:
			return (view, offset) => view.getBigUint64(offset, little);
	}
}

function writer(layout: UintLayout): (view: DataView, offset: number, value: number | bigint) => void {
	const little = !layout.bigEndian;
	switch (layout.size) {
		case 1:
			return (view, offset, value) => view.setUint8(offset, Number(value));
		case 2:
			return (view, offset, value) => view.setUint16(offset, Number(value), little);
		case 4:
			return (view, offset, value) => view.setUint32(offset, Number(value), little);
		case 8:
			return (view, offset, value) => view.setBigUint64(offset, BigInt(value), little);
	}
}

export interface FlatEntries {
	readonly count: number;
	readonly keys: Uint8Array;
	readonly values: Uint8Array;
}

export interface EntryLayout {
	readonly key: TypeLayout;
	readonly value: TypeLayout;
}

export interface EntryConversion {
	readonly dropped: readonly string[];
	readonly added: readonly string[];
	/** @returns the entries that can be expressed in the target's layout; `skipped` of them could not */
	convert(entries: FlatEntries): FlatEntries & { skipped: number };
}

/** Conversion of whole entries. @throws ConversionError */
export function entryConversion(from: EntryLayout, to: EntryLayout, map: string): EntryConversion {
	const key = conversionOf(from.key, to.key, `${map} key`);
	const value = conversionOf(from.value, to.value, `${map} value`);
	return {
		dropped: [...key.dropped, ...value.dropped],
		added: [...key.added, ...value.added],
		convert: (entries) => convertEntries(entries, from, to, key.copy, value.copy),
	};
}

function convertEntries(
	entries: FlatEntries,
	from: EntryLayout,
	to: EntryLayout,
	copyKey: CopyValue,
	copyValue: CopyValue,
) {
	const size = {
		key: sizeOf(to.key),
		value: sizeOf(to.value),
		fromKey: sizeOf(from.key),
		fromValue: sizeOf(from.value),
	};
	const keys = new Uint8Array(entries.count * size.key);
	const values = new Uint8Array(entries.count * size.value);
	const [fromKeys, fromValues, toKeys, toValues] = [entries.keys, entries.values, keys, values].map(
		(bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
	) as [DataView, DataView, DataView, DataView];
	let count = 0;
	for (let index = 0; index < entries.count; index++) {
		const fits =
			copyKey(fromKeys, index * size.fromKey, toKeys, count * size.key) &&
			copyValue(fromValues, index * size.fromValue, toValues, count * size.value);
		if (fits) count++;
		else values.fill(0, count * size.value, (count + 1) * size.value);
	}
	return {
		count,
		keys: keys.subarray(0, count * size.key),
		values: values.subarray(0, count * size.value),
		skipped: entries.count - count,
	};
}
