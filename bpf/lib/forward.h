/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Sends a packet of a known flow on its way: translation, one hop less, next hop. Whatever can refuse the packet is asked
 * before the first byte changes, so that ICMP errors quote what the sender sent.
 */
#pragma once
#include "dns.h"
#include "dsr_mss.h"
#include "flow.h"
#include "reply.h"

enum translate_args {
	TRANSLATE_REPLY = 0x10000,   /* beside enum ct_flags */
	TRANSLATE_SOURCE_SHIFT = 24, /* ct_entry.source in the uppermost bits */
	TRANSLATE_MORE = CT_FLAG_HOST_LOOP | CT_FLAG_MASQUERADE | CT_FLAG_SHARED, /* more than one side may change */
};

/*
 * What changes besides what the service means, into scratch->change: a client that talks to its own node becomes the service's address for the
 * backend; the port that a service flow got because its own was taken; a masquerade, which an ICMP error has without a port.
 */
INLINE void translate_more(struct scratch *scratch, __u32 flags, __be16 own_port)
{
	__u32 shared = CT_FLAG_SVC_REPLY | CT_FLAG_SHARED;
	struct side_change *change = &scratch->change;
	int loop = flags & CT_FLAG_HOST_LOOP;
	struct pkt *p = &scratch->pkt;

	if (flags & TRANSLATE_REPLY) {
		change->side = REWRITE_DESTINATION;
		change->addr = loop ? node_addr(p->family) : flags & CT_FLAG_MASQUERADE ? scratch->client : p->dst;
		change->port = own_port ? own_port : p->dport;
		change->wanted = loop || (flags & CT_FLAG_MASQUERADE) || (own_port && (flags & shared) != shared);
		return;
	}
	change->side = REWRITE_SOURCE;
	change->addr = loop                         ? p->dst
		       : flags & CT_FLAG_MASQUERADE ? own_addr(p->family, flags >> TRANSLATE_SOURCE_SHIFT)
						    : p->src;
	change->port = own_port ? own_port : p->sport;
	change->wanted = loop || own_port || (flags & CT_FLAG_MASQUERADE);
}

/*
 * Translates the packet in the scratch. `flags`: those of its entry and TRANSLATE_REPLY; `ports`: xlate_port and, 16 bits higher,
 * snat_port of the entry. Replies of masqueraded flows go to scratch->client; both ports of an echo are its identifier, which changes as that of the
 * destination. 0 or a negative reason.
 */
GLOBAL int translate(struct __sk_buff *skb, __u32 flags, __u32 ports)
{
	struct scratch *scratch = scratch_get();
	enum rewrite_side side = flags & TRANSLATE_REPLY ? REWRITE_SOURCE : REWRITE_DESTINATION;
	addr_t addr;
	int err;

	if (!scratch)
		return -DROP_REASON_REWRITE_FAILED;
	translate_more(scratch, flags, ports >> 16);
	if (flags & (TRANSLATE_REPLY | CT_FLAG_SVC_FORWARD | CT_FLAG_HOST_LOOP)) {
		addr = scratch->pkt.xlate;
		if ((flags & CT_FLAG_MASQUERADE) && ct_is_echo(&scratch->pkt))
			scratch->pkt.sport = ports;
		err = rewrite(skb, &scratch->pkt, side, &addr, ports);
		if (err)
			return err;
	}
	return scratch->change.wanted ? rewrite_here(skb) : 0;
}

/* Translates a TCP segment over IPv4 of which one side changes: most packets of services. 1 = it is not such a one, nothing is done. */
INLINE int translate_in_place(struct __sk_buff *skb, struct pkt *p, const struct ct_entry *entry, __u32 dir)
{
	__u32 simple = dir == CT_DIR_REPLY ? CT_FLAG_SVC_REPLY : CT_FLAG_SVC_FORWARD;
	__be32 to = addr_ipv4(&p->xlate);

	if (p->family != 4 || p->proto != L4_PROTO_TCP || (p->flags & PKT_FRAGMENT) || entry->snat_port ||
	    !entry->xlate_port || (entry->flags & (simple | TRANSLATE_MORE)) != simple)
		return 1;
	if (dir == CT_DIR_REPLY)
		return rewrite_tcp4(skb, p, REWRITE_SOURCE, to, entry->xlate_port);
	return rewrite_tcp4(skb, p, REWRITE_DESTINATION, to, entry->xlate_port);
}

/* Whom a reply of a masqueraded flow goes to, for translate(). 0, or 1 = its entry is gone. */
NOINLINE int forward_find_client(const struct pkt *p, const struct ct_entry *entry)
{
	struct scratch *scratch = scratch_get();

	return !scratch || ct_client(p, entry, &scratch->client);
}

