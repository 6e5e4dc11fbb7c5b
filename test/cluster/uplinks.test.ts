/**
 * Nodes with a second network besides the one that leads to the other nodes: clients of services come by it, packets of pods leave
 * by it. Its topology is described in test/lib/cluster/second-network.ts.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../lib/cluster/node.ts';
import {
	FAR,
	FAR_KNOWN,
	NEAR,
	SECOND_CIDRS,
	SECOND_DEVICE,
	SECOND_MTU,
	SecondNetwork,
	secondAddresses,
} from '../lib/cluster/second-network.ts';
import { useCluster } from '../lib/cluster/use.ts';
import { WITHOUT_LOOKS } from '../lib/cluster/without-looks.ts';
import {
	ask,
	CLIENT,
	type ClusterNode,
	curl,
	eventually,
	PATIENCE,
	type Place,
	type Pod,
	sleep,
	startTraffic,
	type Traffic,
	urlOf,
} from '../lib/cluster.ts';
import { HOST_ECHO_PORT } from '../lib/echo-cluster.ts';
import { type ProbeCase, runCases } from '../lib/service-probes.ts';
import {
	casesOf,
	clusterIp,
	FAMILIES,
	HOST_PORT,
	nodePort,
	OF_NODES,
	OF_PODS,
	of,
	populateUplinks,
	WEB,
} from '../lib/uplink-services.ts';

/** Of node 1 in its first network, for a while. */
const ANOTHER = '172.30.1.77/24';
const FIRST_CIDRS = ['172.30.1.0/24', 'fd00:30:1::/64'];
const TRANSFER = { mode: 'stream', count: 4, size: 65_536 } as const;
/** Of the way from the router to the far client, less than that of the second network. */
const SMALLER_MTU = 1280;
const PAGES = 30;
/** Source ports of clients that choose none by themselves. On nodes below those that masqueraded flows and the agent's own connections get. */
const FIRST_PORT = 12_000;
const FIRST_PORT_OF_NODES = 2000;
/** Longer than tcpOpening below. */
const SILENT_MS = 4000;
/** Long enough for timeouts of TCP to grow. */
const LINK_AWAY_MS = 2000;

