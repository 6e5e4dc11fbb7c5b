/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Connection tracking and masquerade state.
 * The key is the 5-tuple in canonical order (the smaller address first, compared as little-endian words; at equality the
 * smaller port as stored), so that both directions of a flow find the same entry. For ICMP echo both ports are the identifier.
 * IPv4 flows have a table of their own with a short key and value: a hash element is two cache lines, the kernel's header with the key
 * and the value.
 */
#pragma once
#include <linux/types.h>
#include "peer.h"

enum ct_direction {
	CT_DIR_FORWARD = 0, /* from the initiator */
	CT_DIR_REPLY = 1,
};

enum ct_flags {
	CT_FLAG_INITIATOR_IS_HI = 1, /* the initiator is the `hi` side of the key */
	CT_FLAG_SVC_FORWARD = 2,     /* key is {client, VIP}; forward packets get xlate as destination */
	CT_FLAG_SVC_REPLY = 4,       /* key is {client, backend} as the backend sees it; replies get xlate as source */
	/*
	 * Forward packets get an address of the node, see `source`, and snat_port as source. Such a flow has two entries even without a service: the other one, with
	 * CT_FLAG_SVC_REPLY, has the key that replies have, {node and port, responder}, so that it also says that the port is taken.
	 */
	CT_FLAG_MASQUERADE = 8,
	/* A reply has been seen; of TCP one to which the initiator has come back, or more than a SYN-ACK. */
	CT_FLAG_ESTABLISHED = 16,
	CT_FLAG_CLOSING = 32, /* RST, or FIN from both sides */
	CT_FLAG_FIN_FORWARD = 64,
	CT_FLAG_FIN_REPLY = 128,
	/* Replies go back to the node's stack: through the host device, or with CT_FLAG_EXTERNAL through the loopback device. */
	CT_FLAG_VIA_HOST = 256,
	/* Entered by an external address (NodePort, hostPort, ...), from another machine or past the socket programs. */
	CT_FLAG_EXTERNAL = 512,
	/* The node talks to itself through a service: the backend sees the service's address as source, which is routed into the host device. */
	CT_FLAG_HOST_LOOP = 4096,
	CT_FLAG_COUNTED = 2048,   /* on CT_FLAG_SVC_REPLY: one of its backend's open connections in `conns` */
	CT_FLAG_FORWARDED = 8192, /* the initiator has the node's address, but the node only forwarded its packet */
	CT_FLAG_DSR = 1024,       /* the initiator's packets come in envelopes from other nodes */
	/*
	 * The client of a service flow also talks to the backend itself, from the same port. On CT_FLAG_SVC_REPLY: forward packets with this key are
	 * of that other flow and get snat_port as source port. Without: the entry of the other flow, under that port.
	 */
	CT_FLAG_SHARED = 16384,
	/*
	 * The flow was made while the table was full, so that new flows may have evicted the entry that says that its port is taken. Only on the entry for
	 * forward packets with CT_FLAG_MASQUERADE: each of them asks whether the port is still its own.
	 */
	CT_FLAG_PORT_MAY_GO = 32768,
};

/* Key of fl_ct4_1. */
struct ct4_key {
	__be32 lo;
	__be32 hi;
	__be16 lo_port;
	__be16 hi_port;
	__u8 proto; /* enum l4_proto, or any IP protocol with both ports 0 */
	__u8 pad[3];
};
_Static_assert(sizeof(struct ct4_key) == 16,
	       "with 48 bytes of the kernel's element header the value starts on a cache line");

/* Key of fl_ct6_1. */
struct ct_key {
	__u8 lo[16];
	__u8 hi[16];
	__be16 lo_port;
	__be16 hi_port;
	__u8 proto; /* enum l4_proto, or any IP protocol with both ports 0 */
	__u8 pad;
	__u16 pad2;
};
_Static_assert(sizeof(struct ct_key) == 40, "ct_key is a map key; its layout is pinned");

