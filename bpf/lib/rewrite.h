/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Changes addresses, ports, TTL and MACs in a packet and keeps every checksum right, whatever skb->ip_summed is. Where the
 * kernel lets us read that (6.2), the L4 field is changed in place; otherwise, and for checksums that the receiving device
 * summed up, through bpf_l4_csum_replace, which knows. Address and port differences count differently, so they are kept apart.
 * Where the receiver has summed up the whole packet (devices, and the kernel for VXLAN over IPv6) bpf_csum_update tells that sum what no checksum
 * field makes up for, which in IPv6 are hop limit and addresses: datagrams with a wrong sum are dropped in the pod.
 */
#pragma once
#include <bpf/bpf_core_read.h>
#include "parse.h"

/* BPF_F_IPV6 of kernel 6.16: without it the helper takes an address for one of IPv4, whose change the header checksum makes up for. */
enum csum_flags {
	CSUM_F_IPV6 = 1 << 7,
};

enum rewrite_side {
	REWRITE_SOURCE = 0,
	REWRITE_DESTINATION = 1,
};

INLINE __u32 csum_fold32(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (__u32)((sum & 0xffffffff) + (sum >> 32));
}

INLINE __sum16 csum_fold16(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__sum16)~sum;
}

/* One's complement sum of (to - from) over both words; IPv4's constant part cancels out. */
INLINE __u32 csum_addr_delta(const addr_t *from, const addr_t *to)
{
	__u64 sum = 0;

	for (int i = 0; i < 2; i++) {
		sum += (__u32)~from->w[i];
		sum += (__u32) ~(from->w[i] >> 32);
		sum += (__u32)to->w[i];
		sum += (__u32)(to->w[i] >> 32);
	}
	return csum_fold32(sum);
}

/* x^(8 * 2^k) modulo the CRC32c polynomial, bit-reflected: what appending 2^k zero bytes multiplies a CRC by. */
static const __u32 crc32c_zeros[16] = {
	0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18, 0x510ac59a, 0xb82be955, 0xb8fdb1e7,
	0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a, 0x35d73a62, 0x28461564, 0xbf455269, 0xe2ea32dc,
};

/* Product of two polynomials. Global, as is crc32c_delta(), so that the verifier walks its loop once and with unknown arguments. */
GLOBAL __u32 crc32c_multiply(__u32 a, __u32 b)
{
	__u32 product = 0;

	for (int bit = 31; bit >= 0; bit--) {
		product ^= b & -((a >> bit) & 1);
		b = (b >> 1) ^ (0x82f63b78 & -(b & 1));
	}
	return product;
}

/*
 * Change of an SCTP packet's CRC32c (RFC 9260 appendix A) when its first four bytes change by `delta`: CRCs are linear, so it
 * is the difference followed by `len` zero bytes.
 */
GLOBAL __u32 crc32c_delta(__u32 delta, __u32 len)
{
	__u32 crc = delta;

	for (int k = 0; k < 16; k++)
		if (len & (1u << k))
			crc = crc32c_multiply(crc, crc32c_zeros[k]);
	return crc;
}

/* skb->ip_summed of linux/skbuff.h. */
enum ip_summed {
	SUMMED_NONE = 0,
	SUMMED_UNNECESSARY = 1,
	SUMMED_COMPLETE = 2,
	SUMMED_PARTIAL = 3, /* the field holds the sum of the pseudo header only */
	SUMMED_UNKNOWN = 4,
};

struct sk_buff___summed {
	__u8 ip_summed : 2;
} __attribute__((preserve_access_index));

extern void *bpf_cast_to_kern_ctx(void *ctx) __attribute__((section(".ksyms"), weak));

INLINE enum ip_summed csum_state(struct __sk_buff *skb)
{
	if (!cfg_has_kern_ctx)
		return SUMMED_UNKNOWN;
	struct sk_buff___summed *kernel_skb = bpf_cast_to_kern_ctx(skb);

	return BPF_CORE_READ_BITFIELD(kernel_skb, ip_summed);
}

