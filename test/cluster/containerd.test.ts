/**
 * containerd as a client of the agent: its own libcni calls the executable and the network that the agent has installed, for
 * containers that really run. No registry: the root file system is busybox in a directory.
 */
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { HOST_IFNAME } from '../../agent/endpoints/attachment.ts';
import { Maps } from '../../native/abi/generated.ts';
import { useCluster } from '../lib/cluster/use.ts';
import { type ClusterNode, eventually, PATIENCE, type Pod } from '../lib/cluster.ts';
import { Containerd } from '../lib/containerd.ts';
import { awaitBackends, ECHO_SERVICE, VIP } from '../lib/echo-cluster.ts';

const MANY = 30;

interface Endpoint {
	readonly pod: string;
	readonly addresses: readonly string[];
}

describe('containerd', () => {
	let containerd: Containerd;
	let rootfs = '';
	let server: Pod;
	/** What the node has when no container runs. */
	let before: Awaited<ReturnType<typeof traces>>;

	const cluster = useCluster({ nodes: 1 }, async (made) => {
		const node = made.node(1);
		server = await made.createPod({ node, name: 'server' });
		await server.startEcho();
		made.publish(ECHO_SERVICE, [server]);
		for (const family of made.families) await awaitBackends(node, VIP[family], 80, ['server']);
		containerd = new Containerd({ place: node, namespace: made.name });
		await containerd.start();
		rootfs = containerd.makeRootfs(['sh', 'ip', 'sleep', 'cat', 'nc']);
		await eventually('the self-test has left nothing', async () => {
			before = await traces(node);
			expect([before.links, before.programs, before.records].map(({ length }) => length)).toEqual([1, 2, 1]);
		});
	});
	afterAll(() => containerd?.close());

	const node = (): ClusterNode => cluster().node(1);

	function run(id: string, script: string): Promise<string> {
		const { confDir, binDir } = node();
		return containerd.runWithCni({ id, rootfs, script, confDir, binDir });
	}

	async function endpoints(of = node()): Promise<Endpoint[]> {
		const { stdout } = await of.cli('endpoint', 'list', '-o', 'json');
		return (JSON.parse(stdout) as { endpoints: Endpoint[] }).endpoints;
	}

	/** Everything that an attachment leaves its traces in, but for cool-downs. */
	async function traces(of: ClusterNode) {
		const { stdout } = await of.run(['ip', '-j', 'link', 'show', 'type', 'veth']);
		const links = (JSON.parse(stdout) as { ifname: string }[]).map(({ ifname }) => ifname);
		const routes = await of.shell('ip route show table main; ip -6 route show table main');
		const peers = await of.run([
			'bpftool',
			'-j',
			'map',
			'dump',
			'pinned',
			join(of.bpffsDir, 'maps', Maps.ipcache.name),
		]);
		const spool = join(of.stateDir, 'cni-spool');
		return {
			endpoints: await endpoints(of),
			links: links.filter((name) => HOST_IFNAME.test(name)),
			routes: routes.stdout.split('\n').filter((line) => line.includes(' dev fl')),
			peers: (JSON.parse(peers.stdout) as unknown[]).length,
			programs: readdirSync(join(of.bpffsDir, 'links')).filter((name) => name.startsWith('pod_')),
			records: readdirSync(join(of.stateDir, 'attachments')).filter((name) => !name.endsWith('.released')),
			spooled: existsSync(spool) ? readdirSync(spool).filter((name) => !name.startsWith('.')) : [],
		};
	}

	async function expectNothingLeft(): Promise<void> {
		await eventually('nothing is left', async () => expect(await traces(node())).toEqual(before));
		expect((await containerd.ctr(['containers', 'list', '--quiet'])).stdout).toBe('');
	}

	/**
	 * One request to the Service by each family, as soon as the container runs. Containers are outside of the cgroup that has the node's
	 * socket programs, so the programs at the pod's interface serve it.
	 */
	const request = Object.values(VIP)
		.map((address) => `echo hello | /bin/nc -w ${10 * PATIENCE} ${address} 80`)
		.join('; ');
	/** Answers of the server name the addresses that it has seen. */
	const clientsOf = (output: string): string[] =>
		[...output.matchAll(/^server (\S+) \d+ hello$/gm)].map(([, address = '']) => address);

	it('runs a container with the interface, addresses and routes that the agent gave it, and takes them back at its end', async () => {
		const output = await run('one', `${request}; /bin/ip addr show dev eth0; /bin/ip route; /bin/ip -6 route`);
		const [v4 = '', v6 = ''] = clientsOf(output);
		expect(v4).toMatch(/^10\.244\.1\.\d+$/);
		expect(v6).toMatch(/^fd00:244:1::/);
		expect(output).toContain(`inet ${v4}/32`);
		expect(output).toContain(`inet6 ${v6}/128`);
		expect(output).toContain('default via 169.254.1.1 dev eth0');
		expect(output).toContain('default via fe80::1 dev eth0');
		await expectNothingLeft();
	});

	it('runs 30 at once, each with addresses of its own by which it reaches a Service, and nothing is left of them', async () => {
		const wait = 'while [ ! -e /tmp/go ]; do /bin/sleep 0.2; done';
		const runs = Array.from({ length: MANY }, (_, i) => run(`many${i}`, `${request}; ${wait}; ${request}`));
		const outputs = Promise.all(runs);
		try {
			const all = eventually('all are attached', async () => expect(await endpoints()).toHaveLength(MANY + 1), {
				timeoutMs: 100_000,
			});
			await Promise.race([all, outputs]);
			const attached = await traces(node());
			expect(attached.links).toHaveLength(MANY + 1);
			expect(attached.programs).toHaveLength(2 * (MANY + 1));
			expect(attached.records).toHaveLength(MANY + 1);
			const given = attached.endpoints.flatMap(({ addresses }) => addresses);
			expect(new Set(given).size).toBe(2 * (MANY + 1));
			writeFileSync(join(rootfs, 'tmp/go'), '');
			const seen = (await outputs).map(clientsOf);
			for (const each of seen) expect(each).toEqual([...each.slice(0, 2), ...each.slice(0, 2)]);
			const ofServer = Object.values(server.addresses);
			expect(new Set(seen.flat())).toEqual(new Set(given.filter((address) => !ofServer.includes(address))));
		} finally {
			writeFileSync(join(rootfs, 'tmp/go'), '');
			await Promise.allSettled(runs);
		}
		await expectNothingLeft();
	});

	it('ends a container that was killed', async () => {
		const running = run('killed', '/bin/sleep 60').catch(() => 'killed');
		await eventually('it is attached', async () => expect(await endpoints()).toHaveLength(2));
		await eventually('it is killed', () => containerd.ctr(['task', 'kill', '--signal', 'SIGKILL', 'killed']));
		expect(await running).toBe('killed');
		await expectNothingLeft();
	});

	it('starts nothing when ADD fails, and tells why', async () => {
		await node().killAgent();
		const attempt = run('refused', 'echo started >/tmp/started');
		await expect(attempt).rejects.toThrow('failed (add): Fairlead agent does not answer at');
		expect(existsSync(join(rootfs, 'tmp/started'))).toBe(false);
		// ctr forgets these itself only after a container has run
		await containerd.ctr(['task', 'delete', '--force', 'refused']);
		await containerd.ctr(['containers', 'delete', 'refused']);
		node().startAgent();
		await node().waitReady();
		await expectNothingLeft();
		expect(clientsOf(await run('again', request))).toHaveLength(2);
		await expectNothingLeft();
	});
});
