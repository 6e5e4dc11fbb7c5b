/**
 * The two devices Fairlead makes on a node: the VXLAN device that carries packets between nodes, and the host pair
 * into which service CIDRs are routed. Made or repaired, never made twice; a foreign device of the same name is refused.
 */
import {
	addVeth,
	addVxlan,
	deleteLink,
	type LinkInfo,
	type Netlink,
	type NetlinkMessage,
	setLink,
} from '../kernel/netlink.ts';
import type { Sysctl, SysctlSetting } from '../kernel/sysctl.ts';
import { FairleadError } from '../model/errors.ts';
import type { OverlayPlan } from '../plan/routing-plan.ts';

/**
 * Inner destination MAC of everything between nodes. No device has it: VXLAN drops frames whose inner source is the
 * receiving device's own address, and the programs use it as source too.
 */
export const OVERLAY_MAC: Uint8Array = Uint8Array.of(0x0a, 0xfa, 0x1e, 0xad, 0x00, 0x01);

export interface DeviceNames {
	readonly overlay: string;
	/** Of an overlay device whose place another one takes, until it goes. */
	readonly formerOverlay: string;
	readonly host: string;
	/** The far end of `host`. */
	readonly hostPeer: string;
}

export const DEVICE_NAMES: DeviceNames = {
	overlay: 'fl_vxlan',
	formerOverlay: 'fl_vxlan_old',
	host: 'fl_host',
	hostPeer: 'fl_host_peer',
};

export interface Devices {
	/** null = not wanted. */
	readonly overlay: LinkInfo | null;
	readonly host: LinkInfo;
	readonly hostPeer: LinkInfo;
	/** Devices that were made anew: programs refer to them by index and have to be loaded again. */
	readonly made: readonly string[];
	/** Devices that are no longer wanted. They carry routes and packets of programs until others do; RoutingExecutor.apply() removes them. */
	readonly retired: readonly LinkInfo[];
}

/**
 * Of the far end: it takes what programs send in from the loopback device, whose packets are larger than the routes into the pair allow. The largest
 * that a veth pair may have.
 */
const PEER_MTU = 65_535;

export interface DevicePlan {
	readonly overlay: OverlayPlan | null;
	/** MTU of the near end of the host pair in bytes, and so of routes into it. */
	readonly hostMtu: number;
}

export interface DeviceTools {
	readonly netlink: Pick<Netlink, 'apply' | 'link'>;
	readonly sysctl: Pick<Sysctl, 'apply'>;
}

/**
 * Makes what is missing, repairs what differs, names a VXLAN device that is no longer wanted.
 * @throws FairleadError DEVICE_CONFLICT when a name is taken by something else, NETLINK_REFUSED, SYSCTL_FAILED
 */
export async function ensureDevices(tools: DeviceTools, names: DeviceNames, plan: DevicePlan): Promise<Devices> {
	const made: string[] = [];
	const overlay = await ensureOverlay(tools, names, plan.overlay, made);
	const pair = await ensureHostPair(tools, names, plan.hostMtu, made);
	return { ...overlay, ...pair, made };
}

async function ensureOverlay(
	tools: DeviceTools,
	names: DeviceNames,
	plan: OverlayPlan | null,
	made: string[],
): Promise<Pick<Devices, 'overlay' | 'retired'>> {
	const name = names.overlay;
	const found = await tools.netlink.link({ name });
	if (found !== undefined && found.kind !== 'vxlan') throw conflict(found, 'a VXLAN device');
	if (plan === null) {
		return { overlay: null, retired: [found, await formerOverlay(tools, names)].filter((each) => each !== undefined) };
	}
	if (found?.vxlan?.collectMetadata !== true || found.vxlan.port !== plan.port) {
		await makeRoom(tools, names, found, plan);
		await tools.netlink.apply([addVxlan({ name, port: plan.port, collectMetadata: true })]);
		made.push(name);
	}
	tools.sysctl.apply(stackSettings(name));
	const former = await formerOverlay(tools, names);
	return { overlay: await settle(tools, name, plan.mtu), retired: former === undefined ? [] : [former] };
}

/** Also one that an agent has left which was killed before it had moved the routes. */
async function formerOverlay(tools: DeviceTools, names: DeviceNames): Promise<LinkInfo | undefined> {
	const found = await tools.netlink.link({ name: names.formerOverlay });
	return found?.kind === 'vxlan' ? found : undefined;
}

/**
 * Takes the overlay device out of the way of another one. A port cannot be changed in place, and with a device go its routes: it stays under
 * another name until these have moved. Two devices cannot have one port, and before 6.2 one that is up keeps its name (EBUSY): then it goes at
 * once, and until there are new routes, processes of the node that send to pods elsewhere are told that there is no way.
 */
