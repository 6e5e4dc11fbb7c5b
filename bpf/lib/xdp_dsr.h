/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Direct server return by IP-in-IP in XDP: the whole way of a packet from its service to the wire.
 */
#pragma once
#include "drop.h"
#include "lb.h"
#include "own.h"
#include "xdp_packet.h"
#include "xdp_service.h"

/* dsr_forward: connection tracking serves the packet. Anything else is a verdict. */
#define DSR_NOT_SERVED (-1)

/* How to reach the node of a pod; NULL = not known, or not by XDP. */
INLINE struct xdp_node *xdp_node_at(struct peer_ref peer)
{
	__u32 index = peer.index;
	struct xdp_node *node;

	if (peer.kind != PEER_KIND_REMOTE_POD)
		return 0;
	node = bpf_map_lookup_elem(&fl_xdp_nodes_1, &index);
	if (!node || !node->ifindex || node->gen != peer.gen || (__s32)(node->deadline - jiffies32()) < 0)
		return 0;
	return node;
}

INLINE struct xdp_node *xdp_node_of(const struct backend *backend)
{
	return xdp_node_at(*(const volatile struct peer_ref *)&backend->peer);
}

/* IP bytes that the envelope takes; 0 = XDP has none for this node. */
INLINE __u32 dsr_overhead(const struct xdp_node *node)
{
	if (cfg_north_south == NORTH_SOUTH_VXLAN)
		return xdp_tunnel_is_ipv4(node) ? sizeof(struct xdp_vxlan) : 0;
	return xdp_tunnel_is_ipv4(node) ? IPV4_MIN_LEN : IPV6_LEN;
}

/* Nobody outside may be the node or one of its pods; tc counts the drop. */
INLINE int xdp_is_spoofed(const struct xdp_pkt *p)
{
	addr_t net = p->family == 4 ? addr_config(cfg_pod_net4) : addr_config(cfg_pod_net6);
	addr_t mask = p->family == 4 ? addr_config(cfg_pod_mask4) : addr_config(cfg_pod_mask6);

	if (is_own_addr(&p->src, p->family) || lb_maybe_vip(&p->src))
		return 1;
	return !addr_is_zero(&mask) && (p->src.w[0] & mask.w[0]) == net.w[0] && (p->src.w[1] & mask.w[1]) == net.w[1];
}

/* Asks what is remembered of a flow on which the tables disagree. */
NOINLINE void xdp_resolve(const struct xdp_pkt *p, struct dsr_choice *choice, __u32 before, __u32 transition)
{
	struct ct_key key __attribute__((aligned(8))) = {.lo_port = p->sport, .hi_port = p->dport, .proto = p->proto};

	*addr_of(key.lo) = p->src;
	*addr_of(key.hi) = p->dst;
	dsr_transition(&key, p->proto == L4_PROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN, choice,
		       before, transition);
}

/* 0 = tc shall choose. */
INLINE int xdp_choose(const struct svc_entry *svc, const struct xdp_pkt *p, struct dsr_choice *out)
{
	__u32 id = svc->id, generation = svc->generation;
	__u32 before = dsr_choose(svc, flow_hash(&p->src, &p->dst, p->sport, p->dport, p->proto), out);

	if (before)
		xdp_resolve(p, out, before, svc->transition);
	return out->backend && dsr_confirm(svc, id, generation);
}

/* Is the service one whose servers answer by themselves? tc sends to them. */
NOINLINE int dsr_leave_to_tc(const struct xdp_pkt *p)
{
	struct svc_key key __attribute__((aligned(8)));
	struct svc_entry *svc;

	svc_key_fill(&key, &p->dst, p->dport, p->proto, SVC_SCOPE_EXTERNAL);
	svc = bpf_map_lookup_elem(&fl_services_1, &key);
	return svc && dsr_is_served(svc);
}

