/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Question and answer of the program that explains what would become of a new flow. Both are the payload of its packet.
 */
#pragma once
#include <linux/types.h>
#include "peer.h"

/* How far the flow came; where it was refused, `reason` says why. */
enum explain_stage {
	EXPLAIN_STAGE_NONE = 0, /* the program did not answer */
	EXPLAIN_STAGE_SENDER = 1,
	EXPLAIN_STAGE_SERVICE = 2,
	EXPLAIN_STAGE_DESTINATION = 3,
	EXPLAIN_STAGE_POLICY = 4,
	EXPLAIN_STAGE_DELIVERY = 5,
	EXPLAIN_STAGE_FORWARDED = 6,
	EXPLAIN_STAGE_NOT_OURS = 7, /* left to the node's stack */
};

enum explain_flag {
	EXPLAIN_FLAG_BACKEND = 1, /* asked: the destination is the backend of a service already */
	EXPLAIN_FLAG_SERVICE = 2, /* answered: a service has the destination's address and port */
};

struct explain_flow {
	/* Asked. */
	__u8 src[16];
	__u8 dst[16];
	__be16 sport; /* 0 = any; a Maglev service chooses at random then */
	__be16 dport;
	__u8 proto;  /* enum l4_proto */
	__u8 family; /* 4 or 6 */
	__u8 hook;   /* enum hook that would see the first packet */
	__u8 flags;  /* enum explain_flag */
	/* Answered. [0] is the initiator, [1] the responder. */
	__u8 stage;          /* enum explain_stage */
	__u8 reason;         /* enum drop_reason */
	__u8 denied;         /* enum judged_side */
	__u8 audited;        /* enum judged_side */
	__be16 backend_port; /* of the backend that was chosen */
	__u16 pad;
	__u8 backend_addr[16];
	__u32 svc_id;
	__u32 svc_flags; /* enum svc_flags */
	__u32 backend;   /* its row */
	struct peer_ref peer[2];
	__u32 identity[2];
	__u32 policy_set[2];
	__u16 rule[2];          /* cookies */
	__u8 endpoint_flags[2]; /* enum endpoint_flags of ends that are pods of this node */
	__u16 pad2;
	__u32 pad3;
};
_Static_assert(sizeof(struct explain_flow) == 112, "explain_flow is read and written as a whole");
