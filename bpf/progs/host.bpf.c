// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The host device (fl_host), into which the service CIDRs are routed: packets of the node's own processes to a service that the
 * socket programs did not translate arrive at its far end. Others' packets, which the node forwards, are marked on their way in. So are those
 * to the node's own addresses, which are taken off the loopback device.
 */
#include "../lib/forward.h"

SEC("tc")
int from_host_device(struct __sk_buff *skb)
{
	struct flow_origin origin = {
		.hook = HOOK_FROM_HOST_DEVICE, .client = LB_CLIENT_INSIDE, .via_host = VIA_HOST_DEVICE};
	struct scratch *scratch = scratch_begin();
	struct ipcache_entry from;
	struct endpoint *to = 0;
	struct ct_entry *entry;
	struct pkt *p;
	__u32 dir = CT_DIR_FORWARD;
	int err;

	if (!scratch)
		return VERDICT_DROP;
	if (skb->mark == MARK_FORWARDED) {
		skb->mark = 0;
		origin.forwarded = 1;
	} else if (skb->mark == MARK_EXTERNAL) {
		skb->mark = 0;
		origin.hook = HOOK_LOOPBACK;
		origin.via_host = VIA_HOST_LOOPBACK;
	}
	p = &scratch->pkt;
	err = parse_packet(skb, p);
	if (err == PARSE_NOT_IP || (!err && is_multicast(p)))
		return VERDICT_NEXT;
	if (err)
		return drop(skb, p, err, origin.hook);
	bpf_skb_change_type(skb, 0); /* PACKET_HOST: the device has no neighbours, so the MAC means nothing */
	entry = ct_lookup(p);
	if (entry) {
		dir = ct_direction(entry, p);
		if (!flow_usable(p, entry, dir, &to) || !ct_touch(p, entry, dir))
			entry = 0;
	}
	if (!entry) {
		to = 0;
		origin.peer.kind = PEER_KIND_HOST;
		peer_resolve(&p->src, &from);
		origin.identity = judge_identity(&from, !origin.forwarded);
		err = flow_create(skb, &origin, scratch);
		if (err < 0)
			return forward_refuse(skb, p, err, origin.hook);
		if (err == FLOW_MADE && !(scratch->made.flags & CT_FLAG_SVC_FORWARD))
			return drop(skb, p, DROP_REASON_NO_ROUTE, origin.hook);
		entry = &scratch->made;
		dir = carry_direction(scratch);
	}
	err = judge_known(skb, p, entry, origin.hook);
	if (err)
		return drop(skb, p, err, origin.hook);
	return forward(skb, p, entry, to, dir, origin.hook);
}

/* Egress of the host device's near end: where a packet came from is forgotten on the way to the far one. */
SEC("tc")
int to_host_device(struct __sk_buff *skb)
{
	if (skb->ingress_ifindex)
		skb->mark = MARK_FORWARDED;
	return VERDICT_NEXT;
}

char _license[] SEC("license")
= "Dual BSD/GPL";
