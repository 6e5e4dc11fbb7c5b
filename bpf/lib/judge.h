/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Policy of a flow: egress at its initiator and ingress at its responder, if they are pods of this node. Both are found when the flow
 * begins and kept in its entries. A packet compares generations; when one has changed, the flow is judged again in the initiator's
 * direction, whoever sent the packet.
 */
#pragma once
#include "ct.h"
#include "policy.h"
#include "related.h"

INLINE __u32 endpoint_identity(const struct endpoint *endpoint, __u8 family)
{
	return family == 4 ? endpoint->identity : endpoint->identity6;
}

/*
 * Who sends, as policy sees it. Only the node's own processes are the host: a packet that was not made here and bears the
 * node's address is from somebody else.
 */
INLINE __u32 judge_identity(const struct ipcache_entry *owner, int made_here)
{
	if (owner->peer.kind == PEER_KIND_HOST)
		return made_here ? IDENTITY_HOST : IDENTITY_WORLD;
	return owner->identity;
}

/* Verdict word of one side: 0 = egress of the initiator, 1 = ingress of the responder. */
INLINE __u32 judge_side(const struct judged *judged, const struct endpoint *endpoint, __u32 side)
{
	enum policy_direction direction = side == 0 ? POLICY_DIRECTION_EGRESS : POLICY_DIRECTION_INGRESS;
	__u32 other = judged->identity[(side ^ 1) & 1];
	int self = judged->peer[0].kind == judged->peer[1].kind && judged->peer[0].index == judged->peer[1].index;

	if (endpoint->flags & ENDPOINT_FLAG_ISOLATED)
		return side == 1 && other == IDENTITY_HOST ? policy_fixed(1, POLICY_COOKIE_HOST)
							   : policy_fixed(0, POLICY_COOKIE_CLOSED);
	if (!endpoint->policy_set) /* policy_verdict() says the same, but for the price of a call */
		return policy_fixed(1, POLICY_COOKIE_NO_POLICY);
	return policy_verdict(endpoint->policy_set, policy_peer(other, direction, self), judged->port_proto);
}

INLINE void judge_count(__u32 cookie, __u32 bytes)
{
	struct policy_denied *denied = cfg_dry_run ? 0 : bpf_map_lookup_elem(&fl_denied_1, &cookie);

	if (!denied)
		return;
	__sync_fetch_and_add(&denied->packets, 1);
	__sync_fetch_and_add(&denied->bytes, bytes);
}

/* Fills gen, rule, denied and audited of scratch->judged from the rest of it. 0 or a negative reason. */
GLOBAL int judge(void)
{
	struct scratch *scratch = scratch_get();
	int reason = 0;

	if (!scratch)
		return -DROP_REASON_POLICY;
	struct judged *judged = &scratch->judged;

	judged->denied = judged->audited = 0;
	for (__u32 side = 0; side < 2; side++) {
		struct endpoint *endpoint =
			judged->peer[side].kind == PEER_KIND_LOCAL_POD ? endpoint_of(&judged->peer[side]) : 0;
		__u32 verdict;

		judged->gen[side] = judged->rule[side] = 0;
		if (!endpoint)
			continue;
		/* Before the rows are read: the agent changes rows first. */
		judged->gen[side] = *(volatile __u16 *)&endpoint->policy_gen;
		asm volatile("" ::: "memory");
		verdict = judge_side(judged, endpoint, side);
		judged->rule[side] = policy_cookie_of(verdict);
		if (!policy_allows(verdict)) {
			judged->denied |= 1 << side;
			reason = endpoint->flags & ENDPOINT_FLAG_ISOLATED ? -DROP_REASON_ISOLATED : -DROP_REASON_POLICY;
		} else if (verdict & POLICY_VERDICT_FLAG_AUDIT) {
			judged->audited |= 1 << side;
		} else {
			continue;
		}
		judge_count(judged->rule[side], scratch->pkt.ip_len);
	}
	return reason;
}

INLINE __u32 judge_port_proto(__u8 proto, __be16 port)
{
	int has_ports = proto == L4_PROTO_TCP || proto == L4_PROTO_UDP || proto == L4_PROTO_SCTP;

	return (__u32)proto << 16 | (has_ports ? bpf_ntohs(port) : 0);
}

INLINE void judge_report_audit(struct __sk_buff *skb, const struct scratch *scratch, enum hook hook)
{
	struct flow_event *event;

	if (!cfg_events || cfg_dry_run || !event_allowed(DROP_REASON_NONE))
		return;
	event = event_reserve(EVENT_TYPE_POLICY_AUDIT, hook, &scratch->pkt);
	if (!event)
		return;
	event->ifindex = skb->ifindex;
	event_fill_subject(event, scratch);
	event_submit(event);
}