/*
 * All that is known of a flow but the other address. Both structs below begin with these fields, so that programs work on either.
 * Times are the low 32 bits of jiffies.
 *
 * xlate_port, snat_port: network order. snat_port is a port of the initiator that is rewritten as well; 0 = none.
 *   CT_FLAG_MASQUERADE without CT_FLAG_SVC_REPLY: source port at the node's address that forward packets get.
 *   Else on CT_FLAG_SVC_FORWARD: source port the backend sees, because {client, backend} was taken.
 *   Else with CT_FLAG_SHARED: see there; on the other flow's entry the client's own port.
 *   Else on CT_FLAG_SVC_REPLY: the client's own port, which replies get back.
 * flags: enum ct_flags.
 * source: with CT_FLAG_MASQUERADE the row of uplinks whose address forward packets get as source; 0 = the node's address.
 * peer: [0] the initiator, [1] the responder after translation.
 * backend: row of backends that was chosen (lower 24 bits) and the low 8 bits of its generation; 0 = none.
 * packets, bytes: by enum ct_direction; packets wrap; IP bytes. The entry for replies of a masqueraded flow counts no forward packets: over IPv4
 *   its bytes[0] is the initiator's address, which replies get as destination (over IPv6 `client`).
 * policy_gen, rule: of the verdicts [0] at the initiator (egress) and [1] at the responder (ingress); rule 0 = no policy.
 */
#define CT_COMMON_FIELDS                                                                                               \
	__be16 xlate_port;                                                                                             \
	__be16 snat_port;                                                                                              \
	__u16 flags;                                                                                                   \
	__u16 source;                                                                                                  \
	struct peer_ref peer[2];                                                                                       \
	__u32 last_seen;                                                                                               \
	__u32 backend;                                                                                                 \
	__u32 packets[2];                                                                                              \
	__u64 bytes[2];                                                                                                \
	__u32 created;                                                                                                 \
	__u16 policy_gen[2];                                                                                           \
	__u16 rule[2];

/* Value of fl_ct4_1. */
struct ct4_entry {
	CT_COMMON_FIELDS
	__be32 xlate_addr; /* the address that forward packets get as destination, or replies as source; see enum ct_flags */
};
_Static_assert(sizeof(struct ct4_entry) == 64, "an element of fl_ct4_1 is two whole cache lines");

/* Value of fl_ct6_1, and what programs build for either family before it is inserted. */
struct ct_entry {
	CT_COMMON_FIELDS
	__u32 pad2; /* ct4_entry.xlate_addr */
	__u8 xlate_addr[16];
	__u8 client[16]; /* the initiator of a masqueraded flow */
	__u64 pad3;      /* up to whole cache lines */
};
_Static_assert(sizeof(struct ct_entry) == 104, "an element of fl_ct6_1 is three whole cache lines");
_Static_assert(__builtin_offsetof(struct ct_entry, pad2) == __builtin_offsetof(struct ct4_entry, xlate_addr),
	       "the short entry is the beginning of the long one");

enum ct_backend_word {
	CT_BACKEND_INDEX_BITS = 24,
	CT_BACKEND_INDEX_MASK = 0xffffff,
};

struct frag_key {
	__u8 src[16];
	__u8 dst[16];
	__u32 id; /* as in the packet */
	__u8 proto;
	__u8 leaving; /* 1 = as it leaves the node's stack: another program may see the same fragment come in */
	__u16 pad2;
};
_Static_assert(sizeof(struct frag_key) == 40, "frag_key is a map key; its layout is pinned");

/* Ports of a fragmented datagram and which of its bytes have been seen; ranges in units of 8 bytes, half open. */
struct frag_entry {
	__be16 sport;
	__be16 dport;
	__u16 count; /* of ranges used */
	__u16 seen;  /* units received; no range overlaps another, so seen == total means complete */
	__u16 total; /* units of the whole datagram; 0 = the last fragment has not come */
	__u16 pad;
	__u32 created;  /* low 32 bits of jiffies */
	__u16 start[6]; /* LIMIT_FRAG_RANGES */
	__u16 end[6];
};
