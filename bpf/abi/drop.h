/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Why a packet was not forwarded. Each reason has a counter (map drops) and an event (map events).
 * Append only: numbers are part of the metrics' and the flow API's contract.
 */
#pragma once
#include <linux/types.h>

enum drop_reason {
	DROP_REASON_NONE = 0,
	DROP_REASON_INVALID_PACKET = 1, /* truncated or lengths that contradict each other */
	DROP_REASON_INVALID_SOURCE = 2, /* source address is not the pod's */
	DROP_REASON_INVALID_SOURCE_MAC = 3,
	DROP_REASON_UNSUPPORTED_L2 = 4,    /* neither IPv4, IPv6 nor ARP from a pod, or tagged (IEEE 802.1Q) */
	DROP_REASON_FORBIDDEN_ARP = 5,     /* ARP for anything but the gateway */
	DROP_REASON_FORBIDDEN_ND = 6,      /* router advertisement, redirect, foreign neighbour message */
	DROP_REASON_EXTENSION_HEADERS = 7, /* too many IPv6 extension headers, or routing type 0 */
	DROP_REASON_FRAGMENT_NO_FIRST = 8,
	DROP_REASON_FRAGMENT_SHORT = 9, /* first fragment without the whole L4 header */
	DROP_REASON_FRAGMENT_OVERLAP = 10,
	DROP_REASON_NO_BACKEND = 11,       /* service without a usable endpoint: rejected */
	DROP_REASON_NO_LOCAL_BACKEND = 12, /* Local traffic policy and no local endpoint */
	DROP_REASON_UNDEFINED_PORT = 13,   /* address is a service's, port is not: rejected */
	DROP_REASON_NO_ROUTE = 14,         /* cluster address without an owner */
	DROP_REASON_TTL_EXCEEDED = 15,
	DROP_REASON_FRAG_NEEDED = 16,         /* larger than the next hop's MTU and must not be fragmented */
	DROP_REASON_CT_INSERT = 17,           /* conntrack entry could not be made */
	DROP_REASON_NAT_EXHAUSTED = 18,       /* no free masquerade port to that destination */
	DROP_REASON_TUNNEL_SOURCE = 19,       /* encapsulated packet from an unknown node */
	DROP_REASON_TUNNEL_INNER_SOURCE = 20, /* inner source does not belong to the sending node */
	DROP_REASON_TUNNEL_FROM_POD = 21,     /* pod tries to send encapsulated traffic itself */
	DROP_REASON_SPOOFED_LOCAL = 22, /* from outside, with a source that is this node's, a local pod's or a VIP */
	DROP_REASON_ENDPOINT_NOT_READY = 23,
	DROP_REASON_MIGRATING = 24,      /* state is being carried over; retransmission will pass */
	DROP_REASON_REWRITE_FAILED = 25, /* packet could not be changed */
	DROP_REASON_TUNNEL_KEY = 26,     /* tunnel metadata missing or refused */
	DROP_REASON_POLICY = 27,
	DROP_REASON_ISOLATED = 28,
	DROP_REASON_DSR_NOT_OURS = 29, /* in an envelope of direct server return, but its service has no backend here */
	DROP_REASON_SOURCE_RANGE = 30, /* not in the service's loadBalancerSourceRanges */
	DROP_REASON_MAX = 31,
};

struct drop_counter {
	__u64 packets;
	__u64 bytes;
};
