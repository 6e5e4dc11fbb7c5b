// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Runs policy_verdict() alone. The packet is an array of questions, which get their answers in place:
 * {set, peer word, protocol << 16 | port, 0} → {verdict, ...}.
 */
#include "lib/policy.h"

struct question {
	__u32 words[4];
};

enum question_limits {
	QUESTIONS = 16,
};

SEC("tc")
int verdicts(struct __sk_buff *skb)
{
	for (int i = 0; i < QUESTIONS; i++) {
		struct question *q = (void *)(long)skb->data + i * sizeof(*q);

		if ((void *)(q + 1) > (void *)(long)skb->data_end)
			return i;
		__u32 verdict = policy_verdict(q->words[0], q->words[1], q->words[2]);

		q = (void *)(long)skb->data + i * sizeof(*q);
		if ((void *)(q + 1) > (void *)(long)skb->data_end)
			return i;
		q->words[0] = verdict;
	}
	return QUESTIONS;
}

/* The same question again and again: what one verdict costs. */
SEC("tc")
int verdict(struct __sk_buff *skb)
{
	struct question *q = (void *)(long)skb->data;

	if ((void *)(q + 1) > (void *)(long)skb->data_end)
		return 0;
	return policy_verdict(q->words[0], q->words[1], q->words[2]) & 0xff;
}

SEC("tc")
int nothing(struct __sk_buff *skb)
{
	struct question *q = (void *)(long)skb->data;

	if ((void *)(q + 1) > (void *)(long)skb->data_end)
		return 0;
	return (q->words[0] ^ q->words[2]) & 0xff;
}

char _license[] SEC("license")
= "Dual BSD/GPL";
