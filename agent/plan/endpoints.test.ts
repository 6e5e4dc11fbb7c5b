import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BackendFlagsName } from '../../native/abi/generated.ts';
import { endpoint, slice } from '../../test/lib/cluster-builder.ts';
import type { Endpoint } from '../model/endpoint-slice.ts';
import { chooseEndpoints } from './endpoints.ts';

const HERE = { name: 'node-a', zone: 'zone-1' };
const PORT = { name: '', protocol: 'TCP' } as const;

/** Endpoints in short: name → address; r/- ready, t terminating, s serving off, @ this node. */
function make(spec: string): Endpoint {
	const [host = '', flags = '', hints = ''] = spec.split(' ');
	const hint = (prefix: string): string[] =>
		hints
			.split(',')
			.filter((each) => each.startsWith(prefix))
			.map((each) => each.slice(prefix.length));
	return endpoint(`10.0.0.${host}`, {
		ready: flags.includes('r'),
		terminating: flags.includes('t'),
		serving: !flags.includes('s'),
		node: flags.includes('@') ? 'node-a' : 'node-b',
		zoneHints: hint('z:'),
		nodeHints: hint('n:'),
	});
}

function choose(specs: readonly string[], node = HERE) {
	const choice = chooseEndpoints([slice('web', specs.map(make))], PORT, 4, node);
	const hosts = (list: readonly { address: string }[]): string =>
		list.map(({ address }) => address.split('.')[3]).join(' ');
	return {
		all: hosts(choice.all),
		local: hosts(choice.local),
		serving: hosts(choice.serving),
		any: choice.anyEndpoints,
		choice,
	};
}

