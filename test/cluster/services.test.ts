import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { useCluster } from '../lib/cluster/use.ts';
import { ask, curl, eventually, type Family, startTraffic, urlOf } from '../lib/cluster.ts';
import {
	awaitBackends,
	ECHO_PORT,
	ECHO_SERVICE,
	type EchoPods,
	populate,
	startHostEcho,
	VIP,
} from '../lib/echo-cluster.ts';

const EMPTY: Record<Family, string> = { IPv4: '10.96.0.20', IPv6: 'fd00:96::20' };
const families = ['IPv4', 'IPv6'] as const;

describe('services of a cluster', () => {
	let pods: EchoPods;
	const cluster = useCluster({ routing: 'vxlan' }, async (made) => {
		pods = await populate(made);
		made.publish({ ...ECHO_SERVICE, name: 'empty', clusterIPs: [EMPTY.IPv4, EMPTY.IPv6] }, []);
	});
	const foreignCgroup = (): string => join(cluster().node(1).nodeCgroup, '..', 'client');

	describe('without an endpoint', () => {
		beforeAll(async () => {
			await eventually('the service without endpoints is known', async () => {
				const { errors } = await ask(pods.a1, { mode: 'tcp', host: EMPTY.IPv4, port: 80, timeoutMs: 500 });
				if (errors.ECONNREFUSED !== 1) throw new Error(JSON.stringify(errors));
			});
		});

		describe.each(families)('over %s', (family) => {
			it.each(['tcp', 'udp'] as const)('refuse %s at once through the socket hook', async (mode) => {
				const port = mode === 'tcp' ? 80 : 53;
				const report = await ask(pods.a1, { mode, host: EMPTY[family], port, count: 5, timeoutMs: 2000 });
				expect(report.errors).toEqual({ ECONNREFUSED: 5 });
			});

			it.each(['tcp', 'udp'] as const)(
				'refuse %s at once by a packet when the socket hook is not there',
				async (mode) => {
					const port = mode === 'tcp' ? 80 : 53;
					const request = { mode, host: EMPTY[family], port, count: 5, timeoutMs: 2000 };
					const report = await ask(pods.a1, request, { cgroup: foreignCgroup() });
					expect(report.errors).toEqual({ ECONNREFUSED: 5 });
				},
			);

			it('refuse the node itself too, with and without the socket hook', async () => {
				const request = { mode: 'tcp', host: EMPTY[family], port: 80, count: 3, timeoutMs: 2000 } as const;
				for (const options of [{}, { cgroup: foreignCgroup() }]) {
					const report = await ask(cluster().node(1), request, options);
					expect(report.errors).toEqual({ ECONNREFUSED: 3 });
				}
			});

			it('refuse a port that the service does not have', async () => {
				const request = { mode: 'tcp', host: VIP[family], port: 81, count: 3, timeoutMs: 2000 } as const;
				for (const options of [{}, { cgroup: foreignCgroup() }]) {
					const report = await ask(pods.a1, request, options);
					expect(report.errors).toEqual({ ECONNREFUSED: 3 });
				}
			});
		});
	});

	it('lose a backend without one failed request, and get it back', async () => {
		const rounds = 3;
		const traffic = families.flatMap((family) => [
			{
				run: startTraffic(pods.a1, `tcp-${family}`, { mode: 'tcp', host: VIP[family], port: 80, intervalMs: 5 }),
				mostEnded: 0,
			},
			{
				run: startTraffic(pods.b2, `udp-${family}`, { mode: 'udp', host: VIP[family], port: 53, intervalMs: 5 }),
				mostEnded: rounds, // who still waits for a datagram when the backend has been gone for a while is told
			},
		]);
		await Promise.all(traffic.map(({ run }) => run.flowing()));
		for (let round = 0; round < rounds; round++) {
			cluster().publish(ECHO_SERVICE, [pods.a2]);
			for (const place of [pods.a1, pods.b2]) await awaitBackends(place, VIP.IPv4, 80, ['a2']);
			cluster().publish(ECHO_SERVICE, [pods.a2, pods.b1]);
			for (const place of [pods.a1, pods.b2]) await awaitBackends(place, VIP.IPv4, 80, ['a2', 'b1']);
		}
		for (const { run, mostEnded } of traffic) {
			const { ok, errors, servers } = await run.stop();
			const { ECONNABORTED: ended = 0, ...others } = errors;
			expect(others).toEqual({});
			expect(ended).toBeLessThanOrEqual(mostEnded);
			expect(ok).toBeGreaterThan(50);
			expect(Object.keys(servers).sort()).toEqual(['a2', 'b1']);
		}
	});

	it.each(families)('are named with the pod or node that asks them by the socket hook, over %s', async (family) => {
		const node = cluster().node(1);
		const recorded = async (...filter: string[]): Promise<{ kind: string }[]> => {
			const { stdout } = await node.cli('observe', '--all', '-o', 'json', '--ip', VIP[family], ...filter);
			const lines = stdout.split('\n').filter((line) => line !== '');
			return lines.map((line) => (JSON.parse(line) as { flow: { kind: string } }).flow);
		};
		const service = ['--service', `default/${ECHO_SERVICE.name}`];
		for (const place of [pods.a1, node]) await ask(place, { mode: 'tcp', host: VIP[family], port: 80 });
		await eventually('a record of each', async () => {
			const ofPod = await recorded('--from-pod', 'default/a1', ...service);
			const ofNode = await recorded('--from-ip', family === 'IPv4' ? node.addresses.v4 : node.addresses.v6, ...service);
			for (const flows of [ofPod, ofNode]) expect(flows.map(({ kind }) => kind)).toContain('connect');
		});
		await ask(pods.a1, { mode: 'tcp', host: EMPTY[family], port: 80 });
		await eventually('the refusal with the pod', async () => {
			const { stdout } = await node.cli(
				'observe',
				'--all',
				'--from-pod',
				'default/a1',
				'--reason',
				'no_backend',
				'--to-ip',
				EMPTY[family],
			);
			expect(stdout).toMatch(/default\/a1 \(pod\) -> default\/empty:80 .*no_backend DROPPED/);
		});
	});

	it('go away when their object is removed', async () => {
		const service = { ...ECHO_SERVICE, name: 'short-lived', clusterIPs: ['10.96.0.30'] };
		cluster().publish(service, [pods.a2]);
		await awaitBackends(pods.a1, '10.96.0.30', 80, ['a2']);
		cluster().objects.remove('Service', 'short-lived');
		await eventually('the service is gone', async () => {
			const { ok } = await ask(pods.a1, { mode: 'tcp', host: '10.96.0.30', port: 80, timeoutMs: 500 });
			if (ok > 0) throw new Error('it still answers');
		});
	});

	it('stay in force when another object is broken', async () => {
		cluster().objects.apply({
			apiVersion: 'v1',
			kind: 'Service',
			metadata: { name: 'broken' },
			spec: { ports: 'no list' },
		});
		cluster().publish({ ...ECHO_SERVICE, name: 'beside', clusterIPs: ['10.96.0.40'] }, [pods.b1]);
		await awaitBackends(pods.a1, '10.96.0.40', 80, ['b1']);
		await awaitBackends(pods.a1, VIP.IPv4, 80, ['a2', 'b1']);
		const { stdout } = await cluster().node(1).cli('status', '-o', 'json');
		expect(stdout).toContain('Service default/broken');
		cluster().objects.remove('Service', 'broken');
	});

	it('are served by nginx to curl under their ClusterIP', async () => {
		await Promise.all([pods.a2.startNginx(8080), pods.b1.startNginx(8080)]);
		const service = { name: 'web', clusterIPs: ['10.96.0.50', 'fd00:96::50'], ports: [{ port: 80, targetPort: 8080 }] };
		cluster().publish(service, [pods.a2, pods.b1]);
		for (const address of service.clusterIPs) {
			await eventually(`curl reaches ${address}`, () => curl(pods.a1, urlOf(address)));
			const pages = await Promise.all(Array.from({ length: 12 }, () => curl(pods.b2, urlOf(address))));
			expect(new Set(pages.map((page) => page.split(' ')[0]))).toEqual(new Set(['a2', 'b1']));
		}
	});

	it.each(['tcp', 'udp'] as const)('take %s from the outside client at a NodePort of either node', async (mode) => {
		const nodePort = mode === 'tcp' ? 30080 : 30053;
		cluster().publish(
			{
				name: `outside-${mode}`,
				type: 'NodePort',
				clusterIPs: mode === 'tcp' ? ['10.96.0.60', 'fd00:96::60'] : ['10.96.0.61', 'fd00:96::61'],
				ports: [{ port: 80, targetPort: ECHO_PORT, nodePort, protocol: mode === 'tcp' ? 'TCP' : 'UDP' }],
			},
			[pods.a2, pods.b1],
		);
		for (const node of cluster().nodes) {
			for (const host of [node.addresses.v4, node.addresses.v6]) {
				await eventually(`NodePort ${host}`, async () => {
					const report = await ask(cluster().client, {
						mode,
						host,
						port: nodePort,
						count: 32,
						timeoutMs: 1000,
						maxFailures: 1,
					});
					expect(report).toMatchObject({ ok: 32, failed: 0 });
					expect(Object.keys(report.servers).sort()).toEqual(['a2', 'b1']);
				});
			}
		}
	});

	it('keep a NodePort that a process of the node has bound', async () => {
		const nodePort = 30_090;
		const node = cluster().node(1);
		await startHostEcho(node, nodePort);
		const ports = (['TCP', 'UDP'] as const).map((protocol) => ({
			...{ name: protocol.toLowerCase(), protocol, port: 80, targetPort: ECHO_PORT, nodePort },
		}));
		const clusterIPs = ['10.96.0.31', 'fd00:96::31'];
		cluster().publish({ name: 'bound', type: 'NodePort', clusterIPs, ports }, [pods.a2, pods.b1]);
		const host = node.addresses.v4;
		await awaitBackends(cluster().client, host, nodePort, ['a2', 'b1']);
		const askers = [[cluster().client], [pods.a1], [node], [node, { cgroup: foreignCgroup() }]] as const;
		for (const [place, options] of askers) {
			for (const mode of ['tcp', 'udp'] as const) {
				const { servers, failed } = await ask(place, { mode, host, port: nodePort, count: 24 }, options);
				expect([failed, Object.keys(servers).sort()]).toEqual([0, ['a2', 'b1']]);
			}
		}
	});

	it('reach a hostPort of a pod from the outside client and keep its address', async () => {
		const pod = await cluster().createPod({
			node: cluster().node(2),
			name: 'with-host-port',
			portMappings: [
				{ hostPort: 8088, containerPort: ECHO_PORT, protocol: 'tcp' },
				{ hostPort: 8088, containerPort: ECHO_PORT, protocol: 'udp' },
			],
		});
		await pod.startEcho();
		const { v4, v6 } = cluster().node(2).addresses;
		for (const host of [v4, v6]) {
			for (const mode of ['tcp', 'udp'] as const) {
				await eventually(`hostPort over ${mode} at ${host}`, async () => {
					const report = await ask(cluster().client, { mode, host, port: 8088, timeoutMs: 1000 });
					expect(report).toMatchObject({ ok: 1, servers: { 'with-host-port': 1 } });
				});
			}
		}
	});
});
