/**
 * Pods of this node: the endpoint manager, the CNI server in front of it, and the upkeep both need.
 */
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Readiness } from '../../cni/dispatch.ts';
import { FileComparison, firstBefore, hasLoopback, type InstallOptions, installCni } from '../../cni/install.ts';
import { type CniServer, createCniServer } from '../../cni/server.ts';
import { replaySpool } from '../../cni/spool.ts';
import { netlinkRequest, netnsCookieAsync, peerCredentials } from '../../native/index.ts';
import type { Config } from '../config/schema.ts';
import type { Attachment, AttachmentKey } from '../endpoints/attachment.ts';
import type { AdoptReport, AttachRequest, EndpointDeps } from '../endpoints/endpoint-deps.ts';
import { EndpointManager, type LiveEndpoint } from '../endpoints/endpoint-manager.ts';
import type { EndpointIdentity } from '../endpoints/endpoint-rows.ts';
import { FileLedger } from '../endpoints/ledger.ts';
import { repairPodRoutes } from '../endpoints/pod-routes.ts';
import type { NodeAddress } from '../endpoints/pod-wiring.ts';
import { forgetAddresses } from '../kernel/ct-forget.ts';
import type { RuleTallies } from '../kernel/ct-gc.ts';
import type { EndpointAttachment } from '../kernel/datapath.ts';
import type { JiffiesClock } from '../kernel/jiffies.ts';
import { Netlink } from '../kernel/netlink.ts';
import { countClosed } from '../kernel/open-connections.ts';
import { writeSysctl } from '../kernel/sysctl.ts';
import { addressBytes, familyOf } from '../model/address.ts';
import { errorMessage } from '../model/errors.ts';
import type { HostPort } from '../model/host-port.ts';
import { flowTables } from './collector.ts';
import type { Dataplane } from './dataplane.ts';
import { bootId } from './machine.ts';

export interface PodsOptions {
	readonly config: Config;
	readonly dataplane: Dataplane;
	readonly clock: JiffiesClock;
	/** The compiled CNI executable. */
	readonly cniExecutable: string;
	readonly log: Logger;
	/** Who a pod is for policy; see EndpointDeps. */
	readonly identify?: EndpointDeps['identify'];
	/** After each CNI request. @param result  'success' or the error code as text */
	readonly onCni: (command: string, result: string, tookMs: number) => void;
	/** Flows of a pod that is gone have been ended. */
	readonly onFlowsEnded: (byRule: RuleTallies) => void;
}

export class Pods {
	readonly #options: PodsOptions;
	readonly #manager: EndpointManager;
	#server: CniServer | undefined;
	readonly #executables = new FileComparison();
	#former: readonly string[] = [];

	private constructor(options: PodsOptions, manager: EndpointManager) {
		this.#options = options;
		this.#manager = manager;
	}

	static async open(options: PodsOptions): Promise<Pods> {
		const { config, dataplane, log } = options;
		const { datapath } = dataplane;
		const maps = flowTables(datapath);
		const manager = new EndpointManager({
			netlink: new Netlink({ request: netlinkRequest }),
			kernel: datapath.kernel,
			programs: {
				attach: (ifindex, pinName) => datapath.attachEndpoint(ifindex, pinName),
				adopt: () => undefined, // activate() swaps all programs together, after live flows have been carried over
				missing: (ifindex) => datapath.missingAt(ifindex),
				detach: (pinName) => void datapath.detachEndpoint(pinName),
			},
			ledger: await FileLedger.open(join(config.stateDir, 'attachments')),
			writeSysctl,
			netnsCookie: netnsCookieAsync,
			nodeAddress: nodeAddressOf(dataplane),
			podCidrs: dataplane.facts.podCidrs,
			mtu: () => dataplane.routing.plan.podMtu,
			gsoIpv4MaxSize: () => dataplane.routing.plan.podGso,
			bootId: bootId(),
			coolDownMs: config.podCoolDownMs,
			forgetAddresses: async (addresses) => {
				const { byRule, closedAtBackends } = await forgetAddresses(maps, addresses.map(addressBytes));
				countClosed(datapath.kernel, closedAtBackends);
				options.onFlowsEnded(byRule);
			},
			...(options.identify !== undefined && { identify: options.identify }),
			log,
		});
		return new Pods(options, manager);
	}

	/** Makes ledger, interfaces and maps agree. */
	async adopt(): Promise<AdoptReport> {
		const report = await this.#manager.start();
		this.#former = report.dropped.flatMap(({ pod }) => (pod === null ? [] : [pod.uid]));
		return report;
	}

	/** uids of pods whose attachments the start found gone, as after a reboot. */
	get former(): readonly string[] {
		return this.#former;
	}

