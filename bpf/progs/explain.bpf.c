// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What would become of a new flow: the code that decides it in the other programs, with the same maps, for a question instead of a
 * packet. Attached nowhere; the agent runs it when somebody asks. With cfg_dry_run nothing is counted, reported or remembered.
 */
#include "../abi/explain.h"
#include "../lib/ingress.h"

/* Who sends, as the hook would see it. 0 or a reason. */
INLINE int explain_sender(const struct pkt *p, struct flow_origin *origin)
{
	struct ipcache_entry from;
	struct endpoint *endpoint;

	peer_resolve(&p->src, &from);
	origin->peer = from.peer;
	if (origin->hook == HOOK_FROM_POD) {
		endpoint = from.peer.kind == PEER_KIND_LOCAL_POD ? endpoint_of(&from.peer) : 0;
		if (!endpoint)
			return -DROP_REASON_INVALID_SOURCE;
		origin->identity = endpoint_identity(endpoint, p->family);
		return endpoint->flags & ENDPOINT_FLAG_READY ? 0 : -DROP_REASON_ENDPOINT_NOT_READY;
	}
	if (origin->hook == HOOK_TO_POD || origin->hook == HOOK_FROM_HOST_DEVICE) {
		origin->via_host = origin->hook == HOOK_FROM_HOST_DEVICE;
		origin->identity = judge_identity(&from, 1);
		return 0;
	}
	origin->client = LB_CLIENT_OUTSIDE;
	origin->identity = judge_identity(&from, 0);
	return ingress_is_spoofed(p) ? -DROP_REASON_SPOOFED_LOCAL : 0;
}

INLINE void explain_choice(struct explain_flow *flow, const struct lb_choice *choice)
{
	flow->flags |= EXPLAIN_FLAG_SERVICE;
	*addr_of(flow->backend_addr) = choice->addr;
	flow->backend_port = choice->port;
	flow->svc_id = choice->svc_id;
	flow->svc_flags = choice->flags;
	flow->backend = choice->backend;
}

/* The service of the flow, into scratch->choice, as flow_make finds it; or the backend that the question names. */
INLINE int explain_service(struct scratch *scratch, struct explain_flow *flow)
{
	const struct pkt *p = &scratch->pkt;
	int service;

	__builtin_memset(&scratch->choice, 0, sizeof(scratch->choice));
	if (flow->flags & EXPLAIN_FLAG_BACKEND) {
		scratch->choice.addr = p->dst;
		scratch->choice.port = p->dport;
		return LB_CHOSEN;
	}
	service = flow_choose(p, &scratch->origin, scratch);
	if (service == LB_CHOSEN)
		explain_choice(flow, &scratch->choice);
	return service;
}

INLINE void explain_judged(struct explain_flow *flow, const struct judged *judged)
{
	flow->denied = judged->denied;
	flow->audited = judged->audited;
	for (int side = 0; side < 2; side++) {
		struct endpoint *endpoint =
			flow->peer[side].kind == PEER_KIND_LOCAL_POD ? endpoint_of(&flow->peer[side]) : 0;

		flow->rule[side] = judged->rule[side];
		if (!endpoint)
			continue;
		flow->policy_set[side] = endpoint->policy_set;
		flow->endpoint_flags[side] = endpoint->flags;
	}
}

/* Can the destination be reached? What the stack delivers has come that far. 0 or a reason. */
INLINE int explain_delivery(struct peer_ref to, __u8 hook)
{
	struct endpoint *endpoint;

	if (is_remote(to.kind))
		return node_of(to) ? 0 : -DROP_REASON_NO_ROUTE;
	if (to.kind != PEER_KIND_LOCAL_POD || hook == HOOK_TO_POD)
		return 0;
	endpoint = endpoint_of(&to);
	if (!endpoint)
		return -DROP_REASON_NO_ROUTE;
	return endpoint->flags & ENDPOINT_FLAG_READY ? 0 : -DROP_REASON_ENDPOINT_NOT_READY;
}

/* Sets flow->stage and returns why the flow ends there: 0, FLOW_NOT_OURS or a negative reason. */
INLINE int explain_flow(struct __sk_buff *skb, struct scratch *scratch, struct explain_flow *flow)
{
	struct pkt *p = &scratch->pkt, *inner = &scratch->inner;
	struct ipcache_entry to;
	int service, err;

	flow->stage = EXPLAIN_STAGE_SENDER;
	err = explain_sender(p, &scratch->origin);
	flow->peer[0] = scratch->origin.peer;
	flow->identity[0] = scratch->origin.identity;
	if (err)
		return err;
	flow->stage = EXPLAIN_STAGE_SERVICE;
	service = explain_service(scratch, flow);
	if (service < 0)
		return service;
	*inner = *p;
	if (service == LB_CHOSEN) {
		inner->dst = scratch->choice.addr;
		inner->dport = scratch->choice.port;
	}
	if (service != LB_CHOSEN || flow_known_peer(&scratch->choice, p->family, &to))
		peer_resolve(&inner->dst, &to);
	flow->stage = EXPLAIN_STAGE_DESTINATION;
	flow->peer[1] = to.peer;
	flow->identity[1] = to.identity;
	err = flow_check(inner, &scratch->origin, to.peer, service);
	if (err)
		return err;
	flow->stage = EXPLAIN_STAGE_POLICY;
	err = judge_new(skb, scratch, &to);
	explain_judged(flow, &scratch->judged);
	if (err)
		return err;
	flow->stage = EXPLAIN_STAGE_DELIVERY;
	return explain_delivery(to.peer, scratch->origin.hook);
}

SEC("tc")
int explain(struct __sk_buff *skb)
{
	struct scratch *scratch = scratch_begin();
	struct explain_flow flow __attribute__((aligned(8)));
	struct pkt *p;
	int err;

	if (!scratch || bpf_skb_load_bytes(skb, ETH_LEN, &flow, sizeof(flow)))
		return VERDICT_DROP;
	p = &scratch->pkt;
	p->src = *addr_of(flow.src);
	p->dst = *addr_of(flow.dst);
	p->sport = flow.sport;
	p->dport = flow.dport;
	p->proto = flow.proto;
	p->family = flow.family;
	p->tcp_flags = flow.proto == L4_PROTO_TCP ? TCP_SYN : 0;
	__builtin_memset(&scratch->origin, 0, sizeof(scratch->origin));
	__builtin_memset(&scratch->judged, 0, sizeof(scratch->judged));
	scratch->origin.hook = flow.hook;
	err = explain_flow(skb, scratch, &flow);
	if (err == 0)
		flow.stage = EXPLAIN_STAGE_FORWARDED;
	if (err > 0)
		flow.stage = EXPLAIN_STAGE_NOT_OURS;
	flow.reason = err < 0 ? -err : DROP_REASON_NONE;
	return bpf_skb_store_bytes(skb, ETH_LEN, &flow, sizeof(flow), 0) ? VERDICT_DROP : 0;
}

char _license[] SEC("license")
= "Dual BSD/GPL";
