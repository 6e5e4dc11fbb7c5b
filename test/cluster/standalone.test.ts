/**
 * Two standalone load balancers with the files of examples/standalone, and three machines without Fairlead behind them, one of them
 * beyond a router:
 *
 * The first balancer has XDP in the driver, the second one leaves all to tc and has the addresses of the web site itself.
 *
 *   client ── router ── 172.30.1.0/24 ── balancers …11, …12; servers …13, …14
 *                 └──── 172.30.2.0/24 ── server …15
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { compileBpf } from '../../scripts/build-bpf.ts';
import { ClusterNode, ROOT } from '../lib/cluster/node.ts';
import { Place } from '../lib/cluster/place.ts';
import { createScope, leftovers, removeScope, type Scope, sweep, uniqueName } from '../lib/cluster/scope.ts';
import { CLIENT, createNetwork, createNode, nodeAddresses } from '../lib/cluster/topology.ts';
import { ask, curl, eventually, run, setSysctls, startTraffic, urlOf } from '../lib/cluster.ts';

const EXAMPLE = join(ROOT, 'examples/standalone');
const OBJECTS = ['web.yaml', 'echo.yaml', 'admin.yaml', 'direct.yaml'];
const WEB = ['198.51.100.10', '2001:db8:100::10'] as const;
const ECHO = ['198.51.100.11', '2001:db8:100::11'] as const;
const ADMIN = ['198.51.100.12', '2001:db8:100::12'] as const;
const DIRECT = ['198.51.100.13', '2001:db8:100::13'] as const;
const VIPS = [...WEB, ...ECHO, ...ADMIN, ...DIRECT];
const [WEB_PORT, ECHO_PORT, NODE_PORT] = [8080, 7000, 30080];
const SERVERS = [
	{ name: 'near-1', index: 3, subnet: 0 },
	{ name: 'near-2', index: 4, subnet: 0 },
	{ name: 'far', index: 5, subnet: 1 },
] as const;
const NAMES = SERVERS.map(({ name }) => name).sort();
/** A start loads all programs, on machines with other work too. */
const START_MS = 60_000;
const NODE = join(ROOT, 'node_modules/.bin/node');

/** A machine that knows nothing of Fairlead: nginx and an echo server for TCP and UDP, both of which say who they are. */
class Server extends Place {
	async serve(): Promise<void> {
		const conf = join(this.dir, 'nginx.conf');
		const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
			(each) => `${each}_temp_path ${this.dir}/t;`,
		);
		writeFileSync(
			conf,
			`worker_processes 1; pid ${this.dir}/nginx.pid; daemon off; events { worker_connections 64; }
			http { access_log off; ${paths.join(' ')}
				server { listen ${WEB_PORT}; listen [::]:${WEB_PORT} ipv6only=on; default_type text/plain;
					location / { return 200 "${this.name} $remote_addr\\n"; } } }`,
		);
		this.start('nginx', ['nginx', '-p', this.dir, '-c', conf, '-e', join(this.dir, 'nginx.error.log')]);
		const echo = join(ROOT, 'test/lib/programs/echo-server.ts');
		this.start('echo', [NODE, echo, this.name, String(ECHO_PORT)]);
		for (const port of [WEB_PORT, ECHO_PORT]) {
			await eventually(`${this.name} listens on port ${port}`, async () => {
				const { stdout } = await this.run(['ss', '-Hltn', `sport = :${port}`]);
				if (!stdout.includes(`:${port} `)) throw new Error('not yet');
			});
		}
	}
}

/** What docs/standalone.md says that a server needs to answer clients itself; its kernel may lack a device that opens IP in IP. */
async function answerDirectly(server: Server, programDir: string): Promise<void> {
	for (const vip of DIRECT)
		await server.run(['ip', 'addr', 'replace', `${vip}/${vip.includes(':') ? 128 : 32}`, 'dev', 'lo']);
	await setSysctls(server.netns, { 'net/ipv4/conf/all/arp_ignore': 1, 'net/ipv4/conf/all/arp_announce': 2 });
	const program = join(programDir, 'ipip-open.bpf.o');
	await compileBpf({ source: join(ROOT, 'test/lib/programs/ipip-open.bpf.c'), output: program });
	await server.run(['ip', '-force', 'link', 'set', 'eth0', 'xdp', 'obj', program, 'sec', 'xdp']);
}

