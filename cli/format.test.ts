import { describe, expect, it } from 'vitest';
import { enumWord, formatAge, formatBytes, formatEndpoint, formatTimestamp } from './format.ts';
import { formatPairs, formatTable, toJson } from './output.ts';
import { parseCount, parsePort, parseTime } from './parse.ts';

describe('format', () => {
	it.each([
		[-5, '0ms'],
		[250, '250ms'],
		[999.6, '1000ms'],
		[1000, '1s'],
		[59_999, '59s'],
		[60_000, '1m'],
		[61_500, '1m1s'],
		[3_600_000, '1h'],
		[11_220_000, '3h7m'],
		[1_051_200_000, '12d4h'],
	])('writes an age of %d ms as %s', (ms, text) => {
		expect(formatAge(ms)).toBe(text);
	});

	it.each([
		[0, '0 B'],
		[1023, '1023 B'],
		[1024, '1.0 KiB'],
		[1536 * 1024, '1.5 MiB'],
		[2 ** 62, '4096.0 PiB'],
	])('writes %d bytes as %s', (bytes, text) => {
		expect(formatBytes(bytes)).toBe(text);
	});

	it.each([
		['10.0.0.1', 80, '10.0.0.1:80'],
		['fd00::1', 80, '[fd00::1]:80'],
		['fd00::1', 0, 'fd00::1'],
	])('writes %s and port %d as %s', (address, port, text) => {
		expect(formatEndpoint(address, port)).toBe(text);
	});

	it.each([
		[0, 'Z'],
		[120_000_000, '.12Z'],
		[1, '.000000001Z'],
	])('writes %d nanoseconds of a time as %s', (nanos, end) => {
		expect(formatTimestamp({ seconds: 1_769_860_800, nanos })).toBe(`2026-01-31T12:00:00${end}`);
	});

	it('shortens enum values of every kind', () => {
		expect(['VERDICT_DROPPED', 'FLOW_KIND_NAT_EXHAUSTED', 'PEER_KIND_REMOTE_NODE', 'OTHER'].map(enumWord)).toEqual([
			'dropped',
			'nat-exhausted',
			'remote-node',
			'other',
		]);
	});
});

describe('output', () => {
	it('aligns columns without borders or trailing spaces', () => {
		expect(
			formatTable(
				['NAME', 'N'],
				[
					['a-long-name', 1],
					['b', 22],
				],
			),
		).toBe('NAME          N\na-long-name   1\nb             22\n');
	});

	it('prints the head of an empty table', () => {
		expect(formatTable(['A', 'B'], [])).toBe('A   B\n');
	});

	it('aligns pairs', () => {
		expect(
			formatPairs([
				['A', 'x'],
				['Longer', 'y'],
			]),
		).toBe('A:        x\nLonger:   y\n');
		expect(formatPairs([])).toBe('');
	});

	it('turns messages into plain JSON', () => {
		const message = {
			time: { seconds: 0, nanos: 5_000_000 },
			idle: { seconds: 1, nanos: 500_000_000 },
			verdict: 'VERDICT_DROPPED',
			source: null,
			list: [{ kind: 'PEER_KIND_WORLD' }],
			entries: 3,
			_entries: 'entries',
			message: 'a text that is no oneof',
		};
		expect(toJson(message)).toEqual({
			time: '1970-01-01T00:00:00.005Z',
			idle: 1.5,
			verdict: 'dropped',
			list: [{ kind: 'world' }],
			entries: 3,
			message: 'a text that is no oneof',
		});
	});
});

describe('parse', () => {
	const now = new Date('2026-01-31T12:00:00Z');

	it.each([
		['5m', '2026-01-31T11:55:00.000Z'],
		['1h30m', '2026-01-31T10:30:00.000Z'],
		['250ms', '2026-01-31T11:59:59.750Z'],
		['1d', '2026-01-30T12:00:00.000Z'],
		['2026-01-31T11:00:00+01:00', '2026-01-31T10:00:00.000Z'],
		['2026-01-31', '2026-01-31T00:00:00.000Z'],
	])('understands the time %s', (text, expected) => {
		expect(new Date(parseTime(text, now)).toISOString()).toBe(expected);
	});

	it.each(['', '5', 'm', '5m!', 'x5m', '5 m', '31.1.2026', '12'])('refuses the time %j', (text) => {
		expect(() => parseTime(text, now)).toThrow('Expected a duration');
	});

	it.each(['', '-1', '1.5', '1e3', '0x10', '99999999999999999999'])('refuses the count %j', (text) => {
		expect(() => parseCount(text)).toThrow('Expected a number');
	});

	it('takes ports from 1 to 65535', () => {
		expect([parsePort('1'), parsePort('65535')]).toEqual([1, 65535]);
		for (const text of ['0', '65536', 'http']) expect(() => parsePort(text)).toThrow('Expected');
	});
});
