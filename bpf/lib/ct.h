/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Connection tracking: keys, directions, TCP states, and the references an entry holds.
 */
#pragma once
#include <linux/errno.h>
#include "drop.h"
#include "own.h"
#include "peer.h"

/* Of a packet that has ports at all: are both of them its identifier? */
INLINE int ct_is_echo(const struct pkt *p)
{
	return p->proto == L4_PROTO_ICMP || p->proto == L4_PROTO_ICMPV6;
}

/* 1 if the packet's source is the `hi` side of its key. */
INLINE __u32 ct_src_is_hi(const struct pkt *p)
{
	if (p->src.w[1] != p->dst.w[1])
		return p->src.w[1] > p->dst.w[1];
	return p->src.w[0] != p->dst.w[0] ? p->src.w[0] > p->dst.w[0] : p->sport > p->dport;
}

/*
 * The last 8 bytes of either key: lo_port, hi_port, proto and zeros. Keys are written in whole words, because the kernel reads them in words at once:
 * a word that has just been written in pieces keeps the CPU waiting until they have reached its cache.
 */
INLINE __u64 ct_key_tail(const struct pkt *p, __u32 src_is_hi)
{
	__u32 ports = src_is_hi ? p->ports >> 16 | p->ports << 16 : p->ports;

	return (__u64)p->proto << 32 | ports;
}

/* The canonical key with 16-byte addresses; `key` must be 8-byte aligned. Returns ct_src_is_hi(). */
INLINE __u32 ct_make_key(const struct pkt *p, struct ct_key *key)
{
	__u32 src_is_hi = ct_src_is_hi(p);

	*addr_of(key->lo) = src_is_hi ? p->dst : p->src;
	*addr_of(key->hi) = src_is_hi ? p->src : p->dst;
	*(__u64 *)&key->lo_port = ct_key_tail(p, src_is_hi);
	return src_is_hi;
}

/* The same for IPv4. */
INLINE __u32 ct_make_key4(const struct pkt *p, struct ct4_key *key)
{
	__u32 src_is_hi = ct_src_is_hi(p);
	const addr_t *lo = src_is_hi ? &p->dst : &p->src, *hi = src_is_hi ? &p->src : &p->dst;

	*(__u64 *)&key->lo = lo->w[1] >> 32 | (hi->w[1] & 0xffffffff00000000);
	*(__u64 *)&key->lo_port = ct_key_tail(p, src_is_hi);
	return src_is_hi;
}

/* Did the table of a family ever run full? Then flows are in two places. */
INLINE __u32 *ct_full_state(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&fl_ctfull_1, &zero);
}

INLINE int ct_was_full(void)
{
	__u32 *state = ct_full_state();

	return state && *state;
}

/* The direction of a packet that has found `entry`. */
INLINE __u32 ct_direction_from(const struct ct_entry *entry, __u32 src_is_hi)
{
	return !!(entry->flags & CT_FLAG_INITIATOR_IS_HI) != src_is_hi ? CT_DIR_REPLY : CT_DIR_FORWARD;
}

/*
 * The entry of the packet's flow, in either direction; NULL = none. p->xlate gets the entry's address: only there it has the
 * same form for both families. What lies behind the common fields of the result may not be read. *src_is_hi: ct_src_is_hi().
 */
INLINE struct ct_entry *ct_lookup_side(struct pkt *p, __u32 *src_is_hi)
{
	if (p->family == 4) {
		struct ct4_key key __attribute__((aligned(8)));
		struct ct4_entry *entry;

		*src_is_hi = ct_make_key4(p, &key);
		entry = bpf_map_lookup_elem(&fl_ct4_1, &key);
		if (!entry && ct_was_full())
			entry = bpf_map_lookup_elem(&fl_ctfull4_1, &key);
		if (entry)
			p->xlate = addr_from_ipv4(entry->xlate_addr);
		return (struct ct_entry *)entry;
	}
	struct ct_key key __attribute__((aligned(8)));
	struct ct_entry *entry;

	*src_is_hi = ct_make_key(p, &key);
	entry = bpf_map_lookup_elem(&fl_ct6_1, &key);
	if (!entry && ct_was_full())
		entry = bpf_map_lookup_elem(&fl_ctfull6_1, &key);
	if (entry)
		p->xlate = *addr_of(entry->xlate_addr);
	return entry;
}

