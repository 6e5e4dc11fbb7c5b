/**
 * The CNI executable against the agent's side of the socket, called as runtimes call it.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { EndpointManager } from '../../agent/endpoints/endpoint-manager.ts';
import type { Readiness } from '../../cni/dispatch.ts';
import { encodeRequest } from '../../cni/protocol.ts';
import { type CniServer, createCniServer } from '../../cni/server.ts';
import { replaySpool } from '../../cni/spool.ts';
import { peerCredentials } from '../../native/index.ts';
import { eventually, TestNode } from './harness.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const FRONT = join(ROOT, 'dist/cni/fairlead-cni');

let node: TestNode;
let manager: EndpointManager;
let server: CniServer;
let readiness: Readiness;

beforeAll(() => {
	execFileSync(join(ROOT, 'scripts/build-cni.sh'), { timeout: 120_000 });
});

beforeEach(async () => {
	node = new TestNode();
	readiness = { state: 'ready' };
	manager = await node.manager();
	await manager.start();
	server = await startServer();
});

afterEach(async () => {
	await server.close();
	await node.destroy();
});

const startServer = (): Promise<CniServer> =>
	createCniServer({
		socketPath: join(node.dir, 'cni.sock'),
		endpoints: manager,
		readiness: () => readiness,
		peerUid: (fd) => peerCredentials(fd).uid,
		addTimeoutMs: 5000,
		delTimeoutMs: 2000,
	});

interface Run {
	readonly code: number;
	readonly stdout: string;
	readonly stderr: string;
	readonly json: Record<string, unknown>;
}

function runFront(env: Record<string, string>, stdin: string): Promise<Run> {
	const child = spawn(FRONT, { env, stdio: 'pipe' });
	let stdout = '';
	let stderr = '';
	child.stdout.setEncoding('utf8').on('data', (text: string) => {
		stdout += text;
	});
	child.stderr.setEncoding('utf8').on('data', (text: string) => {
		stderr += text;
	});
	child.stdin.on('error', () => undefined);
	child.stdin.end(stdin);
	return new Promise((resolve, reject) => {
		const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
		child.on('error', reject);
		child.on('close', (code, signal) => {
			clearTimeout(timer);
			const json = stdout === '' ? {} : (JSON.parse(stdout) as Record<string, unknown>);
			resolve({ code: code ?? -Number(signal !== null), stdout, stderr, json });
		});
	});
}

const config = (more: object = {}): object => ({
	cniVersion: '1.1.0',
	name: 'fairlead',
	type: 'fairlead-cni',
	socketPath: join(node.dir, 'cni.sock'),
	spoolDir: join(node.dir, 'spool'),
	...more,
});

const call = (verb: string, env: Record<string, string> = {}, more: object = {}): Promise<Run> =>
	runFront({ CNI_COMMAND: verb, CNI_PATH: '/opt/cni/bin', ...env }, JSON.stringify(config(more)));

const container = (netns: string, id = 'c1'): Record<string, string> => ({
	CNI_CONTAINERID: id,
	CNI_NETNS: netns,
	CNI_IFNAME: 'eth0',
	CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_UID=u1',
});

describe('ADD', () => {
	for (const version of ['0.3.1', '0.4.0', '1.0.0', '1.1.0']) {
		it(`answers in version ${version} with exactly the fields of that version`, async () => {
			const netns = node.addPodNetns();
			const result = await call('ADD', container(netns), { cniVersion: version, dns: { nameservers: ['10.96.0.10'] } });
			const endpoint = manager.list()[0];
			if (!endpoint) throw new Error(result.stdout);
			const mtu = version === '1.1.0' ? { mtu: 1450 } : {};
			const ipVersion = (family: string) => (version.startsWith('0.') ? { version: family } : {});
			expect(result.code).toBe(0);
			expect(result.stderr).toBe('');
			expect(result.json).toEqual({
				cniVersion: version,
				interfaces: [
					{ name: endpoint.hostIfname, mac: endpoint.hostMac, ...mtu },
					{ name: 'eth0', mac: endpoint.mac, ...mtu, sandbox: netns },
				],
				ips: [
					{ ...ipVersion('4'), address: '10.77.0.1/32', gateway: '169.254.1.1', interface: 1 },
					{ ...ipVersion('6'), address: 'fd77::1/128', gateway: 'fe80::1', interface: 1 },
				],
				routes: [
					{ dst: '0.0.0.0/0', gw: '169.254.1.1' },
					{ dst: '::/0', gw: 'fe80::1' },
				],
				dns: { nameservers: ['10.96.0.10'] },
			});
			expect(endpoint).toMatchObject({ pod: { namespace: 'default', name: 'web', uid: 'u1' }, network: 'fairlead' });
		});
	}

	it('names every missing input at once', async () => {
		const { code, json } = await call('ADD');
		expect(code).toBe(1);
		expect(json).toMatchObject({ code: 4 });
		expect(json.msg).toContain('CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME');
	});

	it('names every wrong field at once', async () => {
		const portMappings = [
			{ hostPort: 70000, containerPort: 80, protocol: 'tcp' },
			{ hostPort: 80, containerPort: 0, protocol: 'quic', hostIP: 'x' },
		];
		const { json } = await call('ADD', container(node.addPodNetns()), { runtimeConfig: { portMappings }, dns: 5 });
		expect(json.code).toBe(7);
		for (const field of ['[0].hostPort', '[1].containerPort', '[1].protocol', '[1].hostIP', 'dns']) {
			expect(json.msg).toContain(field);
		}
	});

	const refusals: [string, object, number, string][] = [
		['a version that is not spoken', { cniVersion: '0.2.0' }, 1, 'cniVersion 0.2.0'],
		['no version', { cniVersion: undefined }, 1, 'cniVersion is missing'],
		['another IPAM plugin', { ipam: { type: 'host-local' } }, 2, 'ipam'],
		['addresses of the runtime', { runtimeConfig: { ips: ['10.0.0.1'] } }, 2, 'runtimeConfig.ips'],
		['no network name', { name: undefined }, 7, 'name is missing'],
		['a network name with a slash', { name: 'a/b' }, 7, 'name a/b'],
	];
	for (const [title, more, code, text] of refusals) {
		it(`refuses ${title} with code ${code}`, async () => {
			const { json } = await call('ADD', container(node.addPodNetns()), more);
			expect(json).toMatchObject({ code });
			expect(json.msg).toContain(text);
			expect(await node.veths()).toEqual([]);
		});
	}

	it('refuses the namespace of the node itself with code 8', async () => {
		const { json } = await call('ADD', container(`/proc/${process.pid}/ns/net`));
		expect(json).toMatchObject({ cniVersion: '1.1.0', code: 8 });
		const absent = await call('ADD', container('/run/netns/none'));
		expect(absent.json).toMatchObject({ code: 8 });
	});

	it('maps host ports and refuses a port that is taken with code 102', async () => {
		const runtimeConfig = { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'udp', hostIP: '' }] };
		expect((await call('ADD', container(node.addPodNetns()), { runtimeConfig })).code).toBe(0);
		expect(manager.hostPorts()).toMatchObject([{ hostPort: 8080, podPort: 80, protocol: 'UDP', hostAddress: null }]);
		const { json } = await call('ADD', container(node.addPodNetns(), 'c2'), { runtimeConfig });
		expect(json).toMatchObject({ code: 102, details: 'HOST_PORT_TAKEN' });
	});

	it('says since when and why the agent is not ready, with code 11', async () => {
		readiness = { state: 'unavailable', sinceMs: Date.UTC(2026, 0, 1), reason: 'no Node object' };
		const { json } = await call('ADD', container(node.addPodNetns()));
		expect(json).toMatchObject({ code: 11 });
		expect(json.msg).toBe('the Fairlead agent is not ready since 2026-01-01T00:00:00.000Z: no Node object');
	});

	it('returns the interfaces of a plugin before it unchanged when it is chained', async () => {
		const prevResult = {
			cniVersion: '1.1.0',
			interfaces: [{ name: 'x' }],
			ips: [{ address: '192.0.2.7/32', extra: 1 }],
			a: 1,
		};
		const { json } = await call('ADD', container(node.addPodNetns()), { prevResult });
		expect(json).toMatchObject({ code: 7, details: 'CHAIN_UNSUPPORTED' });
		const netns = node.addPodNetns();
		const peer = ['type', 'veth', 'peer', 'name', 'eth0', 'netns', netns.slice('/run/netns/'.length)];
		execFileSync('ip', ['-n', node.name, 'link', 'add', 'cali0', ...peer]);
		const chained = await call('ADD', container(netns), { prevResult });
		expect(chained.json).toEqual(prevResult);
		expect(manager.list()[0]).toMatchObject({ mode: 'chained', hostIfname: 'cali0' });
	});
});

describe('DEL', () => {
	it('succeeds, also repeated, without namespace, and with a configuration that ADD would refuse', async () => {
		await call('ADD', container(node.addPodNetns()));
		const env = { ...container(''), CNI_NETNS: '' };
		for (let i = 0; i < 2; i++) {
			const { code, stdout } = await call('DEL', env, { runtimeConfig: { portMappings: 'x' } });
			expect([code, stdout]).toEqual([0, '']);
		}
		expect(manager.list()).toEqual([]);
	});

	it('is kept on disk while no agent answers and replayed by the next one', async () => {
		await call('ADD', container(node.addPodNetns()));
		await server.close();
		const { code, stdout } = await call('DEL', container(''));
		expect([code, stdout]).toEqual([0, '']);
		const spool = join(node.dir, 'spool');
		expect(readdirSync(spool)).toHaveLength(1);
		expect(statSync(join(spool, readdirSync(spool)[0] ?? '')).mode & 0o777).toBe(0o600);
		manager = await node.manager();
		await manager.start();
		expect(manager.list()).toHaveLength(1);
		const created = (key: { containerId: string; ifname: string }) =>
			manager.list().find((each) => each.containerId === key.containerId)?.createdAtMs;
		expect(await replaySpool(spool, manager, created)).toEqual({ replayed: 1, problems: [] });
		expect(manager.list()).toEqual([]);
		expect(readdirSync(spool)).toEqual([]);
		server = await startServer();
	});

	it('of an earlier container with the same id does not end the new one', async () => {
		await server.close();
		await call('DEL', container(''));
		await new Promise((resolve) => setTimeout(resolve, 5));
		server = await startServer();
		await call('ADD', container(node.addPodNetns()));
		const report = await replaySpool(join(node.dir, 'spool'), manager, () => manager.list()[0]?.createdAtMs);
		expect(report).toEqual({ replayed: 1, problems: [] });
		expect(manager.list()).toHaveLength(1);
	});

	it('is kept on disk when the agent dies while it works', async () => {
		await call('ADD', container(node.addPodNetns()));
		await server.close();
		const { createServer } = await import('node:net');
		const dying = createServer((socket) => socket.destroy());
		await new Promise<void>((resolve) => dying.listen(join(node.dir, 'cni.sock'), resolve));
		expect((await call('DEL', container(''))).code).toBe(0);
		dying.close();
		expect(readdirSync(join(node.dir, 'spool'))).toHaveLength(1);
		server = await startServer();
	});

	it('fails with code 11 when it can be kept nowhere', async () => {
		await server.close();
		writeFileSync(join(node.dir, 'file'), '');
		const { json } = await call('DEL', container(''), { spoolDir: join(node.dir, 'file', 'spool') });
		expect(json).toMatchObject({ code: 11, msg: expect.stringContaining('Not a directory') });
		server = await startServer();
	});

	it('replays around files that are no requests', async () => {
		const spool = join(node.dir, 'spool');
		mkdirSync(spool);
		writeFileSync(join(spool, '00000000001.000000000-1.del'), 'nonsense');
		writeFileSync(join(spool, 'README'), 'not ours');
		const report = await replaySpool(spool, manager, () => undefined);
		expect(report).toMatchObject({ replayed: 0, problems: [expect.stringContaining('environment')] });
		expect(readdirSync(spool).sort()).toEqual(['00000000001.000000000-1.del.bad', 'README']);
	});
});

describe('CHECK, STATUS, GC, VERSION', () => {
	it('CHECK prints nothing for what is as it was, and code 103 with all differences else', async () => {
		const netns = node.addPodNetns();
		const { json: prevResult } = await call('ADD', container(netns));
		expect(await call('CHECK', container(netns), { prevResult })).toMatchObject({ code: 0, stdout: '' });
		execFileSync('nsenter', [`--net=${netns}`, 'ip', 'addr', 'del', '10.77.0.1/32', 'dev', 'eth0']);
		const changed = await call('CHECK', container(netns), { prevResult });
		expect(changed.json).toMatchObject({ code: 103, msg: expect.stringContaining('10.77.0.1 is missing') });
		expect((await call('CHECK', container(netns))).json).toMatchObject({
			code: 7,
			msg: expect.stringContaining('prevResult'),
		});
		expect((await call('CHECK', container(netns), { cniVersion: '0.3.1' })).json).toMatchObject({ code: 1 });
		expect((await call('CHECK', container(netns, 'c9'), { prevResult })).json).toMatchObject({ code: 3 });
	});

	it('STATUS is 0 when ready, 50 while not ready, 51 while degraded', async () => {
		expect(await call('STATUS')).toMatchObject({ code: 0, stdout: '' });
		readiness = { state: 'unavailable', sinceMs: 0, reason: 'starting' };
		expect((await call('STATUS')).json).toMatchObject({ code: 50, msg: expect.stringContaining('starting') });
		readiness = { state: 'degraded', sinceMs: 0, reason: 'map full' };
		expect((await call('STATUS')).json).toMatchObject({ code: 51, msg: expect.stringContaining('map full') });
		expect((await call('STATUS', {}, { cniVersion: '1.0.0' })).json).toMatchObject({ code: 1 });
	});

	it('without an agent, ADD, CHECK and GC say 11 and STATUS says 50', async () => {
		await server.close();
		const env = container(node.addPodNetns());
		for (const [verb, code] of [
			['ADD', 11],
			['CHECK', 11],
			['GC', 11],
			['STATUS', 50],
		] as const) {
			const { json } = await call(verb, env);
			expect(json, verb).toMatchObject({ code, msg: expect.stringContaining('does not answer') });
		}
		server = await startServer();
	});

	it('ADD waits for an agent that is just starting', async () => {
		await server.close();
		const pending = call('ADD', container(node.addPodNetns()));
		await new Promise((resolve) => setTimeout(resolve, 300));
		server = await startServer();
		expect((await pending).code).toBe(0);
	});

	it('GC removes what is not in the list of its network', async () => {
		for (const id of ['keep', 'stale']) await call('ADD', container(node.addPodNetns(), id));
		await call('ADD', container(node.addPodNetns(), 'other'), { name: 'another' });
		const attachments = { 'cni.dev/valid-attachments': [{ containerID: 'keep', ifname: 'eth0' }] };
		expect(await call('GC', {}, attachments)).toMatchObject({ code: 0, stdout: '' });
		expect(manager.list().map((each) => each.containerId)).toEqual(['keep', 'other']);
		expect((await call('GC')).json).toMatchObject({ code: 7, msg: expect.stringContaining('valid-attachments') });
		expect((await call('GC', { CNI_PATH: '' }, attachments)).json).toMatchObject({ code: 4 });
	});

	it('VERSION is answered without an agent, in the version asked', async () => {
		await server.close();
		const supportedVersions = ['0.3.1', '0.4.0', '1.0.0', '1.1.0'];
		expect((await call('VERSION', {}, { cniVersion: '1.0.0' })).json).toEqual({
			cniVersion: '1.0.0',
			supportedVersions,
		});
		expect((await runFront({ CNI_COMMAND: 'VERSION' }, '')).json).toEqual({ cniVersion: '1.1.0', supportedVersions });
		server = await startServer();
	});
});

describe('the socket', () => {
	const raw = (bytes: Buffer): Promise<Buffer> =>
		new Promise((resolve, reject) => {
			const socket = connect(join(node.dir, 'cni.sock'));
			const chunks: Buffer[] = [];
			socket.on('data', (chunk: Buffer) => chunks.push(chunk));
			socket.on('error', reject);
			socket.on('close', () => resolve(Buffer.concat(chunks)));
			socket.write(bytes);
			if (bytes.length < 8) socket.end();
		});

	it('is for root only, by its mode and by the credentials of the peer', async () => {
		expect(statSync(join(node.dir, 'cni.sock')).mode & 0o777).toBe(0o600);
		await server.close();
		server = await createCniServer({
			socketPath: join(node.dir, 'cni.sock'),
			endpoints: manager,
			readiness: () => readiness,
			peerUid: () => 1000,
		});
		expect((await call('STATUS')).json).toMatchObject({ code: 5, msg: expect.stringContaining('user 1000') });
	});

	it('answers malformed requests with an error and lives on', async () => {
		const length = Buffer.alloc(4);
		length.writeUInt32BE(0xffff_ffff);
		expect((await raw(length)).toString()).toContain('"code":6');
		expect((await raw(Buffer.from([0, 0, 0, 3, 65, 66, 67]))).toString()).toContain('"code":6');
		expect((await raw(Buffer.from([0, 0]))).toString()).toContain('ended early');
		const wrong = encodeRequest({ env: new Map([['CNI_COMMAND', 'NOPE']]), stdin: '{}' });
		expect((await raw(wrong)).toString()).toContain('"code":4');
		expect((await call('STATUS')).code).toBe(0);
	});

	it('is taken over by a new agent without a gap and not removed by the old one', async () => {
		const old = server;
		server = await startServer();
		await old.close();
		expect(existsSync(join(node.dir, 'cni.sock'))).toBe(true);
		expect((await call('STATUS')).code).toBe(0);
	});

	it('ends an attachment whose caller was killed', async () => {
		const other = await node.manager({
			identify: (_pod, signal) =>
				new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
		});
		await server.close();
		manager = other;
		server = await startServer();
		const child = spawn(FRONT, { env: { CNI_COMMAND: 'ADD', ...container(node.addPodNetns()) }, stdio: 'pipe' });
		child.stdin.end(JSON.stringify(config()));
		await eventually(async () => expect(await node.veths()).toHaveLength(1));
		child.kill('SIGKILL');
		await eventually(async () => expect(await node.veths()).toHaveLength(0));
		expect(other.list()).toEqual([]);
	});
});
