/**
 * Services that change while they are used. Objects come from an API server, as changes follow each other there as fast as an
 * agent takes them.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { formatEndpoint } from '../../agent/model/address.ts';
import { useCluster } from '../lib/cluster/use.ts';
import {
	ask,
	type Cluster,
	eventually,
	type Family,
	Place,
	type Pod,
	startTraffic,
	type Traffic,
} from '../lib/cluster.ts';
import { awaitBackends, draining, ECHO_PORT, ECHO_PORTS } from '../lib/echo-cluster.ts';
import { ServiceWatch } from '../lib/service-watch.ts';

const REPLACEMENTS = 1000;
/** One endpoint goes altogether at each of these, and is back at the next. */
const ROUNDS_PER_LEAVE = 20;
const NODE_PORT = 31_500;
/** Of a service that comes later. */
const LATE_PORT = 31_501;
const VIP = { IPv4: '10.96.2.1', IPv6: 'fd00:96::201' } as const satisfies Record<Family, string>;
const SERVICE = {
	name: 'changing',
	type: 'NodePort' as const,
	clusterIPs: [VIP.IPv4, VIP.IPv6],
	ports: ECHO_PORTS.map((port) => ({ ...port, nodePort: NODE_PORT })),
};

const range = (n: number): number[] => Array.from({ length: n }, (_unused, i) => i);
const unready = (pod: Pod) => ({ name: pod.name, nodeName: pod.node.name, addresses: pod.addresses, ready: false });

