// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * For the far end of a veth whose near end sends by XDP: without a program of its own it would lose those frames.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char _license[] SEC("license")
= "Dual BSD/GPL";
