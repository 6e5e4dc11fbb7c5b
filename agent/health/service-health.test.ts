import { describe, expect, it } from 'vitest';
import { endpoint, service, slice } from '../../test/lib/cluster-builder.ts';
import { FairleadError } from '../model/errors.ts';
import { formatRef } from '../model/event.ts';
import type { Service } from '../model/service.ts';
import type { HttpRoute } from './http-server.ts';
import {
	countLocalEndpoints,
	type HealthServerPlan,
	planServiceHealth,
	serviceHealthAnswer,
} from './service-health.ts';
import { ServiceHealthServers } from './service-health-servers.ts';

const CONTEXT = { nodeName: 'node-a', proxyName: '', nodePortAddresses: ['192.168.0.1', 'fd00:192::1'] };
const here = (address: string, over = {}) => endpoint(address, { node: 'node-a', ...over });
const web = (over: Partial<Service> = {}): Service =>
	service('web', {
		type: 'LoadBalancer',
		externalPolicy: 'Local',
		healthCheckNodePort: 32000,
		clusterIps: ['10.96.0.10', 'fd00:96::10'],
		...over,
	});

describe('health check servers of a service', () => {
	it('listen at the NodePort addresses of both families, each with the count of its family', () => {
		const slices = [
			slice('web', [here('10.0.0.1'), here('10.0.0.2')]),
			slice('web', [here('fd00::1')], { name: 'web-6', addressType: 'IPv6' }),
		];
		expect(planServiceHealth(web(), slices, CONTEXT)).toEqual([
			{
				key: '192.168.0.1|32000',
				address: '192.168.0.1',
				port: 32000,
				namespace: 'default',
				name: 'web',
				localEndpoints: 2,
			},
			expect.objectContaining({ key: 'fd00:192::1|32000', localEndpoints: 1 }),
		]);
	});

	it('exist only in the families of the service', () => {
		const plans = planServiceHealth(web({ clusterIps: ['fd00:96::10'] }), [], CONTEXT);
		expect(plans.map(({ address }) => address)).toEqual(['fd00:192::1']);
	});

	it.each<[string, Partial<Service>]>([
		['is no LoadBalancer', { type: 'NodePort' }],
		['has the Cluster policy', { externalPolicy: 'Cluster' }],
		['has no health check port', { healthCheckNodePort: 0 }],
		['is served by another proxy', { proxyName: 'other' }],
		['is headless', { clusterIps: [] }],
		['is marked headless', { headlessLabel: true }],
	])('do not exist when the service %s', (_why, over) => {
		expect(planServiceHealth(web(over), [slice('web', [here('10.0.0.1')])], CONTEXT)).toEqual([]);
	});
});

describe('the count of local endpoints', () => {
	const count = (...slices: Parameters<typeof countLocalEndpoints>[0]) => countLocalEndpoints(slices, 4, 'node-a');

	it('counts a pod with two ports, in one slice or two, once', () => {
		const ports = [
			{ name: 'a', protocol: 'TCP' as const, port: 1 },
			{ name: 'b', protocol: 'TCP' as const, port: 2 },
		];
		expect(count(slice('web', [here('10.0.0.1')], { ports }))).toBe(1);
		expect(count(slice('web', [here('10.0.0.1')]), slice('web', [here('10.0.0.1')], { name: 'web-2' }))).toBe(1);
	});

	it.each([
		['not ready', { ready: false }],
		['terminating, though it serves', { ready: false, serving: true, terminating: true }],
		['terminating and published as ready', { ready: true, terminating: true }],
		['on another node', { node: 'node-b' }],
		['on no known node', { node: '' }],
	])('leaves out an endpoint that is %s', (_what, over) => {
		expect(count(slice('web', [here('10.0.0.1', over), here('10.0.0.2')]))).toBe(1);
	});

	it('leaves out slices of the other family, of headless services and without ports', () => {
		const list = [here('10.0.0.1')];
		expect(
			count(
				slice('web', [here('fd00::1')], { addressType: 'IPv6' }),
				slice('web', list, { headlessLabel: true }),
				slice('web', list, { ports: [] }),
			),
		).toBe(0);
	});
});

const PLAN: HealthServerPlan = {
	key: '192.168.0.1|32000',
	address: '192.168.0.1',
	port: 32000,
	namespace: 'shop',
	name: 'web',
	localEndpoints: 2,
};

describe('the answer of a health check server', () => {
	it.each([
		[2, true, 200],
		[0, true, 503],
		[2, false, 503],
	])('with %i endpoints and a proxy that is healthy = %s is %i', (localEndpoints, healthy, status) => {
		const answer = serviceHealthAnswer({ ...PLAN, localEndpoints }, healthy);
		expect(answer).toMatchObject({
			status,
			contentType: 'application/json',
			headers: { 'x-content-type-options': 'nosniff', 'x-load-balancing-endpoint-weight': String(localEndpoints) },
		});
		expect(JSON.parse(answer.body)).toEqual({
			service: { namespace: 'shop', name: 'web' },
			localEndpoints,
			serviceProxyHealthy: healthy,
		});
	});
});

