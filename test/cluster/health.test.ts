import { describe, expect, it } from 'vitest';
import { nodeObject } from '../lib/cluster/objects.ts';
import { useCluster } from '../lib/cluster/use.ts';
import {
	ask,
	type ClusterNode,
	eventually,
	type Family,
	PATIENCE,
	type Place,
	type Pod,
	type ServiceSpec,
} from '../lib/cluster.ts';
import { ECHO_PORT } from '../lib/echo-cluster.ts';

const families = ['IPv4', 'IPv6'] as const;
const NODE_PORT = 30090;
const HEALTH_PORT = 32100;
/** Takes a port and does nothing with it. */
const HOLD = 'require("net").createServer().listen(process.argv[2], process.argv[1])';

const balancer = (healthCheckNodePort: number): ServiceSpec => ({
	name: 'web',
	clusterIPs: ['10.96.0.70', 'fd00:96::70'],
	ports: [{ port: 80, targetPort: ECHO_PORT, nodePort: NODE_PORT }],
	extra: { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort },
});

interface Page {
	/** 0 = no connection. */
	readonly status: number;
	readonly headers: string;
	readonly body: string;
	/** What curl says when there is no connection. */
	readonly error: string;
}

/** A page as curl gets it, without following anything. */
async function page(place: Place, url: string, ...args: string[]): Promise<Page> {
	const command = ['curl', '-sS', '-i', '--globoff', '--max-time', String(3 * PATIENCE), ...args, url];
	const { code, stdout, stderr } = await place.run(command, { allowFailure: true });
	const end = stdout.indexOf('\r\n\r\n');
	const status = code === 0 ? Number(/^HTTP\/1\.1 (\d+)/.exec(stdout)?.[1] ?? 0) : 0;
	return { status, headers: stdout.slice(0, end).toLowerCase(), body: stdout.slice(end + 4), error: stderr };
}

const at = (node: ClusterNode, family: Family, port: number, path = ''): string =>
	`http://${family === 'IPv4' ? node.addresses.v4 : `[${node.addresses.v6}]`}:${port}/${path}`;

