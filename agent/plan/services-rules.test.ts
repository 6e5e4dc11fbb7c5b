import { describe, expect, it } from 'vitest';
import { SvcFlags, SvcFlagsName, SvcScope } from '../../native/abi/generated.ts';
import { CONTEXT, clusterOf, endpoint, service, slice } from '../../test/lib/cluster-builder.ts';
import { FakeKernel } from '../../test/lib/fake-kernel.ts';
import { readServices } from '../../test/lib/service-maps.ts';
import type { Service } from '../model/service.ts';
import { ServicesReconciler } from '../reconcile/services.ts';
import { isSkipped, planServices, replanServices, type ServicesContext } from './services.ts';
import { sourceSetOf } from './services-sources.ts';

/* Truth tables of rules that need no traffic to be seen; docs/services.md says which row of the rules each one shows. */

const HERE = endpoint('10.0.0.1', { node: 'node-a' });
const THERE = endpoint('10.0.0.2', { node: 'node-b' });

function portOf(over: Partial<Service>, endpoints = [HERE, THERE], context: ServicesContext = CONTEXT) {
	const store = clusterOf([service('web', over)], [slice('web', endpoints)]);
	const plan = planServices(store, [], context).get('default/web');
	return plan?.ports.find((port) => port.frontends[0]?.proto !== 0);
}

describe('which services are ours', () => {
	it.each([
		{ label: null, own: '', ours: true },
		{ label: 'other', own: '', ours: false },
		{ label: '', own: '', ours: false },
		{ label: null, own: 'mine', ours: false },
		{ label: 'mine', own: 'mine', ours: true },
		{ label: 'other', own: 'mine', ours: false },
	])('label service-proxy-name $label, own name "$own": $ours', ({ label, own, ours }) => {
		expect(!isSkipped(service('web', { proxyName: label }), own)).toBe(ours);
	});

	it.each([
		['ExternalName', { type: 'ExternalName' as const }],
		['headless', { clusterIps: [] }],
		['labelled headless', { headlessLabel: true }],
		["another proxy's", { proxyName: 'other' }],
	])('a service that becomes %s loses its entries, and gets them back', async (_, over) => {
		const kernel = new FakeKernel();
		const reconciler = new ServicesReconciler({ kernel });
		const store = clusterOf([service('web')], [slice('web', [HERE])]);
		await reconciler.replaceAll(planServices(store, [], CONTEXT));
		const before = readServices(kernel).services.map(({ key }) => key);
		store.set('Service', 'default/web', service('web', over));
		await reconciler.update(replanServices(store, ['default/web'], CONTEXT));
		expect(readServices(kernel).services).toEqual([]);
		store.set('Service', 'default/web', service('web'));
		await reconciler.update(replanServices(store, ['default/web'], CONTEXT));
		expect(readServices(kernel).services.map(({ key }) => key)).toEqual(before);
	});

	it('a protocol that goes leaves the same port number of the other one alone', async () => {
		const kernel = new FakeKernel();
		const reconciler = new ServicesReconciler({ kernel });
		const port = (protocol: 'TCP' | 'UDP') => ({ name: protocol.toLowerCase(), protocol, port: 53, nodePort: 0 });
		const slices = (['TCP', 'UDP'] as const).map((protocol) =>
			slice('dns', [protocol === 'TCP' ? HERE : THERE], {
				name: protocol,
				ports: [{ name: protocol.toLowerCase(), protocol, port: 5353 }],
			}),
		);
		const plans = (...protocols: ('TCP' | 'UDP')[]) =>
			planServices(clusterOf([service('dns', { ports: protocols.map(port) })], slices), [], CONTEXT);
		await reconciler.replaceAll(plans('TCP', 'UDP'));
		await reconciler.update(plans('UDP'));
		expect(readServices(kernel)).toMatchObject({
			faults: [],
			services: [{ key: '10.96.0.10|0|0|0' }, { key: '10.96.0.10|53|17|0', all: ['10.0.0.2|5353|17'] }],
		});
	});
});

