/**
 * The dataplane of this node in the kernel: maps, programs and where they are attached. Used in this order:
 *
 *   const datapath = await openDatapath(options)    // maps and programs are ready, traffic still uses the old ones
 *   …reconcile datapath.kernel…                     // tables are complete
 *   await datapath.activate(attachments)            // every attachment is swapped, live flows are carried over
 *   datapath.attachEndpoint(ifindex, name)          // from now on, one by one
 *
 * close() ends nothing: pinned maps and links go on without the agent.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { type DatapathConfig, type MapName, Maps } from '../../native/abi/generated.ts';
import { type BpfMap, type BpfProgram, type KernelFeatures, netnsCookie, possibleCpus } from '../../native/index.ts';
import { errorMessage, FairleadError } from '../model/errors.ts';
import type { Kernel } from '../reconcile/kernel.ts';
import {
	type Attachment,
	CGROUP_HOOKS,
	type EndpointAttachment,
	endpointAttachments,
	isEndpoint,
	isLinkOf,
	isXdpLink,
	LOOPBACK_IFINDEX,
	XDP_SUFFIX,
} from './attachments.ts';
import { BpfKernel } from './bpf-kernel.ts';
import type { CarryReport } from './carry-over.ts';
import type { GracePeriods } from './grace-periods.ts';
import type { WantedHook } from './hook-state.ts';
import { kernelHz } from './kernel-hz.ts';
import { type LinkChange, Links, type LinkTarget, type TcHook, type XdpTarget } from './links.ts';
import { type LookBackConfig, lookBackOf, NO_LOOK_BACK } from './look-back.ts';
import { mapBytes } from './map-memory.ts';
import { copyTables, FlowMigration } from './migration.ts';
import { type MapSizes, PinnedMaps } from './pinned-maps.ts';
import { ProgramPins } from './program-pins.ts';
import { type LooseProgram, loadLoose, Programs } from './programs.ts';
import { keepFormerPorts, setMigrating } from './runtime-row.ts';

export { type EndpointAttachment, isLinkOf, isXdpLink } from './attachments.ts';

/** Constants of the programs that the caller decides; the others are found here. */
export type DatapathSettings = Omit<
	DatapathConfig,
	| 'hz'
	| 'hostNetns'
	| 'dryRun'
	| 'hasSetRetval'
	| 'hasCsumIpv6'
	| 'hasKernCtx'
	| 'hasCoarseTime'
	| 'hasTunnelSource'
	| 'xdpFrags'
	| keyof LookBackConfig
>;

export interface DatapathOptions {
	/** Directory of the compiled objects. */
	readonly objectDir: string;
	/** Directory of this node on bpffs; `maps` and `links` are made below it. */
	readonly bpffsDir: string;
	/** cgroup v2 directory whose processes use services by the socket programs. */
	readonly cgroupRoot: string;
	readonly settings: DatapathSettings;
	/** From probe(). */
	readonly features: KernelFeatures;
	/** Capacities other than the defaults. */
	readonly mapSizes?: MapSizes;
	/** Load the XDP program as well; 'later' = when needXdp() is called. */
	readonly xdp?: boolean | 'later';
	/** Default `auto`: tcx where the kernel has it. */
	readonly tc?: 'auto' | 'clsact';
	/** Makes attachEndpoint() fast; closed by close(). Left out = the kernel takes its time. */
	readonly gracePeriods?: GracePeriods;
}

/** Everything programs run at. */
export interface Attachments {
	/** Interface indexes; the first is the one to other nodes, the others may fail. */
	readonly uplinks: readonly number[];
	/** The VXLAN device; undefined = none. */
	readonly overlay?: number;
	/** The near end of the host device pair (fl_host); undefined = none. */
	readonly host?: number;
	/** Its far end (fl_host_peer). */
	readonly hostPeer?: number;
	readonly endpoints: readonly EndpointAttachment[];
	/** How the first uplink gets XDP; undefined = not at all. A failure is reported: it is served by tc alone then. */
	readonly xdp?: XdpTarget['mode'];
}

export interface ActivationReport {
	readonly attached: number;
	readonly replaced: number;
	/** Pins of attachments that are no longer wanted. */
	readonly removed: readonly string[];
	/** Endpoints and further uplinks (isLinkOf) that could not be attached, such as those whose device is gone, and XDP (isXdpLink). */
	readonly failed: readonly { readonly name: string; readonly message: string }[];
	/** Live entries that moved into maps of another layout. */
	readonly carried: readonly CarryReport[];
	/** Time between the first swapped link and the end of the second copy, in milliseconds. */
	readonly swapMs: number;
}

export interface MapMemory {
	readonly map: MapName;
	readonly maxEntries: number;
	readonly bytes: number;
}

