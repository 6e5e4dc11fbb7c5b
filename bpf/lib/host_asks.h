/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Processes of this node that ask for a service past the socket programs (SCTP, a foreign cgroup, the hook switched off) by an address that is
 * not routed into the host device: the node's own ones, whose packets stay on the loopback device, and external ones, whose packets leave by an uplink.
 * They are taken off there and go the way of those that are routed into the host device.
 */
#pragma once
#include "ingress.h"

/* Have clients used services whose backend is a process of this node? */
INLINE int host_was_backend(void)
{
	__u32 zero = 0, *used = bpf_map_lookup_elem(&fl_hostsvc_1, &zero);

	return used && *used;
}

/* Is it a packet to a service, or the answer of a process of this node to another one that asked this way? */
INLINE int host_knows(const struct ct_entry *entry, const struct pkt *p)
{
	__u32 answered = CT_FLAG_SVC_REPLY | CT_FLAG_VIA_HOST | CT_FLAG_EXTERNAL;

	if (ct_direction(entry, p) == CT_DIR_FORWARD)
		return !!(entry->flags & CT_FLAG_SVC_FORWARD);
	return (entry->flags & answered) == answered && entry->peer[1].kind == PEER_KIND_HOST;
}

/* Does a flow of the packet in the scratch live, or is there a service at its address and port? ICMP and undefined ports go on as they are. */
GLOBAL int host_asks_service(void)
{
	struct scratch *scratch = scratch_get();
	struct svc_key key __attribute__((aligned(8))) = {.scope = SVC_SCOPE_EXTERNAL};
	struct ct_entry *entry;

	if (!scratch)
		return 0;
	struct pkt *p = &scratch->pkt;

	if (p->proto != L4_PROTO_TCP && p->proto != L4_PROTO_UDP && p->proto != L4_PROTO_SCTP)
		return 0;
	if (is_node_addr(&p->dst, p->family) ? !lb_has_external_ports() && !host_was_backend() : !lb_maybe_vip(&p->dst))
		return 0;
	entry = ct_lookup(p);
	if (entry)
		return host_knows(entry, p);
	/* a connection to somebody who had the address and port before the service */
	if (!cfg_carry && p->proto != L4_PROTO_UDP && !flow_begins(p))
		return 0;
	*addr_of(key.addr) = p->dst;
	key.port = p->dport;
	key.proto = p->proto;
	return bpf_map_lookup_elem(&fl_services_1, &key) != 0;
}

/* Sends the packet at hand into the host device, see from_host_device. */
INLINE int host_take(struct __sk_buff *skb)
{
	skb->mark = MARK_EXTERNAL;
	return bpf_redirect(cfg_host_ifindex, 0);
}

/* A packet that a process of this node sends to what may be an address of a service. `skb` is on its way out of a device. */
INLINE int host_may_ask(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	addr_t to;

	if (!cfg_host_ifindex || skb->ingress_ifindex)
		return 0;
	if (skb->ifindex == LOOPBACK_IFINDEX && (lb_has_external_ports() || host_was_backend()))
		return 1;
	if (skb->protocol == bpf_htons(ETH_IPV4) && data + ETH_LEN + IPV4_MIN_LEN <= data_end) {
		to = addr_from_ipv4(((struct iphdr *)(data + ETH_LEN))->daddr);
	} else if (skb->protocol == bpf_htons(ETH_IPV6) && data + ETH_LEN + IPV6_LEN <= data_end) {
		__builtin_memcpy(&to, &((struct ipv6hdr *)(data + ETH_LEN))->daddr, sizeof(to));
	} else {
		return 0;
	}
	return lb_maybe_vip(&to);
}
