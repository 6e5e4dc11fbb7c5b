/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Network policy as the programs see it: {policy set, direction, identity} → row → disjoint sorted port ranges → verdict.
 * Precedence (tiers, priorities, Deny, Pass, isolation) is resolved in user space; a program asks once and obeys.
 *
 * Order of reading, which the order of writing relies on: the endpoint's generation, the set's row, then the hash. A row that
 * is not there means the default of the set that was read before.
 */
#pragma once
#include <linux/types.h>

enum policy_direction {
	POLICY_DIRECTION_INGRESS = 0, /* the set is the destination's, the identity the source's */
	POLICY_DIRECTION_EGRESS = 1,  /* the set is the source's, the identity the destination's */
};

enum policy_limit {
	POLICY_LIMIT_SETS = 8192,     /* rows of policy_set; set 0 = no policy selects the endpoint, all is allowed */
	POLICY_LIMIT_RANGES = 8192,   /* ranges of one row; a longer one closes the sets that want it */
	POLICY_LIMIT_COOKIES = 65536, /* struct ct_entry keeps 16 bits */
	POLICY_LIMIT_STEPS = 3,       /* halvings that find one range of a line */
	POLICY_LIMIT_LEVELS = 4,      /* levels above POLICY_LIMIT_RANGES ranges */
	POLICY_LIMIT_LINE = 8,        /* ranges in a cache line */
};

/*
 * How an identity is packed into policy_key.peer: identity << 2 | POLICY_PEER_SELF | direction.
 * Identities below POLICY_PEER_FIRST_ADDRESS and not below IDENTITY_FIRST_DYNAMIC are label sets of pods.
 */
enum policy_peer {
	POLICY_PEER_EGRESS = 1,
	POLICY_PEER_SELF = 2, /* the pod reaches itself through a service; without a row: allowed */
	POLICY_PEER_FIRST_ADDRESS =
		1 << 24, /* identities from here on are addresses of nodes or outside, or of unknown pods */
};

enum policy_set_flag {
	POLICY_SET_FLAG_OPEN_INGRESS = 1, /* nothing restricts this direction: do not look further */
	POLICY_SET_FLAG_OPEN_EGRESS = 2,
	POLICY_SET_FLAG_CLOSED = 4, /* could not be programmed: everything but the own node is denied */
};

enum policy_range_first {
	POLICY_RANGE_NEVER = 0x7fffffff, /* no packet's protocol and port */
};

/* Low bits of policy_range.verdict; the rule cookie is above them. */
enum policy_verdict_flag {
	POLICY_VERDICT_FLAG_ALLOW = 1,
	POLICY_VERDICT_FLAG_AUDIT = 2, /* report as a would-be drop */
	POLICY_VERDICT_FLAG_SHIFT = 2, /* bits that the flags take */
};

/* Cookies that name no rule. */
enum policy_cookie {
	POLICY_COOKIE_NO_POLICY = 0,   /* nothing restricts this direction */
	POLICY_COOKIE_NOT_ALLOWED = 1, /* isolated by a NetworkPolicy and no rule allows it */
	POLICY_COOKIE_HOST = 2,        /* the own node may always reach its pods */
	POLICY_COOKIE_SELF = 3,        /* a pod may reach itself */
	POLICY_COOKIE_CLOSED = 4,      /* the set is closed, has no row, or the row was in motion twice */
	POLICY_COOKIE_FIRST_RULE = 16,
};

struct policy_key {
	__u32 set;
	__u32 peer; /* enum policy_peer */
};
_Static_assert(sizeof(struct policy_key) == 8, "policy_key is a map key; its layout is pinned");

/* How policy_extent.count is packed: levels << POLICY_EXTENT_LEVELS_SHIFT | ranges. */
enum policy_extent_bits {
	POLICY_EXTENT_LEVELS_SHIFT = 24,
	POLICY_EXTENT_RANGES_MASK = 0xffffff,
};

/*
 * Ranges [base, base + count) of policy_range; 0 = everything is denied. Up to POLICY_LIMIT_LINE lie in one line and have no level. More
 * fill whole lines, and their levels lie behind them, the lowest first: element n of a level starts where line n of the level below
 * it does, and has no verdict. What fills a line up starts at POLICY_RANGE_NEVER. The highest level is one line.
 * Replaced by one aligned 8-byte store.
 */
struct policy_extent {
	__u32 base;
	__u32 count; /* enum policy_extent_bits */
};
_Static_assert(sizeof(struct policy_extent) == 8, "policy_extent is read and written as one word");

/*
 * Elements of a hash are reused at once after a replacement. `key` is stored before `ranges`: a reader takes the ranges, then
 * compares the key, and looks again if it is another's.
 */
struct policy_row {
	struct policy_key key;
	struct policy_extent ranges;
};
_Static_assert(sizeof(struct policy_row) == 16, "policy_row has a pinned layout");

/* Element of policy_set (mmapable ARRAY). All zero = everything is denied. Each word changes by one aligned store. */
struct policy_set {
	struct policy_extent pods[2];   /* by enum policy_direction: pod identities without a row */
	struct policy_extent others[2]; /* all other identities without a row */
	__u32 flags;                    /* enum policy_set_flag */
	__u32 pad;
};
_Static_assert(sizeof(struct policy_set) == 40, "policy_set has a pinned layout");

/*
 * Element of policy_range (mmapable ARRAY): the verdict from `first` up to the next element's `first`. The first element of an
 * extent starts at 0, so that every protocol and port has a verdict.
 */
struct policy_range {
	__u32 first;   /* IP protocol << 16 | destination port in host byte order; port 0 for protocols without ports */
	__u32 verdict; /* rule cookie << POLICY_VERDICT_FLAG_SHIFT | enum policy_verdict_flag */
};
_Static_assert(sizeof(struct policy_range) == 8, "eight ranges per cache line");

/* Element of policy_denied (mmapable ARRAY by rule cookie): what the rule has dropped, or would have dropped in audit mode. */
struct policy_denied {
	__u64 packets;
	__u64 bytes; /* IP bytes */
};
_Static_assert(sizeof(struct policy_denied) == 16, "policy_denied is read through shared memory");
