/**
 * A flood of SYNs whose senders do not exist, answered by real servers, through flow tables that are far too small for it: connections that were there
 * before stay, idle as they are, new ones are made, and the agent's collector takes out what the flood left.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { macOf, routerOf } from '../lib/cluster/outside.ts';
import { useCluster } from '../lib/cluster/use.ts';
import { CLIENT, eventually, PATIENCE, type Place, type Pod, setSysctls, startTraffic } from '../lib/cluster.ts';
import { awaitBackends, ECHO_PORT } from '../lib/echo-cluster.ts';
import type { IdleReport, IdleRequest } from '../lib/programs/idle-client.ts';
import type { FloodRequest } from '../lib/programs/syn-flood.ts';

const PROGRAMS = join(import.meta.dirname, '../lib/programs');
const FAMILIES = ['IPv4', 'IPv6'] as const;
const TABLES = ['ct4', 'ct6'] as const;
const VIP = { IPv4: '10.96.4.1', IPv6: 'fd00:96::401' } as const;
const NODE_PORT = 31_900;
const PORT = 80;

/** Connections of each client to each address of the service: the table of a family has two entries for each. */
const HELD = 2500;
const CLIENTS = 2;
const HELD_ENTRIES = 2 * CLIENTS * HELD;
/** Entries of the table of each family: three out of five are of idle connections. */
const TABLE = 16_384;
/** SYNs that nobody has come back to go after so many seconds, not a minute. */
const OPENING_S = 5;
/** What finds no room, in entries of both families, ten times what there was. */
const TOO_MUCH = 10 * (TABLE - HELD_ENTRIES);
/** Share of a table from which on the agent warns. What it measures is what a pass of the collector has left. */
const WARNED = 0.7;
/** Passes of the collector while the flood lasts. */
const PASSES = 3;

let pod: Pod;
const cluster = useCluster({ config: { ctMaxEntries: TABLE, ctTimeouts: { tcpOpening: OPENING_S } } }, async (made) => {
	const [first, second] = [made.node(1), made.node(2)];
	const [client, ...servers] = await Promise.all([
		// past the socket hook
		made.createPod({ node: first, name: 'client-pod', cgroup: join(first.nodeCgroup, '..', 'client') }),
		made.createPod({ node: second, name: 'b1' }),
		made.createPod({ node: second, name: 'b2' }),
	]);
	pod = client;
	for (const server of servers) {
		// What a server sends again to those who do not exist would be news of their flows for a minute.
		await setSysctls(server.netns, { 'net/ipv4/tcp_synack_retries': 1 });
		await server.startEcho();
	}
	const ports = [{ port: PORT, targetPort: ECHO_PORT, nodePort: NODE_PORT }];
	made.publish({ name: 'flooded', type: 'NodePort', clusterIPs: Object.values(VIP), ports }, servers);
	for (const family of FAMILIES) {
		await awaitBackends(client, VIP[family], PORT, ['b1', 'b2']);
		await awaitBackends(made.client, nodePorts()[family].host, NODE_PORT, ['b1', 'b2']);
	}
});

function nodePorts() {
	const { v4, v6 } = cluster().node(1).addresses;
	return { IPv4: { host: v4, port: NODE_PORT }, IPv6: { host: v6, port: NODE_PORT } };
}

/** Starts a program of ours that goes on until it is told to end. `end` returns the last line that it wrote. */
function start(place: Place, name: string, request: object) {
	const child = place.start(name, [process.execPath, join(PROGRAMS, `${name}.ts`), JSON.stringify(request)]);
	const output = (): string => readFileSync(child.logFile, 'utf8').trim();
	return {
		said: (text: string): Promise<void> =>
			eventually(
				`${name} says ${text}`,
				() => {
					if (!output().includes(text)) throw new Error(output());
				},
				{ timeoutMs: 60_000 },
			),
		async end(): Promise<string> {
			await child.stop('SIGTERM', 60_000);
			return output().split('\n').at(-1) ?? '';
		},
	};
}

const hold = (place: Place, targets: IdleRequest['targets']) => {
	const request: IdleRequest = { targets, count: HELD, timeoutMs: 10_000 * PATIENCE };
	return start(place, 'idle-client', request);
};

