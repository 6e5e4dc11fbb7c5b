/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Question and answer of service look-ups; see lb.h.
 */
#pragma once
#include "common.h"

/* What is asked for. All of it is in the packet, or the socket program fills in what it knows. */
struct lb_query {
	addr_t src; /* all zero: not known, as in socket programs of pods */
	addr_t dst;
	__be16 sport; /* 0: not known yet, a Maglev table is used at random then */
	__be16 dport;
	__u8 proto;
	__u8 client; /* enum lb_client */
	__u16 pad;
	__u32 seed; /* the same seed gives the same backend while the set is the same; 0 = at random */
	__u32 pad2;
};

/* Key of `services`; it must be 8-byte aligned. Written in whole words, see ct_key_tail. */
INLINE void svc_key_fill(struct svc_key *key, const addr_t *addr, __be16 port, __u8 proto, enum svc_scope scope)
{
	*addr_of(key->addr) = *addr;
	*(__u32 *)&key->port = (__u32)scope << 24 | (__u32)proto << 16 | port;
}

struct lb_choice {
	addr_t addr;
	__be16 port;
	__u16 flags;      /* enum svc_flags of the service */
	__u32 backend;    /* index into backends */
	__u32 generation; /* of that row */
	__u32 svc_id;
	struct peer_ref peer; /* who has the address, if that is known; see struct backend */
	__u32 pad;
};