/* What the entry says about addresses and ports, for `p`, which is scratch->pkt. 0 or a negative reason. */
INLINE int forward_translate(struct __sk_buff *skb, struct pkt *p, const struct ct_entry *entry, __u32 dir)
{
	__u32 flags = entry->flags;
	__u32 wanted =
		CT_FLAG_SHARED | (dir == CT_DIR_REPLY ? CT_FLAG_SVC_REPLY : CT_FLAG_SVC_FORWARD | CT_FLAG_MASQUERADE);
	int err;

	if (!(flags & wanted))
		return 0;
	err = translate_in_place(skb, p, entry, dir);
	if (err <= 0)
		return err;
	if (dir == CT_DIR_REPLY)
		flags |= TRANSLATE_REPLY;
	if (dir == CT_DIR_REPLY && (flags & CT_FLAG_MASQUERADE) && forward_find_client(p, entry))
		return -DROP_REASON_REWRITE_FAILED;
	if (cfg_uplink_rows)
		flags |= (__u32)entry->source << TRANSLATE_SOURCE_SHIFT;
	return translate(skb, flags, (__u32)entry->snat_port << 16 | entry->xlate_port);
}

/* IP length of the packet on the wire: that of one segment for aggregates (GSO, GRO). */
INLINE __u32 forward_wire_len(struct __sk_buff *skb, const struct pkt *p)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	__u32 off = p->l4_off & 0x3ff, l4_len = 8;
	struct tcphdr *tcp = data + off;

	if (!skb->gso_size)
		return p->ip_len;
	if (p->proto == L4_PROTO_TCP && (void *)(tcp + 1) <= data_end)
		l4_len = tcp->doff * 4;
	return skb->gso_size + l4_len + off - ETH_LEN;
}

INLINE int forward_fits(struct __sk_buff *skb, const struct pkt *p, __u32 mtu)
{
	return p->ip_len <= mtu || forward_wire_len(skb, p) <= mtu;
}

/*
 * May the stack fragment a packet that is too large? Not if the sender forbids it, nor if the packet will have an address of the node as
 * source, as masqueraded ones and answers of node ports: on its way in the stack takes such a packet for a forgery. The sender is told the size
 * instead, and fragments itself.
 */
INLINE int forward_may_fragment(const struct pkt *p, const struct ct_entry *entry, __u32 dir)
{
	__u32 own = dir == CT_DIR_FORWARD ? CT_FLAG_MASQUERADE : CT_FLAG_SVC_REPLY;

	return !(p->flags & PKT_DONT_FRAGMENT) && !(entry->flags & own);
}

/* Into a pod of this node, without passing the host's stack. `to`: NULL = not looked up yet. */
INLINE int forward_to_pod(struct __sk_buff *skb, struct pkt *p, const struct ct_entry *entry, struct endpoint *to,
			  __u32 dir, enum hook hook)
{
	__u32 agent = 0;
	int err;

	if (!to)
		to = endpoint_of(&entry->peer[(dir ^ 1) & 1]);
	if (!to)
		return drop(skb, p, DROP_REASON_NO_ROUTE, hook);
	if (!(to->flags & ENDPOINT_FLAG_READY))
		return drop(skb, p, DROP_REASON_ENDPOINT_NOT_READY, hook);
	if (p->ttl <= 1)
		return answer_ttl_exceeded(skb, p, hook_route(hook));
	if ((to->flags & ENDPOINT_FLAG_DNS) && dir == CT_DIR_REPLY)
		agent = dns_device(skb, DNS_ANSWER);
	err = forward_translate(skb, p, entry, dir);
	if (!err)
		err = rewrite_ttl(skb, p);
	if (!err)
		err = rewrite_macs(skb, to->mac, to->host_mac);
	if (err)
		return drop(skb, p, err, hook);
	return agent ? bpf_redirect(agent, 0) : bpf_redirect_peer(to->ifindex, 0);
}

/* Tells the overlay device where to send. The address is IPv4-mapped for an IPv4 underlay. */
/*
 * Other nodes take envelopes only from the address that the Node object names. Where the kernel takes no source (before 6.0) it is the one of its
 * route, which is another one on an uplink with several addresses.
 */
