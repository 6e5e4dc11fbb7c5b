/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Direct server return in tc, the backend's node: opens envelopes that XDP did not open, finds the pod that a packet is for, and sends the
 * middle of a connection that is unknown here to where it may be known.
 */
#pragma once
#include "dsr_tc.h"

enum dsr_tc_limits {
	DSR_SCAN_SLOTS = 128, /* of a table that are searched for a backend of this node */
	DSR_SENT_ON_MAX = 2,  /* to the node that the envelope names, and to the one that this node's tables name */
};

/* One header of an envelope, at `off`. */
struct dsr_header {
	addr_t src;
	addr_t dst;
	__u32 len;
	__u16 tag;
	__u8 proto;
};

/* What the tag of an envelope says of its way. */
INLINE void dsr_take_tag(struct dsr_packet *in, __u16 tag)
{
	in->tag = tag & DSR_TAG_MASK;
	in->sent_on = 0;
	if (tag & DSR_TAG_SENT_ON) {
		in->sent_on = tag & DSR_TAG_AGAIN ? 1 : DSR_SENT_ON_MAX;
		in->tag = tag & DSR_TAG_COMPARED;
	}
}

NOINLINE int dsr_read_header(struct __sk_buff *skb, __u32 off, __u32 family, struct dsr_header *h)
{
	if (family == 4) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, off, &ip, sizeof(ip)) < 0 || ip.version != 4 || ip.ihl < 5)
			return 1;
		h->src = addr_from_ipv4(ip.saddr);
		h->dst = addr_from_ipv4(ip.daddr);
		h->len = ip.ihl * 4;
		h->tag = bpf_ntohs(ip.id);
		h->proto = ip.protocol;
		return 0;
	}
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, off, &ip, sizeof(ip)) < 0 || ip.version != 6)
		return 1;
	__builtin_memcpy(&h->src, &ip.saddr, 16);
	__builtin_memcpy(&h->dst, &ip.daddr, 16);
	h->len = IPV6_LEN;
	h->tag = (__u16)ip.flow_lbl[1] << 8 | ip.flow_lbl[2];
	h->proto = ip.nexthdr;
	return 0;
}

INLINE __u32 dsr_family_inside(__u8 proto)
{
	return proto == IPPROTO_IPIP ? 4 : 6;
}

/*
 * Opens an envelope for this node, and the second one inside it if there is one. 0 = scratch->pkt is the content, unparsed; 1 = not for
 * a service, so somebody else's tunnel; negative reason.
 */
GLOBAL int dsr_open(struct __sk_buff *skb)
{
	struct scratch *scratch = scratch_again();

	if (!scratch || !dsr_on())
		return 1;
	struct dsr_packet *in = &scratch->dsr;
	struct pkt *p = &scratch->pkt;
	struct dsr_header outer, inner;
	struct ipcache_entry *owner;
	__u32 off = ETH_LEN, family, strip;
	__be16 type;

	if (dsr_read_header(skb, off, p->family, &outer))
		return 1;
	strip = outer.len;
	family = dsr_family_inside(outer.proto);
	if (dsr_read_header(skb, off + strip, family, &inner))
		return 1;
	if (in->received) { /* the overlay was the envelope: this is what names another backend */
		in->hint = outer.dst;
		in->hint_tag = outer.tag & DSR_TAG_MASK;
	} else {
		dsr_take_tag(in, outer.tag);
	}
	if (!in->received && dsr_is_envelope(inner.proto)) {
		in->hint = inner.dst;
		in->hint_tag = inner.tag & DSR_TAG_MASK;
		strip += inner.len;
		family = dsr_family_inside(inner.proto);
		if (dsr_read_header(skb, off + strip, family, &inner))
			return 1;
	}
	if (!lb_maybe_vip(&inner.dst) && !dsr_is_entry(&inner.dst, in->sent_on))
		return 1;
	owner = bpf_map_lookup_elem(&fl_ipcache_1, &outer.src);
	if (!owner || owner->peer.kind != PEER_KIND_REMOTE_NODE)
		return -DROP_REASON_TUNNEL_SOURCE;
	__u64 flags = ROOM_FIXED_GSO;

	if (family != p->family)
		flags |= family == 4 ? ROOM_DECAP_L3_IPV4 : ROOM_DECAP_L3_IPV6;
	type = family == 4 ? bpf_htons(ETH_IPV4) : bpf_htons(ETH_IPV6);
	if (bpf_skb_adjust_room(skb, -(__s32)strip, BPF_ADJ_ROOM_MAC, flags) < 0 ||
	    bpf_skb_store_bytes(skb, 2 * 6, &type, sizeof(type), 0) < 0)
		return -DROP_REASON_REWRITE_FAILED;
	in->received = 1;
	__builtin_memset(p, 0, sizeof(*p));
	return 0;
}

