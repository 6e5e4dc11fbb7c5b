import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useCluster } from '../lib/cluster/use.ts';
import { type ClusterNode, eventually, type Pod, run, sleep, startTraffic, type Traffic } from '../lib/cluster.ts';
import { awaitBackends, HOST_ECHO_PORT, startHostEcho } from '../lib/echo-cluster.ts';
import { makeOtherVersion, type OtherVersion } from '../lib/other-version.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const NODE = join(ROOT, 'node_modules/.bin/node');
const NEAR = { IPv4: '10.96.0.21', IPv6: 'fd00:96::21' };
const FAR = { IPv4: '10.96.0.22', IPv6: 'fd00:96::22' };
const OUTSIDE = '172.31.0.10';
const PORTS = [
	{ name: 'tcp', port: 80, targetPort: 7000, protocol: 'TCP' },
	{ name: 'udp', port: 53, targetPort: 7000, protocol: 'UDP' },
	{ name: 'http', port: 8080, targetPort: 8080, protocol: 'TCP' },
] as const;
const INTERVAL_MS = 20;
/** What a jiffy and rounding may add to an age. */
const CLOCK_MS = 20;
/** More packets than a connection of one request has. */
const MANY_PACKETS = 30;
/** Connections that last for the whole test, on node 1: of each pod to each service by TCP and UDP, and one to the world. */
const LASTING = { IPv4: 2 * 2 * 2 + 1, IPv6: 2 };

interface Entry {
	protocol: string;
	source: string;
	sourcePort: number;
	destination: string;
	destinationPort: number;
	translated: string;
	translatedPort: number;
	snatPort: number;
	packetsForward: number;
	packetsReply: number;
	age: string;
}

/** What `fairlead ct list` says of a connection, and when it began. */
interface Connection {
	readonly name: string;
	/** Of the initiator and of the responder. */
	readonly packets: readonly [number, number];
	/** Not before, and not after; milliseconds since the epoch. */
	readonly began: readonly [number, number];
}