INLINE int forward_set_tunnel_to(struct __sk_buff *skb, const addr_t *target)
{
	struct bpf_tunnel_key key = {.tunnel_id = cfg_vni, .tunnel_ttl = 64};
	__u32 size = cfg_has_tunnel_source ? sizeof(key) : TUNNEL_KEY_SIZE;
	addr_t outer = *target;
	addr_t own;

	skb->mark = MARK_TUNNEL_KEY_SET;
	if (addr_is_ipv4(&outer)) {
		own = addr_config(cfg_node_addr4);
		key.remote_ipv4 = bpf_ntohl(addr_ipv4(&outer));
		if (cfg_has_tunnel_source)
			key.local_ipv4 = bpf_ntohl(addr_ipv4(&own));
		return bpf_skb_set_tunnel_key(skb, &key, size, BPF_F_ZERO_CSUM_TX);
	}
	own = addr_config(cfg_node_addr6);
	__builtin_memcpy(key.remote_ipv6, &outer, 16);
	if (cfg_has_tunnel_source)
		__builtin_memcpy(key.local_ipv6, &own, 16);
	return bpf_skb_set_tunnel_key(skb, &key, size, BPF_F_TUNINFO_IPV6);
}

INLINE int forward_set_tunnel(struct __sk_buff *skb, const struct node *node)
{
	return forward_set_tunnel_to(skb, addr_of((void *)node->tunnel));
}

/* To another node: through the overlay device, or over the shared link with the kernel's neighbour entry. */
INLINE int forward_to_node(struct __sk_buff *skb, struct pkt *p, const struct ct_entry *entry, __u32 dir,
			   enum hook hook)
{
	struct node *node = node_of(entry->peer[(dir ^ 1) & 1]);
	struct bpf_redir_neigh next = {};
	int err;

	if (!node)
		return drop(skb, p, DROP_REASON_NO_ROUTE, hook);
	if (p->ttl <= 1)
		return answer_ttl_exceeded(skb, p, hook_route(hook));
	if (!forward_fits(skb, p, node->mtu) && !forward_may_fragment(p, entry, dir))
		return answer_too_big(skb, p, node->mtu, hook_route(hook));
	err = forward_translate(skb, p, entry, dir);
	if (!err && !forward_fits(skb, p, node->mtu))
		return VERDICT_NEXT; /* only the stack can fragment */
	if (!err)
		err = rewrite_ttl(skb, p);
	if (err)
		return drop(skb, p, err, hook);
	if (node->flags & NODE_FLAG_TUNNEL) {
		struct mac mac = mac_config(cfg_overlay_mac);

		if (rewrite_macs(skb, mac.bytes, mac.bytes) < 0 || forward_set_tunnel(skb, node) < 0)
			return drop(skb, p, DROP_REASON_TUNNEL_KEY, hook);
		return bpf_redirect(node->ifindex, 0);
	}
	if (p->family == 4) {
		next.nh_family = 2; /* AF_INET */
		next.ipv4_nh = node->nexthop4;
	} else {
		next.nh_family = 10; /* AF_INET6 */
		__builtin_memcpy(next.ipv6_nh, node->nexthop6, 16);
	}
	return bpf_redirect_neigh(node->ifindex, &next, sizeof(next), 0);
}

/* Where a packet leaves. */
struct way_out {
	struct bpf_redir_neigh next;
	__u32 ifindex;
	__u32 mtu; /* largest IP packet, in bytes */
};

/*
 * The way to the world, by the node's routing table: for what the packet's source will be, unless it is masqueraded, which the kernel too does after
 * routing. 0 = *way is set; 1 = only the stack knows (local destination, a device without forwarding); negative reason. The neighbour itself is left
 * to bpf_redirect_neigh, because look-ups from BPF do not keep neighbour entries alive.
 */
NOINLINE int forward_route(struct __sk_buff *skb, const struct pkt *p, const struct ct_entry *entry, __u32 dir,
			   struct way_out *way)
{
	addr_t dst = dir == CT_DIR_FORWARD && (entry->flags & CT_FLAG_SVC_FORWARD) ? p->xlate : p->dst;
	addr_t src = dir == CT_DIR_REPLY && (entry->flags & CT_FLAG_SVC_REPLY) ? p->xlate : p->src;
	struct bpf_fib_lookup fib __attribute__((aligned(8)));
	long result;

	if (dir == CT_DIR_REPLY && ct_is_masqueraded_reply(entry))
		ct_client(p, entry, &dst);
	result = route_ask(skb, p->family, &src, &dst, &fib);
	if (result == BPF_FIB_LKUP_RET_BLACKHOLE || result == BPF_FIB_LKUP_RET_UNREACHABLE ||
	    result == BPF_FIB_LKUP_RET_PROHIBIT)
		return -DROP_REASON_NO_ROUTE;
	way->mtu = route_mtu(&fib, result);
	if (!way->mtu)
		return 1;
	way->next.nh_family = fib.family;
	if (p->family == 4)
		way->next.ipv4_nh = fib.ipv4_dst;
	else
		__builtin_memcpy(way->next.ipv6_nh, fib.ipv6_dst, 16);
	way->ifindex = fib.ifindex;
	return 0;
}

