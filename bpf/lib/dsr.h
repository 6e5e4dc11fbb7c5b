/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Direct server return, the part that XDP and tc share: which backend a packet from outside belongs to. While a set of backends is
 * stable nothing is remembered: the same Maglev table and the same hash give every packet of a flow the same backend on every
 * node. While a set changes, svc_entry names the table before it as well, and only flows on which the two disagree are remembered.
 */
#pragma once
#include "../maps/xdp.h"
#include "hash.h"
#include "lb.h"
#include "parse.h"

/* Services that a table and a hash are not enough for: tc serves them with its own state. */
#define DSR_FLAGS_WANTED (SVC_FLAG_MAGLEV)
#define DSR_FLAGS_UNWANTED                                                                                             \
	(SVC_FLAG_ADDRESS_ONLY | SVC_FLAG_LOCAL_EXTERNAL | SVC_FLAG_AFFINITY | SVC_FLAG_HOST_PORT | SVC_FLAG_TRACKED)

/* The tag of an encapsulated packet: in the IPv4 identification or the flow label, in network order. */
enum dsr_tag_bits {
	DSR_TAG_MASK = 0x7fff,
	DSR_TAG_SENT_ON = 0x8000, /* by a backend's node that does not know the flow */
	DSR_TAG_AGAIN = 0x4000, /* of what was sent on: the next node may do so once more. Otherwise a bit of the tag */
	DSR_TAG_COMPARED = 0x3fff,
};

/* Source address of frames that XDP has taken out of their encapsulation; the last two bytes are the tag. */
enum dsr_marker {
	DSR_MARKER_HIGH = 0x02fa, /* locally administered */
	DSR_MARKER_LOW = 0x4453,
};

enum dsr_limits {
	DSR_FLOW_TIMEOUT_S = 3600, /* an entry that was not used for so long says nothing about a flow */
};

struct dsr_choice {
	__u32 backend;     /* index into backends; 0 = leave the packet to tc */
	__u32 alternative; /* where the flow may live instead; 0 = nowhere */
};

/* Do servers answer that know nothing of this dataplane (standalone mode)? They get no tags, no second envelope, and send no envelopes. */
INLINE int dsr_to_servers(void)
{
	return cfg_north_south == NORTH_SOUTH_SERVER_IPIP || cfg_north_south == NORTH_SOUTH_SERVER_LINK;
}

/* Does the hash alone decide? Otherwise the packet takes the way with connection tracking. */
INLINE int dsr_is_served(const struct svc_entry *svc)
{
	return (svc->flags & (DSR_FLAGS_WANTED | DSR_FLAGS_UNWANTED)) == DSR_FLAGS_WANTED && !svc->source_set;
}

/* Backend index in the slot of this hash; 0 = none. */
INLINE __u32 dsr_slot(__u32 base, __u32 count, __u32 hash)
{
	__u32 slot = base + flow_slot(hash, count), chunk_index = slot / LIMIT_SLOTS_PER_CHUNK;
	struct slot_chunk *chunk = bpf_map_lookup_elem(&fl_slots_1, &chunk_index);

	return chunk && count ? chunk->backend[slot % LIMIT_SLOTS_PER_CHUNK] : 0;
}

INLINE struct backend *dsr_backend(__u32 index)
{
	return bpf_map_lookup_elem(&fl_backends_1, &index);
}

/* Is this port of the node's own address a service's? For TCP and UDP. */
INLINE int dsr_is_node_port(__u8 proto, __be16 port)
{
	__u32 bit = bpf_ntohs(port) + (proto == L4_PROTO_UDP ? PORT_BITS_UDP : PORT_BITS_TCP), element = bit >> 6;
	__u64 *word = bpf_map_lookup_elem(&fl_ports_1, &element);

	return word && (*word >> (bit & 63)) & 1;
}

/* 0 = certainly no node has the address (or no pod has one in this network). */
INLINE int dsr_has_inside_bit(const addr_t *addr)
{
	__u32 bit = lb_filter_bit(addr), element = bit >> 6;
	__u64 *word = bpf_map_lookup_elem(&fl_inside_1, &element);

	return word && (*word >> (bit & 63)) & 1;
}

/* 0 = the address is certainly none of the cluster. Its own clients of NodePorts get the way with connection tracking. */
INLINE int dsr_maybe_inside(const addr_t *addr)
{
	addr_t net = *addr;

	net.w[1] &= addr_is_ipv4(addr) ? 0x00ffffffffffffffull : 0;
	return dsr_has_inside_bit(addr) || dsr_has_inside_bit(&net);
}

/*
 * Is the destination of what was in an envelope the address of a node, so that it was sent to a NodePort? Of this node only if another one
 * has sent it on: before that nobody would put what came to us into an envelope to us.
 */
INLINE int dsr_is_entry(const addr_t *addr, __u32 sent_on)
{
	struct ipcache_entry *owner;

	if (!dsr_has_inside_bit(addr))
		return 0;
	owner = bpf_map_lookup_elem(&fl_ipcache_1, addr);
	return owner && (owner->peer.kind == PEER_KIND_REMOTE_NODE || (owner->peer.kind == PEER_KIND_HOST && sent_on));
}

/* Tells a node's backends apart in the encapsulation. Not unique; a mismatch only costs a search. Host order. */
INLINE __u16 dsr_tag(const struct backend *backend)
{
	const addr_t *addr = addr_of((void *)backend->addr);
	__u64 h = (addr->w[0] ^ addr->w[1] ^ backend->port) * 0x9e3779b97f4a7c15ull;

	return (__u16)(h >> 49);
}