INLINE struct ct_entry *ct_lookup(struct pkt *p)
{
	__u32 src_is_hi;

	return ct_lookup_side(p, &src_is_hi);
}

/* The same with the packet's direction. */
INLINE struct ct_entry *ct_lookup_directed(struct pkt *p, __u32 *dir)
{
	__u32 src_is_hi;
	struct ct_entry *entry = ct_lookup_side(p, &src_is_hi);

	if (entry)
		*dir = ct_direction_from(entry, src_is_hi);
	return entry;
}

/* Is it the entry for replies of a masqueraded flow? Its initiator's packets have another key. */
INLINE int ct_is_masqueraded_reply(const struct ct_entry *entry)
{
	return (entry->flags & (CT_FLAG_MASQUERADE | CT_FLAG_SVC_REPLY)) == (CT_FLAG_MASQUERADE | CT_FLAG_SVC_REPLY);
}

/* ct_lookup for what lies deep on the stack: its key is in the scratch. */
NOINLINE struct ct_entry *ct_find(struct pkt *p)
{
	struct scratch *scratch = scratch_get();
	struct ct_entry *entry;

	if (!scratch)
		return 0;
	if (p->family == 4) {
		struct ct4_entry *found;

		ct_make_key4(p, (struct ct4_key *)&scratch->key);
		found = bpf_map_lookup_elem(&fl_ct4_1, &scratch->key);
		if (!found && ct_was_full())
			found = bpf_map_lookup_elem(&fl_ctfull4_1, &scratch->key);
		if (found)
			p->xlate = addr_from_ipv4(found->xlate_addr);
		return (struct ct_entry *)found;
	}
	ct_make_key(p, &scratch->key);
	entry = bpf_map_lookup_elem(&fl_ct6_1, &scratch->key);
	if (!entry && ct_was_full())
		entry = bpf_map_lookup_elem(&fl_ctfull6_1, &scratch->key);
	if (entry)
		p->xlate = *addr_of(entry->xlate_addr);
	return entry;
}

/*
 * The initiator of a masqueraded flow; its port is entry->snat_port. `entry` is the one for replies, which `p` has found. Of an IPv6 flow it is looked
 * up again: the verifier cannot tell that the entry is the longer one. 0, or 1 = it is gone.
 */
NOINLINE int ct_client(const struct pkt *p, const struct ct_entry *entry, addr_t *client)
{
	struct scratch *scratch;
	struct ct_entry *same;

	if (p->family == 4) {
		*client = addr_from_ipv4((__u32)entry->bytes[0]);
		return 0;
	}
	scratch = scratch_get();
	if (!scratch)
		return 1;
	ct_make_key(p, &scratch->key);
	same = bpf_map_lookup_elem(&fl_ct6_1, &scratch->key);
	if (!same && ct_was_full())
		same = bpf_map_lookup_elem(&fl_ctfull6_1, &scratch->key);
	if (!same)
		return 1;
	*client = *addr_of(same->client);
	return 0;
}

/* ct_insert's second choice. Updates of `overflow`, which evicts, succeed unless BPF_NOEXIST finds an entry. */
INLINE long ct_insert_overflow(void *overflow, const void *key, const void *entry, __u64 flags)
{
	__u32 *state = ct_full_state();

	count(METRIC_CT_FULL);
	if (state && !*state)
		*state = 1;
	return bpf_map_update_elem(overflow, key, entry, flags);
}

