/** Outside clients whose backend is on another node, with XDP in the driver of the uplinks and direct server return. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { acceptXdpFrames, leadOutside, sentByXdp } from '../lib/cluster/outside.ts';
import { useCluster } from '../lib/cluster/use.ts';
import {
	ask,
	CLIENT,
	type Cluster,
	curl,
	eventually,
	type Pod,
	startTraffic,
	type Traffic,
	urlOf,
} from '../lib/cluster.ts';
import { ECHO_PORT } from '../lib/echo-cluster.ts';

const VIPS = ['198.51.100.10', '2001:db8:100::10'] as const;
const WEB_PORT = 8080;
const IPERF_PORT = 5201;
const NODE_PORT = 30080;

const SERVICE = {
	name: 'front',
	type: 'LoadBalancer',
	clusterIPs: ['10.96.0.70', 'fd00:96::70'],
	ingress: VIPS.map((ip) => ({ ip })),
	ports: [
		{ name: 'web', port: 80, targetPort: WEB_PORT, nodePort: NODE_PORT },
		{ name: 'tcp', port: 7, targetPort: ECHO_PORT },
		{ name: 'udp', port: 7, targetPort: ECHO_PORT, protocol: 'UDP' },
		{ name: 'iperf', port: IPERF_PORT, targetPort: IPERF_PORT },
	],
} as const;

describe.each([
	{ routing: 'vxlan', dsr: 'ipip' },
	{ routing: 'direct', dsr: 'ipip' },
	{ routing: 'vxlan', dsr: 'vxlan' },
] as const)('an outside client, $routing routing and direct server return by $dsr', ({ routing, dsr }) => {
	let backend: Pod;
	const cluster = useCluster(
		{ routing, withoutAgents: true, config: { northSouth: 'dsr', dsr, xdp: 'native' } },
		async (made) => {
			await leadOutside(made, VIPS);
			await acceptXdpFrames(made);
			await made.startAgents();
			backend = await made.createPod({ node: made.node(2), name: 'far' });
			await Promise.all([backend.startNginx(WEB_PORT), backend.startEcho(ECHO_PORT), backend.startIperf(IPERF_PORT)]);
			made.publish(SERVICE, [backend]);
			for (const vip of VIPS) {
				await eventually(`XDP of node 1 serves ${vip}`, async () => {
					const before = await sentByXdp(made.node(1));
					await curl(made.client, urlOf(vip));
					if ((await sentByXdp(made.node(1))) === before) throw new Error('the answer did not come by XDP');
				});
			}
		},
	);

	it('reaches a pod on node 2 through node 1, and the pod sees its address', async () => {
		for (const [vip, client] of [
			[VIPS[0], CLIENT.v4],
			[VIPS[1], CLIENT.v6],
		] as const) {
			expect((await curl(cluster().client, urlOf(vip))).trim()).toBe(`far ${client}`);
		}
	});

	it('reaches it by a NodePort of node 1 as well, through XDP, and is answered by node 2 in the name of node 1', async () => {
		const { v4, v6 } = cluster().node(1).addresses;
		for (const [address, seen] of [
			[v4, CLIENT.v4],
			[v6, CLIENT.v6],
		] as const) {
			const before = await sentByXdp(cluster().node(1));
			expect((await curl(cluster().client, urlOf(address, NODE_PORT))).trim()).toBe(`far ${seen}`);
			expect(await sentByXdp(cluster().node(1))).toBeGreaterThan(before);
		}
	});

	it('is not what a node or a pod is that asks at a NodePort of another node', async () => {
		const pod = await cluster().createPod({ node: cluster().node(2), name: 'near' });
		const { v4, v6 } = cluster().node(1).addresses;
		for (const address of [v4, v6]) {
			for (const from of [cluster().node(2), pod]) {
				expect((await curl(from, urlOf(address, NODE_PORT))).trim()).toBe(`far ${address}`);
			}
		}
	});

	it('leaves pods the answers of other nodes that forward for them, here that the hop limit was used up', async () => {
		const pod = await cluster().createPod({ node: cluster().node(1), name: 'here' });
		const told = async (): Promise<number[]> => {
			const { stdout } = await pod.run(['cat', '/proc/net/snmp', '/proc/net/snmp6']);
			const [names = '', values = ''] = stdout.split('\n').filter((line) => line.startsWith('Icmp:'));
			const at = names.split(' ').indexOf('InTimeExcds');
			return [Number(values.split(' ')[at]), Number(/Icmp6InTimeExcds\s+(\d+)/.exec(stdout)?.[1])];
		};
		await pod.run(['sysctl', '-w', 'net.ipv4.ip_default_ttl=2', 'net.ipv6.conf.eth0.hop_limit=2']);
		expect(await told()).toEqual([0, 0]);
		for (const f of ['IPv4', 'IPv6'] as const) {
			const target = { host: backend.addresses[f] ?? '', port: ECHO_PORT };
			await ask(pod, { mode: 'udp', ...target, count: 1, timeoutMs: 100 });
		}
		await eventually('node 2 has answered', async () => expect(Math.min(...(await told()))).toBeGreaterThan(0));
	});

	it('leaves processes of the node the answers that a service has no endpoint, past the socket hook as well', async () => {
		const made = cluster();
		const [v4, v6] = ['10.96.0.71', 'fd00:96::71'];
		const ports = (['TCP', 'UDP'] as const).map((protocol) => ({ name: protocol.toLowerCase(), port: 80, protocol }));
		made.publish({ name: 'empty', clusterIPs: [v4, v6], ports }, []);
		const cgroup = join(made.node(1).nodeCgroup, '..', 'client');
		for (const host of [v4, v6]) {
			for (const mode of ['tcp', 'udp'] as const) {
				await eventually(`${mode} to ${host} is refused`, async () => {
					const { errors } = await ask(made.node(1), { mode, host, port: 80, timeoutMs: 1000 }, { cgroup });
					expect(errors).toEqual({ ECONNREFUSED: 1 });
				});
			}
		}
	});

	it('says in its status how it does that', async () => {
		const { stdout } = await cluster().node(1).cli('status');
		expect(stdout).toMatch(/XDP:\s+native/);
	});

	it('keeps its connections and datagrams while the agents are away', async () => {
		const traffic = (['tcp', 'udp'] as const).flatMap((mode) =>
			VIPS.map((host, n) => startTraffic(cluster().client, `${mode}-${n}`, { mode, host, port: 7, intervalMs: 10 })),
		);
		await Promise.all(traffic.map((one) => one.flowing()));
		await Promise.all(cluster().nodes.map((node) => node.killAgent()));
		const before = await sentByXdp(cluster().node(1));
		await eventually('XDP goes on', async () => {
			if ((await sentByXdp(cluster().node(1))) < before + 50) throw new Error('it sends nothing');
		});
		await cluster().startAgents();
		for (const one of traffic) {
			const report = await one.stop();
			expect(report.errors).toEqual({});
			expect(Object.keys(report.servers)).toEqual(['far']);
		}
	});

	it('sends segments of full size, which fit into their envelopes', async () => {
		for (const vip of VIPS) {
			const command = ['iperf3', '-c', vip, '-p', String(IPERF_PORT), '-n', '64M', '-J', '--connect-timeout', '5000'];
			const { stdout } = await cluster().client.run(command, { timeoutMs: 60_000 });
			const report = JSON.parse(stdout) as { end: { sum_received: { bytes: number } } };
			// the server stops counting when the client has handed over everything: buffers hold 36 MiB at most
			expect(report.end.sum_received.bytes).toBeGreaterThan(16_000_000);
		}
	});

	// the same tables and programs whatever the envelope
	if (routing === 'vxlan' && dsr === 'ipip') {
		it('can be told to take the address of the node instead, and back again', async () => {
			const { client, nodes } = cluster();
			const { v4, v6 } = cluster().node(1).addresses;
			for (const [northSouth, seen] of [
				['snat', [v4, v6]],
				['dsr', [CLIENT.v4, CLIENT.v6]],
			] as const) {
				for (const node of nodes) {
					await node.stopAgent();
					node.configure({ northSouth });
				}
				await cluster().startAgents();
				for (const [at, vip] of VIPS.entries()) {
					const page = async (): Promise<void> =>
						expect((await curl(client, urlOf(vip))).trim()).toBe(`far ${seen[at]}`);
					await eventually(`${vip} is served with ${northSouth}`, page);
				}
			}
		});

		it('keeps its connections while the set shrinks to one pod, grows again, and a pod drains', async () => {
			const made = cluster();
			const { client } = made;
			const near = await made.createPod({ node: made.node(1), name: 'second' });
			const third = await made.createPod({ node: made.node(2), name: 'third' });
			await Promise.all([near.startEcho(ECHO_PORT), third.startEcho(ECHO_PORT)]);
			const drains = { name: 'second', nodeName: 'node1', addresses: near.addresses, terminating: true };
			const change = async (endpoints: Parameters<Cluster['publishEndpoints']>[1], names: string[]): Promise<void> => {
				made.publishEndpoints(SERVICE, endpoints);
				for (const host of VIPS) {
					await eventually(`${names.join(' and ')} get the connections to ${host}`, async () => {
						const { errors, servers } = await ask(client, { mode: 'tcp', host, port: 7, count: 20, parallel: 4 });
						expect({ errors, servers: Object.keys(servers).sort() }).toEqual({ errors: {}, servers: names });
					});
				}
			};
			const open = async (when: string): Promise<Traffic[]> => {
				const streams = [...VIPS, ...VIPS].map((host, n) =>
					startTraffic(client, `${when}-${n}`, { mode: 'stream', host, port: 7, intervalMs: 20, timeoutMs: 15_000 }),
				);
				await Promise.all(streams.map((one) => one.flowing()));
				return streams;
			};
			await change([backend, near], ['far', 'second']);
			const first = await open('first');
			await change([backend, drains], ['far']);
			await change([backend, near, third], ['far', 'second', 'third']);
			const later = await open('later');
			await change([backend, drains, third], ['far', 'third']);
			const reports = await Promise.all([...first, ...later].map((one) => one.stop()));
			for (const { errors, servers } of reports) {
				expect({ errors, pods: Object.keys(servers).length }).toEqual({ errors: {}, pods: 1 });
			}
		});
	}
});
