// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Tells user space what jiffies are now, by BPF_PROG_TEST_RUN: entries hold jiffies, and neither their rate nor their value can be
 * read from user space on every kernel. Never attached.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int clock_jiffies(struct __sk_buff *skb)
{
	(void)skb;
	return (int)bpf_jiffies64();
}

char _license[] SEC("license")
= "Dual BSD/GPL";