/*
 * A CRC that the sending device is to fill in is 0 and must stay so: the kernel computes it over the field as well. Where it does not let
 * us see which those are (before 6.2), 0 is taken for one; of the others one in four billion is 0, and is sent again.
 */
NOINLINE int rewrite_sctp_port(struct __sk_buff *skb, struct pkt *p, __u32 port_off, __be16 to)
{
	__u32 before, after, crc, off = p->l4_off;
	enum ip_summed state = csum_state(skb);

	if (p->flags & PKT_FRAGMENT)
		return -DROP_REASON_REWRITE_FAILED; /* the CRC covers bytes that are not in this packet */
	if (bpf_skb_load_bytes(skb, off, &before, 4) < 0 || bpf_skb_load_bytes(skb, off + 8, &crc, 4) < 0 ||
	    bpf_skb_store_bytes(skb, port_off, &to, sizeof(to), 0) < 0 || bpf_skb_load_bytes(skb, off, &after, 4) < 0)
		return -DROP_REASON_REWRITE_FAILED;
	if (state == SUMMED_PARTIAL || (state == SUMMED_UNKNOWN && crc == 0))
		return 0;
	crc ^= crc32c_delta(before ^ after, p->ip_len + ETH_LEN - off);
	if (bpf_skb_store_bytes(skb, off + 8, &crc, sizeof(crc), 0) < 0)
		return -DROP_REASON_REWRITE_FAILED;
	return 0;
}

/* Offset of the L4 checksum from the L4 header; 0 = none that covers addresses. */
INLINE __u32 l4_csum_offset(__u8 proto)
{
	switch (proto) {
	case L4_PROTO_TCP:
		return 16;
	case L4_PROTO_UDP:
		return 6;
	case L4_PROTO_ICMPV6:
		return 2;
	default:
		return 0;
	}
}

/* The same through the helper, which looks at skb->ip_summed itself. */
NOINLINE int csum_adjust_by_helper(struct __sk_buff *skb, const struct pkt *p, __u32 off, __u32 addr_delta,
				   __u32 port_delta)
{
	__u64 flags = p->proto == L4_PROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	__u64 addr_flags = flags | BPF_F_PSEUDO_HDR | (cfg_has_csum_ipv6 && p->family == 6 ? CSUM_F_IPV6 : 0);

	if (addr_delta && bpf_l4_csum_replace(skb, off, 0, addr_delta, addr_flags) < 0)
		return -DROP_REASON_REWRITE_FAILED;
	if (addr_delta && p->family == 6 && !cfg_has_csum_ipv6)
		bpf_csum_update(skb, addr_delta);
	if (port_delta && bpf_l4_csum_replace(skb, off, 0, port_delta, flags) < 0)
		return -DROP_REASON_REWRITE_FAILED;
	return 0;
}

/*
 * Adapts the checksum at `off`: addr_delta is what changed in the pseudo header, port_delta what changed behind it (one's
 * complement sums of new minus old). A UDP checksum of 0 means that there is none (RFC 768).
 */
INLINE int csum_adjust(struct __sk_buff *skb, const struct pkt *p, __u32 off, __u32 addr_delta, __u32 port_delta)
{
	enum ip_summed state = csum_state(skb);

	if (state == SUMMED_UNKNOWN || state == SUMMED_COMPLETE)
		return csum_adjust_by_helper(skb, p, off, addr_delta, port_delta);
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	__sum16 *field = data + (off & 0x3ff);

	if ((void *)(field + 1) > data_end)
		return -DROP_REASON_REWRITE_FAILED;
	if (state == SUMMED_PARTIAL) {
		*field = (__sum16)~csum_fold16(csum_fold32((__u64)*field + addr_delta));
		return 0;
	}
	if (p->proto == L4_PROTO_UDP && *field == 0)
		return 0;
	*field = csum_fold16(csum_fold32((__u64)(__u16) ~*field + addr_delta + port_delta));
	if (p->proto == L4_PROTO_UDP && *field == 0)
		*field = 0xffff;
	return 0;
}

