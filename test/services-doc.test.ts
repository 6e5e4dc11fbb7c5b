import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..');
const PAGE = readFileSync(join(ROOT, 'docs/services.md'), 'utf8');

/** Every link of the page with the quoted titles that follow it, up to the next link or end of the cell. */
function references(): { file: string; titles: string[] }[] {
	return [...PAGE.matchAll(/\]\(\.\.\/([^)]+)\)((?:(?!\]\()[^|\n])*)/g)].map(([, file = '', rest = '']) => ({
		file,
		titles: [...rest.matchAll(/"((?:[^"\\]|\\.)+)"/g)].map(([, title = '']) => title.replaceAll('\\"', '"')),
	}));
}

/** Quotes in source may be escaped. */
const plain = (text: string): string => text.replaceAll('\\', '');

describe('docs/services.md', () => {
	it('names files that exist and tests that are in them', () => {
		const wrong = references().flatMap(({ file, titles }) => {
			const path = join(ROOT, file);
			if (!existsSync(path)) return [file];
			if (titles.length === 0) return [];
			const source = plain(readFileSync(path, 'utf8'));
			return titles.filter((title) => !source.includes(plain(title))).map((title) => `${file}: ${title}`);
		});
		expect(wrong).toEqual([]);
		expect(references().flatMap(({ titles }) => titles).length).toBeGreaterThan(80);
	});

	it('says of each rule which test shows it, or whose it is', () => {
		const rows = [...PAGE.matchAll(/^\| (.+?) \| (.+) \|$/gm)].filter(([, , shown]) => shown !== 'test');
		const bare = rows.filter(([, , shown = '']) => !/\]\(\.\.\/|\*not here\*: \w|\bsection \d/.test(shown));
		expect(bare.map(([, rule]) => rule)).toEqual([]);
		expect(rows.length).toBeGreaterThan(100);
	});

	it('has a section for each of the rules', () => {
		const numbers = [...PAGE.matchAll(/^## (\d+) /gm)].map(([, n]) => Number(n));
		expect(numbers).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
	});
});
