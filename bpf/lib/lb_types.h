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