/* Writes the address of one side and, for IPv4, the header checksum. */
INLINE int rewrite_addr(struct __sk_buff *skb, const struct pkt *p, enum rewrite_side side, const addr_t *from,
			const addr_t *to)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;

	if (p->family == 4) {
		struct iphdr *ip = data + ETH_LEN;

		if ((void *)(ip + 1) > data_end)
			return -DROP_REASON_REWRITE_FAILED;
		__u64 sum = (__u16)~ip->check;

		sum += (__u32)~addr_ipv4(from);
		sum += addr_ipv4(to);
		ip->check = csum_fold16(csum_fold32(sum));
		if (side == REWRITE_SOURCE)
			ip->saddr = addr_ipv4(to);
		else
			ip->daddr = addr_ipv4(to);
		return 0;
	}
	struct ipv6hdr *ip = data + ETH_LEN;

	if ((void *)(ip + 1) > data_end)
		return -DROP_REASON_REWRITE_FAILED;
	__builtin_memcpy(side == REWRITE_SOURCE ? &ip->saddr : &ip->daddr, to, 16);
	return 0;
}

/*
 * Writes the port (or echo identifier) of one side. *csum_off is where the checksum is, for protocols whose addresses are
 * not covered too; SCTP's is done here. 0 or a negative reason.
 */
INLINE int rewrite_port(struct __sk_buff *skb, struct pkt *p, enum rewrite_side side, __be16 to, __u32 *csum_off)
{
	__u32 off = p->l4_off & 0x3ff, port_off = off + (side == REWRITE_SOURCE ? 0 : 2);

	switch (p->proto) {
	case L4_PROTO_SCTP:
		return rewrite_sctp_port(skb, p, port_off, to);
	case L4_PROTO_ICMP:
		*csum_off = 2;
		port_off = off + 4;
		break;
	case L4_PROTO_ICMPV6:
		port_off = off + 4;
		break;
	case L4_PROTO_TCP:
	case L4_PROTO_UDP:
		break;
	default:
		return 0;
	}
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	__be16 *port = data + port_off;

	if ((void *)(port + 1) > data_end)
		return -DROP_REASON_REWRITE_FAILED;
	*port = to;
	return 0;
}

/* Gives one side of the packet (and of `p`) a new address and, unless `port` is 0, a new port. 0 or a negative reason. */
INLINE int rewrite(struct __sk_buff *skb, struct pkt *p, enum rewrite_side side, const addr_t *to, __be16 port)
{
	addr_t *addr = side == REWRITE_SOURCE ? &p->src : &p->dst;
	__be16 *old_port = side == REWRITE_SOURCE ? &p->sport : &p->dport;
	__u32 csum_off = l4_csum_offset(p->proto), addr_delta = 0, port_delta = 0;
	int later = p->flags & PKT_LATER_FRAGMENT, err;

	if (!addr_equal(addr, to)) {
		err = rewrite_addr(skb, p, side, addr, to);
		if (err)
			return err;
		addr_delta = csum_off || p->family == 6 ? csum_addr_delta(addr, to) : 0;
		*addr = *to;
	}
	if (port && port != *old_port) {
		port_delta = csum_fold32((__u64)(__u16) ~*old_port + port);
		*old_port = port;
		err = later ? 0 : rewrite_port(skb, p, side, port, &csum_off);
		if (err)
			return err;
	}
	if (later || !csum_off) {
		if (p->family == 6 && addr_delta)
			bpf_csum_update(skb, addr_delta);
		return 0;
	}
	if (!(addr_delta | port_delta))
		return 0;
	return csum_adjust(skb, p, (p->l4_off & 0x3ff) + csum_off, addr_delta, port_delta);
}

/* rewrite() of the packet in the scratch as scratch->change says. Global: the verifier walks it once, not for each kind of packet and side. */
GLOBAL int rewrite_here(struct __sk_buff *skb)
{
	struct scratch *scratch = scratch_get();

	if (!scratch)
		return -DROP_REASON_REWRITE_FAILED;
	return rewrite(skb, &scratch->pkt, scratch->change.side, &scratch->change.addr, scratch->change.port);
}

