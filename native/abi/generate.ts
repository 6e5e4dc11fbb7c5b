/**
 * Writes generated.ts from the BTF of compiled objects: codecs of all shared structs, names of all shared enums,
 * the maps with their layout hashes, and the constants set before load. Pure: objects in, text out.
 */
import { parseElfBtf } from './btf.ts';
import { emitEnum } from './emit-enum.ts';
import { camelCase, emitStruct, encodeLines, pascalCase, tsType } from './emit-struct.ts';
import {
	type ConstantDefinition,
	definedConstants,
	definedMaps,
	exportedEnums,
	exportedStructs,
	layoutHash,
	type MapDefinition,
	type StructLayout,
	sizeOf,
} from './layout.ts';

const HEADER = `/**
 * Generated from the BTF of bpf/abi and bpf/maps by native/abi/generate.ts: do not edit, run \`npm run gen\`.
 */`;

const CONSTANT_PREFIX = 'cfg_';
const MAP_NAME = /^fl_([a-z0-9_]+)_(\d+)$/;
/** BPF_OBJ_NAME_LEN minus the terminating zero. */
const MAX_MAP_NAME = 15;

export interface GeneratorInput {
	/** bpf/abi/abi.bpf.c compiled: structs and enums. */
	readonly abi: Uint8Array;
	/** bpf/maps/maps.bpf.c compiled: maps and constants. */
	readonly maps: Uint8Array;
}

/**
 * @returns the text of generated.ts
 * @throws LayoutError when a struct is written in a way that must not be shared
 * @throws BtfError when an object has no BTF
 */
export function generate(input: GeneratorInput): string {
	const abi = parseElfBtf(input.abi);
	const maps = parseElfBtf(input.maps);
	const structs = exportedStructs(abi);
	const known = new Set(structs.map((struct) => struct.name));
	for (const struct of structs) checkNestedAreExported(struct, known);
	const parts = [
		...exportedEnums(abi).map(emitEnum),
		...structs.map(emitStruct),
		emitMaps(definedMaps(maps), structs),
		emitConstants(definedConstants(maps, CONSTANT_PREFIX)),
	];
	const body = parts.join('\n\n');
	return `${HEADER}\n${emitImports(body)}\n\n${body}\n`;
}

function checkNestedAreExported(struct: StructLayout, known: ReadonlySet<string>): void {
	for (const field of struct.fields) {
		const inner = field.type.kind === 'array' ? field.type.element : field.type;
		if (inner.kind === 'struct' && !known.has(inner.name)) {
			throw new Error(
				`struct ${inner.name || '(anonymous)'} in ${struct.name}.${field.name} is not exported by abi.bpf.c`,
			);
		}
	}
}

function emitImports(body: string): string {
	const helpers = [
		'counted',
		'encodeWith',
		'enumName',
		'flagNames',
		'formatBytes',
		'getBytes',
		'putBytes',
		'uint',
		'viewOf',
	];
	const used = helpers.filter((name) => new RegExp(`\\b${name}\\(`).test(body));
	const names = ['type Codec', ...used, 'type MapSpec'].sort((a, b) => {
		const bare = (name: string) => name.replace('type ', '').toLowerCase();
		return bare(a) < bare(b) ? -1 : 1;
	});
	return `import {\n${names.map((name) => `\t${name},\n`).join('')}} from './codec.ts';`;
}

function emitMaps(maps: readonly MapDefinition[], structs: readonly StructLayout[]): string {
	const named = new Set(structs.map((struct) => struct.name));
	const entries = maps.map((map) => {
		const match = MAP_NAME.exec(map.name);
		const name = match?.[1];
		if (name === undefined || map.name.length > MAX_MAP_NAME) {
			throw new Error(`map ${map.name}: a name is fl_<what>_<version> of at most ${MAX_MAP_NAME} characters`);
		}
		for (const part of [map.key, map.value]) {
			if (part?.kind === 'struct' && !named.has(part.name)) {
				throw new Error(`map ${map.name}: struct ${part.name} is not exported by abi.bpf.c`);
			}
		}
		return `\t${name}: {\n${mapLines(map)
			.map((line) => `\t\t${line},\n`)
			.join('')}\t},\n`;
	});
	return [
		'/** Every pinned map, by its name without prefix and version. */',
		`export const Maps = {\n${entries.join('')}} as const satisfies Record<string, MapSpec>;`,
		'',
		'export type MapName = keyof typeof Maps;',
	].join('\n');
}

function mapLines(map: MapDefinition): string[] {
	const layouts = [map.key, map.value].filter((layout) => layout !== undefined);
	return [
		`name: '${map.name}'`,
		`type: ${map.type}`,
		`flags: ${map.flags}`,
		`maxEntries: ${map.maxEntries}`,
		`keySize: ${map.key === undefined ? 0 : sizeOf(map.key)}`,
		`valueSize: ${map.value === undefined ? 0 : sizeOf(map.value)}`,
		`layout: '${layouts.length === 0 ? '' : layoutHash(...layouts)}'`,
	];
}

function emitConstants(constants: readonly ConstantDefinition[]): string {
	const bare = (constant: ConstantDefinition) => constant.name.slice(CONSTANT_PREFIX.length);
	const fields = constants.map((constant) => `\t${camelCase(bare(constant))}: ${tsType(constant.type)};\n`);
	const encoders = constants.map((constant) => {
		const name = camelCase(bare(constant));
		const lines = encodeLines(constant.type, `config.${name}`, 'at', constant.name);
		const size = sizeOf(constant.type);
		return `\t\t${constant.name}: encodeWith(${size}, (config: DatapathConfig, view, at) => {\n${lines
			.map((line) => `\t\t\t${line}\n`)
			.join('')}\t\t}, config),\n`;
	});
	return [
		'/** Constants the programs are loaded with. */',
		`export interface ${pascalCase('datapath_config')} {\n${fields.join('')}}`,
		'',
		'/** The bytes of each constant, by the name of its variable. */',
		'export function encodeDatapathConfig(config: DatapathConfig): Record<string, Uint8Array> {',
		`\treturn {\n${encoders.join('')}\t};`,
		'}',
	].join('\n');
}