/* ct_insert of an IPv4 flow whose entry is complete. */
INLINE int ct_insert4(const struct pkt *p, const struct ct_entry *entry, __u64 flags)
{
	struct ct4_key key __attribute__((aligned(8)));
	long err;

	ct_make_key4(p, &key);
	err = bpf_map_update_elem(&fl_ct4_1, &key, entry, flags);
	if (err == -E2BIG)
		return ct_insert_overflow(&fl_ctfull4_1, &key, entry, flags);
	if (!err && ct_was_full())
		bpf_map_delete_elem(&fl_ctfull4_1, &key);
	return err;
}

/*
 * Inserts scratch->made for scratch->pkt, or for scratch->inner if `inner`, with BPF_NOEXIST or BPF_ANY; sets CT_FLAG_INITIATOR_IS_HI of an entry whose
 * initiator sent that packet. A flow that finds the table full is kept where new flows evict each other. 0 or an error.
 */
GLOBAL int ct_insert(__u32 inner, __u64 flags)
{
	struct scratch *scratch = scratch_get();
	long err;

	if (!scratch)
		return -EINVAL;
	const struct pkt *p = inner ? &scratch->inner : &scratch->pkt;
	struct ct_entry *entry = &scratch->made;

	entry->flags &= ~CT_FLAG_INITIATOR_IS_HI;
	if (ct_src_is_hi(p))
		entry->flags |= CT_FLAG_INITIATOR_IS_HI;
	if (p->family == 4) {
		((struct ct4_entry *)entry)->xlate_addr = addr_ipv4(addr_of(entry->xlate_addr));
		return ct_insert4(p, entry, flags);
	}
	struct ct_key key __attribute__((aligned(8)));

	ct_make_key(p, &key);
	err = bpf_map_update_elem(&fl_ct6_1, &key, entry, flags);
	if (err == -E2BIG)
		return ct_insert_overflow(&fl_ctfull6_1, &key, entry, flags);
	if (!err && ct_was_full())
		bpf_map_delete_elem(&fl_ctfull6_1, &key);
	return err;
}

/* The same, without a call for IPv4. */
INLINE int ct_put(struct scratch *scratch, __u32 inner, __u64 flags)
{
	const struct pkt *p = inner ? &scratch->inner : &scratch->pkt;
	struct ct_entry *entry = &scratch->made;

	if (p->family != 4)
		return ct_insert(inner, flags);
	entry->flags &= ~CT_FLAG_INITIATOR_IS_HI;
	if (ct_src_is_hi(p))
		entry->flags |= CT_FLAG_INITIATOR_IS_HI;
	((struct ct4_entry *)entry)->xlate_addr = addr_ipv4(addr_of(entry->xlate_addr));
	return ct_insert4(p, entry, flags);
}

NOINLINE void ct_delete(const struct pkt *p)
{
	if (p->family == 4) {
		struct ct4_key key __attribute__((aligned(8)));

		ct_make_key4(p, &key);
		if (bpf_map_delete_elem(&fl_ct4_1, &key) < 0)
			bpf_map_delete_elem(&fl_ctfull4_1, &key);
		return;
	}
	struct ct_key key __attribute__((aligned(8)));

	ct_make_key(p, &key);
	if (bpf_map_delete_elem(&fl_ct6_1, &key) < 0)
		bpf_map_delete_elem(&fl_ctfull6_1, &key);
}

INLINE __u32 ct_direction(const struct ct_entry *entry, const struct pkt *p)
{
	return ct_direction_from(entry, ct_src_is_hi(p));
}

/*
 * Reports the end of a flow with its counts. `p` has found `entry`, which counts what goes in its direction if there is a `partner`, which
 * counts the rest.
 */
