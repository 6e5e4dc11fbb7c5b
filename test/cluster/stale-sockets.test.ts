import { describe, expect, it } from 'vitest';
import { useCluster } from '../lib/cluster/use.ts';
import { ask, eventually, type Family, type Place, startTraffic } from '../lib/cluster.ts';
import { awaitBackends, ECHO_PORT, ECHO_SERVICE, type EchoPods, populate, VIP } from '../lib/echo-cluster.ts';

const families = ['IPv4', 'IPv6'] as const;

/** As a pod whose node is gone. */
async function silence(pod: Place): Promise<void> {
	await pod.run([
		'nft',
		'add table inet silence; add chain inet silence in { type filter hook input priority 0; policy drop; }',
	]);
}

describe('sockets that are connected through a service', () => {
	let pods: EchoPods;
	const cluster = useCluster({ routing: 'vxlan' }, async (made) => {
		pods = await populate(made);
		made.publish(ECHO_SERVICE, [pods.b1]);
		for (const family of made.families) await awaitBackends(pods.a1, VIP[family], 80, ['b1']);
	});

	const through = (place: Place, family: Family) => [
		startTraffic(place, `tcp-${family}`, {
			mode: 'stream',
			host: VIP[family],
			port: 80,
			intervalMs: 20,
			timeoutMs: 120_000,
			maxFailures: 1,
		}),
		startTraffic(place, `udp-${family}`, {
			mode: 'udp-stream',
			host: VIP[family],
			port: 53,
			intervalMs: 20,
			timeoutMs: 1000,
		}),
	];

	it('live while their backend answers, end with it in pods and on the node, and no others do', async () => {
		const direct = families.map((family) =>
			startTraffic(pods.a1, `direct-${family}`, {
				mode: 'stream',
				host: pods.b1.address(family),
				port: ECHO_PORT,
				intervalMs: 20,
				timeoutMs: 120_000,
			}),
		);
		const traffic = [pods.a1, cluster().node(1)].flatMap((place) => families.flatMap((each) => through(place, each)));
		await Promise.all([...traffic, ...direct].map((one) => one.flowing()));
		const draining = { name: 'b1', nodeName: 'node2', addresses: pods.b1.addresses, terminating: true };
		cluster().publish(ECHO_SERVICE, [pods.a2, draining]);
		for (const family of families) await awaitBackends(pods.a1, VIP[family], 80, ['a2']);
		await expectEnded(0);
		cluster().publish(ECHO_SERVICE, [pods.a2]);
		// b1 still runs and answers: nothing but the end of a socket tells a sender of datagrams
		await expectEnded(4);
		await expectProgress(4);
		await expectEnded(4);
		await silence(pods.b1);
		await expectEnded(8);
		expect((await acknowledged()).size).toBe(direct.length);
		for (const { ok, failed, servers } of await Promise.all(traffic.map((one) => one.stop()))) {
			expect(ok).toBeGreaterThan(1);
			expect(failed).toBeGreaterThan(0);
			expect(Object.keys(servers)).toEqual(['b1']);
		}
		for (const mode of ['tcp', 'udp'] as const) {
			const again = await ask(pods.a1, { mode, host: VIP.IPv4, port: mode === 'tcp' ? 80 : 53, count: 4 });
			expect(again).toMatchObject({ ok: 4, servers: { a2: 4 } });
		}
	});

	/** Waits until the agent of node 1 has ended this many sockets. */
	async function expectEnded(count: number): Promise<void> {
		const command = ['curl', '-s', 'http://127.0.0.1:10249/metrics'];
		const ended = async (): Promise<void> => {
			const { stdout } = await cluster().node(1).run(command);
			expect(stdout).toMatch(new RegExp(`^fairlead_sockets_ended_total ${count}$`, 'm'));
		};
		await eventually(`${count} sockets ended`, ended, { timeoutMs: 60_000 });
	}

	/** Bytes that b1 has acknowledged, by connection from a1. */
	async function acknowledged(): Promise<Map<string, number>> {
		const { stdout } = await pods.a1.run(['ss', '-HtniO', 'state', 'established', `dport = :${ECHO_PORT}`]);
		const lines = stdout.split('\n').filter((line) => line !== '');
		return new Map(
			lines.map((line) => [line.split(/ +/)[2] ?? '', Number(/bytes_acked:(\d+)/.exec(line)?.[1] ?? 0)] as const),
		);
	}

	/** Waits until each connection of a1 has got something across. */
	async function expectProgress(connections: number): Promise<void> {
		const before = await acknowledged();
		expect(before.size).toBe(connections);
		await eventually('all connections go on', async () => {
			const now = await acknowledged();
			for (const [end, bytes] of before) expect(now.get(end)).toBeGreaterThan(bytes);
		});
	}
});
