import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useCluster } from '../lib/cluster/use.ts';
import { startTraffic, type Traffic } from '../lib/cluster.ts';
import { ECHO_PORT, type EchoPods, HOST_ECHO_PORT, populate, VIP } from '../lib/echo-cluster.ts';
import { makeOtherVersion, type OtherVersion } from '../lib/other-version.ts';

/** Each way once, on both nodes, twice over. */
const ROUNDS = 2;

describe('an upgrade and a rollback that change the layout of conntrack', () => {
	let other: OtherVersion;
	let pods: EchoPods;
	beforeAll(() => {
		other = makeOtherVersion();
	}, 120_000);
	afterAll(() => other?.remove());
	const cluster = useCluster({ routing: 'vxlan' }, async (made) => {
		pods = await populate(made);
	});

	/** Connections that last from before the first upgrade until after the last rollback. */
	function startAll(): Record<string, Traffic> {
		const { a1, b1, b2 } = pods;
		const intervalMs = 20;
		const stream = (from: typeof a1, log: string, host: string, port: number): Traffic =>
			startTraffic(from, log, { mode: 'stream', host, port, intervalMs });
		return {
			'stream to a ClusterIP': stream(a1, 's1', VIP.IPv4, 80),
			'stream to a ClusterIP over IPv6': stream(b2, 's2', VIP.IPv6, 80),
			'stream to a pod of the other node': stream(a1, 's3', b1.address('IPv4'), ECHO_PORT),
			'masqueraded stream to the outside': stream(a1, 's4', '172.31.0.10', HOST_ECHO_PORT),
			'datagrams of one socket': startTraffic(a1, 'u1', { mode: 'udp-stream', host: VIP.IPv4, port: 53, intervalMs }),
			'new connections to a ClusterIP': startTraffic(b2, 't1', { mode: 'tcp', host: VIP.IPv4, port: 80, intervalMs }),
		};
	}

	async function replaceAgents(root: string | undefined): Promise<void> {
		for (const node of cluster().nodes) {
			await node.killAgent();
			node.startAgent(root);
			await node.waitReady();
		}
	}

	const conntrackPins = (): string[][] =>
		cluster().nodes.map((node) =>
			readdirSync(join(node.bpffsDir, 'maps'))
				.filter((pin) => /^fl_(ct|nat)/.test(pin))
				.sort(),
		);

	it('carries every live connection over, there and back', { timeout: 240_000 }, async () => {
		const traffic = startAll();
		for (let round = 0; round < ROUNDS; round++) {
			await replaceAgents(other.root);
			expect(conntrackPins()).toEqual([0, 1].map(() => ['fl_ct4_2', 'fl_ct6_2', 'fl_nat_2']));
			await replaceAgents(undefined);
			expect(conntrackPins()).toEqual([0, 1].map(() => ['fl_ct4_1', 'fl_ct6_1', 'fl_nat_1']));
		}
		for (const [name, one] of Object.entries(traffic)) {
			const report = await one.stop();
			expect(report.errors, name).toEqual({});
			expect(report.ok, name).toBeGreaterThan(100);
		}
	});
});