describe('chooseEndpoints', () => {
	const table: readonly { name: string; specs: string[]; all: string; local: string; any: boolean }[] = [
		{ name: 'no endpoint at all', specs: [], all: '', local: '', any: false },
		{ name: 'ready ones here and there', specs: ['1 r@', '2 r'], all: '1 2', local: '1', any: true },
		{ name: 'none of them here', specs: ['1 r', '2 r'], all: '1 2', local: '', any: true },
		{ name: 'not ready ones are never used', specs: ['1 -@', '2 -'], all: '', local: '', any: false },
		{ name: 'one ready hides all terminating', specs: ['1 r', '2 t', '3 t'], all: '1', local: '', any: true },
		{ name: 'all terminating: those are used', specs: ['1 t@', '2 t'], all: '1 2', local: '1', any: true },
		{ name: 'terminating and not serving is nothing', specs: ['1 ts@', '2 ts'], all: '', local: '', any: false },
		{ name: 'ready elsewhere, terminating here', specs: ['1 r', '2 t@'], all: '1', local: '2', any: true },
		{ name: 'ready here hides terminating here', specs: ['1 r@', '2 t@'], all: '1', local: '1', any: true },
		{ name: 'ready and terminating counts as ready', specs: ['1 rt@', '2 t@'], all: '1', local: '1', any: true },
		{ name: 'terminating elsewhere only', specs: ['1 t'], all: '1', local: '', any: true },
		{ name: 'zone hints keep the zone', specs: ['1 r z:zone-1', '2 r z:zone-2'], all: '1', local: '', any: true },
		{
			name: 'zone hints do not filter the local list',
			specs: ['1 r z:zone-1', '2 r@ z:zone-2'],
			all: '1',
			local: '2',
			any: true,
		},
		{
			name: 'one endpoint without a hint ends the filter',
			specs: ['1 r z:zone-1', '2 r'],
			all: '1 2',
			local: '',
			any: true,
		},
		{
			name: 'no endpoint for this zone ends the filter',
			specs: ['1 r z:zone-2', '2 r z:zone-3'],
			all: '1 2',
			local: '',
			any: true,
		},
		{
			name: 'hints of unready endpoints do not count',
			specs: ['1 r z:zone-1', '2 -', '3 r z:zone-2'],
			all: '1',
			local: '',
			any: true,
		},
		{ name: 'node hints keep the node', specs: ['1 r n:node-a', '2 r n:node-b'], all: '1', local: '', any: true },
		{
			name: 'node hints win over zone hints',
			specs: ['1 r n:node-a,z:zone-2', '2 r n:node-b,z:zone-1'],
			all: '1',
			local: '',
			any: true,
		},
		{
			name: 'node hints for others fall back to zones',
			specs: ['1 r n:node-x,z:zone-1', '2 r n:node-y,z:zone-2'],
			all: '1',
			local: '',
			any: true,
		},
		{
			name: 'a missing node hint falls back to zones',
			specs: ['1 r n:node-a,z:zone-1', '2 r z:zone-2'],
			all: '1',
			local: '',
			any: true,
		},
		{
			name: 'several hints on one endpoint',
			specs: ['1 r z:zone-1,z:zone-2', '2 r z:zone-1'],
			all: '1 2',
			local: '',
			any: true,
		},
		{
			name: 'no filter among terminating ones',
			specs: ['1 t z:zone-1', '2 t z:zone-2'],
			all: '1 2',
			local: '',
			any: true,
		},
	];
	it.each(table)('$name', ({ specs, all, local, any }) => {
		const got = choose(specs);
		expect({ all: got.all, local: got.local, any: got.any }).toEqual({ all, local, any });
	});

	it('uses no zone hint on a node without a zone', () => {
		expect(choose(['1 r z:zone-1', '2 r z:zone-2'], { name: 'node-a', zone: '' }).all).toBe('1 2');
	});

	it('says of each row whether it is in a list, drains and serves', () => {
		const flags = (specs: readonly string[], everywhere = false): string =>
			chooseEndpoints([slice('web', specs.map(make))], PORT, 4, HERE, { everywhere })
				.serving.map((row) => `${row.address.split('.')[3]} ${BackendFlagsName(row.flags)}`)
				.join(', ');
		const hinted = ['1 r z:zone-1', '2 r@ z:zone-2', '3 t', '4 -', '5 ts'];
		expect(flags(hinted)).toBe('1 LIVE|SERVING, 2 LOCAL|SERVING, 3 TERMINATING|SERVING');
		expect(flags(hinted, true)).toBe('1 LIVE|SERVING, 2 LIVE|LOCAL|SERVING, 3 TERMINATING|SERVING');
		expect(flags(['1 t', '2 t@'])).toBe('1 LIVE|TERMINATING|SERVING, 2 LIVE|TERMINATING|LOCAL|SERVING');
		expect(flags(['1 r', '2 t@'])).toBe('1 LIVE|SERVING, 2 TERMINATING|LOCAL|SERVING');
	});

	it('has a list without topology that is the same on every node', () => {
		const slices = [slice('web', ['1 r z:zone-1 ', '2 r z:zone-2', '3 t'].map(make))];
		const everywhere = (zone: string) =>
			chooseEndpoints(slices, PORT, 4, { name: zone, zone }, { everywhere: true }).everywhere.map((b) => b.address);
		expect(everywhere('zone-1')).toEqual(['10.0.0.1', '10.0.0.2']);
		expect(everywhere('zone-2')).toEqual(everywhere('zone-1'));
	});

	it('uses one list for all when nothing tells them apart', () => {
		const { choice } = choose(['1 r@', '2 r@']);
		expect([choice.all, choice.everywhere, choice.local].every((list) => list === choice.serving)).toBe(true);
	});

	it('counts one address and port in two slices once and prefers the copy that is not terminating', () => {
		const old = slice('web', [endpoint('10.0.0.1', { ready: false, terminating: true, node: 'node-b' })], {
			name: 'web-1',
		});
		const fresh = slice('web', [endpoint('10.0.0.1', { node: 'node-a' })], { name: 'web-2' });
		for (const order of [
			[old, fresh],
			[fresh, old],
		]) {
			const choice = chooseEndpoints(order, PORT, 4, HERE);
			expect(choice.all).toHaveLength(1);
			expect(BackendFlagsName(choice.all[0]!.flags)).toBe('LIVE|LOCAL|SERVING');
			expect(choice.local).toHaveLength(1);
		}
	});

	it('resolves a named port per slice: one service can have several numbers', () => {
		const named = { name: 'http', protocol: 'TCP' } as const;
		const slices = [8080, 9090].map((port, i) =>
			slice('web', [`10.0.0.${i + 1}`], { name: `web-${i}`, ports: [{ ...named, port }] }),
		);
		expect(chooseEndpoints(slices, named, 4, HERE).all.map(({ key }) => key)).toEqual([
			'10.0.0.1|8080|6',
			'10.0.0.2|9090|6',
		]);
	});

	it('matches name and protocol, and the family of the slice', () => {
		const slices = [
			slice('web', ['10.0.0.1'], { name: 'a', ports: [{ name: '', protocol: 'UDP', port: 53 }] }),
			slice('web', ['10.0.0.2'], { name: 'b', ports: [{ name: 'other', protocol: 'TCP', port: 80 }] }),
			slice('web', ['fd00::1'], { name: 'c', addressType: 'IPv6' }),
			slice('web', [], { name: 'd', addressType: 'FQDN' }),
		];
		expect(chooseEndpoints(slices, PORT, 4, HERE).all).toEqual([]);
		expect(chooseEndpoints(slices, PORT, 6, HERE).all.map(({ address }) => address)).toEqual(['fd00::1']);
		expect(chooseEndpoints(slices, { name: '', protocol: 'UDP' }, 4, HERE).all.map(({ port }) => port)).toEqual([53]);
	});

	it('does not depend on the order of endpoints', () => {
		const specs = fc.array(
			fc.tuple(fc.integer({ min: 1, max: 30 }), fc.constantFrom('r', 'r@', 't', 't@', '-', 'ts', 'rt')),
			{ maxLength: 12 },
		);
		fc.assert(
			fc.property(
				fc.uniqueArray(
					specs.map((list) => list.map(([host, flags]) => `${host} ${flags}`)),
					{ maxLength: 1 },
				),
				([list = []]) => {
					const unique = [...new Map(list.map((each) => [each.split(' ')[0], each])).values()];
					const { choice: a } = choose(unique);
					const { choice: b } = choose([...unique].reverse());
					expect(b).toEqual(a);
					for (const each of [...a.all, ...a.local]) expect(a.serving).toContainEqual(each);
				},
			),
		);
	});
});
