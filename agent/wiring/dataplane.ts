/**
 * The dataplane of this node as one thing: facts and plans come in, devices, programs, routes and peer tables follow.
 * open() prepares everything while old programs go on; activate() swaps; refresh() follows changes and repairs.
 */
import { join } from 'node:path';
import type { Logger } from 'pino';
import { type KernelFeatures, netlinkRequest } from '../../native/index.ts';
import type { Config } from '../config/schema.ts';
import {
	type ActivationReport,
	type Datapath,
	type DatapathSettings,
	type EndpointAttachment,
	openDatapath,
} from '../kernel/datapath.ts';
import { GracePeriods } from '../kernel/grace-periods.ts';
import type { JiffiesClock } from '../kernel/jiffies.ts';
import { Netlink } from '../kernel/netlink.ts';
import { pinnedReader } from '../kernel/pinned-maps.ts';
import { Sysctl } from '../kernel/sysctl.ts';
import { rememberFound } from '../kernel/sysctl-record.ts';
import { addressBytes } from '../model/address.ts';
import type { ClusterView } from '../model/cluster-view.ts';
import type { NodeFacts } from '../model/node-facts.ts';
import { allServiceCidrs } from '../model/service-cidr.ts';
import { planPeers } from '../plan/peers.ts';
import { planRouting, type RoutingResult } from '../plan/routing.ts';
import { writeInside } from '../reconcile/inside-bits.ts';
import type { Kernel } from '../reconcile/kernel.ts';
import { PeerMemory, type PeerPolicy, reconcilePeers } from '../reconcile/nodes.ts';
import { PortBitmap } from '../reconcile/port-bitmap.ts';
import { type PeerChange, PeerIndex } from '../reconcile/services-peers.ts';
import { bytesKey } from '../reconcile/table.ts';
import { expectedUplinkRows, uplinkAddresses } from '../reconcile/uplinks.ts';
import type { Devices } from '../routing/devices.ts';
import { RoutingExecutor } from '../routing/executor.ts';
import type { MoreUplinks } from '../routing/more-uplinks.ts';
import { datapathSettings, hookWarnings, mapSizesOf, sameSettings } from './datapath-settings.ts';
import { bootId } from './machine.ts';
import { FurtherUplinks, wantedRows } from './more-uplinks.ts';
import { collectNodeFacts, type FoundFacts } from './node-facts.ts';
import { whyNoXdp, Xdp } from './xdp.ts';

export interface DataplaneOptions {
	/** Resolved: no `auto` but mtu's meaning is the same. */
	readonly config: Config;
	readonly view: ClusterView;
	readonly features: KernelFeatures;
	/** Directory of the compiled BPF objects. */
	readonly objectDir: string;
	readonly log: Logger;
	readonly clock: JiffiesClock;
}

/** In the state directory: what `fairlead cleanup` gives back. */
export const SYSCTL_RECORD = 'sysctls.json';

export class Dataplane {
	readonly datapath: Datapath;
	readonly netlink: Netlink;
	/** Who owns which address, as the peer tables say. */
	readonly peers = new PeerIndex();
	/** Gives addresses their identities; to be set before the first reconcilePeers(). */
	policy: PeerPolicy | undefined;
	/** Called when the peer tables have changed. */
	onPeers: (change: PeerChange) => void = () => undefined;
	/** Called with devices and routes that somebody had removed, once they are there again. */
	onRepaired: (what: readonly string[]) => void = () => undefined;
	readonly #options: DataplaneOptions;
	readonly #executor: RoutingExecutor;
	#facts: NodeFacts;
	#routing: RoutingResult;
	#devices: Devices;
	#settings: DatapathSettings;
	#endpoints: () => readonly EndpointAttachment[] = () => [];
	readonly #peerMemory = new PeerMemory();
	/** As the log has it. */
	#warned = '';
	readonly #more: FurtherUplinks;
	#xdp: Xdp | undefined;

