/**
 * Services → what the maps must say. Pure: a function of objects and facts; nothing is remembered here.
 * Rules: Kubernetes service proxying as pkg/proxy does it; docs/services.md says which test shows which of them.
 */
import { BackendFlags, SvcFlags, SvcScope } from '../../native/abi/generated.ts';
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
import { maglevSize } from './maglev.ts';
import { reusePlan } from './services-reuse.ts';
import type { SourceSet } from './services-sources.ts';
import { ANYBODY, sourceSetOf } from './services-sources.ts';

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
	/** Who may connect. */
	readonly sources: SourceSet;
}

/** One service port in one family: its entries share an id. Lists are sorted by key. */
export interface DesiredPort {
	/** 'namespace/name:port/TCP/4', unique and stable over changes. */
	readonly name: string;
	/** Rank between ports that want the same entry: the smaller text wins, older services first. */
	readonly rank: string;
	readonly frontends: readonly Frontend[];
	/** `all` of frontends of cluster scope. */
	readonly all: readonly Backend[];
	/** Size of the Maglev table made of `all`; 0 = a plain list. */
	readonly allTable: number;
	/** `all` of frontends of external scope; the same object as `all` when nothing tells them apart. */
	readonly external: readonly Backend[];
	readonly externalTable: number;
	/** Empty unless a Local policy uses it, or other nodes may send what is for one of them whatever the tables of this node name. */
	readonly local: readonly Backend[];
	/** Rows that must exist; contains all lists. */
	readonly serving: readonly Backend[];
	/** 0 = no affinity. */
	readonly affinityTimeoutS: number;
	/** A changed external table takes effect with the one before it beside it: packets of flows to some frontend are not tracked. */
	readonly transitions: boolean;
	/** From a second change on every flow is remembered: servers that are no nodes cannot send on what is another one's. */
	readonly remembersAll: boolean;
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

/** How a backend is chosen for a new connection. */
export const LB_ALGORITHMS = ['random', 'maglev', 'least-conn'] as const;
export type LbAlgorithm = (typeof LB_ALGORITHMS)[number];

export interface ServicesContext {
	readonly node: Pick<NodeFacts, 'name' | 'zone' | 'addresses' | 'localAddresses'>;
	/** Node addresses at which NodePorts are open; see selectNodePortAddresses. */
	readonly nodePortAddresses: readonly Address[];
	/** Services of this name only (label service.kubernetes.io/service-proxy-name); '' or absent = those without one. */
	readonly proxyName?: string;
	/** spec.externalIPs are served; default true. */
	readonly externalIps?: boolean;
	/** For services without an annotation; default random. */
	readonly lbAlgorithm?: LbAlgorithm;
	/** There is no cluster: services need no ClusterIP and have only the families that the node has. */
	readonly standalone?: boolean;
	/** Clients outside are answered by the backend's node: their services need Maglev tables, and transitions of them. */
	readonly dsr?: boolean;
	/** ... at NodePorts too, if all nodes have them at the address that others know them by; default true. */
	readonly nodePortDsr?: boolean;
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

/**
 * Desired state of the named services only; a service that is gone has an empty plan.
 * @param before  earlier plans, whose parts are used again where nothing has changed
 */
export function replanServices(
	view: ClusterView,
	names: Iterable<string>,
	context: ServicesContext,
	before: ReadonlyMap<string, OwnerPlan> = new Map(),
): Map<string, OwnerPlan> {
	const plans = new Map<string, OwnerPlan>();
	for (const name of names) {
		const service = view.services.get(name);
		const plan = service === undefined ? EMPTY : planService(service, view.slicesOf(name), context);
		plans.set(name, reusePlan(before.get(name), plan));
	}
	return plans;
}

/** True when this proxy has nothing to do for it: headless, ExternalName, or another proxy's. Without a cluster none is headless. */
export function isSkipped(service: Service, proxyName = '', standalone = false): boolean {
	return (
		service.type === 'ExternalName' ||
		(service.clusterIps.length === 0 && !standalone) ||
		(service.proxyName ?? '') !== proxyName ||
		(service.proxyName !== null && proxyName === '') ||
		service.headlessLabel
	);
}

/** Desired state of one service. */
export function planService(service: Service, slices: readonly EndpointSlice[], context: ServicesContext): OwnerPlan {
	if (isSkipped(service, context.proxyName, context.standalone)) return EMPTY;
	const usable = slices.filter((slice) => !slice.headlessLabel);
	const ports: DesiredPort[] = [];
	for (const family of [4, 6] as const) {
		const addresses = addressesOf(service, family, context);
		const ofFamily = context.standalone === true ? context.node.addresses.filter(isOf(family)) : addresses.cluster;
		if (ofFamily.length === 0) continue;
		for (const port of service.ports) ports.push(planPort(service, port, family, addresses, usable, context));
		if (service.ports.length > 0) ports.push(...addresses.cluster.map((a) => addressOnly(service, a)));
	}
	if (ports.length > 1) ports.sort((a, b) => compareText(a.name, b.name));
	return { ports, problems: problemsOf(service) };
}

const NO_PROBLEMS: readonly ServiceProblem[] = [];

function problemsOf(service: Service): readonly ServiceProblem[] {
	const { lbAlgorithm } = service;
	if (lbAlgorithm === '' || isAlgorithm(lbAlgorithm)) return NO_PROBLEMS;
	const words = LB_ALGORITHMS.join(', ');
	const message = `annotation fairlead.dev/lb-algorithm is ${JSON.stringify(lbAlgorithm)}: expected one of ${words}; the default is used`;
	return [{ owner: serviceKey(service), message }];
}

function isAlgorithm(text: string): text is LbAlgorithm {
	return (LB_ALGORITHMS as readonly string[]).includes(text);
}

interface FamilyAddresses {
	readonly cluster: readonly Address[];
	/** externalIPs and load balancer VIPs. */
	readonly external: readonly Address[];
	readonly loadBalancer: ReadonlySet<Address>;
	readonly node: readonly Address[];
	/** Of the load balancer VIPs. */
	readonly sources: SourceSet;
}

const isOf =
	(family: Family) =>
	(address: Address): boolean =>
		familyOf(address) === family;

const NO_ADDRESSES: readonly Address[] = [];
const NO_VIPS: ReadonlySet<Address> = new Set();

function addressesOf(service: Service, family: Family, context: ServicesContext): FamilyAddresses {
	const ofFamily = (list: readonly Address[]): readonly Address[] =>
		list.length === 0 ? list : list.filter(isOf(family));
	const vips = ofFamily(service.loadBalancerIps);
	const externalIps = context.externalIps === false ? NO_ADDRESSES : ofFamily(service.externalIps);
	return {
		cluster: ofFamily(service.clusterIps),
		external: vips.length + externalIps.length === 0 ? NO_ADDRESSES : [...new Set([...externalIps, ...vips])],
		loadBalancer: vips.length === 0 ? NO_VIPS : new Set(vips),
		node: ofFamily(context.nodePortAddresses),
		sources:
			vips.length === 0 ? ANYBODY : sourceSetOf(service.loadBalancerSourceRanges, family, vips, context.node.addresses),
	};
}

/** What the frontends of one scope do with a new connection. */
interface Balancing {
	readonly flags: number;
	/** Size of the Maglev table; 0 = a plain list. */
	readonly table: number;
}

const ALGORITHM_FLAGS: Readonly<Record<LbAlgorithm, number>> = {
	random: 0,
	maglev: SvcFlags.MAGLEV,
	'least-conn': SvcFlags.LEAST_CONN,
};

function algorithmsOf(service: Service, context: ServicesContext): { cluster: LbAlgorithm; external: LbAlgorithm } {
	if (isAlgorithm(service.lbAlgorithm)) return { cluster: service.lbAlgorithm, external: service.lbAlgorithm };
	const cluster = context.lbAlgorithm ?? 'random';
	return { cluster, external: isStateless(service, context) ? 'maglev' : cluster };
}

/** Outside clients are served by hash alone (bpf/lib/dsr.h): no state per client, and any node's backends will do. */
function isStateless(service: Service, context: ServicesContext): boolean {
	return context.dsr === true && service.externalPolicy === 'Cluster' && service.affinityTimeoutS === null;
}

function balancing(algorithm: LbAlgorithm, backends: readonly Backend[]): Balancing {
	const table = algorithm === 'maglev' && backends.length > 0 ? maglevSize(backends.length) : 0;
	return { flags: ALGORITHM_FLAGS[algorithm], table };
}

function planPort(
	service: Service,
	port: ServicePort,
	family: Family,
	addresses: FamilyAddresses,
	slices: readonly EndpointSlice[],
	context: ServicesContext,
): DesiredPort {
	const nodeAddresses = port.nodePort > 0 && service.type !== 'ClusterIP' ? addresses.node : NO_ADDRESSES;
	const hasExternal = addresses.external.length + nodeAddresses.length > 0;
	const algorithms = algorithmsOf(service, context);
	// Nodes must agree about external addresses: a client's packets may come in by any of them.
	const everywhere = hasExternal && algorithms.external === 'maglev';
	const choice = chooseEndpoints(slices, port, family, context.node, { everywhere });
	const external = everywhere ? choice.everywhere : choice.all;
	const cluster = balancing(algorithms.cluster, choice.all);
	const outer = hasExternal ? balancing(algorithms.external, external) : cluster;
	const localInternal = service.internalPolicy === 'Local';
	const localExternal = service.externalPolicy === 'Local';
	const frontends = frontendsOf(service, port, {
		addresses: { ...addresses, node: nodeAddresses },
		anyEndpoints: choice.anyEndpoints,
		clusterFlags: cluster.flags,
		externalFlags: outer.flags | trackedFlag(context, port, external),
		nodePortFlags: context.dsr === true && context.nodePortDsr === false ? SvcFlags.TRACKED : 0,
		localAddresses: context.node.localAddresses,
	});
	const transitions = everywhere && isStateless(service, context) && frontends.some(isServedByHash);
	const usesLocal = localInternal || (localExternal && hasExternal) || (transitions && context.standalone !== true);
	return {
		name: `${serviceKey(service)}:${port.name}/${port.protocol}/${family}`,
		rank: rankOf(service),
		frontends,
		all: choice.all,
		allTable: cluster.table,
		external: hasExternal ? external : choice.all,
		externalTable: outer.table,
		local: usesLocal ? choice.local : NO_BACKENDS,
		serving: choice.serving,
		affinityTimeoutS: service.affinityTimeoutS ?? 0,
		transitions,
		remembersAll: context.standalone === true,
	};
}

const NO_BACKENDS: readonly Backend[] = [];

/** Source ranges and TRACKED keep a frontend from it (bpf/lib/dsr.h, dsr_is_served). */
function isServedByHash({ scope, flags, sources }: Frontend): boolean {
	return scope === SvcScope.EXTERNAL && (flags & SvcFlags.TRACKED) === 0 && sources === ANYBODY;
}

/** Servers that are no nodes get packets as clients sent them: who listens at another port gets the way with connection tracking. */
function trackedFlag({ dsr, standalone }: ServicesContext, port: ServicePort, backends: readonly Backend[]): number {
	const asSent = dsr !== true || standalone !== true || backends.every((each) => each.port === port.port);
	return asSent ? 0 : SvcFlags.TRACKED;
}

interface FrontendParts {
	readonly addresses: FamilyAddresses;
	readonly anyEndpoints: boolean;
	/** Of the algorithms: enum svc_flags. */
	readonly clusterFlags: number;
	readonly externalFlags: number;
	/** Of NodePorts besides. */
	readonly nodePortFlags: number;
	readonly localAddresses: readonly Address[];
}

function frontendsOf(service: Service, port: ServicePort, parts: FrontendParts): readonly Frontend[] {
	const { addresses, anyEndpoints, localAddresses } = parts;
	const common =
		(anyEndpoints ? SvcFlags.ANY_ENDPOINTS : 0) | (service.affinityTimeoutS === null ? 0 : SvcFlags.AFFINITY);
	// The internal policy is about ClusterIPs only, whoever the client is, and the external one about all others and
	// outside clients: inside clients of an external address get the whole list whatever the policies say.
	const localInternal = service.internalPolicy === 'Local' ? SvcFlags.LOCAL_INTERNAL | SvcFlags.LOCAL_EXTERNAL : 0;
	const localExternal = service.externalPolicy === 'Local' ? SvcFlags.LOCAL_EXTERNAL : 0;
	const clusterFlags = common | parts.clusterFlags | localInternal;
	const externalFlags = common | parts.externalFlags | localExternal;
	const proto = PROTOCOL_NUMBER[port.protocol];
	const atNode = (a: Address): boolean => localAddresses.includes(a);
	const sourcesOf = (a: Address): SourceSet => (addresses.loadBalancer.has(a) ? addresses.sources : ANYBODY);
	const frontends = addresses.cluster.map((a) => frontend(a, port.port, proto, SvcScope.CLUSTER, clusterFlags, false));
	for (const a of addresses.external) {
		frontends.push(frontend(a, port.port, proto, SvcScope.EXTERNAL, externalFlags, atNode(a), sourcesOf(a)));
	}
	const keys = new Set(frontends.map(({ key }) => key));
	for (const a of addresses.node) {
		// An external address can be a node address, and its port the node port.
		const flags = externalFlags | parts.nodePortFlags;
		const each = frontend(a, port.nodePort, proto, SvcScope.EXTERNAL, flags, true);
		if (!keys.has(each.key)) frontends.push(each);
	}
	return frontends;
}

/** The entry that says "this address is a service's, whatever the port": undefined ports are rejected. */
function addressOnly(service: Service, address: Address): DesiredPort {
	return {
		name: `${serviceKey(service)}:*/${address}`,
		rank: rankOf(service),
		frontends: [frontend(address, 0, 0, SvcScope.CLUSTER, SvcFlags.ADDRESS_ONLY, false)],
		all: NO_BACKENDS,
		allTable: 0,
		external: NO_BACKENDS,
		externalTable: 0,
		local: NO_BACKENDS,
		serving: NO_BACKENDS,
		affinityTimeoutS: 0,
		transitions: false,
		remembersAll: false,
	};
}

/** Older services win; without a time stamp (plain files) the name decides. Services win over host ports. */
function rankOf(service: Service): string {
	return `0 ${service.created || '9'} ${serviceKey(service)}`;
}

/** Key of a frontend among those of all services. */
export function frontendKey(address: Address, port: number, proto: number, scope: number): string {
	return `${address}|${port}|${proto}|${scope}`;
}

function frontend(
	address: Address,
	port: number,
	proto: number,
	scope: number,
	flags: number,
	atNode: boolean,
	sources: SourceSet = ANYBODY,
): Frontend {
	return { key: frontendKey(address, port, proto, scope), address, port, proto, scope, flags, atNode, sources };
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
	const rowFlags = BackendFlags.LIVE | BackendFlags.LOCAL | BackendFlags.SERVING;
	const rows: readonly Backend[] = [{ key, address: podAddress, port: each.podPort, proto, flags: rowFlags }];
	return {
		name: `${hostPortOwner(each.owner)}:${wanted ?? '*'}:${each.hostPort}/${each.protocol}/${family}`,
		rank: `1 ${each.owner}`,
		frontends,
		all: rows,
		allTable: 0,
		external: rows,
		externalTable: 0,
		local: NO_BACKENDS,
		serving: rows,
		affinityTimeoutS: 0,
		transitions: false,
		remembersAll: false,
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
