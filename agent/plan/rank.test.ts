import { describe, expect, it } from 'vitest';
import { backendTag as tagOfOracle } from '../../test/lib/flow-hash.ts';
import { maglevSize } from './maglev.ts';
import { backendTag, rankableTags, rankedTable } from './rank.ts';

const SLOTS = maglevSize(10);
const keysOf = (count: number, round = 0): string[] =>
	Array.from({ length: count }, (_, i) => `10.${round}.${i}.${(i * 37 + round) & 255}|8080|6`);
const tagsOf = (count: number, round = 0): readonly number[] => rankableTags(keysOf(count, round)) ?? [];

describe('backendTag', () => {
	it.each(['10.0.0.1', '10.244.3.77', '255.255.255.255', 'fd00::1', 'fd10:244:3:ffff:8000::abcd'])(
		'is what the programs make of %s',
		(address) => {
			for (const port of [1, 80, 255, 256, 8080, 65_535])
				expect(backendTag(address, port)).toBe(tagOfOracle(address, port));
		},
	);
});

describe('rankableTags', () => {
	it('leaves large sets to Maglev tables', () => {
		expect(rankableTags(keysOf(12))).toHaveLength(12);
		expect(rankableTags(keysOf(13))).toBeUndefined();
	});

	it('leaves sets with the same tag twice to Maglev tables', () => {
		const seen = new Map<number, string>();
		for (let i = 0; ; i++) {
			const address = `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
			const other = seen.get(backendTag(address, 80));
			seen.set(backendTag(address, 80), address);
			if (other === undefined) continue;
			expect(rankableTags([`${other}|80|6`, `${address}|80|6`])).toBeUndefined();
			return;
		}
	});
});

describe('rankedTable', () => {
	it('stays what earlier releases made: nodes of two versions must agree', () => {
		const tags = rankableTags(['10.0.0.1|80|6', '10.0.0.2|80|6', 'fd00::1|80|6']) ?? [];
		expect(tags).toEqual([13505, 16193, 25582]);
		expect([...rankedTable(tags, 251).subarray(0, 24)].join('')).toBe('120121010012120000210112');
	});

	it('moves no slot of the others when a backend goes', () => {
		for (const count of [2, 3, 10, 12]) {
			const tags = tagsOf(count);
			const before = rankedTable(tags, SLOTS);
			const rest = tags.filter((_, i) => i !== 1);
			const after = rankedTable(rest, SLOTS);
			const moved = before.filter((at, slot) => at !== 1 && tags[at] !== rest[after[slot] ?? 0]);
			expect(moved, `${count} backends`).toHaveLength(0);
		}
	});

	it('gives shares as even as chance makes them', () => {
		for (const count of [2, 3, 5, 10]) {
			let squares = 0;
			const rounds = 30;
			for (let round = 0; round < rounds; round++) {
				const shares = new Array<number>(count).fill(0);
				for (const at of rankedTable(tagsOf(count, round), SLOTS)) shares[at] = (shares[at] ?? 0) + 1;
				for (const share of shares) squares += ((share * count) / SLOTS - 1) ** 2;
			}
			const deviation = Math.sqrt(squares / (rounds * count));
			expect(deviation, `${count} backends`).toBeLessThan(1.3 * Math.sqrt((count - 1) / SLOTS));
		}
	});
});
