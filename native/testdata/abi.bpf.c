// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The kernel's side of the codec test. Each shared struct has a map of its name with two rows: `fill` writes row 0 for
 * TypeScript to decode, `check` compares row 1, which TypeScript encoded. Every field, in the order of its declaration,
 * gets a number of its own above a base that tells its width; the numbers begin at FIRST_FILL and FIRST_CHECK.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "abi/ct.h"
#include "abi/dns.h"
#include "abi/drop.h"
#include "abi/event.h"
#include "abi/explain.h"
#include "abi/limits.h"
#include "abi/peer.h"
#include "abi/policy.h"
#include "abi/svc.h"
#include "abi/xdp.h"

#define FIRST_FILL 1
#define FIRST_CHECK 51

#define VALUE_U8(n) ((__u8)(0x40 + (n)))
#define VALUE_U16(n) ((__u16)(0xa000 + (n)))
#define VALUE_U32(n) ((__u32)(0xb0c0d000 + (n)))
#define VALUE_U64(n) (0x1122334455660000ULL + (n))
#define VALUE_BE16(n) bpf_htons(VALUE_U16(n))
#define VALUE_BE32(n) bpf_htonl(VALUE_U32(n))

#define FILL(kind, field) row->field = VALUE_##kind(n++);
#define CHECK(kind, field)                                                                                             \
	if (row->field != VALUE_##kind(n))                                                                             \
		return n;                                                                                              \
	n++;

#define TWICE(X, kind, field) X(kind, field[0]) X(kind, field[1])
#define SIX(X, kind, field)                                                                                            \
	TWICE(X, kind, field) X(kind, field[2]) X(kind, field[3]) X(kind, field[4]) X(kind, field[5])
#define SIXTEEN(X, kind, field)                                                                                        \
	SIX(X, kind, field)                                                                                            \
	X(kind, field[6])                                                                                              \
	X(kind, field[7])                                                                                              \
	X(kind, field[8])                                                                                              \
	X(kind, field[9])                                                                                              \
	X(kind, field[10])                                                                                             \
	X(kind, field[11]) X(kind, field[12]) X(kind, field[13]) X(kind, field[14]) X(kind, field[15])

#define FIELDS_peer_ref(X) X(U16, index) X(U8, gen) X(U8, kind)
#define FIELDS_ipcache_key(X) SIXTEEN(X, U8, addr)
#define FIELDS_cidr_key(X) X(U32, prefix_len) SIXTEEN(X, U8, addr)
#define FIELDS_ipcache_entry(X) X(U16, peer.index) X(U8, peer.gen) X(U8, peer.kind) X(U32, identity)
#define FIELDS_endpoint(X)                                                                                             \
	X(U32, ifindex)                                                                                                \
	X(U8, gen)                                                                                                     \
	X(U8, flags)                                                                                                   \
	SIX(X, U8, mac)                                                                                                \
	SIX(X, U8, host_mac)                                                                                           \
	X(U16, policy_gen) X(U32, identity) X(U32, policy_set) X(U32, identity6) SIXTEEN(X, U8, addr4) SIXTEEN(X, U8, addr6)
#define FIELDS_node(X)                                                                                                 \
	SIXTEEN(X, U8, tunnel)                                                                                         \
	SIXTEEN(X, U8, nexthop6) X(BE32, nexthop4) X(U32, ifindex) X(U16, mtu) X(U8, gen) X(U8, flags) X(U32, identity)
#define FIELDS_uplink(X) X(U32, ifindex) X(U32, mtu) SIXTEEN(X, U8, addr4) SIXTEEN(X, U8, addr6)
#define FIELDS_svc_key(X) SIXTEEN(X, U8, addr) X(BE16, port) X(U8, proto) X(U8, scope)
#define FIELDS_svc_entry(X)                                                                                            \
	X(U32, id)                                                                                                     \
	X(U32, generation)                                                                                             \
	X(U32, flags)                                                                                                  \
	X(U32, all_base)                                                                                               \
	X(U32, all_count)                                                                                              \
	X(U32, local_base)                                                                                             \
	X(U32, local_count) X(U32, prev_base) X(U32, prev_count) X(U32, affinity_timeout_s) X(U32, source_set) X(U32, transition)
#define FIELDS_slot_chunk(X) SIXTEEN(X, U32, backend)
#define FIELDS_backend(X)                                                                                              \
	SIXTEEN(X, U8, addr)                                                                                           \
	X(BE16, port)                                                                                                  \
	X(U8, proto) X(U8, flags) X(U32, generation) X(U16, peer.index) X(U8, peer.gen) X(U8, peer.kind) X(U32, svc_id)
#define FIELDS_affinity_key(X) SIXTEEN(X, U8, client) X(U32, svc_id)
#define FIELDS_affinity_entry(X) X(U32, backend) X(U32, generation) X(U32, last_used)
#define FIELDS_source_key(X) X(U32, prefix_len) X(U32, set) SIXTEEN(X, U8, addr)
#define FIELDS_sock_rev_key(X) X(U64, cookie) SIXTEEN(X, U8, addr) X(BE16, port)
#define FIELDS_sock_rev_entry(X) SIXTEEN(X, U8, addr) X(BE16, port) X(U32, svc_id)
#define FIELDS_ct4_key(X) X(BE32, lo) X(BE32, hi) X(BE16, lo_port) X(BE16, hi_port) X(U8, proto)
#define FIELDS_ct_key(X) SIXTEEN(X, U8, lo) SIXTEEN(X, U8, hi) X(BE16, lo_port) X(BE16, hi_port) X(U8, proto)
#define FIELDS_ct_common(X)                                                                                            \
	X(BE16, xlate_port)                                                                                            \
	X(BE16, snat_port)                                                                                             \
	X(U16, flags)                                                                                                  \
	X(U16, source)                                                                                                 \
	X(U16, peer[0].index)                                                                                          \
	X(U8, peer[0].gen)                                                                                             \
	X(U8, peer[0].kind)                                                                                            \
	X(U16, peer[1].index)                                                                                          \
	X(U8, peer[1].gen) X(U8, peer[1].kind) X(U32, last_seen) X(U32, backend) TWICE(X, U32, packets)                \
		TWICE(X, U64, bytes) X(U32, created) TWICE(X, U16, policy_gen) TWICE(X, U16, rule)
#define FIELDS_ct4_entry(X) FIELDS_ct_common(X) X(BE32, xlate_addr)
#define FIELDS_ct_entry(X) FIELDS_ct_common(X) SIXTEEN(X, U8, xlate_addr) SIXTEEN(X, U8, client)
#define FIELDS_frag_key(X) SIXTEEN(X, U8, src) SIXTEEN(X, U8, dst) X(U32, id) X(U8, proto) X(U8, leaving)
#define FIELDS_frag_entry(X)                                                                                           \
	X(BE16, sport)                                                                                                 \
	X(BE16, dport) X(U16, count) X(U16, seen) X(U16, total) X(U32, created) SIX(X, U16, start) SIX(X, U16, end)
#define FIELDS_drop_counter(X) X(U64, packets) X(U64, bytes)
#define FIELDS_flow_event(X)                                                                                           \
	X(U64, time_ns)                                                                                                \
	X(U8, type)                                                                                                    \
	X(U8, reason)                                                                                                  \
	X(U8, hook)                                                                                                    \
	X(U8, proto)                                                                                                   \
	X(U8, direction)                                                                                               \
	X(U8, tcp_flags)                                                                                               \
	X(U8, icmp_code)                                                                                               \
	X(U8, family)                                                                                                  \
	SIXTEEN(X, U8, src) SIXTEEN(X, U8, dst) SIXTEEN(X, U8, orig_dst) X(BE16, sport) X(BE16, dport)                 \
		X(BE16, orig_dport) X(U8, denied) X(U8, audited) X(U32, ifindex) X(U32, len) X(U32, src_identity)      \
			X(U32, dst_identity) TWICE(X, U16, rule) X(U32, svc_id) TWICE(X, U64, bytes)                   \
				TWICE(X, U32, packets)
#define FIELDS_event_bucket(X) X(U32, tokens) X(U32, refilled)
#define FIELDS_runtime_state(X)                                                                                            \
	X(U32, migrating) X(U32, external_ports) X(U32, former_ports) X(U16, snat_port_min) X(U16, snat_port_max)

#define FIELDS_policy_key(X) X(U32, set) X(U32, peer)
#define FIELDS_policy_extent(X) X(U32, base) X(U32, count)
#define FIELDS_policy_row(X) X(U32, key.set) X(U32, key.peer) X(U32, ranges.base) X(U32, ranges.count)
#define FIELDS_policy_set(X)                                                                                           \
	X(U32, pods[0].base)                                                                                           \
	X(U32, pods[0].count)                                                                                          \
	X(U32, pods[1].base)                                                                                           \
	X(U32, pods[1].count)                                                                                          \
	X(U32, others[0].base)                                                                                         \
	X(U32, others[0].count) X(U32, others[1].base) X(U32, others[1].count) X(U32, flags)
#define FIELDS_policy_range(X) X(U32, first) X(U32, verdict)
#define FIELDS_policy_denied(X) X(U64, packets) X(U64, bytes)

#define FIELDS_resolver_key(X) SIXTEEN(X, U8, addr) X(BE16, port) X(U8, proto)
#define FIELDS_dns_state(X) X(U32, ifindex) X(U32, alive)
#define FIELDS_explain_flow(X)                                                                                         \
	SIXTEEN(X, U8, src)                                                                                            \
	SIXTEEN(X, U8, dst) X(BE16, sport) X(BE16, dport) X(U8, proto) X(U8, family) X(U8, hook) X(U8, flags)          \
		X(U8, stage) X(U8, reason) X(U8, denied) X(U8, audited) X(BE16, backend_port)                          \
			SIXTEEN(X, U8, backend_addr) X(U32, svc_id) X(U32, svc_flags) X(U32, backend)                  \
				X(U16, peer[0].index) X(U8, peer[0].gen) X(U8, peer[0].kind) X(U16, peer[1].index)     \
					X(U8, peer[1].gen) X(U8, peer[1].kind) TWICE(X, U32, identity)                 \
						TWICE(X, U32, policy_set) TWICE(X, U16, rule)                          \
							TWICE(X, U8, endpoint_flags)

#define FIELDS_xdp_node(X)                                                                                             \
	SIXTEEN(X, U8, tunnel)                                                                                         \
	SIXTEEN(X, U8, source)                                                                                         \
	SIX(X, U8, dst_mac)                                                                                            \
	X(U16, mtu) SIX(X, U8, src_mac) X(U8, gen) X(U8, direct) X(U32, ifindex) X(U32, deadline)
#define FIELDS_xdp_service(X)                                                                                          \
	X(U64, key) X(U32, check) X(U16, slots) X(U8, kind) SIX(X, U32, backend) X(U32, backend[6])        \
		X(U32, backend[7]) X(U32, backend[8]) X(U32, backend[9]) X(U32, backend[10]) X(U32, backend[11])
#define FIELDS_dsr_flow(X) X(U32, backend) X(U32, generation) X(U32, last_seen) X(U32, transition)

#define STRUCTS(S)                                                                                                     \
	S(peer_ref)                                                                                                    \
	S(ipcache_key)                                                                                                 \
	S(cidr_key)                                                                                                    \
	S(ipcache_entry)                                                                                               \
	S(endpoint)                                                                                                    \
	S(node)                                                                                                        \
	S(svc_key)                                                                                                     \
	S(svc_entry)                                                                                                   \
	S(slot_chunk)                                                                                                  \
	S(backend) S(affinity_key) S(affinity_entry) S(source_key) S(sock_rev_key) S(sock_rev_entry) S(ct4_key)        \
		S(ct_key) S(ct4_entry) S(ct_entry) S(frag_key) S(frag_entry) S(drop_counter)              \
			S(flow_event) S(event_bucket) S(runtime_state) S(policy_key) S(policy_extent) S(policy_row)    \
				S(policy_set) S(policy_range) S(policy_denied) S(resolver_key)    \
					S(dns_state) S(explain_flow) S(xdp_node) S(xdp_service) S(dsr_flow)       \
						S(uplink)

#define DEFINE(name)                                                                                                   \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                                      \
		__uint(max_entries, 2);                                                                                \
		__type(key, __u32);                                                                                    \
		__type(value, struct name);                                                                            \
	} m_##name SEC(".maps");                                                                                       \
	static __attribute__((noinline)) int fill_##name(void)                                                         \
	{                                                                                                              \
		__u32 index = 0, n = FIRST_FILL;                                                                       \
		struct name *row = bpf_map_lookup_elem(&m_##name, &index);                                             \
		if (!row)                                                                                              \
			return -1;                                                                                     \
		FIELDS_##name(FILL) return n;                                                                          \
	}                                                                                                              \
	static __attribute__((noinline)) int check_##name(void)                                                        \
	{                                                                                                              \
		__u32 index = 1, n = FIRST_CHECK;                                                                      \
		struct name *row = bpf_map_lookup_elem(&m_##name, &index);                                             \
		if (!row)                                                                                              \
			return -1;                                                                                     \
		FIELDS_##name(CHECK) return 0;                                                                         \
	}
STRUCTS(DEFINE)

/* What each struct's check found: 0, or the number of the first field that differs. */
enum results {
#define NUMBER(name) RESULT_##name,
	STRUCTS(NUMBER) RESULT_COUNT,
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RESULT_COUNT);
	__type(key, __u32);
	__type(value, __u32);
} results SEC(".maps");

static __always_inline void report(__u32 index, __u32 result)
{
	bpf_map_update_elem(&results, &index, &result, BPF_ANY);
}

SEC("tc")
int fill(struct __sk_buff *skb __attribute__((unused)))
{
#define RUN_FILL(name) fill_##name();
	STRUCTS(RUN_FILL)
	return 0;
}

SEC("tc")
int check(struct __sk_buff *skb __attribute__((unused)))
{
#define RUN_CHECK(name) report(RESULT_##name, check_##name());
	STRUCTS(RUN_CHECK)
	return RESULT_COUNT;
}

char _license[] SEC("license")
= "Dual BSD/GPL";
