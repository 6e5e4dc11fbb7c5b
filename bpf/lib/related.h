/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ICMP errors about translated flows. The error quotes the packet as it left this node; the initiator must see the packet
 * as it sent it, or path MTU discovery through a service or a masquerade fails.
 */
#pragma once
#include "nat.h"

INLINE int related_parse_ipv4(struct __sk_buff *skb, struct quoted *q)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, q->ip_off, &ip, sizeof(ip)) < 0 || ip.ihl < 5)
		return 1;
	q->pkt.src = addr_from_ipv4(ip.saddr);
	q->pkt.dst = addr_from_ipv4(ip.daddr);
	q->pkt.proto = ip.protocol;
	q->l4_off = q->ip_off + ip.ihl * 4;
	return ip.frag_off & bpf_htons(0x1fff) ? 1 : 0;
}

INLINE int related_parse_ipv6(struct __sk_buff *skb, struct quoted *q)
{
	union {
		struct ipv6hdr ip;
		struct ipv6_fragment fragment;
	} header;

	if (bpf_skb_load_bytes(skb, q->ip_off, &header.ip, sizeof(header.ip)) < 0)
		return 1;
	__builtin_memcpy(&q->pkt.src, &header.ip.saddr, 16);
	__builtin_memcpy(&q->pkt.dst, &header.ip.daddr, 16);
	q->pkt.proto = header.ip.nexthdr;
	q->l4_off = q->ip_off + IPV6_LEN;
	if (q->pkt.proto != IPPROTO_FRAGMENT)
		return 0;
	/* A sender that fragments learns of the path by errors about first fragments. */
	if (bpf_skb_load_bytes(skb, q->l4_off, &header.fragment, sizeof(header.fragment)) < 0)
		return 1;
	q->pkt.proto = header.fragment.next;
	q->l4_off += sizeof(header.fragment);
	return header.fragment.offset & bpf_htons(0xfff8) ? 1 : 0;
}

/* 0 = the tuple of the quoted packet is known. */
NOINLINE int related_parse(struct __sk_buff *skb, const struct pkt *p, struct quoted *q)
{
	struct icmp_head head;
	int err;

	q->pkt.family = p->family;
	q->ip_off = p->l4_off + sizeof(head);
	err = p->family == 4 ? related_parse_ipv4(skb, q) : related_parse_ipv6(skb, q);
	if (err || bpf_skb_load_bytes(skb, q->l4_off, &head, sizeof(head)) < 0)
		return 1;
	if (q->pkt.proto == L4_PROTO_ICMP || q->pkt.proto == L4_PROTO_ICMPV6) {
		if (!icmp_is_echo(q->pkt.proto, head.type))
			return 1;
		q->pkt.sport = q->pkt.dport = head.id;
		return 0;
	}
	q->pkt.sport = ((struct ports *)&head)->source;
	q->pkt.dport = ((struct ports *)&head)->dest;
	return 0;
}

/* Replaces bytes of the quote (length 2, 4 or 16) and adapts the outer ICMP checksum. 0 or a negative reason. */
INLINE int related_store(struct __sk_buff *skb, const struct pkt *p, __u32 off, const void *from, const void *to,
			 __u32 len)
{
	__u64 sum = 0;

	if (bpf_skb_store_bytes(skb, off, to, len, 0) < 0)
		return -DROP_REASON_REWRITE_FAILED;
	if (len == 2)
		sum = (__u64)(__u16) ~*(const __u16 *)from + *(const __u16 *)to;
	for (__u32 i = 0; i + 4 <= len; i += 4)
		sum += (__u64)(__u32) ~*(const __u32 *)(from + i) + *(const __u32 *)(to + i);
	if (bpf_l4_csum_replace(skb, p->l4_off + 2, 0, csum_fold32(sum), 0) < 0)
		return -DROP_REASON_REWRITE_FAILED;
	return 0;
}

/* Replaces address and port of one side of the quoted packet. */
NOINLINE int related_rewrite(struct __sk_buff *skb, const struct pkt *p, struct quoted *q, const addr_t *to,
			     __u32 side_port)
{
	enum rewrite_side side = side_port & 1;
	__be16 port = side_port >> 16, old = side == REWRITE_SOURCE ? q->pkt.sport : q->pkt.dport;
	addr_t from = side == REWRITE_SOURCE ? q->pkt.src : q->pkt.dst;
	int echo = q->pkt.proto == L4_PROTO_ICMP || q->pkt.proto == L4_PROTO_ICMPV6, err;

	if (p->family == 4) {
		__be32 from4 = addr_ipv4(&from), to4 = addr_ipv4(to);
		__u16 check, fixed;

		if (bpf_skb_load_bytes(skb, q->ip_off + 10, &check, 2) < 0)
			return -DROP_REASON_REWRITE_FAILED;
		fixed = csum_fold16(csum_fold32((__u64)(__u16)~check + (__u32)~from4 + to4));
		err = related_store(skb, p, q->ip_off + 10, &check, &fixed, 2);
		if (!err)
			err = related_store(skb, p, q->ip_off + (side == REWRITE_SOURCE ? 12 : 16), &from4, &to4, 4);
	} else {
		err = related_store(skb, p, q->ip_off + (side == REWRITE_SOURCE ? 8 : 24), &from, to, 16);
	}
	if (err || port == old)
		return err;
	return related_store(skb, p, q->l4_off + (echo ? 4 : side == REWRITE_SOURCE ? 0 : 2), &old, &port, 2);
}

