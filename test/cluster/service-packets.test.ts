/**
 * What netfilter did for services without being asked: errors of the network and of servers find their client, fragments and
 * small path MTUs pass, ports are used again.
 */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { useCluster } from '../lib/cluster/use.ts';
import { ask, CLIENT, type Cluster, eventually, type Family, type Place, type Pod } from '../lib/cluster.ts';
import { awaitBackends, ECHO_PORT } from '../lib/echo-cluster.ts';
import { type ProbeRequest, probe } from '../lib/service-probes.ts';

const FAMILIES = ['IPv4', 'IPv6'] as const;
const MODES = ['tcp', 'udp'] as const;
/** Nobody listens there. */
const CLOSED_PORT = 7999;
const PORTS = { echo: 80, closed: 81 } as const;
/** Of the last link to the client, less than any tunnel leaves. */
const SMALL_MTU = 1300;
const SOURCE_PORT = 2000;

/** Numbers tell addresses and node ports. */
const SERVICES = { near: 1, far: 2, both: 3 } as const;
type Service = keyof typeof SERVICES;

const clusterIp = (service: Service, f: Family): string =>
	f === 'IPv4' ? `10.96.3.${SERVICES[service]}` : `fd00:96::30${SERVICES[service]}`;
const nodePort = (service: Service, port: keyof typeof PORTS): number =>
	31_700 + SERVICES[service] * 2 + PORTS[port] - 80;

function publish(cluster: Cluster, service: Service, pods: readonly Pod[]): void {
	const ports = MODES.flatMap((mode) =>
		(['echo', 'closed'] as const).map((name) => ({
			name: `${name}-${mode}`,
			port: PORTS[name],
			targetPort: name === 'echo' ? ECHO_PORT : CLOSED_PORT,
			protocol: mode === 'tcp' ? ('TCP' as const) : ('UDP' as const),
			nodePort: nodePort(service, name),
		})),
	);
	const clusterIPs = FAMILIES.map((f) => clusterIp(service, f));
	cluster.publish({ name: service, type: 'NodePort', clusterIPs, ports }, pods);
}

