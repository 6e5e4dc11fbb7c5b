import { describe, expect, it } from 'vitest';
import { FakeKernel } from '../../test/lib/fake-kernel.ts';
import type { TableRow } from './table.ts';
import { applyTableOps, bytesKey, diffTable } from './table.ts';

const key = (n: number): Uint8Array => new Uint8Array(16).fill(n);
const value = (n: number): Uint8Array => new Uint8Array(8).fill(n);
const rows = (...numbers: [number, number][]): Map<string, TableRow> =>
	new Map(numbers.map(([k, v]) => [bytesKey(key(k)), { key: key(k), value: value(v) }]));

describe('diffTable', () => {
	it('adds, replaces and deletes what differs, additions first, and nothing else', () => {
		const actual: [Uint8Array, Uint8Array][] = [
			[key(1), value(1)],
			[key(2), value(2)],
			[key(3), value(3)],
		];
		const ops = diffTable(rows([1, 1], [2, 9], [4, 4]), actual, () => true);
		expect(ops.map((op) => `${op.kind} ${op.key[0]}`)).toEqual(['set 2', 'set 4', 'delete 3']);
	});

	it('leaves rows of others alone', () => {
		expect(diffTable(rows(), [[key(1), value(1)]], () => false)).toEqual([]);
	});
});

describe('applyTableOps', () => {
	it('tries again after the deletions when the map was full', () => {
		const kernel = new FakeKernel({ capacity: { ipcache: 1 } });
		kernel.mapSet('ipcache', key(1), value(1));
		const ops = diffTable(rows([2, 2]), kernel.mapEntries('ipcache'), () => true);
		expect(applyTableOps(ops, 'ipcache', kernel)).toEqual({ ops: 2, problems: [] });
		expect(kernel.mapGet('ipcache', key(2))).toEqual(value(2));
	});

	it('says which map is full and writes what fits', () => {
		const kernel = new FakeKernel({ capacity: { cidrs: 2 } });
		const report = applyTableOps(
			diffTable(rows([1, 1], [2, 2], [3, 3]), [], () => true),
			'cidrs',
			kernel,
		);
		expect(report.ops).toBe(2);
		expect(report.problems).toEqual([expect.stringContaining('E2BIG, all 2 entries used; raise maps.cidrs')]);
	});

	it('goes on after a refused entry', () => {
		const kernel = new FakeKernel();
		let calls = 0;
		kernel.fault = () => (calls++ === 0 ? 'EPERM' : undefined);
		const report = applyTableOps(
			diffTable(rows([1, 1], [2, 2]), [], () => true),
			'ipcache',
			kernel,
		);
		expect(report).toEqual({ ops: 1, problems: [expect.stringContaining('EPERM')] });
	});
});
