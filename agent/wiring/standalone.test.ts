import { describe, expect, it } from 'vitest';
import { endpoint, service, slice } from '../../test/lib/cluster-builder.ts';
import { parseNode } from '../model/node.ts';
import type { Service } from '../model/service.ts';
import { planServices, type ServicesContext } from '../plan/services.ts';
import { ClusterStore } from '../sources/store.ts';
import { StandaloneObjects, standaloneProblems } from './standalone.ts';

function node(name: string) {
	const parsed = parseNode({
		metadata: { name, labels: { 'topology.kubernetes.io/zone': 'z' } },
		spec: { podCIDRs: ['10.1.0.0/24'] },
		status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }] },
	});
	if (!parsed.ok) throw new Error('the node is not valid');
	return parsed.value;
}

function setUp() {
	const store = new ClusterStore();
	const leftOut: string[] = [];
	return {
		store,
		leftOut,
		objects: new StandaloneObjects({ store, nodeName: 'lb-1', onLeftOut: (o) => leftOut.push(o) }),
	};
}

describe('objects of a standalone balancer', () => {
	it('have an own Node that nobody has written', () => {
		const { store, objects } = setUp();
		objects.markSynced();
		expect(store.synced).toBe(true);
		expect(store.nodes.get('lb-1')).toMatchObject({ internalIps: [], podCidrs: [], goingAway: false });
	});

	it('take a written one without its pods, and do without it when it goes', () => {
		const { store, objects } = setUp();
		objects.set('Node', 'lb-1', node('lb-1'));
		objects.markSynced();
		expect(store.nodes.get('lb-1')).toMatchObject({ internalIps: ['192.0.2.1'], zone: 'z', podCidrs: [] });
		objects.delete('Node', 'lb-1');
		expect(store.nodes.get('lb-1')).toMatchObject({ internalIps: [], podCidrs: [] });
	});

	it('are services and their endpoints; what needs a cluster is left out and named once', () => {
		const { store, objects, leftOut } = setUp();
		objects.set('Service', 'default/web', service('web'));
		objects.set('EndpointSlice', 'default/web-1', slice('web', ['192.0.2.7']));
		for (let i = 0; i < 2; i++) objects.set('Node', 'other', node('other'));
		objects.set('Namespace', 'default', { name: 'default', labels: {} });
		expect([store.services.size, store.slicesOf('default/web').length, store.nodes.size]).toEqual([1, 1, 0]);
		expect(leftOut).toEqual(['Node other', 'Namespace default']);
	});
});

const CONTEXT: ServicesContext = {
	node: { name: 'lb-1', zone: '', addresses: ['192.0.2.1'], localAddresses: ['192.0.2.1'] },
	nodePortAddresses: ['192.0.2.1'],
	standalone: true,
};
const CONFIG = { standalone: true, filesDir: '/objects', serviceProxyName: '' };

function problems(services: readonly Service[], endpoints: Parameters<typeof slice>[1], config = CONFIG) {
	const store = new ClusterStore();
	for (const each of services) {
		store.set('Service', `default/${each.name}`, each);
		store.set('EndpointSlice', `default/${each.name}-1`, slice(each.name, endpoints));
	}
	return standaloneProblems({ config, view: store, plans: planServices(store, [], CONTEXT) });
}

const vip = (name: string, address: string): Service =>
	service(name, { type: 'LoadBalancer', clusterIps: [], loadBalancerIps: [address] });

describe('readiness of a standalone balancer', () => {
	it('is reached with one port that somebody can reach', () => {
		expect(problems([vip('a', '198.51.100.1'), service('b', { clusterIps: [] })], ['192.0.2.7'])).toEqual([]);
	});

	it('needs a Service', () => {
		expect(problems([], [])).toEqual(['no service can be served: there is no Service in /objects']);
		expect(problems([], [], { ...CONFIG, standalone: false })).toEqual([]);
	});

	it.each([
		['no ready endpoint', vip('a', '198.51.100.1'), [endpoint('192.0.2.7', { ready: false, serving: false })]],
		['no address here', service('a', { clusterIps: [] }), ['192.0.2.7']],
		['no address here', vip('a', '2001:db8::1'), ['192.0.2.7']],
		['ExternalName, headless or for another proxy', { ...vip('a', '198.51.100.1'), proxyName: 'x' }, ['192.0.2.7']],
	] as const)('says "%s"', (reason, each, endpoints) => {
		expect(problems([each], endpoints)).toEqual([
			expect.stringMatching(new RegExp(`^no service can be served: default/a: ${reason}`)),
		]);
	});

	it('names a few of many', () => {
		const many = Array.from({ length: 5 }, (_, n) => vip(`s${n}`, `198.51.100.${n}`));
		expect(problems(many, [])[0]).toMatch(/default\/s2: no ready endpoint; and 2 more$/);
	});
});
