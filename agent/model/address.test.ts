import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
	addressBytes,
	addressOfBytes,
	cidrContains,
	cidrsOverlap,
	compareAddresses,
	formatEndpoint,
	networkAddress,
	parseAddress,
	parseCidr,
	requireAddress,
	requireCidr,
} from './address.ts';

describe('parseAddress', () => {
	const cases: readonly [string, string | undefined][] = [
		['10.0.0.1', '10.0.0.1'],
		['010.001.000.255', '10.1.0.255'],
		['00.0.0.0', '0.0.0.0'],
		['::ffff:1.2.3.4', '1.2.3.4'],
		['::ffff:010.0.0.1', '10.0.0.1'],
		['::FFFF:0a00:0001', '10.0.0.1'],
		['FD00:0:0::0001', 'fd00::1'],
		['::', '::'],
		['1.2.3', undefined],
		['1.2.3.4.5', undefined],
		['1.2.3.256', undefined],
		['1..2.3', undefined],
		['0x10.0.0.1', undefined],
		[' 10.0.0.1', undefined],
		['fe80::1%eth0', undefined],
		['10.0.0.1/24', undefined],
		['', undefined],
		['None', undefined],
	];
	it.each(cases)('reads %j as %j', (text, expected) => {
		expect(parseAddress(text)).toBe(expected);
	});

	it('gives one text for each address: what it returns it reads as itself', () => {
		fc.assert(
			fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
				const address = parseAddress(text)!;
				expect(parseAddress(address)).toBe(address);
				expect(addressOfBytes(addressBytes(address))).toBe(address);
			}),
		);
	});

	it('never throws', () => {
		fc.assert(fc.property(fc.string(), (text) => void parseAddress(text)));
	});
});

describe('addressBytes', () => {
	it('writes IPv4 as ::ffff:a.b.c.d', () => {
		expect([...addressBytes('10.1.2.3')]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3]);
	});

	it('refuses what is no address', () => {
		expect(() => addressBytes('1.2.3')).toThrow('1.2.3');
		expect(() => addressBytes('a:b')).toThrow('a:b');
		expect(() => requireAddress('x')).toThrow('cannot parse address "x"');
	});
});

describe('parseCidr', () => {
	const cases: readonly [string, string | undefined][] = [
		['10.1.2.3/16', '10.1.0.0/16'],
		['10.1.2.3', '10.1.2.3/32'],
		['fd00::1:2/64', 'fd00::/64'],
		['0.0.0.0/0', '0.0.0.0/0'],
		['::/0', '::/0'],
		['::ffff:10.1.0.0/112', '10.1.0.0/16'],
		['::ffff:10.1.0.0/20', undefined],
		['10.0.0.0/33', undefined],
		['fd00::/129', undefined],
		['10.0.0.0/', undefined],
		['10.0.0.0/a', undefined],
		['10.0.0.0/-1', undefined],
	];
	it.each(cases)('reads %j as %j', (text, expected) => {
		expect(parseCidr(text)).toBe(expected);
	});

	it('says what it could not read', () => {
		expect(() => requireCidr('10.0.0.0/99')).toThrow('cannot parse prefix "10.0.0.0/99"');
	});
});

describe('prefixes', () => {
	it('contain addresses of their own family only', () => {
		expect(cidrContains('10.0.0.0/8', '10.255.0.1')).toBe(true);
		expect(cidrContains('10.0.0.0/8', '11.0.0.0')).toBe(false);
		expect(cidrContains('0.0.0.0/0', 'fd00::1')).toBe(false);
		expect(cidrContains('::/0', '10.0.0.1')).toBe(false);
	});

	it('overlap when one contains the other', () => {
		expect(cidrsOverlap('10.0.0.0/8', '10.1.0.0/16')).toBe(true);
		expect(cidrsOverlap('10.1.0.0/16', '10.0.0.0/8')).toBe(true);
		expect(cidrsOverlap('10.1.0.0/16', '10.2.0.0/16')).toBe(false);
	});

	it('clear the bits after the prefix', () => {
		expect(networkAddress('10.1.2.255', 25)).toBe('10.1.2.128');
		expect(networkAddress('fd00:1:2:3::9', 48)).toBe('fd00:1:2::');
	});
});

describe('order and form', () => {
	it('sorts by family, then by value', () => {
		const sorted = ['fd00::1', '10.0.0.10', '10.0.0.9'].sort(compareAddresses);
		expect(sorted).toEqual(['10.0.0.9', '10.0.0.10', 'fd00::1']);
	});

	it('puts IPv6 into brackets before a port', () => {
		expect([formatEndpoint('10.0.0.1', 80), formatEndpoint('fd00::1', 80)]).toEqual(['10.0.0.1:80', '[fd00::1]:80']);
	});
});