describe('what a node says of itself to the outside', () => {
	let pod: Pod;
	const cluster = useCluster({ routing: 'vxlan', config: { maps: { services: 40 } } }, async (made) => {
		pod = await made.createPod({ node: made.node(1), name: 'web' });
		await pod.startEcho();
		made.publish(balancer(HEALTH_PORT), [pod]);
	});
	const health = (node: number, family: Family, port = HEALTH_PORT, ...args: string[]) =>
		page(cluster().client, at(cluster().node(node), family, port), ...args);
	const healthz = (path = 'healthz') => page(cluster().client, at(cluster().node(1), 'IPv4', 10256, path));
	const awaitStatus = (what: string, read: () => Promise<Page>, status: number) =>
		eventually(what, async () => {
			const got = await read();
			if (got.status !== status) throw new Error(`${got.status} ${got.body}${got.error}`);
			return got;
		});

	describe.each(families)('about a service with the Local policy, over %s', (family) => {
		it('is where it has an endpoint: to an outside client, on any path, to any method', async () => {
			const answer = await awaitStatus('health check port of node 1', () => health(1, family), 200);
			expect(JSON.parse(answer.body)).toEqual({
				service: { namespace: 'default', name: 'web' },
				localEndpoints: 1,
				serviceProxyHealthy: true,
			});
			expect(answer.headers).toContain('content-type: application/json');
			expect(answer.headers).toContain('x-content-type-options: nosniff');
			expect(answer.headers).toContain('x-load-balancing-endpoint-weight: 1');
			const posted = await health(1, family, HEALTH_PORT, '-X', 'POST', '-d', 'x');
			expect(posted).toMatchObject({ status: 200, error: '' });
		});

		it('is where it has none', async () => {
			const answer = await awaitStatus('health check port of node 2', () => health(2, family), 503);
			expect(answer.headers).toContain('x-load-balancing-endpoint-weight: 0');
			expect(JSON.parse(answer.body)).toMatchObject({ localEndpoints: 0, serviceProxyHealthy: true });
		});
	});

	it('sends load balancers away from a node whose last endpoint drains, and still serves what comes', async () => {
		const spec = balancer(HEALTH_PORT);
		cluster().publish(spec, [{ name: 'web', nodeName: 'node1', addresses: pod.addresses, terminating: true }]);
		for (const family of families) {
			await awaitStatus('health check port', () => health(1, family), 503);
			const { v4, v6 } = cluster().node(1).addresses;
			const request = { mode: 'tcp', host: family === 'IPv4' ? v4 : v6, port: NODE_PORT, count: 3 } as const;
			expect(await ask(cluster().client, request)).toMatchObject({ ok: 3, failed: 0, servers: { web: 3 } });
		}
		cluster().publish(spec, [pod]);
		await awaitStatus('health check port', () => health(1, 'IPv4'), 200);
	});

	it('moves with the port of the service, and ends with its policy', async () => {
		cluster().publish(balancer(HEALTH_PORT + 1), [pod]);
		await awaitStatus('new health check port', () => health(1, 'IPv4', HEALTH_PORT + 1), 200);
		expect((await health(1, 'IPv4')).status).toBe(0);
		const policy = { type: 'LoadBalancer', externalTrafficPolicy: 'Cluster' };
		cluster().publish({ ...balancer(0), extra: policy }, [pod]);
		await awaitStatus('no health check port', () => health(1, 'IPv4', HEALTH_PORT + 1), 0);
		cluster().publish(balancer(HEALTH_PORT), [pod]);
		await awaitStatus('health check port', () => health(1, 'IPv4'), 200);
	});

	it('names a health check port that another program holds, and takes it when it is free', async () => {
		const node = cluster().node(2);
		const holder = node.start('holder', [process.execPath, '-e', HOLD, node.addresses.v4, String(HEALTH_PORT + 2)]);
		await eventually('the port is held', async () => {
			const { stdout } = await node.run(['ss', '-Hltn', `sport = :${HEALTH_PORT + 2}`]);
			if (stdout === '') throw new Error('not yet');
		});
		cluster().publish(balancer(HEALTH_PORT + 2), [pod]);
		await eventually('a warning', async () => {
			const { stdout } = await node.cli('status', '-o', 'json');
			const { ready, warnings } = JSON.parse(stdout) as { ready: boolean; warnings: string[] };
			expect({ ready, warnings }).toEqual({
				ready: true,
				warnings: [expect.stringMatching(/^FailedToStartServiceHealthcheck: Service default\/web: .*EADDRINUSE$/)],
			});
		});
		await holder.stop('SIGKILL');
		// any sync tries again
		cluster().publish(balancer(HEALTH_PORT + 2), []);
		await awaitStatus('health check port', () => health(2, 'IPv4', HEALTH_PORT + 2), 503);
	});

	it('is healthy on port 10256 in both families, in JSON', async () => {
		for (const family of families) {
			const answer = await page(cluster().client, at(cluster().node(1), family, 10256, 'healthz'));
			expect(answer.status).toBe(200);
			expect(JSON.parse(answer.body)).toMatchObject({
				nodeEligible: true,
				healthy: true,
				status: { IPv4: { healthy: true }, IPv6: { healthy: true } },
			});
		}
	});

	it('asks load balancers to leave a node that goes away, without failing the liveness probe', async () => {
		const node = nodeObject('node1', 1, 0, ['IPv4', 'IPv6']);
		const taints = [{ key: 'ToBeDeletedByClusterAutoscaler', value: '1', effect: 'NoSchedule' }];
		cluster().objects.apply({ ...node, spec: { ...(node.spec as object), taints } });
		const answer = await awaitStatus('taint seen', () => healthz(), 503);
		expect(JSON.parse(answer.body)).toMatchObject({ nodeEligible: false, healthy: true });
		expect((await healthz('livez')).status).toBe(200);
		cluster().objects.apply(node);
		await awaitStatus('taint gone', () => healthz(), 200);
		cluster().objects.remove('Node', 'node1');
		await awaitStatus('node object gone', () => healthz(), 503);
		cluster().objects.apply(node);
		await awaitStatus('node object back', () => healthz(), 200);
	});

	it('stays ready when the objects of other nodes are wrong, and warns', async () => {
		const status = async () => {
			const { stdout } = await cluster().node(1).cli('status', '-o', 'json');
			return JSON.parse(stdout) as { ready: boolean; warnings: string[] };
		};
		const joining = nodeObject('node8', 8, 0, ['IPv4', 'IPv6']);
		cluster().objects.apply({ ...joining, status: { addresses: [] } });
		cluster().objects.apply({
			...nodeObject('node9', 9, 0, ['IPv4']),
			spec: { podCIDRs: [cluster().node(2).addresses.podCidr4] },
		});
		await eventually('warnings', async () => {
			expect(await status()).toMatchObject({
				ready: true,
				warnings: [
					'Node node8: no InternalIP of a family this node has; its pods cannot be reached',
					expect.stringMatching(/^Node node9: pod CIDR \S+ overlaps \S+ of node node2 and is ignored$/) as string,
				],
			});
		});
		await cluster().node(1).cni.status();
		expect((await healthz('readyz')).status).toBe(200);
		for (const name of ['node8', 'node9']) cluster().objects.remove('Node', name);
		await eventually('no warning', async () => expect((await status()).warnings).toEqual([]));
	});

	it('says what its maps take as they are configured', async () => {
		const { stdout } = await cluster().node(1).cli('status', '-o', 'json');
		const { facts, maps } = JSON.parse(stdout) as { facts: Record<string, string>; maps: { bytes: number }[] };
		const bytes = maps.reduce((sum, map) => sum + map.bytes, 0);
		expect(facts['map-memory']).toBe(`${(bytes / 1024 / 1024).toFixed(0)} MiB`);
	});

	it('serves what kube-proxy serves on 10249, to the node only', async () => {
		const node = cluster().node(1);
		const local = (path: string) => page(node, `http://127.0.0.1:10249/${path}`);
		expect(await local('proxyMode')).toMatchObject({ status: 200, body: 'fairlead' });
		expect(await local('healthz')).toMatchObject({ status: 200, body: 'ok' });
		expect(JSON.parse((await local('configz')).body)).toMatchObject({ fairlead: { nodeName: 'node1' } });
		const metrics = (await local('metrics')).body;
		expect(metrics).toMatch(/^kubeproxy_sync_proxy_rules_duration_seconds_count\{ip_family="IPv6"\} [1-9]/m);
		expect(metrics).toMatch(/^kubeproxy_sync_proxy_rules_service_changes_total\{ip_family="IPv4"\} [1-9]/m);
		expect(metrics).toMatch(/^kubeproxy_proxy_healthz_total\{code="503"\} [1-9]/m);
		expect((await page(cluster().client, at(node, 'IPv4', 10249, 'metrics'))).status).toBe(0);
	});

	it('warns before the service map is full, and takes that back', async () => {
		const node = cluster().node(1);
		const status = async () => {
			const { stdout } = await node.cli('status', '-o', 'json');
			return JSON.parse(stdout) as { ready: boolean; warnings: string[] };
		};
		const metrics = async () => (await page(node, 'http://127.0.0.1:10249/metrics')).body;
		const names = Array.from({ length: 14 }, (_, n) => `filler-${n}`);
		for (const [n, name] of names.entries()) {
			cluster().publish({ name, clusterIPs: [`10.96.1.${n + 1}`], ports: [{ port: 80, targetPort: ECHO_PORT }] }, [
				pod,
			]);
		}
		await eventually('a warning', async () => {
			expect(await status()).toMatchObject({
				ready: true,
				warnings: [expect.stringMatching(/^map services: \d+ of 40 entries used .*: raise maps\.services$/) as string],
			});
			expect(await metrics()).toMatch(/^fairlead_map_pressure_ratio\{map="services"\} (0\.[789]|1$)/m);
		});
		for (const name of names) cluster().objects.remove('Service', name);
		await eventually('no warning', async () => expect((await status()).warnings).toEqual([]));
	});

	it('counts what is in the tables that only the programs write', async () => {
		await eventually('a collection', async () => {
			const { body } = await page(cluster().node(1), 'http://127.0.0.1:10249/metrics');
			for (const map of ['ct4', 'ct6', 'sock_rev', 'affinity', 'frags', 'ipcache']) {
				expect(body).toMatch(new RegExp(`^fairlead_map_entries\\{map="${map}"\\} \\d+$`, 'm'));
			}
			expect(body).toMatch(/^fairlead_conntrack_entries\{ip_family="IPv4",protocol="tcp"\} \d+$/m);
			expect(body).toMatch(/^kubeproxy_conntrack_reconciler_sync_duration_seconds_count\{ip_family="IPv6"\} [1-9]/m);
		});
	});

	it('measures how long a change of an endpoint took from the cluster to the maps', async () => {
		const spec = { ...balancer(0), name: 'timed', clusterIPs: ['10.96.0.71'], extra: {} };
		cluster().publish(spec, [pod]);
		const file = { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice' };
		cluster().objects.apply({
			...file,
			metadata: {
				name: 'timed-more',
				namespace: 'default',
				labels: { 'kubernetes.io/service-name': 'timed' },
				annotations: { 'endpoints.kubernetes.io/last-change-trigger-time': new Date().toISOString() },
			},
			addressType: 'IPv4',
			ports: [{ name: 'p80', port: ECHO_PORT, protocol: 'TCP' }],
			endpoints: [{ addresses: ['10.244.9.9'], nodeName: 'node9' }],
		});
		await eventually('one measurement', async () => {
			const { body } = await page(cluster().node(1), 'http://127.0.0.1:10249/metrics');
			expect(body).toMatch(/^kubeproxy_network_programming_duration_seconds_count\{ip_family="IPv4"\} 1$/m);
		});
	});
});