describe('a service that changes under traffic', () => {
	let pods: { hooked: Pod; plain: Pod; b1: Pod; b2: Pod; b3: Pod };
	/** The pod `plain` as programs see it that the socket hook does not: every packet is translated. */
	let plain: Place;
	let watch: ServiceWatch;
	// Few rows, so that they are used again.
	const config = { maps: { backends: 64 } };
	const cluster = useCluster({ routing: 'vxlan', source: 'kubernetes', config }, async (made) => {
		const [first, second] = [made.node(1), made.node(2)];
		const [hooked, packets, b1, b2, b3] = await Promise.all([
			made.createPod({ node: first, name: 'hooked' }),
			made.createPod({ node: first, name: 'plain' }),
			made.createPod({ node: first, name: 'b1' }),
			made.createPod({ node: second, name: 'b2' }),
			made.createPod({ node: second, name: 'b3' }),
		]);
		pods = { hooked, plain: packets, b1, b2, b3 };
		plain = new Place({
			name: 'packets',
			netns: packets.netns,
			cgroup: join(first.nodeCgroup, '..', 'client'),
			dir: join(packets.dir, 'packets'),
		});
		await Promise.all([b1, b2, b3].map((pod) => pod.startEcho()));
		made.publish(SERVICE, [b1, b2]);
		for (const place of [hooked, b2]) await awaitBackends(place, VIP.IPv4, 80, ['b1', 'b2']);
		watch = new ServiceWatch(made.nodes, VIP.IPv4, 80, 'TCP');
	});
	afterAll(() => watch?.close());

	/** New connections and sockets over every path. */
	function hammer(made: Cluster): Record<string, Traffic> {
		const intervalMs = 2;
		const tcp = { mode: 'tcp', port: 80, intervalMs } as const;
		const udp = { mode: 'udp', port: 53, intervalMs } as const;
		const outside = { host: made.node(1).addresses.v4, port: NODE_PORT, intervalMs } as const;
		return {
			'connections of a pod': startTraffic(pods.hooked, 'tcp', { ...tcp, host: VIP.IPv4 }),
			'datagrams of a pod': startTraffic(pods.hooked, 'udp', { ...udp, host: VIP.IPv6 }),
			'connections past the socket hook': startTraffic(plain, 'tcp', { ...tcp, host: VIP.IPv6 }),
			'datagrams past the socket hook': startTraffic(plain, 'udp', { ...udp, host: VIP.IPv4 }),
			'connections from outside': startTraffic(made.client, 'tcp', { ...outside, mode: 'tcp' }),
			'datagrams from outside': startTraffic(made.client, 'udp', { ...outside, mode: 'udp' }),
		};
	}

	async function expectNoErrors(traffic: Record<string, Traffic>, servers: readonly string[]): Promise<void> {
		for (const [name, one] of Object.entries(traffic)) {
			const report = await one.stop();
			expect(report.errors, name).toEqual({});
			expect(report.ok, name).toBeGreaterThan(10);
			expect(Object.keys(report.servers).sort(), name).toEqual(servers);
		}
	}

	it(`loses no new connection while all ready endpoints are replaced ${REPLACEMENTS} times`, async () => {
		const traffic = hammer(cluster());
		await Promise.all(Object.values(traffic).map((one) => one.flowing()));
		const { b1, b2, b3 } = pods;
		let [ready, last, next] = [b2, b1, b3];
		for (let i = 0; i < REPLACEMENTS; i++) {
			const leaves = i % ROUNDS_PER_LEAVE === ROUNDS_PER_LEAVE - 1;
			if (leaves) await idle(next);
			const drains = (leaves ? [last] : [last, next]).map(draining);
			await watch.after(() => cluster().publishEndpoints(SERVICE, [ready, ...drains]));
			[ready, last, next] = [next, ready, last];
		}
		await expectNoErrors(traffic, ['b1', 'b2', 'b3']);
	});

	it('keeps a TCP connection and re-chooses for datagrams when packets of both lose their backend', async () => {
		const { b1, b2 } = pods;
		await watch.after(() => cluster().publishEndpoints(SERVICE, [b1]));
		const intervalMs = 5;
		const tcp = startTraffic(plain, 'kept', { mode: 'stream', host: VIP.IPv4, port: 80, intervalMs });
		const udp = startTraffic(plain, 're-chosen', { mode: 'udp-stream', host: VIP.IPv6, port: 53, intervalMs });
		const fresh = startTraffic(plain, 'fresh', { mode: 'tcp', host: VIP.IPv6, port: 80, intervalMs });
		await Promise.all([tcp.flowing(), udp.flowing(), fresh.flowing()]);
		for (let i = 0; i < 50; i++) {
			await watch.after(() => cluster().publishEndpoints(SERVICE, [i % 2 === 0 ? b2 : b1]));
		}
		await expectNoErrors({ tcp }, ['b1']);
		await expectNoErrors({ udp, fresh }, ['b1', 'b2']);
	});

	it('gives a client one backend while it asks for session affinity, and leaves connections that are there alone', async () => {
		const { b1, b2, hooked } = pods;
		const made = cluster();
		await watch.after(() => made.publishEndpoints(SERVICE, [b1, b2]));
		const asks = [
			[plain, VIP.IPv6, 80],
			[hooked, VIP.IPv4, 80],
			[made.client, made.node(1).addresses.v4, NODE_PORT],
		] as const;
		const streams = asks.flatMap(([place, host, port]) =>
			range(4).map((i) => startTraffic(place, `sticky-${i}`, { mode: 'stream', host, port, intervalMs: 20 })),
		);
		await Promise.all(streams.map((one) => one.flowing()));
		for (const sessionAffinity of ['ClientIP', 'None'] as const) {
			made.publish({ ...SERVICE, extra: { sessionAffinity } }, [b1, b2]);
			for (const [place, host, port] of asks) {
				if (sessionAffinity === 'None') await awaitBackends(place, host, port, ['b1', 'b2']);
				else
					await eventually(`${place.name} reaches one backend only`, async () => {
						const { servers, errors } = await ask(place, { mode: 'tcp', host, port, count: 24 });
						expect(errors).toEqual({});
						expect(Object.keys(servers)).toHaveLength(1);
					});
			}
		}
		for (const one of streams) {
			const { errors, servers } = await one.stop();
			expect(errors).toEqual({});
			expect(Object.keys(servers)).toHaveLength(1);
		}
	});

	it('answers the sockets that sent before it had no endpoint, with the first one it has again', async () => {
		const { b1, b2 } = pods;
		const made = cluster();
		await watch.after(() => made.publishEndpoints(SERVICE, [b2]));
		const { v4, v6 } = made.node(1).addresses;
		const o = { mode: 'udp-stream', intervalMs: 10, timeoutMs: 200 } as const;
		const sockets = [
			...[VIP.IPv4, VIP.IPv6].map((host) => startTraffic(plain, `pod-${host}`, { ...o, host, port: 53 })),
			...[v4, v6].map((host) => startTraffic(made.client, `outside-${host}`, { ...o, host, port: NODE_PORT })),
		];
		await Promise.all(sockets.map((one) => one.flowing()));
		await watch.after(() => made.publishEndpoints(SERVICE, []));
		for (const [place, host, port] of [
			[plain, VIP.IPv6, 53],
			[made.client, v4, NODE_PORT],
		] as const)
			expect((await ask(place, { mode: 'udp', host, port, count: 3 })).errors).toEqual({ ECONNREFUSED: 3 });
		await watch.after(() => made.publishEndpoints(SERVICE, [b1]));
		const fresh = startTraffic(plain, 'fresh', { ...o, host: VIP.IPv4, port: 53 });
		await fresh.flowing();
		await sleep(1000 * Number(process.env.TEST_PATIENCE ?? 1)); // each of them sends a hundred times
		for (const one of [...sockets, fresh]) {
			const { errors, servers } = await one.stop();
			expect(Object.keys(servers).sort()).toEqual(one === fresh ? [b1.name] : [b1.name, b2.name]);
			if (one !== fresh) expect(errors.ECONNREFUSED).toBeGreaterThan(0);
		}
	});

	it('gets the datagrams of who began before it had the port, from the same socket', async () => {
		const made = cluster();
		const { v4, v6 } = made.node(1).addresses;
		const sent = async (): Promise<number> => {
			const { stdout } = await plain.run(['cat', '/proc/net/snmp', '/proc/net/snmp6']);
			return (
				Number(/^Udp: \d+ \d+ \d+ (\d+)/m.exec(stdout)?.[1]) + Number(/Udp6OutDatagrams\s+(\d+)/.exec(stdout)?.[1])
			);
		};
		const before = await sent();
		const early = [v4, v6].map((host, i) =>
			startTraffic(plain, `early-${i}`, { mode: 'udp-stream', host, port: LATE_PORT, intervalMs: 20, timeoutMs: 200 }),
		);
		await eventually('both have sent something', async () => expect(await sent()).toBeGreaterThan(before + 4));
		const ports = [{ name: 'udp', port: 53, targetPort: ECHO_PORT, protocol: 'UDP' as const, nodePort: LATE_PORT }];
		made.publish({ name: 'late', type: 'NodePort', clusterIPs: ['10.96.2.2', 'fd00:96::202'], ports }, [pods.b1]);
		await Promise.all(early.map((one) => one.flowing()));
		for (const one of early) expect(Object.keys((await one.stop()).servers)).toEqual(['b1']);
	});

	it('has the datagrams of the same sockets at its new target port, though the old one answers still', async () => {
		const made = cluster();
		const { b1, hooked } = pods;
		const newPort = ECHO_PORT + 1;
		await b1.startEcho(newPort, 'moved');
		const service = (targetPort: number) => ({
			name: 'moving',
			type: 'NodePort' as const,
			clusterIPs: ['10.96.2.4', 'fd00:96::204'],
			ports: [{ name: 'udp', port: 53, targetPort, protocol: 'UDP' as const, nodePort: LATE_PORT + 1 }],
		});
		made.publish(service(ECHO_PORT), [b1]);
		const o = { mode: 'udp-stream', intervalMs: 20, timeoutMs: 200 } as const;
		const { v4, v6 } = made.node(1).addresses;
		const streams = [
			...['10.96.2.4', 'fd00:96::204'].map((host) => startTraffic(plain, `moving-${host}`, { ...o, host, port: 53 })),
			...[v4, v6].map((host) => startTraffic(made.client, `moving-${host}`, { ...o, host, port: LATE_PORT + 1 })),
		];
		await Promise.all(streams.map((one) => one.flowing()));
		made.publish(service(newPort), [b1]);
		for (const place of [hooked, made.node(2)])
			await eventually(`${place.name} reaches the new port`, async () => {
				const { servers } = await ask(place, { mode: 'udp', host: '10.96.2.4', port: 53, count: 4, timeoutMs: 500 });
				expect(servers).toEqual({ moved: 4 });
			});
		const later = startTraffic(plain, 'moving-later', { ...o, host: 'fd00:96::204', port: 53 });
		await later.flowing();
		await sleep(1000 * Number(process.env.TEST_PATIENCE ?? 1)); // each of them sends some dozens of times
		expect(Object.keys((await later.stop()).servers)).toEqual(['moved']);
		for (const one of streams) expect(Object.keys((await one.stop()).servers).sort()).toEqual(['b1', 'moved']);
	});

	it('serves without one error while its pods are replaced one after the other', async () => {
		const made = cluster();
		await watch.after(() => made.publishEndpoints(SERVICE, [pods.b1, pods.b2]));
		const traffic = hammer(made);
		await Promise.all(Object.values(traffic).map((one) => one.flowing()));
		let current = [pods.b1, pods.b2];
		const names = ['b1', 'b2'];
		for (let round = 1; round <= 2; round++) {
			for (const old of [...current]) {
				const name = `${old.name.slice(0, 2)}-${round}`;
				const next = await made.createPod({ node: old.node, name });
				await next.startEcho();
				const others = current.filter((pod) => pod !== old);
				await watch.after(() => made.publishEndpoints(SERVICE, [...others, next, old]));
				await watch.after(() => made.publishEndpoints(SERVICE, [...others, next, draining(old)]));
				await idle(old);
				made.publishEndpoints(SERVICE, [...others, next]);
				await made.deletePod(old);
				current = [...others, next];
				names.push(name);
			}
		}
		await expectNoErrors(traffic, names.sort());
		pods = { ...pods, b1: current[0] ?? pods.b1, b2: current[1] ?? pods.b2 };
	});

	/**
	 * Waits until nobody is connected to a pod's server, nor on the way to it, and nothing waits there to be read: what a grace period is for. A
	 * SYN may wait long on busy machines, so that the client's socket, which knows the pod by its address, is asked first; its UDP sockets
	 * count too, as those of a backend that is removed are ended.
	 */
	async function idle(pod: Pod): Promise<void> {
		const clients = Object.values(pod.addresses).map((address) => `dst ${formatEndpoint(address, ECHO_PORT)}`);
		const open = ['ss', '-Htun', 'state', 'established', 'state', 'syn-sent', 'state', 'syn-recv'];
		await eventually(`${pod.name} has no connection left`, async () => {
			const [ways, server, queue] = [
				await pods.hooked.run([...open, clients.join(' or ')]),
				await pod.run([...open, `sport = :${ECHO_PORT}`]),
				await pod.run(['ss', '-Huan', `sport = :${ECHO_PORT}`]),
			];
			const unread = queue.stdout.split('\n').filter((line) => Number(line.trim().split(/\s+/)[1] ?? 0) > 0);
			const left = ways.stdout.trim() + server.stdout.trim() + unread.join('\n');
			if (left !== '') throw new Error(left);
		});
	}

	it('keeps TCP connections of both paths to an endpoint that is not ready any more', async () => {
		const { b1, b2, hooked } = pods;
		await watch.after(() => cluster().publishEndpoints(SERVICE, [b1]));
		const o = { mode: 'stream', host: VIP.IPv4, port: 80, intervalMs: 5 } as const;
		const traffic = { packets: startTraffic(plain, 'unready', o), socket: startTraffic(hooked, 'unready', o) };
		await Promise.all(Object.values(traffic).map((stream) => stream.flowing()));
		await watch.after(() => cluster().publishEndpoints(SERVICE, [unready(b1), b2]));
		await awaitBackends(plain, VIP.IPv4, 80, [b2.name]);
		await expectNoErrors(traffic, [b1.name]);
	});

	it('lets connections from outside go on when it is gone, also over a restart of the agent', async () => {
		const made = cluster();
		const node = made.node(1);
		const { v4, v6 } = node.addresses;
		const external = { IPv4: '172.29.77.1', IPv6: 'fd00:29:77::1' };
		for (const [address, via] of [
			[external.IPv4, v4],
			[external.IPv6, v6],
		] as const)
			await made.client.run(['ip', '-n', `${made.name}-router`, 'route', 'add', address, 'via', via]);
		const service = {
			name: 'leaving',
			type: 'LoadBalancer' as const,
			clusterIPs: ['10.96.2.3', 'fd00:96::203'],
			ports: [{ name: 'tcp', port: 80, targetPort: ECHO_PORT, protocol: 'TCP' as const }],
			ingress: Object.values(external).map((ip) => ({ ip })),
		};
		const leaving = new ServiceWatch(made.nodes, '10.96.2.3', 80, 'TCP');
		try {
			const { b1, b2 } = pods;
			const o = { mode: 'stream', port: 80, intervalMs: 10 } as const;
			const streams: Record<string, Traffic> = {};
			for (const pod of [b1, b2]) {
				await leaving.after(() => made.publish(service, [pod]));
				for (const host of Object.values(external)) {
					await awaitBackends(made.client, host, 80, [pod.name]);
					const stream = startTraffic(made.client, `leaving-${Object.keys(streams).length}`, { ...o, host });
					await stream.flowing();
					streams[`${host} to ${pod.name}`] = stream;
				}
			}
			await leaving.after(() => made.objects.remove('Service', service.name));
			await eventually('a new connection finds nobody', async () => {
				const { ok } = await ask(made.client, { mode: 'tcp', host: external.IPv4, port: 80, count: 1, timeoutMs: 500 });
				expect(ok).toBe(0);
			});
			await node.killAgent();
			node.startAgent();
			await node.waitReady();
			await sleep(500); // some dozens of requests on each connection
			for (const [name, stream] of Object.entries(streams)) {
				const report = await stream.stop();
				expect(report.errors, name).toEqual({});
				expect(Object.keys(report.servers), name).toHaveLength(1);
			}
		} finally {
			leaving.close();
		}
	});
});
