/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Flows while the tables they are in are replaced by tables of another layout (runtime.migrating). The agent copies all entries before and
 * after it swaps programs; until it has done so, programs of both versions run and each table lacks something. Programs that were loaded for
 * such a change, which have cfg_carry, therefore look up what they miss in the old table, and write what they make into it as well.
 * A value is converted byte by byte, so that order, width and byte order of its fields may differ. Keys must be the same.
 */
#pragma once
#include "ct.h"

enum carry_table {
	CARRY_CT4 = 1,
	CARRY_CT6 = 2,
};

/* What cfg_carry_* has for a byte instead of a place. */
enum carry_place {
	CARRY_MUST_BE_ZERO = 254, /* of an old number wider than its field: it does not fit if this byte is used */
	CARRY_NONE = 255,         /* zero */
};

enum carry_limits {
	CARRY_VALUE_MAX = 128,
};
_Static_assert(sizeof(struct ct_entry) <= CARRY_VALUE_MAX, "an entry can be carried");
_Static_assert(sizeof(cfg_carry_ct6_in) == CARRY_VALUE_MAX, "every byte has a place");
_Static_assert(sizeof(((struct carried *)0)->value) == CARRY_VALUE_MAX, "any value can be built");

/* Stand-ins for the tables of the other layout, which the agent puts in their places when it loads the programs. */
#define CARRY_MAP(name, key_type)                                                                                      \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_HASH);                                                                       \
		__uint(max_entries, 1);                                                                                \
		__uint(map_flags, BPF_F_NO_PREALLOC);                                                                  \
		__uint(key_size, sizeof(struct key_type));                                                             \
		__uint(value_size, 128);                                                                               \
	} name SEC(".maps")

CARRY_MAP(fl_ct4_old, ct4_key);
CARRY_MAP(fl_ct6_old, ct_key);

INLINE int carry_is_on(__u32 table)
{
	__u32 zero = 0;
	struct runtime_state *state = bpf_map_lookup_elem(&fl_runtime_1, &zero);

	return (cfg_carry & table) && state && state->migrating;
}

/* The value in the other layout, as far as both have a place for its bytes. The verifier knows the places: they are constants. */
INLINE void carry_convert(__u8 *to, const __u8 *from, const volatile __u8 *places)
{
	for (__u32 i = 0; i < CARRY_VALUE_MAX; i++) {
		__u8 place = places[i];

		to[i] = place < CARRY_MUST_BE_ZERO ? from[place] : 0;
	}
}

/* Converts an old value. 0 if one of its numbers does not fit. */
INLINE int carry_convert_in(__u8 *to, const __u8 *old, const volatile __u8 *in, const volatile __u8 *out)
{
	for (__u32 i = 0; i < CARRY_VALUE_MAX; i++) {
		if (out[i] == CARRY_MUST_BE_ZERO && old[i])
			return 0;
	}
	carry_convert(to, old, in);
	return 1;
}

/* Is the flow in the new table now? Another packet or the agent may have been faster. */
INLINE int carry_is_in(long err)
{
	return err == 0 || err == -EEXIST;
}

/* Takes the flow of scratch->pkt over from the old table. 0 = it is not there. */
INLINE int carry_flow_in(struct scratch *scratch)
{
	struct carried *c = &scratch->carried;
	struct pkt *p = &scratch->pkt;
	__u8 *old;

	if (p->family == 4) {
		ct_make_key4(p, (struct ct4_key *)&c->key);
		old = carry_is_on(CARRY_CT4) ? bpf_map_lookup_elem(&fl_ct4_old, &c->key) : 0;
		return old && carry_convert_in(c->value, old, cfg_carry_ct4_in, cfg_carry_ct4_out) &&
		       carry_is_in(bpf_map_update_elem(&fl_ct4_1, &c->key, c->value, BPF_NOEXIST));
	}
	ct_make_key(p, &c->key);
	old = carry_is_on(CARRY_CT6) ? bpf_map_lookup_elem(&fl_ct6_old, &c->key) : 0;
	return old && carry_convert_in(c->value, old, cfg_carry_ct6_in, cfg_carry_ct6_out) &&
	       carry_is_in(bpf_map_update_elem(&fl_ct6_1, &c->key, c->value, BPF_NOEXIST));
}

/*
 * The flow of the packet in the scratch, which the new table does not have: if the old one does, both have it now, the packet is counted,
 * and scratch->made is its entry. A SYN begins a flow of its own anyway. 1 = found.
 */
GLOBAL int carry_recall(void)
{
	struct scratch *scratch = scratch_get();
	struct ct_entry *entry;

	if (!scratch)
		return 0;
	struct pkt *p = &scratch->pkt;

	if ((p->flags & PKT_ICMP_ERROR) ||
	    (p->proto == L4_PROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) || !carry_flow_in(scratch))
		return 0;
	entry = ct_find(p);
	if (!entry || (ct_is_masqueraded_reply(entry) && ct_direction(entry, p) == CT_DIR_FORWARD))
		return 0;
	*(struct ct4_entry *)&scratch->made = *(struct ct4_entry *)entry;
	*addr_of(scratch->made.xlate_addr) = p->xlate;
	return ct_touch(p, entry, ct_direction(entry, p));
}

/* Direction of the packet in scratch->made, which it has begun unless that was recalled. */
INLINE __u32 carry_direction(const struct scratch *scratch)
{
	return cfg_carry ? ct_direction(&scratch->made, &scratch->pkt) : CT_DIR_FORWARD;
}

/* Writes the entry that the new table has for `p` into the old one. */
INLINE void carry_flow_out(const struct pkt *p, struct carried *c)
{
	__u8 *entry;

	if (p->family == 4) {
		ct_make_key4(p, (struct ct4_key *)&c->key);
		entry = carry_is_on(CARRY_CT4) ? bpf_map_lookup_elem(&fl_ct4_1, &c->key) : 0;
		if (!entry)
			return;
		carry_convert(c->value, entry, cfg_carry_ct4_out);
		bpf_map_update_elem(&fl_ct4_old, &c->key, c->value, BPF_ANY);
		return;
	}
	ct_make_key(p, &c->key);
	entry = carry_is_on(CARRY_CT6) ? bpf_map_lookup_elem(&fl_ct6_1, &c->key) : 0;
	if (!entry)
		return;
	carry_convert(c->value, entry, cfg_carry_ct6_out);
	bpf_map_update_elem(&fl_ct6_old, &c->key, c->value, BPF_ANY);
}

/* Shows the programs of the other version one of the entries of the flow that was just made: that of scratch->pkt or scratch->inner. */
GLOBAL int carry_show(__u32 inner)
{
	struct scratch *scratch = scratch_get();

	if (scratch)
		carry_flow_out(inner ? &scratch->inner : &scratch->pkt, &scratch->carried);
	return 0;
}