/* Out of the cluster; the node's routing table says where. */
INLINE int forward_to_world(struct __sk_buff *skb, struct pkt *p, const struct ct_entry *entry, __u32 dir,
			    enum hook hook)
{
	struct way_out way = {};
	int route, err;

	if (p->ttl <= 1)
		return answer_ttl_exceeded(skb, p, hook_route(hook));
	route = forward_route(skb, p, entry, dir, &way);
	if (route < 0)
		return drop(skb, p, route, hook);
	if (route)
		way.mtu = cfg_uplink_mtu;
	if (!forward_fits(skb, p, way.mtu) && !forward_may_fragment(p, entry, dir))
		return answer_too_big(skb, p, way.mtu, hook_route(hook));
	err = forward_translate(skb, p, entry, dir);
	if (!err && (route || !forward_fits(skb, p, way.mtu)))
		return VERDICT_NEXT; /* the stack decides, or fragments */
	if (!err)
		err = rewrite_ttl(skb, p);
	if (err)
		return drop(skb, p, err, hook);
	return bpf_redirect_neigh(way.ifindex, &way.next, sizeof(way.next), 0);
}

/* To the node itself. What left through the host device comes back by it, so that rp_filter and netfilter see one path. */
INLINE int forward_to_host(struct __sk_buff *skb, struct pkt *p, const struct ct_entry *entry, __u32 dir,
			   enum hook hook)
{
	int err = forward_translate(skb, p, entry, dir);
	struct mac mac = mac_config(cfg_host_mac);

	if (err)
		return drop(skb, p, err, hook);
	if ((entry->flags & (CT_FLAG_VIA_HOST | CT_FLAG_EXTERNAL)) == (CT_FLAG_VIA_HOST | CT_FLAG_EXTERNAL))
		return send_to_loopback(skb);
	if (!(entry->flags & CT_FLAG_VIA_HOST) || (dir == CT_DIR_FORWARD && !(entry->flags & CT_FLAG_HOST_LOOP)))
		return VERDICT_NEXT;
	if (rewrite_macs(skb, mac.bytes, mac.bytes) < 0)
		return drop(skb, p, DROP_REASON_REWRITE_FAILED, hook);
	return bpf_redirect(cfg_host_ifindex, BPF_F_INGRESS);
}

/*
 * Will the packet have a pod's address as source? Only those go to other nodes through a tunnel: nodes reach each other's own
 * addresses directly, and the receiver's rp_filter would not take them from a device without addresses.
 */
INLINE int forward_from_pod_address(const struct ct_entry *entry, __u32 dir)
{
	__u32 translated = dir == CT_DIR_REPLY ? CT_FLAG_SVC_REPLY : CT_FLAG_MASQUERADE;

	return entry->peer[dir & 1].kind == PEER_KIND_LOCAL_POD && !(entry->flags & translated);
}

/* A packet whose flow has been judged. `pod`: as flow_usable gives it. */
INLINE int forward(struct __sk_buff *skb, struct pkt *p, const struct ct_entry *entry, struct endpoint *pod, __u32 dir,
		   enum hook hook)
{
	count(METRIC_FORWARDED_PACKETS);
	if (dsr_on() && (entry->flags & CT_FLAG_DSR) && dir == CT_DIR_REPLY && p->proto == L4_PROTO_TCP &&
	    (p->tcp_flags & TCP_SYN) && dsr_clamp_mss(skb, p))
		return drop(skb, p, DROP_REASON_REWRITE_FAILED, hook);
	if (pod || entry->peer[(dir ^ 1) & 1].kind == PEER_KIND_LOCAL_POD)
		return forward_to_pod(skb, p, entry, pod, dir, hook);
	switch (entry->peer[(dir ^ 1) & 1].kind) {
	case PEER_KIND_REMOTE_NODE:
		if (!forward_from_pod_address(entry, dir))
			return forward_to_world(skb, p, entry, dir, hook);
		/* fallthrough */
	case PEER_KIND_REMOTE_POD:
		return forward_to_node(skb, p, entry, dir, hook);
	case PEER_KIND_HOST:
		return forward_to_host(skb, p, entry, dir, hook);
	default:
		return forward_to_world(skb, p, entry, dir, hook);
	}
}

/* What to do when flow_create refused: rejects are answered, the rest is dropped. */
INLINE int forward_refuse(struct __sk_buff *skb, struct pkt *p, int reason, enum hook hook)
{
	if (reason == -DROP_REASON_NO_BACKEND || reason == -DROP_REASON_UNDEFINED_PORT)
		return answer_reject(skb, p, reason, hook_route(hook));
	return drop(skb, p, reason, hook);
}
