import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DropReason } from '../../native/abi/generated.ts';
import { DROP_NUMBERS, DROP_TEXTS, dropReasonName, dropReasonNumber, dropText } from './drop-reasons.ts';

const header = readFileSync(new URL('../../bpf/abi/drop.h', import.meta.url), 'utf8');
const inHeader = [...header.matchAll(/DROP_REASON_(\w+) = (\d+)/g)].map(
	(match) => [match[1], Number(match[2])] as const,
);

describe('drop reasons', () => {
	it('explains every reason of bpf/abi/drop.h and no other', () => {
		const expected = inHeader.map(([name]) => name).filter((name) => name !== 'NONE' && name !== 'MAX');
		expect(Object.keys(DROP_TEXTS).sort()).toEqual(expected.sort());
		expect(expected.length).toBeGreaterThan(20);
	});

	it('says what to do about each, in sentences', () => {
		for (const [name, { text, remedy }] of Object.entries(DROP_TEXTS)) {
			expect(text, name).toMatch(/^[a-z].*[^.]$/);
			expect(remedy, name).toMatch(/^[A-Z].*\.$/s);
		}
	});

	it('gives every reason a different text', () => {
		const texts = Object.values(DROP_TEXTS).map(({ text }) => text);
		expect(new Set(texts).size).toBe(texts.length);
	});

	it('maps to numbers that the Hubble CLI prints and that are not deprecated', () => {
		for (const [name, { hubble }] of Object.entries(DROP_TEXTS)) {
			expect(hubble, name).toBeGreaterThanOrEqual(132);
			expect(hubble, name).toBeLessThanOrEqual(205);
			expect([138, 148, 149, 152, 159, 186], name).not.toContain(hubble);
		}
	});

	it('finds a number by its name in any spelling, and back', () => {
		for (const number of DROP_NUMBERS) expect(dropReasonNumber(dropReasonName(number))).toBe(number);
		expect(dropReasonNumber('No-Backend')).toBe(DropReason.NO_BACKEND);
		for (const none of ['NONE', 'MAX', 'toString', '']) expect(dropReasonNumber(none)).toBeUndefined();
	});

	it('names numbers it does not know without failing', () => {
		expect(dropReasonName(250)).toBe('reason_250');
		expect(dropText(250).text).toContain('does not know');
	});
});
