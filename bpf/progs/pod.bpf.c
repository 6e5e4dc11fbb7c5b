// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The host side of every pod's veth pair. Ingress (from_pod) is what the pod sends: its source is checked and the packet goes
 * straight to its destination. Egress (to_pod) is what the node's stack sends to the pod; everything else enters the pod by
 * redirect and has been judged where it came from.
 */
#include "../lib/forward.h"
#include "../lib/neighbour.h"
#include "../lib/related.h"

/* The endpoint behind this interface. NULL if it is not attached or being removed. */
INLINE struct endpoint *endpoint_of_iface(struct __sk_buff *skb, struct peer_ref *ref)
{
	__u32 ifindex = skb->ifindex;
	struct peer_ref *found = bpf_map_lookup_elem(&fl_ifaces_1, &ifindex);

	if (!found)
		return 0;
	*ref = *found;
	return endpoint_of(ref);
}

INLINE int source_is_owned(const struct pkt *p, struct endpoint *endpoint)
{
	return p->family == 4 ? addr_equal(&p->src, addr_of(endpoint->addr4))
			      : addr_equal(&p->src, addr_of(endpoint->addr6));
}

INLINE int source_mac_is_owned(struct __sk_buff *skb, const struct endpoint *endpoint)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > data_end)
		return 0;
	return mac_equal(eth->h_source, endpoint->mac);
}

/* ARP is answered; other protocols are not carried. */
NOINLINE int from_pod_not_ip(struct __sk_buff *skb, struct pkt *p)
{
	struct peer_ref ref;
	struct endpoint *endpoint = endpoint_of_iface(skb, &ref);

	if (skb->protocol != bpf_htons(ETH_ARP) || skb->vlan_present)
		return drop(skb, p, DROP_REASON_UNSUPPORTED_L2, HOOK_FROM_POD);
	if (!endpoint)
		return drop(skb, p, DROP_REASON_ENDPOINT_NOT_READY, HOOK_FROM_POD);
	return answer_arp(skb, p, endpoint);
}

/* Checks the sender of a packet without a usable entry and makes the entries. enum flow_result or a reason. */
NOINLINE int from_pod_new(struct __sk_buff *skb, struct pkt *p, struct scratch *scratch)
{
	struct flow_origin origin = {.hook = HOOK_FROM_POD, .client = LB_CLIENT_INSIDE};
	struct endpoint *endpoint = endpoint_of_iface(skb, &origin.peer);

	if (!endpoint || !(endpoint->flags & ENDPOINT_FLAG_READY))
		return -DROP_REASON_ENDPOINT_NOT_READY;
	if (!source_is_owned(p, endpoint))
		return -DROP_REASON_INVALID_SOURCE;
	if (!source_mac_is_owned(skb, endpoint))
		return -DROP_REASON_INVALID_SOURCE_MAC;
	if (p->flags & PKT_ICMP_ERROR) {
		int err = related_reverse(skb, p);

		if (err < 0)
			return err;
	}
	origin.identity = endpoint_identity(endpoint, p->family);
	p->sender_flags = endpoint->flags;
	return flow_create(skb, &origin, scratch);
}

INLINE int is_pod_nd(const struct pkt *p)
{
	return p->proto == L4_PROTO_ICMPV6 && ((p->tcp_flags >= 130 && p->tcp_flags <= 137) || p->tcp_flags == 143);
}

NOINLINE int from_pod_nd(struct __sk_buff *skb, struct pkt *p)
{
	struct peer_ref ref;
	struct endpoint *endpoint = endpoint_of_iface(skb, &ref);
	int link_local = (p->src.w[0] & 0xc0ff) == 0x80fe;

	if (!endpoint)
		return drop(skb, p, DROP_REASON_ENDPOINT_NOT_READY, HOOK_FROM_POD);
	if (!link_local && !addr_is_zero(&p->src) && !source_is_owned(p, endpoint))
		return drop(skb, p, DROP_REASON_INVALID_SOURCE, HOOK_FROM_POD);
	if (!source_mac_is_owned(skb, endpoint))
		return drop(skb, p, DROP_REASON_INVALID_SOURCE_MAC, HOOK_FROM_POD);
	return handle_pod_nd(skb, p, endpoint);
}

/* The sender if it is who the entry says: the pod behind this very interface. NULL = it is not. */
INLINE struct endpoint *from_pod_sender(struct __sk_buff *skb, struct pkt *p, const struct ct_entry *entry, __u32 dir)
{
	const struct peer_ref *from = &entry->peer[dir & 1];
	struct endpoint *endpoint = from->kind == PEER_KIND_LOCAL_POD ? endpoint_of(from) : 0;

	if (!endpoint || endpoint->ifindex != skb->ifindex || !source_mac_is_owned(skb, endpoint))
		return 0;
	p->sender_flags = endpoint->flags;
	return endpoint;
}