describe('nodes with two networks', () => {
	let second: SecondNetwork;
	let p1: Pod;
	let p2: Pod;
	let before: string[];
	const cluster = useCluster(
		{
			routing: 'vxlan',
			withoutAgents: true,
			config: { nodePortAddresses: [...FIRST_CIDRS, ...SECOND_CIDRS], ctTimeouts: { tcpOpening: 2 } },
		},
		async (made) => {
			second = await SecondNetwork.create(made);
			before = await settingsOf(made.node(2));
			// the first network of this node by XDP and tc, the second one by tc alone
			made.node(2).configure({ xdp: 'generic' });
			await made.startAgents();
			({ p1, p2 } = await populateUplinks(made, second));
		},
	);

	const usedPorts = new Map<string, number>();
	/** What was not as expected. Each client asks from ports that it has not used before. */
	async function failures(place: Place, cases: readonly ProbeCase[]): Promise<string[]> {
		const ofNode = cluster().nodes.some(({ name }) => name === place.name);
		const firstPort = usedPorts.get(place.name) ?? (ofNode ? FIRST_PORT_OF_NODES : FIRST_PORT);
		usedPorts.set(place.name, firstPort + cases.reduce((sum, { count }) => sum + (count ?? 0), 0));
		return (await runCases(place, cases, { firstPort })).get('requests') ?? [];
	}

	/** Starts streams, runs `meanwhile` and expects that none of them lost an answer. */
	async function undisturbed(traffic: Record<string, Traffic>, meanwhile: () => Promise<void>): Promise<void> {
		await Promise.all(Object.values(traffic).map((one) => one.flowing()));
		await meanwhile();
		const ended = Object.entries(traffic).map(async ([name, one]) => ({ name, ...(await one.stop()) }));
		for (const { name, errors, ok } of await Promise.all(ended)) {
			expect({ name, errors }).toEqual({ name, errors: {} });
			expect(ok, name).toBeGreaterThan(1);
		}
	}

	async function servesAgain(): Promise<void> {
		await eventually('the second interface serves again', async () => {
			const found = await failures(second.near, casesOf(cluster().nodes, NEAR, ['both'], ['second address']));
			if (found.length > 0) throw new Error(found.join('\n'));
		});
	}

	/** Path MTU that a pod knows of. */
	async function pmtuOf(pod: Pod, to: string): Promise<number> {
		const { stdout } = await pod.run(['ip', 'route', 'get', to]);
		return Number(/mtu (\d+)/.exec(stdout)?.[1]);
	}

	describe('serve a client of the second one', () => {
		it('at NodePorts of the second address of either node, from whichever node the backend is on', async () => {
			expect(await failures(second.near, casesOf(cluster().nodes, NEAR, OF_PODS, ['second address']))).toEqual([]);
		});

		it('at NodePorts of the first address, which it reaches by the second', async () => {
			expect(await failures(second.near, casesOf(cluster().nodes, NEAR, OF_PODS, ['first address']))).toEqual([]);
		});

		it('at load balancer VIPs and external IPs that the second network leads to a node', async () => {
			expect(await failures(second.near, casesOf(cluster().nodes, NEAR, OF_PODS, ['VIP', 'external IP']))).toEqual([]);
		});

		it('with processes of the nodes as backends', async () => {
			expect(await failures(second.near, casesOf(cluster().nodes, NEAR, OF_NODES, ['second address', 'VIP']))).toEqual(
				[],
			);
		});

		it('with pages for curl', async () => {
			for (const node of cluster().nodes) {
				for (const f of FAMILIES) {
					const url = urlOf(of(secondAddresses(node), f), WEB.nodePort);
					const each = ['-H', 'Connection: close', ...Array.from({ length: PAGES - 1 }, () => url)];
					const pages = (await curl(second.near, url, ...each)).trim().split('\n').toSorted();
					const [own, other] = node.index === 1 ? ['p1', 'p2'] : ['p2', 'p1'];
					const seen = [`${own} ${of(NEAR, f)}`, `${other} ${of(node.addresses, f)}`].toSorted();
					expect({ count: pages.length, seen: [...new Set(pages)] }).toEqual({ count: PAGES, seen });
				}
			}
		});

		it('at a hostPort', async () => {
			for (const f of FAMILIES) {
				for (const mode of ['tcp', 'udp'] as const) {
					const host = of(secondAddresses(cluster().node(1)), f);
					const report = await ask(second.near, { mode, host, port: HOST_PORT, count: 20 });
					expect(report).toMatchObject({ ok: 20, errors: {}, servers: { p1: 20 }, seenAs: [of(NEAR, f)] });
				}
			}
		});

		it('that sends and gets fragments', async () => {
			for (const f of FAMILIES) {
				for (const service of ['on-1', 'on-2'] as const) {
					await eventually(`datagrams of any size to ${service}, once path MTUs are known`, async () => {
						const host = of(secondAddresses(cluster().node(1)), f);
						const request = { mode: 'udp', host, port: nodePort(service), size: 6000 } as const;
						const { errors } = await ask(second.near, { ...request, count: 5, timeoutMs: 500, maxFailures: 1 });
						expect(errors).toEqual({});
					});
				}
			}
		});

		it('that is behind a router which only rules for the source lead to', async () => {
			expect(await failures(second.far, casesOf(cluster().nodes, FAR, OF_PODS, ['second address', 'VIP']))).toEqual([]);
		});
	});

	describe('serve pods and processes of the nodes', () => {
		it('at the second address of the other node, which they reach by that network', async () => {
			for (const place of [p1, cluster().node(1)]) {
				const client = secondAddresses(cluster().node(1));
				const cases = casesOf([cluster().node(2)], client, [...OF_PODS, ...OF_NODES], ['second address']);
				expect(await failures(place, cases), place.name).toEqual([]);
			}
		});

		it.each(FAMILIES)('at the second address of their own, over %s', async (f) => {
			const node = cluster().node(1);
			for (const [place, address] of [
				[p1, p1.address(f)],
				[node, of(node.addresses, f)],
			] as const) {
				for (const mode of ['tcp', 'udp'] as const) {
					const request = { mode, host: of(secondAddresses(node), f), port: nodePort('both'), count: 40, parallel: 4 };
					const { errors, servers, seenAs } = await ask(place, request);
					expect({ errors, seenAs, servers: Object.keys(servers).toSorted() }).toEqual({
						errors: {},
						seenAs: [address],
						servers: ['p1', 'p2'],
					});
				}
			}
		});
	});

	describe('lead pods outside', () => {
		it.each(FAMILIES)('with the address of the interface by which a packet leaves, over %s', async (f) => {
			for (const pod of [p1, p2]) {
				const first = of(pod.node.addresses, f);
				const other = of(secondAddresses(pod.node), f);
				for (const { to, modes, server, source } of [
					{ to: CLIENT, modes: ['tcp', 'udp'], server: 'client', source: first },
					{ to: NEAR, modes: ['tcp', 'udp'], server: 'near', source: other },
					// the echo server answers datagrams from another address than this one
					{ to: FAR_KNOWN, modes: ['tcp'], server: 'far', source: other },
				] as const) {
					for (const mode of modes) {
						const report = await ask(pod, { mode, host: of(to, f), port: HOST_ECHO_PORT, count: 30, parallel: 4 });
						const { errors, servers, seenAs } = report;
						expect({ mode, errors, servers, seenAs }).toEqual({
							mode,
							errors: {},
							servers: { [server]: 30 },
							seenAs: [source],
						});
					}
				}
			}
		});
	});

	describe.each(FAMILIES)('carry 64 KiB in both directions where packets must be shorter, over %s', (f) => {
		async function transfer(from: Place, host: string, port: number, server: string): Promise<void> {
			// what the far client has learnt would make its next connections careful from the beginning
			await second.far.shell('ip route flush cache; ip -6 route flush cache');
			const report = await ask(from, { ...TRANSFER, host, port });
			expect(report, `${from.name} to ${host}`).toMatchObject({ ok: 4, errors: {}, servers: { [server]: 4 } });
		}

		async function toAndFromFar(mtu: number): Promise<void> {
			await transfer(p1, of(FAR_KNOWN, f), HOST_ECHO_PORT, 'far');
			expect(await pmtuOf(p1, of(FAR_KNOWN, f)), 'what p1 knows of its way').toBe(mtu);
			const node = cluster().node(1);
			for (const [service, pod, client] of [
				['on-1', p1, FAR],
				['on-2', p2, node.addresses],
			] as const) {
				await transfer(second.far, of(secondAddresses(node), f), nodePort(service), pod.name);
				expect(await pmtuOf(pod, of(client, f)), `what ${pod.name} knows of the way of its answers`).toBe(mtu);
			}
		}

		it('by the interface itself', async () => {
			await toAndFromFar(SECOND_MTU);
		});

		it('beyond a router that tells of it', async () => {
			await second.limitFar(SMALLER_MTU);
			try {
				await toAndFromFar(SMALLER_MTU);
			} finally {
				await second.limitFar(undefined);
			}
		});

		it('with clients that know it', async () => {
			await transfer(p2, of(NEAR, f), HOST_ECHO_PORT, 'near');
			for (const [service, server] of [
				['on-1', 'p1'],
				['on-2', 'p2'],
			] as const) {
				await transfer(second.near, of(secondAddresses(cluster().node(1)), f), nodePort(service), server);
			}
		});
	});

	it('keep connections by both networks while agents are killed and started again', async () => {
		const intervalMs = 20;
		const traffic: Record<string, Traffic> = {};
		for (const f of FAMILIES) {
			const node = cluster().node(1);
			const streams: [Place, string, string, number][] = [
				[p1, 'to near', of(NEAR, f), HOST_ECHO_PORT],
				[p1, 'to far', of(FAR_KNOWN, f), HOST_ECHO_PORT],
				[second.near, 'to on-1', of(secondAddresses(node), f), nodePort('on-1')],
				[second.near, 'to on-2', of(secondAddresses(node), f), nodePort('on-2')],
				[second.far, 'to on-2', of(secondAddresses(node), f), nodePort('on-2')],
				[cluster().client, 'to on-2', of(node.addresses, f), nodePort('on-2')],
			];
			for (const [place, label, host, port] of streams) {
				const name = `${place.name} ${label} ${f}`.replaceAll(' ', '-');
				traffic[name] = startTraffic(place, name, { mode: 'stream', host, port, intervalMs });
			}
			const host = of(secondAddresses(node), f);
			traffic[`new ${f}`] = startTraffic(second.near, `new-${f}`, {
				mode: 'tcp',
				host,
				port: nodePort('both'),
				intervalMs,
			});
		}
		await undisturbed(traffic, async () => {
			for (const node of cluster().nodes) {
				await node.killAgent();
				node.startAgent();
			}
			await Promise.all(cluster().nodes.map((node) => node.waitReady()));
		});
		expect(await failures(second.near, casesOf(cluster().nodes, NEAR, ['both'], ['second address']))).toEqual([]);
	});

	it('keep connections by the second network that are silent while flows are collected', async () => {
		const node = cluster().node(1);
		const traffic: Record<string, Traffic> = {};
		for (let i = 0; i < 4; i++) {
			for (const f of FAMILIES) {
				const o = { mode: 'stream', host: of(NEAR, f), port: HOST_ECHO_PORT, intervalMs: SILENT_MS } as const;
				traffic[`${f} ${i}`] = startTraffic(p1, `silent-${f}-${i}`, o);
			}
			await sleep(SILENT_MS / 4); // whenever flows are collected, some have been silent for long
		}
		await undisturbed(traffic, async () => {
			await node.killAgent(); // the next one collects 5 s after its start
			node.startAgent();
			await node.waitReady();
			await sleep(2 * SILENT_MS);
		});
	});

	it('keep connections by the second network over a loss of its link', async () => {
		const node = cluster().node(1);
		const traffic: Record<string, Traffic> = {};
		for (const f of FAMILIES) {
			for (const [place, host, port] of [
				[p1, of(NEAR, f), HOST_ECHO_PORT],
				[p1, of(FAR_KNOWN, f), HOST_ECHO_PORT],
				[second.near, of(secondAddresses(node), f), nodePort('on-1')],
				[second.near, of(secondAddresses(node), f), nodePort('on-2')],
			] as const) {
				const name = `${place.name}-to-${host}-${port}`;
				traffic[name] = startTraffic(place, name.replaceAll(':', '-'), {
					mode: 'stream',
					host,
					port,
					intervalMs: 20,
					timeoutMs: LINK_AWAY_MS * 10 * PATIENCE,
				});
			}
		}
		await undisturbed(traffic, async () => {
			await second.setLink(node, 'down');
			await sleep(LINK_AWAY_MS);
			await second.setLink(node, 'up');
			for (const f of FAMILIES) {
				await eventually('the second interface serves again', async () => {
					const request = { mode: 'tcp', host: of(secondAddresses(node), f), port: nodePort('both') } as const;
					const { errors } = await ask(second.near, { ...request, count: 10, timeoutMs: 1000 });
					expect(errors).toEqual({});
				});
			}
		});
	});

	it('lose the second interface without a failed request by the first, and serve by it when it is back', async () => {
		const node = cluster().node(1);
		const intervalMs = 20;
		const traffic: Record<string, Traffic> = {};
		for (const f of FAMILIES) {
			const requests: [Place, 'stream' | 'tcp' | 'udp', string, number][] = [
				[cluster().client, 'tcp', of(node.addresses, f), nodePort('both')],
				[cluster().client, 'stream', of(node.addresses, f), nodePort('on-2')],
				[p1, 'udp', clusterIp('on-2', f), 53],
				[p1, 'tcp', of(CLIENT, f), HOST_ECHO_PORT],
				[second.near, 'tcp', of(secondAddresses(cluster().node(2)), f), nodePort('on-1')],
			];
			for (const [place, mode, host, port] of requests) {
				const name = `${place.name}-${mode}-${f}`;
				traffic[name] = startTraffic(place, `lost-${name}`, { mode, host, port, intervalMs });
			}
		}
		await undisturbed(traffic, async () => {
			await second.unplug(node);
			const gone = { mode: 'tcp', host: secondAddresses(node).v4, port: nodePort('both'), timeoutMs: 1000 } as const;
			expect(await ask(second.near, gone)).toMatchObject({ ok: 0, failed: 1 });
			await second.plug(node);
			await servesAgain();
		});
	});

	it('notice that the second interface goes and comes because the kernel tells them', async () => {
		const node = cluster().node(1);
		const restart = async (through: readonly string[] = []) => {
			await node.stopAgent();
			node.startAgent(ROOT, through);
			await node.waitReady();
		};
		await restart(WITHOUT_LOOKS);
		// the second time it has certainly not been seen by the look that follows a start
		for (let i = 0; i < 2; i++) {
			await second.unplug(node);
			await eventually('it is missed', () => expect(uplinksOf(node)).toEqual([]));
			await second.plug(node);
			await eventually('it is found', () => expect(uplinksOf(node)).toHaveLength(1));
			await servesAgain();
		}

		await node.run(['ip', 'addr', 'add', ANOTHER, 'dev', 'eth0']);
		await eventually('an address that comes is one of the node', async () => {
			const request = { mode: 'tcp', host: ANOTHER.replace('/24', ''), port: nodePort('both') } as const;
			expect((await ask(cluster().client, { ...request, count: 10, timeoutMs: 1000 })).errors).toEqual({});
		});
		await node.run(['ip', 'addr', 'del', ANOTHER, 'dev', 'eth0']);
		await restart();
	});

	it('do not serve by other interfaces when told so, and by those that are named', async () => {
		const node = cluster().node(2);
		for (const [moreUplinks, errors] of [
			[[], { ECONNREFUSED: 3 }],
			[[SECOND_DEVICE], {}],
		] as const) {
			await node.stopAgent();
			node.configure({ moreUplinks });
			node.startAgent();
			await node.waitReady();
			for (const f of FAMILIES) {
				const target = { host: of(secondAddresses(node), f), port: nodePort('both') };
				await eventually(`what further uplinks ${moreUplinks.join()} mean`, async () => {
					expect((await ask(second.near, { mode: 'tcp', ...target, count: 3 })).errors).toEqual(errors);
				});
			}
		}
	});

	it('serve clients of the first network and pods as ever', async () => {
		const outside = casesOf(cluster().nodes, CLIENT, [...OF_PODS, ...OF_NODES], ['first address']);
		expect(await failures(cluster().client, outside)).toEqual([]);
		for (const pod of [p1, p2]) {
			for (const f of FAMILIES) {
				const report = await ask(pod, { mode: 'tcp', host: clusterIp('both', f), port: 80, count: 40, parallel: 4 });
				expect(report).toMatchObject({ ok: 40, errors: {} });
				expect(Object.keys(report.servers).toSorted()).toEqual(['p1', 'p2']);
			}
		}
	});

	it('are as before after a clean-up', async () => {
		const node = cluster().node(2);
		await node.stopAgent();
		await node.run(node.cliCommand('cleanup', '--config', node.configFile, '--yes'));
		expect(await settingsOf(node)).toEqual(before);
		for (const f of FAMILIES) {
			const target = { host: of(secondAddresses(node), f), port: nodePort('both') };
			const { errors } = await ask(second.near, { mode: 'tcp', ...target, count: 3 });
			expect(errors).toEqual({ ECONNREFUSED: 3 });
		}
	});
});

/** What the agent has last said of its further uplinks. */
function uplinksOf(node: ClusterNode): unknown {
	const said = readFileSync(node.agentLog, 'utf8')
		.split('\n')
		.findLast((line) => line.includes('"further uplinks"'));
	return (JSON.parse(said ?? '{}') as { uplinks?: unknown }).uplinks;
}

/** What agents change of the interfaces to other machines. */
async function settingsOf(node: ClusterNode): Promise<string[]> {
	const pattern = '^net\\.ipv[46]\\.(ip_forward|conf\\.(all|eth0|eth1|lo))';
	const { stdout } = await node.run(['sh', '-c', `sysctl -a --pattern '${pattern}' 2>/dev/null`]);
	return stdout.split('\n').toSorted();
}
