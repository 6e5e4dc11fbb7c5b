/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Counters and events. The ring buffer is read by a timer, so records are submitted without waking anybody.
 */
#pragma once
#include "parse.h"

/* One token of this reason's bucket on this CPU: cfg_event_rate per second, at most one second's worth. */
INLINE int event_allowed(__u32 reason)
{
	struct event_bucket *bucket = bpf_map_lookup_elem(&fl_limits_1, &reason);
	__u32 now = jiffies32(), elapsed;

	if (!bucket)
		return 0;
	elapsed = now - bucket->refilled;
	if (elapsed >= cfg_hz) {
		bucket->tokens = cfg_event_rate;
		bucket->refilled = now;
	}
	if (bucket->tokens == 0) {
		count(METRIC_EVENTS_LIMITED);
		return 0;
	}
	bucket->tokens--;
	return 1;
}

/* Reserves a record and fills what every event has. NULL if the buffer is full (counted). */
INLINE struct flow_event *event_reserve(enum event_type type, enum hook hook, const struct pkt *p)
{
	struct flow_event *event = bpf_ringbuf_reserve(&fl_events_1, sizeof(*event), 0);

	if (!event) {
		count(METRIC_EVENTS_LOST);
		return 0;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->time_ns = cfg_has_coarse_time ? bpf_ktime_get_coarse_ns() : bpf_ktime_get_ns();
	event->type = type;
	event->hook = hook;
	event->proto = p->proto;
	event->tcp_flags = p->tcp_flags;
	event->icmp_code = p->icmp_code;
	event->family = p->family;
	*addr_of(event->src) = p->src;
	*addr_of(event->dst) = p->dst;
	event->sport = p->sport;
	event->dport = p->dport;
	event->len = p->ip_len;
	return event;
}

/* What policy said of the event's flow. */
INLINE void event_fill_judged(struct flow_event *event, const struct judged *judged)
{
	event->rule[0] = judged->rule[0];
	event->rule[1] = judged->rule[1];
	event->denied = judged->denied;
	event->audited = judged->audited;
}

/* The flow that was judged, whose packet at hand the event is about: its direction, and the responder behind a service. */
INLINE void event_fill_subject(struct flow_event *event, const struct scratch *scratch)
{
	const struct judged *judged = &scratch->judged;
	const struct pkt *p = &scratch->pkt, *inner = &scratch->inner;

	event->direction = judged->reply;
	event->src_identity = judged->identity[judged->reply & 1];
	event->dst_identity = judged->identity[(judged->reply ^ 1) & 1];
	event_fill_judged(event, judged);
	if (!judged->translated || addr_equal(&inner->dst, &p->dst))
		return;
	*addr_of(event->orig_dst) = p->dst;
	event->orig_dport = p->dport;
	*addr_of(event->dst) = inner->dst;
	event->dport = inner->dport;
}

INLINE void event_submit(struct flow_event *event)
{
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

/* drop() of the packet in the scratch. */
GLOBAL int drop_counted(struct __sk_buff *skb, int reason, __u32 hook)
{
	__u32 key = reason < 0 ? -reason : reason;
	struct drop_counter *counter = bpf_map_lookup_elem(&fl_drops_1, &key);
	struct scratch *scratch = scratch_get();
	struct flow_event *event;

	if (counter) {
		counter->packets++;
		counter->bytes += skb->len;
	}
	if (!cfg_events || !scratch || !event_allowed(key))
		return VERDICT_DROP;
	event = event_reserve(EVENT_TYPE_DROP, hook, &scratch->pkt);
	if (!event)
		return VERDICT_DROP;
	event->reason = key;
	if (key == DROP_REASON_POLICY || key == DROP_REASON_ISOLATED)
		event_fill_subject(event, scratch);
	event->ifindex = skb->ifindex;
	event_submit(event);
	return VERDICT_DROP;
}

/* Counts and reports a drop of `p`, which is scratch->pkt. `reason` may be given negative, as parsers return it. Returns VERDICT_DROP. */
INLINE int drop(struct __sk_buff *skb, const struct pkt *p, int reason, enum hook hook)
{
	(void)p;
	drop_counted(skb, reason, hook);
	return VERDICT_DROP;
}