/* *stale: judge_is_stale(), by the rows that have been looked up anyway. */
INLINE struct ct_entry *from_pod_lookup(struct __sk_buff *skb, struct pkt *p, __u32 *dir, struct endpoint **to,
					int *stale)
{
	struct ct_entry *entry = ct_lookup_directed(p, dir);
	struct endpoint *from = entry ? from_pod_sender(skb, p, entry, *dir) : 0;

	if (!from || !flow_usable(p, entry, *dir, to) || !ct_touch(p, entry, *dir))
		return 0;
	*stale = from->policy_gen != entry->policy_gen[*dir & 1] ||
		 (*to && (*to)->policy_gen != entry->policy_gen[(*dir ^ 1) & 1]);
	return entry;
}

SEC("tc")
int from_pod(struct __sk_buff *skb)
{
	struct scratch *scratch = scratch_begin();
	struct endpoint *to = 0;
	struct ct_entry *entry;
	struct pkt *p;
	__u32 dir = CT_DIR_FORWARD;
	int err, stale = 0;

	if (!scratch)
		return VERDICT_DROP;
	p = &scratch->pkt;
	/* The kernel takes a tag off before programs run, and puts it on again when the packet leaves. */
	err = skb->vlan_present ? PARSE_NOT_IP : parse_packet(skb, p);
	if (err == PARSE_NOT_IP)
		return from_pod_not_ip(skb, p);
	if (err)
		return drop(skb, p, err, HOOK_FROM_POD);
	if (is_pod_nd(p))
		return from_pod_nd(skb, p);
	entry = p->flags & PKT_ICMP_ERROR ? 0 : from_pod_lookup(skb, p, &dir, &to, &stale);
	if (!entry) {
		to = 0;
		err = from_pod_new(skb, p, scratch);
		if (err < 0)
			return forward_refuse(skb, p, err, HOOK_FROM_POD);
		dir = carry_direction(scratch);
		entry = &scratch->made;
		err = judge_known(skb, p, entry, HOOK_FROM_POD);
	} else {
		err = stale ? judge_again(skb, HOOK_FROM_POD) : 0;
	}
	if (err)
		return drop(skb, p, err, HOOK_FROM_POD);
	if ((p->sender_flags & ENDPOINT_FLAG_DNS) && dir == CT_DIR_FORWARD)
		dns_show_query(skb);
	return forward(skb, p, entry, to, dir, HOOK_FROM_POD);
}

/* A flow that the node's stack sends to the pod for the first time. */
NOINLINE int to_pod_new(struct __sk_buff *skb, struct pkt *p, struct scratch *scratch)
{
	struct flow_origin origin = {.hook = HOOK_TO_POD, .client = LB_CLIENT_INSIDE};
	struct ipcache_entry from;

	peer_resolve(&p->src, &from);
	/* Only what this node made itself is the host; a forwarded packet with its address is not. */
	origin.peer = from.peer;
	if (from.peer.kind == PEER_KIND_HOST && skb->ingress_ifindex)
		origin.peer.kind = PEER_KIND_WORLD;
	origin.identity = judge_identity(&from, skb->ingress_ifindex == 0);
	return flow_create(skb, &origin, scratch);
}

/* The agent's device if the pod that a reply goes to learns domains; see dns.h. 0 = deliver it. */
INLINE __u32 to_pod_agent(struct __sk_buff *skb, const struct ct_entry *entry)
{
	struct endpoint *to = entry->peer[0].kind == PEER_KIND_LOCAL_POD ? endpoint_of(&entry->peer[0]) : 0;

	return to && (to->flags & ENDPOINT_FLAG_DNS) ? dns_device(skb, DNS_ANSWER) : 0;
}

SEC("tc")
int to_pod(struct __sk_buff *skb)
{
	struct scratch *scratch = scratch_begin();
	__u32 dir, agent = 0;
	struct ct_entry *entry;
	struct pkt *p;
	int err;

	if (!scratch)
		return VERDICT_DROP;
	if (skb->mark == MARK_DNS_SEEN) {
		skb->mark = 0;
		return VERDICT_NEXT;
	}
	p = &scratch->pkt;
	err = parse_packet(skb, p);
	if (err == PARSE_NOT_IP || (!err && is_pod_nd(p) && !skb->ingress_ifindex))
		return VERDICT_NEXT;
	if (err)
		return drop(skb, p, err, HOOK_TO_POD);
	entry = p->flags & PKT_ICMP_ERROR ? 0 : ct_lookup(p);
	if (entry) {
		dir = ct_direction(entry, p);
		if ((dir == CT_DIR_REPLY || !ct_is_masqueraded_reply(entry)) && ct_touch(p, entry, dir)) {
			err = judge_known(skb, p, entry, HOOK_TO_POD);
			if (!err && dir == CT_DIR_REPLY)
				agent = to_pod_agent(skb, entry);
			if (!err)
				err = forward_translate(skb, p, entry, dir);
			if (err)
				return drop(skb, p, err, HOOK_TO_POD);
			return agent ? bpf_redirect(agent, 0) : VERDICT_NEXT;
		}
	}
	err = to_pod_new(skb, p, scratch);
	if (err == FLOW_RECALLED || (err == FLOW_MADE && (scratch->made.flags & CT_FLAG_SHARED)))
		err = forward_translate(skb, p, &scratch->made, carry_direction(scratch));
	return err < 0 ? drop(skb, p, err, HOOK_TO_POD) : VERDICT_NEXT;
}

char _license[] SEC("license")
= "Dual BSD/GPL";
