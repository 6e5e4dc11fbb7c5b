import { describe, expect, it } from 'vitest';
import { FACTS } from '../../test/lib/cluster-builder.ts';
import { loadConfig } from '../config/config.ts';
import type { Dataplane } from './dataplane.ts';
import { statusFacts } from './status-facts.ts';

function uplinkFact(args: readonly string[], further: readonly (readonly [string, string])[]): string | undefined {
	const config = loadConfig({ args, environment: {}, hostName: () => 'node-a' });
	if ('exit' in config) throw new Error(config.text);
	const dataplane = {
		facts: FACTS,
		routing: { plan: { podMtu: 1450 } },
		xdpState: 'native',
		moreUplinks: {
			chosen: further.map(([name, reason]) => ({ uplink: { ...FACTS.uplink, name }, reason })),
			leftOut: [],
		},
	} as unknown as Dataplane;
	const features = { release: '6.1.0', tcx: true } as never;
	return statusFacts({ config, features, dataplane, sockets: undefined }).uplink;
}

describe('facts of fairlead status', () => {
	it('name the uplink and who has chosen it', () => {
		expect(uplinkFact(['--uplink', 'eth0'], [])).toBe('eth0 (flag --uplink)');
	});

	it('name further uplinks with the reason of each', () => {
		const further = [
			['eth1', 'it has the IPv6 default route'],
			['eth2', 'configured'],
		] as const;
		expect(uplinkFact(['--uplink', 'eth0'], further)).toBe(
			'eth0 (flag --uplink); eth1 (it has the IPv6 default route); eth2 (configured)',
		);
	});
});
