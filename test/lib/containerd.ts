/**
 * containerd with directories and a socket of its own, and containers run by `ctr` from an image archive or a directory. It runs in
 * a place of a test cluster, so that all its processes end with the cluster.
 */
import {
	copyFileSync,
	existsSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmdirSync,
	rmSync,
	symlinkSync,
	writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BackgroundProcess, eventually, type RunOptions, type RunResult } from './cluster/exec.ts';
import type { Place } from './cluster/place.ts';

export interface ContainerMount {
	readonly source: string;
	readonly destination: string;
	readonly readOnly?: boolean;
	/** Mounts made later outside are seen inside. */
	readonly follows?: boolean;
	/** Mounts made inside are seen outside. */
	readonly shared?: boolean;
}

export interface ContainerOptions {
	readonly id: string;
	/** Without the image's entry point. */
	readonly command: readonly string[];
	/** Without CAP_; all others are dropped. */
	readonly capabilities: readonly string[];
	readonly mounts: readonly ContainerMount[];
	readonly env: Readonly<Record<string, string>>;
	readonly readOnlyRoot: boolean;
	/** The runtime's own filter of system calls. */
	readonly seccomp: boolean;
	readonly netns: string;
	readonly logFile: string;
}

/** A container that gets its network by CNI. */
export interface CniContainer {
	readonly id: string;
	readonly rootfs: string;
	/** Shell script that it runs. */
	readonly script: string;
	/** Where the network configuration is. */
	readonly confDir: string;
	/** Where the plugins are. */
	readonly binDir: string;
}

/**
 * Directories in which ctr looks for networks; it cannot be told otherwise, so it sees others there. What lies beside them is hidden
 * from it: nothing is made on the machine.
 */
const WITH_CNI = `for top in /etc /opt /var/lib; do mount -t tmpfs none $top; done
	mkdir -p /etc/cni/net.d /opt/cni/bin /var/lib/cni
	mount --bind "$1" /etc/cni/net.d; mount --bind "$2" /opt/cni/bin; shift 2; exec "$@"`;

