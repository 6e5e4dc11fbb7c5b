/**
 * What a new connection to a Service must come to, straight from Kubernetes objects by the rules of kube-proxy: no maps, no
 * plans, nothing of the agent's. Slow and plain on purpose; plans, maps and programs are held against it.
 *
 * Two sets of rules: `kubernetes` is what kube-proxy (nftables) does, `fairlead` differs where CHOICES says so.
 */
import type { Answer, Outcome, Place, Probe } from './service-oracle-probe.ts';
import { answered, rejectionOf } from './service-oracle-probe.ts';
import type { RawEndpoint, RawService, RawSlice } from './service-rules-objects.ts';
import { canonical, familyOfText, within } from './service-rules-objects.ts';

/** Where Fairlead chooses otherwise than kube-proxy. */
export const CHOICES = {
	keepSource:
		'the client keeps its address unless the backend is on another node and the client outside: replies find back without',
	hostLoop:
		'to a process of its own node, a process that the socket programs missed appears as the service: the answer must come by us',
	socketHairpin:
		'a process that reaches its own pod through the socket path keeps its address: no packet is translated',
	maglevIgnoresHints:
		'where external addresses are balanced by Maglev, hints do not apply to them: all nodes must choose alike',
	affinityOutranksHints:
		'a client that has met a backend at an external address balanced by Maglev stays with it at the ClusterIP, hints or not',
	spoofed: 'packets from outside with the source of this node, of its pods or of a ClusterIP are dropped',
	directReturn:
		'with direct server return clients outside keep their address towards pods of other nodes as well, which answer them',
	looksBack:
		'with direct server return nobody knows which datagram is the first: after a change it may go to a pod of before that serves still, and by way of the node if the backend of before is no pod',
} as const;

export interface RulesNode {
	readonly name: string;
	readonly zone?: string;
	/** At most one per family. */
	readonly addresses: readonly string[];
	/** Those at which NodePorts are open. */
	readonly nodePortAddresses: readonly string[];
	/** All of the machine. */
	readonly localAddresses: readonly string[];
	readonly podCidrs: readonly string[];
}

export interface RulesWorld {
	readonly services: readonly RawService[];
	readonly slices: readonly RawSlice[];
	readonly node: RulesNode;
	/** Addresses of pods that are attached to this node. */
	readonly localPods: readonly string[];
	readonly otherNodes: readonly { readonly addresses: readonly string[]; readonly podCidrs: readonly string[] }[];
	/** All pods of the cluster. */
	readonly clusterCidrs: readonly string[];
	readonly serviceCidrs: readonly string[];
	/** Pods keep their address towards these. */
	readonly nonMasqueradeCidrs: readonly string[];
	readonly externalIps?: boolean;
	readonly proxyName?: string;
	readonly lbAlgorithm?: 'random' | 'maglev' | 'least-conn';
	readonly dsr?: boolean;
}

export interface RulesOptions {
	readonly rules: 'kubernetes' | 'fairlead';
	/** Backend that a client has from an earlier connection within the timeout, as 'address port'. */
	readonly remembered?: string;
	/** Clients outside are served by direct server return where the world has it; else what holds for who is not. */
	readonly directReturn?: boolean;
	/** Sets of backends have changed, or may just be doing so. */
	readonly changed?: boolean;
}

type Port = NonNullable<RawService['spec']['ports']>[number];

/** A service port that answers at the probe's destination. */
export interface Match {
	readonly service: RawService;
	readonly port: Port;
	readonly via: 'cluster IP' | 'external IP' | 'load balancer' | 'node port';
}

export function expectedOutcome(world: RulesWorld, probe: Probe, options: RulesOptions): Outcome {
	if (options.rules === 'fairlead' && isSpoofed(world, probe)) return { kind: 'dropped', why: 'spoofed source' };
	const match = findService(world, probe);
	if (match === undefined) return withoutService(world, probe);
	if (match.via === 'load balancer' && !sourceAllowed(world, match.service, probe)) {
		return { kind: 'dropped', why: 'source not allowed' };
	}
	const family = familyOfText(probe.address);
	const endpoints = endpointsOf(world, match.service, match.port, family).filter(
		(e) => e.ready || (e.serving && e.terminating),
	);
	if (endpoints.length === 0) return { kind: 'rejected', why: 'no endpoint', by: rejectionOf(probe) };
	const local = usesLocalList(match, probe);
	const everywhere = options.rules === 'fairlead' && isExternalMaglev(world, match, family);
	const hints = !(everywhere && match.via !== 'cluster IP');
	const list = local ? localList(world, endpoints) : clusterList(world, endpoints, hints);
	if (list.length === 0) return { kind: 'dropped', why: 'no local endpoint' };
	const kept = everywhere && !local ? clusterList(world, endpoints, false) : list;
	const sticky =
		match.service.spec.sessionAffinity === 'ClientIP'
			? kept.filter((e) => `${e.address} ${e.port}` === options.remembered)
			: [];
	const chosen = sticky.length > 0 ? sticky : list;
	const answers = (by: readonly RuleEndpoint[], direct: boolean) =>
		by.map((e) => answerOf(world, probe, match, { local, direct }, e, options));
	if (!options.directReturn || !isServedByHash(world, probe, match)) return answered(answers(chosen, false));
	const looksBack = options.changed === true && probe.protocol !== 'TCP';
	const pods = endpoints.filter((e) => isPod(world, e));
	return answered([
		...answers(chosen, true),
		...(looksBack ? answers(pods, true) : []),
		...(looksBack && pods.length < endpoints.length ? answers(chosen, false) : []),
	]);
}

