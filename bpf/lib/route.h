/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the node's routing table says, and which interface that means.
 */
#pragma once
#include "ct.h"

INLINE void route_fill(struct bpf_fib_lookup *fib, __u8 family, const addr_t *src, const addr_t *dst)
{
	if (family == 4) {
		fib->family = 2; /* AF_INET */
		fib->ipv4_src = addr_ipv4(src);
		fib->ipv4_dst = addr_ipv4(dst);
	} else {
		fib->family = 10; /* AF_INET6 */
		__builtin_memcpy(fib->ipv6_src, src, 16);
		__builtin_memcpy(fib->ipv6_dst, dst, 16);
	}
}

/* bpf_fib_lookup of a packet that the node forwards. The result is the helper's. */
INLINE long route_ask(struct __sk_buff *skb, __u8 family, const addr_t *src, const addr_t *dst,
		      struct bpf_fib_lookup *fib)
{
	__builtin_memset(fib, 0, sizeof(*fib));
	fib->ifindex = cfg_uplink_ifindex;
	route_fill(fib, family, src, dst);
	return bpf_fib_lookup(skb, fib, sizeof(*fib), 0);
}

/* The row of uplinks of an interface; 0 = none. */
NOINLINE __u32 route_row(__u32 ifindex)
{
	for (__u32 i = 1; i < LIMIT_UPLINKS; i++) {
		struct uplink *row = uplink_at(i);

		if (!row)
			break;
		if (row->ifindex == ifindex)
			return i;
	}
	return 0;
}

/*
 * Largest IP packet that the interface takes which route_ask has found; 0 = it has found none. The helper says it since 5.12; before, interfaces that
 * are no uplinks are left to the stack when a packet is too large for them.
 */
INLINE __u32 route_mtu(const struct bpf_fib_lookup *fib, long result)
{
	struct uplink *row;

	if (result != BPF_FIB_LKUP_RET_SUCCESS && result != BPF_FIB_LKUP_RET_NO_NEIGH &&
	    result != BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return 0;
	if (fib->mtu_result)
		return fib->mtu_result;
	if (fib->ifindex == cfg_uplink_ifindex)
		return cfg_uplink_mtu;
	row = uplink_at(route_row(fib->ifindex));
	return row ? row->mtu : result == BPF_FIB_LKUP_RET_FRAG_NEEDED ? 0 : cfg_uplink_mtu;
}

/*
 * Whose address the packet in the scratch gets when it is masqueraded, as ct_entry.source: that of the interface it leaves by. scratch->inner has the
 * destination.
 */
GLOBAL int route_source(struct __sk_buff *skb)
{
	struct bpf_fib_lookup fib __attribute__((aligned(8)));
	struct scratch *scratch = scratch_get();
	struct uplink *row;
	__u32 source;
	long result;

	if (!scratch)
		return 0;
	__u8 family = scratch->pkt.family;

	result = route_ask(skb, family, &scratch->pkt.src, &scratch->inner.dst, &fib);
	if (!route_mtu(&fib, result))
		return 0;
	source = route_row(fib.ifindex);
	row = uplink_at(source);
	return row && !addr_is_zero(family == 4 ? addr_of(row->addr4) : addr_of(row->addr6)) ? source : 0;
}
