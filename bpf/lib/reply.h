/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Packets that the dataplane itself answers with: ICMP errors, TCP RST, ARP and neighbour advertisements. Each turns
 * the packet at hand into its answer and sends it back. Counting is the caller's business.
 */
#pragma once
#include "../abi/xdp.h"
#include "rewrite.h"

enum answer_limits {
	ICMP_HEAD = 8,
	/* Of the offending packet: the longest IPv4 header and 8 bytes, or an IPv6 header and what follows it. */
	ICMP_QUOTE_MAX = 96,
	/* Of SCTP: the header and the tag of INIT, without which the sender does not believe an error (RFC 9260 section 10). */
	SCTP_QUOTE = 20,
};

enum answer_route {
	ANSWER_PEER = 0,     /* into the pod the packet came from */
	ANSWER_DEVICE = 1,   /* out of the device it came in by */
	ANSWER_TUNNEL = 2,   /* back through the tunnel, whose key is still the received one */
	ANSWER_HOST = 3,     /* to the node itself, out of its host device */
	ANSWER_LOOPBACK = 4, /* to the node itself, as if it came from there */
};

struct icmp_error {
	__u8 type;
	__u8 code;
	__be16 pad;
	__be32 info; /* MTU; IPv4: in the lower 16 bits */
};

/* Where answers about a packet of this family come from when no better address is at hand: this node. */
INLINE addr_t answer_source(__u8 family)
{
	return family == 4 ? addr_config(cfg_node_addr4) : addr_config(cfg_node_addr6);
}

NOINLINE int answer_send(struct __sk_buff *skb, enum answer_route route)
{
	if (swap_macs(skb) < 0)
		return VERDICT_DROP;
	if (route == ANSWER_TUNNEL) {
		struct bpf_tunnel_key key = {};
		__u64 flags = 0;

		if (bpf_skb_get_tunnel_key(skb, &key, TUNNEL_KEY_SIZE, 0) < 0) {
			flags = BPF_F_TUNINFO_IPV6;
			if (bpf_skb_get_tunnel_key(skb, &key, TUNNEL_KEY_SIZE, flags) < 0)
				return VERDICT_DROP;
		}
		if (bpf_skb_set_tunnel_key(skb, &key, TUNNEL_KEY_SIZE, flags) < 0)
			return VERDICT_DROP;
		skb->mark = MARK_TUNNEL_KEY_SET;
	}
	if (route == ANSWER_LOOPBACK)
		return send_to_loopback(skb);
	if (route == ANSWER_PEER)
		return bpf_redirect_peer(skb->ifindex, 0);
	/*
	 * The frame may have come from a node that is not the sender's way back. On a link only: a route to look up would take the tunnel key's
	 * place, and routes to the node's own addresses lead to no neighbour.
	 */
	if (cfg_north_south != NORTH_SOUTH_SNAT && route == ANSWER_DEVICE)
		return bpf_redirect_neigh(skb->ifindex, 0, 0, 0);
	return bpf_redirect(skb->ifindex, 0);
}

/* IPv4 header of an answer; `total` in bytes. */
INLINE void answer_ipv4_header(struct iphdr *ip, const addr_t *src, const addr_t *dst, __u8 proto, __u32 total)
{
	__u64 sum = 0;
	__u16 *half = (__u16 *)ip;

	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 4;
	ip->ihl = 5;
	ip->tot_len = bpf_htons(total);
	ip->frag_off = bpf_htons(0x4000);
	ip->ttl = 64;
	ip->protocol = proto;
	ip->saddr = addr_ipv4(src);
	ip->daddr = addr_ipv4(dst);
	for (int i = 0; i < 10; i++)
		sum += half[i];
	ip->check = csum_fold16(csum_fold32(sum));
}

INLINE void answer_ipv6_header(struct ipv6hdr *ip, const addr_t *src, const addr_t *dst, __u8 proto, __u32 payload)
{
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 6;
	ip->payload_len = bpf_htons(payload);
	ip->nexthdr = proto;
	ip->hop_limit = 64;
	__builtin_memcpy(&ip->saddr, src, 16);
	__builtin_memcpy(&ip->daddr, dst, 16);
}

/* Sum of the pseudo header (RFC 793, RFC 8200 section 8.1); for IPv4 the constant half of the mapped address is left out. */
INLINE __u64 answer_pseudo_sum(const addr_t *src, const addr_t *dst, __u8 proto, __u32 len)
{
	__u64 sum = bpf_htons(proto) + (__u64)bpf_htons(len);

	if (addr_is_ipv4(src))
		return sum + addr_ipv4(src) + addr_ipv4(dst);
	for (int i = 0; i < 2; i++) {
		sum += (__u32)src->w[i];
		sum += (__u32)(src->w[i] >> 32);
		sum += (__u32)dst->w[i];
		sum += (__u32)(dst->w[i] >> 32);
	}
	return sum;
}

struct icmp_answer {
	struct icmp_head head;
	__u8 quote[ICMP_QUOTE_MAX];
};

