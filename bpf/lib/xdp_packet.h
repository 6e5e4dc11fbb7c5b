/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Packets as XDP sees them: what it takes from the headers, and what it puts in front of them. Everything by direct access: the
 * helpers that copy bytes cost more than all the rest.
 */
#pragma once
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include "dsr.h"

enum xdp_lengths {
	XDP_PORTS_LEN = 8, /* of L4 that must be there: a UDP header; TCP is checked for its flags too */
	XDP_TCP_LEN = 20,
	VXLAN_LEN = 16, /* UDP and VXLAN header */
};

/* A whole TCP or UDP datagram without options or extension headers. */
struct xdp_pkt {
	addr_t src;
	addr_t dst;
	__be16 sport;
	__be16 dport;
	__u16 ip_len; /* bytes from the IP header on */
	__u8 proto;
	__u8 family;
	__u8 tos;
	__u8 ttl;
	__u8 tcp_flags;
	__u8 pad;
};

/* Bytes of the frame, of which the first buffer may hold the beginning only. */
INLINE __u32 xdp_frame_len(struct xdp_md *ctx)
{
	return cfg_xdp_frags ? bpf_xdp_get_buff_len(ctx) : ctx->data_end - ctx->data;
}

/*
 * Is all of a packet there? Most are in one buffer, which costs nothing to see. Headers always are in the first one, and nothing here looks
 * at what is behind them. Several buffers only leave by the device they came by, which is the only one with XDP.
 */
INLINE int xdp_is_whole(struct xdp_md *ctx, const void *ip, const void *data_end, __u32 ip_len)
{
	return ip_len <= (__u32)(data_end - ip) || (cfg_xdp_frags && ip_len + ETH_LEN <= bpf_xdp_get_buff_len(ctx));
}

/* Ports and flags behind the IP header. 0 = not a packet for XDP. */
INLINE int xdp_parse_l4(void *l4, void *data_end, struct xdp_pkt *p)
{
	if (l4 + XDP_PORTS_LEN > data_end)
		return 0;
	p->sport = *(__be16 *)l4;
	p->dport = *(__be16 *)(l4 + 2);
	if (p->proto == L4_PROTO_UDP)
		return 1;
	if (p->proto != L4_PROTO_TCP || l4 + XDP_TCP_LEN > data_end)
		return 0;
	p->tcp_flags = ((__u8 *)l4)[13];
	return 1;
}

/* 0 = options, a fragment, another protocol, not whole, or broken: tc shall judge. */
INLINE int xdp_parse_ipv4(struct xdp_md *ctx, void *ip_header, void *data_end, struct xdp_pkt *p)
{
	struct iphdr *ip = ip_header;

	if ((void *)(ip + 1) > data_end || *(__u8 *)ip != 0x45 || (ip->frag_off & bpf_htons(0x3fff)))
		return 0;
	p->src = addr_from_ipv4(ip->saddr);
	p->dst = addr_from_ipv4(ip->daddr);
	p->ip_len = bpf_ntohs(ip->tot_len);
	p->proto = ip->protocol;
	p->family = 4;
	p->tos = ip->tos;
	p->ttl = ip->ttl;
	if (!xdp_is_whole(ctx, ip, data_end, p->ip_len))
		return 0;
	return xdp_parse_l4(ip + 1, data_end, p);
}

INLINE int xdp_parse_ipv6(struct xdp_md *ctx, void *ip_header, void *data_end, struct xdp_pkt *p)
{
	struct ipv6hdr *ip = ip_header;

	if ((void *)(ip + 1) > data_end || ip->version != 6)
		return 0;
	__builtin_memcpy(&p->src, &ip->saddr, 16);
	__builtin_memcpy(&p->dst, &ip->daddr, 16);
	p->ip_len = bpf_ntohs(ip->payload_len) + IPV6_LEN;
	p->proto = ip->nexthdr;
	p->family = 6;
	p->tos = (__u8)(ip->priority << 4 | ip->flow_lbl[0] >> 4);
	p->ttl = ip->hop_limit;
	if (!xdp_is_whole(ctx, ip, data_end, p->ip_len))
		return 0;
	return xdp_parse_l4(ip + 1, data_end, p);
}

