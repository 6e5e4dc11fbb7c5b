/**
 * containerd as a client: its own libcni calls our executable for containers that really run. No registry: the root file
 * system is busybox in a directory. The daemon has its own directories and socket and is ended by its pid.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
	copyFileSync,
	existsSync,
	globSync,
	mkdirSync,
	openSync,
	readdirSync,
	readFileSync,
	rmdirSync,
	symlinkSync,
	writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EndpointManager } from '../../agent/endpoints/endpoint-manager.ts';
import { installCni } from '../../cni/install.ts';
import { type CniServer, createCniServer } from '../../cni/server.ts';
import { peerCredentials } from '../../native/index.ts';
import { eventually, TestNode } from './harness.ts';

const ROOT = join(import.meta.dirname, '..', '..');
/** Where ctr looks; it cannot be told otherwise, so it runs with other directories mounted here. */
const FIXED = { '/etc/cni/net.d': 'net.d', '/opt/cni/bin': 'bin', '/var/lib/cni': 'cache' } as const;
const APPLETS = ['sh', 'ip', 'sleep', 'cat'];

let node: TestNode;
let manager: EndpointManager;
let server: CniServer;
let daemon: ChildProcess;
const madeDirectories: string[] = [];
const verbs: string[] = [];

beforeAll(async () => {
	execFileSync(join(ROOT, 'scripts/build-cni.sh'), { timeout: 120_000 });
	node = new TestNode();
	manager = await node.manager();
	await manager.start();
	server = await createCniServer({
		socketPath: at('run/cni.sock'),
		endpoints: manager,
		readiness: () => ({ state: 'ready' }),
		peerUid: (fd) => peerCredentials(fd).uid,
		onServed: ({ request, error }) => verbs.push(`${request?.verb ?? '?'} ${error?.message ?? 'ok'}`),
	});
	makeRootfs();
	for (const path of Object.keys(FIXED)) makeOnHost(path);
	mkdirSync(at('cache'));
	await installCni({
		executable: join(ROOT, 'dist/cni/fairlead-cni'),
		binDir: at('bin'),
		confDir: at('net.d'),
		confName: '05-fairlead.conflist',
		cniVersion: '1.0.0',
		networkName: 'fairlead',
		socketPath: at('run/cni.sock'),
		spoolDir: at('spool'),
		addTimeoutMs: 30_000,
		delTimeoutMs: 10_000,
	});
	daemon = startContainerd();
	await eventually(() => expect(existsSync(at('containerd.sock')), log()).toBe(true), 20_000);
	await eventually(async () => void (await ctr('version')), 20_000);
});

afterAll(async () => {
	try {
		await endContainers();
	} finally {
		daemon?.kill('SIGTERM');
		await new Promise((resolve) => setTimeout(resolve, 500));
		daemon?.kill('SIGKILL');
		for (const path of madeDirectories.reverse()) removeEmpty(path);
		for (const path of globSync(`/sys/fs/cgroup/{*/,}${node.name}`)) removeEmpty(path);
		await server?.close();
		await node?.destroy();
	}
});

function at(path: string): string {
	return join(node.dir, path);
}

function log(): string {
	return existsSync(at('containerd.log')) ? readFileSync(at('containerd.log'), 'utf8').slice(-2000) : '';
}

function makeRootfs(): void {
	for (const dir of ['bin', 'proc', 'sys', 'dev', 'tmp', 'etc']) mkdirSync(at(`rootfs/${dir}`), { recursive: true });
	copyFileSync('/bin/busybox', at('rootfs/bin/busybox'));
	for (const applet of APPLETS) symlinkSync('busybox', at(`rootfs/bin/${applet}`));
}

/** Mount points that the host does not have are made for the test and removed after it. */
function makeOnHost(path: string): void {
	if (existsSync(path)) return;
	makeOnHost(dirname(path));
	mkdirSync(path);
	madeDirectories.push(path);
}

function removeEmpty(path: string): void {
	try {
		rmdirSync(path);
	} catch {
		// others use it too
	}
}

function startContainerd(): ChildProcess {
	writeFileSync(
		at('containerd.toml'),
		[
			'version = 2',
			`root = "${at('containerd-root')}"`,
			`state = "${at('containerd-state')}"`,
			'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
			'[grpc]',
			`  address = "${at('containerd.sock')}"`,
		].join('\n'),
	);
	const output = openSync(at('containerd.log'), 'w');
	return spawn('containerd', ['--config', at('containerd.toml')], { stdio: ['ignore', output, output] });
}

/** ctr in the node's network namespace, with the test's CNI directories in place of the host's. */
function ctr(...args: string[]): Promise<string> {
	const binds = Object.entries(FIXED).map(([path, dir]) => `mount --bind ${at(dir)} ${path}`);
	const script = `${binds.join(' && ')} && exec ctr --address ${at('containerd.sock')} --namespace ${node.name} "$@"`;
	const child = spawn('nsenter', [`--net=${node.netns}`, 'unshare', '--mount', 'sh', '-c', script, 'ctr', ...args]);
	let output = '';
	for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
	return new Promise((resolve, reject) => {
		const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
		child.on('close', (code) => {
			clearTimeout(timer);
			if (code === 0) resolve(output);
			else reject(new Error(`ctr ${args.join(' ')}: exit code ${code}: ${output}\n${verbs.join('\n')}`));
		});
	});
}

