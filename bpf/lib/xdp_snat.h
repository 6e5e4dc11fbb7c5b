/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Services with the node's address as source, in XDP: the same entries as the tc programs make, so that either may see the next packet
 * of a flow. Only for backends that are reached without a tunnel: on nodes, and machines outside once tc has opened the flow. Replies that
 * come back by the uplink are reversed here as well.
 */
#pragma once
#include "flow.h"
#include "xdp_dsr.h"

/* Services that tc has to choose for: with state, sets or policies of their own. */
#define SNAT_FLAGS_UNWANTED ((DSR_FLAGS_UNWANTED & ~SVC_FLAG_TRACKED) | SVC_FLAG_LEAST_CONN)

enum snat_result {
	SNAT_NO_FLOW = -1,
	SNAT_WORLD = -2,
};

/* The packet in the form that connection tracking knows. */
INLINE void snat_describe(const struct xdp_pkt *x, struct pkt *p)
{
	p->src = x->src;
	p->dst = x->dst;
	p->sport = x->sport;
	p->dport = x->dport;
	p->proto = x->proto;
	p->family = x->family;
	p->tcp_flags = x->tcp_flags;
	p->ip_len = x->ip_len;
	p->ttl = x->ttl;
}

/* One's complement sum of what changes in the ports. */
INLINE __u64 snat_port_delta(__be16 from, __be16 to)
{
	return (__u64)(__u16)~from + to;
}

/* New addresses and ports, one hop less, every checksum. 0, or 1 = the packet is not as it was parsed. */
INLINE int snat_rewrite(struct xdp_md *ctx, const struct xdp_pkt *x, const addr_t *src, const addr_t *dst, __be16 sport,
			__be16 dport)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end, *l4;
	__u64 delta = snat_port_delta(x->sport, sport) + snat_port_delta(x->dport, dport);
	__sum16 *field;

	if (x->family == 4) {
		struct iphdr *ip = data + ETH_LEN;

		l4 = ip + 1;
		if (l4 + XDP_PORTS_LEN > data_end)
			return 1;
		__u64 addresses = (__u64)(__u32)~ip->saddr + addr_ipv4(src) + (__u32)~ip->daddr + addr_ipv4(dst);

		ip->check = csum_fold16(csum_fold32(addresses + (__u16)~ip->check + (__u16)~bpf_htons(0x0100)));
		ip->ttl--;
		ip->saddr = addr_ipv4(src);
		ip->daddr = addr_ipv4(dst);
		delta += addresses;
	} else {
		struct ipv6hdr *ip = data + ETH_LEN;

		l4 = ip + 1;
		if (l4 + XDP_PORTS_LEN > data_end)
			return 1;
		delta += (__u64)csum_addr_delta(&x->src, src) + csum_addr_delta(&x->dst, dst);
		ip->hop_limit--;
		__builtin_memcpy(&ip->saddr, src, 16);
		__builtin_memcpy(&ip->daddr, dst, 16);
	}
	*(__be16 *)l4 = sport;
	*(__be16 *)(l4 + 2) = dport;
	if (x->proto == L4_PROTO_TCP) {
		if (l4 + XDP_TCP_LEN > data_end)
			return 1;
		field = l4 + 16;
		*field = csum_fold16(csum_fold32((__u64)(__u16) ~*field + csum_fold32(delta)));
		return 0;
	}
	field = l4 + 6;
	if (*field == 0) /* sent without one (RFC 768) */
		return 0;
	*field = csum_fold16(csum_fold32((__u64)(__u16) ~*field + csum_fold32(delta)));
	if (*field == 0)
		*field = 0xffff;
	return 0;
}

/* Without a tunnel to a node, as a router would. Returns a verdict. */
INLINE int snat_send(struct xdp_md *ctx, const struct xdp_pkt *x, const struct xdp_node *node, const addr_t *dst,
		     __be16 dport, __be16 snat_port)
{
	addr_t own = node_addr(x->family);

	if (snat_rewrite(ctx, x, &own, dst, snat_port, dport))
		return xdp_drop(ctx, x, DROP_REASON_REWRITE_FAILED);
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;

	if (data + ETH_LEN > data_end)
		return XDP_DROP;
	mac_copy(data, node->dst_mac);
	mac_copy(data + 6, node->src_mac);
	count(METRIC_FORWARDED_PACKETS);
	return xdp_send(ctx, node);
}

/* The way to a backend's node, if XDP may take it with a packet of this length. */
INLINE struct xdp_node *snat_node_of(struct peer_ref peer, __u32 len)
{
	struct xdp_node *node = xdp_node_at(peer);

	return node && node->direct && len <= node->mtu ? node : 0;
}

NOINLINE void snat_report_new(struct scratch *scratch)
{
	struct flow_event *event;

	count(METRIC_CT_CREATED);
	if (!cfg_events)
		return;
	event = event_reserve(EVENT_TYPE_FLOW_NEW, HOOK_XDP, &scratch->inner);
	if (!event)
		return;
	*addr_of(event->orig_dst) = scratch->pkt.dst;
	event->orig_dport = scratch->pkt.dport;
	event->src_identity = scratch->origin.identity;
	event_submit(event);
}

