/** Pure: what is planned against what the kernel has, for routes and neighbours. */
import {
	type NeighbourInfo,
	type NeighbourSpec,
	ROUTE_PROTOCOL_FAIRLEAD,
	type RouteInfo,
	type RouteSpec,
} from '../kernel/netlink-addresses.ts';
import type { Address } from '../model/address.ts';
import type { DeviceRole, NeighbourPlan, RoutePlan } from '../plan/routing-plan.ts';

const MAIN_TABLE = 254;
const RTN = { unicast: 1, unreachable: 7 } as const;

/** Interface index of each role; undefined = the device does not exist. */
export type RoleIndexes = Readonly<Partial<Record<DeviceRole, number>>>;

export interface RouteDiff {
	readonly replace: readonly RouteSpec[];
	readonly remove: readonly RouteSpec[];
	/** Planned routes whose device does not exist. */
	readonly impossible: readonly RoutePlan[];
}

/** A planned route for the kernel. @returns undefined when its device does not exist */
export function routeSpec(plan: RoutePlan, roles: RoleIndexes): RouteSpec | undefined {
	const ifindex = plan.device === null ? undefined : roles[plan.device];
	if (plan.device !== null && ifindex === undefined) return undefined;
	return {
		dst: plan.dst,
		type: plan.type,
		...(ifindex !== undefined && { ifindex }),
		...(plan.gateway !== null && { gateway: plan.gateway }),
		...(plan.onlink && { onlink: true }),
		...(plan.source !== null && { source: plan.source }),
		...(plan.mtu !== null && { mtu: plan.mtu }),
	};
}

/**
 * Of the routes in the kernel only ours count: protocol `fairlead`, main table, and either unreachable or through a
 * next hop. Routes to pods have none and belong to agent/endpoints.
 */
export function diffRoutes(plans: readonly RoutePlan[], existing: readonly RouteInfo[], roles: RoleIndexes): RouteDiff {
	const ours = existing.filter(isOurs);
	const replace: RouteSpec[] = [];
	const impossible: RoutePlan[] = [];
	const kept = new Set<RouteInfo>();
	for (const plan of plans) {
		const spec = routeSpec(plan, roles);
		if (spec === undefined) {
			impossible.push(plan);
			continue;
		}
		const same = ours.find((route) => route.dst === plan.dst && isSame(route, spec));
		if (same === undefined) replace.push(spec);
		else kept.add(same);
	}
	// A replaced destination needs no removal: the kernel has one route per destination and metric.
	const replaced = new Set(replace.map((spec) => spec.dst));
	const remove = ours.filter((route) => !kept.has(route) && !replaced.has(route.dst)).map(specOf);
	return { replace, remove, impossible };
}

export function isOurs(route: RouteInfo): boolean {
	if (route.table !== MAIN_TABLE || route.protocol !== ROUTE_PROTOCOL_FAIRLEAD) return false;
	return route.type === RTN.unreachable || (route.type === RTN.unicast && route.gateway !== undefined);
}

function isSame(route: RouteInfo, spec: RouteSpec): boolean {
	const type = spec.type === 'unreachable' ? RTN.unreachable : RTN.unicast;
	if (route.type !== type) return false;
	if (type === RTN.unreachable) return true; // IPv6 shows it on lo
	return (
		route.ifindex === spec.ifindex &&
		route.gateway === spec.gateway &&
		route.onlink === (spec.onlink === true) &&
		route.source === spec.source &&
		route.mtu === spec.mtu
	);
}

function specOf(route: RouteInfo): RouteSpec {
	const unreachable = route.type === RTN.unreachable;
	return {
		dst: route.dst,
		type: unreachable ? 'unreachable' : 'unicast',
		...(!unreachable && route.ifindex !== undefined && { ifindex: route.ifindex }),
		...(route.gateway !== undefined && { gateway: route.gateway }),
		...(route.priority !== undefined && { priority: route.priority }),
	};
}

export interface NeighbourDiff {
	readonly replace: readonly NeighbourSpec[];
	readonly remove: readonly { readonly ifindex: number; readonly address: Address }[];
	readonly impossible: readonly NeighbourPlan[];
}

export interface NeighbourRules {
	readonly roles: RoleIndexes;
	/** MAC that permanent neighbours of a role point at. */
	readonly macs: Readonly<Partial<Record<DeviceRole, Uint8Array>>>;
	/** NTF_MANAGED exists (kernel 5.16); false = `managed` neighbours are asked for again each time. */
	readonly canManage: boolean;
}

/** Ours are permanent neighbours of our own devices and managed ones of uplinks. */
export function diffNeighbours(
	plans: readonly NeighbourPlan[],
	existing: readonly NeighbourInfo[],
	rules: NeighbourRules,
): NeighbourDiff {
	const replace: NeighbourSpec[] = [];
	const impossible: NeighbourPlan[] = [];
	const planned = new Set<string>();
	for (const plan of plans) {
		const spec = neighbourSpec(plan, rules);
		if (spec === undefined) {
			impossible.push(plan);
			continue;
		}
		planned.add(`${spec.ifindex} ${spec.address}`);
		const present = existing.find((each) => each.ifindex === spec.ifindex && each.address === spec.address);
		if (present === undefined || !isSettled(present, spec)) replace.push(spec);
	}
	const own = new Set([rules.roles.overlay, rules.roles.host]);
	const remove = existing
		.filter((each) => (own.has(each.ifindex) ? each.permanent : isManagedUplink(each, rules)))
		.filter((each) => !planned.has(`${each.ifindex} ${each.address}`))
		.map(({ ifindex, address }) => ({ ifindex, address }));
	return { replace, remove, impossible };
}

function neighbourSpec(plan: NeighbourPlan, rules: NeighbourRules): NeighbourSpec | undefined {
	const ifindex = rules.roles[plan.device];
	if (ifindex === undefined) return undefined;
	const { address } = plan;
	if (plan.kind === 'managed') return { ifindex, address, kind: rules.canManage ? 'managed' : 'use' };
	const mac = rules.macs[plan.device];
	return mac === undefined ? undefined : { ifindex, address, mac, kind: 'permanent', router: true };
}

function isSettled(present: NeighbourInfo, spec: NeighbourSpec): boolean {
	switch (spec.kind) {
		case 'permanent':
			return present.permanent && sameBytes(present.mac, spec.mac);
		case 'managed':
			return present.managed && present.extLearned;
		case 'use':
			return false;
	}
}

function isManagedUplink(neighbour: NeighbourInfo, rules: NeighbourRules): boolean {
	return neighbour.ifindex === rules.roles.uplink && neighbour.managed && neighbour.extLearned;
}

function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
	return a !== undefined && b !== undefined && Buffer.compare(a, b) === 0;
}
