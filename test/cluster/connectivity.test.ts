import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { useCluster } from '../lib/cluster/use.ts';
import { ask, CLIENT, type Family, type Place } from '../lib/cluster.ts';
import { ECHO_PORT, type EchoPods, HOST_ECHO_PORT, populate, VIP } from '../lib/echo-cluster.ts';

/** Expects every request to be answered, and returns the report. */
async function expectAnswers(place: Place, mode: 'tcp' | 'udp' | 'sendto', host: string, port: number, count = 3) {
	const report = await ask(place, { mode, host, port, count });
	expect(report, `${mode} ${place.name} → ${host}:${port}`).toMatchObject({ ok: count, failed: 0 });
	return report;
}

const outside = (family: Family): string => (family === 'IPv4' ? CLIENT.v4 : CLIENT.v6);
const protocols = ['tcp', 'udp'] as const;

describe.each([
	{ routing: 'vxlan', socketLb: true },
	{ routing: 'vxlan', socketLb: false },
	{ routing: 'direct', socketLb: true },
	{ routing: 'direct', socketLb: false },
] as const)('two nodes with routing $routing and socketLb $socketLb', ({ routing, socketLb }) => {
	let pods: EchoPods;
	const cluster = useCluster({ routing, config: { socketLb } }, async (made) => {
		pods = await populate(made);
	});

	describe.each(['IPv4', 'IPv6'] as const)('over %s', (family) => {
		const nodeAddress = (index: number): string => {
			const a = cluster().node(index).addresses;
			return family === 'IPv4' ? a.v4 : a.v6;
		};

		it.each(protocols)('carries %s between pods of one node with the source address as it is', async (mode) => {
			const report = await expectAnswers(pods.a1, mode, pods.a2.address(family), ECHO_PORT);
			expect(report.seenAs).toEqual([pods.a1.address(family)]);
		});

		it.each(protocols)('carries %s between pods of two nodes with the source address as it is', async (mode) => {
			const report = await expectAnswers(pods.a1, mode, pods.b1.address(family), ECHO_PORT);
			expect(report.seenAs).toEqual([pods.a1.address(family)]);
		});

		it.each(protocols)('spreads %s of a pod to a ClusterIP over the backends of both nodes', async (mode) => {
			const port = mode === 'tcp' ? 80 : 53;
			const report = await expectAnswers(pods.a1, mode, VIP[family], port, 32);
			expect(Object.keys(report.servers).sort()).toEqual(['a2', 'b1']);
			expect(report.peers).toEqual([`${VIP[family]} ${port}`]);
			expect(report.seenAs).toEqual([pods.a1.address(family)]);
		});

		it('answers datagrams of an unconnected socket from the ClusterIP, not from the backend', async () => {
			const report = await expectAnswers(pods.a1, 'sendto', VIP[family], 53, 8);
			expect(report.peers).toEqual([`${VIP[family]} 53`]);
		});

		it('lets a backend reach its own service, itself included', async () => {
			const report = await expectAnswers(pods.a2, 'tcp', VIP[family], 80, 32);
			expect(Object.keys(report.servers).sort()).toEqual(['a2', 'b1']);
		});

		it.each(protocols)('carries %s from the node to its pods and to pods of the other node', async (mode) => {
			for (const pod of [pods.a1, pods.b1]) {
				await expectAnswers(cluster().node(1), mode, pod.address(family), ECHO_PORT);
			}
		});

		it.each(protocols)('translates %s of the node itself to a ClusterIP', async (mode) => {
			const port = mode === 'tcp' ? 80 : 53;
			const report = await expectAnswers(cluster().node(1), mode, VIP[family], port, 32);
			expect(Object.keys(report.servers).sort()).toEqual(['a2', 'b1']);
		});

		it('translates a program of the node whose cgroup the socket hook does not see', async () => {
			const foreign = join(cluster().node(1).nodeCgroup, '..', 'client');
			const report = await ask(
				cluster().node(1),
				{ mode: 'tcp', host: VIP[family], port: 80, count: 32 },
				{ cgroup: foreign },
			);
			expect(report).toMatchObject({ ok: 32, failed: 0 });
			expect(Object.keys(report.servers).sort()).toEqual(['a2', 'b1']);
		});

		it.each(protocols)('translates %s of a pod whose cgroup the socket hook does not see', async (mode) => {
			const port = mode === 'tcp' ? 80 : 53;
			const foreign = join(cluster().node(1).nodeCgroup, '..', 'client');
			const report = await ask(pods.a1, { mode, host: VIP[family], port, count: 32 }, { cgroup: foreign });
			expect(report).toMatchObject({ ok: 32, failed: 0 });
			expect(Object.keys(report.servers).sort()).toEqual(['a2', 'b1']);
		});

		it.each(protocols)('masquerades %s of a pod to the outside as its node', async (mode) => {
			const report = await expectAnswers(pods.a1, mode, outside(family), HOST_ECHO_PORT);
			expect(report.seenAs).toEqual([nodeAddress(1)]);
		});

		it.each(protocols)('carries %s from a pod to its own node and to the other one', async (mode) => {
			for (const index of [1, 2]) await expectAnswers(pods.a1, mode, nodeAddress(index), HOST_ECHO_PORT);
		});

		it('carries pings between pods, to nodes and to the outside', async () => {
			const targets = [
				pods.a2.address(family),
				pods.b1.address(family),
				nodeAddress(1),
				nodeAddress(2),
				outside(family),
			];
			for (const target of targets) await pods.a1.run(['ping', '-c', '2', '-i', '0.2', '-W', '2', target]);
		});

		it('carries long requests and answers, which need several segments', async () => {
			for (const host of [pods.a2.address(family), pods.b1.address(family)]) {
				const report = await ask(pods.a1, { mode: 'stream', host, port: ECHO_PORT, count: 4, size: 200_000 });
				expect(report).toMatchObject({ ok: 4, failed: 0 });
			}
		});

		it('carries datagrams that need fragments', async () => {
			for (const host of [pods.a2.address(family), pods.b1.address(family)]) {
				const report = await ask(pods.a1, { mode: 'udp', host, port: ECHO_PORT, count: 3, size: 6000 });
				expect(report).toMatchObject({ ok: 3, failed: 0 });
			}
		});
	});
});