/** Frames that the uplink has sent by XDP. */
async function sentByXdp(balancer: ClusterNode): Promise<number> {
	const { stdout } = await balancer.run(['ethtool', '-S', 'eth0']);
	return [...stdout.matchAll(/rx_queue_\d+_xdp_tx: (\d+)/g)].reduce((sum, [, n]) => sum + Number(n), 0);
}

class Setting {
	readonly scope: Scope;
	readonly client: Place;
	readonly objectsDir: string;
	readonly servers: Server[] = [];
	readonly balancers: ClusterNode[] = [];

	constructor(scope: Scope) {
		this.scope = scope;
		const { name, dir, cgroup } = scope;
		this.objectsDir = join(dir, 'objects');
		this.client = new Place({
			name: 'client',
			netns: `${name}-client`,
			cgroup: join(cgroup, 'client'),
			dir: join(dir, 'client'),
		});
	}

	/** Everything but the agents. */
	async build(): Promise<void> {
		const { name, dir, cgroup } = this.scope;
		await createNetwork(name, dir, [0, 1]);
		mkdirSync(this.objectsDir);
		const config = parse(readFileSync(join(EXAMPLE, 'agent.yaml'), 'utf8')) as Record<string, unknown>;
		const forPods = { serviceCidrs: undefined, routing: undefined, cniBinDir: undefined, cniConfDir: undefined };
		for (const index of [1, 2]) {
			this.balancers.push(
				new ClusterNode({
					name: `balancer${index}`,
					netns: await createNode(name, dir, index, 0),
					cgroup: join(cgroup, `balancer${index}`),
					dir: join(dir, `balancer${index}`),
					bpffsDir: `/sys/fs/bpf/${name}-balancer${index}`,
					source: {},
					index,
					subnet: 0,
					routing: '',
					config: { ...forPods, ...config, filesDir: this.objectsDir },
				}),
			);
		}
		for (const server of SERVERS) {
			const netns = await createNode(name, dir, server.index, server.subnet);
			const place = { name: server.name, netns, cgroup: join(cgroup, server.name), dir: join(dir, server.name) };
			this.servers.push(new Server(place));
		}
		await Promise.all(this.servers.map((server) => server.serve()));
	}

	/** The router's port takes frames that XDP sent: a veth loses them without a program of its own. */
	async takeXdp(balancer: ClusterNode): Promise<void> {
		const program = join(this.scope.dir, 'xdp-pass.bpf.o');
		await compileBpf({ source: join(ROOT, 'test/lib/programs/xdp-pass.bpf.c'), output: program });
		const port = ['link', 'set', `node${balancer.index}`, 'xdp', 'obj', program, 'sec', 'xdp'];
		await run(['ip', '-n', `${this.scope.name}-router`, ...port]);
	}

	/** What the network does for balancers, by BGP or by hand: the addresses of the services lead to one of them. */
	async routeTo(balancer: ClusterNode): Promise<void> {
		const { v4, v6 } = balancer.addresses;
		for (const vip of VIPS) {
			const way = vip.includes(':') ? [`${vip}/128`, 'via', v6] : [`${vip}/32`, 'via', v4];
			await run(['ip', '-n', `${this.scope.name}-router`, 'route', 'replace', ...way]);
		}
	}