/* Is the ICMP error in the scratch about a packet of a flow that is known? Then it is part of that flow. */
GLOBAL int judge_is_related(struct __sk_buff *skb)
{
	struct scratch *scratch = scratch_get();
	struct quoted q = {};

	if (!scratch || related_parse(skb, &scratch->pkt, &q))
		return 0;
	return ct_lookup(&q.pkt) != 0;
}

/* Verdicts of the flow that scratch->inner begins, between scratch->origin and `to`, into scratch->judged. 0 or a negative reason. */
INLINE int judge_new(struct __sk_buff *skb, struct scratch *scratch, const struct ipcache_entry *to)
{
	const struct flow_origin *origin = &scratch->origin;
	struct judged *judged = &scratch->judged;
	int err;

	if (origin->peer.kind != PEER_KIND_LOCAL_POD && to->peer.kind != PEER_KIND_LOCAL_POD) {
		__builtin_memset(judged, 0, sizeof(*judged));
		return 0;
	}
	if ((scratch->pkt.flags & PKT_ICMP_ERROR) && judge_is_related(skb))
		return 0;
	judged->peer[0] = origin->peer;
	judged->peer[1] = to->peer;
	judged->identity[0] = origin->identity;
	judged->identity[1] = to->identity;
	judged->port_proto = judge_port_proto(scratch->inner.proto, scratch->inner.dport);
	judged->reply = 0;
	judged->translated = 1;
	err = judge();
	if (judged->audited)
		judge_report_audit(skb, scratch, origin->hook);
	return err;
}

INLINE void judge_keep(struct ct_entry *entry, const struct judged *judged)
{
	for (int side = 0; side < 2; side++) {
		entry->rule[side] = judged->rule[side];
		entry->policy_gen[side] = judged->gen[side];
	}
}

/* Was a verdict of the flow found with policies that have changed since? */
INLINE int judge_is_stale(const struct ct_entry *entry)
{
	for (int side = 0; side < 2; side++) {
		struct endpoint *endpoint;

		if (entry->peer[side].kind != PEER_KIND_LOCAL_POD)
			continue;
		endpoint = endpoint_row(entry->peer[side].index);
		if (!endpoint || endpoint->policy_gen != entry->policy_gen[side])
			return 1;
	}
	return 0;
}

/*
 * Judges the flow of the packet in the scratch with the policies of now. An allowed flow keeps its new verdicts; a denied one stays
 * as it is and is judged for each packet, so that it goes on if it is allowed again. 0 or a negative reason.
 */
GLOBAL int judge_again(struct __sk_buff *skb, __u32 hook)
{
	struct scratch *scratch = scratch_get();
	struct ipcache_entry owner;
	struct ct_entry *entry;
	addr_t from, to;
	__be16 port;
	int err;

	if (!scratch)
		return -DROP_REASON_POLICY;
	struct pkt *p = &scratch->pkt;
	struct judged *judged = &scratch->judged;

	entry = ct_lookup(p);
	if (!entry)
		return 0;
	from = p->src;
	to = p->dst;
	port = p->dport;
	judged->reply = ct_direction(entry, p) == CT_DIR_REPLY;
	judged->translated = 0;
	if (judged->reply) {
		from = p->dst;
		to = p->src;
		port = p->sport;
		if (ct_is_masqueraded_reply(entry) && ct_client(p, entry, &from))
			return 0;
	}
	if (entry->flags & CT_FLAG_SVC_FORWARD) {
		to = p->xlate;
		port = entry->xlate_port;
		scratch->inner.dst = to;
		scratch->inner.dport = port;
		judged->translated = 1;
	}
	judged->peer[0] = entry->peer[0];
	judged->peer[1] = entry->peer[1];
	peer_resolve(&from, &owner);
	judged->identity[0] =
		judge_identity(&owner, entry->peer[0].kind == PEER_KIND_HOST && !(entry->flags & CT_FLAG_FORWARDED));
	peer_resolve(&to, &owner);
	judged->identity[1] = owner.identity;
	judged->port_proto = judge_port_proto(p->proto, port);
	err = judge();
	if (!err)
		judge_keep(entry, judged);
	if (judged->audited)
		judge_report_audit(skb, scratch, hook);
	return err;
}

/* The policies of a known flow, for a packet of it. 0 or a negative reason. */
INLINE int judge_known(struct __sk_buff *skb, const struct pkt *p, const struct ct_entry *entry, enum hook hook)
{
	if ((p->flags & PKT_ICMP_ERROR) || !judge_is_stale(entry))
		return 0;
	return judge_again(skb, hook);
}