describe('addresses of a service', () => {
	const LB: Partial<Service> = {
		type: 'LoadBalancer',
		externalIps: ['198.51.100.1'],
		loadBalancerIps: ['203.0.113.1'],
		healthCheckNodePort: 32000,
		ports: [{ name: '', protocol: 'TCP', port: 80, nodePort: 30080 }],
	};
	const frontends = (over: Partial<Service>, context = CONTEXT): string[] =>
		portOf(over, undefined, context)?.frontends.map((f) => `${f.address}:${f.port}`) ?? [];

	it.each<[string, Partial<Service>, Partial<ServicesContext>, string[]]>([
		['all', LB, {}, ['10.96.0.10:80', '198.51.100.1:80', '203.0.113.1:80', '192.168.0.1:30080']],
		[
			'no externalIPs when they are switched off',
			LB,
			{ externalIps: false },
			['10.96.0.10:80', '203.0.113.1:80', '192.168.0.1:30080'],
		],
		[
			'no node port when none is allocated',
			{ ...LB, ports: [{ name: '', protocol: 'TCP', port: 80, nodePort: 0 }] },
			{},
			['10.96.0.10:80', '198.51.100.1:80', '203.0.113.1:80'],
		],
		[
			'no node port without an address for it',
			LB,
			{ nodePortAddresses: [] },
			['10.96.0.10:80', '198.51.100.1:80', '203.0.113.1:80'],
		],
		[
			'no load balancer address in mode Proxy',
			{ ...LB, loadBalancerIps: [] },
			{},
			['10.96.0.10:80', '198.51.100.1:80', '192.168.0.1:30080'],
		],
		[
			'nothing at the health check port, which nobody drops',
			{ ...LB, externalIps: [], loadBalancerIps: [] },
			{},
			['10.96.0.10:80', '192.168.0.1:30080'],
		],
	])('are %s', (_, over, context, wanted) => {
		expect(frontends(over, { ...CONTEXT, ...context })).toEqual(wanted);
	});
});

describe('traffic policies', () => {
	const local = (over: Partial<Service>, endpoints = [HERE, THERE]) => {
		const port = portOf({ externalIps: ['198.51.100.1'], ...over }, endpoints)!;
		const flags = (scope: number) => SvcFlagsName(port.frontends.find((f) => f.scope === scope)!.flags);
		const hosts = (list: readonly { address: string }[]) => list.map(({ address }) => address.at(-1)).join(' ');
		return `cluster [${flags(SvcScope.CLUSTER)}] external [${flags(SvcScope.EXTERNAL)}] all ${hosts(port.all)} local ${hosts(port.local)}`;
	};

	it.each([
		['Cluster', 'Cluster', 'cluster [ANY_ENDPOINTS] external [ANY_ENDPOINTS] all 1 2 local '],
		[
			'Local',
			'Cluster',
			'cluster [LOCAL_INTERNAL|LOCAL_EXTERNAL|ANY_ENDPOINTS] external [ANY_ENDPOINTS] all 1 2 local 1',
		],
		// Inside clients are short-circuited: nothing but LOCAL_EXTERNAL, so that they use the whole list.
		['Cluster', 'Local', 'cluster [ANY_ENDPOINTS] external [LOCAL_EXTERNAL|ANY_ENDPOINTS] all 1 2 local 1'],
		[
			'Local',
			'Local',
			'cluster [LOCAL_INTERNAL|LOCAL_EXTERNAL|ANY_ENDPOINTS] external [LOCAL_EXTERNAL|ANY_ENDPOINTS] all 1 2 local 1',
		],
	] as const)('internal %s and external %s', (internalPolicy, externalPolicy, wanted) => {
		expect(local({ internalPolicy, externalPolicy })).toBe(wanted);
	});

	it.each([
		['none here: dropped', [THERE], 'ANY_ENDPOINTS'],
		['none anywhere: rejected', [], ''],
		['only one that drains elsewhere: dropped', [{ ...THERE, ready: false, terminating: true }], 'ANY_ENDPOINTS'],
		['only unready ones: rejected', [{ ...THERE, ready: false, serving: false }], ''],
	])('Local with %s', (_, endpoints, flag) => {
		const port = portOf({ internalPolicy: 'Local' }, endpoints)!;
		expect([port.local, SvcFlagsName(port.frontends[0]!.flags).includes('ANY_ENDPOINTS')]).toEqual([[], flag !== '']);
	});
});