	private constructor(
		options: DataplaneOptions,
		parts: {
			datapath: Datapath;
			netlink: Netlink;
			executor: RoutingExecutor;
			found: FoundFacts;
			routing: RoutingResult;
			devices: Devices;
			settings: DatapathSettings;
		},
	) {
		this.#options = options;
		this.datapath = parts.datapath;
		this.netlink = parts.netlink;
		this.#executor = parts.executor;
		this.#facts = parts.found.facts;
		this.#routing = parts.routing;
		this.#devices = parts.devices;
		this.#settings = parts.settings;
		const { config, view, clock, log } = options;
		this.#more = new FurtherUplinks(
			{
				kernel: this.datapath.kernel,
				services: () => view.services.values(),
				forward: (names) => enableForwarding(config, this.#executor, names),
				log,
			},
			parts.found.moreUplinks,
		);
		if (config.xdp !== 'off') {
			const { kernel } = this.datapath;
			const nodes = () => this.#peerMemory.nodes(kernel);
			this.#xdp = new Xdp({ mode: config.xdp, kernel, nodes, netlink: this.netlink, clock, log });
		}
	}

	/** Makes devices and maps and loads the programs; traffic still uses what is attached. */
	static async open(options: DataplaneOptions, found: FoundFacts): Promise<Dataplane> {
		const { config, features, view } = options;
		const { facts } = found;
		const netlink = new Netlink({ request: netlinkRequest });
		const executor = new RoutingExecutor({
			netlink,
			sysctl: new Sysctl(),
			managedNeighbours: features.version[0] > 5 || (features.version[0] === 5 && features.version[1] >= 16),
		});
		const routing = planRouting(view.nodes.values(), facts, routingSettings(config, view));
		enableForwarding(
			config,
			executor,
			[facts.uplink, ...facts.moreUplinks].map(({ name }) => name),
		);
		const devices = await executor.ensureDevices({ overlay: routing.plan.overlay, hostMtu: routing.plan.podMtu });
		// not all services may be known yet, so that the rows themselves have to wait for replan()
		const rows = wantedRows(found.moreUplinks, view.services.values());
		const uplinkRows = expectedUplinkRows(rows, pinnedReader(join(config.bpffsDir, 'maps')));
		const settings = datapathSettings(config, { facts, routing, devices, uplinkRows });
		// Generic XDP makes copies of packets for programs that take several buffers, in which tc programs find no IP header (seen on 6.18). Others
		// get such packets in one piece.
		const datapath = await openDatapath({
			objectDir: options.objectDir,
			bpffsDir: config.bpffsDir,
			cgroupRoot: config.cgroupRoot,
			settings,
			features: { ...features, xdpFrags: features.xdpFrags && config.xdp !== 'generic' },
			xdp:
				config.xdp !== 'off' && ((await whyNoXdp(netlink, facts.uplink.ifindex, config.xdp)) === undefined || 'later'),
			...gracePeriods(config, options.log),
			mapSizes: mapSizesOf(config, facts.podCidrs),
		});
		return new Dataplane(options, { datapath, netlink, executor, found, routing, devices, settings });
	}

	get facts(): NodeFacts {
		return this.#facts;
	}

