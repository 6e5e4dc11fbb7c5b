// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Feeds a program under BPF_PROG_TEST_RUN with repeat: a plain repeat would give it its own output. Every round writes
 * the next flow's headers over the packet and tail-calls slot `target`: 0 = the program to measure, 1 = an empty one,
 * whose time is that of this driver.
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

enum bench_limits {
	BENCH_FLOWS = 65536,
	BENCH_HEADERS = 80, /* bytes that are restored; a frame is at least that long */
};

struct bench_frame {
	__u64 words[BENCH_HEADERS / 8];
};

struct bench_state {
	__u32 next;
	__u32 mask;   /* flows - 1; a power of two */
	__u32 target; /* slot of bench_targets */
	__u32 mark;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BENCH_FLOWS);
	__type(key, __u32);
	__type(value, struct bench_frame);
} bench_frames SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bench_state);
} bench_state SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} bench_targets SEC(".maps");

SEC("tc")
int bench_driver(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	__u32 zero = 0;
	struct bench_state *state = bpf_map_lookup_elem(&bench_state, &zero);

	if (!state || data + BENCH_HEADERS > data_end)
		return -100;
	__u32 flow = state->next++ & state->mask;
	struct bench_frame *frame = bpf_map_lookup_elem(&bench_frames, &flow);

	if (!frame)
		return -101;
	__u64 *to = data;

	for (int i = 0; i < BENCH_HEADERS / 8; i++)
		to[i] = frame->words[i];
	skb->mark = state->mark;
	bpf_tail_call(skb, &bench_targets, state->target);
	return -102;
}

SEC("tc")
int bench_empty(struct __sk_buff *skb)
{
	(void)skb;
	return 0;
}

char _license[] SEC("license")
= "Dual BSD/GPL";