describe('who may connect to a load balancer address', () => {
	const VIP4 = ['203.0.113.1'];
	const NODE = ['192.168.0.1', 'fd00:192::1'];
	it.each([
		['no range', [], ''],
		['one range', ['10.0.0.0/8'], '10.0.0.0/8'],
		['ranges in any order', ['172.16.0.0/12', '10.0.0.0/8'], '10.0.0.0/8,172.16.0.0/12'],
		['a range twice', ['10.0.0.0/8', '10.0.0.0/8'], '10.0.0.0/8'],
		['a range of length 0: everybody', ['10.0.0.0/8', '0.0.0.0/0'], ''],
		['a range of another family does not count', ['10.0.0.0/8', 'fd00::/8'], '10.0.0.0/8'],
		['nor does its length 0', ['10.0.0.0/8', '::/0'], '10.0.0.0/8'],
		['only ranges of another family: everybody', ['fd00::/8'], ''],
		['a range with the node: its VIPs may be a source as well', ['192.168.0.0/16'], '192.168.0.0/16,203.0.113.1/32'],
	])('%s', (_, ranges, wanted) => {
		expect(sourceSetOf(ranges, 4, VIP4, NODE)).toBe(wanted);
	});

	it('is asked of IPv6 by its own ranges', () => {
		expect(sourceSetOf(['10.0.0.0/8', 'fd00::/8'], 6, ['2001:db8::1'], NODE)).toBe('2001:db8::1/128,fd00::/8');
	});

	it('is asked at load balancer addresses only, an externalIP of the same number included', () => {
		const port = portOf({
			type: 'LoadBalancer',
			externalIps: ['198.51.100.1', '203.0.113.2'],
			loadBalancerIps: ['203.0.113.1', '203.0.113.2'],
			loadBalancerSourceRanges: ['10.0.0.0/8'],
			ports: [{ name: '', protocol: 'TCP', port: 80, nodePort: 30080 }],
		})!;
		expect(port.frontends.filter((f) => f.sources !== '').map((f) => f.address)).toEqual([
			'203.0.113.2',
			'203.0.113.1',
		]);
	});
});

