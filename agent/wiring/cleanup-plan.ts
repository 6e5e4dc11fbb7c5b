/**
 * What of a node is Fairlead's and in which order it is taken away. Pure. Order: first no new pods are given to us, then their
 * interfaces go, then programs, devices, routes, maps; what lets a later run go on is last.
 */

import { HOST_IFNAME } from '../endpoints/attachment.ts';
import { type LinkInfo, type NeighbourInfo, ROUTE_PROTOCOL_FAIRLEAD, type RouteInfo } from '../kernel/netlink.ts';
import type { RememberedSetting } from '../kernel/sysctl-record.ts';
import { DEVICE_NAMES } from '../routing/devices.ts';
import { DNS_DEVICES } from '../routing/dns-device.ts';
import type { FoundAttachment } from './cleanup-facts.ts';

/** What is there. */
export interface CleanupFacts {
	readonly links: readonly LinkInfo[];
	readonly routes: readonly RouteInfo[];
	readonly neighbours: readonly NeighbourInfo[];
	/** Names of the attachments of programs that are pinned. */
	readonly attached: readonly string[];
	/** Pods that have an interface of ours. */
	readonly attachments: readonly FoundAttachment[];
	/** Settings of the node that we have changed, with what they are now. */
	readonly settings: readonly (RememberedSetting & { readonly now: string | undefined })[];
	/** Which of our paths exist. */
	readonly paths: readonly string[];
	/** Other CNI configurations, in the order in which runtimes look. */
	readonly otherConfigurations: readonly string[];
}

export interface CleanupPaths {
	readonly conflist: string;
	/** The same, after a reboot and before an agent's self-test. */
	readonly asideConflist: string;
	readonly executable: string;
	readonly bpffsDir: string;
	readonly runDir: string;
	readonly stateDir: string;
}

export type CleanupAction =
	| { readonly kind: 'remove'; readonly path: string }
	| { readonly kind: 'delete-link'; readonly name: string; readonly owner: string }
	| { readonly kind: 'detach'; readonly name: string }
	| { readonly kind: 'delete-route'; readonly route: RouteInfo }
	| { readonly kind: 'delete-neighbour'; readonly neighbour: NeighbourInfo }
	| { readonly kind: 'restore'; readonly setting: RememberedSetting };

export interface CleanupPlan {
	readonly actions: readonly CleanupAction[];
	/** What stays and what follows, one sentence each. */
	readonly notes: readonly string[];
}

/** Devices of the node itself, by name. Of a pair one side is enough. */
const DEVICES: readonly string[] = [
	DEVICE_NAMES.overlay,
	DEVICE_NAMES.formerOverlay,
	DEVICE_NAMES.host,
	DNS_DEVICES.near,
];
const UNREACHABLE = 7;

/** @param withState  attachments, addresses in cool-down and all else in the state directory go too */
export function planCleanup(facts: CleanupFacts, paths: CleanupPaths, withState: boolean): CleanupPlan {
	const { links, attachments, attached: names, settings } = facts;
	const has = (path: string): boolean => facts.paths.includes(path);
	const remove = (path: string): CleanupAction[] => (has(path) ? [{ kind: 'remove', path }] : []);
	const podLinks = links.filter(({ kind, name }) => kind === 'veth' && HOST_IFNAME.test(name));
	const devices = links.filter(({ name }) => DEVICES.includes(name));
	const routes = facts.routes.filter((route) => isOurs(route, [...podLinks, ...devices]));
	const inUse = attachments.filter(({ alive }) => alive);
	return {
		actions: [
			...remove(paths.conflist),
			...remove(paths.asideConflist),
			...podLinks.map(({ name }) => ({ kind: 'delete-link' as const, name, owner: ownerOf(name, attachments) })),
			...names.map((name) => ({ kind: 'detach' as const, name })),
			...routes.map((route) => ({ kind: 'delete-route' as const, route })),
			...nextHops(facts).map((neighbour) => ({ kind: 'delete-neighbour' as const, neighbour })),
			...devices.map(({ name }) => ({ kind: 'delete-link' as const, name, owner: 'node' })),
			...remove(paths.bpffsDir),
			...settings.filter(isAsWeSetIt).map((setting) => ({ kind: 'restore' as const, setting })),
			...(inUse.length === 0 ? remove(paths.executable) : []),
			...remove(paths.runDir),
			...(withState ? remove(paths.stateDir) : []),
		],
		notes: notesOf(facts, paths, { inUse, withState: withState || !has(paths.stateDir) }),
	};
}

/** Routes that go with a device are not named. */
function isOurs(route: RouteInfo, ourLinks: readonly LinkInfo[]): boolean {
	if (route.protocol !== ROUTE_PROTOCOL_FAIRLEAD) return false;
	return route.type === UNREACHABLE || !ourLinks.some(({ ifindex }) => ifindex === route.ifindex);
}

/** Neighbours that the kernel was asked to keep fresh because our routes need them. */
function nextHops({ routes, neighbours }: CleanupFacts): NeighbourInfo[] {
	const needed = new Set(
		routes
			.filter(({ protocol }) => protocol === ROUTE_PROTOCOL_FAIRLEAD)
			.map(({ ifindex, gateway }) => `${ifindex} ${gateway}`),
	);
	return neighbours.filter(
		({ managed, extLearned, ifindex, address }) => managed && extLearned && needed.has(`${ifindex} ${address}`),
	);
}

/** A setting that somebody has changed since is theirs. */
function isAsWeSetIt({ now, set, found }: CleanupFacts['settings'][number]): boolean {
	return now === set && now !== found;
}

function ownerOf(hostIfname: string, attachments: readonly FoundAttachment[]): string {
	return attachments.find((each) => each.hostIfname === hostIfname)?.owner ?? 'no pod';
}

function notesOf(
	{ otherConfigurations, settings, paths: present }: CleanupFacts,
	paths: CleanupPaths,
	o: { readonly inUse: readonly FoundAttachment[]; readonly withState: boolean },
): string[] {
	const next = otherConfigurations[0];
	const pods = o.inUse.map(({ owner }) => owner).join(', ');
	const then =
		next === undefined
			? 'no other CNI configuration is there: the node will be NotReady until there is one'
			: `CNI configuration ${next} is the next in force; it was never touched`;
	return [
		...(present.includes(paths.conflist) ? [then] : []),
		...(o.inUse.length === 0
			? []
			: [
					`these pods lose their network until they are started anew: ${pods}`,
					`${paths.executable} stays, since the runtime calls it to end them; clean up again when they are gone`,
				]),
		...settings
			.filter(({ now, set, found }) => now !== undefined && now !== set && now !== found)
			.map(({ path, now }) => `${path} is ${now}, which is not what was set here: left alone`),
		...(o.withState ? [] : [`${paths.stateDir} stays; --state removes it`]),
	];
}

/** For people. */
export function formatAction(action: CleanupAction): string {
	switch (action.kind) {
		case 'remove':
			return `remove ${action.path}`;
		case 'delete-link':
			return `delete interface ${action.name} (${action.owner})`;
		case 'detach':
			return `detach program ${action.name}`;
		case 'delete-route':
			return `delete route ${action.route.dst}`;
		case 'delete-neighbour':
			return `delete neighbour ${action.neighbour.address}`;
		case 'restore':
			return `set ${action.setting.path} back to ${action.setting.found}`;
	}
}
