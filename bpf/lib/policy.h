/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Verdict of the policy rows: one array element, at most one hash look-up, and a search in sorted ranges that takes five cache
 * lines at most, whatever the number of rules. Needs no helper but map look-ups; loops are bounded for verifiers from 5.10 on.
 */
#pragma once
#include "common.h"

/* policy_key.peer of an identity. `self`: the pod reaches itself through a service. */
INLINE __u32 policy_peer(__u32 identity, enum policy_direction direction, int self)
{
	return identity << 2 | (self ? POLICY_PEER_SELF : 0) |
	       (direction == POLICY_DIRECTION_EGRESS ? POLICY_PEER_EGRESS : 0);
}

INLINE __u32 policy_fixed(int allow, enum policy_cookie cookie)
{
	return (__u32)cookie << POLICY_VERDICT_FLAG_SHIFT | (allow ? POLICY_VERDICT_FLAG_ALLOW : 0);
}

INLINE int policy_allows(__u32 verdict)
{
	return verdict & POLICY_VERDICT_FLAG_ALLOW;
}

INLINE __u32 policy_cookie_of(__u32 verdict)
{
	return verdict >> POLICY_VERDICT_FLAG_SHIFT;
}

/*
 * Do rules say what the pod may do when it reaches itself through a service? There are rows for that then; see policy_verdict(). Only cluster policies
 * have such rules.
 */
INLINE int policy_judges_self(__u32 set, __u32 identity)
{
	struct policy_key out = {.set = set, .peer = policy_peer(identity, POLICY_DIRECTION_EGRESS, 1)};
	struct policy_key in = {.set = set, .peer = policy_peer(identity, POLICY_DIRECTION_INGRESS, 1)};

	return bpf_map_lookup_elem(&fl_policy_1, &out) || bpf_map_lookup_elem(&fl_policy_1, &in);
}

/* An extent as the one word that it is stored as: base in the low half. */
INLINE __u64 policy_extent_word(const struct policy_extent *extent)
{
	return *(const volatile __u64 *)extent;
}

INLINE int policy_is_pod(__u32 identity)
{
	return identity >= IDENTITY_FIRST_DYNAMIC && identity < POLICY_PEER_FIRST_ADDRESS;
}

/* The last of `count` ≤ 8 elements from `low` on that starts at or before `wanted`; the first one does. */
INLINE __u32 policy_find(__u32 low, __u32 count, __u32 wanted)
{
#pragma unroll
	for (int i = 0; i < POLICY_LIMIT_STEPS; i++) {
		__u32 half = count >> 1, middle = low + half;
		struct policy_range *range = count > 1 ? bpf_map_lookup_elem(&fl_ranges_1, &middle) : 0;

		if (range && range->first <= wanted) {
			low = middle;
			count -= half;
		} else {
			count = half;
		}
	}
	return low;
}

/* Elements of the whole lines that hold so many. */
INLINE __u32 policy_filled(__u32 count)
{
	return (count + POLICY_LIMIT_LINE - 1) & ~(POLICY_LIMIT_LINE - 1u);
}

/*
 * First of the eight ranges among which that of `wanted` is. Takes one cache line of each level: as many steps as halving takes,
 * but three at a time are neighbours.
 */
INLINE __u32 policy_descend(__u32 base, __u32 count, __u32 levels, __u32 wanted)
{
	__u32 ranges = policy_filled(count), first = policy_filled(ranges / POLICY_LIMIT_LINE);
	__u32 second = policy_filled(first / POLICY_LIMIT_LINE), third = policy_filled(second / POLICY_LIMIT_LINE);
	__u32 at1 = base + ranges, at2 = at1 + first, at3 = at2 + second, at4 = at3 + third, line = 0;

	_Static_assert(POLICY_LIMIT_LEVELS == 4, "every level is asked below");
	if (levels > 3)
		line = policy_find(at4, POLICY_LIMIT_LINE, wanted) - at4;
	if (levels > 2)
		line = policy_find(at3 + line * POLICY_LIMIT_LINE, POLICY_LIMIT_LINE, wanted) - at3;
	if (levels > 1)
		line = policy_find(at2 + line * POLICY_LIMIT_LINE, POLICY_LIMIT_LINE, wanted) - at2;
	line = policy_find(at1 + line * POLICY_LIMIT_LINE, POLICY_LIMIT_LINE, wanted) - at1;
	return base + line * POLICY_LIMIT_LINE;
}

