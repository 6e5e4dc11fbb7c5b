import { describe, expect, it } from 'vitest';
import { CONTEXT, clusterOf, endpoint, service, slice } from '../../test/lib/cluster-builder.ts';
import type { Endpoint } from '../model/endpoint-slice.ts';
import type { Service } from '../model/service.ts';
import { planServices, replanServices } from './services.ts';

const address = (i: number): string => `10.0.0.${i + 1}`;
const node = (i: number): string => (i % 2 === 0 ? 'node-a' : 'node-b');
const ENDPOINTS = Array.from({ length: 10 }, (_, i) => endpoint(address(i), { node: node(i) }));

const SERVICES: readonly [string, Partial<Service>][] = [
	['ClusterIP', {}],
	[
		'Local',
		{ type: 'LoadBalancer', loadBalancerIps: ['203.0.113.1'], externalPolicy: 'Local', internalPolicy: 'Local' },
	],
	['Maglev', { type: 'NodePort', externalIps: ['192.0.2.1'], lbAlgorithm: 'maglev' }],
];

const CHANGES: readonly [string, (all: readonly Endpoint[]) => readonly Endpoint[]][] = [
	['nothing changes', (all) => all],
	['one is not ready', (all) => all.map((each, i) => (i === 4 ? { ...each, ready: false, serving: false } : each))],
	[
		'one is terminating',
		(all) => all.map((each, i) => (i === 4 ? { ...each, ready: false, terminating: true } : each)),
	],
	['one has moved', (all) => all.map((each, i) => (i === 4 ? { ...each, node: 'node-a' } : each))],
	['one is new', (all) => [endpoint('10.0.0.0'), ...all]],
	['all are gone', () => []],
];

const CASES = SERVICES.flatMap(([kind, over]) => CHANGES.map(([what, change]) => [kind, what, over, change] as const));

describe('a service planned again', () => {
	it.each(CASES)('is planned as anew, with what it had where it can: %s, %s', (_kind, _what, over, change) => {
		const web = service('web', over);
		const view = (endpoints: readonly Endpoint[]) => clusterOf([web], [slice('web', endpoints)]);
		const before = planServices(view(ENDPOINTS), [], CONTEXT);
		const changed = view(change(ENDPOINTS));
		const expected = planServices(changed, [], CONTEXT);
		const again = replanServices(changed, ['default/web'], CONTEXT, before);
		expect(again).toEqual(expected);
		const plans = {
			old: before.get('default/web')!,
			anew: expected.get('default/web')!,
			again: again.get('default/web')!,
		};
		for (const [i, port] of plans.again.ports.entries()) {
			const [old, anew] = [plans.old.ports[i]!, plans.anew.ports[i]!];
			for (const list of ['all', 'external', 'local'] as const) {
				expect(port[list] === port.serving).toBe(anew[list] === anew.serving);
				for (const backend of port[list]) expect(port.serving).toContain(backend);
			}
			const same = (key: string, flags: number) => old.serving.find((each) => each.key === key && each.flags === flags);
			for (const backend of port.serving) expect(same(backend.key, backend.flags) ?? backend).toBe(backend);
			for (const [at, frontend] of port.frontends.entries()) {
				if (frontend.flags === old.frontends[at]!.flags) expect(frontend).toBe(old.frontends[at]);
			}
		}
	});
});