NOINLINE void ct_report_close(const struct pkt *p, const struct ct_entry *entry, const struct ct_entry *partner,
			      __u32 dir)
{
	int masqueraded = dir == CT_DIR_REPLY && ct_is_masqueraded_reply(entry);
	struct flow_event *event;

	count(METRIC_CT_CLOSED);
	if (!cfg_events)
		return;
	event = event_reserve(EVENT_TYPE_FLOW_CLOSE, 0, p);
	if (!event)
		return;
	event->direction = dir;
	event->len = 0;
	if (masqueraded) {
		ct_client(p, entry, addr_of(event->dst));
		event->dport = entry->snat_port;
	}
	for (__u32 i = 0; i < 2; i++) {
		const struct ct_entry *counted = partner && i != dir ? partner : entry;

		if (masqueraded && !partner && i == CT_DIR_FORWARD)
			continue;
		event->bytes[i] = counted->bytes[i];
		event->packets[i] = counted->packets[i];
	}
	event_submit(event);
}

/*
 * Adds to the open connections of the flow's backend. The count names the row's generation as entries do: what is left of the backend that had the
 * row before is neither counted for this one nor taken off it.
 */
INLINE void ct_count_connection(const struct ct_entry *entry, int by)
{
	__u32 index = entry->backend & CT_BACKEND_INDEX_MASK, generation = entry->backend - index;
	__u32 *open = bpf_map_lookup_elem(&fl_conns_1, &index);

	if (!open)
		return;
	if ((*open & ~(__u32)CT_BACKEND_INDEX_MASK) == generation) {
		if (by > 0 || (*open & CT_BACKEND_INDEX_MASK))
			__sync_fetch_and_add(open, by);
	} else if (by > 0) {
		*open = generation | 1;
	}
}

/*
 * ct_partner of a masqueraded flow. A port that another flow has taken over leads to that one, and so does an initiator that has another backend by
 * now, maybe with the same port: each of the two entries must name what the other one's key has.
 */
NOINLINE struct ct_entry *ct_masqueraded_partner(const struct pkt *p, struct pkt *other, const struct ct_entry *entry,
						 __u32 dir)
{
	struct ct_entry *partner;
	addr_t client;

	other->dst = p->xlate;
	other->dport = entry->xlate_port;
	other->sport = entry->snat_port;
	if (dir == CT_DIR_REPLY) {
		if (!ct_is_masqueraded_reply(entry) || ct_client(p, entry, &other->src))
			return 0;
		partner = ct_find(other);
		if (!partner || ct_is_masqueraded_reply(partner) || partner->snat_port != p->dport ||
		    !addr_equal(&other->xlate, &p->src) || (!ct_is_echo(p) && partner->xlate_port != p->sport))
			return 0;
		return partner;
	}
	other->src = own_addr(p->family, entry->source);
	if (ct_is_echo(p))
		other->dport = other->sport;
	partner = ct_find(other);
	if (!partner || !ct_is_masqueraded_reply(partner) || partner->snat_port != p->sport ||
	    !addr_equal(&other->xlate, &p->dst) || partner->xlate_port != p->dport ||
	    ct_client(other, partner, &client) || !addr_equal(&client, &p->src))
		return 0;
	return partner;
}

/*
 * The other entry of the translated flow whose entry `p` has found; NULL = there is none. Of a node that talks to itself it is not
 * looked for.
 */
INLINE struct ct_entry *ct_partner(const struct pkt *p, struct pkt *other, const struct ct_entry *entry, __u32 dir)
{
	__u32 flags = entry->flags, wanted = dir == CT_DIR_REPLY ? CT_FLAG_SVC_REPLY : CT_FLAG_SVC_FORWARD;
	struct ct_entry *partner;

	other->family = p->family;
	other->proto = p->proto;
	if (flags & CT_FLAG_MASQUERADE)
		return ct_masqueraded_partner(p, other, entry, dir);
	if ((flags & (wanted | CT_FLAG_HOST_LOOP)) != wanted)
		return 0;
	other->src = dir == CT_DIR_REPLY ? p->dst : p->src;
	other->sport = dir == CT_DIR_REPLY ? p->dport : p->sport;
	if (entry->snat_port && !(flags & CT_FLAG_SHARED))
		other->sport = entry->snat_port;
	other->dst = p->xlate;
	other->dport = entry->xlate_port;
	partner = ct_find(other);
	if (!partner || ((flags | partner->flags) & CT_FLAG_SHARED))
		return partner;
	/* The initiator's port may be that of a later flow by now, which has another responder. */
	if (!addr_equal(&other->xlate, dir == CT_DIR_REPLY ? &p->src : &p->dst) ||
	    partner->xlate_port != (dir == CT_DIR_REPLY ? p->sport : p->dport))
		return 0;
	return partner;
}

