/**
 * Direct server return with two balancers, which keep no flows: what reaches one of them reaches the other the next moment, as when routers hash anew,
 * and an agent is stopped while a service changes, so that balancers, or they and the nodes of the backends, go by different tables.
 *   FAIRLEAD_TEST_SEED=123 vitest run test/cluster/balancers-apart.test.ts
 */
import { afterAll, describe, expect, it } from 'vitest';
import { acceptXdpFrames, leadOutside } from '../lib/cluster/outside.ts';
import { useCluster } from '../lib/cluster/use.ts';
import { type ClusterNode, type Pod, sleep, startTraffic, type Traffic } from '../lib/cluster.ts';
import { awaitBackends, draining, ECHO_PORTS } from '../lib/echo-cluster.ts';
import { Random } from '../lib/packet/mutate.ts';
import { ServiceWatch } from '../lib/service-watch.ts';

const seed = Number(process.env.FAIRLEAD_TEST_SEED ?? Date.now() & 0x7fffffff);
const VIPS = ['198.51.100.30', '2001:db8:100::30'] as const;
const SERVICE = {
	name: 'moving',
	type: 'LoadBalancer' as const,
	clusterIPs: ['10.96.3.2', 'fd00:96::302'] as const,
	ingress: VIPS.map((ip) => ({ ip })),
	ports: ECHO_PORTS,
};
const BALANCERS = [1, 2] as const;
/** Nodes of the backends. */
const SERVERS = [3, 4] as const;
/** Who is late in each round: a balancer or nodes of backends. Both at once would leave nobody who knows the new set where an old one leads. */
const LATE: readonly (readonly number[])[] = [[1], [2], [3], [3, 4]];
const SOCKETS = 6;
/** Sets have rested after twenty times that, which a round takes. */
const TRANSITION_MS = 50;

