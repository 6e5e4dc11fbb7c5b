/**
 * Changes of policies while traffic flows: nothing that is denied passes, nothing that is allowed is cut, whatever changes and
 * whoever dies meanwhile.
 */
import { describe, expect, it } from 'vitest';
import { type Pod, sleep, startTraffic, type Traffic } from '../lib/cluster.ts';
import { ECHO, ECHO_SERVICE_PORT, PODS, SILENCE_MS, usePolicyNodes, VIP } from '../lib/policy-nodes.ts';

describe('a change of policies', () => {
	const { cluster, pod, relabel, toPod, toService, settled, policy, removePolicies, everybody } =
		usePolicyNodes('vxlan');

	it('follows new labels of a pod', async () => {
		policy('by-pod', 'x', {
			podSelector: { matchLabels: { app: 'server' } },
			ingress: [{ from: [{ namespaceSelector: {}, podSelector: { matchLabels: { role: 'friend' } } }] }],
		});
		await settled([], [toPod('client', 'server'), toPod('far', 'server')]);
		relabel('client', { app: 'client', role: 'friend' });
		relabel('far', { role: 'friend' });
		await settled([toPod('client', 'server'), toPod('far', 'server'), toService('far')], [toPod('other', 'server')]);
		relabel('client', { app: 'client' });
		relabel('far', { app: 'far' });
		await settled([], [toPod('client', 'server'), toPod('far', 'server'), toService('far')]);
		relabel('server', { app: 'free' });
		await settled([toPod('client', 'server'), toPod('far', 'server')], [toPod('client', 'backend')]);
		relabel('server', { app: 'server' });
		removePolicies();
		await settled(everybody(), []);
	});

	describe('with connections that last', () => {
		const allow = (labels: readonly string[], port: number): void =>
			policy('some', 'x', {
				podSelector: { matchLabels: { app: 'server' } },
				ingress: [
					{ from: labels.map((app) => ({ namespaceSelector: {}, podSelector: { matchLabels: { app } } })) },
					{ ports: [{ protocol: 'TCP', port }] },
				],
			});
		const vip = { host: VIP.IPv6, port: ECHO_SERVICE_PORT };

		it('cuts what it newly denies and nothing else, however often policies change', async () => {
			allow(['client', 'far'], 1);
			await settled([toPod('client', 'server'), toPod('far', 'server')], [toPod('node2', 'server')]);
			const direct = { host: pod('server').address('IPv4'), port: ECHO };
			const stays = [
				startTraffic(pod('client'), 'stream', { mode: 'stream', ...direct, intervalMs: 5 }),
				startTraffic(pod('other'), 'service', { mode: 'tcp', ...vip, intervalMs: 20 }),
				startTraffic(cluster().node(1), 'node', { mode: 'udp', ...direct, intervalMs: 20 }),
			];
			const cut = startTraffic(pod('far'), 'cut', { mode: 'stream', ...vip, intervalMs: 5, timeoutMs: SILENCE_MS });
			await Promise.all([...stays, cut].map((one) => one.flowing()));
			for (let n = 0; n < 100; n++) {
				allow(n % 2 === 0 ? ['client', 'far'] : ['far', 'client', 'nobody'], 2 + n);
				policy(`other-${n % 3}`, 'x', {
					podSelector: n % 2 === 0 ? {} : { matchLabels: { app: 'server' } },
					ingress: [],
				});
				relabel('other', { app: 'client', n: String(n) });
				await sleep(20);
			}
			allow(['client'], 1);
			await settled([toPod('client', 'server')], [toPod('far', 'server')]);
			await sleep(2 * SILENCE_MS);
			for (const one of stays) {
				const { errors, ok } = await one.stop();
				expect(errors).toEqual({});
				expect(ok).toBeGreaterThan(50);
			}
			const { errors, ok } = await cut.stop();
			expect(Object.keys(errors)).toEqual(['TIMEOUT']);
			expect(ok).toBeGreaterThan(50);
		});

		it('stays in force while agents are killed and started, and follows what changed meanwhile', async () => {
			const stream = startTraffic(pod('client'), 'restart', { mode: 'stream', ...vip, intervalMs: 5 });
			allow(['client'], 1);
			relabel('other', { app: 'stranger' });
			await settled([toPod('client', 'server')], [toPod('other', 'server'), toPod('far', 'server')]);
			const attack = { host: pod('server').address('IPv4'), port: ECHO, timeoutMs: 200, intervalMs: 1 };
			const attacks = (['other', 'far'] as const).flatMap((from) =>
				(['tcp', 'udp'] as const).map((mode) => startTraffic(pod(from), `attack-${mode}`, { mode, ...attack })),
			);
			await stream.flowing();
			for (let round = 0; round < 2; round++) {
				for (const node of cluster().nodes) await node.killAgent();
				await sleep(SILENCE_MS);
				for (const node of cluster().nodes) node.startAgent();
				await Promise.all(cluster().nodes.map((node) => node.waitReady()));
				await sleep(SILENCE_MS);
			}
			expect((await stream.stop()).errors).toEqual({});
			for (const one of attacks) expect((await one.stop()).ok).toBe(0);
			for (const node of cluster().nodes) await node.killAgent();
			allow(['far'], 1);
			policy('last', 'y', { podSelector: { matchLabels: { app: 'far' } }, ingress: [] });
			await settled([toPod('client', 'server'), toPod('node1', 'far')], [toPod('far', 'server')]);
			for (const node of cluster().nodes) node.startAgent();
			await settled(
				[toPod('far', 'server'), toPod('node2', 'far')],
				[toPod('client', 'server'), toPod('node1', 'far')],
			);
			removePolicies();
			relabel('other', PODS.other[2]);
			await settled(everybody(), []);
		});
	});

	it('holds for a pod from its first packet on', async () => {
		policy('nothing', 'x', { podSelector: { matchLabels: { app: 'fresh' } }, policyTypes: ['Ingress', 'Egress'] });
		await settled(everybody(), []);
		const free = await firstPackets('free', { app: 'free' });
		expect(free.ok).toBeGreaterThan(0);
		expect((await firstPackets('fresh', { app: 'fresh' })).ok).toBe(0);
	});

	/** Attaches a pod in which a program sends already, and lets it send for a while. */
	async function firstPackets(name: string, labels: Record<string, string>) {
		const host = pod('server').address('IPv4');
		const sending = Promise.withResolvers<Traffic>();
		const prepare = async (place: Pod): Promise<void> => {
			const request = { mode: 'sendto', host, port: ECHO, timeoutMs: 20, intervalMs: 1 } as const;
			const traffic = startTraffic(place, 'first', request);
			await traffic.sending();
			sending.resolve(traffic);
		};
		const made = await cluster().createPod({ node: cluster().node(1), name, namespace: 'x', labels, prepare });
		await sleep(3 * SILENCE_MS);
		const report = await (await sending.promise).stop();
		await cluster().deletePod(made);
		return report;
	}
});
