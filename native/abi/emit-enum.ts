/** TypeScript text of one shared enum. */
import { pascalCase } from './emit-struct.ts';
import type { EnumLayout } from './layout.ts';

/**
 * `enum drop_reason` becomes the constant object DropReason (common prefix of its enumerators removed), the type of
 * its values, and DropReasonName(); the name function of an enum called `*_flags` lists all bits that are set.
 */
export function emitEnum(layout: EnumLayout): string {
	const name = pascalCase(layout.name);
	const prefix = commonPrefix(layout.values.map((value) => value.name));
	const entries = layout.values.map((value) => `\t${value.name.slice(prefix.length)}: ${value.value},\n`);
	const helper = layout.name.endsWith('_flags') ? 'flagNames' : 'enumName';
	return [
		`export const ${name} = {\n${entries.join('')}} as const;`,
		`export type ${name} = (typeof ${name})[keyof typeof ${name}];`,
		`export function ${name}Name(value: number): string {\n\treturn ${helper}(${name}, value);\n}`,
	].join('\n');
}

function commonPrefix(names: readonly string[]): string {
	const first = names[0] ?? '';
	let length = first.length;
	for (const name of names) while (!name.startsWith(first.slice(0, length))) length--;
	return first.slice(0, first.slice(0, length).lastIndexOf('_') + 1);
}
