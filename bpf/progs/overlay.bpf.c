// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The VXLAN device (collect_md). Ingress: packets of other nodes' pods and of the nodes themselves, each checked against the node
 * that sent it. Egress: gives packets of the host's stack their tunnel key; without it they would vanish silently.
 */
#include "../lib/ingress.h"

enum packet_type {
	TYPE_HOST = 0, /* PACKET_HOST: for this machine, whatever the MAC says */
};

/* The outer source. IPv4 is mapped. 0 or a reason. */
INLINE int tunnel_source(struct __sk_buff *skb, addr_t *out)
{
	struct bpf_tunnel_key key = {};

	if (bpf_skb_get_tunnel_key(skb, &key, TUNNEL_KEY_SIZE, 0) == 0) {
		*out = addr_from_ipv4(bpf_htonl(key.remote_ipv4));
		return 0;
	}
	if (bpf_skb_get_tunnel_key(skb, &key, TUNNEL_KEY_SIZE, BPF_F_TUNINFO_IPV6) < 0)
		return -DROP_REASON_TUNNEL_KEY;
	__builtin_memcpy(out, key.remote_ipv6, 16);
	return 0;
}

/* The inner source must belong to the node that sent the outer packet. */
INLINE int check_overlay_sender(struct __sk_buff *skb, struct peer_ref from)
{
	struct node *node = is_remote(from.kind) ? node_of(from) : 0;
	struct ipcache_entry sender;
	addr_t outer;
	int err = tunnel_source(skb, &outer);

	if (err)
		return err;
	if (node && addr_equal(addr_of(node->tunnel), &outer))
		return 0;
	peer_resolve(&outer, &sender);
	/* What another node balances comes from outside the cluster. */
	if (cfg_north_south == NORTH_SOUTH_VXLAN && dsr_was_received() && sender.peer.kind == PEER_KIND_REMOTE_NODE &&
	    (from.kind == PEER_KIND_WORLD || from.kind == PEER_KIND_NATIVE))
		return 0;
	return sender.peer.kind == PEER_KIND_REMOTE_NODE ? -DROP_REASON_TUNNEL_INNER_SOURCE
							 : -DROP_REASON_TUNNEL_SOURCE;
}

SEC("tc")
int from_overlay(struct __sk_buff *skb)
{
	struct scratch *scratch = scratch_begin();
	struct ipcache_entry from;
	struct pkt *p;
	int err, verdict;

	if (!scratch)
		return VERDICT_DROP;
	p = &scratch->pkt;
	err = parse_packet(skb, p);
	if (err == PARSE_NOT_IP)
		return drop(skb, p, DROP_REASON_UNSUPPORTED_L2, HOOK_FROM_OVERLAY);
	if (dsr_on())
		dsr_begin(skb, &scratch->dsr);
	if (cfg_north_south == NORTH_SOUTH_VXLAN && !err && scratch->dsr.received && dsr_is_envelope(p->proto)) {
		err = dsr_open(skb);
		if (!err)
			err = dsr_parse_content(skb, p);
		if (err > 0)
			err = -DROP_REASON_INVALID_PACKET;
	}
	if (err < 0)
		return drop(skb, p, err, HOOK_FROM_OVERLAY);
	bpf_skb_change_type(skb, TYPE_HOST);
	verdict = ingress(skb, scratch, check_overlay_sender, HOOK_FROM_OVERLAY);
	if (verdict != VERDICT_NEXT)
		return verdict;
	/* To the node's own stack: the same rule, and nothing is forwarded from tunnel to tunnel. */
	if (!is_node_addr(&p->dst, p->family))
		return drop(skb, p, DROP_REASON_NO_ROUTE, HOOK_FROM_OVERLAY);
	peer_resolve(&p->src, &from);
	err = check_overlay_sender(skb, from.peer);
	return err ? drop(skb, p, err, HOOK_FROM_OVERLAY) : VERDICT_NEXT;
}

SEC("tc")
int to_overlay(struct __sk_buff *skb)
{
	struct scratch *scratch = scratch_begin();
	struct ipcache_entry to;
	struct node *node;
	struct pkt *p;
	int err;

	if (!scratch)
		return VERDICT_DROP;
	if (skb->mark == MARK_TUNNEL_KEY_SET) {
		skb->mark = 0;
		return VERDICT_NEXT;
	}
	p = &scratch->pkt;
	err = parse_packet(skb, p);
	if (err == PARSE_NOT_IP)
		return drop(skb, p, DROP_REASON_UNSUPPORTED_L2, HOOK_TO_OVERLAY);
	if (err == -DROP_REASON_FRAGMENT_NO_FIRST || err == -DROP_REASON_FRAGMENT_OVERLAP)
		err = 0; /* the stack made these fragments; only the address matters here */
	if (!err)
		err = egress_answer(skb);
	if (err < 0)
		return drop(skb, p, err, HOOK_TO_OVERLAY);
	peer_resolve(&p->dst, &to);
	node = is_remote(to.peer.kind) ? node_of(to.peer) : 0;
	if (!node)
		return drop(skb, p, DROP_REASON_NO_ROUTE, HOOK_TO_OVERLAY);
	err = forward_set_tunnel(skb, node);
	skb->mark = 0;
	return err < 0 ? drop(skb, p, DROP_REASON_TUNNEL_KEY, HOOK_TO_OVERLAY) : VERDICT_NEXT;
}

char _license[] SEC("license")
= "Dual BSD/GPL";
