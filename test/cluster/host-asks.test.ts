/**
 * Nodes without the socket programs: their own processes ask for services by every address, packet by packet. What addresses and backends
 * there are is held by service-addresses.test.ts; here is what happens while they are in use.
 */
import { describe, expect, it } from 'vitest';
import { useCluster } from '../lib/cluster/use.ts';
import { ask, type ClusterNode, eventually, type Family, setSysctls, startTraffic } from '../lib/cluster.ts';
import { ECHO_PORT, type EchoPods, HOST_ECHO_PORT, populate } from '../lib/echo-cluster.ts';

const VIP: Record<Family, string> = { IPv4: '172.29.9.9', IPv6: 'fd00:29:9::9' };
const CLUSTER_IP = ['10.96.0.77', 'fd00:96::77'];
const NODE_PORT = { pods: 30_180, process: 30_181, deaf: 30_182 } as const;
const PORT = { pods: 80, process: 81, deaf: 82 } as const;
const FAMILIES: readonly Family[] = ['IPv4', 'IPv6'];
/** Nobody listens there. */
const DEAF_PORT = 7999;

describe.each(['vxlan', 'direct'] as const)('processes of nodes without the socket programs, routing %s', (routing) => {
	let pods: EchoPods;
	const cluster = useCluster({ routing, config: { socketLb: false } }, async (made) => {
		pods = await populate(made);
		const node = made.node(1);
		const addresses = { IPv4: node.addresses.v4, IPv6: node.addresses.v6 };
		const process = { name: 'process', nodeName: node.name, addresses };
		const spec = (name: keyof typeof PORT, targetPort: number, at: number) => ({
			name,
			clusterIPs: CLUSTER_IP.map((ip) => ip.replace(/77$/, `${77 + at}`)),
			type: 'LoadBalancer' as const,
			ingress: FAMILIES.map((f) => ({ ip: VIP[f] })),
			ports: (['TCP', 'UDP'] as const).map((protocol) => ({
				name: protocol.toLowerCase(),
				protocol,
				targetPort,
				port: PORT[name],
				nodePort: NODE_PORT[name],
			})),
		});
		made.publish(spec('pods', ECHO_PORT, 0), [pods.a2, pods.b1]);
		made.publish(spec('process', HOST_ECHO_PORT, 1), [process]);
		made.publish(spec('deaf', DEAF_PORT, 2), [pods.a2]);
		await eventually('the services are there', async () => {
			for (const f of FAMILIES) {
				for (const port of Object.values(PORT)) {
					const { errors } = await ask(node, { mode: 'tcp', host: VIP[f], port, timeoutMs: 1000 });
					if (errors.TIMEOUT) throw new Error(`${VIP[f]} port ${port} is silent`);
				}
			}
		});
	});
	const own = (node: ClusterNode, f: Family) => (f === 'IPv4' ? node.addresses.v4 : node.addresses.v6);
	/** Of a service, as node 1 asks for them. */
	const targetsOf = (name: keyof typeof PORT, f: Family) => [
		{ host: own(cluster().node(1), f), port: NODE_PORT[name] },
		{ host: VIP[f], port: PORT[name] },
	];

	describe.each(FAMILIES)('over %s', (f) => {
		it.each(['tcp', 'udp'] as const)(
			'reach pods of both nodes by %s at their own node port and at a VIP',
			async (mode) => {
				for (const target of targetsOf('pods', f)) {
					const report = await ask(cluster().node(1), { mode, ...target, count: 32 });
					expect(report, target.host).toMatchObject({ ok: 32, failed: 0 });
					expect(Object.keys(report.servers).sort()).toEqual(['a2', 'b1']);
				}
			},
		);

		it.each(['tcp', 'udp'] as const)(
			'reach a process of their own node by %s, which sees their address',
			async (mode) => {
				for (const target of targetsOf('process', f)) {
					const report = await ask(cluster().node(1), { mode, ...target, count: 8 });
					expect(report, target.host).toMatchObject({ ok: 8, failed: 0, seenAs: [own(cluster().node(1), f)] });
				}
			},
		);

		it.each(['tcp', 'udp'] as const)('are told by %s at once that nobody listens', async (mode) => {
			for (const target of targetsOf('deaf', f)) {
				const { errors } = await ask(cluster().node(1), { mode, ...target, count: 3 });
				expect(errors, target.host).toEqual({ ECONNREFUSED: 3 });
			}
		});

		it('send datagrams that are larger than the way to the pod takes, once they have learnt that', async () => {
			// IPv6 does not remember a path MTU towards own addresses: there the sender is told each time, by EMSGSIZE
			const target = targetsOf('pods', f)[f === 'IPv4' ? 0 : 1];
			const request = { mode: 'udp', host: '', port: 0, ...target, size: 4000 } as const;
			await eventually('a large datagram is answered', async () => {
				const { failed, servers } = await ask(cluster().node(1), { ...request, count: 8, timeoutMs: 1000 });
				if (failed > 0 || Object.keys(servers).length < 2) throw new Error(`${failed} of 8 lost`);
			});
			expect(await ask(cluster().node(1), { ...request, count: 16 })).toMatchObject({ failed: 0, errors: {} });
		});

		it('carry much at a time', async () => {
			for (const name of ['pods', 'process'] as const) {
				for (const target of targetsOf(name, f)) {
					const request = { mode: 'tcp', ...target, count: 8, size: 300_000 } as const;
					expect(await ask(cluster().node(1), request), target.host).toMatchObject({ ok: 8, failed: 0 });
				}
			}
		});
	});

	it('keep their connections over agents that are killed, and make new ones', async () => {
		const node = cluster().node(1);
		const traffic = FAMILIES.flatMap((f) =>
			(['pods', 'process'] as const).flatMap((name) =>
				targetsOf(name, f).flatMap((target) =>
					(['stream', 'tcp', 'udp'] as const).map((mode) =>
						startTraffic(node, `${name}-${mode}-${target.host}`, { mode, ...target, intervalMs: 20 }),
					),
				),
			),
		);
		await Promise.all(traffic.map((each) => each.flowing()));
		for (let i = 0; i < 3; i++) {
			await node.killAgent();
			node.startAgent();
			await node.waitReady();
		}
		const reports = await Promise.all(traffic.map((each) => each.stop()));
		expect(reports.map(({ failed, errors }) => ({ failed, errors }))).toEqual(
			reports.map(() => ({ failed: 0, errors: {} })),
		);
	});

	it('are served where the kernel looks strictly at sources', async () => {
		const node = cluster().node(1);
		await node.stopAgent();
		await setSysctls(node.netns, { 'net/ipv4/conf/all/rp_filter': 1 });
		node.startAgent();
		await node.waitReady();
		for (const name of ['pods', 'process'] as const) {
			for (const target of targetsOf(name, 'IPv4')) {
				const report = await ask(node, { mode: 'tcp', ...target, count: 8 });
				expect(report, target.host).toMatchObject({ ok: 8, failed: 0 });
			}
		}
	});
});