/* The verdict of the last range that starts at or before `wanted`. */
INLINE __u32 policy_search(__u64 extent, __u32 wanted)
{
	__u32 low = (__u32)extent, word = extent >> 32;
	__u32 count = word & POLICY_EXTENT_RANGES_MASK, levels = word >> POLICY_EXTENT_LEVELS_SHIFT;
	struct policy_range *range;

	if (count == 0 || count > (levels ? POLICY_LIMIT_RANGES : POLICY_LIMIT_LINE))
		return policy_fixed(0, POLICY_COOKIE_CLOSED);
	if (levels) {
		low = policy_descend(low, count, levels, wanted);
		count = POLICY_LIMIT_LINE;
	}
	low = policy_find(low, count, wanted);
	range = bpf_map_lookup_elem(&fl_ranges_1, &low);
	return range ? range->verdict : policy_fixed(0, POLICY_COOKIE_CLOSED);
}

/*
 * Ranges of an identity's own row: 0 = it has none, 1 = found, -1 = the element was in motion every time. The key inside the
 * row is compared after the ranges have been taken: elements are reused at once.
 */
INLINE int policy_row_of(const struct policy_key *key, __u64 *extent)
{
	for (int attempt = 0; attempt < 2; attempt++) {
		struct policy_row *row = bpf_map_lookup_elem(&fl_policy_1, key);

		if (!row)
			return 0;
		*extent = policy_extent_word(&row->ranges);
		if (*(const volatile __u32 *)&row->key.set == key->set &&
		    *(const volatile __u32 *)&row->key.peer == key->peer)
			return 1;
	}
	return -1;
}

/*
 * What policy says of a new flow in one direction: a word of enum policy_verdict_flag and the rule's cookie.
 * set         of the endpoint that is judged; 0 = no policy selects it
 * peer        policy_peer() of the other end's identity, which is that of its address; IDENTITY_HOST only for packets that this
 *             node's own programs sent
 * port_proto  IP protocol << 16 | destination port in host byte order
 * Read the endpoint's policy_gen before calling this, and remember it with the verdict.
 */
GLOBAL __u32 policy_verdict(__u32 set, __u32 peer, __u32 port_proto)
{
	__u32 egress = peer & POLICY_PEER_EGRESS, self = peer & POLICY_PEER_SELF, identity = peer >> 2, flags;
	struct policy_key key = {.set = set, .peer = peer};
	struct policy_set *row;
	__u64 extent;
	int found;

	if (set == 0)
		return policy_fixed(1, POLICY_COOKIE_NO_POLICY);
	if (!egress && identity == IDENTITY_HOST)
		return policy_fixed(1, POLICY_COOKIE_HOST);
	row = bpf_map_lookup_elem(&fl_policyset_1, &set);
	if (!row)
		return policy_fixed(0, POLICY_COOKIE_CLOSED);
	flags = *(volatile __u32 *)&row->flags;
	if (flags & POLICY_SET_FLAG_CLOSED)
		return policy_fixed(0, POLICY_COOKIE_CLOSED);
	if (flags & (egress ? POLICY_SET_FLAG_OPEN_EGRESS : POLICY_SET_FLAG_OPEN_INGRESS))
		return policy_fixed(1, POLICY_COOKIE_NO_POLICY);
	/* The default is taken before the hash is asked; the agent relies on that order. */
	if (policy_is_pod(identity))
		extent = policy_extent_word(egress ? &row->pods[1] : &row->pods[0]);
	else
		extent = policy_extent_word(egress ? &row->others[1] : &row->others[0]);
	asm volatile("" ::: "memory");
	found = policy_row_of(&key, &extent);
	if (found < 0)
		return policy_fixed(0, POLICY_COOKIE_CLOSED);
	if (found == 0 && self)
		return policy_fixed(1, POLICY_COOKIE_SELF);
	return policy_search(extent, port_proto);
}
