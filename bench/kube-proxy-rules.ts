/**
 * What kube-proxy's nftables mode installs on a node for one Service with a NodePort and one endpoint (Kubernetes 1.33), in its order of hooks
 * and maps: a new connection passes the checks for closed firewalls and for Services without endpoints, the maps of ClusterIPs and
 * NodePorts, the mark for masquerading, the choice among the endpoints and the endpoint; each packet passes the hooks.
 */
export interface ProxiedService {
	readonly clusterIp: string;
	readonly port: number;
	readonly nodePort: number;
	readonly endpoint: { readonly address: string; readonly port: number };
}

/** @param nodeAddress  at which the NodePort is open */
export function kubeProxyRules(nodeAddress: string, podCidr: string, service: ProxiedService): string {
	const { clusterIp, port, nodePort, endpoint } = service;
	return `
table ip kube-proxy {
	set cluster-ips {
		type ipv4_addr
		elements = { ${clusterIp} }
	}
	set nodeport-ips {
		type ipv4_addr
		elements = { ${nodeAddress} }
	}
	map firewall-ips {
		type ipv4_addr . inet_proto . inet_service : verdict
	}
	map no-endpoint-services {
		type ipv4_addr . inet_proto . inet_service : verdict
	}
	map no-endpoint-nodeports {
		type inet_proto . inet_service : verdict
	}
	chain mark-for-masquerade {
		mark set mark or 0x4000
	}
	chain masquerading {
		mark and 0x4000 == 0 return
		mark set mark xor 0x4000
		masquerade fully-random
	}
	chain endpoint {
		ip saddr ${endpoint.address} jump mark-for-masquerade
		meta l4proto tcp dnat to ${endpoint.address}:${endpoint.port}
	}
	chain service {
		ip daddr ${clusterIp} tcp dport ${port} ip saddr != ${podCidr} jump mark-for-masquerade
		numgen random mod 1 vmap { 0 : goto endpoint }
	}
	chain external {
		jump mark-for-masquerade
		goto service
	}
	map service-ips {
		type ipv4_addr . inet_proto . inet_service : verdict
		elements = { ${clusterIp} . tcp . ${port} : goto service }
	}
	map service-nodeports {
		type inet_proto . inet_service : verdict
		elements = { tcp . ${nodePort} : goto external }
	}
	chain services {
		ip daddr . meta l4proto . th dport vmap @service-ips
		ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
	}
	chain firewall-check {
		ip daddr . meta l4proto . th dport vmap @firewall-ips
	}
	chain service-endpoints-check {
		ip daddr . meta l4proto . th dport vmap @no-endpoint-services
	}
	chain nodeport-endpoints-check {
		ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports
	}
	chain cluster-ips-check {
		ip daddr @cluster-ips reject
	}
	chain filter-prerouting-pre-dnat {
		type filter hook prerouting priority dstnat - 10
		ct state new jump firewall-check
	}
	chain filter-output-pre-dnat {
		type filter hook output priority -110
		ct state new jump firewall-check
	}
	chain nat-prerouting {
		type nat hook prerouting priority dstnat
		jump services
	}
	chain nat-output {
		type nat hook output priority -100
		jump services
	}
	chain nat-postrouting {
		type nat hook postrouting priority srcnat
		jump masquerading
	}
	chain filter-input {
		type filter hook input priority filter
		ct state new jump nodeport-endpoints-check
		ct state new jump service-endpoints-check
	}
	chain filter-forward {
		type filter hook forward priority filter
		ct state new jump service-endpoints-check
		ct state new jump cluster-ips-check
	}
	chain filter-output {
		type filter hook output priority filter
		ct state new jump service-endpoints-check
		ct state new jump cluster-ips-check
	}
}
`;
}
