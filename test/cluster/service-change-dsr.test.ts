/**
 * A service that changes while clients outside use it by direct server return, where no node keeps their flows: tables and what programs remember
 * say which backend a packet goes to. Objects come from an API server, as in service-change.test.ts.
 */
import { afterAll, describe, expect, it } from 'vitest';
import { acceptXdpFrames, leadOutside } from '../lib/cluster/outside.ts';
import { useCluster } from '../lib/cluster/use.ts';
import { ask, type Cluster, type Pod, startTraffic, type Traffic } from '../lib/cluster.ts';
import { awaitBackends, draining, ECHO_PORTS } from '../lib/echo-cluster.ts';
import { ServiceWatch } from '../lib/service-watch.ts';

const REPLACEMENTS = 500;
const NODE_PORT = 31_600;
const VIPS = ['198.51.100.20', '2001:db8:100::20'] as const;
const SERVICE = {
	name: 'changing',
	type: 'LoadBalancer' as const,
	clusterIPs: ['10.96.3.1', 'fd00:96::301'] as const,
	ingress: VIPS.map((ip) => ({ ip })),
	ports: ECHO_PORTS.map((port) => ({ ...port, nodePort: NODE_PORT })),
};

describe.each([
	{ xdp: 'native', dsr: 'ipip' },
	{ xdp: 'off', dsr: 'ipip' },
	{ xdp: 'native', dsr: 'vxlan' },
] as const)(
	'a service that changes under traffic from outside, with direct server return by $dsr and XDP $xdp',
	(mode) => {
		let pods: readonly Pod[];
		let watch: ServiceWatch | undefined;
		const cluster = useCluster(
			{ routing: 'vxlan', source: 'kubernetes', withoutAgents: true, config: { northSouth: 'dsr', ...mode } },
			async (made) => {
				await leadOutside(made, VIPS);
				await acceptXdpFrames(made);
				await made.startAgents();
				const [first, second] = [made.node(1), made.node(2)];
				pods = await Promise.all([
					made.createPod({ node: first, name: 'b1' }),
					made.createPod({ node: second, name: 'b2' }),
				]);
				await Promise.all(pods.map((pod) => pod.startEcho()));
				made.publish(SERVICE, pods);
				for (const vip of VIPS) await awaitBackends(made.client, vip, 80, ['b1', 'b2']);
				watch = new ServiceWatch(made.nodes, SERVICE.clusterIPs[0], 80, 'TCP');
			},
		);
		afterAll(() => watch?.close());

		/** New connections and sockets, of each protocol and family at one kind of address: a client's port is then in use for one of them alone. */
		function hammer(made: Cluster): Record<string, Traffic> {
			const { v4, v6 } = made.node(1).addresses;
			const start = (label: string, mode: 'tcp' | 'udp', host: string, port: number): Traffic =>
				startTraffic(made.client, label, { mode, host, port, intervalMs: 2 });
			return {
				connections: start('tv', 'tcp', VIPS[1], 80),
				'connections to a NodePort': start('tn', 'tcp', v4, NODE_PORT),
				datagrams: start('uv', 'udp', VIPS[0], 53),
				'datagrams to a NodePort': start('un', 'udp', v6, NODE_PORT),
			};
		}

		/** What lasts: TCP connections, and sockets of datagrams. */
		function lasting(made: Cluster, label: string): Record<string, Traffic> {
			const kinds = [
				['stream', 80],
				['udp-stream', 53],
			] as const;
			return Object.fromEntries(
				kinds.flatMap(([mode, port]) =>
					[...VIPS, ...VIPS].map((host, n) => {
						const name = `${label}-${mode}-${n}`;
						return [name, startTraffic(made.client, name, { mode, host, port, intervalMs: 10 })] as const;
					}),
				),
			);
		}

		const flowing = (traffic: Record<string, Traffic>) =>
			Promise.all(Object.values(traffic).map((one) => one.flowing()));

		/** @param servers  how many each may have had */
		async function expectNoErrors(traffic: Record<string, Traffic>, servers: number): Promise<void> {
			for (const [name, one] of Object.entries(traffic)) {
				const report = await one.stop();
				expect(report.errors, name).toEqual({});
				expect(report.ok, name).toBeGreaterThan(10);
				expect(Object.keys(report.servers).length, name).toBeLessThanOrEqual(servers);
			}
		}

		it(`loses nothing while all ready endpoints are replaced ${REPLACEMENTS} times`, async () => {
			const [b1, b2] = pods as [Pod, Pod];
			const [fresh, before] = [hammer(cluster()), lasting(cluster(), 'before')];
			await flowing({ ...fresh, ...before });
			let later: Record<string, Traffic> = {};
			for (let i = 0; i < REPLACEMENTS; i++) {
				const [ready, other] = i % 2 === 0 ? [b1, b2] : [b2, b1];
				await watch?.after(() => cluster().publishEndpoints(SERVICE, [ready, draining(other)]));
				if (i === REPLACEMENTS / 2) {
					later = lasting(cluster(), 'later');
					await flowing(later);
				}
			}
			await expectNoErrors({ ...before, ...later }, 1);
			await expectNoErrors(fresh, 2);
			// a lost SYN is no error, but costs its client a second
			for (const node of cluster().nodes) expect((await node.cli('drops')).stdout).not.toContain('dsr_not_ours');
		});
	},
);

describe('a service whose changes nodes take at different times, with direct server return', () => {
	const service = { ...SERVICE, ports: ECHO_PORTS };
	let pods: readonly Pod[];
	const cluster = useCluster({ withoutAgents: true, config: { northSouth: 'dsr', xdp: 'off' } }, async (made) => {
		await leadOutside(made, VIPS);
		// of a node whose agent starts anew or sees changes one by one, new backends wait where those of the other do not
		made.node(1).configure({ lbTransitionMs: 0 });
		made.node(2).configure({ lbTransitionMs: 600_000 });
		await made.startAgents();
		pods = await Promise.all(
			([1, 1, 2] as const).map((i, n) => made.createPod({ node: made.node(i), name: ['a1', 'b1', 'a2'][n] ?? '' })),
		);
		await Promise.all(pods.map((pod) => pod.startEcho()));
	});

	it('has the connections of a new backend at its node, whose own tables do not name it yet', async () => {
		const [a1, b1, a2] = pods as [Pod, Pod, Pod];
		const { client } = cluster();
		for (const [set, names] of [
			[
				[a1, b1],
				['a1', 'b1'],
			],
			[[a1], ['a1']],
			[
				[a1, a2],
				['a1', 'a2'],
			],
		] as const) {
			cluster().publish(service, set);
			for (const place of [...pods, client]) {
				const addresses = place === client ? VIPS : service.clusterIPs;
				for (const address of addresses) await awaitBackends(place, address, 80, names);
			}
		}
		for (const host of VIPS) {
			const report = await ask(client, { mode: 'udp', host, port: 53, count: 50, timeoutMs: 2000 });
			expect(report).toMatchObject({ ok: 50, failed: 0 });
		}
	});
});