/** Pin name → attachment. */
type AttachmentTable = Map<string, Attachment>;

/** Memory of all maps at these sizes, largest first. Call it before openDatapath to compare with the memory limit. */
export function plannedMemory(mapSizes: MapSizes = {}): MapMemory[] {
	const cpus = possibleCpus();
	return (Object.keys(Maps) as MapName[])
		.map((map) => {
			const maxEntries = mapSizes[map] ?? Maps[map].maxEntries;
			return { map, maxEntries, bytes: mapBytes(Maps[map], maxEntries, cpus) };
		})
		.sort((a, b) => b.bytes - a.bytes);
}

/**
 * Opens or makes the maps and loads the programs. Attachments stay as they are until activate().
 * Tables whose layout or size changed begin with a copy of the old rows.
 * @throws FairleadError MAP_LAYOUT when live flows cannot be carried into the new layout, PROGRAM_LOAD with the
 *         verifier's last lines
 */
export async function openDatapath(options: DatapathOptions): Promise<Datapath> {
	const maps = new PinnedMaps(join(options.bpffsDir, 'maps'), options.mapSizes);
	let programs: Programs | undefined;
	try {
		const hz = kernelHz();
		const pins = new ProgramPins(join(options.bpffsDir, 'programs'));
		const config = fullConfig(options, options.settings, hz);
		const { objectDir, xdp = false } = options;
		programs = await Programs.load({ objectDir, config, maps, pins, xdp, lookBack: () => lookBackOf(maps) });
		const flows = new FlowMigration(maps);
		const copiedTables = await copyTables(maps);
		return new Datapath({ options, hz, maps, programs, pins, flows, copiedTables });
	} catch (error) {
		programs?.close();
		maps.abandon();
		maps.close();
		throw error;
	}
}

function fullConfig(options: DatapathOptions, settings: DatapathSettings, hz: number): DatapathConfig {
	const [major, minor] = options.features.version;
	const since = (wantedMajor: number, wantedMinor: number): number =>
		major > wantedMajor || (major === wantedMajor && minor >= wantedMinor) ? 1 : 0;
	return {
		...settings,
		...NO_LOOK_BACK.config,
		hz,
		hostNetns: netnsCookie(),
		dryRun: 0,
		hasSetRetval: options.features.bpfSetRetval ? 1 : 0,
		hasCsumIpv6: since(6, 16),
		hasKernCtx: since(6, 2),
		hasCoarseTime: since(5, 11),
		hasTunnelSource: since(6, 0),
		xdpFrags: options.features.xdpFrags ? 1 : 0,
	};
}

interface DatapathParts {
	readonly options: DatapathOptions;
	readonly hz: number;
	readonly maps: PinnedMaps;
	readonly programs: Programs;
	readonly pins: ProgramPins;
	readonly flows: FlowMigration;
	readonly copiedTables: readonly CarryReport[];
}

export class Datapath {
	readonly kernel: Kernel;
	/** Tables that were replaced at open, and how much of them was copied. */
	readonly copiedTables: readonly CarryReport[];
	readonly #options: DatapathOptions;
	readonly #hz: number;
	readonly #maps: PinnedMaps;
	readonly #links: Links;
	readonly #pins: ProgramPins;
	readonly #flows: FlowMigration;
	readonly #attached: AttachmentTable = new Map();
	/** Names attachEndpoint() has made: a pod may be on its way and not yet in the caller's list. */
	readonly #attachedSingly = new Set<string>();
	#programs: Programs;
	#settings: DatapathSettings;
	#xdp: boolean | 'later';

	/** Use openDatapath(). */
	constructor(parts: DatapathParts) {
		const { options, maps } = parts;
		this.#options = options;
		this.#settings = options.settings;
		this.#xdp = options.xdp ?? false;
		this.#hz = parts.hz;
		this.#maps = maps;
		this.#programs = parts.programs;
		this.#pins = parts.pins;
		this.#flows = parts.flows;
		this.copiedTables = parts.copiedTables;
		this.#links = new Links(join(options.bpffsDir, 'links'), options.features.tcx && options.tc !== 'clsact');
		this.kernel = new BpfKernel(maps);
	}

	/** A map, for readers of counters and the ring buffer; closed by close(). */
	map(name: MapName): BpfMap {
		return this.#maps.get(name);
	}

