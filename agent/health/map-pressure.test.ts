import { describe, expect, it, vi } from 'vitest';
import { PressureWatch, pressureOf } from './map-pressure.ts';

const ipcache = (entries: number | undefined) => ({ name: 'ipcache', entries, capacity: 1000 });

describe('pressure on a map', () => {
	it('is told once at 70 %, kept while it lasts and taken back when it is over', () => {
		const watch = new PressureWatch();
		expect(watch.look([ipcache(699)])).toEqual({ raised: [], relieved: [] });
		const { raised } = watch.look([ipcache(700)]);
		expect(raised).toEqual([
			'map ipcache: 700 of 1000 entries used (70 %); when full, new ones are refused: raise maps.ipcache',
		]);
		expect(watch.look([ipcache(850)])).toEqual({ raised: [], relieved: [] });
		expect(watch.warnings).toEqual([expect.stringContaining('850 of 1000') as string]);
		expect(watch.look([ipcache(650)])).toEqual({ raised: [], relieved: [] });
		expect(watch.look([ipcache(649)])).toEqual({ raised: [], relieved: ['ipcache'] });
		expect(watch.warnings).toEqual([]);
	});

	it('stays as it was told while nobody knows the occupancy', () => {
		const watch = new PressureWatch();
		watch.look([ipcache(900)]);
		expect(watch.look([ipcache(undefined)])).toEqual({ raised: [], relieved: [] });
		expect(watch.warnings).toHaveLength(1);
		expect(pressureOf(ipcache(undefined))).toBeUndefined();
	});

	it('is looked at once a second, and after the last change', () => {
		vi.useFakeTimers();
		try {
			const watch = new PressureWatch();
			const looks: number[] = [];
			const start = Date.now();
			const ask = () => watch.soon(() => void looks.push(Date.now() - start));
			ask();
			ask();
			vi.advanceTimersByTime(999);
			ask();
			expect(looks).toEqual([0]);
			vi.advanceTimersByTime(5000);
			expect(looks).toEqual([0, 1000]);
			ask();
			expect(looks).toEqual([0, 1000, 5999]);
		} finally {
			vi.useRealTimers();
		}
	});

	it('says what it leads to, and names the key that helps, where one does', () => {
		const watch = new PressureWatch();
		watch.look(['ct4', 'ctfull4', 'endpoints', 'affinity'].map((name) => ({ name, entries: 9, capacity: 10 })));
		expect(watch.warnings.map((text) => text.split('; ')[1])).toEqual([
			'when full, the least recently used go: raise maps.affinity',
			'when full, new flows evict each other: raise ctMaxEntries',
			'when full, the least recently used go: raise ctMaxEntries',
			'when full, new ones are refused: its size is fixed',
		]);
	});
});
