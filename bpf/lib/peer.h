/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Who has an address, and the rows of pods and nodes that a reference names.
 */
#pragma once
#include "common.h"

/* Whatever pod has the row now. */
INLINE struct endpoint *endpoint_row(__u32 index)
{
	return bpf_map_lookup_elem(&fl_endpoints_1, &index);
}

/* The reference is read in place: of a copy the compiler puts the fields together only to take them apart again. */
INLINE struct endpoint *endpoint_of(const struct peer_ref *peer)
{
	struct endpoint *endpoint = endpoint_row(peer->index);

	return endpoint && endpoint->ifindex && endpoint->gen == peer->gen ? endpoint : 0;
}

INLINE struct node *node_of(struct peer_ref peer)
{
	__u32 index = peer.index;
	struct node *node = bpf_map_lookup_elem(&fl_nodes_1, &index);

	return node && node->ifindex && node->gen == peer.gen ? node : 0;
}

/* Who owns an address: exact match, then the longest prefix, then the world. */
NOINLINE int peer_resolve(const addr_t *addr, struct ipcache_entry *out)
{
	struct {
		__u32 pad; /* keeps addr 8-byte aligned behind the 4-byte prefix length */
		struct cidr_key cidr;
	} __attribute__((aligned(8))) key = {.cidr = {.prefix_len = 128}};
	struct ipcache_entry *found;

	*addr_of(key.cidr.addr) = *addr;
	found = bpf_map_lookup_elem(&fl_ipcache_1, key.cidr.addr);
	if (!found)
		found = bpf_map_lookup_elem(&fl_cidrs_1, &key.cidr);
	if (found) {
		*out = *found;
		return 0;
	}
	out->peer = (struct peer_ref){.kind = PEER_KIND_WORLD};
	out->identity = IDENTITY_WORLD;
	return 0;
}
