/**
 * Turns a value of one layout into a value of another, field by field and by name. Both layouts may come from BTF, so
 * that a map made by an older or newer version describes itself. Fields only the source has are dropped, fields only
 * the target has are zero. A field whose meaning changes must therefore get a new name.
 */
import {
	type FieldLayout,
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
}

/** Two layouts that have a field of the same name which cannot be converted. */
export class ConversionError extends Error {
	override name = 'ConversionError';
}

/**
 * Prepares the conversion.
 * @param where  for messages: `ct_entry`
 * @throws ConversionError naming the field that cannot be converted
 */
export function conversionOf(from: TypeLayout, to: TypeLayout, where: string): Conversion {
	if (from.kind === 'uint' && to.kind === 'uint') return { copy: copyUint(from, to), dropped: [], added: [] };
	if (from.kind === 'array' && to.kind === 'array') return arrayConversion(from, to, where);
	if (from.kind === 'struct' && to.kind === 'struct') return structConversion(from, to, where);
	throw new ConversionError(`${where} is of kind ${from.kind} in the old layout and ${to.kind} in the new one`);
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

function arrayConversion(
	from: TypeLayout & { kind: 'array' },
	to: TypeLayout & { kind: 'array' },
	where: string,
): Conversion {
	const bytes = from.element.kind === 'uint' && from.element.size === 1;
	if (bytes && from.length !== to.length) {
		throw new ConversionError(`${where} has ${from.length} bytes in the old layout and ${to.length} in the new one`);
	}
	const element = conversionOf(from.element, to.element, `${where}[]`);
	const length = Math.min(from.length, to.length);
	const [fromStride, toStride] = [sizeOf(from.element), sizeOf(to.element)];
	return {
		...element,
		copy: (source, sourceOffset, target, targetOffset) => {
			for (let index = 0; index < length; index++) {
				if (!element.copy(source, sourceOffset + index * fromStride, target, targetOffset + index * toStride))
					return false;
			}
			return true;
		},
	};
}

function structConversion(from: StructLayout, to: StructLayout, where: string): Conversion {
	const visible = (layout: StructLayout) => layout.fields.filter((field) => !field.pad);
	const old = new Map(visible(from).map((field) => [field.name, field]));
	const fresh = new Set(visible(to).map((field) => field.name));
	const dropped = [...old.keys()].filter((name) => !fresh.has(name)).map((name) => `${where}.${name}`);
	const added = [...fresh].filter((name) => !old.has(name)).map((name) => `${where}.${name}`);
	const steps: { source: FieldLayout; target: FieldLayout; copy: CopyValue }[] = [];
	for (const target of visible(to)) {
		const source = old.get(target.name);
		if (source === undefined) continue;
		const inner = conversionOf(source.type, target.type, `${where}.${target.name}`);
		dropped.push(...inner.dropped);
		added.push(...inner.added);
		steps.push({ source, target, copy: inner.copy });
	}
	const copy: CopyValue = (view, offset, out, outOffset) =>
		steps.every((step) => step.copy(view, offset + step.source.offset, out, outOffset + step.target.offset));
	return { copy, dropped, added };
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
