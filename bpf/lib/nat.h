/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Ports at the node's own addresses: for pods that talk to the world, for clients whose backend is on another node, and
 * for a pod that reaches itself through a service. There is no list of ports: one is taken if and only if the flow table has the
 * key that replies to it would have.
 */
#pragma once
#include "carry.h"
#include "rewrite.h"

enum nat_limits {
	NAT_PORT_TRIES = 64,
	NAT_REST_TRIES = 16, /* of these before ports of flows that have just ended are taken */
	NAT_REST_S = 1,      /* a port rests so long after its flow */
};

/* Protocols with something like a port to tell flows apart at one address. */
INLINE int nat_supported(const struct pkt *p)
{
	return p->proto == L4_PROTO_TCP || p->proto == L4_PROTO_UDP || p->proto == L4_PROTO_SCTP ||
	       ((p->proto == L4_PROTO_ICMP || p->proto == L4_PROTO_ICMPV6) && icmp_is_echo(p->proto, p->tcp_flags));
}

/* What is known of the flow that holds a port. */
enum nat_holder {
	NAT_IN_USE,
	NAT_JUST_OVER, /* packets of it may still be on their way, and its server may not know yet */
	NAT_OVER,
};

/* How far the flow of the entry for replies is. Echo identifiers are left to the collector. */
INLINE enum nat_holder nat_holder_of(const struct ct_entry *entry)
{
	if (!(entry->flags & CT_FLAG_CLOSING))
		return NAT_IN_USE;
	return (__s32)(jiffies32() - entry->last_seen) >= (__s32)(NAT_REST_S * cfg_hz) ? NAT_OVER : NAT_JUST_OVER;
}

/*
 * Does the port's holder, which scratch->inner has found, belong to a connection that is over and had the very ends of the one in the scratch? The
 * responder can tell the two apart then, as it could if the initiator itself had used its port again.
 */
NOINLINE int nat_is_former(struct scratch *scratch, const struct ct_entry *holder)
{
	struct ct_entry *made = &scratch->made;
	addr_t client;

	return (holder->flags & CT_FLAG_CLOSING) && ct_is_masqueraded_reply(holder) &&
	       holder->snat_port == made->snat_port && holder->xlate_port == made->xlate_port &&
	       addr_equal(&scratch->inner.xlate, addr_of(made->xlate_addr)) &&
	       !ct_client(&scratch->inner, holder, &client) && addr_equal(&client, &scratch->pkt.src);
}

/*
 * Inserts scratch->made under the key that replies to this port (host byte order) of the node have: scratch->inner is the packet as the responder
 * sees it. In the place of an ended flow if that is at least as far as `least`, or had the same ends. 0 = done.
 */
GLOBAL int nat_take(__u32 port, __u32 least)
{
	struct scratch *scratch = scratch_get();
	struct ct_entry *holder = 0;

	if (!scratch)
		return 1;
	struct pkt *inner = &scratch->inner;

	inner->sport = bpf_htons(port);
	if (ct_is_echo(inner))
		inner->dport = inner->sport;
	if (ct_was_full()) /* then the holder may be in the other table */
		holder = ct_find(inner);
	if (!holder) {
		if (ct_insert(1, BPF_NOEXIST) == 0)
			return 0;
		holder = ct_find(inner);
	}
	if (!holder || (nat_holder_of(holder) < least && !nat_is_former(scratch, holder)))
		return 1;
	return ct_insert(1, BPF_ANY) != 0;
}

/*
 * Finds a port for the flow of scratch->inner. Keeps the initiator's own port where it is in range; else one at random, far from those that other
 * initiators have as their own. Ports of flows that are over are as good as free
 * ones after NAT_REST_S: at thousands of connections per second to one destination all ports are held by such flows, so whoever meets a port in use asks
 * at once. Earlier only when NAT_REST_TRIES others were no better. 0 = none of NAT_PORT_TRIES is to be had.
 */
INLINE int nat_find_port(__be16 own_port)
{
	__u32 range = (__u32)cfg_snat_port_max - cfg_snat_port_min + 1, own = bpf_ntohs(own_port), start;

	if (cfg_snat_port_max == 0 || range == 0)
		return 0;
	if (own >= cfg_snat_port_min && own <= cfg_snat_port_max && nat_take(own, NAT_OVER) == 0)
		return 1;
	start = bpf_get_prandom_u32();
	for (int i = 0; i < NAT_PORT_TRIES; i++) {
		__u32 port = cfg_snat_port_min + (start + i * (i + 1) / 2) % range;

		if (nat_take(port, i < NAT_REST_TRIES ? NAT_OVER : NAT_JUST_OVER) == 0)
			return 1;
	}
	return 0;
}

/* scratch->made becomes the entry for replies of the flow in the scratch, and scratch->inner what the responder will see, but for the port. */
INLINE void nat_fill_reply(struct scratch *scratch)
{
	struct ct_entry *entry = &scratch->made;
	const struct pkt *p = &scratch->pkt;

	entry->flags |= CT_FLAG_MASQUERADE | CT_FLAG_SVC_REPLY;
	*addr_of(entry->xlate_addr) = p->dst;
	entry->xlate_port = p->dport;
	entry->snat_port = p->sport;
	*addr_of(entry->client) = p->src;
	if (p->family == 4)
		entry->bytes[0] = addr_ipv4(&p->src);
	scratch->inner.src = own_addr(p->family, entry->source);
}