describe('replacing the agent by another version', () => {
	const versions = {} as Record<'programs' | 'layout', OtherVersion>;
	/** On node 1: `hooked` is translated by the socket hook, `foreign` is in a cgroup that the hook does not see. */
	let hooked: Pod;
	let foreign: Pod;
	let traffic: Record<string, Traffic> = {};

	beforeAll(async () => {
		versions.programs = await makeOtherVersion('programs');
		versions.layout = await makeOtherVersion('layout');
	}, 400_000);
	afterAll(() => {
		for (const version of Object.values(versions)) version.remove();
	});
	const cluster = useCluster({ routing: 'vxlan' }, async (made) => {
		const [first, second] = [made.node(1), made.node(2)];
		const outOfSight = join(first.nodeCgroup, '..', 'foreign');
		const [a, x, near, far] = await Promise.all([
			made.createPod({ node: first, name: 'hooked' }),
			made.createPod({ node: first, name: 'foreign', cgroup: outOfSight }),
			made.createPod({ node: first, name: 'near' }),
			made.createPod({ node: second, name: 'far' }),
		]);
		[hooked, foreign] = [a, x];
		made.publish({ name: 'near', clusterIPs: Object.values(NEAR), ports: [...PORTS] }, [near]);
		made.publish({ name: 'far', clusterIPs: Object.values(FAR), ports: [...PORTS] }, [far]);
		await Promise.all([near, far].flatMap((pod) => [pod.startEcho(), pod.startNginx(8080)]));
		await startHostEcho(made.client);
		// What begins before its service is known to the node is translated by packets, not by its socket.
		for (const [{ IPv4, IPv6 }, name] of [[NEAR, 'near'] as const, [FAR, 'far'] as const]) {
			for (const address of [IPv4, IPv6]) await awaitBackends(hooked, address, 80, [name]);
		}
		traffic = startAll();
		await eventually('all lasting connections are at work', async () => {
			expect(await lasting(first, ROOT)).toHaveLength(LASTING.IPv4 + LASTING.IPv6);
		});
	});

	/** From before the first upgrade until after the rollback: lasting connections and new ones. */
	function startAll(): Record<string, Traffic> {
		const started: Record<string, Traffic> = {};
		const start = (from: Pod, mode: 'stream' | 'udp-stream' | 'udp' | 'http', host: string, port: number): void => {
			const name = `${mode} from ${from.name} to ${host}`;
			started[name] = startTraffic(from, `${mode}-${host}`, { mode, host, port, intervalMs: INTERVAL_MS });
		};
		for (const pod of [hooked, foreign]) {
			for (const { IPv4: address } of [NEAR, FAR]) {
				start(pod, 'stream', address, 80);
				start(pod, 'udp-stream', address, 53);
			}
			start(pod, 'http', pod === hooked ? NEAR.IPv4 : FAR.IPv4, 8080);
			start(pod, 'udp', pod === hooked ? FAR.IPv4 : NEAR.IPv4, 53);
		}
		start(foreign, 'stream', FAR.IPv6, 80);
		start(foreign, 'udp-stream', NEAR.IPv6, 53);
		start(hooked, 'stream', OUTSIDE, HOST_ECHO_PORT);
		return started;
	}

	/** What `fairlead ct list` of a version says about connections that last, in a fixed order. */
	async function lasting(node: ClusterNode, root: string): Promise<Connection[]> {
		const asked = Date.now();
		const { stdout } = await run([
			NODE,
			join(root, 'cli/main.ts'),
			'--socket',
			node.socket,
			'ct',
			'list',
			'-o',
			'json',
		]);
		const answered = Date.now();
		const entries = stdout
			.trim()
			.split('\n')
			.map((line) => JSON.parse(line) as Entry);
		return entries
			.map((entry) => ({
				name:
					`${entry.protocol} ${entry.source} ${entry.sourcePort} to ${entry.destination} ${entry.destinationPort}` +
					` as ${entry.translated} ${entry.translatedPort} ${entry.snatPort}`,
				packets: [entry.packetsForward, entry.packetsReply] as [number, number],
				began: [asked, answered].map((ms) => ms - Number.parseFloat(entry.age) * 1000) as [number, number],
			}))
			.filter(({ packets: [sent, received] }) => sent + received >= MANY_PACKETS)
			.sort((a, b) => (a.name < b.name ? -1 : 1));
	}

	/** SIGKILL, then the other version on the same directories; `amid` on node 1 kills that one too when its maps are there. */
	async function replaceAgents(root: string, amid?: string): Promise<void> {
		await Promise.all(
			cluster().nodes.map(async (node) => {
				await node.killAgent();
				node.startAgent(root);
				if (amid !== undefined && node.index === 1) {
					await eventually(`${amid} is there`, () => expect(pins(node)).toContain(amid), { intervalMs: 2 });
					await node.killAgent();
					expect(pins(node)).toContain(amid);
					node.startAgent(root);
				}
				await node.waitReady();
			}),
		);
	}

	async function expectCarriedOver(before: readonly Connection[], root: string): Promise<Connection[]> {
		await sleep(10 * INTERVAL_MS);
		const after = await lasting(cluster().node(1), root);
		expect(after.map(({ name }) => name)).toEqual(before.map(({ name }) => name));
		after.forEach((one, index) => {
			const { began, packets } = before[index]!;
			expect(one.packets[0], one.name).toBeGreaterThan(packets[0]);
			expect(one.packets[1], one.name).toBeGreaterThan(packets[1]);
			expect(one.began[0], one.name).toBeLessThan(began[1] + CLOCK_MS);
			expect(one.began[1], one.name).toBeGreaterThan(began[0] - CLOCK_MS);
		});
		return after;
	}

	const pins = (node: ClusterNode): string[] => readdirSync(join(node.bpffsDir, 'maps'));
	const conntrackPins = (): string[][] =>
		cluster().nodes.map((node) =>
			pins(node)
				.filter((pin) => /^fl_(ct4|ct6)_/.test(pin))
				.sort(),
		);

	/** Tags of the programs at the pods of node 1: a hash over their instructions. */
	async function podProgramTags(): Promise<string[]> {
		const { stdout } = await run(['bpftool', '-j', 'link', 'show', '-f']);
		const links = JSON.parse(stdout) as { prog_id: number; pinned?: string[] }[];
		const directory = join(cluster().node(1).bpffsDir, 'links', 'pod_');
		const ids = links.filter(({ pinned }) => pinned?.some((path) => path.startsWith(directory)));
		const tags = ids.map(async ({ prog_id }) => {
			const shown = await run(['bpftool', '-j', 'prog', 'show', 'id', String(prog_id)]);
			return (JSON.parse(shown.stdout) as { tag: string }).tag;
		});
		return [...new Set(await Promise.all(tags))].sort();
	}

	it('carries every connection through other programs, another conntrack layout and back', {
		timeout: 400_000,
	}, async () => {
		const first = await lasting(cluster().node(1), ROOT);
		const tags = await podProgramTags();
		expect(tags).toHaveLength(2);

		await replaceAgents(versions.programs.root);
		expect(await podProgramTags()).not.toEqual(tags);
		const second = await expectCarriedOver(first, versions.programs.root);

		await replaceAgents(versions.layout.root, 'fl_ct6_2_next');
		expect(conntrackPins()).toEqual([0, 1].map(() => ['fl_ct4_2', 'fl_ct6_2']));
		const third = await expectCarriedOver(second, versions.layout.root);

		await replaceAgents(ROOT);
		expect(conntrackPins()).toEqual([0, 1].map(() => ['fl_ct4_1', 'fl_ct6_1']));
		expect(await podProgramTags()).toEqual(tags);
		await expectCarriedOver(third, ROOT);

		const reports = Object.entries(traffic).map(async ([name, one]) => [name, await one.stop()] as const);
		for (const [name, report] of await Promise.all(reports)) {
			expect(report.failed, `${name}: ${JSON.stringify(report.errors)}`).toBe(0);
			expect(report.ok, name).toBeGreaterThan(100);
		}
	});
});
