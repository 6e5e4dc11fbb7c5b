// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Makes packets that BPF_PROG_TEST_RUN itself cannot make, then tail-calls the program under test: ones that a VXLAN
 * device with collect_md has decapsulated (needs kernel 6.0 for local addresses in bpf_tunnel_key), and ones that are
 * shorter than an IP header, which newer kernels refuse as input. skb->mark is the length to cut to; 0 = leave.
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

struct tunnel_from {
	__u32 ipv4; /* outer source, host order; 0 = use ipv6 */
	__u32 vni;
	__u32 ipv6[4]; /* network order */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tunnel_from);
} driver_tunnel SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} driver_target SEC(".maps");

static __attribute__((always_inline)) inline int shorten(struct __sk_buff *skb)
{
	__u32 len = skb->mark;

	skb->mark = 0;
	return len && len < skb->len ? bpf_skb_change_tail(skb, len, 0) : 0;
}

/* Cuts the packet and hands it on; returns only on failure. */
static __attribute__((always_inline)) inline int hand_on(struct __sk_buff *skb)
{
	if (shorten(skb) < 0)
		return -103;
	bpf_tail_call(skb, &driver_target, 0);
	return -102;
}

SEC("tc")
int shortened(struct __sk_buff *skb)
{
	return hand_on(skb);
}

SEC("tc")
int decapsulated(struct __sk_buff *skb)
{
	struct bpf_tunnel_key key = {};
	__u32 zero = 0;
	struct tunnel_from *from = bpf_map_lookup_elem(&driver_tunnel, &zero);

	if (!from)
		return -100;
	key.tunnel_id = from->vni;
	if (from->ipv4)
		key.local_ipv4 = from->ipv4;
	else
		__builtin_memcpy(key.local_ipv6, from->ipv6, sizeof(key.local_ipv6));
	if (bpf_skb_set_tunnel_key(skb, &key, sizeof(key), from->ipv4 ? 0 : BPF_F_TUNINFO_IPV6) < 0)
		return -101;
	return hand_on(skb);
}

char _license[] SEC("license")
= "Dual BSD/GPL";
