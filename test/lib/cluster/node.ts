/**
 * One node of the test cluster and the agent on it. The agent runs as it does in life, only with its own directories: inside
 * the node's network namespace, with its own bpffs directory and the node's cgroup as root of the socket hooks.
 */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { entryOf } from './built.ts';
import { CniRuntime } from './cni.ts';
import { type BackgroundProcess, eventually, FinalError, type RunResult } from './exec.ts';
import { Place } from './place.ts';
import { type NodeAddresses, nodeAddresses, SERVICE_CIDRS } from './topology.ts';

export const ROOT = join(import.meta.dirname, '..', '..', '..');
const NODE = join(ROOT, 'node_modules', '.bin', 'node');

export interface ClusterNodeOptions {
	name: string;
	netns: string;
	/** The node's cgroup; its own programs, its pods and its agent are in children of it. */
	cgroup: string;
	dir: string;
	bpffsDir: string;
	/** Configuration keys of the source of objects. */
	source: Record<string, unknown>;
	index: number;
	subnet: number;
	routing: string;
	/** More configuration keys of the agent. */
	config: Record<string, unknown>;
}

export class ClusterNode extends Place {
	readonly index: number;
	readonly addresses: NodeAddresses;
	readonly root: string;
	readonly cni: CniRuntime;
	readonly runDir: string;
	readonly stateDir: string;
	readonly bpffsDir: string;
	readonly confDir: string;
	readonly binDir: string;
	readonly configFile: string;
	/** Cgroup of the node as a whole: where the socket hooks are attached. */
	readonly nodeCgroup: string;
	#agent: BackgroundProcess | undefined;
	#config: Record<string, unknown>;

	constructor(o: ClusterNodeOptions) {
		super({ name: o.name, netns: o.netns, cgroup: join(o.cgroup, 'system'), dir: join(o.dir, 'logs') });
		this.index = o.index;
		this.addresses = nodeAddresses(o.index, o.subnet);
		this.root = o.dir;
		this.nodeCgroup = o.cgroup;
		this.bpffsDir = o.bpffsDir;
		this.runDir = join(o.dir, 'run');
		this.stateDir = join(o.dir, 'state');
		this.confDir = join(o.dir, 'net.d');
		this.binDir = join(o.dir, 'cni-bin');
		for (const path of [this.runDir, this.stateDir, o.bpffsDir, join(o.cgroup, 'agent')]) {
			mkdirSync(path, { recursive: true, mode: 0o700 });
		}
		this.cni = new CniRuntime({ confDir: this.confDir, binDir: this.binDir, cacheDir: join(o.dir, 'cni-cache') });
		this.configFile = join(o.dir, 'agent.yaml');
		this.#config = {
			nodeName: o.name,
			...o.source,
			routing: o.routing,
			serviceCidrs: SERVICE_CIDRS,
			bpffsDir: o.bpffsDir,
			runDir: this.runDir,
			stateDir: this.stateDir,
			cgroupRoot: o.cgroup,
			cniBinDir: this.binDir,
			cniConfDir: this.confDir,
			...o.config,
		};
		this.configure({});
	}

	/** Changes configuration keys; in force at the next start of the agent. */
	configure(changes: Record<string, unknown>): void {
		this.#config = { ...this.#config, ...changes };
		writeFileSync(this.configFile, stringify(this.#config));
	}

	get agent(): BackgroundProcess | undefined {
		return this.#agent;
	}

	get agentLog(): string {
		return join(this.dir, 'agent.log');
	}

	get socket(): string {
		return join(this.runDir, 'agent.sock');
	}

	/**
	 * Starts the agent; does not wait until it is ready.
	 * @param root     checkout of the version to start
	 * @param through  command that starts it, such as setpriv with its options
	 */
	startAgent(root = ROOT, through: readonly string[] = []): BackgroundProcess {
		if (this.#agent?.running()) throw new Error(`${this.name}: the agent is running already`);
		const log = openSync(this.agentLog, 'a');
		writeSync(log, `--- agent started at ${new Date().toISOString()}\n`);
		closeSync(log);
		const command = [...through, NODE, entryOf(root, 'agent'), '--config', this.configFile];
		const agentPlace = new Place({
			name: 'agent',
			netns: this.netns,
			cgroup: join(this.nodeCgroup, 'agent'),
			dir: this.dir,
		});
		// the agent refuses variables that it does not know
		this.#agent = agentPlace.start('agent', command);
		return this.#agent;
	}

	/** Waits until the node would be reported ready: a network configuration is there and STATUS says that ADD can be served. */
	async waitReady(timeoutMs = 30_000): Promise<void> {
		const agent = this.#agent;
		await eventually(
			`${this.name}: agent ready`,
			async () => {
				if (agent && !agent.running()) {
					throw new FinalError(`the agent ended with code ${await agent.exited}`);
				}
				await this.cni.status();
			},
			{ timeoutMs, intervalMs: 50 },
		).catch((error: unknown) => {
			throw new Error(`${this.name}: agent not ready; end of its log:\n${this.agentLogTail(30)}`, { cause: error });
		});
	}

	/** SIGKILL, no chance to tidy up. */
	async killAgent(): Promise<void> {
		await this.#agent?.stop('SIGKILL');
		this.#agent = undefined;
	}

	async stopAgent(): Promise<number> {
		const code = (await this.#agent?.stop('SIGTERM', 15_000)) ?? 0;
		this.#agent = undefined;
		return code;
	}

	/** Last lines of the agent's log. */
	agentLogTail(lines: number): string {
		if (!existsSync(this.agentLog)) return '(no log)';
		return readFileSync(this.agentLog, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
	}

	/** The command line of `fairlead` for this node, to run from anywhere on the machine. */
	cliCommand(...args: string[]): string[] {
		return [NODE, entryOf(ROOT, 'cli'), '--socket', this.socket, ...args];
	}

	/** Runs `fairlead ARGS…` against this node's agent. */
	cli(...args: string[]): Promise<RunResult> {
		return this.run(this.cliCommand(...args));
	}
}
