/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * North-south load balancing: how packets from outside get to backends on other nodes.
 */
#pragma once
#include <linux/types.h>

/* cfg_north_south */
enum north_south {
	NORTH_SOUTH_SNAT = 0,        /* the node's address as source; replies come back here */
	NORTH_SOUTH_IPIP = 1,        /* direct server return: IP in IP to the backend's node */
	NORTH_SOUTH_VXLAN = 2,       /* direct server return through the overlay's VXLAN */
	NORTH_SOUTH_SERVER_IPIP = 3, /* by servers that are no nodes: IP in IP, which they open themselves */
	NORTH_SOUTH_SERVER_LINK = 4, /* by servers on the link, which get packets as they are */
};

/* Bits of the map ports: which ports of the node's own addresses are services' (NodePort, hostPort). */
enum port_bits {
	PORT_BITS_TCP = 0, /* the bit of TCP port 0 */
	PORT_BITS_UDP = 65536,
	PORT_BITS_TOTAL = 131072,
};

/*
 * Element of xdp_nodes, by the index of the nodes row: all that a frame to that node begins with. Mmapable. The agent writes the
 * fields of a new row first and `ifindex` last; `dst_mac` with `mtu` is one aligned 8-byte word, as is `deadline` with `ifindex`.
 */
struct xdp_node {
	__u8 tunnel[16]; /* outer destination; IPv4 is mapped */
	__u8 source[16]; /* outer source: this node's address of the same family */
	__u8 dst_mac[6]; /* of the next hop */
	__u16 mtu;       /* of the link, in bytes of IP */
	__u8 src_mac[6]; /* of the device */
	__u8 gen;        /* that of the nodes row */
	__u8 direct;     /* 1 = its pods are reached by their own addresses, without a tunnel */
	__u32 ifindex;   /* device to send by; 0 = not known, leave the packet to tc */
	__u32 deadline;  /* low 32 bits of jiffies; later the neighbour is no longer trusted */
	__u64 pad;
};
_Static_assert(sizeof(struct xdp_node) == 64, "one cache line per node");

/* How a row of xdp_svc chooses. */
enum xdp_service_kind {
	XDP_SERVICE_RANKED = 1, /* of `backend`, the one with the highest score at the flow's slot */
	XDP_SERVICE_TABLE = 2,  /* by a table in slots: backend[0] is its base, backend[1] its count */
};

enum xdp_service_limits {
	XDP_SERVICE_HOMES = 65536, /* positions that a key hashes to; rows behind the last are the first again */
	XDP_SERVICE_PROBES = 4,    /* a row lies at its home or one of the rows behind it */
	XDP_SERVICE_BACKENDS = 12,
};

/* Parts of an element of xdp_service.backend. */
enum xdp_backend_bits {
	XDP_BACKEND_TAG_BITS = 15, /* dsr_tag */
	XDP_BACKEND_GEN_BITS = 3,  /* the lowest of the node's generation; the index of its row is above */
};

/*
 * Element of xdp_svc: all that XDP must know of a service, in one cache line. Mmapable. A row whose key is set never changes, but for the
 * node in an element of `backend`, by one aligned store. It is taken out by clearing the key, and used again after a grace period. What has
 * no row is found in `services`, and so is a flow whose backend has no node here: it is one of this node, or while the set changes
 * one that the two tables do not agree about.
 */
struct xdp_service {
	__u64 key; /* address << 32 | port << 16 | proto << 8 | family, as they are in memory; IPv6: of a hash; 0 = free */
	__u32 check; /* the rest of the hash; 0 for IPv4 */
	__u16 slots; /* of a ranked set */
	__u8 kind;   /* enum xdp_service_kind */
	__u8 pad;
	__u32 backend[12]; /* distinct tags; what is left over repeats the others */
};
_Static_assert(sizeof(struct xdp_service) == 64, "one cache line per service");

/* Value of dsr_flows, by struct ct_key of the packet as the client sent it: where a flow stays while a set changes. */
struct dsr_flow {
	__u32 backend; /* index into backends */
	__u32 generation;
	__u32 last_seen;  /* low 32 bits of jiffies */
	__u32 transition; /* of the service: what another one has left says nothing */
};