	/** Puts an example among the objects. @param without  addresses that are left out @param draining  that get no new connections */
	publish(file: string, without: readonly string[] = [], draining: readonly string[] = []): void {
		const lines = readFileSync(join(EXAMPLE, 'objects', file), 'utf8').split('\n');
		const hasOneOf = (line: string, addresses: readonly string[]): boolean =>
			addresses.some((address) => line.includes(`[${address}]`) || line.includes(`["${address}"]`));
		const kept = lines
			.filter((line) => !hasOneOf(line, without))
			.map((line) =>
				hasOneOf(line, draining) ? line.replace('ready: true', 'ready: false, serving: true, terminating: true') : line,
			);
		writeFileSync(join(this.objectsDir, `.${file}`), kept.join('\n'));
		renameSync(join(this.objectsDir, `.${file}`), join(this.objectsDir, file));
	}

	async readiness(balancer: ClusterNode): Promise<string> {
		return curl(balancer, 'http://127.0.0.1:10256/readyz');
	}

	/** The agent serves. */
	async ready(balancer: ClusterNode): Promise<void> {
		await eventually(
			`${balancer.name} is ready`,
			async () => void (await curl(balancer, 'http://127.0.0.1:10256/readyz', '--fail')),
			{ timeoutMs: START_MS },
		);
	}
}

