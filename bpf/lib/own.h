/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The node's own addresses: the one that it is known by, of each family, and those of further interfaces that clients come and packets leave by.
 */
#pragma once
#include "common.h"

INLINE addr_t node_addr(__u8 family)
{
	return family == 4 ? addr_config(cfg_node_addr4) : addr_config(cfg_node_addr6);
}

/* A row in use; NULL = there is none, as always where cfg_uplink_rows is 0. */
INLINE struct uplink *uplink_at(__u32 index)
{
	return index && index <= cfg_uplink_rows ? bpf_map_lookup_elem(&fl_uplinks_1, &index) : 0;
}

/* An address of the node that masqueraded packets get: see ct_entry.source. */
INLINE addr_t own_addr(__u8 family, __u32 source)
{
	struct uplink *row = uplink_at(source);

	if (!row)
		return node_addr(family);
	return family == 4 ? *addr_of(row->addr4) : *addr_of(row->addr6);
}

/* The row of uplinks with this address of the family; 0 = none. */
NOINLINE __u32 uplink_with(const addr_t *addr, __u8 family)
{
	if (addr_is_zero(addr)) /* what a row without an address of the family has */
		return 0;
	for (__u32 i = 1; i < LIMIT_UPLINKS; i++) {
		struct uplink *row = uplink_at(i);

		if (!row)
			break;
		if (addr_equal(family == 4 ? addr_of(row->addr4) : addr_of(row->addr6), addr))
			return i;
	}
	return 0;
}

/* Is it an address that packets of masqueraded flows have as source? */
INLINE int is_own_addr(const addr_t *addr, __u8 family)
{
	addr_t node = node_addr(family);

	return addr_equal(addr, &node) || (cfg_uplink_rows && uplink_with(addr, family));
}
