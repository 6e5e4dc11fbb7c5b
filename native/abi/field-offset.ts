/**
 * Where a field of a shared structure lies, found out through its generated codec: native code that works on bytes gets
 * offsets from here, so no layout is written down twice.
 */
import type { Codec } from './codec.ts';

/** Bytes from the beginning of the structure. @throws RangeError when the field is not stored */
export function fieldOffset<T extends object>(codec: Codec<T>, field: keyof T): number {
	const none = codec.decode(new Uint8Array(codec.size));
	const all = codec.decode(new Uint8Array(codec.size).fill(0xff));
	const bytes = codec.encode({ ...none, [field]: all[field] });
	const offset = bytes.findIndex((byte) => byte !== 0);
	if (offset < 0) throw new RangeError(`${codec.name}: field ${String(field)} is stored nowhere`);
	return offset;
}

/** Offsets of several fields. */
export function fieldOffsets<T extends object, K extends keyof T>(codec: Codec<T>, ...fields: K[]): Record<K, number> {
	return Object.fromEntries(fields.map((field) => [field, fieldOffset(codec, field)])) as Record<K, number>;
}