describe.each(['vxlan', 'direct'] as const)('packets of services with routing %s', (routing) => {
	let client: Pod;
	const cluster = useCluster({ routing }, async (made) => {
		const [c, p1, p2] = await Promise.all([
			made.createPod({ node: made.node(1), name: 'client-pod' }),
			made.createPod({ node: made.node(1), name: 'p1' }),
			made.createPod({ node: made.node(2), name: 'p2' }),
		]);
		client = c;
		await Promise.all([p1.startEcho(), p2.startEcho()]);
		publish(made, 'near', [p1]);
		publish(made, 'far', [p2]);
		publish(made, 'both', [p1, p2]);
		for (const f of FAMILIES) await awaitBackends(c, clusterIp('both', f), PORTS.echo, ['p1', 'p2']);
	});

	/** A client, and where it finds a service: programs of the pod are ones that the socket hook does not see. */
	const CLIENTS = {
		'a pod': {
			place: (): Place => client,
			cgroup: () => ({ cgroup: join(cluster().node(1).nodeCgroup, '..', 'client') }),
			target: (service: Service, f: Family, port: keyof typeof PORTS) => ({
				host: clusterIp(service, f),
				port: PORTS[port],
			}),
		},
		'a client outside': {
			place: (): Place => cluster().client,
			cgroup: () => ({}),
			target: (service: Service, f: Family, port: keyof typeof PORTS) => {
				const { v4, v6 } = cluster().node(1).addresses;
				return { host: f === 'IPv4' ? v4 : v6, port: nodePort(service, port) };
			},
		},
	};

	/** How requests to services ended, by service, family and protocol. */
	async function outcomes(
		who: keyof typeof CLIENTS,
		services: readonly Service[],
		port: keyof typeof PORTS,
		more: Partial<ProbeRequest>,
	): Promise<Record<string, string[]>> {
		const { place, cgroup, target } = CLIENTS[who];
		const cases = services.flatMap((service) =>
			FAMILIES.flatMap((f) => MODES.map((mode) => ({ name: `${service} ${f} ${mode}`, service, f, mode }))),
		);
		const requests = cases.map(({ service, f, mode }, i) => {
			const localPort = SOURCE_PORT + i * 100;
			return { mode, ...target(service, f, port), count: 1, timeoutMs: 5000, localPort, ...more };
		});
		const reports = await probe(place(), requests, cgroup());
		return Object.fromEntries(cases.map(({ name }, i) => [name, reports[i]?.outcomes ?? []]));
	}

	const servers = (found: Record<string, string[]>): Record<string, string[]> =>
		Object.fromEntries(
			Object.entries(found).map(([name, list]) => [name, list.map((each) => each.replace(/ from .*/, ''))]),
		);

	/** The same for every family and protocol. */
	const each = (services: Partial<Record<Service, string[]>>, modes: readonly string[] = MODES) =>
		Object.fromEntries(
			Object.entries(services).flatMap(([service, list]) =>
				FAMILIES.flatMap((f) => modes.map((mode) => [`${service} ${f} ${mode}`, list] as const)),
			),
		);

	describe.each(Object.keys(CLIENTS) as (keyof typeof CLIENTS)[])('for %s', (who) => {
		it('tell that nobody listens at the backend: its reset and its ICMP error find the client', async () => {
			const found = await outcomes(who, ['near', 'far'], 'closed', {});
			expect(found).toEqual(each({ near: ['ECONNREFUSED'], far: ['ECONNREFUSED'] }));
		});

		it('use a source port again at once, with whatever backend', async () => {
			const found = servers(await outcomes(who, ['near', 'far'], 'echo', { count: 20, samePort: true }));
			expect(found).toEqual(each({ near: ['p1'], far: ['p2'] }));
			const both = await outcomes(who, ['both'], 'echo', { count: 40, samePort: true, localPort: SOURCE_PORT + 5000 });
			for (const f of FAMILIES) expect(servers(both)[`both ${f} tcp`]).toEqual(['p1', 'p2']);
		});

		it('are carried in fragments', async () => {
			const wanted = each({ near: ['p1'], far: ['p2'] });
			await eventually('all sizes arrive, once path MTUs are known', async () => {
				expect(
					servers(await outcomes(who, ['near', 'far'], 'echo', { count: 3, size: 6000, timeoutMs: 2000 })),
				).toEqual(wanted);
			});
		});
	});

	it.each(FAMILIES)('fit the smallest link on the way to a client outside, over %s', async (f) => {
		const address = f === 'IPv4' ? `${CLIENT.v4}/32` : `${CLIENT.v6}/128`;
		const ip = ['ip', '-n', `${cluster().name}-router`, 'route'];
		await cluster().client.run([...ip, 'replace', address, 'dev', 'outside', 'mtu', 'lock', String(SMALL_MTU)]);
		try {
			for (const [service, pod] of [
				['near', 'p1'],
				['far', 'p2'],
			] as const) {
				const target = CLIENTS['a client outside'].target(service, f, 'echo');
				const report = await ask(cluster().client, { mode: 'stream', ...target, count: 4, size: 100_000 });
				expect(report, service).toMatchObject({ ok: 4, failed: 0, servers: { [pod]: 4 } });
				// A datagram that was too long is lost; after that the backend knows.
				await eventually(`${service} answers in shorter datagrams`, async () => {
					const long = await ask(cluster().client, { mode: 'udp', ...target, size: 1350, timeoutMs: 1000 });
					expect(long).toMatchObject({ ok: 1 });
				});
				const pmtu = await pmtuOf(pod, f);
				expect(pmtu, `what ${pod} knows of its way to the client`).toBe(SMALL_MTU);
			}
		} finally {
			await cluster().client.run([...ip, 'del', address, 'dev', 'outside']);
		}
	});

	/** Path MTU that a pod has learned towards whom it sees as the client: the client, or node 1 that stands before it. */
	async function pmtuOf(name: string, f: Family): Promise<number | undefined> {
		const pod = cluster().pods.find((one) => one.name === name);
		const { v4, v6 } = name === 'p1' ? CLIENT : cluster().node(1).addresses;
		const { stdout } = (await pod?.run(['ip', 'route', 'get', f === 'IPv4' ? v4 : v6])) ?? { stdout: '' };
		const mtu = /mtu (\d+)/.exec(stdout)?.[1];
		return mtu === undefined ? undefined : Number(mtu);
	}
});
