/**
 * Reads BTF, the type information clang leaves in a BPF object and the kernel keeps of a loaded map.
 * Promises: every malformed input ends in a BtfError that says where; nothing outside the blob is read.
 * Source of the layout: Documentation/bpf/btf.rst of the kernel.
 */

/** A blob that is not BTF, or BTF this reader does not know. */
export class BtfError extends Error {
	override name = 'BtfError';
}

export interface BtfMember {
	readonly name: string;
	readonly type: number;
	readonly bitOffset: number;
	/** 0 = not a bitfield. */
	readonly bitSize: number;
}

export interface BtfEnumerator {
	readonly name: string;
	readonly value: bigint;
}

export interface BtfSectionVariable {
	readonly type: number;
	readonly offset: number;
	readonly size: number;
}

export type BtfType =
	| { readonly kind: 'void' }
	| {
			readonly kind: 'int';
			readonly name: string;
			readonly size: number;
			readonly signed: boolean;
			readonly bool: boolean;
	  }
	| { readonly kind: 'pointer'; readonly type: number }
	| { readonly kind: 'array'; readonly element: number; readonly length: number }
	| {
			readonly kind: 'struct' | 'union';
			readonly name: string;
			readonly size: number;
			readonly members: readonly BtfMember[];
	  }
	| { readonly kind: 'enum'; readonly name: string; readonly size: number; readonly values: readonly BtfEnumerator[] }
	| { readonly kind: 'typedef' | 'qualifier'; readonly name: string; readonly type: number }
	| { readonly kind: 'variable'; readonly name: string; readonly type: number }
	| { readonly kind: 'section'; readonly name: string; readonly variables: readonly BtfSectionVariable[] }
	| { readonly kind: 'float'; readonly name: string; readonly size: number }
	| { readonly kind: 'other'; readonly name: string };

/** Types by id; id 0 is void. */
export interface Btf {
	readonly types: readonly BtfType[];
}

const MAGIC = 0xeb9f;
const MIN_HEADER = 24;

/** Kind numbers of `info >> 24`, from include/uapi/linux/btf.h. */
const Kind = {
	INT: 1,
	PTR: 2,
	ARRAY: 3,
	STRUCT: 4,
	UNION: 5,
	ENUM: 6,
	FWD: 7,
	TYPEDEF: 8,
	VOLATILE: 9,
	CONST: 10,
	RESTRICT: 11,
	FUNC: 12,
	FUNC_PROTO: 13,
	VAR: 14,
	DATASEC: 15,
	FLOAT: 16,
	DECL_TAG: 17,
	TYPE_TAG: 18,
	ENUM64: 19,
} as const;

const INT_SIGNED = 1;
const INT_BOOL = 4;

class Reader {
	readonly #view: DataView;
	readonly #strings: Uint8Array;
	readonly #end: number;
	position: number;

	constructor(view: DataView, start: number, end: number, strings: Uint8Array) {
		this.#view = view;
		this.#strings = strings;
		this.#end = end;
		this.position = start;
	}

	get done(): boolean {
		return this.position >= this.#end;
	}