/** Listening sockets that exist only here. */
class FakeSockets {
	readonly open = new Map<string, HttpRoute>();
	readonly log: string[] = [];
	readonly refused = new Set<string>();
	readonly listen = (host: string, port: number, answer: HttpRoute) => {
		const key = `${host}|${port}`;
		if (this.refused.has(key)) return Promise.reject(new FairleadError('SOCKET_BUSY', `${key}: EADDRINUSE`));
		this.log.push(`+${key}`);
		this.open.set(key, answer);
		const close = () => {
			this.log.push(`-${key}`);
			this.open.delete(key);
			return Promise.resolve();
		};
		return Promise.resolve({ port, close });
	};
}

function start(healthy: (owner: string) => boolean = () => true) {
	const sockets = new FakeSockets();
	const reported: (readonly string[])[] = [];
	const events: string[] = [];
	const servers = new ServiceHealthServers({
		proxyHealthy: healthy,
		listen: sockets.listen,
		onProblems: (problems) => reported.push(problems),
		events: { event: (about, type, reason) => events.push(`${type} ${reason} ${formatRef(about)}`) },
	});
	const set = async (owner: string, ...plans: HealthServerPlan[]) => {
		servers.update(new Map([[owner, plans]]));
		await servers.idle();
	};
	return { sockets, servers, reported, events, set };
}

describe('ServiceHealthServers', () => {
	it('follow a change of the port', async () => {
		const { sockets, set } = start();
		await set('shop/web', PLAN);
		await set('shop/web', { ...PLAN, key: '192.168.0.1|32001', port: 32001 });
		await set('shop/web');
		expect(sockets.log).toEqual([
			'+192.168.0.1|32000',
			'-192.168.0.1|32000',
			'+192.168.0.1|32001',
			'-192.168.0.1|32001',
		]);
	});

	it('answer with the newest count without opening anew', async () => {
		const { sockets, set } = start();
		await set('shop/web', PLAN);
		await set('shop/web', { ...PLAN, localEndpoints: 0 });
		expect(await sockets.open.get(PLAN.key)?.()).toMatchObject({ status: 503 });
		expect(sockets.log).toEqual(['+192.168.0.1|32000']);
	});

	it('answer 503 for a service that is not in force although the node is well', async () => {
		const { sockets, set } = start((owner) => owner !== 'shop/web');
		await set('shop/web', PLAN);
		await set('shop/zoo', { ...PLAN, key: '192.168.0.1|32001', port: 32001, name: 'zoo' });
		expect(await sockets.open.get(PLAN.key)?.()).toMatchObject({ status: 503 });
		expect(await sockets.open.get('192.168.0.1|32001')?.()).toMatchObject({ status: 200 });
	});

	it('name a port that cannot be opened as Kubernetes does, try it again at each sync and tell when it works', async () => {
		const { sockets, servers, reported, events, set } = start();
		sockets.refused.add(PLAN.key);
		await set('shop/web', PLAN);
		expect(servers.problems).toEqual([
			'FailedToStartServiceHealthcheck: Service shop/web: health check port 32000 at 192.168.0.1: 192.168.0.1|32000: EADDRINUSE',
		]);
		servers.sync();
		await servers.idle();
		expect(reported).toHaveLength(1);
		expect(events).toEqual(Array(2).fill('Warning FailedToStartServiceHealthcheck Service shop/web'));
		sockets.refused.clear();
		servers.sync();
		await servers.idle();
		expect([reported.at(-1), sockets.open.size]).toEqual([[], 1]);
	});

	it('give a port that two services want to one of them, and to the other when it is free', async () => {
		const { sockets, servers, set } = start();
		await set('shop/web', PLAN);
		await set('shop/zoo', { ...PLAN, name: 'zoo', localEndpoints: 7 });
		expect(servers.problems).toEqual([expect.stringContaining('Service shop/zoo') as string]);
		await set('shop/web');
		expect(servers.problems).toEqual([]);
		expect(await sockets.open.get(PLAN.key)?.()).toMatchObject({
			body: expect.stringContaining('"name":"zoo"') as string,
		});
	});

	it('close everything at the end and open nothing after', async () => {
		const { sockets, servers, set } = start();
		await set('shop/web', PLAN);
		await servers.close();
		await set('shop/zoo', { ...PLAN, key: 'x|1' });
		expect([...sockets.open.keys()]).toEqual([]);
	});
});
