import { describe, expect, it } from 'vitest';
import { useCluster } from '../lib/cluster/use.ts';
import {
	ask,
	CLIENT,
	type ClientReport,
	curl,
	eventually,
	type Family,
	startTraffic,
	type Traffic,
	urlOf,
} from '../lib/cluster.ts';
import {
	awaitBackends,
	ECHO_PORT,
	ECHO_SERVICE,
	type EchoPods,
	HOST_ECHO_PORT,
	populate,
	VIP,
} from '../lib/echo-cluster.ts';
import { isKernelSince, RENAMES_LIVE } from '../lib/kernel-version.ts';

const ROUNDS = 10;
/** A start takes one to two seconds: over the rounds it is cut short everywhere. */
const EARLIER_MS = 150;
const WEB = '10.96.0.50';

describe('an agent that is killed and started again', () => {
	let pods: EchoPods;
	const cluster = useCluster({ routing: 'vxlan' }, async (made) => {
		pods = await populate(made);
		await Promise.all([pods.a2.startNginx(8080), pods.b1.startNginx(8080)]);
		made.publish({ name: 'web', clusterIPs: [WEB], ports: [{ port: 80, targetPort: 8080 }] }, [pods.a2, pods.b1]);
		await eventually('curl reaches the web service', () => curl(pods.a1, urlOf(WEB)));
	});

	/** Long-lived and short-lived traffic over every kind of path, with a pause that keeps two cores free for the agents. */
	function startAll(): Record<string, Traffic> {
		const { a1, b1, b2 } = pods;
		const node = cluster().node(1);
		const intervalMs = 20;
		return {
			'stream to a ClusterIP': startTraffic(a1, 's1', { mode: 'stream', host: VIP.IPv4, port: 80, intervalMs }),
			'stream to a ClusterIP over IPv6': startTraffic(b2, 's2', {
				mode: 'stream',
				host: VIP.IPv6,
				port: 80,
				intervalMs,
			}),
			'stream to a pod of the other node': startTraffic(a1, 's3', {
				mode: 'stream',
				host: b1.address('IPv4'),
				port: ECHO_PORT,
				intervalMs,
			}),
			'stream from the node to a pod of the other one': startTraffic(node, 's4', {
				mode: 'stream',
				host: b1.address('IPv6'),
				port: ECHO_PORT,
				intervalMs,
			}),
			'masqueraded stream to the outside': startTraffic(a1, 's5', {
				mode: 'stream',
				host: '172.31.0.10',
				port: HOST_ECHO_PORT,
				intervalMs,
			}),
			'new connections to a ClusterIP': startTraffic(b2, 't1', { mode: 'tcp', host: VIP.IPv4, port: 80, intervalMs }),
			'HTTP requests': startTraffic(a1, 'h1', { mode: 'http', host: WEB, port: 80, intervalMs }),
			'datagrams of one socket': startTraffic(a1, 'u1', { mode: 'udp-stream', host: VIP.IPv4, port: 53, intervalMs }),
			'datagrams of new sockets': startTraffic(b2, 'u2', { mode: 'udp', host: VIP.IPv6, port: 53, intervalMs }),
			'new masqueraded connections': startTraffic(b2, 'm1', {
				mode: 'tcp',
				host: '172.31.0.10',
				port: HOST_ECHO_PORT,
				intervalMs,
			}),
		};
	}

	async function stopAll(traffic: Record<string, Traffic>): Promise<Record<string, ClientReport>> {
		const entries = await Promise.all(
			Object.entries(traffic).map(async ([name, one]) => [name, await one.stop()] as const),
		);
		return Object.fromEntries(entries);
	}

	it(`does not cost one error in ${4 * ROUNDS} kills of two agents, half of them while they come up`, {
		timeout: 400_000,
	}, async () => {
		const traffic = startAll();
		await Promise.all(Object.values(traffic).map((one) => one.flowing()));
		for (let round = 0; round < ROUNDS; round++) {
			for (const pauseMs of [0, round * EARLIER_MS]) {
				await new Promise((resolve) => setTimeout(resolve, pauseMs));
				for (const node of cluster().nodes) {
					await node.killAgent();
					node.startAgent();
				}
			}
			await Promise.all(cluster().nodes.map((node) => node.waitReady()));
		}
		const reports = await stopAll(traffic);
		for (const [name, report] of Object.entries(reports)) {
			expect(report.errors, name).toEqual({});
			expect(report.ok, name).toBeGreaterThan(100);
		}
	});

	it('goes on with traffic and follows changes that happened while it was dead', async () => {
		const node = cluster().node(1);
		await node.killAgent();
		const during = startTraffic(pods.a1, 'dead', { mode: 'tcp', host: VIP.IPv4, port: 80, intervalMs: 10 });
		await during.flowing();
		cluster().publish(ECHO_SERVICE, [pods.a2, pods.b2]);
		await awaitBackends(pods.b1, VIP.IPv4, 80, ['a2', 'b2']);
		await awaitBackends(pods.a1, VIP.IPv4, 80, ['a2', 'b1']);
		node.startAgent();
		await node.waitReady();
		await awaitBackends(pods.a1, VIP.IPv4, 80, ['a2', 'b2']);
		const report = await during.stop();
		expect(report.errors).toEqual({});
		cluster().publish(ECHO_SERVICE, [pods.a2, pods.b1]);
		await awaitBackends(pods.a1, VIP.IPv4, 80, ['a2', 'b1']);
	});

	it('keeps masqueraded flows when it comes back with other snatPorts, without any service at ports of the node', async () => {
		const node = cluster().node(1);
		const outside = { port: HOST_ECHO_PORT, intervalMs: 20 };
		const traffic: Record<string, Traffic> = {
			'stream over IPv4': startTraffic(pods.a1, 'p1', { mode: 'stream', host: CLIENT.v4, ...outside }),
			'stream over IPv6': startTraffic(pods.a1, 'p2', { mode: 'stream', host: CLIENT.v6, ...outside }),
			'datagrams of one socket': startTraffic(pods.a1, 'p3', { mode: 'udp-stream', host: CLIENT.v4, ...outside }),
			'new connections': startTraffic(pods.a1, 'p4', { mode: 'tcp', host: CLIENT.v4, ...outside }),
			'datagrams of new sockets': startTraffic(pods.a1, 'p5', { mode: 'udp', host: CLIENT.v6, ...outside }),
		};
		await Promise.all(Object.values(traffic).map((one) => one.flowing()));
		for (const snatPorts of [{ min: 61_500, max: 65_000 }, 'auto']) {
			node.configure({ snatPorts });
			await node.killAgent();
			node.startAgent();
			await node.waitReady();
			await ask(pods.a1, { mode: 'tcp', host: CLIENT.v4, port: HOST_ECHO_PORT, count: 50 });
		}
		for (const [name, report] of Object.entries(await stopAll(traffic))) expect(report.errors, name).toEqual({});
	});

	it.skipIf(!isKernelSince(RENAMES_LIVE))(
		'keeps connections when all agents come back with another vxlanPort, and no process hears that there is no way',
		async () => {
			const { a1, b1 } = pods;
			const node = cluster().node(1);
			const at = (family: Family) => ({ host: b1.address(family), port: ECHO_PORT });
			// what is lost of a connection is sent again after a while
			const kept = { mode: 'stream', intervalMs: 20, timeoutMs: 30_000 } as const;
			const connections = {
				'stream of a pod': startTraffic(a1, 'v1', { ...kept, ...at('IPv4') }),
				'stream of the node over IPv6': startTraffic(node, 'v2', { ...kept, ...at('IPv6') }),
			};
			const fresh = { intervalMs: 1, timeoutMs: 200 };
			const requests = {
				'datagrams of the node': startTraffic(node, 'v3', { ...fresh, ...at('IPv4'), mode: 'udp' }),
				'datagrams of the node over IPv6': startTraffic(node, 'v4', { ...fresh, ...at('IPv6'), mode: 'sendto' }),
				'connections of the node': startTraffic(node, 'v5', { ...fresh, ...at('IPv4'), mode: 'tcp' }),
				'datagrams of a pod': startTraffic(a1, 'v6', { ...fresh, ...at('IPv4'), mode: 'udp' }),
			};
			await Promise.all(Object.values({ ...connections, ...requests }).map((one) => one.flowing()));
			for (const vxlanPort of [8473, 8472]) {
				for (const each of cluster().nodes) {
					each.configure({ vxlanPort });
					await each.killAgent();
				}
				await cluster().startAgents();
				await eventually('datagrams get through', async () =>
					expect((await ask(node, { ...fresh, ...at('IPv4'), mode: 'udp', count: 5 })).failed).toBe(0),
				);
			}
			for (const [name, { errors }] of Object.entries(await stopAll(connections))) expect(errors, name).toEqual({});
			for (const [name, { errors }] of Object.entries(await stopAll(requests))) {
				expect(Object.keys(errors), name).toEqual(errors.TIMEOUT === undefined ? [] : ['TIMEOUT']);
			}
		},
	);

	it('stops cleanly on SIGTERM and leaves the dataplane in force', async () => {
		const node = cluster().node(1);
		expect(await node.stopAgent()).toBe(0);
		await awaitBackends(pods.a1, VIP.IPv4, 80, ['a2', 'b1']);
		node.startAgent();
		await node.waitReady();
	});
});