/* scratch->made becomes the entry for forward packets. */
INLINE void nat_fill_forward(struct scratch *scratch, __u32 service)
{
	struct ct_entry *entry = &scratch->made;
	struct pkt *inner = &scratch->inner;

	entry->flags = (entry->flags & ~(CT_FLAG_COUNTED | CT_FLAG_SVC_REPLY)) | (service ? CT_FLAG_SVC_FORWARD : 0) |
		       (ct_was_full() ? CT_FLAG_PORT_MAY_GO : 0);
	*addr_of(entry->xlate_addr) = inner->dst;
	entry->xlate_port = ct_is_echo(inner) ? scratch->pkt.dport : inner->dport;
	entry->snat_port = inner->sport;
	entry->bytes[0] = scratch->pkt.ip_len;
}

/*
 * The second entry, once scratch->inner has a port. `flags`: of the insertion. scratch->inner becomes what the initiator sent again, but for the
 * destination. 0 or a negative reason.
 */
INLINE int nat_open_forward(struct scratch *scratch, __u32 service, __u64 flags)
{
	if (cfg_carry)
		carry_show(1);
	barrier_var(scratch); /* addresses in it are better computed again than kept on the stack */
	nat_fill_forward(scratch, service);
	if (ct_put(scratch, 0, flags) != 0) {
		ct_delete(&scratch->inner);
		return -DROP_REASON_CT_INSERT;
	}
	count(METRIC_NAT_CREATED);
	barrier_var(scratch);
	scratch->inner.src = scratch->pkt.src;
	scratch->inner.sport = scratch->pkt.sport;
	scratch->inner.dport = scratch->made.xlate_port;
	return 0;
}

/*
 * Makes both entries of a masqueraded flow: scratch->pkt as its initiator sends it, scratch->inner the same with the responder as destination,
 * scratch->made what both entries have in common. That ends as the entry for forward packets. `service`: 1 = the responder is a backend. 0 or a negative reason.
 */
GLOBAL int nat_open(__u32 service)
{
	struct scratch *scratch = scratch_get();

	if (!scratch)
		return -DROP_REASON_NAT_EXHAUSTED;
	if (!nat_supported(&scratch->pkt))
		return -DROP_REASON_NO_ROUTE;
	nat_fill_reply(scratch);
	if (!nat_find_port(scratch->pkt.sport))
		return -DROP_REASON_NAT_EXHAUSTED;
	return nat_open_forward(scratch, service, BPF_ANY);
}

/* The first port that nat_find_port would try, host byte order; 0 = there are none. */
INLINE __u32 nat_first_port(__be16 own_port)
{
	__u32 range = (__u32)cfg_snat_port_max - cfg_snat_port_min + 1, own = bpf_ntohs(own_port);

	if (cfg_snat_port_max == 0 || range == 0)
		return 0;
	return own >= cfg_snat_port_min && own <= cfg_snat_port_max ? own
								    : cfg_snat_port_min + bpf_get_prandom_u32() % range;
}

/*
 * nat_open of a service's flow that nobody has looked up. The insertions tell whether it is there; it is only looked for before somebody else's
 * port is taken. 0, or 1 = it is there, or the reason is for others to find.
 */
INLINE int nat_open_unseen(struct scratch *scratch)
{
	__u32 port = nat_first_port(scratch->pkt.sport);

	nat_fill_reply(scratch);
	scratch->inner.sport = bpf_htons(port);
	if (!port || ct_was_full() || ct_put(scratch, 1, BPF_NOEXIST))
		return ct_find(&scratch->pkt) || nat_open(1);
	return nat_open_forward(scratch, 1, BPF_NOEXIST) != 0;
}

/*
 * Has the flow of the packet in the scratch, which goes forward, still its port? An entry for replies in the small table of a full conntrack may be
 * evicted. Then its port is anybody's, and the flow gets another one, as if it were new.
 */
GLOBAL int nat_holds_port(void)
{
	struct scratch *scratch = scratch_get();
	struct ct_entry *entry;

	if (!scratch)
		return 0;
	struct pkt *p = &scratch->pkt, *inner = &scratch->inner;

	entry = ct_find(p);
	inner->family = p->family;
	inner->proto = p->proto;
	return entry && ct_masqueraded_partner(p, inner, entry, CT_DIR_FORWARD) != 0;
}

/* 1 if the packet's destination is a port that flows are given. */
INLINE int nat_is_given_now(const struct pkt *p)
{
	__u32 port = bpf_ntohs(p->dport);

	return cfg_snat_port_max && port >= cfg_snat_port_min && port <= cfg_snat_port_max &&
	       is_own_addr(&p->dst, p->family);
}

/* Are there ports that flows were given by programs with another range? */
INLINE int nat_has_former_ports(void)
{
	__u32 zero = 0;
	struct runtime_state *state = bpf_map_lookup_elem(&fl_runtime_1, &zero);

	return state && state->former_ports;
}

/* 1 if the packet may belong to a flow that uses a port of the node. */
INLINE int nat_is_candidate(const struct pkt *p)
{
	return nat_is_given_now(p) || (is_own_addr(&p->dst, p->family) && nat_has_former_ports());
}