	/** 16-byte addresses that masqueraded packets get. */
	get ownAddresses(): readonly Uint8Array[] {
		return [...this.#facts.addresses.map(addressBytes), ...uplinkAddresses(this.datapath.kernel)];
	}

	get routing(): RoutingResult {
		return this.#routing;
	}

	/** Interfaces by which clients of services come besides the uplink. */
	get moreUplinks(): MoreUplinks {
		return this.#more.found;
	}

	/** Of all uplinks, and of interfaces that would be if they could. */
	get uplinkNames(): readonly string[] {
		const { chosen, leftOut } = this.#more.found;
		return [this.#facts.uplink.name, ...chosen.map(({ uplink }) => uplink.name), ...leftOut.map(({ name }) => name)];
	}

	/**
	 * Other nodes whose pods cannot be reached because of what their Node objects say, and further uplinks that are not served. This node is
	 * as good as ever.
	 */
	get warnings(): readonly string[] {
		return [...this.#unreached, ...this.#more.warnings, ...hookWarnings(this.#options.config, this.#serviceCidrs)];
	}

	get #serviceCidrs(): string[] {
		const { config, view } = this.#options;
		return allServiceCidrs(config.serviceCidrs, view.serviceCidrs.values());
	}

	get #unreached(): readonly string[] {
		return shortened(this.#routing.plan.problems.map(({ node, message }) => `Node ${node}: ${message}`));
	}

	/** What `fairlead status` says of XDP. */
	get xdpState(): string {
		return this.#xdp?.state ?? 'off (configured)';
	}

	/** The maps for whoever writes services: XDP's bitmap of the node's ports follows. */
	servicesKernel(): Kernel {
		const isLocal = (address: Uint8Array): boolean =>
			this.#facts.localAddresses.some((each) => bytesKey(addressBytes(each)) === bytesKey(address));
		return new PortBitmap(this.datapath.kernel, isLocal).follow();
	}

	/** Next hops of other nodes for XDP; to be called more often than they may go without. @returns problems */
	async refreshXdp(): Promise<void> {
		await this.#xdp?.refresh(this.#facts.addresses);
	}

	/**
	 * Takes all nodes into account that the view has by now, before activate(): open() may have come before their list was
	 * complete.
	 */
	async replan(): Promise<void> {
		await this.#prepare();
	}

	/** The next reconcilePeers() reads the tables: somebody else may have changed them. */
	resyncPeers(): void {
		this.#peerMemory.forget();
	}

	/** Writes the peer tables. @returns problems */
	reconcilePeers(): readonly string[] {
		const { config } = this.#options;
		const plan = planPeers(this.#routing.peers, this.#facts, { ...config, serviceCidrs: this.#serviceCidrs });
		if (config.northSouth === 'dsr') writeInside(plan, this.datapath.kernel);
		const devices = { uplinkIfindex: this.#facts.uplink.ifindex, overlayIfindex: this.#devices.overlay?.ifindex ?? 0 };
		const { problems, assignments } = reconcilePeers(
			plan,
			devices,
			this.datapath.kernel,
			this.policy,
			this.#peerMemory,
		);
		this.onPeers(this.peers.setNodes(plan, assignments));
		this.#xdp?.onNodes();
		return problems;
	}

	/** Swaps all programs in, then sets routes. @param endpoints  asked again whenever everything is attached anew */
	async activate(endpoints: () => readonly EndpointAttachment[]): Promise<ActivationReport> {
		this.#endpoints = endpoints;
		const report = await this.#attachAll();
		await this.#applyRoutes();
		return report;
	}

	/**
	 * Looks at the machine and the view again: repairs devices, programs, peers and routes.
	 * @returns problems; empty = all is as planned
	 */
	async refresh(): Promise<readonly string[]> {
		const { config, view } = this.#options;
		const node = view.nodes.get(config.nodeName);
		if (node === undefined) return [`Node ${config.nodeName}: not found; the last known state stays in force`];
		const found = await collectNodeFacts({
			...config,
			netlink: this.netlink,
			node,
			services: view.services.values(),
			before: { moreUplinks: this.#more.found },
		});
		let { facts } = found;
		// a Node that has lost its CIDRs for a moment (deleted and registered again) keeps those it had
		if (facts.podCidrs.length === 0) facts = { ...facts, podCidrs: this.#facts.podCidrs };
		this.#facts = facts;
		this.#more.found = found.moreUplinks;
		const before = this.#routing.plan;
		const isReloaded = await this.#prepare();
		if (isReloaded || this.#more.isBehind) await this.#attachAll();
		if (isReloaded) {
			const { podMtu } = this.#routing.plan;
			this.#options.log.info({ uplink: facts.uplink.name, podMtu }, 'programs loaded again');
		}
		this.#tellWarnings();
		const problems = this.reconcilePeers();
		return [...problems, ...(await this.#applyRoutes(before))];
	}

	/** Makes plan, devices and loaded programs those of the facts and the view. @returns whether programs were loaded anew */
	async #prepare(): Promise<boolean> {
		const { config, view } = this.#options;
		this.#routing = planRouting(view.nodes.values(), this.#facts, routingSettings(config, view));
		const { overlay, podMtu } = this.#routing.plan;
		this.#devices = await this.#executor.ensureDevices({ overlay, hostMtu: podMtu });
		const settings = datapathSettings(config, {
			facts: this.#facts,
			routing: this.#routing,
			devices: this.#devices,
			uplinkRows: this.#more.addRows(),
		});
		const isSame = sameSettings(settings, this.#settings);
		if (!isSame) await this.datapath.reload(settings);
		this.#settings = settings;
		this.#more.clearRows();
		return !isSame;
	}

	/** Once for each change of them. */
	#tellWarnings(): void {
		this.#more.tell();
		const warnings = this.#unreached;
		const text = warnings.join('; ');
		if (text === this.#warned) return;
		this.#warned = text;
		const { log } = this.#options;
		if (text === '') log.info('pods of all nodes can be reached');
		else log.warn({ problems: warnings }, 'pods of other nodes not reached');
	}

	/** Removes devices and routes; pinned maps and links are the caller's business. */
	removeDevices(): Promise<void> {
		return this.#executor.remove();
	}

	close(): void {
		this.datapath.close();
	}

	async #attachAll(): Promise<ActivationReport> {
		const xdp = await this.#xdp?.modeFor(this.#facts.uplink.ifindex);
		if (xdp !== undefined) await this.datapath.needXdp();
		const report = await this.datapath.activate({
			uplinks: [this.#facts.uplink.ifindex, ...this.#more.indexes],
			host: this.#devices.host.ifindex,
			hostPeer: this.#devices.hostPeer.ifindex,
			...(this.#devices.overlay !== null && { overlay: this.#devices.overlay.ifindex }),
			endpoints: this.#endpoints(),
			...(xdp !== undefined && { xdp }),
		});
		this.#xdp?.onAttached(report);
		this.#more.onAttached(report);
		this.#more.tell();
		return report;
	}

	/** @param before  the plan that was in force; what changes although it is the same has been changed by somebody else */
	async #applyRoutes(before?: RoutingResult['plan']): Promise<string[]> {
		const report = await this.#executor.apply(this.#routing.plan, this.#devices, this.#facts);
		await this.#executor.refreshNeighbours(this.#routing.plan, this.#facts.uplink.ifindex);
		rememberFound(join(this.#options.config.stateDir, SYSCTL_RECORD), bootId(), report.settings);
		if (report.changes.length > 0) this.#options.log.debug({ changes: report.changes }, 'routes changed');
		const made = this.#devices.made.map((name) => `device ${name}`);
		const changed = [...made, ...report.changes.filter((change) => change.includes(' route '))];
		if (changed.length > 0 && JSON.stringify(before) === JSON.stringify(this.#routing.plan)) this.onRepaired(changed);
		return report.failures.map(({ what, why }) => `${what}: ${why}`);
	}
}

function enableForwarding(config: Config, executor: RoutingExecutor, uplinks: readonly string[]): void {
	rememberFound(join(config.stateDir, SYSCTL_RECORD), bootId(), executor.enableForwarding(uplinks));
}

const MOST_WARNINGS = 20;

/** With direct routes, every node behind a router may be one. */
export function shortened(warnings: readonly string[]): readonly string[] {
	const left = warnings.length - MOST_WARNINGS;
	return left <= 0 ? warnings : [...warnings.slice(0, MOST_WARNINGS), `${left} more of the kind about other nodes`];
}

/** Made also where it is not wanted: an agent that wanted it may have been killed. */
function gracePeriods({ runDir, expediteAttach }: Config, log: Logger): { gracePeriods?: GracePeriods } {
	const periods = new GracePeriods({ markerPath: join(runDir, 'rcu-expedited'), bootId: bootId() });
	if (expediteAttach) {
		if (!periods.available) log.info('grace periods cannot be expedited; attaching a pod takes some 25 ms longer');
		return { gracePeriods: periods };
	}
	periods.close();
	return {};
}

function routingSettings(config: Config, view: ClusterView) {
	const { routing, vni, vxlanPort, mtu, bigTcp, xdp } = config;
	const serviceCidrs = allServiceCidrs(config.serviceCidrs, view.serviceCidrs.values());
	return { mode: routing, vni, vxlanPort, mtu, bigTcp, xdp, serviceCidrs };
}
