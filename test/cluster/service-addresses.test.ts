import { describe, expect, it } from 'vitest';
import { useCluster } from '../lib/cluster/use.ts';
import { runCases } from '../lib/service-probes.ts';
import {
	Addresses,
	allCases,
	CLIENTS,
	KINDS,
	PROXIED,
	placeOf,
	populateServices,
	SPECIAL,
	targetsExist,
	UNDEFINED,
} from '../lib/service-table.ts';

describe.each(['vxlan', 'direct'] as const)('service addresses with routing %s', (routing) => {
	const failures = new Map<string, Map<string, string[]>>();
	useCluster({ routing }, async (made) => {
		await populateServices(made);
		const addresses = new Addresses(made);
		await Promise.all(
			CLIENTS.map(async (c) => {
				const { place, ...options } = placeOf(made, c);
				failures.set(c.title, await runCases(place, allCases(addresses, c), options));
			}),
		);
	});

	describe.each(CLIENTS.map((c) => [c.title, c] as const))('%s', (_title, c) => {
		const found = (group: string): string[] | undefined => failures.get(c.title)?.get(group);
		const kinds = KINDS.filter((kind) => targetsExist(c, kind));

		it.each(kinds)('reaches pods and host processes of both nodes, and itself, by %s', (kind) => {
			expect(found(kind)).toEqual([]);
		});

		it.each(SPECIAL.map(({ title }) => title))('%s', (title) => {
			expect(found(title)).toEqual([]);
		});
	});

	const askers = CLIENTS.filter((c) => targetsExist(c, 'ClusterIP')).map(({ title }) => title);
	it.each(askers)(`%s ${UNDEFINED}`, (title) => {
		expect(failures.get(title)?.get(UNDEFINED)).toEqual([]);
	});

	const inside = CLIENTS.filter((c) => c.kind !== 'outside').map(({ title }) => title);
	it.each(inside)(`%s ${PROXIED}`, (title) => {
		expect(failures.get(title)?.get(PROXIED)).toEqual([]);
	});
});
