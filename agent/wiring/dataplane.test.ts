import { describe, expect, it } from 'vitest';
import { loadConfig } from '../config/config.ts';
import type { Config } from '../config/schema.ts';
import { addressOfBytes } from '../model/address.ts';
import { hookWarnings, mapSizesOf, podNet } from './datapath-settings.ts';
import { shortened } from './dataplane.ts';
import { masqueradeAddresses, primaryAddresses } from './node-facts.ts';

const mask = (podCidrs: string[], family: 4 | 6) => Buffer.from(podNet(podCidrs, family).mask).toString('hex');

function configOf(file: string): Config {
	const environment = { FAIRLEAD_CONFIG: '/config' };
	const loaded = loadConfig({ args: [], environment, readFile: () => file, hostName: () => 'node-a' });
	if ('exit' in loaded) throw new Error(loaded.text);
	return loaded.values;
}

describe('constants of the programs', () => {
	it.each([
		['10.244.1.0/24', 4, '10.244.1.0', `${'ff'.repeat(15)}00`],
		['10.244.0.0/20', 4, '10.244.0.0', `${'ff'.repeat(14)}f000`],
		['fd00:244:1::/64', 6, 'fd00:244:1::', `${'ff'.repeat(8)}${'00'.repeat(8)}`],
		['fd00:244::/52', 6, 'fd00:244::', `${'ff'.repeat(6)}f000${'00'.repeat(8)}`],
	] as const)('hold network and mask of %s', (cidr, family, network, expectedMask) => {
		expect(addressOfBytes(podNet([cidr], family).net)).toBe(network);
		expect(mask([cidr], family)).toBe(expectedMask);
	});

	it('leave a family without pod addresses at zero', () => {
		expect(mask(['10.244.1.0/24'], 6)).toBe('00'.repeat(16));
	});
});

describe('without the socket hook', () => {
	const warned = (file: string, serviceCidrs: readonly string[]): number =>
		hookWarnings(configOf(file), serviceCidrs).length;

	it('a service CIDR must be known for the processes of the node', () => {
		const off = 'nodeName: a\nsource: files\nsocketLb: false\n';
		expect(warned(off, [])).toBe(1);
		expect(warned(off, ['10.96.0.0/16'])).toBe(0);
		expect(warned('nodeName: a\nsource: files\n', [])).toBe(0);
	});
});

describe('sizes of maps', () => {
	const sizes = (file: string, podCidrs = ['10.244.1.0/24']) => mapSizesOf(configOf(file), podCidrs);

	it.each([
		['{}', { ct4: 262_144, ct6: 1024 }],
		['ctMaxEntries: 4096', { ct4: 4096, ct6: 1024 }],
		['maps: {backends: 200000}', { ct4: 262_144, ct6: 1024, backends: 200_000, conns: 200_000 }],
		['northSouth: dsr', { ct4: 262_144, ct6: 1024, slots: 262_144, xdp_svc: 65_536 }],
		['northSouth: dsr\nmaps: {slots: 4096}', { ct4: 262_144, ct6: 1024, slots: 4096, xdp_svc: 65_536 }],
	])('follow %s', (file, wanted) => {
		expect(sizes(file)).toEqual(wanted);
	});

	it('have room for IPv6 connections where pods have such addresses', () => {
		expect(sizes('{}', ['10.244.1.0/24', 'fd00::/64']).ct6).toBe(262_144);
	});
});

describe('warnings about other nodes', () => {
	it('are all told up to 20, and counted beyond', () => {
		const some = Array.from({ length: 20 }, (_, i) => `Node n${i}: wrong`);
		expect(shortened(some)).toEqual(some);
		expect(shortened([...some, 'Node a: wrong', 'Node b: wrong']).slice(19)).toEqual([
			'Node n19: wrong',
			'2 more of the kind about other nodes',
		]);
	});
});

describe('facts of the node', () => {
	const uplink = {
		addresses: [
			{ address: '192.0.2.7', prefixLength: 24 },
			{ address: '2001:db8::7', prefixLength: 64 },
		],
	};

	it('take the first address of each family from the Node object, in its order', () => {
		const internalIps = ['2001:db8::1', '192.0.2.1', '192.0.2.2'];
		expect(primaryAddresses({ internalIps }, uplink)).toEqual(['2001:db8::1', '192.0.2.1']);
	});

	it('take those of the uplink when the Node object has none', () => {
		expect(primaryAddresses({ internalIps: [] }, uplink)).toEqual(['192.0.2.7', '2001:db8::7']);
	});

	describe('when the Node object has no address', () => {
		const own = { address: '192.0.2.7', prefixLength: 24 };
		const vip = { address: '192.0.2.100', prefixLength: 24 };
		const service = (externalIps: string[], loadBalancerIps: string[]) => ({ externalIps, loadBalancerIps });
		const choose = (addresses: (typeof own)[], ...services: ReturnType<typeof service>[]) =>
			primaryAddresses({ internalIps: [] }, { addresses }, services);

		it('are not those of services on the uplink', () => {
			expect(choose([vip, own], service([], [vip.address]))).toEqual([own.address]);
			expect(choose([vip, own], service([vip.address], []))).toEqual([own.address]);
			expect(choose([vip, own])).toEqual([vip.address]);
		});

		it('are not those without neighbours in their prefix', () => {
			expect(choose([{ ...vip, prefixLength: 32 }, own])).toEqual([own.address]);
			const [own6, vip6] = [
				{ address: '2001:db8::7', prefixLength: 64 },
				{ address: '2001:db8::100', prefixLength: 128 },
			];
			expect(choose([vip6, own6])).toEqual([own6.address]);
		});

		it('are what there is when there is nothing else', () => {
			expect(choose([own], service([own.address], []))).toEqual([own.address]);
			expect(choose([{ ...own, prefixLength: 32 }])).toEqual([own.address]);
		});
	});

	it('give a further uplink one address of each family to masquerade with, and none that a service has', () => {
		const addresses = [
			{ address: '203.0.113.100', prefixLength: 24 },
			{ address: '203.0.113.9', prefixLength: 32 },
			{ address: '203.0.113.7', prefixLength: 24 },
			{ address: '2001:db8::7', prefixLength: 64 },
		];
		const services = [
			{ externalIps: ['203.0.113.100'], loadBalancerIps: [] },
			{ externalIps: [], loadBalancerIps: ['2001:db8::7'] },
		];
		expect(masqueradeAddresses({ addresses }, [])).toEqual(['203.0.113.100', '2001:db8::7']);
		expect(masqueradeAddresses({ addresses }, services)).toEqual(['203.0.113.7']);
		expect(masqueradeAddresses({ addresses: [] }, services)).toEqual([]);
	});
});
