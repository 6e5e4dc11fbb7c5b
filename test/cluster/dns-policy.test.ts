/** Egress rules with domainNames, from policies to packets: real name servers, real lookups, connections right after the answer. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { nodeAddresses } from '../lib/cluster/topology.ts';
import { useCluster } from '../lib/cluster/use.ts';
import { CLIENT, type Cluster, eventually, type Pod, run } from '../lib/cluster.ts';
import { startHostEcho } from '../lib/echo-cluster.ts';
import type { NameRequest, NameResult } from '../lib/programs/name-client.ts';

const NODE = join(import.meta.dirname, '..', '..', 'node_modules', '.bin', 'node');
const PROGRAMS = join(import.meta.dirname, '..', 'lib', 'programs');
const FAMILIES = ['IPv4', 'IPv6'] as const;
const DNS = { IPv4: '10.96.0.53', IPv6: 'fd00:96::53' };
const ECHO = 7100;
/** A name server that is a process of node 1, as a cache on each node is. */
const NODE_SERVER = nodeAddresses(1, 0).v4;
/** For what must not get through: long enough that a lost packet would have been sent again. */
const DENIED_MS = 1500;

const POLICY = {
	tier: 'Admin',
	priority: 10,
	subject: { pods: { namespaceSelector: {}, podSelector: { matchLabels: { app: 'client' } } } },
	egress: [
		{ action: 'Accept', to: [{ pods: { namespaceSelector: {}, podSelector: { matchLabels: { app: 'dns' } } } }] },
		{
			action: 'Accept',
			to: [{ networks: [`${CLIENT.v4}/32`, `${NODE_SERVER}/32`] }],
			protocols: [{ udp: { destinationPort: { number: 53 } } }, { tcp: { destinationPort: { number: 53 } } }],
		},
		{ action: 'Accept', to: [{ domainNames: ['*.first.test', '*.tc.test', '*.big.test', '*.alias.test'] }] },
		{ action: 'Accept', to: [{ domainNames: ['n9.exact.test', '*.split.test', '*.wrong.test', '*.short.test'] }] },
		{ action: 'Deny', to: [{ networks: ['0.0.0.0/0', '::/0'] }] },
	],
};

interface Pods {
	readonly client: Pod;
	readonly servers: readonly Pod[];
}

/** Addresses of all names are the outside client's, who answers at each. */
async function routeNames({ name, client }: Cluster): Promise<void> {
	const inside = ['ip', '-n', `${name}-router`];
	await run([...inside, 'route', 'add', '198.18.0.0/16', 'via', CLIENT.v4]);
	await run([...inside, 'route', 'add', '2001:db8:18::/64', 'via', CLIENT.v6]);
	await client.run(['ip', 'route', 'add', 'local', '198.18.0.0/16', 'dev', 'lo']);
	await client.run(['ip', 'route', 'add', 'local', '2001:db8:18::/64', 'dev', 'lo']);
}

async function populate(cluster: Cluster): Promise<Pods> {
	await routeNames(cluster);
	const [client, ...servers] = await Promise.all([
		cluster.createPod({ node: cluster.node(1), name: 'client' }),
		cluster.createPod({ node: cluster.node(1), name: 'dns-near', labels: { app: 'dns' } }),
		cluster.createPod({ node: cluster.node(2), name: 'dns-direct', labels: { app: 'dns' } }),
		cluster.createPod({ node: cluster.node(3), name: 'dns-tunnel', labels: { app: 'dns' } }),
	]);
	const ports = [
		{ name: 'dns', port: 53, targetPort: 53, protocol: 'UDP' as const },
		{ name: 'dns-tcp', port: 53, targetPort: 53, protocol: 'TCP' as const },
	];
	cluster.publish({ name: 'kube-dns', namespace: 'kube-system', clusterIPs: [DNS.IPv4, DNS.IPv6], ports }, servers);
	for (const place of [...servers, cluster.client, cluster.node(1)])
		place.start('dns', [NODE, join(PROGRAMS, 'name-server.ts')]);
	await startHostEcho(cluster.client, ECHO);
	cluster.objects.apply({
		apiVersion: 'policy.networking.k8s.io/v1alpha2',
		kind: 'ClusterNetworkPolicy',
		metadata: { name: 'names' },
		spec: POLICY,
	});
	await eventually('names are served and let out', async () => {
		for (const server of Object.values(DNS)) {
			const results = await look(client, {
				server,
				names: ['n1.first.test', 'n2.first.test', 'n3.first.test'],
				timeoutMs: 1000,
			});
			if (!results.every(({ connected }) => connected)) throw new Error(JSON.stringify(results));
		}
		const [denied] = await look(client, { server: '', names: ['198.18.250.250'], timeoutMs: DENIED_MS });
		if (denied?.connected) throw new Error('nothing is denied');
	});
	return { client, servers };
}

