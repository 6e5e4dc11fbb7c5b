/**
 * What every generated codec is, and the helpers their code calls.
 * Numbers are in host order on this side; the codec knows which fields are big endian in memory.
 */

export interface Codec<T> {
	/** Name of the struct in C. */
	readonly name: string;
	/** Bytes. */
	readonly size: number;
	/** Hash of the layout, compared with that of a pinned map. */
	readonly layout: string;
	/** @throws RangeError on a number that does not fit or bytes of the wrong length */
	encode(value: T): Uint8Array;
	/** Writes all `size` bytes, padding included. */
	encodeInto(value: T, view: DataView, offset: number): void;
	/** @throws RangeError when fewer than `size` bytes follow `offset` */
	decode(bytes: Uint8Array, offset?: number): T;
	decodeFrom(view: DataView, offset: number): T;
	format(value: T): string;
}

/** Allocates and encodes. */
export function encodeWith<T>(
	size: number,
	encodeInto: (value: T, view: DataView, offset: number) => void,
	value: T,
): Uint8Array {
	const bytes = new Uint8Array(size);
	encodeInto(value, new DataView(bytes.buffer), 0);
	return bytes;
}

/** A view of `size` bytes at `offset`. @throws RangeError when there are fewer */
export function viewOf(bytes: Uint8Array, offset: number, size: number, name: string): DataView {
	if (offset < 0 || offset + size > bytes.length) {
		throw new RangeError(`${name}: expected ${size} bytes at ${offset}, got ${Math.max(0, bytes.length - offset)}`);
	}
	return new DataView(bytes.buffer, bytes.byteOffset + offset, size);
}

/** Returns an integer in 0 … max. @throws RangeError otherwise */
export function uint(value: number, max: number, field: string): number {
	if (!(value >= 0 && value <= max)) throw new RangeError(`${field}: ${value} is not in 0 … ${max}`);
	return value;
}

/** Copies exactly `length` bytes. */
export function putBytes(view: DataView, offset: number, bytes: Uint8Array, length: number, field: string): void {
	if (bytes.length !== length) throw new RangeError(`${field}: expected ${length} bytes, got ${bytes.length}`);
	for (let index = 0; index < length; index++) view.setUint8(offset + index, bytes[index] as number);
}

/** A copy of `length` bytes. */
export function getBytes(view: DataView, offset: number, length: number): Uint8Array {
	const start = view.byteOffset + offset;
	return new Uint8Array(view.buffer.slice(start, start + length));
}

/** Checks the length of an array. */
export function counted<T>(values: readonly T[], length: number, field: string): readonly T[] {
	if (values.length !== length) throw new RangeError(`${field}: expected ${length} elements, got ${values.length}`);
	return values;
}

/** Bytes for people: 16 as an address (::ffff:a.b.c.d as IPv4), 6 as a MAC, others as hexadecimal digits. */
export function formatBytes(bytes: Uint8Array): string {
	if (bytes.length === 16) return formatAddress(bytes);
	const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0'));
	return hex.join(bytes.length === 6 ? ':' : '');
}

function formatAddress(bytes: Uint8Array): string {
	const mapped = bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
	if (mapped) return bytes.subarray(12).join('.');
	const groups = Array.from({ length: 8 }, (_, index) => ((bytes[index * 2] ?? 0) << 8) | (bytes[index * 2 + 1] ?? 0));
	const run = longestZeroRun(groups);
	const text = (part: number[]) => part.map((group) => group.toString(16)).join(':');
	if (run.length < 2) return text(groups);
	return `${text(groups.slice(0, run.start))}::${text(groups.slice(run.start + run.length))}`;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
	let best = { start: 0, length: 0 };
	let start = -1;
	groups.forEach((group, index) => {
		if (group !== 0) start = -1;
		else if (start < 0) start = index;
		if (start >= 0 && index - start + 1 > best.length) best = { start, length: index - start + 1 };
	});
	return best;
}

/** Name of an enum's value; `unknown(n)` for others. */
export function enumName(values: Readonly<Record<string, number>>, value: number): string {
	for (const [name, each] of Object.entries(values)) if (each === value) return name;
	return `unknown(${value})`;
}

/** Names of the flags set in a value, joined with `|`; bits without a name as a hexadecimal number; 0 is an empty string. */
export function flagNames(flags: Readonly<Record<string, number>>, value: number): string {
	const names = Object.entries(flags).filter(([, bit]) => bit !== 0 && (value & bit) === bit);
	const rest = names.reduce((left, [, bit]) => left & ~bit, value) >>> 0;
	const parts = names.map(([name]) => name);
	return (rest === 0 ? parts : [...parts, `0x${rest.toString(16)}`]).join('|');
}

/** Description of a map as compiled; see generated.ts. */
export interface MapSpec {
	/** Name in bpffs and in the objects: `fl_services_1`. */
	readonly name: string;
	/** BPF_MAP_TYPE_*. */
	readonly type: number;
	readonly flags: number;
	/** Default; configuration may change it. */
	readonly maxEntries: number;
	readonly keySize: number;
	readonly valueSize: number;
	/** Hash over the layouts of key and value; empty for maps without them. */
	readonly layout: string;
}