function withoutService(world: RulesWorld, probe: Probe): Outcome {
	const isClusterIp = servedServices(world).some(
		(service) => (service.spec.ports ?? []).length > 0 && clusterIps(service).includes(probe.address),
	);
	if (isClusterIp) return { kind: 'rejected', why: 'undefined port', by: rejectionOf(probe) };
	const isFree = world.serviceCidrs.some((cidr) => within(cidr, probe.address));
	return isFree ? { kind: 'dropped', why: 'unassigned address' } : { kind: 'not a service' };
}

function isSpoofed(world: RulesWorld, { client }: Probe): boolean {
	if (client.kind !== 'outside') return false;
	return (
		world.node.addresses.includes(client.address) ||
		world.node.podCidrs.some((cidr) => within(cidr, client.address)) ||
		servedServices(world).some((s) => (s.spec.ports ?? []).length > 0 && clusterIps(s).includes(client.address))
	);
}

/** Services of this proxy, the oldest first: it wins an address and port that several claim. */
function servedServices(world: RulesWorld): RawService[] {
	const age = ({ metadata }: RawService): string =>
		`${metadata.creationTimestamp ?? '9'} ${metadata.namespace}/${metadata.name}`;
	return world.services
		.filter(({ metadata, spec }) => {
			if (spec.type === 'ExternalName') return false;
			const labels = metadata.labels ?? {};
			const proxy = labels['service.kubernetes.io/service-proxy-name'];
			if ('service.kubernetes.io/headless' in labels) return false;
			return world.proxyName ? proxy === world.proxyName : proxy === undefined;
		})
		.filter((service) => clusterIps(service).length > 0)
		.sort((a, b) => (age(a) < age(b) ? -1 : 1));
}

function clusterIps({ spec }: RawService): string[] {
	const ips = (spec.clusterIPs ?? []).length > 0 ? (spec.clusterIPs ?? []) : [spec.clusterIP ?? ''];
	return ips.filter((ip) => ip !== '' && ip !== 'None').map(canonical);
}

function balancerIps({ status }: RawService): string[] {
	return (status?.loadBalancer?.ingress ?? [])
		.filter(({ ip, ipMode }) => ip !== undefined && ip !== '' && (ipMode ?? 'VIP') === 'VIP')
		.map(({ ip }) => canonical(ip ?? ''));
}

/** The service port behind the destination of a probe, if there is one. */
export function findService(world: RulesWorld, probe: Probe): Match | undefined {
	for (const service of servedServices(world)) {
		for (const port of service.spec.ports ?? []) {
			if ((port.protocol ?? 'TCP') !== probe.protocol) continue;
			const via = answersAt(world, service, port, probe);
			if (via !== undefined) return { service, port, via };
		}
	}
	return undefined;
}

function answersAt(world: RulesWorld, service: RawService, port: Port, probe: Probe): Match['via'] | undefined {
	const { address } = probe;
	// Each family is served by itself: without a ClusterIP of the family there is nothing of it.
	if (!clusterIps(service).some((ip) => familyOfText(ip) === familyOfText(address))) return undefined;
	if (port.port === probe.port) {
		if (clusterIps(service).includes(address)) return 'cluster IP';
		// An address that is both is filtered by source, as the firewall of kube-proxy knows no more than address and port.
		if (balancerIps(service).includes(address)) return 'load balancer';
		const externalIps = world.externalIps === false ? [] : (service.spec.externalIPs ?? []);
		if (externalIps.map(canonical).includes(address)) return 'external IP';
	}
	const opensNodePort = service.spec.type === 'NodePort' || service.spec.type === 'LoadBalancer';
	if (!opensNodePort || !port.nodePort || port.nodePort !== probe.port) return undefined;
	return world.node.nodePortAddresses.includes(address) ? 'node port' : undefined;
}

