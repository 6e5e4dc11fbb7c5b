/** Holds the sizes and the map memory that docs/scale.md computes with against the code. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { plannedMemory } from '../agent/kernel/datapath.ts';
import { type MapName, Maps } from '../native/abi/generated.ts';
import { generateCluster, generatedSlice } from './apiserver/generate.ts';
import { findKind } from './apiserver/kinds.ts';
import { Storage } from './apiserver/storage.ts';

const MIB = 1024 * 1024;
/** As agents without IPv6 set it (agent/wiring/datapath-settings.ts). */
const CT6_WITHOUT_IPV6 = 1024;
const TEXT = readFileSync(join(import.meta.dirname, '../docs/scale.md'), 'utf8');

/** Cells of the table whose first line begins so, without that line. */
function tableOf(head: string): string[][] {
	const lines = TEXT.slice(TEXT.indexOf(head)).split('\n');
	const end = lines.findIndex((line) => !line.startsWith('|'));
	return lines.slice(2, end).map((line) =>
		line
			.slice(1, -1)
			.split('|')
			.map((cell) => cell.trim()),
	);
}

const numberOf = (text: string): number => Number(text.replaceAll(',', ''));

describe('docs/scale.md', () => {
	const rows = tableOf('| map | default |');
	const columns = [1, 2, 3];

	it('says what each map takes, and names the compiled sizes as the default', () => {
		expect(rows.length).toBeGreaterThan(5);
		for (const [name = '', ...cells] of rows.slice(0, -1)) {
			for (const cell of cells) {
				const [entries = '', mib = ''] = cell.split(' = ');
				const sizes = { [name]: numberOf(entries) };
				const bytes = plannedMemory(sizes).find(({ map }) => map === name)?.bytes ?? 0;
				expect([name, entries, mib]).toEqual([name, entries, (bytes / MIB).toFixed(1)]);
			}
			expect([name, numberOf(cells[0]?.split(' = ')[0] ?? '')]).toEqual([name, Maps[name as MapName].maxEntries]);
		}
	});

	it.each(columns)('adds up what all maps take in column %i', (column) => {
		const named = rows.slice(0, -1).map((cells) => [cells[0], numberOf(cells[column]?.split(' = ')[0] ?? '')]);
		const memory = plannedMemory({ ...Object.fromEntries(named), ct6: CT6_WITHOUT_IPV6 });
		const total = memory.reduce((sum, { bytes }) => sum + bytes, 0) / MIB;
		// maps per CPU differ between machines
		expect(Math.abs(numberOf(rows.at(-1)?.[column] ?? '') - total)).toBeLessThan(1);
	});

	it('has the sizes of objects as the benchmark makes them', () => {
		const storage = new Storage();
		generateCluster(storage, { services: 100, endpoints: 10, nodes: 100, pods: 1000, policies: 10 });
		const sizeOf = (apiVersion: string, kind: string): number => {
			const info = findKind(apiVersion, kind);
			if (info === undefined) throw new Error(kind);
			const { versions } = storage.list(info, '', () => true, 0, '');
			return versions.reduce((sum, { json }) => sum + json.length, 0) / versions.length;
		};
		const sizes: Readonly<Record<string, number>> = {
			Service: sizeOf('v1', 'Service'),
			'EndpointSlice of 10 endpoints': sizeOf('discovery.k8s.io/v1', 'EndpointSlice'),
			'EndpointSlice of 100 endpoints': JSON.stringify(generatedSlice(1, 100)).length,
			Node: sizeOf('v1', 'Node'),
			Pod: sizeOf('v1', 'Pod'),
			NetworkPolicy: sizeOf('networking.k8s.io/v1', 'NetworkPolicy'),
		};
		const said = Object.fromEntries(
			tableOf('| object | bytes |').map(([kind = '', size = '']) => [kind, numberOf(size)]),
		);
		expect(Object.keys(said)).toEqual(Object.keys(sizes));
		for (const [kind, size] of Object.entries(sizes)) {
			expect([kind, Math.abs((said[kind] ?? 0) / size - 1) < 0.03]).toEqual([kind, true]);
		}
	});
});
