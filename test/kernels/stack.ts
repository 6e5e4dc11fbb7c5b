/**
 * How much stack the functions of a compiled BPF object take together, as kernels before 6.8 count it: each function's share is rounded
 * up to 32 bytes, calls of global functions add up like all others. Newer kernels round to 16, so that what they accept may not load on
 * older ones.
 */

/** A call path, outermost function first, with the stack of each in bytes. */
export interface StackPath {
	readonly functions: readonly { readonly name: string; readonly bytes: number }[];
	/** Rounded as the kernel does. */
	readonly bytes: number;
}

/** More is refused by every kernel. */
export const STACK_LIMIT = 512;
/** Functions on a path, more is refused. */
export const DEPTH_LIMIT = 8;

interface Section {
	readonly name: string;
	readonly type: number;
	readonly offset: number;
	readonly size: number;
	readonly link: number;
	readonly info: number;
}

interface Symbol {
	readonly name: string;
	readonly type: number;
	readonly section: number;
	readonly value: number;
	readonly size: number;
}

interface BpfFunction {
	readonly name: string;
	readonly section: number;
	/** In bytes, inside its section. */
	readonly start: number;
	readonly end: number;
	/** Sections and offsets of the functions that it calls. */
	readonly calls: { section: number; offset: number }[];
	bytes: number;
}

const SYMTAB = 2;
const REL = 9;
const STT_FUNC = 2;
const INSTRUCTION = 8;
const CALL = 0x85;
const PSEUDO_CALL = 1;
const FRAME_POINTER = 10;

/** The path with the largest stack of each program (function outside of .text), by name. */
export function stackPaths(elf: Uint8Array): Map<string, StackPath> {
	const view = new DataView(elf.buffer, elf.byteOffset, elf.byteLength);
	const sections = readSections(view);
	const symbols = readSymbols(view, sections);
	const functions = symbols
		.filter(({ type }) => type === STT_FUNC)
		.map(
			({ name, section, value, size }): BpfFunction => ({
				name,
				section,
				start: value,
				end: value + size,
				calls: [],
				bytes: 0,
			}),
		);
	for (const each of functions) scan(view, sections, symbols, each);
	const programs = functions.filter(({ section }) => sections[section]?.name !== '.text');
	return new Map(programs.map((each) => [each.name, deepest(each, functions)]));
}

function deepest(from: BpfFunction, functions: readonly BpfFunction[]): StackPath {
	const own = { name: from.name, bytes: from.bytes };
	const below = from.calls
		.map(({ section, offset }) => functions.find((each) => each.section === section && each.start === offset))
		.filter((each) => each !== undefined)
		.map((each) => deepest(each, functions))
		.sort((a, b) => b.bytes - a.bytes)[0];
	return {
		functions: [own, ...(below?.functions ?? [])],
		bytes: Math.ceil(Math.max(1, from.bytes) / 32) * 32 + (below?.bytes ?? 0),
	};
}

/** Finds a function's calls and the lowest byte of the stack that it names. */
function scan(view: DataView, sections: readonly Section[], symbols: readonly Symbol[], f: BpfFunction): void {
	const base = sections[f.section]?.offset ?? 0;
	const relocated = relocations(view, sections, f.section);
	/** Registers that are copies of the frame pointer. */
	const copies = new Set<number>();
	const use = (offset: number): void => {
		f.bytes = Math.max(f.bytes, -offset);
	};
	for (let at = f.start; at < f.end; at += INSTRUCTION) {
		const opcode = view.getUint8(base + at);
		const registers = view.getUint8(base + at + 1);
		const [to, from] = [registers & 15, registers >> 4];
		const offset = view.getInt16(base + at + 2, true);
		const immediate = view.getInt32(base + at + 4, true);
		const kind = opcode & 7;
		if (opcode === CALL && from === PSEUDO_CALL) {
			const target = relocated.get(at);
			const symbol = target === undefined ? undefined : symbols[target];
			const offsetOf =
				symbol === undefined ? at + INSTRUCTION * (immediate + 1) : symbol.value + INSTRUCTION * (immediate + 1);
			f.calls.push({ section: symbol?.section ?? f.section, offset: offsetOf });
		}
		if (kind === 1 && from === FRAME_POINTER) use(offset); // load
		if ((kind === 2 || kind === 3) && to === FRAME_POINTER) use(offset); // store
		if (opcode === 0xbf && from === FRAME_POINTER) copies.add(to);
		else if (opcode === 0x07 && copies.has(to)) use(immediate);
		else if (kind === 4 || kind === 7 || kind === 0 || kind === 1) copies.delete(to);
		if (opcode === 0x18) at += INSTRUCTION; // a constant of 64 bits takes two
	}
}

/** Offset of an instruction → index of the symbol that it names. */
function relocations(view: DataView, sections: readonly Section[], section: number): Map<number, number> {
	const found = new Map<number, number>();
	for (const { type, info, offset, size } of sections) {
		if (type !== REL || info !== section) continue;
		for (let at = offset; at < offset + size; at += 16)
			found.set(Number(view.getBigUint64(at, true)), view.getUint32(at + 12, true));
	}
	return found;
}

function readSections(view: DataView): Section[] {
	const table = Number(view.getBigUint64(40, true));
	const size = view.getUint16(58, true);
	const raw = Array.from({ length: view.getUint16(60, true) }, (_, i) => {
		const at = table + i * size;
		return {
			nameAt: view.getUint32(at, true),
			type: view.getUint32(at + 4, true),
			offset: Number(view.getBigUint64(at + 24, true)),
			size: Number(view.getBigUint64(at + 32, true)),
			link: view.getUint32(at + 40, true),
			info: view.getUint32(at + 44, true),
		};
	});
	const names = raw[view.getUint16(62, true)]?.offset ?? 0;
	return raw.map(({ nameAt, ...rest }) => ({ name: textAt(view, names + nameAt), ...rest }));
}

function readSymbols(view: DataView, sections: readonly Section[]): Symbol[] {
	const table = sections.find(({ type }) => type === SYMTAB);
	if (table === undefined) return [];
	const names = sections[table.link]?.offset ?? 0;
	return Array.from({ length: table.size / 24 }, (_, i) => {
		const at = table.offset + i * 24;
		return {
			name: textAt(view, names + view.getUint32(at, true)),
			type: view.getUint8(at + 4) & 15,
			section: view.getUint16(at + 6, true),
			value: Number(view.getBigUint64(at + 8, true)),
			size: Number(view.getBigUint64(at + 16, true)),
		};
	});
}

function textAt(view: DataView, at: number): string {
	let end = at;
	while (view.getUint8(end) !== 0) end++;
	return new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + at, end - at));
}