	/** Replays deletions that came while no agent ran. */
	async replaySpool(): Promise<void> {
		const report = await replaySpool(this.#spoolDir, this.#manager, ({ containerId, ifname }) => {
			return this.list().find((each) => each.containerId === containerId && each.ifname === ifname)?.createdAtMs;
		});
		const { log } = this.#options;
		if (report.replayed > 0) log.info({ replayed: report.replayed }, 'spooled deletions replayed');
		for (const problem of report.problems) log.warn({ problem }, 'spooled deletion failed');
	}

	/** Answers the CNI executable from now on, and installs it; nothing without pods. */
	async serve(readiness: () => Readiness): Promise<void> {
		const { config, log } = this.#options;
		if (config.standalone) return;
		this.#server = await createCniServer({
			socketPath: join(config.runDir, 'cni.sock'),
			endpoints: this.#manager,
			readiness,
			peerUid: (fd) => peerCredentials(fd).uid,
			addTimeoutMs: config.addTimeoutMs,
			delTimeoutMs: config.delTimeoutMs,
			onServed: ({ request, error }, tookMs) => {
				const command = request?.verb ?? 'other';
				this.#options.onCni(command, error === undefined ? 'success' : String(error.code), tookMs);
				if (error !== undefined)
					log.warn({ command, container: request?.containerId, error: error.message }, 'CNI request failed');
				else log.debug({ command, container: request?.containerId, tookMs }, 'CNI request served');
			},
		});
		const written = await this.install();
		if (written.length > 0) log.info({ files: written }, 'CNI plugin installed');
		const { cniBinDir: binDir } = config;
		if (!(await hasLoopback({ binDir })))
			log.warn(
				{ binDir },
				'no CNI plugin loopback there: containerd starts no pod without it, unless use_internal_loopback is set',
			);
	}

	/** Puts the CNI executable and its configuration where they belong. @returns what was missing or different */
	async install(): Promise<string[]> {
		return this.#options.config.standalone ? [] : installCni(this.#installOptions(), this.#executables);
	}

	/** Path of another plugin's configuration that runtimes use instead of ours; undefined = they use ours. */
	async shadowedBy(): Promise<string | undefined> {
		const { standalone, cniConfDir, cniConfName } = this.#options.config;
		return standalone ? undefined : firstBefore(cniConfDir, cniConfName);
	}

	/** As CNI ADD does, for the agent's own use. */
	attach(request: AttachRequest): Promise<LiveEndpoint> {
		return this.#manager.attach(request);
	}

	/** As CNI DEL does. @returns false when there was nothing */
	detach(key: AttachmentKey): Promise<boolean> {
		return this.#manager.detach(key);
	}

	list(): LiveEndpoint[] {
		return this.#manager.list();
	}

	/** list() with what their rows say now. */
	current(): LiveEndpoint[] {
		return this.#manager.current();
	}

	/** Attachments that are being made. */
	attaching(): Attachment[] {
		return this.#manager.attaching();
	}

	/** What policy says of an attached pod. */
	setIdentity(key: AttachmentKey, identity: EndpointIdentity): void {
		this.#manager.setIdentity(key, identity);
	}

	hostPorts(): HostPort[] {
		return this.#manager.hostPorts();
	}

	/** Where new pods get their addresses from now on. */
	setPodCidrs(podCidrs: readonly string[]): void {
		this.#manager.setPodCidrs(podCidrs);
	}

	/** Interfaces the programs belong on. */
	attachments(): EndpointAttachment[] {
		return this.list().map(({ ifindex, hostIfname }) => ({ ifindex, pinName: hostIfname }));
	}

	onChange(listener: () => void): void {
		this.#manager.onChange(listener);
	}

	/** Routes to pods that are missing or have another source than the node has by now. @returns problems */
	async repairRoutes(): Promise<readonly string[]> {
		const { dataplane } = this.#options;
		try {
			const deps = { netlink: dataplane.netlink, nodeAddress: nodeAddressOf(dataplane) };
			const pods = await repairPodRoutes(this.list(), deps);
			if (pods.length > 0) this.#options.log.info({ pods }, 'routes to pods made again');
			return [];
		} catch (error) {
			return [`routes to pods: ${errorMessage(error)}`];
		}
	}

	/** Ends attachments whose interface is gone and replays what was spooled. Never throws. */
	async sweep(): Promise<void> {
		const { log } = this.#options;
		try {
			await this.replaySpool();
			for (const ended of await this.#manager.sweep()) {
				log.warn(
					{ container: ended.containerId, addresses: ended.addresses },
					'attachment ended: its interface is gone',
				);
			}
		} catch (error) {
			log.warn({ error: errorMessage(error) }, 'sweep of attachments failed');
		}
	}

	async close(): Promise<void> {
		await this.#server?.close();
		await this.#manager.close();
	}

	get #spoolDir(): string {
		return join(this.#options.config.stateDir, 'cni-spool');
	}

	#installOptions(): InstallOptions {
		const { config, cniExecutable } = this.#options;
		return {
			executable: cniExecutable,
			binDir: config.cniBinDir,
			confDir: config.cniConfDir,
			confName: config.cniConfName,
			cniVersion: config.cniVersion,
			networkName: 'fairlead',
			socketPath: join(config.runDir, 'cni.sock'),
			spoolDir: this.#spoolDir,
			addTimeoutMs: config.addTimeoutMs,
			delTimeoutMs: config.delTimeoutMs,
		};
	}
}

function nodeAddressOf(dataplane: Dataplane): NodeAddress {
	return (family) => dataplane.facts.addresses.find((address) => familyOf(address) === family);
}
