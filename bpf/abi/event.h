/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Records of the `events` ring buffer, already parsed. One per new flow, per drop, per closed flow; none per packet.
 */
#pragma once
#include <linux/types.h>

enum event_type {
	EVENT_TYPE_FLOW_NEW = 1,
	EVENT_TYPE_DROP = 2,
	EVENT_TYPE_FLOW_CLOSE = 3,   /* CT_FLAG_CLOSING was set */
	EVENT_TYPE_SOCK_CONNECT = 4, /* a socket was translated at connect or sendmsg */
	EVENT_TYPE_NAT_EXHAUSTED = 5,
	EVENT_TYPE_POLICY_AUDIT = 6, /* the flow would be dropped if its policies were not in audit mode */
};

/* The hook that saw it. */
enum hook {
	HOOK_FROM_POD = 1,
	HOOK_TO_POD = 2,
	HOOK_FROM_UPLINK = 3,
	HOOK_TO_UPLINK = 4,
	HOOK_FROM_OVERLAY = 5,
	HOOK_TO_OVERLAY = 6,
	HOOK_FROM_HOST_DEVICE = 7,
	HOOK_SOCKET = 8,
	HOOK_XDP = 9,
	HOOK_LOOPBACK = 10, /* a process of the node past the socket programs, see lib/host_asks.h */
};

/* Ends of a flow as bits, in the order of flow_event.rule. */
enum judged_side {
	JUDGED_EGRESS = 1,
	JUDGED_INGRESS = 2,
};

struct flow_event {
	__u64 time_ns;  /* CLOCK_MONOTONIC */
	__u8 type;      /* enum event_type */
	__u8 reason;    /* enum drop_reason */
	__u8 hook;      /* enum hook */
	__u8 proto;     /* enum l4_proto */
	__u8 direction; /* enum ct_direction */
	__u8 tcp_flags; /* low byte of the TCP flags; ICMP: type; SCTP: type of the first chunk */
	__u8 icmp_code;
	__u8 family; /* 4 or 6 */
	__u8 src[16];
	__u8 dst[16];      /* after translation */
	__u8 orig_dst[16]; /* before translation; all zero = not translated */
	__be16 sport;
	__be16 dport;
	__be16 orig_dport;
	__u8 denied;  /* enum judged_side: who dropped it */
	__u8 audited; /* enum judged_side: who would have dropped it */
	__u32 ifindex;
	__u32 len; /* IP bytes of the packet; FLOW_CLOSE: 0 */
	__u32 src_identity;
	__u32 dst_identity;
	__u16 rule
		[2]; /* cookies of the rules that decided: [0] egress of the initiator, [1] ingress of the responder */
	__u32 svc_id;
	__u64 bytes[2]; /* FLOW_CLOSE: by enum ct_direction; HOOK_SOCKET: [0] = cookie of the network namespace */
	__u32 packets[2];
};
_Static_assert(sizeof(struct flow_event) == 120, "flow_event has a pinned layout");

/* Index of the metrics map (PERCPU_ARRAY of u64). */
enum metric {
	METRIC_EVENTS_LOST = 0,    /* ring buffer full */
	METRIC_EVENTS_LIMITED = 1, /* suppressed by the rate limit of their reason */
	METRIC_CT_CREATED = 2,
	METRIC_CT_CLOSED = 3,
	METRIC_NAT_CREATED = 4,
	METRIC_SOCK_TRANSLATED = 5,
	METRIC_FORWARDED_PACKETS = 6,
	METRIC_CT_FULL = 7, /* flows that found the conntrack table full */
	METRIC_MAX = 16,
};

/* Row of event_limit (PERCPU_ARRAY by enum drop_reason): token bucket. */
struct event_bucket {
	__u32 tokens;
	__u32 refilled; /* low 32 bits of jiffies */
};

/* The single row of `runtime`: what may change without loading programs again. */
struct runtime_state {
	__u32 migrating; /* 1 = conntrack is being carried over: unknown non-SYN packets of tracked protocols are dropped */
	__u32 external_ports; /* services at node addresses (NodePort, hostPort); 0 = skip their look-up */
	__u32 former_ports;   /* 1 = flows may have masquerade ports of a range that was in force before */
	__u16 snat_port_min;  /* the range in force, host byte order; both 0 = none ever was */
	__u16 snat_port_max;
};
