/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Who an address belongs to, and the tables that say how to reach it.
 * Addresses are 16 bytes everywhere: IPv6 as it is, IPv4 as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2).
 */
#pragma once
#include <linux/types.h>

enum peer_kind {
	PEER_KIND_UNKNOWN = 0,     /* not known: cluster address without an owner */
	PEER_KIND_LOCAL_POD = 1,   /* index = row of endpoint_table */
	PEER_KIND_REMOTE_POD = 2,  /* index = row of node_table */
	PEER_KIND_HOST = 3,        /* an address of this node */
	PEER_KIND_REMOTE_NODE = 4, /* an address of another node; index = row of node_table */
	PEER_KIND_WORLD = 5,       /* outside the cluster, masqueraded if masquerading is on */
	PEER_KIND_NATIVE = 6,      /* outside, but never masqueraded (ip-masq exceptions) */
};

/* A reference that can go stale: `gen` must equal that of the row it names. */
struct peer_ref {
	__u16 index;
	__u8 gen;
	__u8 kind; /* enum peer_kind */
};
_Static_assert(sizeof(struct peer_ref) == 4, "peer_ref is read and written by one aligned store");

/* Key of ipcache: one exact address. */
struct ipcache_key {
	__u8 addr[16];
};

/* Key of ipcache_cidr (LPM_TRIE): prefix_len counts from the first of the 128 bits, so IPv4 /24 is 120. */
struct cidr_key {
	__u32 prefix_len;
	__u8 addr[16];
};
_Static_assert(sizeof(struct cidr_key) == 20, "cidr_key is a map key; its layout is pinned");

struct ipcache_entry {
	struct peer_ref peer;
	__u32 identity; /* node-local number of the label set; enum identity below */
};

enum identity {
	IDENTITY_UNKNOWN = 0,
	IDENTITY_HOST = 1,
	IDENTITY_WORLD = 2,
	IDENTITY_REMOTE_NODE = 6,
	IDENTITY_KUBE_APISERVER = 7,
	IDENTITY_UNKNOWN_POD = 15,
	IDENTITY_FIRST_DYNAMIC = 256,
};

enum endpoint_flags {
	ENDPOINT_FLAG_READY = 1,    /* attached and addressed; packets are dropped before */
	ENDPOINT_FLAG_ISOLATED = 2, /* nothing but the node may talk to it */
	ENDPOINT_FLAG_DNS = 4, /* its policies name domains: the agent sees its queries, and answers before it does */
};

/*
 * Row of endpoint_table. `addr4`/`addr6` are what the pod may use as source; all zero = family not used. `identity` is that of addr4,
 * `identity6` that of addr6: they differ when the addresses lie in different policy blocks.
 */
struct endpoint {
	__u32 ifindex;    /* host side of the veth pair; 0 = row is free */
	__u8 gen;         /* changes whenever the row is reused */
	__u8 flags;       /* enum endpoint_flags */
	__u8 mac[6];      /* of the pod's interface */
	__u8 host_mac[6]; /* of the host side */
	__u16 policy_gen; /* of its verdicts, never 0. A flow remembers the one before its verdict was found, see judge.h */
	__u32 identity;
	__u32 policy_set; /* 0 = no policy selects it */
	__u32 identity6;
	__u8 addr4[16];
	__u8 addr6[16];
};
_Static_assert(sizeof(struct endpoint) == 64, "one cache line per endpoint");

enum node_flags {
	NODE_FLAG_TUNNEL = 1, /* reach its pods through the overlay device */
	NODE_FLAG_DIRECT = 2, /* reach its pods through its own address on the shared link */
};

/* Row of node_table: how to reach another node and its pods. */
struct node {
	__u8 tunnel[16];   /* outer destination of encapsulated packets */
	__u8 nexthop6[16]; /* link next hop for IPv6; all zero = none */
	__be32 nexthop4;   /* link next hop for IPv4; 0 = none */
	__u32 ifindex;     /* uplink (direct) or overlay device (tunnel); 0 = row is free */
	__u16 mtu;         /* largest IP packet that reaches it without fragmentation, in bytes */
	__u8 gen;
	__u8 flags; /* enum node_flags */
	__u32 identity;
	__u64 pad;
};
_Static_assert(sizeof(struct node) == 56, "node rows have a pinned layout");

/*
 * Row of uplinks: an interface besides the uplink by which clients of services come and packets to the world leave. Index 0 is never used: in
 * ct_entry.source it is the node's address. A row keeps its index while a flow may name it.
 */
struct uplink {
	__u32 ifindex;  /* 0 = row is free, or its interface is gone */
	__u32 mtu;      /* largest IP packet, in bytes */
	__u8 addr4[16]; /* ::ffff:a.b.c.d, what masqueraded packets have as source; all zero = none */
	__u8 addr6[16];
};
_Static_assert(sizeof(struct uplink) == 40, "uplink rows have a pinned layout");
