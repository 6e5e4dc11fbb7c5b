/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Answers of name servers that the agent is to see before the pod does: it learns the addresses of names that policies wait for.
 */
#pragma once
#include <linux/types.h>

enum dns_limits {
	DNS_STALE_SECONDS = 2, /* without a sign of life from the agent for so long, answers are delivered unseen */
};

/* skb->mark of what the agent sends to a pod: it has been judged before, to_pod delivers it as it is. */
enum dns_mark {
	DNS_MARK_SEEN = 0x0fa10003,
};

/* Key of resolvers: where queries go, at the service's address or at a backend's. */
struct resolver_key {
	__u8 addr[16];
	__be16 port;
	__u8 proto; /* enum l4_proto */
	__u8 pad;
};
_Static_assert(sizeof(struct resolver_key) == 20, "resolver_key is a map key; its layout is pinned");

/* The single row of `dns`. */
struct dns_state {
	__u32 ifindex; /* near end of the device pair at whose far end the agent listens; 0 = nobody does */
	__u32 alive;   /* low 32 bits of jiffies when the agent last wrote this */
};
_Static_assert(sizeof(struct dns_state) == 8, "dns_state has a pinned layout");
