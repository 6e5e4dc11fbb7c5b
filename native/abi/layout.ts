/**
 * From BTF to the layouts codecs and map checks work with.
 * Refuses what two compilers or a careless edit could lay out differently: implicit padding, bitfields, pointers,
 * long, packed members, unions, signed or floating numbers.
 */
import { createHash } from 'node:crypto';
import { type Btf, BtfError, type BtfMember, type BtfType, skipQualifiers, typeById } from './btf.ts';

export interface UintLayout {
	readonly kind: 'uint';
	readonly size: 1 | 2 | 4 | 8;
	/** From a `__be16`, `__be32` or `__be64` typedef. */
	readonly bigEndian: boolean;
}

export interface ArrayLayout {
	readonly kind: 'array';
	readonly element: TypeLayout;
	readonly length: number;
}

export interface StructLayout {
	readonly kind: 'struct';
	readonly name: string;
	readonly size: number;
	readonly fields: readonly FieldLayout[];
}

export type TypeLayout = UintLayout | ArrayLayout | StructLayout;

export interface FieldLayout {
	readonly name: string;
	/** Bytes from the start of the struct. */
	readonly offset: number;
	readonly type: TypeLayout;
	/** Named padding: always zero, not shown to TypeScript. */
	readonly pad: boolean;
}

export interface EnumLayout {
	readonly name: string;
	readonly values: readonly { readonly name: string; readonly value: number }[];
}

/** A type that must not be shared between the kernel and user space. */
export class LayoutError extends Error {
	override name = 'LayoutError';
}

const PAD = /^pad\d*$/;
const BIG_ENDIAN = /^__be(16|32|64)$/;
/** Deeper nesting means BTF that refers to itself. */
const MAX_DEPTH = 32;
const LONG = /^(unsigned )?long( unsigned)?( int)?$/;

/** Size of a value in bytes, as laid out in memory. */
export function sizeOf(layout: TypeLayout): number {
	return layout.kind === 'array' ? layout.length * sizeOf(layout.element) : layout.size;
}

function alignmentOf(layout: TypeLayout): number {
	switch (layout.kind) {
		case 'uint':
			return layout.size;
		case 'array':
			return alignmentOf(layout.element);
		case 'struct':
			return Math.max(1, ...layout.fields.map((field) => alignmentOf(field.type)));
	}
}

/**
 * Lays out a type.
 * @param where  what is read, for the error message: `svc_key.port`
 * @throws LayoutError on a type that must not be shared
 */
export function layoutOf(btf: Btf, id: number, where: string): TypeLayout {
	return layoutIn({ btf, where, bigEndian: false, depth: 0 }, id);
}

interface Place {
	readonly btf: Btf;
	readonly where: string;
	readonly bigEndian: boolean;
	readonly depth: number;
}

function layoutIn(place: Place, id: number): TypeLayout {
	const { btf, where } = place;
	if (place.depth > MAX_DEPTH) throw new BtfError(`${where}: BTF type ${id} refers to itself`);
	const inner = { ...place, depth: place.depth + 1 };
	const type = typeById(btf, skipQualifiers(btf, id));
	switch (type.kind) {
		case 'typedef':
			return layoutIn({ ...inner, bigEndian: place.bigEndian || BIG_ENDIAN.test(type.name) }, type.type);
		case 'int':
			return uintLayout(type, where, place.bigEndian);
		case 'array':
			return { kind: 'array', element: layoutIn(inner, type.element), length: type.length };
		case 'struct':
			return structLayout(inner, type);
		case 'union':
			throw new LayoutError(`${where}: unions are not shared, because nothing says which member is valid`);
		case 'pointer':
			throw new LayoutError(`${where}: pointers are not shared`);
		case 'enum':
			throw new LayoutError(`${where}: use an integer of fixed width instead of enum ${type.name}`);
		default:
			throw new LayoutError(`${where}: type of kind ${type.kind} cannot be shared`);
	}
}

function uintLayout(type: BtfType & { kind: 'int' }, where: string, bigEndian: boolean): UintLayout {
	if (LONG.test(type.name)) throw new LayoutError(`${where}: the width of ${type.name} differs between machines`);
	if (type.signed || type.bool) throw new LayoutError(`${where}: ${type.name} is not an unsigned integer`);
	const { size } = type;
	if (size !== 1 && size !== 2 && size !== 4 && size !== 8) {
		throw new LayoutError(`${where}: integers of ${size} bytes are not shared`);
	}
	return { kind: 'uint', size, bigEndian };
}

function structLayout(place: Place, type: BtfType & { kind: 'struct' | 'union' }): StructLayout {
	const { name, size, members } = type;
	const what = name === '' ? place.where : name;
	const fields: FieldLayout[] = [];
	let next = 0;
	for (const member of members) {
		const field = fieldLayout(place, member, what);
		if (field.offset > next) {
			throw new LayoutError(
				`${what}: ${field.offset - next} bytes of implicit padding before ${field.name}; name them pad`,
			);
		}
		fields.push(field);
		next = field.offset + sizeOf(field.type);
	}
	if (next < size) throw new LayoutError(`${what}: ${size - next} bytes of implicit padding at its end; name them pad`);
	const layout: StructLayout = { kind: 'struct', name, size, fields };
	if (size % alignmentOf(layout) !== 0) throw new LayoutError(`${what}: packed, its size ${size} breaks alignment`);
	return layout;
}

