/**
 * Services → what the maps must say. Pure: a function of objects and facts; nothing is remembered here.
 * Rules: Kubernetes service proxying as pkg/proxy does it (see docs/services.md once complete).
 */

import { SvcFlags, SvcScope } from '../../native/abi/generated.ts';
import type { Address, Family } from '../model/address.ts';
import { cidrContains, familyOf } from '../model/address.ts';
import type { ClusterView } from '../model/cluster-view.ts';
import type { EndpointSlice } from '../model/endpoint-slice.ts';
import { PROTOCOL_NUMBER } from '../model/fields.ts';
import type { HostPort } from '../model/host-port.ts';
import type { NodeFacts } from '../model/node-facts.ts';
import type { Service, ServicePort } from '../model/service.ts';
import { serviceKey } from '../model/service.ts';
import type { Backend } from './endpoints.ts';
import { backendKey, chooseEndpoints } from './endpoints.ts';

/** An address and port under which a service port answers: one entry of the map `services`. */
export interface Frontend {
	/** 'address|port|proto|scope': equal keys = the same map entry. */
	readonly key: string;
	readonly address: Address;
	/** 0 with proto 0: the address itself. */
	readonly port: number;
	readonly proto: number;
	/** enum svc_scope */
	readonly scope: number;
	/** enum svc_flags */
	readonly flags: number;
	/** The address is one of this node's (NodePort, hostPort). */
	readonly atNode: boolean;
}

/** One service port in one family: its entries share an id and backend lists. */
export interface DesiredPort {
	/** 'namespace/name:port/TCP/4', unique and stable over changes. */
	readonly name: string;
	/** Rank between ports that want the same entry: the smaller text wins, older services first. */
	readonly rank: string;
	readonly frontends: readonly Frontend[];
	readonly all: readonly Backend[];
	/** Empty unless a Local policy uses it. */
	readonly local: readonly Backend[];
	/** Rows that must exist; contains `all` and `local`. */
	readonly serving: readonly Backend[];
	/** 0 = no affinity. */
	readonly affinityTimeoutS: number;
}

export interface ServiceProblem {
	/** 'namespace/name' of the service or owner of the host port. */
	readonly owner: string;
	readonly message: string;
}

/** Everything one object wants. */
export interface OwnerPlan {
	/** Sorted by name. */
	readonly ports: readonly DesiredPort[];
	readonly problems: readonly ServiceProblem[];
}

export interface ServicesContext {
	readonly node: Pick<NodeFacts, 'name' | 'zone' | 'localAddresses'>;
	/** Node addresses at which NodePorts are open; see selectNodePortAddresses. */
	readonly nodePortAddresses: readonly Address[];
}

const EMPTY: OwnerPlan = { ports: [], problems: [] };

/** Desired state of all services and host ports, by owner. */
export function planServices(
	view: ClusterView,
	hostPorts: readonly HostPort[],
	context: ServicesContext,
): Map<string, OwnerPlan> {
	const plans = new Map<string, OwnerPlan>();
	for (const [key, service] of view.services) {
		plans.set(key, planService(service, view.slicesOf(key), context));
	}
	for (const [owner, plan] of planHostPorts(hostPorts, context)) plans.set(owner, plan);
	return plans;
}

/** Desired state of the named services only; a service that is gone has an empty plan. */
export function replanServices(
	view: ClusterView,
	names: Iterable<string>,
	context: ServicesContext,
): Map<string, OwnerPlan> {
	const plans = new Map<string, OwnerPlan>();
	for (const name of names) {
		const service = view.services.get(name);
		plans.set(name, service === undefined ? EMPTY : planService(service, view.slicesOf(name), context));
	}
	return plans;
}

/** True when the default proxy has nothing to do for it: headless, ExternalName, or another proxy's. */
export function isSkipped(service: Service): boolean {
	return (
		service.type === 'ExternalName' ||
		service.clusterIps.length === 0 ||
		service.proxyName !== null ||
		service.headlessLabel
	);
}