	/** What is to be attached, each by the program that is loaded now. */
	hooks(): WantedHook[] {
		const idOf = (program: string): number => this.#programs.find(program)?.id ?? 0;
		return [...this.#attached].map(([name, { program, target }]) => ({ name, target, programId: idOf(program) }));
	}

	/**
	 * Attaches again what somebody has detached.
	 * @returns false when it is not to be attached any more
	 * @throws FairleadError ATTACH_FAILED
	 */
	repair(name: string): boolean {
		const attachment = this.#attached.get(name);
		if (attachment !== undefined) this.#attach(name, attachment);
		return attachment !== undefined;
	}

	/** Names of the attachments that are pinned. */
	links(): string[] {
		return this.#links.names();
	}

	/**
	 * Makes exactly these attachments, each swapped in place if it exists, and ends all others but those that
	 * attachEndpoint() adds meanwhile. Live flows are carried
	 * into new maps: a copy before, a second one of what changed after the swap. In between (runtime.migrating) the new programs look what
	 * they miss up in the old maps, and packets in the middle of a TCP connection that neither knows are dropped, not judged wrongly. Then
	 * programs without old maps take over, so that these are freed.
	 * May be called again with other attachments.
	 * @throws FairleadError ATTACH_FAILED unless only endpoints, further uplinks and XDP failed, which are reported
	 */
	async activate(attachments: Attachments): Promise<ActivationReport> {
		const wanted = this.#wanted(attachments);
		keepFormerPorts(this.kernel, this.#settings);
		if (this.#flows.pending) await this.#flows.firstPass();
		const start = performance.now();
		let changes: SwapReport;
		try {
			if (this.#flows.pending) setMigrating(this.kernel, 1);
			for (const name of this.#attached.keys()) if (!this.#attachedSingly.has(name)) this.#attached.delete(name);
			const further = attachments.uplinks.slice(1);
			changes = this.#swap(wanted, (name) => isEndpoint(name) || isXdpLink(name) || isLinkOf(name, further));
			if (this.#flows.pending) await this.#flows.secondPass();
		} finally {
			setMigrating(this.kernel, 0);
		}
		const swapMs = performance.now() - start;
		const removed = this.#links.retain(new Set([...this.#attached.keys(), ...this.#attachedSingly]));
		const carried = this.#flows.finish();
		this.#maps.finish();
		if (this.#programs.looksBack) await this.reload(this.#settings);
		this.#pins.retain(this.#programs.keys);
		return { ...changes, removed, carried, swapMs };
	}

	/**
	 * Attaches a pod's host side veth, replacing what an earlier agent attached under the name. activate() leaves it alone from
	 * then on, whether it names it or not, until detachEndpoint(): not to be called before this has settled.
	 * @throws ATTACH_FAILED
	 */
	async attachEndpoint(ifindex: number, pinName: string): Promise<void> {
		const attachments = endpointAttachments({ ifindex, pinName });
		const hooks: TcHook[] = [];
		for (const [name, attachment] of attachments) {
			this.#attachedSingly.add(name);
			hooks.push({ name, target: attachment.target, program: () => this.#programFor(name, attachment) });
		}
		const attachAll = () => this.#links.attachAllTc(hooks);
		const { gracePeriods } = this.#options;
		await (gracePeriods ? gracePeriods.shorten(attachAll) : attachAll());
		for (const [name, attachment] of attachments) this.#attached.set(name, attachment);
	}

	/** Asks the kernel which programs of a pod's host side veth do not run there, by name; those that are loaded now are meant. */
	missingAt(ifindex: number): string[] {
		return [...endpointAttachments({ ifindex, pinName: '' }).values()]
			.filter(({ program, target }) => !this.#links.runs(this.#programs.find(program)?.id ?? 0, target))
			.map(({ program }) => program);
	}

	/** @returns false when nothing was attached under the name */
	detachEndpoint(pinName: string): boolean {
		const names = [...endpointAttachments({ ifindex: 0, pinName }).keys()];
		for (const name of names) {
			this.#attached.delete(name);
			this.#attachedSingly.delete(name);
		}
		return names.map((name) => this.#links.detach(name)).includes(true);
	}

	/**
	 * Loads the programs with other constants and swaps them into every attachment. Attachments whose device is gone
	 * are forgotten: call activate() when devices have changed.
	 * @throws FairleadError PROGRAM_LOAD; the old programs go on then
	 */
	async reload(settings: DatapathSettings, xdp = this.#xdp): Promise<void> {
		const config = fullConfig(this.#options, settings, this.#hz);
		const { objectDir } = this.#options;
		const programs = await Programs.load({ objectDir, config, maps: this.#maps, pins: this.#pins, xdp });
		const old = this.#programs;
		this.#programs = programs;
		this.#settings = settings;
		this.#xdp = xdp;
		try {
			const { failed } = this.#swap(new Map(this.#attached), () => true);
			for (const { name } of failed) this.#attached.delete(name);
		} finally {
			old.close();
			this.#pins.retain(programs.keys);
		}
	}

	/** Loads the XDP program if that was put off; not while tables are being replaced. @throws FairleadError PROGRAM_LOAD */
	async needXdp(): Promise<void> {
		if (this.#xdp === 'later') await this.reload(this.#settings, true);
	}

	/**
	 * The program that tells what would become of a flow; it changes nothing. To be closed after use.
	 * @throws PROGRAM_LOAD
	 */
	loadExplainer(): Promise<LooseProgram> {
		const config = { ...fullConfig(this.#options, this.#settings, this.#hz), dryRun: 1 };
		return loadLoose(join(this.#options.objectDir, 'explain.bpf.o'), 'explain', config, this.#maps);
	}

	/** Gives back descriptors; what is pinned goes on. */
	close(): void {
		this.#programs.close();
		this.#maps.close();
		this.#options.gracePeriods?.close();
	}

	#wanted(attachments: Attachments): AttachmentTable {
		const { uplinks, overlay, host, hostPeer, endpoints, xdp } = attachments;
		const table: AttachmentTable = new Map();
		const add = (role: string, ifindex: number): void => {
			table.set(`${role}_${ifindex}_in`, {
				program: `from_${role}`,
				target: { kind: 'tc', ifindex, where: 'ingress' },
			});
			if (this.#programs.find(`to_${role}`) === undefined) return;
			table.set(`${role}_${ifindex}_out`, { program: `to_${role}`, target: { kind: 'tc', ifindex, where: 'egress' } });
		};
		for (const endpoint of endpoints) for (const [name, each] of endpointAttachments(endpoint)) table.set(name, each);
		for (const uplink of uplinks) add('uplink', uplink);
		const [first] = uplinks;
		if (first !== undefined && xdp !== undefined && this.#programs.find('xdp_lb') !== undefined) {
			table.set(`uplink_${first}${XDP_SUFFIX}`, {
				program: 'xdp_lb',
				target: { kind: 'xdp', ifindex: first, mode: xdp },
			});
		}
		if (overlay !== undefined) add('overlay', overlay);
		if (hostPeer !== undefined) {
			table.set(`host_device_${hostPeer}_in`, {
				program: 'from_host_device',
				target: { kind: 'tc', ifindex: hostPeer, where: 'ingress' },
			});
		}
		if (host !== undefined) {
			table.set(`host_device_${host}_out`, {
				program: 'to_host_device',
				target: { kind: 'tc', ifindex: host, where: 'egress' },
			});
			table.set(`loopback_${LOOPBACK_IFINDEX}_out`, {
				program: 'to_uplink',
				target: { kind: 'tc', ifindex: LOOPBACK_IFINDEX, where: 'egress' },
			});
		}
		if (this.#programs.find('sock_connect4') !== undefined) this.#addCgroup(table);
		return table;
	}

	#addCgroup(table: AttachmentTable): void {
		const path = this.#options.cgroupRoot;
		const id = statSync(path).ino;
		for (const type of CGROUP_HOOKS) {
			const program = `sock_${type.replace(/^sock_/, '')}`;
			if (this.#programs.find(program) === undefined) continue;
			table.set(`cgroup_${id}_${type}`, { program, target: { kind: 'cgroup', path, type } });
		}
	}

	/** Attaches all. @throws ATTACH_FAILED for an attachment that may not fail */
	#swap(wanted: AttachmentTable, mayFail: (name: string) => boolean): SwapReport {
		const replaced = this.#replaceAll(wanted);
		const counts: Record<LinkChange, number> = { attached: 0, replaced: replaced.size };
		const failed: { name: string; message: string }[] = [];
		for (const [name, attachment] of wanted) {
			if (replaced.has(name)) continue;
			try {
				counts[this.#attach(name, attachment)]++;
			} catch (error) {
				if (!mayFail(name)) throw error;
				failed.push({ name, message: errorMessage(error) });
			}
		}
		return { ...counts, failed };
	}

	#replaceAll(wanted: AttachmentTable): Set<string> {
		const swaps = new Map<string, { program: BpfProgram; target: LinkTarget }>();
		for (const [name, { program, target }] of wanted) {
			const found = this.#programs.find(program);
			if (found !== undefined) swaps.set(name, { program: found, target });
		}
		const replaced = this.#links.replaceAll(swaps);
		for (const [name, attachment] of wanted) if (replaced.has(name)) this.#attached.set(name, attachment);
		return replaced;
	}

	#attach(name: string, attachment: Attachment): LinkChange {
		const change = this.#links.attach(name, this.#programFor(name, attachment), attachment.target);
		this.#attached.set(name, attachment);
		return change;
	}

	#programFor(name: string, { program }: Attachment): BpfProgram {
		const found = this.#programs.find(program);
		if (found !== undefined) return found;
		throw new FairleadError('ATTACH_FAILED', `cannot attach ${name}: no loaded object has a program ${program}`);
	}
}

type SwapReport = Pick<ActivationReport, 'attached' | 'replaced' | 'failed'>;
