/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Maps of network policy.
 */
#pragma once
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "../abi/limits.h"
#include "../abi/policy.h"

/* Not preallocated: most nodes use a small part. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct policy_key);
	__type(value, struct policy_row);
} fl_policy_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, POLICY_LIMIT_SETS);
	__type(key, __u32);
	__type(value, struct policy_set);
} fl_policyset_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 131072);
	__type(key, __u32);
	__type(value, struct policy_range);
} fl_ranges_1 SEC(".maps");

/* Counts of all CPUs: a rule that drops much is contended, one that allows is never here. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, POLICY_LIMIT_COOKIES);
	__type(key, __u32);
	__type(value, struct policy_denied);
} fl_denied_1 SEC(".maps");