/* The inner header of a packet that names another backend as well. 0 or 1. */
NOINLINE int dsr_push_alternative(struct xdp_md *ctx, struct xdp_pkt *p, __u32 alternative, __u32 room)
{
	struct backend *backend = dsr_backend(alternative);
	struct xdp_node *node = backend ? xdp_node_of(backend) : 0;
	__u32 overhead;

	if (!node)
		return 1;
	overhead = xdp_tunnel_is_ipv4(node) ? IPV4_MIN_LEN : IPV6_LEN;
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

/* Counts a packet that is dropped here, and reports it. */
NOINLINE int xdp_drop(struct xdp_md *ctx, const struct xdp_pkt *p, enum drop_reason reason)
{
	__u32 key = reason;
	struct drop_counter *counter = bpf_map_lookup_elem(&fl_drops_1, &key);
	struct scratch *scratch = scratch_begin();
	struct flow_event *event;

	if (counter) {
		counter->packets++;
		counter->bytes += xdp_frame_len(ctx);
	}
	if (!scratch || !cfg_events || !event_allowed(key))
		return XDP_DROP;
	scratch->pkt.src = p->src;
	scratch->pkt.dst = p->dst;
	scratch->pkt.proto = p->proto;
	scratch->pkt.family = p->family;
	scratch->pkt.ip_len = p->ip_len;
	event = event_reserve(EVENT_TYPE_DROP, HOOK_XDP, &scratch->pkt);
	if (!event)
		return XDP_DROP;
	event->reason = key;
	event->ifindex = ctx->ingress_ifindex;
	event_submit(event);
	return XDP_DROP;
}

/* Where a packet goes. */
struct dsr_way {
	struct xdp_node *node; /* NULL = not known */
	__u32 alternative;     /* backend that the flow may live at instead; 0 = none */
	__u16 tag;
};

/* Is the packet one that only tc may judge? */
INLINE int dsr_needs_tc(const struct xdp_pkt *p, int at_node)
{
	return p->ttl <= 1 || xdp_is_spoofed(p) || (at_node && dsr_maybe_inside(&p->src));
}

/* By the service's row, which never says anything else than the tables. */
INLINE struct dsr_way dsr_way_by_row(const struct xdp_service *row, const struct xdp_pkt *p)
{
	__u32 hash = flow_hash(&p->src, &p->dst, p->sport, p->dport, p->proto), at, word;
	struct dsr_way way = {};
	struct backend *backend;

	if (row->kind == XDP_SERVICE_RANKED) {
		at = xdp_highest(row, flow_slot(hash, row->slots) * 0x9e3779b1u);
		if (at >= XDP_SERVICE_BACKENDS)
			return way;
		word = row->backend[at];
		way.node = xdp_backend_node(word);
		way.tag = xdp_backend_tag(word);
		return way;
	}
	backend = dsr_backend(dsr_slot(row->backend[0], row->backend[1], hash));
	if (!backend)
		return way;
	way.node = xdp_node_of(backend);
	way.tag = dsr_tag(backend);
	return way;
}

enum dsr_answer {
	DSR_ANSWER_TC = 0,         /* XDP_PASS */
	DSR_ANSWER_NOT_SERVED = 1, /* DSR_NOT_SERVED */
	DSR_ANSWER_FIRST = 2,
};

/*
 * By the tables. An enum dsr_answer, or DSR_ANSWER_FIRST + index of the backend, with struct dsr_choice.alternative in the high half: a
 * number, so that what the common case needs stays in registers.
 */
NOINLINE __u64 dsr_ask_tables(const struct xdp_pkt *p, __u32 at_node)
{
	struct svc_key key __attribute__((aligned(8)));
	struct dsr_choice choice;
	struct svc_entry *svc;

	svc_key_fill(&key, &p->dst, p->dport, p->proto, SVC_SCOPE_EXTERNAL);
	svc = bpf_map_lookup_elem(&fl_services_1, &key);
	if (!svc || !dsr_is_served(svc))
		return DSR_ANSWER_NOT_SERVED;
	if (dsr_needs_tc(p, at_node) || !xdp_choose(svc, p, &choice))
		return DSR_ANSWER_TC;
	return (__u64)choice.alternative << 32 | (choice.backend + DSR_ANSWER_FIRST);
}

/*
 * A packet to a service, at an address of its own or, `at_node`, at the node's. XDP_PASS for whatever tc serves, DSR_NOT_SERVED for services
 * and backends that direct server return is not for. A service's row says where a packet goes; everything else its tables say.
 */
INLINE int dsr_forward(struct xdp_md *ctx, struct xdp_pkt *p, int at_node)
{
	struct xdp_service *row = xdp_service_of(p);
	struct dsr_way way = {};
	struct xdp_node *node;
	__u32 overhead;

	if (row)
		way = dsr_way_by_row(row, p);
	if (way.node) {
		if (dsr_needs_tc(p, at_node))
			return XDP_PASS;
	} else {
		__u64 answer = dsr_ask_tables(p, at_node);
		struct backend *backend;

		if (answer < DSR_ANSWER_FIRST)
			return answer == DSR_ANSWER_TC ? XDP_PASS : DSR_NOT_SERVED;
		backend = dsr_backend((__u32)answer - DSR_ANSWER_FIRST);
		if (!backend)
			return XDP_PASS;
		way.node = xdp_node_of(backend);
		if (!way.node)
			return backend->peer.kind == PEER_KIND_REMOTE_NODE ? DSR_NOT_SERVED : XDP_PASS;
		way.tag = dsr_tag(backend);
		way.alternative = answer >> 32;
	}
	node = way.node;
	overhead = dsr_overhead(node);
	if (!overhead || p->ip_len + overhead > node->mtu || xdp_take_hop(ctx, p->family))
		return XDP_PASS;
	p->proto = p->family == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
	if (way.alternative)
		dsr_push_alternative(ctx, p, way.alternative, node->mtu - overhead);
	if (cfg_north_south == NORTH_SOUTH_VXLAN
		    ? xdp_push_vxlan(ctx, node, p->tos, p->ip_len, way.tag, p->sport ^ p->dport)
		    : xdp_push_ip(ctx, node, p->proto, p->tos, p->ip_len, way.tag))
		return xdp_drop(ctx, p, DROP_REASON_REWRITE_FAILED); /* no headroom */
	count(METRIC_FORWARDED_PACKETS);
	return xdp_send(ctx, node);
}

/*
 * What another node has sent to one of our backends: out of its envelope, before GRO would put envelopes together. The source
 * address of the frame tells from_uplink what it was. Envelopes that name a second backend are left to tc, and those whose content is
 * not for a service are somebody else's tunnel. `outer` is the envelope; its header is `outer_len` bytes.
 */
NOINLINE int dsr_unpack(struct xdp_md *ctx, const struct xdp_pkt *outer, __u32 outer_len_tag)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__u32 outer_len = outer_len_tag >> 16 == IPV6_LEN ? IPV6_LEN : IPV4_MIN_LEN;
	void *inner = data + ETH_LEN + outer_len;
	struct ipcache_entry *owner;
	__u8 mac[6], proto;
	addr_t dst;

	if (outer->proto == IPPROTO_IPIP) {
		if (inner + IPV4_MIN_LEN > data_end)
			return XDP_PASS;
		dst = addr_from_ipv4(((struct iphdr *)inner)->daddr);
		proto = ((struct iphdr *)inner)->protocol;
	} else {
		if (inner + IPV6_LEN > data_end)
			return XDP_PASS;
		__builtin_memcpy(&dst, &((struct ipv6hdr *)inner)->daddr, 16);
		proto = ((struct ipv6hdr *)inner)->nexthdr;
	}
	if (proto == IPPROTO_IPIP || proto == IPPROTO_IPV6)
		return XDP_PASS;
	if (!lb_maybe_vip(&dst) && !dsr_is_entry(&dst, outer_len_tag & DSR_TAG_SENT_ON))
		return XDP_PASS;
	owner = bpf_map_lookup_elem(&fl_ipcache_1, &outer->src);
	if (!owner || owner->peer.kind != PEER_KIND_REMOTE_NODE)
		return xdp_drop(ctx, outer, DROP_REASON_TUNNEL_SOURCE);
	mac_copy(mac, data);
	if (bpf_xdp_adjust_head(ctx, outer_len) < 0)
		return xdp_drop(ctx, outer, DROP_REASON_REWRITE_FAILED);
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > data_end)
		return XDP_DROP;
	mac_copy(eth->h_dest, mac);
	dsr_mark(eth, outer_len_tag & 0xffff);
	eth->h_proto = outer->proto == IPPROTO_IPIP ? bpf_htons(ETH_IPV4) : bpf_htons(ETH_IPV6);
	return XDP_PASS;
}

