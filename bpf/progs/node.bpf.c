// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The node's uplinks. Ingress: what comes from the network to pods and services of this node. Egress: answers of the node's own
 * processes to clients of services, and what such processes ask services for.
 */
#include "../lib/host_asks.h"

/* On the bare link nobody may be a local pod or the node, nor a pod that lives behind a tunnel. */
INLINE int check_uplink_sender(struct __sk_buff *skb, struct peer_ref from)
{
	struct node *node;

	(void)skb;
	if (dsr_on() && dsr_was_received())
		return from.kind == PEER_KIND_WORLD || from.kind == PEER_KIND_NATIVE ? 0
										     : -DROP_REASON_TUNNEL_INNER_SOURCE;
	if (from.kind == PEER_KIND_LOCAL_POD || from.kind == PEER_KIND_HOST)
		return -DROP_REASON_SPOOFED_LOCAL;
	if (from.kind != PEER_KIND_REMOTE_POD)
		return 0;
	node = node_of(from);
	return node && (node->flags & NODE_FLAG_TUNNEL) ? -DROP_REASON_TUNNEL_INNER_SOURCE : 0;
}

/* What is not for us the stack may judge, e.g. a fragment for the node itself; but not who sends it. `err` is the parser's reason. */
GLOBAL int from_uplink_unparsed(struct __sk_buff *skb, int err)
{
	struct scratch *scratch = scratch_get();

	if (!scratch || !scratch->pkt.family)
		return VERDICT_NEXT;
	if (ingress_is_spoofed(&scratch->pkt))
		return drop(skb, &scratch->pkt, DROP_REASON_SPOOFED_LOCAL, HOOK_FROM_UPLINK);
	return in_pod_net(&scratch->pkt.dst, scratch->pkt.family) ? drop(skb, &scratch->pkt, err, HOOK_FROM_UPLINK)
								  : VERDICT_NEXT;
}

enum vlan_tci {
	VLAN_ID_MASK = 0xfff, /* 0: only a priority, which is of the network itself (IEEE 802.1Q section 9.6) */
};

SEC("tc")
int from_uplink(struct __sk_buff *skb)
{
	struct scratch *scratch = scratch_begin();
	struct pkt *p;
	int err;

	if (!scratch)
		return VERDICT_DROP;
	if (skb->vlan_tci &
	    VLAN_ID_MASK) /* of another network, whose interface has programs of its own if it is an uplink */
		return VERDICT_NEXT;
	p = &scratch->pkt;
	err = parse_packet(skb, p);
	if (err == PARSE_NOT_IP)
		return VERDICT_NEXT;
	if (dsr_on())
		dsr_begin(skb, &scratch->dsr);
	if (cfg_north_south == NORTH_SOUTH_IPIP && !err && dsr_is_envelope(p->proto) &&
	    is_node_addr(&p->dst, p->family)) {
		err = dsr_open(skb);
		if (err > 0)
			return VERDICT_NEXT;
		if (!err)
			err = dsr_parse_content(skb, p);
		if (err)
			return drop(skb, p, err > 0 ? DROP_REASON_INVALID_PACKET : err, HOOK_FROM_UPLINK);
	}
	if (err < 0)
		return from_uplink_unparsed(skb, err);
	if (ingress_is_spoofed(p))
		return drop(skb, p, DROP_REASON_SPOOFED_LOCAL, HOOK_FROM_UPLINK);
	if (dsr_on() && !scratch->dsr.received && (lb_maybe_vip(&p->dst) || dsr_maybe_node_port(p))) {
		err = p->flags & PKT_ICMP_ERROR && dsr_read_quote(skb, scratch) ? DSR_GO_ON : dsr_dispatch();
		if (err != DSR_GO_ON)
			return err == DSR_SEND ? dsr_forward(skb, scratch) : err;
	}
	return ingress(skb, scratch, check_uplink_sender, HOOK_FROM_UPLINK);
}

/*
 * Egress, of the loopback device too: only answers of the node's own processes to clients of services need work, and what these ask services for by
 * the node's own and external addresses.
 */
SEC("tc")
int to_uplink(struct __sk_buff *skb)
{
	int err, may_ask = host_may_ask(skb);
	struct scratch *scratch;

	if (!may_ask && !host_was_backend())
		return VERDICT_NEXT;
	scratch = scratch_begin();
	if (!scratch)
		return VERDICT_NEXT;
	scratch->pkt.flags = PKT_LEAVING;
	if (parse_packet(skb, &scratch->pkt))
		return VERDICT_NEXT;
	if (may_ask && host_asks_service())
		return host_take(skb);
	err = egress_answer(skb);
	if (err)
		return drop(skb, &scratch->pkt, err, skb->ifindex == LOOPBACK_IFINDEX ? HOOK_LOOPBACK : HOOK_TO_UPLINK);
	return VERDICT_NEXT;
}

char _license[] SEC("license")
= "Dual BSD/GPL";
