/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Direct server return, replies: a client must not send segments that do not fit into their envelope.
 */
#pragma once
#include "../abi/xdp.h"
#include "rewrite.h"

enum dsr_mss_limits {
	DSR_TCP_OPTIONS = 6, /* options of a SYN-ACK before its MSS */
};

/* Does somebody else answer clients outside, who therefore must see their addresses? */
INLINE int dsr_on(void)
{
	return cfg_north_south != NORTH_SOUTH_SNAT;
}

/* Largest segment that reaches this node in two envelopes, which is what a connection may need while its service changes. */
INLINE __u32 dsr_mss(__u8 family)
{
	addr_t node = addr_config(cfg_node_addr4);
	__u32 envelope = addr_is_zero(&node) ? IPV6_LEN : IPV4_MIN_LEN;
	__u32 overhead = cfg_north_south == NORTH_SOUTH_VXLAN ? envelope + 30 : 2 * envelope;

	return cfg_uplink_mtu - overhead - (family == 4 ? IPV4_MIN_LEN : IPV6_LEN) - sizeof(struct tcphdr);
}

/* Lowers the MSS of a SYN-ACK, so that the client's segments fit into the envelopes they will travel in. 0 or a reason. */
NOINLINE int dsr_clamp_mss(struct __sk_buff *skb, const struct pkt *p)
{
	__u32 off = (p->l4_off & 0x3ff) + sizeof(struct tcphdr), mss = dsr_mss(p->family);
	__u8 option[4];

	for (int i = 0; i < DSR_TCP_OPTIONS; i++) {
		if (bpf_skb_load_bytes(skb, off, option, sizeof(option)) < 0 || option[0] == 0)
			return 0;
		if (option[0] == 1) {
			off++;
			continue;
		}
		if (option[0] != 2) {
			off += option[1] < 2 ? 2 : option[1];
			continue;
		}
		__be16 old = *(__be16 *)(option + 2), new = bpf_htons(mss);

		if (bpf_ntohs(old) <= mss)
			return 0;
		if (bpf_skb_store_bytes(skb, off + 2, &new, sizeof(new), 0) < 0)
			return -DROP_REASON_REWRITE_FAILED;
		__u32 delta = csum_fold32((__u64)(__u16)~old + new);

		/* At an odd offset the bytes of the field count the other way round. */
		if (off & 1)
			delta = (delta & 0xff00ff) << 8 | ((delta >> 8) & 0xff00ff);
		return csum_adjust(skb, p, (p->l4_off & 0x3ff) + 16, 0, delta);
	}
	return 0;
}
