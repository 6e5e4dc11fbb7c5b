/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Direct server return in tc, the balancer: sends what XDP left here (fragments, options, ICMP errors, devices without XDP) to the same
 * backend with the same envelope, and answers what does not fit.
 */
#pragma once
#include "dsr.h"
#include "forward.h"
#include "related.h"

/* bpf_skb_adjust_room: flags of newer kernels than the oldest headers in use. */
enum dsr_room_flags {
	ROOM_FIXED_GSO = 1 << 0,
	ROOM_ENCAP_L3_IPV4 = 1 << 1,
	ROOM_ENCAP_L3_IPV6 = 1 << 2,
	ROOM_DECAP_L3_IPV4 = 1 << 7, /* kernel 6.3; needed only where the families of envelope and content differ */
	ROOM_DECAP_L3_IPV6 = 1 << 8,
};

/* What dsr_dispatch and dsr_settle answer; anything else is a verdict. */
enum dsr_result {
	DSR_GO_ON = 0,
	DSR_SEND = 1, /* in an envelope to scratch->dsr.target: dsr_send */
};

/* The scratch memory as it is. */
INLINE struct scratch *scratch_again(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&fl_scratch_1, &zero);
}

struct dsr_envelope {
	addr_t target;
	__u32 len; /* of what is inside */
	__u16 tag;
	__u8 proto;
	__u8 tos;
};

INLINE int dsr_is_envelope(__u8 proto)
{
	return proto == IPPROTO_IPIP || proto == IPPROTO_IPV6;
}

