/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Service look-up and choice of a backend; used by packet and socket programs alike.
 */
#pragma once
#include "common.h"

enum lb_result {
	LB_CHOSEN = 0,
	LB_NOT_A_SERVICE = 1,
	/* negative: -DROP_REASON_* */
};

/* Where the client is; decides which traffic policy counts (service-semantics section 4). */
enum lb_client {
	LB_CLIENT_INSIDE = 0,  /* pod or process of this node */
	LB_CLIENT_OUTSIDE = 1, /* came in by an uplink or a tunnel */
};

struct lb_choice {
	addr_t addr;
	__be16 port;
	__u16 pad;
	__u32 backend;    /* index into backends */
	__u32 generation; /* of that row */
	__u32 svc_id;
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

/* Reads slot and backend of a service value that may be replaced meanwhile. 0, a reason, or 1 = try again. */
INLINE int lb_read_backend(const struct svc_entry *svc, enum lb_client client, __u32 seed, struct lb_choice *out)
{
	__u32 id = svc->id, generation = svc->generation, flags = svc->flags;
	__u32 local = flags & (client == LB_CLIENT_OUTSIDE ? SVC_FLAG_LOCAL_EXTERNAL : SVC_FLAG_LOCAL_INTERNAL);
	__u32 base = local ? svc->local_base : svc->all_base;
	__u32 len = local ? svc->local_count : svc->all_count;
	struct slot_chunk *chunk;
	struct backend *backend;

	if (len == 0)
		return local && (flags & SVC_FLAG_ANY_ENDPOINTS) ? -DROP_REASON_NO_LOCAL_BACKEND
								 : -DROP_REASON_NO_BACKEND;
	__u32 slot = base + seed % len, chunk_index = slot / LIMIT_SLOTS_PER_CHUNK;

	chunk = bpf_map_lookup_elem(&fl_slots_1, &chunk_index);
	if (!chunk)
		return 1;
	__u32 index = chunk->backend[slot % LIMIT_SLOTS_PER_CHUNK];

	backend = bpf_map_lookup_elem(&fl_backends_1, &index);
	if (!backend)
		return 1;
	out->addr = *addr_of(backend->addr);
	out->port = backend->port;
	out->backend = index;
	out->generation = backend->generation;
	out->svc_id = id;
	if (*(volatile __u32 *)&svc->generation != generation || *(volatile __u32 *)&svc->id != id)
		return 1;
	return 0;
}

/*
 * Chooses a backend for a new connection to addr:port.
 * Inside clients look at cluster addresses first, outside ones at external addresses. `seed` picks the slot: the same
 * seed gives the same backend while the set is the same.
 */
NOINLINE int lb_choose(const addr_t *addr, __u32 port_proto, enum lb_client client, __u32 seed, struct lb_choice *out)
{
	struct svc_key key __attribute__((aligned(8))) = {
		.port = port_proto >> 16,
		.proto = port_proto & 0xff,
		.scope = client == LB_CLIENT_OUTSIDE ? SVC_SCOPE_EXTERNAL : SVC_SCOPE_CLUSTER,
	};
	struct svc_entry *svc;
	int result = 1;

	*addr_of(key.addr) = *addr;
	svc = bpf_map_lookup_elem(&fl_services_1, &key);
	if (!svc) {
		key.scope = client == LB_CLIENT_OUTSIDE ? SVC_SCOPE_CLUSTER : SVC_SCOPE_EXTERNAL;
		svc = bpf_map_lookup_elem(&fl_services_1, &key);
	}
	if (!svc) {
		key.port = 0;
		key.proto = 0;
		key.scope = 0;
		return bpf_map_lookup_elem(&fl_services_1, &key) ? -DROP_REASON_UNDEFINED_PORT : LB_NOT_A_SERVICE;
	}
	for (int attempt = 0; attempt < 2 && result == 1; attempt++)
		result = lb_read_backend(svc, client, seed, out);
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
	return LB_CHOSEN;
}

INLINE __u32 lb_port_proto(__be16 port, __u8 proto)
{
	return (__u32)port << 16 | proto;
}

/* Services exist at node addresses (NodePort, hostPort): one array look-up instead of a hash look-up per packet. */
INLINE int lb_has_external_ports(void)
{
	__u32 zero = 0;
	struct runtime_state *state = bpf_map_lookup_elem(&fl_runtime_1, &zero);

	return state && state->external_ports;
}