describe.each([
	{ xdp: 'native', dsr: 'ipip' },
	{ xdp: 'off', dsr: 'vxlan' },
] as const)('balancers that change at different moments, $dsr, XDP $xdp', (mode) => {
	const random = new Random(seed);
	let pods: readonly Pod[];
	let watches: readonly ServiceWatch[] = [];
	const cluster = useCluster(
		{
			nodes: BALANCERS.length + SERVERS.length,
			routing: 'vxlan',
			source: 'kubernetes',
			withoutAgents: true,
			config: { northSouth: 'dsr', lbTransitionMs: TRANSITION_MS, ...mode },
		},
		async (made) => {
			console.info(`balancers that change at different moments: FAIRLEAD_TEST_SEED=${seed}`);
			await leadOutside(made, VIPS);
			await acceptXdpFrames(made);
			await made.startAgents();
			pods = await Promise.all(
				['a', 'b', 'c', 'd'].map((name, i) => made.createPod({ node: made.node(SERVERS[i % 2] ?? 0), name })),
			);
			await Promise.all(pods.map((pod) => pod.startEcho()));
			made.publish(SERVICE, pods);
			const names = pods.map(({ name }) => name);
			for (const n of BALANCERS) {
				await lead(n);
				for (const vip of VIPS) await awaitBackends(made.client, vip, 80, names);
			}
			watches = made.nodes.map((node) => new ServiceWatch([node], SERVICE.clusterIPs[0], 80, 'TCP'));
		},
	);
	afterAll(() => {
		for (const watch of watches) watch.close();
	});

	/** The router sends all packets to this balancer from now on. */
	async function lead(n: number): Promise<void> {
		await leadOutside(cluster(), VIPS, n);
	}

	/**
	 * Ready: a random set that is not the one before, with a pod on each node that the next round finds late: it shall have one for what a
	 * balancer sends to another of its pods. The others drain, and serve what they have.
	 */
	function nextSet(before: string, lateNext: readonly number[]): readonly Pod[] {
		const servers = SERVERS.filter((index) => lateNext.includes(index));
		for (;;) {
			const ready = pods.filter(() => random.next(2) === 0);
			const everywhere = servers.every((index) => ready.some(({ node }) => node.index === index));
			if (ready.length > 0 && namesOf(ready) !== before && everywhere) return ready;
		}
	}

	const namesOf = (some: readonly Pod[]): string => some.map(({ name }) => name).join('');
	const publish = (ready: readonly Pod[]): void =>
		cluster().publishEndpoints(SERVICE, [
			...ready,
			...pods.filter((pod) => !ready.includes(pod)).map((pod) => draining(pod)),
		]);

	/** Connections and sockets that last, by name: some talk, some are silent for most of a round. */
	async function lasting(begun: string): Promise<Map<string, Traffic>> {
		const kinds = [
			{ label: 'talk', mode: 'stream', port: 80, intervalMs: 10 },
			{ label: 'idle', mode: 'stream', port: 80, intervalMs: 2500 },
			{ label: 'datagrams', mode: 'udp-stream', port: 53, intervalMs: 10 },
		] as const;
		const all = kinds.flatMap(({ label, ...kind }) =>
			VIPS.map((host) => {
				const name = `${begun} ${label} ${host.includes(':') ? 'IPv6' : 'IPv4'}`;
				const request = { ...kind, host, parallel: SOCKETS };
				return [name, startTraffic(cluster().client, name.replaceAll(' ', '-'), request)] as const;
			}),
		);
		await Promise.all(all.map(([, one]) => one.flowing()));
		return new Map(all);
	}

	const signal = (nodes: readonly ClusterNode[], name: 'SIGSTOP' | 'SIGCONT'): void => {
		for (const { agent } of nodes) if (agent) process.kill(agent.pid, name);
	};

	/** @returns  begun before the change by either balancer, and in the middle of it */
	async function round(n: number, late: readonly number[], ready: readonly Pod[]): Promise<Map<string, Traffic>> {
		let traffic = new Map<string, Traffic>();
		const begin = async (when: string): Promise<void> => {
			for (const b of BALANCERS) {
				await lead(b);
				traffic = new Map([...traffic, ...(await lasting(`${n} ${when} by node ${b}`))]);
			}
		};
		await begin('before');
		const versions = watches.map((watch) => watch.versions()[0]);
		const follow = (nodes: readonly ClusterNode[]): Promise<unknown> =>
			Promise.all(nodes.map(({ index }) => watches[index - 1]?.left([versions[index - 1]])));
		const [slow, fast] = [true, false].map((is) => cluster().nodes.filter(({ index }) => late.includes(index) === is));
		signal(slow ?? [], 'SIGSTOP');
		try {
			publish(ready);
			await follow(fast ?? []);
			for (const b of [...BALANCERS, ...BALANCERS]) {
				await lead(b);
				await sleep(200);
			}
			await begin('between');
			for (const b of BALANCERS) {
				await lead(b);
				await sleep(300);
			}
		} finally {
			signal(slow ?? [], 'SIGCONT');
		}
		await follow(slow ?? []);
		for (const b of [...BALANCERS, ...BALANCERS]) {
			await lead(b);
			await sleep(400);
		}
		return traffic;
	}

	it('lose no connection and no datagram', async () => {
		let set = namesOf(pods);
		for (const [n, late] of LATE.entries()) {
			const ready = nextSet(set, LATE[n + 1] ?? []);
			const traffic = await round(n, late, ready);
			const reports = await Promise.all([...traffic].map(async ([name, one]) => [name, await one.stop()] as const));
			const told = `seed ${seed}, round ${n}: ${set} to ${namesOf(ready)}, late: ${late.join(' ')}`;
			expect(
				reports.filter(([, { failed }]) => failed > 0).map(([name, { errors }]) => [name, errors]),
				told,
			).toEqual([]);
			set = namesOf(ready);
		}
	});
});
