import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { newestRelease, SOURCES } from './fetch.ts';
import { parseLine } from './report.ts';

const ROOT = join(import.meta.dirname, '../..');
const page = readFileSync(join(ROOT, 'docs/kernels.md'), 'utf8');

describe('docs/kernels.md', () => {
	it('names files that exist', () => {
		const files = [...page.matchAll(/`((?:agent|bpf|native|test|scripts)\/[\w./-]+)`/g)].map((match) => match[1] ?? '');
		expect(files.length).toBeGreaterThan(8);
		expect(files.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
	});

	it('has a row for each kernel that is tried, and says which are part of npm test', () => {
		const rows = page.split('\n').filter((line) => /^\| .* \| all of it \|/.test(line));
		expect(rows).toHaveLength(SOURCES.length);
		for (const [i, { series, short }] of SOURCES.entries()) {
			expect(rows[i]).toMatch(series === '' ? /^\| the newest/ : new RegExp(`^\\| ${series.slice(0, -1)} `));
			expect(rows[i]?.includes('option sets')).toBe(short);
		}
	});
});

describe('the newest kernel of a series', () => {
	const listing = ['6.1.0-9', '6.1.0-50', '6.12.107+deb13', '7.3.4+deb13']
		.map((version) => `linux-image-${version}-cloud-amd64 - Linux for x86-64 cloud`)
		.concat('linux-image-cloud-amd64 - meta package', 'linux-image-9.1.0-1-amd64 - no cloud kernel')
		.join('\n');

	it.each([
		['6.1.', '6.1.0-50-cloud-amd64'],
		['6.12.', '6.12.107+deb13-cloud-amd64'],
		['', '7.3.4+deb13-cloud-amd64'],
		['5.10.', undefined],
	])('of %j is %s', (series, release) => {
		expect(newestRelease(listing, series)).toBe(release);
	});
});

describe('what the guest says', () => {
	it('is read from the middle of a console line', () => {
		expect(parseLine('[    1.2] FLK pass IPv4, TCP\r')).toEqual({ kind: 'pass', text: 'IPv4, TCP' });
		expect(parseLine('FLK end 0')).toEqual({ kind: 'end', text: '0' });
	});

	it('is not what the kernel says', () => {
		expect(parseLine('[    1.2] veth: FLKpass')).toBeUndefined();
	});
});
