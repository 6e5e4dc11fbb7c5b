/**
 * A node for tests of attachments: a real network namespace, real interfaces and files, maps in memory, and a counter
 * through which any call that touches the machine can be made to fail.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EndpointDeps } from '../../agent/endpoints/endpoint-deps.ts';
import { EndpointManager } from '../../agent/endpoints/endpoint-manager.ts';
import { FileLedger, type Ledger } from '../../agent/endpoints/ledger.ts';
import { Netlink } from '../../agent/kernel/netlink.ts';
import { GSO_BYTES } from '../../agent/model/node-facts.ts';
import { Endpoint, Limits } from '../../native/abi/generated.ts';
import { type NetlinkTurn, netlinkRequest } from '../../native/index.ts';
import { FakeKernel } from '../lib/fake-kernel.ts';

const COMMAND_TIMEOUT_MS = 10_000;
let counter = 0;

export function sh(command: string, ...args: string[]): string {
	return execFileSync(command, args, {
		encoding: 'utf8',
		timeout: COMMAND_TIMEOUT_MS,
		stdio: ['ignore', 'pipe', 'pipe'],
	});
}

/** Counts calls and fails the one asked for: before it does anything, or after it has done all. */
export class Faults {
	calls = 0;
	names: string[] = [];
	failAt = 0;
	when: 'before' | 'after' = 'before';

	async around<T>(name: string, run: () => T | Promise<T>): Promise<T> {
		const fails = this.#next(name);
		if (fails && this.when === 'before') throw new Error(`fault before ${name}`);
		const value = await run();
		if (fails) throw new Error(`fault after ${name}`);
		return value;
	}

	aroundSync<T>(name: string, run: () => T): T {
		const fails = this.#next(name);
		if (fails && this.when === 'before') throw new Error(`fault before ${name}`);
		const value = run();
		if (fails) throw new Error(`fault after ${name}`);
		return value;
	}

	#next(name: string): boolean {
		this.calls++;
		this.names.push(name);
		return this.calls === this.failAt;
	}

	arm(failAt: number, when: 'before' | 'after'): void {
		Object.assign(this, { calls: 0, names: [], failAt, when });
	}
}

class FaultyKernel extends FakeKernel {
	readonly #faults: Faults;
	constructor(faults: Faults) {
		super({ capacity: { endpoints: Limits.ENDPOINTS, ifaces: Limits.ENDPOINTS } });
		this.#faults = faults;
	}
	override mapSet(...args: Parameters<FakeKernel['mapSet']>): void {
		this.#faults.aroundSync(`set ${args[0]}`, () => super.mapSet(...args));
	}
}

export class TestNode {
	readonly name: string;
	readonly netns: string;
	readonly dir: string;
	readonly faults = new Faults();
	readonly kernel = new FaultyKernel(this.faults);
	readonly netlink: Netlink;
	/** Host side interfaces with programs. */
	readonly attached = new Set<string>();
	readonly warnings: string[] = [];
	readonly #pods: string[] = [];
	readonly #managers: EndpointManager[] = [];
	clockMs = 0;

	constructor() {
		this.name = `flcni${randomBytes(5).toString('hex')}`;
		this.netns = `/run/netns/${this.name}`;
		this.dir = mkdtempSync(join(tmpdir(), `${this.name}-`));
		sh('ip', 'netns', 'add', this.name);
		sh('ip', '-n', this.name, 'link', 'set', 'lo', 'up');
		// A node has an uplink, so no host side has the number of its pod side; where they are equal, the kernel reports
		// the link as up only a second later.
		sh('ip', '-n', this.name, 'link', 'add', 'uplink', 'type', 'vxlan', 'id', '1', 'dstport', '4790');
		this.netlink = new Netlink({ request: netlinkRequest, netns: this.netns });
	}

	/** A new, empty namespace for a pod. @returns its path */
	addPodNetns(): string {
		const name = `${this.name}p${counter++}`;
		sh('ip', 'netns', 'add', name);
		this.#pods.push(name);
		return `/run/netns/${name}`;
	}

