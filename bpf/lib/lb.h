/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Service look-up and choice of a backend; used by packet and socket programs alike.
 */
#pragma once
#include "common.h"
#include "hash.h"
#include "lb_types.h"

enum lb_result {
	LB_CHOSEN = 0,
	LB_NOT_A_SERVICE = 1,
	LB_PACKET_PATH = 2, /* a socket program cannot judge this service: the packets' programs do */
			    /* negative: -DROP_REASON_* */
};

/* Where the client is; decides which traffic policy counts (service-semantics section 4). */
enum lb_client {
	LB_CLIENT_INSIDE = 0,  /* pod or process of this node */
	LB_CLIENT_OUTSIDE = 1, /* came in by an uplink or a tunnel */
};

/* Bit of an address in vip_filter. User space computes the same. */
INLINE __u32 lb_filter_bit(const addr_t *a)
{
	__u32 w1 = a->w[0] >> 32, w2 = a->w[1], w3 = a->w[1] >> 32;
	__u32 h = (__u32)a->w[0] ^ (w1 << 8 | w1 >> 24) ^ (w2 << 16 | w2 >> 16) ^ (w3 << 24 | w3 >> 8);

	return (h * 0x9e3779b1u) >> 16;
}

/* 0 = the address is certainly no service's. */
INLINE int lb_maybe_vip(const addr_t *addr)
{
	__u32 bit = lb_filter_bit(addr), element = bit >> 6;
	__u64 *word = bpf_map_lookup_elem(&fl_vip_filter_1, &element);

	return word && (*word >> (bit & 63)) & 1;
}

/* Is the client in the set that may use the service (loadBalancerSourceRanges)? */
INLINE int lb_source_allowed(const struct lb_query *q, __u32 set)
{
	struct source_key key __attribute__((aligned(8))) = {.prefix_len = 32 + 128, .set = set};

	*addr_of(key.addr) = q->src;
	return bpf_map_lookup_elem(&fl_sources_1, &key) != 0;
}

/* See ct_count_connection. */
INLINE __u32 lb_open_connections(__u32 index)
{
	__u32 *open = bpf_map_lookup_elem(&fl_conns_1, &index);
	struct backend *backend = bpf_map_lookup_elem(&fl_backends_1, &index);

	if (!open || !backend || *open >> CT_BACKEND_INDEX_BITS != (backend->generation & 0xff))
		return 0;
	return *open & CT_BACKEND_INDEX_MASK;
}

/* Index of the backend in a slot; 0 = no such slot. */
INLINE __u32 lb_slot(__u32 slot)
{
	__u32 chunk_index = slot / LIMIT_SLOTS_PER_CHUNK;
	struct slot_chunk *chunk = bpf_map_lookup_elem(&fl_slots_1, &chunk_index);

	return chunk ? chunk->backend[slot % LIMIT_SLOTS_PER_CHUNK] : 0;
}

/* A backend of the extent by the service's algorithm; 0 = none. */
INLINE __u32 lb_pick(const struct lb_query *q, __u32 flags, __u32 base, __u32 len)
{
	__u32 seed = q->seed, index;

	if ((flags & SVC_FLAG_MAGLEV) && q->sport)
		seed = flow_hash(&q->src, &q->dst, q->sport, q->dport, q->proto);
	else if (!seed)
		seed = bpf_get_prandom_u32();
	index = lb_slot(base + flow_slot(seed, len));
	if (flags & SVC_FLAG_LEAST_CONN) {
		__u32 other = lb_slot(base + flow_slot(bpf_get_prandom_u32(), len));

		if (lb_open_connections(other) < lb_open_connections(index))
			return other;
	}
	return index;
}

/* Reads a row that has one of `flags`. 0, or 1 = it is not what was looked for. */
INLINE int lb_read_backend(__u32 index, __u8 flags, struct lb_choice *out)
{
	struct backend *backend = bpf_map_lookup_elem(&fl_backends_1, &index);

	if (!index || !backend || !(backend->flags & flags))
		return 1;
	out->addr = *addr_of(backend->addr);
	out->port = backend->port;
	out->backend = index;
	out->generation = backend->generation;
	out->peer = backend->peer;
	return 0;
}

/*
 * The backend that this client had last, if the service still wants it there (row in use, in the list that counts on this
 * path, time not over). Each use is a new connection and starts the time anew. 0 = `out` is set.
 */
INLINE int lb_affine(const struct affinity_key *key, __u32 timeout_s, __u8 flags, struct lb_choice *out)
{
	struct affinity_entry *entry = bpf_map_lookup_elem(&fl_affinity_1, key);
	__u32 now = jiffies32();

	if (!entry || now - entry->last_used > timeout_s * cfg_hz)
		return 1;
	if (lb_read_backend(entry->backend, flags, out) || out->generation != entry->generation)
		return 1;
	if (!cfg_dry_run)
		entry->last_used = now;
	return 0;
}

/*
 * Chooses among the backends of a service value that may become that of another service meanwhile. `source_set` is what it had when its clients were
 * judged. 0, a reason, or 1 = it did, or names a backend that is gone: look it up again.
 */
