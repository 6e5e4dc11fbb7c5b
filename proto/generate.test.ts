import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { generate } from './generate.ts';
import { loadAgentApi } from './load.ts';

function filesOf(dir: string): Record<string, string> {
	const names = readdirSync(dir, { recursive: true, withFileTypes: true })
		.filter((entry) => entry.isFile())
		.map((entry) => join(entry.parentPath, entry.name));
	return Object.fromEntries(names.map((name) => [name.slice(dir.length), readFileSync(name, 'utf8')]));
}

describe('generated types', () => {
	it('are what the .proto files give today', { timeout: 30_000 }, () => {
		const dir = mkdtempSync(join(tmpdir(), 'fairlead-proto-'));
		try {
			generate(dir);
			expect(filesOf(dir)).toEqual(filesOf(join(import.meta.dirname, 'generated')));
		} finally {
			rmSync(dir, { recursive: true });
		}
	});

	it('describe the service that is loaded at run time', () => {
		const { service } = loadAgentApi().Agent;
		expect(Object.keys(service).sort()).toEqual([
			'ExplainFlow',
			'GetConfig',
			'GetPolicy',
			'GetService',
			'GetStatus',
			'ListConntrack',
			'ListDrops',
			'ListEndpoints',
			'ListNodes',
			'ListPolicies',
			'ListServices',
			'ObserveFlows',
			'TracePolicy',
		]);
		expect(service.ObserveFlows.path).toBe('/fairlead.v1.Agent/ObserveFlows');
		expect(service.ObserveFlows.responseStream).toBe(true);
	});
});