/** loadBalancerSourceRanges of the family; a node in range may also come with one of the VIPs as its source. */
function sourceAllowed(world: RulesWorld, service: RawService, { client, address }: Probe): boolean {
	const ranges = sourceRanges(service, familyOfText(address));
	if (ranges.length === 0 || ranges.some((range) => within(range, client.address))) return true;
	const nodeAllowed = world.node.addresses.some((own) => ranges.some((range) => within(range, own)));
	return nodeAllowed && balancerIps(service).includes(client.address);
}

/** None = everybody. */
function sourceRanges({ spec }: RawService, family: 4 | 6): string[] {
	const ranges = (spec.loadBalancerSourceRanges ?? [])
		.map((range) => range.trim())
		.filter((range) => familyOfText(range) === family);
	return ranges.some((range) => range.endsWith('/0')) ? [] : ranges;
}

/** Endpoints that serve the service port, as 'address port', whatever list they are in: flows to them stay. */
export function servingEndpoints(world: RulesWorld, { service, port }: Match, family: 4 | 6): Set<string> {
	const serving = endpointsOf(world, service, port, family).filter((e) => e.ready || (e.serving && e.terminating));
	return new Set(serving.map((e) => `${e.address} ${e.port}`));
}

interface RuleEndpoint {
	readonly address: string;
	readonly port: number;
	readonly ready: boolean;
	readonly serving: boolean;
	readonly terminating: boolean;
	readonly node: string;
	readonly zoneHints: readonly string[];
	readonly nodeHints: readonly string[];
}

/** All endpoints of the port, each address and number once: rather the copy that stays, then the ready one, then the first. */
function endpointsOf(world: RulesWorld, service: RawService, port: Port, family: 4 | 6): RuleEndpoint[] {
	const slices = world.slices
		.filter(({ metadata }) => metadata.namespace === service.metadata.namespace)
		.filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === service.metadata.name)
		.filter(({ metadata }) => !('service.kubernetes.io/headless' in (metadata.labels ?? {})))
		.filter(({ addressType }) => addressType === `IPv${family}`)
		.sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
	const found: RuleEndpoint[] = [];
	for (const slice of slices) {
		for (const each of slice.ports ?? []) {
			if ((each.name ?? '') !== (port.name ?? '') || (each.protocol ?? 'TCP') !== (port.protocol ?? 'TCP')) continue;
			if (!each.port) continue;
			for (const endpoint of slice.endpoints) found.push(readEndpoint(endpoint, each.port));
		}
	}
	const best = (copies: readonly RuleEndpoint[]): RuleEndpoint => {
		const staying = copies.filter((e) => !e.terminating);
		const from = staying.length > 0 ? staying : copies;
		return (from.find((e) => e.ready) ?? from[0]) as RuleEndpoint;
	};
	const groups = Map.groupBy(found, (e) => `${e.address} ${e.port}`);
	return [...groups.values()].map(best);
}

function readEndpoint({ addresses, conditions, nodeName, hints }: RawEndpoint, port: number): RuleEndpoint {
	return {
		address: canonical(addresses[0] ?? ''),
		port,
		ready: conditions?.ready ?? true,
		serving: conditions?.serving ?? true,
		terminating: conditions?.terminating ?? false,
		node: nodeName ?? '',
		zoneHints: (hints?.forZones ?? []).map((h) => h.name),
		nodeHints: (hints?.forNodes ?? []).map((h) => h.name),
	};
}

/** Ready ones near enough; without any, those that still serve although they are on their way out. */
function clusterList({ node }: RulesWorld, endpoints: readonly RuleEndpoint[], hints: boolean): RuleEndpoint[] {
	const ready = endpoints.filter((e) => e.ready);
	if (ready.length === 0) return endpoints.filter((e) => e.serving && e.terminating);
	if (!hints) return ready;
	const sameNode = ready.filter((e) => e.nodeHints.includes(node.name));
	if (ready.every((e) => e.nodeHints.length > 0) && sameNode.length > 0) return sameNode;
	const sameZone = ready.filter((e) => e.zoneHints.includes(node.zone ?? ''));
	if (node.zone && ready.every((e) => e.zoneHints.length > 0) && sameZone.length > 0) return sameZone;
	return ready;
}

function localList({ node }: RulesWorld, endpoints: readonly RuleEndpoint[]): RuleEndpoint[] {
	const local = endpoints.filter((e) => e.node === node.name);
	const ready = local.filter((e) => e.ready);
	return ready.length > 0 ? ready : local.filter((e) => e.serving && e.terminating);
}

/** Local policies; whoever is on this node is served by everybody at external addresses (short-circuit). */
function usesLocalList({ service, via }: Match, { client }: Probe): boolean {
	if (via === 'cluster IP') return service.spec.internalTrafficPolicy === 'Local';
	return service.spec.externalTrafficPolicy === 'Local' && client.kind === 'outside';
}

const ALGORITHM = 'fairlead.dev/lb-algorithm';