/* One hop less, as a router does. */
INLINE void xdp_decrement_ttl4(struct iphdr *ip)
{
	__u32 check = ip->check + bpf_htons(0x0100); /* RFC 1141 */

	ip->check = (__sum16)(check + (check >= 0xffff));
	ip->ttl--;
}

INLINE int xdp_tunnel_is_ipv4(const struct xdp_node *node)
{
	return addr_is_ipv4(addr_of((void *)node->tunnel));
}

INLINE void xdp_fill_macs(struct ethhdr *eth, const struct xdp_node *node, __u16 type)
{
	mac_copy(eth->h_dest, node->dst_mac);
	mac_copy(eth->h_source, node->src_mac);
	eth->h_proto = bpf_htons(type);
}

/*
 * Puts an IP header and the link header towards `node` in place of the link header. `len` and `proto` are those of what is behind.
 * The tag goes into the identification, which means nothing in a packet that must not be fragmented (RFC 6864 section 4.1), or
 * into the flow label. 0, or 1 when there is no room.
 */
INLINE int xdp_push_ip(struct xdp_md *ctx, const struct xdp_node *node, __u8 proto, __u8 tos, __u16 len, __u16 tag)
{
	if (xdp_tunnel_is_ipv4(node)) {
		if (bpf_xdp_adjust_head(ctx, -IPV4_MIN_LEN) < 0)
			return 1;
		void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;

		if (data + ETH_LEN + IPV4_MIN_LEN > data_end)
			return 1;
		xdp_fill_macs(data, node, ETH_IPV4);
		dsr_fill_ipv4(data + ETH_LEN, addr_ipv4(addr_of((void *)node->source)),
			      addr_ipv4(addr_of((void *)node->tunnel)), proto, tos, len + IPV4_MIN_LEN, tag);
		return 0;
	}
	if (bpf_xdp_adjust_head(ctx, -IPV6_LEN) < 0)
		return 1;
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;

	if (data + ETH_LEN + IPV6_LEN > data_end)
		return 1;
	xdp_fill_macs(data, node, ETH_IPV6);
	dsr_fill_ipv6(data + ETH_LEN, addr_of((void *)node->source), addr_of((void *)node->tunnel), proto, tos, len,
		      tag);
	return 0;
}

/* What VXLAN over IPv4 puts in front of a frame. */
struct xdp_vxlan {
	struct ethhdr eth;
	struct iphdr ip;
	__be16 source;
	__be16 dest;
	__be16 len;
	__sum16 check; /* 0 = none (RFC 7348 section 5) */
	__be32 flags;
	__be32 vni;
} __attribute__((packed));
_Static_assert(sizeof(struct xdp_vxlan) == 50, "RFC 7348 section 5");

/*
 * The frame as it is through the overlay of an IPv4 network. The tag goes into the inner source address (dsr_mark). `entropy` spreads flows
 * over the network's paths. 0 or 1.
 */
INLINE int xdp_push_vxlan(struct xdp_md *ctx, const struct xdp_node *node, __u8 tos, __u16 len, __u16 tag,
			  __u32 entropy)
{
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(struct xdp_vxlan)) < 0)
		return 1;
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct xdp_vxlan *outer = data;
	struct ethhdr *inner = data + sizeof(*outer);
	struct mac mac = mac_config(cfg_overlay_mac);

	if ((void *)(inner + 1) > data_end)
		return 1;
	mac_copy(inner->h_dest, mac.bytes);
	dsr_mark(inner, tag);
	xdp_fill_macs(data, node, ETH_IPV4);
	dsr_fill_ipv4(data + ETH_LEN, addr_ipv4(addr_of((void *)node->source)),
		      addr_ipv4(addr_of((void *)node->tunnel)), L4_PROTO_UDP, tos, len + sizeof(*outer), 0);
	outer->source = bpf_htons(0xc000 | (entropy & 0x3fff));
	outer->dest = bpf_htons(cfg_vxlan_port);
	outer->len = bpf_htons(len + sizeof(*outer) - IPV4_MIN_LEN);
	outer->check = 0;
	outer->flags = bpf_htonl(0x08000000);
	outer->vni = bpf_htonl(cfg_vni << 8);
	return 0;
}

/* Sends the frame by the node's device. */
INLINE int xdp_send(struct xdp_md *ctx, const struct xdp_node *node)
{
	return node->ifindex == ctx->ingress_ifindex ? XDP_TX : bpf_redirect(node->ifindex, 0);
}