enum {
	/* What one entry of a translated flow learns for both. */
	CT_FLAGS_OF_BOTH = CT_FLAG_ESTABLISHED | CT_FLAG_CLOSING | CT_FLAG_FIN_FORWARD | CT_FLAG_FIN_REPLY,
};

/* An entry whose flags become these. The last of them takes an open connection off its backend. */
INLINE void ct_set_flags(struct ct_entry *entry, __u16 flags)
{
	if ((flags & CT_FLAG_FIN_FORWARD) && (flags & CT_FLAG_FIN_REPLY))
		flags |= CT_FLAG_CLOSING;
	if ((flags & CT_FLAG_COUNTED) && (flags & CT_FLAG_CLOSING)) {
		ct_count_connection(entry, -1);
		flags &= ~CT_FLAG_COUNTED;
	}
	if ((flags & ~entry->flags) & CT_FLAG_CLOSING)
		entry->last_seen = jiffies32(); /* how long its port rests counts from here */
	entry->flags = flags;
}

/*
 * The entry of the flow that shares the key of `entry`, for a packet in its forward direction; `other` becomes that packet with the port the
 * flow has. NULL = it is gone.
 */
INLINE struct ct_entry *ct_sharer(const struct pkt *p, struct pkt *other, const struct ct_entry *entry)
{
	struct ct_entry *sharer;

	*other = *p;
	other->sport = entry->snat_port;
	sharer = ct_find(other);
	return sharer && (sharer->flags & (CT_FLAG_SHARED | CT_FLAG_SVC_REPLY)) == CT_FLAG_SHARED ? sharer : 0;
}

INLINE int ct_is_shared(const struct ct_entry *entry)
{
	return (entry->flags & (CT_FLAG_SHARED | CT_FLAG_SVC_REPLY)) == (CT_FLAG_SHARED | CT_FLAG_SVC_REPLY);
}

/*
 * May the TCP packet establish its connection? An answered SYN proves nothing: whoever sent it may not be who got the answer. But flows that share an entry
 * are told apart by what comes back only.
 */