/** Has the service port external addresses of the family, and are they balanced by Maglev? */
function isExternalMaglev(world: RulesWorld, { service, port }: Match, family: 4 | 6): boolean {
	const opensNodePort = service.spec.type === 'NodePort' || service.spec.type === 'LoadBalancer';
	const external = [
		...balancerIps(service),
		...(world.externalIps === false ? [] : (service.spec.externalIPs ?? []).map(canonical)),
		...(opensNodePort && port.nodePort ? world.node.nodePortAddresses : []),
	];
	if (!external.some((address) => familyOfText(address) === family)) return false;
	const own = service.metadata.annotations?.[ALGORITHM]?.trim() ?? '';
	if (own === 'random' || own === 'maglev' || own === 'least-conn') return own === 'maglev';
	const { externalTrafficPolicy, sessionAffinity } = service.spec;
	const stateless = externalTrafficPolicy !== 'Local' && sessionAffinity !== 'ClientIP';
	return world.lbAlgorithm === 'maglev' || (world.dsr === true && stateless);
}

/** Direct server return: the same hash on every node says which endpoint, so nothing may depend on the client. */
function isServedByHash(world: RulesWorld, { client, address }: Probe, match: Match): boolean {
	const family = familyOfText(address);
	const { externalTrafficPolicy, sessionAffinity } = match.service.spec;
	if (world.dsr !== true || client.kind !== 'outside' || match.via === 'cluster IP') return false;
	if (externalTrafficPolicy === 'Local' || sessionAffinity === 'ClientIP') return false;
	if (!isExternalMaglev(world, match, family)) return false;
	if (match.via === 'load balancer') return sourceRanges(match.service, family).length === 0;
	if (match.via === 'external IP') return true;
	// Another node would answer the cluster's own clients with packets of their own.
	return hasPrimaryNodePorts(world) && placeOf(world, client.address) === 'outside';
}

/** Of this node or one that gets packets for it as their clients sent them. */
function isPod(world: RulesWorld, { address }: RuleEndpoint): boolean {
	const place = placeOf(world, address);
	const isNode = world.otherNodes.some(({ addresses }) => addresses.includes(address));
	return place === 'local pod' || (place === 'other node' && !isNode);
}

/** Other nodes know that their NodePorts are open here under the address that they have of this node. */
export function hasPrimaryNodePorts({ node }: RulesWorld): boolean {
	return node.nodePortAddresses.every((address) => node.addresses.includes(address));
}

function placeOf(world: RulesWorld, address: string): Place {
	if (world.localPods.includes(address)) return 'local pod';
	if ([...world.node.localAddresses, ...world.node.addresses].includes(address)) return 'this node';
	if (world.otherNodes.some((node) => node.addresses.includes(address))) return 'other node';
	if (world.otherNodes.some((node) => node.podCidrs.some((cidr) => within(cidr, address)))) return 'other node';
	const ranges = [...world.clusterCidrs, ...world.serviceCidrs, ...world.node.podCidrs];
	return ranges.some((cidr) => within(cidr, address)) ? 'nowhere' : 'outside';
}

function answerOf(
	world: RulesWorld,
	probe: Probe,
	match: Match,
	way: { readonly local: boolean; readonly direct: boolean },
	endpoint: RuleEndpoint,
	{ rules }: RulesOptions,
): Answer {
	const { address, port } = endpoint;
	const place = placeOf(world, address);
	if (place === 'nowhere') return { address, port, place, source: '' };
	const own = world.node.addresses.find((a) => familyOfText(a) === familyOfText(address)) ?? '';
	const { client } = probe;
	const leavesCluster =
		client.kind === 'pod' && place === 'outside' && !world.nonMasqueradeCidrs.some((cidr) => within(cidr, address));
	if (rules === 'fairlead' && client.kind === 'node' && probe.path === 'packet' && place === 'this node') {
		return { address, port, place, source: probe.address };
	}
	if (way.direct && isPod(world, endpoint)) return { address, port, place, source: client.address };
	const masqueraded =
		rules === 'kubernetes'
			? masqueradedByKubeProxy(match, way.local, probe, address)
			: masqueradedByFairlead(probe, place, address);
	return { address, port, place, source: masqueraded || leavesCluster ? own : client.address };
}

function masqueradedByKubeProxy({ via, service }: Match, local: boolean, { client }: Probe, backend: string): boolean {
	if (client.address === backend) return true;
	if (via === 'cluster IP') return client.kind !== 'pod';
	if (service.spec.externalTrafficPolicy !== 'Local') return true;
	return !local && client.kind !== 'pod';
}

function masqueradedByFairlead({ client, path }: Probe, place: Place, backend: string): boolean {
	if (client.kind === 'node') return true;
	if (client.kind === 'outside') return place !== 'local pod' && place !== 'this node';
	return path === 'packet' && client.address === backend;
}