/* Writes the ICMP part behind an IP header of `ip_header` bytes; its checksum is complete. */
NOINLINE int answer_icmp_body(struct __sk_buff *skb, const struct pkt *p, const struct icmp_error *error,
			      const addr_t *src)
{
	struct icmp_answer answer __attribute__((aligned(8))) = {};
	__u32 l4 = p->proto == L4_PROTO_SCTP ? SCTP_QUOTE : 8;
	__u32 wanted = p->l4_off - ETH_LEN + l4, ip_header = p->family == 4 ? IPV4_MIN_LEN : IPV6_LEN;
	__u64 last = (__u64)(wanted < p->ip_len ? wanted : p->ip_len) - 1; /* offset of the last byte quoted */

	/*
	 * Bounds that verifiers before 6.8 see too: without a comparison with 0, and of a whole register (barrier_var), because
	 * they forget those of half ones that are copied or saved on the stack.
	 */
	barrier_var(last);
	if (last >= ICMP_QUOTE_MAX)
		last = ICMP_QUOTE_MAX - 1;
	__u64 quote = last + 1;

	if (bpf_skb_load_bytes(skb, ETH_LEN, answer.quote, quote) < 0)
		return -DROP_REASON_REWRITE_FAILED;
	answer.head.type = error->type;
	answer.head.code = error->code;
	__builtin_memcpy(&answer.head.id, &error->info, 4);

	__u64 sum = p->family == 6 ? answer_pseudo_sum(src, &p->src, L4_PROTO_ICMPV6, ICMP_HEAD + quote) : 0;
	__s64 diff = bpf_csum_diff(0, 0, (__be32 *)&answer, sizeof(answer), 0);

	answer.head.checksum = csum_fold16(csum_fold32(sum + (__u32)diff));
	barrier_var(quote);
	if (bpf_skb_change_tail(skb, ETH_LEN + ip_header + ICMP_HEAD + quote, 0) < 0)
		return -DROP_REASON_REWRITE_FAILED;
	if (bpf_skb_store_bytes(skb, ETH_LEN + ip_header, &answer, ICMP_HEAD + quote, 0) < 0)
		return -DROP_REASON_REWRITE_FAILED;
	return quote;
}

/*
 * Turns the packet into an ICMP or ICMPv6 error about itself and sends it back. `src` is who answers.
 * Nothing is answered to ICMP errors, later fragments and multicast (RFC 1122 section 3.2.2, RFC 4443 section 2.4).
 */
NOINLINE int answer_icmp(struct __sk_buff *skb, const struct pkt *p, const struct icmp_error *error, const addr_t *src,
			 enum answer_route route)
{
	struct {
		struct iphdr v4;
		__u32 pad;
		struct ipv6hdr v6;
	} __attribute__((aligned(8))) header;
	int quote;

	if (p->flags & (PKT_ICMP_ERROR | PKT_LATER_FRAGMENT) || addr_is_zero(src) || addr_is_zero(&p->src))
		return VERDICT_DROP;
	quote = answer_icmp_body(skb, p, error, src);
	if (quote < 0)
		return VERDICT_DROP;
	if (p->family == 4) {
		answer_ipv4_header(&header.v4, src, &p->src, L4_PROTO_ICMP, IPV4_MIN_LEN + ICMP_HEAD + quote);
		if (bpf_skb_store_bytes(skb, ETH_LEN, &header.v4, sizeof(header.v4), 0) < 0)
			return VERDICT_DROP;
	} else {
		answer_ipv6_header(&header.v6, src, &p->src, L4_PROTO_ICMPV6, ICMP_HEAD + quote);
		if (bpf_skb_store_bytes(skb, ETH_LEN, &header.v6, sizeof(header.v6), 0) < 0)
			return VERDICT_DROP;
	}
	return answer_send(skb, route);
}

/* Fills the RST that answers `tcp` (RFC 9293 section 3.10.7.1). */
INLINE void answer_rst_header(struct tcphdr *rst, const struct tcphdr *tcp, const struct pkt *p)
{
	__u32 payload = p->ip_len + ETH_LEN - p->l4_off - tcp->doff * 4;
	__u32 next = bpf_ntohl(tcp->seq) + payload + tcp->syn + tcp->fin;

	__builtin_memset(rst, 0, sizeof(*rst));
	rst->source = tcp->dest;
	rst->dest = tcp->source;
	rst->doff = 5;
	rst->rst = 1;
	if (tcp->ack) {
		rst->seq = tcp->ack_seq;
	} else {
		rst->ack = 1;
		rst->ack_seq = bpf_htonl(next);
	}
}

