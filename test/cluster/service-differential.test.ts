/**
 * Random services on two real nodes: who answers, and which source address the server sees, is held against the rules.
 *   FAIRLEAD_TEST_SEED=123 vitest run test/cluster/service-differential.test.ts
 */
import { describe, expect, it } from 'vitest';
import { useCluster } from '../lib/cluster/use.ts';
import { Random } from '../lib/packet/mutate.ts';
import { runCases } from '../lib/service-probes.ts';
import { CLIENTS, casesOf, type Home, type Objects, placeOf, publishRandom } from './service-differential.ts';

const SERVICES = 16;
const seed = Number(process.env.FAIRLEAD_TEST_SEED ?? Date.now() & 0x7fffffff);

describe('random services of a cluster', () => {
	let objects: Objects & { readonly homes: readonly Home[] };
	const cluster = useCluster({ routing: 'vxlan' }, async (made) => {
		console.info(`random services of a cluster: FAIRLEAD_TEST_SEED=${seed}`);
		objects = await publishRandom(made, new Random(seed), SERVICES);
	});

	it.each(CLIENTS.map((c) => [c.title, c] as const))('answer %s as the rules say', async (title, c) => {
		const { place, ...options } = placeOf(cluster(), c);
		const cases = casesOf(cluster(), objects, c);
		expect(cases.length).toBeGreaterThan(SERVICES);
		const failures = (await runCases(place, cases, options)).get(title) ?? [];
		const about = objects.services
			.filter(({ spec }) => failures.some((line) => (spec.clusterIPs ?? []).some((ip) => line.includes(ip))))
			.map((service) => JSON.stringify(service));
		expect(failures, `seed ${seed}\n${about.join('\n')}`).toEqual([]);
	});
});
