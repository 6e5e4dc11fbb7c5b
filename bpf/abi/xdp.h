/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * North-south load balancing: how packets from outside get to backends on other nodes.
 */
#pragma once
#include <linux/types.h>

/* cfg_north_south */
enum north_south {
	NORTH_SOUTH_SNAT = 0,  /* the node's address as source; replies come back here */
	NORTH_SOUTH_IPIP = 1,  /* direct server return: IP in IP to the backend's node */
	NORTH_SOUTH_VXLAN = 2, /* direct server return through the overlay's VXLAN */
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

/* Value of dsr_flows, by struct ct_key of the packet as the client sent it: where a flow stays while a set changes. */
struct dsr_flow {
	__u32 backend; /* index into backends */
	__u32 generation;
	__u32 last_seen; /* low 32 bits of jiffies */
	__u32 pad;
};
