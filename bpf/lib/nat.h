/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Ports at the node's own address: for pods that talk to the world, for clients whose backend is on another node, and
 * for a pod that reaches itself through a service. fl_nat_1 maps {remote, node address} back to the initiator.
 */
#pragma once
#include "carry.h"
#include "rewrite.h"

enum nat_limits {
	NAT_PORT_TRIES = 64,
	NAT_REST_TRIES = 16, /* of these before ports of flows that have just ended are taken */
	NAT_REST_S = 1,      /* a port rests so long after its flow */
	NAT_GRACE_S = 2,     /* an entry is made a moment before its flow's */
};

INLINE addr_t node_addr(__u8 family)
{
	return family == 4 ? addr_config(cfg_node_addr4) : addr_config(cfg_node_addr6);
}

/* Protocols with something like a port to tell flows apart at one address. */
INLINE int nat_supported(const struct pkt *p)
{
	return p->proto == L4_PROTO_TCP || p->proto == L4_PROTO_UDP || p->proto == L4_PROTO_SCTP ||
	       ((p->proto == L4_PROTO_ICMP || p->proto == L4_PROTO_ICMPV6) && icmp_is_echo(p->proto, p->tcp_flags));
}

/* The key replies will have: from remote:rport to the node's nat port. For echo both ports are the identifier. */
INLINE void nat_key(const struct pkt *p, __be16 nat_port, struct ct_key *key)
{
	struct pkt reply = {.proto = p->proto, .src = p->dst, .dst = node_addr(p->family)};
	int echo = p->proto == L4_PROTO_ICMP || p->proto == L4_PROTO_ICMPV6;

	reply.sport = echo ? nat_port : p->dport;
	reply.dport = nat_port;
	ct_make_key(&reply, key);
}

/* What is known of the flow that holds a port. */
enum nat_holder {
	NAT_IN_USE,
	NAT_JUST_OVER, /* packets of it may still be on their way, and its server may not know yet */
	NAT_OVER,
};

/*
 * The flow that holds a port to the destination of `p`. Its entries say when it ended until they are collected, or are gone. Echo
 * identifiers are left to the collector.
 */
INLINE enum nat_holder nat_holder_of(const struct pkt *p, const struct nat_entry *holder)
{
	struct pkt flow = {
		.dst = p->dst, .sport = holder->port, .dport = p->dport, .proto = p->proto, .family = p->family};
	struct ct_entry *entry;

	if (p->proto == L4_PROTO_ICMP || p->proto == L4_PROTO_ICMPV6)
		return NAT_IN_USE;
	flow.src = *addr_of((void *)holder->addr);
	entry = ct_lookup(&flow);
	if (!entry)
		return jiffies32() - holder->last_seen > NAT_GRACE_S * cfg_hz ? NAT_OVER : NAT_IN_USE;
	if (!(entry->flags & CT_FLAG_CLOSING))
		return NAT_IN_USE;
	return (__s32)(jiffies32() - entry->last_seen) >= (__s32)(NAT_REST_S * cfg_hz) ? NAT_OVER : NAT_JUST_OVER;
}

/*
 * Takes a port, in host byte order, for the flow that nat_allocate() is to find one for, if it is free or held by a flow that is at least as much
 * over as `wanted` (enum nat_holder). 1 = taken. Global, so that the verifier walks it once and not for each try.
 */
GLOBAL int nat_take(__u32 port, __u32 wanted)
{
	struct scratch *scratch = scratch_get();
	struct ct_key key __attribute__((aligned(8)));
	struct nat_entry *holder;

	if (!scratch)
		return 0;
	struct pkt *p = &scratch->inner;

	nat_key(p, bpf_htons((__u16)port), &key);
	if (bpf_map_update_elem(&fl_nat_1, &key, &scratch->nat, BPF_NOEXIST) == 0)
		return 1;
	holder = bpf_map_lookup_elem(&fl_nat_1, &key);
	return holder && nat_holder_of(p, holder) >= wanted &&
	       bpf_map_update_elem(&fl_nat_1, &key, &scratch->nat, BPF_ANY) == 0;
}

/*
 * Finds a port for the flow in scratch->inner (already with the backend as destination). Keeps the pod's own port where it is in
 * range. Ports of flows that are over are as good as free ones after NAT_REST_S: at thousands of connections per second to one
 * destination all ports are held by such flows, so whoever meets a port in use asks at once. Earlier only when NAT_REST_TRIES others
 * were no better. Returns the port in network order, or 0 when none of NAT_PORT_TRIES is to be had.
 */
GLOBAL int nat_allocate(void)
{
	struct scratch *scratch = scratch_get();
	__u32 range = (__u32)cfg_snat_port_max - cfg_snat_port_min + 1;
	__u32 start, own;

	if (cfg_snat_port_max == 0 || range == 0 || !scratch)
		return 0;
	struct pkt *p = &scratch->inner;
	struct nat_entry *entry = &scratch->nat;

	*entry = (struct nat_entry){.port = p->sport, .last_seen = jiffies32()};
	own = bpf_ntohs(p->sport);
	start = own >= cfg_snat_port_min && own <= cfg_snat_port_max ? own - cfg_snat_port_min : bpf_get_prandom_u32();
	*addr_of(entry->addr) = p->src;
	for (int i = 0; i < NAT_PORT_TRIES; i++) {
		__u32 port = cfg_snat_port_min + (start + i * (i + 1) / 2) % range;

		if (!nat_take(port, i < NAT_REST_TRIES ? NAT_OVER : NAT_JUST_OVER))
			continue;
		count(METRIC_NAT_CREATED);
		return bpf_htons(port);
	}
	return 0;
}

/* 1 if the packet may belong to a flow that uses a port of the node: only then a look-up is worth it. */
INLINE int nat_is_candidate(const struct pkt *p)
{
	__u32 port = bpf_ntohs(p->dport);
	addr_t node = node_addr(p->family);

	return cfg_snat_port_max && port >= cfg_snat_port_min && port <= cfg_snat_port_max &&
	       addr_equal(&p->dst, &node);
}

/* Gives a reply its initiator back as destination. 0 = done, 1 = not one of ours, negative reason. */
GLOBAL int nat_reverse_here(struct __sk_buff *skb)
{
	struct scratch *scratch = scratch_get();
	struct ct_key key __attribute__((aligned(8)));
	struct nat_entry *entry;
	__u32 now = jiffies32();

	if (!scratch)
		return 1;
	struct pkt *p = &scratch->pkt;

	ct_make_key(p, &key);
	entry = bpf_map_lookup_elem(&fl_nat_1, &key);
	if (!entry && cfg_carry && carry_recall_nat())
		entry = bpf_map_lookup_elem(&fl_nat_1, &key);
	if (!entry)
		return 1;
	if (now - entry->last_seen >= cfg_hz)
		entry->last_seen = now;
	addr_t pod = *addr_of(entry->addr);
	__be16 port = entry->port;

	if (p->proto == L4_PROTO_ICMP || p->proto == L4_PROTO_ICMPV6)
		p->sport = port; /* both are the identifier; rewrite changes it once, as destination */
	return rewrite(skb, p, REWRITE_DESTINATION, &pod, port);
}

/* nat_reverse_here of `p`, which is scratch->pkt. */
INLINE int nat_reverse(struct __sk_buff *skb, struct pkt *p)
{
	(void)p;
	return nat_reverse_here(skb);
}