const run = (id: string, command: string): Promise<string> =>
	ctr('run', '--rm', '--cni', '--rootfs', at('rootfs'), id, '/bin/sh', '-c', command);

async function endContainers(): Promise<void> {
	const ids = (await ctr('containers', 'list', '--quiet')).split('\n').filter((id) => id !== '');
	for (const id of ids) {
		await ctr('task', 'kill', '--signal', 'SIGKILL', id).catch(() => undefined);
		await eventually(async () => void (await ctr('task', 'delete', id)), 3000).catch(() => undefined);
		await ctr('containers', 'delete', id).catch(() => undefined);
	}
}

async function expectNothingLeft(): Promise<void> {
	expect(manager.list()).toEqual([]);
	expect(node.mapRows()).toEqual({ endpoints: 0, ipcache: 0, ifaces: 0 });
	expect(readdirSync(node.ledgerDir).filter((name) => !name.endsWith('.released'))).toEqual([]);
	expect(existsSync(at('spool')) ? readdirSync(at('spool')) : []).toEqual([]);
	await eventually(async () => expect(await node.veths()).toEqual([]));
	await eventually(() => expect(node.attached.size).toBe(0));
	expect(node.warnings).toEqual([]);
}

describe('containerd', () => {
	it('runs a container with the interface, addresses and routes that we gave it, and takes them back at its end', async () => {
		// Packets pass as soon as ADD has answered; that the link runs is told by a worker of the kernel, which waits for its turn.
		const runs = 'case "$(/bin/ip link show dev eth0)" in *NO-CARRIER*) false;; esac';
		const awaitLink = `i=0; until ${runs} || [ $i = 50 ]; do /bin/sleep 0.2; i=$((i + 1)); done`;
		const output = await run('one', `${awaitLink}; /bin/ip addr show dev eth0; /bin/ip route; /bin/ip -6 route`);
		expect(output).toContain('inet 10.77.0.1/32');
		expect(output).toContain('inet6 fd77::1/128');
		expect(output).not.toContain('NO-CARRIER');
		expect(output).toContain('default via 169.254.1.1 dev eth0');
		expect(output).toContain('default via fe80::1 dev eth0');
		expect(verbs).toEqual(['ADD ok', 'DEL ok']);
		await expectNothingLeft();
	});

	it('runs 30 at once, each with addresses of its own, and nothing is left of them', async () => {
		verbs.length = 0;
		const ids = Array.from({ length: 30 }, (_, i) => `many${i}`);
		const wait = 'while [ ! -e /tmp/go ]; do /bin/sleep 0.2; done';
		const runs = ids.map((id) => run(id, `/bin/ip -4 -o addr show dev eth0; ${wait}`));
		await eventually(() => expect(manager.list().length).toBe(30), 60_000);
		expect(await node.veths()).toHaveLength(30);
		writeFileSync(at('rootfs/tmp/go'), '');
		const outputs = await Promise.all(runs);
		const addresses = outputs.map((output) => /inet (\S+)\/32/.exec(output)?.[1]);
		expect(new Set(addresses).size).toBe(30);
		expect(addresses).not.toContain(undefined);
		expect(verbs.filter((verb) => verb === 'ADD ok')).toHaveLength(30);
		expect(verbs.filter((verb) => verb === 'DEL ok')).toHaveLength(30);
		await expectNothingLeft();
	});

	it('ends a container that was killed', async () => {
		const running = run('killed', '/bin/sleep 60').catch(() => 'killed');
		await eventually(() => expect(manager.list()).toHaveLength(1), 20_000);
		await eventually(async () => void (await ctr('task', 'kill', '--signal', 'SIGKILL', 'killed')), 10_000);
		await running;
		await expectNothingLeft();
	});

	it('starts nothing when we refuse, and tells why', async () => {
		const busy = Array.from({ length: 2 }, (_, i) => ({ containerId: `x${i}`, ifname: 'eth0' }));
		manager.setPodCidrs(['10.88.0.0/31']);
		try {
			for (const key of busy) {
				await manager.attach({ ...key, network: 'fairlead', netns: node.addPodNetns(), pod: null, hostPorts: [] });
			}
			await expect(run('refused', '/bin/sleep 1')).rejects.toThrow('10.88.0.0/31: 2 of 2 addresses used');
			expect(manager.list()).toHaveLength(2);
		} finally {
			for (const key of busy) await manager.detach(key);
			manager.setPodCidrs(['10.77.0.0/24', 'fd77::/64']);
		}
		await endContainers();
		await expectNothingLeft();
	});
});
