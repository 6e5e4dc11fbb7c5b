/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Every map. Names carry the layout version: a changed layout gets a new number, and the agent carries state over.
 * max_entries are defaults; the agent sets the configured sizes before load.
 * The agent maps slots, backends and twice the events: their sizes count as its resident memory.
 */
#pragma once
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "../abi/ct.h"
#include "../abi/drop.h"
#include "../abi/event.h"
#include "../abi/limits.h"
#include "../abi/peer.h"
#include "../abi/svc.h"
#include "dns.h"
#include "policy.h"

/* Bitmap over hashes of service addresses: a packet to no service leaves after one array look-up. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, LIMIT_VIP_FILTER_BITS / 64);
	__type(key, __u32);
	__type(value, __u64);
} fl_vip_filter_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct svc_key);
	__type(value, struct svc_entry);
} fl_services_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 32768);
	__type(key, __u32);
	__type(value, struct slot_chunk);
} fl_slots_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 131072);
	__type(key, __u32);
	__type(value, struct backend);
} fl_backends_1 SEC(".maps");

/*
 * Open connections of this node by backend index, in the lower 24 bits, and the low 8 bits of the row's generation, as in ct_entry.backend; counted
 * for services that ask for the least loaded backend.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 131072);
	__type(key, __u32);
	__type(value, __u32);
} fl_conns_1 SEC(".maps");

/* loadBalancerSourceRanges: sets of prefixes, shared by the services that have the same. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct source_key);
	__type(value, __u32);
} fl_sources_1 SEC(".maps");

/* Session affinity of every path. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct affinity_key);
	__type(value, struct affinity_entry);
} fl_affinity_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct sock_rev_key);
	__type(value, struct sock_rev_entry);
} fl_sock_rev_1 SEC(".maps");

/* Flows. Nothing but the agent's collector takes one out: a flood of new flows finds no more room and costs no connection. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__type(key, struct ct4_key);
	__type(value, struct ct4_entry);
} fl_ct4_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__type(key, struct ct_key);
	__type(value, struct ct_entry);
} fl_ct6_1 SEC(".maps");

/* New flows while the tables above are full. These evict each other. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct ct4_key);
	__type(value, struct ct4_entry);
} fl_ctfull4_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct ct_key);
	__type(value, struct ct_entry);
} fl_ctfull6_1 SEC(".maps");

/* One element: 1 = the two tables above may hold flows. Programs set it; the collector clears it when they are empty. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} fl_ctfull_1 SEC(".maps");

/*
 * One element: 1 = clients of other machines have used services whose backend is a process of this node. What such a process
 * answers leaves through the node's stack, so programs at the devices' egress have to look for it. Programs set it for good.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} fl_hostsvc_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct frag_key);
	__type(value, struct frag_entry);
} fl_frags_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ipcache_key);
	__type(value, struct ipcache_entry);
} fl_ipcache_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct cidr_key);
	__type(value, struct ipcache_entry);
} fl_cidrs_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, LIMIT_ENDPOINTS);
	__type(key, __u32);
	__type(value, struct endpoint);
} fl_endpoints_1 SEC(".maps");

/* Which endpoint a host side veth belongs to; consulted for new flows only. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LIMIT_ENDPOINTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct peer_ref);
} fl_ifaces_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LIMIT_NODES);
	__type(key, __u32);
	__type(value, struct node);
} fl_nodes_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LIMIT_UPLINKS);
	__type(key, __u32);
	__type(value, struct uplink);
} fl_uplinks_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DROP_REASON_MAX);
	__type(key, __u32);
	__type(value, struct drop_counter);
} fl_drops_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, METRIC_MAX);
	__type(key, __u32);
	__type(value, __u64);
} fl_metrics_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DROP_REASON_MAX);
	__type(key, __u32);
	__type(value, struct event_bucket);
} fl_limits_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1024 * 1024);
} fl_events_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct runtime_state);
} fl_runtime_1 SEC(".maps");