describe('how a backend is chosen', () => {
	const chosen = (lbAlgorithm: string, context: Partial<ServicesContext>, over: Partial<Service> = {}): string => {
		const port = portOf({ externalIps: ['198.51.100.1'], lbAlgorithm, ...over }, undefined, {
			...CONTEXT,
			...context,
		})!;
		const of = (scope: number): string => {
			const flags = SvcFlagsName(port.frontends.find((f) => f.scope === scope)?.flags ?? 0);
			return flags.includes('MAGLEV') ? 'maglev' : flags.includes('LEAST_CONN') ? 'least-conn' : 'random';
		};
		const tables = [port.allTable, port.externalTable].map((size) => (size > 0 ? 'table' : 'list')).join('+');
		return `${of(SvcScope.CLUSTER)} ${of(SvcScope.EXTERNAL)} ${tables}${port.transitions ? ' transitions' : ''}`;
	};

	it.each([
		['', {}, 'random random list+list'],
		['', { lbAlgorithm: 'maglev' }, 'maglev maglev table+table'],
		['', { lbAlgorithm: 'least-conn' }, 'least-conn least-conn list+list'],
		['', { dsr: true }, 'random maglev list+table transitions'],
		['', { dsr: true, lbAlgorithm: 'least-conn' }, 'least-conn maglev list+table transitions'],
		['random', { dsr: true }, 'random random list+list'],
		['maglev', {}, 'maglev maglev table+table'],
		['maglev', { dsr: true }, 'maglev maglev table+table transitions'],
		['least-conn', { lbAlgorithm: 'maglev' }, 'least-conn least-conn list+list'],
	] as const)('annotation "%s", %o', (annotation, context, wanted) => {
		expect(chosen(annotation, context)).toBe(wanted);
	});

	it.each([
		['affinity', { affinityTimeoutS: 60 }],
		['external policy Local', { externalPolicy: 'Local' as const }],
	])('needs no table under DSR with %s: such flows are tracked', (_, over) => {
		expect(chosen('', { dsr: true }, over)).toBe('random random list+list');
		expect(chosen('maglev', { dsr: true }, over)).toBe('maglev maglev table+table');
	});

	it('is the default when the annotation says nonsense, which is reported', () => {
		expect(chosen('fastest', {})).toBe('random random list+list');
		const plan = planServices(clusterOf([service('web', { lbAlgorithm: 'fastest' })], []), [], CONTEXT).get(
			'default/web',
		)!;
		expect(plan.problems[0]!.message).toContain('"fastest": expected one of random, maglev, least-conn');
	});

	it.each([
		[{ dsr: true }, false],
		[{ dsr: true, nodePortDsr: false }, true],
		[{ nodePortDsr: false }, false],
	])('NodePorts keep the way with connection tracking where other nodes may not have them: %o', (context, tracked) => {
		const over = {
			type: 'NodePort' as const,
			externalIps: ['198.51.100.1'],
			ports: [{ name: '', protocol: 'TCP' as const, port: 80, nodePort: 30_080 }],
		};
		const { frontends } = portOf(over, undefined, { ...CONTEXT, ...context })!;
		const found = frontends.filter(({ flags }) => (flags & SvcFlags.TRACKED) !== 0).map((f) => f.port);
		expect(found).toEqual(tracked ? [30_080] : []);
	});

	it.each<[string, Partial<Service>, Partial<ServicesContext>]>([
		['source ranges', { loadBalancerIps: ['203.0.113.1'], loadBalancerSourceRanges: ['172.31.0.0/24'] }, {}],
		[
			'a NodePort that other nodes may not have',
			{ type: 'NodePort', ports: [{ name: '', protocol: 'TCP', port: 80, nodePort: 30_080 }] },
			{ nodePortDsr: false },
		],
		['a port that servers do not have', { externalIps: ['198.51.100.1'] }, { standalone: true }],
	])('new backends wait for nothing where all flows from outside are tracked: %s', (_, over, context) => {
		const port = portOf(over, undefined, { ...CONTEXT, dsr: true, ...context });
		expect(port).toMatchObject({ externalTable: 2039, transitions: false });
		const both = {
			...over,
			externalIps: ['198.51.100.1'],
			ports: [{ name: '', protocol: 'TCP' as const, port: 8080, nodePort: 30_080 }],
		};
		expect(portOf(both, undefined, { ...CONTEXT, dsr: true, ...context })?.transitions).toBe(true);
	});

	it('lists the backends of this node where other nodes send what is for them, and servers that are no nodes nowhere', () => {
		const local = (over: Partial<Service>, context: Partial<ServicesContext>) =>
			portOf({ externalIps: ['198.51.100.1'], ...over }, [HERE, THERE], { ...CONTEXT, ...context })?.local.length;
		expect(local({}, { dsr: true })).toBe(1);
		expect(local({}, {})).toBe(0);
		expect(local({ externalIps: [] }, { dsr: true })).toBe(0);
		expect(local({ lbAlgorithm: 'random' }, { dsr: true })).toBe(0);
		expect(
			local({ ports: [{ name: '', protocol: 'TCP', port: 8080, nodePort: 0 }] }, { dsr: true, standalone: true }),
		).toBe(0);
	});

	it('remembers all flows where servers are no nodes', () => {
		const remembers = (standalone: boolean) =>
			portOf({}, undefined, { ...CONTEXT, dsr: true, standalone })?.remembersAll;
		expect([false, true].map(remembers)).toEqual([false, true]);
	});

	it('needs no table without an external address', () => {
		expect(portOf({}, undefined, { ...CONTEXT, dsr: true })).toMatchObject({ externalTable: 0, transitions: false });
	});

	it('ignores hints for tables of external addresses, and only for them: nodes must agree', () => {
		const hinted = [
			{ ...HERE, zoneHints: ['zone-1'] },
			{ ...THERE, zoneHints: ['zone-2'] },
		];
		const port = portOf({ externalIps: ['198.51.100.1'] }, hinted, { ...CONTEXT, dsr: true })!;
		const hosts = (list: readonly { address: string }[]) => list.map(({ address }) => address);
		expect([hosts(port.all), hosts(port.external)]).toEqual([['10.0.0.1'], ['10.0.0.1', '10.0.0.2']]);
		const random = portOf({ externalIps: ['198.51.100.1'] }, hinted)!;
		expect(random.external).toBe(random.all);
	});
});