function fieldLayout(place: Place, member: BtfMember, struct: string): FieldLayout {
	const where = `${struct}.${member.name === '' ? '(anonymous)' : member.name}`;
	if (member.bitSize !== 0 || member.bitOffset % 8 !== 0) throw new LayoutError(`${where}: bitfields are not shared`);
	const type = layoutIn({ ...place, where, bigEndian: false }, member.type);
	if (member.name === '') throw new LayoutError(`${where}: every member needs a name`);
	const offset = member.bitOffset / 8;
	if (offset % alignmentOf(type) !== 0)
		throw new LayoutError(`${where}: packed, offset ${offset} breaks its alignment`);
	return { name: member.name, offset, type, pad: PAD.test(member.name) };
}

/** A layout as text: two layouts are interchangeable exactly if their texts are equal. */
export function describeLayout(layout: TypeLayout): string {
	switch (layout.kind) {
		case 'uint':
			return `${layout.bigEndian ? 'be' : 'u'}${layout.size * 8}`;
		case 'array':
			return `${describeLayout(layout.element)}[${layout.length}]`;
		case 'struct': {
			const fields = layout.fields.map((field) => `${field.name}@${field.offset}:${describeLayout(field.type)}`);
			return `${layout.name}/${layout.size}{${fields.join(',')}}`;
		}
	}
}

/** Hash of layouts in order: 16 hexadecimal digits. A map's is the hash of its key and value. */
export function layoutHash(...layouts: readonly TypeLayout[]): string {
	return createHash('sha256').update(layouts.map(describeLayout).join(';')).digest('hex').slice(0, 16);
}

/** All named structs of an object's global variables, in the order of the variables. */
export function exportedStructs(btf: Btf): StructLayout[] {
	const found = new Map<string, StructLayout>();
	for (const type of btf.types) {
		if (type.kind !== 'variable') continue;
		const target = typeById(btf, type.type);
		if (target.kind !== 'struct') continue;
		const layout = layoutOf(btf, type.type, target.name);
		if (layout.kind === 'struct') found.set(target.name, layout);
	}
	return [...found.values()];
}

/** All enums of an object's global variables, in the order of the variables. */
export function exportedEnums(btf: Btf): EnumLayout[] {
	const found = new Map<string, EnumLayout>();
	for (const type of btf.types) {
		if (type.kind !== 'variable') continue;
		const target = typeById(btf, type.type);
		if (target.kind !== 'enum') continue;
		found.set(target.name, {
			name: target.name,
			values: target.values.map(({ name, value }) => ({ name, value: Number(value) })),
		});
	}
	return [...found.values()];
}

export interface MapDefinition {
	/** As pinned: `fl_services_1`. */
	readonly name: string;
	/** BPF_MAP_TYPE_*. */
	readonly type: number;
	readonly flags: number;
	readonly maxEntries: number;
	/** Undefined for maps without keys, such as ring buffers. */
	readonly key: TypeLayout | undefined;
	readonly value: TypeLayout | undefined;
}

/** The maps an object defines in its `.maps` section (libbpf's BTF-defined maps), sorted by name. */
export function definedMaps(btf: Btf): MapDefinition[] {
	return sectionVariables(btf, '.maps')
		.map(({ name, type }) => mapDefinition(btf, name, type))
		.sort((a, b) => (a.name < b.name ? -1 : 1));
}

export interface ConstantDefinition {
	readonly name: string;
	readonly type: TypeLayout;
}

/** The constants of an object's `.rodata` section whose name begins with `prefix`, in the order of the section. */
export function definedConstants(btf: Btf, prefix: string): ConstantDefinition[] {
	return sectionVariables(btf, '.rodata')
		.filter(({ name }) => name.startsWith(prefix))
		.map(({ name, type }) => ({ name, type: layoutOf(btf, type, name) }));
}

function sectionVariables(btf: Btf, section: string): { name: string; type: number }[] {
	return btf.types.flatMap((type) => {
		if (type.kind !== 'section' || type.name !== section) return [];
		return type.variables.map((entry) => {
			const variable = typeById(btf, entry.type);
			if (variable.kind !== 'variable')
				throw new BtfError(`BTF section ${section} names something that is no variable`);
			return variable;
		});
	});
}

function mapDefinition(btf: Btf, name: string, id: number): MapDefinition {
	const definition = typeById(btf, id);
	if (definition.kind !== 'struct') throw new LayoutError(`map ${name}: not defined through a struct`);
	const member = (wanted: string) => {
		const found = definition.members.find((each) => each.name === wanted);
		if (found === undefined) return undefined;
		const pointer = typeById(btf, found.type);
		if (pointer.kind !== 'pointer')
			throw new LayoutError(`map ${name}: ${wanted} is not written with __uint or __type`);
		return pointer.type;
	};
	const number = (wanted: string) => {
		const target = member(wanted);
		if (target === undefined) return 0;
		const array = typeById(btf, target);
		if (array.kind !== 'array') throw new LayoutError(`map ${name}: ${wanted} is not written with __uint`);
		return array.length;
	};
	const layout = (wanted: string) => {
		const target = member(wanted);
		return target === undefined ? undefined : layoutOf(btf, target, `${name} ${wanted}`);
	};
	return {
		name,
		type: number('type'),
		flags: number('map_flags'),
		maxEntries: number('max_entries'),
		key: layout('key'),
		value: layout('value'),
	};
}