/* Is the source of this frame the mark of a packet that XDP has unpacked? */
INLINE int dsr_is_marked(const struct ethhdr *eth)
{
	return *(const __be16 *)eth->h_source == bpf_htons(DSR_MARKER_HIGH) &&
	       *(const __be16 *)(eth->h_source + 2) == bpf_htons(DSR_MARKER_LOW);
}

INLINE void dsr_mark(struct ethhdr *eth, __u16 tag)
{
	*(__be16 *)eth->h_source = bpf_htons(DSR_MARKER_HIGH);
	*(__be16 *)(eth->h_source + 2) = bpf_htons(DSR_MARKER_LOW);
	*(__be16 *)(eth->h_source + 4) = bpf_htons(tag);
}

/* The outer IPv4 header, complete. It must not be fragmented: the length was checked. */
INLINE void dsr_fill_ipv4(struct iphdr *ip, __be32 source, __be32 target, __u8 proto, __u8 tos, __u16 len, __u16 tag)
{
	__u32 first = 0x45 | (__u32)tos << 8 | (__u32)bpf_htons(len) << 16;
	__u32 second = bpf_htons(tag) | (__u32)bpf_htons(0x4000) << 16;
	__u64 sum = (__u64)first + second + (64 | (__u32)proto << 8) + source + target;

	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	((__u32 *)ip)[0] = first;
	((__u32 *)ip)[1] = second;
	((__u32 *)ip)[2] = 64 | (__u32)proto << 8 | (__u32)(__u16)~sum << 16;
	ip->saddr = source;
	ip->daddr = target;
}

INLINE void dsr_fill_ipv6(struct ipv6hdr *ip, const addr_t *source, const addr_t *target, __u8 proto, __u8 tos,
			  __u16 len, __u16 tag)
{
	*(__be32 *)ip = bpf_htonl(6u << 28 | (__u32)tos << 20 | tag);
	ip->payload_len = bpf_htons(len);
	ip->nexthdr = proto;
	ip->hop_limit = 64;
	__builtin_memcpy(&ip->saddr, source, 16);
	__builtin_memcpy(&ip->daddr, target, 16);
}

INLINE int dsr_is_serving(__u32 index, const __u32 *generation)
{
	struct backend *backend = dsr_backend(index);

	return index && backend && (backend->flags & BACKEND_FLAG_SERVING) &&
	       (!generation || backend->generation == *generation);
}

/*
 * A packet on which the table in force (`now`) and the one before (`before`) disagree, or may have disagreed (dsr_choose). Its entry decides; without one a new TCP
 * connection goes where new ones go, anything else where flows were before. The other backend is named to the node that gets the
 * packet, which knows better whether the flow lives there.
 */
NOINLINE void dsr_transition(const struct ct_key *key, __u32 is_syn, struct dsr_choice *out, __u32 before,
			     __u32 transition)
{
	struct dsr_flow *flow = bpf_map_lookup_elem(&fl_dsr_flows_1, key), made = {};
	__u32 now = out->backend, chosen = now, jiffies = jiffies32();

	if (flow && !is_syn && flow->transition == transition &&
	    jiffies - flow->last_seen < DSR_FLOW_TIMEOUT_S * cfg_hz &&
	    dsr_is_serving(flow->backend, &flow->generation)) {
		chosen = flow->backend;
		if (jiffies - flow->last_seen >= cfg_hz)
			flow->last_seen = jiffies;
	} else {
		if (!is_syn && dsr_is_serving(before, 0))
			chosen = before;
		struct backend *backend = dsr_backend(chosen);

		made.backend = chosen;
		made.generation = backend ? backend->generation : 0;
		made.last_seen = jiffies;
		made.transition = transition;
		bpf_map_update_elem(&fl_dsr_flows_1, key, &made, BPF_ANY);
	}
	out->backend = chosen;
	if (is_syn)
		return;
	__u32 other = chosen == now ? before : now;

	if (other == chosen || key->proto != L4_PROTO_TCP)
		return; /* there is no other, or nobody could tell whether the flow is a new one */

	if (dsr_is_serving(other, 0))
		out->alternative = other;
}

/*
 * The table in force says which backend; the answer is what the table before says, if that is another one, for dsr_transition to
 * judge; 0 = they agree or no set changes. Tables of different sizes cannot be made to disagree wherever two earlier ones did
 * (agent/reconcile/services-tables.ts): then every flow is remembered. Call dsr_confirm when everything has been read.
 */
INLINE __u32 dsr_choose(const struct svc_entry *svc, __u32 hash, struct dsr_choice *out)
{
	__u32 before;

	out->alternative = 0;
	out->backend = dsr_slot(svc->all_base, svc->all_count, hash);
	if (!svc->prev_count)
		return 0;
	before = dsr_slot(svc->prev_base, svc->prev_count, hash);
	return before != out->backend || (svc->flags & SVC_FLAG_REMEMBERED) ? before : 0;
}

/* 1 = the entry still is what was read; otherwise the way with connection tracking tries again. */
INLINE int dsr_confirm(const struct svc_entry *svc, __u32 id, __u32 generation)
{
	return *(volatile __u32 *)&svc->generation == generation && *(volatile __u32 *)&svc->id == id;
}
