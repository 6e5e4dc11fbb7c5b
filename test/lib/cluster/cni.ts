/**
 * Calls a CNI plugin as a runtime does (libcni): reads the first network configuration of the directory that the agent installed
 * it in, runs each plugin of the chain with the CNI environment and the configuration on stdin, keeps the ADD result for DEL.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './exec.ts';

export interface PortMapping {
	hostPort: number;
	containerPort: number;
	protocol: 'tcp' | 'udp' | 'sctp';
	hostIP?: string;
}

export interface CniResult {
	cniVersion: string;
	interfaces: { name: string; mac?: string; mtu?: number; sandbox?: string }[];
	ips: { address: string; gateway?: string; interface?: number }[];
	routes?: { dst: string; gw?: string }[];
}

export interface CniRequest {
	containerId: string;
	netnsPath: string;
	/** `K8S_POD_NAME` and so on. */
	args?: Record<string, string>;
	portMappings?: readonly PortMapping[];
	timeoutMs?: number;
}

/** An error that the plugin reported, with the code of the CNI specification. */
export class CniError extends Error {
	readonly code: number;
	readonly details: string;
	constructor(command: string, code: number, message: string, details: string) {
		super(`CNI ${command}: code ${code}: ${message}${details ? ` (${details})` : ''}`);
		this.name = 'CniError';
		this.code = code;
		this.details = details;
	}
}

interface NetworkList {
	/** The one in which plugins are called. */
	cniVersion: string;
	cniVersions?: string[];
	name: string;
	plugins: { type: string; capabilities?: Record<string, boolean>; [key: string]: unknown }[];
}

/** Versions that the runtime speaks, oldest first. */
const VERSIONS = ['0.3.1', '0.4.0', '1.0.0', '1.1.0'];
const STATUS_SINCE = '1.1.0';

export class CniRuntime {
	readonly #confDir: string;
	readonly #binDir: string;
	readonly #cacheDir: string;

	constructor(o: { confDir: string; binDir: string; cacheDir: string }) {
		this.#confDir = o.confDir;
		this.#binDir = o.binDir;
		this.#cacheDir = o.cacheDir;
		for (const dir of [o.confDir, o.binDir, o.cacheDir]) mkdirSync(dir, { recursive: true });
	}

	/**
	 * The network configuration in force: the first file of the directory, and of its versions the highest, as runtimes choose them.
	 * Throws when there is none.
	 */
	network(): NetworkList {
		const file = readdirSync(this.#confDir)
			.filter((f) => /\.(conf|conflist|json)$/.test(f))
			.sort()[0];
		if (!file) throw new Error(`${this.#confDir}: no network configuration; the agent is not ready`);
		const list = JSON.parse(readFileSync(join(this.#confDir, file), 'utf8')) as NetworkList;
		const offered = [list.cniVersion, ...(list.cniVersions ?? [])];
		const cniVersion = VERSIONS.findLast((version) => offered.includes(version));
		if (!cniVersion) throw new Error(`${file}: no version of ${offered.join(', ')} is spoken`);
		return { ...list, cniVersion };
	}

	#cacheFile(containerId: string): string {
		return join(this.#cacheDir, `${containerId}-eth0.json`);
	}

	/** Runs one plugin; returns what it printed. */
	async #exec(command: string, type: string, config: unknown, r: Partial<CniRequest>): Promise<string> {
		const args = Object.entries({ IgnoreUnknown: '1', ...r.args }).map(([k, v]) => `${k}=${v}`);
		const result = await run([join(this.#binDir, type)], {
			input: JSON.stringify(config),
			allowFailure: true,
			timeoutMs: r.timeoutMs ?? 35_000,
			env: {
				CNI_COMMAND: command,
				CNI_PATH: this.#binDir,
				...(r.containerId ? { CNI_CONTAINERID: r.containerId, CNI_IFNAME: 'eth0', CNI_ARGS: args.join(';') } : {}),
				...(r.netnsPath !== undefined ? { CNI_NETNS: r.netnsPath } : {}),
			},
		});
		if (result.code === 0) return result.stdout;
		let error: { code?: number; msg?: string; details?: string };
		try {
			error = JSON.parse(result.stdout) as typeof error;
		} catch {
			throw new Error(
				`CNI ${command}: exit code ${result.code} without an error object: ${result.stdout}${result.stderr}`,
			);
		}
		throw new CniError(command, error.code ?? 0, error.msg ?? '', error.details ?? '');
	}

	#config(
		network: NetworkList,
		plugin: NetworkList['plugins'][number],
		r: Partial<CniRequest>,
		prevResult: unknown,
	): unknown {
		const mappings = plugin.capabilities?.portMappings && r.portMappings ? { portMappings: r.portMappings } : undefined;
		return {
			...plugin,
			cniVersion: network.cniVersion,
			name: network.name,
			...(mappings ? { runtimeConfig: mappings } : {}),
			...(prevResult ? { prevResult } : {}),
		};
	}

	async add(r: CniRequest): Promise<CniResult> {
		const network = this.network();
		let result: CniResult | undefined;
		for (const plugin of network.plugins) {
			result = JSON.parse(
				await this.#exec('ADD', plugin.type, this.#config(network, plugin, r, result), r),
			) as CniResult;
		}
		if (!result) throw new Error('the network configuration has no plugins');
		writeFileSync(this.#cacheFile(r.containerId), JSON.stringify(result));
		return result;
	}

	async del(r: CniRequest): Promise<void> {
		const network = this.network();
		const cache = this.#cacheFile(r.containerId);
		const previous: unknown = existsSync(cache) ? JSON.parse(readFileSync(cache, 'utf8')) : undefined;
		for (const plugin of network.plugins.toReversed()) {
			await this.#exec('DEL', plugin.type, this.#config(network, plugin, r, previous), r);
		}
		rmSync(cache, { force: true });
	}

	async check(r: CniRequest): Promise<void> {
		const network = this.network();
		const previous: unknown = JSON.parse(readFileSync(this.#cacheFile(r.containerId), 'utf8'));
		for (const plugin of network.plugins)
			await this.#exec('CHECK', plugin.type, this.#config(network, plugin, r, previous), r);
	}

	/** Resolves when the plugins say that they can serve ADD; else throws CniError 50 or 51. */
	async status(): Promise<void> {
		const network = this.#networkOfStatus();
		for (const plugin of network.plugins) {
			await this.#exec('STATUS', plugin.type, this.#config(network, plugin, {}, undefined), { timeoutMs: 5000 });
		}
	}

	/** Garbage collection: everything is removed that does not belong to one of these containers. */
	async gc(valid: readonly string[]): Promise<void> {
		const network = this.#networkOfStatus();
		const attachments = valid.map((containerID) => ({ containerID, ifname: 'eth0' }));
		for (const plugin of network.plugins) {
			const config = {
				...(this.#config(network, plugin, {}, undefined) as object),
				'cni.dev/valid-attachments': attachments,
			};
			await this.#exec('GC', plugin.type, config, {});
		}
	}

	/** For what came with version 1.1.0. Of an older network no runtime asks it; tests ask our plugin alone then. */
	#networkOfStatus(): NetworkList {
		const network = this.network();
		if (network.cniVersion === STATUS_SINCE) return network;
		const plugins = network.plugins.filter(({ type }) => type === 'fairlead-cni');
		if (plugins.length === 0) throw new Error(`network ${network.name} is of another plugin`);
		return { ...network, cniVersion: STATUS_SINCE, plugins };
	}
}
