/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Sizes that user space and the programs must agree on. Enums, not macros: macros leave no BTF.
 */
#pragma once

enum limits {
	LIMIT_ENDPOINTS = 4096,        /* rows of endpoint_table; index 0 is never used */
	LIMIT_NODES = 16384,           /* rows of node_table; index 0 is never used */
	LIMIT_UPLINKS = 8,             /* rows of uplinks; index 0 is never used */
	LIMIT_SLOTS_PER_CHUNK = 16,    /* backend indexes in one element of slots */
	LIMIT_VIP_FILTER_BITS = 65536, /* bits of vip_filter */
	LIMIT_INSIDE_BITS = 65536,     /* bits of inside */
	LIMIT_FRAG_RANGES = 6,         /* disjoint byte ranges remembered per fragmented datagram */
	LIMIT_IPV6_EXTENSIONS = 6,     /* extension headers that are walked before a packet is refused */
};

/* IP protocol numbers that the programs know ports of. */
enum l4_proto {
	L4_PROTO_ANY = 0,
	L4_PROTO_ICMP = 1,
	L4_PROTO_TCP = 6,
	L4_PROTO_UDP = 17,
	L4_PROTO_ICMPV6 = 58,
	L4_PROTO_SCTP = 132,
};
