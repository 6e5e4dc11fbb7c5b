import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DEPTH_LIMIT, STACK_LIMIT, stackPaths } from './stack.ts';

const OBJECTS = join(import.meta.dirname, '../../dist/bpf');

describe('stack of the compiled programs, as kernels before 6.8 count it', () => {
	const programs = readdirSync(OBJECTS)
		.filter((name) => name.endsWith('.bpf.o'))
		.flatMap((name) => [...stackPaths(readFileSync(join(OBJECTS, name)))]);

	it('is found for all programs', () => {
		expect(programs.map(([name]) => name)).toEqual(
			expect.arrayContaining(['from_pod', 'to_pod', 'from_uplink', 'from_overlay', 'xdp_lb', 'sock_connect4']),
		);
		expect(programs.find(([name]) => name === 'from_pod')?.[1].functions.length).toBeGreaterThan(3);
	});

	it.each(programs)('fits: %s', (_, path) => {
		const functions = path.functions.map(({ name, bytes }) => `${name} ${bytes}`);
		expect({ ...path, functions, tooMuch: path.bytes > STACK_LIMIT }).toMatchObject({ tooMuch: false });
		expect(functions.length, functions.join(' > ')).toBeLessThanOrEqual(DEPTH_LIMIT);
	});
});