INLINE int lb_try(const struct lb_query *q, const struct svc_entry *svc, __u32 source_set, struct lb_choice *out)
{
	__u32 id = svc->id, generation = svc->generation, flags = svc->flags, timeout_s = svc->affinity_timeout_s;
	__u32 sources = svc->source_set;
	__u32 local = flags & (q->client == LB_CLIENT_OUTSIDE ? SVC_FLAG_LOCAL_EXTERNAL : SVC_FLAG_LOCAL_INTERNAL);
	__u32 base = local ? svc->local_base : svc->all_base;
	__u32 len = local ? svc->local_count : svc->all_count;
	__u8 wanted = local ? BACKEND_FLAG_LOCAL : BACKEND_FLAG_LIVE;
	struct affinity_key key __attribute__((aligned(8))) = {.svc_id = id};
	int err;

	asm volatile("" ::: "memory"); /* all of it has been read */
	if (*(volatile __u32 *)&svc->generation != generation || *(volatile __u32 *)&svc->id != id ||
	    sources != source_set)
		return 1;
	if (len == 0)
		return local && (flags & SVC_FLAG_ANY_ENDPOINTS) ? -DROP_REASON_NO_LOCAL_BACKEND
								 : -DROP_REASON_NO_BACKEND;
	out->svc_id = id;
	out->flags = flags;
	if (flags & SVC_FLAG_AFFINITY) {
		*addr_of(key.client) = q->src;
		if (!lb_affine(&key, timeout_s, wanted, out))
			return 0;
	}
	err = lb_read_backend(lb_pick(q, local ? flags & ~SVC_FLAG_MAGLEV : flags, base, len), 0xff, out);
	if (*(volatile __u32 *)&svc->generation != generation || *(volatile __u32 *)&svc->id != id)
		return 1;
	if (!err && !cfg_dry_run && (flags & SVC_FLAG_AFFINITY)) {
		struct affinity_entry entry __attribute__((aligned(8))) = {
			.backend = out->backend,
			.generation = out->generation,
			.last_used = jiffies32(),
		};

		bpf_map_update_elem(&fl_affinity_1, &key, &entry, BPF_ANY);
	}
	return err;
}

/*
 * Chooses a backend for a new connection. Inside clients look at cluster addresses first, outside ones at external addresses.
 * LB_CHOSEN, LB_NOT_A_SERVICE, LB_PACKET_PATH or a reason.
 */
NOINLINE int lb_choose(const struct lb_query *q, struct lb_choice *out)
{
	int outside = q->client == LB_CLIENT_OUTSIDE;
	struct svc_key key __attribute__((aligned(8)));
	struct svc_entry *svc;
	__u32 source_set;
	int result;

	svc_key_fill(&key, &q->dst, q->dport, q->proto, outside ? SVC_SCOPE_EXTERNAL : SVC_SCOPE_CLUSTER);
	svc = bpf_map_lookup_elem(&fl_services_1, &key);
	if (!svc) {
		key.scope = outside ? SVC_SCOPE_CLUSTER : SVC_SCOPE_EXTERNAL;
		svc = bpf_map_lookup_elem(&fl_services_1, &key);
	}
	if (!svc) {
		key.port = 0;
		key.proto = 0;
		key.scope = 0;
		return bpf_map_lookup_elem(&fl_services_1, &key) ? -DROP_REASON_UNDEFINED_PORT : LB_NOT_A_SERVICE;
	}
	source_set = svc->source_set;
	if (addr_is_zero(&q->src) && (source_set || svc->flags & (SVC_FLAG_AFFINITY | SVC_FLAG_LEAST_CONN)))
		return LB_PACKET_PATH;
	if (source_set && !lb_source_allowed(q, source_set))
		return -DROP_REASON_SOURCE_RANGE;
	result = lb_try(q, svc, source_set, out);
	if (result == 1) { /* an element that was replaced is the next one's that is written */
		svc = bpf_map_lookup_elem(&fl_services_1, &key);
		result = svc ? lb_try(q, svc, source_set, out) : 1;
	}
	return result == 1 ? -DROP_REASON_NO_BACKEND : result;
}

/* A choice that was made elsewhere. */
INLINE int lb_given(__u32 index, struct lb_choice *out)
{
	struct backend *backend = bpf_map_lookup_elem(&fl_backends_1, &index);

	if (!backend)
		return -DROP_REASON_NO_BACKEND;
	out->addr = *addr_of(backend->addr);
	out->port = backend->port;
	out->backend = index;
	out->generation = backend->generation;
	out->peer = backend->peer;
	return LB_CHOSEN;
}

/* Services exist at node addresses (NodePort, hostPort): one array look-up instead of a hash look-up per packet. */
INLINE int lb_has_external_ports(void)
{
	__u32 zero = 0;
	struct runtime_state *state = bpf_map_lookup_elem(&fl_runtime_1, &zero);

	return state && state->external_ports;
}
