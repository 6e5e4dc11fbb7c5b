// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What the ipip and ip6tnl devices of a server do, for test machines whose kernel has none: takes packets of the same family out of IP-in-IP.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Bytes of the outer header of this frame; 0 = it is no envelope. */
static __always_inline int envelope_len(void *data, void *data_end)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct ipv6hdr *ip6 = (void *)(eth + 1);

	if ((void *)(ip + 1) > data_end)
		return 0;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return ip->protocol == IPPROTO_IPIP ? sizeof(*ip) : 0;
	if (eth->h_proto != bpf_htons(ETH_P_IPV6) || (void *)(ip6 + 1) > data_end)
		return 0;
	return ip6->nexthdr == IPPROTO_IPV6 ? sizeof(*ip6) : 0;
}

SEC("xdp")
int ipip_open(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	int len = envelope_len(data, data_end);
	struct ethhdr eth;

	if (!len)
		return XDP_PASS;
	__builtin_memcpy(&eth, data, sizeof(eth));
	if (bpf_xdp_adjust_head(ctx, len) < 0)
		return XDP_DROP;
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	if (data + sizeof(eth) > data_end)
		return XDP_DROP;
	__builtin_memcpy(data, &eth, sizeof(eth));
	return XDP_PASS;
}

char _license[] SEC("license")
= "Dual BSD/GPL";
