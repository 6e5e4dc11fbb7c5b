/**
 * Random services and policies on two real nodes, as they are first and after random changes: who answers, and which source address the server sees, is
 * held against the rules, in every way that packets of services take between nodes.
 *   FAIRLEAD_TEST_SEED=123 [FAIRLEAD_TEST_RUNS=8] vitest run test/cluster/service-differential.test.ts [-t 'routing direct']
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { useCluster } from '../lib/cluster/use.ts';
import { Random } from '../lib/packet/mutate.ts';
import { runCases } from '../lib/service-probes.ts';
import { randomPolicies } from './random-policies.ts';
import { changedRandomly, NODES, randomObjects } from './random-services.ts';
import {
	awaitObjects,
	awaitXdp,
	CLIENTS,
	type ClusterClient,
	casesOf,
	placeOf,
	populate,
	type Round,
	write,
} from './service-differential.ts';

const SERVICES = 8;
const seed = Number(process.env.FAIRLEAD_TEST_SEED ?? Date.now() & 0x7fffffff);
console.info(`random services of a cluster: FAIRLEAD_TEST_SEED=${seed}`);

const MODES = [
	{ routing: 'vxlan', northSouth: 'snat', dsr: 'ipip', xdp: 'off' },
	{ routing: 'direct', northSouth: 'snat', dsr: 'ipip', xdp: 'native' },
	{ routing: 'vxlan', northSouth: 'dsr', dsr: 'ipip', xdp: 'native' },
	{ routing: 'direct', northSouth: 'dsr', dsr: 'ipip', xdp: 'off' },
	{ routing: 'vxlan', northSouth: 'dsr', dsr: 'vxlan', xdp: 'native' },
] as const;

/** As many source ports as there are serve eight. */
const CHANGES = Number(process.env.FAIRLEAD_TEST_RUNS ?? 3);
/** What happens before each comparison. */
const ROUNDS = Array.from({ length: CHANGES + 1 }, (_, n) => {
	const away = n > 0 && n % 3 === 0;
	return { title: n === 0 ? 'at first' : `after change ${n}${away ? ', while an agent was away' : ''}`, away };
});

describe.each(MODES.map((mode, n) => ({ ...mode, n })))(
	'random services with routing $routing, $northSouth (by $dsr) and XDP $xdp',
	({ routing, n, ...config }) => {
		const random = new Random(seed + n);
		let round: Round = {
			...{ services: [], slices: [], policies: [] },
			homes: [],
			number: -1,
			count: SERVICES,
			dsr: config.northSouth === 'dsr',
		};
		const cluster = useCluster({ routing, withoutAgents: true, config }, async (made) => {
			// nodes see changes at different times: new backends of one may wait where those of the other do not
			for (const node of made.nodes) node.configure({ lbTransitionMs: random.pick([0, 1000, 30_000]) });
			round = { ...round, homes: await populate(made, config) };
		});

		/** Makes the objects of the next round. */
		async function goOn(away: boolean): Promise<void> {
			const next: Round = {
				...round,
				...(round.number < 0
					? randomObjects(random, SERVICES, round.homes)
					: changedRandomly(random, round, round.homes)),
				policies: randomPolicies(random, round.homes, round.number + 1),
				number: round.number + 1,
			};
			const without = away ? cluster().node(random.pick(NODES)) : undefined;
			await without?.killAgent();
			write(cluster(), round, next);
			without?.startAgent();
			round = next;
			await awaitObjects(cluster(), round);
			if (config.xdp === 'native' && round.number === 0) await awaitXdp(cluster());
		}

		async function expectAnswers(c: ClusterClient): Promise<void> {
			const { place, ...options } = placeOf(cluster(), c, round);
			const cases = casesOf(cluster(), round, c);
			expect(cases.length).toBeGreaterThan(SERVICES);
			const failures = (await runCases(place, cases, options)).get(c.title) ?? [];
			const about = [...round.services, ...round.slices]
				.filter(({ metadata: { name, labels } }) => {
					const owner = labels?.['kubernetes.io/service-name'] ?? name;
					return failures.some((line) => line.startsWith(`${owner}:`));
				})
				.map((object) => JSON.stringify(object))
				.concat(round.policies.map((object) => JSON.stringify(object)));
			expect(failures, `seed ${seed}\n${about.join('\n')}`).toEqual([]);
		}

		describe.each(ROUNDS)('$title', ({ away }) => {
			beforeAll(() => goOn(away));

			it.concurrent.each(CLIENTS.map((c) => [c.title, c] as const))('answer %s as the rules say', (_, c) =>
				expectAnswers(c),
			);
		});
	},
);