async function makeRoom(
	tools: DeviceTools,
	names: DeviceNames,
	found: LinkInfo | undefined,
	plan: OverlayPlan,
): Promise<void> {
	const remove = ({ ifindex }: LinkInfo) => tools.netlink.apply([{ ...deleteLink({ ifindex }), tolerate: ['ENODEV'] }]);
	const former = await formerOverlay(tools, names);
	if (former !== undefined && (found !== undefined || former.vxlan?.port === plan.port)) await remove(former);
	if (found === undefined) return;
	if (found.vxlan?.port !== plan.port) {
		const change = setLink({ ifindex: found.ifindex }, { name: names.formerOverlay });
		await tools.netlink.apply([{ ...change, tolerate: ['EBUSY', 'EEXIST', 'ENODEV'] }]);
	}
	const stillThere = await tools.netlink.link({ name: names.overlay });
	if (stillThere !== undefined) await remove(stillThere);
}

async function ensureHostPair(
	tools: DeviceTools,
	names: DeviceNames,
	mtu: number,
	made: string[],
): Promise<Pick<Devices, 'host' | 'hostPeer'>> {
	const [host, peer] = [
		await tools.netlink.link({ name: names.host }),
		await tools.netlink.link({ name: names.hostPeer }),
	];
	for (const found of [host, peer]) {
		if (found !== undefined && found.kind !== 'veth') throw conflict(found, 'one side of a veth pair');
	}
	const usable = host !== undefined && peer !== undefined && host.peerIfindex === peer.ifindex;
	if (!usable) {
		const stale = [host, peer].filter((found) => found !== undefined);
		const removal = stale.map(({ name }) => ({ ...deleteLink({ name }), tolerate: ['ENODEV'] }));
		await tools.netlink.apply([
			...removal,
			addVeth({ name: names.host, mtu }, { name: names.hostPeer, mtu: PEER_MTU }),
		]);
		made.push(names.host);
	}
	tools.sysctl.apply([
		...stackSettings(names.host),
		// Answers of services come back with an address of this node as source when the backend is the node itself.
		{ path: ['net', 'ipv4', 'conf', names.host, 'accept_local'], value: '1' },
		{ path: ['net', 'ipv6', 'conf', names.hostPeer, 'disable_ipv6'], value: '1', optional: true },
	]);
	return { hostPeer: await settle(tools, names.hostPeer, PEER_MTU), host: await settle(tools, names.host, mtu) };
}

/** Sets MTU and brings it up, if that is not so already. */
async function settle(tools: DeviceTools, name: string, mtu: number): Promise<LinkInfo> {
	const link = await requireLink(tools, name);
	const changes: NetlinkMessage[] = [];
	if (link.mtu !== mtu) changes.push(setLink({ ifindex: link.ifindex }, { mtu }));
	if (!link.up) changes.push(setLink({ ifindex: link.ifindex }, { up: true }));
	if (changes.length === 0) return link;
	await tools.netlink.apply(changes);
	return requireLink(tools, name);
}

async function requireLink(tools: DeviceTools, name: string): Promise<LinkInfo> {
	const link = await tools.netlink.link({ name });
	if (link === undefined)
		throw new FairleadError('DEVICE_CONFLICT', `device ${name} vanished while it was being set up`);
	return link;
}

/**
 * A device of ours takes no configuration from what arrives on it and has no address of its own. rp_filter is loose,
 * because sources that arrive here may be routed elsewhere (remote nodes, services).
 */
function stackSettings(name: string): SysctlSetting[] {
	return [
		{ path: ['net', 'ipv4', 'conf', name, 'rp_filter'], value: '2' },
		{ path: ['net', 'ipv4', 'conf', name, 'send_redirects'], value: '0' },
		{ path: ['net', 'ipv4', 'conf', name, 'accept_redirects'], value: '0' },
		{ path: ['net', 'ipv6', 'conf', name, 'accept_ra'], value: '0', optional: true },
		{ path: ['net', 'ipv6', 'conf', name, 'accept_redirects'], value: '0', optional: true },
		{ path: ['net', 'ipv6', 'conf', name, 'addr_gen_mode'], value: '1', optional: true },
	];
}

function conflict(found: LinkInfo, wanted: string): FairleadError {
	const kind = found.kind === '' ? 'a physical device' : `of kind ${found.kind}`;
	return new FairleadError(
		'DEVICE_CONFLICT',
		`cannot use device ${found.name} as ${wanted}: it exists and is ${kind}; rename or remove it`,
		{ device: found.name },
	);
}