/* An envelope for this node. XDP_PASS for what is not, or not whole. */
INLINE int dsr_unpack_ipv4(struct xdp_md *ctx, const struct iphdr *ip)
{
	struct xdp_pkt outer = {.family = 4, .proto = ip->protocol, .ip_len = bpf_ntohs(ip->tot_len)};

	if (*(const __u8 *)ip != 0x45 || (ip->frag_off & bpf_htons(0x3fff)))
		return XDP_PASS;
	outer.src = addr_from_ipv4(ip->saddr);
	outer.dst = addr_from_ipv4(ip->daddr);
	return dsr_unpack(ctx, &outer, IPV4_MIN_LEN << 16 | bpf_ntohs(ip->id));
}

INLINE int dsr_unpack_ipv6(struct xdp_md *ctx, const struct ipv6hdr *ip)
{
	struct xdp_pkt outer = {.family = 6, .proto = ip->nexthdr, .ip_len = bpf_ntohs(ip->payload_len) + IPV6_LEN};

	__builtin_memcpy(&outer.src, &ip->saddr, 16);
	__builtin_memcpy(&outer.dst, &ip->daddr, 16);
	return dsr_unpack(ctx, &outer, IPV6_LEN << 16 | bpf_ntohs(*(const __be16 *)(ip->flow_lbl + 1)));
}