/** Answers to who does not exist end at the client, which keeps them to itself. */
async function startFlood() {
	const { client } = cluster();
	const router = routerOf(cluster());
	await router.shell(`ip route add 198.18.0.0/16 via ${CLIENT.v4}; ip route add 2001:db8:66::/112 via ${CLIENT.v6}`);
	await client.shell('ip route add blackhole 198.18.0.0/16; ip route add blackhole 2001:db8:66::/112');
	const macs = { src: await macOf(client, 'eth0'), dst: await macOf(router, 'outside') };
	const request: FloodRequest = { device: 'eth0', macs, targets: Object.values(nodePorts()), burst: 30, pauseMs: 10 };
	return start(client, 'syn-flood', request);
}

/** A metric of node 1, by name and labels as they are written. */
async function metrics(): Promise<(name: string) => number> {
	const { stdout } = await cluster().node(1).run(['curl', '-sS', 'http://127.0.0.1:10249/metrics']);
	const values = new Map(stdout.split('\n').map((line) => line.split(' ') as [string, string]));
	return (name) => Number(values.get(name) ?? 0);
}

const PASS_COUNT = 'kubeproxy_conntrack_reconciler_sync_duration_seconds_count';
const DELETED = 'kubeproxy_conntrack_reconciler_deleted_entries_total';
const pressure = (map: string): string => `fairlead_map_pressure_ratio{map="${map}"}`;
const of = (name: string, family: (typeof FAMILIES)[number]): string => `${name}{ip_family="${family}"}`;

it(`costs none of ${2 * CLIENTS * HELD} idle connections and no new one, and leaves nothing in the tables`, async () => {
	const { client } = cluster();
	const held = [
		hold(client, Object.values(nodePorts())),
		hold(
			pod,
			FAMILIES.map((family) => ({ host: VIP[family], port: PORT })),
		),
	];
	await Promise.all(held.map((each) => each.said('all open')));
	const before = await metrics();
	const flood = await startFlood();
	const traffic = FAMILIES.flatMap((family) => [
		startTraffic(client, `new-${family}`, { mode: 'tcp', ...nodePorts()[family], intervalMs: 20 }),
		startTraffic(pod, `new-${family}`, { mode: 'tcp', host: VIP[family], port: PORT, intervalMs: 20 }),
	]);
	const fullest = { ct4: 0, ct6: 0 };
	await eventually(
		'the flood has filled the tables again and again',
		async () => {
			const now = await metrics();
			for (const map of TABLES) fullest[map] = Math.max(fullest[map], now(pressure(map)));
			const since = (name: string): number => now(name) - before(name);
			expect(since('fairlead_conntrack_full_total')).toBeGreaterThan(TOO_MUCH);
			for (const family of FAMILIES) {
				expect(since(of(PASS_COUNT, family))).toBeGreaterThanOrEqual(PASSES);
				expect(since(of(DELETED, family))).toBeGreaterThan(2 * (TABLE - HELD_ENTRIES));
			}
			expect(Math.min(fullest.ct4, fullest.ct6)).toBeGreaterThan(WARNED);
		},
		{ timeoutMs: 60_000 },
	);
	const log = cluster().node(1).agentLogTail(1000);
	for (const map of TABLES) expect(log).toMatch(new RegExp(`map ${map}: .* raise ctMaxEntries`));
	expect(Number(await flood.end())).toBeGreaterThan(20_000);
	for (const each of traffic) {
		const report = await each.stop();
		expect(report.errors).toEqual({});
		expect(report.ok).toBeGreaterThan(100);
		expect(Object.keys(report.servers).sort()).toEqual(['b1', 'b2']);
	}
	await eventually(
		'nothing but connections is left',
		async () => {
			const now = await metrics();
			for (const map of TABLES) {
				expect(now(`fairlead_map_entries{map="${map}"}`)).toBeLessThan(1.05 * HELD_ENTRIES);
				expect(now(`fairlead_map_entries{map="${map.replace('ct', 'ctfull')}"}`)).toBe(0);
			}
		},
		{ timeoutMs: 60_000 },
	);
	const after = await metrics();
	for (const each of held) {
		const report = JSON.parse(await each.end()) as IdleReport;
		expect(report).toMatchObject({ answered: 2 * HELD, lost: {} });
	}
	for (const map of TABLES) expect(after(`fairlead_map_entries{map="${map}"}`)).toBeGreaterThanOrEqual(HELD_ENTRIES);
}, 400_000);
