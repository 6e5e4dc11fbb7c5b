/**
 * Services without faults, read without the schema of service.ts: the same values. A start reads all Services of the cluster.
 */
import { type Address, type Cidr, parseAddress, parseCidr } from './address.ts';
import * as plain from './plain.ts';
import type { Service, ServicePort } from './service.ts';

export const LB_ALGORITHM = 'fairlead.dev/lb-algorithm';
/** Seconds; of services with session affinity that do not say how long. */
export const DEFAULT_AFFINITY_TIMEOUT_S = 10800;

const TYPES = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'] as const;
const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;
const POLICIES = ['Cluster', 'Local'] as const;
const AFFINITIES = ['None', 'ClientIP'] as const;
const MODES = ['VIP', 'Proxy'] as const;
const NO_ADDRESSES: readonly Address[] = [];
const NO_RANGES: readonly Cidr[] = [];

/** @throws OddObject when the schema has to be asked */
export function readService(raw: unknown): Service {
	const { metadata, spec: rawSpec, status } = plain.fields(raw);
	const meta = plain.plainMeta(metadata);
	const spec = plain.fields(rawSpec);
	const timeout = timeoutOf(spec.sessionAffinityConfig);
	const single = clusterIp(spec.clusterIP);
	const listed = plain.items(spec.clusterIPs).map((each) => clusterIp(plain.text(each)));
	return {
		namespace: plain.shared(meta.namespace),
		name: meta.name,
		created: meta.created,
		type: plain.oneOf(spec.type, TYPES, 'ClusterIP'),
		clusterIps: different((listed.length > 0 ? listed : [single]).filter((ip) => ip !== '')),
		externalIps: different(plain.items(spec.externalIPs).map(addressOf)),
		loadBalancerIps: loadBalancerIps(status),
		loadBalancerSourceRanges: rangesOf(spec.loadBalancerSourceRanges),
		ports: portsOf(spec.ports),
		internalPolicy: plain.oneOf(spec.internalTrafficPolicy, POLICIES, 'Cluster'),
		externalPolicy: plain.oneOf(spec.externalTrafficPolicy, POLICIES, 'Cluster'),
		affinityTimeoutS: plain.oneOf(spec.sessionAffinity, AFFINITIES, 'None') === 'ClientIP' ? timeout : null,
		healthCheckNodePort: plain.optionalInteger(spec.healthCheckNodePort, 0, 65535, 0),
		proxyName: meta.labels['service.kubernetes.io/service-proxy-name'] ?? null,
		headlessLabel: 'service.kubernetes.io/headless' in meta.labels,
		lbAlgorithm: meta.annotations[LB_ALGORITHM]?.trim() ?? '',
	};
}

function timeoutOf(config: unknown): number {
	const { timeoutSeconds } = plain.optionalFields(plain.optionalFields(config).clientIP);
	return plain.optionalInteger(timeoutSeconds, 1, 86400, DEFAULT_AFFINITY_TIMEOUT_S);
}

/** '' = none. */
function clusterIp(raw: unknown): Address {
	const text = plain.optionalText(raw);
	return text === '' || text === 'None' ? '' : addressOf(text);
}

function addressOf(raw: unknown): Address {
	const address = parseAddress(plain.text(raw));
	if (address === undefined) throw new plain.OddObject();
	return address;
}

function loadBalancerIps(status: unknown): readonly Address[] {
	const { ingress } = plain.optionalFields(plain.optionalFields(status).loadBalancer);
	const addresses = plain.items(ingress).map((each) => {
		const { ip, ipMode } = plain.fields(each);
		const text = plain.optionalText(ip);
		const mode = plain.oneOf(ipMode, MODES, 'VIP');
		const address = text === '' ? '' : addressOf(text);
		return mode === 'VIP' ? address : '';
	});
	return different(addresses.filter((ip) => ip !== ''));
}

function rangesOf(raw: unknown): readonly Cidr[] {
	const ranges = plain.items(raw);
	if (ranges.length === 0) return NO_RANGES;
	return ranges.map((each) => {
		const range = parseCidr(plain.text(each));
		if (range === undefined) throw new plain.OddObject();
		return range;
	});
}

function portsOf(raw: unknown): readonly ServicePort[] {
	const ports = plain.items(raw).map((each): ServicePort => {
		const { name, protocol, port, nodePort } = plain.fields(each);
		return {
			name: plain.shared(plain.optionalText(name)),
			protocol: plain.oneOf(protocol, PROTOCOLS, 'TCP'),
			port: plain.integer(port, 1, 65535),
			nodePort: plain.optionalInteger(nodePort, 0, 65535, 0),
		};
	});
	// the schema says which of them are there twice
	const again = (one: ServicePort, at: number): boolean =>
		ports.some(
			(other, i) => i < at && (other.name === one.name || (other.port === one.port && other.protocol === one.protocol)),
		);
	if (ports.length > 1 && ports.some(again)) throw new plain.OddObject();
	return ports;
}

function different(addresses: readonly Address[]): readonly Address[] {
	if (addresses.length === 0) return NO_ADDRESSES;
	return addresses.length === 1 ? addresses : [...new Set(addresses)];
}