INLINE int dsr_is_syn(const struct pkt *p)
{
	return p->proto == L4_PROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* The service at an external address and the port of the packet; NULL = none that the hash alone decides. */
INLINE struct svc_entry *dsr_service(const struct pkt *p, const addr_t *addr)
{
	struct svc_key key __attribute__((aligned(8)));
	struct svc_entry *svc;

	svc_key_fill(&key, addr, p->dport, p->proto, SVC_SCOPE_EXTERNAL);
	svc = bpf_map_lookup_elem(&fl_services_1, &key);
	return svc && dsr_is_served(svc) ? svc : 0;
}

/* Who has a backend's address; its own reference is a cache that may be empty. */
INLINE struct peer_ref dsr_owner(const struct backend *backend)
{
	struct peer_ref peer = *(const volatile struct peer_ref *)&backend->peer;
	struct ipcache_entry owner;

	if (peer.kind != PEER_KIND_UNKNOWN)
		return peer;
	peer_resolve(addr_of((void *)backend->addr), &owner);
	return owner.peer;
}

/* Address of the node behind a backend, if that is another one, or of the server that it is; zero = this node, or not known. */
INLINE void dsr_target_of(__u32 index, addr_t *out)
{
	struct backend *backend = index ? dsr_backend(index) : 0;
	struct node *node;

	*out = (addr_t){};
	if (!backend || !(backend->flags & BACKEND_FLAG_SERVING))
		return;
	struct peer_ref owner = dsr_owner(backend);

	if (dsr_to_servers()) {
		if (owner.kind == PEER_KIND_WORLD || owner.kind == PEER_KIND_NATIVE)
			*out = *addr_of(backend->addr);
		return;
	}
	node = owner.kind == PEER_KIND_REMOTE_POD ? node_of(owner) : 0;
	if (node)
		*out = *addr_of(node->tunnel);
}

/* What the length field of an IP header says; nothing of aggregates that are longer than it can say (BIG TCP). */
INLINE __u16 dsr_length(__u32 len)
{
	return len > 0xffff ? 0 : len;
}

/*
 * Puts an IP header in front. 0 or 1. Only the outermost is an encapsulation for the kernel, which refuses two; packets with two are never
 * aggregates, so that it need not take them apart.
 */
NOINLINE int dsr_close(struct __sk_buff *skb, const struct dsr_envelope *e, int outermost)
{
	__u64 flags = ROOM_FIXED_GSO;

	struct {
		struct iphdr v4;
		__u32 pad;
		struct ipv6hdr v6;
	} __attribute__((aligned(8))) header;
	addr_t source;
	__be16 type;

	if (outermost)
		flags |= addr_is_ipv4(&e->target) ? ROOM_ENCAP_L3_IPV4 : ROOM_ENCAP_L3_IPV6;
	if (addr_is_ipv4(&e->target)) {
		source = addr_config(cfg_node_addr4);
		type = bpf_htons(ETH_IPV4);
		dsr_fill_ipv4(&header.v4, addr_ipv4(&source), addr_ipv4(&e->target), e->proto, e->tos,
			      dsr_length(e->len + IPV4_MIN_LEN), e->tag);
		if (bpf_skb_adjust_room(skb, IPV4_MIN_LEN, BPF_ADJ_ROOM_MAC, flags) < 0 ||
		    bpf_skb_store_bytes(skb, ETH_LEN, &header.v4, sizeof(header.v4), 0) < 0)
			return 1;
	} else {
		source = addr_config(cfg_node_addr6);
		type = bpf_htons(ETH_IPV6);
		dsr_fill_ipv6(&header.v6, &source, &e->target, e->proto, e->tos, dsr_length(e->len), e->tag);
		if (bpf_skb_adjust_room(skb, IPV6_LEN, BPF_ADJ_ROOM_MAC, flags) < 0 ||
		    bpf_skb_store_bytes(skb, ETH_LEN, &header.v6, sizeof(header.v6), 0) < 0)
			return 1;
	}
	return bpf_skb_store_bytes(skb, 2 * 6, &type, sizeof(type), 0) < 0;
}

INLINE __u32 dsr_envelope_len(const addr_t *target)
{
	return addr_is_ipv4(target) ? IPV4_MIN_LEN : IPV6_LEN;
}

/* IP bytes that the way to a node or server takes. */
INLINE __u32 dsr_outer_len(const addr_t *target)
{
	if (cfg_north_south == NORTH_SOUTH_SERVER_LINK)
		return 0;
	/* UDP and VXLAN header and the inner link header */
	return dsr_envelope_len(target) + (cfg_north_south == NORTH_SOUTH_VXLAN ? 8 + 8 + ETH_LEN : 0);
}

/* The header that a packet has now, as the envelope's content. */
INLINE void dsr_describe(struct __sk_buff *skb, const struct pkt *p, struct dsr_envelope *e)
{
	__u8 first[2] = {};

	bpf_skb_load_bytes(skb, ETH_LEN, first, sizeof(first));
	e->tos = p->family == 4 ? first[1] : (__u8)(first[0] << 4 | first[1] >> 4);
	e->proto = p->family == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
	e->len = p->ip_len;
}

/* Through the overlay device; the tag goes into the source address. Returns a verdict. */
INLINE int dsr_send_vxlan(struct __sk_buff *skb, struct pkt *p, const struct dsr_envelope *e)
{
	struct mac mac = mac_config(cfg_overlay_mac);
	struct ethhdr from = {};

	dsr_mark(&from, e->tag);
	if (rewrite_macs(skb, mac.bytes, from.h_source) < 0 || forward_set_tunnel_to(skb, &e->target) < 0)
		return drop(skb, p, DROP_REASON_TUNNEL_KEY, HOOK_FROM_UPLINK);
	count(METRIC_FORWARDED_PACKETS);
	return bpf_redirect(cfg_overlay_ifindex, 0);
}

/* As it is to the link address of a server, which has the service's address itself. Returns a verdict. */
INLINE int dsr_send_link(const struct pkt *p, const addr_t *target)
{
	struct bpf_redir_neigh next = {};

	if (p->family == 4) {
		next.nh_family = 2; /* AF_INET */
		next.ipv4_nh = addr_ipv4(target);
	} else {
		next.nh_family = 10; /* AF_INET6 */
		__builtin_memcpy(next.ipv6_nh, target, 16);
	}
	count(METRIC_FORWARDED_PACKETS);
	return bpf_redirect_neigh(cfg_uplink_ifindex, &next, sizeof(next), 0);
}

/* In an envelope to scratch->dsr.target, which is told of scratch->dsr.hint unless that is zero. Returns a verdict. */
NOINLINE int dsr_send(struct __sk_buff *skb, struct scratch *scratch)
{
	struct dsr_packet *in = &scratch->dsr;
	struct pkt *p = &scratch->pkt;
	struct dsr_envelope e;
	__u32 len = dsr_outer_len(&in->target);

	if (rewrite_ttl(skb, p) < 0)
		return drop(skb, p, DROP_REASON_REWRITE_FAILED, HOOK_FROM_UPLINK);
	if (cfg_north_south == NORTH_SOUTH_SERVER_LINK)
		return dsr_send_link(p, &in->target);
	dsr_describe(skb, p, &e);
	if (!addr_is_zero(&in->hint) && !skb->gso_size && e.len + len + dsr_envelope_len(&in->hint) <= cfg_uplink_mtu) {
		e.target = in->hint;
		e.tag = in->hint_tag;
		if (dsr_close(skb, &e, 0))
			return drop(skb, p, DROP_REASON_REWRITE_FAILED, HOOK_FROM_UPLINK);
		e.len += dsr_envelope_len(&e.target);
		e.proto = addr_is_ipv4(&e.target) ? IPPROTO_IPIP : IPPROTO_IPV6;
	}
	e.target = in->target;
	e.tag = in->tag;
	if (cfg_north_south == NORTH_SOUTH_VXLAN)
		return dsr_send_vxlan(skb, p, &e);
	if (dsr_close(skb, &e, 1))
		return drop(skb, p, DROP_REASON_REWRITE_FAILED, HOOK_FROM_UPLINK);
	count(METRIC_FORWARDED_PACKETS);
	return bpf_redirect_neigh(cfg_uplink_ifindex, 0, 0, 0);
}

/* What a router would refuse is answered, before the packet is touched; else dsr_send. Returns a verdict. */
INLINE int dsr_forward(struct __sk_buff *skb, struct scratch *scratch)
{
	struct pkt *p = &scratch->pkt;
	__u32 len = dsr_outer_len(&scratch->dsr.target);

	if (skb->ifindex == cfg_overlay_ifindex && (p->ttl <= 1 || forward_wire_len(skb, p) + len > cfg_uplink_mtu))
		return drop(skb, p, DROP_REASON_FRAG_NEEDED,
			    HOOK_FROM_OVERLAY); /* was judged where it came from outside */
	if (p->ttl <= 1)
		return answer_ttl_exceeded(skb, p, hook_route(HOOK_FROM_UPLINK));
	if (forward_wire_len(skb, p) + len > cfg_uplink_mtu)
		return answer_too_big(skb, p, cfg_uplink_mtu - len, hook_route(HOOK_FROM_UPLINK));
	return dsr_send(skb, scratch);
}

INLINE void dsr_make_key(const struct pkt *p, struct ct_key *key)
{
	*addr_of(key->lo) = p->src;
	*addr_of(key->hi) = p->dst;
	key->lo_port = p->sport;
	key->hi_port = p->dport;
	key->proto = p->proto;
}

/*
 * An ICMP error from outside to a service address belongs to the backend whose answer it quotes: scratch->inner becomes the client's
 * packet that the answer was for. 0 = so it is.
 */
NOINLINE int dsr_read_quote(struct __sk_buff *skb, struct scratch *scratch)
{
	struct pkt *p = &scratch->pkt, *client = &scratch->inner;
	struct quoted *q = &scratch->quoted;

	__builtin_memset(q, 0, sizeof(*q));
	if (related_parse(skb, p, q) || !addr_equal(&q->pkt.src, &p->dst))
		return 1;
	__builtin_memset(client, 0, sizeof(*client));
	client->src = q->pkt.dst;
	client->dst = q->pkt.src;
	client->sport = q->pkt.dport;
	client->dport = q->pkt.sport;
	client->proto = q->pkt.proto;
	return 0;
}

/* Has the packet a port of the node's own address that may be a service's? */
INLINE int dsr_maybe_node_port(const struct pkt *p)
{
	addr_t node = node_addr(p->family);

	if (!addr_equal(&p->dst, &node) || !lb_has_external_ports())
		return 0;
	if (p->proto == L4_PROTO_TCP || p->proto == L4_PROTO_UDP)
		return dsr_is_node_port(p->proto, p->dport);
	return p->proto == L4_PROTO_SCTP || (p->flags & PKT_ICMP_ERROR);
}

/* Is it outside the cluster? Only to those another node may answer. */
NOINLINE int dsr_is_outside(const addr_t *addr)
{
	struct ipcache_entry owner;

	if (!dsr_maybe_inside(addr))
		return 1;
	peer_resolve(addr, &owner);
	return owner.peer.kind == PEER_KIND_WORLD || owner.peer.kind == PEER_KIND_NATIVE;
}

/*
 * A packet from outside to a service address: to another node in an envelope, or on with scratch->dsr.backend as the choice.
 * DSR_GO_ON or a verdict.
 */
GLOBAL int dsr_dispatch(void)
{
	struct scratch *scratch = scratch_again();

	if (!scratch || !dsr_on())
		return DSR_GO_ON;
	struct ct_key key __attribute__((aligned(8))) = {};
	struct dsr_packet *in = &scratch->dsr;
	__u32 is_error = scratch->pkt.flags & PKT_ICMP_ERROR;
	struct pkt *p = is_error ? &scratch->inner : &scratch->pkt;
	struct svc_entry *svc = dsr_service(p, &p->dst);
	struct dsr_choice choice;
	struct backend *backend;

	if (!svc || (dsr_maybe_node_port(&scratch->pkt) && !dsr_is_outside(&p->src)))
		return DSR_GO_ON;
	__u32 id = svc->id, generation = svc->generation;
	__u32 before = dsr_choose(svc, flow_hash(&p->src, &p->dst, p->sport, p->dport, p->proto), &choice);

	if (before) {
		dsr_make_key(p, &key);
		dsr_transition(&key, dsr_is_syn(p), &choice, before, svc->transition);
	}
	if (!dsr_confirm(svc, id, generation))
		return DSR_GO_ON;
	in->alternative = choice.alternative;
	dsr_target_of(choice.backend, &in->target);
	backend = dsr_backend(choice.backend);
	if (addr_is_zero(&in->target)) {
		/* An error is no packet of the flow; a process of a node gets its flows by connection tracking. */
		if (!is_error && backend && dsr_owner(backend).kind == PEER_KIND_LOCAL_POD)
			in->backend = choice.backend;
		return DSR_GO_ON;
	}
	in->backend = choice.backend;
	if (dsr_to_servers())
		return DSR_SEND;
	in->tag = backend ? dsr_tag(backend) : 0;
	dsr_target_of(choice.alternative, &in->hint);
	backend = dsr_backend(choice.alternative);
	in->hint_tag = backend ? dsr_tag(backend) : 0;
	return DSR_SEND;
}