INLINE int ct_may_complete(const struct pkt *p, __u32 flags)
{
	return (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_ACK || (flags & CT_FLAG_SHARED);
}

/*
 * Does it? From the responder each does that follows the SYN-ACK, from the initiator each that follows an answer. `partner` is the other entry of a
 * translated flow, if there is one: that sees the other direction.
 */
INLINE int ct_completes(const struct pkt *p, const struct ct_entry *entry, const struct ct_entry *partner, __u32 dir)
{
	if (!ct_may_complete(p, entry->flags))
		return 0;
	if (dir == CT_DIR_REPLY || (entry->flags & CT_FLAG_HOST_LOOP))
		return 1;
	return (partner ? partner : entry)->packets[CT_DIR_REPLY] != 0;
}

/* Would a SYN in this direction begin another connection? The forward entry of a service flow never sees replies. */
INLINE int ct_is_over(const struct ct_entry *entry, __u32 dir)
{
	__u32 flags = entry->flags;

	if (flags & CT_FLAG_CLOSING)
		return 1;
	if (dir != CT_DIR_FORWARD)
		return 0;
	return (flags & (CT_FLAG_SVC_REPLY | CT_FLAG_SHARED)) ||
	       ((flags & CT_FLAG_SVC_FORWARD) && (flags & CT_FLAG_FIN_FORWARD));
}

/* ct_follow of the packet in the scratch. */
GLOBAL int ct_follow_counted(void)
{
	struct scratch *scratch = scratch_get();
	struct ct_entry *entry, *partner;
	__u16 flags;
	__u32 dir;

	if (!scratch)
		return 1;
	struct pkt *p = &scratch->pkt;

	entry = ct_find(p);
	if (!entry)
		return 1;
	dir = ct_direction(entry, p);
	if ((p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && ct_is_over(entry, dir))
		return 0;
	if (dir == CT_DIR_FORWARD && ct_is_shared(entry)) {
		entry = ct_sharer(p, &scratch->inner, entry);
		if (!entry)
			return 1;
	}
	flags = entry->flags;
	if (p->tcp_flags & TCP_RST)
		flags |= CT_FLAG_CLOSING;
	if (p->tcp_flags & TCP_FIN)
		flags |= dir == CT_DIR_FORWARD ? CT_FLAG_FIN_FORWARD : CT_FLAG_FIN_REPLY;
	if ((flags & CT_FLAG_FIN_FORWARD) && (flags & CT_FLAG_FIN_REPLY))
		flags |= CT_FLAG_CLOSING;
	if (flags == entry->flags && ((flags & CT_FLAG_ESTABLISHED) || !ct_may_complete(p, flags)))
		return 1;
	partner = ct_partner(p, &scratch->inner, entry, dir);
	if (ct_completes(p, entry, partner, dir))
		flags |= CT_FLAG_ESTABLISHED;
	if ((flags & ~entry->flags) & CT_FLAG_CLOSING)
		ct_report_close(p, entry, partner, dir);
	ct_set_flags(entry, flags);
	if (partner)
		ct_set_flags(partner, partner->flags | (flags & CT_FLAGS_OF_BOTH));
	return 1;
}

/*
 * Follows a TCP connection: when it is established, see ct_completes; it is closing after a RST or a FIN of each side. Of a service flow each entry sees one
 * side. `p` is copied into the scratch, where it is already but for XDP. 0 = the packet is a SYN that begins another one, else 1.
 */
INLINE int ct_follow(const struct pkt *p)
{
	struct scratch *scratch = scratch_get();

	if (!scratch)
		return 1;
	scratch->pkt = *p;
	return ct_follow_counted();
}

/* Is the flow still there that shares the entry of the packet in the scratch? It has no other sign of life of its initiator. */
GLOBAL int ct_touch_sharer(void)
{
	struct scratch *scratch = scratch_get();
	struct ct_entry *entry = scratch ? ct_lookup(&scratch->pkt) : 0, *sharer;

	sharer = entry ? ct_sharer(&scratch->pkt, &scratch->inner, entry) : 0;
	if (!sharer)
		return 0;
	sharer->last_seen = jiffies32();
	return 1;
}

/* An answer that proves nothing, because whoever sent the INIT may not be who got it (RFC 9260 section 5.1). */
INLINE int ct_is_first_answer(const struct pkt *p)
{
	return p->proto == L4_PROTO_SCTP && p->tcp_flags == SCTP_INIT_ACK;
}

/*
 * Counts a packet of an existing flow. A new SYN on a flow that is closing, or on an entry that belongs to a service's
 * reply side, starts a new connection: returns 0 then, and the caller makes new entries. Otherwise 1.
 */
INLINE int ct_touch(const struct pkt *p, struct ct_entry *entry, __u32 dir)
{
	__u32 now = jiffies32();

	if (p->proto == L4_PROTO_TCP) {
		if (((p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST)) || !(entry->flags & CT_FLAG_ESTABLISHED)) &&
		    !ct_follow(p))
			return 0;
	} else if (dir == CT_DIR_REPLY && !(entry->flags & CT_FLAG_ESTABLISHED) && !ct_is_first_answer(p)) {
		entry->flags |= CT_FLAG_ESTABLISHED;
	}
	if (now - entry->last_seen >= cfg_hz)
		entry->last_seen = now;
	entry->packets[dir & 1]++;
	entry->bytes[dir & 1] += p->ip_len;
	return 1;
}
