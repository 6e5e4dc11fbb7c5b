import { describe, expect, it } from 'vitest';
import { CONTEXT, clusterOf, endpoint, FACTS, service, slice } from '../../test/lib/cluster-builder.ts';
import type { Endpoint } from '../model/endpoint-slice.ts';
import { planServices } from '../plan/services.ts';
import { serviceReports } from './reports.ts';

const READY = endpoint('10.0.0.1');
const ENDING = { ready: false, terminating: true };

/** Backends of each frontend as reported. */
function backendsOf(endpoints: readonly Endpoint[]): string[] {
	const view = clusterOf([service('web', { externalIps: ['198.51.100.1'] })], [slice('web', endpoints)]);
	const plans = planServices(view, [], CONTEXT);
	const [report] = serviceReports({ view, facts: FACTS, plans, serviceNames: new Map(), routing: {} as never });
	return (report?.frontends ?? []).map(
		({ scope, backends }) => `${scope}: ${backends.map(({ address, state }) => `${address} ${state}`).join(', ')}`,
	);
}

describe('services as they are reported', () => {
	it('name backends that only keep the connections they have', () => {
		const wanted = '10.0.0.1 active, 10.0.0.2 terminating';
		expect(backendsOf([endpoint('10.0.0.2', ENDING), READY])).toEqual([`cluster: ${wanted}`, `external: ${wanted}`]);
	});

	it('name backends once that end and have new connections all the same, for want of others', () => {
		const wanted = '10.0.0.2 terminating';
		expect(backendsOf([endpoint('10.0.0.2', ENDING)])).toEqual([`cluster: ${wanted}`, `external: ${wanted}`]);
	});

	it('leave out backends that do not serve, and those that the topology keeps for others', () => {
		const [hinted, other] = ['zone-1', 'zone-2'].map((zone, i) => endpoint(`10.0.0.${i + 1}`, { zoneHints: [zone] }));
		const silent = endpoint('10.0.0.3', { ready: false, serving: false, terminating: true });
		const wanted = '10.0.0.1 active';
		expect(backendsOf([hinted!, other!, silent])).toEqual([`cluster: ${wanted}`, `external: ${wanted}`]);
	});
});
