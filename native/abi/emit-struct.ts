/** TypeScript text of one shared struct: its interface and its codec. */
import { type FieldLayout, layoutHash, type StructLayout, sizeOf, type TypeLayout, type UintLayout } from './layout.ts';

const UINT_MAX = { 1: '0xff', 2: '0xffff', 4: '0xffffffff' } as const;

/** `host_mac` → `hostMac` */
export function camelCase(name: string): string {
	return name.replace(/_+([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** `svc_key` → `SvcKey` */
export function pascalCase(name: string): string {
	const camel = camelCase(name);
	return camel.charAt(0).toUpperCase() + camel.slice(1);
}

/** The TypeScript type of a value. */
export function tsType(layout: TypeLayout): string {
	switch (layout.kind) {
		case 'uint':
			return layout.size === 8 ? 'bigint' : 'number';
		case 'struct':
			return pascalCase(layout.name);
		case 'array':
			return isBytes(layout) ? 'Uint8Array' : `${tsType(layout.element)}[]`;
	}
}

function isBytes(layout: TypeLayout): boolean {
	return layout.kind === 'array' && layout.element.kind === 'uint' && layout.element.size === 1;
}

/** The interface and codec of a struct. */
export function emitStruct(struct: StructLayout): string {
	const name = pascalCase(struct.name);
	const visible = struct.fields.filter((field) => !field.pad);
	const fields = visible.map((field) => `\t${camelCase(field.name)}: ${tsType(field.type)};\n`);
	return [
		`export interface ${name} {\n${fields.join('')}}`,
		emitEncode(struct, name),
		emitDecode(name, visible),
		emitFormat(name, visible),
		emitCodec(struct, name),
	].join('\n');
}

function emitEncode(struct: StructLayout, name: string): string {
	const lines = struct.fields.flatMap((field) => {
		const at = place('offset', field.offset);
		if (field.pad) return zeroLines(field, at);
		return encodeLines(field.type, `value.${camelCase(field.name)}`, at, `${struct.name}.${field.name}`);
	});
	return block(`function encode${name}(value: ${name}, view: DataView, offset: number): void`, lines);
}

function place(base: string, offset: number): string {
	return offset === 0 ? base : `${base} + ${offset}`;
}

function zeroLines(field: FieldLayout, at: string): string[] {
	const element = field.type.kind === 'array' ? field.type.element : field.type;
	if (element.kind !== 'uint') throw new Error(`padding ${field.name} is neither an integer nor an array of them`);
	const count = sizeOf(field.type) / element.size;
	return Array.from(
		{ length: count },
		(_, index) => `${setter(element)}(${place(at, index * element.size)}, ${zero(element)}${order(element)});`,
	);
}

function zero(layout: UintLayout): string {
	return layout.size === 8 ? '0n' : '0';
}

function order(layout: UintLayout): string {
	return layout.size === 1 || layout.bigEndian ? '' : ', true';
}

function setter(layout: UintLayout): string {
	return layout.size === 8 ? 'view.setBigUint64' : `view.setUint${layout.size * 8}`;
}

/** Statements that write `value` at `at`. */
export function encodeLines(layout: TypeLayout, value: string, at: string, where: string): string[] {
	switch (layout.kind) {
		case 'uint':
			return [`${setter(layout)}(${at}, ${checked(layout, value, where)}${order(layout)});`];
		case 'struct':
			return [`encode${pascalCase(layout.name)}(${value}, view, ${at});`];
		case 'array': {
			if (isBytes(layout)) return [`putBytes(view, ${at}, ${value}, ${layout.length}, '${where}');`];
			const inner = encodeLines(layout.element, 'each', `${at} + index * ${sizeOf(layout.element)}`, where);
			return [
				`counted(${value}, ${layout.length}, '${where}').forEach((each, index) => {`,
				...inner.map((line) => `\t${line}`),
				'});',
			];
		}
	}
}

function checked(layout: UintLayout, value: string, where: string): string {
	return layout.size === 8 ? value : `uint(${value}, ${UINT_MAX[layout.size]}, '${where}')`;
}

function emitDecode(name: string, visible: readonly FieldLayout[]): string {
	const lines = visible.map(
		(field) => `\t${camelCase(field.name)}: ${decodeExpression(field.type, place('offset', field.offset))},`,
	);
	return block(`function decode${name}(view: DataView, offset: number): ${name}`, ['return {', ...lines, '};']);
}

function decodeExpression(layout: TypeLayout, at: string): string {
	switch (layout.kind) {
		case 'uint': {
			const getter = layout.size === 8 ? 'getBigUint64' : `getUint${layout.size * 8}`;
			return `view.${getter}(${at}${order(layout)})`;
		}
		case 'struct':
			return `decode${pascalCase(layout.name)}(view, ${at})`;
		case 'array': {
			if (isBytes(layout)) return `getBytes(view, ${at}, ${layout.length})`;
			const element = decodeExpression(layout.element, `${at} + index * ${sizeOf(layout.element)}`);
			return `Array.from({ length: ${layout.length} }, (_, index) => ${element})`;
		}
	}
}

function emitFormat(name: string, visible: readonly FieldLayout[]): string {
	const parts = visible.map(
		(field) => `${field.name}=\${${formatExpression(field.type, `value.${camelCase(field.name)}`)}}`,
	);
	return block(`function format${name}(value: ${name}): string`, [`return \`${parts.join(' ')}\`;`]);
}

function formatExpression(layout: TypeLayout, value: string): string {
	switch (layout.kind) {
		case 'uint':
			return value;
		case 'struct':
			return `format${pascalCase(layout.name)}(${value})`;
		case 'array':
			if (isBytes(layout)) return `formatBytes(${value})`;
			if (layout.element.kind === 'struct') {
				return `${value}.map((each) => \`{\${${formatExpression(layout.element, 'each')}}}\`).join(',')`;
			}
			return `${value}.join(',')`;
	}
}

function emitCodec(struct: StructLayout, name: string): string {
	return [
		`export const ${name} = {`,
		`\tname: '${struct.name}',`,
		`\tsize: ${struct.size},`,
		`\tlayout: '${layoutHash(struct)}',`,
		`\tencode: (value: ${name}): Uint8Array => encodeWith(${struct.size}, encode${name}, value),`,
		`\tencodeInto: encode${name},`,
		`\tdecode: (bytes: Uint8Array, offset = 0): ${name} =>`,
		`\t\tdecode${name}(viewOf(bytes, offset, ${struct.size}, '${struct.name}'), 0),`,
		`\tdecodeFrom: decode${name},`,
		`\tformat: format${name},`,
		`} as const satisfies Codec<${name}>;`,
	].join('\n');
}

function block(head: string, lines: readonly string[]): string {
	return `${head} {\n${lines.map((line) => `\t${line}\n`).join('')}}`;
}
