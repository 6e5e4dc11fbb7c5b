import { describe, expect, it } from 'vitest';
import type { UplinkFacts } from '../model/node-facts.ts';
import { chooseBigTcp } from './big-tcp.ts';

const uplink = (over: Partial<UplinkFacts> = {}): UplinkFacts => ({
	name: 'eth0',
	ifindex: 2,
	mtu: 1500,
	addresses: [],
	gso: { ipv4: 65_536, largest: 524_280 },
	...over,
});
const { gso: _, ...OLD } = uplink();

describe('bigTcp auto', () => {
	it.each([
		['on where packets leave as they are', { routing: 'direct', xdp: 'auto' }, [uplink()], true],
		['on for a veth without XDP', { routing: 'direct', xdp: 'auto' }, [uplink({ isVeth: true })], true],
		[
			'on for a card with XDP, which sees what came over the wire',
			{ routing: 'direct', xdp: 'native' },
			[uplink()],
			true,
		],
		['not where tunnels are', { routing: 'vxlan', xdp: 'auto' }, [uplink()], false],
		['not where tunnels may be', { routing: 'auto', xdp: 'auto' }, [uplink()], false],
		['not on a veth with XDP', { routing: 'direct', xdp: 'native' }, [uplink({ isVeth: true })], false],
		['not on kernels that have none', { routing: 'direct', xdp: 'auto' }, [OLD], false],
		[
			'not if one of several drivers cannot',
			{ routing: 'direct', xdp: 'auto' },
			[uplink(), uplink({ name: 'eth1', gso: { ipv4: 65_536, largest: 65_536 } })],
			false,
		],
	] as const)('is %s', (_, settings, uplinks, on) => {
		expect(chooseBigTcp(settings, uplinks).on).toBe(on);
	});

	it('says why', () => {
		const settings = { routing: 'direct', xdp: 'auto' } as const;
		expect(chooseBigTcp(settings, [uplink()]).reason).toBe('eth0 can send 196608 bytes at a time');
		const small = uplink({ name: 'eth1', gso: { ipv4: 65_536, largest: 65_536 } });
		expect(chooseBigTcp(settings, [uplink(), small]).reason).toBe('eth1 takes 65536 bytes at a time');
	});
});
