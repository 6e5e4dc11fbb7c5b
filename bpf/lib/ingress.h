/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Packets that come in from other machines, by an uplink or out of a tunnel: replies to node ports, services at external
 * addresses, and packets to local pods. Everything else is left to the stack.
 */
#pragma once
#include "dsr_receive.h"
#include "related.h"

INLINE int in_pod_net(const addr_t *a, __u8 family)
{
	addr_t net = family == 4 ? addr_config(cfg_pod_net4) : addr_config(cfg_pod_net6);
	addr_t mask = family == 4 ? addr_config(cfg_pod_mask4) : addr_config(cfg_pod_mask6);

	if (addr_is_zero(&mask))
		return 0;
	return (a->w[0] & mask.w[0]) == net.w[0] && (a->w[1] & mask.w[1]) == net.w[1];
}

INLINE int is_node_addr(const addr_t *a, __u8 family)
{
	addr_t node = node_addr(family);

	return addr_equal(a, &node);
}

/* A service address, and not only one with the same filter bit. */
NOINLINE int is_vip(const addr_t *a)
{
	struct svc_key key __attribute__((aligned(8))) = {};

	*addr_of(key.addr) = *a;
	return lb_maybe_vip(a) && bpf_map_lookup_elem(&fl_services_1, &key);
}

/* From outside nobody may use the node's own address, that of one of its pods, or a service's. */
INLINE int ingress_is_spoofed(const struct pkt *p)
{
	return in_pod_net(&p->src, p->family) || is_own_addr(&p->src, p->family) ||
	       (lb_maybe_vip(&p->src) && is_vip(&p->src));
}

/* Could anything here be about this packet? Most uplink traffic is for the node itself and leaves now. */
INLINE int ingress_is_ours(const struct pkt *p)
{
	if (is_node_addr(&p->dst, p->family))
		return lb_has_external_ports();
	return in_pod_net(&p->dst, p->family) || lb_maybe_vip(&p->dst);
}

/* The sender's side of an existing flow must be where packets of it come in. 0 or a reason. */
typedef int (*ingress_sender_check)(struct __sk_buff *skb, struct peer_ref from);

/*
 * What a process of this node answers to a client that came by a service: it leaves with the address the client knows. So does the quote
 * of an ICMP error. 0 = go on, or a negative reason.
 */
GLOBAL int egress_answer(struct __sk_buff *skb)
{
	struct scratch *scratch = scratch_get();
	__u32 zero = 0, dir, *used = bpf_map_lookup_elem(&fl_hostsvc_1, &zero);
	struct ct_entry *entry;
	int err;

	if (!scratch || !used || !*used || !is_own_addr(&scratch->pkt.src, scratch->pkt.family))
		return 0;
	struct pkt *p = &scratch->pkt;

	if (p->flags & PKT_ICMP_ERROR) {
		err = related_reverse(skb, p);
		return err < 0 ? err : 0;
	}
	entry = ct_lookup(p);
	if (!entry && cfg_carry && carry_recall())
		entry = &scratch->made;
	if (!entry || !(entry->flags & CT_FLAG_SVC_REPLY) || entry->peer[1].kind != PEER_KIND_HOST)
		return 0;
	dir = ct_direction(entry, p);
	if (dir != CT_DIR_REPLY || !ct_touch(p, entry, dir))
		return 0;
	return forward_translate(skb, p, entry, dir);
}

/* The node that the packet in the scratch comes from may have another row than the entry of the flow says; see flow_follow_nodes. */
GLOBAL int ingress_follow_sender(__u32 index, __u32 gen)
{
	struct peer_ref from = {.index = index, .gen = gen};

	return node_of(from) ? 1 : flow_follow_nodes();
}

INLINE struct ct_entry *ingress_lookup(struct pkt *p, __u32 *dir, struct endpoint **to)
{
	struct ct_entry *entry = ct_lookup(p);

	if (!entry)
		return 0;
	*dir = ct_direction(entry, p);
	return flow_usable(p, entry, *dir, to) && ct_touch(p, entry, *dir) ? entry : 0;
}

/* Makes entries for a new flow from outside. enum flow_result or a reason. */
INLINE int ingress_new(struct __sk_buff *skb, struct pkt *p, ingress_sender_check check, enum hook hook,
		       struct scratch *scratch, int related)
{
	struct flow_origin origin = {.hook = hook, .client = LB_CLIENT_OUTSIDE};
	struct ipcache_entry from;
	int err;

	peer_resolve(&p->src, &from);
	err = check(skb, from.peer);
	if (err)
		return err;
	origin.peer = from.peer;
	origin.identity = judge_identity(&from, 0);
	if (dsr_on())
		origin.backend = scratch->dsr.backend;
	if (related && !in_pod_net(&p->dst, p->family) && !is_own_addr(&p->dst, p->family)) {
		origin.client = LB_CLIENT_INSIDE; /* to the world or another node, as the flow that it is about */
		err = related_from_node(skb, p);
		if (err)
			return err;
	}
	return flow_create(skb, &origin, scratch);
}

INLINE int ingress(struct __sk_buff *skb, struct scratch *scratch, ingress_sender_check check, enum hook hook)
{
	struct pkt *p = &scratch->pkt;
	struct endpoint *to = 0;
	struct ct_entry *entry;
	__u32 dir = CT_DIR_FORWARD;
	int err, replied;

	err = p->flags & PKT_ICMP_ERROR ? related_reverse(skb, p) : 1;
	if (err < 0)
		return drop(skb, p, err, hook);
	replied = err == 0;
	if (!replied && !(dsr_on() && scratch->dsr.received) && !nat_is_candidate(p) && !ingress_is_ours(p))
		return VERDICT_NEXT;
	entry = p->flags & PKT_ICMP_ERROR ? 0 : ingress_lookup(p, &dir, &to);
	if (dsr_on() && (p->flags & PKT_ICMP_ERROR)) {
		if (scratch->dsr.received && !replied)
			return drop(skb, p, DROP_REASON_DSR_NOT_OURS, hook);
	} else if (dsr_on() && (scratch->dsr.received || scratch->dsr.backend)) {
		if (entry && entry->peer[1].kind != PEER_KIND_LOCAL_POD)
			entry = 0; /* of a time when the service was served in another way */
		err = entry ? DSR_GO_ON : dsr_settle(skb);
		if (err != DSR_GO_ON)
			return err == DSR_SEND ? dsr_forward(skb, scratch) : err;
	}
	if (entry) {
		if (is_remote(entry->peer[dir & 1].kind))
			ingress_follow_sender(entry->peer[dir & 1].index, entry->peer[dir & 1].gen);
		err = check(skb, entry->peer[dir & 1]);
		if (err)
			return drop(skb, p, err, hook);
	} else {
		if (!replied && !cfg_carry && !(dsr_on() && scratch->dsr.received) && !ingress_is_ours(p))
			return VERDICT_NEXT;
		to = 0;
		err = ingress_new(skb, p, check, hook, scratch, replied && (p->flags & PKT_ICMP_ERROR));
		if (err == FLOW_NOT_OURS)
			return VERDICT_NEXT;
		if (err < 0)
			return forward_refuse(skb, p, err, hook);
		entry = &scratch->made;
		dir = carry_direction(scratch);
	}
	err = judge_known(skb, p, entry, hook);
	if (err)
		return drop(skb, p, err, hook);
	return forward(skb, p, entry, to, dir, hook);
}