/*
 * rewrite() of a whole TCP segment over IPv4, without a call. 0, a negative reason, or 1 = nothing is done, as the checksum cannot be changed in
 * place.
 */
INLINE int rewrite_tcp4(struct __sk_buff *skb, struct pkt *p, enum rewrite_side side, __be32 to, __be16 port)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	addr_t *addr = side == REWRITE_SOURCE ? &p->src : &p->dst;
	__be16 *old_port = side == REWRITE_SOURCE ? &p->sport : &p->dport;
	struct tcphdr *tcp = data + (p->l4_off & 0x3ff);
	enum ip_summed state = csum_state(skb);
	struct iphdr *ip = data + ETH_LEN;
	__u32 delta;

	if (state == SUMMED_UNKNOWN || state == SUMMED_COMPLETE)
		return 1;
	if ((void *)(ip + 1) > data_end || (void *)(tcp + 1) > data_end)
		return -DROP_REASON_REWRITE_FAILED;
	delta = csum_fold32((__u64)(__u32)~addr_ipv4(addr) + to);
	ip->check = csum_fold16(csum_fold32((__u64)(__u16)~ip->check + delta));
	if (state == SUMMED_PARTIAL)
		tcp->check = ~csum_fold16(csum_fold32((__u64)tcp->check + delta));
	else
		tcp->check = csum_fold16(csum_fold32((__u64)(__u16)~tcp->check + delta + (__u16) ~*old_port + port));
	if (side == REWRITE_SOURCE) {
		ip->saddr = to;
		tcp->source = port;
	} else {
		ip->daddr = to;
		tcp->dest = port;
	}
	*addr = addr_from_ipv4(to);
	*old_port = port;
	return 0;
}

/* What a router does: one hop less. The caller has checked that p->ttl > 1. */
INLINE int rewrite_ttl(struct __sk_buff *skb, const struct pkt *p)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;

	if (data + ETH_LEN + IPV6_LEN > data_end && p->family == 6)
		return -DROP_REASON_REWRITE_FAILED;
	if (data + ETH_LEN + IPV4_MIN_LEN > data_end)
		return -DROP_REASON_REWRITE_FAILED;
	if (p->family == 6) {
		((struct ipv6hdr *)(data + ETH_LEN))->hop_limit = p->ttl - 1;
		bpf_csum_update(skb, (__u16)~bpf_htons(1));
		return 0;
	}
	struct iphdr *ip = data + ETH_LEN;
	__u32 check = ip->check + bpf_htons(0x0100); /* RFC 1141 */

	ip->check = (__sum16)(check + (check >= 0xffff));
	ip->ttl = p->ttl - 1;
	return 0;
}

INLINE int rewrite_macs(struct __sk_buff *skb, const void *dst, const void *src)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > data_end)
		return -DROP_REASON_REWRITE_FAILED;
	mac_copy(eth->h_dest, dst);
	mac_copy(eth->h_source, src);
	return 0;
}

/* To the node's stack as if it came from there: no other device takes packets from the node's own addresses. */
INLINE int send_to_loopback(struct __sk_buff *skb)
{
	struct mac none = {};

	if (rewrite_macs(skb, none.bytes, none.bytes) < 0)
		return VERDICT_DROP;
	return bpf_redirect(LOOPBACK_IFINDEX, BPF_F_INGRESS);
}

/* Sends the frame back where it came from, as far as MACs are concerned. */
INLINE int swap_macs(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;
	__u8 mac[6];

	if ((void *)(eth + 1) > data_end)
		return -DROP_REASON_REWRITE_FAILED;
	__builtin_memcpy(mac, eth->h_dest, 6);
	__builtin_memcpy(eth->h_dest, eth->h_source, 6);
	__builtin_memcpy(eth->h_source, mac, 6);
	return 0;
}
