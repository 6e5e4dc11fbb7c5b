import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { nodePath } from './node-paths.ts';
import { Sysctl } from './sysctl.ts';
import { readRemembered, rememberFound } from './sysctl-record.ts';

let dir: string;
beforeEach(() => {
	dir = mkdtempSync(join(tmpdir(), 'fl-sysctl-'));
	mkdirSync(join(dir, 'net/ipv4'), { recursive: true });
	writeFileSync(join(dir, 'net/ipv4/ip_forward'), '0\n');
});
afterEach(() => rmSync(dir, { recursive: true }));

const FORWARD = { path: ['net', 'ipv4', 'ip_forward'], value: '1' };

describe('settings of the node', () => {
	it('are told with what they were, once', () => {
		const sysctl = new Sysctl(dir);
		const missing = { path: ['net', 'ipv6', 'none'], value: '1', optional: true };
		expect(sysctl.apply([FORWARD, missing])).toEqual([{ ...FORWARD, found: '0' }]);
		expect(readFileSync(join(dir, 'net/ipv4/ip_forward'), 'utf8')).toBe('1');
		expect(sysctl.apply([FORWARD])).toEqual([]);
	});

	it('are remembered as they were first found in this boot', () => {
		const file = join(dir, 'state/sysctls.json');
		expect(readRemembered(file, 'boot-1')).toEqual([]);
		rememberFound(file, 'boot-1', []);
		expect(readdirSync(dir)).toEqual(['net']);
		rememberFound(file, 'boot-1', [{ ...FORWARD, found: '0' }]);
		rememberFound(file, 'boot-1', [{ ...FORWARD, value: '2', found: '1' }]);
		expect(readRemembered(file, 'boot-1')).toEqual([{ path: 'net/ipv4/ip_forward', found: '0', set: '2' }]);
		expect(readRemembered(file, 'boot-2')).toEqual([]);
		rememberFound(file, 'boot-2', [{ ...FORWARD, found: '0' }]);
		expect(readRemembered(file, 'boot-2')).toEqual([{ path: 'net/ipv4/ip_forward', found: '0', set: '1' }]);
		expect(statSync(file).mode & 0o777).toBe(0o600);
		writeFileSync(file, 'garbage');
		expect(readRemembered(file, 'boot-2')).toEqual([]);
	});
});

describe('files of the node', () => {
	it('are taken from where a container has them, else from their place', () => {
		expect(nodePath('/net/ipv4', dir)).toBe(join(dir, 'net/ipv4'));
		expect(nodePath('/proc/sys/net', dir)).toBe('/proc/sys/net');
	});
});