/* What was in an envelope; one copy of the parser more, but not inlined. */
NOINLINE int dsr_parse_content(struct __sk_buff *skb, struct pkt *p)
{
	return parse_packet(skb, p);
}

/* Begins with a packet: takes the mark that XDP left. */
NOINLINE void dsr_begin(struct __sk_buff *skb, struct dsr_packet *in)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;
	__u16 tag;

	__builtin_memset(in, 0, sizeof(*in));
	if (dsr_to_servers() || (void *)(eth + 1) > data_end || !dsr_is_marked(eth))
		return;
	tag = bpf_ntohs(*(__be16 *)(eth->h_source + 4));
	in->received = 1;
	dsr_take_tag(in, tag);
}

/* Did the packet at hand come in an envelope? For checks that see no scratch memory. */
INLINE int dsr_was_received(void)
{
	struct scratch *scratch = scratch_again();

	return scratch && scratch->dsr.received;
}

/*
 * 1 = a backend of this node that may have flows. `tag` 0 = any.
 * Global, as are the functions below: the verifier walks them once, with unknown arguments, and not for each way that leads to them.
 */
GLOBAL int dsr_is_here(__u32 index, __u32 tag)
{
	struct backend *backend = index && dsr_on() ? dsr_backend(index) : 0;

	return backend && (backend->flags & BACKEND_FLAG_SERVING) &&
	       (!tag || !((dsr_tag(backend) ^ tag) & DSR_TAG_COMPARED)) &&
	       dsr_owner(backend).kind == PEER_KIND_LOCAL_POD;
}

/* The backend of one slot if it is here, else 0. Slots behind the last are the first again. */
GLOBAL int dsr_try_slot(__u32 base, __u32 count, __u32 slot, __u32 tag)
{
	__u32 offset = slot < count ? slot : slot - count;
	__u32 at = base + offset, chunk_index = at / LIMIT_SLOTS_PER_CHUNK;
	struct slot_chunk *chunk = dsr_on() && offset < count ? bpf_map_lookup_elem(&fl_slots_1, &chunk_index) : 0;
	__u32 index = chunk ? chunk->backend[at % LIMIT_SLOTS_PER_CHUNK] : 0;

	return dsr_is_here(index, tag) ? index : 0;
}

/* Searches part of a table or a list, from the flow's own slot on, for a backend of this node. 0 = none. */
NOINLINE __u32 dsr_search(__u32 base, __u32 count, __u32 hash, __u32 tag)
{
	__u32 slot = flow_slot(hash, count);

	for (int i = 0; i < DSR_SCAN_SLOTS; i++) {
		__u32 index = dsr_try_slot(base, count, slot + i, tag);

		if (index)
			return index;
	}
	return 0;
}

/*
 * Which backend of this node a packet is for. The tag names it; the tables of the sender and of this node may differ, so it is
 * searched for, and any backend of the service here is better than none. A sender that is ahead names one that waits here for its place in the
 * table, but is in the list of this node's own (entries of earlier versions have none). One that is behind names one that the table in force
 * has no more, and in a row of changes the table before may have it in other slots than the flow's. 0 = none.
 */
