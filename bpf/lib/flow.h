/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * First packet of a flow: service, owner of the destination, masquerade, entries. All that is decided here is kept
 * in struct ct_entry, so that later packets need one look-up.
 */
#pragma once
#include "ct.h"
#include "judge.h"
#include "lb.h"
#include "nat.h"
#include "route.h"

/* flow_create's answers. FLOW_NOT_OURS: the stack shall have the packet. */
enum flow_result {
	FLOW_MADE = 0,
	FLOW_NOT_OURS = 1,
	FLOW_RECALLED = 2, /* scratch->made is the entry of a flow that exists, see carry.h */
};

INLINE int is_remote(__u8 kind)
{
	return kind == PEER_KIND_REMOTE_POD || kind == PEER_KIND_REMOTE_NODE;
}

INLINE int is_node_address(__u8 kind)
{
	return kind == PEER_KIND_HOST || kind == PEER_KIND_REMOTE_NODE;
}

/* Somebody outside the cluster: no row says how to get there. */
INLINE int is_outside(__u8 kind)
{
	return kind == PEER_KIND_WORLD || kind == PEER_KIND_NATIVE;
}

INLINE int is_multicast(const struct pkt *p)
{
	if (p->family == 4)
		return (addr_ipv4(&p->dst) & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000) ||
		       addr_ipv4(&p->dst) == 0xffffffff;
	return (p->dst.w[0] & 0xff) == 0xff;
}

/* The backend's row may say which pod of this node it is. 0 = `to` is set. */
INLINE int flow_known_peer(const struct lb_choice *choice, __u8 family, struct ipcache_entry *to)
{
	struct endpoint *endpoint = choice->peer.kind == PEER_KIND_LOCAL_POD ? endpoint_of(&choice->peer) : 0;

	if (!endpoint)
		return 1;
	to->peer = choice->peer;
	to->identity = endpoint_identity(endpoint, family);
	return 0;
}

/* lb_choose on scratch->query and scratch->choice. */
GLOBAL int flow_ask_lb(void)
{
	struct scratch *scratch = scratch_get();

	return scratch ? lb_choose(&scratch->query, &scratch->choice) : -DROP_REASON_NO_BACKEND;
}

/* Service of a new flow: LB_CHOSEN, with scratch->choice, LB_NOT_A_SERVICE or a reason. */
INLINE int flow_choose(const struct pkt *p, const struct flow_origin *origin, struct scratch *scratch)
{
	addr_t node = node_addr(p->family);
	int at_node = addr_equal(&p->dst, &node);

	if (origin->backend)
		return lb_given(origin->backend, &scratch->choice);
	if (p->flags & PKT_ICMP_ERROR || (at_node ? !lb_has_external_ports() : !lb_maybe_vip(&p->dst)))
		return LB_NOT_A_SERVICE;
	scratch->query = (struct lb_query){
		.src = p->src,
		.dst = p->dst,
		.sport = p->sport,
		.dport = p->dport,
		.proto = p->proto,
		.client = origin->client,
	};
	return flow_ask_lb();
}

/*
 * Destinations that no router forwards to: multicast, broadcast and reserved, loopback, unspecified, IPv6 link-local. Left to
 * the stack after masquerading, such a packet would reach the node's own sockets with the node's address as source.
 */
INLINE int is_unroutable(const struct pkt *p)
{
	__u32 first = addr_ipv4(&p->dst) & 0xff;

	if (p->family == 4)
		return first >= 224 || first == 127 || first == 0;
	return (p->dst.w[0] & 0xff) == 0xff || (p->dst.w[0] & 0xc0ff) == 0x80fe ||
	       (p->dst.w[0] == 0 && (p->dst.w[1] == 0 || p->dst.w[1] == 0x0100000000000000));
}

/*
 * May the packet belong to a connection that is in no table yet while tables are replaced? What comes for the node itself never is in one, unless it comes to
 * a port that was given away.
 */
