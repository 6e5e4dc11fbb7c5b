import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DomainCache, type DomainCacheOptions } from './domain-cache.ts';
import { DomainJournal } from './journal.ts';

const NOBODY: ReadonlySet<string> = new Set();

function cacheOf(options: Partial<DomainCacheOptions> = {}): DomainCache {
	const usual = {
		waitsFor: (name: string) => name.endsWith('.test'),
		graceMs: 1000,
		addressesPerName: 4,
		addresses: 10,
	};
	return new DomainCache({ ...usual, ...options });
}

const answer = (name: string, ttlSeconds: number, ...addresses: string[]) => ({
	name,
	addresses: addresses.map((address) => ({ address, ttlSeconds })),
});

describe('addresses of names', () => {
	it('are told once, with all names of an address', () => {
		const cache = cacheOf();
		cache.learn(answer('a.test', 60, '203.0.113.1', '2001:db8::1'), 0);
		cache.learn(answer('b.test', 60, '203.0.113.1'), 0);
		expect(cache.takeChanges()).toEqual(
			new Map([
				['203.0.113.1', new Set(['a.test', 'b.test'])],
				['2001:db8::1', new Set(['a.test'])],
			]),
		);
		cache.learn(answer('a.test', 60, '203.0.113.1'), 5);
		expect(cache.takeChanges()).toEqual(new Map());
	});

	it('of names that no policy waits for are not kept', () => {
		const cache = cacheOf();
		cache.learn(answer('a.elsewhere', 60, '203.0.113.1'), 0);
		expect(cache.stats.addresses).toBe(0);
	});

	it('go when the last answer has run out and the grace after it, unless they are used', () => {
		const cache = cacheOf();
		cache.learn(answer('a.test', 60, '203.0.113.1', '203.0.113.2'), 0);
		cache.learn(answer('a.test', 10, '203.0.113.1'), 55_000);
		cache.takeChanges();
		expect(cache.questionable(60_999)).toEqual(new Set());
		expect(cache.questionable(61_000)).toEqual(new Set(['203.0.113.2']));
		cache.expire(61_000, new Set(['203.0.113.2']));
		expect(cache.takeChanges()).toEqual(new Map());
		cache.expire(66_000, new Set(['203.0.113.2']));
		expect(cache.takeChanges()).toEqual(new Map([['203.0.113.1', NOBODY]]));
		cache.expire(70_000, NOBODY);
		expect(cache.takeChanges()).toEqual(new Map([['203.0.113.2', NOBODY]]));
	});

	it('keep the longest life that an answer has promised', () => {
		const cache = cacheOf();
		cache.learn(answer('a.test', 60, '203.0.113.1'), 0);
		cache.learn(answer('a.test', 1, '203.0.113.1'), 0);
		expect(cache.questionable(60_000)).toEqual(new Set());
	});

	it('go with the last policy that waits for their name', () => {
		let wanted = true;
		const cache = cacheOf({ waitsFor: () => wanted });
		cache.learn(answer('a.test', 60, '203.0.113.1'), 0);
		wanted = false;
		cache.takeChanges();
		cache.expire(1, NOBODY);
		expect(cache.takeChanges()).toEqual(new Map([['203.0.113.1', NOBODY]]));
	});

	it('make room for younger ones of their name, the oldest unused first', () => {
		const cache = cacheOf();
		for (const n of [1, 2, 3, 4, 1]) cache.learn(answer('a.test', 60, `203.0.113.${n}`), 0);
		expect(cache.questionable(0).size).toBe(4);
		cache.expire(0, new Set(['203.0.113.2']));
		cache.takeChanges();
		cache.learn(answer('a.test', 60, '203.0.113.5'), 1);
		expect(cache.takeChanges()).toEqual(
			new Map([
				['203.0.113.3', NOBODY],
				['203.0.113.5', new Set(['a.test'])],
			]),
		);
		expect(cache.stats).toEqual({ names: 1, addresses: 4, evicted: 1, refused: 0 });
	});

	it('are refused when all of their name are used, or there are too many of all names', () => {
		const full: string[] = [];
		const cache = cacheOf({ onFull: (name, limit) => full.push(`${name} ${limit}`) });
		cache.learn(answer('a.test', 60, '203.0.113.1', '203.0.113.2', '203.0.113.3', '203.0.113.4'), 0);
		cache.expire(0, new Set(['203.0.113.1', '203.0.113.2', '203.0.113.3', '203.0.113.4']));
		cache.learn(answer('a.test', 60, '203.0.113.5'), 0);
		expect(cache.stats).toMatchObject({ addresses: 4, refused: 1 });
		for (let n = 10; n < 20; n++) cache.learn(answer(`n${n}.test`, 60, `203.0.113.${n}`), 0);
		expect(cache.stats).toMatchObject({ addresses: 10, refused: 5 });
		expect(full).toEqual(['a.test name', 'n16.test all', 'n17.test all', 'n18.test all', 'n19.test all']);
	});
});

describe('the journal', () => {
	it('gives back what was learnt and not forgotten, also after it was cut off in the middle of a line', () => {
		const dir = mkdtempSync(join(tmpdir(), 'fl-domains-'));
		const path = join(dir, 'domains.jsonl');
		try {
			const journal = new DomainJournal(path);
			journal.write('a.test', '203.0.113.1', 1000);
			journal.write('a.test', '203.0.113.2', 1000);
			journal.write('a.test', '203.0.113.1', null);
			journal.write('b.test', '2001:db8::1', 2000);
			journal.write('b.test', '2001:db8::1', 90_000);
			journal.close();
			writeFileSync(path, '["c.test","203.0', { flag: 'a' });
			expect([...new DomainJournal(path).entries()]).toEqual([
				{ name: 'a.test', address: '203.0.113.2', expiresMs: 1000 },
				{ name: 'b.test', address: '2001:db8::1', expiresMs: 90_000 },
			]);
			expect(readFileSync(path, 'utf8').split('\n').length).toBe(3);
		} finally {
			rmSync(dir, { recursive: true });
		}
	});

	it('does not grow without end', () => {
		const dir = mkdtempSync(join(tmpdir(), 'fl-domains-'));
		const path = join(dir, 'domains.jsonl');
		try {
			const journal = new DomainJournal(path);
			for (let i = 0; i < 5000; i++) journal.write('a.test', '203.0.113.1', i * 60_000);
			journal.close();
			expect(readFileSync(path, 'utf8').split('\n').length).toBeLessThan(2100);
			expect([...new DomainJournal(path).entries()][0]?.expiresMs).toBe(4999 * 60_000);
		} finally {
			rmSync(dir, { recursive: true });
		}
	});
});
