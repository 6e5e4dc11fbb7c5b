/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The verifier must refuse this: an unchecked packet access at the end of a program long enough to fill a log. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

SEC("tc")
int accepted(struct __sk_buff *skb)
{
	return 0;
}

SEC("tc")
int unchecked(struct __sk_buff *skb)
{
	__u8 *data = (__u8 *)(long)skb->data;

	return data[41];
}
