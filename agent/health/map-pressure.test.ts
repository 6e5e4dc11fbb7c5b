import { describe, expect, it } from 'vitest';
import { PressureWatch, pressureOf } from './map-pressure.ts';

const nat = (entries: number | undefined) => ({ name: 'nat', entries, capacity: 1000 });

describe('pressure on a map', () => {
	it('is told once at 70 %, kept while it lasts and taken back when it is over', () => {
		const watch = new PressureWatch();
		expect(watch.look([nat(699)])).toEqual({ raised: [], relieved: [] });
		const { raised } = watch.look([nat(700)]);
		expect(raised).toEqual([
			'map nat: 700 of 1000 entries used (70 %); when full, new ones are refused: raise maps.nat',
		]);
		expect(watch.look([nat(850)])).toEqual({ raised: [], relieved: [] });
		expect(watch.warnings).toEqual([expect.stringContaining('850 of 1000') as string]);
		expect(watch.look([nat(650)])).toEqual({ raised: [], relieved: [] });
		expect(watch.look([nat(649)])).toEqual({ raised: [], relieved: ['nat'] });
		expect(watch.warnings).toEqual([]);
	});

	it('stays as it was told while nobody knows the occupancy', () => {
		const watch = new PressureWatch();
		watch.look([nat(900)]);
		expect(watch.look([nat(undefined)])).toEqual({ raised: [], relieved: [] });
		expect(watch.warnings).toHaveLength(1);
		expect(pressureOf(nat(undefined))).toBeUndefined();
	});

	it('is looked at once a second', () => {
		const watch = new PressureWatch();
		expect([0, 999, 1000, 1500, 2000].map((ms) => watch.isDue(ms))).toEqual([true, false, true, false, true]);
	});

	it('names the key that helps, where one does', () => {
		const watch = new PressureWatch();
		watch.look(['ct4', 'endpoints', 'affinity'].map((name) => ({ name, entries: 9, capacity: 10 })));
		expect(watch.warnings.map((text) => text.split('; ')[1])).toEqual([
			'when full, the least recently used go: raise maps.affinity',
			'when full, the least recently used go: raise ctMaxEntries',
			'when full, new ones are refused: its size is fixed',
		]);
	});
});