/** The receiver sums up what comes in VXLAN over IPv6, as some devices do with all packets: every change has to keep that sum right, too. */
describe.each([{ socketLb: true }, { socketLb: false }])(
	'nodes with IPv6 alone, VXLAN and socketLb $socketLb',
	({ socketLb }) => {
		const nodePort = 30_053;
		let pods: EchoPods;
		const cluster = useCluster({ routing: 'vxlan', families: ['IPv6'], config: { socketLb } }, async (made) => {
			pods = await populate(made);
			const ports = [{ port: 53, targetPort: ECHO_PORT, protocol: 'UDP' as const, nodePort }];
			made.publish({ name: 'remote', type: 'NodePort', clusterIPs: ['fd00:96::53'], ports }, [pods.b1]);
		});

		it.each([24, 500, 1300, 6000])('carries datagrams of %i bytes between nodes, translated or not', async (size) => {
			const { a1, b1 } = pods;
			const [node, client] = [cluster().node(1), cluster().client];
			const ways = [
				[a1, b1.address('IPv6'), ECHO_PORT],
				[node, b1.address('IPv6'), ECHO_PORT],
				[a1, node.addresses.v6, HOST_ECHO_PORT],
				[b1, node.addresses.v6, HOST_ECHO_PORT],
				[a1, 'fd00:96::53', 53],
				[node, 'fd00:96::53', 53],
				// a larger one is refused with the size that fits, until the client knows it
				...(size <= 1300 ? [[client, node.addresses.v6, nodePort] as const] : []),
			] as const;
			for (const [place, host, port] of ways) {
				const report = await ask(place, { mode: 'udp', host, port, count: 3, size });
				expect({ way: `${place.name} → ${host}`, ...report }).toMatchObject({ ok: 3, failed: 0 });
			}
		});
	},
);