async function look(place: Pod, request: Omit<NameRequest, 'port'> & { port?: number }): Promise<NameResult[]> {
	const { stdout } = await place.run(
		[NODE, join(PROGRAMS, 'name-client.ts'), JSON.stringify({ port: ECHO, ...request })],
		{
			timeoutMs: 120_000,
		},
	);
	return JSON.parse(stdout) as NameResult[];
}

const names = (domain: string, first: number, count: number): string[] =>
	Array.from({ length: count }, (_, i) => `n${first + i}.${domain}.test`);
const failures = (results: readonly NameResult[]) => results.filter(({ connected }) => !connected).slice(0, 3);

describe('egress to names', () => {
	let pods: Pods;
	const cluster = useCluster(
		{
			// name servers on the own node, by direct routes, and through the tunnel
			...{ nodes: 3, subnets: [0, 0, 1], routing: 'auto' },
			config: { dnsGraceSeconds: 0, dnsResolvers: ['kube-system/kube-dns', NODE_SERVER] },
		},
		async (made) => {
			pods = await populate(made);
		},
	);

	async function policyDrops(): Promise<number> {
		const { stdout } = await cluster().node(1).cli('drops', '-o', 'json');
		const { drops } = JSON.parse(stdout) as { drops: { reason: string; packets: number }[] };
		return drops.find(({ reason }) => reason === 'policy')?.packets ?? 0;
	}

	it('the first packet after the answer gets through, 1,000 times of 1,000', async () => {
		const before = await policyDrops();
		for (const [i, type] of (['A', 'AAAA'] as const).entries()) {
			const server = Object.values(DNS)[i] ?? '';
			const results = await look(pods.client, { server, type, names: names('first', 100 + i * 1000, 500) });
			expect(results.length).toBe(500);
			expect(failures(results)).toEqual([]);
		}
		expect(await policyDrops()).toBe(before);
	});

	it('names that no rule has stay closed, and so do addresses that nobody has asked for', async () => {
		const request = { server: DNS.IPv4, timeoutMs: DENIED_MS };
		const results = await look(pods.client, {
			...request,
			names: ['n5000.other.test', 'first.test', 'n5001.first.test.evil.test'],
		});
		expect(results.map(({ connected, error }) => [connected, error])).toEqual(results.map(() => [false, 'timeout']));
		expect(results.every(({ addresses }) => addresses.length === 1)).toBe(true);
		const known = await look(pods.client, { server: '', names: ['198.18.19.140'], timeoutMs: DENIED_MS });
		expect(known[0]?.connected).toBe(false);
	});

	it('only answers of the configured servers to what was asked count', async () => {
		const ask = (name: string, server = DNS.IPv4) => look(pods.client, { server, names: [name], port: 0 });
		await ask('n6.lie.test'); // answers with 198.18.3.230 for n9.exact.test
		await ask('n7.stuffed.test'); // has 198.18.3.231 for n9.exact.test
		await ask('n30.wrong.test'); // before the answer one with another id, and 198.18.4.6
		const elsewhere = await ask('n8.first.test', CLIENT.v4);
		expect(elsewhere[0]?.addresses).toEqual(['198.18.0.8']);
		const addresses = ['198.18.3.230', '198.18.3.231', '198.18.4.6', '198.18.0.8'];
		const results = await look(pods.client, { server: '', names: addresses, timeoutMs: DENIED_MS });
		expect(results.map(({ connected }) => connected)).toEqual([false, false, false, false]);
		const right = await look(pods.client, { server: '', names: ['198.18.0.30'] });
		expect(failures(right)).toEqual([]);
	});

	it('follows aliases, and takes names in any case', async () => {
		const results = await look(pods.client, { server: DNS.IPv4, names: ['n40.alias.test', 'N41.FIRST.tEsT'] });
		expect(failures(results)).toEqual([]);
	});

	it('learns over TCP: several messages in one segment, and one in several', async () => {
		for (const domain of ['first', 'split']) {
			const results = await look(pods.client, { server: DNS.IPv4, by: 'tcp', names: names(domain, 3000, 20) });
			expect(results.length).toBe(20);
			expect(failures(results)).toEqual([]);
		}
	});

	it('learns from a server that is a process of the node', async () => {
		for (const by of ['udp', 'tcp'] as const) {
			const results = await look(pods.client, {
				server: NODE_SERVER,
				by,
				names: names('first', by === 'udp' ? 3100 : 3200, 10),
			});
			expect(results.length).toBe(10);
			expect(failures(results)).toEqual([]);
		}
	});

	it('learns over both families from each server, on the own node, by direct routes and through the tunnel', async () => {
		for (const [i, pod] of pods.servers.entries()) {
			for (const [j, family] of FAMILIES.entries()) {
				const server = pod.address(family);
				const results = await look(pods.client, { server, names: names('first', 5000 + (2 * i + j) * 10, 5) });
				expect(results.length).toBe(5);
				expect(failures(results), `${pod.name} over ${family}`).toEqual([]);
			}
		}
	});

	it('learns from answers in fragments, over both families', async () => {
		for (const [i, pod] of pods.servers.entries()) {
			for (const [j, family] of FAMILIES.entries()) {
				// addresses that no other lookup has opened
				const name = `n${6000 + (2 * i + j) * 200}.big.test`;
				const [result] = await look(pods.client, { server: pod.address(family), names: [name] });
				expect(result, `${pod.name} over ${family}`).toMatchObject({ connected: true });
				expect(result?.addresses.length).toBe(150);
			}
		}
	});

	it('delivers what is no message as it is', async () => {
		const [result] = await look(pods.client, { server: DNS.IPv4, names: ['n50.garbage.test'], port: 0 });
		expect(result?.answer.slice(4)).toBe('8180000100010000ff00');
		const [none] = await look(pods.client, { server: DNS.IPv4, names: ['n51.none.test'], port: 0 });
		expect(none?.addresses).toEqual([]);
	});

	/** A shell command in the pod with a resolv.conf of its own. */
	function resolving(command: string, options = ''): Promise<{ stdout: string }> {
		const conf = join(pods.client.dir, 'resolv.conf');
		const text = `nameserver ${DNS.IPv4}\\noptions timeout:2 attempts:3 ${options}\\n`;
		const script = `printf '${text}' >${conf}; exec unshare -m sh -ec 'mount --bind ${conf} /etc/resolv.conf; ${command}'`;
		return pods.client.shell(script, { timeoutMs: 60_000 });
	}

	it('serves the C library and curl, also when answers are truncated', async () => {
		// what the server echoes is no HTTP, and it leaves the connection open
		const page = (name: string) => `curl -s --http0.9 --max-time 3 http://${name}:${ECHO}/ || test $? = 28`;
		expect((await resolving('getent ahostsv4 n60.first.test')).stdout).toContain('198.18.0.60');
		for (const [name, options] of [
			['n61.first.test', ''],
			['n62.tc.test', ''],
			['n63.first.test', 'use-vc'],
			['n64.tc.test', 'edns0'],
		] as const) {
			expect((await resolving(page(name), options)).stdout, name).toContain('GET / HTTP');
		}
	});

	it('lookups go on without the agent, and what was learnt survives it', async () => {
		const node = cluster().node(1);
		expect(failures(await look(pods.client, { server: DNS.IPv4, names: ['n69.first.test'] }))).toEqual([]);
		await node.killAgent();
		try {
			await eventually('answers come without the agent', async () => {
				const [result] = await look(pods.client, {
					server: DNS.IPv4,
					names: ['n70.first.test'],
					port: 0,
					timeoutMs: 2000,
				});
				expect(result?.addresses).toEqual(['198.18.0.70']);
			});
			const [old, fresh] = await look(pods.client, {
				server: '',
				names: ['198.18.0.69', '198.18.0.70'],
				timeoutMs: DENIED_MS,
			});
			expect([old?.connected, fresh?.connected]).toEqual([true, false]);
		} finally {
			node.startAgent();
			await node.waitReady();
		}
		await eventually('names are learnt again', async () => {
			const results = await look(pods.client, { server: DNS.IPv4, names: ['n71.first.test'], timeoutMs: 2000 });
			expect(failures(results)).toEqual([]);
		});
		const [before] = await look(pods.client, { server: '', names: ['198.18.0.69'] });
		expect(before?.connected).toBe(true);
	});

	it('goes on when its devices were taken away or down', async () => {
		for (const change of [
			['del', 'fl_dns'],
			['set', 'fl_dns_peer', 'down'],
		]) {
			await cluster()
				.node(1)
				.run(['ip', 'link', ...change]);
			await eventually(
				`names are learnt after ip link ${change.join(' ')}`,
				async () => {
					const name = `n${200 + Math.floor(Math.random() * 1000)}.alias.test`;
					const results = await look(pods.client, { server: DNS.IPv4, names: [name], timeoutMs: 1000 });
					expect(failures(results)).toEqual([]);
				},
				{ timeoutMs: 60_000 },
			);
		}
	});

	it('addresses go when their records have run out, but not under a connection', async () => {
		const results = await look(pods.client, { server: DNS.IPv4, names: ['n80.short.test', 'n81.short.test'] });
		expect(failures(results)).toEqual([]);
		const request: NameRequest = { server: '', names: ['198.18.0.81'], port: ECHO, stay: true };
		const staying = pods.client.start('stay', [
			'sh',
			'-c',
			`sleep 600 | ${NODE} ${PROGRAMS}/name-client.ts '${JSON.stringify(request)}'`,
		]);
		try {
			await eventually(
				'the address without a connection is closed',
				async () => {
					const [result] = await look(pods.client, { server: '', names: ['198.18.0.80'], timeoutMs: DENIED_MS });
					expect(result?.connected).toBe(false);
				},
				{ timeoutMs: 90_000, intervalMs: 2000 },
			);
			const [used] = await look(pods.client, { server: '', names: ['198.18.0.81'] });
			expect(used?.connected).toBe(true);
		} finally {
			await staying.stop('SIGKILL');
		}
	});
});