/** Desired state of one service. */
export function planService(service: Service, slices: readonly EndpointSlice[], context: ServicesContext): OwnerPlan {
	if (isSkipped(service)) return EMPTY;
	const problems: ServiceProblem[] = [];
	const lbIps = admittedLoadBalancerIps(service, problems);
	const usable = slices.filter((slice) => !slice.headlessLabel);
	const ports: DesiredPort[] = [];
	for (const family of [4, 6] as const) {
		const ofFamily = (list: readonly Address[]): readonly Address[] => list.filter((a) => familyOf(a) === family);
		const addresses: FamilyAddresses = {
			cluster: ofFamily(service.clusterIps),
			external: [...new Set(ofFamily([...service.externalIps, ...lbIps]))],
			node: ofFamily(context.nodePortAddresses),
		};
		if (addresses.cluster.length + addresses.external.length === 0) continue;
		for (const port of service.ports) ports.push(planPort(service, port, family, addresses, usable, context));
		if (service.ports.length > 0) ports.push(...addresses.cluster.map((a) => addressOnly(service, a)));
	}
	return { ports: ports.sort((a, b) => compareText(a.name, b.name)), problems };
}

interface FamilyAddresses {
	readonly cluster: readonly Address[];
	readonly external: readonly Address[];
	readonly node: readonly Address[];
}

function planPort(
	service: Service,
	port: ServicePort,
	family: Family,
	addresses: FamilyAddresses,
	slices: readonly EndpointSlice[],
	context: ServicesContext,
): DesiredPort {
	const choice = chooseEndpoints(slices, port, family, context.node);
	const localInternal = service.internalPolicy === 'Local';
	const localExternal = service.externalPolicy === 'Local';
	const common =
		(choice.anyEndpoints ? SvcFlags.ANY_ENDPOINTS : 0) | (service.affinityTimeoutS === null ? 0 : SvcFlags.AFFINITY);
	// The internal policy is about ClusterIPs only and the external one about all others: inside clients of an external
	// address get the whole list whatever the internal policy says.
	const clusterFlags = common | (localInternal ? SvcFlags.LOCAL_INTERNAL : 0);
	const externalFlags = common | (localExternal ? SvcFlags.LOCAL_EXTERNAL : 0);
	const proto = PROTOCOL_NUMBER[port.protocol];
	const nodeAddresses = port.nodePort > 0 && service.type !== 'ClusterIP' ? addresses.node : [];
	const atNode = (a: Address): boolean => context.node.localAddresses.includes(a);
	const frontends = uniqueFrontends([
		...addresses.cluster.map((a) => frontend(a, port.port, proto, SvcScope.CLUSTER, clusterFlags, false)),
		...addresses.external.map((a) => frontend(a, port.port, proto, SvcScope.EXTERNAL, externalFlags, atNode(a))),
		...nodeAddresses.map((a) => frontend(a, port.nodePort, proto, SvcScope.EXTERNAL, externalFlags, true)),
	]);
	return {
		name: `${serviceKey(service)}:${port.name}/${port.protocol}/${family}`,
		rank: rankOf(service),
		frontends,
		all: choice.all,
		local: localInternal || (localExternal && frontends.length > addresses.cluster.length) ? choice.local : [],
		serving: choice.serving,
		affinityTimeoutS: service.affinityTimeoutS ?? 0,
	};
}

/** An external address can be a node address, and its port the node port. */
function uniqueFrontends(frontends: readonly Frontend[]): readonly Frontend[] {
	return [...new Map(frontends.map((each) => [each.key, each])).values()];
}

/**
 * Load balancer addresses that may be opened. Source ranges are not in the maps yet, so an address that is restricted
 * stays closed here (its traffic goes on to the load balancer) rather than open to everybody.
 */
function admittedLoadBalancerIps(service: Service, problems: ServiceProblem[]): readonly Address[] {
	const { loadBalancerSourceRanges: ranges, loadBalancerIps } = service;
	const admitted = loadBalancerIps.filter((address) => {
		const own = ranges.filter((range) => familyOf(range) === familyOf(address));
		return ranges.length === 0 || own.some((range) => range.endsWith('/0'));
	});
	if (admitted.length < loadBalancerIps.length) {
		const closed = loadBalancerIps.filter((address) => !admitted.includes(address));
		problems.push({
			owner: serviceKey(service),
			message: `load balancer address ${closed.join(', ')} is not served here: loadBalancerSourceRanges cannot be enforced by this version`,
		});
	}
	return admitted;
}

