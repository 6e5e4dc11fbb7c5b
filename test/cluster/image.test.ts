/**
 * The image as a cluster uses it: built as a release is, imported into containerd, run with what the DaemonSet gives its pod.
 * Node 1 has its agent from the image, node 2 from this checkout.
 */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cleanupDaemonSet } from '../../cli/install/uninstall.ts';
import { daemonSet } from '../../manifests/source/daemon-set.ts';
import { baseInstallation } from '../../manifests/source/generate.ts';
import { useCluster } from '../lib/cluster/use.ts';
import { type Cluster, eventually, run, startTraffic } from '../lib/cluster.ts';
import { Containerd } from '../lib/containerd.ts';
import { agentContainerOf } from '../lib/daemonset-pod.ts';
import { awaitBackends, ECHO_SERVICE, type EchoPods, populate, VIP } from '../lib/echo-cluster.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const DIRECTORY = join(ROOT, 'build/image');
const ROOTFS = join(DIRECTORY, 'rootfs');
const BIN = '/opt/fairlead/bin';

const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };

type Json = Record<string, unknown>;

/** @returns path of the archive */
async function buildImage(): Promise<string> {
	// what was downloaded for an earlier image of the same packages is good enough here
	const env = { ...process.env, IMAGE_DOWNLOADS: join(DIRECTORY, 'downloads') };
	const { stdout } = await promisify(execFile)(join(ROOT, 'scripts/build-image.sh'), [DIRECTORY], { env });
	return resolve(stdout.trim());
}

const find = async (...args: string[]): Promise<string[]> =>
	(await run(['find', ROOTFS, ...args, '-printf', '/%P\\n'])).stdout.split('\n').filter((line) => line !== '');

