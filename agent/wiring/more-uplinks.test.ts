import { describe, expect, it } from 'vitest';
import { FakeKernel } from '../../test/lib/fake-kernel.ts';
import type { LeftOut, MoreUplinks } from '../routing/more-uplinks.ts';
import { FurtherUplinks } from './more-uplinks.ts';

/** eth<ifindex> with an address that ends so. */
const found = (indexes: readonly number[], leftOut: readonly LeftOut[] = []): MoreUplinks => ({
	chosen: indexes.map((ifindex) => ({
		uplink: {
			name: `eth${ifindex}`,
			ifindex,
			mtu: 1500,
			addresses: [{ address: `192.0.2.${ifindex}`, prefixLength: 24 }],
		},
		reason: 'configured',
	})),
	leftOut,
});

function make(first: MoreUplinks) {
	const kernel = new FakeKernel();
	const log: unknown[][] = [];
	const forwarded: (readonly string[])[] = [];
	const state = { refuse: false };
	const uplinks = new FurtherUplinks(
		{
			kernel,
			services: () => [{ externalIps: ['192.0.2.4'], loadBalancerIps: [] }],
			forward: (names) => {
				if (state.refuse) throw new Error('cannot set accept_ra');
				forwarded.push(names);
			},
			log: { info: (...args: unknown[]) => log.push(args), warn: (...args: unknown[]) => log.push(args) } as never,
		},
		first,
	);
	return { uplinks, kernel, log, forwarded, state };
}

const ATTACHED = { failed: [] };

describe('further uplinks', () => {
	it('are attached once, and again when there are others', () => {
		const { uplinks } = make(found([3]));
		expect(uplinks.isBehind).toBe(true);
		uplinks.onAttached(ATTACHED);
		uplinks.found = found([3]);
		expect(uplinks.isBehind).toBe(false);
		uplinks.found = found([3, 4]);
		expect(uplinks.isBehind).toBe(true);
		expect(make(found([])).uplinks.isBehind).toBe(false);
	});

	it('are tried again while one of them takes no programs, which is a warning', () => {
		const { uplinks } = make(found([3, 33]));
		uplinks.onAttached({ failed: [{ name: 'uplink_33_in', message: 'cannot attach from_uplink: ENODEV' }] });
		expect(uplinks.isBehind).toBe(true);
		expect(uplinks.warnings).toEqual(['further uplink eth33 is not served: cannot attach from_uplink: ENODEV']);
		uplinks.found = found([3]);
		uplinks.onAttached(ATTACHED);
		expect(uplinks.warnings).toEqual([]);
	});

	it('are forwarded by as soon as they are there, and a failure is no end', () => {
		const { uplinks, forwarded, state, log } = make(found([3]));
		uplinks.found = found([3]);
		expect(forwarded).toEqual([]);
		state.refuse = true;
		uplinks.found = found([3, 4]);
		expect(log).toHaveLength(1);
		state.refuse = false;
		uplinks.found = found([3, 4]);
		uplinks.found = found([3, 4]);
		expect(forwarded).toEqual([['eth3', 'eth4']]);
	});

	it('have rows from before programs are loaded until after, and no address of a service', () => {
		const { uplinks, kernel } = make(found([3, 4]));
		const rows = () => [...kernel.mapEntries('uplinks')].slice(1, 3).map(([, row]) => [row[0], row[8 + 15]]);
		expect(uplinks.addRows()).toBe(2);
		expect(rows()).toEqual([
			[3, 3],
			[4, 0],
		]);
		uplinks.found = found([4]);
		expect(uplinks.addRows()).toBe(2);
		expect(rows()[0]).toEqual([3, 3]);
		uplinks.clearRows();
		expect(rows()[0]).toEqual([0, 3]);
	});

	it('are told of, and what is not served, once for each change', () => {
		const leftOut = [
			{ name: 'eth9', why: 'there is no such interface', isProblem: true },
			{ name: 'eth0', why: 'it is the uplink', isProblem: false },
		];
		const { uplinks, log } = make(found([3], leftOut));
		const told = ['further uplink eth9 is not served: there is no such interface'];
		expect(uplinks.warnings).toEqual(told);
		uplinks.tell();
		uplinks.tell();
		expect(log).toEqual([
			[{ uplinks: ['eth3: configured'] }, 'further uplinks'],
			[{ problems: told }, 'interfaces not served'],
		]);
		uplinks.found = found([3, 9]);
		uplinks.tell();
		expect(log.slice(2)).toEqual([[{ uplinks: ['eth3: configured', 'eth9: configured'] }, 'further uplinks']]);
	});
});
