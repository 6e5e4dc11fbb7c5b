/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Pods whose egress policies name domains: what name servers answer them goes by way of the agent, which sends it on when it has
 * programmed the addresses. It is shown a copy of each query, so that it knows what is an answer. Other pods pay one flag test.
 */
#pragma once
#include "parse.h"

enum dns_side {
	DNS_ANSWER = 0, /* the sender is the name server */
	DNS_QUERY = 1,
};

/* Has a TCP packet something that a stream is made of? Its beginning, or payload. */
INLINE int dns_tcp_matters(struct __sk_buff *skb, const struct pkt *p)
{
	__u8 words = 0;

	if (p->flags & PKT_LATER_FRAGMENT || p->tcp_flags & TCP_SYN)
		return 1;
	if (bpf_skb_load_bytes(skb, p->l4_off + 12, &words, 1) < 0)
		return 0;
	return p->ip_len + ETH_LEN > (__u32)p->l4_off + (words >> 4) * 4;
}

/*
 * Interface by which the packet in the scratch gets to the agent; 0 = the agent does not want it, or is not there to take it.
 * Asked before addresses are translated.
 */
GLOBAL __u32 dns_device(struct __sk_buff *skb, __u32 side)
{
	struct resolver_key key __attribute__((aligned(8))) = {};
	struct scratch *scratch = scratch_get();
	struct dns_state *state;
	__u32 zero = 0;

	if (!scratch)
		return 0;
	struct pkt *p = &scratch->pkt;

	if ((p->proto != L4_PROTO_UDP && p->proto != L4_PROTO_TCP) || p->flags & PKT_ICMP_ERROR)
		return 0;
	state = bpf_map_lookup_elem(&fl_dns_1, &zero);
	if (!state || !state->ifindex || jiffies32() - state->alive > DNS_STALE_SECONDS * cfg_hz)
		return 0;
	*addr_of(key.addr) = side == DNS_QUERY ? p->dst : p->src;
	key.port = side == DNS_QUERY ? p->dport : p->sport;
	key.proto = p->proto;
	if (!bpf_map_lookup_elem(&fl_resolvers_1, &key))
		return 0;
	if (p->proto == L4_PROTO_TCP && !dns_tcp_matters(skb, p))
		return 0;
	return state->ifindex;
}

/* Shows the agent what a pod asks. The packet itself goes on. */
GLOBAL int dns_show_query(struct __sk_buff *skb)
{
	__u32 ifindex = dns_device(skb, DNS_QUERY);

	if (ifindex)
		bpf_clone_redirect(skb, ifindex, 0);
	return 0;
}
