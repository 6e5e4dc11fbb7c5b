/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Direct server return, the part that XDP and tc share: which backend a packet from outside belongs to. While a set of backends is
 * stable nothing is remembered: the same Maglev table and the same hash give every packet of a flow the same backend on every
 * node. While a set changes, svc_entry names the table before it as well, and only flows on which the two disagree are remembered.
 */
#pragma once
#include "../maps/xdp.h"
#include "hash.h"
#include "parse.h"

/* Services that a table and a hash are not enough for: tc serves them with its own state. */
#define DSR_FLAGS_WANTED (SVC_FLAG_MAGLEV)
#define DSR_FLAGS_UNWANTED (SVC_FLAG_ADDRESS_ONLY | SVC_FLAG_LOCAL_EXTERNAL | SVC_FLAG_AFFINITY | SVC_FLAG_HOST_PORT)

enum dsr_limits {
	DSR_FLOW_TIMEOUT_S = 3600, /* an entry that was not used for so long says nothing about a flow */
};

struct dsr_choice {
	__u32 backend;     /* index into backends; 0 = leave the packet to tc */
	__u32 alternative; /* where the flow may live instead; 0 = nowhere */
};

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

/* Tells a node's backends apart in the encapsulation. Not unique; a mismatch only costs a search. */
INLINE __u16 dsr_tag(const struct backend *backend)
{
	const addr_t *addr = addr_of((void *)backend->addr);
	__u64 h = (addr->w[0] ^ addr->w[1] ^ backend->port) * 0x9e3779b97f4a7c15ull;

	return (__u16)(h >> 48);
}

INLINE int dsr_is_serving(__u32 index, const __u32 *generation)
{
	struct backend *backend = dsr_backend(index);

	return index && backend && (backend->flags & BACKEND_FLAG_SERVING) &&
	       (!generation || backend->generation == *generation);
}

/*
 * A packet on which the table in force (`now`) and the one before (`before`) disagree. Its entry decides; without one a new TCP
 * connection goes where new ones go, anything else where flows were before. The other backend is named to the node that gets the
 * packet, which knows better whether the flow lives there.
 */
NOINLINE void dsr_transition(const struct ct_key *key, __u32 is_syn, struct dsr_choice *out, __u32 before)
{
	struct dsr_flow *flow = bpf_map_lookup_elem(&fl_dsr_flows_1, key), made = {};
	__u32 now = out->backend, chosen = now, jiffies = jiffies32();

	if (flow && !is_syn && jiffies - flow->last_seen < DSR_FLOW_TIMEOUT_S * cfg_hz &&
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
		bpf_map_update_elem(&fl_dsr_flows_1, key, &made, BPF_ANY);
	}
	out->backend = chosen;
	if (is_syn)
		return;
	__u32 other = chosen == now ? before : now;

	if (dsr_is_serving(other, 0))
		out->alternative = other;
}