INLINE __u32 dsr_local_backend(const struct svc_entry *svc, __u32 now, __u32 before, __u32 hash, __u32 tag)
{
	__u32 base = svc->local_count ? svc->local_base : svc->all_base;
	__u32 count = svc->local_count ? svc->local_count : svc->all_count;
	__u32 found;

	if (dsr_is_here(now, tag))
		return now;
	if (dsr_is_here(before, tag))
		return before;
	found = dsr_search(base, count, hash, tag);
	if (!found)
		found = dsr_search(svc->prev_base, svc->prev_count, hash, tag);
	if (found)
		return found;
	if (dsr_is_here(now, 0))
		return now;
	if (dsr_is_here(before, 0))
		return before;
	return dsr_search(base, count, hash, 0);
}

INLINE int dsr_is_other_node(const addr_t *tunnel)
{
	addr_t own = addr_is_ipv4(tunnel) ? addr_config(cfg_node_addr4) : addr_config(cfg_node_addr6);

	return !addr_is_zero(tunnel) && !addr_equal(tunnel, &own);
}

/*
 * Another node that a connection unknown here may live on: the one the envelope names, or what this node's own tables say. Where the balancer is
 * behind, only these name the newest backends. 1 = in->target and in->hint_tag are set.
 */
INLINE int dsr_find_other(struct dsr_packet *in, __u32 now, __u32 before)
{
	__u32 other = in->received ? now : in->alternative;
	struct backend *backend;

	in->target = in->hint;
	if (!dsr_is_other_node(&in->hint)) {
		dsr_target_of(other, &in->target);
		if (addr_is_zero(&in->target) && in->received) {
			other = before;
			dsr_target_of(other, &in->target);
		}
		backend = dsr_backend(other);
		in->hint_tag = backend ? dsr_tag(backend) : 0;
	}
	return dsr_is_other_node(&in->target);
}

/*
 * A packet without a conntrack entry that came in an envelope or was kept for a backend of this node: if it is in the middle of a
 * connection and that may live elsewhere, it is sent there, and once more from there; otherwise scratch->dsr.backend is the choice.
 * DSR_GO_ON or a verdict.
 */
GLOBAL int dsr_settle(struct __sk_buff *skb)
{
	struct scratch *scratch = scratch_again();

	if (!scratch || !dsr_on())
		return DSR_GO_ON;
	struct dsr_packet *in = &scratch->dsr;
	struct pkt *p = &scratch->pkt;
	struct svc_entry *svc = dsr_service(p, &p->dst);
	__u32 hash, now, before = 0;

	if (!svc && in->received && dsr_is_entry(&p->dst, 1)) {
		addr_t own = node_addr(p->family); /* a NodePort is open on every node, at its own address */

		svc = dsr_service(p, &own);
	}
	if (!svc)
		return in->received ? drop(skb, p, DROP_REASON_DSR_NOT_OURS, HOOK_FROM_UPLINK) : DSR_GO_ON;
	hash = flow_hash(&p->src, &p->dst, p->sport, p->dport, p->proto);
	now = dsr_slot(svc->all_base, svc->all_count, hash);
	if (svc->prev_count)
		before = dsr_slot(svc->prev_base, svc->prev_count, hash);
	if (p->proto == L4_PROTO_TCP && !(p->tcp_flags & TCP_SYN) && in->sent_on < DSR_SENT_ON_MAX &&
	    dsr_find_other(in, now, before)) {
		in->tag = (in->hint_tag & DSR_TAG_COMPARED) | DSR_TAG_SENT_ON | (in->sent_on ? 0 : DSR_TAG_AGAIN);
		in->hint = (addr_t){};
		return DSR_SEND;
	}
	if (!in->received)
		return DSR_GO_ON;
	in->backend = dsr_local_backend(svc, now, before, hash, in->tag);
	return in->backend ? DSR_GO_ON : drop(skb, p, DROP_REASON_DSR_NOT_OURS, HOOK_FROM_UPLINK);
}
