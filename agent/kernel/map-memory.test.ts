import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { MapSpec } from '../../native/abi/codec.ts';
import { type MapName, Maps } from '../../native/abi/generated.ts';
import { BpfObject, possibleCpus } from '../../native/index.ts';
import { BPF_OUTPUT, buildPrograms } from '../../scripts/build-bpf.ts';
import { plannedMemory } from './datapath.ts';
import { mapBytes } from './map-memory.ts';
import { MAP_GROUPS } from './map-policy.ts';

beforeAll(async () => {
	await buildPrograms();
});

/** Bytes the kernel has charged for each map this process holds, by map id. */
function charged(): Map<number, number> {
	const found = new Map<number, number>();
	for (const fd of readdirSync('/proc/self/fd')) {
		try {
			if (!readlinkSync(`/proc/self/fd/${fd}`).includes('bpf-map')) continue;
			const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
			const number = (field: string) => Number(new RegExp(`^${field}:\\s*(\\d+)`, 'm').exec(info)?.[1]);
			found.set(number('map_id'), number('memlock'));
		} catch {
			// closed meanwhile: the listing's own descriptor
		}
	}
	return found;
}

/** These allocate as they fill: the estimate is for a full map, what is charged when empty is less. */
const BPF_F_NO_PREALLOC = 1;

describe('memory of maps', () => {
	it('estimates what the kernel charges for every preallocated map within a twentieth', async () => {
		const object = BpfObject.open(join(BPF_OUTPUT, 'xdp_lb.bpf.o'));
		try {
			await object.load();
			const actual = charged();
			const wrong: string[] = [];
			for (const spec of Object.values(Maps) as MapSpec[]) {
				const bytes = actual.get(object.map(spec.name).info.id) ?? Number.NaN;
				const estimate = mapBytes(spec, spec.maxEntries, possibleCpus());
				expect(bytes, spec.name).toBeGreaterThanOrEqual(0);
				const slack = Math.max(bytes / 20, 4096); // page rounding and the map's own header
				const tooLow = estimate < bytes - slack;
				const tooHigh = (spec.flags & BPF_F_NO_PREALLOC) === 0 && estimate > bytes + slack;
				if (tooLow || tooHigh) wrong.push(`${spec.name}: ${estimate} instead of ${bytes}`);
			}
			expect(wrong).toEqual([]);
		} finally {
			object.close();
		}
	});

	it('lists all maps at their configured sizes, largest first', () => {
		const memory = plannedMemory({ sources: 10_000_000 });
		expect(memory.map((each) => each.map).sort()).toEqual(Object.keys(Maps).sort());
		expect(memory[0]).toMatchObject({ map: 'sources', maxEntries: 10_000_000 });
		expect(memory.map((each) => each.bytes)).toEqual(memory.map((each) => each.bytes).toSorted((a, b) => b - a));
	});
});

describe('policy of maps', () => {
	it('says for every map, once, what happens to its content', () => {
		const named: MapName[] = MAP_GROUPS.flatMap((group) => group.maps);
		expect(named.toSorted()).toEqual(Object.keys(Maps).toSorted());
	});
});
