/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Services and their backends. A service names extents of `slots`; a slot holds an index into `backends`.
 */
#pragma once
#include <linux/types.h>
#include "limits.h"
#include "peer.h"

enum svc_scope {
	SVC_SCOPE_CLUSTER = 0,  /* ClusterIP: from pods and the node itself */
	SVC_SCOPE_EXTERNAL = 1, /* NodePort, externalIP, load balancer VIP, hostPort */
};

enum svc_flags {
	SVC_FLAG_ADDRESS_ONLY = 1,   /* entry with port 0 and proto 0: the address is a VIP, the port is not defined */
	SVC_FLAG_LOCAL_INTERNAL = 2, /* internalTrafficPolicy: Local */
	SVC_FLAG_LOCAL_EXTERNAL = 4, /* externalTrafficPolicy: Local */
	SVC_FLAG_AFFINITY = 8,       /* sessionAffinity: ClientIP */
	SVC_FLAG_MAGLEV = 16,        /* the `all` slots are a Maglev table: index by hash of the flow */
	SVC_FLAG_HOST_PORT = 32,     /* a pod's hostPort */
	SVC_FLAG_ANY_ENDPOINTS = 64, /* endpoints exist somewhere: an empty list drops instead of rejecting */
	SVC_FLAG_LEAST_CONN = 128,   /* of two random slots take the backend with fewer open connections of this node */
	SVC_FLAG_TRACKED = 256,      /* no direct server return: a NodePort that other nodes may not have */
	SVC_FLAG_REMEMBERED = 512,   /* its tables change: what is remembered of flows counts where they agree too */
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
	__u32 id; /* of the service port and address family: all its frontends have the same */
	__u32 generation;
	__u32 flags; /* enum svc_flags */
	__u32 all_base;
	__u32 all_count;
	__u32 local_base; /* backends of this node: for a Local policy, and for what other nodes send by direct server return */
	__u32 local_count;
	__u32 prev_base;  /* Maglev table before the change that is under way */
	__u32 prev_count; /* 0 = none is under way */
	__u32 affinity_timeout_s;
	__u32 source_set; /* set of `sources` that clients must be in; 0 = anybody may */
	__u32 transition; /* number of the change under way; it and those that follow before a rest have the same */
};
_Static_assert(sizeof(struct svc_entry) == 48, "svc_entry has a pinned layout");

/* Element of slots (mmapable ARRAY). */
struct slot_chunk {
	__u32 backend[16]; /* indexes into backends; LIMIT_SLOTS_PER_CHUNK of them */
};

/*
 * What ONE service port thinks of an endpoint; another service may think otherwise of the same address and port and
 * has a row of its own.
 */
enum backend_flags {
	BACKEND_FLAG_LIVE = 1,        /* in the `all` list: may receive new connections */
	BACKEND_FLAG_TERMINATING = 2, /* its pod is being deleted */
	BACKEND_FLAG_LOCAL = 4,       /* in the `local` list: may receive new connections under a Local policy */
	BACKEND_FLAG_SERVING = 8,     /* ready or draining: flows it has stay good */
};

/* Element of backends (mmapable ARRAY). Each 8-byte word of a live row changes only by one aligned store. */
struct backend {
	__u8 addr[16];
	__be16 port;
	__u8 proto;           /* enum l4_proto */
	__u8 flags;           /* enum backend_flags */
	__u32 generation;     /* changes whenever the row is reused */
	struct peer_ref peer; /* who has the address; a hint: stale or UNKNOWN means look it up */
	__u32 svc_id;         /* the service port whose row it is */
};
_Static_assert(sizeof(struct backend) == 32, "backend rows have a pinned layout, two to a cache line");

/* Key of affinity: a client of one service port. */
struct affinity_key {
	__u8 client[16];
	__u32 svc_id;
	__u32 pad;
};
_Static_assert(sizeof(struct affinity_key) == 24, "affinity_key is a map key; its layout is pinned");

/* Value of affinity: void when the backend's row is not the one that was chosen, or after the service's timeout. */
struct affinity_entry {
	__u32 backend;    /* index into backends */
	__u32 generation; /* of that row */
	__u32 last_used;  /* jiffies, low 32 bits */
	__u32 pad;
};

/*
 * Key of sources (LPM_TRIE): prefix_len counts the 32 bits of `set` and then those of the address, so that IPv4 /8 is
 * 32 + 96 + 8. The value says nothing: a match means that the client is in the set.
 */
struct source_key {
	__u32 prefix_len;
	__u32 set;
	__u8 addr[16];
};
_Static_assert(sizeof(struct source_key) == 24, "source_key is a map key; its layout is pinned");

/*
 * Key of sock_rev: which socket sent to which backend. With the highest bit of the cookie: which unconnected socket sends to which service; the
 * value is the backend it keeps, with the row and its generation in svc_id as in ct_entry.backend.
 */
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