INLINE int flow_is_on_its_way(const struct pkt *p, int is_for_node)
{
	__u32 zero = 0;
	struct runtime_state *state = bpf_map_lookup_elem(&fl_runtime_1, &zero);

	return state && state->migrating && p->proto == L4_PROTO_TCP &&
	       (p->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN && (!is_for_node || nat_is_given_now(p));
}

/* Is a packet with this origin and (translated) destination allowed to exist at all? 0, FLOW_NOT_OURS or a reason. */
INLINE int flow_check(const struct pkt *p, const struct flow_origin *origin, struct peer_ref to, int service)
{
	int is_for_node =
		origin->client == LB_CLIENT_OUTSIDE && service == LB_NOT_A_SERVICE && to.kind != PEER_KIND_LOCAL_POD;

	if (flow_is_on_its_way(p, is_for_node))
		return -DROP_REASON_MIGRATING;
	if (is_for_node)
		return FLOW_NOT_OURS;
	if (to.kind == PEER_KIND_UNKNOWN || is_unroutable(p))
		return -DROP_REASON_NO_ROUTE;
	if (origin->hook != HOOK_FROM_POD || !is_node_address(to.kind))
		return 0;
	if (p->proto == 4 || p->proto == 41 || (p->proto == L4_PROTO_UDP && p->dport == bpf_htons(cfg_vxlan_port)))
		return -DROP_REASON_TUNNEL_FROM_POD;
	return 0;
}

/*
 * Does the flow need a port at the node's address? Pods that talk to the world; clients from outside whose backend is on
 * another node (the reply must come back here); a pod that reaches itself through a service; the node's own programs that come by
 * the host device, so that their replies are recognised by port. `inner` has the backend.
 */
INLINE int flow_needs_nat(const struct pkt *inner, const struct flow_origin *origin, __u8 to_kind, int service)
{
	int masquerade = inner->family == 4 ? cfg_masquerade4 : cfg_masquerade6;

	if (origin->peer.kind == PEER_KIND_LOCAL_POD && to_kind == PEER_KIND_WORLD)
		return masquerade;
	if (service != LB_CHOSEN)
		return 0;
	if (origin->via_host == VIA_HOST_LOOPBACK && to_kind == PEER_KIND_HOST)
		return 0;
	if (origin->via_host)
		return 1;
	if (origin->client == LB_CLIENT_OUTSIDE && to_kind != PEER_KIND_LOCAL_POD && to_kind != PEER_KIND_HOST)
		return 1;
	return addr_equal(&inner->src, &inner->dst);
}

/* May the entry in the way of the new flow of scratch->inner be replaced by scratch->made? */
GLOBAL int flow_may_replace(void)
{
	struct scratch *scratch = scratch_get();
	struct ct_entry *old = scratch ? ct_lookup(&scratch->inner) : 0;

	if (!old || !nat_supported(&scratch->pkt))
		return 1;
	if (ct_is_shared(old))
		return 0;
	if (old->flags & CT_FLAG_CLOSING || jiffies32() - old->last_seen > 3600 * cfg_hz)
		return 1;
	return (old->flags & CT_FLAG_SVC_REPLY) && old->snat_port == scratch->made.snat_port &&
	       old->xlate_port == scratch->made.xlate_port &&
	       addr_equal(&scratch->inner.xlate, addr_of(scratch->made.xlate_addr));
}

/*
 * Inserts the reply entry of a service flow, scratch->made, at {client, backend}, which is scratch->inner. When another live flow of the
 * client owns that key, the client gets another source port towards the backend: inner.sport and made.snat_port tell which. 0 or a reason.
 */
GLOBAL int flow_insert_full(void)
{
	struct scratch *scratch = scratch_get();

	for (int i = 0; scratch && i < 8; i++) {
		if (ct_insert(1, BPF_NOEXIST) == 0)
			return 0;
		if (flow_may_replace())
			return ct_insert(1, BPF_ANY) == 0 ? 0 : -DROP_REASON_CT_INSERT;
		scratch->made.snat_port = scratch->pkt.sport;
		scratch->inner.sport = bpf_htons(32768 + (bpf_get_prandom_u32() & 0x6fff));
	}
	return -DROP_REASON_CT_INSERT;
}

/*
 * The entry at {client, backend} when the client talks to the backend itself while a service flow of it lives that came to the same backend
 * from the same port. Replies with that key are the service's. NULL = there is none, or the new flow cannot be told apart and takes its place.
 */
INLINE struct ct_entry *flow_held_by_service(struct pkt *p)
{
	struct ct_entry *held = ct_lookup(p);

	if (!held || (held->flags & (CT_FLAG_SVC_REPLY | CT_FLAG_MASQUERADE)) != CT_FLAG_SVC_REPLY ||
	    ct_direction(held, p) != CT_DIR_FORWARD || (held->flags & CT_FLAG_HOST_LOOP) || ct_is_echo(p) ||
	    !nat_supported(p))
		return 0;
	if (ct_is_shared(held))
		return held;
	return held->snat_port || (held->flags & CT_FLAG_CLOSING) || jiffies32() - held->last_seen > 3600 * cfg_hz
		       ? 0
		       : held;
}

/*
 * Inserts the entry of a flow without service: scratch->made, for scratch->pkt. If {client, backend} is a service flow's, the backend sees another
 * source port: replies to that have an entry of their own, and forward packets find the service's, which says so. The entry ends as what forward
 * packets need. 0 or a reason.
 */
GLOBAL int flow_insert_direct(void)
{
	struct scratch *scratch = scratch_get();
	struct ct_entry *held, *known;

	if (!scratch)
		return -DROP_REASON_CT_INSERT;
	struct pkt *p = &scratch->pkt, *inner = &scratch->inner;
	struct ct_entry *entry = &scratch->made;

	if (ct_insert(0, BPF_NOEXIST) == 0)
		return 0;
	held = ct_lookup(p);
	if (held && ct_is_masqueraded_reply(held) && nat_holder_of(held) == NAT_IN_USE)
		return -DROP_REASON_CT_INSERT; /* the node itself uses a port that it has given away */
	held = flow_held_by_service(p);
	if (!held)
		return ct_insert(0, BPF_ANY) == 0 ? 0 : -DROP_REASON_CT_INSERT;
	known = ct_is_shared(held) ? ct_sharer(p, inner, held) : 0;
	if (known && !(known->flags & CT_FLAG_CLOSING)) { /* its first packet again */
		entry->snat_port = held->snat_port;
		entry->flags |= CT_FLAG_SHARED;
		return 0;
	}
	entry->flags |= CT_FLAG_SHARED;
	entry->snat_port = p->sport;
	*addr_of(entry->xlate_addr) = p->dst;
	entry->xlate_port = p->dport;
	for (int i = 0; i < 8; i++) {
		inner->sport = bpf_htons(32768 + (bpf_get_prandom_u32() & 0x6fff));
		if (ct_insert(1, BPF_NOEXIST))
			continue;
		held->snat_port = entry->snat_port = inner->sport;
		held->flags |= CT_FLAG_SHARED;
		held->last_seen = jiffies32();
		return 0;
	}
	return -DROP_REASON_CT_INSERT;
}

/* Both entries of a service flow that is not masqueraded: scratch->made ends as the forward one. 0 or a reason. */
INLINE int flow_insert_service(struct scratch *scratch)
{
	const struct lb_choice *choice = &scratch->choice;
	struct pkt *p = &scratch->pkt, *inner = &scratch->inner;
	struct ct_entry *entry = &scratch->made;
	__u16 flags = entry->flags;
	int err;

	entry->flags = flags | CT_FLAG_SVC_REPLY;
	*addr_of(entry->xlate_addr) = p->dst;
	entry->xlate_port = p->dport;
	err = ct_put(scratch, 1, BPF_NOEXIST) == 0 ? 0 : flow_insert_full();
	if (err)
		return err;
	entry->flags = (flags & ~CT_FLAG_COUNTED) | CT_FLAG_SVC_FORWARD;
	*addr_of(entry->xlate_addr) = choice->addr;
	entry->xlate_port = choice->port;
	entry->snat_port = inner->sport != p->sport ? inner->sport : 0;
	if (ct_put(scratch, 0, BPF_ANY) == 0)
		return 0;
	ct_delete(inner);
	return -DROP_REASON_CT_INSERT;
}

INLINE void flow_report_new(struct __sk_buff *skb, const struct pkt *p, const struct pkt *inner,
			    const struct flow_origin *origin, __u32 dst_identity)
{
	struct scratch *scratch = scratch_get();
	struct flow_event *event;

	count(METRIC_CT_CREATED);
	if (!cfg_events)
		return;
	event = event_reserve(EVENT_TYPE_FLOW_NEW, origin->hook, inner);
	if (!event)
		return;
	event->sport = p->sport;
	if (!addr_equal(&p->dst, &inner->dst)) {
		*addr_of(event->orig_dst) = p->dst;
		event->orig_dport = p->dport;
	}
	event->ifindex = skb->ifindex;
	event->src_identity = origin->identity;
	event->dst_identity = dst_identity;
	if (scratch)
		event_fill_judged(event, &scratch->judged);
	event_submit(event);
}

INLINE __u32 ct_backend_word(__u32 index, __u32 generation)
{
	return index | generation << CT_BACKEND_INDEX_BITS;
}

/* 1 if the row still is the backend that was chosen for the flow and has one of `flags` (enum backend_flags). */
INLINE int flow_backend_is(const struct ct_entry *entry, __u8 flags)
{
	__u32 index = entry->backend & CT_BACKEND_INDEX_MASK;
	struct backend *backend = bpf_map_lookup_elem(&fl_backends_1, &index);

	return backend && ct_backend_word(index, backend->generation) == entry->backend && (backend->flags & flags);
}

INLINE void flow_fill(struct ct_entry *entry, const struct pkt *p, const struct flow_origin *origin, struct peer_ref to,
		      const struct lb_choice *choice)
{
	__builtin_memset(entry, 0, sizeof(*entry));
	entry->flags =
		(origin->via_host ? CT_FLAG_VIA_HOST : 0) | (origin->forwarded ? CT_FLAG_FORWARDED : 0) |
		(origin->client == LB_CLIENT_OUTSIDE || origin->via_host == VIA_HOST_LOOPBACK ? CT_FLAG_EXTERNAL : 0) |
		(origin->backend ? CT_FLAG_DSR : 0);
	entry->peer[0] = origin->peer;
	entry->peer[1] = to;
	entry->created = entry->last_seen = jiffies32();
	entry->packets[0] = 1;
	entry->bytes[0] = p->ip_len;
	if (choice->flags & SVC_FLAG_LEAST_CONN)
		entry->flags |= CT_FLAG_COUNTED;
	if (choice->backend)
		entry->backend = ct_backend_word(choice->backend, choice->generation);
}

/*
 * A service whose backend is a process of this node. Its answers to other machines pass the stack and are translated on their way
 * out. To the node itself both ends would have the node's address and the answer would never leave the stack: there the client
 * becomes the service's address, if that is routed into the host device. If not, the answer is taken off the loopback device, see host_asks.h.
 */
INLINE void flow_to_host_backend(const struct pkt *p, struct pkt *inner, struct ct_entry *entry,
				 const struct flow_origin *origin)
{
	__u32 zero = 0, *used = bpf_map_lookup_elem(&fl_hostsvc_1, &zero);

	if (origin->via_host == VIA_HOST_DEVICE) {
		entry->flags |= CT_FLAG_HOST_LOOP;
		inner->src = p->dst;
	}
	if ((origin->client == LB_CLIENT_OUTSIDE || origin->via_host == VIA_HOST_LOOPBACK) && used && !*used)
		*used = 1;
}

/* Programs of another version that still run find the flow, too. */
INLINE void flow_show_other_version(const struct ct_entry *entry)
{
	carry_show(0);
	if ((entry->flags & (CT_FLAG_SVC_FORWARD | CT_FLAG_SHARED)) && !(entry->flags & CT_FLAG_MASQUERADE))
		carry_show(1);
}

/* flow_create with everything in the scratch. */
GLOBAL int flow_make(struct __sk_buff *skb)
{
	struct scratch *scratch = scratch_get();
	struct ipcache_entry to;
	int service, err;

	if (!scratch)
		return -DROP_REASON_CT_INSERT;
	struct pkt *p = &scratch->pkt, *inner = &scratch->inner;
	struct flow_origin *origin = &scratch->origin;
	struct lb_choice *choice = &scratch->choice;
	struct ct_entry *entry = &scratch->made;

	if (cfg_carry && carry_recall())
		return FLOW_RECALLED;
	__builtin_memset(choice, 0, sizeof(*choice));
	service = flow_choose(p, origin, scratch);
	if (service < 0)
		return service;
	*inner = *p;
	if (service == LB_CHOSEN) {
		inner->dst = choice->addr;
		inner->dport = choice->port;
	}
	if (service != LB_CHOSEN || flow_known_peer(choice, p->family, &to))
		peer_resolve(&inner->dst, &to);
	err = flow_check(inner, origin, to.peer, service);
	if (err)
		return err;
	err = judge_new(skb, scratch, &to);
	if (err)
		return err;
	flow_fill(entry, p, origin, to.peer, choice);
	judge_keep(entry, &scratch->judged);
	if (service == LB_CHOSEN && to.peer.kind == PEER_KIND_HOST)
		flow_to_host_backend(p, inner, entry, origin);
	if (!(entry->flags & CT_FLAG_HOST_LOOP) && flow_needs_nat(inner, origin, to.peer.kind, service))
		entry->flags |= CT_FLAG_MASQUERADE;
	if (cfg_uplink_rows && (entry->flags & CT_FLAG_MASQUERADE) && is_outside(to.peer.kind))
		entry->source = route_source(skb);
	if (p->flags & PKT_ICMP_ERROR)
		return FLOW_MADE;
	if (entry->flags & CT_FLAG_MASQUERADE)
		err = nat_open(service == LB_CHOSEN);
	else if (service == LB_CHOSEN)
		err = flow_insert_service(scratch);
	else
		err = flow_insert_direct();
	if (err)
		return err;
	if (cfg_carry)
		flow_show_other_version(entry);
	p->xlate = *addr_of(entry->xlate_addr);
	if (choice->flags & SVC_FLAG_LEAST_CONN)
		ct_count_connection(entry, 1);
	flow_report_new(skb, p, inner, origin, to.identity);
	return FLOW_MADE;
}

/*
 * Decides a new flow and inserts its entries, for the packet in scratch->pkt. scratch->made is what this packet needs for forward()
 * in carry_direction(). enum flow_result or a negative reason. ICMP errors make no entries.
 */
INLINE int flow_create(struct __sk_buff *skb, const struct flow_origin *origin, struct scratch *scratch)
{
	scratch->origin = *origin;
	return flow_make(skb);
}

/* Could the packet begin a connection of a protocol that has any? */
INLINE int flow_begins(const struct pkt *p)
{
	return p->proto == L4_PROTO_TCP ? p->tcp_flags & TCP_SYN : p->tcp_flags == SCTP_INIT;
}

/* The address of one of the ends of a flow, which its packet `p` has found, after translation. 0, or 1 = it is gone. */
INLINE int flow_end(const struct pkt *p, const struct ct_entry *entry, __u32 dir, __u32 end, addr_t *addr)
{
	if (end == dir) {
		*addr = p->src;
		return 0;
	}
	if (dir == CT_DIR_REPLY && ct_is_masqueraded_reply(entry))
		return ct_client(p, entry, addr);
	*addr = dir == CT_DIR_FORWARD && (entry->flags & CT_FLAG_SVC_FORWARD) ? p->xlate : p->dst;
	return 0;
}

/*
 * A node that is reached in another way has another row. If an end of the flow of the packet in the scratch still is on such a node, the flow goes on by
 * the row of now: a new one might have another backend, or another port. 1 = the rows that it names are there.
 */
GLOBAL int flow_follow_nodes(void)
{
	struct scratch *scratch = scratch_get();
	struct ct_entry *entry = scratch ? ct_lookup(&scratch->pkt) : 0;
	struct ipcache_entry now;
	addr_t addr;
	__u32 dir;

	if (!entry)
		return 0;
	dir = ct_direction(entry, &scratch->pkt);
	for (__u32 end = 0; end < 2; end++) {
		if (!is_remote(entry->peer[end].kind) || node_of(entry->peer[end]))
			continue;
		if (flow_end(&scratch->pkt, entry, dir, end, &addr))
			return 0;
		peer_resolve(&addr, &now);
		if (now.peer.kind != entry->peer[end].kind || !node_of(now.peer))
			return 0;
		entry->peer[end] = now.peer;
	}
	return 1;
}

/*
 * May the packet, which is scratch->pkt, use this entry? Both ends must still be who they were. TCP connections and SCTP associations stay with
 * their backend, whatever its service thinks of it by now; new ones that reuse a port never go to one that may have no new ones. The rest follows its
 * backend: when that is gone, another is chosen at once.
 * *pod: whom the packet goes to if that is a pod of this node, else NULL.
 */
INLINE int flow_usable(const struct pkt *p, const struct ct_entry *entry, __u32 dir, struct endpoint **pod)
{
	const struct peer_ref *to = &entry->peer[(dir ^ 1) & 1];

	*pod = to->kind == PEER_KIND_LOCAL_POD ? endpoint_of(to) : 0;
	if (to->kind == PEER_KIND_LOCAL_POD && !*pod)
		return 0;
	if (is_remote(to->kind) && !node_of(*to) && !flow_follow_nodes())
		return 0;
	if (dir != CT_DIR_FORWARD)
		return 1;
	if (ct_is_masqueraded_reply(entry))
		return 0;
	if ((entry->flags & CT_FLAG_PORT_MAY_GO) && !nat_holds_port())
		return 0;
	/* A client that uses the port of a service flow for the backend itself, and no entry says how. */
	if ((entry->flags & (CT_FLAG_SVC_REPLY | CT_FLAG_SHARED)) && p->proto != L4_PROTO_TCP)
		return ct_is_shared(entry) && ct_touch_sharer();
	if (!(entry->flags & CT_FLAG_SVC_FORWARD))
		return 1;
	if (p->proto == L4_PROTO_TCP || p->proto == L4_PROTO_SCTP)
		return !flow_begins(p) || flow_backend_is(entry, BACKEND_FLAG_LIVE | BACKEND_FLAG_LOCAL);
	return flow_backend_is(entry, BACKEND_FLAG_SERVING);
}