/* Answers a TCP segment with a RST from the address it was sent to. */
NOINLINE int answer_rst(struct __sk_buff *skb, const struct pkt *p, enum answer_route route)
{
	struct {
		struct iphdr v4;
		__u32 pad;
		struct ipv6hdr v6;
	} __attribute__((aligned(8))) header;
	struct tcphdr tcp, rst;
	__u32 ip_header = p->family == 4 ? IPV4_MIN_LEN : IPV6_LEN;

	if (p->flags & PKT_FRAGMENT || p->tcp_flags & TCP_RST ||
	    bpf_skb_load_bytes(skb, p->l4_off, &tcp, sizeof(tcp)) < 0)
		return VERDICT_DROP;
	answer_rst_header(&rst, &tcp, p);
	__u64 sum = answer_pseudo_sum(&p->dst, &p->src, L4_PROTO_TCP, sizeof(rst));
	__s64 diff = bpf_csum_diff(0, 0, (__be32 *)&rst, sizeof(rst), 0);

	rst.check = csum_fold16(csum_fold32(sum + (__u32)diff));
	if (bpf_skb_change_tail(skb, ETH_LEN + ip_header + sizeof(rst), 0) < 0 ||
	    bpf_skb_store_bytes(skb, ETH_LEN + ip_header, &rst, sizeof(rst), 0) < 0)
		return VERDICT_DROP;
	if (p->family == 4) {
		answer_ipv4_header(&header.v4, &p->dst, &p->src, L4_PROTO_TCP, IPV4_MIN_LEN + sizeof(rst));
		if (bpf_skb_store_bytes(skb, ETH_LEN, &header.v4, sizeof(header.v4), 0) < 0)
			return VERDICT_DROP;
	} else {
		answer_ipv6_header(&header.v6, &p->dst, &p->src, L4_PROTO_TCP, sizeof(rst));
		if (bpf_skb_store_bytes(skb, ETH_LEN, &header.v6, sizeof(header.v6), 0) < 0)
			return VERDICT_DROP;
	}
	return answer_send(skb, route);
}

enum answer_kind {
	ANSWER_REJECT = 0,
	ANSWER_TTL_EXCEEDED = 1,
	ANSWER_TOO_BIG = 2,
};

/*
 * Answers about the packet in the scratch. `info`: the reason of a reject, or an MTU in bytes. Counts the drop. Returns the verdict.
 */
GLOBAL int answer(struct __sk_buff *skb, __u32 kind, int info, __u32 hook_route)
{
	struct scratch *scratch = scratch_get();
	struct icmp_error error = {.type = 3, .code = 3};
	enum answer_route route = hook_route >> 8;
	addr_t src;

	if (!scratch)
		return VERDICT_DROP;
	struct pkt *p = &scratch->pkt;
	int v6 = p->family == 6;

	src = answer_source(p->family);
	if (kind == ANSWER_REJECT) {
		drop(skb, p, info, hook_route & 0xff);
		if (p->proto == L4_PROTO_TCP)
			return answer_rst(skb, p, route);
		src = p->dst;
		if (v6)
			error = (struct icmp_error){.type = 1, .code = 4};
	} else if (kind == ANSWER_TTL_EXCEEDED) {
		drop(skb, p, DROP_REASON_TTL_EXCEEDED, hook_route & 0xff);
		error = (struct icmp_error){.type = v6 ? 3 : 11};
	} else {
		drop(skb, p, DROP_REASON_FRAG_NEEDED, hook_route & 0xff);
		error = (struct icmp_error){.type = v6 ? 2 : 3, .code = v6 ? 0 : 4, .info = bpf_htonl(info)};
	}
	return answer_icmp(skb, p, &error, &src, route);
}

/* "Connection refused" for every protocol: RST for TCP, port unreachable for the others. `p` is scratch->pkt in all of these. */
INLINE int answer_reject(struct __sk_buff *skb, const struct pkt *p, int reason, __u32 hook_route)
{
	(void)p;
	return answer(skb, ANSWER_REJECT, reason, hook_route);
}

/* Hop limit used up. */
INLINE int answer_ttl_exceeded(struct __sk_buff *skb, const struct pkt *p, __u32 hook_route)
{
	(void)p;
	return answer(skb, ANSWER_TTL_EXCEEDED, 0, hook_route);
}

/* Larger than the next hop takes: fragmentation needed (RFC 1191) or packet too big (RFC 8201). `mtu` in bytes. */
INLINE int answer_too_big(struct __sk_buff *skb, const struct pkt *p, __u32 mtu, __u32 hook_route)
{
	(void)p;
	return answer(skb, ANSWER_TOO_BIG, mtu, hook_route);
}

/* Hook and route in one word, because a function of a BPF program takes five arguments. */
INLINE __u32 hook_route(enum hook hook)
{
	enum answer_route route = hook == HOOK_FROM_POD           ? ANSWER_PEER
				  : hook == HOOK_FROM_OVERLAY     ? ANSWER_TUNNEL
				  : hook == HOOK_FROM_HOST_DEVICE ? ANSWER_HOST
				  : hook == HOOK_LOOPBACK         ? ANSWER_LOOPBACK
								  : ANSWER_DEVICE;

	return (__u32)route << 8 | hook;
}
