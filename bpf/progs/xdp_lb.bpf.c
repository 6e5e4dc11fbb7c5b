// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * XDP of the uplinks: packets from outside for services whose backend is on another node go there without ever becoming an skb.
 * Whatever is not a whole TCP or UDP datagram for such a backend is passed on, and from_uplink chooses the same backend for it.
 */
#include "../lib/xdp_dsr.h"
#include "../lib/xdp_snat.h"

INLINE int is_envelope(__u8 proto)
{
	return proto == IPPROTO_IPIP || proto == IPPROTO_IPV6;
}

INLINE int is_snat_port(__be16 port)
{
	__u32 number = bpf_ntohs(port);

	return cfg_snat_port_max && number >= cfg_snat_port_min && number <= cfg_snat_port_max;
}

/* Does a packet to a service get the node's address as source? */
INLINE int has_snat(void)
{
	return cfg_snat_port_max != 0;
}

/* A packet to a service. `at_node`: to a port of the node's own address. */
INLINE int serve(struct xdp_md *ctx, struct xdp_pkt *p, int at_node)
{
	if (cfg_north_south == NORTH_SOUTH_IPIP || cfg_north_south == NORTH_SOUTH_VXLAN) {
		int verdict = dsr_forward(ctx, p, at_node);

		if (verdict != DSR_NOT_SERVED)
			return verdict;
		if (!at_node)
			return XDP_PASS;
	}
	if (dsr_to_servers() && !at_node && dsr_leave_to_tc(p))
		return XDP_PASS;
	return has_snat() ? snat_forward(ctx, p) : XDP_PASS;
}

/* What `serve` shall do; anything else is a verdict. */
enum serve_where {
	SERVE_AT_ADDRESS = 256,
	SERVE_AT_NODE = 257, /* a port of the node's own address */
};

INLINE int handle_ipv4(struct xdp_md *ctx, void *data, void *data_end, struct xdp_pkt *p)
{
	struct iphdr *ip = data + ETH_LEN;
	__be32 node = ((const volatile __be32 *)cfg_node_addr4)[3];

	if ((void *)(ip + 1) > data_end)
		return XDP_PASS;
	if (ip->daddr == node) {
		__be16 *port = (__be16 *)(ip + 1) + 1;

		if (ip->protocol != L4_PROTO_TCP && ip->protocol != L4_PROTO_UDP)
			return cfg_north_south == NORTH_SOUTH_IPIP && is_envelope(ip->protocol)
				       ? dsr_unpack_ipv4(ctx, ip)
				       : XDP_PASS;
		if ((void *)(port + 1) > data_end)
			return XDP_PASS;
		if (is_snat_port(*port))
			return xdp_parse_ipv4(ctx, ip, data_end, p) && has_snat() ? snat_reply(ctx, p) : XDP_PASS;
		if (!dsr_is_node_port(ip->protocol, *port) || !xdp_parse_ipv4(ctx, ip, data_end, p))
			return XDP_PASS;
		return SERVE_AT_NODE;
	}
	addr_t dst = addr_from_ipv4(ip->daddr);

	return lb_maybe_vip(&dst) && xdp_parse_ipv4(ctx, ip, data_end, p) ? SERVE_AT_ADDRESS : XDP_PASS;
}

INLINE int handle_ipv6(struct xdp_md *ctx, void *data, void *data_end, struct xdp_pkt *p)
{
	struct ipv6hdr *ip = data + ETH_LEN;
	addr_t node = addr_config(cfg_node_addr6), dst;

	if ((void *)(ip + 1) > data_end)
		return XDP_PASS;
	__builtin_memcpy(&dst, &ip->daddr, 16);
	if (addr_equal(&dst, &node)) {
		__be16 *port = (__be16 *)(ip + 1) + 1;

		if (ip->nexthdr != L4_PROTO_TCP && ip->nexthdr != L4_PROTO_UDP)
			return cfg_north_south == NORTH_SOUTH_IPIP && is_envelope(ip->nexthdr)
				       ? dsr_unpack_ipv6(ctx, ip)
				       : XDP_PASS;
		if ((void *)(port + 1) > data_end)
			return XDP_PASS;
		if (is_snat_port(*port))
			return xdp_parse_ipv6(ctx, ip, data_end, p) && has_snat() ? snat_reply(ctx, p) : XDP_PASS;
		if (!dsr_is_node_port(ip->nexthdr, *port) || !xdp_parse_ipv6(ctx, ip, data_end, p))
			return XDP_PASS;
		return SERVE_AT_NODE;
	}
	return lb_maybe_vip(&dst) && xdp_parse_ipv6(ctx, ip, data_end, p) ? SERVE_AT_ADDRESS : XDP_PASS;
}

NOINLINE int drop_marked(struct xdp_md *ctx)
{
	struct xdp_pkt unknown = {};

	return xdp_drop(ctx, &unknown, DROP_REASON_TUNNEL_SOURCE);
}

INLINE int balance(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct xdp_pkt p = {};
	int verdict = XDP_PASS;

	if ((void *)(eth + 1) > data_end)
		return XDP_PASS;
	if (cfg_north_south == NORTH_SOUTH_IPIP && dsr_is_marked(eth))
		return drop_marked(ctx); /* the mark is ours: it never comes from the wire */
	if (eth->h_proto == bpf_htons(ETH_IPV4))
		verdict = handle_ipv4(ctx, data, data_end, &p);
	else if (eth->h_proto == bpf_htons(ETH_IPV6))
		verdict = handle_ipv6(ctx, data, data_end, &p);
	/* One place for both families: in line, as each return costs. */
	return verdict < SERVE_AT_ADDRESS ? verdict : serve(ctx, &p, verdict == SERVE_AT_NODE);
}

SEC("xdp")
int xdp_lb(struct xdp_md *ctx)
{
	return balance(ctx);
}

/* The same for kernels with packets in several buffers (5.18), without which devices of large MTU get no XDP. Not loaded unless asked for. */
SEC("?xdp.frags")
int xdp_lb_frags(struct xdp_md *ctx)
{
	return balance(ctx);
}

char _license[] SEC("license")
= "Dual BSD/GPL";
