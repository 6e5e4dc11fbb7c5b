import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cidrContains } from '../model/address.ts';
import { Ipam } from './ipam.ts';

const ipam = (podCidrs: string[], clock = { ms: 0 }): Ipam => new Ipam({ podCidrs, now: () => clock.ms });

describe('addresses', () => {
	it('come one per family, in the order of the CIDRs', () => {
		expect(ipam(['fd00:1::/64', '10.1.0.0/24']).allocate('a/b')).toEqual(['fd00:1::1', '10.1.0.1']);
	});

	const sizes: [string, number][] = [
		['10.1.0.0/24', 254],
		['10.1.0.0/30', 2],
		['10.1.0.0/31', 2],
		['10.1.0.5/32', 1],
		['fd00::/126', 2],
		['fd00::/127', 2],
		['fd00::5/128', 1],
	];
	for (const [cidr, size] of sizes) {
		it(`of ${cidr} are ${size}, without the first and last of larger CIDRs`, () => {
			const pool = ipam([cidr]);
			const given = Array.from({ length: size }, () => pool.allocate('a/b')[0] ?? '');
			expect(new Set(given).size).toBe(size);
			expect(given.every((address) => cidrContains(cidr, address))).toBe(true);
			expect(() => pool.allocate('a/b')).toThrow();
			if (size > 2) expect(given).not.toContain('10.1.0.0');
			expect(given).not.toContain('10.1.0.255');
		});
	}

	it('say how many are used of how many when there are none left', () => {
		const pool = ipam(['10.1.0.0/30', 'fd00::/64']);
		pool.allocate('a/b');
		pool.allocate('a/c');
		expect(() => pool.allocate('default/web')).toThrow(
			"cannot give default/web an IPv4 address: 10.1.0.0/30: 2 of 2 addresses used; remove pods or enlarge the node's pod CIDR",
		);
		expect(pool.usage()).toMatchObject([{ used: 2 }, { used: 2 }]);
	});

	it('say when the next one is free while some are in cool-down', () => {
		const clock = { ms: 1000 };
		const pool = ipam(['10.1.0.0/31'], clock);
		const [first = ''] = pool.allocate('a/b');
		pool.allocate('a/c');
		pool.release([first], 31_000);
		expect(() => pool.allocate('a/d')).toThrow(
			'10.1.0.0/31: 1 of 2 addresses used, 1 in cool-down, the next is free in 30 s',
		);
		clock.ms = 31_000;
		expect(() => pool.allocate('a/d')).toThrow('in cool-down');
		pool.clean([first]);
		expect(pool.allocate('a/d')).toEqual([first]);
	});

	it('are taken from the next CIDR of the family when one is full', () => {
		const pool = ipam(['10.1.0.0/32', '10.2.0.0/24']);
		expect([pool.allocate('a'), pool.allocate('b')]).toEqual([['10.1.0.0'], ['10.2.0.1']]);
	});

	it('stay with their pods when the CIDRs change', () => {
		const pool = ipam(['10.1.0.0/24']);
		pool.allocate('a');
		pool.setPodCidrs(['10.1.0.0/24', 'fd00::/64']);
		expect(pool.allocate('b')).toEqual(['10.1.0.2', 'fd00::1']);
	});

	it('need a CIDR', () => {
		expect(() => ipam([]).allocate('a')).toThrow('the node has no pod CIDR');
	});

	it('are never given twice nor in cool-down, whatever happens in whatever order', () => {
		const step = fc.record({ kind: fc.constantFrom('allocate', 'release', 'free', 'tick'), pick: fc.nat(30) });
		fc.assert(
			fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
				const clock = { ms: 0 };
				const pool = ipam(['10.1.0.0/28'], clock);
				const held: string[] = [];
				const until = new Map<string, number>();
				for (const { kind, pick } of steps) {
					if (kind === 'tick') clock.ms += 7;
					if (kind === 'allocate') {
						try {
							const [address = ''] = pool.allocate('x');
							expect(held).not.toContain(address);
							expect(until.get(address) ?? 0).toBeLessThanOrEqual(clock.ms);
							held.push(address);
						} catch (error) {
							expect((error as { code?: string }).code).toMatch(/^ADDRESS_/);
						}
					}
					const [address] = kind === 'release' || kind === 'free' ? held.splice(pick % (held.length || 1), 1) : [];
					if (address !== undefined && kind === 'release') {
						pool.release([address], clock.ms + 20);
						pool.clean([address]);
						until.set(address, clock.ms + 20);
					} else if (address !== undefined) pool.free([address]);
				}
				expect(pool.usage()[0]?.used).toBe(held.length);
			}),
		);
	});
});