	removePodNetns(path: string): void {
		const name = path.slice('/run/netns/'.length);
		sh('ip', 'netns', 'del', name);
		this.#pods.splice(this.#pods.indexOf(name), 1);
	}

	get ledgerDir(): string {
		return join(this.dir, 'attachments');
	}

	#faultyNetlink(): Netlink {
		const side = (netns: string | undefined) => (netns === this.netns ? 'node' : 'pod');
		const sides = (job: NetlinkTurn): string => `${side(job.netns)}${job.next ? `, ${sides(job.next)}` : ''}`;
		const request: typeof netlinkRequest = (job) =>
			this.faults.around(`netlink ${sides(job)}`, () => netlinkRequest(job));
		return new Netlink({ request, netns: this.netns });
	}

	#faultyLedger(inner: Ledger): Ledger {
		return {
			load: () => inner.load(),
			write: (a) => this.faults.around('ledger write', () => inner.write(a)),
			release: (a, now) => this.faults.around('ledger release', () => inner.release(a, now)),
			remove: (key) => inner.remove(key),
			forget: (record) => inner.forget(record),
			close: () => inner.close(),
		};
	}

	/** What the agent would be after a start; call as often as it starts. */
	async manager(more: Partial<EndpointDeps> = {}): Promise<EndpointManager> {
		const manager = new EndpointManager({
			netlink: this.#faultyNetlink(),
			kernel: this.kernel,
			programs: {
				attach: (_ifindex, name) => this.faults.around('attach programs', () => void this.attached.add(name)),
				missing: (_ifindex, name) => (this.attached.has(name) ? [] : ['to_pod', 'from_pod']),
				detach: (name) => void this.attached.delete(name),
			},
			ledger: this.#faultyLedger(await FileLedger.open(this.ledgerDir)),
			writeSysctl: (path, value) =>
				this.faults.aroundSync('sysctl', () => {
					sh('nsenter', `--net=${this.netns}`, 'sysctl', '-qw', `${path.replaceAll('/', '.')}=${value}`);
				}),
			podCidrs: ['10.77.0.0/24', 'fd77::/64'],
			mtu: () => 1450,
			gsoIpv4MaxSize: () => GSO_BYTES.usual,
			bootId: 'boot-1',
			coolDownMs: 30_000,
			reapDelayMs: 20,
			forgetDelayMs: 0,
			log: {
				info: () => undefined,
				warn: (fields, message) => this.warnings.push(`${message} ${JSON.stringify(fields)}`),
			},
			now: () => this.clockMs || Date.now(),
			...more,
		});
		this.#managers.push(manager);
		return manager;
	}

	/** Names of veths in the node's namespace. */
	async veths(): Promise<string[]> {
		return (await this.netlink.links('veth')).map((link) => link.name);
	}

	/** Rows of the endpoint table that are in use, and entries of ipcache and ifaces. */
	mapRows(): { endpoints: number; ipcache: number; ifaces: number } {
		const used = [...this.kernel.mapEntries('endpoints')].filter(([, v]) => Endpoint.decode(v).ifindex !== 0);
		return {
			endpoints: used.length,
			ipcache: [...this.kernel.mapEntries('ipcache')].length,
			ifaces: [...this.kernel.mapEntries('ifaces')].length,
		};
	}

	async destroy(): Promise<void> {
		for (const manager of this.#managers) await manager.close();
		for (const name of [...this.#pods, this.name]) {
			try {
				sh('ip', 'netns', 'del', name);
			} catch {
				// gone already
			}
		}
		rmSync(this.dir, { recursive: true, force: true });
	}
}

/** Repeats until `check` does not throw. */
export async function eventually(check: () => Promise<void> | void, withinMs = 5000): Promise<void> {
	const deadline = Date.now() + withinMs;
	for (;;) {
		try {
			return await check();
		} catch (error) {
			if (Date.now() > deadline) throw error;
			await new Promise((resolve) => setTimeout(resolve, 20));
		}
	}
}