/* Is it the first packet of a TCP connection, or that again? Then nobody looks its flow up before nat_open_unseen. */
INLINE int snat_is_first(__u8 proto, __u8 tcp_flags)
{
	return proto == L4_PROTO_TCP && (tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* The backend's row for a new flow of scratch->pkt, into scratch->choice. 0 = tc chooses. */
INLINE int snat_choose(struct scratch *scratch)
{
	struct pkt *p = &scratch->pkt;
	struct svc_key key __attribute__((aligned(8)));
	struct svc_entry *svc;

	svc_key_fill(&key, &p->dst, p->dport, p->proto, SVC_SCOPE_EXTERNAL);
	svc = bpf_map_lookup_elem(&fl_services_1, &key);
	if (!svc || (svc->flags & SNAT_FLAGS_UNWANTED) || svc->source_set)
		return 0;
	__u32 id = svc->id, generation = svc->generation;
	__u32 seed = svc->flags & SVC_FLAG_MAGLEV ? flow_hash(&p->src, &p->dst, p->sport, p->dport, p->proto)
						  : bpf_get_prandom_u32();
	__u32 index = dsr_slot(svc->all_base, svc->all_count, seed);

	if (!index || lb_given(index, &scratch->choice))
		return 0;
	return dsr_confirm(svc, id, generation);
}

/*
 * Opens the flow of scratch->pkt: backend, port at the node's address, both entries in scratch->made. 1, or 0 = tc shall do it, which
 * also tells what is wrong. Only first packets are opened here: TCP in the middle of nowhere is tc's business.
 */
GLOBAL int snat_open(void)
{
	struct scratch *scratch = scratch_get();
	struct ipcache_entry from;

	if (!scratch || !cfg_snat_port_max)
		return 0;
	struct pkt *p = &scratch->pkt, *inner = &scratch->inner;
	struct ct_entry *entry = &scratch->made;
	struct lb_choice *choice = &scratch->choice;

	__builtin_memset(choice, 0, sizeof(*choice));
	if (!snat_choose(scratch) || !snat_node_of(choice->peer, p->ip_len))
		return 0;
	peer_resolve(&p->src, &from);
	if (from.peer.kind != PEER_KIND_WORLD && from.peer.kind != PEER_KIND_NATIVE)
		return 0;
	*inner = *p;
	inner->dst = choice->addr;
	inner->dport = choice->port;
	scratch->origin = (struct flow_origin){
		.peer = from.peer, .identity = from.identity, .hook = HOOK_XDP, .client = LB_CLIENT_OUTSIDE};
	flow_fill(entry, p, &scratch->origin, choice->peer, choice);
	if (nat_open_unseen(scratch))
		return 0;
	snat_report_new(scratch);
	return 1;
}

/* First packet of a flow. Returns a verdict. */
NOINLINE int snat_new(struct xdp_md *ctx, const struct xdp_pkt *x)
{
	struct scratch *scratch = scratch_begin();
	struct xdp_node *node;

	if (!scratch || (x->proto == L4_PROTO_TCP && !snat_is_first(x->proto, x->tcp_flags)) || x->ttl <= 1 ||
	    xdp_is_spoofed(x))
		return XDP_PASS;
	snat_describe(x, &scratch->pkt);
	if (!snat_open())
		return XDP_PASS;
	node = snat_node_of(scratch->made.peer[1], x->ip_len);
	if (!node)
		return XDP_PASS;
	return snat_send(ctx, x, node, &scratch->choice.addr, scratch->choice.port, scratch->made.snat_port);
}

/* Where a packet leaves, by the node's routing table. 0 = known, and by the device it came in: others need not take what XDP sends. */
INLINE int snat_route(struct xdp_md *ctx, const struct xdp_pkt *x, const addr_t *src, const addr_t *dst,
		      struct bpf_fib_lookup *fib)
{
	fib->ifindex = ctx->ingress_ifindex;
	fib->tot_len = x->ip_len;
	route_fill(fib, x->family, src, dst);
	return bpf_fib_lookup(ctx, fib, sizeof(*fib), 0) != BPF_FIB_LKUP_RET_SUCCESS ||
	       fib->ifindex != ctx->ingress_ifindex;
}

/* Sends what has been rewritten to the next hop that snat_route found. Returns a verdict. */
INLINE int snat_send_routed(struct xdp_md *ctx, const struct bpf_fib_lookup *fib)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;

	if (data + ETH_LEN > data_end)
		return XDP_DROP;
	__builtin_memcpy(data, fib->dmac, 6);
	__builtin_memcpy(data + 6, fib->smac, 6);
	count(METRIC_FORWARDED_PACKETS);
	return XDP_TX;
}

/*
 * A packet of a known flow from outside to a backend that is no node's. tc has opened the flow and sees it again once a second at least:
 * what XDP sends keeps no neighbour entry alive. Returns a verdict.
 */
NOINLINE int snat_known_world(struct xdp_md *ctx, const struct xdp_pkt *x)
{
	struct bpf_fib_lookup fib __attribute__((aligned(8))) = {};
	struct scratch *scratch = scratch_begin();
	addr_t own = node_addr(x->family);
	struct ct_entry *entry;

	if (!scratch)
		return XDP_PASS;
	struct pkt *p = &scratch->pkt;

	snat_describe(x, p);
	entry = ct_lookup(p);
	if (!entry || !is_outside(entry->peer[0].kind) || jiffies32() - entry->last_seen >= cfg_hz)
		return XDP_PASS;
	addr_t backend = p->xlate;
	__be16 port = entry->xlate_port, own_port = entry->snat_port;

	if (snat_route(ctx, x, &p->src, &backend, &fib) || !ct_touch(p, entry, CT_DIR_FORWARD))
		return XDP_PASS;
	if (snat_rewrite(ctx, x, &own, &backend, own_port, port))
		return xdp_drop(ctx, x, DROP_REASON_REWRITE_FAILED);
	return snat_send_routed(ctx, &fib);
}

/*
 * A packet of a flow that exists. Returns a verdict, SNAT_NO_FLOW, or SNAT_WORLD: snat_known_world() shall go on. XDP_PASS for whatever
 * tc serves.
 */
NOINLINE int snat_known(struct xdp_md *ctx, const struct xdp_pkt *x)
{
	struct ct_entry *entry;
	struct xdp_node *node;
	struct pkt p = {};

	if (x->ttl <= 1)
		return XDP_PASS;
	snat_describe(x, &p);
	entry = ct_lookup(&p);
	if (!entry)
		return SNAT_NO_FLOW;
	if (ct_direction(entry, &p) != CT_DIR_FORWARD ||
	    (entry->flags & (CT_FLAG_SVC_FORWARD | CT_FLAG_MASQUERADE | CT_FLAG_PORT_MAY_GO)) !=
		    (CT_FLAG_SVC_FORWARD | CT_FLAG_MASQUERADE) ||
	    (x->proto == L4_PROTO_TCP ? x->tcp_flags & TCP_SYN : !flow_backend_is(entry, BACKEND_FLAG_SERVING)))
		return XDP_PASS;
	if (is_outside(entry->peer[1].kind))
		return entry->source ? XDP_PASS : SNAT_WORLD; /* another interface's address, and probably its link */
	node = snat_node_of(entry->peer[1], x->ip_len);
	if (!node || !ct_touch(&p, entry, CT_DIR_FORWARD))
		return XDP_PASS;
	return snat_send(ctx, x, node, &p.xlate, entry->xlate_port, entry->snat_port);
}

/* A packet to a service. Two functions one after the other, not inside each other: the stack is 512 bytes. */
INLINE int snat_forward(struct xdp_md *ctx, const struct xdp_pkt *x)
{
	int verdict = snat_is_first(x->proto, x->tcp_flags) ? SNAT_NO_FLOW : snat_known(ctx, x);

	if (verdict == SNAT_WORLD)
		return snat_known_world(ctx, x);
	if (verdict != SNAT_NO_FLOW)
		return verdict;
	return cfg_carry ? XDP_PASS : snat_new(ctx, x); /* tc knows the flows of both versions' tables */
}

/* May XDP send replies of this flow? Those of the world pass tc once a second, as what goes there does. */
INLINE int snat_may_reply(const struct ct_entry *entry)
{
	if (is_outside(entry->peer[1].kind))
		return jiffies32() - entry->last_seen < cfg_hz;
	return snat_node_of(entry->peer[1], 0) != 0;
}

/* A packet to a port of the masquerade range: a backend's reply, back to the client as the service. */
NOINLINE int snat_reply(struct xdp_md *ctx, const struct xdp_pkt *x)
{
	struct bpf_fib_lookup fib __attribute__((aligned(8))) = {};
	struct ct_entry *entry;
	struct scratch *scratch = scratch_begin();
	addr_t client;

	if (!scratch || x->ttl <= 1)
		return XDP_PASS;
	struct pkt *p = &scratch->pkt;

	snat_describe(x, p);
	entry = ct_lookup(p);
	if (!entry || ct_direction(entry, p) != CT_DIR_REPLY || !ct_is_masqueraded_reply(entry) ||
	    !is_outside(entry->peer[0].kind) || !snat_may_reply(entry) || ct_client(p, entry, &client) ||
	    snat_route(ctx, x, &p->xlate, &client, &fib))
		return XDP_PASS;
	__be16 port = entry->snat_port;

	if (!ct_touch(p, entry, CT_DIR_REPLY))
		return XDP_PASS;
	if (snat_rewrite(ctx, x, &p->xlate, &client, entry->xlate_port, port))
		return xdp_drop(ctx, x, DROP_REASON_REWRITE_FAILED);
	return snat_send_routed(ctx, &fib);
}