describe('standalone load balancers', () => {
	let scope: Scope | undefined;
	let setting: Setting;
	const balancers = () => setting.balancers;

	beforeAll(async () => {
		await sweep();
		scope = createScope(uniqueName(), false);
		setting = new Setting(scope);
		await setting.build();
		await setting.takeXdp(balancers()[0]!);
		balancers()[0]!.configure({ xdp: 'native' });
		for (const vip of WEB) await balancers()[1]!.run(['ip', 'addr', 'add', vip, 'dev', 'lo']);
		for (const balancer of balancers()) balancer.startAgent();
	}, 300_000);

	afterEach((context) => {
		if (context.task.result?.state !== 'fail') return;
		for (const balancer of balancers()) console.error(`--- ${balancer.name}\n${balancer.agentLogTail(40)}`);
	});

	afterAll(async () => {
		if (scope === undefined) return;
		await removeScope(scope.name);
		expect(leftovers(scope.name)).toEqual([]);
	});

	it('are not ready, and say why, as long as they have nothing to serve', async () => {
		for (const balancer of balancers()) {
			const lacks = 'no service can be served: there is no Service in';
			const says = async () => expect(await setting.readiness(balancer)).toContain(lacks);
			await eventually(`${balancer.name} says what it lacks`, says, { timeoutMs: START_MS });
		}
		for (const file of OBJECTS) setting.publish(file);
		for (const balancer of balancers()) await setting.ready(balancer);
	});

	it('serve no CNI and install none, and make no overlay', async () => {
		for (const balancer of balancers()) {
			expect(readdirSync(balancer.runDir)).not.toContain('cni.sock');
			expect(readdirSync(balancer.confDir)).toEqual([]);
			expect((await balancer.run(['ip', '-br', 'link'])).stdout).not.toContain('fl_vxlan');
		}
	});

	it('spread TCP and UDP of both families over machines on the link and behind a router', async () => {
		for (const balancer of balancers()) {
			await setting.routeTo(balancer);
			const { v4, v6 } = balancer.addresses;
			const places = [
				...WEB.map((host) => ({ mode: 'http', host, port: 80 }) as const),
				...[v4, v6].map((host) => ({ mode: 'http', host, port: NODE_PORT }) as const),
				...ECHO.map((host) => ({ mode: 'tcp', host, port: 7 }) as const),
				...ECHO.map((host) => ({ mode: 'udp', host, port: 7 }) as const),
			];
			const reports = await Promise.all(
				places.map((place) => ask(setting.client, { ...place, count: 40, parallel: 4 })),
			);
			for (const [i, { mode, host, port }] of places.entries()) {
				const { errors, servers, seenAs } = reports[i]!;
				const way = `${mode} ${host} port ${port} by ${balancer.name}`;
				expect({ way, errors, servers: Object.keys(servers).sort() }).toEqual({ way, errors: {}, servers: NAMES });
				if (mode !== 'http') expect(seenAs).toEqual([host.includes(':') ? v6 : v4]);
			}
		}
	});

	it('keep clients with their server, and others out, as the Service says', async () => {
		for (const host of ADMIN) {
			const { errors, servers } = await ask(setting.client, { mode: 'tcp', host, port: 9000, count: 12 });
			expect({ errors, servers: Object.values(servers) }).toEqual({ errors: {}, servers: [12] });
			const refused = await ask(setting.servers[2]!, { mode: 'tcp', host, port: 9000, timeoutMs: 500 });
			expect(refused.errors).toEqual({ TIMEOUT: 1 });
		}
	});

	it('choose the same server for the same client by Maglev, whichever of them it comes to', async () => {
		await setSysctls(setting.client.netns, { 'net/ipv4/tcp_max_tw_buckets': 0 }); // ports are free again at once
		const ports = Array.from({ length: 8 }, (_, n) => 20_000 + n);
		const choices = new Map<string, string[]>();
		for (const balancer of balancers()) {
			await setting.routeTo(balancer);
			for (const vip of WEB) {
				for (const port of ports) {
					const from = ['--local-port', String(port)];
					const [server = '', seenAs = ''] = (await curl(setting.client, urlOf(vip), ...from)).trim().split(' ');
					expect([balancer.addresses.v4, balancer.addresses.v6]).toContain(seenAs);
					choices.set(`${vip} ${port}`, [...(choices.get(`${vip} ${port}`) ?? []), server]);
				}
			}
		}
		for (const [way, [first, second]] of choices) expect({ way, second }).toEqual({ way, second: first });
		expect(new Set([...choices.values()].flat()).size).toBeGreaterThan(1);
	});

	it('send by XDP what follows the first packet of a connection', async () => {
		const [fast] = balancers();
		expect((await fast!.cli('status')).stdout).toMatch(/XDP:\s+native/);
		await setting.routeTo(fast!);
		for (const host of ECHO) {
			const before = await sentByXdp(fast!);
			const stream = startTraffic(setting.client, 'xdp', { mode: 'stream', host, port: 7, intervalMs: 5 });
			await stream.flowing();
			await eventually('XDP sends most of a stream', async () => {
				if ((await sentByXdp(fast!)) < before + 50) throw new Error('it does not');
			});
			expect((await stream.stop()).errors).toEqual({});
		}
	});

	it('take a server out of use without a failed connection or a broken one', async () => {
		const [sticky] = ADMIN;
		const { servers: known } = await ask(setting.client, { mode: 'tcp', host: sticky, port: 9000, count: 1 });
		const gone = SERVERS.find(({ name }) => name in known)!;
		const drained = startTraffic(setting.client, 'drained', {
			mode: 'stream',
			host: sticky,
			port: 9000,
			intervalMs: 5,
		});
		const traffic = (['tcp', 'stream', 'udp'] as const).flatMap((mode) =>
			ECHO.map((host, n) => startTraffic(setting.client, `${mode}-${n}`, { mode, host, port: 7, intervalMs: 5 })),
		);
		await Promise.all([drained, ...traffic].map((one) => one.flowing()));
		const { v4, v6 } = nodeAddresses(gone.index, gone.subnet);
		for (const file of OBJECTS) setting.publish(file, [v4, v6]);
		for (const host of ECHO) {
			await eventually(`nobody comes to ${gone.name} by ${host}`, async () => {
				const { errors, servers } = await ask(setting.client, { mode: 'tcp', host, port: 7, count: 40, parallel: 4 });
				expect({ errors, servers: Object.keys(servers).sort() }).toEqual({
					errors: {},
					servers: NAMES.filter((name) => name !== gone.name),
				});
			});
		}
		const moved = await ask(setting.client, { mode: 'tcp', host: sticky, port: 9000, count: 3 });
		expect({ errors: moved.errors, stays: gone.name in moved.servers }).toEqual({ errors: {}, stays: false });
		for (const one of traffic) expect((await one.stop()).errors).toEqual({});
		const { errors, servers } = await drained.stop();
		expect({ errors, servers: Object.keys(servers) }).toEqual({ errors: {}, servers: [gone.name] });
		for (const file of OBJECTS) setting.publish(file);
	});

	it('go on without their agents, and with the next ones', async () => {
		const vips = [...ECHO.map((host) => [host, 7] as const)];
		const traffic = (['tcp', 'stream', 'udp-stream'] as const).flatMap((mode) =>
			vips.map(([host, port], n) =>
				startTraffic(setting.client, `kill-${mode}-${n}`, { mode, host, port, intervalMs: 5 }),
			),
		);
		await Promise.all(traffic.map((one) => one.flowing()));
		await Promise.all(balancers().map((balancer) => balancer.killAgent()));
		for (const host of WEB)
			expect((await ask(setting.client, { mode: 'http', host, port: 80, count: 20 })).errors).toEqual({});
		for (const balancer of balancers()) balancer.startAgent();
		for (const balancer of balancers()) await setting.ready(balancer);
		for (const host of WEB)
			expect((await ask(setting.client, { mode: 'http', host, port: 80, count: 20 })).errors).toEqual({});
		for (const one of traffic) expect((await one.stop()).errors).toEqual({});
	});

	it.each([
		{ dsr: 'l2', names: NAMES.filter((name) => name !== 'far') },
		{ dsr: 'ipip', names: NAMES },
	])('leave the answers to the servers with dsr: $dsr', async ({ dsr, names }) => {
		const balancer = balancers()[1]!;
		const far = nodeAddresses(5, 1);
		for (const server of setting.servers) await answerDirectly(server, setting.scope.dir);
		setting.publish('direct.yaml', dsr === 'l2' ? [far.v4, far.v6] : []);
		await balancer.killAgent();
		balancer.configure({ northSouth: 'dsr', dsr });
		balancer.startAgent();
		await setting.ready(balancer);
		await setting.routeTo(balancer);
		for (const [n, host] of DIRECT.entries()) {
			const want = { mode: 'tcp', host, port: ECHO_PORT, count: 40, parallel: 4 } as const;
			await eventually(`${host} is served by ${names.join(' and ')}`, async () => {
				const { errors, servers, seenAs } = await ask(setting.client, want);
				const client = [CLIENT.v4, CLIENT.v6][n];
				expect({ errors, servers: Object.keys(servers).sort(), seenAs }).toEqual({
					errors: {},
					servers: names,
					seenAs: [client],
				});
			});
		}
		// ports that must be translated need the balancer in both directions
		for (const host of WEB) {
			const { errors, servers } = await ask(setting.client, { mode: 'http', host, port: 80, count: 40, parallel: 4 });
			expect({ errors, servers: Object.keys(servers).sort() }).toEqual({ errors: {}, servers: NAMES });
		}
		const streams = [...DIRECT, ...DIRECT, ...DIRECT].map((host, n) =>
			startTraffic(setting.client, `${dsr}-${n}`, {
				mode: 'stream',
				host,
				port: ECHO_PORT,
				intervalMs: 5,
				timeoutMs: 15_000,
			}),
		);
		await Promise.all(streams.map((one) => one.flowing()));
		const left = nodeAddresses(4, 0);
		setting.publish('direct.yaml', dsr === 'l2' ? [far.v4, far.v6] : [], [left.v4, left.v6]);
		for (const host of DIRECT) {
			await eventually(`no new connection comes to the server that drains, by ${host}`, async () => {
				const { errors, servers } = await ask(setting.client, { mode: 'tcp', host, port: ECHO_PORT, count: 20 });
				expect({ errors, servers: Object.keys(servers).sort() }).toEqual({
					errors: {},
					servers: names.filter((name) => name !== 'near-2'),
				});
			});
		}
		for (const one of streams) expect((await one.stop()).errors).toEqual({});
	});
});