/** What ctr gives a container when it is told nothing. */
const DEFAULT_CAPABILITIES = [
	...['AUDIT_WRITE', 'CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'MKNOD', 'NET_BIND_SERVICE', 'NET_RAW'],
	...['SETFCAP', 'SETGID', 'SETPCAP', 'SETUID', 'SYS_CHROOT'],
];

export class Containerd {
	readonly #place: Place;
	readonly #dir: string;
	readonly #namespace: string;
	#daemon: BackgroundProcess | undefined;
	#snapshotter = 'overlayfs';

	/** @param namespace  containerd's word for a set of containers; names their cgroups and its directory */
	constructor(o: { place: Place; namespace: string }) {
		this.#place = o.place;
		this.#namespace = o.namespace;
		// not among the cluster's own, which are copied when a test fails
		this.#dir = mkdtempSync(join(tmpdir(), `${o.namespace}-containerd-`));
	}

	#at(path: string): string {
		return join(this.#dir, path);
	}

	async start(): Promise<void> {
		const lines = [
			'version = 2',
			`root = "${this.#at('root')}"`,
			`state = "${this.#at('state')}"`,
			'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
			'[grpc]',
			`  address = "${this.#at('sock')}"`,
		];
		writeFileSync(this.#at('config.toml'), lines.join('\n'));
		const daemon = this.#place.start('containerd', ['containerd', '--config', this.#at('config.toml')]);
		this.#daemon = daemon;
		await eventually(
			'containerd serves',
			async () => {
				if (!daemon.running()) throw new Error(`it ended: see ${daemon.logFile}`);
				await this.ctr(['version']);
			},
			{ timeoutMs: 60_000 },
		);
		const { stdout } = await this.ctr(['plugins', 'list']);
		// a directory that lies on an overlay itself takes none
		if (!/snapshotter\S*\s+overlayfs\s.*\sok\s*$/m.test(stdout)) this.#snapshotter = 'native';
	}

	#command(args: readonly string[]): string[] {
		return ['ctr', '--address', this.#at('sock'), '--namespace', this.#namespace, ...args];
	}

	ctr(args: readonly string[], o: RunOptions = {}): Promise<RunResult> {
		return this.#place.run(this.#command(args), o);
	}

	/** Makes a root file system out of busybox. @returns its path */
	makeRootfs(applets: readonly string[]): string {
		const root = this.#at('rootfs');
		for (const dir of ['bin', 'proc', 'sys', 'dev', 'tmp', 'etc']) mkdirSync(join(root, dir), { recursive: true });
		copyFileSync('/bin/busybox', join(root, 'bin/busybox'));
		for (const applet of applets) symlinkSync('busybox', join(root, 'bin', applet));
		return root;
	}

	/** Runs a container with CNI ADD before it and CNI DEL after it. @returns what it printed */
	async runWithCni({ id, rootfs, script, confDir, binDir }: CniContainer): Promise<string> {
		const args = ['run', '--rm', '--cni', '--rootfs', rootfs, id, '/bin/sh', '-ec', script];
		const enter = ['unshare', '--mount', 'sh', '-ec', WITH_CNI, 'ctr', confDir, binDir];
		return (await this.#place.run([...enter, ...this.#command(args)], { timeoutMs: 120_000 })).stdout;
	}

	/** @param archive  of an OCI layout. @returns names of the images in it: `base:tag` */
	async import(archive: string, base: string): Promise<string[]> {
		const args = ['images', 'import', '--base-name', base, '--snapshotter', this.#snapshotter, archive];
		await this.ctr(args, { timeoutMs: 120_000 });
		const { stdout } = await this.ctr(['images', 'list', '--quiet']);
		return stdout.trim().split('\n');
	}

	/** Starts a container in the node's place; returns the process id of its first process. */
	async run(image: string, o: ContainerOptions): Promise<number> {
		const kept = new Set(o.capabilities);
		const args = [
			...['run', '--detach', '--snapshotter', this.#snapshotter, '--log-uri', `file://${o.logFile}`],
			...['--with-ns', `network:${o.netns}`],
			...DEFAULT_CAPABILITIES.filter((name) => !kept.has(name)).flatMap((name) => ['--cap-drop', `CAP_${name}`]),
			...o.capabilities.flatMap((name) => ['--cap-add', `CAP_${name}`]),
			...o.mounts.flatMap((mount) => ['--mount', mountOption(mount)]),
			...Object.entries(o.env).flatMap(([name, value]) => ['--env', `${name}=${value}`]),
			...(o.readOnlyRoot ? ['--read-only'] : []),
			...(o.seccomp ? ['--seccomp'] : []),
		];
		await this.ctr([...args, image, o.id, ...o.command], { timeoutMs: 120_000 });
		return (await this.#task(o.id)).pid;
	}

	/** Runs a privileged container to its end, as init containers are run; fails unless it ends with 0. */
	async runToEnd(
		image: string,
		o: Pick<ContainerOptions, 'id' | 'command' | 'mounts' | 'readOnlyRoot'>,
	): Promise<string> {
		const args = [
			...['run', '--rm', '--privileged', '--snapshotter', this.#snapshotter],
			...o.mounts.flatMap((mount) => ['--mount', mountOption(mount)]),
			...(o.readOnlyRoot ? ['--read-only'] : []),
		];
		return (await this.ctr([...args, image, o.id, ...o.command], { timeoutMs: 120_000 })).stdout;
	}

	async #task(id: string): Promise<{ pid: number; status: string }> {
		const { stdout } = await this.ctr(['task', 'list']);
		const [, pid, status] = new RegExp(`^${id}\\s+(\\d+)\\s+(\\w+)`, 'm').exec(stdout) ?? [];
		if (pid === undefined || status === undefined) throw new Error(`container ${id} has no task: ${stdout}`);
		return { pid: Number(pid), status };
	}

	/** Runs a command in a running container to its end. */
	exec(id: string, execId: string, command: readonly string[], o: RunOptions = {}): Promise<RunResult> {
		return this.ctr(['task', 'exec', '--exec-id', execId, id, ...command], o);
	}

	/** Ends a container and removes it. @returns exit code of its first process */
	async stop(id: string, signal = 'SIGTERM'): Promise<number> {
		await this.ctr(['task', 'kill', '--signal', signal, id]);
		await eventually(
			`container ${id} ends`,
			async () => {
				const { status } = await this.#task(id);
				if (status !== 'STOPPED') throw new Error(`it is ${status}`);
			},
			{ timeoutMs: 60_000 },
		);
		const { code } = await this.ctr(['task', 'delete', id], { allowFailure: true });
		await this.ctr(['containers', 'delete', id]);
		return code;
	}

	/** Ends all containers and the daemon. */
	async close(): Promise<void> {
		if (this.#daemon?.running()) {
			const { stdout } = await this.ctr(['containers', 'list', '--quiet']);
			for (const id of stdout.split('\n').filter((line) => line !== '')) {
				await this.stop(id, 'SIGKILL').catch(() => this.ctr(['containers', 'delete', id], { allowFailure: true }));
			}
		}
		await this.#daemon?.stop();
		for (const hierarchy of readdirSync('/sys/fs/cgroup'))
			removeEmpty(`/sys/fs/cgroup/${hierarchy}/${this.#namespace}`);
		removeEmpty(`/sys/fs/cgroup/${this.#namespace}`);
		if (readFileSync('/proc/self/mounts', 'utf8').includes(this.#dir)) throw new Error(`${this.#dir} is still mounted`);
		rmSync(this.#dir, { recursive: true });
	}
}

function mountOption({ source, destination, readOnly, follows, shared }: ContainerMount): string {
	const propagation = shared ? 'rshared' : follows ? 'rslave' : 'rprivate';
	const options = ['rbind', readOnly ? 'ro' : 'rw', propagation];
	return `type=bind,src=${source},dst=${destination},options=${options.join(':')}`;
}

function removeEmpty(path: string): void {
	if (!existsSync(path)) return;
	try {
		rmdirSync(path);
	} catch {
		// it is in use; what is left is empty directories
	}
}