	u32(): number {
		if (this.position + 4 > this.#end) throw new BtfError(`BTF types end inside a record at byte ${this.position}`);
		const value = this.#view.getUint32(this.position, true);
		this.position += 4;
		return value;
	}

	name(offset: number): string {
		if (offset >= this.#strings.length) throw new BtfError(`BTF name offset ${offset} is outside the strings`);
		const end = this.#strings.indexOf(0, offset);
		if (end < 0) throw new BtfError(`BTF name at ${offset} is not terminated`);
		return Buffer.from(this.#strings.subarray(offset, end)).toString('latin1');
	}
}

/**
 * Parses raw BTF (the content of the .BTF section, or what BPF_OBJ_GET_INFO_BY_FD returns for a BTF id).
 * @throws BtfError on anything that is not little-endian BTF of version 1
 */
export function parseBtf(blob: Uint8Array): Btf {
	if (blob.length < MIN_HEADER) throw new BtfError(`BTF of ${blob.length} bytes is shorter than its header`);
	const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
	if (view.getUint16(0, true) !== MAGIC) throw new BtfError('not little-endian BTF: wrong magic');
	if (view.getUint8(2) !== 1) throw new BtfError(`BTF version ${view.getUint8(2)} is not known`);
	const header = view.getUint32(4, true);
	const typeStart = header + view.getUint32(8, true);
	const typeEnd = typeStart + view.getUint32(12, true);
	const stringStart = header + view.getUint32(16, true);
	const stringEnd = stringStart + view.getUint32(20, true);
	if (header < MIN_HEADER || typeEnd > blob.length || stringEnd > blob.length) {
		throw new BtfError(`BTF header names bytes up to ${Math.max(typeEnd, stringEnd)} of ${blob.length}`);
	}
	const reader = new Reader(view, typeStart, typeEnd, blob.subarray(stringStart, stringEnd));
	const types: BtfType[] = [{ kind: 'void' }];
	while (!reader.done) types.push(readType(reader));
	return { types };
}

function readType(reader: Reader): BtfType {
	const name = reader.name(reader.u32());
	const info = reader.u32();
	const sizeOrType = reader.u32();
	const count = info & 0xffff;
	const kind = (info >>> 24) & 0x1f;
	const flag = info >>> 31 === 1;
	switch (kind) {
		case Kind.INT:
			return readInt(reader, name, sizeOrType);
		case Kind.PTR:
			return { kind: 'pointer', type: sizeOrType };
		case Kind.ARRAY:
			return readArray(reader);
		case Kind.STRUCT:
		case Kind.UNION: {
			const members = repeat(count, () => readMember(reader, flag));
			return { kind: kind === Kind.STRUCT ? 'struct' : 'union', name, size: sizeOrType, members };
		}
		case Kind.ENUM:
		case Kind.ENUM64:
			return { kind: 'enum', name, size: sizeOrType, values: repeat(count, () => readEnumerator(reader, kind, flag)) };
		case Kind.TYPEDEF:
			return { kind: 'typedef', name, type: sizeOrType };
		case Kind.VOLATILE:
		case Kind.CONST:
		case Kind.RESTRICT:
		case Kind.TYPE_TAG:
			return { kind: 'qualifier', name, type: sizeOrType };
		default:
			return readRarer(reader, kind, name, count, sizeOrType);
	}
}

function readRarer(reader: Reader, kind: number, name: string, count: number, sizeOrType: number): BtfType {
	switch (kind) {
		case Kind.VAR:
			reader.u32(); // linkage
			return { kind: 'variable', name, type: sizeOrType };
		case Kind.DATASEC:
			return {
				kind: 'section',
				name,
				variables: repeat(count, () => ({ type: reader.u32(), offset: reader.u32(), size: reader.u32() })),
			};
		case Kind.FLOAT:
			return { kind: 'float', name, size: sizeOrType };
		case Kind.FWD:
		case Kind.FUNC:
			return { kind: 'other', name };
		case Kind.FUNC_PROTO:
			repeat(count * 2, () => reader.u32());
			return { kind: 'other', name };
		case Kind.DECL_TAG:
			reader.u32(); // component index
			return { kind: 'other', name };
		default:
			throw new BtfError(`BTF kind ${kind} at byte ${reader.position} is not known`);
	}
}

function repeat<T>(count: number, read: () => T): T[] {
	return Array.from({ length: count }, read);
}

function readInt(reader: Reader, name: string, size: number): BtfType {
	const encoding = (reader.u32() >>> 24) & 0xf;
	return { kind: 'int', name, size, signed: (encoding & INT_SIGNED) !== 0, bool: (encoding & INT_BOOL) !== 0 };
}

function readArray(reader: Reader): BtfType {
	const element = reader.u32();
	reader.u32(); // index type
	return { kind: 'array', element, length: reader.u32() };
}

function readMember(reader: Reader, withBitfields: boolean): BtfMember {
	const name = reader.name(reader.u32());
	const type = reader.u32();
	const offset = reader.u32();
	return withBitfields
		? { name, type, bitOffset: offset & 0xffffff, bitSize: offset >>> 24 }
		: { name, type, bitOffset: offset, bitSize: 0 };
}

function readEnumerator(reader: Reader, kind: number, signed: boolean): BtfEnumerator {
	const name = reader.name(reader.u32());
	const low = reader.u32();
	if (kind === Kind.ENUM) return { name, value: BigInt(signed ? low | 0 : low) };
	const value = (BigInt(reader.u32()) << 32n) | BigInt(low);
	return { name, value: signed ? BigInt.asIntN(64, value) : value };
}

const ELF_MAGIC = 0x7f454c46;

/**
 * The content of one section of a little-endian ELF64 object.
 * @returns undefined when the object has no such section
 * @throws BtfError when the bytes are not such an object
 */
export function elfSection(elf: Uint8Array, wanted: string): Uint8Array | undefined {
	if (elf.length < 64) throw new BtfError(`${elf.length} bytes are too few for an ELF object`);
	const view = new DataView(elf.buffer, elf.byteOffset, elf.byteLength);
	if (view.getUint32(0) !== ELF_MAGIC || view.getUint8(4) !== 2 || view.getUint8(5) !== 1) {
		throw new BtfError('not a little-endian 64-bit ELF object');
	}
	const table = Number(view.getBigUint64(40, true));
	const entrySize = view.getUint16(58, true);
	const count = view.getUint16(60, true);
	if (entrySize < 64 || table + entrySize * count > elf.length) throw new BtfError('ELF section table is cut off');
	const section = (index: number) => {
		const at = table + index * entrySize;
		const start = Number(view.getBigUint64(at + 24, true));
		return {
			name: view.getUint32(at, true),
			bytes: elf.subarray(start, start + Number(view.getBigUint64(at + 32, true))),
		};
	};
	const namesAt = view.getUint16(62, true);
	if (namesAt >= count) throw new BtfError(`ELF section ${namesAt} with the names does not exist`);
	const names = Buffer.from(section(namesAt).bytes);
	for (let index = 1; index < count; index++) {
		const { name, bytes } = section(index);
		if (names.toString('latin1', name, names.indexOf(0, name)) === wanted) return bytes;
	}
	return undefined;
}

/**
 * Parses the BTF of a compiled BPF object.
 * @throws BtfError when it has none (compiled without -g)
 */
export function parseElfBtf(elf: Uint8Array): Btf {
	const blob = elfSection(elf, '.BTF');
	if (blob === undefined) throw new BtfError('ELF object has no .BTF section: compile with -g');
	return parseBtf(blob);
}

/** The type with an id. @throws BtfError when there is none */
export function typeById(btf: Btf, id: number): BtfType {
	const type = btf.types[id];
	if (type === undefined) throw new BtfError(`BTF type ${id} does not exist; the last is ${btf.types.length - 1}`);
	return type;
}

/** Follows const, volatile and type tags, but not typedefs. */
export function skipQualifiers(btf: Btf, id: number): number {
	let type = typeById(btf, id);
	for (let hops = 0; type.kind === 'qualifier'; hops++) {
		if (hops > 32) throw new BtfError(`BTF type ${id} refers to itself`);
		id = type.type;
		type = typeById(btf, id);
	}
	return id;
}
