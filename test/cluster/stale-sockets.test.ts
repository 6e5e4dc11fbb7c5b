import { describe, expect, it } from 'vitest';
import { useCluster } from '../lib/cluster/use.ts';
import { ask, eventually, type Family, type Place, startTraffic } from '../lib/cluster.ts';
import { awaitBackends, ECHO_PORT, ECHO_SERVICE, type EchoPods, populate, VIP } from '../lib/echo-cluster.ts';

const families = ['IPv4', 'IPv6'] as const;

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

	it('live while their backend serves, end with it in pods and on the node, and no others do', async () => {
		const direct = families.map((family) =>
			startTraffic(pods.a1, `direct-${family}`, {
				mode: 'stream',
				host: pods.b1.address(family),
				port: ECHO_PORT,
				intervalMs: 20,
			}),
		);
		const traffic = [pods.a1, cluster().node(1)].flatMap((place) => families.flatMap((each) => through(place, each)));
		await Promise.all([...traffic, ...direct].map((one) => one.flowing()));
		const draining = { name: 'b1', nodeName: 'node2', addresses: pods.b1.addresses, terminating: true };
		cluster().publish(ECHO_SERVICE, [pods.a2, draining]);
		for (const family of families) await awaitBackends(pods.a1, VIP[family], 80, ['a2']);
		await expectEnded(0);
		cluster().publish(ECHO_SERVICE, [pods.a2]);
		await expectEnded(8);
		for (const { ok, failed, servers } of await Promise.all(traffic.map((one) => one.stop()))) {
			expect(ok).toBeGreaterThan(1);
			// b1 still runs and would go on answering
			expect(failed).toBeGreaterThan(0);
			expect(Object.keys(servers)).toEqual(['b1']);
		}
		for (const { failed, servers } of await Promise.all(direct.map((one) => one.stop()))) {
			expect([failed, Object.keys(servers)]).toEqual([0, ['b1']]);
		}
		for (const mode of ['tcp', 'udp'] as const) {
			const again = await ask(pods.a1, { mode, host: VIP.IPv4, port: mode === 'tcp' ? 80 : 53, count: 4 });
			expect(again).toMatchObject({ ok: 4, servers: { a2: 4 } });
		}
	});

	/** Waits until the agent of node 1 has ended this many sockets. */
	async function expectEnded(count: number): Promise<void> {
		const command = ['curl', '-s', 'http://127.0.0.1:10249/metrics'];
		await eventually(`${count} sockets ended`, async () => {
			const { stdout } = await cluster().node(1).run(command);
			expect(stdout).toMatch(new RegExp(`^fairlead_sockets_ended_total ${count}$`, 'm'));
		});
	}
});
