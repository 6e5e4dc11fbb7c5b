/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Address resolution of pods. A pod has one neighbour, its link-local gateway (169.254.1.1 and fe80::1), answered here;
 * everything else a pod could say about neighbours or routers is refused.
 */
#pragma once
#include "drop.h"
#include "reply.h"

struct arp_ipv4 {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_len;
	__u8 protocol_len;
	__be16 operation;
	__u8 sender_mac[6];
	__u8 sender_ip[4];
	__u8 target_mac[6];
	__u8 target_ip[4];
} __attribute__((packed));

struct nd_advertisement {
	struct icmp_head head; /* id and sequence hold the flags */
	__u8 target[16];
	__u8 option_type;
	__u8 option_len;
	__u8 option_mac[6];
};
_Static_assert(sizeof(struct nd_advertisement) == 32, "RFC 4861 section 4.4 with one option");

INLINE addr_t gateway_ipv6(void)
{
	return (addr_t){.w = {0x80fe, 0x0100000000000000}}; /* fe80::1 */
}

/* Answers a pod's ARP request for the gateway. */
NOINLINE int answer_arp(struct __sk_buff *skb, const struct pkt *p, const struct endpoint *endpoint)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;
	struct arp_ipv4 *arp = data + ETH_LEN;
	__be32 gateway = bpf_htonl(0xa9fe0101), sender, target;

	if ((void *)(arp + 1) > data_end)
		return drop(skb, p, DROP_REASON_INVALID_PACKET, HOOK_FROM_POD);
	__builtin_memcpy(&sender, arp->sender_ip, 4);
	__builtin_memcpy(&target, arp->target_ip, 4);
	if (arp->hardware != bpf_htons(1) || arp->protocol != bpf_htons(ETH_IPV4) || arp->operation != bpf_htons(1) ||
	    target != gateway || sender != addr_ipv4(addr_of((void *)endpoint->addr4)))
		return drop(skb, p, DROP_REASON_FORBIDDEN_ARP, HOOK_FROM_POD);
	arp->operation = bpf_htons(2);
	__builtin_memcpy(arp->target_mac, endpoint->mac, 6);
	__builtin_memcpy(arp->target_ip, &sender, 4);
	__builtin_memcpy(arp->sender_mac, endpoint->host_mac, 6);
	__builtin_memcpy(arp->sender_ip, &gateway, 4);
	__builtin_memcpy(eth->h_dest, endpoint->mac, 6);
	__builtin_memcpy(eth->h_source, endpoint->host_mac, 6);
	return bpf_redirect_peer(skb->ifindex, 0);
}

/* Turns a neighbour solicitation for fe80::1 into the advertisement. */
NOINLINE int answer_solicitation(struct __sk_buff *skb, const struct pkt *p, const struct endpoint *endpoint)
{
	struct {
		struct ipv6hdr ip;
		struct nd_advertisement nd;
	} __attribute__((packed, aligned(8))) answer = {};
	addr_t gateway = gateway_ipv6();

	answer_ipv6_header(&answer.ip, &gateway, &p->src, L4_PROTO_ICMPV6, sizeof(answer.nd));
	answer.ip.hop_limit = 255;
	answer.nd.head.type = 136;
	answer.nd.head.id = bpf_htons(0xe000); /* router, solicited, override */
	__builtin_memcpy(answer.nd.target, &gateway, 16);
	answer.nd.option_type = 2;
	answer.nd.option_len = 1;
	__builtin_memcpy(answer.nd.option_mac, endpoint->host_mac, 6);

	__u64 sum = answer_pseudo_sum(&gateway, &p->src, L4_PROTO_ICMPV6, sizeof(answer.nd));
	__s64 diff = bpf_csum_diff(0, 0, (__be32 *)&answer.nd, sizeof(answer.nd), 0);

	answer.nd.head.checksum = csum_fold16(csum_fold32(sum + (__u32)diff));
	if (bpf_skb_change_tail(skb, ETH_LEN + sizeof(answer), 0) < 0 ||
	    bpf_skb_store_bytes(skb, ETH_LEN, &answer, sizeof(answer), 0) < 0 ||
	    rewrite_macs(skb, endpoint->mac, endpoint->host_mac) < 0)
		return drop(skb, p, DROP_REASON_REWRITE_FAILED, HOOK_FROM_POD);
	return bpf_redirect_peer(skb->ifindex, 0);
}

/* What the stack may have of a pod's: it cannot leave the link, and nobody decides about it as a flow. */
INLINE int leave_nd(struct __sk_buff *skb, const struct pkt *p, __u32 hop_limit)
{
	if (p->ttl != hop_limit || (p->dst.w[0] & 0xff) != 0xff)
		return drop(skb, p, DROP_REASON_FORBIDDEN_ND, HOOK_FROM_POD);
	return VERDICT_NEXT;
}

/*
 * Neighbour discovery and multicast listener messages of a pod. Solicitations for the gateway are answered; router
 * solicitations, duplicate address detection and listener reports go to the stack, where nothing listens; the rest is forbidden.
 * Hop limits: RFC 4861 section 6.1.1, RFC 2710 section 3, RFC 3810 section 5.
 */
NOINLINE int handle_pod_nd(struct __sk_buff *skb, const struct pkt *p, const struct endpoint *endpoint)
{
	addr_t target, gateway = gateway_ipv6();

	switch (p->tcp_flags) { /* ICMPv6 type */
	case 133:               /* router solicitation */
		return leave_nd(skb, p, 255);
	case 131: /* MLD */
	case 132:
	case 143:
		return leave_nd(skb, p, 1);
	case 135:
		break;
	default:
		return drop(skb, p, DROP_REASON_FORBIDDEN_ND, HOOK_FROM_POD);
	}
	if (bpf_skb_load_bytes(skb, p->l4_off + 8, &target, sizeof(target)) < 0)
		return drop(skb, p, DROP_REASON_INVALID_PACKET, HOOK_FROM_POD);
	if (addr_is_zero(&p->src))
		return leave_nd(skb, p, 255);
	if (!addr_equal(&target, &gateway))
		return drop(skb, p, DROP_REASON_FORBIDDEN_ND, HOOK_FROM_POD);
	return answer_solicitation(skb, p, endpoint);
}
