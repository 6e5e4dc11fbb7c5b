import { describe, expect, it } from 'vitest';
import { useCluster } from '../lib/cluster/use.ts';
import { ask, eventually, startTraffic, type Traffic } from '../lib/cluster.ts';
import {
	awaitBackends,
	ECHO_PORT,
	ECHO_SERVICE,
	type EchoPods,
	HOST_ECHO_PORT,
	populate,
	VIP,
} from '../lib/echo-cluster.ts';

const OUTSIDE = '172.31.0.10';

describe('a cluster whose objects come from an API server', () => {
	let pods: EchoPods;
	const cluster = useCluster({ source: 'kubernetes', routing: 'vxlan' }, async (made) => {
		pods = await populate(made);
	});

	/** Traffic that must not notice anything, over both families, new connections and a lasting one. */
	async function startAll(): Promise<Record<string, Traffic>> {
		const { a1, b2 } = pods;
		const intervalMs = 20;
		const all = {
			'new connections': startTraffic(a1, 'new', { mode: 'tcp', host: VIP.IPv4, port: 80, intervalMs }),
			'new IPv6 connections': startTraffic(b2, 'new6', { mode: 'tcp', host: VIP.IPv6, port: 80, intervalMs }),
			'one connection': startTraffic(a1, 'lasting', { mode: 'stream', host: VIP.IPv4, port: 80, intervalMs }),
		};
		await Promise.all(Object.values(all).map((one) => one.flowing()));
		return all;
	}

	async function stopAll(all: Record<string, Traffic>): Promise<void> {
		for (const [name, one] of Object.entries(all)) {
			const report = await one.stop();
			expect(report.errors, name).toEqual({});
			expect(report.ok, name).toBeGreaterThan(20);
		}
	}

	const reaches = (names: readonly string[]) =>
		Promise.all([pods.a1, pods.b2].map((place) => awaitBackends(place, VIP.IPv4, 80, names)));

	/** `fairlead status` of node 1, which fails while the agent is not ready. */
	async function status(): Promise<{ problems: string[]; sourceErrors: unknown[] }> {
		const node = cluster().node(1);
		const { stdout } = await node.run(node.cliCommand('status', '-o', 'json'), { allowFailure: true });
		return JSON.parse(stdout) as { problems: string[]; sourceErrors: unknown[] };
	}

	const sourceErrors = async () => JSON.stringify((await status()).sourceErrors);

	it('serves services in both families and follows changes of endpoints', async () => {
		await reaches(['a2', 'b1']);
		cluster().publish(ECHO_SERVICE, [pods.a2]);
		await reaches(['a2']);
		cluster().publish(ECHO_SERVICE, [pods.a2, pods.b1]);
		await reaches(['a2', 'b1']);
		for (const family of cluster().families) {
			await awaitBackends(pods.b2, VIP[family], 80, ['a2', 'b1']);
		}
		expect(await sourceErrors()).toBe('[]');
	});

	it('leaves a service alone that is for another proxy, from the moment it is labelled', async () => {
		const service = { ...ECHO_SERVICE, name: 'foreign', clusterIPs: ['10.96.0.70'] };
		cluster().publish(service, [pods.a2]);
		await awaitBackends(pods.a1, '10.96.0.70', 80, ['a2']);
		cluster().objects.apply({
			apiVersion: 'v1',
			kind: 'Service',
			metadata: { name: 'foreign', labels: { 'service.kubernetes.io/service-proxy-name': 'other' } },
			spec: { type: 'ClusterIP', clusterIP: '10.96.0.70', ports: [{ port: 80, name: 'tcp' }] },
		});
		await eventually('nobody answers', async () => {
			const { ok } = await ask(pods.a1, { mode: 'tcp', host: '10.96.0.70', port: 80, timeoutMs: 300 });
			if (ok > 0) throw new Error('it still answers');
		});
		cluster().objects.remove('Service', 'foreign');
	});

	it('goes on while the API server is dead, and follows it when it is back with the same versions', async () => {
		const traffic = await startAll();
		await cluster().api.kill();
		await eventually('the agent says so', async () => {
			expect(await sourceErrors()).toContain('ECONN');
		});
		await reaches(['a2', 'b1']);
		cluster().publish(ECHO_SERVICE, [pods.a2, pods.b1, pods.b2]);
		await cluster().api.start();
		await reaches(['a2', 'b1', 'b2']);
		await eventually('the agent is content', async () => expect(await sourceErrors()).toBe('[]'));
		await stopAll(traffic);
		cluster().publish(ECHO_SERVICE, [pods.a2, pods.b1]);
		await reaches(['a2', 'b1']);
	});

	it('takes over the state of an API server that comes back from nothing', async () => {
		const gone = { ...ECHO_SERVICE, name: 'gone', clusterIPs: ['10.96.0.71'] };
		cluster().publish(gone, [pods.a2]);
		await awaitBackends(pods.a1, '10.96.0.71', 80, ['a2']);
		const traffic = await startAll();
		await cluster().api.restore(['gone', 'gone-ipv4']);
		await eventually('what is no longer there is gone', async () => {
			const { ok } = await ask(pods.a1, { mode: 'tcp', host: '10.96.0.71', port: 80, timeoutMs: 300 });
			if (ok > 0) throw new Error('it still answers');
		});
		await stopAll(traffic);
		cluster().publish(ECHO_SERVICE, [pods.a2]);
		await reaches(['a2']);
		cluster().publish(ECHO_SERVICE, [pods.a2, pods.b1]);
		await reaches(['a2', 'b1']);
	});

	it('uses the new token when the old one is no longer let in', async () => {
		const { api } = cluster();
		await api.rotateToken();
		await api.call('cutWatches', {});
		cluster().publish(ECHO_SERVICE, [pods.a2]);
		await reaches(['a2']);
		cluster().publish(ECHO_SERVICE, [pods.a2, pods.b1]);
		await reaches(['a2', 'b1']);
	});

	it('follows through watches that break within a line, repeat, come late, and through 429 and 503', async () => {
		const { api } = cluster();
		await api.call('watchFaults', { duplicate: true, delayMs: { services: 200 } });
		await api.call('fault', { verb: 'watch', times: 3, action: { type: 'status', code: 429, retryAfterSeconds: 1 } });
		await api.call('fault', { verb: 'watch', times: 3, action: { type: 'status', code: 503 } });
		await api.call('cutWatches', { midLine: true });
		cluster().publish({ ...ECHO_SERVICE, name: 'rough', clusterIPs: ['10.96.0.72'] }, [pods.b1]);
		await awaitBackends(pods.a1, '10.96.0.72', 80, ['b1']);
		await api.call('compact', {});
		await api.call('cutWatches', {});
		cluster().publish({ ...ECHO_SERVICE, name: 'rough', clusterIPs: ['10.96.0.72'] }, [pods.a2]);
		await awaitBackends(pods.a1, '10.96.0.72', 80, ['a2']);
		await api.call('clearFaults', {});
	});

	it('keeps everything when the agent starts while the API server is away, and catches up', async () => {
		const traffic = await startAll();
		const node = cluster().node(1);
		await node.killAgent();
		await cluster().api.kill();
		cluster().publish(ECHO_SERVICE, [pods.b1]);
		node.startAgent();
		await eventually('the agent waits for the API server', async () => {
			expect(await sourceErrors()).toContain('ECONN');
		});
		await awaitBackends(pods.a1, VIP.IPv4, 80, ['a2', 'b1']);
		expect((await status()).problems.join()).toContain('waiting for');
		await stopAll(traffic);
		await cluster().api.start();
		await node.waitReady();
		await reaches(['b1']);
		cluster().publish(ECHO_SERVICE, [pods.a2, pods.b1]);
		await reaches(['a2', 'b1']);
	});

	interface NodeList {
		readonly nodes: readonly { readonly name: string; readonly addresses: readonly string[] }[];
	}

	/** Waits until node 1 lives at the address, as the world and the other node see it. */
	async function livesAt(address: string): Promise<void> {
		const node = cluster().node(1);
		const addresses = [address, node.addresses.v6].map((each) => ({ type: 'InternalIP', address: each }));
		cluster().api.patch('Node', node.name, { status: { addresses } });
		const outside = { mode: 'tcp', host: OUTSIDE, port: HOST_ECHO_PORT, timeoutMs: 300 } as const;
		await eventually(
			`pods are masqueraded as ${address}`,
			async () => expect((await ask(pods.a1, outside)).seenAs).toEqual([address]),
			{ timeoutMs: 60_000, intervalMs: 500 },
		);
		const other = cluster().node(2);
		await eventually(`the other node sends to ${address}`, async () => {
			const { nodes } = JSON.parse((await other.cli('node', 'list', '-o', 'json')).stdout) as NodeList;
			expect(nodes.find(({ name }) => name === node.name)?.addresses).toContain(address);
		});
		await eventually('the other node takes its envelopes', async () => {
			const target = { mode: 'tcp', host: pods.a1.address('IPv4'), port: ECHO_PORT, timeoutMs: 300 } as const;
			expect((await ask(pods.b2, target)).ok).toBe(1);
		});
	}

	it('is known by an address that the kernel would not send from', async () => {
		const node = cluster().node(1);
		const second = node.addresses.v4.replace(/\d+$/, '98');
		await node.run(['ip', 'addr', 'add', `${second}/24`, 'dev', 'eth0']);
		await livesAt(second);
	});

	it('follows the address of its own Node', async () => {
		const node = cluster().node(1);
		const moved = node.addresses.v4.replace(/\d+$/, '99');
		const gateway = (await node.run(['ip', '-4', 'route', 'show', 'default'])).stdout.trim().split(/\s+/);
		await node.run(['ip', 'addr', 'del', `${node.addresses.v4}/24`, 'dev', 'eth0']);
		await node.run(['ip', 'addr', 'add', `${moved}/24`, 'dev', 'eth0']);
		await node.run(['ip', '-4', 'route', 'replace', ...gateway]);
		await livesAt(moved);
		expect((await node.cli('status')).stdout).toMatch(new RegExp(`^Addresses: .*${moved}`, 'm'));
	});

	it('follows the pod CIDRs of its own Node', async () => {
		const node = cluster().node(2);
		const podCIDRs = ['10.244.77.0/24', node.addresses.podCidr6];
		cluster().api.patch('Node', node.name, { spec: { podCIDR: podCIDRs[0], podCIDRs } });
		let tries = 0;
		// the CIDR is a constant of the programs: all of them are loaded anew
		const pod = await eventually(
			'a new pod gets its address from the new CIDR',
			async () => {
				const made = await cluster().createPod({ node, name: `moved-${tries++}` });
				if (made.addresses.IPv4?.startsWith('10.244.77.')) return made;
				await cluster().deletePod(made);
				throw new Error(`it has ${made.addresses.IPv4}`);
			},
			{ timeoutMs: 60_000, intervalMs: 500 },
		);
		await pod.startEcho();
		await eventually('it is reached from the other node', async () => {
			const { ok } = await ask(pods.a1, { mode: 'tcp', host: pod.address('IPv4'), port: ECHO_PORT, timeoutMs: 300 });
			if (ok !== 1) throw new Error('no answer');
		});
	});
});
