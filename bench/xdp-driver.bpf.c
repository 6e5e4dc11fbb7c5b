// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * driver.bpf.c for XDP: every round restores the length and the headers of the packet, writes the next flow, and tail-calls the
 * program to measure (slot 0) or an empty one (slot 1).
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

enum bench_limits {
	BENCH_FLOWS = 65536,
	BENCH_HEADERS = 80, /* bytes that are restored; a frame is exactly that long */
};

struct bench_frame {
	__u64 words[BENCH_HEADERS / 8];
};

struct bench_state {
	__u32 next;
	__u32 mask;   /* flows - 1; a power of two */
	__u32 target; /* slot of bench_targets */
	__u32 pad;
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

SEC("xdp")
int bench_driver(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct bench_state *state = bpf_map_lookup_elem(&bench_state, &zero);

	if (!state || bpf_xdp_adjust_head(ctx, (int)(ctx->data_end - ctx->data) - BENCH_HEADERS) < 0)
		return XDP_ABORTED;
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__u32 flow = state->next++ & state->mask;
	struct bench_frame *frame = bpf_map_lookup_elem(&bench_frames, &flow);

	if (!frame || data + BENCH_HEADERS > data_end)
		return XDP_ABORTED;
	__u64 *to = data;

	for (int i = 0; i < BENCH_HEADERS / 8; i++)
		to[i] = frame->words[i];
	bpf_tail_call(ctx, &bench_targets, state->target);
	return XDP_ABORTED;
}

SEC("xdp")
int bench_empty(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char _license[] SEC("license")
= "Dual BSD/GPL";
