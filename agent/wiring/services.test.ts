import { afterEach, describe, expect, it } from 'vitest';
import { PeerKind } from '../../native/abi/generated.ts';
import { clusterOf, endpoint, FACTS, service, slice } from '../../test/lib/cluster-builder.ts';
import { FakeKernel } from '../../test/lib/fake-kernel.ts';
import { readBackend, readServices } from '../../test/lib/service-maps.ts';
import { loadConfig } from '../config/config.ts';
import type { Config } from '../config/schema.ts';
import type { NodeFacts } from '../model/node-facts.ts';
import { type LocalPod, PeerIndex } from '../reconcile/services-peers.ts';
import { isKept, ServicePlanner } from './services.ts';

function configOf(file: string): Config {
	const environment = { FAIRLEAD_CONFIG: '/config' };
	const loaded = loadConfig({ args: [], environment, readFile: () => file, hostName: () => 'node-a' });
	if ('exit' in loaded) throw new Error(loaded.text);
	return loaded.values;
}

const planners: ServicePlanner[] = [];
afterEach(async () => {
	for (const planner of planners.splice(0)) await planner.close();
});

/** One service with an external address and an endpoint in each of two zones. */
async function setUp(file = '{}') {
	const kernel = new FakeKernel();
	const hints = (zone: string, host: number) => endpoint(`10.244.${host}.5`, { zoneHints: [zone] });
	const store = clusterOf(
		[service('web', { externalIps: ['203.0.113.1'] })],
		[slice('web', [hints('zone-1', 1), hints('zone-2', 2)])],
	);
	const node = { facts: FACTS as NodeFacts, pods: [] as LocalPod[] };
	const reports: { done: () => void }[] = [];
	const planner = new ServicePlanner({
		view: store,
		kernel,
		config: configOf(file),
		facts: () => node.facts,
		hostPorts: () => [],
		peers: new PeerIndex(),
		pods: () => node.pods,
		onReport: () => reports.shift()?.done(),
		onProblems: (problems) => {
			throw new Error(problems.join('; '));
		},
	});
	planners.push(planner);
	await planner.start();
	const hosts = (prefix: string): string =>
		[...new Set(readServices(kernel).services.find(({ key }) => key.startsWith(prefix))?.all)]
			.map((key) => key.split('.')[2])
			.sort()
			.join(' ');
	const next = (): Promise<void> => new Promise((done) => reports.push({ done }));
	return { kernel, store, node, planner, hosts, next };
}

describe('ServicePlanner', () => {
	it('plans everything anew when the zone of the node changes, and only then', async () => {
		const { node, planner, hosts, next } = await setUp();
		expect(hosts('10.96.0.10|80')).toBe('1');
		planner.onFacts();
		node.facts = { ...FACTS, zone: 'zone-2' };
		const applied = next();
		planner.onFacts();
		await applied;
		expect(hosts('10.96.0.10|80')).toBe('2');
	});

	it('plans everything anew for a zone that a single change was planned with before', async () => {
		const { node, planner, hosts, next } = await setUp();
		node.facts = { ...FACTS, zone: 'zone-2' };
		planner.onChange({ services: new Set(['default/other']) });
		const applied = next();
		expect(planner.onFacts()).toBe(true);
		await applied;
		expect(hosts('10.96.0.10|80')).toBe('2');
	});

	it('follows the pods of the node in the rows of their backends', async () => {
		const { kernel, node, planner } = await setUp();
		expect(readBackend(kernel, 1).peer.kind).toBe(PeerKind.UNKNOWN);
		node.pods = [{ addresses: ['10.244.1.5'], index: 3, gen: 7 }];
		planner.onPods();
		expect(readBackend(kernel, 1).peer).toEqual({ kind: PeerKind.LOCAL_POD, index: 3, gen: 7 });
		node.pods = [];
		planner.onPods();
		expect(readBackend(kernel, 1).peer.kind).toBe(PeerKind.UNKNOWN);
	});

	it.each([
		['{}', ['10.96.0.10|0', '10.96.0.10|80', '203.0.113.1|80'], 2],
		['externalIps: false', ['10.96.0.10|0', '10.96.0.10|80'], 1],
		['serviceProxyName: mine', [], 0],
		['lbAlgorithm: maglev', ['10.96.0.10|0', '10.96.0.10|80', '203.0.113.1|80'], 2290],
		['northSouth: dsr', ['10.96.0.10|0', '10.96.0.10|80', '203.0.113.1|80'], 2040],
	])('takes %s from the configuration', async (file, entries, slots) => {
		const { kernel } = await setUp(file);
		const { services, faults } = readServices(kernel);
		expect(faults).toEqual([]);
		expect(services.map(({ key }) => key.split('|').slice(0, 2).join('|'))).toEqual(entries);
		expect(services.reduce((sum, { all }) => sum + all.length, 0)).toBe(slots);
	});
});

describe('Services for which a map has no room', () => {
	it('are warnings, at most 20, and no failure of the node', async () => {
		const names = Array.from({ length: 25 }, (_, i) => `web-${i}`);
		const store = clusterOf(
			names.map((name, i) => service(name, { clusterIps: [`10.96.1.${i + 1}`] })),
			names.map((name, i) => slice(name, [`10.244.1.${i + 1}`])),
		);
		const planner = new ServicePlanner({
			...{ view: store, kernel: new FakeKernel({ capacity: { backends: 4 } }), config: configOf('{}') },
			...{ facts: () => FACTS, hostPorts: () => [], onReport: () => undefined, onProblems: () => undefined },
		});
		planners.push(planner);
		const report = await planner.start();
		expect([report.failures, report.refused.length]).toEqual([[], 22]);
		expect(planner.warnings).toHaveLength(21);
		expect(planner.warnings[0]).toMatch(/^not served: default\/web-\d+: map backends: no room/);
		expect(planner.warnings.at(-1)).toBe('not served either: 2 more, for want of room');
	});
});

describe('isKept', () => {
	const { endpointSlices } = clusterOf([service('web')], [slice('web', [endpoint('10.244.0.1', { ready: false })])]);
	const [listed] = endpointSlices.values();
	const owner = 'default/web';
	const view = { slicesOf: (name: string) => (name === owner && listed !== undefined ? [listed] : []) };
	const gone = { address: '10.244.0.1', port: 8080, proto: 6, svcId: 1, frontends: [] };

	it.each([
		['keeps connections to an endpoint that is only not ready', { ...gone, owner }, true],
		['gives up those to an endpoint that is in no slice any more', { ...gone, owner, address: '10.244.0.2' }, false],
		['gives up those of a service that is gone', { ...gone, owner: 'default/other' }, false],
		['sends datagrams elsewhere at once', { ...gone, owner, proto: 17 }, false],
		['gives up what a service left behind that went while no agent ran', gone, false],
	])('%s', (_what, each, kept) => {
		expect(isKept(view, each)).toBe(kept);
	});
});
