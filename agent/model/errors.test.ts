import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ERROR_CODES } from './error-codes.ts';
import { errorCode, errorMessage, FairleadError } from './errors.ts';

describe('error codes', () => {
	it('are explained in docs/errors.md, each once and no other', () => {
		const text = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');
		const documented = [...text.matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, code]) => code);
		expect(documented.sort()).toEqual(Object.keys(ERROR_CODES).sort());
	});
});

describe('FairleadError', () => {
	it('carries code, cause and fields apart from the message', () => {
		const cause = new Error('EACCES');
		const error = new FairleadError('MAP_WRITE', 'map x: cannot add y: EACCES', { cause, map: 'x' });
		expect(error).toMatchObject({ code: 'MAP_WRITE', name: 'FairleadError', cause, fields: { map: 'x' } });
		expect(error.fields).not.toHaveProperty('cause');
	});
});

describe('errorMessage and errorCode', () => {
	it('make text of anything that can be thrown', () => {
		const cyclic: Record<string, unknown> = {};
		cyclic.self = cyclic;
		const things = [new Error('a'), 'b', 7, null, undefined, { x: 1 }, cyclic, 1n, Symbol('s')];
		expect(things.map(errorMessage)).toEqual([
			'a',
			'b',
			'7',
			'null',
			'undefined',
			'{"x":1}',
			'[object Object]',
			'[object BigInt]',
			'Symbol(s)',
		]);
	});

	it('find string codes only', () => {
		expect([{ code: 'ENOENT' }, { code: 2 }, null, 'x'].map(errorCode)).toEqual([
			'ENOENT',
			undefined,
			undefined,
			undefined,
		]);
	});
});
