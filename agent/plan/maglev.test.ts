import { describe, expect, it } from 'vitest';
import { maglevSize, maglevTable } from './maglev.ts';

const keysOf = (count: number, seed = 0): string[] =>
	Array.from({ length: count }, (_, i) => `10.${seed}.${(i * 7) >> 8}.${(i * 7) & 255}|8080|6`);

const isPrime = (n: number): boolean => {
	for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
	return n > 1;
};

/** Key of the backend in each slot. */
const named = (keys: readonly string[], size: number): string[] =>
	Array.from(maglevTable(keys, size), (position) => keys[position]!);

/** FNV-1a over the keys of all slots. */
function fingerprint(slots: readonly string[]): string {
	let hash = 0x811c9dc5;
	for (const c of slots.join('\n')) hash = Math.imul(hash ^ c.charCodeAt(0), 0x01000193);
	return (hash >>> 0).toString(16);
}

describe('maglevTable', () => {
	it('is the same whatever the order of the backends', () => {
		const keys = keysOf(50);
		expect(named([...keys].reverse(), 1021)).toEqual(named(keys, 1021));
	});

	it('stays what earlier releases made: nodes of two versions must agree', () => {
		expect(fingerprint(named(keysOf(3), 251))).toBe('4696069b');
		expect(fingerprint(named(['10.0.0.1|80|6', 'fd00::1|80|6'], 1021))).toBe('45df3d93');
	});

	it('gives all slots to a single backend', () => {
		expect(new Set(maglevTable(keysOf(1), 251))).toEqual(new Set([0]));
	});

	it('gives every backend its share, within a twentieth', () => {
		for (const count of [2, 3, 10, 11, 80, 500]) {
			const size = maglevSize(count);
			const shares = new Array<number>(count).fill(0);
			for (const position of maglevTable(keysOf(count), size)) shares[position]!++;
			const fair = size / count;
			expect(Math.max(...shares) / fair, `${count} backends`).toBeLessThan(1.05);
			expect(Math.min(...shares) / fair, `${count} backends`).toBeGreaterThan(0.95);
		}
	});

	it('disturbs at most 2 % of the other flows when one of N backends goes, on average', () => {
		for (const [count, rounds] of [
			[2, 20],
			[3, 40],
			[5, 40],
			[10, 20],
			[12, 4],
			[20, 4],
			[50, 3],
			[100, 2],
			[500, 1],
		] as const) {
			const size = maglevSize(count);
			let disturbed = 0;
			for (let round = 0; round < rounds; round++) {
				const keys = keysOf(count, round);
				const gone = keys[round % count];
				const before = named(keys, size);
				const after = named(
					keys.filter((key) => key !== gone),
					size,
				);
				disturbed += before.filter((key, slot) => key !== gone && key !== after[slot]).length / size;
			}
			expect(disturbed / rounds, `${count} backends in ${size} slots`).toBeLessThanOrEqual(0.02);
		}
	});
});

describe('maglevSize', () => {
	it('is a prime with room for every backend', () => {
		for (const count of [1, 2, 5, 6, 10, 80, 81, 1000, 4000, 100_000]) {
			const size = maglevSize(count);
			expect(isPrime(size), `${size}`).toBe(true);
			expect(size / count, `${count} backends`).toBeGreaterThan(16);
		}
	});

	it('grows with the number of backends in few steps', () => {
		expect([1, 2, 10, 11, 1000, 1001, 4000].map(maglevSize)).toEqual([251, 2039, 2039, 16381, 16381, 65521, 65521]);
	});
});
