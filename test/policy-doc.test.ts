import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..');
const PAGE = readFileSync(join(ROOT, 'docs/policy.md'), 'utf8');
/** Rules of NetworkPolicy; those of ClusterNetworkPolicy have no numbers. */
const RULES = 38;

interface Row {
	readonly numbers: string;
	readonly rule: string;
	readonly shown: string;
}

const rows: readonly Row[] = PAGE.split('\n')
	.filter((line) => /^\| (\d|CNP)/.test(line))
	.map((line) => {
		const [numbers = '', rule = '', shown = ''] = line.slice(2, -2).split(' | ');
		return { numbers, rule, shown };
	});

const readCases = (): string =>
	readdirSync(join(ROOT, 'test/policy-cases'))
		.map((file) => readFileSync(join(ROOT, 'test/policy-cases', file), 'utf8'))
		.join('\n');

/** Quotes in source may be escaped. */
const plain = (text: string): string => text.replaceAll('\\', '');

/** '6–8' and '9, 16' as numbers. */
function numbersOf({ numbers }: Row): number[] {
	return numbers.split(', ').flatMap((each) => {
		const [first = 0, last = first] = each.split('–').map(Number);
		return Array.from({ length: last - first + 1 }, (_, i) => first + i);
	});
}

/** Is there a text that has the parts of a title, which '…' separates, in their order on one line? */
function has(source: string, title: string): boolean {
	const parts = title.split('…').map((part) => plain(part.trim()).replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
	return new RegExp(parts.join('.*')).test(plain(source));
}

describe('the rules of docs/policy.md', () => {
	it('name tests that exist', () => {
		const cases = readCases();
		const wrong = rows.flatMap(({ rule, shown }) => {
			const files = [...shown.matchAll(/`([^`]+\.test\.ts)`/g)].map(([, file = '']) => file);
			const missing = files.filter((file) => !existsSync(join(ROOT, file)));
			if (missing.length > 0) return missing;
			const sources = [cases, ...files.map((file) => readFileSync(join(ROOT, file), 'utf8'))];
			const titles = [...shown.matchAll(/"([^"]+)"/g)].map(([, title = '']) => title);
			if (titles.length + files.length === 0) return [`${rule}: nothing shows it`];
			return titles.filter((title) => !sources.some((source) => has(source, title)));
		});
		expect(wrong).toEqual([]);
		expect(rows.length).toBeGreaterThan(30);
	});

	it('are all there', () => {
		const found = new Set(rows.filter(({ numbers }) => numbers !== 'CNP').flatMap(numbersOf));
		expect(Array.from({ length: RULES }, (_, i) => i + 1).filter((n) => !found.has(n))).toEqual([]);
	});
});
