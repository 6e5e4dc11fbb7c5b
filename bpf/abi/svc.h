/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Services and their backends. A service names extents of `slots`; a slot holds an index into `backends`.
 */
#pragma once
#include <linux/types.h>
#include "limits.h"

enum svc_scope {
	SVC_SCOPE_CLUSTER = 0,  /* ClusterIP: from pods and the node itself */
	SVC_SCOPE_EXTERNAL = 1, /* NodePort, externalIP, load balancer VIP, hostPort */
};

enum svc_flags {
	SVC_FLAG_ADDRESS_ONLY = 1,   /* entry with port 0 and proto 0: the address is a VIP, the port is not defined */
	SVC_FLAG_LOCAL_INTERNAL = 2, /* internalTrafficPolicy: Local */
	SVC_FLAG_LOCAL_EXTERNAL = 4, /* externalTrafficPolicy: Local */
	SVC_FLAG_AFFINITY = 8,       /* sessionAffinity: ClientIP */
	SVC_FLAG_MAGLEV = 16,        /* slots are a Maglev table: index by hash of the flow */
	SVC_FLAG_HOST_PORT = 32,     /* a pod's hostPort */
	SVC_FLAG_ANY_ENDPOINTS = 64, /* endpoints exist somewhere: an empty list drops instead of rejecting */
};

struct svc_key {
	__u8 addr[16]; /* service address */
	__be16 port;   /* service port; 0 with proto 0 = the address itself */
	__u8 proto;    /* enum l4_proto */
	__u8 scope;    /* enum svc_scope; 0 with port 0 */
};
_Static_assert(sizeof(struct svc_key) == 20, "svc_key is a map key; its layout is pinned");

/*
 * bases and counts are in slots (not chunks); an extent starts at a multiple of LIMIT_SLOTS_PER_CHUNK.
 * Preallocated hash elements are reused at once after replacement: a reader checks that id and
 * generation are the same after it has read everything it needs, and tries once more otherwise.
 */
struct svc_entry {
	__u32 id;
	__u32 generation;
	__u32 flags; /* enum svc_flags */
	__u32 all_base;
	__u32 all_count;
	__u32 local_base;
	__u32 local_count;
	__u32 prev_base;
	__u32 prev_count;
	__u32 affinity_timeout_s;
};
_Static_assert(sizeof(struct svc_entry) == 40, "svc_entry has a pinned layout");

/* Element of slots (mmapable ARRAY). */
struct slot_chunk {
	__u32 backend[16]; /* indexes into backends; LIMIT_SLOTS_PER_CHUNK of them */
};

enum backend_flags {
	BACKEND_FLAG_LIVE = 1,        /* may receive new connections */
	BACKEND_FLAG_TERMINATING = 2, /* serves what it has */
};

/* Element of backends (mmapable ARRAY). The second 8 bytes of a live row change only by one aligned store. */
struct backend {
	__u8 addr[16];
	__be16 port;
	__u8 proto;       /* enum l4_proto */
	__u8 flags;       /* enum backend_flags */
	__u32 generation; /* changes whenever the row is reused */
};
_Static_assert(sizeof(struct backend) == 24, "backend rows have a pinned layout");

/* Key of sock_rev: which socket sent to which backend. */
struct sock_rev_key {
	__u64 cookie; /* bpf_get_socket_cookie */
	__u8 addr[16];
	__be16 port;
	__u16 pad;
	__u32 pad2;
};
_Static_assert(sizeof(struct sock_rev_key) == 32, "sock_rev_key is a map key; its layout is pinned");

/* Value of sock_rev: the service address the socket believes it talks to. */
struct sock_rev_entry {
	__u8 addr[16];
	__be16 port;
	__u16 pad;
	__u32 svc_id;
};
