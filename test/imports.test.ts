import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

/**
 * The import arrows between folders. A folder may import itself and what is listed; the longest matching name counts.
 * `type-only` arrows may carry types but no code. Tests and test libraries may import anything.
 */
interface Arrows {
	readonly code: readonly string[];
	/** Additional folders of which only types may be imported. */
	readonly types?: readonly string[];
}

const ABI = 'native/abi';
const MODEL = 'agent/model';

const ARROWS: Readonly<Record<string, Arrows>> = {
	native: { code: [ABI] },
	'native/abi': { code: [] },
	'agent/model': { code: [] },
	'agent/sources': { code: [MODEL] },
	'agent/plan': { code: [MODEL, ABI] },
	'agent/reconcile': { code: [MODEL, 'agent/plan', ABI] },
	'agent/kernel': { code: [MODEL, 'native', ABI], types: ['agent/reconcile'] },
	'agent/config': { code: [MODEL, 'agent/plan'] },
	'agent/dns': { code: [MODEL] },
};

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..');

interface Import {
	readonly file: string;
	readonly target: string;
	readonly typeOnly: boolean;
}

function sourceFiles(folder: string): string[] {
	return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
		.filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
		.map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
		.filter((file) => !file.endsWith('.test.ts') && !/node_modules|\/testdata\//.test(file));
}

const IMPORT = /^\s*(?:import|export)\s+(type\s+)?([^;'"]*?\sfrom\s+)?['"](\.{1,2}\/[^'"]+)['"]/gm;
const DYNAMIC = /\bimport\(\s*['"](\.{1,2}\/[^'"]+)['"]\s*\)/g;

/** Relative imports of a file, resolved against the root. */
function importsOf(file: string, text = readFileSync(join(ROOT, file), 'utf8')): Import[] {
	const found: Import[] = [];
	const add = (path: string, typeOnly: boolean): void => {
		found.push({ file, target: relative(ROOT, resolve(ROOT, dirname(file), path)), typeOnly });
	};
	for (const [, type, names, path] of text.matchAll(IMPORT)) {
		const inline = names?.match(/^\{([^}]*)\}/)?.[1];
		const allInline = inline?.split(',').every((name) => /^\s*(type\s|$)/.test(name)) ?? false;
		add(path ?? '', type !== undefined || allInline);
	}
	for (const [, path] of text.matchAll(DYNAMIC)) add(path ?? '', false);
	return found;
}

function folderOf(file: string): string | undefined {
	const match = Object.keys(ARROWS).filter((folder) => file.startsWith(`${folder}/`));
	return match.sort((a, b) => b.length - a.length)[0];
}

function isAllowed({ file, target, typeOnly }: Import): boolean {
	const from = folderOf(file);
	if (from === undefined || target.startsWith(`${from}/`)) return true;
	const arrows = ARROWS[from] ?? { code: [] };
	const allowed = typeOnly ? [...arrows.code, ...(arrows.types ?? [])] : arrows.code;
	// `native` means the facade: what lies in a listed subfolder of it has its own entry.
	const folder = folderOf(target) ?? dirname(target);
	return allowed.some((each) => folder === each || (each !== 'native' && target.startsWith(`${each}/`)));
}

const FILES = ['native', 'agent', 'cni', 'cli'].flatMap(sourceFiles);

describe('import arrows', () => {
	it('are those of the table', () => {
		const broken = FILES.flatMap((file) => importsOf(file)).filter((each) => !isAllowed(each));
		expect(broken.map(({ file, target }) => `${file} imports ${target}`)).toEqual([]);
	});

	it('keep the command line tool apart from the agent: they share proto/ only', () => {
		const broken = FILES.filter((file) => file.startsWith('cli/'))
			.flatMap((file) => importsOf(file))
			.filter(({ target, typeOnly }) => target.startsWith('agent/') && !target.startsWith(`${MODEL}/`) && !typeOnly);
		expect(broken.map(({ file, target }) => `${file} imports ${target}`)).toEqual([]);
	});

	it('lead into the native addon only from agent/kernel, wiring and those that need namespaces', () => {
		const doors = [
			'agent/kernel/',
			'agent/wiring/',
			'agent/endpoints/',
			'agent/routing/',
			'agent/flows/',
			'agent/api/',
			'agent/run.ts',
			'native/',
			'cni/',
		];
		const broken = FILES.flatMap((file) => importsOf(file)).filter(
			({ file, target, typeOnly }) =>
				target === 'native/index.ts' && !typeOnly && !doors.some((door) => file.startsWith(door)),
		);
		expect(broken.map(({ file, target }) => `${file} imports ${target}`)).toEqual([]);
	});

	it('form no cycle between folders of the agent', () => {
		const edges = new Map<string, Set<string>>();
		for (const { file, target, typeOnly } of FILES.flatMap((each) => importsOf(each))) {
			const [from, to] = [file, target].map((path) => path.split('/').slice(0, 2).join('/'));
			if (typeOnly || from === to || !from?.startsWith('agent/') || !to?.startsWith('agent/')) continue;
			edges.set(from, (edges.get(from) ?? new Set()).add(to));
		}
		expect(findCycle(edges)).toEqual([]);
	});

	it('are found by the checker in all their forms', () => {
		const text = [
			"import type { A } from '../reconcile/kernel.ts';",
			"import { type B, type C } from '../plan/a.ts';",
			"import {\n\tD,\n\ttype E,\n} from '../plan/b.ts';",
			"export { F } from './c.ts';",
			"import './d.ts';",
			"const g = await import('../kernel/e.ts');",
		].join('\n');
		expect(importsOf('agent/model/x.ts', text).map(({ target, typeOnly }) => `${target} ${typeOnly}`)).toEqual([
			'agent/reconcile/kernel.ts true',
			'agent/plan/a.ts true',
			'agent/plan/b.ts false',
			'agent/model/c.ts false',
			'agent/model/d.ts false',
			'agent/kernel/e.ts false',
		]);
		expect(isAllowed({ file: 'agent/model/x.ts', target: 'agent/plan/a.ts', typeOnly: true })).toBe(false);
		expect(isAllowed({ file: 'agent/plan/x.ts', target: 'native/index.ts', typeOnly: false })).toBe(false);
		expect(isAllowed({ file: 'agent/kernel/x.ts', target: 'agent/reconcile/kernel.ts', typeOnly: true })).toBe(true);
		expect(isAllowed({ file: 'agent/kernel/x.ts', target: 'agent/reconcile/kernel.ts', typeOnly: false })).toBe(false);
	});
});

function findCycle(edges: ReadonlyMap<string, ReadonlySet<string>>): string[] {
	const visit = (folder: string, path: readonly string[]): string[] => {
		if (path.includes(folder)) return [...path.slice(path.indexOf(folder)), folder];
		for (const next of edges.get(folder) ?? []) {
			const cycle = visit(next, [...path, folder]);
			if (cycle.length > 0) return cycle;
		}
		return [];
	};
	for (const folder of edges.keys()) {
		const cycle = visit(folder, []);
		if (cycle.length > 0) return cycle;
	}
	return [];
}

describe('source files', () => {
	it('have at most 450 lines', () => {
		const long = FILES.filter((file) => !file.endsWith('generated.ts'))
			.map((file) => ({ file, lines: readFileSync(join(ROOT, file), 'utf8').split('\n').length }))
			.filter(({ lines }) => lines > 451);
		expect(long).toEqual([]);
	});

	it('have no escape from the type checker and no note of unfinished work', () => {
		const forbidden = /@ts-ignore|@ts-nocheck|\bTODO\b|\bFIXME\b|\bXXX\b|\bas any\b|: any\b/;
		const found = FILES.filter((file) => forbidden.test(readFileSync(join(ROOT, file), 'utf8')));
		expect(found).toEqual([]);
	});
});
