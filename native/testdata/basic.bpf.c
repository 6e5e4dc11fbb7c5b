/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* One of each kind of program and map that the addon's tests use. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

const volatile __u32 verdict = 0;
const volatile __u64 wide = 1;
const volatile __u8 address[16] = {};

__u64 runs; /* .bss */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} calls SEC(".maps");

SEC("tc")
int first(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&runs, 1);
	skb->mark += 1;
	return verdict;
}

SEC("tc")
int second(struct __sk_buff *skb)
{
	return TC_ACT_UNSPEC;
}

SEC("tc")
int read_rodata(struct __sk_buff *skb)
{
	return (int)wide + address[15];
}

SEC("tc")
int jump(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &calls, 1);
	return 99;
}

/* Submits skb->mark records that count up; skb->priority != 0: without waking the reader. */
SEC("tc")
int emit(struct __sk_buff *skb)
{
	__u64 flags = skb->priority ? BPF_RB_NO_WAKEUP : 0;
	__u32 count = skb->mark;

	for (__u32 i = 0; i < 4096 && i < count; i++) {
		__u32 record[3] = {i, ~i, 0xfa171ead};

		if (bpf_ringbuf_output(&events, record, sizeof(record), flags))
			return 1;
	}
	return 0;
}

SEC("xdp")
int pass(struct xdp_md *xdp)
{
	return XDP_PASS;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	return verdict == 0;
}
