// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Conntrack and services as another version of Fairlead might lay them out: fields in another order, wider, narrower,
 * gone and new. `fill` makes FLOWS flows, `go_on` is what the old programs do while entries are carried over.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define FLOWS 1000
#define FLAG_ESTABLISHED 16

struct peer_ref {
	__u32 index; /* wider than ours */
	__u8 gen;
	__u8 kind;
	__u16 pad;
};

struct ct4_key {
	__be16 hi_port;
	__be16 lo_port;
	__be32 hi;
	__be32 lo;
	__u16 proto;
	__u16 pad;
};

struct ct_entry {
	__u64 packets[2]; /* wider than ours */
	__u64 forgotten;  /* ours has no such field */
	__u32 last_seen;
	__u32 created;
	struct peer_ref peer[2];
	__be32 xlate_addr;
	__be16 xlate_port;
	__u16 flags;
};

struct svc_key {
	__u8 addr[16];
	__be16 port;
	__u8 proto;
	__u8 scope;
};

struct svc_entry {
	__u32 id;
	__u32 all_count;
	__u32 all_base;
	__u32 flags;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct ct4_key);
	__type(value, struct ct_entry);
} old_ct4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct svc_key);
	__type(value, struct svc_entry);
} old_services SEC(".maps");

static __always_inline void add_flow(__u32 i, __u16 flags, __u32 seen)
{
	struct ct4_key key = {
		.lo = bpf_htonl(0x0a000001),
		.hi = bpf_htonl(0x0a010000 + i),
		.lo_port = bpf_htons(80),
		.hi_port = bpf_htons(10000 + i),
		.proto = 6,
	};
	struct ct_entry entry = {
		.packets = {i, 2},
		.forgotten = 7,
		.last_seen = seen,
		.created = 1000 + i,
		.xlate_port = bpf_htons(8080),
		.flags = flags,
	};

	entry.peer[0].index = i;
	entry.peer[1].kind = 5;
	entry.xlate_addr = 0x5a5a5a5a;
	bpf_map_update_elem(&old_ct4, &key, &entry, BPF_ANY);
}

SEC("tc")
int fill(struct __sk_buff *skb __attribute__((unused)))
{
	struct svc_key key = {.port = bpf_htons(443), .proto = 6};
	struct svc_entry entry = {.id = 77, .all_count = 3, .all_base = 16, .flags = 8};

	for (__u32 i = 0; i < FLOWS; i++)
		add_flow(i, 1, 5000);
	bpf_map_update_elem(&old_services, &key, &entry, BPF_ANY);
	return FLOWS;
}

/* Flow 0 gets its first answer, a flow appears, and one is there whose peer does not fit our narrower field. */
SEC("tc")
int go_on(struct __sk_buff *skb __attribute__((unused)))
{
	add_flow(0, 1 | FLAG_ESTABLISHED, 6000);
	add_flow(FLOWS, 1, 6000);
	add_flow(70000, 1, 6000);
	return 0;
}

char _license[] SEC("license")
= "Dual BSD/GPL";