/** The entry that says "this address is a service's, whatever the port": undefined ports are rejected. */
function addressOnly(service: Service, address: Address): DesiredPort {
	return {
		name: `${serviceKey(service)}:*/${address}`,
		rank: rankOf(service),
		frontends: [frontend(address, 0, 0, SvcScope.CLUSTER, SvcFlags.ADDRESS_ONLY, false)],
		all: [],
		local: [],
		serving: [],
		affinityTimeoutS: 0,
	};
}

/** Older services win; without a time stamp (plain files) the name decides. Services win over host ports. */
function rankOf(service: Service): string {
	return `0 ${service.created || '9'} ${serviceKey(service)}`;
}

function frontend(
	address: Address,
	port: number,
	proto: number,
	scope: number,
	flags: number,
	atNode: boolean,
): Frontend {
	return { key: `${address}|${port}|${proto}|${scope}`, address, port, proto, scope, flags, atNode };
}

/** Desired state of host ports, by owner ('hostport:' + pod). */
export function planHostPorts(hostPorts: readonly HostPort[], context: ServicesContext): Map<string, OwnerPlan> {
	const byOwner = new Map<string, DesiredPort[]>();
	for (const each of hostPorts) {
		const owner = hostPortOwner(each.owner);
		const ports = byOwner.get(owner) ?? [];
		byOwner.set(owner, ports);
		for (const address of each.podAddresses) {
			const port = planHostPort(each, address, context);
			if (port !== undefined) ports.push(port);
		}
	}
	const plans = new Map<string, OwnerPlan>();
	for (const [owner, ports] of byOwner) {
		plans.set(owner, { ports: ports.sort((a, b) => compareText(a.name, b.name)), problems: [] });
	}
	return plans;
}

/** Key of a pod's host ports among the owners. */
export function hostPortOwner(pod: string): string {
	return `hostport:${pod}`;
}

function planHostPort(each: HostPort, podAddress: Address, context: ServicesContext): DesiredPort | undefined {
	const family = familyOf(podAddress);
	const wanted = each.hostAddress;
	const everywhere = wanted === null || wanted === '0.0.0.0' || wanted === '::';
	const addresses = everywhere ? context.node.localAddresses : [wanted];
	const proto = PROTOCOL_NUMBER[each.protocol];
	const flags = SvcFlags.HOST_PORT | SvcFlags.ANY_ENDPOINTS;
	const frontends = addresses
		.filter((a) => familyOf(a) === family)
		.map((a) => frontend(a, each.hostPort, proto, SvcScope.EXTERNAL, flags, true));
	if (frontends.length === 0) return undefined;
	const key = backendKey(podAddress, each.podPort, proto);
	const row: Backend = { key, address: podAddress, port: each.podPort, proto, live: true, terminating: false };
	return {
		name: `${hostPortOwner(each.owner)}:${wanted ?? '*'}:${each.hostPort}/${each.protocol}/${family}`,
		rank: `1 ${each.owner}`,
		frontends,
		all: [row],
		local: [],
		serving: [row],
		affinityTimeoutS: 0,
	};
}

/**
 * Node addresses at which NodePorts are open.
 * @param setting  'primary' = the node's own address of each family; else CIDRs that select among the local addresses,
 *                 and a family without a CIDR has all of its addresses open
 */
export function selectNodePortAddresses(
	node: Pick<NodeFacts, 'addresses' | 'localAddresses'>,
	setting: 'primary' | readonly string[],
): readonly Address[] {
	if (setting === 'primary') return node.addresses;
	return node.localAddresses.filter((address) => {
		const own = setting.filter((range) => familyOf(range) === familyOf(address));
		return own.length === 0 || own.some((range) => cidrContains(range, address));
	});
}

function compareText(a: string, b: string): number {
	return a < b ? -1 : a > b ? 1 : 0;
}
