import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PolicyCookie } from '../../../native/abi/generated.ts';
import { CookieTable } from './cookies.ts';
import type { ApplicableRule } from './rows.ts';
import { ALL_PORTS, compileRow } from './rows.ts';
import { verdictWord } from './types.ts';

const TCP = 6 << 16;
const tcp = (first: number, last = first) => ({ first: TCP | first, last: TCP | last });

/** The rules one by one, for one point. */
function plainly(rules: readonly ApplicableRule[], isolated: boolean, self: boolean, at: number): number {
	const fits = (tier: string) =>
		rules.find((rule) => rule.tier === tier && rule.ranges.some(({ first, last }) => at >= first && at <= last));
	const admin = fits('admin');
	if (admin !== undefined && admin.action !== 'pass') return verdictWord(admin.action === 'accept', admin.cookie);
	if (isolated) {
		if (self) return verdictWord(true, PolicyCookie.SELF);
		const network = fits('network');
		return network ? verdictWord(true, network.cookie) : verdictWord(false, PolicyCookie.NOT_ALLOWED);
	}
	const baseline = fits('baseline');
	if (baseline === undefined || baseline.action === 'pass') return verdictWord(true, PolicyCookie.NO_POLICY);
	return verdictWord(baseline.action === 'accept', baseline.cookie);
}

const range = fc.tuple(fc.nat(40), fc.nat(12)).map(([first, length]) => tcp(first, first + length));
const rule = fc.record({
	tier: fc.constantFrom('admin', 'network', 'baseline'),
	action: fc.constantFrom('accept', 'deny', 'pass'),
	ranges: fc.oneof(
		{ weight: 4, arbitrary: fc.array(range, { maxLength: 3 }) },
		{ weight: 1, arbitrary: fc.constant([ALL_PORTS]) },
	),
	cookie: fc.integer({ min: 16, max: 30 }),
});

describe('compileRow', () => {
	it('says for every port what the rules say one by one, in sorted ranges that begin at 0', () => {
		fc.assert(
			fc.property(fc.array(rule, { maxLength: 8 }), fc.boolean(), fc.boolean(), (raw, isolated, self) => {
				const rules = raw.map(
					(each): ApplicableRule =>
						each.tier === 'network' ? { ...each, action: 'accept' } : (each as ApplicableRule),
				) as ApplicableRule[];
				const { ranges } = compileRow({ rules, isolated, self });
				expect(ranges[0]).toBe(0);
				for (let i = 2; i < ranges.length; i += 2) {
					expect(ranges[i]).toBeGreaterThan(ranges[i - 2]!);
					expect(ranges[i + 1]).not.toBe(ranges[i - 1]);
				}
				for (const at of [0, ...Array.from({ length: 56 }, (_, port) => TCP | port), (17 << 16) | 53, 0xffffff]) {
					let found = ranges[1];
					for (let i = 0; i < ranges.length && ranges[i]! <= at; i += 2) found = ranges[i + 1];
					expect([at, found]).toEqual([at, plainly(rules, isolated, self, at)]);
				}
			}),
			{ numRuns: 150 },
		);
	});

	it('merges ten thousand neighbouring ports of one rule into one range', () => {
		const ranges = Array.from({ length: 10_000 }, (_, port) => tcp(port + 1));
		const row = compileRow({
			rules: [{ tier: 'network', action: 'accept', ranges, cookie: 20 }],
			isolated: true,
			self: false,
		});
		expect([...row.ranges].filter((_, i) => i % 2 === 0)).toEqual([0, TCP | 1, TCP | 10_001]);
	});
});

describe('CookieTable', () => {
	it('gives a rule the same number in every run, and no number twice', () => {
		const names = Array.from({ length: 20_000 }, (_, n) => `NetworkPolicy ns/p${n} ingress rule 0`);
		const [one, other] = [new CookieTable(), new CookieTable()];
		const numbers = names.map((name) => one.acquire(name));
		expect(names.map((name) => other.acquire(name))).toEqual(numbers);
		expect(new Set(numbers).size).toBe(names.length);
		expect(Math.max(...numbers)).toBeLessThan(65_536);
		expect(Math.min(...numbers)).toBeGreaterThanOrEqual(PolicyCookie.FIRST_RULE);
		expect(one.name(numbers[7]!)).toBe(names[7]);
	});

	it('forgets a rule when its last user has gone', () => {
		const table = new CookieTable();
		const cookie = table.acquire('a');
		expect(table.acquire('a')).toBe(cookie);
		table.release('a');
		expect(table.name(cookie)).toBe('a');
		table.release('a');
		expect(table.name(cookie)).toBeUndefined();
	});
});
