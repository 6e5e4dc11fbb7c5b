/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Direct server return by IP-in-IP in XDP: the whole way of a packet from its service to the wire.
 */
#pragma once
#include "lb.h"
#include "xdp_packet.h"

/* How to reach the node of a backend; NULL = not known, or not by XDP. */
INLINE struct xdp_node *xdp_node_of(const struct backend *backend)
{
	struct peer_ref peer = *(const volatile struct peer_ref *)&backend->peer;
	__u32 index = peer.index;
	struct xdp_node *node;

	if (peer.kind != PEER_KIND_REMOTE_POD)
		return 0;
	node = bpf_map_lookup_elem(&fl_xdp_nodes_1, &index);
	if (!node || !node->ifindex || node->gen != peer.gen || (__s32)(node->deadline - jiffies32()) < 0)
		return 0;
	return node;
}

INLINE __u32 dsr_overhead(const struct xdp_node *node)
{
	return xdp_tunnel_is_ipv4(node) ? IPV4_MIN_LEN : IPV6_LEN;
}

/* Nobody outside may be the node or one of its pods; tc counts the drop. */
INLINE int xdp_is_spoofed(const struct xdp_pkt *p)
{
	addr_t net = p->family == 4 ? addr_config(cfg_pod_net4) : addr_config(cfg_pod_net6);
	addr_t mask = p->family == 4 ? addr_config(cfg_pod_mask4) : addr_config(cfg_pod_mask6);
	addr_t node = p->family == 4 ? addr_config(cfg_node_addr4) : addr_config(cfg_node_addr6);

	if (addr_equal(&p->src, &node) || lb_maybe_vip(&p->src))
		return 1;
	return !addr_is_zero(&mask) && (p->src.w[0] & mask.w[0]) == net.w[0] && (p->src.w[1] & mask.w[1]) == net.w[1];
}

/* Looks the flow up while the service's set changes. */
NOINLINE void dsr_resolve_transition(const struct xdp_pkt *p, struct dsr_choice *choice, __u32 before)
{
	struct ct_key key __attribute__((aligned(8))) = {.lo_port = p->sport, .hi_port = p->dport, .proto = p->proto};
	__u32 is_syn = p->proto == L4_PROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;

	*addr_of(key.lo) = p->src;
	*addr_of(key.hi) = p->dst;
	dsr_transition(&key, is_syn, choice, before);
}

INLINE void dsr_choose(const struct svc_entry *svc, const struct xdp_pkt *p, struct dsr_choice *out)
{
	__u32 hash = flow_hash(&p->src, &p->dst, p->sport, p->dport, p->proto);
	__u32 id = svc->id, generation = svc->generation, before;

	out->alternative = 0;
	out->backend = dsr_slot(svc->all_base, svc->all_count, hash);
	if (svc->prev_count) {
		before = dsr_slot(svc->prev_base, svc->prev_count, hash);
		if (before != out->backend && before)
			dsr_resolve_transition(p, out, before);
	}
	/* Replaced while it was read: tc tries again. */
	if (*(volatile __u32 *)&svc->generation != generation || *(volatile __u32 *)&svc->id != id)
		out->backend = 0;
}

/* The inner header of a packet that names another backend as well. 0 or 1. */
NOINLINE int dsr_push_alternative(struct xdp_md *ctx, struct xdp_pkt *p, __u32 alternative, __u32 room)
{
	struct backend *backend = dsr_backend(alternative);
	struct xdp_node *node = backend ? xdp_node_of(backend) : 0;
	__u32 overhead;

	if (!node)
		return 1;
	overhead = dsr_overhead(node);
	if (p->ip_len + overhead > room)
		return 1;
	if (xdp_push_ip(ctx, node, p->proto, p->tos, p->ip_len, dsr_tag(backend)))
		return 1;
	p->ip_len += overhead;
	p->proto = xdp_tunnel_is_ipv4(node) ? IPPROTO_IPIP : IPPROTO_IPV6;
	return 0;
}

/* One hop less; the frame is still as it came. 0 or 1. */
INLINE int xdp_take_hop(struct xdp_md *ctx, __u8 family)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;

	if (family == 4) {
		if (data + ETH_LEN + IPV4_MIN_LEN > data_end)
			return 1;
		xdp_decrement_ttl4(data + ETH_LEN);
		return 0;
	}
	if (data + ETH_LEN + IPV6_LEN > data_end)
		return 1;
	((struct ipv6hdr *)(data + ETH_LEN))->hop_limit--;
	return 0;
}

/* A packet to a service address. XDP_PASS for whatever tc serves. */
INLINE int dsr_forward(struct xdp_md *ctx, struct xdp_pkt *p)
{
	struct svc_key key
		__attribute__((aligned(8))) = {.port = p->dport, .proto = p->proto, .scope = SVC_SCOPE_EXTERNAL};
	struct dsr_choice choice;
	struct svc_entry *svc;
	struct backend *backend;
	struct xdp_node *node;

	*addr_of(key.addr) = p->dst;
	svc = bpf_map_lookup_elem(&fl_services_1, &key);
	if (!svc || !dsr_is_served(svc) || p->ttl <= 1 || xdp_is_spoofed(p))
		return XDP_PASS;
	dsr_choose(svc, p, &choice);
	if (!choice.backend)
		return XDP_PASS;
	backend = dsr_backend(choice.backend);
	if (!backend)
		return XDP_PASS;
	node = xdp_node_of(backend);
	if (!node || p->ip_len + dsr_overhead(node) > node->mtu || xdp_take_hop(ctx, p->family))
		return XDP_PASS;
	p->proto = p->family == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
	if (choice.alternative)
		dsr_push_alternative(ctx, p, choice.alternative, node->mtu - dsr_overhead(node));
	if (xdp_push_ip(ctx, node, p->proto, p->tos, p->ip_len, dsr_tag(backend)))
		return XDP_DROP; /* no headroom: no driver that has native XDP is so short of it */
	count(METRIC_FORWARDED_PACKETS);
	return xdp_send(ctx, node);
}
