/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The hash that chooses a slot of a Maglev table. XDP, tc and all nodes must agree on it: it has no seed, and its result is part of
 * what nodes of different versions have in common. test/lib/flow-hash.ts computes the same.
 */
#pragma once
#include "common.h"

/* Ports as they follow each other in the packet, the source port first. */
INLINE __u32 flow_hash(const addr_t *src, const addr_t *dst, __be16 sport, __be16 dport, __u8 proto)
{
	__u64 h = src->w[0] * 0x9e3779b97f4a7c15ull + src->w[1] * 0xc2b2ae3d27d4eb4full +
		  dst->w[0] * 0x165667b19e3779f9ull + dst->w[1] * 0xd6e8feb86659fd93ull +
		  ((__u64)sport << 32 | (__u64)dport << 16 | proto) * 0xff51afd7ed558ccdull;

	h ^= h >> 32;
	h *= 0xc4ceb9fe1a85ec53ull;
	return (__u32)(h >> 32);
}

/* A slot below `count`, by multiplication: a division would cost more than the hash. */
INLINE __u32 flow_slot(__u32 hash, __u32 count)
{
	return (__u32)(((__u64)hash * count) >> 32);
}
