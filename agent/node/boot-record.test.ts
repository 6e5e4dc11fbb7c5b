import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { noteBoot } from './boot-record.ts';

let directory = '';
beforeEach(() => {
	directory = mkdtempSync(join(tmpdir(), 'fl-boot-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

describe('noteBoot', () => {
	it('tells a reboot from a restart, and neither from a new state directory', () => {
		const state = join(directory, 'state');
		expect(noteBoot(state, 'b1')).toBe('first');
		expect(noteBoot(state, 'b1')).toBe('same');
		expect(noteBoot(state, 'b2')).toBe('rebooted');
		expect(noteBoot(state, 'b2')).toBe('same');
		expect(readdirSync(state)).toEqual(['boot-id']);
	});
});
