/**
 * Brings the node's devices, routes, neighbours and kernel settings to what the plan says. Idempotent: reads what the
 * kernel has and changes the difference. Order: neighbours before the routes that need them; devices that
 * carried routes until then go last.
 */
import { aggregateSetting } from '../kernel/aggregates.ts';
import {
	deleteLink,
	deleteNeighbour,
	deleteRoute,
	type Netlink,
	type NetlinkMessage,
	replaceNeighbour,
	replaceRoute,
	setLink,
} from '../kernel/netlink.ts';
import type { ChangedSetting, Sysctl } from '../kernel/sysctl.ts';
import type { NodeFacts, UplinkFacts } from '../model/node-facts.ts';
import type { RoutingPlan } from '../plan/routing-plan.ts';
import {
	DEVICE_NAMES,
	type DeviceNames,
	type DevicePlan,
	type Devices,
	ensureDevices,
	OVERLAY_MAC,
} from './devices.ts';
import { diffNeighbours, diffRoutes, type NeighbourRules, type RoleIndexes } from './diff.ts';

export interface RoutingOptions {
	readonly netlink: Pick<Netlink, 'apply' | 'send' | 'link' | 'routes' | 'neighbours'>;
	readonly sysctl: Pick<Sysctl, 'apply' | 'read'>;
	/** The kernel keeps managed neighbours fresh (5.16); otherwise call refreshNeighbours() every half minute. */
	readonly managedNeighbours: boolean;
	readonly names?: DeviceNames;
}

/** A change the kernel refused; everything else was applied. */
export interface RoutingFailure {
	readonly what: string;
	/** errno name, or why it was not tried. */
	readonly why: string;
}

export interface RoutingReport {
	/** Changes made, as text: empty when all was as planned. */
	readonly changes: readonly string[];
	readonly failures: readonly RoutingFailure[];
	/** Settings of uplinks that were changed. */
	readonly settings: readonly ChangedSetting[];
}

export class RoutingExecutor {
	readonly #options: RoutingOptions;
	readonly #names: DeviceNames;

	constructor(options: RoutingOptions) {
		this.#options = options;
		this.#names = options.names ?? DEVICE_NAMES;
	}

