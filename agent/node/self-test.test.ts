import { describe, expect, it } from 'vitest';
import { runSelfTest, type SelfTestParts } from './self-test.ts';
import type { WatchedHook } from './watchdog.ts';

const hook = (name: string, state: WatchedHook['state'] = 'attached'): WatchedHook => ({
	...{ name, kind: 'tc-ingress', state, foreign: [] },
});

function test(over: Partial<SelfTestParts> = {}) {
	let probes = 0;
	let ended = 0;
	const addresses = ['10.1.0.9', 'fd00::9'];
	const result = runSelfTest({
		inspect: async () => [hook('uplink_2_in'), hook('cgroup_7_connect4')],
		roles: ['uplink', 'cgroup'],
		missing: () => [],
		probe: async () => {
			probes++;
			return {
				addresses,
				end: async () => {
					ended++;
					return addresses;
				},
			};
		},
		knock: async () => '',
		...over,
	});
	return { result, probes: () => probes, ended: () => ended };
}

describe('runSelfTest', () => {
	it('passes when everything is in place and a probe answers in both families', async () => {
		const { result, ended } = test();
		expect(await result).toEqual({ failures: [], skipped: '' });
		expect(ended()).toBe(1);
	});

	it('names programs that are not attached, and roles that have none, and sends no probe', async () => {
		const { result, probes } = test({
			inspect: async () => [hook('uplink_2_in', 'lost'), hook('overlay_5_in', 'gone'), hook('pod_x_in', 'gone')],
		});
		expect((await result).failures).toEqual([
			'uplink_2_in: not attached',
			'overlay_5_in: there is no such place',
			'nothing is attached at cgroup',
		]);
		expect(probes()).toBe(0);
	});

	it('names what the tables lack', async () => {
		const { result } = test({ missing: () => ['192.0.2.1 is not in the table of peers'] });
		expect((await result).failures).toEqual(['192.0.2.1 is not in the table of peers']);
	});

	it('names the family that does not answer, and ends the probe', async () => {
		const { result, ended } = test({ knock: async (address) => (address.includes(':') ? 'ETIMEDOUT' : '') });
		expect((await result).failures).toEqual(['no answer from a probe at fd00::9: ETIMEDOUT']);
		expect(ended()).toBe(1);
	});

	it('does not believe an answer that the programs have not seen', async () => {
		const addresses = ['10.1.0.9'];
		const { result } = test({ probe: async () => ({ addresses, end: async () => [] }) });
		expect((await result).failures).toEqual(['the answer of a probe at 10.1.0.9 did not pass the programs']);
	});

	it('lets a node whose addresses are all in use take part', async () => {
		const { result } = test({ probe: async () => 'no free address' });
		expect(await result).toEqual({ failures: [], skipped: 'no free address' });
	});
});