describe('the image', () => {
	let archive = '';
	let containerd: Containerd;
	let pods: EchoPods;
	let pid = 0;

	// what was not built yet, or has changed, is built first
	beforeAll(async () => {
		archive = await buildImage();
	}, 300_000);
	const cluster = useCluster({ source: 'kubernetes', withoutAgents: true }, async (made) => {
		const [first, second] = [made.node(1), made.node(2)];
		containerd = new Containerd({ place: first, namespace: made.name });
		await containerd.start();
		expect(await containerd.import(archive, 'fairlead')).toEqual([`fairlead:${version}`]);
		second.startAgent();
		pid = await startAgent(made, 'agent-1');
		await Promise.all([first.waitReady(), second.waitReady()]);
		pods = await populate(made);
	});
	afterAll(() => containerd?.close());

	async function startAgent(made: Cluster, id: string): Promise<number> {
		const node = made.node(1);
		const { image, options, before } = agentContainerOf(made, node, { version, directory: join(node.root, 'volumes') });
		// everything is mounted here already
		for (const [n, each] of before.entries()) {
			expect(await containerd.runToEnd(image, { id: `${id}-${n}`, ...each })).toBe('');
		}
		return containerd.run(image, { id, ...options });
	}

	const proc = (path: string): string => readFileSync(`/proc/${pid}/${path}`, 'utf8');

	it('holds what runs and nothing that could build, install or be a shell', async () => {
		const executable = await find('-type', 'f', '-perm', '/111', '-not', '-name', '*.so*', '-not', '-name', '*.js');
		expect(executable.sort()).toEqual([
			`${BIN}/fairlead-mount`,
			'/opt/fairlead/dist/cni/fairlead-cni',
			'/opt/fairlead/native/build/Release/fairlead.node',
			'/opt/fairlead/node',
		]);
	});

	it('has files of root only, which nobody else can write, and none that gives rights', async () => {
		const wrong = '( -not -uid 0 -o -not -gid 0 -o -perm /6000 -o -perm /022 )'.split(' ');
		expect(await find('-not', '-type', 'l', ...wrong)).toEqual(['/tmp']);
	});

	it('can mount what a node lacks, leaves alone what is there, and hides nothing', async () => {
		const mount = `${ROOTFS}${BIN}/fairlead-mount`;
		const script = `cd "$(mktemp -d)"; trap 'umount bpf cgroup; rm -r "$PWD"' EXIT; mkdir bpf cgroup full full/x
			for turn in first second; do echo $turn; ${mount} "bpf=$PWD/bpf" "cgroup2=$PWD/cgroup"; done
			stat -f -c %T bpf cgroup; stat -c %a bpf
			${mount} "bpf=$PWD/full" && exit 1; ${mount} "cgroup2=$PWD/bpf" "tmpfs=$PWD/x" && exit 1; exit 0`;
		const { stdout, stderr } = await run(['unshare', '--mount', '--propagation', 'private', 'sh', '-ec', script]);
		const lines = (text: string): string[] =>
			text
				.replaceAll(/\/tmp\/[^/]+/g, '')
				.trim()
				.split('\n');
		expect(lines(stdout)).toEqual([
			...['first', 'mounted bpf at /bpf', 'mounted cgroup2 at /cgroup', 'second', 'bpf_fs', 'cgroup2fs', '1700'],
		]);
		expect(lines(stderr)).toEqual([
			'fairlead-mount: cannot mount on /full: it is not empty and of another type',
			'fairlead-mount: cannot mount on /bpf: it is not empty and of another type',
		]);
	});

	it('is built in a container with packages that a checkout needs as well', () => {
		const packages = (name: string): string[] =>
			readFileSync(join(ROOT, 'scripts', name), 'utf8')
				.trim()
				.split('\n');
		expect(packages('packages.txt')).toEqual(expect.arrayContaining(packages('packages-build.txt')));
	});

	it('says what it is', () => {
		const read = (path: string) => JSON.parse(readFileSync(join(DIRECTORY, 'oci', path), 'utf8')) as Json;
		const blob = (descriptor: Json | undefined) => read(`blobs/${String(descriptor?.digest).replace(':', '/')}`);
		const manifest = blob((read('index.json').manifests as Json[])[0]);
		const { config, os } = blob(manifest.config as Json);
		const labels = (config as Json).Labels as Json;
		expect(os).toBe('linux');
		expect(config).toMatchObject({ Entrypoint: [`${BIN}/fairlead-agent`], User: '0:0', Env: [`PATH=${BIN}`] });
		expect(labels).toMatchObject({
			'org.opencontainers.image.title': 'fairlead',
			'org.opencontainers.image.version': version,
		});
		for (const value of Object.values(labels)) expect(value).toMatch(/^[^${}"]+$/);
		expect(manifest.annotations).toEqual(labels);
	});

	it('runs without privileges, on a root that cannot be written, as the process that it has set up for itself', () => {
		expect(proc('mountinfo')).toMatch(/^\S+ \S+ \S+ \/\S* \/ ro/m);
		expect(proc('status')).toMatch(/^NoNewPrivs:\s1$/m);
		expect(proc('status')).toMatch(/^Seccomp:\s2$/m);
		expect(readlinkSync(`/proc/${pid}/exe`)).toBe('/opt/fairlead/node');
		expect(proc('cmdline').split('\0')).toEqual(
			expect.arrayContaining(['--expose-gc', '/opt/fairlead/dist/agent/run.js']),
		);
	});

	it('attaches pods by the CNI plugin that it has installed, and serves services in both families', async () => {
		const { root } = cluster().node(1);
		const installed = readFileSync(join(root, 'cni-bin/fairlead-cni'));
		expect(installed.equals(readFileSync(join(ROOTFS, 'opt/fairlead/dist/cni/fairlead-cni')))).toBe(true);
		for (const family of cluster().families) await awaitBackends(pods.a1, VIP[family], 80, ['a2', 'b1']);
	});

	it('answers its command line tool', async () => {
		const { socket } = cluster().node(1);
		const command = [`${BIN}/fairlead`, '--socket', socket, 'status', '-o', 'json'];
		const { stdout } = await containerd.exec('agent-1', 'status', command);
		expect(JSON.parse(stdout)).toMatchObject({ sourceErrors: [] });
	});

	it('is replaced by a new container without an error of any connection', async () => {
		const intervalMs = 20;
		const traffic = {
			stream: startTraffic(pods.a1, 'stream', { mode: 'stream', host: VIP.IPv4, port: 80, intervalMs }),
			'IPv6 stream': startTraffic(pods.b2, 'stream6', { mode: 'stream', host: VIP.IPv6, port: 80, intervalMs }),
			'new connections': startTraffic(pods.a1, 'new', { mode: 'tcp', host: VIP.IPv4, port: 80, intervalMs }),
		};
		await Promise.all(Object.values(traffic).map((one) => one.flowing()));
		expect(await containerd.stop('agent-1')).toBe(0);
		await startAgent(cluster(), 'agent-2');
		await cluster().node(1).waitReady();
		for (const [name, one] of Object.entries(traffic)) {
			const report = await one.stop();
			expect(report.errors, name).toEqual({});
			expect(report.ok, name).toBeGreaterThan(50);
		}
		cluster().publish(ECHO_SERVICE, [pods.a2]);
		await awaitBackends(pods.a1, VIP.IPv4, 80, ['a2']);
		await cluster().deletePod(pods.a1);
	});

	it("cleans the node in the container that `fairlead uninstall` makes of the agent's", async () => {
		const node = cluster().node(1);
		expect(await containerd.stop('agent-2')).toBe(0);
		const { command = [], args = [] } =
			cleanupDaemonSet(daemonSet(baseInstallation()), false).spec?.template.spec?.initContainers?.[0] ?? {};
		const { image, options } = agentContainerOf(cluster(), node, { version, directory: join(node.root, 'volumes') });
		await containerd.run(image, {
			...options,
			id: 'cleanup',
			command: [...command, ...args, '--stay'],
			logFile: join(node.root, 'cleanup.log'),
		});
		const notes = [
			'the node will be NotReady',
			'these pods lose their network until they are started anew: default/a2',
		];
		const said = await eventually('the container is done', () => {
			const text = readFileSync(join(node.root, 'cleanup.log'), 'utf8');
			for (const note of notes) if (!text.includes(note)) throw new Error(text);
			return text;
		});
		expect(said).not.toContain('cannot');
		expect(await containerd.stop('cleanup')).toBe(0);
		const { stdout } = await node.run(['ip', '-br', 'link']);
		expect(stdout).not.toMatch(/^fl/m);
		for (const path of [node.bpffsDir, join(node.confDir, '05-fairlead.conflist'), join(node.stateDir, 'attachments')])
			expect(existsSync(path), path).toBe(false);
	});
});
