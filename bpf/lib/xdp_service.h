/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Services as XDP reads them: one cache line instead of a hash element, a slot and a backend's row. While a set of backends changes the
 * row has both; who scores highest among all of them is the best of each set that it is in, so one pass is enough, and whoever is not in
 * both has no node. agent/plan/rank.ts, agent/plan/xdp-services.ts and agent/reconcile/services-union.ts compute the same as this file.
 */
#pragma once
#include "xdp_packet.h"

/* Key and check of a packet's service. */
struct xdp_service_key {
	__u64 key;
	__u32 check;
};

INLINE struct xdp_service_key xdp_service_key(const struct xdp_pkt *p)
{
	__u64 low = (__u32)p->dport << 16 | (__u32)p->proto << 8 | p->family, h;

	if (p->family == 4)
		return (struct xdp_service_key){.key = (__u64)addr_ipv4(&p->dst) << 32 | low};
	h = p->dst.w[0] * 0x9e3779b97f4a7c15ull + p->dst.w[1] * 0xc2b2ae3d27d4eb4full;
	h ^= h >> 32;
	h *= 0xc4ceb9fe1a85ec53ull;
	return (struct xdp_service_key){.key = (h >> 32) << 32 | low, .check = (__u32)h};
}

/* First of the positions that a row may have. Addresses that differ in their last 16 bits only never share one. */
INLINE __u32 xdp_service_home(__u64 key)
{
	return ((__u32)(key >> 32) * 0x9e3779b1u + (__u32)key * 0x85ebca6bu) >> 16;
}

/* The row of the packet's service. NULL = it has none. */
INLINE struct xdp_service *xdp_service_of(const struct xdp_pkt *p)
{
	struct xdp_service_key wanted = xdp_service_key(p);
	__u32 home = xdp_service_home(wanted.key);

#pragma unroll
	for (__u32 i = 0; i < XDP_SERVICE_PROBES; i++) {
		__u32 at = (home + i) & (XDP_SERVICE_HOMES - 1);
		struct xdp_service *row = bpf_map_lookup_elem(&fl_xdp_svc_1, &at);

		if (!row)
			return 0;
		if (*(volatile __u64 *)&row->key == wanted.key && row->check == wanted.check)
			return row;
	}
	return 0;
}

/* What a backend scores at a slot, mixed with `slot`; never the same for two tags. */
INLINE __u32 xdp_rank(__u32 backend, __u32 slot)
{
	__u32 score = ((backend & ((1 << XDP_BACKEND_TAG_BITS) - 1)) ^ slot) * 0x85ebca6bu;

	score ^= score >> 15;
	return score * 0xc2b2ae35u;
}

/* Which element has the highest score. Without branches: which one it is cannot be predicted. */
INLINE __u32 xdp_highest(const struct xdp_service *row, __u32 slot)
{
	__u64 best = 0;

#pragma unroll
	for (__u32 i = 0; i < XDP_SERVICE_BACKENDS; i++) {
		__u64 score = (__u64)xdp_rank(row->backend[i], slot) << 4 | i;
		__s64 less = (__s64)(best - score);

		best -= less & (less >> 63);
	}
	return best & 15;
}

INLINE __u16 xdp_backend_tag(__u32 backend)
{
	return backend & ((1 << XDP_BACKEND_TAG_BITS) - 1);
}

/* Node of an element of a row; NULL = not known, this one, not by XDP, or the tables have to say. */
INLINE struct xdp_node *xdp_backend_node(__u32 backend)
{
	__u32 index = backend >> (XDP_BACKEND_TAG_BITS + XDP_BACKEND_GEN_BITS);
	__u32 gen = backend >> XDP_BACKEND_TAG_BITS & ((1 << XDP_BACKEND_GEN_BITS) - 1);
	struct xdp_node *node = bpf_map_lookup_elem(&fl_xdp_nodes_1, &index);

	if (!node || !node->ifindex || (node->gen & ((1 << XDP_BACKEND_GEN_BITS) - 1)) != gen ||
	    (__s32)(node->deadline - jiffies32()) < 0)
		return 0;
	return node;
}
