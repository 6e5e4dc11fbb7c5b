import { expect, it } from 'vitest';
import { countClosed } from './open-connections.ts';

it('takes what is gone off each backend, never below nothing, and passes over rows that are not there or used anew', () => {
	const generation = (n: number): number => n * 2 ** 24;
	const open = new Map([
		[3, 5],
		[4, 1],
		[5, generation(200) + 7],
		[6, generation(201) + 7],
	]);
	const rowOf = (key: Uint8Array): number => new DataView(key.buffer, key.byteOffset).getUint32(0, true);
	countClosed(
		{
			mapGet: (_map, key) => {
				const count = open.get(rowOf(key));
				return count === undefined ? undefined : new Uint8Array(Uint32Array.of(count).buffer);
			},
			mapSet: (_map, key, value) => void open.set(rowOf(key), rowOf(value)),
		},
		[3, 4, 3, 4, 9, generation(200) + 5, generation(200) + 6],
	);
	expect([...open]).toEqual([
		[3, 3],
		[4, 0],
		[5, generation(200) + 6],
		[6, generation(201) + 7],
	]);
});