	/**
	 * Makes or repairs the devices; the programs are loaded with their indexes.
	 * @throws FairleadError DEVICE_CONFLICT, NETLINK_REFUSED, SYSCTL_FAILED
	 */
	ensureDevices(plan: DevicePlan): Promise<Devices> {
		return ensureDevices(this.#options, this.#names, plan);
	}

	/**
	 * Switches forwarding on. Uplinks that learn their routes by router advertisement go on doing so, which the
	 * kernel would otherwise end with forwarding. The loopback device takes packets from the node's own addresses and from those of
	 * services: programs hand them over there to processes that have asked for services by such addresses.
	 * @param uplinks  interface names
	 * @returns the settings that were changed, each with what it was
	 */
	enableForwarding(uplinks: readonly string[]): ChangedSetting[] {
		const { sysctl } = this.#options;
		const acceptRa = uplinks.map((uplink) => ['net', 'ipv6', 'conf', uplink, 'accept_ra']);
		const learning = acceptRa.filter((path) => sysctl.read(path) === '1');
		const isStrict = ['all', 'lo'].some((name) => sysctl.read(['net', 'ipv4', 'conf', name, 'rp_filter']) === '1');
		return sysctl.apply([
			...learning.map((path) => ({ path, value: '2', optional: true })),
			{ path: ['net', 'ipv4', 'ip_forward'], value: '1' },
			{ path: ['net', 'ipv6', 'conf', 'all', 'forwarding'], value: '1', optional: true },
			{ path: ['net', 'ipv4', 'conf', 'lo', 'accept_local'], value: '1' },
			...(isStrict ? [{ path: ['net', 'ipv4', 'conf', 'lo', 'rp_filter'], value: '2' }] : []),
		]);
	}

	/**
	 * Applies routes and neighbours of a plan, then removes devices that these no longer need. A refused change does not stop the others.
	 * Uplinks send what pods may send in one piece.
	 */
	async apply(
		plan: RoutingPlan,
		devices: Devices,
		{ uplink, moreUplinks }: Pick<NodeFacts, 'uplink' | 'moreUplinks'>,
	): Promise<RoutingReport> {
		const { netlink } = this.#options;
		const roles: RoleIndexes = {
			uplink: uplink.ifindex,
			host: devices.host.ifindex,
			...(devices.overlay !== null && { overlay: devices.overlay.ifindex }),
		};
		const macs = { overlay: OVERLAY_MAC, host: devices.hostPeer.mac };
		const neighbours = await this.#neighbourChanges(plan, { roles, macs, canManage: this.#options.managedNeighbours });
		const routes = diffRoutes(plan.routes, [...(await netlink.routes(4)), ...(await netlink.routes(6))], roles);
		const larger = [uplink, ...moreUplinks].flatMap((each) => largerAggregates(each, plan.podGso));
		const messages = [
			...larger.map(({ message }) => message),
			...neighbours.messages,
			...routes.replace.map(replaceRoute),
			...routes.remove.map((spec) => ({ ...deleteRoute(spec), tolerate: ['ESRCH', 'ENODEV'] })),
			...neighbours.removals,
			...devices.retired.map(({ ifindex }) => ({ ...deleteLink({ ifindex }), tolerate: ['ENODEV'] })),
		];
		const missing = [
			...routes.impossible.map((route) => ({
				what: `add route ${route.dst}`,
				why: `there is no ${route.device} device`,
			})),
			...neighbours.impossible,
		];
		const report = await this.#send(messages, missing);
		const done = larger.filter(({ message }) => report.changes.includes(message.what));
		return { ...report, settings: done.map(({ setting }) => setting) };
	}

	/** Asks again for next hops on kernels that do not keep them fresh themselves. */
	async refreshNeighbours(plan: RoutingPlan, uplinkIfindex: number): Promise<void> {
		if (this.#options.managedNeighbours) return;
		const managed = plan.neighbours.filter((neighbour) => neighbour.kind === 'managed');
		await this.#options.netlink.send(
			managed.map(({ address }) => replaceNeighbour({ ifindex: uplinkIfindex, address, kind: 'use' })),
		);
	}

	/** Removes everything of ours: routes, neighbours, devices. Kernel settings stay, because others may rely on them. */
	async remove(): Promise<void> {
		const { netlink } = this.#options;
		const routes = diffRoutes([], [...(await netlink.routes(4)), ...(await netlink.routes(6))], {});
		await netlink.apply(routes.remove.map((spec) => ({ ...deleteRoute(spec), tolerate: ['ESRCH', 'ENODEV'] })));
		for (const name of [this.#names.overlay, this.#names.formerOverlay, this.#names.host]) {
			const link = await netlink.link({ name });
			if (link === undefined) continue;
			await netlink.apply([{ ...deleteLink({ ifindex: link.ifindex }), tolerate: ['ENODEV'] }]);
		}
	}

	async #neighbourChanges(plan: RoutingPlan, rules: NeighbourRules) {
		const { netlink } = this.#options;
		const existing = [...(await netlink.neighbours(4)), ...(await netlink.neighbours(6))];
		const diff = diffNeighbours(plan.neighbours, existing, rules);
		return {
			messages: diff.replace.map(replaceNeighbour),
			removals: diff.remove.map((each) => ({ ...deleteNeighbour(each), tolerate: ['ENOENT', 'ENODEV'] })),
			impossible: diff.impossible.map(({ device, address }) => ({
				what: `add neighbour ${address}`,
				why: `there is no ${device} device`,
			})),
		};
	}

	async #send(
		messages: readonly NetlinkMessage[],
		missing: readonly RoutingFailure[],
	): Promise<Omit<RoutingReport, 'settings'>> {
		const replies = await this.#options.netlink.send(messages);
		const changes: string[] = [];
		const failures: RoutingFailure[] = [...missing];
		messages.forEach((message, index) => {
			const code = replies[index]?.code;
			if (code === undefined) changes.push(message.what);
			else if (message.tolerate?.includes(code) !== true) failures.push({ what: message.what, why: code });
		});
		return { changes, failures };
	}
}

/** What somebody has set to more stays, and so does what the driver does not take. */
function largerAggregates(
	{ name, ifindex, gso }: UplinkFacts,
	bytes: number,
): { readonly message: NetlinkMessage; readonly setting: ChangedSetting }[] {
	if (gso === undefined || gso.ipv4 >= bytes || gso.largest < bytes) return [];
	const message = setLink({ ifindex }, { gsoIpv4MaxSize: bytes });
	return [{ message, setting: aggregateSetting(name, bytes, gso.ipv4) }];
}
