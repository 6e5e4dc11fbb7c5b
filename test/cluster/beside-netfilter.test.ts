import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { useCluster } from '../lib/cluster/use.ts';
import { ask, CLIENT, type ClusterNode, setSysctls } from '../lib/cluster.ts';
import { ECHO_PORT, type EchoPods, HOST_ECHO_PORT, NODE_PORT, populate, VIP } from '../lib/echo-cluster.ts';

/** What hardened hosts have: nothing forwarded, nothing that conntrack does not know, nothing that came the wrong way. */
async function harden(node: ClusterNode): Promise<void> {
	for (const iptables of ['iptables', 'ip6tables']) {
		await node.shell(`
			${iptables} -w 5 -P FORWARD DROP
			for chain in INPUT FORWARD OUTPUT; do
				${iptables} -w 5 -A $chain -m conntrack --ctstate INVALID -j DROP
			done
			${iptables} -w 5 -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
		`);
	}
	const { stdout } = await node.run(['sh', '-c', 'ls /proc/sys/net/ipv4/conf']);
	const interfaces = stdout.split(/\s+/).filter(Boolean);
	await setSysctls(node.netns, Object.fromEntries(interfaces.map((name) => [`net/ipv4/conf/${name}/rp_filter`, 1])));
}

describe.each(['vxlan', 'direct'] as const)('beside netfilter, with routing %s', (routing) => {
	let pods: EchoPods;
	const cluster = useCluster({ routing }, async (made) => {
		pods = await populate(made);
		const node = made.node(1);
		const process = {
			name: 'process',
			nodeName: node.name,
			addresses: { IPv4: node.addresses.v4, IPv6: node.addresses.v6 },
		};
		const clusterIPs = ['10.96.0.81', 'fd00:96::81'];
		const ports = (nodePort: number, targetPort: number) => [{ port: 80, nodePort, targetPort }];
		made.publish({ name: 'pods', clusterIPs, type: 'NodePort', ports: ports(NODE_PORT, ECHO_PORT) }, [
			pods.a2,
			pods.b1,
		]);
		const others = clusterIPs.map((ip) => ip.replace('81', '82'));
		made.publish(
			{ name: 'process', clusterIPs: others, type: 'NodePort', ports: ports(NODE_PORT + 1, HOST_ECHO_PORT) },
			[process],
		);
		for (const node of made.nodes) await harden(node);
	});

	describe.each(['IPv4', 'IPv6'] as const)('over %s', (family) => {
		it('carries pod to pod and pod to ClusterIP although FORWARD drops everything', async () => {
			for (const host of [pods.a2.address(family), pods.b1.address(family)]) {
				for (const mode of ['tcp', 'udp'] as const) {
					const report = await ask(pods.a1, { mode, host, port: ECHO_PORT, count: 8 });
					expect(report).toMatchObject({ ok: 8, failed: 0 });
				}
			}
			const report = await ask(pods.a1, { mode: 'tcp', host: VIP[family], port: 80, count: 32 });
			expect(report).toMatchObject({ ok: 32, failed: 0 });
		});

		it('carries the node to its pods, to remote pods and to a ClusterIP although INVALID packets are dropped', async () => {
			const targets = [
				{ host: pods.a1.address(family), port: ECHO_PORT },
				{ host: pods.b1.address(family), port: ECHO_PORT },
				{ host: VIP[family], port: 80 },
			];
			for (const target of targets) {
				const report = await ask(cluster().node(1), { mode: 'tcp', ...target, count: 8 });
				expect(report, JSON.stringify(target)).toMatchObject({ ok: 8, failed: 0 });
			}
		});

		it('carries the node past the socket hook to its own node port', async () => {
			const { addresses, nodeCgroup } = cluster().node(1);
			const host = family === 'IPv4' ? addresses.v4 : addresses.v6;
			const request = { mode: 'tcp', host, count: 8 } as const;
			const foreign = { cgroup: join(nodeCgroup, '..', 'client') };
			for (const port of [NODE_PORT, NODE_PORT + 1]) {
				const report = await ask(cluster().node(1), { ...request, port }, foreign);
				expect(report, String(port)).toMatchObject({ ok: 8, failed: 0 });
			}
		});

		it('carries pod to the outside and to nodes', async () => {
			const addresses = cluster().node(2).addresses;
			const hosts = family === 'IPv4' ? [CLIENT.v4, addresses.v4] : [CLIENT.v6, addresses.v6];
			for (const host of hosts) {
				const report = await ask(pods.a1, { mode: 'tcp', host, port: HOST_ECHO_PORT, count: 8 });
				expect(report, host).toMatchObject({ ok: 8, failed: 0 });
			}
		});

		it('leaves no half of a connection in conntrack: a long stream stays alive', async () => {
			for (const host of [pods.b1.address(family), VIP[family]]) {
				const port = host === VIP[family] ? 80 : ECHO_PORT;
				const report = await ask(pods.a1, { mode: 'stream', host, port, count: 100, size: 5000, intervalMs: 5 });
				expect(report, host).toMatchObject({ ok: 100, failed: 0 });
			}
		});
	});
});