/* An error about what a backend sent as the service: to the backend, which must find its own packet in the quote. */
NOINLINE int related_to_backend(struct __sk_buff *skb, struct pkt *p, struct quoted *q, const struct ct_entry *entry)
{
	addr_t backend = q->pkt.xlate, client = q->pkt.dst;
	__be16 port = entry->snat_port ? entry->snat_port : q->pkt.dport;
	int err;

	if (entry->flags & CT_FLAG_MASQUERADE)
		client = own_addr(p->family, entry->source);
	err = related_rewrite(skb, p, q, &backend, (__u32)entry->xlate_port << 16 | REWRITE_SOURCE);
	if (!err)
		err = related_rewrite(skb, p, q, &client, (__u32)port << 16 | REWRITE_DESTINATION);
	return err ? err : rewrite(skb, p, REWRITE_DESTINATION, &backend, 0);
}

/* An error about what left with a port of the node: to the initiator of the flow, whose entry for replies the quoted packet has found. */
NOINLINE int related_to_initiator(struct __sk_buff *skb, struct pkt *p, struct quoted *q, const struct ct_entry *entry)
{
	__be16 port = entry->xlate_port, own_port = entry->snat_port;
	addr_t client, responder = q->pkt.xlate;
	int err;

	if (ct_client(&q->pkt, entry, &client))
		return 1;
	err = related_rewrite(skb, p, q, &client, (__u32)own_port << 16 | REWRITE_SOURCE);
	if (!err)
		err = rewrite(skb, p, REWRITE_DESTINATION, &client, 0);
	if (!err && !ct_is_echo(&q->pkt) && (port != q->pkt.dport || !addr_equal(&responder, &q->pkt.dst)))
		err = related_rewrite(skb, p, q, &responder, (__u32)port << 16 | REWRITE_DESTINATION);
	return err;
}

/* A translated error that leaves this node again is the node's own: whoever made it may be nobody to the next hop. */
NOINLINE int related_from_node(struct __sk_buff *skb, struct pkt *p)
{
	addr_t node = node_addr(p->family);

	return rewrite(skb, p, REWRITE_SOURCE, &node, 0);
}

/*
 * Translates an ICMP error about a packet that left this node translated, and gives it the initiator as destination.
 * 0 = translated, 1 = not about such a flow, negative reason.
 */
GLOBAL int related_reverse_here(struct __sk_buff *skb)
{
	struct scratch *scratch = scratch_get();
	struct ct_entry *entry;

	if (!scratch)
		return 1;
	struct pkt *p = &scratch->pkt;
	struct quoted *q = &scratch->quoted;

	__builtin_memset(q, 0, sizeof(*q));
	if (related_parse(skb, p, q))
		return 1;
	entry = ct_lookup(&q->pkt);
	if (!entry)
		return 1;
	if (ct_is_masqueraded_reply(entry))
		return ct_direction(entry, &q->pkt) == CT_DIR_FORWARD ? related_to_initiator(skb, p, q, entry) : 1;
	if ((entry->flags & CT_FLAG_SVC_FORWARD) && ct_direction(entry, &q->pkt) == CT_DIR_REPLY)
		return related_to_backend(skb, p, q, entry);
	if (entry->snat_port && (entry->flags & CT_FLAG_SHARED) && !ct_is_shared(entry)) {
		addr_t client = q->pkt.src;

		return related_rewrite(skb, p, q, &client, (__u32)entry->snat_port << 16 | REWRITE_SOURCE);
	}
	if (!(entry->flags & CT_FLAG_SVC_REPLY))
		return 1;
	addr_t vip = q->pkt.xlate, client = q->pkt.src;
	__be16 port = entry->xlate_port, client_port = ct_is_shared(entry) ? 0 : entry->snat_port;
	int err = client_port ? related_rewrite(skb, p, q, &client, (__u32)client_port << 16 | REWRITE_SOURCE) : 0;

	return err ? err : related_rewrite(skb, p, q, &vip, (__u32)port << 16 | REWRITE_DESTINATION);
}

/* related_reverse_here of `p`, which is scratch->pkt. */
INLINE int related_reverse(struct __sk_buff *skb, struct pkt *p)
{
	(void)p;
	return related_reverse_here(skb);
}
