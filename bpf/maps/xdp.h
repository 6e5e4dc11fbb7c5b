/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Maps of north-south load balancing.
 */
#pragma once
#include "../abi/xdp.h"
#include "maps.h"

/* One bit per port and protocol (enum port_bits): most packets to the node itself leave after one array look-up. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PORT_BITS_TOTAL / 64);
	__type(key, __u32);
	__type(value, __u64);
} fl_ports_1 SEC(".maps");

/*
 * Bitmap over hashes (lb_filter_bit) of the addresses of all nodes, and of the networks (/24 and /64) in which their pods are: who has no
 * bit here is outside the cluster.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, LIMIT_INSIDE_BITS / 64);
	__type(key, __u32);
	__type(value, __u64);
} fl_inside_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, LIMIT_NODES);
	__type(key, __u32);
	__type(value, struct xdp_node);
} fl_xdp_nodes_1 SEC(".maps");

/* Small: the agent makes it XDP_SERVICE_HOMES long where direct server return is on. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct xdp_service);
} fl_xdp_svc_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct ct_key);
	__type(value, struct dsr_flow);
} fl_dsr_flows_1 SEC(".maps");
