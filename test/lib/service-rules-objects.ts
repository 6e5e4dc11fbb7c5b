/**
 * Kubernetes objects as the API gives them, in as much as services depend on them, and addresses and prefixes read from
 * them. Knows nothing of the agent's model: what is read wrongly there shall not be read wrongly here.
 */
import ipaddr from 'ipaddr.js';

export interface RawService {
	apiVersion: 'v1';
	kind: 'Service';
	metadata: {
		name: string;
		namespace: string;
		creationTimestamp?: string;
		labels?: Record<string, string>;
		annotations?: Record<string, string>;
	};
	spec: {
		type?: 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName';
		clusterIP?: string;
		clusterIPs?: string[];
		externalIPs?: string[];
		externalName?: string;
		ports?: { name?: string; protocol?: 'TCP' | 'UDP' | 'SCTP'; port: number; nodePort?: number }[];
		internalTrafficPolicy?: 'Cluster' | 'Local';
		externalTrafficPolicy?: 'Cluster' | 'Local';
		sessionAffinity?: 'None' | 'ClientIP';
		sessionAffinityConfig?: { clientIP?: { timeoutSeconds?: number } };
		loadBalancerSourceRanges?: string[];
	};
	status?: { loadBalancer?: { ingress?: { ip?: string; hostname?: string; ipMode?: 'VIP' | 'Proxy' }[] } };
}

export interface RawEndpoint {
	addresses: string[];
	conditions?: { ready?: boolean; serving?: boolean; terminating?: boolean };
	nodeName?: string;
	hints?: { forZones?: { name: string }[]; forNodes?: { name: string }[] };
}

export interface RawSlice {
	apiVersion: 'discovery.k8s.io/v1';
	kind: 'EndpointSlice';
	metadata: { name: string; namespace: string; labels?: Record<string, string> };
	addressType: 'IPv4' | 'IPv6' | 'FQDN';
	ports?: { name?: string; protocol?: 'TCP' | 'UDP' | 'SCTP'; port?: number }[];
	endpoints: RawEndpoint[];
}

/** Canonical text of an address; leading zeros are decimal, mapped IPv4 is IPv4 (spec: bad IPs are read leniently). */
export function canonical(text: string): string {
	const mapped = /^(.*:)?(\d+\.\d+\.\d+\.\d+)$/.exec(text.trim());
	const four = mapped?.[2]?.split('.').map(Number).join('.');
	if (four !== undefined && mapped?.[1] === undefined) return four;
	const six = ipaddr.IPv6.parse(four === undefined ? text.trim() : `${mapped?.[1]}${four}`);
	return six.isIPv4MappedAddress() ? six.toIPv4Address().toString() : six.toRFC5952String();
}

export function familyOfText(address: string): 4 | 6 {
	return address.includes(':') ? 6 : 4;
}

/** Is the address inside the prefix? Families that differ never are. */
export function within(prefix: string, address: string): boolean {
	const [net = '', length = ''] = prefix.trim().split('/');
	if (familyOfText(net) !== familyOfText(address)) return false;
	const parsed = ipaddr.parse(address);
	return parsed.match(ipaddr.parse(canonical(net)), Number(length));
}
